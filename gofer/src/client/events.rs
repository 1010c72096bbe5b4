//! Changes made by others in watched directories.

use std::os::fd::{AsFd, BorrowedFd};

use zerocopy::FromBytes;

use super::Client;
use crate::proto::event::{
    EVENT_ATTRIBUTES, EVENT_ENTRIES, EVENT_GONE, EVENT_OVERFLOW, EventRecord,
};
use crate::proto::{Handle, is_component};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// Entries came or went: the listing is no longer true.
    Entries,
    /// Attributes or data of the entry (of the directory itself when there is no name).
    Attributes,
    /// The directory is watched no longer: removed, or its file system unmounted.
    Gone,
    /// Events were lost: anything watched may have changed.
    Overflow,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The watched directory; meaningless for [`WatchKind::Overflow`].
    pub handle: Handle,
    /// What changed.
    pub kind: WatchKind,
    /// Which entry; empty for the directory itself.
    pub name: Box<[u8]>,
}

/// Records taken at once.
const BATCH: usize = 32;

impl Client {
    /// Readable when [`Client::poll_events`] has something, or the gofer is gone.
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Some of the events that are there; never blocks; empty when there are none. A broken
    /// record counts as lost events.
    pub fn poll_events(&self) -> Vec<WatchEvent> {
        let mut buffer = [0; BATCH * size_of::<EventRecord>()];
        let Ok(len) = rustix::io::read(&self.events, &mut buffer) else {
            return Vec::new();
        };
        let read = buffer.get(..len).unwrap_or_default();
        read.chunks(size_of::<EventRecord>()).map(event).collect()
    }
}

fn event(bytes: &[u8]) -> WatchEvent {
    let lost = WatchEvent {
        handle: Handle(0),
        kind: WatchKind::Overflow,
        name: Box::default(),
    };
    let Ok(record) = EventRecord::read_from_bytes(bytes) else {
        return lost;
    };
    let kind = match record.kind.get() {
        EVENT_ENTRIES => WatchKind::Entries,
        EVENT_ATTRIBUTES => WatchKind::Attributes,
        EVENT_GONE => WatchKind::Gone,
        EVENT_OVERFLOW => WatchKind::Overflow,
        _ => return lost,
    };
    let name = record.name.get(..usize::from(record.name_len.get()));
    match name {
        Some(name) if name.is_empty() || is_component(name) => WatchEvent {
            handle: Handle(record.handle.get()),
            kind,
            name: name.into(),
        },
        _ => lost,
    }
}
