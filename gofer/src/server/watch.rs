//! Tells the Sentry about changes that others make in directories it caches.
//!
//! inotify does not say who made a change, so each own operation first notes which event it
//! will cause ([`Watcher::expect`]) and the watching thread strikes those off. Entry events
//! are counted exactly: the host never merges a creation with a removal. Attribute and data
//! events may be merged or come late, so what is expected of them lapses after a while; an
//! own one that slips through costs the Sentry one question, nothing more.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::thread::Scope;
use std::time::{Duration, Instant};

use abi::Errno;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::pipe::PipeFlags;
use zerocopy::IntoBytes;

use super::answer::Answer;
use super::node::{Node, fd_name};
use super::pool::Server;
use crate::attr::FileKind;
use crate::errno;
use crate::proto::event::{
    EVENT_ATTRIBUTES, EVENT_ENTRIES, EVENT_GONE, EVENT_OVERFLOW, EventRecord,
};
use crate::proto::{Handle, NAME_MAX};

/// How long an own attribute event may take to come back.
const ATTRIBUTES_LAPSE: Duration = Duration::from_secs(2);
/// How long a file open for writing keeps its close expected.
const DATA_LAPSE: Duration = Duration::from_secs(60);
/// How long events gather before they are read.
const GATHER: rustix::event::Timespec = rustix::event::Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};
/// Notes at most; beyond it all lapse at once, which costs questions, not truth.
const MAX_NOTES: usize = 1 << 16;

/// What an own operation will cause in a directory.
#[derive(Clone, Copy, Debug)]
pub enum OwnEvent<'a> {
    /// A name comes or goes.
    Entry(&'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Class {
    Entry,
    Attributes,
    Data,
}

type Key = (i32, Class, Box<[u8]>);

#[derive(Debug, Default)]
struct State {
    inotify: Option<OwnedFd>,
    handles: HashMap<i32, Vec<Handle>>,
    notes: HashMap<Key, (u32, Instant)>,
}

/// The watches of a session.
#[derive(Debug)]
pub struct Watcher {
    state: Mutex<State>,
}

/// Events noted as own; [`Expected::done`] takes the note back when the operation failed.
#[must_use]
pub struct Expected<'a> {
    watcher: &'a Watcher,
    keys: Vec<Key>,
    times: u32,
}

impl Expected<'_> {
    /// The operation is over.
    pub fn done(self, worked: bool) {
        if worked || self.keys.is_empty() {
            return;
        }
        let mut state = self.watcher.state.lock();
        for key in &self.keys {
            for _ in 0..self.times {
                state.strike(key);
            }
        }
    }
}

impl State {
    /// Strikes one expected event off; whether there was one.
    fn strike(&mut self, key: &Key) -> bool {
        let Some((count, noted)) = self.notes.get_mut(key) else {
            return false;
        };
        let lapse = match key.1 {
            Class::Entry => None,
            Class::Attributes => Some(ATTRIBUTES_LAPSE),
            Class::Data => Some(DATA_LAPSE),
        };
        let lapsed = lapse.is_some_and(|l| noted.elapsed() > l);
        *count = count.saturating_sub(1);
        if lapsed || *count == 0 {
            self.notes.remove(key);
        }
        !lapsed
    }

    fn note(&mut self, key: Key, times: u32) {
        if self.notes.len() >= MAX_NOTES {
            self.notes.clear();
        }
        let note = self.notes.entry(key).or_insert((0, Instant::now()));
        note.0 = note.0.saturating_add(times);
        note.1 = Instant::now();
    }
}

impl Watcher {
    /// One that watches nothing.
    pub fn new() -> Watcher {
        Watcher {
            state: Mutex::new(State::default()),
        }
    }

    /// Notes that an operation will cause this event once.
    pub fn expect(&self, dir: &Node, event: OwnEvent<'_>) -> Expected<'_> {
        self.expect_times(dir, event, 1)
    }

    /// Notes that an operation will cause this event several times.
    pub fn expect_times(&self, dir: &Node, event: OwnEvent<'_>, times: u32) -> Expected<'_> {
        let OwnEvent::Entry(name) = event;
        let watch = dir.watch.load(Ordering::Acquire);
        let mut keys = Vec::new();
        if watch >= 0 {
            keys.push((watch, Class::Entry, name.into()));
        }
        self.expected(keys, times)
    }

    /// Notes that a node's attributes will change.
    pub fn expect_attributes(&self, node: &Node) -> Expected<'_> {
        self.expect_of(node, Class::Attributes)
    }

    /// Notes that a descriptor for writing will be closed some time.
    pub fn expect_close(&self, node: &Node) -> Expected<'_> {
        self.expect_of(node, Class::Data)
    }

    fn expect_of(&self, node: &Node, class: Class) -> Expected<'_> {
        let mut keys = Vec::new();
        if let Some(found) = node.found.lock().as_ref() {
            keys.push((found.watch, class, found.name.clone()));
        }
        let watch = node.watch.load(Ordering::Acquire);
        if watch >= 0 {
            keys.push((watch, class, Box::default()));
        }
        self.expected(keys, 1)
    }

    fn expected(&self, keys: Vec<Key>, times: u32) -> Expected<'_> {
        if !keys.is_empty() {
            let mut state = self.state.lock();
            for key in &keys {
                state.note(key.clone(), times);
            }
        }
        Expected {
            watcher: self,
            keys,
            times,
        }
    }

    /// A handle was forgotten; the last of a watched directory ends the watch.
    pub fn unwatch(&self, node: &Node, handle: Handle) {
        let watch = node.watch.load(Ordering::Acquire);
        if watch < 0 {
            return;
        }
        let mut state = self.state.lock();
        let Some(handles) = state.handles.get_mut(&watch) else {
            return;
        };
        handles.retain(|h| *h != handle);
        if handles.is_empty() {
            state.handles.remove(&watch);
            state.notes.retain(|key, _| key.0 != watch);
            if let Some(inotify) = &state.inotify {
                // Fails when the host removed the watch itself, which is as good.
                let _ = inotify::remove_watch(inotify, watch);
            }
        }
    }
}

