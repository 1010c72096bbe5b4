//! The threads that take requests, and the switch from a request to its operation.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Scope;

use abi::Errno;
use rustix::net::RecvFlags;
use rustix::thread::CpuSet;
use zerocopy::IntoBytes;

use super::Exports;
use super::answer::{Answer, Sink};
use super::node::Table;
use super::watch::Watcher;
use crate::proto::wire::WireAttr;
use crate::proto::{Call, DATA_MAX, MESSAGE_MAX, VERSION, call};

/// Most threads that take requests.
const MAX_THREADS: usize = 4;

/// One session.
pub struct Server {
    pub(super) sock: OwnedFd,
    pub(super) exports: Exports,
    pub(super) table: Table,
    pub(super) watcher: Watcher,
    threads: AtomicUsize,
    idle: AtomicUsize,
}

/// A thread's buffers.
struct Buffers {
    request: Vec<u8>,
    data: Vec<u8>,
    /// The CPU the thread is bound to.
    cpu: Option<usize>,
}

impl Buffers {
    /// Binds the thread to the CPU that the client waits on: a reply from another one would
    /// have to wake it from there, which takes several times as long.
    fn follow(&mut self, len: usize) {
        let message = self.request.get(..len).unwrap_or_default();
        let Some(cpu) = call::request_cpu(message).filter(|&cpu| cpu < CpuSet::MAX_CPU) else {
            return;
        };
        if self.cpu != Some(cpu) {
            let mut set = CpuSet::new();
            set.set(cpu);
            // A host that refuses is only slower, and need not be asked again.
            let _ = rustix::thread::sched_setaffinity(None, &set);
            self.cpu = Some(cpu);
        }
    }
}

/// The data of the reply, with the changed directories' attributes after it.
fn with_dirs<'a>(answer: &Answer, data: &'a mut Vec<u8>) -> &'a [u8] {
    for attr in answer.dirs.iter().flatten() {
        data.extend_from_slice(WireAttr::from(attr).as_bytes());
    }
    data
}

impl Server {
    /// A session on `sock` with at most `handles` handles.
    pub fn new(sock: OwnedFd, exports: Exports, handles: usize) -> Server {
        Server {
            sock,
            exports,
            table: Table::new(handles),
            watcher: Watcher::new(),
            threads: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        }
    }

