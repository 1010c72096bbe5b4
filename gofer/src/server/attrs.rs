//! Attributes, file system totals, extended attributes.

use std::os::fd::AsFd;

use abi::Errno;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, OFlags, Timespec, Timestamps, XattrFlags};
use zerocopy::IntoBytes;

use super::answer::Answer;
use super::node::{Node, attr_of};
use super::pool::Server;
use crate::attr::{FileKind, FsStat, SetAttr, SetTime};
use crate::errno;
use crate::proto::wire::WireFsStat;
use crate::proto::{DATA_MAX, Handle};

impl Server {
    /// Attributes now.
    pub(super) fn get_attr(&self, file: Handle) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        self.attr_answer(&node)
    }

    /// The answer that carries a node's attributes.
    pub(super) fn attr_answer(&self, node: &Node) -> Result<Answer, Errno> {
        Ok(Answer {
            attr: Some(attr_of(node.as_fd())?),
            ..Answer::default()
        })
    }

    /// Changes attributes: size, owner, mode, times, in this order, because each may touch
    /// those after it.
    pub(super) fn set_attr(&self, file: Handle, set: SetAttr) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        node.writable()?;
        if let Some(size) = set.size {
            self.truncate(&node, size)?;
        }
        if set.uid.is_some() || set.gid.is_some() {
            self.chown(&node, set.uid, set.gid)?;
        }
        if let Some(mode) = set.mode {
            self.chmod(&node, mode)?;
        }
        if set.atime.is_some() || set.mtime.is_some() {
            self.set_times(&node, set.atime, set.mtime)?;
        }
        self.attr_answer(&node)
    }

    fn truncate(&self, node: &Node, size: u64) -> Result<(), Errno> {
        node.require(
            FileKind::Regular,
            if node.kind == FileKind::Directory {
                Errno::EISDIR
            } else {
                Errno::EINVAL
            },
        )?;
        if i64::try_from(size).is_err() {
            return Err(Errno::EFBIG);
        }
        let fd = self.reopen(node, OFlags::WRONLY)?;
        rustix::fs::ftruncate(&fd, size).map_err(errno)
    }

    fn set_times(
        &self,
        node: &Node,
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<(), Errno> {
        let spec = |time: Option<SetTime>| match time {
            None => Timespec {
                tv_sec: 0,
                tv_nsec: rustix::fs::UTIME_OMIT,
            },
            Some(SetTime::Now) => Timespec {
                tv_sec: 0,
                tv_nsec: rustix::fs::UTIME_NOW,
            },
            Some(SetTime::At(t)) => Timespec {
                tv_sec: t.sec,
                tv_nsec: t.nsec.into(),
            },
        };
        let times = Timestamps {
            last_access: spec(atime),
            last_modification: spec(mtime),
        };
        let own = self.watcher.expect_attributes(node);
        let changed = rustix::fs::utimensat(node.as_fd(), c"", &times, AtFlags::EMPTY_PATH);
        own.done(changed.is_ok());
        changed.map_err(errno)
    }

    /// Totals of the file system the file is on.
    pub(super) fn stat_fs(&self, file: Handle, data: &mut Vec<u8>) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        let host = rustix::fs::fstatfs(node.as_fd()).map_err(errno)?;
        let signed = |n: i64| u64::try_from(n).unwrap_or(0);
        let totals = FsStat {
            kind: signed(host.f_type),
            bsize: signed(host.f_bsize),
            blocks: host.f_blocks,
            bfree: host.f_bfree,
            bavail: host.f_bavail,
            files: host.f_files,
            ffree: host.f_ffree,
            namelen: signed(host.f_namelen),
            frsize: signed(host.f_frsize),
            flags: signed(host.f_flags),
        };
        data.extend_from_slice(WireFsStat::from(&totals).as_bytes());
        Ok(Answer::default())
    }

    /// The value of an extended attribute.
    pub(super) fn get_xattr(
        &self,
        file: Handle,
        name: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        match namespace(name) {
            Namespace::Allowed => {}
            Namespace::Hidden => return Err(Errno::ENODATA),
            Namespace::Unknown => return Err(Errno::EOPNOTSUPP),
        }
        let Some(fd) = self.open_for_xattr(&node)? else {
            return Err(Errno::ENODATA);
        };
        data.reserve(DATA_MAX);
        rustix::fs::fgetxattr(&fd, name, spare_capacity(data)).map_err(errno)?;
        data.truncate(DATA_MAX);
        Ok(Answer::default())
    }

    /// Sets one. `flags` are those of `setxattr(2)`.
    pub(super) fn set_xattr(
        &self,
        file: Handle,
        name: &[u8],
        value: &[u8],
        flags: u32,
    ) -> Result<Answer, Errno> {
        let node = self.changeable_xattr(file, name)?;
        let fd = self.open_for_xattr(&node)?.ok_or(Errno::EPERM)?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        let own = self.watcher.expect_attributes(&node);
        let set = rustix::fs::fsetxattr(&fd, name, value, flags);
        own.done(set.is_ok());
        set.map_err(errno)?;
        self.attr_answer(&node)
    }

    /// Removes one.
    pub(super) fn remove_xattr(&self, file: Handle, name: &[u8]) -> Result<Answer, Errno> {
        let node = self.changeable_xattr(file, name)?;
        let fd = self.open_for_xattr(&node)?.ok_or(Errno::ENODATA)?;
        let own = self.watcher.expect_attributes(&node);
        let removed = rustix::fs::fremovexattr(&fd, name);
        own.done(removed.is_ok());
        removed.map_err(errno)?;
        self.attr_answer(&node)
    }

    /// Their names, each ended by a NUL.
    pub(super) fn list_xattr(&self, file: Handle, data: &mut Vec<u8>) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        let Some(fd) = self.open_for_xattr(&node)? else {
            return Ok(Answer::default());
        };
        let mut all = Vec::with_capacity(DATA_MAX);
        rustix::fs::flistxattr(&fd, spare_capacity(&mut all)).map_err(errno)?;
        let names = all.split(|&b| b == 0).filter(|n| !n.is_empty());
        for name in names.filter(|n| matches!(namespace(n), Namespace::Allowed)) {
            data.extend_from_slice(name);
            data.push(0);
        }
        data.truncate(DATA_MAX);
        Ok(Answer::default())
    }

    fn changeable_xattr(&self, file: Handle, name: &[u8]) -> Result<std::sync::Arc<Node>, Errno> {
        let node = self.table.get(file)?;
        node.writable()?;
        match namespace(name) {
            Namespace::Allowed => Ok(node),
            Namespace::Hidden => Err(Errno::EPERM),
            Namespace::Unknown => Err(Errno::EOPNOTSUPP),
        }
    }

    /// A descriptor for the xattr calls, which refuse `O_PATH`; `None` for kinds that are
    /// never opened and hold no attributes a guest could see.
    fn open_for_xattr(&self, node: &Node) -> Result<Option<std::os::fd::OwnedFd>, Errno> {
        match node.kind {
            FileKind::Regular | FileKind::Directory => self.reopen(node, OFlags::RDONLY).map(Some),
            _ => Ok(None),
        }
    }
}

enum Namespace {
    Allowed,
    /// The host's own business: overlay state, labels.
    Hidden,
    Unknown,
}

fn namespace(name: &[u8]) -> Namespace {
    if name.starts_with(b"user.")
        || name == b"security.capability"
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
    {
        Namespace::Allowed
    } else if name.starts_with(b"trusted.") || name.starts_with(b"security.") {
        Namespace::Hidden
    } else {
        Namespace::Unknown
    }
}
