//! User and group ids (`setuid(2)`, `setresuid(2)`, `setreuid(2)`, `setfsuid(2)` and the
//! same for groups).

use std::sync::Arc;

use abi::Errno;
use sentry::creds::{Cap, Creds};
use sentry::{Result, SysResult, Task};

use crate::arg::{Out, UserPtr};

/// "Leave as it is" in the calls with several ids.
const KEEP: u32 = u32::MAX;

/// `getuid(2)`.
pub fn getuid(t: &Arc<Task>) -> SysResult<u32> {
    let c = t.creds();
    Ok(c.user_ns.shown_uid(c.uid))
}
/// `geteuid(2)`.
pub fn geteuid(t: &Arc<Task>) -> SysResult<u32> {
    let c = t.creds();
    Ok(c.user_ns.shown_uid(c.euid))
}
/// `getgid(2)`.
pub fn getgid(t: &Arc<Task>) -> SysResult<u32> {
    let c = t.creds();
    Ok(c.user_ns.shown_gid(c.gid))
}
/// `getegid(2)`.
pub fn getegid(t: &Arc<Task>) -> SysResult<u32> {
    let c = t.creds();
    Ok(c.user_ns.shown_gid(c.egid))
}

/// `getresuid(2)`.
pub fn getresuid(
    t: &Arc<Task>,
    ruid: UserPtr<u32, Out>,
    euid: UserPtr<u32, Out>,
    suid: UserPtr<u32, Out>,
) -> SysResult<()> {
    let c = t.creds();
    ruid.write(t, &c.user_ns.shown_uid(c.uid))?;
    euid.write(t, &c.user_ns.shown_uid(c.euid))?;
    Ok(suid.write(t, &c.user_ns.shown_uid(c.suid))?)
}

/// `getresgid(2)`.
pub fn getresgid(
    t: &Arc<Task>,
    rgid: UserPtr<u32, Out>,
    egid: UserPtr<u32, Out>,
    sgid: UserPtr<u32, Out>,
) -> SysResult<()> {
    let c = t.creds();
    rgid.write(t, &c.user_ns.shown_gid(c.gid))?;
    egid.write(t, &c.user_ns.shown_gid(c.egid))?;
    Ok(sgid.write(t, &c.user_ns.shown_gid(c.sgid))?)
}

/// The kernel's id for one a guest gives; `EINVAL` when it is not mapped.
fn uid_of(c: &Creds, uid: u32) -> Result<u32> {
    if uid == KEEP {
        return Ok(KEEP);
    }
    c.user_ns.uid_to_kernel(uid).ok_or(Errno::EINVAL)
}

/// The same for a group.
fn gid_of(c: &Creds, gid: u32) -> Result<u32> {
    if gid == KEEP {
        return Ok(KEEP);
    }
    c.user_ns.gid_to_kernel(gid).ok_or(Errno::EINVAL)
}

fn commit_uids(t: &Arc<Task>, old: &Creds, mut new: Creds) {
    new.fsuid = new.euid;
    new.fix_caps_after_setuid(old);
    t.set_creds(new);
}

fn commit_gids(t: &Arc<Task>, mut new: Creds) {
    new.fsgid = new.egid;
    t.set_creds(new);
}

/// `setuid(2)`.
pub fn setuid(t: &Arc<Task>, uid: u32) -> SysResult<()> {
    if uid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let old = t.creds();
    let uid = uid_of(&old, uid)?;
    let mut new = (*old).clone();
    if old.own_capable(Cap::Setuid) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != old.uid && uid != old.suid {
        return Err(Errno::EPERM.into());
    }
    new.euid = uid;
    commit_uids(t, &old, new);
    Ok(())
}

/// `setgid(2)`.
pub fn setgid(t: &Arc<Task>, gid: u32) -> SysResult<()> {
    if gid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let old = t.creds();
    let gid = gid_of(&old, gid)?;
    let mut new = (*old).clone();
    if old.own_capable(Cap::Setgid) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != old.gid && gid != old.sgid {
        return Err(Errno::EPERM.into());
    }
    new.egid = gid;
    commit_gids(t, new);
    Ok(())
}

