//! An open regular file.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use super::data::{Data, MAX_SIZE};
use super::inode::TmpInode;
use crate::fs::file::{FileOps, IoCx, OpenFlags, Whence};
use crate::fs::vfs::{Attr, Inode};
use crate::io::{IoDst, IoSrc};
use crate::mm::Mappers;
use crate::mm::{Backing, MapIdentity, Mappable};
use crate::{Result, SysResult};

/// `FALLOC_FL_KEEP_SIZE`.
const KEEP_SIZE: u32 = 1;
/// `FALLOC_FL_PUNCH_HOLE`.
const PUNCH_HOLE: u32 = 2;
/// `F_ADD_SEALS`.
const F_ADD_SEALS: u32 = 1033;
/// `F_GET_SEALS`.
const F_GET_SEALS: u32 = 1034;

/// An open regular file; also what is mapped.
pub struct OpenFile {
    inode: Arc<TmpInode>,
}

impl OpenFile {
    /// Opens `inode`, a regular file.
    pub fn new(inode: Arc<TmpInode>) -> OpenFile {
        OpenFile { inode }
    }

    fn data(&self) -> Result<&Data> {
        self.inode.data().ok_or(Errno::EINVAL)
    }
}

impl FileOps for OpenFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let n = self.data()?.read(dst, pos)?;
        self.inode.touch(cx.file);
        Ok(n)
    }
    fn write(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc, pos: u64) -> Result<usize> {
        let n = self.data()?.write(src, pos)?;
        if n > 0 {
            self.inode.modified();
        }
        Ok(n)
    }
    fn append(&self, _cx: &IoCx<'_>, src: &mut dyn IoSrc) -> Result<(usize, u64)> {
        let done = self.data()?.append(src)?;
        self.inode.modified();
        Ok(done)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        let data = self.data()?;
        let to = match whence {
            Whence::Set => Some(offset).and_then(|o| u64::try_from(o).ok()),
            Whence::Cur => cur.checked_add_signed(offset),
            Whence::End => data.size().checked_add_signed(offset),
            Whence::Data | Whence::Hole => {
                let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                return data.seek(from, whence == Whence::Hole);
            }
        };
        to.filter(|p| *p <= MAX_SIZE).ok_or(Errno::EINVAL)
    }
    fn mappable(&self) -> Result<Arc<dyn Mappable>> {
        Ok(Arc::new(OpenFile::new(self.inode.clone())))
    }
    fn truncate(&self, _cx: &IoCx<'_>, len: u64) -> Result<()> {
        self.data()?.truncate(len)?;
        self.inode.modified();
        Ok(())
    }
    fn allocate(&self, _cx: &IoCx<'_>, mode: u32, offset: u64, len: u64) -> Result<()> {
        let data = self.data()?;
        match mode {
            m if m & PUNCH_HOLE != 0 => data.punch(offset, len)?,
            m if m & !KEEP_SIZE == 0 => data.allocate(offset, len, m & KEEP_SIZE != 0)?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        self.inode.modified();
        Ok(())
    }
    fn sync(&self, _cx: &IoCx<'_>, _data_only: bool) -> Result<()> {
        Ok(())
    }
    fn attr(&self) -> Result<Attr> {
        self.inode.attr()
    }
    fn fcntl(&self, cx: &IoCx<'_>, cmd: u32, arg: u64) -> SysResult<i64> {
        let data = self.data()?;
        match cmd {
            F_GET_SEALS => Ok(i64::from(data.seals.get())),
            F_ADD_SEALS => {
                if !cx.file.flags().contains(OpenFlags::RDWR)
                    && !cx.file.flags().contains(OpenFlags::WRONLY)
                {
                    return Err(Errno::EPERM.into());
                }
                let seals = u32::try_from(arg & 0xffff_ffff).unwrap_or(u32::MAX);
                let executable = self.inode.attr()?.perm & 0o111 != 0;
                data.seals.add(seals, data.shared_writers(), executable)?;
                Ok(0)
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

impl Mappable for OpenFile {
    fn frames(&self, offset: u64, len: u64, _write: bool) -> Result<Backing> {
        self.data()?.backing(offset, len)
    }
    fn size(&self) -> u64 {
        self.inode.data().map_or(0, Data::size)
    }
    fn identity(&self) -> MapIdentity {
        MapIdentity {
            path: Vec::new(),
            dev: self.inode.dev(),
            ino: self.inode.number(),
        }
    }
    fn mapped(&self, delta: i32, shared_write: bool) {
        if let Some(data) = self.inode.data() {
            data.mapped(delta, shared_write);
        }
    }
    fn may_write(&self) -> Result<()> {
        self.data()?.seals.check_map_write()
    }
    fn mappers(&self) -> Option<&Mappers> {
        self.inode.data().map(|d| &d.mappers)
    }
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.data()?.punch(offset, len)
    }
}
