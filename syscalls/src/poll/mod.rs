//! Calls that wait for readiness: `poll`, `select`, `epoll`; and `eventfd`.

pub mod epoll;
pub mod eventfd;
mod mask;
pub mod poll;
pub mod select;
