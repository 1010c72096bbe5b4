//! User namespaces (`user_namespaces(7)`): id maps, and whom a capability reaches.
//!
//! Ids inside the kernel are those of the first user namespace (Linux's `kuid_t`); they are
//! turned to a namespace's own only where a guest gives or reads them. Neighbours:
//! [`crate::creds`] (who is in which namespace), [`map`] (the files of `/proc/PID`).

pub mod map;

use std::fmt;
use std::sync::Arc;

use abi::Errno;

use self::map::IdMap;
use crate::Result;
use crate::creds::{Cap, Creds};
use crate::sync::Mutex;

/// What an id that is not mapped is shown as (`/proc/sys/kernel/overflowuid`).
pub const OVERFLOW_ID: u32 = 65_534;

/// Deepest nesting below the first namespace.
const MAX_LEVEL: u32 = 32;

/// What `/proc/PID/{uid_map,gid_map,setgroups}` change.
struct Maps {
    uids: Option<Arc<IdMap>>,
    gids: Option<Arc<IdMap>>,
    setgroups: bool,
}

/// A user namespace other than the first.
pub struct UserNamespace {
    /// Inode number under `/proc/PID/ns/user`.
    pub ino: u64,
    parent: UserNs,
    level: u32,
    /// Who made it.
    owner: u32,
    /// Whether its maker could give file capabilities then: needed to map the parent's root.
    maker_setfcap: bool,
    maps: Mutex<Maps>,
}

impl fmt::Debug for UserNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserNamespace({})", self.ino)
    }
}

/// A user namespace: `None` is the first, which has no map and no owner but root.
#[derive(Clone, Debug, Default)]
pub struct UserNs(Option<Arc<UserNamespace>>);

impl PartialEq for UserNs {
    fn eq(&self, other: &UserNs) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for UserNs {}

impl UserNs {
    /// The first one.
    pub const INITIAL: UserNs = UserNs(None);

    /// Whether it is the first.
    pub fn is_initial(&self) -> bool {
        self.0.is_none()
    }

    /// A child of the one `creds` are in (`create_user_ns`): `ENOSPC` when nested too deep,
    /// `EPERM` when the maker's own ids are not mapped where he is.
    pub fn child(creds: &Creds, ino: u64) -> Result<UserNs> {
        let parent = creds.user_ns.clone();
        let level = parent.level() + 1;
        if level > MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        if parent.uid_to_user(creds.euid).is_none() || parent.gid_to_user(creds.egid).is_none() {
            return Err(Errno::EPERM);
        }
        let setgroups = parent.setgroups_allowed();
        Ok(UserNs(Some(Arc::new(UserNamespace {
            ino,
            level,
            owner: creds.euid,
            maker_setfcap: creds.effective.has(Cap::Setfcap),
            maps: Mutex::new(Maps {
                uids: None,
                gids: None,
                setgroups,
            }),
            parent,
        }))))
    }

    /// Inode number; `None` for the first.
    pub fn ino(&self) -> Option<u64> {
        self.0.as_ref().map(|ns| ns.ino)
    }

    fn level(&self) -> u32 {
        self.0.as_ref().map_or(0, |ns| ns.level)
    }

    /// The one it was made in; `None` for the first.
    pub fn parent(&self) -> Option<UserNs> {
        self.0.as_ref().map(|ns| ns.parent.clone())
    }

    /// Who made it.
    pub fn owner(&self) -> u32 {
        self.0.as_ref().map_or(0, |ns| ns.owner)
    }

    /// Whether it is `above` or lies below it.
    pub fn within(&self, above: &UserNs) -> bool {
        let mut at = Some(self.clone());
        while let Some(ns) = at {
            if ns == *above {
                return true;
            }
            at = ns.parent();
        }
        false
    }

    fn id_map(&self, uids: bool) -> Option<Option<Arc<IdMap>>> {
        let ns = self.0.as_ref()?;
        let maps = ns.maps.lock();
        Some(if uids {
            maps.uids.clone()
        } else {
            maps.gids.clone()
        })
    }

    fn to_kernel(&self, uids: bool, id: u32) -> Option<u32> {
        match self.id_map(uids) {
            None => Some(id),
            Some(map) => map?.to_kernel(id),
        }
        .filter(|id| *id != u32::MAX)
    }

    fn to_user(&self, uids: bool, id: u32) -> Option<u32> {
        match self.id_map(uids) {
            None => Some(id),
            Some(map) => map?.to_user(id),
        }
    }

