//! A row of the table, and how an ordinary function becomes one.

use std::fmt;
use std::sync::Arc;

use abi::Errno;
use sentry::{SysResult, Task};

use crate::arg::{Arg, Ret};

/// How far a call is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Every flag, command and errno its manual page names.
    Full,
    /// What is missing, in words.
    Partial(&'static str),
    /// Not there; the errno a kernel without it gives.
    Missing(Errno),
}

/// Runs a call: task and raw registers.
pub type CallFn = fn(&Arc<Task>, &[u64; 6]) -> SysResult<i64>;
/// The text of each argument of a call; `after` it has returned.
pub type TraceFn = fn(&Arc<Task>, &[u64; 6], bool) -> Vec<String>;

/// One system call.
#[derive(Clone, Copy)]
pub struct Row {
    /// Name as in the manual.
    pub name: &'static str,
    /// How far it is there.
    pub support: Support,
    /// Serves it.
    pub call: CallFn,
    /// Prints its arguments.
    pub trace: TraceFn,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.name, self.support)
    }
}

/// A function that can be a row: the task, then up to six arguments.
pub trait Handler<Args>: Copy {
    /// Decodes and calls.
    fn run(self, t: &Arc<Task>, regs: &[u64; 6]) -> SysResult<i64>;
    /// Decodes and prints.
    fn show(t: &Arc<Task>, regs: &[u64; 6], after: bool) -> Vec<String>;
}

macro_rules! handlers {
    ($($arg:ident $i:tt),*) => {
        impl<F, R, $($arg),*> Handler<(R, $($arg,)*)> for F
        where
            F: Fn(&Arc<Task>, $($arg),*) -> SysResult<R> + Copy,
            R: Ret,
            $($arg: Arg,)*
        {
            fn run(self, t: &Arc<Task>, regs: &[u64; 6]) -> SysResult<i64> {
                let _ = regs;
                self(t, $($arg::decode(regs[$i])),*).map(Ret::into_reg)
            }
            fn show(t: &Arc<Task>, regs: &[u64; 6], after: bool) -> Vec<String> {
                let _ = (t, regs, after);
                vec![$({
                    let mut text = String::new();
                    $arg::decode(regs[$i]).trace(t, after, &mut text);
                    text
                }),*]
            }
        }
    };
}
handlers!();
handlers!(A 0);
handlers!(A 0, B 1);
handlers!(A 0, B 1, C 2);
handlers!(A 0, B 1, C 2, D 3);
handlers!(A 0, B 1, C 2, D 3, E 4);
handlers!(A 0, B 1, C 2, D 3, E 4, G 5);

/// The printer of a handler.
pub fn tracer<Args, H: Handler<Args>>(_: H) -> TraceFn {
    H::show
}

impl Row {
    /// A number Linux does not use.
    pub const fn unused() -> Row {
        Row::missing("unused", Errno::ENOSYS)
    }

    /// A call that is not there.
    pub const fn missing(name: &'static str, errno: Errno) -> Row {
        Row {
            name,
            support: Support::Missing(errno),
            call: no_call,
            trace: no_trace,
        }
    }
}

fn no_call(_t: &Arc<Task>, _regs: &[u64; 6]) -> SysResult<i64> {
    Err(Errno::ENOSYS.into())
}

fn no_trace(_t: &Arc<Task>, regs: &[u64; 6], _after: bool) -> Vec<String> {
    regs.iter().map(|r| format!("{r:#x}")).collect()
}
