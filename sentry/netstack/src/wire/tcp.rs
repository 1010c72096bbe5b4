//! TCP segments (RFC 9293) and their options (RFC 7323, RFC 2018).

use std::net::IpAddr;

use super::sum::Sum;
use super::{put, u16_at, u32_at};

/// Control bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data.
    pub const FIN: Flags = Flags(1);
    /// Synchronise.
    pub const SYN: Flags = Flags(2);
    /// Reset.
    pub const RST: Flags = Flags(4);
    /// Push.
    pub const PSH: Flags = Flags(8);
    /// The acknowledgement counts.
    pub const ACK: Flags = Flags(16);
    /// The urgent pointer counts.
    pub const URG: Flags = Flags(32);

    /// Whether all of `other` are set.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// Options of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Largest segment the sender takes.
    pub mss: Option<u16>,
    /// Shift of the sender's windows.
    pub wscale: Option<u8>,
    /// The sender takes selective acknowledgements.
    pub sack_ok: bool,
    /// Timestamp and echo.
    pub ts: Option<(u32, u32)>,
    /// Selective acknowledgements.
    pub sack: [(u32, u32); 4],
    /// How many of them there are.
    pub sacks: usize,
}

/// A segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window, not yet shifted.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Options,
    /// Data.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// Length in sequence space.
    pub fn len(&self) -> u32 {
        let data = u32::try_from(self.payload.len()).unwrap_or(0);
        data.wrapping_add(u32::from(self.flags.has(Flags::SYN)))
            .wrapping_add(u32::from(self.flags.has(Flags::FIN)))
    }

    /// Whether it takes no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads a segment whose checksum has been looked at.
pub fn parse(b: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(b.get(12)? >> 4) * 4;
    if header < 20 {
        return None;
    }
    Some(Segment {
        src: u16_at(b, 0)?,
        dst: u16_at(b, 2)?,
        seq: u32_at(b, 4)?,
        ack: u32_at(b, 8)?,
        flags: Flags(b.get(13)? & 0x3f),
        window: u16_at(b, 14)?,
        urgent: u16_at(b, 18)?,
        options: parse_options(b.get(20..header)?),
        payload: b.get(header..)?,
    })
}

fn parse_options(mut b: &[u8]) -> Options {
    let mut o = Options::default();
    while let Some((&kind, rest)) = b.split_first() {
        match kind {
            0 => break,
            1 => {
                b = rest;
                continue;
            }
            _ => {}
        }
        let len = usize::from(rest.first().copied().unwrap_or(0));
        let (Some(data), true) = (b.get(2..len), len >= 2) else {
            break;
        };
        match (kind, data.len()) {
            (2, 2) => o.mss = u16_at(data, 0),
            (3, 1) => o.wscale = data.first().map(|s| (*s).min(14)),
            (4, 0) => o.sack_ok = true,
            (5, _) => parse_sack(&mut o, data),
            (8, 8) => o.ts = u32_at(data, 0).zip(u32_at(data, 4)),
            _ => {}
        }
        b = b.get(len..).unwrap_or_default();
    }
    o
}

fn parse_sack(o: &mut Options, data: &[u8]) {
    for (slot, block) in o.sack.iter_mut().zip(data.chunks_exact(8)) {
        if let Some(pair) = u32_at(block, 0).zip(u32_at(block, 4)) {
            *slot = pair;
            o.sacks += 1;
        }
    }
}

/// A segment's header to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window, shifted.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Options,
}

impl Header {
    /// Appends the header to `out`; its length.
    pub fn emit(&self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&self.src.to_be_bytes());
        out.extend_from_slice(&self.dst.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.ack.to_be_bytes());
        out.extend_from_slice(&[0, self.flags.0]);
        out.extend_from_slice(&self.window.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.urgent.to_be_bytes());
        self.emit_options(out);
        let len = out.len().saturating_sub(start);
        let words = u8::try_from(len / 4).unwrap_or(5);
        put(out, start.saturating_add(12), &[words << 4]);
        len
    }

    fn emit_options(&self, out: &mut Vec<u8>) {
        let o = &self.options;
        if let Some(mss) = o.mss {
            out.extend_from_slice(&[2, 4]);
            out.extend_from_slice(&mss.to_be_bytes());
        }
        if let Some((val, echo)) = o.ts {
            let lead: [u8; 4] = if o.sack_ok {
                [4, 2, 8, 10]
            } else {
                [1, 1, 8, 10]
            };
            out.extend_from_slice(&lead);
            out.extend_from_slice(&val.to_be_bytes());
            out.extend_from_slice(&echo.to_be_bytes());
        } else if o.sack_ok {
            out.extend_from_slice(&[1, 1, 4, 2]);
        }
        if let Some(shift) = o.wscale {
            out.extend_from_slice(&[1, 3, 3, shift]);
        }
        let most = if o.ts.is_some() { 3 } else { 4 };
        let n = o.sacks.min(most);
        if n > 0 {
            let len = u8::try_from(n * 8 + 2).unwrap_or(2);
            out.extend_from_slice(&[1, 1, 5, len]);
            for (start, end) in o.sack.iter().take(n) {
                out.extend_from_slice(&start.to_be_bytes());
                out.extend_from_slice(&end.to_be_bytes());
            }
        }
    }
}

/// Whether the checksum of a segment or datagram in `b` is right.
pub fn sum_is_good(src: IpAddr, dst: IpAddr, proto: u8, b: &[u8]) -> bool {
    Sum::default()
        .pseudo(src, dst, proto, b.len())
        .with(b)
        .is_good()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_there_and_back() {
        let header = Header {
            src: 1,
            dst: 2,
            seq: 3,
            ack: 4,
            flags: Flags::SYN.with(Flags::ACK),
            window: 5,
            urgent: 0,
            options: Options {
                mss: Some(1460),
                wscale: Some(7),
                sack_ok: true,
                ts: Some((10, 20)),
                sack: [(1, 2), (0, 0), (0, 0), (0, 0)],
                sacks: 1,
            },
        };
        let mut out = Vec::new();
        let len = header.emit(&mut out);
        assert_eq!(len % 4, 0);
        let got = parse(&out).expect("parse");
        assert_eq!(got.options, header.options);
        assert_eq!((got.seq, got.ack, got.flags), (3, 4, header.flags));
    }

    #[test]
    fn hostile_options_end() {
        for bytes in [
            &[8u8, 0][..],
            &[8, 1],
            &[8, 200, 1],
            &[5, 255],
            &[2],
            &[254, 2, 254, 2],
        ] {
            parse_options(bytes);
        }
    }
}
