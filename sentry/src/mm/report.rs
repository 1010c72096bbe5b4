//! What `/proc/PID` tells of an address space.

use std::io::Write;

use abi::PAGE_SIZE;

use super::state::{Mm, State};
use super::vma::{MapProt, Object, Vma, VmaName};
use super::{Backing, MapIdentity};
use crate::fs::vfs::Symlink;

/// Sizes in bytes, as in `/proc/PID/status` and `statm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Mapped (`VmSize`).
    pub size: u64,
    /// The most ever mapped (`VmPeak`).
    pub peak: u64,
    /// Present private memory (`RssAnon`).
    pub rss_anon: u64,
    /// Present file pages (`RssFile`).
    pub rss_file: u64,
    /// Present shared memory (`RssShmem`).
    pub rss_shmem: u64,
    /// Locked (`VmLck`).
    pub locked: u64,
    /// Private writable (`VmData`).
    pub data: u64,
    /// Stack (`VmStk`).
    pub stack: u64,
    /// Executable file mappings (`VmExe`, `VmLib`).
    pub text: u64,
}

impl Usage {
    /// Everything present (`VmRSS`).
    pub fn rss(&self) -> u64 {
        self.rss_anon
            .saturating_add(self.rss_file)
            .saturating_add(self.rss_shmem)
    }
}

/// One mapping as `/proc/PID/maps` and `smaps` tell it.
#[derive(Clone, Debug)]
pub struct MapLine {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Protection.
    pub prot: MapProt,
    /// Flags.
    pub flags: super::VmaFlags,
    /// Offset in the file.
    pub offset: u64,
    /// The file, or the name the kernel gives.
    pub identity: MapIdentity,
    /// Whether it is a file mapping.
    pub is_file: bool,
    /// Bytes present.
    pub rss: u64,
    /// Those of them that no other mapping shows.
    pub private: u64,
}

impl Mm {
    /// Sizes now. Counts pages; not for hot paths.
    pub fn usage(&self) -> Usage {
        let state = self.state.read();
        let mut u = Usage {
            size: state.vmas.total().saturating_sub(state.patches.size()),
            peak: state.peak,
            locked: state.locked(),
            data: state.data(),
            ..Usage::default()
        };
        for v in state.vmas.iter() {
            let (private, object) = self.present_in(&state, v);
            u.rss_anon = u.rss_anon.saturating_add(private);
            match self.on_memory(v) {
                true => u.rss_shmem = u.rss_shmem.saturating_add(object),
                false => u.rss_file = u.rss_file.saturating_add(object),
            }
            if v.name == VmaName::Stack {
                u.stack = u.stack.saturating_add(v.len());
            }
            if v.prot.contains(MapProt::EXEC) && v.file().is_some() {
                u.text = u.text.saturating_add(v.len());
            }
        }
        u
    }

    /// Whether the file of `v` stands in the memory file.
    fn on_memory(&self, v: &Vma) -> bool {
        let backing = self.file_frames(v, v.start, PAGE_SIZE, false);
        matches!(backing, Ok(Backing::Memory { .. }))
    }

    /// Present bytes of `v`: its own, and those of its object.
    fn present_in(&self, state: &State, v: &Vma) -> (u64, u64) {
        let file = self.frames.file();
        let mut private = 0u64;
        if !v.shared() {
            for p in state.pmas.within(v.start, v.end) {
                private = private.saturating_add(file.data_bytes(p.offset, p.end - p.start));
            }
        }
        let Object::File(map) = &v.object else {
            return (private, 0);
        };
        if v.prot.is_empty() {
            return (private, 0);
        }
        let size = map.file().size().next_multiple_of(PAGE_SIZE);
        let len = size.saturating_sub(v.offset).min(v.len());
        let object = match map.file().frames(v.offset, len.max(PAGE_SIZE), false) {
            Ok(Backing::Memory { offset, len: have }) if len > 0 => {
                file.data_bytes(offset, have.min(len))
            }
            Ok(Backing::Host { .. }) => len.saturating_sub(private),
            _ => 0,
        };
        (private, object)
    }

