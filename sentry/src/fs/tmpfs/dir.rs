//! Names of a directory: found by hash, listed in order of creation by positions that stay.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;

use super::inode::TmpInode;
use crate::Result;
use crate::fs::file::{FileOps, IoCx, Whence};
use crate::fs::vfs::{DirEntry, DirSink, FileType, Inode};
use crate::sync::RwLock;

#[derive(Default)]
struct Names {
    by_name: HashMap<Arc<[u8]>, (u64, Arc<TmpInode>)>,
    by_pos: BTreeMap<u64, (Arc<[u8]>, u64, FileType)>,
    next: u64,
}

/// The names of a directory.
pub struct Dir {
    names: RwLock<Names>,
    parent: AtomicU64,
}

impl Dir {
    /// An empty directory in the directory with number `parent`.
    pub fn new(parent: u64) -> Dir {
        Dir {
            names: RwLock::new(Names {
                next: 2,
                ..Names::default()
            }),
            parent: AtomicU64::new(parent),
        }
    }

    /// The child of that name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<TmpInode>> {
        self.names.read().by_name.get(name).map(|(_, i)| i.clone())
    }

    /// Adds a name; `EEXIST`.
    pub fn add(&self, name: &[u8], inode: Arc<TmpInode>) -> Result<()> {
        let mut names = self.names.write();
        if names.by_name.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let key: Arc<[u8]> = name.into();
        let pos = names.next;
        names.next += 1;
        let entry = (key.clone(), inode.number(), inode.kind());
        names.by_pos.insert(pos, entry);
        names.by_name.insert(key, (pos, inode));
        Ok(())
    }

    /// Takes a name out.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<TmpInode>> {
        let mut names = self.names.write();
        let (pos, inode) = names.by_name.remove(name)?;
        names.by_pos.remove(&pos);
        Some(inode)
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.names.read().by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says in which directory it now is.
    pub fn set_parent(&self, ino: u64) {
        self.parent.store(ino, Ordering::Relaxed);
    }

    /// Takes every child out, for taking a tree apart.
    pub fn take_all(&mut self) -> Vec<Arc<TmpInode>> {
        let names = std::mem::take(self.names.get_mut());
        names.by_name.into_values().map(|(_, i)| i).collect()
    }

    fn list(&self, own: u64, pos: &mut u64, sink: &mut dyn DirSink) {
        let dots: [(&[u8], u64); 2] = [(b".", own), (b"..", self.parent.load(Ordering::Relaxed))];
        for (i, (name, ino)) in (0u64..).zip(dots) {
            if *pos > i {
                continue;
            }
            let kind = Some(FileType::Directory);
            let next = i + 1;
            if !sink.entry(DirEntry {
                name,
                ino,
                kind,
                next,
            }) {
                return;
            }
            *pos = next;
        }
        let names = self.names.read();
        for (&at, (name, ino, kind)) in names.by_pos.range(*pos..) {
            let taken = sink.entry(DirEntry {
                name,
                ino: *ino,
                kind: Some(*kind),
                next: at + 1,
            });
            if !taken {
                return;
            }
            *pos = at + 1;
        }
    }
}

/// An open directory.
pub struct OpenDir(pub Arc<TmpInode>);

impl FileOps for OpenDir {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, _cx: &IoCx<'_>, _dst: &mut dyn crate::io::IoDst, _pos: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        let base = match whence {
            Whence::Set => 0,
            Whence::Cur => cur,
            _ => return Err(Errno::EINVAL),
        };
        base.checked_add_signed(offset)
            .filter(|p| *p <= super::data::MAX_SIZE)
            .ok_or(Errno::EINVAL)
    }
    fn read_dir(&self, cx: &IoCx<'_>, pos: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        let dir = self.0.dir().ok_or(Errno::ENOTDIR)?;
        if self.0.is_removed() {
            return Err(Errno::ENOENT);
        }
        self.0.touch(cx.file);
        dir.list(self.0.number(), pos, sink);
        Ok(())
    }
    fn sync(&self, _cx: &IoCx<'_>, _data_only: bool) -> Result<()> {
        Ok(())
    }
}
