//! Makes the kernel and the container from a plan, behind the walls.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use platform::ptrace::Ptrace;
use platform::systrap::{Config, Systrap};
use platform::{Platform, PlatformError, WorkerId};
use sentry::boot::spec::{
    BootError, ContainerSpec, DeviceSpec, MountSource, MountSpec, ProcessSpec,
};
use sentry::boot::{Container, Shared};
use sentry::creds::{CapSet, Creds};
use sentry::kernel::{HostInfo, Kernel, KernelConfig};
use sentry::task::limits::Resource;
use sentry::task::run::Dispatcher;
use sentry::time::clock::HostClock;
use sentry::trace::{LineSink, Tracer};

use super::message::Ended;
use super::{Guest, Plan, Stdio, Trace, control, gofer};
use crate::bundle::mounts::{GuestMount, MountKind};
use crate::bundle::process::GuestProcess;
use crate::cli::Failure;
use crate::cli::args::PlatformKind;
use crate::debug::profile::Report;
use crate::jail::filter;
use crate::net::client::Client;
use crate::sys::{self, WinSize};

/// Address range of guest memory: what the file may grow to, not what it takes.
const MEMORY_FILE: u64 = 1 << 42;

/// A sandbox ready to serve.
pub struct Sandbox {
    kernel: Arc<Kernel>,
    container: Arc<Container>,
    gofer_life: std::io::PipeReader,
    resized: Option<(SignalFd, OwnedFd)>,
}

/// Where traced calls go.
struct Lines(Trace);

impl LineSink for Lines {
    fn line(&self, text: &str) {
        if !self.0.calls.is_empty() && !self.is_wanted(text) {
            return;
        }
        // A trace that cannot be written must not disturb the guest.
        let _ = nix::unistd::write(&self.0.output, format!("{text}\n").as_bytes());
    }
}

impl Lines {
    /// Whether the line is of a call that was asked for; signals and ends always are.
    fn is_wanted(&self, text: &str) -> bool {
        let body = text.split_once("] ").map_or(text, |(_, body)| body);
        body.split_once('(')
            .is_none_or(|(name, _)| self.0.calls.iter().any(|c| c == name) || name.contains(' '))
    }
}

/// Looks at the host while there is still a /proc.
pub fn host_info(plan: &Plan) -> HostInfo {
    let cpuinfo = std::fs::read("/proc/cpuinfo").unwrap_or_default();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let online = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let total = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|t| t.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(1 << 30, |kib| kib.saturating_mul(1024));
    HostInfo {
        cpuinfo,
        vsyscall: vsyscall_line(&maps),
        vdso: vdso_image(&maps).unwrap_or_default().into(),
        cpus: plan.guest.cpus.map_or(online, |n| n.clamp(1, online)),
        memory: plan
            .guest
            .memory_limit
            .map_or(total, |limit| limit.min(total)),
        memory_limit: plan.guest.memory_limit,
    }
}

/// The line of the vsyscall page, which guests reach as any program of the host does.
fn vsyscall_line(maps: &str) -> String {
    let line = maps.lines().find(|l| l.ends_with("[vsyscall]"));
    line.map(|l| format!("{l}\n")).unwrap_or_default()
}

/// The host's vDSO as debuggers read it.
fn vdso_image(maps: &str) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let line = maps.lines().find(|l| l.ends_with("[vdso]"))?;
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let hex = |t| u64::from_str_radix(t, 16).ok();
    let (start, end) = (hex(start)?, hex(end)?);
    let mut image = vec![0; usize::try_from(end.checked_sub(start)?).ok()?];
    let memory = File::open("/proc/self/mem").ok()?;
    memory.read_exact_at(&mut image, start).ok()?;
    Some(image)
}

/// Raises our OOM score while the first stub is made, which hands it to all stubs: the host
/// kills guests before it kills the Sentry. The file is opened while there is a /proc.
pub struct OomScore(Option<File>);

impl OomScore {
    /// Opens our own score.
    pub fn open() -> OomScore {
        let mut options = std::fs::OpenOptions::new();
        OomScore(options.write(true).open("/proc/self/oom_score_adj").ok())
    }

    fn set(&self, score: &str) {
        if let Some(mut file) = self.0.as_ref() {
            // Only a hint: where the host refuses, victims are chosen by size.
            let _ = std::io::Write::write_all(&mut file, score.as_bytes());
        }
    }
}

