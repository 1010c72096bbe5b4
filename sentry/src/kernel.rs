//! The kernel value: everything of one sandbox.

use std::fmt;
use std::sync::Arc;

use guestmem::MemoryFile;
use platform::Platform;

use crate::fs::vfs::DeviceTable;
use crate::sync::RwLock;
use crate::task::Task;
use crate::task::run::Dispatcher;
use crate::time::clock::Clock;
use crate::time::timers::Timers;
use crate::worker::Workers;

/// What a kernel is made from.
pub struct KernelConfig {
    /// How guest code runs.
    pub platform: Arc<dyn Platform>,
    /// What backs guest memory.
    pub memory: Arc<MemoryFile>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The system call table.
    pub dispatcher: &'static dyn Dispatcher,
}

/// One sandbox's kernel.
pub struct Kernel {
    /// How guest code runs.
    pub platform: Arc<dyn Platform>,
    /// What backs guest memory.
    pub memory: Arc<MemoryFile>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Armed timers.
    pub timers: Timers,
    /// The system call table.
    pub dispatcher: &'static dyn Dispatcher,
    /// Workers' run lists.
    pub workers: Workers,
    /// Openers of device nodes and FIFOs.
    pub devices: DeviceTable,
    /// Tasks by cookie.
    tasks: RwLock<Vec<Option<Arc<Task>>>>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kernel")
    }
}

impl Kernel {
    /// A kernel with no tasks and no file systems.
    pub fn new(config: KernelConfig) -> Arc<Kernel> {
        let workers = config.platform.workers();
        Arc::new(Kernel {
            timers: Timers::new(workers),
            workers: Workers::new(workers),
            platform: config.platform,
            memory: config.memory,
            clock: config.clock,
            dispatcher: config.dispatcher,
            devices: DeviceTable::default(),
            tasks: RwLock::default(),
        })
    }

    /// The task an event's cookie means.
    pub fn task_by_cookie(&self, cookie: u64) -> Option<Arc<Task>> {
        let index = usize::try_from(cookie).ok()?;
        self.tasks.read().get(index)?.clone()
    }
}
