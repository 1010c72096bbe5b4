//! The options whose value is an int, as tables: number, value of a new socket, which values
//! are taken and what is kept, and whose they are.

use super::What;

/// Which values an option takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Any; kept as a truth value.
    Flag,
    /// 0 and 1.
    Bool,
    /// From one to another.
    Range(i32, i32),
    /// From one to another; -1 means the value given.
    Default(i32, i32, i32),
    /// Any; the bits given are kept.
    Bits(i32),
    /// Any.
    Any,
    /// None: it is only told.
    Told,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: i32,
    pub(super) usual: i32,
    pub(super) rule: Rule,
    /// A value of no length is refused.
    pub(super) long: bool,
    /// Whose it is; others get `ENOPROTOOPT`, or `EINVAL` when `refused` says so.
    pub(super) of: fn(What) -> bool,
    pub(super) refused: bool,
}

const fn row(name: i32, usual: i32, rule: Rule) -> Row {
    Row {
        name,
        usual,
        rule,
        long: false,
        of: |_| true,
        refused: false,
    }
}

impl Row {
    const fn long(mut self) -> Row {
        self.long = true;
        self
    }
    const fn of(mut self, of: fn(What) -> bool) -> Row {
        self.of = of;
        self
    }
    const fn refused(mut self) -> Row {
        self.refused = true;
        self
    }
}

fn not_tcp(what: What) -> bool {
    what != What::Tcp
}

fn raw(what: What) -> bool {
    what == What::Raw
}

use Rule::{Any, Bits, Bool, Default, Flag, Range, Told};

/// Level IP (`ip(7)`).
pub(super) const IP: &[Row] = &[
    row(1, 0, Bits(0xff)),                                       // IP_TOS
    row(2, 64, Default(64, 1, 255)).long(),                      // IP_TTL
    row(3, 0, Flag).of(raw),                                     // IP_HDRINCL
    row(5, 0, Flag).of(raw).refused(),                           // IP_ROUTER_ALERT
    row(6, 0, Flag),                                             // IP_RECVOPTS
    row(7, 0, Flag),                                             // IP_RETOPTS
    row(8, 0, Flag),                                             // IP_PKTINFO
    row(10, 1, Range(0, 5)),                                     // IP_MTU_DISCOVER
    row(11, 0, Flag),                                            // IP_RECVERR
    row(12, 0, Flag),                                            // IP_RECVTTL
    row(13, 0, Flag),                                            // IP_RECVTOS
    row(15, 0, Flag).long(),                                     // IP_FREEBIND
    row(18, 0, Flag),                                            // IP_PASSSEC
    row(19, 0, Flag).long(),                                     // IP_TRANSPARENT
    row(20, 0, Flag),                                            // IP_RECVORIGDSTADDR
    row(21, 0, Range(0, 255)).long(),                            // IP_MINTTL
    row(22, 0, Flag).of(raw),                                    // IP_NODEFRAG
    row(23, 0, Flag),                                            // IP_CHECKSUM
    row(24, 0, Flag),                                            // IP_BIND_ADDRESS_NO_PORT
    row(25, 0, Flag).of(not_tcp).refused(),                      // IP_RECVFRAGSIZE
    row(26, 0, Bool),                                            // IP_RECVERR_RFC4884
    row(33, 1, Default(1, 0, 255)).long().of(not_tcp).refused(), // IP_MULTICAST_TTL
    row(34, 1, Flag).long(),                                     // IP_MULTICAST_LOOP
    row(49, 1, Bool).long(),                                     // IP_MULTICAST_ALL
    row(50, 0, Any),                                             // IP_UNICAST_IF
    row(51, 0, Any),                                             // IP_LOCAL_PORT_RANGE
];

