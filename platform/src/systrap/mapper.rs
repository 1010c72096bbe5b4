//! The Sentry's end of a stub's mapper thread.
//!
//! A batch is a list of host system calls in the read-only command pages; a futex wakes the
//! mapper, and its reply comes on a pipe that guest code has no way to write to. The caller
//! waits for it: the mapper is bound to the caller's CPU first, because waking it on another,
//! idle one costs several times the work. Neighbours: `stub` (the loop), `space`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::context::Thread;
use super::control::Chunk;
use super::core::Core;
use super::layout::{self as l, Op};
use super::owed::Owed;
use super::raw;
use smallvec::SmallVec;

/// How a batch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The operation at `index` failed; those before it are done.
    Call {
        /// The host's errno.
        errno: i32,
        /// Which.
        index: usize,
    },
    /// The stub is dead.
    Gone,
}

/// The Sentry's end of one mapper.
pub struct Mapper {
    core: Arc<Core>,
    /// First chunk, then those added for threads.
    pub chunks: Vec<Chunk>,
    /// Free thread areas below `next_area`.
    pub free_areas: Vec<u32>,
    /// First thread area never used.
    pub next_area: u32,
    /// Which parts of the guest range are mapped.
    pub coverage: super::coverage::Coverage,
    /// The thread that makes the newest change of the space by its own call.
    pub entrusted: Option<Arc<Thread>>,
    /// What is to be made before anything else.
    pub owed: Owed,
    /// The stub still has its copy of the last listener, numbered [`l::FD_FREE`].
    pub stale_listener: bool,
    reply: OwnedFd,
    socket: OwnedFd,
    tid: i32,
    cpu: Option<usize>,
    seq: u32,
}

/// Ends of the pipe and the socket that a new stub is given.
pub struct Ends {
    /// Pipe, write end.
    pub reply: OwnedFd,
    /// Socket.
    pub socket: OwnedFd,
}

/// Makes the pipe and socket of a new stub: ours, and its.
pub fn channels() -> Result<(Ends, Ends), i32> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let (ours_reply, its_reply) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| e as i32)?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours_socket, its_socket) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).map_err(|e| e as i32)?;
    let ours = Ends {
        reply: ours_reply,
        socket: ours_socket,
    };
    Ok((
        ours,
        Ends {
            reply: its_reply,
            socket: its_socket,
        },
    ))
}

impl Mapper {
    /// The mapper of a stub whose first batch, sequence number 1, is in `chunk` already.
    pub fn new(core: Arc<Core>, chunk: Chunk, ours: Ends, tid: i32, cpu: Option<usize>) -> Self {
        Self {
            core,
            chunks: vec![chunk],
            free_areas: Vec::new(),
            next_area: 0,
            coverage: super::coverage::Coverage::default(),
            entrusted: None,
            owed: Owed::default(),
            stale_listener: false,
            reply: ours.reply,
            socket: ours.socket,
            tid,
            cpu,
            seq: 1,
        }
    }

    /// Offset of the first chunk in the control file.
    pub fn first_chunk(&self) -> u64 {
        self.chunks.first().map_or(0, Chunk::offset)
    }

    /// The CPU the mapper is bound to.
    pub fn cpu(&self) -> Option<usize> {
        self.cpu
    }

    /// Sets the thread id where it was not known at once.
    pub fn set_tid(&mut self, tid: i32) {
        self.tid = tid;
    }

    /// Writes a batch into the chunk at `chunk` under a sequence number.
    pub fn write_batch(core: &Core, chunk: u64, seq: u32, ops: &[Op], child: u64) {
        Self::write(core, chunk, seq, ops, (child, false));
    }

    /// The same; `wake` has the mapper wake a guest thread afterwards.
    fn write(core: &Core, chunk: u64, seq: u32, ops: &[Op], (child, wake): (u64, bool)) {
        let window = core.control.window();
        for (op, at) in ops
            .iter()
            .take(l::MAX_OPS)
            .zip((chunk + l::CMD_OPS..).step_by(64))
        {
            for (word, at) in op.words.iter().zip((at..).step_by(8)) {
                window.set64(at, *word);
            }
        }
        let count = u32::try_from(ops.len().min(l::MAX_OPS)).unwrap_or(0);
        window.set32(chunk + l::CMD_COUNT, count);
        window.set64(chunk + l::CMD_CHILD, child);
        window.set32(chunk + l::CMD_WAKE, u32::from(wake));
        window.set32(chunk + l::CMD_SEQ, seq);
    }

