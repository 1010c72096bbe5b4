//! The Sentry's seccomp filter, made from [`calls::ALLOWED`].

use std::collections::BTreeMap;

use anyhow::Context;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::calls::{ALLOWED, Args, Check, Row};

/// Installs the filter on every thread of the process. What it does not allow kills the
/// process. `further` calls are allowed with any arguments.
pub fn install(further: &[(i64, &str)]) -> anyhow::Result<()> {
    let [refusals, list] = programs(further)?;
    seccompiler::apply_filter_all_threads(&refusals).context("install the seccomp refusals")?;
    seccompiler::apply_filter_all_threads(&list).context("install the seccomp filter")
}

/// The two programs; the stricter verdict counts.
fn programs(further: &[(i64, &str)]) -> anyhow::Result<[BpfProgram; 2]> {
    // clone3 takes its flags in memory, where no filter sees them; the C library falls back
    // to clone on ENOSYS.
    // openat: an allocator that trims a thread's heap for the first time asks
    // /proc/sys/vm/overcommit_memory and takes an error for an answer.
    let refused = BTreeMap::from([
        (libc::SYS_clone3, Vec::new()),
        (libc::SYS_openat, Vec::new()),
    ]);
    let enosys = SeccompAction::Errno(libc::ENOSYS as u32);
    let refusals = SeccompFilter::new(
        refused.clone(),
        SeccompAction::Allow,
        enosys,
        TargetArch::x86_64,
    )?;
    let mut rules = refused;
    for row in ALLOWED {
        rules.insert(row.nr, rules_of(row)?);
    }
    for (nr, _) in further {
        rules.insert(*nr, Vec::new());
    }
    // A build for development may log what is missing on the list, to find it all at once.
    let kill = if cfg!(debug_assertions) && std::env::var_os("RUNSC_FILTER_LOG").is_some() {
        SeccompAction::Log
    } else {
        SeccompAction::KillProcess
    };
    let list = SeccompFilter::new(rules, kill, SeccompAction::Allow, TargetArch::x86_64)?;
    Ok([refusals.try_into()?, list.try_into()?])
}

/// A call's rules: none means any arguments.
fn rules_of(row: &Row) -> anyhow::Result<Vec<SeccompRule>> {
    let Args::One(alternatives) = row.args else {
        return Ok(Vec::new());
    };
    alternatives
        .iter()
        .map(|checks| {
            let conditions: Result<Vec<_>, _> = checks.iter().map(condition).collect();
            Ok(SeccompRule::new(conditions?)?)
        })
        .collect()
}

fn condition(check: &Check) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (index, op, value) = match *check {
        Check::Is(index, value) => (index, SeccompCmpOp::Eq, value),
        Check::Within(index, mask) => (index, SeccompCmpOp::MaskedEq(!mask), 0),
        Check::Masked(index, mask, value) => (index, SeccompCmpOp::MaskedEq(mask), value),
    };
    let len = match check {
        Check::Is(..) => SeccompCmpArgLen::Dword,
        _ => SeccompCmpArgLen::Qword,
    };
    SeccompCondition::new(index, len, op, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_compiles_and_is_short() {
        // clone3 is listed, but never executed.
        let allowed = ALLOWED
            .iter()
            .filter(|row| row.nr != libc::SYS_clone3)
            .count();
        assert!(allowed <= 60, "{allowed} calls");
        let sizes = programs(&[]).expect("programs").map(|p| p.len());
        assert!(sizes[1] > ALLOWED.len() && sizes[1] < 4096, "{sizes:?}");
    }

    #[test]
    fn what_opens_the_walls_is_not_on_it() {
        let never = [
            libc::SYS_open,
            libc::SYS_openat,
            libc::SYS_openat2,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
            libc::SYS_process_vm_writev,
            libc::SYS_keyctl,
        ];
        for row in ALLOWED {
            assert!(!never.contains(&row.nr), "{}", row.nr);
        }
    }
}
