//! Open file descriptions (`struct file`) and the operations behind them.
//!
//! A [`File`] is what descriptors refer to: status flags, the offset, the path it was
//! opened by, and its [`FileOps`]. Operations never block: one that cannot go on returns
//! `EAGAIN`, and the system call layer parks a retry on [`FileOps::pollee`] unless
//! `O_NONBLOCK` is set. Lock rank: the offset lock is above inode data locks.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use abi::Errno;
use abi::fs::PollEvents;

use super::inotify::{self, Mask};
use super::locks::{self, FileLocks};
use super::vfs::mount::Writer;
use super::vfs::{Attr, DirSink, Inode, Path, SetAttr};
use super::write_access::{OpenAccess, OpenCounts};
use crate::io::{IoDst, IoSrc};
use crate::landlock::FsRights;
use crate::mm::Mappable;
use crate::sync::Mutex;
use crate::task::group::ThreadGroup;
use crate::task::session::ProcessGroup;
use crate::task::{PidNamespace, Task};
use crate::wait::{Pollee, Registration};
use crate::{Result, SysResult};

bitflags::bitflags! {
    /// Flags of `open(2)`, in Linux's bits for x86-64.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u32 {
        /// Write only (access mode bit 0).
        const WRONLY = 0o1;
        /// Read and write (access mode bit 1).
        const RDWR = 0o2;
        /// Create if absent.
        const CREAT = 0o100;
        /// Fail if present.
        const EXCL = 0o200;
        /// Do not make a terminal the controlling one.
        const NOCTTY = 0o400;
        /// Cut to length 0.
        const TRUNC = 0o1000;
        /// Writes go to the end.
        const APPEND = 0o2000;
        /// Operations do not wait.
        const NONBLOCK = 0o4000;
        /// Data integrity on each write.
        const DSYNC = 0o10000;
        /// Signal-driven I/O.
        const ASYNC = 0o20000;
        /// Unbuffered I/O.
        const DIRECT = 0o40000;
        /// Accepted and always set by the kernel's own 64-bit opens.
        const LARGEFILE = 0o100000;
        /// Must be a directory.
        const DIRECTORY = 0o200000;
        /// Do not follow a final symbolic link.
        const NOFOLLOW = 0o400000;
        /// Do not update the access time.
        const NOATIME = 0o1000000;
        /// Close on exec (a property of the descriptor).
        const CLOEXEC = 0o2000000;
        /// File integrity on each write (with `DSYNC`).
        const SYNC_BIT = 0o4000000;
        /// Only a reference to a place in the tree.
        const PATH = 0o10000000;
        /// Unnamed temporary file (with `DIRECTORY`).
        const TMPFILE_BIT = 0o20000000;
    }
}

impl OpenFlags {
    /// Whether the access mode allows reads.
    pub fn readable(self) -> bool {
        !self.contains(OpenFlags::WRONLY) && !self.contains(OpenFlags::PATH)
    }
    /// Whether the access mode allows writes.
    pub fn writable(self) -> bool {
        self.intersects(OpenFlags::WRONLY | OpenFlags::RDWR) && !self.contains(OpenFlags::PATH)
    }
    /// Whether `O_TMPFILE` was given whole.
    pub fn is_tmpfile(self) -> bool {
        self.contains(OpenFlags::TMPFILE_BIT | OpenFlags::DIRECTORY)
    }
}

/// What a file operation may look at besides its own object.
#[derive(Clone, Copy)]
pub struct IoCx<'a> {
    /// The description it is done through.
    pub file: &'a Arc<File>,
    /// The task that does it; `None` for the kernel itself (loader, boot).
    pub task: Option<&'a Arc<Task>>,
    /// Whether this operation must not wait (`O_NONBLOCK`, `RWF_NOWAIT`, `MSG_DONTWAIT`).
    pub nonblock: bool,
}

/// From where a seek counts (`lseek(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in lseek(2)")]
pub enum Whence {
    Set,
    Cur,
    End,
    Data,
    Hole,
}

