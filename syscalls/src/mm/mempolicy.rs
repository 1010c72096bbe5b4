//! NUMA calls on a machine with one node: `get_mempolicy(2)`, `set_mempolicy(2)`, `mbind(2)`,
//! `migrate_pages(2)`, `move_pages(2)`, `set_mempolicy_home_node(2)`.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use sentry::creds::Cap;
use sentry::mm::policy::{MemPolicy, Whereabouts};
use sentry::{Result, SysResult, Task};

use crate::arg::{In, Out, UserAddr, UserBuf, UserPtr};

const MPOL_DEFAULT: u16 = 0;
const MPOL_PREFERRED: u16 = 1;
const MPOL_BIND: u16 = 2;
const MPOL_LOCAL: u16 = 4;
const MPOL_PREFERRED_MANY: u16 = 5;
/// One past the last mode.
const MPOL_MAX: u16 = 7;
const STATIC_NODES: u16 = 1 << 15;
const RELATIVE_NODES: u16 = 1 << 14;
const NUMA_BALANCING: u16 = 1 << 13;
const MODE_FLAGS: u16 = STATIC_NODES | RELATIVE_NODES | NUMA_BALANCING;
/// Highest node number of a node mask.
const MAX_NODES: u64 = 1024;

/// A node mask as given.
#[derive(Clone, Copy, Debug, Default)]
struct Nodes {
    first: bool,
    others: bool,
}

impl Nodes {
    fn is_empty(self) -> bool {
        !self.first && !self.others
    }
}

/// Copies a node mask in: `EINVAL` for one too long or with nodes that cannot be, `EFAULT`.
fn nodes(t: &Arc<Task>, mask: UserAddr, max: u64) -> Result<Nodes> {
    let bits = max.wrapping_sub(1);
    if bits == 0 || mask.0 == 0 {
        return Ok(Nodes::default());
    }
    if bits > PAGE_SIZE * 8 {
        return Err(Errno::EINVAL);
    }
    let words = usize::try_from(bits.div_ceil(64)).map_err(|_| Errno::EINVAL)?;
    let words = UserPtr::<u64, In>::at(mask.0).read_array(t, words)?;
    let mut found = Nodes::default();
    for (i, word) in words.into_iter().enumerate() {
        let base = i as u64 * 64;
        let valid = (bits - base).min(64);
        let word = if valid < 64 {
            word & ((1 << valid) - 1)
        } else {
            word
        };
        if word != 0 && base >= MAX_NODES {
            return Err(Errno::EINVAL);
        }
        found.first |= i == 0 && word & 1 != 0;
        found.others |= if i == 0 { word & !1 != 0 } else { word != 0 };
    }
    Ok(found)
}

