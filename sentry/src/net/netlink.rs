//! Netlink sockets (`netlink(7)`).

use std::sync::Arc;

use abi::Errno;

use super::{SockType, Socket};
use crate::{Kernel, Result};

/// A new socket.
pub fn create(_kernel: &Arc<Kernel>, _kind: SockType, _protocol: i32) -> Result<Arc<dyn Socket>> {
    Err(Errno::EAFNOSUPPORT)
}
