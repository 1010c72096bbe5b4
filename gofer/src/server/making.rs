//! Making new files.
//!
//! A new file gets the guest's owner within the operation: it is made with `O_EXCL` (or a
//! call that never follows or replaces), looked at, and what differs from the wish is put
//! right on the inode just made, by descriptor. Between the two another process of the host
//! could see it owned by the gofer; the Sentry cannot.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use abi::Errno;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};

use super::answer::Answer;
use super::node::{Node, attr_of, fd_name};
use super::pool::Server;
use super::watch::{Expected, OwnEvent};
use crate::attr::{Attr, FileKind};
use crate::errno;
use crate::proto::Handle;
use crate::proto::call::NewFile;

/// Mode bits a file is made with; the others are set afterwards.
const PERMISSIONS: u32 = 0o777;
/// All mode bits the guest can set.
const MODE_BITS: u32 = 0o7777;

impl Server {
    /// A new regular file, open for both; or, without `excl`, the one that is there.
    pub(super) fn create(
        &self,
        dir: Handle,
        name: &[u8],
        new: NewFile,
        excl: bool,
    ) -> Result<Answer, Errno> {
        let dir = self.table.get(dir)?;
        dir.writable_dir()?;
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        let own = self.watcher.expect(&dir, OwnEvent::Entry(name));
        match rustix::fs::openat(dir.as_fd(), name, flags, permissions(new)) {
            Ok(fd) => {
                own.done(true);
                self.finish_open(&dir, Some(name), fd, new)
            }
            Err(rustix::io::Errno::EXIST) if !excl => {
                own.done(false);
                self.open_existing(&dir, name)
            }
            Err(e) => {
                own.done(false);
                Err(errno(e))
            }
        }
    }

