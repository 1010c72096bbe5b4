//! Values and structures of guest memory as strace prints them. `None` stands for memory that
//! cannot be read (or `NULL`): then the address is printed.

use std::fmt::Write;
use std::sync::Arc;

use sentry::Task;

use super::names::{self, Names};
use super::quote;
use super::shape::MAX_TEXT;
use crate::arg::UserAddr;

/// Most elements printed of an array.
const MAX_ITEMS: u64 = 32;

fn read<const N: usize>(t: &Arc<Task>, addr: u64) -> Option<[u8; N]> {
    let mut raw = [0; N];
    if addr == 0 {
        return None;
    }
    t.mm().copy_in(addr, &mut raw).ok()?;
    Some(raw)
}

fn u32_at(raw: &[u8], at: usize) -> u32 {
    let bytes = raw.get(at..).and_then(|b| b.first_chunk::<4>());
    bytes.map_or(0, |b| u32::from_ne_bytes(*b))
}

fn u64_at(raw: &[u8], at: usize) -> u64 {
    let bytes = raw.get(at..).and_then(|b| b.first_chunk::<8>());
    bytes.map_or(0, |b| u64::from_ne_bytes(*b))
}

/// The name of a value; `None` for one that has none.
pub fn one(names: Names, value: u64) -> Option<String> {
    let value = value & 0xffff_ffff;
    let found = names.iter().find(|(v, _)| *v == value)?;
    Some(found.1.to_owned())
}

/// Flags joined by `|`.
pub fn any(names: Names, value: u64) -> String {
    let set = names.iter().filter(|(v, _)| value & v == *v);
    let rest = set.clone().fold(value, |left, (v, _)| left & !v);
    let mut out = String::new();
    super::flags(set.map(|(_, n)| *n), rest, &mut out);
    out
}

/// One of `names` in the bits of `mask`, marked with any of `marks` in the others.
pub fn marked(names: Names, mask: u64, marks: Names, value: u64) -> Option<String> {
    let mut text = one(names, value & mask)?;
    let rest = value & 0xffff_ffff & !mask;
    if rest != 0 {
        let _ = write!(text, "|{}", any(marks, rest));
    }
    Some(text)
}

/// The operation of `futex(2)`; one that is only private has a name of its own.
pub fn futex_op(value: u64) -> Option<String> {
    const OPERATION: u64 = 0x7f;
    const PRIVATE: u64 = 0x80;
    if value & 0xffff_ffff & !OPERATION == PRIVATE {
        return Some(format!("{}_PRIVATE", one(names::FUTEX, value & OPERATION)?));
    }
    marked(names::FUTEX, OPERATION, names::FUTEX_FLAGS, value)
}

/// An address or `NULL`.
pub fn address(value: u64) -> String {
    if value == 0 {
        return "0".to_owned();
    }
    format!("{:?}", UserAddr(value))
}

/// The name of a signal.
pub fn signal(value: u64) -> Option<String> {
    let signal = abi::signal::Signal::new(value & 0xffff_ffff)?;
    Some(signal.name().into_owned())
}

/// The start of a buffer of `len` bytes.
pub fn bytes(t: &Arc<Task>, addr: u64, len: u64) -> Option<String> {
    if addr == 0 {
        return None;
    }
    let take = usize::try_from(len).unwrap_or(usize::MAX).min(MAX_TEXT + 1);
    let mut buf = vec![0; take];
    t.mm().copy_in(addr, &mut buf).ok()?;
    let mut out = String::new();
    quote(&buf, MAX_TEXT, &mut out);
    Some(out)
}

/// `struct iovec`s with `limit` bytes of content.
pub fn vector(t: &Arc<Task>, addr: u64, count: u64, limit: u64) -> Option<String> {
    let mut left = limit;
    let mut list = Vec::new();
    for i in 0..count.min(MAX_ITEMS) {
        let raw: [u8; 16] = read(t, addr.wrapping_add(i * 16))?;
        let (base, len) = (u64_at(&raw, 0), u64_at(&raw, 8));
        let text = bytes(t, base, len.min(left)).unwrap_or_else(|| address(base));
        left = left.saturating_sub(len);
        list.push(format!("{{iov_base={text}, iov_len={len}}}"));
    }
    Some(format!("[{}]", list.join(", ")))
}

/// A `NULL`-terminated array of strings.
pub fn strings(t: &Arc<Task>, addr: u64) -> Option<String> {
    let mut out = String::from("[");
    for i in 0..MAX_ITEMS {
        let at = u64_at(&read::<8>(t, addr.wrapping_add(i * 8))?, 0);
        if at == 0 {
            break;
        }
        if i > 0 {
            out.push_str(", ");
        }
        let text = t.mm().copy_in_cstr(at, abi::PATH_MAX).ok()?;
        quote(&text, MAX_TEXT, &mut out);
    }
    out.push(']');
    Some(out)
}

