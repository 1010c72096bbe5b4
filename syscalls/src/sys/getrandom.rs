//! `getrandom(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::io::IoDst;
use sentry::{SysResult, Task};

use crate::arg::UserBuf;

const NONBLOCK: u32 = 1;
const RANDOM: u32 = 2;
const INSECURE: u32 = 4;
/// Bytes filled between two copies.
const CHUNK: usize = 4096;
/// Most bytes of one call.
const MAX: usize = 0x1ff_ffff;

/// `getrandom(2)`: the host's pool is ready, so no flag makes a difference.
pub fn getrandom(t: &Arc<Task>, buf: UserBuf, len: usize, flags: u32) -> SysResult<usize> {
    if flags & !(NONBLOCK | RANDOM | INSECURE) != 0 || flags & 6 == 6 {
        return Err(Errno::EINVAL.into());
    }
    let mut dst = buf.io(t, len.min(MAX))?;
    let mut chunk = [0u8; CHUNK];
    let mut done = 0;
    while dst.remaining() > 0 {
        let n = dst.remaining().min(CHUNK);
        let part = chunk.get_mut(..n).ok_or(Errno::EFAULT)?;
        platform::host::random(part).map_err(Errno::from)?;
        match dst.put(part) {
            Ok(0) => break,
            Ok(n) => done += n,
const KNOWN: u32 = 1 | 2 | 4;
/// Bytes made at a time.

/// `getrandom(2)`: the host's generator is always ready, so no flag makes a difference.
    if flags & !KNOWN != 0 || flags & 6 == 6 {
    }
    let mut dst = buf.io(t, len)?;
    let mut chunk = [0; CHUNK];
        let want = dst.remaining().min(CHUNK);
        let part = &mut chunk[..want];
            Ok(n) if n == want => done += n,
            Ok(n) => return Ok(done + n),
            Err(e) if done == 0 => return Err(e.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}
