//! Starts the Gofer: a child of the leader that keeps the host's files and nothing else.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::Context;
use gofer::{Exports, MountRoot};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::bundle::mounts::HostRoot;
use crate::sys;

/// The Sentry's ends of its Gofer.
#[derive(Debug)]
pub struct Ends {
    /// The session.
    pub session: UnixStream,
    /// Hangs up when the Gofer is gone; before that it may hold one sentence.
    pub life: UnixStream,
}

/// Forks the Gofer. It opens its roots in the mount namespace of the caller, which must
/// not leave that before [`ready`] has returned.
pub fn fork(roots: &[HostRoot], keep: &[i32]) -> anyhow::Result<Ends> {
    let (session, theirs) = UnixStream::pair()?;
    let (life, word) = UnixStream::pair()?;
    if sys::fork()?.is_some() {
        return Ok(Ends { session, life });
    }
    drop((session, life));
    for fd in keep {
        sys::close_raw(*fd);
    }
    if let Err(e) = serve(roots, theirs.into(), &word) {
        // The Sentry may be gone first; then nobody reads this.
        let _ = (&word).write_all(format!("gofer: {e:#}").as_bytes());
        sys::exit_now(1);
    }
    sys::exit_now(0)
}

fn serve(roots: &[HostRoot], session: OwnedFd, word: &UnixStream) -> anyhow::Result<()> {
    // A label only.
    let _ = nix::sys::prctl::set_name(c"runsc-gofer");
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let mut mounts = Vec::new();
    for root in roots {
        let fd = open(&root.path, flags, Mode::empty())
            .with_context(|| format!("open {}", root.path.display()))?;
        mounts.push(MountRoot {
            fd,
            readonly: root.readonly,
        });
    }
    let mut exports = Exports::new(mounts)?;
    gofer::jail::enter(&mut exports)?;
    // One byte says that the jail is closed.
    let mut word = word;
    word.write_all(b"+")?;
    gofer::server::serve(session, exports)
}

/// Waits until the Gofer is in its jail; its sentence when it could not.
pub fn ready(ends: &mut Ends) -> anyhow::Result<()> {
    let mut first = [0u8; 1];
    match ends.life.read(&mut first)? {
        1 if first == *b"+" => Ok(()),
        n => {
            let mut rest = String::from_utf8_lossy(first.get(..n).unwrap_or_default()).into_owned();
            ends.life.read_to_string(&mut rest)?;
            anyhow::bail!("{}", if rest.is_empty() { "the gofer ended" } else { &rest })
        }
    }
}
