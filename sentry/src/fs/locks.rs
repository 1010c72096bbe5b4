//! File locks: `flock(2)`, POSIX record locks and open file description locks (`fcntl(2)`).
//!
//! The locks of a file hang on its inode. Record locks belong to a descriptor table, the
//! other two kinds to a description. Both are advisory. Lock rank: leaf.

use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;

use super::file::File;
use super::vfs::Inode;
use crate::Result;
use crate::sync::Mutex;
use crate::task::Pid;
use crate::wait::Pollee;

/// Most record locks of one file.
const MAX_LOCKS: usize = 1 << 16;

/// Who holds a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A descriptor table ([`super::FdTable::owner_id`]).
    Table(usize),
    /// An open file description.
    Description(usize),
}

impl LockOwner {
    /// The description as an owner.
    pub fn of_file(file: &Arc<File>) -> LockOwner {
        LockOwner::Description(Arc::as_ptr(file).addr())
    }
}

/// A record lock over `start..=end`.
#[derive(Clone, Debug)]
pub struct RecordLock {
    /// Holder.
    pub owner: LockOwner,
    /// The process to report; `None` for descriptions.
    pub holder: Option<Arc<Pid>>,
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
    /// A write lock.
    pub exclusive: bool,
}

impl RecordLock {
    fn overlaps(&self, other: &RecordLock) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn conflicts(&self, other: &RecordLock) -> bool {
        self.owner != other.owner && self.overlaps(other) && (self.exclusive || other.exclusive)
    }
}

/// The locks of a file.
#[derive(Default)]
pub struct FileLocks {
    records: Mutex<Vec<RecordLock>>,
    /// Whole-file locks: description and whether exclusive.
    whole: Mutex<Vec<(usize, bool)>>,
    /// Told when a lock goes away.
    pub pollee: Pollee,
}

/// The locks of an inode.
pub fn of_inode(inode: &Arc<dyn Inode>) -> Arc<FileLocks> {
    inode.extra().get_or_insert(FileLocks::default)
}

impl FileLocks {
    /// The first lock in the way of `wanted`.
    pub fn blocker(&self, wanted: &RecordLock) -> Option<RecordLock> {
        let records = self.records.lock();
        records.iter().find(|l| l.conflicts(wanted)).cloned()
    }

    /// Sets a record lock, replacing what the owner had there: `EAGAIN`, `ENOLCK`.
    pub fn set(&self, wanted: RecordLock) -> Result<()> {
        let mut records = self.records.lock();
        if records.iter().any(|l| l.conflicts(&wanted)) {
            return Err(Errno::EAGAIN);
        }
        if records.len() >= MAX_LOCKS {
            return Err(Errno::ENOLCK);
        }
        carve(&mut records, &wanted);
        let mut merged = wanted;
        records.retain(|l| {
            let same = l.owner == merged.owner && l.exclusive == merged.exclusive;
            let touches =
                l.start <= merged.end.saturating_add(1) && merged.start <= l.end.saturating_add(1);
            if same && touches {
                merged.start = merged.start.min(l.start);
                merged.end = merged.end.max(l.end);
                return false;
            }
            true
        });
        records.push(merged);
        records.sort_by_key(|l| l.start);
        drop(records);
        self.pollee.notify(PollEvents::IN);
        Ok(())
    }

    /// Removes what `range.owner` has locked in the range.
    pub fn unset(&self, range: &RecordLock) {
        carve(&mut self.records.lock(), range);
        self.pollee.notify(PollEvents::IN);
    }

    fn release_owner(&self, owner: LockOwner) {
        let gone = {
            let mut records = self.records.lock();
            let before = records.len();
            records.retain(|l| l.owner != owner);
            before != records.len()
        };
        if gone {
            self.pollee.notify(PollEvents::IN);
        }
    }

    /// `flock(2)`: `EAGAIN`. A description that changes its lock gives the old one up first.
    pub fn lock_whole(&self, file: usize, exclusive: bool) -> Result<()> {
        let mut whole = self.whole.lock();
        if whole.contains(&(file, exclusive)) {
            return Ok(());
        }
        let had = whole.len();
        whole.retain(|(f, _)| *f != file);
        let released = whole.len() != had;
        let blocked = whole.iter().any(|(_, e)| exclusive || *e);
        if !blocked {
            whole.push((file, exclusive));
        }
        drop(whole);
        if released {
            self.pollee.notify(PollEvents::IN);
        }
        if blocked { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// Gives up the whole-file lock of a description.
    pub fn unlock_whole(&self, file: usize) {
        let released = {
            let mut whole = self.whole.lock();
            let had = whole.len();
            whole.retain(|(f, _)| *f != file);
            whole.len() != had
        };
        if released {
            self.pollee.notify(PollEvents::IN);
        }
    }

    /// The record locks, for `/proc/locks`.
    pub fn records(&self) -> Vec<RecordLock> {
        self.records.lock().clone()
    }
}

/// Takes `range` out of the locks of its owner.
fn carve(records: &mut Vec<RecordLock>, range: &RecordLock) {
    let mut rest = Vec::new();
    records.retain(|l| {
        if l.owner != range.owner || !l.overlaps(range) {
            return true;
        }
        if l.start < range.start {
            rest.push(RecordLock {
                end: range.start - 1,
                ..l.clone()
            });
        }
        if l.end > range.end {
            rest.push(RecordLock {
                start: range.end + 1,
                ..l.clone()
            });
        }
        false
    });
    records.append(&mut rest);
}

fn existing(file: &File) -> Option<Arc<FileLocks>> {
    match file.inode() {
        Some(inode) => inode.extra().get::<FileLocks>(),
        None => file.existing_locks(),
    }
}

/// A descriptor of `file` was closed by the table `owner`: its record locks are gone.
pub fn release_posix(file: &Arc<File>, owner: usize) {
    if let Some(locks) = existing(file) {
        locks.release_owner(LockOwner::Table(owner));
    }
}

/// A description goes away: its locks too.
pub fn release_description(file: &File) {
    if let Some(locks) = existing(file) {
        let id = std::ptr::from_ref(file).addr();
        locks.unlock_whole(id);
        locks.release_owner(LockOwner::Description(id));
    }
}

/// Who waits for whom, to find deadlocks between record locks.
#[derive(Default)]
pub struct LockWaits(Mutex<HashMap<LockOwner, LockOwner>>);

impl LockWaits {
    /// Notes that `waiter` waits for `holder`; `EDEADLK` when that closes a circle.
    pub fn begin(&self, waiter: LockOwner, holder: LockOwner) -> Result<()> {
        let mut waits = self.0.lock();
        let mut at = holder;
        for _ in 0..=waits.len() {
            if at == waiter {
                return Err(Errno::EDEADLK);
            }
            match waits.get(&at) {
                Some(next) => at = *next,
                None => break,
            }
        }
        waits.insert(waiter, holder);
        Ok(())
    }

    /// `waiter` waits no more.
    pub fn end(&self, waiter: LockOwner) {
        self.0.lock().remove(&waiter);
    }
}
