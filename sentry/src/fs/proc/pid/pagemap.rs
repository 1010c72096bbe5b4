//! `/proc/PID/pagemap` (`proc_pid_pagemap(5)`): a word for each page of the address space.
//! Frame numbers are 0, as for readers without `CAP_SYS_ADMIN`.

use std::any::Any;
use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};

use crate::Result;
use crate::fs::file::{FileOps, IoCx, Whence};
use crate::fs::pseudo::seek;
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

/// Opens the page map of `task`.
pub(super) fn open(task: &Arc<Task>) -> Arc<dyn FileOps> {
    Arc::new(OpenMap(task.mm()))
}

/// An open one.
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
