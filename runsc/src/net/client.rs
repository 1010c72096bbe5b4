//! The Sentry's end of the helper: takes what it says over into the stack.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sentry::boot::Container;
use sentry::net::outside::{Address, LinkSpec, NetSpec, Route};

use super::{Ask, Network};
use crate::boot::message;

/// How long a container's start waits for its network, in milliseconds.
const PATIENCE: u16 = 10_000;

/// The helper.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// From the socket that [`super::helper::fork`] gave.
    pub fn new(stream: UnixStream) -> Client {
        Client(stream)
    }

    /// For poll(2).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Asks for the network as it is now and takes it over.
    pub fn start(&self, container: &Container) -> io::Result<()> {
        message::send(&self.0, &Ask::Start, &[])?;
        let mut fds = [PollFd::new(self.fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(PATIENCE))? == 0 {
            return Err(io::Error::other("the network helper does not answer"));
        }
        if self.take(container)? {
            Ok(())
        } else {
            Err(io::Error::other("the network helper has ended"))
        }
    }

    /// Takes over a change; `false` when the helper is gone.
    pub fn take(&self, container: &Container) -> io::Result<bool> {
        let Some((network, fds)) = message::receive::<Network>(&self.0)? else {
            return Ok(false);
        };
        container.set_network(spec(network, fds));
        Ok(true)
    }
}

fn spec(network: Network, fds: Vec<OwnedFd>) -> NetSpec {
    let mut fds = fds.into_iter();
    let mut links = Vec::new();
    for l in network.links {
        let fd = if l.fresh { fds.next() } else { None };
        let addresses = l.addresses.iter().map(|a| Address {
            ip: a.ip,
            prefix: a.prefix,
            broadcast: a.broadcast,
            scope: a.scope,
        });
        links.push(LinkSpec {
            index: l.index,
            name: l.name,
            mac: l.mac,
            mtu: l.mtu,
            up: l.up,
            addresses: addresses.collect(),
            fd,
        });
    }
    let routes = network.routes.iter().map(|r| Route {
        network: r.network,
        prefix: r.prefix,
        gateway: r.gateway,
        link: r.link,
        source: r.source,
        metric: r.metric,
        protocol: r.protocol,
        scope: r.scope,
    });
    NetSpec {
        links,
        routes: routes.collect(),
        resolver: if network.resolver { fds.next() } else { None },
    }
}
