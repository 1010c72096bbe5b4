//! The `sysfs` file system, `/sys`, as far as programs look into it, and the `cgroup2` tree.

mod devices;

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::pseudo::{Dir, Link, Node, PseudoFs, Static, Text};
use super::vfs::fs_type::{MountRequest, Options, Value};
use super::vfs::{FileSystem, Inode, Owner};
use crate::Result;
use crate::kernel::Kernel;
use crate::task::Task;
use crate::task::cgroup::Cgroup;
use abi::Errno;

/// `SYSFS_MAGIC`.
const SYSFS_MAGIC: u64 = 0x6265_6572;
/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

const ROOT: Owner = Owner { uid: 0, gid: 0 };

type Make = fn(&Kernel) -> String;

/// Builds the fixed trees.
struct Builder {
    kernel: Weak<Kernel>,
    dev: u64,
    /// When it was mounted, since the epoch.
    since: Duration,
}

impl Builder {
    fn file(&self, place: &str, make: Make) -> Arc<dyn Inode> {
        self.file_of(place, make)
    }

    fn file_of(
        &self,
        place: &str,
        make: impl Fn(&Kernel) -> String + Send + Sync + 'static,
    ) -> Arc<dyn Inode> {
        let kernel = self.kernel.clone();
        Text::new(
            Node::new(self.dev, &place, 0o444, ROOT).since(self.since),
            move |_: Option<&Arc<Task>>| {
                let kernel = kernel.upgrade().ok_or(Errno::EIO)?;
                let mut text = make(&kernel);
                text.push('\n');
                Ok(text.into_bytes())
            },
        )
    }

    fn dir<N: Into<Cow<'static, str>>>(
        &self,
        place: &str,
        children: Vec<(N, Arc<dyn Inode>)>,
    ) -> Arc<dyn Inode> {
        Dir::new(
            Node::new(self.dev, &place, 0o755, ROOT).since(self.since),
            Static::new(children),
        )
    }

    fn link(&self, place: &str, target: String) -> Arc<dyn Inode> {
        let node = Node::new(self.dev, &place, 0o777, ROOT).since(self.since);
        Link::new(node, move |_| Ok(target.clone().into_bytes()))
    }
}

/// A new `sysfs` instance.
pub fn new(kernel: &Arc<Kernel>, dev: u64) -> Arc<PseudoFs> {
    let b = Builder {
        kernel: Arc::downgrade(kernel),
        dev,
        since: kernel.clock.realtime(),
    };
    let cpus = kernel.host.cpus.max(1) as usize;
    let empty = |place| b.dir::<&str>(place, Vec::new());
    let system = devices::system(&b, cpus);
    let devices = b.dir(
        "devices",
        vec![("system", system), ("virtual", empty("virtual"))],
    );
    let hugepage = b.dir(
        "thp",
        vec![
            (
                "enabled",
                b.file("thp/enabled", |_| "always madvise [never]".to_owned()),
            ),
            (
                "hpage_pmd_size",
                b.file("thp/size", |_| "2097152".to_owned()),
            ),
        ],
    );
    let mm = b.dir("mm", vec![("transparent_hugepage", hugepage)]);
    let kernel_dir = b.dir("kernel", vec![("mm", mm)]);
    let fs = b.dir("fs", vec![("cgroup", empty("cgroup"))]);
    let lo: Vec<(&str, Make)> = vec![
        ("address", |_| "00:00:00:00:00:00".to_owned()),
        ("flags", |_| "0x9".to_owned()),
        ("ifindex", |_| "1".to_owned()),
        ("mtu", |_| "65536".to_owned()),
        ("operstate", |_| "unknown".to_owned()),
        ("type", |_| "772".to_owned()),
    ];
    let lo = lo
        .into_iter()
        .map(|(name, make)| (name, b.file(name, make)))
        .collect();
    let lo = b.dir("lo", lo);
    let class = b.dir("class", vec![("net", b.dir("net", vec![("lo", lo)]))]);
    let root = Dir::new(
        Node::root(dev).since(b.since),
        Static::new(vec![
            ("block", empty("block")),
            ("bus", devices::bus(&b, cpus)),
            ("class", class),
            ("dev", empty("dev")),
            ("devices", devices),
            ("firmware", empty("firmware")),
            ("fs", fs),
            ("kernel", kernel_dir),
            ("module", empty("module")),
            ("power", empty("power")),
        ]),
    );
    PseudoFs::new("sysfs", SYSFS_MAGIC, dev, root)
}

/// `mount -t sysfs`.
pub fn mount(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    if request.options().next().is_some() {
        return Err(Errno::EINVAL);
    }
    Ok(new(request.kernel, request.kernel.fs_types.new_dev()))
}

/// Options of a `cgroup2` mount.
pub const CGROUP_OPTIONS: Options = &[("nsdelegate", Value::Flag)];

/// `mount -t cgroup2`: shows the mounter's group as the root.
pub fn mount_cgroup(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    if request.options().any(|(name, _)| name != b"nsdelegate") {
        return Err(Errno::EINVAL);
    }
    let t = request.cx.task.ok_or(Errno::EINVAL)?;
    let dev = request.kernel.fs_types.new_dev();
    Ok(cgroup(request.kernel, &t.thread_group().cgroup, dev))
}

/// The `cgroup2` tree as the container sees it: its own group as the root.
pub fn cgroup(kernel: &Arc<Kernel>, group: &Arc<Cgroup>, dev: u64) -> Arc<PseudoFs> {
    let b = Builder {
        kernel: Arc::downgrade(kernel),
        dev,
        since: kernel.clock.realtime(),
    };
    let of_group = |place: &str, make: fn(&Kernel, &Arc<Cgroup>) -> String| {
        let group = group.clone();
        b.file_of(place, move |k| make(k, &group))
    };
    let root = Dir::new(
        Node::root(dev).since(b.since),
        Static::new(vec![
            (
                "cgroup.controllers",
                b.file("controllers", |_| "memory pids".to_owned()),
            ),
            ("cgroup.procs", of_group("procs", procs)),
            ("cgroup.type", b.file("type", |_| "domain".to_owned())),
            (
                "memory.current",
                b.file("memory.current", |k| k.memory.resident_bytes().to_string()),
            ),
            ("memory.max", b.file("memory.max", memory_max)),
            (
                "pids.current",
                of_group("pids.current", |_, g| g.count().to_string()),
            ),
            ("pids.max", of_group("pids.max", pids_max)),
        ]),
    );
    PseudoFs::new("cgroup2", CGROUP2_MAGIC, dev, root)
}

fn procs(kernel: &Kernel, group: &Arc<Cgroup>) -> String {
    group
        .groups(kernel)
        .iter()
        .map(|g| g.pid().to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

fn memory_max(k: &Kernel) -> String {
    k.host
        .memory_limit
        .map_or_else(|| "max".to_owned(), |n| n.to_string())
}

fn pids_max(_: &Kernel, group: &Arc<Cgroup>) -> String {
    group
        .max()
        .map_or_else(|| "max".to_owned(), |n| n.to_string())
}
