//! The operations. Each returns the host's error, `EIO` when the gofer misbehaves.

use std::os::fd::OwnedFd;

use abi::Errno;
use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::U64;

use super::channel::Answer;
use super::{Client, Created, Dirent, Listing, Made, OpenMode, new_file};
use crate::attr::{Attr, FsStat, SetAttr};
use crate::proto::dirent::DirentRef;
use crate::proto::wire::WireFsStat;
use crate::proto::{
    Call, DATA_MAX, FORGET_MAX, Handle, NAME_MAX, RenameFlags, TARGET_MAX, is_component,
};

/// Handles gathered before they are sent off.
const FORGET_BATCH: usize = 32;

/// Refuses what cannot be a component, with the errors of a path walk.
fn component(name: &[u8]) -> Result<&[u8], Errno> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if is_component(name) {
        Ok(name)
    } else {
        Err(Errno::EINVAL)
    }
}

impl Made {
    fn of(answer: &Answer) -> Result<Made, Errno> {
        Ok(Made {
            handle: answer.handle()?,
            attr: answer.attr,
            dir: answer.dir(),
            watched: answer.watched,
        })
    }
}

impl Client {
    /// The root of a mount, by its index.
    pub fn attach(&self, mount: u32) -> Result<(Handle, Attr), Errno> {
        let answer = self.channel.call(&Call::Attach { mount })?;
        Ok((answer.handle()?, answer.attr))
    }

    /// One component under a directory, not followed if a symlink.
    pub fn lookup(&self, dir: Handle, name: &[u8]) -> Result<(Handle, Attr), Errno> {
        let name = component(name)?;
        let answer = self.channel.call(&Call::Lookup { dir, name })?;
        Ok((answer.handle()?, answer.attr))
    }

    /// A whole directory, with the attributes of each entry if `attrs`; watched from before
    /// it is read if `watch`, as far as the host has watches left.
    pub fn read_dir(&self, dir: Handle, attrs: bool, watch: bool) -> Result<Listing, Errno> {
        let call = Call::ReadDir { dir, attrs, watch };
        let answer = self.channel.call(&call)?;
        let mut entries = Vec::new();
        let mut rest = answer.data.as_slice();
        while !rest.is_empty() {
            let (entry, after) = DirentRef::decode(rest).map_err(|_| Errno::EIO)?;
            rest = after;
            entries.push(Dirent {
                name: entry.name.into(),
                ino: entry.ino,
                dtype: entry.dtype,
                attr: entry.attr,
            });
        }
        Ok(Listing {
            attr: answer.attr,
            watched: answer.watched,
            entries,
        })
    }

    /// A descriptor of a regular file. `EISDIR`, `ENXIO` or `ELOOP` for other kinds.
    pub fn open(&self, file: Handle, mode: OpenMode) -> Result<OwnedFd, Errno> {
        let OpenMode { read, write } = mode;
        let answer = self.channel.call(&Call::Open { file, read, write })?;
        answer.fd.ok_or(Errno::EIO)
    }

    /// A new regular file with this owner and mode, opened for reading and writing; without
    /// `excl` the file that is there (its data untouched).
    pub fn create(
        &self,
        dir: Handle,
        name: &[u8],
        mode: u32,
        uid: u32,
        gid: u32,
        excl: bool,
    ) -> Result<Created, Errno> {
        let name = component(name)?;
        let new = new_file(mode, uid, gid);
        let answer = self.channel.call(&Call::Create {
            dir,
            name,
            new,
            excl,
        })?;
        let regular = answer.attr.kind() == Some(crate::attr::FileKind::Regular);
        if (excl && answer.existed) || regular != answer.fd.is_some() {
            return Err(Errno::EIO);
        }
        Ok(Created {
            handle: answer.handle()?,
            attr: answer.attr,
            existed: answer.existed,
            dir: answer.dir(),
            file: answer.fd,
        })
    }

    /// A regular file without a name (`O_TMPFILE`).
    pub fn tmpfile(&self, dir: Handle, mode: u32, uid: u32, gid: u32) -> Result<Created, Errno> {
        let new = new_file(mode, uid, gid);
        let answer = self.channel.call(&Call::TmpFile { dir, new })?;
        Ok(Created {
            handle: answer.handle()?,
            attr: answer.attr,
            existed: false,
            dir: None,
            file: Some(answer.fd.ok_or(Errno::EIO)?),
        })
    }

