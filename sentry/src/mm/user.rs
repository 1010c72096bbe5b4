//! Copies between the kernel and guest memory.
//!
//! A copy goes run by run: the map lock is held for reading while bytes move, so that the
//! memory stays where it is; where a page is missing or must be copied first the lock is
//! dropped, the page made present as a fault would, and the run tried again.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use guestmem::{CopyFault, FetchOp, FileWindow, HostError, Slice};
use platform::Access;
use smallvec::SmallVec;

use super::fault::{FaultOutcome, allows};
use super::state::{Mm, State};
use super::vma::{MapProt, Vma, page_down, page_up};
use super::{Backing, UserFault};
use crate::Result;

/// How often a page that vanishes again is made present before the copy gives up.
const TRIES: usize = 16;
/// Most runs one host read or write is given.
const GATHER: usize = 16;

/// Where a run of guest memory is seen.
pub(super) enum Place {
    Frames {
        offset: u64,
        len: u64,
    },
    Window {
        window: Arc<FileWindow>,
        offset: u64,
        len: u64,
    },
}

/// How a copy accesses guest memory.
#[derive(Clone, Copy)]
pub(super) struct How {
    access: Access,
    /// Whether the mapping's protection is heeded.
    checked: bool,
}

const READ: How = How {
    access: Access::Read,
    checked: true,
};
/// For what is not the guest's doing.
pub(super) const READ_ANY: How = How {
    access: Access::Read,
    checked: false,
};
const WRITE: How = How {
    access: Access::Write,
    checked: true,
};

impl Place {
    pub(super) fn slice<'a>(&'a self, mm: &'a Mm) -> Option<Slice<'a>> {
        match self {
            Place::Frames { offset, len } => mm.frames.file().slice(*offset, *len),
            Place::Window {
                window,
                offset,
                len,
            } => window.slice(*offset, *len),
        }
    }
}

impl Mm {
    /// Where up to `len` bytes at `addr` can be accessed right now. A patched page cannot
    /// before it is as the guest made it.
    fn locate(&self, state: &State, addr: u64, len: u64, how: How) -> Option<Place> {
        let clear = state.patches.clear_of(addr, len);
        self.locate_as_is(state, addr, clear, how)
            .filter(|_| clear > 0)
    }

    /// Where up to `len` bytes at `addr` stand, patched or not.
    pub(super) fn locate_as_is(
        &self,
        state: &State,
        addr: u64,
        len: u64,
        how: How,
    ) -> Option<Place> {
        let vma = state.vmas.find(addr)?;
        if how.checked && !allows(vma, how.access) {
            return None;
        }
        let write = how.access == Access::Write;
        let len = len.min(vma.end - addr);
        if vma.shared() {
            let writable = vma.prot.contains(MapProt::WRITE);
            return self.locate_file(vma, addr, len, write && writable);
        }
        let Some(p) = state.pmas.find(addr) else {
            return if vma.anon() || write {
                None
            } else {
                let next = state.pmas.start_after(addr).unwrap_or(u64::MAX);
                self.locate_file(vma, addr, len.min(next - addr), false)
            };
        };
        let (offset, mut len) = (p.offset_of(addr), len.min(p.end - addr));
        if write && p.tag {
            // A sole owner writes in place, whatever the guest's mapping says just now.
            let (sole, n) = self.frames.sole(offset, len);
            if !sole {
                return None;
            }
            len = n;
        }
        Some(Place::Frames { offset, len })
    }

    /// The same for the part of a mapping that stands on its file.
    fn locate_file(&self, vma: &Vma, addr: u64, len: u64, write: bool) -> Option<Place> {
        let map = vma.file()?;
        let page = page_down(addr);
        let within = addr - page;
        let size = page_up(map.file().size())?;
        let left = size.checked_sub(vma.offset_of(page)).filter(|l| *l > 0)?;
        let len = len.min(left.checked_sub(within)?);
        let backing = map
            .file()
            .frames(vma.offset_of(page), len.checked_add(within)?, write);
        match backing.ok()? {
            Backing::Memory { offset, len: have } => {
                let have = page_up(have.min(1 << 62))?.checked_sub(within)?;
                Some(Place::Frames {
                    offset: offset.checked_add(within)?,
                    len: len.min(have),
                })
            }
            Backing::Host {
                file,
                offset,
                len: have,
            } => {
                let have = page_up(have.min(1 << 62))?.checked_sub(within)?;
                let at = offset.checked_add(within)?;
                let (window, begin) = map.window(&file, at, write).ok()?;
                let offset = at - begin;
                let len = len.min(have).min(window.len().checked_sub(offset)?);
                Some(Place::Window {
                    window,
                    offset,
                    len,
                })
            }
        }
    }

