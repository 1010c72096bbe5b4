//! Watching system calls: what the task loop tells a tracer, and where its lines go.
//!
//! Off means off: the task loop tests one flag a call.

use std::fmt;
use std::sync::Arc;

use abi::Errno;
use abi::signal::SigInfo;

use crate::task::Task;

/// Takes finished lines, without newline.
pub trait LineSink: Send + Sync {
    /// Takes one.
    fn line(&self, text: &str);
}

/// Sees every call of every task.
pub trait Tracer: Send + Sync {
    /// A call begins. For calls that do not come back (`exit`, `execve`) this is the only
    /// chance to read what they point to.
    fn enter(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6]);
    /// A call ended with this result.
    fn leave(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6], result: Result<i64, Errno>);
    /// A signal is about to be delivered.
    fn signal(&self, t: &Task, info: &SigInfo);
    /// A thread has ended; the wait status of its process if it was the last.
    fn exit(&self, t: &Task, status: i32);
}

impl fmt::Debug for dyn Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}
