//! The Sentry's side: asks the gofer and believes it only as far as it must.
//!
//! [`Client`] may be used from any number of threads; each call blocks its caller until its
//! reply is there. It needs `sendmsg`, `recvmsg` and `futex` only (and `read` for events),
//! so that it works in a locked-down process. [`channel`] carries requests and replies and
//! could be exchanged for a ring; [`calls`] are the operations, [`events`] the changes made
//! by others, [`file`] what is done with a donated descriptor.

mod calls;
mod channel;
mod events;
pub mod file;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use abi::Errno;
use parking_lot::Mutex;

use crate::attr::Attr;
use crate::proto::call::NewFile;
use crate::proto::{Call, Handle, VERSION};
use channel::Channel;

pub use crate::proto::call::{NewFile as NewFileAttr, RenameFlags};
pub use channel::Waits;
pub use events::{WatchEvent, WatchKind};

/// What a descriptor is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenMode {
    /// Reading (and mapping).
    pub read: bool,
    /// Writing.
    pub write: bool,
}

/// A file `create` made or found.
#[derive(Debug)]
pub struct Created {
    /// Its handle.
    pub handle: Handle,
    /// Its attributes.
    pub attr: Attr,
    /// Open for reading and writing; `None` when it was there and is no regular file.
    pub file: Option<OwnedFd>,
    /// It was there already (only without `excl`).
    pub existed: bool,
    /// The directory's attributes afterwards.
    pub dir: Option<Attr>,
}

/// Something else than a regular file, made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Its handle.
    pub handle: Handle,
    /// Its attributes.
    pub attr: Attr,
    /// The directory's attributes afterwards.
    pub dir: Option<Attr>,
    /// A directory: changes of it by others are told.
    pub watched: bool,
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirent {
    /// Its name; never `.` or `..`, never with a `/`.
    pub name: Box<[u8]>,
    /// Inode number.
    pub ino: u64,
    /// `DT_*`, zero when unknown.
    pub dtype: u8,
    /// Attributes, when asked for and the entry was still there.
    pub attr: Option<Attr>,
}

/// A whole directory.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The directory's own attributes from just before.
    pub attr: Attr,
    /// Changes of it by others are told.
    pub watched: bool,
    /// All entries, in the host's order.
    pub entries: Vec<Dirent>,
}

/// A session with a gofer.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    forgotten: Mutex<Vec<Handle>>,
    events: OwnedFd,
}

impl Client {
    /// Greets the gofer at the other end of `sock` and gets its event pipe.
    ///
    /// `EIO` when the other end is not such a gofer.
    pub fn new(sock: OwnedFd) -> Result<Client, Errno> {
        Client::watched(sock, None)
    }

    /// The same; `waits` is told of each time a thread waits.
    pub fn watched(sock: OwnedFd, waits: Option<Arc<dyn Waits>>) -> Result<Client, Errno> {
        let channel = Channel::new(sock, waits);
        channel.call(&Call::Hello { version: VERSION })?;
        let events = channel.call(&Call::Events)?.fd.ok_or(Errno::EIO)?;
        Ok(Client {
            channel,
            forgotten: Mutex::new(Vec::new()),
            events,
        })
    }
}

/// Owner and mode of something new; `mode` has the umask applied already.
pub(crate) fn new_file(mode: u32, uid: u32, gid: u32) -> NewFile {
    NewFile { mode, uid, gid }
}
