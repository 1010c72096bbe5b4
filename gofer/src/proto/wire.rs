//! The fixed structs, all little-endian and without padding, and their conversions.

use zerocopy::byteorder::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::attr::{Attr, FsStat, Time};

/// Head of every request. After it: name, second name, data, of the lengths it gives.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RequestHead {
    /// Chosen by the client; repeated in the reply.
    pub id: U64,
    /// An [`super::Op`].
    pub op: U16,
    /// Length of the first name.
    pub name_len: U16,
    /// Length of the second name.
    pub name2_len: U16,
    /// The CPU the client waits on, plus one; 0 when it does not say.
    pub cpu: U16,
    /// Length of the data.
    pub data_len: U32,
    /// Bits whose meaning depends on the operation.
    pub flags: U32,
    /// The file or directory meant.
    pub handle: U64,
    /// A second one (link, rename).
    pub handle2: U64,
    /// Numbers whose meaning depends on the operation.
    pub args: [U64; 7],
}

/// Head of every reply. After it come `len` bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ReplyHead {
    /// The request's.
    pub id: U64,
    /// Zero or the error.
    pub errno: U16,
    /// [`FLAG_MORE`], [`FLAG_FD`], [`FLAG_EXISTED`], [`FLAG_WATCHED`].
    pub flags: U16,
    /// Length of the bytes that follow.
    pub len: U32,
    /// A new handle, or zero.
    pub handle: U64,
    /// A number whose meaning depends on the operation.
    pub value: U64,
    /// Attributes, or zeros.
    pub attr: WireAttr,
}

/// More messages of this reply follow.
pub const FLAG_MORE: u16 = 1;
/// A descriptor comes with this message.
pub const FLAG_FD: u16 = 2;
/// `create` found the file there already.
pub const FLAG_EXISTED: u16 = 4;
/// The directory is watched from now on, as was asked.
pub const FLAG_WATCHED: u16 = 8;

/// [`Time`] on the wire.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct WireTime {
    sec: I64,
    nsec: U32,
    reserved: U32,
}

/// [`Attr`] on the wire.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct WireAttr {
    dev: U64,
    ino: U64,
    rdev: U64,
    size: U64,
    blocks: U64,
    mode: U32,
    nlink: U32,
    uid: U32,
    gid: U32,
    blksize: U32,
    reserved: U32,
    atime: WireTime,
    mtime: WireTime,
    ctime: WireTime,
    btime: WireTime,
}

/// [`FsStat`] on the wire.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct WireFsStat {
    words: [U64; 10],
}

impl From<Time> for WireTime {
    fn from(t: Time) -> WireTime {
        WireTime {
            sec: I64::new(t.sec),
            nsec: U32::new(t.nsec),
            reserved: U32::ZERO,
        }
    }
}

impl From<WireTime> for Time {
    fn from(t: WireTime) -> Time {
        // A peer's nanoseconds are not trusted to be below a second.
        Time {
            sec: t.sec.get(),
            nsec: t.nsec.get().min(999_999_999),
        }
    }
}

impl From<&Attr> for WireAttr {
    fn from(a: &Attr) -> WireAttr {
        WireAttr {
            dev: a.dev.into(),
            ino: a.ino.into(),
            rdev: a.rdev.into(),
            size: a.size.into(),
            blocks: a.blocks.into(),
            mode: a.mode.into(),
            nlink: a.nlink.into(),
            uid: a.uid.into(),
            gid: a.gid.into(),
            blksize: a.blksize.into(),
            reserved: U32::ZERO,
            atime: a.atime.into(),
            mtime: a.mtime.into(),
            ctime: a.ctime.into(),
            btime: a.btime.into(),
        }
    }
}

impl From<&WireAttr> for Attr {
    fn from(a: &WireAttr) -> Attr {
        Attr {
            dev: a.dev.get(),
            ino: a.ino.get(),
            rdev: a.rdev.get(),
            // Offsets are signed on Linux; no honest size is beyond that.
            size: a.size.get().min(i64::MAX as u64),
            blocks: a.blocks.get(),
            mode: a.mode.get(),
            nlink: a.nlink.get(),
            uid: a.uid.get(),
            gid: a.gid.get(),
            blksize: a.blksize.get(),
            atime: a.atime.into(),
            mtime: a.mtime.into(),
            ctime: a.ctime.into(),
            btime: a.btime.into(),
        }
    }
}

impl From<&FsStat> for WireFsStat {
    fn from(s: &FsStat) -> WireFsStat {
        let words = [
            s.kind, s.bsize, s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.namelen, s.frsize,
            s.flags,
        ];
        WireFsStat {
            words: words.map(U64::new),
        }
    }
}

impl From<&WireFsStat> for FsStat {
    fn from(s: &WireFsStat) -> FsStat {
        let [
            kind,
            bsize,
            blocks,
            bfree,
            bavail,
            files,
            ffree,
            namelen,
            frsize,
            flags,
        ] = s.words.map(U64::get);
        FsStat {
            kind,
            bsize,
            blocks,
            bfree,
            bavail,
            files,
            ffree,
            namelen,
            frsize,
            flags,
        }
    }
}
