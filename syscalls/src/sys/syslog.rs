//! `syslog(2)`: the kernel's log, which has one line and is for the privileged alone
//! (`dmesg_restrict`).

use std::sync::Arc;

use abi::Errno;
use abi::fs::PollEvents;
use sentry::creds::Cap;
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

fn text(t: &Arc<Task>) -> Vec<u8> {
    let k = &t.kernel;
    format!(
        "<5>[    0.000000] Linux version {} {}\n",
        k.release, k.version
    )
    .into_bytes()
}

/// A read that waits for something new.
struct Read {
    buf: UserBuf,
    len: usize,
}

impl Attempt for Read {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        let text = text(t);
        let mut log = t.kernel.log.state.lock();
        let unread = text.get(log.read..).unwrap_or_default();
        let n = unread.len().min(self.len);
        if n == 0 {
            return Err(Errno::EAGAIN.into());
        }
        log.read += n;
        drop(log);
        self.buf.write(t, unread.get(..n).unwrap_or_default())?;
        Ok(n as i64)
    }
    fn watch(&self, waker: Waker) -> Registrations {
        // Nothing is ever added: only a signal ends the wait.
        watch_one(&sentry::wait::Pollee::new(), PollEvents::IN, waker)
    }
    fn name(&self) -> &'static str {
        "syslog"
    }
}

/// `syslog(2)`.
pub fn syslog(t: &Arc<Task>, action: i32, buf: UserBuf, len: i32) -> SysResult<i64> {
    let creds = t.creds();
    if !creds.capable(Cap::Syslog) && !creds.capable(Cap::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    let text = text(t);
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
                return retry(t, Read { buf, len }, None);
            }
            let cleared = t.kernel.log.state.lock().cleared;
            let from = if cleared { text.len() } else { 0 };
            // Whole lines only, the newest ones.
            let shown = text.get(from..).filter(|s| s.len() <= len);
            let shown = shown.unwrap_or_default();
            buf.write(t, shown)?;
            if action == READ_CLEAR {
                t.kernel.log.state.lock().cleared = true;
            }
            Ok(shown.len() as i64)
        }
        CLEAR => {
            t.kernel.log.state.lock().cleared = true;
            Ok(0)
        }
        CONSOLE_LEVEL if (1..=8).contains(&len) => Ok(0),
        SIZE_UNREAD => {
            let read = t.kernel.log.state.lock().read;
            Ok(text.len().saturating_sub(read) as i64)
        }
        SIZE_BUFFER => Ok(BUFFER),
        _ => Err(Errno::EINVAL.into()),
    }
}