/// `setreuid(2)`.
pub fn setreuid(t: &Arc<Task>, ruid: u32, euid: u32) -> SysResult<()> {
    let old = t.creds();
    let (ruid, euid) = (uid_of(&old, ruid)?, uid_of(&old, euid)?);
    let mut new = (*old).clone();
    let capable = old.own_capable(Cap::Setuid);
    if ruid != KEEP {
        if !capable && ruid != old.uid && ruid != old.euid {
            return Err(Errno::EPERM.into());
        }
        new.uid = ruid;
    }
    if euid != KEEP {
        if !capable && ![old.uid, old.euid, old.suid].contains(&euid) {
            return Err(Errno::EPERM.into());
        }
        new.euid = euid;
    }
    if ruid != KEEP || (euid != KEEP && euid != old.uid) {
        new.suid = new.euid;
    }
    commit_uids(t, &old, new);
    Ok(())
}

/// `setregid(2)`.
pub fn setregid(t: &Arc<Task>, rgid: u32, egid: u32) -> SysResult<()> {
    let old = t.creds();
    let (rgid, egid) = (gid_of(&old, rgid)?, gid_of(&old, egid)?);
    let mut new = (*old).clone();
    let capable = old.own_capable(Cap::Setgid);
    if rgid != KEEP {
        if !capable && rgid != old.gid && rgid != old.egid {
            return Err(Errno::EPERM.into());
        }
        new.gid = rgid;
    }
    if egid != KEEP {
        if !capable && ![old.gid, old.egid, old.sgid].contains(&egid) {
            return Err(Errno::EPERM.into());
        }
        new.egid = egid;
    }
    if rgid != KEEP || (egid != KEEP && egid != old.gid) {
        new.sgid = new.egid;
    }
    commit_gids(t, new);
    Ok(())
}

/// `setresuid(2)`.
pub fn setresuid(t: &Arc<Task>, ruid: u32, euid: u32, suid: u32) -> SysResult<()> {
    let old = t.creds();
    let [ruid, euid, suid] = [
        uid_of(&old, ruid)?,
        uid_of(&old, euid)?,
        uid_of(&old, suid)?,
    ];
    let mut new = (*old).clone();
    let allowed = |id| {
        id == KEEP || old.own_capable(Cap::Setuid) || [old.uid, old.euid, old.suid].contains(&id)
    };
    if ![ruid, euid, suid].into_iter().all(allowed) {
        return Err(Errno::EPERM.into());
    }
    for (id, field) in [
        (ruid, &mut new.uid),
        (euid, &mut new.euid),
        (suid, &mut new.suid),
    ] {
        if id != KEEP {
            *field = id;
        }
    }
    commit_uids(t, &old, new);
    Ok(())
}

/// `setresgid(2)`.
pub fn setresgid(t: &Arc<Task>, rgid: u32, egid: u32, sgid: u32) -> SysResult<()> {
    let old = t.creds();
    let [rgid, egid, sgid] = [
        gid_of(&old, rgid)?,
        gid_of(&old, egid)?,
        gid_of(&old, sgid)?,
    ];
    let mut new = (*old).clone();
    let allowed = |id| {
        id == KEEP || old.own_capable(Cap::Setgid) || [old.gid, old.egid, old.sgid].contains(&id)
    };
    if ![rgid, egid, sgid].into_iter().all(allowed) {
        return Err(Errno::EPERM.into());
    }
    for (id, field) in [
        (rgid, &mut new.gid),
        (egid, &mut new.egid),
        (sgid, &mut new.sgid),
    ] {
        if id != KEEP {
            *field = id;
        }
    }
    commit_gids(t, new);
    Ok(())
}

/// `setfsuid(2)`: returns the old id whether it changed or not.
pub fn setfsuid(t: &Arc<Task>, uid: u32) -> SysResult<u32> {
    let old = t.creds();
    let uid = uid_of(&old, uid).unwrap_or(KEEP);
    let allowed =
        old.own_capable(Cap::Setuid) || [old.uid, old.euid, old.suid, old.fsuid].contains(&uid);
    if uid != KEEP && allowed && uid != old.fsuid {
        let mut new = (*old).clone();
        new.fsuid = uid;
        new.fix_caps_after_setfsuid(&old);
        t.set_creds(new);
    }
    Ok(old.user_ns.shown_uid(old.fsuid))
}

/// `setfsgid(2)`: returns the old id whether it changed or not.
pub fn setfsgid(t: &Arc<Task>, gid: u32) -> SysResult<u32> {
    let old = t.creds();
    let gid = gid_of(&old, gid).unwrap_or(KEEP);
    let allowed =
        old.own_capable(Cap::Setgid) || [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid);
    if gid != KEEP && allowed {
        let mut new = (*old).clone();
        new.fsgid = gid;
        t.set_creds(new);
    }
    Ok(old.user_ns.shown_gid(old.fsgid))
}
