//! `seccomp(2)`, and the same through `prctl(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::seccomp::bpf::{Insn, MAX_INSNS};
use sentry::seccomp::filter::Action;
use sentry::seccomp::notify::SIZES;
use sentry::seccomp::{AddFlags, Added};
use sentry::task::limits::Resource;
use sentry::{SysResult, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::arg::{In, Out, UserPtr};

const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;
const GET_NOTIF_SIZES: u32 = 3;

crate::flag_arg! {
    /// Flags of `SECCOMP_SET_MODE_FILTER`.
    FilterFlags: u32 {
        SECCOMP_FILTER_FLAG_TSYNC = 1,
        SECCOMP_FILTER_FLAG_LOG = 2,
        SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 8,
        SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32,
    }
}

/// `struct sock_fprog`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Fprog {
    len: u16,
    pad: [u16; 3],
    filter: u64,
}

/// `seccomp(2)`.
pub fn seccomp(t: &Arc<Task>, operation: u32, flags: FilterFlags, args: u64) -> SysResult<i64> {
    match operation {
        SET_MODE_STRICT if flags.is_empty() && args == 0 => {
            t.set_seccomp_strict()?;
            Ok(0)
        }
        SET_MODE_FILTER => add_filter(t, flags, args),
        GET_ACTION_AVAIL if flags.is_empty() => {
            let action = UserPtr::<u32, In>::at(args).read(t)?;
            Action::exact(action).ok_or(Errno::EOPNOTSUPP)?;
            Ok(0)
        }
        GET_NOTIF_SIZES if flags.is_empty() => {
            UserPtr::<[u16; 3], Out>::at(args).write(t, &SIZES)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `prctl(PR_SET_SECCOMP)`.
pub(super) fn set_mode(t: &Arc<Task>, mode: u64, filter: u64) -> SysResult<i64> {
    match mode {
        1 => {
            t.set_seccomp_strict()?;
            Ok(0)
        }
        2 => add_filter(t, FilterFlags::empty(), filter),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn add_filter(t: &Arc<Task>, flags: FilterFlags, at: u64) -> SysResult<i64> {
    let has = |flag| flags.contains(flag);
    let add = AddFlags {
        tsync: has(FilterFlags::SECCOMP_FILTER_FLAG_TSYNC),
        tsync_esrch: has(FilterFlags::SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
        log: has(FilterFlags::SECCOMP_FILTER_FLAG_LOG),
        new_listener: has(FilterFlags::SECCOMP_FILTER_FLAG_NEW_LISTENER),
        wait_killable: has(FilterFlags::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
    };
    // A thread's number and a descriptor cannot both be returned.
    let ambiguous = add.tsync && add.new_listener && !add.tsync_esrch;
    if !FilterFlags::all().contains(flags) || ambiguous || add.wait_killable && !add.new_listener {
        return Err(Errno::EINVAL.into());
    }
    let prog = UserPtr::<Fprog, In>::at(at).read(t)?;
    let len = usize::from(prog.len);
    if len == 0 || len > MAX_INSNS {
        return Err(Errno::EINVAL.into());
    }
    t.may_filter()?;
    let insns = UserPtr::<Insn, In>::at(prog.filter).read_array(t, len)?;
    let limit = t.limit(Resource::Nofile);
    if add.new_listener {
        t.files().check_room(limit)?;
    }
    match t.add_filter(insns, add)? {
        Added::Done => Ok(0),
        Added::Diverges(tid) => Ok(i64::from(tid)),
        Added::Listener(listener) => {
            let file = listener.file();
            Ok(i64::from(t.files().install(file, 0, true, limit)?))
        }
    }
}
