//! Who may look into whose memory, descriptors and state (`ptrace(2)`, "Ptrace access mode
//! checking").

use super::Task;
use crate::Result;
use crate::ptrace::access::{Ids, may_access};

impl Task {
    /// Whether this task may inspect `target`, judged by its real ids
    /// (`PTRACE_MODE_REALCREDS`): the same process, the same user with no more privilege
    /// and nothing to hide, or `CAP_SYS_PTRACE`; else `EPERM`.
    pub fn may_inspect(&self, target: &Task) -> Result<()> {
        may_access(self, target, Ids::Real)
    }
}
