//! Texts of `/proc/net` (`proc_pid_net(5)`): links, routes, neighbours and sockets.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::NetNs;
use super::inet::SocketRow;
use super::view::{LOOPBACK, View};

const DEV: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
const ROUTE: &str =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
const ARP: &str =
    "IP address       HW type     Flags       HW address            Mask     Device\n";
const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
/// Width rows of the IPv4 tables are padded to.
const WIDTH_TCP: usize = 149;
const WIDTH_UDP: usize = 127;

/// A line padded to a width.
fn padded(line: &str, width: usize) -> String {
    format!("{line:<width$}\n")
}

/// `/proc/net/dev`.
pub fn dev(net: &NetNs) -> String {
    let mut out = DEV.to_owned();
    for l in View::of(net).links {
        let c = l.counters;
        let _ = writeln!(
            out,
            "{:>6}: {:>7} {:>7} {:>4} {:>4} {:>4} {:>5} {:>10} {:>9} {:>8} {:>7} {:>4} {:>4} {:>4} {:>5} {:>7} {:>10}",
            l.name,
            c.rx_bytes,
            c.rx_packets,
            c.rx_errors,
            c.rx_dropped,
            0,
            0,
            0,
            c.multicast,
            c.tx_bytes,
            c.tx_packets,
            0,
            c.tx_dropped,
            0,
            0,
            0,
            0,
        );
    }
    out
}

/// `/proc/net/route`.
pub fn route(net: &NetNs) -> String {
    const RTF_UP: u32 = 1;
    const RTF_GATEWAY: u32 = 2;
    const RTF_HOST: u32 = 4;
    // There is no table before the first address.
    if net.outside.is_fresh() {
        return String::new();
    }
    let view = View::of(net);
    let mut out = padded(ROUTE, WIDTH_UDP);
    let hex = |ip: Option<IpAddr>| match ip {
        Some(IpAddr::V4(ip)) => u32::from_ne_bytes(ip.octets()),
        _ => 0,
    };
    let mut routes: Vec<_> = view.routes.iter().filter(|r| r.network.is_ipv4()).collect();
    routes.sort_by_key(|r| (r.network, std::cmp::Reverse(r.prefix), r.metric));
    for r in routes {
        let Some(link) = view.by_index(i32::try_from(r.link).unwrap_or(0)) else {
            continue;
        };
        let mask = u32::MAX
            .checked_shl(32u32.saturating_sub(r.prefix.into()))
            .unwrap_or(0);
        let mut flags = RTF_UP;
        if r.gateway.is_some() {
            flags |= RTF_GATEWAY;
        }
        if r.prefix == 32 {
            flags |= RTF_HOST;
        }
        let line = format!(
            "{}\t{:08X}\t{:08X}\t{:04X}\t0\t0\t{}\t{:08X}\t0\t0\t0",
            link.name,
            hex(Some(r.network)),
            hex(r.gateway),
            flags,
            r.metric,
            u32::from_ne_bytes(mask.to_be_bytes()),
        );
        out.push_str(&padded(&line, WIDTH_UDP));
    }
    out
}

fn hex6(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(ip) => ip.octets().iter().map(|b| format!("{b:02x}")).collect(),
        IpAddr::V4(_) => String::new(),
    }
}

/// `/proc/net/if_inet6`.
pub fn if_inet6(net: &NetNs) -> String {
    let mut out = String::new();
    for l in View::of(net).links {
        for a in l.addresses.iter().filter(|a| a.ip.is_ipv6()) {
            let scope = match (l.kind == LOOPBACK, a.scope) {
                (true, _) => 0x10,
                (_, 253) => 0x20,
                _ => 0,
            };
            let _ = writeln!(
                out,
                "{} {:02x} {:02x} {:02x} 80 {:>8}",
                hex6(a.ip),
                l.index,
                a.prefix,
                scope,
                l.name
            );
        }
    }
    out
}

/// `/proc/net/ipv6_route`.
pub fn ipv6_route(net: &NetNs) -> String {
    let view = View::of(net);
    let mut out = String::new();
    let none = "0".repeat(32);
    for r in view.routes.iter().filter(|r| r.network.is_ipv6()) {
        let Some(link) = view.by_index(i32::try_from(r.link).unwrap_or(0)) else {
            continue;
        };
        let gateway = r.gateway.map_or_else(|| none.clone(), hex6);
        let flags = if r.gateway.is_some() { 3 } else { 1 };
        let _ = writeln!(
            out,
            "{} {:02x} {none} 00 {gateway} {:08x} 00000001 00000000 {flags:08x} {:>8}",
            hex6(r.network),
            r.prefix,
            r.metric,
            link.name
        );
    }
    out
}

