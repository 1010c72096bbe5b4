//! `/proc/PID/pagemap` (`proc_pid_pagemap(5)`): a word for each page of the address space.
//! Frame numbers are 0, as for readers without `CAP_SYS_ADMIN`.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use abi::{Errno, PAGE_SIZE};

use super::{Subject, may_look};
use crate::Result;
use crate::fs::file::{FileOps, IoCx, OpenFlags, Whence};
use crate::fs::pseudo::{Node, seek};
use crate::fs::vfs::{Attr, FileType, Inode, InodeExtra};
use crate::io::IoDst;
use crate::mm::Mm;
use crate::task::Task;

/// Bytes of a word.
const WORD: u64 = 8;
/// Pages told at a time.
const CHUNK: u64 = 512;
/// Bits: present, of a file or shared, not written since it was cleared (never done here).
const PRESENT: u64 = 1 << 63;
const FILE: u64 = 1 << 61;
const SOFT_DIRTY: u64 = 1 << 55;

/// The file of a process.
pub struct PageMap {
    node: Node,
    subject: Subject,
}

impl PageMap {
    /// Of the directory's process.
    pub fn new(subject: &Subject) -> Arc<PageMap> {
        Arc::new(PageMap {
            node: subject.node("pagemap", 0o400),
            subject: subject.clone(),
        })
    }
}

impl Inode for PageMap {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::Regular
    }
    fn attr(&self) -> Result<Attr> {
        Ok(self.node.attr(FileType::Regular, 1, 0, Duration::ZERO))
    }
    fn open(self: Arc<Self>, _flags: OpenFlags, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        let task = self.subject.task()?;
        may_look(t, &task)?;
        Ok(Arc::new(OpenMap(task.mm())))
    }
    fn extra(&self) -> &InodeExtra {
        self.node.extra()
    }
    fn dev(&self) -> u64 {
        self.node.dev
    }
}

struct OpenMap(Arc<Mm>);

impl OpenMap {
    /// The words of `n` pages from `addr` on.
    fn words(&self, addr: u64, n: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for i in 0..n {
            let page = addr.saturating_add(i * PAGE_SIZE);
            let word = self.0.page_kind(page).map_or(0, |(present, file)| {
                let present = if present { PRESENT } else { 0 };
                let file = if file && present != 0 { FILE } else { 0 };
                present | file | SOFT_DIRTY
            });
            out.extend_from_slice(&word.to_ne_bytes());
        }
        out
    }
}

impl FileOps for OpenMap {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let len = dst.remaining() as u64;
        if !pos.is_multiple_of(WORD) || !len.is_multiple_of(WORD) {
            return Err(Errno::EINVAL);
        }
        let end = self.0.range().1 / PAGE_SIZE;
        let mut page = pos / WORD;
        let mut done = 0;
        while dst.remaining() as u64 >= WORD && page < end {
            let n = (dst.remaining() as u64 / WORD).min(CHUNK).min(end - page);
            done += dst.put(&self.words(page * PAGE_SIZE, n))?;
            page += n;
        }
        Ok(done)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        seek(cur, offset, whence)
    }
}
