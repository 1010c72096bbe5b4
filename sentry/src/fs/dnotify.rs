//! Signals about changes in a directory (`fcntl(2)`, `F_NOTIFY`).
//!
//! A [`DirWatch`] hangs on the directory's inode beside the watches of [`super::inotify`],
//! which calls [`tell`]. Lock rank: leaf.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi::Errno;

use super::async_io::Teller;
use super::file::File;
use super::inotify::Mask;
use super::lease;
use super::vfs::{FileType, Inode, Path};
use crate::Result;
use crate::sync::Mutex;
use crate::task::Task;

bitflags::bitflags! {
    /// `DN_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Events: u32 {
        const ACCESS = 1;
        const MODIFY = 2;
        const CREATE = 4;
        const DELETE = 8;
        const RENAME = 0x10;
        const ATTRIB = 0x20;
        const MULTISHOT = 0x8000_0000;
    }
}

impl Events {
    /// What an event of a directory is here.
    fn of(mask: Mask) -> Events {
        let mut events = Events::empty();
        events.set(Events::ACCESS, mask.contains(Mask::ACCESS));
        events.set(Events::MODIFY, mask.contains(Mask::MODIFY));
        events.set(
            Events::CREATE,
            mask.intersects(Mask::CREATE | Mask::MOVED_TO),
        );
        events.set(
            Events::DELETE,
            mask.intersects(Mask::DELETE | Mask::MOVED_FROM),
        );
        events.set(Events::ATTRIB, mask.contains(Mask::ATTRIB));
        events
    }
}

struct DirWatch {
    file: Weak<File>,
    /// The descriptor table it was asked through: closing it there ends the watch.
    table: usize,
    teller: Teller,
    events: Events,
}

/// The watches of a directory.
#[derive(Default)]
struct DirWatches(Mutex<Vec<DirWatch>>);

/// `F_NOTIFY`: adds to what `file` is told of, or with no event ends it. `ENOTDIR`.
pub fn notify(t: &Arc<Task>, fd: i32, file: &Arc<File>, arg: u64) -> Result<()> {
    let events = Events::from_bits_retain((arg & 0xffff_ffff) as u32);
    let table = t.files().owner_id();
    if (events - Events::MULTISHOT).is_empty() {
        closed(file, table);
        return Ok(());
    }
    let inode = file.inode().ok_or(Errno::ENOTDIR)?;
    if inode.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    if let Some(path) = &file.path {
        path.mount.sb.watched.store(true, Ordering::SeqCst);
    }
    lease::own_by_default(t, file);
    let watches = inode.extra().get_or_insert(DirWatches::default);
    let mut list = watches.0.lock();
    let own = |w: &&mut DirWatch| w.table == table && std::ptr::eq(w.file.as_ptr(), &**file);
    match list.iter_mut().find(own) {
        Some(there) => {
            there.events |= events;
            there.teller = Teller::new(file, fd);
        }
        None => list.push(DirWatch {
            file: Arc::downgrade(file),
            table,
            teller: Teller::new(file, fd),
            events,
        }),
    }
    Ok(())
}

/// A descriptor of `file` was closed in a table.
pub fn closed(file: &Arc<File>, table: usize) {
    let watched = file.path.as_ref();
    if !watched.is_some_and(|p| p.mount.sb.watched.load(Ordering::Relaxed)) {
        return;
    }
    if let Some(watches) = file.inode().and_then(|i| i.extra().get::<DirWatches>()) {
        let own = |w: &DirWatch| w.table == table && std::ptr::eq(w.file.as_ptr(), &**file);
        watches.0.lock().retain(|w| !own(w));
    }
}

/// Something happened in a directory.
pub(super) fn tell(dir: &Arc<dyn Inode>, mask: Mask) {
    tell_events(dir, Events::of(mask));
}

/// A name in a directory became another one there.
pub(super) fn renamed(dir: &Path) {
    if dir.mount.sb.watched.load(Ordering::Relaxed)
        && let Ok(dir) = dir.inode()
    {
        tell_events(&dir, Events::RENAME);
    }
}

fn tell_events(dir: &Arc<dyn Inode>, events: Events) {
    if events.is_empty() || dir.kind() != FileType::Directory {
        return;
    }
    let Some(watches) = dir.extra().get::<DirWatches>() else {
        return;
    };
    let mut told = Vec::new();
    watches.0.lock().retain(|w| {
        if !w.events.intersects(events) {
            return true;
        }
        told.push((w.file.clone(), w.teller.clone()));
        w.events.contains(Events::MULTISHOT)
    });
    for (file, teller) in told {
        if let Some(file) = file.upgrade() {
            teller.tell_message(&file);
        }
    }
}
