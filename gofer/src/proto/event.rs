//! What the gofer tells about changes made by others, as fixed records on a pipe.

use zerocopy::byteorder::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::NAME_MAX;

/// One record. Shorter than `PIPE_BUF`, so that a write of one is atomic.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EventRecord {
    /// The watched directory.
    pub handle: U64,
    /// One of the `EVENT_*` numbers.
    pub kind: U16,
    /// Length of the name, zero when the event is about the directory itself.
    pub name_len: U16,
    /// The name, filled up with zeros.
    pub name: [u8; NAME_MAX + 1],
}

/// Entries came or went: the listing is no longer true.
pub const EVENT_ENTRIES: u16 = 1;
/// Attributes or data of an entry (or of the directory itself) changed.
pub const EVENT_ATTRIBUTES: u16 = 2;
/// The directory is watched no longer: removed, or its file system unmounted.
pub const EVENT_GONE: u16 = 3;
/// The host dropped events: everything watched may have changed.
pub const EVENT_OVERFLOW: u16 = 4;