    /// Runs a batch of at most [`l::MAX_OPS`] operations, after what is owed. Returns the id
    /// of a stub forked by it, 0 for none.
    pub fn run(&mut self, ops: &[Op], child: u64) -> Result<i32, Failure> {
        let mut before = self.before();
        if before.len().saturating_add(ops.len()) > l::MAX_OPS {
            self.send(&before, 0).map_err(|_| self.fail())?;
            before.clear();
        }
        let batch: SmallVec<[Op; 8]>;
        let whole = if before.is_empty() {
            ops
        } else {
            batch = before.iter().chain(ops).copied().collect();
            &batch
        };
        self.send(whole, child).map_err(|failure| match failure {
            Failure::Call { errno, index } => match index.checked_sub(before.len()) {
                Some(index) => Failure::Call { errno, index },
                None => self.fail(),
            },
            Failure::Gone => Failure::Gone,
        })
    }

    /// Something that was owed could not be made.
    fn fail(&mut self) -> Failure {
        self.owed.broken = true;
        Failure::Gone
    }

    /// Runs one batch.
    fn send(&mut self, ops: &[Op], child: u64) -> Result<i32, Failure> {
        self.bind(raw::current_cpu());
        self.seq = self.seq.wrapping_add(1);
        let chunk = self.first_chunk();
        Self::write_batch(&self.core, chunk, self.seq, ops, child);
        self.core.control.window().futex_wake(chunk + l::CMD_SEQ);
        self.wait()
    }

    /// Writes what is owed as a batch that a guest thread on `cpu` is to have run, and wait
    /// for.
    pub fn relay(&mut self, cpu: usize) {
        let ops = self.before();
        self.bind(cpu);
        let chunk = self.first_chunk();
        let window = self.core.control.window();
        window.set32(chunk + l::POST + l::post::RELAYED, 0);
        self.seq = self.seq.wrapping_add(1);
        Self::write(&self.core, chunk, self.seq, &ops, (0, true));
        self.owed.relayed = true;
    }

