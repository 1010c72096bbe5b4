//! The `sysfs` file system, `/sys`, as far as programs look into it, and trees of control
//! groups ([`cgroup`]).

pub mod cgroup;
mod devices;
mod net;

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::pseudo::{Dir, Link, Node, PseudoFs, Static, Text};
use super::vfs::fs_type::MountRequest;
use super::vfs::{FileSystem, Inode, Owner};
use crate::Result;
use crate::kernel::Kernel;
use crate::task::Task;
use abi::Errno;

/// `SYSFS_MAGIC`.
const SYSFS_MAGIC: u64 = 0x6265_6572;

const ROOT: Owner = Owner { uid: 0, gid: 0 };

type Make = fn(&Kernel) -> String;

/// Builds the trees.
#[derive(Clone)]
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
        Text::new(self.node(&place, 0o444), move |_: Option<&Arc<Task>>| {
            let kernel = kernel.upgrade().ok_or(Errno::EIO)?;
            let mut text = make(&kernel);
            text.push('\n');
            Ok(text.into_bytes())
        })
    }

    fn node(&self, place: &impl std::hash::Hash, perm: u32) -> Node {
        Node::new(self.dev, place, perm, ROOT).since(self.since)
    }

    fn dir<N: Into<Cow<'static, str>>>(
        &self,
        place: &str,
        children: Vec<(N, Arc<dyn Inode>)>,
    ) -> Arc<dyn Inode> {
        Dir::new(self.node(&place, 0o755), Static::new(children))
    }

    fn link(&self, place: &str, target: String) -> Arc<dyn Inode> {
        Link::new(self.node(&place, 0o777), move |_| {
            Ok(target.clone().into_bytes())
        })
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
    let virtual_devices = b.dir("virtual", vec![("net", net::devices(&b))]);
    let devices = b.dir(
        "devices",
        vec![("system", system), ("virtual", virtual_devices)],
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
    let class = b.dir("class", vec![("net", net::class(&b))]);
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
