//! Names of unix sockets: abstract ones, and the inodes of paths.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use abi::Errno;

use super::UnixSocket;
use super::list::All;
use crate::Result;
use crate::fs::vfs::{Access, FileType, Inode, WalkCx, WalkFlags, change, perm, walk};
use crate::landlock::Scopes;
use crate::net::addr::UnixAddr;
use crate::sync::Mutex;
use crate::task::Task;

/// Abstract names of a network namespace.
#[derive(Default)]
pub struct Names {
    bound: Mutex<HashMap<Vec<u8>, Weak<UnixSocket>>>,
    next_auto: AtomicU32,
    pub(super) all: All,
}

/// What hangs on the inode of a bound path.
struct Bound(Weak<UnixSocket>);

impl Names {
    fn take(&self, name: &[u8], socket: &Weak<UnixSocket>) -> Result<()> {
        let mut bound = self.bound.lock();
        if bound.get(name).is_some_and(|s| s.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        bound.insert(name.to_vec(), socket.clone());
        Ok(())
    }

    /// Gives a name back, if it is still that of `socket`.
    pub(super) fn release(&self, name: &[u8], socket: &Weak<UnixSocket>) {
        let mut bound = self.bound.lock();
        if bound.get(name).is_some_and(|s| s.ptr_eq(socket)) {
            bound.remove(name);
        }
    }

    fn find(&self, name: &[u8]) -> Result<Arc<UnixSocket>> {
        let bound = self.bound.lock();
        let found = bound.get(name).and_then(Weak::upgrade);
        found.ok_or(Errno::ECONNREFUSED)
    }
}

impl UnixSocket {
    /// `bind(2)`. `EINVAL` when it has a name already.
    pub(super) fn bind_name(&self, t: &Arc<Task>, name: &UnixAddr) -> Result<()> {
        if self.state.lock().local != UnixAddr::Unnamed {
            return Err(Errno::EINVAL);
        }
        let name = match name {
            UnixAddr::Unnamed => self.autobind()?,
            UnixAddr::Abstract(n) => {
                self.common.net.unix.take(n, &self.me)?;
                name.clone()
            }
            UnixAddr::Path(p) => {
                let inode = make_socket_inode(t, p)?;
                inode.extra().get_or_insert(|| Bound(self.me.clone()));
                name.clone()
            }
        };
        let mut state = self.state.lock();
        state.local = name;
        state.domain = t.creds().landlock.clone();
        Ok(())
    }

    /// A free abstract name of five hexadecimal digits.
    fn autobind(&self) -> Result<UnixAddr> {
        let names = &self.common.net.unix;
        for _ in 0..0x10_0000 {
            let n = names.next_auto.fetch_add(1, Ordering::Relaxed) & 0xf_ffff;
            let name = format!("{n:05x}").into_bytes();
            if names.take(&name, &self.me).is_ok() {
                return Ok(UnixAddr::Abstract(name));
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The socket a name stands for. `ECONNREFUSED` when no socket has it.
    pub(super) fn find(&self, t: &Arc<Task>, name: &UnixAddr) -> Result<Arc<UnixSocket>> {
        match name {
            UnixAddr::Unnamed => Err(Errno::EINVAL),
            UnixAddr::Abstract(n) => {
                let found = self.common.net.unix.find(n)?;
                let domain = found.state.lock().domain.clone();
                let mine = t.creds().landlock.clone();
                if mine.scoped_from(&domain, Scopes::ABSTRACT_UNIX_SOCKET) {
                    return Err(Errno::EPERM);
                }
                Ok(found)
            }
            UnixAddr::Path(p) => {
                let inode = find_socket_inode(t, p)?;
                let bound = inode.extra().get::<Bound>().ok_or(Errno::ECONNREFUSED)?;
                bound.0.upgrade().ok_or(Errno::ECONNREFUSED)
            }
        }
    }
}

/// Makes the inode of a path being bound; `EADDRINUSE` when the path exists.
fn make_socket_inode(t: &Arc<Task>, path: &[u8]) -> Result<Arc<dyn Inode>> {
    let cx = WalkCx::of(t);
    match change::mknod(&cx, &cx.cwd, path, FileType::Socket, 0o777, 0) {
        Ok(place) => place.inode(),
        Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
        Err(e) => Err(e),
    }
}

/// The inode of a bound path, which the task may write to; `ECONNREFUSED` when it is no
/// socket.
fn find_socket_inode(t: &Arc<Task>, path: &[u8]) -> Result<Arc<dyn Inode>> {
    let cx = WalkCx::of(t);
    let place = walk::lookup(&cx, &cx.cwd, path, WalkFlags::FOLLOW)?;
    let inode = place.inode()?;
    perm::check(&cx.creds, &*inode, Access::W)?;
    if inode.kind() != FileType::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    Ok(inode)
}
