//! Multicast groups of a socket (`ip(7)`, `ipv6(7)`): options that join and leave, and that
//! say whose packets to a group are wanted (source filters, RFC 3678).

use std::net::IpAddr;

use abi::Errno;

use super::option::{SOL_IP, SOL_IPV6};
use crate::Result;
use crate::net::view::LO_INDEX;
use crate::net::{AF_INET6, NetNs, OptCall, OptValue, SockAddr};

/// Most sources of one group (`igmp_max_msf`, `mld_max_msf`).
const MAX_SOURCES_V4: usize = 10;
const MAX_SOURCES_V6: usize = 64;
/// `IP_MSFILTER` and `MCAST_MSFILTER`.
const IP_MSFILTER: i32 = 41;
const MCAST_MSFILTER: i32 = 48;
/// Bytes of `struct ip_msfilter` and `struct group_filter` without sources, and of
/// `struct sockaddr_storage`.
const IP_MSFILTER_SIZE: usize = 16;
const GROUP_FILTER_SIZE: usize = 144;
const STORAGE: usize = 128;
const MCAST_EXCLUDE: u32 = 0;
const MCAST_INCLUDE: u32 = 1;

/// Which group on which link.
#[derive(Clone, Copy, Debug)]
struct Named {
    group: IpAddr,
    /// Link number, 0 for none named.
    link: u32,
    /// Address of the link.
    own: Option<IpAddr>,
}

/// What an option asks for.
#[derive(Debug)]
enum Change {
    Join,
    Leave,
    /// A source: whether it is added, to which kind of list.
    Source(IpAddr, bool, Mode),
    /// The whole list.
    Filter(Mode, Vec<IpAddr>),
}

/// What a list of sources means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Packets of these alone.
    Include,
    /// Packets of all others.
    Exclude,
}

/// A group that was joined.
#[derive(Debug)]
struct Member {
    link: u32,
    group: IpAddr,
    mode: Mode,
    sources: Vec<IpAddr>,
}

/// The groups of one socket.
#[derive(Debug, Default)]
pub(super) struct Groups(Vec<Member>);

fn v4(value: &[u8], at: usize) -> Option<IpAddr> {
    let four = value.get(at..)?.first_chunk::<4>()?;
    Some(IpAddr::from(*four))
}

fn word(value: &[u8], at: usize) -> Option<u32> {
    let four = value.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*four))
}

/// A `struct sockaddr_storage` of a family of internet.
fn storage(value: &[u8], at: usize) -> Option<IpAddr> {
    match SockAddr::parse(value.get(at..)?) {
        Ok(SockAddr::Inet(a)) => Some(a.ip()),
        _ => None,
    }
}

/// `struct ip_mreq` or `struct ip_mreqn`.
fn mreq(value: &[u8]) -> Option<Named> {
    Some(Named {
        group: v4(value, 0)?,
        link: word(value, 8).unwrap_or(0),
        own: v4(value, 4),
    })
}

/// `struct ipv6_mreq`.
fn mreq6(value: &[u8]) -> Option<Named> {
    let group = value.first_chunk::<16>().map(|b| IpAddr::from(*b))?;
    Some(Named {
        group,
        link: word(value, 16)?,
        own: None,
    })
}

/// `struct group_req`, and the start of `struct group_source_req` and `struct group_filter`.
fn group_req(value: &[u8]) -> Option<Named> {
    Some(Named {
        group: storage(value, 8)?,
        link: word(value, 0)?,
        own: None,
    })
}

/// What the four options of sources do: add or take away, and to which kind of list.
fn source_change(name: i32, source: IpAddr) -> Change {
    match name {
        37 | 44 => Change::Source(source, false, Mode::Exclude),
        38 | 43 => Change::Source(source, true, Mode::Exclude),
        39 | 46 => Change::Source(source, true, Mode::Include),
        _ => Change::Source(source, false, Mode::Include),
    }
}

