//! The helper process: in the container's network namespace, with the two capabilities it
//! needs, an empty root, and a short list of host calls.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, connect, socket,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::netlink::Netlink;
use super::{Ask, Network, quiet, routes};
use crate::boot::message;
use crate::{jail, sys};

/// `RTMGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE`.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// Changes come in bursts: how long one is waited out, in milliseconds.
const SETTLE: u16 = 20;

/// Forks the helper; the Sentry's end of its socket. `None` when the namespace is not the
/// container's own: then there is nothing in it that the guest could have.
pub fn fork() -> anyhow::Result<Option<UnixStream>> {
    if is_hosts_own() {
        return Ok(None);
    }
    let (ours, theirs) = UnixStream::pair()?;
    if sys::fork()?.is_some() {
        return Ok(Some(ours));
    }
    sys::close_all_but(&[0, 1, 2, theirs.as_raw_fd()]);
    let code = match serve(&theirs) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("runsc: network helper: {e:#}");
            1
        }
    };
    sys::exit_now(code)
}

fn is_hosts_own() -> bool {
    let own = std::fs::read_link("/proc/self/ns/net");
    let first = std::fs::read_link("/proc/1/ns/net");
    match (own, first) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

struct Helper {
    netlink: Netlink,
    /// Links whose sockets the Sentry has.
    known: Vec<u32>,
    last: Network,
    resolver_sent: bool,
}

fn serve(sentry: &UnixStream) -> anyhow::Result<()> {
    // A label only.
    let _ = nix::sys::prctl::set_name(c"runsc-net");
    let changes = Netlink::open(GROUPS).context("open netlink")?;
    let netlink = Netlink::open(0).context("open netlink")?;
    // Where this is refused the host's own questions may use ports of the guest.
    let _ = quiet::keep_ports();
    lock_in()?;
    let Some((Ask::Start, _)) = message::receive::<Ask>(sentry)? else {
        return Ok(());
    };
    let mut helper = Helper {
        netlink,
        known: Vec::new(),
        last: Network::default(),
        resolver_sent: false,
    };
    if let Err(e) = quiet::install(&helper.netlink) {
        eprintln!("runsc: network helper: keep the host's kernel quiet: {e}");
    }
    helper.tell(sentry, true)?;
    loop {
        let mut fds = [
            PollFd::new(changes.fd(), PollFlags::POLLIN),
            PollFd::new(sentry.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::NONE)?;
        if fds.get(1).and_then(PollFd::any).unwrap_or(false) {
            // The Sentry says nothing more: it is gone.
            return Ok(());
        }
        let _ = poll(&mut [], PollTimeout::from(SETTLE));
        if changes.drain() {
            helper.tell(sentry, false)?;
        }
    }
}

impl Helper {
    /// Looks, and tells the Sentry if anything is new.
    fn tell(&mut self, sentry: &UnixStream, first: bool) -> anyhow::Result<()> {
        let mut network = routes::read(&self.netlink).context("read links and routes")?;
        if network == self.last && !first {
            return Ok(());
        }
        self.last = network.clone();
        self.known
            .retain(|i| network.links.iter().any(|l| l.index == *i));
        let mut fds: Vec<OwnedFd> = Vec::new();
        for link in network
            .links
            .iter_mut()
            .filter(|l| !self.known.contains(&l.index))
        {
            match sys::packet_socket(link.index) {
                Ok(fd) => {
                    fds.push(fd);
                    link.fresh = true;
                }
                Err(e) => eprintln!("runsc: network helper: open {}: {e}", link.name),
            }
        }
        self.known
            .extend(network.links.iter().filter(|l| l.fresh).map(|l| l.index));
        network.links.retain(|l| self.known.contains(&l.index));
        if !self.resolver_sent
            && let Ok(fd) = resolver()
        {
            fds.push(fd);
            network.resolver = true;
            self.resolver_sent = true;
        }
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        message::send(sentry, &network, &borrowed)?;
        Ok(())
    }
}

/// A socket connected to where Docker's resolver listens, if it does.
fn resolver() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        flags,
        SockProtocol::Udp,
    )?;
    connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 11, 53))?;
    Ok(fd)
}

fn lock_in() -> anyhow::Result<()> {
    jail::namespaces::empty_root()?;
    sys::keep_capabilities(1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW).context("drop capabilities")?;
    nix::sys::prctl::set_no_new_privs().context("set no_new_privs")?;
    nix::sys::prctl::set_dumpable(false).context("become undumpable")?;
    seccompiler::apply_filter(&filter()?).context("install the seccomp filter")
}

const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

/// What the helper may call; all else fails.
fn filter() -> anyhow::Result<BpfProgram> {
    let allowed = [
        libc::SYS_socket,
        libc::SYS_bind,
        libc::SYS_connect,
        libc::SYS_setsockopt,
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_sendmsg,
        libc::SYS_recvmsg,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_close,
        libc::SYS_fcntl,
        libc::SYS_poll,
        libc::SYS_ppoll,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules: BTreeMap<_, _> = allowed.into_iter().map(|nr| (nr, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?;
    Ok(filter.try_into()?)
}
