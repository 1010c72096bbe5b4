//! What is said on the control socket: one JSON request, one reply, descriptors beside it.
//!
//! A frame is a little-endian u32 length and that many bytes of JSON; descriptors ride on
//! the frame's first byte (SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use super::Guest;
use crate::bundle::process::GuestProcess;
use crate::cli::Failure;
use crate::sys::{self, WinSize};

/// Largest frame: an environment of a few megabytes.
const MAX_FRAME: usize = 16 << 20;
/// Most descriptors with a frame (the kernel's own limit is 253).
const MAX_FDS: usize = 250;

/// What a client asks of a sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Let the first process run.
    Start,
    /// Make a further container; descriptors: the session and the life line of its Gofer, its
    /// listening control socket, `cgroup.procs` of its groups on the host, then those of the
    /// first process as for `Exec`. It ends with this connection.
    Create {
        /// What it is made from.
        guest: Box<Guest>,
        /// Whose namespaces it shares.
        share: Share,
        /// How many groups there are.
        groups: usize,
    },
    /// Send a signal to the first process, or to all.
    Kill {
        /// Linux's number.
        signal: i32,
        /// To every process of the container.
        all: bool,
    },
    /// Run another process; descriptors: one terminal or three files, then preserved ones.
    Exec {
        /// The process.
        process: Box<GuestProcess>,
    },
    /// Send a signal to the process this connection started.
    Signal {
        /// Linux's number.
        signal: i32,
    },
    /// The terminal of the process this connection started (or of the first process) has
    /// a new size.
    Resize {
        /// The size.
        size: WinSize,
    },
    /// The container's processes.
    Ps,
    /// Hold all guest code.
    Pause,
    /// Let it run on.
    Resume,
    /// New limits that the Sentry itself keeps.
    Update {
        /// Most guest tasks; 0 or less for no limit.
        pids_limit: Option<i64>,
    },
}

/// Ids of containers of the same sandbox whose namespaces are shared.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Share {
    /// Processes.
    pub pids: Option<String>,
    /// Host name.
    pub uts: Option<String>,
}

/// A guest process as `ps` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Number inside the container.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// User id.
    pub uid: u32,
    /// Threads.
    pub threads: u64,
    /// Its state's letter.
    pub state: char,
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Command line.
    pub command: String,
}

/// How a guest process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By exit(2).
    Exited(u8),
    /// By a signal.
    Signaled(u8),
}

impl Ended {
    /// As a shell counts it.
    pub fn code(self) -> i32 {
        match self {
            Ended::Exited(code) => i32::from(code),
            Ended::Signaled(signal) => 128 + i32::from(signal),
        }
    }
}

/// What a sandbox answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// An exec's process runs, with this number inside.
    Started(i32),
    /// A process that this connection started ended: the second message that answers it.
    Ended(Ended),
    /// `Ps`.
    Processes(Vec<ProcessRow>),
    /// It failed.
    Failed(Failed),
}

/// A failure with the exit status a command should end with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// One sentence.
    pub message: String,
    /// 127 for a missing program, 126 for one that cannot run, else 1.
    pub code: i32,
}

impl From<Failure> for Failed {
    fn from(f: Failure) -> Failed {
        Failed {
            message: f.message,
            code: f.code,
        }
    }
}

impl From<Failed> for Failure {
    fn from(f: Failed) -> Failure {
        Failure::new(f.code, f.message)
    }
}

/// Sends a frame.
pub fn send<T: Serialize>(to: &UnixStream, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&body);
    let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let sent = loop {
        let iov = [IoSlice::new(&frame)];
        match sendmsg::<()>(to.as_raw_fd(), &iov, control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(nix::Error::EINTR) => {}
            other => break other?,
        }
    };
    write_all(to, frame.get(sent..).unwrap_or_default())
}

/// Writes the rest of a frame, by write(2): the Sentry has no other way.
fn write_all(to: &UnixStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match nix::unistd::write(to, rest) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Reads a part of a frame whole, by read(2).
fn read_exact(from: &UnixStream, mut rest: &mut [u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match nix::unistd::read(from, rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => rest = rest.get_mut(n..).unwrap_or_default(),
            Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Receives a frame; `None` when the other end has closed.
pub fn receive<T: for<'a> Deserialize<'a>>(
    from: &UnixStream,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut head = [0u8; 4];
    let (n, fds) = receive_head(from, &mut head)?;
    if n == 0 {
        return Ok(None);
    }
    read_exact(from, head.get_mut(n..).unwrap_or_default())?;
    let length = u32::from_le_bytes(head) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::other("control message too long"));
    }
    let mut body = vec![0; length];
    read_exact(from, &mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, fds)))
}

fn receive_head(from: &UnixStream, head: &mut [u8; 4]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = cmsg_space!([i32; MAX_FDS]);
    let mut iov = [IoSliceMut::new(head)];
    let got = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(from.as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
            Ok(got) => break got,
        }
    };
    let mut fds = Vec::new();
    for control in got.cmsgs()? {
        if let ControlMessageOwned::ScmRights(list) = control {
            fds.extend(list.into_iter().filter_map(sys::adopt_fd));
        }
    }
    Ok((got.bytes, fds))
}

/// A seccomp program as plain words.
pub mod program {
    use sentry::seccomp::bpf::Insn;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Code, both jumps, operand.
    type Words = (u16, u8, u8, u32);

    pub fn serialize<S: Serializer>(program: &[Insn], to: S) -> Result<S::Ok, S::Error> {
        let words = |i: &Insn| -> Words { (i.code, i.jt, i.jf, i.k) };
        program.iter().map(words).collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<Insn>, D::Error> {
        let words = Vec::<Words>::deserialize(from)?;
        let insn = |(code, jt, jf, k)| Insn { code, jt, jf, k };
        Ok(words.into_iter().map(insn).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn frames_carry_descriptors() {
        let (a, b) = UnixStream::pair().expect("pair");
        let null = std::fs::File::open("/dev/null").expect("open");
        let request = Request::Kill {
            signal: 9,
            all: true,
        };
        send(&a, &request, &[null.as_fd()]).expect("send");
        let (got, fds) = receive::<Request>(&b).expect("receive").expect("frame");
        assert!(matches!(
            got,
            Request::Kill {
                signal: 9,
                all: true
            }
        ));
        assert_eq!(fds.len(), 1);
        drop(a);
        assert!(receive::<Request>(&b).expect("receive").is_none());
    }
}
