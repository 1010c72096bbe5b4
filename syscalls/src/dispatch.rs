//! Serving a call: one bounds-checked index, one indirect call, nothing allocated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use sentry::task::run::Dispatcher;
use sentry::{Stop, SysResult, Task};

use crate::row::{Row, Support};
use crate::table::{ROWS, TABLE};

/// The table as the kernel's dispatcher.
#[derive(Debug, Default)]
pub struct Table {
    /// Bit n set: the missing call n was already named in the log.
    logged: [AtomicU64; ROWS / 64 + 1],
}

/// The row of a number.
pub fn row(nr: u64) -> Option<&'static Row> {
    usize::try_from(nr).ok().and_then(|i| TABLE.get(i))
}

impl Dispatcher for Table {
    fn dispatch(&self, t: &Arc<Task>, nr: u64, args: &[u64; 6]) -> SysResult<i64> {
        let Some(row) = row(nr) else {
            return Err(Errno::ENOSYS.into());
        };
        match row.support {
            Support::Missing(errno) => {
                self.log_once(nr, row);
                Err(Stop::Errno(errno))
            }
            _ => (row.call)(t, args),
        }
    }
}

impl Table {
    /// Names a missing call in the log the first time it is made.
    fn log_once(&self, nr: u64, row: &Row) {
        let bit = 1u64 << (nr % 64);
        let word = usize::try_from(nr / 64)
            .ok()
            .and_then(|i| self.logged.get(i));
        if word.is_some_and(|w| w.fetch_or(bit, Ordering::Relaxed) & bit == 0) {
            tracing::warn!(syscall = row.name, nr, "unimplemented system call");
        }
    }
}
