//! `uname(2)`, `sethostname(2)`, `setdomainname(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::task::uts::NAME_LEN;
use sentry::{Result, SysResult, Task};

use crate::arg::{UserBuf, UserPtr};

/// Length of a field of `struct utsname`.
const FIELD: usize = NAME_LEN + 1;

/// `uname(2)`.
pub fn uname(t: &Arc<Task>, buf: UserBuf) -> SysResult<()> {
    let uts = t.uts();
    let (release, version) = (t.kernel.release.as_bytes(), t.kernel.version.as_bytes());
    let (host, domain) = (uts.hostname(), uts.domainname());
    let fields: [&[u8]; 6] = [b"Linux", &host, release, version, b"x86_64", &domain];
    let mut out = [[0u8; FIELD]; 6];
    for (dst, src) in out.iter_mut().zip(fields) {
        for (d, s) in dst.iter_mut().zip(src.iter().take(NAME_LEN)) {
            *d = *s;
        }
    }
    UserPtr::<[[u8; FIELD]; 6], crate::arg::Out>::at(buf.0).write(t, &out)?;
    Ok(())
}

fn read_name(t: &Arc<Task>, name: UserBuf, len: i32) -> Result<Vec<u8>> {
    if !t.creds().capable(Cap::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > NAME_LEN {
        return Err(Errno::EINVAL);
    }
    let mut name = name.read(t, len)?;
    if let Some(end) = name.iter().position(|b| *b == 0) {
        name.truncate(end);
    }
    Ok(name)
}

/// `sethostname(2)`.
pub fn sethostname(t: &Arc<Task>, name: UserBuf, len: i32) -> SysResult<()> {
    let name = read_name(t, name, len)?;
use sentry::{SysResult, Task};

use crate::arg::{Out, UserBuf, UserPtr};

/// Length of each field of `struct utsname` with its NUL.
const FIELD: usize = 65;

pub fn uname(t: &Arc<Task>, to: UserPtr<[[u8; FIELD]; 6], Out>) -> SysResult<()> {
    let kernel = &t.kernel.version;
    let fields: [&[u8]; 6] = [
        b"Linux",
        &host,
        kernel.release.as_bytes(),
        kernel.version.as_bytes(),
        b"x86_64",
        &domain,
    ];
    let mut out = [[0; FIELD]; 6];
    for (to, from) in out.iter_mut().zip(fields) {
        for (b, v) in to.iter_mut().take(FIELD - 1).zip(from) {
            *b = *v;
        }
    }
    Ok(to.write(t, &out)?)
}

fn name(t: &Arc<Task>, buf: UserBuf, len: i32) -> SysResult<Vec<u8>> {
        return Err(Errno::EPERM.into());
    }
    let len = usize::try_from(len)
        .ok()
        .filter(|&n| n < FIELD)
        .ok_or(Errno::EINVAL)?;
    Ok(buf.read(t, len)?)
}

pub fn sethostname(t: &Arc<Task>, buf: UserBuf, len: i32) -> SysResult<()> {
    let name = name(t, buf, len)?;
    t.uts().set_hostname(name);
    Ok(())
}

/// `setdomainname(2)`.
pub fn setdomainname(t: &Arc<Task>, name: UserBuf, len: i32) -> SysResult<()> {
    let name = read_name(t, name, len)?;
pub fn setdomainname(t: &Arc<Task>, buf: UserBuf, len: i32) -> SysResult<()> {
    let name = name(t, buf, len)?;
    t.uts().set_domainname(name);
    Ok(())
}
