//! Who may look into whom (`ptrace(2)`, "Ptrace access mode checking").

use abi::Errno;

use crate::Result;
use crate::creds::{Cap, Creds};
use crate::kernel::Kernel;
use crate::mm::{Mm, UserFault};
use crate::task::Task;

/// Which ids of the asking task count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The file-system ids (`PTRACE_MODE_FSCREDS`): `/proc`.
    Fs,
    /// The real ids (`PTRACE_MODE_REALCREDS`): system calls.
    Real,
}

/// Whether `who` may see the memory and the state of `subject`; `EPERM`.
pub fn may_access(who: &Task, subject: &Task, ids: Ids) -> Result<()> {
    if std::ptr::eq(&**who.thread_group(), &**subject.thread_group()) {
        return Ok(());
    }
    let (r, s) = (who.creds(), subject.creds());
    let (uid, gid) = match ids {
        Ids::Fs => (r.fsuid, r.fsgid),
        Ids::Real => (r.uid, r.gid),
    };
    let same = [s.uid, s.euid, s.suid].iter().all(|&u| u == uid)
        && [s.gid, s.egid, s.sgid].iter().all(|&g| g == gid);
    let no_more = s.user_ns == r.user_ns && s.permitted.0 & !r.permitted.0 == 0;
    if (!same || !no_more) && !r.ns_capable(&s.user_ns, Cap::SysPtrace) {
        return Err(Errno::EPERM);
    }
    // A task of a domain sees only those of it, or of domains below.
    if !s.landlock.within(&r.landlock) {
        return Err(Errno::EPERM);
    }
    may_dump(&r, subject)
}

/// Whether a task may be looked into as far as it hides itself (`PR_SET_DUMPABLE`): it does
/// not, or `who` is privileged where its program was started; `EPERM`.
pub(crate) fn may_dump(who: &Creds, subject: &Task) -> Result<()> {
    let open = subject.thread_group().dumpable()
        || who.ns_capable(&subject.mm().user_ns(), Cap::SysPtrace);
    if open { Ok(()) } else { Err(Errno::EPERM) }
}

/// Reads memory as a debugger does: whatever its protection, and the time functions, which
/// are no mapping of the guest's own.
pub fn peek(kernel: &Kernel, mm: &Mm, addr: u64, dst: &mut [u8]) -> Result<(), UserFault> {
    let image = &kernel.host.vdso;
    let within = mm.vdso().and_then(|(start, len)| {
        let from = usize::try_from(addr.checked_sub(start).filter(|o| *o < len)?).ok()?;
        image.get(from..from.checked_add(dst.len())?)
    });
    match within {
        Some(bytes) => {
            dst.copy_from_slice(bytes);
            Ok(())
        }
        None => mm.peek(addr, dst),
    }
}