/// Reads an option of this kind; `None` for any other.
fn parse(domain: u16, c: &OptCall<'_>) -> Result<Option<(Named, Change)>> {
    let plain = |join| if join { Change::Join } else { Change::Leave };
    let read = |n: usize| match c.len < n {
        true => Err(Errno::EINVAL),
        false => c.bytes(n),
    };
    let v6 = c.level == SOL_IPV6;
    if v6 && domain != AF_INET6 {
        return Ok(None);
    }
    match (c.level, c.name) {
        (SOL_IP, 35 | 36) => {
            let value = read(if c.len >= 12 { 12 } else { 8 })?;
            let named = mreq(&value).ok_or(Errno::EINVAL)?;
            Ok(Some((named, plain(c.name == 35))))
        }
        (SOL_IPV6, 20 | 21) => {
            let named = mreq6(&read(20)?).ok_or(Errno::EINVAL)?;
            Ok(Some((named, plain(c.name == 20))))
        }
        (SOL_IP, 37..=40) if c.len == 12 => {
            let value = read(12)?;
            let named = Named {
                group: v4(&value, 0).ok_or(Errno::EINVAL)?,
                link: 0,
                own: v4(&value, 4),
            };
            let source = v4(&value, 8).ok_or(Errno::EINVAL)?;
            Ok(Some((named, source_change(c.name, source))))
        }
        (SOL_IP, IP_MSFILTER) => ip_msfilter(c).map(Some),
        (SOL_IP | SOL_IPV6, 42 | 45) => {
            let named = group_req(&read(136)?).filter(|n| n.group.is_ipv6() == v6);
            let bad = if v6 {
                Errno::EADDRNOTAVAIL
            } else {
                Errno::EINVAL
            };
            Ok(Some((named.ok_or(bad)?, plain(c.name == 42))))
        }
        (SOL_IP | SOL_IPV6, 43 | 44 | 46 | 47) => {
            let value = read(264)?;
            let named = group_req(&value).filter(|n| n.group.is_ipv6() == v6);
            let source = storage(&value, 136).filter(|s| s.is_ipv6() == v6);
            let (named, source) = named.zip(source).ok_or(Errno::EADDRNOTAVAIL)?;
            Ok(Some((named, source_change(c.name, source))))
        }
        (SOL_IP | SOL_IPV6, MCAST_MSFILTER) => group_filter(c, v6).map(Some),
        _ => Ok(None),
    }
}

/// Why a connection joins no group: what is wrong with the option, or that it is one.
pub(super) fn refusal(domain: u16, c: &OptCall<'_>) -> Errno {
    match parse(domain, c) {
        Err(e) => e,
        Ok(_) if c.level == SOL_IPV6 && matches!(c.name, 20 | 21) => Errno::EPROTO,
        Ok(_) => Errno::EINVAL,
    }
}

fn mode(n: Option<u32>) -> Result<Mode> {
    match n {
        Some(MCAST_INCLUDE) => Ok(Mode::Include),
        Some(MCAST_EXCLUDE) => Ok(Mode::Exclude),
        _ => Err(Errno::EINVAL),
    }
}

/// How many sources a list has that fits in `len` bytes; `ENOBUFS`, `EINVAL`.
fn count(n: Option<u32>, most: usize, head: usize, each: usize, len: usize) -> Result<usize> {
    let n = n.and_then(|n| usize::try_from(n).ok());
    let n = n.filter(|n| *n <= most).ok_or(Errno::ENOBUFS)?;
    if head + n * each > len {
        return Err(Errno::EINVAL);
    }
    Ok(n)
}

/// `struct ip_msfilter`: group, link, mode, number, sources.
fn ip_msfilter(c: &OptCall<'_>) -> Result<(Named, Change)> {
    if c.len < IP_MSFILTER_SIZE {
        return Err(Errno::EINVAL);
    }
    let most = IP_MSFILTER_SIZE + 4 * MAX_SOURCES_V4;
    let value = c.bytes(c.len.min(most))?;
    let n = count(word(&value, 12), MAX_SOURCES_V4, IP_MSFILTER_SIZE, 4, c.len)?;
    let named = Named {
        group: v4(&value, 0).ok_or(Errno::EINVAL)?,
        link: 0,
        own: v4(&value, 4),
    };
    multicast(named)?;
    let mode = mode(word(&value, 8))?;
    let sources = (0..n).filter_map(|i| v4(&value, IP_MSFILTER_SIZE + 4 * i));
    Ok((named, Change::Filter(mode, sources.collect())))
}

/// `struct group_filter`: the same with addresses of any family.
fn group_filter(c: &OptCall<'_>, v6: bool) -> Result<(Named, Change)> {
    if c.len < GROUP_FILTER_SIZE {
        return Err(Errno::EINVAL);
    }
    let most = if v6 { MAX_SOURCES_V6 } else { MAX_SOURCES_V4 };
    let value = c.bytes(c.len.min(GROUP_FILTER_SIZE + STORAGE * most))?;
    let n = count(word(&value, 140), most, GROUP_FILTER_SIZE, STORAGE, c.len)?;
    let named = group_req(&value).filter(|n| n.group.is_ipv6() == v6);
    let bad = if v6 {
        Errno::EINVAL
    } else {
        Errno::EADDRNOTAVAIL
    };
    let named = named.ok_or(bad)?;
    multicast(named)?;
    let mode = mode(word(&value, 136))?;
    let mut sources = Vec::new();
    for i in 0..n {
        let source = storage(&value, GROUP_FILTER_SIZE + STORAGE * i);
        let source = source.filter(|s| s.is_ipv6() == v6);
        sources.push(source.ok_or(Errno::EADDRNOTAVAIL)?);
    }
    Ok((named, Change::Filter(mode, sources)))
}

