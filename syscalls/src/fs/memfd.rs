//! `memfd_create(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::fs::memfd::{self, MemfdHow};
use sentry::fs::seals::F_SEAL_SEAL;
use sentry::fs::vfs::Owner;
use sentry::task::limits::Resource;
use sentry::{SysResult, Task};

use crate::arg::{Fd, UserCStr};

const MFD_CLOEXEC: u32 = 1;
const MFD_ALLOW_SEALING: u32 = 2;
const MFD_HUGETLB: u32 = 4;
const MFD_NOEXEC_SEAL: u32 = 8;
const MFD_EXEC: u32 = 0x10;
/// Longest name.
const NAME_MAX: usize = 249;

/// `memfd_create(2)`.
pub fn memfd_create(t: &Arc<Task>, name: UserCStr, flags: u32) -> SysResult<Fd> {
    let known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
    let unknown = flags & !known;
    // With MFD_HUGETLB the high bits are a page size.
    if unknown != 0 && (flags & MFD_HUGETLB == 0 || unknown & !(0x3f << 26) != 0) {
        return Err(Errno::EINVAL.into());
    }
    if flags & MFD_EXEC != 0 && flags & MFD_NOEXEC_SEAL != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = match name.read(t, NAME_MAX) {
        Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL.into()),
        r => r?,
    };
    if flags & MFD_HUGETLB != 0 {
        return Err(Errno::ENOSYS.into());
    }
    let limit = t.limit(Resource::Nofile);
    t.files().check_room(limit)?;
    let sealing = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) != 0;
    let creds = t.creds();
    let how = MemfdHow {
        owner: Owner {
            uid: creds.fsuid,
            gid: creds.fsgid,
        },
        executable: flags & MFD_NOEXEC_SEAL == 0,
        seals: if sealing { 0 } else { F_SEAL_SEAL },
    };
    let file = memfd::create(&t.kernel, &name, how)?;
    let cloexec = flags & MFD_CLOEXEC != 0;
    Ok(Fd(t.files().install(file, 0, cloexec, limit)?))
}
