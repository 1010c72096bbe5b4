//! Interface requests (`netdevice(7)`): there is `lo`.

use abi::Errno;

use crate::SysResult;
use crate::fs::IoCx;

/// Interface number of `lo`.
pub const LO_INDEX: i32 = 1;
/// MTU of `lo`.
pub const LO_MTU: i32 = 65_536;
/// `IFF_UP | IFF_LOOPBACK | IFF_RUNNING`.
pub const LO_FLAGS: u16 = 0x49;
/// Bytes of an interface name with its NUL.
const IFNAMSIZ: usize = 16;
/// Bytes of `struct ifreq`.
const IFREQ: usize = 40;

/// A `sockaddr_in` in the union of an `ifreq`.
fn address(ip: [u8; 4]) -> [u8; 16] {
    let mut raw = [0; 16];
    raw[0] = 2;
    raw[4..8].copy_from_slice(&ip);
    raw
}

/// Interface requests (`netdevice(7)`). `ENODEV` for a name that is not there, `ENOTTY`
/// for a request not known.
pub fn device_ioctl(cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
    const SIOCGIFNAME: u32 = 0x8910;
    const SIOCGIFCONF: u32 = 0x8912;
    const SIOCGIFFLAGS: u32 = 0x8913;
    const SIOCGIFADDR: u32 = 0x8915;
    const SIOCGIFBRDADDR: u32 = 0x8919;
    const SIOCGIFNETMASK: u32 = 0x891b;
    const SIOCGIFMETRIC: u32 = 0x891d;
    const SIOCGIFMTU: u32 = 0x8921;
    const SIOCGIFHWADDR: u32 = 0x8927;
    const SIOCGIFINDEX: u32 = 0x8933;
    const SIOCGIFTXQLEN: u32 = 0x8942;
    let t = cx.task.ok_or(Errno::ENOTTY)?;
    let mm = t.mm();
    if request == SIOCGIFCONF {
        return conf(cx, arg);
    }
    if !(0x8910..=0x8942).contains(&request) {
        return Err(Errno::ENOTTY.into());
    }
    let mut req = [0; IFREQ];
    mm.copy_in(arg, &mut req).map_err(Errno::from)?;
    let body: [u8; 16] = match request {
        SIOCGIFNAME => {
            if req[IFNAMSIZ..IFNAMSIZ + 4] != LO_INDEX.to_ne_bytes() {
                return Err(Errno::ENODEV.into());
            }
            mm.copy_out(arg, b"lo\0").map_err(Errno::from)?;
            return Ok(0);
        }
        _ if !req.starts_with(b"lo\0") => return Err(Errno::ENODEV.into()),
        SIOCGIFFLAGS => first(&LO_FLAGS.to_ne_bytes()),
        SIOCGIFADDR => address([127, 0, 0, 1]),
        SIOCGIFBRDADDR => address([0; 4]),
        SIOCGIFNETMASK => address([255, 0, 0, 0]),
        SIOCGIFMETRIC => [0; 16],
        SIOCGIFMTU => first(&LO_MTU.to_ne_bytes()),
        // ARPHRD_LOOPBACK and a zero address.
        SIOCGIFHWADDR => first(&772u16.to_ne_bytes()),
        SIOCGIFINDEX => first(&LO_INDEX.to_ne_bytes()),
        SIOCGIFTXQLEN => first(&1000u32.to_ne_bytes()),
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    let at = arg.wrapping_add(IFNAMSIZ as u64);
    mm.copy_out(at, &body).map_err(Errno::from)?;
    Ok(0)
}

fn first(bytes: &[u8]) -> [u8; 16] {
    let mut raw = [0; 16];
    for (to, from) in raw.iter_mut().zip(bytes) {
        *to = *from;
    }
    raw
}

/// `SIOCGIFCONF`: all interfaces with an IPv4 address.
fn conf(cx: &IoCx<'_>, arg: u64) -> SysResult<i64> {
    let t = cx.task.ok_or(Errno::ENOTTY)?;
    let mm = t.mm();
    let mut raw = [0; 16];
    mm.copy_in(arg, &mut raw).map_err(Errno::from)?;
    let [l0, l1, l2, l3, _, _, _, _, p @ ..] = raw;
    let len = i32::from_ne_bytes([l0, l1, l2, l3]);
    let buf = u64::from_ne_bytes(p);
    let mut used = 0;
    if buf == 0 || len >= IFREQ as i32 {
        used = IFREQ as i32;
    }
    if buf != 0 && used > 0 {
        let mut req = [0; IFREQ];
        req[..2].copy_from_slice(b"lo");
        req[IFNAMSIZ..IFNAMSIZ + 16].copy_from_slice(&address([127, 0, 0, 1]));
        mm.copy_out(buf, &req).map_err(Errno::from)?;
    }
    mm.copy_out(arg, &used.to_ne_bytes()).map_err(Errno::from)?;
    Ok(0)
}
