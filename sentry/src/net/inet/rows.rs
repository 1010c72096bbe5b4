//! Sockets as rows of the socket tables of `/proc/net`.

use std::net::SocketAddr;

use super::raw::RawSocket;
use super::tcp_outside::state_number;
use super::unspecified;
use crate::net::{AF_INET6, Common, NetNs};

/// A socket.
#[derive(Clone, Debug)]
pub struct SocketRow {
    /// Of the IPv6 table.
    pub v6: bool,
    /// Its end.
    pub local: SocketAddr,
    /// The other end, unspecified without one.
    pub peer: SocketAddr,
    /// State in Linux's numbers.
    pub state: u8,
    /// Bytes not yet acknowledged.
    pub tx: usize,
    /// Bytes to be read.
    pub rx: usize,
    /// Inode number; 0 for a connection whose socket is gone.
    pub ino: u64,
}

impl SocketRow {
    /// A row of a socket; states are Linux's numbers.
    pub(super) fn new(
        common: &Common,
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
        state: u8,
        queued: (usize, usize),
    ) -> SocketRow {
        let any = SocketAddr::new(unspecified(common.domain), 0);
        SocketRow {
            v6: common.domain == AF_INET6,
            local: local.unwrap_or(any),
            peer: peer.unwrap_or(any),
            state,
            tx: queued.1,
            rx: queued.0,
            ino: common.ino,
        }
    }
}

/// All TCP sockets, and connections that outlive theirs.
pub fn tcp_rows(net: &NetNs) -> Vec<SocketRow> {
    let mut all = net.inet.tcp.all();
    all.extend(net.outside.sockets());
    let mut rows: Vec<SocketRow> = all.iter().map(|s| s.row()).collect();
    net.outside.look(|stack| {
        for c in stack.tcp.all().filter(|c| c.is_orphan()) {
            rows.push(SocketRow {
                v6: c.tuple.local.is_ipv6(),
                local: c.tuple.local,
                peer: c.tuple.peer,
                state: state_number(c.state),
                tx: 0,
                rx: 0,
                ino: 0,
            });
        }
    });
    rows
}

/// All UDP sockets that have a port.
pub fn udp_rows(net: &NetNs) -> Vec<SocketRow> {
    net.inet.udp.all().iter().map(|s| s.row()).collect()
}

/// All raw sockets, or all ping sockets.
pub fn raw_rows(net: &NetNs, ping: bool) -> Vec<SocketRow> {
    RawSocket::rows(&net.outside, ping)
}
