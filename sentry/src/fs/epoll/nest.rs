//! Epoll sets that watch epoll sets: no loops, no chain longer than the limit.

use std::sync::{Arc, Weak};

use abi::Errno;

use super::{Epoll, of_file};
use crate::{Kernel, Result};

/// Most epoll sets in a chain above each other, as on Linux.
const MAX_NESTS: usize = 4;
/// Most sets looked at by one check.
const MAX_VISITS: usize = 10_000;

/// Records that `parent` is about to watch `child`; `ELOOP`.
pub(super) fn link(kernel: &Kernel, parent: &Arc<Epoll>, child: &Arc<Epoll>) -> Result<()> {
    let _nesting = kernel.epoll_nesting.lock();
    let mut visits = 0;
    let below = below(child, parent, 0, &mut visits)?;
    let above = above(parent, 0, &mut visits)?;
    if below + above + 1 > MAX_NESTS {
        return Err(Errno::ELOOP);
    }
    let mut parents = child.parents.lock();
    parents.retain(|p| p.strong_count() > 0);
    parents.push(Arc::downgrade(parent));
    Ok(())
}

/// `parent` no longer watches `child`.
pub(super) fn unlink(parent: &Epoll, child: &Epoll) {
    let mut parents = child.parents.lock();
    let at = parents
        .iter()
        .position(|p| std::ptr::eq(p.as_ptr(), parent));
    if let Some(at) = at {
        parents.remove(at);
    }
}

/// Length of the longest chain under `set`; `ELOOP` when it leads to `target`.
fn below(set: &Arc<Epoll>, target: &Arc<Epoll>, depth: usize, visits: &mut usize) -> Result<usize> {
    *visits += 1;
    if Arc::ptr_eq(set, target) || depth > MAX_NESTS || *visits > MAX_VISITS {
        return Err(Errno::ELOOP);
    }
    let children: Vec<Arc<Epoll>> = {
        let interest = set.interest.lock();
        let files = interest.values().filter_map(|i| i.file());
        files.filter_map(|f| of_file(&f).ok()).collect()
    };
    let mut longest = 0;
    for child in &children {
        longest = longest.max(1 + below(child, target, depth + 1, visits)?);
    }
    Ok(longest)
}

/// Length of the longest chain over `set`.
fn above(set: &Arc<Epoll>, depth: usize, visits: &mut usize) -> Result<usize> {
    *visits += 1;
    if depth > MAX_NESTS || *visits > MAX_VISITS {
        return Err(Errno::ELOOP);
    }
    let parents: Vec<Arc<Epoll>> = {
        let parents = set.parents.lock();
        parents.iter().filter_map(Weak::upgrade).collect()
    };
    let mut longest = 0;
    for parent in &parents {
        longest = longest.max(1 + above(parent, depth + 1, visits)?);
    }
    Ok(longest)
}