    /// A regular file without a name.
    pub(super) fn tmp_file(&self, dir: Handle, new: NewFile) -> Result<Answer, Errno> {
        let dir = self.table.get(dir)?;
        dir.writable_dir()?;
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir.as_fd(), c".", flags, permissions(new)).map_err(errno)?;
        self.finish_open(&dir, None, fd, new)
    }

    fn finish_open(
        &self,
        dir: &Node,
        name: Option<&[u8]>,
        fd: OwnedFd,
        new: NewFile,
    ) -> Result<Answer, Errno> {
        let path = OFlags::PATH | OFlags::CLOEXEC;
        let link = fd_name(fd.as_fd());
        let node_fd =
            rustix::fs::openat(&self.exports.self_fd, link, path, Mode::empty()).map_err(errno)?;
        let (node, attr) = Node::new(node_fd, dir.mount, false)?;
        if let Some(name) = name {
            node.remember(dir, name);
            self.watcher.expect_close(&node).done(true);
        }
        let attr = self.put_right(&node, attr, new)?;
        let answer = self.hand_out(node, attr)?;
        Ok(Answer {
            fd: Some(fd),
            dirs: [attr_of(dir.as_fd()).ok(), None],
            ..answer
        })
    }

    fn open_existing(&self, dir: &Node, name: &[u8]) -> Result<Answer, Errno> {
        let (node, attr) = dir.child(name)?;
        let fd = match node.kind {
            FileKind::Regular => Some(self.reopen(&node, OFlags::RDWR)?),
            _ => None,
        };
        let answer = self.hand_out(node, attr)?;
        Ok(Answer {
            fd,
            existed: true,
            ..answer
        })
    }

    /// A new directory.
    pub(super) fn mkdir(
        &self,
        dir: Handle,
        name: &[u8],
        new: NewFile,
        watch: bool,
    ) -> Result<Answer, Errno> {
        let made = self.make(dir, name, FileKind::Directory, new, |dir, name| {
            rustix::fs::mkdirat(dir, name, permissions(new))
        })?;
        let watched = watch && made.handle.is_some_and(|h| self.watch(h).is_ok());
        Ok(Answer { watched, ..made })
    }

    /// A new symlink. Its mode is the host's: Linux ignores it.
    pub(super) fn symlink(
        &self,
        dir: Handle,
        name: &[u8],
        target: &[u8],
        new: NewFile,
    ) -> Result<Answer, Errno> {
        self.make(dir, name, FileKind::Symlink, new, |dir, name| {
            rustix::fs::symlinkat(target, dir, name)
        })
    }

    /// A FIFO or socket as a name. Devices, whiteouts among them, are `EPERM`.
    pub(super) fn mknod(&self, dir: Handle, name: &[u8], new: NewFile) -> Result<Answer, Errno> {
        let (kind, host) = match FileKind::from_mode(new.mode) {
            Some(FileKind::Fifo) => (FileKind::Fifo, FileType::Fifo),
            Some(FileKind::Socket) => (FileKind::Socket, FileType::Socket),
            Some(FileKind::CharDevice | FileKind::BlockDevice) => return Err(Errno::EPERM),
            _ => return Err(Errno::EINVAL),
        };
        self.make(dir, name, kind, new, |dir, name| {
            rustix::fs::mknodat(dir, name, host, permissions(new), 0)
        })
    }

    fn make(
        &self,
        dir: Handle,
        name: &[u8],
        kind: FileKind,
        new: NewFile,
        call: impl FnOnce(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<()>,
    ) -> Result<Answer, Errno> {
        let dir = self.table.get(dir)?;
        dir.writable_dir()?;
        let own: Expected<'_> = self.watcher.expect(&dir, OwnEvent::Entry(name));
        let made = call(dir.as_fd(), name);
        own.done(made.is_ok());
        made.map_err(errno)?;
        let (node, attr) = dir.child(name)?;
        // A process of the host may have put something else there; that is not ours to give
        // away. What it may put there and what passes here it could have owned itself.
        if node.kind != kind || (kind != FileKind::Directory && attr.nlink != 1) {
            return Err(Errno::ESTALE);
        }
        let attr = self.put_right(&node, attr, new)?;
        Ok(Answer {
            dirs: [attr_of(dir.as_fd()).ok(), None],
            ..self.hand_out(node, attr)?
        })
    }

    /// Gives a file just made the owner and mode asked for, where the host chose others.
    fn put_right(&self, node: &Node, attr: Attr, new: NewFile) -> Result<Attr, Errno> {
        let owner = attr.uid != new.uid || attr.gid != new.gid;
        let wanted = new.mode & MODE_BITS;
        // chown may clear set-id bits, so the mode comes second.
        let mode = node.kind != FileKind::Symlink
            && (attr.mode & MODE_BITS != wanted || (owner && wanted & !PERMISSIONS != 0));
        if !owner && !mode {
            return Ok(attr);
        }
        if owner {
            self.chown(node, Some(new.uid), Some(new.gid))?;
        }
        if mode {
            self.chmod(node, wanted)?;
        }
        attr_of(node.as_fd())
    }

    /// Changes the owner of the very inode.
    pub(super) fn chown(
        &self,
        node: &Node,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Errno> {
        // -1 means "leave as it is" to the host and is no id of anyone.
        if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
            return Err(Errno::EINVAL);
        }
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let own = self.watcher.expect_attributes(node);
        let changed = rustix::fs::chownat(node.as_fd(), c"", uid, gid, AtFlags::EMPTY_PATH);
        own.done(changed.is_ok());
        changed.map_err(errno)
    }

    /// Changes the mode of the very inode.
    pub(super) fn chmod(&self, node: &Node, mode: u32) -> Result<(), Errno> {
        if node.kind == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let mode = Mode::from_raw_mode(mode & MODE_BITS);
        let link = fd_name(node.as_fd());
        let own = self.watcher.expect_attributes(node);
        let change = || rustix::fs::chmodat(&self.exports.self_fd, &link, mode, AtFlags::empty());
        let changed = if mode.contains(Mode::SGID) {
            crate::jail::caps::with_fsetid(change)
        } else {
            change()
        };
        own.done(changed.is_ok());
        changed.map_err(errno)
    }
}

fn permissions(new: NewFile) -> Mode {
    Mode::from_raw_mode(new.mode & PERMISSIONS)
}
