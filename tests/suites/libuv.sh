# libuv 1.44: one program, a case by its name.
LIMIT=60
cases() { UV_RUN_AS_ROOT=1 chroot "$root" /suite/libuv/build/uv_run_tests --list 2>&1 | awk "{print \$1}"; }
quick_cases() { printf '%s\n' fs_file_sync fs_symlink pipe_ping_pong signal_multiple_loops spawn_stdout; }
case_command() { echo "cd /suite/libuv && UV_RUN_AS_ROOT=1 build/uv_run_tests $1"; }
case_status() { [ "$1" = 7 ] && echo skip || echo fail; }
