//! Bytes of packets: parsing and writing, every length checked.
//!
//! Parsers return `None` for what is cut short or malformed; nothing here keeps state.
//! [`ip`] reads IPv4 and IPv6 alike, [`tcp`] reads and writes segments, [`sum`] is the
//! Internet checksum, [`vnet`] the offload header of packet sockets.

pub mod ip;
pub mod sum;
pub mod tcp;
pub mod vnet;

/// Room kept before a transport header: offload header, Ethernet and IPv6.
pub const HEADROOM: usize = vnet::LEN + ETH_LEN + 40;
/// Bytes of an Ethernet header.
pub const ETH_LEN: usize = 14;
/// `ETH_P_IP`.
pub const ETH_IPV4: u16 = 0x0800;
/// `ETH_P_ARP`.
pub const ETH_ARP: u16 = 0x0806;
/// `ETH_P_IPV6`.
pub const ETH_IPV6: u16 = 0x86dd;
/// `IPPROTO_ICMP`.
pub const ICMP: u8 = 1;
/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `IPPROTO_ICMPV6`.
pub const ICMPV6: u8 = 58;

/// A hardware address.
pub type Mac = [u8; 6];

/// A big-endian u16.
pub fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    let bytes = b.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_be_bytes)
}

/// A big-endian u32.
pub fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    let bytes = b.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// `N` bytes.
pub fn array_at<const N: usize>(b: &[u8], at: usize) -> Option<[u8; N]> {
    b.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Writes bytes at a place; what does not fit is not written.
pub fn put(b: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = b.get_mut(at..at.saturating_add(bytes.len())) {
        to.copy_from_slice(bytes);
    }
}

/// A length as the wire's 16 bits; lengths here are below 64 KiB by construction.
pub fn len16(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
