//! Credentials of a task (`credentials(7)`, `capabilities(7)`). Immutable values: a change
//! makes a new one.

use std::sync::Arc;

/// A capability set: bit n stands for capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapSet(pub u64);

impl CapSet {
    /// Every capability there is (`CAP_LAST_CAP` 40).
    pub const ALL: CapSet = CapSet((1 << 41) - 1);

    /// Whether capability `cap` is in it.
    pub const fn has(self, cap: Cap) -> bool {
        self.0 & (1 << cap as u64) != 0
    }
}

/// Capability numbers (`capabilities(7)`, `<linux/capability.h>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as in capabilities(7)")]
pub enum Cap {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetBroadcast = 11,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    Lease = 28,
    AuditWrite = 29,
    AuditControl = 30,
    Setfcap = 31,
    MacOverride = 32,
    MacAdmin = 33,
    Syslog = 34,
    WakeAlarm = 35,
    BlockSuspend = 36,
    AuditRead = 37,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
}

/// User, groups and capabilities of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in credentials(7)")]
pub struct Creds {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Arc<[u32]>,
    pub permitted: CapSet,
    pub effective: CapSet,
    pub inheritable: CapSet,
    pub bounding: CapSet,
    pub ambient: CapSet,
    pub securebits: u32,
    pub no_new_privs: bool,
}

impl Creds {
    /// Root with every capability.
    pub fn root() -> Creds {
        Creds {
            uid: 0,
            euid: 0,
            suid: 0,
            fsuid: 0,
            gid: 0,
            egid: 0,
            sgid: 0,
            fsgid: 0,
            groups: Arc::from([]),
            permitted: CapSet::ALL,
            effective: CapSet::ALL,
            inheritable: CapSet::default(),
            bounding: CapSet::ALL,
            ambient: CapSet::default(),
            securebits: 0,
            no_new_privs: false,
        }
    }

    /// Whether `cap` is effective.
    pub fn capable(&self, cap: Cap) -> bool {
        self.effective.has(cap)
    }

    /// Whether `gid` is the file-system group or a supplementary one.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}
