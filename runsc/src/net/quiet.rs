//! Keeps the host's kernel from answering in the guest's place, with the guest's addresses
//! left where they are: routing rules throw away what comes in over links, but for the few
//! ports the host's kernel may use itself. Packet sockets see every frame all the same.

use std::io;

use super::HOST_PORTS;
use super::netlink::{Netlink, put_attribute};

const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_BLACKHOLE: u8 = 6;
/// `FIB_RULE_INVERT`.
const INVERT: u32 = 2;
const RT_TABLE_LOCAL: u8 = 255;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_IP_PROTO: u16 = 22;
const FRA_DPORT_RANGE: u16 = 24;
/// Where the kernel looks up its own addresses by default, and where it does so now.
const OLD_LOCAL: u32 = 0;
const NEW_LOCAL: u32 = 30;
const FIRST: u32 = 10;

/// Writes down which ports the host's kernel may use. Needs a `/proc`.
pub fn keep_ports() -> io::Result<()> {
    let (low, high) = HOST_PORTS;
    let text = format!("{low} {high}");
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", text)
}

fn rule(family: u8, priority: u32, action: u8, table: u8, incoming: bool) -> Vec<u8> {
    let flags = if incoming { INVERT } else { 0 };
    let mut body = vec![family, 0, 0, 0, table, 0, 0, action];
    body.extend_from_slice(&flags.to_ne_bytes());
    put_attribute(&mut body, FRA_PRIORITY, &priority.to_ne_bytes());
    if incoming {
        // Not from ourselves: packets made here count as coming in over the loopback.
        put_attribute(&mut body, FRA_IIFNAME, b"lo\0");
    }
    body
}

/// Makes the rules of one family.
fn family(netlink: &Netlink, family: u8) -> io::Result<()> {
    let add = |body: &[u8]| match netlink.change(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, body) {
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        done => done,
    };
    add(&rule(
        family,
        NEW_LOCAL,
        FR_ACT_TO_TBL,
        RT_TABLE_LOCAL,
        false,
    ))?;
    for (n, proto) in [6u8, 17].into_iter().enumerate() {
        let priority = FIRST + n as u32;
        // Inversion would be of the whole rule; packets that go out find nothing here and
        // go on.
        let mut body = rule(family, priority, FR_ACT_TO_TBL, RT_TABLE_LOCAL, false);
        put_attribute(&mut body, FRA_IP_PROTO, &[proto]);
        let (low, high) = HOST_PORTS;
        let mut range = low.to_ne_bytes().to_vec();
        range.extend_from_slice(&high.to_ne_bytes());
        put_attribute(&mut body, FRA_DPORT_RANGE, &range);
        // Without it the host's own questions get no answers; the guest's do.
        let _ = add(&body);
    }
    add(&rule(family, FIRST + 5, FR_ACT_BLACKHOLE, 0, true))?;
    let old = rule(family, OLD_LOCAL, FR_ACT_TO_TBL, RT_TABLE_LOCAL, false);
    match netlink.change(RTM_DELRULE, 0, &old) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done,
    }
}

/// Makes the rules.
pub fn install(netlink: &Netlink) -> io::Result<()> {
    const INET: u8 = 2;
    const INET6: u8 = 10;
    family(netlink, INET)?;
    match family(netlink, INET6) {
        Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        done => done,
    }
}
