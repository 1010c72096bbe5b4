//! `getrandom(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::io::IoDst;
use sentry::{SysResult, Task};

use crate::arg::UserBuf;

const KNOWN: u32 = 1 | 2 | 4;
/// Bytes made at a time.
const CHUNK: usize = 4096;

/// `getrandom(2)`: the host's generator is always ready, so no flag makes a difference.
pub fn getrandom(t: &Arc<Task>, buf: UserBuf, len: usize, flags: u32) -> SysResult<usize> {
    if flags & !KNOWN != 0 || flags & 6 == 6 {
        return Err(Errno::EINVAL.into());
    }
    let mut dst = buf.io(t, len)?;
    let mut chunk = [0; CHUNK];
    let mut done = 0;
    while dst.remaining() > 0 {
        let want = dst.remaining().min(CHUNK);
        let part = &mut chunk[..want];
        platform::host::random(part).map_err(Errno::from)?;
        match dst.put(part) {
            Ok(n) if n == want => done += n,
            Ok(n) => return Ok(done + n),
            Err(e) if done == 0 => return Err(e.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}
