//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, read into one form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::sum::Sum;
use super::{array_at, len16, put, u16_at, u32_at};

/// A piece of a fragmented packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// Where it belongs, in bytes.
    pub offset: usize,
    /// More follow.
    pub more: bool,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol of the payload.
    pub proto: u8,
    /// Hops left.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// A piece only.
    pub fragment: Option<Fragment>,
    /// Header with its options or extensions.
    pub header: &'a [u8],
    /// What follows it.
    pub payload: &'a [u8],
}

/// Reads a packet of either version.
pub fn parse(b: &[u8]) -> Option<Packet<'_>> {
    match b.first()? >> 4 {
        4 => parse_v4(b),
        6 => parse_v6(b),
        _ => None,
    }
}

fn parse_v4(b: &[u8]) -> Option<Packet<'_>> {
    let header_len = usize::from(b.first()? & 0xf) * 4;
    let total = usize::from(u16_at(b, 2)?);
    if header_len < 20 || total < header_len {
        return None;
    }
    let header = b.get(..header_len)?;
    if !Sum::default().with(header).is_good() {
        return None;
    }
    let frag = u16_at(b, 6)?;
    let offset = usize::from(frag & 0x1fff) * 8;
    let more = frag & 0x2000 != 0;
    Some(Packet {
        src: IpAddr::V4(Ipv4Addr::from(array_at::<4>(b, 12)?)),
        dst: IpAddr::V4(Ipv4Addr::from(array_at::<4>(b, 16)?)),
        proto: *b.get(9)?,
        ttl: *b.get(8)?,
        tos: *b.get(1)?,
        fragment: (more || offset > 0).then_some(Fragment {
            id: u32::from(u16_at(b, 4)?),
            offset,
            more,
        }),
        header,
        payload: b.get(header_len..total)?,
    })
}

fn parse_v6(b: &[u8]) -> Option<Packet<'_>> {
    /// Most extension headers looked through.
    const MAX_EXTENSIONS: usize = 8;
    let first = u32_at(b, 0)?;
    let len = usize::from(u16_at(b, 4)?);
    let whole = b.get(..len.checked_add(40)?)?;
    let mut next = *b.get(6)?;
    let mut at = 40usize;
    let mut fragment = None;
    for _ in 0..MAX_EXTENSIONS {
        match next {
            // Hop by hop, routing, destination options.
            0 | 43 | 60 => {
                if next == 43 && *whole.get(at.checked_add(3)?)? != 0 {
                    return None;
                }
                next = *whole.get(at)?;
                let n = usize::from(*whole.get(at.checked_add(1)?)?);
                at = at.checked_add((n + 1) * 8)?;
            }
            44 => {
                let word = u16_at(whole, at.checked_add(2)?)?;
                fragment = Some(Fragment {
                    id: u32_at(whole, at.checked_add(4)?)?,
                    offset: usize::from(word & 0xfff8),
                    more: word & 1 != 0,
                });
                next = *whole.get(at)?;
                at = at.checked_add(8)?;
                break;
            }
            _ => break,
        }
    }
    Some(Packet {
        src: IpAddr::V6(Ipv6Addr::from(array_at::<16>(b, 8)?)),
        dst: IpAddr::V6(Ipv6Addr::from(array_at::<16>(b, 24)?)),
        proto: next,
        ttl: *b.get(7)?,
        tos: u8::try_from((first >> 20) & 0xff).unwrap_or(0),
        fragment: fragment.filter(|f| f.more || f.offset > 0),
        header: whole.get(..at)?,
        payload: whole.get(at..)?,
    })
}

/// Fields of a header to write.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Source.
    pub src: IpAddr,
    /// Destination, of the same version.
    pub dst: IpAddr,
    /// Protocol of the payload.
    pub proto: u8,
    /// Hops.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// May not be fragmented (IPv4).
    pub df: bool,
    /// Identification (IPv4).
    pub id: u16,
}

/// Bytes of a header without options.
pub fn header_len(ip: IpAddr) -> usize {
    if ip.is_ipv4() { 20 } else { 40 }
}

impl Header {
    /// Writes the header into the first bytes of `b` for a payload of `len` bytes.
    pub fn emit(&self, b: &mut [u8], len: usize) {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.emit_v4(b, len, src, dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.emit_v6(b, len, src, dst),
            _ => {}
        }
    }

    fn emit_v4(&self, b: &mut [u8], len: usize, src: Ipv4Addr, dst: Ipv4Addr) {
        let frag: u16 = if self.df { 0x4000 } else { 0 };
        put(b, 0, &[0x45, self.tos]);
        put(b, 2, &len16(len.saturating_add(20)).to_be_bytes());
        put(b, 4, &self.id.to_be_bytes());
        put(b, 6, &frag.to_be_bytes());
        put(b, 8, &[self.ttl, self.proto, 0, 0]);
        put(b, 12, &src.octets());
        put(b, 16, &dst.octets());
        fix_v4_sum(b);
    }

    fn emit_v6(&self, b: &mut [u8], len: usize, src: Ipv6Addr, dst: Ipv6Addr) {
        let first = 0x6000_0000 | (u32::from(self.tos) << 20);
        put(b, 0, &first.to_be_bytes());
        put(b, 4, &len16(len).to_be_bytes());
        put(b, 6, &[self.proto, self.ttl]);
        put(b, 8, &src.octets());
        put(b, 24, &dst.octets());
    }
}

/// Computes the checksum of the IPv4 header at the start of `b`.
pub fn fix_v4_sum(b: &mut [u8]) {
    let len = b.first().map_or(0, |v| usize::from(v & 0xf) * 4);
    put(b, 10, &[0, 0]);
    let sum = b.get(..len).map(|h| Sum::default().with(h).finish());
    if let Some(sum) = sum {
        put(b, 10, &sum);
    }
}