    /// All mappings; present bytes only `with_rss`.
    pub fn map_lines(&self, with_rss: bool) -> Vec<MapLine> {
        let state = self.state.read();
        let heap = (state.brk_start, state.brk);
        let line = |v: &Vma| {
            let (private, object) = match with_rss {
                true => self.present_in(&state, v),
                false => (0, 0),
            };
            MapLine {
                start: v.start,
                end: v.end,
                prot: v.prot,
                flags: v.flags,
                offset: if v.file().is_some() { v.offset } else { 0 },
                identity: identity(v, heap),
                is_file: v.file().is_some() || v.name == VmaName::Zeroes,
                rss: private.saturating_add(object),
                private,
            }
        };
        let shown = |v: &&Vma| !v.flags.contains(super::VmaFlags::HIDDEN);
        let mut lines: Vec<MapLine> = state.vmas.iter().filter(shown).map(line).collect();
        if let Some((start, len)) = self.space.vdso().filter(|_| !state.vdso_gone) {
            let at = lines.partition_point(|l| l.start < start);
            lines.insert(at, vdso_line(start, len));
        }
        lines
    }

    /// The text of `/proc/PID/maps`.
    pub fn maps_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for l in self.map_lines(false) {
            l.write_header(&mut out);
        }
        out
    }
}

impl Mm {
    /// The link of the file mapping that is just `start..end` (`/proc/PID/map_files`), and
    /// its protection.
    pub fn file_mapped(&self, start: u64, end: u64) -> Option<(Symlink, MapProt)> {
        let state = self.state.read();
        let v = state.vmas.find(start)?;
        if (v.start, v.end) != (start, end) || v.flags.contains(super::VmaFlags::HIDDEN) {
            return None;
        }
        let named = || Symlink::Target(identity(v, (0, 0)).path);
        let link = match v.file() {
            Some(map) => map.file().place().map_or_else(named, Symlink::Jump),
            None if v.name == VmaName::Zeroes => named(),
            None => return None,
        };
        Some((link, v.prot))
    }
}

impl MapLine {
    /// The line of `/proc/PID/maps`, which also heads an entry of `smaps`.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        let flag = |p, c| if self.prot.contains(p) { c } else { '-' };
        let (major, minor) = (self.identity.dev >> 8, self.identity.dev & 0xff);
        let from = out.len();
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
            self.start,
            self.end,
            flag(MapProt::READ, 'r'),
            flag(MapProt::WRITE, 'w'),
            flag(MapProt::EXEC, 'x'),
            if self.flags.contains(super::VmaFlags::SHARED) {
                's'
            } else {
                'p'
            },
            self.offset,
            major & 0xfff,
            minor,
            self.identity.ino,
        );
        if !self.identity.path.is_empty() {
            while out.len() - from < 73 {
                out.push(b' ');
            }
            for b in &self.identity.path {
                match b {
                    b'\n' => out.extend_from_slice(b"\\012"),
                    b => out.push(*b),
                }
            }
        }
        out.push(b'\n');
    }
}

/// The platform's time functions, which are no mapping of the guest's own.
fn vdso_line(start: u64, len: u64) -> MapLine {
    MapLine {
        start,
        end: start.saturating_add(len),
        prot: MapProt::READ | MapProt::EXEC,
        flags: super::VmaFlags::empty(),
        offset: 0,
        identity: MapIdentity {
            path: b"[vdso]".to_vec(),
            ..MapIdentity::default()
        },
        is_file: false,
        rss: 0,
        private: 0,
    }
}

/// What to call a mapping.
fn identity(v: &Vma, heap: (u64, u64)) -> MapIdentity {
    if let Some(map) = v.file() {
        return map.file().identity();
    }
    let name: &[u8] = match v.name {
        VmaName::Stack => b"[stack]",
        VmaName::Heap => b"[heap]",
        VmaName::Zeroes => b"/dev/zero",
        VmaName::None if heap.0 < heap.1 && v.start < heap.1 && v.end > heap.0 => b"[heap]",
        VmaName::None => b"",
    };
    MapIdentity {
        path: name.to_vec(),
        ..MapIdentity::default()
    }
}
