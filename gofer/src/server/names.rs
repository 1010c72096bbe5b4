//! Finding, moving and removing names.

use std::os::fd::AsFd;

use abi::Errno;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::answer::Answer;
use super::node::{Node, attr_of, fd_name};
use super::pool::Server;
use super::watch::OwnEvent;
use crate::attr::{Attr, FileKind};
use crate::errno;
use crate::proto::{Handle, RenameFlags};

impl Server {
    /// The root of a mount.
    pub(super) fn attach(&self, mount: u32) -> Result<Answer, Errno> {
        let index = usize::try_from(mount).map_err(|_| Errno::ENOENT)?;
        let root = self.exports.mounts.get(index).ok_or(Errno::ENOENT)?;
        let fd = root.fd.try_clone().map_err(Errno::from)?;
        let (node, attr) = Node::new(fd, index, root.readonly)?;
        if !matches!(node.kind, FileKind::Directory | FileKind::Regular) {
            return Err(Errno::EINVAL);
        }
        self.hand_out(node, attr)
    }

    /// One component.
    pub(super) fn lookup(&self, dir: Handle, name: &[u8]) -> Result<Answer, Errno> {
        let (node, attr) = self.table.get(dir)?.child(name)?;
        self.hand_out(node, attr)
    }

    /// The answer that gives a new handle.
    pub(super) fn hand_out(&self, node: Node, attr: Attr) -> Result<Answer, Errno> {
        Ok(Answer {
            handle: Some(self.table.insert(node)?),
            attr: Some(attr),
            ..Answer::default()
        })
    }

    /// Drops a handle and what hangs on it.
    pub(super) fn forget(&self, handle: Handle) {
        if let Some(node) = self.table.forget(handle) {
            self.watcher.unwatch(&node, handle);
        }
    }

    /// Opens a node's very inode once more, through this process's descriptor table.
    pub(super) fn reopen(&self, node: &Node, flags: OFlags) -> Result<std::os::fd::OwnedFd, Errno> {
        match node.kind {
            FileKind::Regular | FileKind::Directory => {}
            FileKind::Symlink => return Err(Errno::ELOOP),
            _ => return Err(Errno::ENXIO),
        }
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        let name = fd_name(node.as_fd());
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
        let own = writes.then(|| self.watcher.expect_close(node));
        let opened = rustix::fs::openat(&self.exports.self_fd, name, flags, Mode::empty());
        if let Some(own) = own {
            own.done(opened.is_ok());
        }
        opened.map_err(errno)
    }

    /// Another name for a file of the same mount.
    pub(super) fn link(&self, file: Handle, dir: Handle, name: &[u8]) -> Result<Answer, Errno> {
        let (node, dir) = (self.table.get(file)?, self.table.get(dir)?);
        dir.writable_dir()?;
        if node.mount != dir.mount {
            return Err(Errno::EXDEV);
        }
        if node.kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let own = self.watcher.expect(&dir, OwnEvent::Entry(name));
        // Following the descriptor's magic link names the inode itself, a symlink too, and
        // needs no CAP_DAC_READ_SEARCH in the initial user namespace as AT_EMPTY_PATH does.
        let flags = AtFlags::SYMLINK_FOLLOW;
        let from = fd_name(node.as_fd());
        let linked = rustix::fs::linkat(&self.exports.self_fd, from, dir.as_fd(), name, flags);
        own.done(linked.is_ok());
        linked.map_err(errno)?;
        node.remember(&dir, name);
        Ok(Answer {
            dirs: [attr_of(dir.as_fd()).ok(), None],
            ..self.attr_answer(&node)?
        })
    }

    /// Removes a name; `forget` is dropped with it when that worked.
    pub(super) fn remove(
        &self,
        dir: Handle,
        name: &[u8],
        forget: Option<Handle>,
        directory: bool,
    ) -> Result<Answer, Errno> {
        let dir = self.table.get(dir)?;
        dir.writable_dir()?;
        let flags = if directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        let own = self.watcher.expect(&dir, OwnEvent::Entry(name));
        let removed = rustix::fs::unlinkat(dir.as_fd(), name, flags);
        own.done(removed.is_ok());
        removed.map_err(errno)?;
        if let Some(handle) = forget {
            self.forget(handle);
        }
        self.attr_answer(&dir)
    }

    /// Moves or swaps names inside one mount.
    pub(super) fn rename(
        &self,
        (dir, name): (Handle, &[u8]),
        (new_dir, new_name): (Handle, &[u8]),
        flags: RenameFlags,
    ) -> Result<Answer, Errno> {
        let (dir, new_dir) = (self.table.get(dir)?, self.table.get(new_dir)?);
        dir.writable_dir()?;
        new_dir.writable_dir()?;
        if dir.mount != new_dir.mount {
            return Err(Errno::EXDEV);
        }
        let mut host = rustix::fs::RenameFlags::empty();
        if flags.contains(RenameFlags::NOREPLACE) {
            host |= rustix::fs::RenameFlags::NOREPLACE;
        }
        let swap = flags.contains(RenameFlags::EXCHANGE);
        if swap {
            host |= rustix::fs::RenameFlags::EXCHANGE;
        }
        let events = if swap { 2 } else { 1 };
        let own = self
            .watcher
            .expect_times(&dir, OwnEvent::Entry(name), events);
        let own_new = self
            .watcher
            .expect_times(&new_dir, OwnEvent::Entry(new_name), events);
        let moved = rustix::fs::renameat_with(dir.as_fd(), name, new_dir.as_fd(), new_name, host);
        own.done(moved.is_ok());
        own_new.done(moved.is_ok());
        moved.map_err(errno)?;
        Ok(Answer {
            dirs: [attr_of(dir.as_fd()).ok(), attr_of(new_dir.as_fd()).ok()],
            ..Answer::default()
        })
    }

    /// The target of a symlink.
    pub(super) fn read_link(&self, file: Handle, data: &mut Vec<u8>) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        node.require(FileKind::Symlink, Errno::EINVAL)?;
        data.resize(crate::proto::TARGET_MAX + 1, 0);
        let len =
            rustix::fs::readlinkat_raw(node.as_fd(), c"", data.as_mut_slice()).map_err(errno)?;
        data.truncate(len);
        Ok(Answer::default())
    }
}