fn multicast(named: Named) -> Result<()> {
    match named.group.is_multicast() {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

/// Joins a group for one socket more; which link it is on.
fn join(net: &NetNs, named: Named) -> Option<u32> {
    const LO: u32 = LO_INDEX as u32;
    let own = named.own.filter(|ip| !ip.is_unspecified());
    if named.link == LO || named.link == 0 && own.is_some_and(|ip| ip.is_loopback()) {
        net.inet.lo_groups.join(named.group);
        return Some(LO);
    }
    let outside = &net.outside;
    outside.look(|stack| stack.join(named.group, named.link, own))
}

/// A socket leaves a group on a link.
fn leave(net: &NetNs, link: u32, group: IpAddr) {
    if link == LO_INDEX as u32 {
        return net.inet.lo_groups.leave(group);
    }
    net.outside.look(|stack| stack.leave(group, link));
}

impl Groups {
    /// Sets an option of this kind; whether it was one.
    pub(super) fn set(&mut self, domain: u16, c: &OptCall<'_>) -> Result<bool> {
        let Some((named, change)) = parse(domain, c)? else {
            return Ok(false);
        };
        let net = &*c.net;
        match change {
            Change::Join => self.join(net, named, Mode::Exclude)?,
            Change::Leave => {
                if named.group.is_ipv6() {
                    multicast(named)?;
                }
                self.leave(net, named)?;
            }
            Change::Source(source, add, mode) => {
                multicast(named)?;
                if add && mode == Mode::Include {
                    match self.join(net, named, mode) {
                        Ok(()) | Err(Errno::EADDRINUSE) => {}
                        Err(e) => return Err(e),
                    }
                }
                self.change_source(net, named, source, add, mode)?;
            }
            Change::Filter(Mode::Include, sources) if sources.is_empty() => {
                self.leave(net, named)?;
            }
            Change::Filter(mode, sources) => {
                let at = self.find(net, named)?.ok_or(Errno::EINVAL)?;
                if let Some(m) = self.0.get_mut(at) {
                    (m.mode, m.sources) = (mode, sources);
                }
            }
        }
        Ok(true)
    }

    /// Where a group is in the list; `ENODEV` when its link is not.
    fn find(&self, net: &NetNs, named: Named) -> Result<Option<usize>> {
        let own = named.own.filter(|ip| !ip.is_unspecified());
        let link = match (named.link, own) {
            (0, Some(own)) if own.is_loopback() => LO_INDEX as u32,
            (0, Some(_)) => {
                // The link of an address: that of a join, which is taken back.
                let outside = &net.outside;
                let link = outside.look(|stack| {
                    let link = stack.join(named.group, 0, own)?;
                    stack.leave(named.group, link);
                    Some(link)
                });
                link.ok_or(Errno::ENODEV)?
            }
            (link, _) => link,
        };
        let fits = |m: &Member| m.group == named.group && (link == 0 || m.link == link);
        Ok(self.0.iter().position(fits))
    }

    /// `ENODEV` without such a link, `EADDRINUSE` when it is in.
    fn join(&mut self, net: &NetNs, named: Named, mode: Mode) -> Result<()> {
        multicast(named)?;
        let link = join(net, named).ok_or(Errno::ENODEV)?;
        let same = |m: &Member| (m.link, m.group) == (link, named.group);
        if self.0.iter().any(same) {
            leave(net, link, named.group);
            return Err(Errno::EADDRINUSE);
        }
        self.0.push(Member {
            link,
            group: named.group,
            mode,
            sources: Vec::new(),
        });
        Ok(())
    }

    /// `EADDRNOTAVAIL` when it is not in, `ENODEV` when there is no way to it either.
    fn leave(&mut self, net: &NetNs, named: Named) -> Result<()> {
        let Some(at) = self.find(net, named)? else {
            let vague = named.link == 0 && named.own.is_none_or(|ip| ip.is_unspecified());
            let to = std::net::SocketAddr::new(named.group, 0);
            let lost = vague && named.group.is_ipv4() && super::destination(net, to, 0).is_err();
            return Err(if lost {
                Errno::ENODEV
            } else {
                Errno::EADDRNOTAVAIL
            });
        };
        let m = self.0.swap_remove(at);
        leave(net, m.link, m.group);
        Ok(())
    }

    /// Adds a source to a group's list or takes it away. `EINVAL` for a list of the other
    /// kind, `EADDRNOTAVAIL` when it is there already, or not; `ENOBUFS` for too many.
    fn change_source(
        &mut self,
        net: &NetNs,
        named: Named,
        source: IpAddr,
        add: bool,
        mode: Mode,
    ) -> Result<()> {
        let at = self.find(net, named)?.ok_or(Errno::EINVAL)?;
        let m = self.0.get_mut(at).ok_or(Errno::EINVAL)?;
        if m.mode != mode && !m.sources.is_empty() {
            return Err(Errno::EINVAL);
        }
        m.mode = mode;
        let there = m.sources.iter().position(|s| *s == source);
        match (add, there) {
            (true, Some(_)) | (false, None) => return Err(Errno::EADDRNOTAVAIL),
            (true, None) => {
                let most = match source {
                    IpAddr::V4(_) => MAX_SOURCES_V4,
                    IpAddr::V6(_) => MAX_SOURCES_V6,
                };
                if m.sources.len() >= most {
                    return Err(Errno::ENOBUFS);
                }
                m.sources.push(source);
                m.sources.sort_unstable();
            }
            // The last of those wanted: the group itself is left.
            (false, Some(_)) if m.sources.len() == 1 && mode == Mode::Include => {
                return self.leave(net, named);
            }
            (false, Some(at)) => {
                m.sources.remove(at);
            }
        }
        Ok(())
    }

    /// Whether packets of a source to a group are for the socket; `None` when it has not
    /// joined.
    pub(super) fn takes(&self, link: u32, group: IpAddr, source: IpAddr) -> Option<bool> {
        let same = |m: &&Member| (m.link, m.group) == (link, group);
        let m = self.0.iter().find(same)?;
        Some(m.sources.contains(&source) == (m.mode == Mode::Include))
    }

    /// Leaves all.
    pub(super) fn clear(&mut self, net: &NetNs) {
        for m in self.0.drain(..) {
            leave(net, m.link, m.group);
        }
    }

    /// `IP_MSFILTER` and `MCAST_MSFILTER` as got; `None` for any other option.
    pub(super) fn get(&self, c: &OptCall<'_>) -> Option<Result<OptValue>> {
        match (c.level, c.name) {
            (SOL_IP, IP_MSFILTER) => Some(self.get_v4(c)),
            (SOL_IP | SOL_IPV6, MCAST_MSFILTER) => Some(self.get_filter(c)),
            _ => None,
        }
    }

    fn member(&self, c: &OptCall<'_>, named: Named) -> Result<&Member> {
        multicast(named)?;
        let at = self.find(&c.net, named)?;
        let m = at.and_then(|at| self.0.get(at));
        m.ok_or(Errno::EADDRNOTAVAIL)
    }

    fn get_v4(&self, c: &OptCall<'_>) -> Result<OptValue> {
        c.fits(IP_MSFILTER_SIZE)?;
        let mut value = c.bytes(IP_MSFILTER_SIZE)?;
        let named = Named {
            group: v4(&value, 0).ok_or(Errno::EINVAL)?,
            link: 0,
            own: v4(&value, 4),
        };
        let m = self.member(c, named)?;
        let room = word(&value, 12).unwrap_or(0);
        put(&mut value, 8, m);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        for source in m.sources.iter().take(room) {
            if let IpAddr::V4(ip) = source {
                value.extend_from_slice(&ip.octets());
            }
        }
        let n = value.len();
        Ok(OptValue::Whole(value, n))
    }

    fn get_filter(&self, c: &OptCall<'_>) -> Result<OptValue> {
        c.fits(GROUP_FILTER_SIZE)?;
        let mut value = c.bytes(GROUP_FILTER_SIZE)?;
        let named = group_req(&value).ok_or(Errno::EADDRNOTAVAIL)?;
        let m = self.member(c, named)?;
        let room = word(&value, 140).unwrap_or(0);
        put(&mut value, 136, m);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        for source in m.sources.iter().take(room) {
            let mut raw = SockAddr::Inet(std::net::SocketAddr::new(*source, 0)).to_bytes();
            raw.resize(STORAGE, 0);
            value.extend_from_slice(&raw);
        }
        let n = value.len();
        Ok(OptValue::Whole(value, n))
    }
}

/// Writes mode and number of sources.
fn put(value: &mut [u8], at: usize, m: &Member) {
    let mode = match m.mode {
        Mode::Include => MCAST_INCLUDE,
        Mode::Exclude => MCAST_EXCLUDE,
    };
    let n = u32::try_from(m.sources.len()).unwrap_or(0);
    netstack::wire::put(value, at, &mode.to_ne_bytes());
    netstack::wire::put(value, at + 4, &n.to_ne_bytes());
}
