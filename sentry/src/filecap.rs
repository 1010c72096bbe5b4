//! [`FileCaps`]: the capabilities a file gives to who executes it (`capabilities(7)`, "File
//! capabilities"), as the attribute `security.capability` holds them.

use abi::Errno;

use crate::Result;
use crate::creds::{CapSet, Creds};

/// Name of the attribute.
pub const NAME: &[u8] = b"security.capability";

const EFFECTIVE: u32 = 1;
const REVISION_MASK: u32 = 0xff00_0000;

/// What a file gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCaps {
    permitted: CapSet,
    inheritable: CapSet,
    effective: bool,
}

impl FileCaps {
    /// Reads the attribute's value: `struct vfs_cap_data` of revision 1 or 2, or `vfs_ns_cap_data`,
    /// which is `None` where it is meant for the root of another user namespace. `EINVAL`.
    pub fn parse(value: &[u8]) -> Result<Option<FileCaps>> {
        let word = |n: usize| {
            let at = n.saturating_mul(4);
            let bytes = value.get(at..at.saturating_add(4))?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let magic = word(0).ok_or(Errno::EINVAL)?;
        let pairs = match (magic & REVISION_MASK, value.len()) {
            (0x0100_0000, 12) => 1,
            (0x0200_0000, 20) => 2,
            (0x0300_0000, 24) => {
                if word(5) != Some(0) {
                    return Ok(None);
                }
                2
            }
            _ => return Err(Errno::EINVAL),
        };
        let set = |first: usize| {
            let low = u64::from(word(first).unwrap_or(0));
            let high = if pairs == 2 { word(first + 2) } else { None };
            CapSet((low | u64::from(high.unwrap_or(0)) << 32) & CapSet::ALL.0)
        };
        Ok(Some(FileCaps {
            permitted: set(1),
            inheritable: set(2),
            effective: magic & EFFECTIVE != 0,
        }))
    }

    /// Whether `setxattr(2)` takes the value.
    pub fn may_be_set(value: &[u8]) -> bool {
        value.len() >= 20 && Self::parse(value).is_ok()
    }

    /// What who had `old` is permitted by it. `EPERM` when the file expects to have all at
    /// once and the bounding set forbids some.
    pub(crate) fn permits(&self, old: &Creds) -> Result<CapSet> {
        let set = (old.bounding.0 & self.permitted.0) | (old.inheritable.0 & self.inheritable.0);
        if self.effective && self.permitted.0 & !set != 0 {
            return Err(Errno::EPERM);
        }
        Ok(CapSet(set))
    }

    /// Whether what is permitted is effective at once.
    pub(crate) fn is_effective(&self) -> bool {
        self.effective
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let v2 = |flag: u8| {
            let mut v = vec![flag, 0, 0, 2, 0, 0x20, 0, 0];
            v.resize(20, 0);
            v
        };
        let caps = FileCaps::parse(&v2(1)).unwrap().unwrap();
        assert_eq!((caps.permitted, caps.effective), (CapSet(1 << 13), true));
        assert!(FileCaps::parse(&v2(1)[..19]).is_err() && FileCaps::parse(&[]).is_err());
        let mut v3 = v2(0);
        v3[3] = 3;
        v3.extend([7, 0, 0, 0]);
        assert_eq!(FileCaps::parse(&v3), Ok(None));
        let old = Creds {
            bounding: CapSet::default(),
            ..Creds::root()
        };
        assert_eq!(caps.permits(&old), Err(Errno::EPERM));
    }
}
