//! The kernel value: everything of one sandbox.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use guestmem::MemoryFile;
use platform::{Platform, WorkerId};

use crate::fs::devpts::Terminals;
use crate::fs::host_watch::HostWatch;
use crate::fs::locks::LockWaits;
use crate::fs::memfd::MemfdMount;
use crate::fs::proc::load::LoadAverage;
use crate::fs::vfs::DeviceTable;
use crate::fs::vfs::fs_type::FsTypes;
use crate::futex::FutexTable;
use crate::ipc::IpcNs;
use crate::kernel_log::KernelLog;
use crate::keys::Keys;
use crate::mm::frames::Frames;
use crate::net::unix::InFlight;
use crate::net::{NetNamespaces, NetNs};
use crate::sync::{Mutex, RwLock};
use crate::task::Task;
use crate::task::run::Dispatcher;
use crate::time::clock::Clock;
use crate::time::timers::Timers;
use crate::time::vdso::PlainVdso;
use crate::trace::Tracer;
use crate::worker::Workers;

/// What the kernel is told of the host at start; it cannot look for itself.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    /// `/proc/cpuinfo` of the host.
    pub cpuinfo: Vec<u8>,
    /// The line of the vsyscall page in `/proc/PID/maps` of the host; empty without one.
    pub vsyscall: String,
    /// The image of the host's vDSO, which is the guest's too.
    pub vdso: Arc<[u8]>,
    /// CPUs the sandbox may use.
    pub cpus: u32,
    /// Memory in bytes: the host's, or the limit if that is lower.
    pub memory: u64,
    /// The container's memory limit in bytes, if it has one.
    pub memory_limit: Option<u64>,
}

/// What a kernel is made from.
pub struct KernelConfig {
    /// What there is to know of the host.
    pub host: HostInfo,
    /// How guest code runs.
    pub platform: Arc<dyn Platform>,
    /// What backs guest memory.
    pub memory: Arc<MemoryFile>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The system call table.
    pub dispatcher: &'static dyn Dispatcher,
    /// Sees every call, where the operator asked for it.
    pub tracer: Option<Arc<dyn Tracer>>,
}

/// One sandbox's kernel.
pub struct Kernel {
    /// What there is to know of the host.
    pub host: HostInfo,
    /// Wall clock and boot clock at boot.
    pub started: (Duration, Duration),
    /// How guest code runs.
    pub platform: Arc<dyn Platform>,
    /// What backs guest memory.
    pub memory: Arc<MemoryFile>,
    /// Which ranges of the memory file are in use.
    pub frames: Arc<Frames>,
    /// File system types.
    pub fs_types: FsTypes,
    /// The tmpfs behind memory files.
    pub memfds: MemfdMount,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Armed timers.
    pub timers: Timers,
    /// The system call table.
    pub dispatcher: &'static dyn Dispatcher,
    /// Sees every call, where the operator asked for it.
    pub tracer: Option<Arc<dyn Tracer>>,
    /// Workers' run lists.
    pub workers: Workers,
    /// Openers of device nodes and FIFOs.
    pub devices: DeviceTable,
    /// Host descriptors waited on.
    pub host_watch: HostWatch,
    /// Keys and keyrings.
    pub keys: Arc<Keys>,
    /// The first IPC namespace.
    pub ipc: Arc<IpcNs>,
    /// The first network namespace.
    pub net: Arc<NetNs>,
    /// All of them.
    pub nets: NetNamespaces,
    /// Descriptors in messages of unix sockets.
    pub in_flight: InFlight,
    /// The kernel's log.
    pub log: KernelLog,
    /// Held while an epoll set is made to watch another.
    pub(crate) epoll_nesting: Mutex<()>,
    /// Last inode number given to a pipe, socket or the like.
    anon_ino: AtomicU64,
    /// Who waits for whom at record locks.
    pub lock_waits: LockWaits,
    /// Tasks by cookie.
    tasks: RwLock<Cookies>,
    /// `uname(2)`'s release.
    pub release: String,
    /// `uname(2)`'s version.
    pub version: String,
    /// Pseudoterminals and the console.
    pub terminals: Terminals,
    /// Futexes.
    pub futexes: FutexTable,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Settings written under `/proc/sys`.
    sysctls: Mutex<BTreeMap<String, String>>,
    /// `/proc/loadavg`.
    pub load: Mutex<LoadAverage>,
    /// Last inode number given to a namespace.
    ns_ino: AtomicU64,
    /// The vDSO for those whose clocks are not the host's.
    pub(crate) plain_vdso: PlainVdso,
    /// Workers are to end.
    stopping: AtomicBool,
    /// Turns the choice of a worker for new tasks.
    turn: AtomicUsize,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kernel")
    }
}

impl Kernel {
    /// Bytes of memory in use, of those that guests are told they have.
    pub fn memory_in_use(&self) -> u64 {
        self.memory.resident_bytes().min(self.host.memory)
    }

