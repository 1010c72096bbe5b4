//! The seccomp filter: what the gofer may still ask of the host.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// The allowed calls, each with the reason it is needed.
pub const ALLOWED: &[(c_long, &str)] = &[
    (libc::SYS_recvfrom, "take a request"),
    (libc::SYS_sendmsg, "reply, donate a descriptor"),
    (libc::SYS_shutdown, "end a session"),
    (libc::SYS_ppoll, "wait for events"),
    (libc::SYS_read, "inotify events"),
    (libc::SYS_write, "event pipe, panic message"),
    (libc::SYS_close, "drop descriptors"),
    (libc::SYS_fcntl, "duplicate descriptors"),
    (libc::SYS_openat, "walk, open, create"),
    (libc::SYS_statx, "attributes"),
    (libc::SYS_getdents64, "listings"),
    (libc::SYS_pread64, "data"),
    (libc::SYS_pwrite64, "data"),
    (libc::SYS_mkdirat, "mkdir"),
    (libc::SYS_symlinkat, "symlink"),
    (libc::SYS_linkat, "link"),
    (libc::SYS_mknodat, "FIFOs and sockets as names"),
    (libc::SYS_unlinkat, "unlink, rmdir"),
    (libc::SYS_renameat2, "rename"),
    (libc::SYS_readlinkat, "readlink"),
    (libc::SYS_fchownat, "chown"),
    (libc::SYS_fchmodat, "chmod"),
    (libc::SYS_utimensat, "times"),
    (libc::SYS_ftruncate, "truncate"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_fstatfs, "statfs"),
    (libc::SYS_fgetxattr, "attributes"),
    (libc::SYS_fsetxattr, "attributes"),
    (libc::SYS_flistxattr, "attributes"),
    (libc::SYS_fremovexattr, "attributes"),
    (libc::SYS_inotify_init1, "watches"),
    (libc::SYS_inotify_add_watch, "watches"),
    (libc::SYS_inotify_rm_watch, "watches"),
    (libc::SYS_fchdir, "watches"),
    (libc::SYS_pipe2, "event pipe"),
    (libc::SYS_capget, "set-group-id bits"),
    (libc::SYS_capset, "set-group-id bits"),
    (libc::SYS_umask, "made files get the mode asked for"),
    (libc::SYS_prlimit64, "descriptor limit, thread stacks"),
    (libc::SYS_futex, "locks"),
    (libc::SYS_sched_yield, "locks"),
    (libc::SYS_mmap, "heap and stacks, not executable"),
    (libc::SYS_munmap, "heap and stacks"),
    (libc::SYS_mprotect, "heap and stacks, not executable"),
    (libc::SYS_madvise, "heap and stacks"),
    (libc::SYS_brk, "heap"),
    (libc::SYS_clone, "threads only"),
    (libc::SYS_exit, "end of a thread"),
    (libc::SYS_exit_group, "end"),
];

/// What threads need besides; harmless to the host whatever its arguments.
pub const RUNTIME: &[(c_long, &str)] = &[
    (libc::SYS_set_robust_list, "thread start"),
    (libc::SYS_rseq, "thread start"),
    (libc::SYS_rt_sigprocmask, "thread start"),
    (libc::SYS_sigaltstack, "thread start"),
    (libc::SYS_sched_getaffinity, "thread start"),
    (
        libc::SYS_sched_setaffinity,
        "a thread follows its client's CPU",
    ),
    (libc::SYS_gettid, "thread start, panic message"),
    (libc::SYS_rt_sigreturn, "signal return"),
    (libc::SYS_rt_sigaction, "abort"),
    (libc::SYS_tgkill, "abort"),
    (libc::SYS_getpid, "abort"),
    (libc::SYS_getrandom, "hash seeds"),
    (libc::SYS_mremap, "heap"),
    (libc::SYS_restart_syscall, "stop and continue"),
];

/// Installs the filter on the calling thread and those it starts.
pub(super) fn install() -> anyhow::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    seccompiler::apply_filter(&refuse_clone3(arch)?)?;
    seccompiler::apply_filter(&allow_list(arch)?)?;
    Ok(())
}

/// `clone3` takes its flags from memory, where no filter can see them: told that it does
/// not exist, the C library uses `clone`.
fn refuse_clone3(arch: TargetArch) -> anyhow::Result<BpfProgram> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let nosys = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, nosys, arch)?.try_into()?)
}

fn allow_list(arch: TargetArch) -> anyhow::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (call, _) in ALLOWED.iter().chain(RUNTIME) {
        rules.insert(*call, conditions(*call)?);
    }
    rules.insert(libc::SYS_clone3, Vec::new());
    let (kill, allow) = (SeccompAction::KillProcess, SeccompAction::Allow);
    Ok(SeccompFilter::new(rules, kill, allow, arch)?.try_into()?)
}

/// Conditions on the arguments; none means any.
fn conditions(call: c_long) -> anyhow::Result<Vec<SeccompRule>> {
    let masked = |arg: u8, mask: u64, value: u64| -> anyhow::Result<Vec<SeccompRule>> {
        let op = SeccompCmpOp::MaskedEq(mask);
        let one = SeccompCondition::new(arg, SeccompCmpArgLen::Qword, op, value)?;
        Ok(vec![SeccompRule::new(vec![one])?])
    };
    let exec = libc::PROT_EXEC.cast_unsigned().into();
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM).cast_unsigned().into();
    match call {
        libc::SYS_mmap | libc::SYS_mprotect => masked(2, exec, 0),
        libc::SYS_clone => masked(0, thread, thread),
        // The calling thread only.
        libc::SYS_sched_setaffinity => masked(0, u64::MAX, 0),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_stays_short() {
        assert!(super::ALLOWED.len() <= 50);
    }
}
