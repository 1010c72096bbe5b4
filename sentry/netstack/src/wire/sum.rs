//! The Internet checksum (RFC 1071), eight bytes at a time.

use std::net::IpAddr;

/// A sum under way. Parts but the last must have an even length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// With these bytes.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Sum {
        let mut acc = self.0;
        let mut words = bytes.chunks_exact(8);
        for w in &mut words {
            let v = <[u8; 8]>::try_from(w).map_or(0, u64::from_ne_bytes);
            acc = acc.wrapping_add(v >> 32).wrapping_add(v & 0xffff_ffff);
        }
        for pair in words.remainder().chunks(2) {
            let raw = [
                pair.first().copied().unwrap_or(0),
                pair.get(1).copied().unwrap_or(0),
            ];
            acc = acc.wrapping_add(u64::from(u16::from_ne_bytes(raw)));
        }
        Sum(acc)
    }

    /// With the pseudo header of a transport protocol.
    #[must_use]
    pub fn pseudo(self, src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Sum {
        let sum = match (src, dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => self.with(&s.octets()).with(&d.octets()),
            (IpAddr::V6(s), IpAddr::V6(d)) => self.with(&s.octets()).with(&d.octets()),
            _ => self,
        };
        let len = u32::try_from(len).unwrap_or(0).to_be_bytes();
        sum.with(&len).with(&[0, proto])
    }

    fn fold(self) -> u16 {
        let mut acc = self.0;
        while acc > 0xffff {
            acc = (acc >> 16) + (acc & 0xffff);
        }
        u16::try_from(acc).unwrap_or(0)
    }

    /// The sum itself, not complemented, as it is stored for a device that goes on with it.
    pub fn partial(self) -> [u8; 2] {
        self.fold().to_ne_bytes()
    }

    /// The checksum, as it is stored.
    pub fn finish(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }

    /// Whether bytes that contain their checksum are whole.
    pub fn is_good(self) -> bool {
        self.fold() == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1071_example() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().with(&data).partial(), [0xdd, 0xf2]);
        let check = Sum::default().with(&data).finish();
        assert!(Sum::default().with(&data).with(&check).is_good());
        assert!(!Sum::default().with(&data).with(&[0, 0]).is_good());
    }

    #[test]
    fn odd_lengths() {
        let whole = Sum::default()
            .with(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
            .finish();
        let parts = Sum::default()
            .with(&[1, 2])
            .with(&[3, 4, 5, 6, 7, 8, 9, 10, 11])
            .finish();
        assert_eq!(whole, parts);
    }
}
