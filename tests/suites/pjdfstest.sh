# pjdfstest 0.2: what the calls on files answer. One program; a case is a group of its tests.
LIMIT=120
export WORLD_CAPS=all
cases() {
    printf '%s\n' chmod chown ftruncate link mkdir mkfifo mknod open posix_fallocate rename rmdir \
        symlink truncate unlink utimensat
}
quick_cases() { printf '%s\n' ftruncate posix_fallocate utimensat; }
# The program says in which of its tests it failed; natively those of pairs of file systems do.
case_command() {
    echo "mkdir /tmp/p && chmod 755 /tmp/p && /suite/pjdfstest -c /suite/pjdfstest.toml -p /tmp/p $1"
}
case_status() { echo fail; }
