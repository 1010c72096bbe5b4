//! The descriptor table of a process (`struct files_struct`).
//!
//! Lock rank: the table lock is a leaf; files are dropped after it is released, because a
//! last drop runs the file's release.

use std::fmt;
use std::sync::Arc;

use abi::Errno;

use super::file::File;
use super::{dnotify, locks};
use crate::Result;
use crate::sync::RwLock;

/// Most descriptors whatever the limit says (`/proc/sys/fs/nr_open`).
const NR_OPEN: u64 = 1 << 20;

#[derive(Clone)]
struct Slot {
    file: Arc<File>,
    cloexec: bool,
}

/// Room of a table before it grows (`NR_OPEN_DEFAULT`); every size is a multiple of it.
const INITIAL_ROOM: usize = 64;

struct Slots {
    list: Vec<Option<Slot>>,
    /// No free slot lies below.
    free_from: usize,
    /// How many descriptors Linux's table would have room for now (`max_fds`), which
    /// `select` lets be seen.
    room: usize,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots {
            list: Vec::new(),
            free_from: 0,
            room: INITIAL_ROOM,
        }
    }
}

impl Slots {
    fn get(&self, fd: i32) -> Option<&Slot> {
        self.list.get(usize::try_from(fd).ok()?)?.as_ref()
    }

    fn get_mut(&mut self, fd: i32) -> Option<&mut Slot> {
        self.list.get_mut(usize::try_from(fd).ok()?)?.as_mut()
    }

    /// The lowest free number from `min` on.
    fn free(&mut self, min: usize) -> usize {
        let from = min.max(self.free_from);
        let found = self.list.iter().skip(from).position(Option::is_none);
        let at = found.map_or(self.list.len().max(from), |i| from + i);
        if min <= self.free_from {
            self.free_from = at;
        }
        at
    }

    fn put(&mut self, at: usize, slot: Slot) -> Option<Slot> {
        if at >= self.list.len() {
            self.list.resize(at + 1, None);
        }
        if at >= self.room {
            self.room = (at + 1).next_power_of_two();
        }
        self.list.get_mut(at).and_then(|s| s.replace(slot))
    }

    fn take(&mut self, at: usize) -> Option<Slot> {
        let slot = self.list.get_mut(at).and_then(Option::take)?;
        self.free_from = self.free_from.min(at);
        Some(slot)
    }

    /// The same descriptions in a table no longer than they need.
    fn duplicate(&self) -> Slots {
        let len = self.list.iter().rposition(Option::is_some);
        let len = len.map_or(0, |last| last + 1);
        Slots {
            list: self.list.iter().take(len).cloned().collect(),
            free_from: self.free_from.min(len),
            room: len.next_multiple_of(INITIAL_ROOM).max(INITIAL_ROOM),
        }
    }
}

/// Descriptors of a process; shared by `CLONE_FILES`.
#[derive(Default)]
pub struct FdTable {
    slots: RwLock<Slots>,
}

impl fmt::Debug for FdTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FdTable({} slots)", self.slots.read().list.len())
    }
}

impl FdTable {
    /// An empty table.
    pub fn new() -> Arc<FdTable> {
        Arc::new(FdTable::default())
    }

    /// A copy with the same descriptions (`fork`).
    pub fn duplicate(&self) -> Arc<FdTable> {
        Arc::new(FdTable {
            slots: RwLock::new(self.slots.read().duplicate()),
        })
    }

    /// What identifies the table as an owner of record locks.
    pub fn owner_id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The description of `fd`; `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<File>> {
        let slots = self.slots.read();
        slots.get(fd).map(|s| s.file.clone()).ok_or(Errno::EBADF)
    }

    /// Whether one more descriptor fits below `limit`; `EMFILE`. Calls that create
    /// something ask before they do.
    pub fn check_room(&self, limit: u64) -> Result<()> {
        let at = self.slots.write().free(0);
        if at as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EMFILE);
        }
        Ok(())
    }

    /// Puts `file` at the lowest free number from `min` on that is below `limit`
    /// (RLIMIT_NOFILE); `EMFILE`.
    pub fn install(&self, file: Arc<File>, min: i32, cloexec: bool, limit: u64) -> Result<i32> {
        let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
        let mut slots = self.slots.write();
        let at = slots.free(min);
        if at as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EMFILE);
        }
        let fd = i32::try_from(at).map_err(|_| Errno::EMFILE)?;
        slots.put(at, Slot { file, cloexec });
        Ok(fd)
    }

    /// Puts `file` at exactly `fd` (`dup2`), returning what was there; `EBADF` at or above
    /// `limit`.
    pub fn install_at(
        &self,
        file: Arc<File>,
        fd: i32,
        cloexec: bool,
        limit: u64,
    ) -> Result<Option<Arc<File>>> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if at as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EBADF);
        }
        let old = self.slots.write().put(at, Slot { file, cloexec });
        Ok(old.map(|s| s.file))
    }

    /// Takes `fd` out; `EBADF`.
    pub fn remove(&self, fd: i32) -> Result<Arc<File>> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let slot = self.slots.write().take(at);
        slot.map(|s| s.file).ok_or(Errno::EBADF)
    }

    /// Takes out every descriptor from `first` to `last` inclusive.
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<Arc<File>> {
        let mut slots = self.slots.write();
        let end = (last as usize).saturating_add(1).min(slots.list.len());
        (first as usize..end)
            .filter_map(|at| slots.take(at))
            .map(|s| s.file)
            .collect()
    }

    /// Takes out the close-on-exec descriptors (`execve`).
    pub fn remove_cloexec(&self) -> Vec<Arc<File>> {
        let mut slots = self.slots.write();
        (0..slots.list.len())
            .filter_map(|at| {
                let marked = slots.list.get(at)?.as_ref()?.cloexec;
                if marked { slots.take(at) } else { None }
            })
            .map(|s| s.file)
            .collect()
    }

    /// The close-on-exec flag of `fd`; `EBADF`.
    pub fn cloexec(&self, fd: i32) -> Result<bool> {
        let slots = self.slots.read();
        slots.get(fd).map(|s| s.cloexec).ok_or(Errno::EBADF)
    }

    /// Sets the close-on-exec flag of `fd`; `EBADF`.
    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result<()> {
        let mut slots = self.slots.write();
        let slot = slots.get_mut(fd).ok_or(Errno::EBADF)?;
        slot.cloexec = on;
        Ok(())
    }

    /// Marks a range close-on-exec (`close_range(CLOSE_RANGE_CLOEXEC)`).
    pub fn set_cloexec_range(&self, first: u32, last: u32) {
        let mut slots = self.slots.write();
        let end = (last as usize).saturating_add(1).min(slots.list.len());
        let first = (first as usize).min(end);
        slots
            .list
            .get_mut(first..end)
            .into_iter()
            .flatten()
            .flatten()
            .for_each(|s| s.cloexec = true);
    }

    /// How many descriptors the table has room for before it grows.
    pub fn room(&self) -> usize {
        self.slots.read().room
    }

    /// The open descriptors in order.
    pub fn list(&self) -> Vec<i32> {
        let slots = self.slots.read();
        let open = slots.list.iter().enumerate().filter(|(_, s)| s.is_some());
        open.filter_map(|(i, _)| i32::try_from(i).ok()).collect()
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        let owner = self.owner_id();
        for slot in self.slots.get_mut().list.iter().flatten() {
            locks::release_posix(&slot.file, owner);
            dnotify::closed(&slot.file, owner);
        }
    }
}
