//! The loopback network of a sandbox.

use std::sync::Arc;

use abi::Errno;

use super::{SockType, Socket};
use crate::fs::IoCx;
use crate::task::Task;
use crate::{Result, SysResult};

/// Ports in use.
#[derive(Default)]
pub struct Ports {}

/// A new socket.
pub fn create(
    _t: &Arc<Task>,
    _domain: u16,
    _kind: SockType,
    _protocol: i32,
) -> Result<Arc<dyn Socket>> {
    Err(Errno::EAFNOSUPPORT)
}

/// Interface requests (`netdevice(7)`).
pub fn device_ioctl(_cx: &IoCx<'_>, _request: u32, _arg: u64) -> SysResult<i64> {
    Err(Errno::ENOTTY.into())
}
