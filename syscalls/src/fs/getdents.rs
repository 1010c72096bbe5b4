//! `getdents64(2)`, `getdents(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::inotify::Mask;
use sentry::fs::vfs::{DirEntry, DirSink, FileType};
use sentry::{SysResult, Task};

use crate::arg::{Fd, UserBuf};
use crate::io;

/// Most bytes gathered by one call, whatever the caller has room for.
const MAX_BATCH: usize = 1 << 18;

/// Gathers records.
struct Records {
    bytes: Vec<u8>,
    room: usize,
    /// `struct linux_dirent` instead of `linux_dirent64`.
    old: bool,
    too_small: bool,
}

impl Records {
    /// The records that lie whole in the first `len` bytes: their length, and the position
    /// behind the last; `None` when there is none.
    fn whole(&self, len: usize) -> Option<(usize, u64)> {
        let (mut at, mut found) = (0, None);
        while let Some([off @ .., a, b]) = self.bytes.get(at + 8..at + 18)
            && let Ok(off) = <[u8; 8]>::try_from(off)
        {
            at += usize::from(u16::from_ne_bytes([*a, *b]));
            if at > len {
                break;
            }
            found = Some((at, u64::from_ne_bytes(off)));
        }
        found
    }
}

impl DirSink for Records {
    fn entry(&mut self, e: DirEntry<'_>) -> bool {
        // ino, off, reclen, then type and name, or name and type at the very end.
        let len = (8 + 8 + 2 + 1 + e.name.len() + 1).next_multiple_of(8);
        if self.bytes.len() + len > self.room {
            self.too_small |= self.bytes.is_empty();
            return false;
        }
        let kind = e.kind.map_or(0, FileType::dirent_type);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&e.ino.to_ne_bytes());
        self.bytes.extend_from_slice(&e.next.to_ne_bytes());
        let reclen = u16::try_from(len).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&reclen.to_ne_bytes());
        if !self.old {
            self.bytes.push(kind);
        }
        self.bytes.extend_from_slice(e.name);
        self.bytes.resize(start + len, 0);
        if self.old
            && let Some(last) = self.bytes.last_mut()
        {
            *last = kind;
        }
        true
    }
}

fn read_dir(t: &Arc<Task>, fd: Fd, buf: UserBuf, count: u32, old: bool) -> SysResult<usize> {
    let file = io::file(t, fd)?;
    let room = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_BATCH);
    let mut records = Records {
        bytes: Vec::new(),
        room,
        old,
        too_small: false,
    };
    let mut offset = file.offset.lock();
    let mut pos = *offset;
    file.ops
        .read_dir(&file.cx(Some(t)), &mut pos, &mut records)?;
    if records.too_small {
        return Err(Errno::EINVAL.into());
    }
    let len = match t.mm().copy_out(buf.0, &records.bytes) {
        Ok(()) => records.bytes.len(),
        Err(fault) => {
            let (len, next) = records.whole(fault.done).ok_or(fault.errno)?;
            pos = next;
            len
        }
    };
    *offset = pos;
    io::transfer::tell(&file, Mask::ACCESS);
    Ok(len)
}

/// `getdents64(2)`.
pub fn getdents64(t: &Arc<Task>, fd: Fd, buf: UserBuf, count: u32) -> SysResult<usize> {
    read_dir(t, fd, buf, count, false)
}

/// `getdents(2)`.
pub fn getdents(t: &Arc<Task>, fd: Fd, buf: UserBuf, count: u32) -> SysResult<usize> {
    read_dir(t, fd, buf, count, true)
}