/// Level IPv6 (`ipv6(7)`).
pub(super) const IPV6: &[Row] = &[
    row(2, 0, Flag),                            // IPV6_2292PKTINFO
    row(3, 0, Flag),                            // IPV6_2292HOPOPTS
    row(4, 0, Flag),                            // IPV6_2292DSTOPTS
    row(5, 0, Flag),                            // IPV6_2292RTHDR
    row(8, 0, Flag),                            // IPV6_2292HOPLIMIT
    row(11, 0, Flag),                           // IPV6_FLOWINFO
    row(16, 64, Default(64, 0, 255)),           // IPV6_UNICAST_HOPS
    row(18, 1, Default(1, 0, 255)).of(not_tcp), // IPV6_MULTICAST_HOPS
    row(19, 1, Bool),                           // IPV6_MULTICAST_LOOP
    row(22, 0, Told),                           // IPV6_ROUTER_ALERT
    row(23, 1, Range(0, 5)),                    // IPV6_MTU_DISCOVER
    row(25, 0, Flag),                           // IPV6_RECVERR
    row(26, 0, Flag),                           // IPV6_V6ONLY
    row(29, 1, Flag),                           // IPV6_MULTICAST_ALL
    row(30, 0, Flag),                           // IPV6_ROUTER_ALERT_ISOLATE
    row(31, 0, Bool),                           // IPV6_RECVERR_RFC4884
    row(33, 0, Flag),                           // IPV6_FLOWINFO_SEND
    row(49, 0, Flag),                           // IPV6_RECVPKTINFO
    row(51, 0, Flag),                           // IPV6_RECVHOPLIMIT
    row(53, 0, Flag),                           // IPV6_RECVHOPOPTS
    row(56, 0, Flag),                           // IPV6_RECVRTHDR
    row(58, 0, Flag),                           // IPV6_RECVDSTOPTS
    row(60, 0, Flag),                           // IPV6_RECVPATHMTU
    row(62, 0, Flag).long(),                    // IPV6_DONTFRAG
    row(66, 0, Flag),                           // IPV6_RECVTCLASS
    row(67, 0, Default(0, 0, 255)),             // IPV6_TCLASS
    row(70, 1, Flag).long(),                    // IPV6_AUTOFLOWLABEL
    row(73, 0, Range(0, 255)),                  // IPV6_MINHOPCOUNT
    row(74, 0, Flag),                           // IPV6_RECVORIGDSTADDR
    row(75, 0, Flag),                           // IPV6_TRANSPARENT
    row(76, 0, Any),                            // IPV6_UNICAST_IF
    row(77, 0, Flag).long(),                    // IPV6_RECVFRAGSIZE
    row(78, 0, Flag),                           // IPV6_FREEBIND
];

/// Level TCP (`tcp(7)`).
pub(super) const TCP: &[Row] = &[
    row(1, 0, Flag),                        // TCP_NODELAY
    row(2, 0, Any),                         // TCP_MAXSEG
    row(3, 0, Flag),                        // TCP_CORK
    row(4, 7200, Range(1, 32_767)),         // TCP_KEEPIDLE
    row(5, 75, Range(1, 32_767)),           // TCP_KEEPINTVL
    row(6, 9, Range(1, 127)),               // TCP_KEEPCNT
    row(7, 6, Range(1, 127)),               // TCP_SYNCNT
    row(8, 60, Any),                        // TCP_LINGER2
    row(9, 0, Any),                         // TCP_DEFER_ACCEPT
    row(10, 0, Any),                        // TCP_WINDOW_CLAMP
    row(12, 1, Flag),                       // TCP_QUICKACK
    row(16, 0, Bool),                       // TCP_THIN_LINEAR_TIMEOUTS
    row(18, 0, Range(0, i32::MAX)),         // TCP_USER_TIMEOUT
    row(23, 0, Range(0, i32::MAX)),         // TCP_FASTOPEN
    row(25, 0, Any),                        // TCP_NOTSENT_LOWAT
    row(27, 0, Range(0, 2)),                // TCP_SAVE_SYN
    row(30, 0, Bool),                       // TCP_FASTOPEN_CONNECT
    row(34, 0, Bool),                       // TCP_FASTOPEN_NO_COOKIE
    row(36, 0, Bool),                       // TCP_INQ
    row(37, 0, Range(0, i32::MAX)),         // TCP_TX_DELAY
    row(43, 0, Told),                       // TCP_IS_MPTCP
    row(44, 120_000, Range(1000, 120_000)), // TCP_RTO_MAX_MS
    row(45, 200_000, Range(1001, 200_000)), // TCP_RTO_MIN_US
    row(46, 200_000, Range(1001, 200_000)), // TCP_DELACK_MAX_US
];

/// Level UDP (`udp(7)`).
pub(super) const UDP: &[Row] = &[
    row(1, 0, Flag),               // UDP_CORK
    row(10, 0, Told),              // UDPLITE_SEND_CSCOV
    row(11, 0, Told),              // UDPLITE_RECV_CSCOV
    row(101, 0, Flag),             // UDP_NO_CHECK6_TX
    row(102, 0, Flag),             // UDP_NO_CHECK6_RX
    row(103, 0, Range(0, 65_535)), // UDP_SEGMENT
    row(104, 0, Flag),             // UDP_GRO
];

/// The row of an option.
pub(super) fn find(rows: &'static [Row], name: i32) -> Option<&'static Row> {
    rows.iter().find(|row| row.name == name)
}
