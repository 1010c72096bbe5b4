//! A reply as its receiver sees it: the head checked, the bytes after it cut off.

use zerocopy::FromBytes;

use super::wire::{FLAG_EXISTED, FLAG_FD, FLAG_MORE, FLAG_WATCHED, ReplyHead};
use super::{DATA_MAX, Malformed};
use crate::attr::Attr;

/// One reply message.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The request it answers.
    pub id: u64,
    /// Zero or an error number.
    pub errno: i32,
    /// More messages of this reply follow.
    pub more: bool,
    /// A descriptor must have come with it.
    pub has_fd: bool,
    /// `create` found the file there.
    pub existed: bool,
    /// The directory is watched.
    pub watched: bool,
    /// A new handle or zero.
    pub handle: u64,
    /// Depends on the operation.
    pub value: u64,
    /// Attributes, or zeros.
    pub attr: Attr,
    /// What followed the head.
    pub data: &'a [u8],
}

impl Reply<'_> {
    /// Reads a message, checking its lengths and flags.
    pub fn decode(bytes: &[u8]) -> Result<Reply<'_>, Malformed> {
        let (head, data) =
            ReplyHead::read_from_prefix(bytes).map_err(|_| Malformed("short reply"))?;
        let flags = head.flags.get();
        if flags & !(FLAG_MORE | FLAG_FD | FLAG_EXISTED | FLAG_WATCHED) != 0 {
            return Err(Malformed("unknown reply flags"));
        }
        if u32::try_from(data.len()) != Ok(head.len.get()) || data.len() > DATA_MAX {
            return Err(Malformed("reply length does not add up"));
        }
        Ok(Reply {
            id: head.id.get(),
            errno: head.errno.get().into(),
            more: flags & FLAG_MORE != 0,
            has_fd: flags & FLAG_FD != 0,
            existed: flags & FLAG_EXISTED != 0,
            watched: flags & FLAG_WATCHED != 0,
            handle: head.handle.get(),
            value: head.value.get(),
            attr: Attr::from(&head.attr),
            data,
        })
    }
}