    /// A kernel with no tasks and no file systems.
    pub fn new(config: KernelConfig) -> Arc<Kernel> {
        let workers = config.platform.workers();
        let frames = Frames::new(config.memory.clone());
        frames.set_total(config.host.memory);
        // The host's boot: guests read its boot-time clock without asking us.
        let boottime = config.clock.boottime();
        let started = (
            config.clock.realtime().saturating_sub(boottime),
            Duration::ZERO,
        );
        let (net, nets) = NetNamespaces::new();
        let kernel = Arc::new(Kernel {
            host: config.host,
            started,
            timers: Timers::new(workers),
            workers: Workers::new(workers),
            platform: config.platform,
            frames,
            fs_types: FsTypes::default(),
            memfds: MemfdMount::default(),
            memory: config.memory,
            clock: config.clock,
            dispatcher: config.dispatcher,
            tracer: config.tracer,
            host_watch: HostWatch::default(),
            keys: Arc::default(),
            ipc: Arc::default(),
            net,
            nets,
            in_flight: InFlight::default(),
            log: KernelLog::default(),
            epoll_nesting: Mutex::default(),
            anon_ino: AtomicU64::new(1),
            devices: DeviceTable::default(),
            lock_waits: LockWaits::default(),
            tasks: RwLock::default(),
            release: "6.12.0".to_owned(),
            version: "#1 SMP PREEMPT_DYNAMIC".to_owned(),
            terminals: Terminals::default(),
            futexes: FutexTable::default(),
            boot_id: crate::fs::proc::uuid(),
            sysctls: Mutex::default(),
            load: Mutex::default(),
            // Past the numbers of the first namespaces (`NsKind::first`).
            ns_ino: AtomicU64::new(0xf000_0002),
            plain_vdso: PlainVdso::default(),
            stopping: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
        });
        crate::fs::devpts::register(&kernel);
        crate::fs::dev::kmsg::register(&kernel);
        crate::net::tun::register(&kernel);
        let banner = format!("Linux version {} {}", kernel.release, kernel.version);
        kernel.log.add(5, Duration::ZERO, banner.as_bytes());
        kernel
    }

    /// How long ago the sandbox booted.
    pub fn since_boot(&self) -> Duration {
        self.clock.boottime().saturating_sub(self.started.1)
    }

    /// An inode number for a pipe, socket or the like.
    pub fn next_anon_ino(&self) -> u64 {
        self.anon_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// Every task.
    pub fn all_tasks(&self) -> Vec<Arc<Task>> {
        self.tasks
            .read()
            .slots
            .iter()
            .filter_map(|(_, t)| t.upgrade())
            .collect()
    }

    /// The value written to a setting, if one was.
    pub fn sysctl(&self, path: &str) -> Option<String> {
        self.sysctls.lock().get(path).cloned()
    }

    /// Stores a setting.
    pub fn set_sysctl(&self, path: &str, value: &str) {
        self.sysctls
            .lock()
            .insert(path.to_owned(), value.to_owned());
    }

    /// The task an event's cookie means.
    pub fn task_by_cookie(&self, cookie: u64) -> Option<Arc<Task>> {
        let tasks = self.tasks.read();
        let (generation, task) = tasks.slots.get(index_of(cookie)?)?;
        if *generation != cookie >> 32 {
            return None;
        }
        task.upgrade()
    }

    /// Enters a task under a new cookie.
    pub(crate) fn add_cookie(&self, task: &Arc<Task>) -> u64 {
        let mut tasks = self.tasks.write();
        tasks.generation = (tasks.generation + 1) & 0x7fff_ffff;
        let generation = tasks.generation;
        let entry = (generation, Arc::downgrade(task));
        let index = match tasks.free.pop() {
            Some(i) => i,
            None => {
                tasks.slots.push((0, Weak::new()));
                tasks.slots.len() - 1
            }
        };
        if let Some(slot) = tasks.slots.get_mut(index) {
            *slot = entry;
        }
        generation << 32 | index as u64
    }

    /// Events of this cookie mean nobody any more.
    pub(crate) fn remove_cookie(&self, cookie: u64) {
        let Some(index) = index_of(cookie) else {
            return;
        };
        let mut tasks = self.tasks.write();
        let Some(slot) = tasks.slots.get_mut(index) else {
            return;
        };
        if slot.0 == cookie >> 32 {
            *slot = (u64::MAX, Weak::new());
            tasks.free.push(index);
        }
    }

    /// An inode number for a namespace.
    pub fn next_ns_ino(&self) -> u64 {
        self.ns_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// The worker a new task is dealt to.
    pub(crate) fn deal(&self) -> WorkerId {
        let n = self.platform.workers().max(1);
        WorkerId(self.turn.fetch_add(1, Ordering::Relaxed) % n)
    }

    /// The worker of a new task that will talk to the current one at first: the same.
    pub(crate) fn deal_near(&self) -> WorkerId {
        crate::worker::current().unwrap_or_else(|| self.deal())
    }

    /// Ends the workers: each returns from [`Kernel::run_worker`] soon.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for w in 0..self.platform.workers() {
            self.platform.kick(WorkerId(w));
        }
        self.stop_standbys();
    }

    /// Whether [`Kernel::stop`] was called.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// Tasks by cookie: a slot number below, a generation above, so that an event of a dead
/// task never means another.
#[derive(Default)]
struct Cookies {
    slots: Vec<(u64, Weak<Task>)>,
    free: Vec<usize>,
    generation: u64,
}

fn index_of(cookie: u64) -> Option<usize> {
    usize::try_from(cookie & 0xffff_ffff).ok()
}
