//! The donated descriptors of a regular file.
//!
//! There is one at a time: for reading, until the first writer comes and its descriptor for
//! both takes the place. A host file system that copies a file when it is first written
//! (overlayfs) would show readers of the old one the old data, so mappings are made again.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use abi::Errno;
use gofer::OpenMode;

use super::inode::GoferInode;
use crate::Result;
use crate::mm::Mappers;
use crate::sync::Mutex;

/// A descriptor and whether it can write.
#[derive(Clone)]
struct Donated {
    fd: Arc<OwnedFd>,
    writes: bool,
}

#[derive(Default)]
struct State {
    now: Option<Donated>,
    /// Descriptions of the guest open for writing.
    writers: u32,
}

/// The descriptors of a regular file; unused for other types.
#[derive(Default)]
pub(super) struct Data {
    state: Mutex<State>,
    /// Serialises appends.
    pub append: Mutex<()>,
    /// Mappings that stand on the descriptor.
    maps: AtomicI32,
    /// Those of them the guest stores through, which changes times unnoticed.
    write_maps: AtomicI32,
    pub mappers: Mappers,
}

impl Data {
    /// The descriptor there is, whatever it can do.
    pub fn any(&self) -> Option<Arc<OwnedFd>> {
        self.state.lock().now.as_ref().map(|d| d.fd.clone())
    }

    /// Whether mappings need it.
    pub fn is_pinned(&self) -> bool {
        self.maps.load(Ordering::Acquire) > 0
    }

    /// A mapping was made or went away.
    pub fn mapped(&self, delta: i32, writes: bool) {
        self.maps.fetch_add(delta, Ordering::AcqRel);
        if writes {
            self.write_maps.fetch_add(delta, Ordering::AcqRel);
        }
    }

    /// Whether the guest may be storing through a mapping.
    pub fn is_stored_to(&self) -> bool {
        self.write_maps.load(Ordering::Acquire) > 0
    }

    /// Closes the descriptor unless mappings need it; whether that is done.
    pub fn release(&self) -> bool {
        if self.is_pinned() {
            return false;
        }
        let old = self.state.lock().now.take();
        drop(old);
        true
    }

    /// A writer has closed: with the last one the descriptor for writing goes.
    fn writer_gone(&self) {
        let mut state = self.state.lock();
        state.writers = state.writers.saturating_sub(1);
        drop(state);
        self.trim();
    }

    /// Closes a descriptor for writing that nobody needs any more.
    pub fn trim(&self) {
        let mut state = self.state.lock();
        let unused = state.writers == 0 && !self.is_pinned();
        let old = state.now.take_if(|d| unused && d.writes);
        drop(state);
        drop(old);
    }
}

impl GoferInode {
    /// The gofer gave a descriptor for both with the new file.
    pub(super) fn made_open(&self, fd: OwnedFd) {
        self.data.state.lock().now = Some(Donated {
            fd: Arc::new(fd),
            writes: true,
        });
        self.fs.session.descriptor_kept(self.weak.clone());
    }

    /// A descriptor that reads.
    pub(super) fn reader(&self) -> Result<Arc<OwnedFd>> {
        match self.data.any() {
            Some(fd) => Ok(fd),
            None => self.obtain(false),
        }
    }

    /// A descriptor that reads and writes.
    pub(super) fn writer(&self) -> Result<Arc<OwnedFd>> {
        let now = self.data.state.lock().now.clone();
        match now.filter(|d| d.writes) {
            Some(d) => Ok(d.fd),
            None => self.obtain(true),
        }
    }

    fn obtain(&self, write: bool) -> Result<Arc<OwnedFd>> {
        let held = self.handle()?;
        let client = self.fs.session.client();
        let mode = OpenMode { read: true, write };
        let fd = match client.open(held.handle(), mode) {
            Err(Errno::EMFILE | Errno::ENFILE) => {
                for _ in 0..8 {
                    self.fs.session.shrink_donated();
                }
                client.open(held.handle(), mode)?
            }
            other => other?,
        };
        let new = Donated {
            fd: Arc::new(fd),
            writes: write,
        };
        let mut state = self.data.state.lock();
        if let Some(first) = state.now.as_ref().filter(|d| d.writes || !write) {
            return Ok(first.fd.clone());
        }
        let old = state.now.replace(new.clone());
        drop(state);
        match old {
            Some(_) if self.fs.copies_up => self.data.mappers.invalidate(0, u64::MAX),
            Some(_) => {}
            None => self.fs.session.descriptor_kept(self.weak.clone()),
        }
        Ok(new.fd)
    }

    /// A description opens the file. What the host refuses is refused now.
    pub(super) fn opened(&self, writable: bool) -> Result<()> {
        if writable {
            self.writer()?;
            self.data.state.lock().writers += 1;
        } else {
            self.reader()?;
        }
        Ok(())
    }

    /// It is closed.
    pub(super) fn closed(&self, writable: bool) {
        if writable {
            // Looked at while that is cheap: often somebody asks soon.
            self.look_last();
            self.data.writer_gone();
        }
    }
}
