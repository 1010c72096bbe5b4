//! User and group ids (`credentials(7)`): `getuid(2)`, `setuid(2)`, `setresuid(2)` and kin,
//! `setgroups(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::{Cap, Creds};
use sentry::{Result, SysResult, Task};

use crate::arg::{Out, UserPtr};

/// "Leave as it is" in the `setre*` and `setres*` calls; invalid in the others.
const KEEP: u32 = u32::MAX;
/// Most supplementary groups (`NGROUPS_MAX`).
const NGROUPS_MAX: usize = 65536;

/// `getuid(2)`.
pub fn getuid(t: &Arc<Task>) -> SysResult<u32> {
    Ok(t.creds().uid)
}
/// `geteuid(2)`.
pub fn geteuid(t: &Arc<Task>) -> SysResult<u32> {
    Ok(t.creds().euid)
}
/// `getgid(2)`.
pub fn getgid(t: &Arc<Task>) -> SysResult<u32> {
    Ok(t.creds().gid)
}
/// `getegid(2)`.
pub fn getegid(t: &Arc<Task>) -> SysResult<u32> {
    Ok(t.creds().egid)
}

/// `getresuid(2)`.
pub fn getresuid(
    t: &Arc<Task>,
    real: UserPtr<u32, Out>,
    effective: UserPtr<u32, Out>,
    saved: UserPtr<u32, Out>,
) -> SysResult<()> {
    let c = t.creds();
    real.write(t, &c.uid)?;
    effective.write(t, &c.euid)?;
    Ok(saved.write(t, &c.suid)?)
}

/// `getresgid(2)`.
pub fn getresgid(
    t: &Arc<Task>,
    real: UserPtr<u32, Out>,
    effective: UserPtr<u32, Out>,
    saved: UserPtr<u32, Out>,
) -> SysResult<()> {
    let c = t.creds();
    real.write(t, &c.gid)?;
    effective.write(t, &c.egid)?;
    Ok(saved.write(t, &c.sgid)?)
}

/// Stores new credentials after a change of user ids: capabilities follow as
/// `capabilities(7)` says ("Effect of user ID changes on capabilities").
fn commit_uids(t: &Arc<Task>, old: &Creds, mut new: Creds) {
    /// `SECBIT_NO_SETUID_FIXUP` and `SECBIT_KEEP_CAPS`.
    const NO_SETUID_FIXUP: u32 = 1 << 2;
    const KEEP_CAPS: u32 = 1 << 4;
    if new.securebits & NO_SETUID_FIXUP == 0 {
        let had_root = [old.uid, old.euid, old.suid].contains(&0);
        let has_root = [new.uid, new.euid, new.suid].contains(&0);
        if had_root && !has_root {
            if new.securebits & KEEP_CAPS == 0 {
                new.permitted.0 = 0;
                new.effective.0 = 0;
            }
            new.ambient.0 = 0;
        }
        if old.euid == 0 && new.euid != 0 {
            new.effective.0 = 0;
        } else if old.euid != 0 && new.euid == 0 {
            new.effective = new.permitted;
        }
        fixup_fsuid(old, &mut new);
    }
    t.set_creds(new);
}

/// File capabilities follow the file-system user id.
fn fixup_fsuid(old: &Creds, new: &mut Creds) {
    let fs_caps = [
        Cap::Chown,
        Cap::DacOverride,
        Cap::DacReadSearch,
        Cap::Fowner,
        Cap::Fsetid,
        Cap::LinuxImmutable,
        Cap::Mknod,
        Cap::MacOverride,
    ];
    let mask = fs_caps.iter().fold(0, |m, c| m | 1u64 << *c as u64);
    if old.fsuid == 0 && new.fsuid != 0 {
        new.effective.0 &= !mask;
    } else if old.fsuid != 0 && new.fsuid == 0 {
        new.effective.0 |= new.permitted.0 & mask;
    }
}

