//! What the control loop waits for.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Control;

/// Something to attend to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A client wants to connect to this container.
    Listener(u32),
    /// The Gofer of this container is gone.
    Gofer(u32),
    /// The terminal has a new size.
    Resized,
    /// The network helper has news.
    Network,
    /// A client, by its descriptor, asks or hangs up.
    Connection(i32),
}

impl Control {
    /// What is ready within `limit`; nothing when it has passed.
    pub(super) fn wait(&self, limit: PollTimeout) -> Vec<Source> {
        let mut sources = Vec::new();
        let mut fds = Vec::new();
        let mut watch = |source, fd| {
            sources.push(source);
            fds.push(PollFd::new(fd, PollFlags::POLLIN));
        };
        for (&key, served) in &self.containers {
            watch(Source::Listener(key), served.listener.as_fd());
            watch(Source::Gofer(key), served.gofer.as_fd());
        }
        if let Some((signals, _)) = &self.resized {
            watch(Source::Resized, signals.as_fd());
        }
        if let Some(network) = &self.network {
            watch(Source::Network, network.fd());
        }
        for (&fd, connection) in &self.connections {
            watch(Source::Connection(fd), connection.stream.as_fd());
        }
        if poll(&mut fds, limit).is_err() {
            return Vec::new();
        }
        let hot = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let ready = sources.into_iter().zip(&fds).filter(|(_, fd)| hot(fd));
        ready.map(|(source, _)| source).collect()
    }
}
