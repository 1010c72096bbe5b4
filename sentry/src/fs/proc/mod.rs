//! The `proc` file system (`proc(5)`).
//!
//! [`root`] holds what is about the system, [`pid`] what is about a process, `sysctl` the
//! tree under `/proc/sys`. Every value is taken from the kernel when it is read.

mod cpu;
pub mod load;
mod memory;
mod net;
mod pid;
mod root;
mod sysctl;

use std::sync::{Arc, Weak};
use std::time::Duration;

pub use pid::process_of;

use super::pseudo::{Dir, Node, PseudoFs};
use super::vfs::fs_type::MountRequest;
use super::vfs::{FileSystem, Owner};
use crate::Result;
use crate::kernel::Kernel;
use crate::task::Task;
use crate::task::pid::PidNamespace;
use crate::task::uts::UtsNamespace;
use abi::Errno;

/// `PROC_SUPER_MAGIC`.
const MAGIC: u64 = 0x9fa0;

/// Root as owner.
const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// What an instance shows: the kernel, as one container sees it.
pub struct View {
    kernel: Arc<Kernel>,
    pids: Arc<PidNamespace>,
    uts: Arc<UtsNamespace>,
    /// What the reader's boot-time clock is ahead of the host's, in nanoseconds.
    boot_offset: i64,
}

/// The load averages that a task sees (`sysinfo(2)`, `/proc/loadavg`).
pub fn load_averages(t: &Task) -> [f64; 3] {
    root::averages(&View {
        kernel: t.kernel.clone(),
        pids: t.pid_ns().clone(),
        uts: t.uts(),
        boot_offset: t.boot_offset(),
    })
}

/// What every file of this file system needs. The kernel is held weakly, because it holds
/// the mounts.
#[derive(Clone)]
struct Proc {
    kernel: Weak<Kernel>,
    pids: Arc<PidNamespace>,
    uts: Arc<UtsNamespace>,
    dev: u64,
    /// When it was mounted, since the epoch.
    since: Duration,
}

impl Proc {
    /// What it shows to a reader; `EIO` while the kernel is being torn down.
    fn view(&self, reader: Option<&Arc<Task>>) -> Result<View> {
        let kernel = self.kernel.upgrade().ok_or(Errno::EIO)?;
        Ok(View {
            kernel,
            pids: self.pids.clone(),
            uts: self.uts.clone(),
            boot_offset: reader.map_or(0, |t| t.boot_offset()),
        })
    }

    /// A node for the file called `place`.
    fn node(&self, place: &str, perm: u32) -> Node {
        Node::new(self.dev, &place, perm, ROOT).since(self.since)
    }
}

/// A new instance with device number `dev` that shows the processes of `pids`.
pub fn new(
    kernel: &Arc<Kernel>,
    pids: &Arc<PidNamespace>,
    uts: &Arc<UtsNamespace>,
    dev: u64,
) -> Arc<PseudoFs> {
    let proc = Proc {
        kernel: Arc::downgrade(kernel),
        pids: pids.clone(),
        uts: uts.clone(),
        dev,
        since: kernel.clock.realtime(),
    };
    let node = Node::root(dev).since(proc.since);
    let root = Dir::new(node, root::Root::new(proc));
    PseudoFs::new("proc", MAGIC, dev, root)
}

/// `mount -t proc`: shows the processes of the mounter's namespace.
pub fn mount(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    if request.options().next().is_some() {
        return Err(Errno::EINVAL);
    }
    let t = request.cx.task.ok_or(Errno::EINVAL)?;
    let dev = request.kernel.fs_types.new_dev();
    Ok(new(request.kernel, t.pid_ns(), &t.uts(), dev))
}

/// Stores a setting by its path under `/proc/sys`; `ENOENT`, `EACCES`.
pub fn set_sysctl(kernel: &Kernel, path: &str, text: &str) -> Result<()> {
    sysctl::set_stored(kernel, &kernel.net, path, text)
}

/// The number that a writable setting under `/proc/sys` says; `None` if it is none.
pub fn sysctl_number(kernel: &Kernel, path: &str) -> Option<i64> {
    sysctl::number(kernel, path)
}

/// A random UUID (version 4) in text.
pub fn uuid() -> String {
    let mut b = [0u8; 16];
    // Without random bytes the text is still well formed.
    let _ = platform::host::random(&mut b);
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
