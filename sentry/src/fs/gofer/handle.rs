//! Handles at the gofer, counted so that none is given back while a request names it.

use std::fmt;
use std::sync::Arc;

use abi::Errno;
use gofer::proto::Handle;

use super::Session;
use super::inode::GoferInode;
use crate::Result;
use crate::fs::vfs::FileType;

/// A handle; given back with the last reference.
pub struct Held {
    session: Arc<Session>,
    handle: Handle,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.handle)
    }
}

impl Held {
    /// Takes charge of a handle the gofer has just given.
    pub fn new(session: &Arc<Session>, handle: Handle) -> Arc<Held> {
        Arc::new(Held {
            session: session.clone(),
            handle,
        })
    }

    /// To name it in a request, while `self` is kept.
    pub fn handle(&self) -> Handle {
        self.handle
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.session.unwatch(self.handle);
        self.session.client().forget(self.handle);
    }
}

impl GoferInode {
    /// The file's handle. A file known from a listing only is looked up now, and so are the
    /// directories above it as far as their handles were let go. `ESTALE` when others have
    /// put something else there.
    pub fn handle(&self) -> Result<Arc<Held>> {
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let mut chain = Vec::new();
        let mut place = self.place().ok_or(Errno::ESTALE)?;
        let mut above = loop {
            let held = place.dir.held();
            chain.push(place.clone());
            if let Some(held) = held {
                break held;
            }
            place = place.dir.place().ok_or(Errno::ESTALE)?;
        };
        // From the top down; the last one is this file.
        while let Some(place) = chain.pop() {
            let target: &GoferInode = chain.last().map_or(self, |below| &below.dir);
            let session = &self.fs.session;
            let (handle, attr) = session.lookup(above.handle(), &place.name)?;
            let held = Held::new(session, handle);
            if !target.is_same(&attr) || (attr.dev, attr.ino) != target.key {
                place.dir.changed_by_others();
                return Err(Errno::ESTALE);
            }
            above = target.keep(held);
        }
        Ok(above)
    }

    /// Lets the handle go if the file can be found again by name. A directory loses its
    /// listing, which is not watched any more.
    pub(super) fn release_handle(&self) -> bool {
        let pinned = self.place().is_none() || self.is_removed() || self.data.is_pinned();
        if pinned {
            return false;
        }
        if self.file_type == FileType::Directory {
            self.forget_listing();
        }
        let held = self.take_held();
        drop(held);
        true
    }
}
