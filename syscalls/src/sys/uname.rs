//! `uname(2)`, `sethostname(2)`, `setdomainname(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::{SysResult, Task};

use crate::arg::{Out, UserBuf, UserPtr};

/// Length of each field of `struct utsname` with its NUL.
const FIELD: usize = 65;

/// `uname(2)`.
pub fn uname(t: &Arc<Task>, to: UserPtr<[[u8; FIELD]; 6], Out>) -> SysResult<()> {
    let uts = t.uts();
    let kernel = &t.kernel;
    let (host, domain) = (uts.hostname(), uts.domainname());
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
    if !t.creds().ns_capable(&t.uts().owner, Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    let len = usize::try_from(len)
        .ok()
        .filter(|&n| n < FIELD)
        .ok_or(Errno::EINVAL)?;
    Ok(buf.read(t, len)?)
}

/// `sethostname(2)`.
pub fn sethostname(t: &Arc<Task>, buf: UserBuf, len: i32) -> SysResult<()> {
    let name = name(t, buf, len)?;
    t.uts().set_hostname(name);
    Ok(())
}

/// `setdomainname(2)`.
pub fn setdomainname(t: &Arc<Task>, buf: UserBuf, len: i32) -> SysResult<()> {
    let name = name(t, buf, len)?;
    t.uts().set_domainname(name);
    Ok(())
}