    /// Waits for the batch that a guest thread was to have run, if there is one.
    pub fn finish_relay(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.owed.relayed) {
            let ready = raw::poll(self.reply.as_fd(), libc::POLLIN, Duration::ZERO);
            if !ready.is_ok_and(|events| events & libc::POLLIN != 0) {
                // The guest may not have woken the mapper.
                let word = self.first_chunk() + l::CMD_SEQ;
                self.core.control.window().futex_wake(word);
            }
            self.wait()?;
        }
        Ok(())
    }

    /// What comes before the operations of any batch.
    fn before(&mut self) -> SmallVec<[Op; 8]> {
        let mut ops = SmallVec::new();
        if std::mem::take(&mut self.stale_listener) {
            ops.push(Op::lenient(libc::SYS_close, [l::FD_FREE, 0, 0, 0, 0, 0]));
        }
        ops.extend(self.owed.take());
        ops
    }

    /// Binds the mapper to a CPU: that of whoever waits for it.
    fn bind(&mut self, cpu: usize) {
        if self.cpu != Some(cpu) && raw::set_affinity(self.tid, &raw::cpu_set(&[cpu])).is_ok() {
            self.cpu = Some(cpu);
        }
    }

    /// Waits for the reply of a batch: words of 16 bits, those from 256 on the bytes of a
    /// process id, then 0 for success, or the errno and the operation's index.
    pub fn wait(&mut self) -> Result<i32, Failure> {
        let mut words: SmallVec<[u16; 8]> = SmallVec::new();
        loop {
            let mut buf = [0u8; 16];
            let got = match raw::read(self.reply.as_fd(), &mut buf) {
                Ok(0) => return Err(Failure::Gone),
                Ok(got) => got,
                Err(libc::EINTR) => continue,
                Err(_) => return Err(Failure::Gone),
            };
            let bytes = buf.get(..got).unwrap_or(&[]);
            words.extend(bytes.chunks_exact(2).map(|b| match *b {
                [low, high] => u16::from_le_bytes([low, high]),
                _ => 0,
            }));
            let tid_bytes = words.iter().take_while(|&&w| w >= 256).count();
            let tid = words
                .iter()
                .take(tid_bytes)
                .rev()
                .fold(0u32, |tid, w| tid << 8 | u32::from(w & 0xff));
            match (words.get(tid_bytes), words.get(tid_bytes.saturating_add(1))) {
                (Some(0), _) => return Ok(i32::try_from(tid).unwrap_or(0)),
                (Some(&errno), Some(&index)) => {
                    let index = usize::from(index);
                    return Err(Failure::Call {
                        errno: i32::from(errno),
                        index,
                    });
                }
                _ => {}
            }
        }
    }

    /// Has the stub send its newest listener over the socket, where the host does not let us
    /// fetch it.
    pub fn fetch_listener(&mut self) -> Result<OwnedFd, i32> {
        use nix::cmsg_space;
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
        let window = self.core.control.window();
        let chunk = self.first_chunk();
        let stub = self.core.layout.base + l::CHUNK0;
        let (iov, data, control) = (l::CMD_MSGHDR + 64, l::CMD_MSGHDR + 80, l::CMD_MSGHDR + 96);
        let header = [
            0,
            0,
            stub + iov,
            1,
            stub + control,
            24,
            0,
            0,
            stub + data,
            1,
        ];
        for (word, at) in header.iter().zip((chunk + l::CMD_MSGHDR..).step_by(8)) {
            window.set64(at, *word);
        }
        // struct cmsghdr: length, SOL_SOCKET, SCM_RIGHTS; then the descriptor.
        window.set64(chunk + control, 20);
        window.set32(chunk + control + 8, libc::SOL_SOCKET.cast_unsigned());
        window.set32(chunk + control + 12, libc::SCM_RIGHTS.cast_unsigned());
        window.set64(chunk + control + 16, l::FD_FREE);
        let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as u64;
        let args = [l::FD_SOCKET, stub + l::CMD_MSGHDR, flags, 0, 0, 0];
        match self.run(&[Op::new(libc::SYS_sendmsg, args)], 0) {
            Ok(_) => {}
            Err(Failure::Gone) => return Err(libc::ESRCH),
            Err(Failure::Call { errno, .. }) => return Err(errno),
        }
        let mut byte = [0u8];
        let mut iov = [std::io::IoSliceMut::new(&mut byte)];
        let mut space = cmsg_space!([i32; 2]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut iov, Some(&mut space), flags)
            .map_err(|e| e as i32)?;
        let mut listener = Err(libc::EBADF);
        for control in message.cmsgs().map_err(|e| e as i32)? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                // Every descriptor received must be owned, so that none leaks.
                let mut fds: Vec<OwnedFd> = fds.into_iter().map(raw::adopt).collect();
                listener = fds.pop().ok_or(libc::EBADF);
            }
        }
        listener
    }

    /// Puts descriptors on the stub's socket and returns the operation that takes them: they
    /// get the lowest free numbers, from [`l::FD_FREE`] on; at most [`l::MAX_FILES`]. When it fails the stub must die:
    /// what it takes next time would be these.
    pub fn give(&self, fds: &[&OwnedFd]) -> Result<Op, i32> {
        use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
        let raw_fds: SmallVec<[i32; 2]> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        let iov = [std::io::IoSlice::new(&[0u8])];
        let rights = [ControlMessage::ScmRights(&raw_fds)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.socket.as_raw_fd(), &iov, &rights, flags, None).map_err(|e| e as i32)?;
        let window = self.core.control.window();
        let chunk = self.first_chunk();
        let stub = self.core.layout.base + l::CHUNK0;
        // CMSG_LEN of so many descriptors, aligned as CMSG_SPACE is.
        let control_len = (16 + 4 * fds.len() as u64).next_multiple_of(8);
        let header = [
            0,
            0,
            stub + l::MSG_IOV,
            1,
            stub + l::MSG_CONTROL,
            control_len,
            0,
        ];
        for (word, at) in header.iter().zip((chunk + l::MSGHDR..).step_by(8)) {
            window.set64(at, *word);
        }
        window.set64(chunk + l::MSG_IOV, stub + l::MSG_DATA);
        window.set64(chunk + l::MSG_IOV + 8, 1);
        let wait = libc::MSG_DONTWAIT as u64;
        let args = [l::FD_SOCKET, stub + l::MSGHDR, wait, 0, 0, 0];
        Ok(Op::new(libc::SYS_recvmsg, args))
    }
}
