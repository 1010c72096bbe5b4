//! A reply on its way out.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use abi::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32};

use crate::attr::Attr;
use crate::errno;
use crate::proto::Handle;
use crate::proto::wire::{FLAG_EXISTED, FLAG_FD, FLAG_MORE, FLAG_WATCHED, ReplyHead, WireAttr};

/// What an operation that succeeded has to say, besides the data bytes.
#[derive(Debug, Default)]
pub struct Answer {
    /// A new handle.
    pub handle: Option<Handle>,
    /// Attributes after the operation.
    pub attr: Option<Attr>,
    /// A descriptor for the Sentry.
    pub fd: Option<OwnedFd>,
    /// Attributes of the directories that were changed.
    pub dirs: [Option<Attr>; 2],
    /// A number.
    pub value: u64,
    /// `create` found the file there.
    pub existed: bool,
    /// The directory is watched.
    pub watched: bool,
}

/// Where replies to one request go.
pub struct Sink<'a> {
    /// The socket.
    pub sock: BorrowedFd<'a>,
    /// The request's id.
    pub id: u64,
}

impl Sink<'_> {
    /// Sends a part of a reply of many messages.
    pub fn more(&self, data: &[u8]) -> Result<(), Errno> {
        let head = ReplyHead {
            flags: U16::new(FLAG_MORE),
            ..ReplyHead::default()
        };
        self.send(head, data, None)
    }

    /// Sends the reply, or its last part.
    pub fn answer(&self, answer: &Answer, data: &[u8]) -> Result<(), Errno> {
        let mut flags = 0;
        if answer.fd.is_some() {
            flags |= FLAG_FD;
        }
        if answer.existed {
            flags |= FLAG_EXISTED;
        }
        if answer.watched {
            flags |= FLAG_WATCHED;
        }
        let head = ReplyHead {
            flags: U16::new(flags),
            handle: answer.handle.map_or(0, |h| h.0).into(),
            value: answer.value.into(),
            attr: answer.attr.as_ref().map(WireAttr::from).unwrap_or_default(),
            ..ReplyHead::default()
        };
        self.send(head, data, answer.fd.as_ref().map(AsFd::as_fd))
    }

    /// Sends an error.
    pub fn error(&self, error: Errno) -> Result<(), Errno> {
        let head = ReplyHead {
            errno: U16::new(u16::try_from(error.raw()).unwrap_or(u16::MAX)),
            ..ReplyHead::default()
        };
        self.send(head, &[], None)
    }

    fn send(
        &self,
        mut head: ReplyHead,
        data: &[u8],
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(), Errno> {
        head.id = self.id.into();
        head.len = U32::new(u32::try_from(data.len()).map_err(|_| Errno::EMSGSIZE)?);
        let parts = [IoSlice::new(head.as_bytes()), IoSlice::new(data)];
        loop {
            match self.send_once(&parts, fd) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map_err(errno),
            }
        }
    }

    fn send_once(
        &self,
        parts: &[IoSlice<'_>],
        fd: Option<BorrowedFd<'_>>,
    ) -> rustix::io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.map(|fd| [fd]);
        if let Some(fds) = &fds {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        rustix::net::sendmsg(self.sock, parts, &mut control, SendFlags::NOSIGNAL).map(|_| ())
    }
}