    /// Serves until the peer hangs up.
    pub fn run(&self) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            self.threads.store(1, Ordering::Relaxed);
            self.take_requests(scope);
            // Wakes the other threads, whatever ended this one.
            let _ = rustix::net::shutdown(&self.sock, rustix::net::Shutdown::Both);
        });
        Ok(())
    }

    fn take_requests<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        let mut buffers = Buffers {
            request: vec![0; MESSAGE_MAX],
            data: Vec::with_capacity(DATA_MAX),
            cpu: None,
        };
        loop {
            self.idle.fetch_add(1, Ordering::Relaxed);
            let received = self.receive(&mut buffers.request);
            let was_idle = self.idle.fetch_sub(1, Ordering::Relaxed);
            let Some(len) = received else { return };
            if was_idle == 1 {
                self.start_thread(scope);
            }
            buffers.follow(len);
            let Buffers { request, data, .. } = &mut buffers;
            let message = request.get(..len).unwrap_or_default();
            if self.handle(scope, message, data).is_err() {
                // The peer is gone, or will not read: the session is over.
                let _ = rustix::net::shutdown(&self.sock, rustix::net::Shutdown::Both);
                return;
            }
        }
    }

    /// One message, or `None` at the end of the session.
    fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            // No room for descriptors: the kernel drops any a hostile peer sends.
            match rustix::net::recv(&self.sock, &mut *buffer, RecvFlags::TRUNC) {
                Ok((_, 0)) => return None,
                // Longer than any valid message: cannot be decoded, so it will be refused.
                Ok((_, len)) if len > buffer.len() => return Some(0),
                Ok((_, len)) => return Some(len),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// One more thread, unless there are enough. A host that refuses leaves us with fewer.
    fn start_thread<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        let more = |n| (n < MAX_THREADS).then_some(n + 1);
        let relaxed = Ordering::Relaxed;
        if self.threads.fetch_update(relaxed, relaxed, more).is_err() {
            return;
        }
        let builder = std::thread::Builder::new().stack_size(128 * 1024);
        if builder
            .spawn_scoped(scope, || self.take_requests(scope))
            .is_err()
        {
            self.threads.fetch_sub(1, relaxed);
        }
    }

    /// Serves one message. An error means that the session is over.
    fn handle<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        message: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let sock = self.sock.as_fd();
        let (id, call) = match Call::decode(message) {
            Ok(decoded) => decoded,
            Err(_) => {
                let id = call::request_id(message).unwrap_or(0);
                return Sink { sock, id }.error(Errno::EPROTO);
            }
        };
        if let Call::Forget { handles } = call {
            for handle in handles {
                self.forget(crate::proto::Handle(handle.get()));
            }
            return Ok(());
        }
        let sink = Sink { sock, id };
        data.clear();
        match self.operate(scope, call, &sink, data) {
            Ok(answer) => match sink.answer(&answer, with_dirs(&answer, data)) {
                // Too many descriptors in flight: the peer must not wait for ever.
                Err(Errno::ETOOMANYREFS) => sink.error(Errno::ENFILE),
                other => other,
            },
            Err(error) => sink.error(error),
        }
    }

    fn operate<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        call: Call<'_>,
        sink: &Sink<'_>,
        data: &mut Vec<u8>,
    ) -> Result<Answer, Errno> {
        match call {
            Call::Hello { version } if version == VERSION => Ok(Answer::default()),
            Call::Hello { .. } => Err(Errno::EPROTO),
            Call::Attach { mount } => self.attach(mount),
            Call::Lookup { dir, name } => self.lookup(dir, name),
            Call::ReadDir { dir, attrs, watch } => self.read_dir(dir, (attrs, watch), sink, data),
            Call::Open { file, read, write } => self.open(file, read, write),
            Call::Create {
                dir,
                name,
                new,
                excl,
            } => self.create(dir, name, new, excl),
            Call::Mkdir {
                dir,
                name,
                new,
                watch,
            } => self.mkdir(dir, name, new, watch),
            Call::Symlink {
                dir,
                name,
                target,
                new,
            } => self.symlink(dir, name, target, new),
            Call::Link { file, dir, name } => self.link(file, dir, name),
            Call::Mknod { dir, name, new } => self.mknod(dir, name, new),
            Call::Unlink { dir, name, forget } => self.remove(dir, name, forget, false),
            Call::Rmdir { dir, name, forget } => self.remove(dir, name, forget, true),
            Call::Rename {
                dir,
                name,
                new_dir,
                new_name,
                flags,
            } => self.rename((dir, name), (new_dir, new_name), flags),
            Call::ReadLink { file } => self.read_link(file, data),
            Call::SetAttr { file, set } => self.set_attr(file, set),
            Call::GetAttr { file } => self.get_attr(file),
            Call::StatFs { file } => self.stat_fs(file, data),
            Call::GetXattr { file, name } => self.get_xattr(file, name, data),
            Call::SetXattr {
                file,
                name,
                value,
                flags,
            } => self.set_xattr(file, name, value, flags),
            Call::ListXattr { file } => self.list_xattr(file, data),
            Call::RemoveXattr { file, name } => self.remove_xattr(file, name),
            Call::Fsync { file, data_only } => self.fsync(file, data_only),
            Call::TmpFile { dir, new } => self.tmp_file(dir, new),
            Call::Forget { .. } => Ok(Answer::default()),
            Call::Pread { file, offset, len } => self.pread(file, offset, len, data),
            Call::Pwrite { file, offset, data } => self.pwrite(file, offset, data),
            Call::Watch { dir } => self.watch(dir),
            Call::Events => self.events(scope),
        }
    }
}
