//! The entries of a directory listing, packed one after the other in reply messages.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::wire::WireAttr;
use super::{DATA_MAX, Malformed, is_component};
use crate::attr::Attr;

/// One entry as it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirentRef<'a> {
    /// One component; never `.` or `..`.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// `DT_*`; zero when the host does not say.
    pub dtype: u8,
    /// Attributes, when asked for and the entry was still there.
    pub attr: Option<Attr>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryHead {
    ino: U64,
    name_len: U16,
    dtype: u8,
    has_attr: u8,
    reserved: U32,
}

impl DirentRef<'_> {
    /// Bytes it takes in a message.
    pub fn encoded_len(&self) -> usize {
        let attr = if self.attr.is_some() {
            size_of::<WireAttr>()
        } else {
            0
        };
        size_of::<EntryHead>() + attr + self.name.len()
    }

    /// Appends it. The caller has checked that the message does not pass [`DATA_MAX`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let head = EntryHead {
            ino: self.ino.into(),
            name_len: U16::new(u16::try_from(self.name.len()).unwrap_or(u16::MAX)),
            dtype: self.dtype,
            has_attr: self.attr.is_some().into(),
            reserved: U32::ZERO,
        };
        debug_assert!(out.len() + self.encoded_len() <= DATA_MAX);
        out.extend_from_slice(head.as_bytes());
        if let Some(attr) = &self.attr {
            out.extend_from_slice(WireAttr::from(attr).as_bytes());
        }
        out.extend_from_slice(self.name);
    }

    /// Takes one entry off the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<(DirentRef<'_>, &[u8]), Malformed> {
        let (head, rest) =
            EntryHead::read_from_prefix(bytes).map_err(|_| Malformed("short directory entry"))?;
        let (attr, rest) = match head.has_attr {
            0 => (None, rest),
            1 => {
                let (attr, rest) = WireAttr::read_from_prefix(rest)
                    .map_err(|_| Malformed("short attributes in an entry"))?;
                (Some(Attr::from(&attr)), rest)
            }
            _ => return Err(Malformed("bad flag in a directory entry")),
        };
        let (name, rest) = rest
            .split_at_checked(usize::from(head.name_len.get()))
            .ok_or(Malformed("short name in a directory entry"))?;
        if !is_component(name) {
            return Err(Malformed("bad name in a directory entry"));
        }
        let entry = DirentRef {
            name,
            ino: head.ino.get(),
            dtype: head.dtype,
            attr,
        };
        Ok((entry, rest))
    }
}