/// Operations of an open file. Defaults are what Linux answers for a file that lacks the
/// operation. No operation blocks: `EAGAIN` means "wait on `pollee` and try again".
pub trait FileOps: Send + Sync + 'static {
    /// For the few callers that need the concrete type.
    fn as_any(&self) -> &dyn Any;

    /// Reads at `pos` (ignored by streams). 0 is end of file.
    fn read(&self, _cx: &IoCx<'_>, _dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }
    /// Writes at `pos` (ignored by streams).
    fn write(&self, _cx: &IoCx<'_>, _src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }
    /// Writes at the end of a seekable file (`O_APPEND`, `RWF_APPEND`): bytes written and
    /// the position after them. File systems whose files can grow under others make the two
    /// steps one.
    fn append(&self, cx: &IoCx<'_>, src: &mut dyn IoSrc) -> Result<(usize, u64)> {
        let end = match cx.file.inode() {
            Some(inode) => inode.attr()?.size,
            None => self.attr()?.size,
        };
        let n = self.write(cx, src, end)?;
        Ok((n, end.saturating_add(n as u64)))
    }
    /// Whether the file has a position; if not, `pread` and `lseek` give `ESPIPE`.
    fn seekable(&self) -> bool {
        false
    }
    /// Computes a new position; called with the offset lock held.
    fn seek(&self, _cx: &IoCx<'_>, _cur: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Err(Errno::ESPIPE)
    }
    /// Readiness now.
    fn poll(&self, _cx: &IoCx<'_>) -> PollEvents {
        PollEvents::IN | PollEvents::OUT | PollEvents::RDNORM | PollEvents::WRNORM
    }
    /// The wait queue, or `None` for files that are always ready (regular files;
    /// `epoll_ctl` gives `EPERM` for them).
    fn pollee(&self) -> Option<&Pollee> {
        None
    }
    /// Longest wait of a read, or of a `write` (`SO_RCVTIMEO`, `SO_SNDTIMEO`); `None`: for
    /// ever. A call with one ends with `EINTR` at a signal, and is not restarted.
    fn io_timeout(&self, _write: bool) -> Option<std::time::Duration> {
        None
    }
    /// Whether the owner is told of urgent data by `SIGURG`.
    fn signals_urgent(&self) -> bool {
        false
    }
    /// Whether it does signal-driven I/O (`O_ASYNC`).
    fn signals_io(&self) -> bool {
        false
    }
    /// `ioctl(2)`. May park.
    fn ioctl(&self, _cx: &IoCx<'_>, _request: u32, _arg: u64) -> SysResult<i64> {
        Err(Errno::ENOTTY.into())
    }
    /// Feeds directory entries from `*pos` on to `sink` until it is full; `*pos` is moved.
    fn read_dir(&self, _cx: &IoCx<'_>, _pos: &mut u64, _sink: &mut dyn DirSink) -> Result<()> {
        Err(Errno::ENOTDIR)
    }
    /// What `mmap(2)` maps, or `ENODEV`.
    fn mappable(&self) -> Result<Arc<dyn Mappable>> {
        Err(Errno::ENODEV)
    }
    /// `ftruncate(2)`.
    fn truncate(&self, _cx: &IoCx<'_>, _len: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }
    /// `fallocate(2)`.
    fn allocate(&self, _cx: &IoCx<'_>, _mode: u32, _offset: u64, _len: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// `fsync(2)` (`data_only`: `fdatasync(2)`).
    fn sync(&self, _cx: &IoCx<'_>, _data_only: bool) -> Result<()> {
        Err(Errno::EINVAL)
    }
    /// Attributes of a file without a path (`fstat(2)` on pipes, sockets, anon inodes);
    /// files with an inode answer by it.
    fn attr(&self) -> Result<Attr> {
        Ok(Attr::anonymous())
    }
    /// `fchmod`/`fchown`/`futimens` on a file without a path.
    fn set_attr(&self, _set: &SetAttr) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Called at each `close(2)` of a descriptor (POSIX locks, `flush`).
    fn flush(&self, _cx: &IoCx<'_>) -> Result<()> {
        Ok(())
    }
    /// `F_SETFL` is about to change the flags.
    fn set_flags(&self, _flags: OpenFlags) -> Result<()> {
        Ok(())
    }
    /// What `readlink /proc/PID/fd/N` shows for a file without a path (`pipe:[7]`).
    fn description(&self) -> String {
        "anon_inode:[unknown]".to_owned()
    }
    /// Opens the object anew through `/proc/PID/fd/N`, for files without a path.
    fn reopen(&self, _flags: OpenFlags) -> Result<Arc<dyn FileOps>> {
        Err(Errno::ENXIO)
    }
    /// Commands of `fcntl(2)` that only some objects know (`F_SETPIPE_SZ`, `F_ADD_SEALS`).
    fn fcntl(&self, _cx: &IoCx<'_>, _cmd: u32, _arg: u64) -> SysResult<i64> {
        Err(Errno::EINVAL.into())
    }
    /// Extra lines for `/proc/PID/fdinfo/N`, with numbers as a namespace has them.
    fn fdinfo(&self, _pids: &PidNamespace) -> String {
        String::new()
    }
}

/// An open file description.
pub struct File {
    /// The operations; dropped with the last reference (Linux's `release`).
    pub ops: Arc<dyn FileOps>,
    /// Where it was opened; `None` for pipes, sockets and the like.
    pub path: Option<Path>,
    flags: AtomicU32,
    /// File position.
    pub offset: Mutex<u64>,
    /// Who is told of readiness by a signal (`F_SETOWN`, `F_SETSIG`).
    pub signal_owner: Mutex<SignalOwner>,
    /// Place in the object's queue while `O_ASYNC` is set.
    pub(super) async_place: Mutex<Option<Registration>>,
    /// Place in a socket's queue while its owner is told of urgent data.
    pub(super) urgent_place: Mutex<Option<Registration>>,
    /// Locks of a file without an inode.
    own_locks: OnceLock<Arc<FileLocks>>,
    /// Rights its opener's domain did not give it ([`FsRights`]).
    denied: AtomicU32,
    access: Option<OpenAccess>,
    _writer: Option<Writer>,
}

/// Receiver of signal-driven I/O (`fcntl(2)`, "Managing signals").
#[derive(Clone, Debug, Default)]
pub struct SignalOwner {
    /// `F_OWNER_TID` 0, `F_OWNER_PID` 1, `F_OWNER_PGRP` 2.
    pub kind: i32,
    /// Who.
    pub who: Owner,
    /// Signal instead of `SIGIO`, or 0.
    pub signal: i32,
    /// Real and effective user id of who set the owner.
    pub set_by: (u32, u32),
}

/// Who is told.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "named as in fcntl(2)")]
pub enum Owner {
    #[default]
    Nobody,
    Thread(Weak<Task>),
    Process(Weak<ThreadGroup>),
    Group(Weak<ProcessGroup>),
}

impl Owner {
    /// The number a namespace knows it by; 0 for nobody, and for who is gone.
    pub fn nr_in(&self, ns: &PidNamespace) -> i32 {
        let number = match self {
            Owner::Nobody => None,
            Owner::Thread(t) => t
                .upgrade()
                .filter(|t| t.state() != 'X')
                .map(|t| t.tid_in(ns)),
            Owner::Process(g) => g.upgrade().filter(|g| !g.is_gone()).map(|g| g.pid_in(ns)),
            Owner::Group(p) => p.upgrade().map(|p| p.id.nr_in(ns)),
        };
        number.unwrap_or(0)
    }
}

impl File {
    /// A description without a path.
    pub fn anonymous(ops: Arc<dyn FileOps>, flags: OpenFlags) -> Arc<File> {
        File::new(ops, flags, None)
    }

    /// A description of something opened by path.
    pub fn new(ops: Arc<dyn FileOps>, flags: OpenFlags, path: Option<Path>) -> Arc<File> {
        File::with_access(ops, flags, path, None, None)
    }

    /// As [`File::new`], holding the rights that were taken for it.
    pub fn with_access(
        ops: Arc<dyn FileOps>,
        flags: OpenFlags,
        path: Option<Path>,
        access: Option<OpenAccess>,
        writer: Option<Writer>,
    ) -> Arc<File> {
        let keep = !(OpenFlags::CREAT
            | OpenFlags::EXCL
            | OpenFlags::NOCTTY
            | OpenFlags::TRUNC
            | OpenFlags::CLOEXEC);
        Arc::new(File {
            ops,
            path,
            flags: AtomicU32::new((flags & keep).bits()),
            offset: Mutex::new(0),
            signal_owner: Mutex::default(),
            async_place: Mutex::new(None),
            urgent_place: Mutex::new(None),
            own_locks: OnceLock::new(),
            denied: AtomicU32::new(0),
            access,
            _writer: writer,
        })
    }

    /// Status flags and access mode.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the flags `fcntl(F_SETFL)` may change, leaving the others.
    pub fn set_status(&self, changeable: OpenFlags, value: OpenFlags) {
        let old = self.flags();
        self.flags.store(
            ((old - changeable) | (value & changeable)).bits(),
            Ordering::Relaxed,
        );
    }

    /// The inode, if it was opened by path.
    pub fn inode(&self) -> Option<Arc<dyn Inode>> {
        self.path.as_ref().and_then(|p| p.dentry.inode())
    }

    /// Notes what it may not be used for.
    pub(super) fn deny(&self, rights: FsRights) {
        if !rights.is_empty() {
            let bits = u32::try_from(rights.bits()).unwrap_or(u32::MAX);
            self.denied.store(bits, Ordering::Relaxed);
        }
    }

    /// Whether its opener's domain allowed this; `EACCES`.
    pub fn check_right(&self, right: FsRights) -> Result<()> {
        let denied = u64::from(self.denied.load(Ordering::Relaxed));
        if FsRights::from_bits_retain(denied).intersects(right) {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// Who has its inode open.
    pub(super) fn open_counts(&self) -> Option<&OpenCounts> {
        self.access.as_ref().map(OpenAccess::counts)
    }

    /// The file's locks.
    pub fn locks(&self) -> Arc<FileLocks> {
        match self.inode() {
            Some(inode) => locks::of_inode(&inode),
            None => self.own_locks.get_or_init(Arc::default).clone(),
        }
    }

    /// The locks of a file without an inode, if it ever had one.
    pub(super) fn existing_locks(&self) -> Option<Arc<FileLocks>> {
        self.own_locks.get().cloned()
    }

    /// The operations as a concrete type.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref::<T>()
    }

    /// A context for an operation by `task` with the description's own blocking mode.
    pub fn cx<'a>(self: &'a Arc<File>, task: Option<&'a Arc<Task>>) -> IoCx<'a> {
        IoCx {
            file: self,
            task,
            nonblock: self.flags().contains(OpenFlags::NONBLOCK),
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.ops.description())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        locks::release_description(self);
        if let Some(access) = &self.access {
            access.counts().leases.release(self);
        }
        if let Some(path) = &self.path
            && !self.flags().contains(OpenFlags::PATH)
        {
            let mask = if self.flags().writable() {
                Mask::CLOSE_WRITE
            } else {
                Mask::CLOSE_NOWRITE
            };
            inotify::event(path, mask);
        }
    }
}
