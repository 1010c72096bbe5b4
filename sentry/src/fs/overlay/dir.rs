//! Merged listings: upper names, then those lower ones that show through.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use abi::Errno;

use super::inode::OvlInode;
use super::{UPPER_INO, is_whiteout};
use crate::Result;
use crate::fs::file::{File, FileOps, IoCx, OpenFlags, Whence};
use crate::fs::vfs::{DirEntry, DirSink, FileType, Inode};
use crate::io::IoDst;
use crate::sync::Mutex;

/// One entry of a listing.
#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    ino: u64,
    kind: Option<FileType>,
}

/// Takes a whole directory.
#[derive(Default)]
struct All(Vec<Entry>);

impl DirSink for All {
    fn entry(&mut self, e: DirEntry<'_>) -> bool {
        if e.name != b"." && e.name != b".." {
            self.0.push(Entry {
                name: e.name.to_vec(),
                ino: e.ino,
                kind: e.kind,
            });
        }
        true
    }
}

fn list(dir: &Arc<dyn Inode>) -> Result<Vec<Entry>> {
    let flags = OpenFlags::DIRECTORY;
    let file = File::new(dir.clone().open(flags, None)?, flags, None);
    let mut all = All::default();
    let mut pos = 0;
    loop {
        let before = (all.0.len(), pos);
        file.ops.read_dir(&file.cx(None), &mut pos, &mut all)?;
        if (all.0.len(), pos) == before {
            return Ok(all.0);
        }
    }
}

/// The names of a directory of one layer.
pub(super) fn names(dir: &Arc<dyn Inode>) -> Result<Vec<Vec<u8>>> {
    Ok(list(dir)?.into_iter().map(|e| e.name).collect())
}

/// What a directory shows.
fn merged(dir: &OvlInode) -> Result<Vec<Entry>> {
    let upper = dir.layers.read().upper.clone();
    let lower = match dir.visible_lower() {
        Some(lower) => list(&lower)?,
        None => Vec::new(),
    };
    let Some(upper) = upper else {
        return Ok(lower);
    };
    let mut below: HashMap<Vec<u8>, Entry> =
        lower.into_iter().map(|e| (e.name.clone(), e)).collect();
    let mut out = Vec::new();
    for mut entry in list(&upper)? {
        let hidden = below.remove(&entry.name);
        let device = entry.kind.is_none_or(|k| k == FileType::CharDevice);
        if device && is_whiteout(&upper.lookup(&entry.name)?) {
            continue;
        }
        entry.ino = hidden.map_or(entry.ino | UPPER_INO, |h| h.ino);
        out.push(entry);
    }
    let mut rest: Vec<Entry> = below.into_values().collect();
    rest.sort_by(|a, b| a.name.cmp(&b.name));
    out.append(&mut rest);
    Ok(out)
}

/// Whether a directory shows no names.
pub(super) fn is_empty(dir: &OvlInode) -> Result<bool> {
    Ok(merged(dir)?.is_empty())
}

/// An open directory: the listing as it was when reading began.
pub struct OpenDir {
    dir: Arc<OvlInode>,
    listing: Mutex<Option<Arc<[Entry]>>>,
}

impl OpenDir {
    /// Opens `dir`.
    pub fn new(dir: Arc<OvlInode>) -> OpenDir {
        OpenDir {
            dir,
            listing: Mutex::new(None),
        }
    }

    fn listing(&self, fresh: bool) -> Result<Arc<[Entry]>> {
        let mut slot = self.listing.lock();
        if let (Some(listing), false) = (&*slot, fresh) {
            return Ok(listing.clone());
        }
        let made: Arc<[Entry]> = merged(&self.dir)?.into();
        *slot = Some(made.clone());
        Ok(made)
    }
}

impl FileOps for OpenDir {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, _cx: &IoCx<'_>, _dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
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
        base.checked_add_signed(offset).ok_or(Errno::EINVAL)
    }
    fn read_dir(&self, _cx: &IoCx<'_>, pos: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        let listing = self.listing(*pos == 0)?;
        let own = self.dir.attr()?.ino;
        let above = match &*self.dir.place.lock() {
            Some((parent, _)) => parent.attr()?.ino,
            None => own,
        };
        let kind = Some(FileType::Directory);
        let dots = [(b".".as_slice(), own), (b"..".as_slice(), above)];
        let dots = dots.into_iter().map(|(name, ino)| (name, ino, kind));
        let names = listing.iter().map(|e| (e.name.as_slice(), e.ino, e.kind));
        let skip = usize::try_from(*pos).unwrap_or(usize::MAX);
        for (name, ino, kind) in dots.chain(names).skip(skip) {
            let next = *pos + 1;
            let taken = sink.entry(DirEntry {
                name,
                ino,
                kind,
                next,
            });
            if !taken {
                break;
            }
            *pos = next;
        }
        Ok(())
    }
    fn sync(&self, _cx: &IoCx<'_>, _data_only: bool) -> Result<()> {
        Ok(())
    }
}
