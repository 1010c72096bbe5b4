//! The descriptor table of a process (`struct files_struct`).
//!
//! Lock rank: the table lock is a leaf; files are dropped after it is released, because a
//! last drop runs the file's release.

use std::fmt;
use std::sync::Arc;

use abi::Errno;

use super::file::File;
use crate::Result;
use crate::sync::RwLock;

#[derive(Clone)]
struct Slot {
    file: Arc<File>,
    cloexec: bool,
}

/// Descriptors of a process; shared by `CLONE_FILES`.
#[derive(Default)]
pub struct FdTable {
    slots: RwLock<Vec<Option<Slot>>>,
}

impl fmt::Debug for FdTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FdTable({} slots)", self.slots.read().len())
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
            slots: RwLock::new(self.slots.read().clone()),
        })
    }

    /// The description of `fd`; `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<File>> {
        let slots = self.slots.read();
        let slot = usize::try_from(fd)
            .ok()
            .and_then(|i| slots.get(i))
            .and_then(Option::as_ref);
        slot.map(|s| s.file.clone()).ok_or(Errno::EBADF)
    }

    /// Puts `file` at the lowest free number from `min` on that is below `limit`
    /// (RLIMIT_NOFILE); `EMFILE`.
    pub fn install(&self, file: Arc<File>, min: i32, cloexec: bool, limit: u64) -> Result<i32> {
        let mut slots = self.slots.write();
        let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
        let free = (min..slots.len()).find(|&i| slots.get(i).is_some_and(Option::is_none));
        let at = free.unwrap_or(slots.len().max(min));
        if at as u64 >= limit {
            return Err(Errno::EMFILE);
        }
        if at >= slots.len() {
            slots.resize(at + 1, None);
        }
        let fd = i32::try_from(at).map_err(|_| Errno::EMFILE)?;
        if let Some(slot) = slots.get_mut(at) {
            *slot = Some(Slot { file, cloexec });
        }
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
        if at as u64 >= limit {
            return Err(Errno::EBADF);
        }
        let mut slots = self.slots.write();
        if at >= slots.len() {
            slots.resize(at + 1, None);
        }
        let old = slots
            .get_mut(at)
            .and_then(|s| s.replace(Slot { file, cloexec }));
        drop(slots);
        Ok(old.map(|s| s.file))
    }

    /// Takes `fd` out; `EBADF`.
    pub fn remove(&self, fd: i32) -> Result<Arc<File>> {
        let mut slots = self.slots.write();
        let slot = usize::try_from(fd)
            .ok()
            .and_then(|i| slots.get_mut(i))
            .and_then(Option::take);
        drop(slots);
        slot.map(|s| s.file).ok_or(Errno::EBADF)
    }

    /// Takes out every descriptor from `first` to `last` inclusive.
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<Arc<File>> {
        let mut slots = self.slots.write();
        let first = first as usize;
        let end = (last as usize).saturating_add(1).min(slots.len());
        let gone = slots.get_mut(first.min(end)..end).into_iter().flatten();
        gone.filter_map(Option::take).map(|s| s.file).collect()
    }

    /// Takes out the close-on-exec descriptors (`execve`).
    pub fn remove_cloexec(&self) -> Vec<Arc<File>> {
        let mut slots = self.slots.write();
        let marked = slots
            .iter_mut()
            .filter(|s| s.as_ref().is_some_and(|s| s.cloexec));
        marked.filter_map(Option::take).map(|s| s.file).collect()
    }

    /// The close-on-exec flag of `fd`; `EBADF`.
    pub fn cloexec(&self, fd: i32) -> Result<bool> {
        let slots = self.slots.read();
        let slot = usize::try_from(fd)
            .ok()
            .and_then(|i| slots.get(i))
            .and_then(Option::as_ref);
        slot.map(|s| s.cloexec).ok_or(Errno::EBADF)
    }

    /// Sets the close-on-exec flag of `fd`; `EBADF`.
    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result<()> {
        let mut slots = self.slots.write();
        let slot = usize::try_from(fd)
            .ok()
            .and_then(|i| slots.get_mut(i))
            .and_then(Option::as_mut);
        slot.map(|s| s.cloexec = on).ok_or(Errno::EBADF)
    }

    /// Marks a range close-on-exec (`close_range(CLOSE_RANGE_CLOEXEC)`).
    pub fn set_cloexec_range(&self, first: u32, last: u32) {
        let mut slots = self.slots.write();
        let end = (last as usize).saturating_add(1).min(slots.len());
        let first = (first as usize).min(end);
        slots
            .get_mut(first..end)
            .into_iter()
            .flatten()
            .flatten()
            .for_each(|s| s.cloexec = true);
    }

    /// The open descriptors in order.
    pub fn list(&self) -> Vec<i32> {
        let slots = self.slots.read();
        let open = slots.iter().enumerate().filter(|(_, s)| s.is_some());
        open.filter_map(|(i, _)| i32::try_from(i).ok()).collect()
    }
}
