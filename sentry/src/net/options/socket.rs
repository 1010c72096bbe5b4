//! Options of level `SOL_SOCKET` (`socket(7)`), for all families.

use std::time::Duration;

use abi::Errno;
use abi::time::Timeval;
use zerocopy::{FromBytes, IntoBytes};

use super::{Common, OptCall, OptValue, Options};
use crate::Result;
use crate::creds::Cap;
use crate::net::filter::Filter;
use crate::net::view::View;
use crate::net::{AF_NETLINK, AF_PACKET, SockType, Socket, Ucred};

/// Largest `SO_SNDBUF` and `SO_RCVBUF` before doubling (`wmem_max`, `rmem_max`).
const BUF_MAX: i32 = 4 << 20;
const MIN_SNDBUF: i32 = 4608;
const MIN_RCVBUF: i32 = 2304;
/// Half of the largest receive buffer of TCP, the most `SO_RCVLOWAT` may ask for.
const TCP_LOWAT_MAX: i32 = 16 << 20;
/// Bytes of an interface's name with its NUL.
const IFNAMSIZ: usize = 16;

/// A raw or admin right over the network, as several options want.
const NET: &[Cap] = &[Cap::NetRaw, Cap::NetAdmin];

const SO_DEBUG: i32 = 1;
const SO_BINDTODEVICE: i32 = 25;
const SO_LOCK_FILTER: i32 = 44;
const SO_BUSY_POLL: i32 = 46;
const SO_MAX_PACING_RATE: i32 = 47;
const SO_INCOMING_CPU: i32 = 49;
const SO_TXTIME: i32 = 61;
const SO_PREFER_BUSY_POLL: i32 = 69;
const SO_BUF_LOCK: i32 = 72;
const SO_TXREHASH: i32 = 74;
/// What `SO_PEERCRED` says of no peer.
const NOBODY: Ucred = Ucred {
    pid: 0,
    uid: u32::MAX,
    gid: u32::MAX,
};
/// Numbers that are only kept: truth values.
const FLAGS: &[i32] = &[11, 34, 40, 41, 43, 45, 75, 82];

/// An option of `SOL_SOCKET` of a socket.
pub fn get(socket: &dyn Socket, c: &OptCall<'_>) -> Result<OptValue> {
    c.room()?;
    let common = socket.common();
    match c.name {
        4 => {
            let error = common.take_error().map_or(0, Errno::raw);
            return Ok(OptValue::Int(error));
        }
        SO_BINDTODEVICE => return get_device(common, c),
        26 if common.domain != AF_PACKET => {
            let filter = common.options.lock().filter.clone();
            return filter.map_or(Ok(OptValue::Bytes(Vec::new())), |f| f.value(c));
        }
        28 => {
            let name = socket.peer_addr().map_err(|_| Errno::ENOTCONN)?.to_bytes();
            if name.len() < c.room()? {
                return Err(Errno::EINVAL);
            }
            return Ok(OptValue::Bytes(name));
        }
        55 => return memory(socket),
        57 => c.fits(8)?,
        71 if c.room()? != 8 => return Err(Errno::EINVAL),
        _ => {}
    }
    family(common, c.name)?;
    socket.get_option(c).unwrap_or_else(|| common.get(c.name))
}

