//! Starts the Gofer: a child of the leader that keeps the host's files and nothing else.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Context;
use gofer::{Exports, MountRoot};
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;

use crate::bundle::mounts::HostRoot;
use crate::sys;

/// The Sentry's ends of its Gofer.
#[derive(Debug)]
pub struct Ends {
    /// The session.
    pub session: OwnedFd,
    /// Hangs up when the Gofer is gone; before that it may hold one sentence.
    pub life: PipeReader,
}

/// Forks the Gofer. It opens its roots in the mount namespace of the caller, which must
/// not leave that before [`ready`] has returned.
pub fn fork(roots: &[HostRoot]) -> anyhow::Result<Ends> {
    let kind = SockType::SeqPacket;
    let flags = SockFlag::SOCK_CLOEXEC;
    let (session, theirs) = socketpair(AddressFamily::Unix, kind, None, flags)?;
    let (life, word) = std::io::pipe()?;
    if sys::fork()?.is_some() {
        return Ok(Ends { session, life });
    }
    // What the leader holds (the guest's descriptors, the control socket) is not ours to
    // keep open.
    sys::close_all_but(&[0, 1, 2, theirs.as_raw_fd(), word.as_raw_fd()]);
    sys::drop_code_pages();
    if let Err(e) = serve(roots, theirs, &word) {
        // The Sentry may be gone first; then nobody reads this.
        let _ = (&word).write_all(format!("gofer: {e:#}").as_bytes());
        sys::exit_now(1);
    }
    sys::exit_now(0)
}

fn serve(roots: &[HostRoot], session: OwnedFd, word: &PipeWriter) -> anyhow::Result<()> {
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
            anyhow::bail!(
                "{}",
                if rest.is_empty() {
                    "the gofer ended"
                } else {
                    &rest
                }
            )
        }
    }
}
