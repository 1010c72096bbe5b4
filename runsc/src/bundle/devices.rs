//! Which devices a container may use: `linux.resources.devices` and the runtime's defaults.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use sentry::task::device_rules::{DeviceAccess, DeviceRule};
use serde::{Deserialize, Serialize};

/// One rule, as it is sent to a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestDeviceRule {
    allow: bool,
    block: Option<bool>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

impl GuestDeviceRule {
    fn allow(
        block: bool,
        (major, minor): (Option<u32>, Option<u32>),
        access: DeviceAccess,
    ) -> Self {
        GuestDeviceRule {
            allow: true,
            block: Some(block),
            major,
            minor,
            access: access.bits(),
        }
    }

    /// As the kernel is told of it.
    pub fn rule(&self) -> DeviceRule {
        DeviceRule {
            allow: self.allow,
            block: self.block,
            major: self.major,
            minor: self.minor,
            access: DeviceAccess::from_bits_truncate(self.access),
        }
    }
}

/// The rules asked for, then those of the devices that every container has, as runc adds them.
pub fn rules(resources: Option<&LinuxResources>) -> Vec<GuestDeviceRule> {
    let asked = resources.and_then(|r| r.devices().as_ref());
    let mut rules: Vec<_> = asked.into_iter().flatten().map(asked_rule).collect();
    for block in [false, true] {
        rules.push(GuestDeviceRule::allow(
            block,
            (None, None),
            DeviceAccess::MKNOD,
        ));
    }
    for (major, minor) in [
        (1, Some(3)),
        (1, Some(5)),
        (1, Some(7)),
        (1, Some(8)),
        (1, Some(9)),
        (5, Some(0)),
        (5, Some(1)),
        (5, Some(2)),
        (10, Some(200)),
        (136, None),
    ] {
        let number = (Some(major), minor);
        rules.push(GuestDeviceRule::allow(false, number, DeviceAccess::all()));
    }
    rules
}

fn asked_rule(rule: &LinuxDeviceCgroup) -> GuestDeviceRule {
    let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
    let mut access = DeviceAccess::empty();
    for (letter, bit) in [
        ('r', DeviceAccess::READ),
        ('w', DeviceAccess::WRITE),
        ('m', DeviceAccess::MKNOD),
    ] {
        let named = rule.access().as_ref().is_none_or(|a| a.contains(letter));
        access.set(bit, named);
    }
    GuestDeviceRule {
        allow: rule.allow(),
        block: match rule.typ() {
            Some(LinuxDeviceType::B) => Some(true),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(false),
            _ => None,
        },
        major: number(rule.major()),
        minor: number(rule.minor()),
        access: access.bits(),
    }
}
