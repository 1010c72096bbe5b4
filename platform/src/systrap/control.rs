//! The control file: command pages and thread areas of all stubs, in chunks.
//!
//! The Sentry sees it whole through one [`Window`]; a stub maps only its own chunks. A chunk
//! goes back to the pool when the stub that had it is reaped, and is punched out then, so
//! that the next owner finds zeros. Neighbours: `layout` (what is in a chunk).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;

use super::layout::CHUNK;
use super::raw::{Place, Window};
use crate::PlatformError;

/// Chunks in the file: room for 262,144 threads of the smallest area.
const CHUNKS: u32 = 32_768;

/// The control file and its allocator.
pub struct Control {
    file: OwnedFd,
    window: Window,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    free: Vec<u32>,
    next: u32,
}

/// A chunk in use; returned to the pool on drop.
pub struct Chunk {
    control: Arc<Control>,
    index: u32,
}

impl Control {
    /// Makes the file and maps it.
    pub fn new() -> Result<Arc<Self>, PlatformError> {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let exhausted = |errno: i32| PlatformError::Exhausted {
            what: "making the control file",
            errno,
        };
        let file =
            memfd_create(c"control", MFdFlags::MFD_CLOEXEC).map_err(|e| exhausted(e as i32))?;
        let len = u64::from(CHUNKS) * CHUNK;
        nix::unistd::ftruncate(&file, i64::try_from(len).unwrap_or(0))
            .map_err(|e| exhausted(e as i32))?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let window =
            Window::map(Place::Any, len, prot, Some((file.as_fd(), 0))).map_err(exhausted)?;
        Ok(Arc::new(Self {
            file,
            window,
            pool: Mutex::default(),
        }))
    }

    /// The file.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The Sentry's view of the file.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Takes a zeroed chunk.
    pub fn take(self: &Arc<Self>) -> Result<Chunk, PlatformError> {
        let mut pool = self.pool.lock();
        let index = match pool.free.pop() {
            Some(index) => index,
            None if pool.next < CHUNKS => {
                pool.next += 1;
                pool.next - 1
            }
            None => {
                let what = "taking a control chunk";
                return Err(PlatformError::Exhausted {
                    what,
                    errno: libc::EAGAIN,
                });
            }
        };
        Ok(Chunk {
            control: self.clone(),
            index,
        })
    }
}

impl Chunk {
    /// Its offset in the control file.
    pub fn offset(&self) -> u64 {
        u64::from(self.index) * CHUNK
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        use nix::fcntl::{FallocateFlags, fallocate};
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let offset = i64::try_from(self.offset()).unwrap_or(0);
        let punched = fallocate(&self.control.file, flags, offset, CHUNK as i64);
        if punched.is_err() {
            self.control.window.clear(self.offset(), CHUNK as usize);
        }
        self.control.pool.lock().free.push(self.index);
    }
}
