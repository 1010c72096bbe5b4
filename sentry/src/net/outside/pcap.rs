//! A record of all frames in the format of pcap(3) (`LINKTYPE_ETHERNET`).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Kernel;
use crate::sync::Mutex;

const MAGIC: u32 = 0xa1b2_c3d4;
const MAX_FRAME: usize = 262_144;

/// The record, if there is one. Lock rank: leaf.
#[derive(Default)]
pub(super) struct Pcap {
    on: AtomicBool,
    file: Mutex<Option<OwnedFd>>,
}

impl Pcap {
    /// Starts a record.
    pub(super) fn open(&self, file: OwnedFd) {
        let mut head = Vec::with_capacity(24);
        head.extend_from_slice(&MAGIC.to_ne_bytes());
        head.extend_from_slice(&2u16.to_ne_bytes());
        head.extend_from_slice(&4u16.to_ne_bytes());
        head.extend_from_slice(&[0; 8]);
        head.extend_from_slice(&262_144u32.to_ne_bytes());
        head.extend_from_slice(&1u32.to_ne_bytes());
        if platform::host::write_at(file.as_fd(), None, &head).is_ok() {
            *self.file.lock() = Some(file);
            self.on.store(true, Ordering::Release);
        }
    }

    /// Writes a frame down.
    pub(super) fn frame(&self, kernel: &Kernel, frame: &[u8]) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let now = kernel.clock.realtime();
        let frame = frame.get(..frame.len().min(MAX_FRAME)).unwrap_or_default();
        let len = u32::try_from(frame.len()).unwrap_or(0);
        let mut record = Vec::with_capacity(16 + frame.len());
        let secs = u32::try_from(now.as_secs()).unwrap_or(0);
        record.extend_from_slice(&secs.to_ne_bytes());
        record.extend_from_slice(&now.subsec_micros().to_ne_bytes());
        record.extend_from_slice(&len.to_ne_bytes());
        record.extend_from_slice(&len.to_ne_bytes());
        record.extend_from_slice(frame);
        let mut file = self.file.lock();
        let Some(fd) = file.as_ref() else {
            return;
        };
        if platform::host::write_at(fd.as_fd(), None, &record).is_err() {
            // A record with a hole would be worse than a short one.
            *file = None;
            self.on.store(false, Ordering::Release);
        }
    }
}