/// `/proc/net/arp`.
pub fn arp(net: &NetNs) -> String {
    let view = View::of(net);
    let mut out = ARP.to_owned();
    for n in view.neighbours.iter().filter(|n| n.ip.is_ipv4()) {
        let name = view.by_index(n.link).map_or("", |l| l.name.as_str());
        let flags = if n.mac.is_some() { "0x2" } else { "0x0" };
        let mac: Vec<String> = n
            .mac
            .unwrap_or_default()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let ip = n.ip.to_string();
        let _ = writeln!(
            out,
            "{ip:<16} 0x1         {flags}         {}     *        {name}",
            mac.join(":")
        );
    }
    out
}

/// An address as the socket tables print it: words in the host's order.
fn socket_addr(a: SocketAddr, v6: bool) -> String {
    let octets = match a.ip() {
        IpAddr::V4(ip) if !v6 => ip.octets().to_vec(),
        IpAddr::V4(ip) if ip.is_unspecified() => vec![0; 16],
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut out = String::new();
    for word in octets.chunks_exact(4) {
        let word = <[u8; 4]>::try_from(word).map_or(0, u32::from_ne_bytes);
        let _ = write!(out, "{word:08X}");
    }
    let _ = write!(out, ":{:04X}", a.port());
    out
}

fn unique(rows: Vec<SocketRow>, v6: bool) -> Vec<SocketRow> {
    let of_family = rows.into_iter().filter(|r| r.v6 == v6);
    // A connection without a socket of its own has no number to be known by.
    let mut without = Vec::new();
    let mut by_ino = BTreeMap::new();
    for row in of_family {
        if row.ino == 0 {
            without.push(row);
        } else {
            by_ino.insert(row.ino, row);
        }
    }
    by_ino.into_values().chain(without).collect()
}

fn common(n: usize, r: &SocketRow) -> String {
    format!(
        "{n:>4}: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:>5} {:>8} {}",
        socket_addr(r.local, r.v6),
        socket_addr(r.peer, r.v6),
        r.state,
        r.tx,
        r.rx,
        0,
        0,
        r.ino,
    )
}

/// `/proc/net/tcp`, `/proc/net/tcp6`.
pub fn tcp(net: &NetNs, v6: bool) -> String {
    let mut out = if v6 {
        TCP6.to_owned()
    } else {
        padded(TCP, WIDTH_TCP)
    };
    for (n, r) in unique(super::inet::tcp_rows(net), v6).iter().enumerate() {
        let line = format!("{} 1 0000000000000000 100 0 0 10 0", common(n, r));
        if v6 {
            let _ = writeln!(out, "{line}");
        } else {
            out.push_str(&padded(&line, WIDTH_TCP));
        }
    }
    out
}

/// `/proc/net/udp`, `/proc/net/udp6`, `/proc/net/raw`, `/proc/net/raw6`, `/proc/net/icmp`,
/// `/proc/net/icmp6`.
pub fn datagram(rows: Vec<SocketRow>, v6: bool) -> String {
    let mut out = if v6 {
        UDP6.to_owned()
    } else {
        padded(UDP, WIDTH_UDP)
    };
    for r in unique(rows, v6) {
        let n = usize::from(r.local.port());
        let line = format!("{} 2 0000000000000000 0", common(n, &r));
        // The first column is one wider than TCP's.
        let line = format!(" {line}");
        if v6 {
            let _ = writeln!(out, "{line}");
        } else {
            out.push_str(&padded(&line, WIDTH_UDP));
        }
    }
    out
}

/// `/proc/net/snmp`.
pub fn snmp(net: &NetNs) -> String {
    let (ip, tcp, current) = net.outside.look(|s| {
        let current = s.tcp.all().filter(|c| c.is_established()).count();
        (s.totals, s.tcp.totals, current)
    });
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\nIp: 2 64 {} {} {} 0 0 0 {} {} 0 {} 0 0 0 0 0 0 0",
        ip.in_receives,
        ip.in_header_errors,
        ip.in_address_errors,
        ip.in_delivers,
        tcp.out_segs,
        ip.no_routes
    );
    let _ = writeln!(
        out,
        "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\nTcp: 1 200 120000 -1 {} {} {} 0 {current} {} {} {} 0 {} {}",
        tcp.active_opens,
        tcp.passive_opens,
        tcp.attempt_fails,
        tcp.in_segs,
        tcp.out_segs,
        tcp.retrans_segs,
        tcp.out_rsts,
        ip.checksum_errors
    );
    let _ = writeln!(
        out,
        "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\nUdp: 0 0 0 0 0 0 0 0 0"
    );
    out
}

/// `/proc/net/sockstat`.
pub fn sockstat(net: &NetNs) -> String {
    let tcp = super::inet::tcp_rows(net);
    let udp = super::inet::udp_rows(net);
    let raw = super::inet::raw_rows(net, false);
    let waits = tcp.iter().filter(|r| r.state == 6).count();
    let live = tcp.len() - waits;
    let used = live + udp.len() + raw.len();
    format!(
        "sockets: used {used}\nTCP: inuse {live} orphan 0 tw {waits} alloc {live} mem 0\nUDP: inuse {} mem 0\nUDPLITE: inuse 0\nRAW: inuse {}\nFRAG: inuse 0 memory 0\n",
        udp.len(),
        raw.len()
    )
}