    /// A new directory, watched from the start if `watch` and the host has watches left;
    /// whether it is.
    pub fn mkdir(
        &self,
        dir: Handle,
        name: &[u8],
        (mode, uid, gid): (u32, u32, u32),
        watch: bool,
    ) -> Result<Made, Errno> {
        let name = component(name)?;
        let new = new_file(mode, uid, gid);
        let call = Call::Mkdir {
            dir,
            name,
            new,
            watch,
        };
        let answer = self.channel.call(&call)?;
        Made::of(&answer)
    }

    /// A new symlink.
    pub fn symlink(
        &self,
        dir: Handle,
        name: &[u8],
        target: &[u8],
        uid: u32,
        gid: u32,
    ) -> Result<Made, Errno> {
        let name = component(name)?;
        if target.is_empty() || target.contains(&0) {
            return Err(Errno::ENOENT);
        }
        if target.len() > TARGET_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let new = new_file(0o777, uid, gid);
        let answer = self.channel.call(&Call::Symlink {
            dir,
            name,
            target,
            new,
        })?;
        Made::of(&answer)
    }

    /// Another name for a file of the same mount; its attributes and the directory's
    /// afterwards.
    pub fn link(
        &self,
        file: Handle,
        dir: Handle,
        name: &[u8],
    ) -> Result<(Attr, Option<Attr>), Errno> {
        let name = component(name)?;
        let answer = self.channel.call(&Call::Link { file, dir, name })?;
        Ok((answer.attr, answer.dir()))
    }

