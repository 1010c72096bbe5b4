//! The receive queue of a unix socket.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::UnixSocket;
use super::rights::Rights;
use crate::fs::File;
use crate::net::addr::UnixAddr;
use crate::net::{PeerCreds, WRITABLE};

/// What Linux charges a packet beyond its bytes, roughly.
const OVERHEAD: usize = 576;
/// A stream packet is filled up to this size by later sends.
const MERGE_MAX: usize = 16 * 1024;

/// One message, or a run of stream bytes.
pub(super) struct Packet {
    data: Vec<u8>,
    start: usize,
    pub(super) creds: Option<PeerCreds>,
    pub(super) rights: Rights,
    /// Sender's name when it was sent.
    pub(super) from_name: UnixAddr,
    /// One byte of urgent data.
    pub(super) urgent: bool,
    /// Message sockets: who is charged for it.
    pub(super) sender: Weak<UnixSocket>,
}

impl Packet {
    pub(super) fn new(data: Vec<u8>, creds: Option<PeerCreds>, rights: Rights) -> Packet {
        Packet {
            data,
            start: 0,
            creds,
            rights,
            from_name: UnixAddr::Unnamed,
            urgent: false,
            sender: Weak::new(),
        }
    }

    /// Bytes not yet read.
    pub(super) fn data(&self) -> &[u8] {
        self.data.get(self.start..).unwrap_or_default()
    }

    /// Splits the last byte off as an urgent packet.
    pub(super) fn split_last(&mut self) -> Packet {
        let last = self.data.pop().into_iter().collect();
        let mut packet = Packet::new(last, self.creds.clone(), Rights::default());
        packet.urgent = true;
        packet
    }

    /// What it counts against a buffer.
    pub(super) fn charge(&self) -> usize {
        self.data.len().saturating_add(OVERHEAD)
    }

    /// Drops `n` bytes from the front.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.data.len());
    }
}

/// Tells senders that found a queue full to look again; call it with no lock held.
pub(super) fn wake(blocked: Vec<Weak<UnixSocket>>) {
    for sender in blocked.iter().filter_map(Weak::upgrade) {
        sender.common.pollee.notify(WRITABLE);
    }
}

/// Packets in order.
#[derive(Default)]
pub(super) struct Rx {
    pub(super) packets: VecDeque<Packet>,
    /// Charge of all packets.
    pub(super) used: usize,
    /// Senders that found it full.
    pub(super) blocked: Vec<Weak<UnixSocket>>,
}

impl Rx {
    /// Unread bytes.
    pub(super) fn bytes(&self) -> usize {
        self.packets.iter().map(|p| p.data().len()).sum()
    }

    /// Appends a packet.
    pub(super) fn push(&mut self, packet: Packet) {
        self.used = self.used.saturating_add(packet.charge());
        self.packets.push_back(packet);
    }

    /// Appends stream bytes, to the last packet where nothing tells them apart.
    pub(super) fn push_stream(&mut self, packet: Packet) {
        if let Some(last) = self.packets.back_mut() {
            let urgent = last.urgent || packet.urgent;
            let plain = !urgent && last.rights.is_empty() && packet.rights.is_empty();
            let small = last.data.len() + packet.data.len() <= MERGE_MAX;
            if plain && small && last.creds == packet.creds {
                last.data.extend_from_slice(&packet.data);
                self.used = self.used.saturating_add(packet.data.len());
                return;
            }
        }
        self.push(packet);
    }

    /// Takes the packet at a place out.
    pub(super) fn take(&mut self, at: usize) {
        if let Some(packet) = self.packets.remove(at) {
            self.used = self.used.saturating_sub(packet.charge());
        }
    }

    /// Takes the first packet out.
    pub(super) fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.used = self.used.saturating_sub(packet.charge());
        Some(packet)
    }

    /// Senders that found it full, to be told with [`wake`].
    pub(super) fn take_blocked(&mut self) -> Vec<Weak<UnixSocket>> {
        std::mem::take(&mut self.blocked)
    }

    /// Remembers a sender that found it full.
    pub(super) fn block(&mut self, sender: &Weak<UnixSocket>) {
        if !self.blocked.iter().any(|b| b.ptr_eq(sender)) {
            self.blocked.push(sender.clone());
        }
    }

    /// Drops everything unread; descriptors in it are closed without recursion.
    pub(super) fn discard(mut self) {
        while let Some(packet) = self.pop() {
            packet.settle();
            packet.rights.discard();
        }
        wake(self.take_blocked());
    }
}

impl Packet {
    /// The sender is no longer charged for it.
    pub(super) fn settle(&self) {
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        let charge = self.charge();
        let before = sender.in_flight.fetch_sub(charge, Ordering::SeqCst);
        if before.saturating_sub(charge).saturating_mul(4) <= sender.common.sndbuf() {
            sender.common.pollee.notify(WRITABLE);
        }
    }

    /// The descriptors it carries, counted again (`MSG_PEEK`).
    pub(super) fn peek_files(&self) -> Vec<Arc<File>> {
        self.rights.files().to_vec()
    }
}
