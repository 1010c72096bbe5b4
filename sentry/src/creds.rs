//! Credentials of a task (`credentials(7)`, `capabilities(7)`). Immutable values: a change
//! makes a new one.

use std::sync::Arc;

use crate::Result;
use crate::filecap::FileCaps;
use crate::landlock::Domain;
use crate::userns::UserNs;

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
    pub user_ns: UserNs,
    pub landlock: Domain,
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
            user_ns: UserNs::INITIAL,
            landlock: Domain::default(),
        }
    }

    /// Whether `cap` is effective in the first user namespace, so for the whole kernel;
    /// [`Creds::ns_capable`] asks about what belongs to another.
    pub fn capable(&self, cap: Cap) -> bool {
        self.effective.has(cap) && self.user_ns.is_initial()
    }

    /// Whether the kernel's log may be read (`dmesg_restrict`).
    pub fn may_read_log(&self) -> bool {
        self.capable(Cap::Syslog) || self.capable(Cap::SysAdmin)
    }

    /// The kernel's id of this namespace's root; none has it when root is not mapped.
    fn root_uid(&self) -> u32 {
        self.user_ns.uid_to_kernel(0).unwrap_or(u32::MAX)
    }

    /// Whether `gid` is the file-system group or a supplementary one.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// What `execve(2)` leaves, with the owner of a set-user-id and the group of a
    /// set-group-id file, and what the file gives (`capabilities(7)`, "Transformation of
    /// capabilities"). `EPERM` when it cannot give all it has to.
    pub fn after_exec(
        &self,
        set_uid: Option<u32>,
        set_gid: Option<u32>,
        file: Option<FileCaps>,
    ) -> Result<Creds> {
        let mut new = self.clone();
        new.euid = set_uid.unwrap_or(self.euid);
        new.egid = set_gid.unwrap_or(self.egid);
        let privileged = new.euid != self.euid || new.egid != self.egid;
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        if privileged || file.is_some() {
            new.ambient = CapSet::default();
        }
        let mut permitted = file.map_or(Ok(CapSet::default()), |f| f.permits(self))?;
        let mut effective = file.is_some_and(|f| f.is_effective());
        // A set-user-id root program with capabilities of its own gets only those.
        let root = self.root_uid();
        let own = file.is_some() && new.euid == root && new.uid != root;
        if self.securebits & SECBIT_NOROOT == 0 && !own {
            if new.uid == root || new.euid == root {
                permitted = CapSet(self.bounding.0 | self.inheritable.0);
            }
            effective |= new.euid == root;
        }
        if self.no_new_privs && permitted.0 & !self.permitted.0 != 0 {
            permitted.0 &= self.permitted.0;
        }
        new.permitted = CapSet(permitted.0 | new.ambient.0);
        new.effective = if effective {
            new.permitted
        } else {
            new.ambient
        };
        // SECBIT_KEEP_CAPS does not outlive a program.
        new.securebits &= !SECBIT_KEEP_CAPS;
        Ok(new)
    }

    /// The rules for capabilities when user ids change (`capabilities(7)`, "Effect of user
    /// ID changes on capabilities"); `self` has the new ids.
    pub fn fix_caps_after_setuid(&mut self, old: &Creds) {
        if self.securebits & SECBIT_NO_SETUID_FIXUP != 0 {
            return;
        }
        let root = self.root_uid();
        let any_root = |c: &Creds| [c.uid, c.euid, c.suid].contains(&root);
        if any_root(old) && !any_root(self) {
            if self.securebits & SECBIT_KEEP_CAPS == 0 {
                self.permitted = CapSet::default();
                self.effective = CapSet::default();
            }
            self.ambient = CapSet::default();
        }
        if old.euid == root && self.euid != root {
            self.effective = CapSet::default();
        }
        if old.euid != root && self.euid == root {
            self.effective = self.permitted;
        }
    }

    /// The same for the file-system user id.
    pub fn fix_caps_after_setfsuid(&mut self, old: &Creds) {
        if self.securebits & SECBIT_NO_SETUID_FIXUP != 0 {
            return;
        }
        let root = self.root_uid();
        if old.fsuid == root && self.fsuid != root {
            self.effective = CapSet(self.effective.0 & !FS_CAPS);
        }
        if old.fsuid != root && self.fsuid == root {
            self.effective = CapSet(self.effective.0 | (self.permitted.0 & FS_CAPS));
        }
    }
}

/// `SECBIT_NOROOT`.
pub const SECBIT_NOROOT: u32 = 1;
/// `SECBIT_NO_SETUID_FIXUP`.
pub const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
/// `SECBIT_KEEP_CAPS`.
pub const SECBIT_KEEP_CAPS: u32 = 1 << 4;
/// `SECBIT_NO_CAP_AMBIENT_RAISE`.
pub const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;

/// Capabilities that go with the file-system user id.
const FS_CAPS: u64 = 1 << Cap::Chown as u64
    | 1 << Cap::DacOverride as u64
    | 1 << Cap::DacReadSearch as u64
    | 1 << Cap::Fowner as u64
    | 1 << Cap::Fsetid as u64
    | 1 << Cap::LinuxImmutable as u64
    | 1 << Cap::Mknod as u64
    | 1 << Cap::MacOverride as u64;