/// Whether a family has an option that only some have; `EOPNOTSUPP`.
fn family(common: &Common, name: i32) -> Result<()> {
    let has = match name {
        16 | 34 => common.is_unix() || common.domain == AF_NETLINK,
        76 | 83 => common.is_unix(),
        42 => common.is_unix() || common.is_tcp() || is_udp(common),
        SO_TXREHASH => common.is_tcp(),
        _ => true,
    };
    if has { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

fn is_udp(common: &Common) -> bool {
    common.is_inet() && common.kind == SockType::Dgram && matches!(common.protocol, 17 | 136)
}

/// `SO_BINDTODEVICE`: the link's name.
fn get_device(common: &Common, c: &OptCall<'_>) -> Result<OptValue> {
    let index = common.options.lock().link;
    if index == 0 {
        return Ok(OptValue::Bytes(Vec::new()));
    }
    c.fits(IFNAMSIZ)?;
    let view = View::of(&c.net);
    let link = view.by_index(index).ok_or(Errno::ENODEV)?;
    let mut name = link.name.clone().into_bytes();
    name.push(0);
    Ok(OptValue::Bytes(name))
}

/// `SO_MEMINFO`: what waits and may wait in both directions.
fn memory(socket: &dyn Socket) -> Result<OptValue> {
    let common = socket.common();
    let (rx, tx) = socket.queued().unwrap_or_default();
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let words = [
        small(rx),
        small(common.rcvbuf()),
        small(tx),
        small(common.sndbuf()),
        0,
        0,
        0,
        0,
        socket.drops(),
    ];
    Ok(OptValue::Bytes(words.as_bytes().to_vec()))
}

impl Common {
    /// What is kept here of an option; `ENOPROTOOPT`.
    fn get(&self, name: i32) -> Result<OptValue> {
        let o = self.options.lock();
        let flag = |b: bool| Ok(OptValue::flag(b));
        let int = |n: i32| Ok(OptValue::Int(n));
        match name {
            2 => flag(o.reuseaddr),
            3 => int(self.kind as i32),
            5 => flag(o.dontroute),
            6 => flag(o.broadcast),
            7 => int(o.sndbuf),
            8 => int(o.rcvbuf),
            9 => flag(o.keepalive),
            10 => flag(o.oobinline),
            12 => int(o.priority),
            13 => {
                let raw = [i32::from(o.linger.is_some()), linger_secs(o.linger)];
                Ok(OptValue::Bytes(raw.as_bytes().to_vec()))
            }
            // SO_BSDCOMPAT and SO_ACCEPTCONN of what does not listen, SO_INCOMING_NAPI_ID,
            // SO_RESERVE_MEM.
            14 | 30 | 56 | 73 => int(0),
            15 => flag(o.reuseport),
            16 => flag(o.passcred),
            17 => Ok(OptValue::Bytes(NOBODY.as_bytes().to_vec())),
            18 => int(o.rcvlowat),
            19 => int(1),
            20 | 66 => Ok(timeout_value(o.rcvtimeo)),
            21 | 67 => Ok(timeout_value(o.sndtimeo)),
            29 | 35 | 63 | 64 => flag(o.stamp == name),
            36 => int(o.mark),
            37 | 65 => {
                let shown = name == 37 || o.timestamping_new;
                let flags = if shown { o.timestamping } else { 0 };
                Ok(OptValue::Bytes([flags, 0].as_bytes().to_vec()))
            }
            38 => int(self.protocol),
            39 => int(i32::from(self.domain)),
            42 => int(o.peek_off),
            // SO_BPF_EXTENSIONS: the ancillary loads there are.
            48 => int(64),
            57 => Ok(OptValue::Bytes(self.ino.to_ne_bytes().to_vec())),
            59 | 77 => Err(Errno::ENODATA),
            60 => flag(o.zerocopy),
            62 => int(o.link),
            // SO_NETNS_COOKIE.
            71 => Ok(OptValue::Bytes(1u64.to_ne_bytes().to_vec())),
            76 => flag(o.passpidfd),
            83 => flag(o.passrights),
            _ => o.get_rare(name),
        }
    }
}

impl Options {
    fn get_rare(&self, name: i32) -> Result<OptValue> {
        let usual = match name {
            SO_MAX_PACING_RATE | SO_INCOMING_CPU => -1,
            SO_TXREHASH => 1,
            SO_DEBUG | SO_LOCK_FILTER | SO_BUSY_POLL | SO_PREFER_BUSY_POLL => 0,
            SO_BUF_LOCK | SO_TXTIME => 0,
            name if FLAGS.contains(&name) => 0,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        let n = self.rare.get(&name).copied().unwrap_or(usual);
        Ok(match name {
            SO_MAX_PACING_RATE | SO_TXTIME => OptValue::Bytes(n.to_ne_bytes().to_vec()),
            _ => OptValue::Int(i32::try_from(n).unwrap_or(i32::MAX)),
        })
    }

    fn keep(&mut self, name: i32, n: i64) {
        self.rare.insert(name, n);
    }

    /// A buffer's size was chosen: it is no longer tuned (`SO_BUF_LOCK`).
    fn lock_buffer(&mut self, bit: i64) {
        let n = self.rare.get(&SO_BUF_LOCK).copied().unwrap_or(0);
        self.keep(SO_BUF_LOCK, n | bit);
    }

    /// `SO_TIMESTAMP` and its kin: one is on, or none.
    fn set_stamp(&mut self, name: i32, on: bool) {
        self.stamp = if on { name } else { 0 };
    }
}

/// Sets an option of `SOL_SOCKET` of a socket.
pub fn set(socket: &dyn Socket, c: &OptCall<'_>) -> Result<()> {
    let common = socket.common();
    if c.name == SO_BINDTODEVICE {
        return set_device(common, c);
    }
    if let Some(done) = socket.set_general(c) {
        return done;
    }
    let n = c.int()?;
    match c.name {
        13 => return set_linger(common, c),
        18 if common.is_tcp() => {
            let n = if n < 0 { i32::MAX } else { n.max(1) };
            common.options.lock().rcvlowat = n.min(TCP_LOWAT_MAX);
            return Ok(());
        }
        20 | 66 => {
            common.options.lock().rcvtimeo = read_timeout(c)?;
            return Ok(());
        }
        21 | 67 => {
            common.options.lock().sndtimeo = read_timeout(c)?;
            return Ok(());
        }
        26 | 27 | SO_LOCK_FILTER | 50..=52 | 68 => return set_filter(common, c, n),
        37 | 65 => return set_timestamping(socket, c, n),
        SO_MAX_PACING_RATE => {
            let rate = match c.len {
                0..8 if n == -1 => -1,
                0..8 => i64::from(n.cast_unsigned()),
                _ => i64::from_ne_bytes(c.exact()?),
            };
            common.options.lock().keep(c.name, rate);
            return Ok(());
        }
        SO_TXTIME => return set_txtime(common, c),
        // SO_DEVMEM_DONTNEED: no memory of a device is ever received.
        80 if !common.is_tcp() => return Err(Errno::EBADF),
        80 if !c.len.is_multiple_of(8) || c.len > 8 * 128 => return Err(Errno::EINVAL),
        80 => return Ok(()),
        _ => {}
    }
    family(common, c.name)?;
    permitted(common, c, n)?;
    if kept(&mut common.options.lock(), c.name, n)? {
        return Ok(());
    }
    changed(&mut common.options.lock(), c.name, n)
}

/// Whether a caller may set an option to a value, and whether it takes it.
fn permitted(common: &Common, c: &OptCall<'_>, n: i32) -> Result<()> {
    match c.name {
        SO_DEBUG if n != 0 => c.need(&[Cap::NetAdmin]).map_err(|_| Errno::EACCES),
        12 if !(0..=6).contains(&n) => c.need(NET),
        15 if n != 0 && !common.is_inet() => Err(Errno::EOPNOTSUPP),
        32 | 33 => c.need(&[Cap::NetAdmin]),
        36 => c.need(NET),
        SO_PREFER_BUSY_POLL if n != 0 => c.need(&[Cap::NetAdmin]),
        // SO_BUSY_POLL_BUDGET.
        70 if n > 0 => c.need(&[Cap::NetAdmin]),
        60 if common.is_tcp() || (is_udp(common) && common.protocol == 17) => Ok(()),
        60 => Err(Errno::EOPNOTSUPP),
        62 => may_bind_link(common, c),
        73 if n < 0 => Err(Errno::EINVAL),
        73 => Err(Errno::EOPNOTSUPP),
        // SO_INQ: of streams alone.
        84 if !(common.is_unix() && common.kind == SockType::Stream) => Err(Errno::ENOPROTOOPT),
        84 if c.len != 4 => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// Keeps the options that act elsewhere, or nowhere here; whether it was one.
fn kept(o: &mut Options, name: i32, n: i32) -> Result<bool> {
    let n = match name {
        SO_DEBUG | SO_PREFER_BUSY_POLL => n != 0,
        name if FLAGS.contains(&name) => n != 0,
        SO_BUSY_POLL if n < 0 => return Err(Errno::EINVAL),
        SO_BUSY_POLL | SO_INCOMING_CPU => {
            o.keep(name, n.into());
            return Ok(true);
        }
        SO_BUF_LOCK if n & !3 != 0 => return Err(Errno::EINVAL),
        SO_BUF_LOCK => {
            o.keep(name, n.into());
            return Ok(true);
        }
        SO_TXREHASH if !(-1..=1).contains(&n) => return Err(Errno::EINVAL),
        SO_TXREHASH => n != 0,
        84 if !(0..=1).contains(&n) => return Err(Errno::EINVAL),
        84 => n != 0,
        _ => return Ok(false),
    };
    o.keep(name, n.into());
    Ok(true)
}

fn changed(o: &mut Options, name: i32, n: i32) -> Result<()> {
    let on = n != 0;
    match name {
        2 => o.reuseaddr = on,
        5 => o.dontroute = on,
        6 => o.broadcast = on,
        7 | 32 => {
            o.sndbuf = buffer_size(n, name == 32, MIN_SNDBUF);
            o.lock_buffer(1);
        }
        8 | 33 => {
            o.rcvbuf = buffer_size(n, name == 33, MIN_RCVBUF);
            o.lock_buffer(2);
        }
        9 => o.keepalive = on,
        10 => o.oobinline = on,
        12 => o.priority = n,
        15 => o.reuseport = on,
        16 => o.passcred = on,
        18 => o.rcvlowat = if n < 0 { i32::MAX } else { n.max(1) },
        29 | 35 | 63 | 64 => o.set_stamp(name, on),
        36 => o.mark = n,
        42 => o.peek_off = n,
        60 if !(0..=1).contains(&n) => return Err(Errno::EINVAL),
        60 => o.zerocopy = on,
        62 if n < 0 => return Err(Errno::EINVAL),
        62 => o.link = n,
        // SO_BUSY_POLL_BUDGET.
        70 if !(0..=0xffff).contains(&n) => return Err(Errno::EINVAL),
        76 => o.passpidfd = on,
        83 => o.passrights = on,
        // SO_BSDCOMPAT, SO_CNX_ADVICE: nothing comes of them.
        14 | 53 | 70 => {}
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// Only a raw right lets one take a link away again.
fn may_bind_link(common: &Common, c: &OptCall<'_>) -> Result<()> {
    match common.options.lock().link {
        0 => Ok(()),
        _ => c.need(&[Cap::NetRaw]),
    }
}

/// `SO_BINDTODEVICE`: a link by its name, or none. `ENODEV`, `EPERM`.
fn set_device(common: &Common, c: &OptCall<'_>) -> Result<()> {
    let name = c.bytes(c.len.min(IFNAMSIZ - 1))?;
    let name = name.split(|b| *b == 0).next().unwrap_or_default();
    let index = match name {
        [] => 0,
        name => {
            let view = View::of(&c.net);
            view.by_name(name).ok_or(Errno::ENODEV)?.index
        }
    };
    may_bind_link(common, c)?;
    common.options.lock().link = index;
    Ok(())
}

fn set_linger(common: &Common, c: &OptCall<'_>) -> Result<()> {
    let raw = c.exact::<8>()?;
    let (raw, _) = <[i32; 2]>::read_from_prefix(&raw).map_err(|_| Errno::EINVAL)?;
    let [on, secs] = raw;
    let secs = u32::try_from(secs).unwrap_or(u32::MAX);
    common.options.lock().linger = (on != 0).then_some(secs);
    Ok(())
}

/// Filters of what is received. `EPERM` for a locked one, `EINVAL` for a bad program.
fn set_filter(common: &Common, c: &OptCall<'_>, n: i32) -> Result<()> {
    let locked = common.options.lock().is_on(SO_LOCK_FILTER);
    match c.name {
        26 if common.is_tcp() => c.need(&[Cap::NetAdmin])?,
        _ => {}
    }
    match c.name {
        26 => {
            let filter = Filter::read(c)?;
            let mut o = common.options.lock();
            if o.is_on(SO_LOCK_FILTER) {
                return Err(Errno::EPERM);
            }
            o.filter = Some(filter);
        }
        27 if locked => return Err(Errno::EPERM),
        27 => {
            let gone = common.options.lock().filter.take();
            gone.ok_or(Errno::ENOENT)?;
        }
        SO_LOCK_FILTER if locked && n == 0 => return Err(Errno::EPERM),
        SO_LOCK_FILTER => common.options.lock().keep(c.name, i64::from(n != 0)),
        // Programs of bpf(2), which there are none of: no descriptor is one.
        50 | 52 if c.len != 4 => return Err(Errno::EINVAL),
        50 | 52 => {
            c.t.files().get(n)?;
            return Err(Errno::EINVAL);
        }
        // Choosing among sockets that share a port by a program.
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// `SO_TIMESTAMPING`: which moments are told. `EINVAL` for what does not go together.
fn set_timestamping(socket: &dyn Socket, c: &OptCall<'_>, n: i32) -> Result<()> {
    const ALL: u32 = (1 << 19) - 1;
    const OPT_ID: u32 = 1 << 7;
    const OPT_TSONLY: u32 = 1 << 11;
    const OPT_STATS: u32 = 1 << 12;
    const BIND_PHC: u32 = 1 << 15;
    const OPT_ID_TCP: u32 = 1 << 16;
    let flags = n.cast_unsigned();
    let common = socket.common();
    let alone = |flag, with| flags & flag != 0 && flags & with == 0;
    if flags & !ALL != 0 || alone(OPT_ID_TCP, OPT_ID) || alone(OPT_STATS, OPT_TSONLY) {
        return Err(Errno::EINVAL);
    }
    let fresh = flags & OPT_ID != 0 && common.options.lock().timestamping & OPT_ID == 0;
    if fresh && common.is_tcp() && socket.peer_addr().is_err() {
        return Err(Errno::EINVAL);
    }
    // No link here has a clock.
    if flags & BIND_PHC != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut o = common.options.lock();
    o.timestamping = flags;
    o.timestamping_new = c.name == 65;
    drop(o);
    if fresh {
        socket.count_stamps_anew();
    }
    Ok(())
}

/// `SO_TXTIME`: a clock and flags. `EINVAL`, `EPERM`.
fn set_txtime(common: &Common, c: &OptCall<'_>) -> Result<()> {
    if c.len != 8 {
        return Err(Errno::EINVAL);
    }
    let raw = c.exact::<8>()?;
    let (raw, _) = <[u32; 2]>::read_from_prefix(&raw).map_err(|_| Errno::EINVAL)?;
    let [clock, flags] = raw;
    if flags & !3 != 0 {
        return Err(Errno::EINVAL);
    }
    // CLOCK_MONOTONIC, which packets are held by in any case, is for everybody.
    if clock != 1 {
        c.need(&[Cap::NetAdmin])?;
    }
    let n = u64::from(flags) << 32 | u64::from(clock);
    common.options.lock().keep(SO_TXTIME, n.cast_signed());
    Ok(())
}

fn linger_secs(linger: Option<u32>) -> i32 {
    i32::try_from(linger.unwrap_or(0)).unwrap_or(i32::MAX)
}

/// Twice what was asked for; a negative number counts as a large one, unless forced.
fn buffer_size(n: i32, forced: bool, min: i32) -> i32 {
    let n = match (forced, n < 0) {
        (true, true) => 0,
        (true, false) => n.min(8 << 20),
        (false, true) => BUF_MAX,
        (false, false) => n.min(BUF_MAX),
    };
    n.saturating_mul(2).max(min)
}

fn timeout_value(timeout: Option<Duration>) -> OptValue {
    let tv = timeout.map_or(Timeval::default(), Timeval::from);
    OptValue::Bytes(tv.as_bytes().to_vec())
}

/// A `struct timeval` option; zero means no timeout, `EDOM` for bad microseconds.
fn read_timeout(c: &OptCall<'_>) -> Result<Option<Duration>> {
    let raw = c.exact::<16>()?;
    let (tv, _) = Timeval::read_from_prefix(&raw).map_err(|_| Errno::EINVAL)?;
    if !(0..1_000_000).contains(&tv.usec) {
        return Err(Errno::EDOM);
    }
    let Ok(sec) = u64::try_from(tv.sec) else {
        return Ok(Some(Duration::ZERO));
    };
    let span = Duration::from_secs(sec)
        .saturating_add(Duration::from_micros(u64::try_from(tv.usec).unwrap_or(0)));
    Ok((!span.is_zero()).then_some(span))
}