/// Starts the workers and those that help them.
fn start_threads(kernel: &Arc<Kernel>, workers: usize) -> Result<(), Failure> {
    let keeper = kernel.clone();
    std::thread::Builder::new()
        .name("keeper".into())
        .spawn(move || keeper.run_keeper())?;
    for id in 0..workers {
        let kernel = kernel.clone();
        std::thread::Builder::new()
            .name(format!("worker-{id}"))
            .spawn(move || kernel.run_worker(WorkerId(id)))?;
    }
    start_watcher(kernel)?;
    Ok(())
}

/// Host calls, each with its reason.
type Calls = &'static [(i64, &'static str)];

/// Makes the platform; with it the calls it makes besides those of the usual one.
fn start_platform(
    kind: PlatformKind,
    config: Config,
) -> (Result<Arc<dyn Platform>, PlatformError>, Calls) {
    match kind {
        PlatformKind::Systrap => (Systrap::new(config).map(|p| p as _), &[]),
        PlatformKind::Ptrace => {
            let made = Ptrace::new(config).map(|p| p as _);
            (made, ::platform::ptrace::HOST_SYSCALLS)
        }
    }
}

/// Makes everything up to a container whose first process is loaded and held.
pub fn make(
    mut plan: Plan,
    host: HostInfo,
    ends: gofer::Ends,
    (oom, maps): (&OomScore, File),
) -> Result<Sandbox, Failure> {
    guestmem::install_handler().map_err(|e| anyhow::anyhow!("fault handler: {e}"))?;
    let memory = guestmem::MemoryFile::new(MEMORY_FILE)
        .map_err(|e| anyhow::anyhow!("make guest memory: {e}"))?;
    let workers = host.cpus.clamp(1, 64) as usize;
    oom.set("1000");
    let config = Config {
        memory_file: memory.fd().try_clone_to_owned()?,
        workers,
        trap: TRAPPED,
        enter: sentry::task::ON_HOST_THREAD,
        maps: Some(maps),
        keeper: true,
    };
    let (made, calls) = start_platform(plan.platform, config);
    oom.set("0");
    let platform = made.context("start the platform")?;
    start_tracing(plan.debug);
    let resized = match &plan.stdio {
        Stdio::Terminal(tty) => Some(watch_size(tty)?),
        Stdio::Files(_) => None,
    };
    // The C library installs a signal handler with a process's first thread; it must not
    // need that call behind the filter.
    let first = std::thread::Builder::new().spawn(|| ())?;
    first
        .join()
        .map_err(|_| anyhow::anyhow!("a first thread failed"))?;
    filter::install(calls)?;

    let tracer = plan.trace.take().map(|trace| {
        let sink: Arc<dyn LineSink> = Arc::new(Lines(trace));
        Arc::new(syscalls::strace::Strace::new(sink)) as Arc<dyn Tracer>
    });
    let profile = plan.profile.take().map(Report::new);
    let table: &'static dyn Dispatcher = Box::leak(Box::new(syscalls::Table::default()));
    let (platform, dispatcher) = match &profile {
        Some(report) => report.around(platform, table),
        None => (platform, table),
    };
    let kernel = Kernel::new(KernelConfig {
        host,
        platform,
        memory: Arc::new(memory),
        clock: Arc::new(HostClock),
        dispatcher,
        tracer,
    });
    let waits = profile.as_ref().map(Report::waits);
    let client = ::gofer::Client::watched(ends.session, waits)
        .map_err(|e| anyhow::anyhow!("greet the gofer: {e}"))?;
    start_threads(&kernel, workers)?;
    let pcap = plan.pcap.take();
    let container = Container::create(
        &kernel,
        Arc::new(client),
        container_spec(plan.guest, plan.stdio, plan.preserved),
        &Shared::default(),
        Box::new(move |status| {
            if let Some(report) = &profile {
                report.write();
            }
            sys::exit_now(ended(status).code())
        }),
    )
    .map_err(boot_failure)?;
    if let Some(file) = pcap {
        container.record_frames(file);
    }
    Ok(Sandbox {
        kernel,
        container,
        gofer_life: ends.life,
        resized,
    })
}

/// Starts the thread that has blocked workers relieved.
fn start_watcher(kernel: &Arc<Kernel>) -> std::io::Result<()> {
    let kernel = kernel.clone();
    let watch = move || {
        kernel.run_watcher(&|holder| {
            let kernel = kernel.clone();
            std::thread::Builder::new()
                .name("standby".into())
                .spawn(move || kernel.run_standby(holder))
                .is_ok()
        });
    };
    std::thread::Builder::new()
        .name("watcher".into())
        .spawn(watch)
        .map(drop)
}

