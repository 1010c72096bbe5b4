//! `syslog(2)`: the kernel's log, which is for the privileged alone (`dmesg_restrict`).

use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use sentry::kernel::Kernel;
use sentry::retry::{Attempt, Registrations, retry, watch_one};
use sentry::wait::Waker;
use sentry::{SysResult, Task};

use crate::arg::UserBuf;

const CLOSE: i32 = 0;
const OPEN: i32 = 1;
const READ: i32 = 2;
const READ_ALL: i32 = 3;
const READ_CLEAR: i32 = 4;
const CLEAR: i32 = 5;
const CONSOLE_OFF: i32 = 6;
const CONSOLE_ON: i32 = 7;
const CONSOLE_LEVEL: i32 = 8;
const SIZE_UNREAD: i32 = 9;
const SIZE_BUFFER: i32 = 10;

/// What a buffer for the whole log would have to hold.
const BUFFER: i64 = 1 << 17;

/// A read that waits for something new.
struct Read {
    kernel: Arc<Kernel>,
    buf: UserBuf,
    len: usize,
}

impl Attempt for Read {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let taken = t.kernel.log.take(self.len.min(BUFFER as usize));
        if taken.is_empty() {
            return Err(Errno::EAGAIN.into());
        }
        self.buf.write(t, &taken)?;
        Ok(taken.len() as i64)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(self.kernel.log.pollee(), PollEvents::IN, waker)
    }
    fn name(&self) -> &'static str {
        "syslog"
    }
}

/// `syslog(2)`.
pub fn syslog(t: &Arc<Task>, action: i32, buf: UserBuf, len: i32) -> SysResult<i64> {
    if !t.creds().may_read_log() {
        return Err(Errno::EPERM.into());
    }
    match action {
        CLOSE | OPEN | CONSOLE_OFF | CONSOLE_ON => Ok(0),
        READ | READ_ALL | READ_CLEAR => {
            let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            if buf.0 == 0 {
                return Err(Errno::EINVAL.into());
            }
            if len == 0 {
                return Ok(0);
            }
            if action == READ {
                let kernel = t.kernel.clone();
                return retry(t, Read { kernel, buf, len }, None);
            }
            let shown = t.kernel.log.newest(len);
            buf.write(t, &shown)?;
            if action == READ_CLEAR {
                t.kernel.log.clear();
            }
            Ok(shown.len() as i64)
        }
        CLEAR => {
            t.kernel.log.clear();
            Ok(0)
        }
        CONSOLE_LEVEL if (1..=8).contains(&len) => Ok(0),
        SIZE_UNREAD => Ok(t.kernel.log.unread() as i64),
        SIZE_BUFFER => Ok(BUFFER),
        _ => Err(Errno::EINVAL.into()),
    }
}
