//! `/proc/PID/net`: texts that the socket layer makes, of the namespace the process is in.

use std::sync::Arc;

use super::pid::Subject;
use crate::fs::pseudo::{Dir, Node, Static, Text};
use crate::fs::vfs::Inode;
use crate::net::{NetNs, inet, tables};
use crate::task::Task;

type Source = fn(&NetNs) -> String;

/// Names and texts.
const FILES: &[(&str, Source)] = &[
    ("arp", |k| tables::arp(k)),
    ("dev", |k| tables::dev(k)),
    ("icmp", |k| tables::datagram(inet::raw_rows(k, true), false)),
    ("icmp6", |k| tables::datagram(inet::raw_rows(k, true), true)),
    ("if_inet6", |k| tables::if_inet6(k)),
    ("ipv6_route", |k| tables::ipv6_route(k)),
    ("raw", |k| tables::datagram(inet::raw_rows(k, false), false)),
    ("raw6", |k| tables::datagram(inet::raw_rows(k, false), true)),
    ("route", |k| tables::route(k)),
    ("snmp", |k| tables::snmp(k)),
    ("sockstat", tables::sockstat),
    ("tcp", |k| tables::tcp(k, false)),
    ("tcp6", |k| tables::tcp(k, true)),
    ("udp", |k| tables::datagram(inet::udp_rows(k), false)),
    ("udp6", |k| tables::datagram(inet::udp_rows(k), true)),
    ("unix", |k| k.unix.table()),
];

/// The directory.
pub fn dir(subject: &Subject, node: Node) -> Arc<dyn Inode> {
    let file = |(name, source): &(&'static str, Source)| -> (&'static str, Arc<dyn Inode>) {
        let node = subject
            .proc
            .node(&format!("{}/net/{name}", subject.pid), 0o444);
        let (source, subject) = (*source, subject.clone());
        let text = move |_: Option<&Arc<Task>>| Ok(source(&subject.task()?.net()).into_bytes());
        (name, Text::new(node, text))
    };
    Dir::new(node, Static::new(FILES.iter().map(file).collect()))
}