/// Calls that need the guest's register file.
const TRAPPED: &[u32] = &[
    libc::SYS_clone as u32,
    libc::SYS_clone3 as u32,
    libc::SYS_fork as u32,
    libc::SYS_vfork as u32,
    libc::SYS_execve as u32,
    libc::SYS_execveat as u32,
    libc::SYS_rt_sigreturn as u32,
    libc::SYS_sigaltstack as u32,
    libc::SYS_arch_prctl as u32,
];

impl Sandbox {
    /// Serves the control socket until the container ends, which ends the process.
    pub fn serve(self, listener: UnixListener, network: Option<Client>) -> ! {
        let first = control::Served {
            container: self.container,
            listener,
            gofer: self.gofer_life,
        };
        control::serve(self.kernel, first, self.resized, network)
    }
}

/// The kernel's own messages go to stderr, which is the log by now.
fn start_tracing(debug: bool) {
    let level = if debug {
        tracing::Level::DEBUG
    } else {
        tracing::Level::ERROR
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .finish();
    // Only ever set here; a second one would be refused and change nothing.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Size changes of the terminal as a descriptor. The signal is blocked before any thread
/// is made, so that all have it blocked.
fn watch_size(tty: &OwnedFd) -> anyhow::Result<(SignalFd, OwnedFd)> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGWINCH);
    mask.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok((SignalFd::with_flags(&mask, flags)?, tty.try_clone()?))
}

/// How the container's end is told.
pub fn ended(status: sentry::boot::spec::ExitStatus) -> Ended {
    use sentry::boot::spec::ExitStatus as E;
    match status {
        E::Exited(code) => Ended::Exited(code),
        E::Signaled { signo, .. } => Ended::Signaled(signo),
    }
}

/// A boot error as the caller sees it, with the exit status shells use.
pub fn boot_failure(e: BootError) -> Failure {
    let code = match &e {
        BootError::NotFoundInPath(_) | BootError::NotFound(_) => 127,
        BootError::NotExecutable(_) | BootError::IsDirectory(_) | BootError::Exec { .. } => 126,
        _ => 1,
    };
    Failure::new(code, format!("unable to start container process: {e}"))
}

fn bytes(list: &[String]) -> Vec<Vec<u8>> {
    list.iter().map(|s| s.as_bytes().to_vec()).collect()
}

/// A container as the kernel is told of it.
pub fn container_spec(guest: Guest, stdio: Stdio, preserved: Vec<OwnedFd>) -> ContainerSpec {
    ContainerSpec {
        id: guest.id,
        hostname: guest.hostname,
        domainname: guest.domainname,
        root: 0,
        root_readonly: guest.root_readonly,
        root_overlay: guest.overlay,
        mounts: guest.mounts.iter().map(mount_spec).collect(),
        devices: guest
            .devices
            .iter()
            .map(|d| DeviceSpec {
                path: d.path.clone().into_bytes(),
                block: d.mode & libc::S_IFMT == libc::S_IFBLK,
                major: d.major,
                minor: d.minor,
                mode: d.mode & 0o7777,
                uid: d.uid,
                gid: d.gid,
            })
            .collect(),
        device_rules: guest.device_rules.iter().map(|r| r.rule()).collect(),
        masked_paths: bytes(&guest.masked_paths),
        readonly_paths: bytes(&guest.readonly_paths),
        sysctls: guest.sysctls,
        seccomp: guest.seccomp,
        pids_limit: guest.pids_limit,
        memory_limit: guest.memory_limit,
        host_groups: Vec::new(),
        cpus: guest.cpus,
        process: process_spec(guest.process, stdio, preserved),
    }
}

