//! Objects by identifier and key, and their permissions (`sysvipc(7)`, `ftok(3)`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Result;
use crate::creds::{Cap, Creds};
use crate::fs::proc::sysctl_number;
use crate::sync::Mutex;
use crate::task::Task;

/// `IPC_PRIVATE`: always a new object.
pub const IPC_PRIVATE: i32 = 0;
/// `IPC_CREAT`.
pub const IPC_CREAT: u32 = 0o1000;
/// `IPC_EXCL`.
pub const IPC_EXCL: u32 = 0o2000;
/// `IPC_NOWAIT`.
pub const IPC_NOWAIT: u32 = 0o4000;
/// Wanted access: read, write.
pub const READ: u32 = 4;
/// Wanted access: write (or alter).
pub const WRITE: u32 = 2;
/// Identifiers are used again only after this many others.
const SEQ: i32 = 32_768;

/// `struct ipc64_perm`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in svipc(7)")]
pub struct Perm {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    pub seq: u16,
    pad: [u8; 6],
    unused: [u64; 2],
}

impl Perm {
    /// Of a new object.
    pub fn new(t: &Arc<Task>, key: i32, mode: u32) -> Perm {
        let creds = t.creds();
        Perm {
            key,
            uid: creds.euid,
            gid: creds.egid,
            cuid: creds.euid,
            cgid: creds.egid,
            mode: mode & 0o777,
            ..Perm::default()
        }
    }

    /// Whether `creds` may do `want`; `EACCES`.
    pub fn check(&self, creds: &Creds, want: u32) -> Result<()> {
        let group = |gid: u32| creds.egid == gid || creds.groups.contains(&gid);
        let class = if creds.euid == self.uid || creds.euid == self.cuid {
            self.mode >> 6
        } else if group(self.gid) || group(self.cgid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if want & !class & 6 == 0 || creds.capable(Cap::IpcOwner) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Whether `creds` may change or remove it; `EPERM`.
    pub fn check_owner(&self, creds: &Creds) -> Result<()> {
        let own = creds.euid == self.uid || creds.euid == self.cuid;
        if own || creds.capable(Cap::SysAdmin) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// `IPC_SET`.
    pub fn change(&mut self, new: &Perm) {
        self.uid = new.uid;
        self.gid = new.gid;
        self.mode = (self.mode & !0o777) | (new.mode & 0o777);
    }
}

/// An object of a table.
pub trait Object: Send + Sync {
    /// Its permissions now.
    fn perm(&self) -> Perm;
    /// The setting that names the next identifier, if it is not -1.
    const NEXT_ID: &'static str;
}

struct Inner<T> {
    by_id: BTreeMap<i32, Arc<T>>,
    keys: HashMap<i32, i32>,
    seq: i32,
}

/// Objects of one kind. Lock rank: above the objects' own locks.
pub struct Table<T> {
    inner: Mutex<Inner<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            inner: Mutex::new(Inner {
                by_id: BTreeMap::new(),
                keys: HashMap::new(),
                seq: 0,
            }),
        }
    }
}

impl<T: Object> Table<T> {
    /// The `*get(2)` calls: finds or makes. `check` judges an object found; `make` gets the
    /// identifier. At most `max` objects (`ENOSPC`).
    pub fn get(
        &self,
        t: &Arc<Task>,
        key: i32,
        flags: u32,
        max: usize,
        check: impl FnOnce(&T) -> Result<()>,
        make: impl FnOnce(i32, Perm) -> Result<T>,
    ) -> Result<i32> {
        let mut inner = self.inner.lock();
        if key != IPC_PRIVATE
            && let Some(&id) = inner.keys.get(&key)
        {
            if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            let object = inner.by_id.get(&id).ok_or(Errno::ENOENT)?;
            check(object)?;
            let want = (flags | flags >> 3 | flags >> 6) & 6;
            object.perm().check(&t.creds(), want)?;
            return Ok(id);
        }
        if key != IPC_PRIVATE && flags & IPC_CREAT == 0 {
            return Err(Errno::ENOENT);
        }
        if inner.by_id.len() >= max {
            return Err(Errno::ENOSPC);
        }
        let asked = sysctl_number(&t.kernel, T::NEXT_ID);
        let asked = asked
            .and_then(|n| i32::try_from(n).ok())
            .filter(|n| *n >= 0);
        let from = asked.map_or(0, |id| id % SEQ);
        let index = (from..SEQ).find(|i| !inner.by_id.keys().any(|id| id % SEQ == *i));
        let index = index.ok_or(Errno::ENOSPC)?;
        let seq = match asked {
            Some(id) => {
                t.kernel.set_sysctl(T::NEXT_ID, "-1");
                id / SEQ
            }
            None => {
                let seq = inner.seq;
                inner.seq = (seq + 1) % SEQ;
                seq
            }
        };
        let id = seq.saturating_mul(SEQ).saturating_add(index);
        let mut perm = Perm::new(t, key, flags);
        perm.seq = u16::try_from(seq).unwrap_or(0);
        let object = Arc::new(make(id, perm)?);
        inner.by_id.insert(id, object);
        if key != IPC_PRIVATE {
            inner.keys.insert(key, id);
        }
        Ok(id)
    }

    /// An object by identifier; `EINVAL`.
    pub fn find(&self, id: i32) -> Result<Arc<T>> {
        let inner = self.inner.lock();
        inner.by_id.get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// The object at a place (`*_STAT`), with its identifier; `EINVAL`.
    pub fn at(&self, index: i32) -> Result<(i32, Arc<T>)> {
        let inner = self.inner.lock();
        let mut all = inner.by_id.iter();
        let found = all.find(|(id, _)| *id % SEQ == index);
        found.map(|(id, o)| (*id, o.clone())).ok_or(Errno::EINVAL)
    }

    /// The highest place in use, and how many objects there are.
    pub fn highest(&self) -> (i32, usize) {
        let inner = self.inner.lock();
        let places = inner.by_id.keys().map(|id| id % SEQ);
        (places.max().unwrap_or(0), inner.by_id.len())
    }

    /// Takes an object out.
    pub fn remove(&self, id: i32) -> Option<Arc<T>> {
        let mut inner = self.inner.lock();
        let gone = inner.by_id.remove(&id);
        inner.keys.retain(|_, i| *i != id);
        gone
    }

    /// Forgets the key of an object that lives on until it is no longer used.
    pub fn forget_key(&self, id: i32) {
        self.inner.lock().keys.retain(|_, i| *i != id);
    }

    /// All objects.
    pub fn all(&self) -> Vec<(i32, Arc<T>)> {
        let inner = self.inner.lock();
        let pairs = inner.by_id.iter();
        pairs.map(|(id, o)| (*id, o.clone())).collect()
    }
}