/// A policy from a mode and a node mask; `EINVAL`.
fn policy(mode: u32, nodes: Nodes) -> Result<MemPolicy> {
    let mode = u16::try_from(mode).map_err(|_| Errno::EINVAL)?;
    let flags = mode & MODE_FLAGS;
    let kind = mode & !MODE_FLAGS;
    let both = STATIC_NODES | RELATIVE_NODES;
    let balancing = flags & NUMA_BALANCING != 0 && kind != MPOL_BIND && kind != MPOL_PREFERRED_MANY;
    if kind >= MPOL_MAX || flags & both == both || balancing {
        return Err(Errno::EINVAL);
    }
    let placed = flags & both != 0;
    match kind {
        MPOL_DEFAULT if nodes.is_empty() => return Ok(MemPolicy::default()),
        MPOL_LOCAL if nodes.is_empty() && !placed => {}
        MPOL_PREFERRED if nodes.is_empty() && !placed => {
            return Ok(MemPolicy {
                mode: MPOL_LOCAL,
                node: false,
            });
        }
        MPOL_DEFAULT | MPOL_LOCAL => return Err(Errno::EINVAL),
        _ if nodes.is_empty() => return Err(Errno::EINVAL),
        // Relative nodes are counted round what is there.
        _ if nodes.first || flags & RELATIVE_NODES != 0 => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(MemPolicy {
        mode,
        node: kind != MPOL_LOCAL,
    })
}

/// `set_mempolicy(2)`.
pub fn set_mempolicy(t: &Arc<Task>, mode: u32, mask: UserAddr, max: u64) -> SysResult<()> {
    // The mode is looked at before the mask is.
    check_mode(mode)?;
    let new = policy(mode, nodes(t, mask, max)?)?;
    t.sched.lock().mempolicy = new;
    Ok(())
}

fn check_mode(mode: u32) -> Result<()> {
    let all = Nodes {
        first: true,
        others: false,
    };
    let kind = mode & !u32::from(MODE_FLAGS);
    if kind == u32::from(MPOL_DEFAULT) || kind == u32::from(MPOL_LOCAL) {
        let flags = (mode & u32::from(MODE_FLAGS)) as u16;
        let both = STATIC_NODES | RELATIVE_NODES;
        let bad = flags & both == both || flags & NUMA_BALANCING != 0;
        return if bad { Err(Errno::EINVAL) } else { Ok(()) };
    }
    policy(mode, all).map(|_| ())
}

const F_NODE: u64 = 1;
const F_ADDR: u64 = 2;
const F_MEMS_ALLOWED: u64 = 4;

/// Writes a node mask of `max` bits.
fn write_nodes(t: &Arc<Task>, mask: UserAddr, max: u64, node: bool) -> Result<()> {
    let bytes = max.saturating_sub(1).div_ceil(64).saturating_mul(8);
    if bytes > PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let bytes = usize::try_from(bytes).map_err(|_| Errno::EINVAL)?;
    let mut out = vec![0u8; bytes];
    if let Some(b) = out.first_mut() {
        *b = u8::from(node);
    }
    UserBuf(mask.0).write(t, &out)
}

/// `get_mempolicy(2)`.
pub fn get_mempolicy(
    t: &Arc<Task>,
    mode: UserPtr<i32, Out>,
    mask: UserAddr,
    max: u64,
    addr: UserAddr,
    flags: u64,
) -> SysResult<()> {
    if mask.0 != 0 && max < 1 || flags & !(F_NODE | F_ADDR | F_MEMS_ALLOWED) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (value, node) = if flags & F_MEMS_ALLOWED != 0 {
        if flags & (F_NODE | F_ADDR) != 0 {
            return Err(Errno::EINVAL.into());
        }
        (0, true)
    } else {
        let found = if flags & F_ADDR != 0 {
            t.mm().policy_at(addr.0)?
        } else if addr.0 != 0 {
            return Err(Errno::EINVAL.into());
        } else {
            t.sched.lock().mempolicy
        };
        let interleaves = matches!(found.mode & !MODE_FLAGS, 3 | 6);
        if flags & F_NODE != 0 {
            if flags & F_ADDR == 0 && !interleaves {
                return Err(Errno::EINVAL.into());
            }
            if flags & F_ADDR != 0 {
                // The page has to be there to be on a node.
                UserPtr::<u8, In>::at(addr.0).read(t)?;
            }
            (0, found.node)
        } else {
            (i32::from(found.mode), found.node)
        }
    };
    mode.write_opt(t, &value)?;
    if mask.0 != 0 {
        write_nodes(t, mask, max, node)?;
    }
    Ok(())
}

const MF_STRICT: u32 = 1;
const MF_MOVE: u32 = 2;
const MF_MOVE_ALL: u32 = 4;

/// `mbind(2)`.
pub fn mbind(
    t: &Arc<Task>,
    start: UserAddr,
    len: u64,
    mode: u32,
    mask: UserAddr,
    max: u64,
    flags: u32,
) -> SysResult<()> {
    check_mode(mode)?;
    let given = nodes(t, mask, max)?;
    if flags & !(MF_STRICT | MF_MOVE | MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & MF_MOVE_ALL != 0 && !t.creds().capable(Cap::SysNice) {
        return Err(Errno::EPERM.into());
    }
    if !start.0.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let new = policy(mode, given);
    // An empty range is right whatever the policy is worth.
    if len == 0 {
        return Ok(());
    }
    Ok(t.mm().set_policy(start.0, len, new?)?)
}

/// `set_mempolicy_home_node(2)`.
pub fn set_mempolicy_home_node(
    t: &Arc<Task>,
    start: UserAddr,
    len: u64,
    node: u64,
    flags: u64,
) -> SysResult<()> {
    if !start.0.is_multiple_of(PAGE_SIZE) || flags != 0 || node != 0 {
        return Err(Errno::EINVAL.into());
    }
    let ok = |mode: u16| matches!(mode & !MODE_FLAGS, MPOL_BIND | MPOL_PREFERRED_MANY);
    Ok(t.mm().check_home(start.0, len, ok)?)
}

/// The task whose memory is meant (0: the caller): `ESRCH`, `EPERM`.
fn subject(t: &Arc<Task>, pid: i32) -> Result<Arc<Task>> {
    if pid == 0 {
        return Ok(t.clone());
    }
    let task = t.pid_ns().task(pid).ok_or(Errno::ESRCH)?;
    t.may_inspect(&task)?;
    Ok(task)
}

/// `migrate_pages(2)`: everything is where it can be only.
pub fn migrate_pages(
    t: &Arc<Task>,
    pid: i32,
    max: u64,
    old: UserAddr,
    new: UserAddr,
) -> SysResult<i64> {
    nodes(t, old, max)?;
    let to = nodes(t, new, max)?;
    subject(t, pid)?;
    if to.others && !t.creds().capable(Cap::SysNice) {
        return Err(Errno::EPERM.into());
    }
    if !to.first {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// Pages of one call at most, so that it comes to an end.
const MOST_PAGES: u64 = 1 << 20;

/// `move_pages(2)`.
pub fn move_pages(
    t: &Arc<Task>,
    pid: i32,
    count: u64,
    pages: UserAddr,
    wanted: UserAddr,
    status: UserAddr,
    flags: u32,
) -> SysResult<()> {
    if flags & !(MF_MOVE | MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & MF_MOVE_ALL != 0 && !t.creds().capable(Cap::SysNice) {
        return Err(Errno::EPERM.into());
    }
    let mm = subject(t, pid)?.mm();
    if count > MOST_PAGES {
        return Err(Errno::ENOMEM.into());
    }
    for i in 0..count {
        let at = |base: UserAddr, size: u64| base.0.wrapping_add(i.wrapping_mul(size));
        let page = UserPtr::<u64, In>::at(at(pages, 8)).read(t)?;
        if wanted.0 != 0 {
            let node = UserPtr::<i32, In>::at(at(wanted, 4)).read(t)?;
            if node != 0 {
                return Err(Errno::ENODEV.into());
            }
        }
        let found = match mm.whereabouts(page) {
            Whereabouts::Present => 0,
            Whereabouts::Absent => -Errno::ENOENT.raw(),
            Whereabouts::Unmapped => -Errno::EFAULT.raw(),
        };
        UserPtr::<i32, Out>::at(at(status, 4)).write(t, &found)?;
    }
    Ok(())
}
