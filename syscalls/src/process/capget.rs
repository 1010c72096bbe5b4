//! `capget(2)`, `capset(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::{Cap, CapSet, Creds};
use sentry::{SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arg::{InOut, UserAddr, UserPtr};

const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Number of data words of the header's version; an unknown one is told the newest.
fn words(t: &Arc<Task>, header_at: u64, version: u32) -> sentry::Result<usize> {
    match version {
        VERSION_1 => Ok(1),
        VERSION_2 | VERSION_3 => Ok(2),
        _ => {
            UserPtr::<u32, InOut>::at(header_at).write(t, &VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

/// `capget(2)`.
pub fn capget(t: &Arc<Task>, header: UserPtr<Header, InOut>, data: UserAddr) -> SysResult<()> {
    let at = header.addr();
    let h = header.read(t)?;
    let n = match words(t, at, h.version) {
        // Asking for the version without data is no error.
        Err(Errno::EINVAL) if data.0 == 0 => return Ok(()),
        n => n?,
    };
    if h.pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let creds = if h.pid == 0 || h.pid == t.tid() {
        t.creds()
    } else {
        t.pid_ns().task(h.pid).ok_or(Errno::ESRCH)?.creds()
    };
    if data.0 == 0 {
        return Ok(());
    }
    let half =
        |set: CapSet, i: usize| u32::try_from((set.0 >> (32 * i)) & 0xffff_ffff).unwrap_or(0);
    let list: Vec<Data> = (0..n)
        .map(|i| Data {
            effective: half(creds.effective, i),
            permitted: half(creds.permitted, i),
            inheritable: half(creds.inheritable, i),
        })
        .collect();
    UserPtr::<Data, InOut>::at(data.0).write_array(t, &list)?;
    Ok(())
}

/// `capset(2)`.
pub fn capset(t: &Arc<Task>, header: UserPtr<Header, InOut>, data: UserAddr) -> SysResult<()> {
    let at = header.addr();
    let h = header.read(t)?;
    let n = words(t, at, h.version)?;
    if h.pid != 0 && h.pid != t.tid() {
        return Err(Errno::EPERM.into());
    }
    let list = UserPtr::<Data, InOut>::at(data.0).read_array(t, n)?;
    let join = |f: fn(&Data) -> u32| {
        let bits = list
            .iter()
            .enumerate()
            .fold(0u64, |sum, (i, d)| sum | u64::from(f(d)) << (32 * i));
        CapSet(bits & CapSet::ALL.0)
    };
    let new = changed(
        &t.creds(),
        join(|d| d.effective),
        join(|d| d.permitted),
        join(|d| d.inheritable),
    )?;
    t.set_creds(new);
    Ok(())
}

/// The rules of `capset(2)`.
fn changed(
    old: &Creds,
    effective: CapSet,
    permitted: CapSet,
    inheritable: CapSet,
) -> sentry::Result<Creds> {
    let within = |a: CapSet, b: u64| a.0 & !b == 0;
    let may_raise = old.own_capable(Cap::Setpcap);
    if !may_raise && !within(inheritable, old.inheritable.0 | old.permitted.0)
        || !within(inheritable, old.inheritable.0 | old.bounding.0)
        || !within(permitted, old.permitted.0)
        || !within(effective, permitted.0)
    {
        return Err(Errno::EPERM);
    }
    let mut new = old.clone();
    new.effective = effective;
    new.permitted = permitted;
    new.inheritable = inheritable;
    new.ambient = CapSet(new.ambient.0 & permitted.0 & inheritable.0);
    Ok(new)
}
