//! An open regular file, and the file as something to map.

use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;

use abi::Errno;
use gofer::client::file as host;

use super::inode::GoferInode;
use crate::Result;
use crate::fs::file::{FileOps, IoCx, Whence};
use crate::fs::vfs::{Attr, FileType, Inode};
use crate::io::{IoDst, IoSrc};
use crate::mm::{Backing, MapIdentity, Mappable, Mappers};

/// Largest offset.
const MAX_SIZE: u64 = i64::MAX as u64;

/// An open regular file.
pub(super) struct OpenFile {
    inode: Arc<GoferInode>,
    writable: bool,
}

impl OpenFile {
    /// Opens it; `writable` as the description's access mode says.
    pub fn new(inode: Arc<GoferInode>, writable: bool) -> Result<OpenFile> {
        inode.opened(writable)?;
        Ok(OpenFile { inode, writable })
    }

    fn write_at(&self, src: &mut dyn IoSrc, pos: u64) -> Result<usize> {
        let fd = self.inode.writer()?;
        let len = src.remaining();
        let done = src.take_host(fd.as_fd(), Some(pos), len)?;
        self.inode.written(pos.saturating_add(done as u64));
        self.inode.keep_set_id()?;
        Ok(done)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.inode.closed(self.writable);
    }
}

impl FileOps for OpenFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let fd = self.inode.reader()?;
        let len = dst.remaining();
        let done = dst.put_host(fd.as_fd(), Some(pos), len)?;
        self.inode.accessed();
        Ok(done)
    }
    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, pos: u64) -> Result<usize> {
        self.write_at(src, pos)
    }
    fn append(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc) -> Result<(usize, u64)> {
        let fd = self.inode.writer()?;
        // The lock is held over a copy from guest memory and a host write, not over a
        // request: two appends must not take the same end.
        let _one = self.inode.data.append.lock();
        let end = host::attr(fd.as_fd())?.size;
        let len = src.remaining();
        let done = src.take_host(fd.as_fd(), Some(end), len)?;
        let after = end.saturating_add(done as u64);
        self.inode.written(after);
        self.inode.keep_set_id()?;
        Ok((done, after))
    }
    fn seekable(&self) -> bool {
        true
    }
    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        let to = match whence {
            Whence::Set => u64::try_from(offset).ok(),
            Whence::Cur => cur.checked_add_signed(offset),
            Whence::End => self.inode.host_attr()?.size.checked_add_signed(offset),
            Whence::Data | Whence::Hole => {
                let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                let fd = self.inode.reader()?;
                return host::next_extent(fd.as_fd(), from, whence == Whence::Hole);
            }
        };
        to.filter(|p| *p <= MAX_SIZE).ok_or(Errno::EINVAL)
    }
    fn mappable(&self) -> Result<Arc<dyn Mappable>> {
        // Present before the mapping is made: `frames` runs where the gofer cannot be asked.
        if self.writable {
            self.inode.writer()?;
        } else {
            self.inode.reader()?;
        }
        Ok(self.inode.clone())
    }
    fn truncate(&self, _cx: &IoCx<'_>, len: u64) -> Result<()> {
        if len > MAX_SIZE {
            return Err(Errno::EINVAL);
        }
        let fd = self.inode.writer()?;
        host::truncate(fd.as_fd(), len)?;
        self.inode.resized(len);
        self.inode.keep_set_id()?;
        Ok(())
    }
    fn allocate(&self, _cx: &IoCx<'_>, mode: u32, offset: u64, len: u64) -> Result<()> {
        let fd = self.inode.writer()?;
        host::allocate(fd.as_fd(), mode, offset, len)?;
        let size = host::attr(fd.as_fd())?.size;
        self.inode.resized(size);
        self.inode.keep_set_id()?;
        Ok(())
    }
    fn sync(&self, _cx: &IoCx<'_>, data_only: bool) -> Result<()> {
        let fd = self.inode.reader()?;
        host::sync(fd.as_fd(), data_only)
    }
    fn attr(&self) -> Result<Attr> {
        Inode::attr(&*self.inode)
    }
}

impl Mappable for GoferInode {
    fn frames(&self, offset: u64, len: u64, write: bool) -> Result<Backing> {
        if self.file_type != FileType::Regular {
            return Err(Errno::ENODEV);
        }
        let file = if write { self.writer() } else { self.reader() }?;
        Ok(Backing::Host { file, offset, len })
    }
    fn size(&self) -> u64 {
        self.size_now()
    }
    fn identity(&self) -> MapIdentity {
        MapIdentity {
            path: Vec::new(),
            dev: self.fs.dev,
            ino: self.key.1,
        }
    }
    fn mapped(&self, delta: i32, shared_write: bool) {
        self.data.mapped(delta, shared_write);
        if shared_write {
            self.stale();
        }
        if delta < 0 {
            self.data.trim();
        }
    }
    fn mappers(&self) -> Option<&Mappers> {
        Some(&self.data.mappers)
    }
    fn sync(&self, _offset: u64, _len: u64) -> Result<()> {
        let fd = self.reader()?;
        host::sync(fd.as_fd(), true)
    }
}
