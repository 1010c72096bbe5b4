//! [`FileMap`]: a file (or anonymous shared memory) as something that is mapped, and
//! [`Mappers`]: who maps a file.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Weak};

use abi::Errno;
use guestmem::FileWindow;

use super::frames::{FrameRange, Frames};
use super::{Backing, MapIdentity, Mappable, Mm};
use crate::Result;
use crate::sync::Mutex;

/// Size and alignment of the windows through which the kernel sees a host file.
const WINDOW: u64 = 4 << 20;
/// Windows kept per mapping.
const WINDOWS: usize = 8;

/// A window and where in which host file it stands.
struct Seen {
    file: Arc<OwnedFd>,
    offset: u64,
    writable: bool,
    window: Arc<FileWindow>,
}

/// A file as mapped by one `mmap(2)`; its mapping may be split and inherited.
pub struct FileMap {
    file: Arc<dyn Mappable>,
    shared_write: bool,
    windows: Mutex<Vec<Seen>>,
}

impl FileMap {
    /// A mapping of `file`; `shared_write` when the guest may write to the file through it.
    pub fn new(file: Arc<dyn Mappable>, shared_write: bool) -> Arc<FileMap> {
        file.mapped(1, shared_write);
        Arc::new(FileMap {
            file,
            shared_write,
            windows: Mutex::default(),
        })
    }

    /// The file.
    pub fn file(&self) -> &Arc<dyn Mappable> {
        &self.file
    }

    /// Whether `other` maps the same file in the same way.
    pub fn same(&self, other: &FileMap) -> bool {
        self.shared_write == other.shared_write && self.file.identity() == other.file.identity()
    }

    /// Makes the kernel look again at where the file stands.
    pub fn forget_windows(&self) {
        self.windows.lock().clear();
    }

    /// A window on `host` that holds `offset`, and the offset at which it begins.
    pub fn window(
        &self,
        host: &Arc<OwnedFd>,
        offset: u64,
        writable: bool,
    ) -> Result<(Arc<FileWindow>, u64)> {
        let begin = offset - offset % WINDOW;
        let mut seen = self.windows.lock();
        if let Some(s) = seen.iter().find(|s| {
            s.offset == begin && s.writable >= writable && s.file.as_raw_fd() == host.as_raw_fd()
        }) {
            return Ok((Arc::clone(&s.window), begin));
        }
        let window =
            FileWindow::new(host.as_fd(), begin, WINDOW, writable).map_err(|_| Errno::ENOMEM)?;
        let window = Arc::new(window);
        if seen.len() >= WINDOWS {
            seen.remove(0);
        }
        seen.push(Seen {
            file: Arc::clone(host),
            offset: begin,
            writable,
            window: Arc::clone(&window),
        });
        Ok((window, begin))
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        self.file.mapped(-1, self.shared_write);
    }
}

/// Anonymous memory that is shared (`MAP_SHARED | MAP_ANONYMOUS`).
pub struct SharedMemory {
    frames: Arc<Frames>,
    range: FrameRange,
    identity: MapIdentity,
}

impl SharedMemory {
    /// `len` bytes of zeroes, known in `/proc/PID/maps` as `identity`.
    pub fn new(frames: &Arc<Frames>, len: u64, identity: MapIdentity) -> Result<SharedMemory> {
        Ok(SharedMemory {
            range: frames.alloc(len)?,
            frames: Arc::clone(frames),
            identity,
        })
    }
}

impl Mappable for SharedMemory {
    fn frames(&self, offset: u64, len: u64, _write: bool) -> Result<Backing> {
        let left = self.range.len.checked_sub(offset).filter(|l| *l > 0);
        Ok(Backing::Memory {
            offset: self.range.offset + offset,
            len: left.ok_or(Errno::EFAULT)?.min(len),
        })
    }

    fn size(&self) -> u64 {
        self.range.len
    }

    fn identity(&self) -> MapIdentity {
        self.identity.clone()
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.saturating_add(len).min(self.range.len);
        if offset < end {
            let at = self.range.offset + offset;
            let punched = self.frames.file().punch(at, end - offset);
            punched.map_err(|_| Errno::ENOMEM)?;
        }
        Ok(())
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        self.frames.release(self.range);
    }
}

/// What `/dev/zero` maps: anonymous memory.
#[derive(Debug)]
pub struct Zeroes;

impl Mappable for Zeroes {
    fn frames(&self, _offset: u64, _len: u64, _write: bool) -> Result<Backing> {
        Err(Errno::ENODEV)
    }
    fn size(&self) -> u64 {
        u64::MAX
    }
    fn identity(&self) -> MapIdentity {
        MapIdentity::default()
    }
    fn anonymous(&self) -> bool {
        true
    }
}

/// The address spaces a file is mapped in; part of the inode.
#[derive(Default)]
pub struct Mappers {
    spaces: Mutex<Vec<Weak<Mm>>>,
}

impl Mappers {
    /// Remembers `mm` as one that may map the file.
    pub(super) fn add(&self, mm: &Weak<Mm>) {
        let mut spaces = self.spaces.lock();
        if !spaces.iter().any(|m| m.ptr_eq(mm)) {
            spaces.retain(|m| m.strong_count() > 0);
            spaces.push(mm.clone());
        }
    }

    /// Takes `offset..offset+len` of the file out of all guests; the next touch asks
    /// [`Mappable::frames`] again. Called by the file when that answer changes: before
    /// memory is released by truncation or punching, and after the host file was replaced.
    /// No lock of the file that `frames` or `size` takes may be held.
    pub fn invalidate(&self, offset: u64, len: u64) {
        self.take_off(offset, len, false);
    }

    /// The same from the page-aligned `offset` on, private copies included: the file ends
    /// there now.
    pub fn truncate(&self, offset: u64) {
        self.take_off(offset, u64::MAX - offset, true);
    }

    fn take_off(&self, offset: u64, len: u64, copies: bool) {
        let spaces: Vec<_> = self
            .spaces
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for mm in spaces {
            mm.invalidate(self, (offset, len), copies);
        }
    }
}