    /// The kernel's id for a user id given by a guest here; `None` when not mapped.
    pub fn uid_to_kernel(&self, uid: u32) -> Option<u32> {
        self.to_kernel(true, uid)
    }
    /// The same for a group id.
    pub fn gid_to_kernel(&self, gid: u32) -> Option<u32> {
        self.to_kernel(false, gid)
    }
    /// A user id as seen here; `None` when not mapped.
    pub fn uid_to_user(&self, uid: u32) -> Option<u32> {
        self.to_user(true, uid)
    }
    /// The same for a group id.
    pub fn gid_to_user(&self, gid: u32) -> Option<u32> {
        self.to_user(false, gid)
    }
    /// A user id as shown here, [`OVERFLOW_ID`] when not mapped.
    pub fn shown_uid(&self, uid: u32) -> u32 {
        if self.is_initial() {
            return uid;
        }
        self.uid_to_user(uid).unwrap_or(OVERFLOW_ID)
    }
    /// The same for a group id.
    pub fn shown_gid(&self, gid: u32) -> u32 {
        if self.is_initial() {
            return gid;
        }
        self.gid_to_user(gid).unwrap_or(OVERFLOW_ID)
    }

    /// Whether `setgroups(2)` has been denied or not.
    pub fn setgroups_allowed(&self) -> bool {
        self.0.as_ref().is_none_or(|ns| ns.maps.lock().setgroups)
    }

    /// Whether `setgroups(2)` works now: allowed, and groups are mapped.
    pub fn may_setgroups(&self) -> bool {
        self.0.as_ref().is_none_or(|ns| {
            let maps = ns.maps.lock();
            maps.setgroups && maps.gids.is_some()
        })
    }

    /// A write to `/proc/PID/setgroups`: once denied it stays so, and once groups are mapped
    /// it cannot be denied any more; `EPERM`.
    pub fn set_setgroups(&self, allow: bool) -> Result<()> {
        let Some(ns) = &self.0 else {
            return if allow { Ok(()) } else { Err(Errno::EPERM) };
        };
        let mut maps = ns.maps.lock();
        if allow {
            return if maps.setgroups {
                Ok(())
            } else {
                Err(Errno::EPERM)
            };
        }
        if maps.gids.is_some() {
            return Err(Errno::EPERM);
        }
        maps.setgroups = false;
        Ok(())
    }
}

impl Creds {
    /// Whether `cap` holds in `ns` (`user_namespaces(7)`, "Capabilities"): effective in the
    /// caller's own namespace or one above `ns`, or `ns` or one above it was made by the
    /// caller out of his own.
    pub fn ns_capable(&self, ns: &UserNs, cap: Cap) -> bool {
        let mut at = ns.clone();
        loop {
            if at == self.user_ns {
                return self.effective.has(cap);
            }
            let Some(parent) = at.parent() else {
                return false;
            };
            if parent == self.user_ns && at.owner() == self.euid {
                return true;
            }
            at = parent;
        }
    }

    /// Whether a task that gets these in place of `old` is no longer dumpable (`proc(5)`,
    /// "/proc/sys/fs/suid_dumpable"): other effective ids, or capabilities it had not.
    pub fn hides_from(&self, old: &Creds) -> bool {
        let same_ids = [self.euid, self.egid, self.fsuid, self.fsgid]
            == [old.euid, old.egid, old.fsuid, old.fsgid];
        let same_ns = self.user_ns == old.user_ns;
        let made = || {
            let mut at = self.user_ns.clone();
            while let Some(parent) = at.parent() {
                if parent == old.user_ns {
                    return at.owner() == old.euid;
                }
                at = parent;
            }
            false
        };
        let no_more = same_ns && self.permitted.0 & !old.permitted.0 == 0 || !same_ns && made();
        !same_ids || !no_more
    }

    /// Whether `cap` is effective in the caller's own user namespace.
    pub fn own_capable(&self, cap: Cap) -> bool {
        self.effective.has(cap)
    }

    /// Whether `cap` reaches a file of this owner and group: both have to be mapped
    /// (`capable_wrt_inode_uidgid`).
    pub fn capable_over(&self, uid: u32, gid: u32, cap: Cap) -> bool {
        self.effective.has(cap)
            && (self.user_ns.is_initial()
                || self.user_ns.uid_to_user(uid).is_some()
                    && self.user_ns.gid_to_user(gid).is_some())
    }

    /// The credentials of the first task of a new user namespace, or of who enters one:
    /// every capability, no secure bit.
    pub fn entering(&self, ns: UserNs) -> Creds {
        use crate::creds::CapSet;
        Creds {
            permitted: CapSet::ALL,
            effective: CapSet::ALL,
            bounding: CapSet::ALL,
            inheritable: CapSet::default(),
            ambient: CapSet::default(),
            securebits: 0,
            user_ns: ns,
            ..self.clone()
        }
    }
}
