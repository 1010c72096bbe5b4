//! Runs one static program of the host on a kernel with an empty tmpfs root: for debugging
//! the core without a bundle. `cargo run -p syscalls --example run_static -- PROGRAM ARGS`, with `WORKERS=2` on two.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use guestmem::MemoryFile;
use platform::systrap::{Config, Systrap};
use sentry::creds::Creds;
use sentry::fs::file::OpenFlags;
use sentry::fs::host_file::HostFile;
use sentry::fs::tmpfs::{TmpFs, TmpOptions};
use sentry::fs::vfs::change::mkdir_all;
use sentry::fs::vfs::open::{OpenHow, open};
use sentry::fs::vfs::{MountFlags, MountNamespace, WalkCx};
use sentry::fs::{FdTable, FsContext};
use sentry::io::KernelSrc;
use sentry::kernel::{HostInfo, Kernel, KernelConfig};
use sentry::task::create::ProcessSpec;
use sentry::task::limits::Limits;
use sentry::task::pid::PidNamespace;
use sentry::task::uts::UtsNamespace;
use sentry::time::clock::HostClock;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let program = std::fs::read(&args[0]).unwrap();
    let workers = std::env::var("WORKERS").map_or(1, |w| w.parse().unwrap());
    guestmem::install_handler().unwrap();
    let memory = Arc::new(MemoryFile::new(1 << 44).unwrap());
    let platform = Systrap::new(Config {
        memory_file: memory.fd().try_clone_to_owned().unwrap(),
        workers,
        trap: sentry::task::TRAPPED,
        enter: sentry::task::ON_HOST_THREAD,
        maps: None,
        keeper: false,
    })
    .unwrap();
    let dispatcher: &'static syscalls::Table = Box::leak(Box::new(syscalls::Table::default()));
    let kernel = Kernel::new(KernelConfig {
        host: HostInfo {
            cpus: 2,
            memory: 4 << 30,
            ..HostInfo::default()
        },
        platform,
        memory,
        clock: Arc::new(HostClock),
        dispatcher,
        tracer: None,
    });
    let fs = TmpFs::new(
        kernel.frames.clone(),
        kernel.clock.clone(),
        40,
        TmpOptions::default(),
    );
    let ns = MountNamespace::new(fs, MountFlags::empty()).unwrap();
    let cx = WalkCx::kernel(ns.root());
    let how = OpenHow {
        flags: OpenFlags::CREAT | OpenFlags::RDWR,
        perm: 0o755,
        ..OpenHow::default()
    };
    let file = open(&cx, &cx.root, b"/program", &how).unwrap();
    let mut done = 0;
    while done < program.len() {
        let mut src = KernelSrc::new(&program[done..]);
        done += file
            .ops
            .write(&file.cx(None), &mut src, done as u64)
            .unwrap();
    }
    // What is open for writing cannot be executed.
    drop(file);
    let files = FdTable::new();
    for fd in [
        std::io::stdin().as_fd(),
        std::io::stdout().as_fd(),
        std::io::stderr().as_fd(),
    ] {
        let fd: OwnedFd = fd.try_clone_to_owned().unwrap();
        let file = HostFile::import(&kernel, fd).unwrap();
        files.install(file, 0, false, 1024).unwrap();
    }
    let pids = PidNamespace::new(1);
    let uts = Arc::new(UtsNamespace::new(
        2,
        sentry::userns::UserNs::INITIAL,
        b"test",
        b"",
    ));
    let proc = sentry::fs::proc::new(&kernel, &pids, &uts, kernel.fs_types.new_dev());
    let at = mkdir_all(&cx, &cx.root, b"/proc", 0o555).unwrap();
    ns.mount(&at, proc, b"proc", MountFlags::empty()).unwrap();
    let group = kernel
        .create_process(
            &pids,
            ProcessSpec {
                path: b"/program".to_vec(),
                argv: args.into_iter().map(String::into_bytes).collect(),
                envp: vec![b"PATH=/bin".to_vec()],
                creds: Creds::root(),
                limits: Limits::default(),
                files,
                fs: Arc::new(FsContext::new(ns.root(), ns.root(), 0o22)),
                uts,
                cgroup: Arc::default(),
            },
        )
        .unwrap();
    let stop = kernel.clone();
    group.on_exit(Box::new(move |status| {
        eprintln!("exited: {:#x}", status.0);
        stop.stop();
    }));
    group.start();
    std::thread::scope(|s| {
        for w in 0..workers {
            let kernel = &kernel;
            s.spawn(move || kernel.run_worker(platform::WorkerId(w)));
        }
    });
}
