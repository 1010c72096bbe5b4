//! `msgget(2)`, `msgsnd(2)`, `msgrcv(2)`, `msgctl(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::ipc::msg::{self, MSG_COPY, MSG_EXCEPT, MSGMAX, MSGMNI, MsgDs, MsgReceive, MsgSend};
use sentry::ipc::table::{IPC_NOWAIT, Object, READ};
use sentry::retry::retry;
use sentry::{SysResult, Task};

use super::shm::{IPC_64, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT};
use crate::arg::{In, Out, UserBuf, UserPtr};

/// `msgget(2)`.
pub fn msgget(t: &Arc<Task>, key: i32, flags: u32) -> SysResult<i32> {
    Ok(msg::get(t, key, flags)?)
}

/// `msgsnd(2)`: a `long` type before the text.
pub fn msgsnd(t: &Arc<Task>, id: i32, buf: UserBuf, len: usize, flags: u32) -> SysResult<i64> {
    let kind = UserPtr::<i64, In>::at(buf.0).read(t)?;
    if len > MSGMAX || id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let data = UserBuf(buf.0.wrapping_add(8)).read(t, len)?;
    let send = MsgSend::new(t, id, kind, data)?;
    let now = t.kernel.clock.monotonic();
    retry(t, send, (flags & IPC_NOWAIT != 0).then_some(now))
}

/// `msgrcv(2)`.
pub fn msgrcv(
    t: &Arc<Task>,
    id: i32,
    buf: UserBuf,
    room: i64,
    kind: i64,
    flags: u32,
) -> SysResult<i64> {
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & MSG_COPY != 0 && (flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL.into());
    }
    let receive = MsgReceive::new(t, id, buf.0, room, kind, flags)?;
    let now = t.kernel.clock.monotonic();
    let deadline = receive.nowait().then_some(now);
    retry(t, receive, deadline)
}

/// `msgctl(2)`.
pub fn msgctl(t: &Arc<Task>, id: i32, cmd: i32, buf: u64) -> SysResult<i32> {
    const MSG_STAT: i32 = 11;
    const MSG_INFO: i32 = 12;
    const MSG_STAT_ANY: i32 = 13;
    let table = &t.ipc().msg;
    let out = UserPtr::<MsgDs, Out>::at(buf);
    let cmd = cmd & !IPC_64;
    match cmd {
        IPC_INFO | MSG_INFO => {
            let all = table.all();
            let (queued, bytes) = all.iter().fold((0, 0), |(n, b), (_, q)| {
                let ds = q.stat(t);
                (n + ds.qnum as i32, b + ds.cbytes as i32)
            });
            // struct msginfo: pool, map, max, mnb, mni, ssz, tql, and a short seg.
            let mut info = [0, 0, MSGMAX as i32, 16_384, MSGMNI as i32, 16, 0, 0];
            if cmd == MSG_INFO {
                info[0] = all.len() as i32;
                info[1] = queued;
                info[6] = bytes;
            }
            UserPtr::<[i32; 8], Out>::at(buf).write(t, &info)?;
            return Ok(table.highest().0);
        }
        MSG_STAT | MSG_STAT_ANY => {
            let (id, queue) = table.at(id)?;
            if cmd == MSG_STAT {
                queue.perm().check(&t.creds(), READ)?;
            }
            out.write(t, &queue.stat(t))?;
            return Ok(id);
        }
        _ => {}
    }
    let queue = table.find(id)?;
    match cmd {
        IPC_RMID => {
            queue.remove(t)?;
            drop(table.remove(id));
        }
        IPC_SET => {
            let new = UserPtr::<MsgDs, In>::at(buf).read(t)?;
            queue.change(t, &new)?;
        }
        IPC_STAT => {
            queue.perm().check(&t.creds(), READ)?;
            out.write(t, &queue.stat(t))?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
