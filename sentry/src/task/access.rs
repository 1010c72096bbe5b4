//! Who may look into whose memory, descriptors and state (`ptrace(2)`, "Ptrace access mode
//! checking").

use abi::Errno;

use super::Task;
use crate::Result;
use crate::creds::Cap;

impl Task {
    /// Whether this task may inspect `target`, judged by its real ids
    /// (`PTRACE_MODE_REALCREDS`): the same process, the same user with no more privilege
    /// and nothing to hide, or `CAP_SYS_PTRACE`; else `EPERM`.
    pub fn may_inspect(&self, target: &Task) -> Result<()> {
        if std::ptr::eq(self, target) || self.pid() == target.pid() {
            return Ok(());
        }
        let (me, them) = (self.creds(), target.creds());
        if me.capable(Cap::SysPtrace) {
            return Ok(());
        }
        let same = [them.uid, them.euid, them.suid]
            .iter()
            .all(|&u| u == me.uid)
            && [them.gid, them.egid, them.sgid]
                .iter()
                .all(|&g| g == me.gid);
        let no_more = them.permitted.0 & !me.permitted.0 == 0;
        if same && no_more && target.thread_group().dumpable() {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }
}