/// An environment: its address and how many variables it has.
pub fn environment(t: &Arc<Task>, addr: u64) -> Option<String> {
    let mut count = 0u64;
    while count < 1024 && u64_at(&read::<8>(t, addr.wrapping_add(count * 8))?, 0) != 0 {
        count += 1;
    }
    let s = if count == 1 { "" } else { "s" };
    Some(format!("{} /* {count} var{s} */", address(addr)))
}

/// Two descriptors.
pub fn pair(t: &Arc<Task>, addr: u64) -> Option<String> {
    let raw: [u8; 8] = read(t, addr)?;
    Some(format!("[{}, {}]", u32_at(&raw, 0), u32_at(&raw, 4)))
}

/// An address of a socket.
pub fn socket_address(t: &Arc<Task>, addr: u64, len: u64) -> Option<String> {
    if addr == 0 || len < 2 {
        return None;
    }
    let len = usize::try_from(len).ok()?.min(128);
    let mut raw = vec![0; len];
    t.mm().copy_in(addr, &mut raw).ok()?;
    let family = u64::from(u16::from_ne_bytes(*raw.first_chunk::<2>()?));
    let port = raw.get(2..4).map_or(0, |p| {
        u16::from_be_bytes([
            p.first().copied().unwrap_or(0),
            p.get(1).copied().unwrap_or(0),
        ])
    });
    match family {
        1 => {
            let path = raw.get(2..)?;
            let (at, path) = match path.split_first() {
                Some((0, name)) => ("@", name),
                _ => ("", path.split(|b| *b == 0).next().unwrap_or_default()),
            };
            let mut text = String::new();
            quote(path, usize::MAX, &mut text);
            Some(format!("{{sa_family=AF_UNIX, sun_path={at}{text}}}"))
        }
        2 => {
            let ip = std::net::Ipv4Addr::from(*raw.get(4..)?.first_chunk::<4>()?);
            Some(format!(
                "{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"{ip}\")}}"
            ))
        }
        10 => {
            let ip = std::net::Ipv6Addr::from(*raw.get(8..)?.first_chunk::<16>()?);
            Some(format!(
                "{{sa_family=AF_INET6, sin6_port=htons({port}), inet_pton(AF_INET6, \"{ip}\", &sin6_addr)}}"
            ))
        }
        other => Some(format!("{{sa_family={}}}", one(names::FAMILY, other)?)),
    }
}

/// The signals of a set, without their prefix.
fn set_text(set: u64) -> String {
    let named = |set: u64| {
        let signals = (1..=64u64).filter(|s| set & (1 << (s - 1)) != 0);
        let names = signals.filter_map(signal);
        let names: Vec<String> = names
            .map(|n| n.strip_prefix("SIG").unwrap_or(&n).to_owned())
            .collect();
        names.join(" ")
    };
    // A set that lacks few is printed by those.
    if set.count_ones() > 32 {
        return format!("~[{}]", named(!set));
    }
    format!("[{}]", named(set))
}

/// A set of signals.
pub fn signal_set(t: &Arc<Task>, addr: u64) -> Option<String> {
    Some(set_text(u64_at(&read::<8>(t, addr)?, 0)))
}

/// What a signal does.
pub fn signal_action(t: &Arc<Task>, addr: u64) -> Option<String> {
    let raw: [u8; 32] = read(t, addr)?;
    let handler = match u64_at(&raw, 0) {
        0 => "SIG_DFL".to_owned(),
        1 => "SIG_IGN".to_owned(),
        at => format!("{at:#x}"),
    };
    let flags = u64_at(&raw, 8);
    let mut out = format!(
        "{{sa_handler={handler}, sa_mask={}, sa_flags={}",
        set_text(u64_at(&raw, 24)),
        any(names::SA, flags)
    );
    if flags & 0x400_0000 != 0 {
        let _ = write!(out, ", sa_restorer={:#x}", u64_at(&raw, 16));
    }
    out.push('}');
    Some(out)
}

/// A `struct timespec`.
pub fn time(t: &Arc<Task>, addr: u64) -> Option<String> {
    let raw: [u8; 16] = read(t, addr)?;
    let (sec, nsec) = (u64_at(&raw, 0).cast_signed(), u64_at(&raw, 8).cast_signed());
    Some(format!("{{tv_sec={sec}, tv_nsec={nsec}}}"))
}

