//! Trees of control groups as a container sees them, its own group as the root: that of
//! version 2, and, where the host has version 1, one for each of its controllers.
//!
//! The files tell; nothing in them can be changed.

use std::sync::Arc;

use super::Builder;
use crate::Result;
use crate::fs::pseudo::{Dir, Node, PseudoFs, Static};
use crate::fs::vfs::fs_type::{MountRequest, Options, Value};
use crate::fs::vfs::{FileSystem, Inode};
use crate::kernel::Kernel;
use crate::task::cgroup::Cgroup;
use abi::Errno;

/// `CGROUP_SUPER_MAGIC`.
const CGROUP_MAGIC: u64 = 0x0027_e0eb;
/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// `memory.limit_in_bytes` without a limit: the largest whole number of pages.
const NO_LIMIT: u64 = 0x7fff_ffff_ffff_f000;

type Make = fn(&Kernel, &Arc<Cgroup>) -> String;

/// Options of a `cgroup2` mount.
pub const OPTIONS: Options = &[("nsdelegate", Value::Flag)];

/// Controllers of version 1, in the order of `/proc/PID/cgroup`; a hierarchy's number is its
/// place from the end.
pub const CONTROLLERS: [&str; 4] = ["pids", "memory", "cpuset", "cpuacct"];

/// Files of every group of version 1.
const COMMON: [(&str, Make); 4] = [
    ("cgroup.clone_children", |_, _| "0".to_owned()),
    ("cgroup.procs", procs),
    ("notify_on_release", |_, _| "0".to_owned()),
    ("tasks", threads),
];

/// Files of version 2.
const UNIFIED: [(&str, Make); 8] = [
    ("cgroup.controllers", |_, _| "memory pids".to_owned()),
    ("cgroup.procs", procs),
    ("cgroup.threads", threads),
    ("cgroup.type", |_, _| "domain".to_owned()),
    ("memory.current", memory_used),
    ("memory.max", |_, g| or_max(g.memory_limit())),
    ("pids.current", pids_now),
    ("pids.max", |_, g| or_max(g.max())),
];

/// The files of a controller of version 1 beside the common ones.
fn files_of(controller: &str) -> &'static [(&'static str, Make)] {
    match controller {
        "pids" => &[
            ("pids.current", pids_now),
            ("pids.max", |_, g| or_max(g.max())),
        ],
        "memory" => &[
            ("memory.limit_in_bytes", |_, g| {
                g.memory_limit().unwrap_or(NO_LIMIT).to_string()
            }),
            ("memory.stat", |_, g| {
                let limit = g.memory_limit().unwrap_or(NO_LIMIT);
                format!("hierarchical_memory_limit {limit}")
            }),
            ("memory.usage_in_bytes", memory_used),
        ],
        "cpuset" => &[
            ("cpuset.cpus", |k, _| cpus(k)),
            ("cpuset.effective_cpus", |k, _| cpus(k)),
            ("cpuset.effective_mems", |_, _| "0".to_owned()),
            ("cpuset.mems", |_, _| "0".to_owned()),
        ],
        "cpuacct" => &[("cpuacct.usage", cpu_used)],
        _ => &[],
    }
}

fn tree(
    kernel: &Arc<Kernel>,
    group: &Arc<Cgroup>,
    dev: u64,
    files: &[(&'static str, Make)],
) -> Arc<dyn Inode> {
    let b = Builder {
        kernel: Arc::downgrade(kernel),
        dev,
        since: kernel.clock.realtime(),
    };
    let file = |&(name, make): &(&'static str, Make)| {
        let group = group.clone();
        (name, b.file_of(name, move |k| make(k, &group)))
    };
    Dir::new(
        Node::root(dev).since(b.since),
        Static::new(files.iter().map(file).collect()),
    )
}

/// The tree of version 2.
pub fn unified(kernel: &Arc<Kernel>, group: &Arc<Cgroup>, dev: u64) -> Arc<PseudoFs> {
    let root = tree(kernel, group, dev, &UNIFIED);
    PseudoFs::new("cgroup2", CGROUP2_MAGIC, dev, root)
}

/// The tree of a controller of version 1.
pub fn of_controller(
    kernel: &Arc<Kernel>,
    group: &Arc<Cgroup>,
    dev: u64,
    controller: &'static str,
) -> Arc<PseudoFs> {
    let mut files = COMMON.to_vec();
    files.extend(files_of(controller));
    files.sort_unstable_by_key(|(name, _)| *name);
    let root = tree(kernel, group, dev, &files);
    PseudoFs::with_options("cgroup", CGROUP_MAGIC, dev, root, controller)
}

/// `mount -t cgroup2`: shows the mounter's group as the root.
pub fn mount(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    if request.options().any(|(name, _)| name != b"nsdelegate") {
        return Err(Errno::EINVAL);
    }
    let t = request.cx.task.ok_or(Errno::EINVAL)?;
    let dev = request.kernel.fs_types.new_dev();
    Ok(unified(request.kernel, &t.thread_group().cgroup, dev))
}

/// `/proc/PID/cgroup` of a process in this group.
pub fn lines(group: &Cgroup) -> String {
    let mut text = String::new();
    if group.is_v1() {
        for (i, name) in CONTROLLERS.iter().enumerate() {
            text.push_str(&format!("{}:{name}:/\n", CONTROLLERS.len() - i));
        }
    }
    text.push_str("0::/\n");
    text
}

fn procs(kernel: &Kernel, group: &Arc<Cgroup>) -> String {
    let groups = group.groups(kernel);
    let pids = groups.iter().map(|g| g.id.outermost().to_string());
    pids.collect::<Vec<_>>().join("\n")
}

fn threads(kernel: &Kernel, group: &Arc<Cgroup>) -> String {
    let groups = group.groups(kernel);
    let tasks = groups.iter().flat_map(|g| g.tasks());
    let tids = tasks.map(|t| t.id().outermost().to_string());
    tids.collect::<Vec<_>>().join("\n")
}

fn memory_used(kernel: &Kernel, _: &Arc<Cgroup>) -> String {
    kernel.memory.resident_bytes().to_string()
}

fn cpu_used(kernel: &Kernel, group: &Arc<Cgroup>) -> String {
    let groups = group.groups(kernel);
    let total = groups.iter().map(|g| g.cpu_times().total().as_nanos());
    total.sum::<u128>().to_string()
}

fn cpus(kernel: &Kernel) -> String {
    super::devices::range(kernel.host.cpus.max(1) as usize)
}

fn pids_now(_: &Kernel, group: &Arc<Cgroup>) -> String {
    group.count().to_string()
}

fn or_max(limit: Option<u64>) -> String {
    limit.map_or_else(|| "max".to_owned(), |n| n.to_string())
}
