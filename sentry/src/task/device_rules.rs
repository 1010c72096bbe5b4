//! Which device nodes the processes of a control group may use (the `devices` controller of
//! cgroups(7), `linux.resources.devices` of the OCI runtime specification).
//!
//! A denied device gives `EPERM`, whatever the modes of its node say.

use abi::Errno;

use crate::Result;
use crate::fs::dev;
use crate::fs::vfs::FileType;

bitflags::bitflags! {
    /// What is done with a device.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct DeviceAccess: u8 {
        /// It is read.
        const READ = 1;
        /// It is written.
        const WRITE = 2;
        /// A node of it is made.
        const MKNOD = 4;
    }
}

/// One rule; a later one counts more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Allows, or denies.
    pub allow: bool,
    /// Block devices, or character devices; `None` for both.
    pub block: Option<bool>,
    /// Major number; `None` for all.
    pub major: Option<u32>,
    /// Minor number; `None` for all.
    pub minor: Option<u32>,
    /// What is allowed or denied.
    pub access: DeviceAccess,
}

impl DeviceRule {
    fn matches(&self, block: bool, major: u32, minor: u32) -> bool {
        self.block.is_none_or(|b| b == block)
            && self.major.is_none_or(|m| m == major)
            && self.minor.is_none_or(|m| m == minor)
    }
}

/// The rules of a group: without any, all is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules(Vec<DeviceRule>);

impl DeviceRules {
    /// These rules in order; what none speaks of is denied.
    pub fn new(rules: Vec<DeviceRule>) -> DeviceRules {
        DeviceRules(rules)
    }

    /// `EPERM` where the use of a device is denied. Files of other kinds are no devices.
    pub fn check(&self, kind: FileType, rdev: u64, access: DeviceAccess) -> Result<()> {
        let block = match kind {
            FileType::BlockDevice => true,
            FileType::CharDevice => false,
            _ => return Ok(()),
        };
        if self.0.is_empty() {
            return Ok(());
        }
        let (major, minor) = (dev::major(rdev), dev::minor(rdev));
        let mut allowed = DeviceAccess::empty();
        for rule in self.0.iter().filter(|r| r.matches(block, major, minor)) {
            allowed.set(rule.access, rule.allow);
        }
        match allowed.contains(access) {
            true => Ok(()),
            false => Err(Errno::EPERM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, device: Option<(u32, u32)>, access: DeviceAccess) -> DeviceRule {
        DeviceRule {
            allow,
            block: device.map(|_| false),
            major: device.map(|d| d.0),
            minor: device.map(|d| d.1),
            access,
        }
    }

    #[test]
    fn later_rules_count_more() {
        let rules = DeviceRules::new(vec![
            rule(false, None, DeviceAccess::all()),
            rule(true, Some((10, 229)), DeviceAccess::READ),
        ]);
        let check = |kind, rdev, access| rules.check(kind, rdev, access).is_ok();
        let fuse = dev::makedev(10, 229);
        assert!(check(FileType::CharDevice, fuse, DeviceAccess::READ));
        assert!(!check(FileType::CharDevice, fuse, DeviceAccess::WRITE));
        assert!(!check(FileType::BlockDevice, fuse, DeviceAccess::READ));
        assert!(!check(
            FileType::CharDevice,
            dev::makedev(1, 3),
            DeviceAccess::READ
        ));
        assert!(check(FileType::Regular, fuse, DeviceAccess::WRITE));
        let open = DeviceRules::default();
        assert!(
            open.check(FileType::CharDevice, fuse, DeviceAccess::all())
                .is_ok()
        );
    }
}
