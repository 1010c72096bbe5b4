//! The mount tree of a container: root, mounts, devices, masked and read-only paths.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use abi::Errno;

use super::spec::{BootError, ContainerSpec, DeviceSpec, MountFlags as SpecFlags, MountSource};
use crate::Result;
use crate::fs::devpts::{DevPts, PtsOptions};
use crate::fs::gofer::{GoferFs, Session};
use crate::fs::overlay::OverlayFs;
use crate::fs::sys::cgroup;
use crate::fs::tmpfs::{TmpFs, TmpOptions};
use crate::fs::vfs::change;
use crate::fs::vfs::setattr;
use crate::fs::vfs::{
    FileSystem, FileType, Mount, MountFlags, MountNamespace, Owner, Path, SuperFlags, WalkCx,
    WalkFlags, lookup,
};
use crate::fs::{dev, proc, sys};
use crate::kernel::Kernel;
use crate::task::cgroup::Cgroup;
use crate::task::pid::PidNamespace;
use crate::task::uts::UtsNamespace;

/// Links every container has in `/dev` (runc makes the same).
const DEV_LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

impl SpecFlags {
    fn to_mount(self) -> MountFlags {
        let mut flags = MountFlags::empty();
        flags.set(MountFlags::RDONLY, self.readonly);
        flags.set(MountFlags::NOSUID, self.nosuid);
        flags.set(MountFlags::NODEV, self.nodev);
        flags.set(MountFlags::NOEXEC, self.noexec);
        flags.set(MountFlags::NOATIME, self.noatime);
        flags.set(MountFlags::NODIRATIME, self.nodiratime);
        flags.set(MountFlags::RELATIME, self.relatime);
        flags
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_default().to_string()
}

fn other(what: impl Into<String>) -> impl FnOnce(Errno) -> BootError {
    let what = what.into();
    move |errno| BootError::Other { what, errno }
}

/// Builds the tree of `spec`; its root directory is that of the result.
pub fn build(
    kernel: &Arc<Kernel>,
    gofer: &Arc<Session>,
    (pids, uts, cgroup): (&Arc<PidNamespace>, &Arc<UtsNamespace>, &Arc<Cgroup>),
    spec: &ContainerSpec,
) -> Result<Tree, BootError> {
    let root: Arc<dyn FileSystem> = GoferFs::new(gofer, spec.root, true, kernel.fs_types.new_dev())
        .map_err(other("opening the root file system"))?;
    let root: Arc<dyn FileSystem> = if spec.root_overlay {
        in_memory(kernel, &root).map_err(other("overlay over the root file system"))?
    } else {
        root
    };
    let ns = MountNamespace::new(root, MountFlags::empty())
        .map_err(other("mounting the root file system"))?;
    let tree = Builder {
        kernel,
        gofer,
        pids,
        uts,
        cgroup,
        devpts: OnceCell::new(),
        sealed: RefCell::default(),
        ns: &ns,
        cx: WalkCx::kernel(ns.root()),
    };
    for mount in &spec.mounts {
        tree.mount(&mount.destination, &mount.source, mount.flags)?;
    }
    tree.devices(&spec.devices)?;
    for mount in tree.sealed.take() {
        mount.set_flags(mount.flags() | MountFlags::RDONLY);
    }
    // A read-only root takes no directory later; what is wrong with it is said then.
    let _ = tree.point(&spec.process.cwd, FileType::Directory);
    tree.mask(&spec.masked_paths)?;
    tree.read_only(&spec.readonly_paths)?;
    if spec.root_readonly {
        let root = &ns.root().mount;
        root.set_flags(root.flags() | MountFlags::RDONLY);
    }
    let devpts = tree.devpts.into_inner();
    let devpts = devpts.unwrap_or_else(|| DevPts::first(kernel));
    Ok(Tree { ns, devpts })
}

/// What was built.
pub struct Tree {
    /// All mounts.
    pub ns: Arc<MountNamespace>,
    /// Where terminals of the container are made.
    pub devpts: Arc<DevPts>,
}

struct Builder<'a> {
    kernel: &'a Arc<Kernel>,
    gofer: &'a Arc<Session>,
    pids: &'a Arc<PidNamespace>,
    uts: &'a Arc<UtsNamespace>,
    cgroup: &'a Arc<Cgroup>,
    devpts: OnceCell<Arc<DevPts>>,
    /// What becomes read-only when all that lies in it is made.
    sealed: RefCell<Vec<Arc<Mount>>>,
    ns: &'a Arc<MountNamespace>,
    cx: WalkCx<'static>,
}