fn valid(id: u32) -> Result<()> {
    if id == KEEP { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `setuid(2)`.
pub fn setuid(t: &Arc<Task>, uid: u32) -> SysResult<()> {
    valid(uid)?;
    let old = t.creds();
    let mut new = (*old).clone();
    if old.capable(Cap::Setuid) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != old.uid && uid != old.suid {
        return Err(Errno::EPERM.into());
    }
    (new.euid, new.fsuid) = (uid, uid);
    commit_uids(t, &old, new);
    Ok(())
}

/// `setgid(2)`.
pub fn setgid(t: &Arc<Task>, gid: u32) -> SysResult<()> {
    valid(gid)?;
    let old = t.creds();
    let mut new = (*old).clone();
    if old.capable(Cap::Setgid) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != old.gid && gid != old.sgid {
        return Err(Errno::EPERM.into());
    }
    (new.egid, new.fsgid) = (gid, gid);
    t.set_creds(new);
    Ok(())
}

/// Real, effective and saved id after `setre*id`: `EPERM` unless privileged or ids we have.
fn setre(old: [u32; 3], ruid: u32, euid: u32, privileged: bool) -> Result<[u32; 3]> {
    let [r, e, s] = old;
    let mut new = old;
    if ruid != KEEP {
        if !privileged && ruid != r && ruid != e {
            return Err(Errno::EPERM);
        }
        new[0] = ruid;
    }
    if euid != KEEP {
        if !privileged && euid != r && euid != e && euid != s {
            return Err(Errno::EPERM);
        }
        new[1] = euid;
    }
    if ruid != KEEP || (euid != KEEP && euid != r) {
        new[2] = new[1];
    }
    Ok(new)
}

/// Real, effective and saved id after `setres*id`.
fn setres(old: [u32; 3], wanted: [u32; 3], privileged: bool) -> Result<[u32; 3]> {
    let mut new = old;
    for (slot, want) in new.iter_mut().zip(wanted) {
        if want == KEEP {
            continue;
        }
        if !privileged && !old.contains(&want) {
            return Err(Errno::EPERM);
        }
        *slot = want;
    }
    Ok(new)
}

fn set_uids(t: &Arc<Task>, f: impl FnOnce([u32; 3], bool) -> Result<[u32; 3]>) -> SysResult<()> {
    let old = t.creds();
    let ids = f([old.uid, old.euid, old.suid], old.capable(Cap::Setuid))?;
    let [uid, euid, suid] = ids;
    let new = Creds { uid, euid, suid, fsuid: euid, ..(*old).clone() };
    commit_uids(t, &old, new);
    Ok(())
}

fn set_gids(t: &Arc<Task>, f: impl FnOnce([u32; 3], bool) -> Result<[u32; 3]>) -> SysResult<()> {
    let old = t.creds();
    let ids = f([old.gid, old.egid, old.sgid], old.capable(Cap::Setgid))?;
    let [gid, egid, sgid] = ids;
    t.set_creds(Creds { gid, egid, sgid, fsgid: egid, ..(*old).clone() });
    Ok(())
}

/// `setreuid(2)`.
pub fn setreuid(t: &Arc<Task>, ruid: u32, euid: u32) -> SysResult<()> {
    set_uids(t, |old, p| setre(old, ruid, euid, p))
}
/// `setregid(2)`.
pub fn setregid(t: &Arc<Task>, rgid: u32, egid: u32) -> SysResult<()> {
    set_gids(t, |old, p| setre(old, rgid, egid, p))
}
/// `setresuid(2)`.
pub fn setresuid(t: &Arc<Task>, ruid: u32, euid: u32, suid: u32) -> SysResult<()> {
    set_uids(t, |old, p| setres(old, [ruid, euid, suid], p))
}
/// `setresgid(2)`.
pub fn setresgid(t: &Arc<Task>, rgid: u32, egid: u32, sgid: u32) -> SysResult<()> {
    set_gids(t, |old, p| setres(old, [rgid, egid, sgid], p))
}

/// `setfsuid(2)`: returns the old id whether or not it changed.
pub fn setfsuid(t: &Arc<Task>, uid: u32) -> SysResult<u32> {
    let old = t.creds();
    let allowed = [old.uid, old.euid, old.suid, old.fsuid].contains(&uid);
    if uid != KEEP && (allowed || old.capable(Cap::Setuid)) {
        let mut new = Creds { fsuid: uid, ..(*old).clone() };
        fixup_fsuid(&old, &mut new);
        t.set_creds(new);
    }
    Ok(old.fsuid)
}

/// `setfsgid(2)`.
pub fn setfsgid(t: &Arc<Task>, gid: u32) -> SysResult<u32> {
    let old = t.creds();
    let allowed = [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid);
    if gid != KEEP && (allowed || old.capable(Cap::Setgid)) {
        t.set_creds(Creds { fsgid: gid, ..(*old).clone() });
    }
    Ok(old.fsgid)
}

/// `getgroups(2)`.
pub fn getgroups(t: &Arc<Task>, size: i32, list: UserPtr<u32, Out>) -> SysResult<i32> {
    let groups = t.creds().groups.clone();
    let count = i32::try_from(groups.len()).map_err(|_| Errno::EINVAL)?;
    if size < 0 || (size != 0 && size < count) {
        return Err(Errno::EINVAL.into());
    }
    if size != 0 {
        list.write_array(t, &groups)?;
    }
    Ok(count)
}

/// `setgroups(2)`.
pub fn setgroups(t: &Arc<Task>, size: u64, list: UserPtr<u32, Out>) -> SysResult<()> {
    let old = t.creds();
    if !old.capable(Cap::Setgid) {
        return Err(Errno::EPERM.into());
    }
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size > NGROUPS_MAX {
        return Err(Errno::EINVAL.into());
    }
    let groups = list.read_array(t, size)?;
    if groups.contains(&KEEP) {
        return Err(Errno::EINVAL.into());
    }
    t.set_creds(Creds { groups: groups.into(), ..(*old).clone() });
    Ok(())
}
