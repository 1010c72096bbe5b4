//! Reassembly of fragmented packets (RFC 791, RFC 8200 4.5). Overlaps are refused.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::Time;
use crate::wire::ip::{Fragment, Packet};

/// A packet must be whole after this time.
const LIFETIME: Time = 30_000_000;
/// Most packets and bytes under way.
const MAX_PACKETS: usize = 256;
const MAX_BYTES: usize = 4 << 20;
const MAX_PIECES: usize = 128;
const MAX_PACKET: usize = 65_535;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    id: u32,
}

#[derive(Debug)]
struct Partial {
    since: Time,
    header: Vec<u8>,
    pieces: Vec<(usize, Vec<u8>)>,
    end: Option<usize>,
    bytes: usize,
}

/// Packets under way.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    packets: HashMap<Key, Partial>,
    bytes: usize,
}

impl Reassembly {
    /// Takes a piece; header of the first piece and the payload once it is whole.
    pub(crate) fn take(
        &mut self,
        p: &Packet<'_>,
        f: Fragment,
        now: Time,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        self.expire(now);
        let key = Key {
            src: p.src,
            dst: p.dst,
            proto: p.proto,
            id: f.id,
        };
        let end = f.offset.checked_add(p.payload.len())?;
        let bad = p.payload.is_empty()
            || end > MAX_PACKET
            || (f.more && !p.payload.len().is_multiple_of(8));
        let fresh = !self.packets.contains_key(&key);
        if bad || (fresh && self.packets.len() >= MAX_PACKETS) || self.bytes >= MAX_BYTES {
            return None;
        }
        let partial = self.packets.entry(key).or_insert_with(|| Partial {
            since: now,
            header: Vec::new(),
            pieces: Vec::new(),
            end: None,
            bytes: 0,
        });
        let overlaps = partial
            .pieces
            .iter()
            .any(|(at, d)| *at < end && f.offset < at.saturating_add(d.len()));
        let wrong_end = partial
            .end
            .is_some_and(|e| end > e || (!f.more && e != end));
        if overlaps || wrong_end || partial.pieces.len() >= MAX_PIECES {
            self.drop_packet(&key);
            return None;
        }
        if f.offset == 0 {
            partial.header = p.header.to_vec();
        }
        if !f.more {
            partial.end = Some(end);
        }
        partial.pieces.push((f.offset, p.payload.to_vec()));
        partial.bytes += p.payload.len();
        self.bytes += p.payload.len();
        if partial.end != Some(partial.bytes) {
            return None;
        }
        self.bytes = self.bytes.saturating_sub(partial.bytes);
        let mut whole = self.packets.remove(&key)?;
        whole.pieces.sort_by_key(|(at, _)| *at);
        let data = whole.pieces.into_iter().flat_map(|(_, d)| d).collect();
        Some((whole.header, data))
    }

    fn drop_packet(&mut self, key: &Key) {
        if let Some(p) = self.packets.remove(key) {
            self.bytes = self.bytes.saturating_sub(p.bytes);
        }
    }

    fn expire(&mut self, now: Time) {
        let mut freed = 0;
        self.packets.retain(|_, p| {
            let keep = now.saturating_sub(p.since) < LIFETIME;
            if !keep {
                freed += p.bytes;
            }
            keep
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }
}
