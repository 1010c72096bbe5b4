//! `madvise(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::mm::VmaFlags;
use sentry::mm::advise::Advice;
use sentry::{Result, SysResult, Task};

use crate::arg::UserAddr;

fn flags(set: VmaFlags, clear: VmaFlags) -> Advice {
    Advice::Flags {
        set,
        clear,
        anon_only: set.contains(VmaFlags::WIPEONFORK),
    }
}

/// What an advice number means; `EINVAL` for those a kernel without transparent huge pages
/// and page merging does not know.
fn advice(t: &Arc<Task>, number: i32) -> Result<Advice> {
    let none = VmaFlags::empty();
    let order = VmaFlags::SEQUENTIAL | VmaFlags::RANDOM;
    Ok(match number {
        0 => flags(none, order),
        1 => flags(VmaFlags::RANDOM, order),
        2 => flags(VmaFlags::SEQUENTIAL, order),
        3 => Advice::WillNeed,
        4 => Advice::DontNeed { locked: false },
        8 => Advice::Free,
        9 => Advice::Remove,
        10 => flags(VmaFlags::DONTFORK, none),
        11 => flags(none, VmaFlags::DONTFORK),
        16 => flags(VmaFlags::DONTDUMP, none),
        17 => flags(none, VmaFlags::DONTDUMP),
        18 => flags(VmaFlags::WIPEONFORK, none),
        19 => flags(none, VmaFlags::WIPEONFORK),
        20 | 21 => Advice::Hint,
        22 => Advice::Populate { write: false },
        23 => Advice::Populate { write: true },
        24 => Advice::DontNeed { locked: true },
        100 | 101 if !t.creds().capable(Cap::SysAdmin) => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    })
}

/// `madvise(2)`.
pub fn madvise(t: &Arc<Task>, addr: UserAddr, len: u64, number: i32) -> SysResult<()> {
    let advice = advice(t, number)?;
    Ok(t.mm().advise(addr.0, len, advice)?)
}
