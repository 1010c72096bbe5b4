# CPython 3.11: the modules of its own tests that lean on the operating system.
LIMIT=400
cases() {
    printf 'test_%s\n' os posix subprocess signal threading threadsignals thread select selectors \
        epoll poll mmap fcntl resource time tempfile shutil pathlib glob stat io fileio file pty \
        openpty ioctl pwd grp fork1 wait3 wait4 popen pipes eintr largefile posixpath genericpath \
        filecmp fileinput socket socketserver asyncore asynchat asyncio httplib httpservers \
        urllib2_localnet ftplib smtplib poplib telnetlib faulthandler multiprocessing_fork \
        multiprocessing_spawn multiprocessing_main_handling concurrent_futures zipfile \
        tarfile gzip mailbox uuid platform sched  memoryio getpass dbm_dumb shelve \
        timeout queue
}
quick_cases() { printf 'test_%s\n' poll fcntl openpty; }
case_command() { echo "cd /tmp && python3.11 -m test --timeout 380 $1"; }
case_status() { grep -q "skipped\|Ran no tests" "$2" && ! grep -q "^ERROR\|^FAIL" "$2" && echo skip || echo fail; }
