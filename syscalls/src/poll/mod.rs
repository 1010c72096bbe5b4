//! Calls that wait for readiness: `poll`, `select`, `epoll`; and `eventfd`.

pub mod epoll;
pub mod eventfd;
mod mask;
#[expect(clippy::module_inception, reason = "a file is named after its call")]
pub mod poll;
pub mod select;
