//! Who the Sentry is on the host: an ordinary user in a user namespace of its own, without
//! capabilities and without a way to get any.

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::sys;

/// Enters a new user namespace; whether the host let us. Its id maps are the parent's to
/// write.
pub fn leave_user_namespace() -> anyhow::Result<bool> {
    setgroups(&[]).context("drop groups")?;
    Ok(unshare(CloneFlags::CLONE_NEWUSER).is_ok())
}

/// Becomes `id`, without capabilities, core dumps or new privileges.
pub fn become_nobody(id: u32) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    setresgid(gid, gid, gid).context("set group id")?;
    setresuid(uid, uid, uid).context("set user id")?;
    sys::drop_capabilities().context("drop capabilities")?;
    prctl::set_no_new_privs().context("set no_new_privs")?;
    prctl::set_dumpable(false).context("become undumpable")?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("forbid core dumps")
}
