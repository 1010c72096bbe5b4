//! System calls: THE table, register decoding, and one handler a call.
//!
//! [`table`] has a row for every number of the x86-64 table; [`dispatch`] serves a call from
//! it; [`arg`] turns registers into typed arguments. Handlers lie in topic folders, one
//! file per call family, named after the call.
//!
//! A handler is four visible paragraphs: decode, read user memory once into owned values,
//! logic, write back.
#![forbid(unsafe_code)]

pub mod arg;
pub mod coverage;
pub mod dispatch;
pub mod fs;
pub mod io;
pub mod ipc;
pub mod mm;
pub mod net;
pub mod poll;
pub mod process;
pub mod row;
pub mod sched;
pub mod signal;
pub mod strace;
pub mod sys;
pub mod table;
pub mod time;

pub use dispatch::Table;