    /// A FIFO or socket as a name (`mode` has the type). Devices are `EPERM`.
    pub fn mknod(
        &self,
        dir: Handle,
        name: &[u8],
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> Result<Made, Errno> {
        let name = component(name)?;
        let new = new_file(mode, uid, gid);
        let answer = self.channel.call(&Call::Mknod { dir, name, new })?;
        Made::of(&answer)
    }

    /// Removes a name that is no directory, and forgets `forget` with it when that works.
    /// The directory's attributes afterwards.
    pub fn unlink(&self, dir: Handle, name: &[u8], forget: Option<Handle>) -> Result<Attr, Errno> {
        let name = component(name)?;
        Ok(self.channel.call(&Call::Unlink { dir, name, forget })?.attr)
    }

    /// Removes an empty directory, likewise.
    pub fn rmdir(&self, dir: Handle, name: &[u8], forget: Option<Handle>) -> Result<Attr, Errno> {
        let name = component(name)?;
        Ok(self.channel.call(&Call::Rmdir { dir, name, forget })?.attr)
    }

    /// Moves a name, replacing what is at the new one unless `flags` say otherwise. The
    /// attributes of both directories afterwards.
    pub fn rename(
        &self,
        dir: Handle,
        name: &[u8],
        new_dir: Handle,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<[Option<Attr>; 2], Errno> {
        let (name, new_name) = (component(name)?, component(new_name)?);
        let answer = self.channel.call(&Call::Rename {
            dir,
            name,
            new_dir,
            new_name,
            flags,
        })?;
        Ok(answer.dirs())
    }

    /// The target of a symlink.
    pub fn readlink(&self, file: Handle) -> Result<Vec<u8>, Errno> {
        let target = self.channel.call(&Call::ReadLink { file })?.data;
        if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
            return Err(Errno::EIO);
        }
        Ok(target)
    }

    /// Changes attributes; what they are afterwards. On an error some may have changed.
    pub fn set_attr(&self, file: Handle, set: SetAttr) -> Result<Attr, Errno> {
        Ok(self.channel.call(&Call::SetAttr { file, set })?.attr)
    }

    /// Attributes now.
    pub fn get_attr(&self, file: Handle) -> Result<Attr, Errno> {
        Ok(self.channel.call(&Call::GetAttr { file })?.attr)
    }

    /// Totals of the file system.
    pub fn statfs(&self, file: Handle) -> Result<FsStat, Errno> {
        let data = self.channel.call(&Call::StatFs { file })?.data;
        let wire = WireFsStat::read_from_bytes(&data).map_err(|_| Errno::EIO)?;
        Ok(FsStat::from(&wire))
    }

    /// The value of an extended attribute. Attributes that belong to the host
    /// (`trusted.*`, labels) are `ENODATA`.
    pub fn getxattr(&self, file: Handle, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let name = xattr_name(name)?;
        Ok(self.channel.call(&Call::GetXattr { file, name })?.data)
    }

    /// Sets one; `flags` are `XATTR_CREATE` (1) and `XATTR_REPLACE` (2).
    pub fn setxattr(
        &self,
        file: Handle,
        name: &[u8],
        value: &[u8],
        flags: u32,
    ) -> Result<Attr, Errno> {
        let name = xattr_name(name)?;
        if value.len() > DATA_MAX {
            return Err(Errno::E2BIG);
        }
        if flags > 2 {
            return Err(Errno::EINVAL);
        }
        Ok(self
            .channel
            .call(&Call::SetXattr {
                file,
                name,
                value,
                flags,
            })?
            .attr)
    }

    /// The names of all, each ended by a NUL.
    pub fn listxattr(&self, file: Handle) -> Result<Vec<u8>, Errno> {
        Ok(self.channel.call(&Call::ListXattr { file })?.data)
    }

    /// Removes one.
    pub fn removexattr(&self, file: Handle, name: &[u8]) -> Result<Attr, Errno> {
        let name = xattr_name(name)?;
        Ok(self.channel.call(&Call::RemoveXattr { file, name })?.attr)
    }

    /// Brings a regular file or directory to stable storage.
    pub fn fsync(&self, file: Handle, data_only: bool) -> Result<(), Errno> {
        self.channel.call(&Call::Fsync { file, data_only })?;
        Ok(())
    }

    /// Reads at an offset; fewer bytes than asked for only at the end of the file.
    pub fn pread(&self, file: Handle, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut done = 0_usize;
        for part in buffer.chunks_mut(DATA_MAX) {
            let len = u32::try_from(part.len()).map_err(|_| Errno::EINVAL)?;
            let offset = offset.checked_add(done as u64).ok_or(Errno::EINVAL)?;
            let data = match self.channel.call(&Call::Pread { file, offset, len }) {
                Ok(answer) => answer.data,
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            };
            part.get_mut(..data.len())
                .ok_or(Errno::EIO)?
                .copy_from_slice(&data);
            done = done.saturating_add(data.len());
            if data.len() < part.len() {
                break;
            }
        }
        Ok(done)
    }

    /// Writes at an offset; may write less than all.
    pub fn pwrite(&self, file: Handle, data: &[u8], offset: u64) -> Result<usize, Errno> {
        let mut done = 0_usize;
        for part in data.chunks(DATA_MAX) {
            let offset = offset.checked_add(done as u64).ok_or(Errno::EINVAL)?;
            let call = Call::Pwrite {
                file,
                offset,
                data: part,
            };
            let written = match self.channel.call(&call) {
                Ok(answer) => usize::try_from(answer.value).map_err(|_| Errno::EIO)?,
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            };
            if written > part.len() {
                return Err(Errno::EIO);
            }
            done = done.saturating_add(written);
            if written < part.len() {
                break;
            }
        }
        Ok(done)
    }

    /// Tells changes others make in this directory from now on; `ENOSPC` when the host
    /// gives no more watches. Ends with the handle.
    pub fn watch(&self, dir: Handle) -> Result<(), Errno> {
        self.channel.call(&Call::Watch { dir })?;
        Ok(())
    }

    /// The handle is not needed any more and must not be used again. Sent off in batches.
    pub fn forget(&self, handle: Handle) {
        let full = {
            let mut forgotten = self.forgotten.lock();
            forgotten.push(handle);
            forgotten.len() >= FORGET_BATCH
        };
        if full {
            self.flush_forgotten();
        }
    }

    /// Sends off what [`Client::forget`] gathered. A handle keeps an unlinked file's space
    /// in use, so call this after forgetting one.
    pub fn flush_forgotten(&self) {
        let gathered = std::mem::take(&mut *self.forgotten.lock());
        for part in gathered.chunks(FORGET_MAX) {
            let handles: Vec<U64> = part.iter().map(|h| U64::new(h.0)).collect();
            self.channel.post(&Call::Forget { handles: &handles });
        }
    }
}

fn xattr_name(name: &[u8]) -> Result<&[u8], Errno> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains(&0) {
        return Err(Errno::ERANGE);
    }
    Ok(name)
}
