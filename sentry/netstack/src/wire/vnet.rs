//! `struct virtio_net_hdr`, which a packet socket with `PACKET_VNET_HDR` puts before each
//! frame (`packet(7)`): checksums left to the device, and frames larger than the MTU.

use super::u16_at;

/// Bytes of the header.
pub const LEN: usize = 10;
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
/// `VIRTIO_NET_HDR_GSO_TCPV4`.
pub const GSO_TCPV4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV6`.
pub const GSO_TCPV6: u8 = 4;

/// What a received frame's header says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// The transport checksum need not be looked at.
    pub checked: bool,
    /// Size of the segments the frame was glued from, 0 for none.
    pub gso_size: u16,
}

/// Reads a header; the frame behind it.
pub fn parse(b: &[u8]) -> Option<(Received, &[u8])> {
    let flags = *b.first()?;
    let gso = *b.get(1)?;
    let size = u16::from_le_bytes(u16_at(b, 4)?.to_be_bytes());
    let rest = b.get(LEN..)?;
    let got = Received {
        checked: flags & (NEEDS_CSUM | DATA_VALID) != 0,
        gso_size: if gso == 0 { 0 } else { size },
    };
    Some((got, rest))
}

/// What a sent frame leaves to the device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offload {
    /// Where the transport header starts in the frame, and where in it the checksum lies.
    pub csum: Option<(u16, u16)>,
    /// GSO type, segment size and length of all headers; a type of 0 for none.
    pub gso: (u8, u16, u16),
}

impl Offload {
    /// The header.
    pub fn emit(&self) -> [u8; LEN] {
        let (kind, size, headers) = self.gso;
        let (start, at) = self.csum.unwrap_or((0, 0));
        let [h0, h1] = headers.to_le_bytes();
        let [s0, s1] = size.to_le_bytes();
        let [c0, c1] = start.to_le_bytes();
        let [a0, a1] = at.to_le_bytes();
        let flags = if self.csum.is_some() { NEEDS_CSUM } else { 0 };
        [flags, kind, h0, h1, s0, s1, c0, c1, a0, a1]
    }
}
