# libevent 2.1.12: its regression program.
LIMIT=60
cases() {
    LD_LIBRARY_PATH=/suite/libevent/build/lib chroot "$root" /suite/libevent/build/bin/regress --list-tests 2>&1 |
        sed -n 's|^    \([a-z0-9_]*/[^ ]*\).*|\1|p'
}
quick_cases() { cases | grep '^main/'; }
case_command() { echo "cd /suite/libevent/build && LD_LIBRARY_PATH=lib bin/regress $1"; }
case_status() { grep -q SKIPPED "$2" && echo skip || echo fail; }
