# SQLite 3.40: the tests of its own that lean on files, locks and shared memory.
LIMIT=400
cases() {
    (cd "$root/suite/sqlite/test" && ls wal*.test lock*.test pager*.test journal*.test mmap*.test \
        shared*.test crash*.test symlink*.test thread*.test) | sed 's/\.test$//'
}
quick_cases() { printf '%s\n' lock journal1 lock5; }
case_command() { echo "mkdir /tmp/q && cd /tmp/q && /suite/sqlite/build/testfixture /suite/sqlite/test/$1.test"; }
case_status() { echo fail; }
