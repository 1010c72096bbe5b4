//! Network namespaces (`network_namespaces(7)`): the names sockets are found by, the links
//! they reach, and settings.
//!
//! A task is in one ([`crate::task::NsProxy`]); a socket keeps the one it was made in. A new
//! one has only `lo`, which is down. [`NetNamespaces`] is what the kernel knows of all of
//! them: who has work to do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::{inet, netlink, outside, packet, unix};
use crate::Kernel;
use crate::creds::{Cap, Creds};
use crate::sync::Mutex;
use crate::userns::UserNs;

/// Rounds of work before others have their turn.
const ROUNDS: usize = 64;

/// A network namespace.
pub struct NetNs {
    /// Inode number under `/proc/PID/ns/net`; `None` for the first.
    pub ino: Option<u64>,
    /// The user namespace it belongs to.
    pub owner: UserNs,
    /// Abstract unix names.
    pub unix: unix::Names,
    /// Internet ports.
    pub inet: inet::Ports,
    /// The stack and its links.
    pub outside: outside::Outside,
    /// Packet sockets.
    pub taps: packet::Taps,
    /// Who is told of changes of links, addresses and routes.
    pub listeners: netlink::Listeners,
    /// Settings written under `/proc/sys/net`. Lock rank: leaf.
    sysctls: Mutex<BTreeMap<String, String>>,
}

impl std::fmt::Debug for NetNs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NetNs({:?})", self.ino)
    }
}

impl NetNs {
    /// The first one: its loopback is up, and the host's links come to it.
    fn initial() -> NetNs {
        NetNs {
            ino: None,
            owner: UserNs::INITIAL,
            unix: unix::Names::default(),
            inet: inet::Ports::default(),
            outside: outside::Outside::default(),
            taps: packet::Taps::default(),
            listeners: netlink::Listeners::default(),
            sysctls: Mutex::default(),
        }
    }

    /// A new one.
    pub fn new(kernel: &Kernel, owner: UserNs) -> Arc<NetNs> {
        let ns = Arc::new(NetNs {
            ino: Some(kernel.next_ns_ino()),
            owner,
            outside: outside::Outside::isolated(),
            ..NetNs::initial()
        });
        kernel.nets.add(&ns);
        ns
    }

    /// Whether somebody may do here what `cap` stands for.
    pub fn allows(&self, creds: &Creds, cap: Cap) -> bool {
        creds.ns_capable(&self.owner, cap)
    }

    /// The value written to a setting, if one was.
    pub fn sysctl(&self, path: &str) -> Option<String> {
        self.sysctls.lock().get(path).cloned()
    }

    /// Stores a setting.
    pub fn set_sysctl(&self, path: &str, value: &str) {
        let mut all = self.sysctls.lock();
        all.insert(path.to_owned(), value.to_owned());
    }
}

/// Every network namespace there is.
pub struct NetNamespaces {
    /// Some namespace has work for a worker.
    pending: AtomicBool,
    /// All, the first in front. Lock rank: leaf.
    all: Mutex<Vec<Weak<NetNs>>>,
    /// How long the list was when it was last swept.
    swept: Mutex<usize>,
}

impl NetNamespaces {
    /// The first one, and the list of it.
    pub fn new() -> (Arc<NetNs>, NetNamespaces) {
        let first = Arc::new(NetNs::initial());
        let list = NetNamespaces {
            pending: AtomicBool::new(false),
            all: Mutex::new(vec![Arc::downgrade(&first)]),
            swept: Mutex::new(1),
        };
        (first, list)
    }

    fn add(&self, ns: &Arc<NetNs>) {
        let mut all = self.all.lock();
        let mut swept = self.swept.lock();
        if all.len() >= swept.saturating_mul(2).max(16) {
            all.retain(|ns| ns.strong_count() > 0);
            *swept = all.len();
        }
        all.push(Arc::downgrade(ns));
    }

    /// All that are alive.
    pub fn all(&self) -> Vec<Arc<NetNs>> {
        self.all.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Says that some namespace has work, for the worker that is about to look.
    pub(crate) fn mark(&self) {
        self.pending.store(true, Ordering::Release);
    }

    /// Does what was marked. Called by workers between events.
    pub(crate) fn work(&self, kernel: &Arc<Kernel>) {
        // Namespaces that talk to each other give each other work.
        for _ in 0..ROUNDS {
            let pending = self.pending.load(Ordering::Relaxed);
            if !pending || !self.pending.swap(false, Ordering::AcqRel) {
                return;
            }
            for ns in self.all() {
                ns.work(kernel);
            }
        }
        if let Some(id) = crate::worker::current() {
            kernel.platform.kick(id);
        }
    }
}
