//! Memory policies (`set_mempolicy(2)`, `mbind(2)`) of a machine with one node: kept and
//! reported; every page is on that node.

use abi::{Errno, PAGE_SIZE};

use super::state::Mm;
use super::vma::{Vma, page_up};
use crate::Result;

/// A policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemPolicy {
    /// `MPOL_*` with its mode flags; 0 is the default.
    pub mode: u16,
    /// Whether it names the node.
    pub node: bool,
}

/// Where a page is, for `move_pages(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Nothing is mapped there.
    Unmapped,
    /// Not in memory.
    Absent,
    /// On the node.
    Present,
}

impl Mm {
    /// The policy of the mapping at `addr`; `EFAULT`.
    pub fn policy_at(&self, addr: u64) -> Result<MemPolicy> {
        let state = self.state.read();
        state.vmas.find(addr).map(|v| v.policy).ok_or(Errno::EFAULT)
    }

    /// Where the page at `addr` is.
    pub fn whereabouts(&self, addr: u64) -> Whereabouts {
        let mapped = self.state.read().vmas.find(addr).is_some();
        let page = addr - addr % PAGE_SIZE;
        match self.present(page, PAGE_SIZE) {
            _ if !mapped => Whereabouts::Unmapped,
            Ok(bits) if bits.first().is_some_and(|b| b & 1 != 0) => Whereabouts::Present,
            _ => Whereabouts::Absent,
        }
    }

    /// The page-aligned range of a call on policies; `None` when it is empty. `EINVAL`.
    fn policy_range(&self, start: u64, len: u64) -> Result<Option<(u64, u64)>> {
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let end = page_up(len).and_then(|len| start.checked_add(len));
        let end = end.ok_or(Errno::EINVAL)?;
        Ok((end > start).then_some((start, end)))
    }

    /// `mbind(2)`: `EFAULT` for holes, which the default policy alone passes over.
    pub fn set_policy(&self, start: u64, len: u64, policy: MemPolicy) -> Result<()> {
        let Some((start, end)) = self.policy_range(start, len)? else {
            return Ok(());
        };
        let mut state = self.state.write();
        let some = state.vmas.overlapping(start, end).next().is_some();
        let whole = policy.mode == 0 || state.vmas.covers(start, end);
        if !some || !whole {
            return Err(Errno::EFAULT);
        }
        state.vmas.update(start, end, |v| v.policy = policy);
        Ok(())
    }

    /// Whether a home node can be set for the policies of a range
    /// (`set_mempolicy_home_node(2)`): `ENOENT` where there are none, `EOPNOTSUPP`.
    pub fn check_home(&self, start: u64, len: u64, ok: impl Fn(u16) -> bool) -> Result<()> {
        let Some((start, end)) = self.policy_range(start, len)? else {
            return Ok(());
        };
        let state = self.state.read();
        let policies = state.vmas.overlapping(start, end).map(|v: &Vma| v.policy);
        let mut found = Err(Errno::ENOENT);
        for p in policies.filter(|p| p.mode != 0) {
            if !ok(p.mode) {
                return Err(Errno::EOPNOTSUPP);
            }
            found = Ok(());
        }
        found
    }
}