impl Server {
    /// Watches a directory from now on. `ENOSPC` when the host gives no more watches.
    pub(super) fn watch(&self, dir: Handle) -> Result<Answer, Errno> {
        let node = self.table.get(dir)?;
        node.require(FileKind::Directory, Errno::ENOTDIR)?;
        let mask = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE_SELF
            | WatchFlags::EXCL_UNLINK
            | WatchFlags::ONLYDIR;
        // The lock is held so that no event of this watch is read before it is known.
        let mut state = self.watcher.state.lock();
        let inotify = state.inotify.as_ref().ok_or(Errno::EINVAL)?;
        // Relative to the working directory, which is our own /proc/self/fd.
        let watch = inotify::add_watch(inotify, fd_name(node.as_fd()), mask).map_err(errno)?;
        let handles = state.handles.entry(watch).or_default();
        if !handles.contains(&dir) {
            handles.push(dir);
        }
        node.watch.store(watch, Ordering::Release);
        Ok(Answer::default())
    }

    /// Starts the watching thread and gives the pipe on which it tells.
    pub(super) fn events<'s>(&'s self, scope: &'s Scope<'s, '_>) -> Result<Answer, Errno> {
        let mut state = self.watcher.state.lock();
        if state.inotify.is_some() {
            return Err(Errno::EBUSY);
        }
        // inotify takes paths only; this makes a descriptor's number such a path.
        rustix::process::fchdir(&self.exports.self_fd).map_err(errno)?;
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).map_err(errno)?;
        let reader = inotify.try_clone().map_err(Errno::from)?;
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (receive, send) = rustix::pipe::pipe_with(flags).map_err(errno)?;
        state.inotify = Some(inotify);
        std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn_scoped(scope, move || self.relay(reader, send))
            .map_err(Errno::from)?;
        Ok(Answer {
            fd: Some(receive),
            ..Answer::default()
        })
    }

    /// The watching thread: ends with the session or when nobody listens.
    fn relay(&self, inotify: OwnedFd, pipe: OwnedFd) {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(inotify.as_fd(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map_or(&[][..], |n| n.to_bytes());
                    for record in self.watcher.records(event.wd(), event.events(), name) {
                        if !self.tell(&pipe, &record) {
                            return;
                        }
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    if !self.wait(inotify.as_fd(), PollFlags::IN) {
                        return;
                    }
                    // Own operations come in bursts: one wake-up for many of them.
                    let _ = rustix::event::poll(&mut [], Some(&GATHER));
                }
                Err(_) => return,
            }
        }
    }

    /// Whether the session goes on; returns when `fd` is ready or the session is over.
    fn wait(&self, fd: BorrowedFd<'_>, what: PollFlags) -> bool {
        let sock = self.sock.as_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(fd, what),
            PollFd::from_borrowed_fd(sock, PollFlags::empty()),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
        let [_, session] = fds;
        session.revents().is_empty()
    }

    fn tell(&self, pipe: &OwnedFd, record: &EventRecord) -> bool {
        loop {
            match rustix::io::write(pipe, record.as_bytes()) {
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    if !self.wait(pipe.as_fd(), PollFlags::OUT) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }
}

impl Watcher {
    /// What to tell about one host event: nothing when it is our own.
    fn records(&self, watch: i32, what: ReadFlags, name: &[u8]) -> Vec<EventRecord> {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            let mut state = self.state.lock();
            state.notes.clear();
            return vec![record(Handle(0), EVENT_OVERFLOW, &[])];
        }
        let entries =
            ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
        let (kind, class) = if what.intersects(entries) {
            (EVENT_ENTRIES, Class::Entry)
        } else if what.contains(ReadFlags::ATTRIB) {
            (EVENT_ATTRIBUTES, Class::Attributes)
        } else if what.contains(ReadFlags::CLOSE_WRITE) {
            (EVENT_ATTRIBUTES, Class::Data)
        } else {
            (EVENT_GONE, Class::Entry)
        };
        let mut state = self.state.lock();
        if kind != EVENT_GONE && state.strike(&(watch, class, name.into())) {
            return Vec::new();
        }
        let handles = state.handles.get(&watch).cloned().unwrap_or_default();
        if kind == EVENT_GONE {
            state.handles.remove(&watch);
            state.notes.retain(|key, _| key.0 != watch);
        }
        handles.iter().map(|h| record(*h, kind, name)).collect()
    }
}

fn record(handle: Handle, kind: u16, name: &[u8]) -> EventRecord {
    let mut bytes = [0; NAME_MAX + 1];
    let len = name.len().min(NAME_MAX);
    if let (Some(to), Some(from)) = (bytes.get_mut(..len), name.get(..len)) {
        to.copy_from_slice(from);
    }
    EventRecord {
        handle: handle.0.into(),
        kind: kind.into(),
        name_len: u16::try_from(len).unwrap_or(0).into(),
        name: bytes,
    }
}
