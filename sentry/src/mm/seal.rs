//! `mseal(2)`: mappings that stay as they are.

use abi::Errno;

use super::advise::Advice;
use super::state::{Mm, State};
use super::vma::{MapProt, Vma, VmaFlags, page_span};
use crate::Result;

impl Mm {
    /// `mseal(2)`: mappings of the range can be neither removed, moved, replaced nor
    /// protected otherwise any more. `ENOMEM` and nothing done where there are holes.
    pub fn seal(&self, addr: u64, len: u64) -> Result<()> {
        let end = page_span(addr, len)?;
        if end == addr {
            return Ok(());
        }
        let mut state = self.state.write();
        if !state.vmas.covers(addr, end) {
            return Err(Errno::ENOMEM);
        }
        state
            .vmas
            .update(addr, end, |v| v.flags.insert(VmaFlags::SEALED));
        Ok(())
    }
}

impl State {
    /// `EPERM` where a mapping in the range is sealed.
    pub fn check_seals(&self, start: u64, end: u64) -> Result<()> {
        let mut inside = self.vmas.overlapping(start, end);
        let sealed = inside.any(|v| v.flags.contains(VmaFlags::SEALED));
        if sealed { Err(Errno::EPERM) } else { Ok(()) }
    }
}

/// Whether the seal of `v` forbids this advice: one that would change what is read there,
/// where writing is not allowed.
pub(super) fn forbids(v: &Vma, advice: Advice) -> bool {
    let drops = VmaFlags::DONTFORK | VmaFlags::WIPEONFORK;
    let discards = match advice {
        Advice::DontNeed { .. } | Advice::Free | Advice::Remove => true,
        Advice::Flags { set, .. } => set.intersects(drops),
        Advice::Populate { .. } | Advice::WillNeed | Advice::Hint => false,
    };
    let open = v.shared() || v.prot.contains(MapProt::WRITE);
    v.flags.contains(VmaFlags::SEALED) && discards && !open
}
