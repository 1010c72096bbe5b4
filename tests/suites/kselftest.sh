# The selftests of Linux 6.1: programs that check what the kernel promises, a case each.
# Run with all capabilities; programs that change the host (huge pages, clocks) are left out,
# and those that bring it to a halt (a thousand threads, see "Known broken" in docs/progress.md).
LIMIT=100
export WORLD_CAPS=all
cases() { grep -v -e hugetlbfs -e rtcpie -e disable-tsc "$root/suite/kselftest/kselftest-list.txt" | tr : /; }
quick_cases() {
    printf '%s\n' clone3/clone3_clear_sighand core/close_range_test exec/null-argv kcmp/kcmp_test ipc/msgque mqueue/mq_open_tests \
        openat2/openat2_test pidfd/pidfd_open_test proc/proc-self-syscall ptrace/get_syscall_info \
        sigaltstack/sas syscall_user_dispatch/sud_test \
        tmpfs/bug-link-o-tmpfile vDSO/vdso_test_abi
}
case_command() { echo "cd /suite/kselftest/${1%/*} && ./${1#*/}"; }
case_status() { [ "$1" = 4 ] && echo skip || echo fail; }