/// A process as the kernel is told of it.
pub fn process_spec(p: GuestProcess, stdio: Stdio, preserved_fds: Vec<OwnedFd>) -> ProcessSpec {
    let stdio = match stdio {
        Stdio::Files(files) => sentry::boot::spec::Stdio::Files(files),
        Stdio::Terminal(fd) => {
            let size = p.size.unwrap_or_else(|| size_of(&fd));
            sentry::boot::spec::Stdio::Terminal {
                rows: size.rows,
                cols: size.cols,
                fd,
            }
        }
    };
    let rlimits = p
        .rlimits
        .iter()
        .filter_map(|r| Some((resource(r.resource)?, r.soft, r.hard)))
        .collect();
    ProcessSpec {
        creds: creds(&p),
        args: bytes(&p.args),
        env: bytes(&p.env),
        cwd: p.cwd.into_bytes(),
        umask: p.umask,
        rlimits,
        oom_score_adj: p.oom_score_adj,
        stdio,
        preserved_fds,
        closed_fds: p.closed,
    }
}

fn size_of(tty: &OwnedFd) -> WinSize {
    sys::window_size(tty.as_fd()).unwrap_or_default()
}

fn creds(p: &GuestProcess) -> Creds {
    Creds {
        uid: p.uid,
        euid: p.uid,
        suid: p.uid,
        fsuid: p.uid,
        gid: p.gid,
        egid: p.gid,
        sgid: p.gid,
        fsgid: p.gid,
        groups: Arc::from(p.groups.as_slice()),
        permitted: CapSet(p.caps.permitted),
        effective: CapSet(p.caps.effective),
        inheritable: CapSet(p.caps.inheritable),
        bounding: CapSet(p.caps.bounding),
        // capabilities(7): none is ambient that is not permitted and inheritable.
        ambient: CapSet(p.caps.ambient & p.caps.permitted & p.caps.inheritable),
        securebits: 0,
        no_new_privs: p.no_new_privs,
        user_ns: sentry::userns::UserNs::INITIAL,
        landlock: sentry::landlock::Domain::default(),
    }
}

fn resource(number: u32) -> Option<Resource> {
    const ALL: [Resource; 16] = [
        Resource::Cpu,
        Resource::Fsize,
        Resource::Data,
        Resource::Stack,
        Resource::Core,
        Resource::Rss,
        Resource::Nproc,
        Resource::Nofile,
        Resource::Memlock,
        Resource::As,
        Resource::Locks,
        Resource::Sigpending,
        Resource::Msgqueue,
        Resource::Nice,
        Resource::Rtprio,
        Resource::Rttime,
    ];
    ALL.get(number as usize).copied()
}

fn mount_spec(m: &GuestMount) -> MountSpec {
    let option = |name: &str| {
        m.data
            .iter()
            .find_map(|o| o.strip_prefix(name)?.strip_prefix('='))
    };
    let octal = |name, default| {
        option(name)
            .and_then(|v| u32::from_str_radix(v, 8).ok())
            .unwrap_or(default)
    };
    let number = |name| option(name).and_then(|v| v.parse::<u32>().ok());
    let source = match m.kind {
        MountKind::Gofer(index) => MountSource::Gofer {
            index,
            exclusive: false,
        },
        MountKind::Tmpfs => MountSource::Tmpfs {
            size: option("size").and_then(size),
            inodes: option("nr_inodes").and_then(size),
            mode: octal("mode", 0o1777),
            uid: number("uid").unwrap_or(0),
            gid: number("gid").unwrap_or(0),
        },
        MountKind::Proc => MountSource::Proc,
        MountKind::Sysfs => MountSource::Sys,
        MountKind::Devpts => MountSource::Devpts {
            ptmxmode: octal("ptmxmode", 0),
            mode: octal("mode", 0o600),
            gid: number("gid"),
        },
        MountKind::Mqueue => MountSource::Mqueue,
        MountKind::Cgroup => MountSource::Cgroup,
        MountKind::CgroupV1 => MountSource::CgroupV1,
    };
    MountSpec {
        destination: m.destination.clone().into_bytes(),
        source,
        flags: sentry::boot::spec::MountFlags {
            readonly: m.flags.readonly,
            nosuid: m.flags.nosuid,
            nodev: m.flags.nodev,
            noexec: m.flags.noexec,
            noatime: m.flags.noatime,
            nodiratime: false,
            relatime: !m.flags.noatime,
        },
    }
}

/// A size with a suffix k, m or g, as tmpfs takes it.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (text.get(..text.len() - 1)?, 1 << 10),
        b'm' => (text.get(..text.len() - 1)?, 1 << 20),
        b'g' => (text.get(..text.len() - 1)?, 1 << 30),
        _ => (text, 1u64),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64k"), Some(65_536));
        assert_eq!(size("1G"), Some(1 << 30));
        assert_eq!(size("x"), None);
    }
}
