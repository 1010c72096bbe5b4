//! `landlock_create_ruleset(2)`, `landlock_add_rule(2)`, `landlock_restrict_self(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::File;
use sentry::landlock::{FsRights, NetRights, Ruleset, RulesetFile, Scopes};
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};
use zerocopy::FromBytes;

use crate::arg::{Fd, In, UserBuf, UserPtr};

/// Version of the interface that is served.
const ABI: i64 = 7;
/// `LANDLOCK_CREATE_RULESET_VERSION`.
const VERSION: u32 = 1;
/// `LANDLOCK_RESTRICT_SELF_LOG_*`: what is denied is not logged anyway.
const LOG_FLAGS: u32 = 7;
/// `LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF`.
const LOG_SUBDOMAINS_OFF: u32 = 4;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const PATH_BENEATH: u32 = 1;
/// `LANDLOCK_RULE_NET_PORT`.
const NET_PORT: u32 = 2;

/// `struct landlock_ruleset_attr`.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
struct RulesetAttr {
    fs: u64,
    net: u64,
    scoped: u64,
}

/// `landlock_create_ruleset(2)`.
pub fn landlock_create_ruleset(
    t: &Arc<Task>,
    attr: UserBuf,
    size: usize,
    flags: u32,
) -> SysResult<i64> {
    if flags != 0 {
        let asks = flags == VERSION && attr.0 == 0 && size == 0;
        return if asks {
            Ok(ABI)
        } else {
            Err(Errno::EINVAL.into())
        };
    }
    if attr.0 == 0 {
        return Err(Errno::EFAULT.into());
    }
    let raw: RulesetAttr = attr.read_extensible(t, size, size_of::<u64>())?;
    let fs = FsRights::from_bits(raw.fs).ok_or(Errno::EINVAL)?;
    let net = NetRights::from_bits(raw.net).ok_or(Errno::EINVAL)?;
    let scopes = Scopes::from_bits(raw.scoped).ok_or(Errno::EINVAL)?;
    let file = RulesetFile::open(Ruleset::new(fs, net, scopes)?);
    let limit = t.limit(Resource::Nofile);
    Ok(t.files().install(file, 0, true, limit)?.into())
}

/// The ruleset of a descriptor: `EBADF`, `EBADFD` for another file.
fn ruleset(t: &Arc<Task>, fd: Fd) -> Result<Arc<File>> {
    let file = crate::io::file(t, fd)?;
    if file.downcast::<RulesetFile>().is_none() {
        return Err(Errno::EBADFD);
    }
    Ok(file)
}

fn rules(file: &File) -> Result<&RulesetFile> {
    file.downcast::<RulesetFile>().ok_or(Errno::EBADFD)
}

/// `landlock_add_rule(2)`.
pub fn landlock_add_rule(t: &Arc<Task>, fd: Fd, kind: u32, attr: u64, flags: u32) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = ruleset(t, fd)?;
    match kind {
        PATH_BENEATH => Ok(add_path(t, rules(&file)?, attr)?),
        NET_PORT => Ok(add_port(t, rules(&file)?, attr)?),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn add_path(t: &Arc<Task>, to: &RulesetFile, attr: u64) -> Result<()> {
    // `struct landlock_path_beneath_attr` is packed.
    let raw = UserPtr::<[u32; 3], In>::at(attr).read(t)?;
    let [low, high, fd] = raw;
    let allowed = u64::from(low) | u64::from(high) << 32;
    if allowed == 0 {
        return Err(Errno::ENOMSG);
    }
    let rights = FsRights::from_bits(allowed).ok_or(Errno::EINVAL)?;
    to.0.lock().handles(rights, NetRights::empty())?;
    let file = t.files().get(fd.cast_signed())?;
    let inode = file.inode().ok_or(Errno::EBADFD)?;
    to.0.lock().allow_path(inode, rights)
}

fn add_port(t: &Arc<Task>, to: &RulesetFile, attr: u64) -> Result<()> {
    let [allowed, port] = UserPtr::<[u64; 2], In>::at(attr).read(t)?;
    if allowed == 0 {
        return Err(Errno::ENOMSG);
    }
    let rights = NetRights::from_bits(allowed).ok_or(Errno::EINVAL)?;
    let mut rules = to.0.lock();
    rules.handles(FsRights::empty(), rights)?;
    let port = u16::try_from(port).map_err(|_| Errno::EINVAL)?;
    rules.allow_port(port, rights)
}

/// `landlock_restrict_self(2)`.
pub fn landlock_restrict_self(t: &Arc<Task>, fd: Fd, flags: u32) -> SysResult<()> {
    let mut creds = (*t.creds()).clone();
    if !creds.no_new_privs && !creds.own_capable(Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    if flags & !LOG_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    // Nothing is logged: without a ruleset there is nothing to do.
    if fd.0 == -1 && flags == LOG_SUBDOMAINS_OFF {
        return Ok(());
    }
    let file = ruleset(t, fd)?;
    creds.landlock = creds.landlock.with(&rules(&file)?.0.lock())?;
    t.set_creds(creds);
    Ok(())
}