/// How a child ended or stopped.
pub fn wait_status(t: &Arc<Task>, addr: u64) -> Option<String> {
    let status = u32_at(&read::<4>(t, addr)?, 0);
    let (low, high) = (status & 0x7f, status >> 8 & 0xff);
    Some(match (low, high) {
        (0, code) => format!("[{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}]"),
        (0x7f, 0xff) => "[{WIFCONTINUED(s)}]".to_owned(),
        (0x7f, stop) => format!(
            "[{{WIFSTOPPED(s) && WSTOPSIG(s) == {}}}]",
            signal(u64::from(stop)).unwrap_or_else(|| stop.to_string())
        ),
        (signo, _) => {
            let core = if status & 0x80 != 0 {
                " && WCOREDUMP(s)"
            } else {
                ""
            };
            let name = signal(u64::from(signo)).unwrap_or_else(|| signo.to_string());
            format!("[{{WIFSIGNALED(s) && WTERMSIG(s) == {name}{core}}}]")
        }
    })
}

/// The main members of a `struct stat`.
pub fn stat(t: &Arc<Task>, addr: u64) -> Option<String> {
    let raw: [u8; 144] = read(t, addr)?;
    let mode = u32_at(&raw, 24);
    let kind = match mode & 0o170_000 {
        0o040_000 => "S_IFDIR",
        0o020_000 => "S_IFCHR",
        0o060_000 => "S_IFBLK",
        0o100_000 => "S_IFREG",
        0o010_000 => "S_IFIFO",
        0o120_000 => "S_IFLNK",
        0o140_000 => "S_IFSOCK",
        _ => "0",
    };
    let special = matches!(mode & 0o170_000, 0o020_000 | 0o060_000);
    let what = if special {
        let device = u64_at(&raw, 40);
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
        format!("st_rdev=makedev({major:#x}, {minor:#x})")
    } else {
        format!("st_size={}", u64_at(&raw, 48))
    };
    Some(format!(
        "{{st_mode={kind}|{:04o}, {what}, ...}}",
        mode & 0o7777
    ))
}

/// A `struct rlimit64`.
pub fn limit(t: &Arc<Task>, addr: u64) -> Option<String> {
    let raw: [u8; 16] = read(t, addr)?;
    let value = |at| match u64_at(&raw, at) {
        u64::MAX => "RLIM64_INFINITY".to_owned(),
        n if n != 0 && n.is_multiple_of(1024) => format!("{}*1024", n / 1024),
        n => n.to_string(),
    };
    Some(format!("{{rlim_cur={}, rlim_max={}}}", value(0), value(8)))
}

/// `struct epoll_event`s.
pub fn epoll_events(t: &Arc<Task>, addr: u64, count: u64) -> Option<Vec<String>> {
    let mut list = Vec::new();
    for i in 0..count.min(MAX_ITEMS) {
        let raw: [u8; 12] = read(t, addr.wrapping_add(i * 12))?;
        let events = any(names::EPOLL_EVENTS, u64::from(u32_at(&raw, 0)));
        let (low, data) = (u32_at(&raw, 4), u64_at(&raw, 4));
        list.push(format!(
            "{{events={events}, data={{u32={low}, u64={data}}}}}"
        ));
    }
    Some(list)
}

/// `struct pollfd`s and what is asked of each.
pub fn poll(t: &Arc<Task>, addr: u64, count: u64) -> Option<String> {
    let mut list = Vec::new();
    for i in 0..count.min(MAX_ITEMS) {
        let raw: [u8; 8] = read(t, addr.wrapping_add(i * 8))?;
        let events = any(names::POLL_EVENTS, u64::from(u32_at(&raw, 4) & 0xffff));
        let fd = u32_at(&raw, 0).cast_signed();
        list.push(format!("{{fd={fd}, events={events}}}"));
    }
    Some(format!("[{}]", list.join(", ")))
}

/// The flags of `clone(2)` with the signal of its end.
pub fn clone_flags(value: u64) -> String {
    let mut out = any(names::CLONE, value & 0xffff_ff00);
    if let Some(name) = signal(value & 0xff) {
        if out == "0" {
            return name;
        }
        let _ = write!(out, "|{name}");
    }
    out
}

/// A `struct utsname`, its first two members.
pub fn uname(t: &Arc<Task>, addr: u64) -> Option<String> {
    let text = |at: u64| {
        let bytes = t.mm().copy_in_cstr(addr.wrapping_add(at), 64).ok()?;
        let mut out = String::new();
        quote(&bytes, usize::MAX, &mut out);
        Some(out)
    };
    let (system, node) = (text(0)?, text(65)?);
    Some(format!("{{sysname={system}, nodename={node}, ...}}"))
}