    /// Calls `f` with one run after the other, and how many bytes came before it, until
    /// `len` bytes are done.
    fn each_run(
        &self,
        addr: u64,
        len: usize,
        how: How,
        mut f: impl FnMut(Slice<'_>, usize) -> std::result::Result<usize, CopyFault>,
    ) -> std::result::Result<(), UserFault> {
        let fail = |done, errno| Err(UserFault { done, errno });
        let fits = addr
            .checked_add(len as u64)
            .is_some_and(|e| e <= self.range.1);
        if !fits {
            return fail(0, Errno::EFAULT);
        }
        let (mut done, mut tries) = (0usize, 0);
        while done < len {
            let at = addr + done as u64;
            let state = self.state.read();
            let place = self.locate(&state, at, (len - done) as u64, how);
            if let Some(place) = place {
                let Some(slice) = place.slice(self) else {
                    return fail(done, Errno::EFAULT);
                };
                match f(slice, done) {
                    Ok(0) => return fail(done, Errno::EFAULT),
                    Ok(n) => done += n,
                    Err(fault) => return fail(done + fault.done, Errno::EFAULT),
                }
                tries = 0;
                continue;
            }
            drop(state);
            tries += 1;
            if tries > TRIES {
                return fail(done, Errno::EFAULT);
            }
            if self.reveal(at) {
                continue;
            }
            match self.touch(at, how.access, how.checked) {
                FaultOutcome::Resolved => {}
                FaultOutcome::NoMemory => return fail(done, Errno::ENOMEM),
                _ => return fail(done, Errno::EFAULT),
            }
        }
        Ok(())
    }

    fn copy_in_how(
        &self,
        addr: u64,
        dst: &mut [u8],
        how: How,
    ) -> std::result::Result<(), UserFault> {
        let len = dst.len();
        self.each_run(addr, len, how, |run, done| {
            dst.get_mut(done..).map_or(Ok(0), |rest| run.copy_to(rest))
        })
    }

    fn copy_out_how(&self, addr: u64, src: &[u8], how: How) -> std::result::Result<(), UserFault> {
        self.each_run(addr, src.len(), how, |run, done| {
            src.get(done..).map_or(Ok(0), |rest| run.copy_from(rest))
        })
    }

    /// Copies guest memory to `dst`.
    pub fn copy_in(&self, addr: u64, dst: &mut [u8]) -> std::result::Result<(), UserFault> {
        self.copy_in_how(addr, dst, READ)
    }

    /// Copies `src` to guest memory.
    pub fn copy_out(&self, addr: u64, src: &[u8]) -> std::result::Result<(), UserFault> {
        self.copy_out_how(addr, src, WRITE)
    }

    /// Copies guest memory whatever the protection of its mappings, as a debugger reads.
    pub fn peek(&self, addr: u64, dst: &mut [u8]) -> std::result::Result<(), UserFault> {
        let how = How {
            checked: false,
            ..READ
        };
        self.copy_in_how(addr, dst, how)
    }

    /// Changes guest memory as a debugger does: private mappings whatever their
    /// protection, shared ones only where they are writable.
    pub fn poke(&self, addr: u64, src: &[u8]) -> std::result::Result<(), UserFault> {
        let fault = UserFault {
            done: 0,
            errno: Errno::EFAULT,
        };
        let end = addr.checked_add(src.len() as u64).ok_or(fault)?;
        let refused = |v: &Vma| v.shared() && !v.prot.contains(MapProt::WRITE);
        if self.state.read().vmas.overlapping(addr, end).any(refused) {
            return Err(fault);
        }
        let how = How {
            checked: false,
            ..WRITE
        };
        self.copy_out_how(addr, src, how)
    }

    /// Copies guest memory to memory frames.
    pub fn copy_in_slice(&self, addr: u64, dst: Slice<'_>) -> std::result::Result<(), UserFault> {
        self.each_run(addr, dst.len(), READ, |run, done| {
            let rest = dst.sub(done, dst.len() - done);
            rest.map_or(Ok(0), |rest| run.copy_to_slice(rest))
        })
    }

    /// Copies memory frames to guest memory.
    pub fn copy_out_slice(&self, addr: u64, src: Slice<'_>) -> std::result::Result<(), UserFault> {
        self.each_run(addr, src.len(), WRITE, |run, done| {
            let rest = src.sub(done, src.len() - done);
            rest.map_or(Ok(0), |rest| rest.copy_to_slice(run))
        })
    }

    /// Fills guest memory with zeros.
    pub fn zero_out(&self, addr: u64, len: usize) -> std::result::Result<(), UserFault> {
        self.each_run(addr, len, WRITE, |run, _| run.fill(0))
    }

    /// Copies a NUL-terminated string of at most `max` bytes (without the NUL);
    /// `ENAMETOOLONG` if it is longer, `EFAULT`.
    pub fn copy_in_cstr(&self, addr: u64, max: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut buf = [0u8; 512];
        loop {
            if out.len() > max {
                return Err(Errno::ENAMETOOLONG);
            }
            let at = addr.checked_add(out.len() as u64).ok_or(Errno::EFAULT)?;
            // Never beyond the page: the string may end at the last mapped one.
            let room = (PAGE_SIZE - at % PAGE_SIZE) as usize;
            let room = room.min(buf.len()).min(max + 1 - out.len());
            let chunk = buf.get_mut(..room).ok_or(Errno::EFAULT)?;
            self.copy_in(at, chunk)?;
            match chunk.iter().position(|b| *b == 0) {
                Some(n) => {
                    out.extend(chunk.iter().take(n));
                    return Ok(out);
                }
                None => out.extend_from_slice(chunk),
            }
        }
    }

    /// Runs `f` on the word of `size` bytes at `addr`.
    fn word<T>(
        &self,
        addr: u64,
        size: usize,
        how: How,
        f: impl Fn(Slice<'_>) -> std::result::Result<T, CopyFault>,
    ) -> Result<T> {
        let mut value = None;
        self.each_run(addr, size, how, |run, _| {
            value = Some(f(run)?);
            Ok(size)
        })?;
        value.ok_or(Errno::EFAULT)
    }

    /// Loads the futex word at `addr`, making its page present; `EFAULT`.
    pub fn load_u32(&self, addr: u64) -> Result<u32> {
        self.word(addr, 4, READ, |s| s.load_u32())
    }

    /// Stores to the aligned word at `addr`; `EFAULT`.
    pub fn store_u32(&self, addr: u64, value: u32) -> Result<()> {
        self.word(addr, 4, WRITE, |s| s.store_u32(value))
    }

    /// Compares and swaps the word at `addr`; the value that was there; `EFAULT`.
    pub fn compare_exchange_u32(&self, addr: u64, old: u32, new: u32) -> Result<u32> {
        self.word(addr, 4, WRITE, |s| s.compare_exchange_u32(old, new))
    }

    /// Changes the word at `addr` atomically (`FUTEX_WAKE_OP`); the old value; `EFAULT`.
    pub fn fetch_u32(&self, addr: u64, op: FetchOp, arg: u32) -> Result<u32> {
        self.word(addr, 4, WRITE, |s| s.fetch_u32(op, arg))
    }

    /// What identifies the word at `addr` for a futex shared between address spaces:
    /// the memory object and the offset in it. `EFAULT`.
    pub fn shared_key(&self, addr: u64) -> Result<(u64, u64)> {
        let state = self.state.read();
        let vma = state
            .vmas
            .find(addr)
            .filter(|v| !v.prot.is_empty())
            .ok_or(Errno::EFAULT)?;
        let page = page_down(addr);
        let own = !vma.shared() && (vma.anon() || state.pmas.find(page).is_some());
        // A private page that cannot be written never changes: nobody would ever wake.
        if own && !vma.prot.contains(MapProt::WRITE) {
            return Err(Errno::EFAULT);
        }
        let writable = vma.shared() || !vma.prot.contains(MapProt::WRITE);
        let Some(map) = vma.file().filter(|_| writable && !own) else {
            return Ok((self.id | 1 << 63, addr));
        };
        match map.file().frames(vma.offset_of(page), PAGE_SIZE, false)? {
            Backing::Memory { offset, .. } => Ok((0, offset + (addr - page))),
            Backing::Host { .. } => {
                let id = map.file().identity();
                let key = (id.dev.rotate_left(40) ^ id.ino) & !(1 << 63) | 1;
                Ok((key, vma.offset_of(addr)))
            }
        }
    }

    /// Makes `len` bytes at `addr` present and gives the runs they stand in to `f`, all of
    /// them or as many as one host call is worth; what `f` returns.
    fn gather<T>(
        &self,
        addr: u64,
        len: usize,
        how: How,
        f: impl Fn(&[Slice<'_>]) -> Result<T>,
    ) -> Result<T> {
        addr.checked_add(len as u64)
            .filter(|e| *e <= self.range.1)
            .ok_or(Errno::EFAULT)?;
        for _ in 0..TRIES {
            let state = self.state.read();
            let mut places: SmallVec<[Place; 4]> = SmallVec::new();
            let (mut at, mut left) = (addr, len as u64);
            let mut missing = None;
            while left > 0 && places.len() < GATHER {
                let Some(place) = self.locate(&state, at, left, how) else {
                    missing = Some(at);
                    break;
                };
                let (Place::Frames { len, .. } | Place::Window { len, .. }) = &place;
                at += len;
                left = left.saturating_sub((*len).max(1));
                places.push(place);
            }
            if missing.is_none() {
                let slices: SmallVec<[Slice<'_>; 4]> =
                    places.iter().filter_map(|p| p.slice(self)).collect();
                return f(&slices);
            }
            drop(state);
            let at = missing.unwrap_or(addr);
            if self.reveal(at) {
                continue;
            }
            let made = self.touch(at, how.access, how.checked);
            if made != FaultOutcome::Resolved {
                // What is before the hole can still be used.
                let before = usize::try_from(at - addr).unwrap_or(0);
                if before == 0 {
                    return Err(Errno::EFAULT);
                }
                return self.gather_present(addr, before, how, f);
            }
        }
        Err(Errno::EFAULT)
    }

    /// The first run alone, for a buffer that is broken off by a hole.
    fn gather_present<T>(
        &self,
        addr: u64,
        len: usize,
        how: How,
        f: impl Fn(&[Slice<'_>]) -> Result<T>,
    ) -> Result<T> {
        let state = self.state.read();
        let place = self
            .locate(&state, addr, len as u64, how)
            .ok_or(Errno::EFAULT)?;
        f(&[place.slice(self).ok_or(Errno::EFAULT)?])
    }

    /// Reads a host file into guest memory in one copy, at `offset` or at its own position;
    /// how many bytes.
    pub fn read_host(
        &self,
        addr: u64,
        len: usize,
        fd: BorrowedFd<'_>,
        offset: Option<u64>,
    ) -> Result<usize> {
        if len == 0 {
            return Ok(0);
        }
        self.gather(addr, len, WRITE, |to| {
            let got = match offset {
                Some(o) => guestmem::preadv(fd.as_fd(), o, to),
                None => guestmem::readv(fd.as_fd(), to),
            };
            got.map_err(host_errno)
        })
    }

    /// Writes guest memory to a host file in one copy; how many bytes.
    pub fn write_host(
        &self,
        addr: u64,
        len: usize,
        fd: BorrowedFd<'_>,
        offset: Option<u64>,
    ) -> Result<usize> {
        if len == 0 {
            return Ok(0);
        }
        self.gather(addr, len, READ, |from| {
            let got = match offset {
                Some(o) => guestmem::pwritev(fd.as_fd(), o, from),
                None => guestmem::writev(fd.as_fd(), from),
            };
            got.map_err(host_errno)
        })
    }
}

/// The guest sees the host's errno of a file operation.
fn host_errno(e: HostError) -> Errno {
    Errno::from_raw(e.0)
}
