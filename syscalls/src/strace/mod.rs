//! The strace mode: one line a call, in the host strace's format.
//!
//! [`Strace`] is the kernel's [`Tracer`]; the arguments are printed by the row's own trace
//! function ([`crate::row::Row`]); [`shape`] says which of them have a better text than their
//! type gives, [`show`] prints structures of guest memory.

mod names;
mod shape;
mod show;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use abi::Errno;
use abi::signal::{SigInfo, Signal};
use parking_lot::Mutex;
use sentry::Task;
use sentry::trace::{LineSink, Tracer};

use crate::dispatch::row;

use shape::Call;
pub use text::{flags, quote};

/// Writes a line for each call, signal and end.
pub struct Strace {
    sink: Arc<dyn LineSink>,
    /// Arguments of calls that do not come back the usual way, printed when they began.
    begun: Mutex<HashMap<i32, String>>,
}

impl fmt::Debug for Strace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strace")
    }
}

impl Strace {
    /// A tracer whose lines go to `sink`.
    pub fn new(sink: Arc<dyn LineSink>) -> Strace {
        Strace {
            sink,
            begun: Mutex::default(),
        }
    }

    /// `result`: the value, once the call has returned without an error.
    fn call_text(t: &Arc<Task>, nr: u64, regs: &[u64; 6], result: Option<i64>) -> String {
        let Some(row) = row(nr) else {
            return format!("syscall_{nr:#x}()");
        };
        let mut args = (row.trace)(t, regs, result.is_some());
        let call = Call {
            task: t,
            regs,
            result,
        };
        shape::apply(nr, &call, &mut args);
        format!("{}({})", row.name, args.join(", "))
    }

    /// strace puts the result in column 40 where the call is short.
    fn emit(&self, tid: i32, call: &str, result: &str) {
        self.sink
            .line(&format!("[pid {tid:>5}] {call:<39} = {result}"));
    }
}

/// Calls after which the memory their arguments pointed to is another.
fn replaces_memory(nr: u64) -> bool {
    use abi::nr;
    [nr::execve, nr::execveat]
        .iter()
        .any(|&n| u64::from(n) == nr)
}

/// Calls that never return.
fn never_returns(nr: u64) -> bool {
    use abi::nr;
    [nr::exit, nr::exit_group]
        .iter()
        .any(|&n| u64::from(n) == nr)
}

/// The result as strace words it.
fn result_text(nr: u64, result: Result<i64, Errno>) -> String {
    use abi::nr;
    let pointer = [nr::mmap, nr::mremap, nr::brk, nr::shmat]
        .iter()
        .any(|&n| u64::from(n) == nr);
    match result {
        Ok(v) if pointer => format!("{v:#x}"),
        Ok(v) => v.to_string(),
        Err(e) if e.raw() == 512 => {
            "? ERESTARTSYS (To be restarted if SA_RESTART is set)".to_owned()
        }
        Err(e) => format!("-1 {} ({})", e.name(), e.text()),
    }
}

/// Threads are told apart by their numbers in the first pid namespace.
fn number(t: &Task) -> i32 {
    t.id().outermost()
}

impl Tracer for Strace {
    fn enter(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6]) {
        if never_returns(nr) {
            self.emit(number(t), &Strace::call_text(t, nr, args, None), "?");
        } else if replaces_memory(nr) {
            let text = Strace::call_text(t, nr, args, None);
            self.begun.lock().insert(number(t), text);
        }
    }

    fn leave(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6], result: Result<i64, Errno>) {
        let begun = if replaces_memory(nr) {
            self.begun.lock().remove(&number(t))
        } else {
            None
        };
        let call = begun.unwrap_or_else(|| Strace::call_text(t, nr, args, result.ok()));
        self.emit(number(t), &call, &result_text(nr, result));
    }

    fn signal(&self, t: &Task, info: &SigInfo) {
        let name = u64::try_from(info.signo)
            .ok()
            .and_then(Signal::new)
            .map(Signal::name);
        let name = name.unwrap_or_default();
        let tid = number(t);
        self.sink.line(&format!(
            "[pid {tid:>5}] --- {name} {{si_signo={name}, si_code={}}} ---",
            info.code
        ));
    }

    fn exit(&self, t: &Task, status: i32) {
        let tid = number(t);
        self.begun.lock().remove(&tid);
        let text = match status & 0x7f {
            0 => format!("exited with {}", status >> 8 & 0xff),
            signo => {
                let name = u64::try_from(signo)
                    .ok()
                    .and_then(Signal::new)
                    .map(Signal::name);
                let core = if status & 0x80 != 0 {
                    " (core dumped)"
                } else {
                    ""
                };
                format!("killed by {}{core}", name.unwrap_or_default())
            }
        };
        self.sink.line(&format!("[pid {tid:>5}] +++ {text} +++"));
    }
}
