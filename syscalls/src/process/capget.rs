//! `capget(2)`, `capset(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::{Cap, CapSet, Creds};
use sentry::{Result, SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arg::{InOut, UserPtr};

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
pub struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Number of data elements of a version; for an unknown one the header is given the
/// preferred version and the call fails with `EINVAL`.
fn elements(t: &Arc<Task>, at: u64, header: Header) -> Result<usize> {
    match header.version {
        VERSION_1 => Ok(1),
        VERSION_2 | VERSION_3 => Ok(2),
        _ => {
            let out = UserPtr::<u32, InOut>::at(at);
            out.write(t, &VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

/// `capget(2)`.
pub fn capget(
    t: &Arc<Task>,
    header: UserPtr<Header, InOut>,
    data: UserPtr<Data, InOut>,
) -> SysResult<()> {
    let at = header.addr();
    let header = header.read(t)?;
    let n = match elements(t, at, header) {
        // Asking for the version with no place for data is fine.
        Err(Errno::EINVAL) if data.is_null() => return Ok(()),
        n => n?,
    };
    if header.pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let creds = match header.pid {
        0 => t.creds(),
        pid => t.pid_ns().task(pid).ok_or(Errno::ESRCH)?.creds(),
    };
    let half = |set: CapSet, i: usize| (set.0 >> (32 * i) & 0xffff_ffff) as u32;
    let all: Vec<Data> = (0..n)
        .map(|i| Data {
            effective: half(creds.effective, i),
            permitted: half(creds.permitted, i),
            inheritable: half(creds.inheritable, i),
        })
        .collect();
    if !data.is_null() {
        data.write_array(t, &all)?;
    }
    Ok(())
}

/// `capset(2)`: only for the calling thread.
pub fn capset(
    t: &Arc<Task>,
    header: UserPtr<Header, InOut>,
    data: UserPtr<Data, InOut>,
) -> SysResult<()> {
    let at = header.addr();
    let header = header.read(t)?;
    let n = elements(t, at, header)?;
    if header.pid != 0 && header.pid != t.tid() {
        return Err(Errno::EPERM.into());
    }
    let all = data.read_array(t, n)?;
    let join = |get: fn(&Data) -> u32| {
        let bits = all.iter().enumerate().fold(0, |b, (i, d)| b | u64::from(get(d)) << (32 * i));
        CapSet(bits & CapSet::ALL.0)
    };
    let effective = join(|d| d.effective);
    let permitted = join(|d| d.permitted);
    let inheritable = join(|d| d.inheritable);
    let old = t.creds();
    let new_inheritable = inheritable.0 & !old.inheritable.0;
    let beyond_bounding = new_inheritable & !old.bounding.0 != 0;
    let beyond_permitted = new_inheritable & !old.permitted.0 != 0 && !old.capable(Cap::Setpcap);
    if permitted.0 & !old.permitted.0 != 0
        || effective.0 & !permitted.0 != 0
        || beyond_bounding
        || beyond_permitted
    {
        return Err(Errno::EPERM.into());
    }
    let ambient = CapSet(old.ambient.0 & permitted.0 & inheritable.0);
    t.set_creds(Creds { effective, permitted, inheritable, ambient, ..(*old).clone() });
    Ok(())
}
