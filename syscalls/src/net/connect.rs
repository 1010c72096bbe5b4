//! `connect(2)`.

use std::sync::Arc;

use sentry::landlock::NetRights;
use sentry::net::{SocketFile, wait};
use sentry::{SysResult, Task};

use super::addr;
use crate::arg::Fd;

/// `connect(2)`.
pub fn connect(t: &Arc<Task>, fd: Fd, addr: u64, len: u32) -> SysResult<i64> {
    let (file, socket) = SocketFile::of(t, fd.0)?;
    let addr = addr::read(t, addr, len)?;
    addr::check_port(t, &*socket, &addr, NetRights::CONNECT_TCP)?;
    wait::connect(t, file, socket, addr)
}