impl Builder<'_> {
    fn find(&self, path: &[u8]) -> Result<Path> {
        lookup(&self.cx, &self.cx.root, path, WalkFlags::FOLLOW)
    }

    /// The mount point, made if it is missing: a directory, or an empty file for a file.
    fn point(&self, path: &[u8], kind: FileType) -> Result<Path> {
        match self.find(path) {
            Err(Errno::ENOENT) => {}
            found => return found,
        }
        if kind == FileType::Directory {
            return change::mkdir_all(&self.cx, &self.cx.root, path, 0o755);
        }
        if let Some(cut) = path.iter().rposition(|&b| b == b'/').filter(|&i| i > 0) {
            change::mkdir_all(
                &self.cx,
                &self.cx.root,
                path.get(..cut).unwrap_or(b"/"),
                0o755,
            )?;
        }
        change::mknod(&self.cx, &self.cx.root, path, FileType::Regular, 0o755, 0)?;
        self.find(path)
    }

    fn file_system(&self, source: &MountSource) -> Result<(Arc<dyn FileSystem>, &'static str)> {
        let k = self.kernel;
        Ok(match source {
            MountSource::Gofer { index, exclusive } => (
                GoferFs::new(self.gofer, *index, *exclusive, k.fs_types.new_dev())?,
                "gofer",
            ),
            MountSource::Tmpfs {
                size,
                inodes,
                mode,
                uid,
                gid,
            } => {
                let owner = Owner {
                    uid: *uid,
                    gid: *gid,
                };
                let options = TmpOptions {
                    size: *size,
                    inodes: *inodes,
                    mode: *mode,
                    owner,
                    ..TmpOptions::default()
                };
                (tmpfs(k, options), "tmpfs")
            }
            MountSource::Proc => (
                proc::new(k, self.pids, self.uts, k.fs_types.new_dev()),
                "proc",
            ),
            MountSource::Sys => (sys::new(k, k.fs_types.new_dev()), "sysfs"),
            MountSource::Devpts {
                ptmxmode,
                mode,
                gid,
            } => {
                let options = PtsOptions {
                    ptmxmode: *ptmxmode,
                    mode: *mode,
                    uid: None,
                    gid: *gid,
                };
                let devpts = DevPts::new(k, options);
                self.devpts.get_or_init(|| devpts.clone());
                (devpts, "devpts")
            }
            MountSource::Mqueue => (crate::ipc::mqueue_fs::new(k, k.ipc.clone()), "mqueue"),
            MountSource::Cgroup => (
                cgroup::unified(k, self.cgroup, k.fs_types.new_dev()),
                "cgroup",
            ),
            MountSource::CgroupV1 => (controllers_home(k), "tmpfs"),
        })
    }

    fn mount(&self, at: &[u8], source: &MountSource, flags: SpecFlags) -> Result<(), BootError> {
        let failed = |errno| BootError::Mount {
            what: format!("{source:?}").to_lowercase(),
            destination: text(at),
            errno,
        };
        let (fs, name) = self.file_system(source).map_err(failed)?;
        self.mount_fs(at, fs, name, (source, flags))?;
        if *source != MountSource::CgroupV1 {
            return Ok(());
        }
        for name in cgroup::CONTROLLERS {
            let dev = self.kernel.fs_types.new_dev();
            let fs = cgroup::of_controller(self.kernel, self.cgroup, dev, name);
            let at = [at, b"/", name.as_bytes()].concat();
            self.mount_fs(&at, fs, "cgroup", (&MountSource::Cgroup, flags))?;
        }
        Ok(())
    }

    fn mount_fs(
        &self,
        at: &[u8],
        fs: Arc<dyn FileSystem>,
        name: &str,
        (source, flags): (&MountSource, SpecFlags),
    ) -> Result<(), BootError> {
        let failed = |errno| BootError::Mount {
            what: format!("{source:?}").to_lowercase(),
            destination: text(at),
            errno,
        };
        let kind = fs.root().map_err(failed)?.kind();
        if matches!(source, MountSource::Proc | MountSource::Sys) {
            let what = format!("filesystem {name:?} must be mounted on ordinary directory");
            self.no_link(at).map_err(other(what))?;
        }
        let point = self.point(at, kind).map_err(failed)?;
        let mut flags = flags.to_mount();
        let sealed = name == "tmpfs" && flags.contains(MountFlags::RDONLY);
        if sealed {
            flags.remove(MountFlags::RDONLY);
        }
        let mount = self
            .ns
            .mount(&point, fs, name.as_bytes(), flags)
            .map_err(failed)?;
        // A view of the host's files is read only as a mount, the others as they are made.
        if !matches!(
            source,
            MountSource::Gofer { .. } | MountSource::Tmpfs { .. } | MountSource::CgroupV1
        ) {
            let mut of_super = SuperFlags::empty();
            of_super.set(SuperFlags::RDONLY, flags.contains(MountFlags::RDONLY));
            mount
                .sb
                .change_flags(of_super, SuperFlags::RDONLY)
                .map_err(failed)?;
        }
        if sealed {
            self.sealed.borrow_mut().push(mount);
        }
        Ok(())
    }

    /// `ENOTDIR` where a file system that guards the kernel would lie behind a symbolic link.
    fn no_link(&self, at: &[u8]) -> Result<()> {
        let here = lookup(&self.cx, &self.cx.root, at, WalkFlags::empty());
        match here.and_then(|path| path.inode()) {
            Ok(inode) if inode.kind() == FileType::Symlink => Err(Errno::ENOTDIR),
            _ => Ok(()),
        }
    }

    /// Default devices and links, where `/dev` is a file system of the container's own, and
    /// the devices asked for.
    fn devices(&self, wanted: &[DeviceSpec]) -> Result<(), BootError> {
        let own_dev = self
            .find(b"/dev")
            .is_ok_and(|p| p.mount.fs.name() == "tmpfs");
        if own_dev {
            for (name, major, minor, perm) in dev::DEFAULT {
                self.device(
                    format!("/dev/{name}").as_bytes(),
                    FileType::CharDevice,
                    dev::makedev(major, minor),
                    perm,
                )
                .map_err(other(format!("creating device /dev/{name}")))?;
            }
            for (name, target) in DEV_LINKS {
                let path = format!("/dev/{name}");
                match change::symlink(&self.cx, target.as_bytes(), &self.cx.root, path.as_bytes()) {
                    Ok(_) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(other(format!("creating link {path}"))(errno)),
                }
            }
        }
        for d in wanted {
            let kind = if d.block {
                FileType::BlockDevice
            } else {
                FileType::CharDevice
            };
            let rdev = dev::makedev(d.major, d.minor);
            let made = self
                .device(&d.path, kind, rdev, d.mode)
                .and_then(|path| setattr::chown(&self.cx, &path, Some(d.uid), Some(d.gid)));
            made.map_err(other(format!("creating device {}", text(&d.path))))?;
        }
        Ok(())
    }

    fn device(&self, path: &[u8], kind: FileType, rdev: u64, perm: u32) -> Result<Path> {
        if let Some(cut) = path.iter().rposition(|&b| b == b'/').filter(|&i| i > 0) {
            change::mkdir_all(
                &self.cx,
                &self.cx.root,
                path.get(..cut).unwrap_or(b"/"),
                0o755,
            )?;
        }
        match change::mknod(&self.cx, &self.cx.root, path, kind, perm, rdev) {
            Ok(_) | Err(Errno::EEXIST) => self.find(path),
            Err(Errno::EPERM) => self.bound_device(path, kind, rdev, perm),
            Err(e) => Err(e),
        }
    }

    /// A node in memory, bound over an empty file: where the host makes none for us.
    fn bound_device(&self, path: &[u8], kind: FileType, rdev: u64, perm: u32) -> Result<Path> {
        let nodes = tmpfs(self.kernel, TmpOptions::default());
        let nodes = MountNamespace::new(nodes, MountFlags::empty())?;
        let cx = WalkCx::kernel(nodes.root());
        let node = change::mknod(&cx, &cx.root, b"node", kind, perm, rdev)?;
        let point = self.point(path, FileType::Regular)?;
        self.ns.mount_made(&point, &node)?;
        self.find(path)
    }

    /// Masked paths: an empty read-only directory over a directory, `/dev/null` over a file.
    fn mask(&self, paths: &[Vec<u8>]) -> Result<(), BootError> {
        for path in paths {
            let place = match self.find(path) {
                Ok(place) => place,
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                Err(errno) => return Err(other(format!("masking {}", text(path)))(errno)),
            };
            let directory = place.inode().is_ok_and(|i| i.kind() == FileType::Directory);
            let masked = if directory {
                let options = TmpOptions {
                    mode: 0o755,
                    ..TmpOptions::default()
                };
                let fs = tmpfs(self.kernel, options);
                self.ns
                    .mount(&place, fs, b"tmpfs", MountFlags::RDONLY)
                    .map(drop)
            } else {
                self.find(b"/dev/null")
                    .and_then(|null| self.ns.bind(&place, &null, false))
                    .map(drop)
            };
            masked.map_err(other(format!("masking {}", text(path))))?;
        }
        Ok(())
    }

    fn read_only(&self, paths: &[Vec<u8>]) -> Result<(), BootError> {
        for path in paths {
            let place = match self.find(path) {
                Ok(place) => place,
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                Err(errno) => return Err(other(format!("making {} read-only", text(path)))(errno)),
            };
            let bound = self.ns.bind(&place, &place, true);
            let mount = bound.map_err(other(format!("making {} read-only", text(path))))?;
            mount.set_flags(mount.flags() | MountFlags::RDONLY);
        }
        Ok(())
    }
}

/// A private layer in memory over `lower`.
fn in_memory(k: &Arc<Kernel>, lower: &Arc<dyn FileSystem>) -> Result<Arc<dyn FileSystem>> {
    let upper = tmpfs(
        k,
        TmpOptions {
            mode: 0o755,
            ..TmpOptions::default()
        },
    );
    Ok(OverlayFs::in_memory(k.fs_types.new_dev(), lower, upper)?)
}

/// What the controllers of version 1 are mounted in.
fn controllers_home(k: &Arc<Kernel>) -> Arc<dyn FileSystem> {
    let options = TmpOptions {
        mode: 0o755,
        ..TmpOptions::default()
    };
    tmpfs(k, options)
}

fn tmpfs(k: &Arc<Kernel>, options: TmpOptions) -> Arc<dyn FileSystem> {
    TmpFs::new(
        k.frames.clone(),
        k.clock.clone(),
        k.fs_types.new_dev(),
        options,
    )
}
