//! File system types: what `mount(2)` can be asked for by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;

use super::inode::FileSystem;
use super::mount::{MountFlags, MountLocks, SuperBlock, SuperFlags};
use super::namespace::MountNamespace;
use super::walk::WalkCx;
use crate::Result;
use crate::creds::Cap;
use crate::fs::{dev, overlay, proc, sys, tmpfs};
use crate::kernel::Kernel;
use crate::sync::RwLock;
use crate::task::Task;
use crate::userns::UserNs;

/// What a new instance is made from.
pub struct MountRequest<'a> {
    /// The kernel.
    pub kernel: &'a Arc<Kernel>,
    /// Who mounts, for types whose options are paths.
    pub cx: &'a WalkCx<'a>,
    /// The source given.
    pub source: &'a [u8],
    /// The options given, separated by commas.
    pub options: &'a [u8],
}

impl<'a> MountRequest<'a> {
    /// The options one by one: name and value.
    pub fn options(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let parts = self.options.split(|&b| b == b',').filter(|p| !p.is_empty());
        parts.map(|p| match p.iter().position(|&b| b == b'=') {
            Some(i) => (p.get(..i).unwrap_or(p), p.get(i + 1..)),
            None => (p, None),
        })
    }
}

/// How the value of an option has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// There is none.
    Flag,
    /// A number to this base.
    Number(u32),
    /// A count with a suffix for its size, or a share of the memory.
    Size,
    /// Any text; what it means is found out when the instance is made.
    Text,
}

/// The options a type knows.
pub type Options = &'static [(&'static str, Value)];

/// Whether an option given to `fsconfig(2)` can be meant; the error is the message for the
/// log of the context.
pub fn check_option(known: Options, name: &str, value: Option<&[u8]>) -> Result<(), String> {
    let Some((_, kind)) = known.iter().find(|(n, _)| *n == name) else {
        return Err(format!("Unknown parameter '{name}'"));
    };
    let text = value.map(|v| std::str::from_utf8(v).unwrap_or_default());
    let fits = match (kind, text) {
        (Value::Flag, None) => true,
        (Value::Number(base), Some(v)) => u32::from_str_radix(v, *base).is_ok(),
        (Value::Size, Some(v)) => {
            let digits = v.strip_suffix(|c| "kKmMgGtTpPeE%".contains(c)).unwrap_or(v);
            digits.parse::<u64>().is_ok()
        }
        (Value::Text, Some(v)) => !v.is_empty(),
        _ => false,
    };
    if fits {
        Ok(())
    } else if *kind == Value::Flag {
        Err(format!("Unexpected value for '{name}'"))
    } else {
        Err(format!("Bad value for '{name}'"))
    }
}

/// The user namespace in which a task needs privilege to mount a type.
pub type Owner = fn(&Task) -> UserNs;

/// Its own: a type that shows nothing but what is put into it.
pub fn mounter(t: &Task) -> UserNs {
    t.creds().user_ns.clone()
}

/// The first one: a type that shows something of the kernel that belongs there, or changes
/// other files by the kernel's own right (`overlay`).
pub fn first(_: &Task) -> UserNs {
    UserNs::INITIAL
}

/// Makes an instance.
pub type MakeFs = dyn Fn(&MountRequest<'_>) -> Result<Arc<dyn FileSystem>> + Send + Sync;

/// A file system type.
#[derive(Clone)]
pub struct FsType {
    /// Its name.
    pub name: &'static str,
    /// Its options.
    pub options: Options,
    /// In which user namespace mounting it takes privilege.
    pub owner: Owner,
    /// Makes an instance.
    pub make: Arc<MakeFs>,
}

impl FsType {
    /// A type that instances are made of by the kernel only.
    pub fn unmade(name: &'static str) -> FsType {
        FsType {
            name,
            options: &[],
            owner: first,
            make: Arc::new(|_| Err(Errno::ENODEV)),
        }
    }
}

impl FsType {
    /// A new instance for `t`; `EPERM` for a type that takes privilege the caller lacks.
    pub fn instance(
        &self,
        t: &Arc<Task>,
        (source, options): (&[u8], &[u8]),
        flags: SuperFlags,
    ) -> Result<Arc<SuperBlock>> {
        let cx = WalkCx::of(t);
        let owner = (self.owner)(t);
        if !cx.creds.ns_capable(&owner, Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        let fs = (self.make)(&MountRequest {
            kernel: &t.kernel,
            cx: &cx,
            source,
            options,
        })?;
        SuperBlock::of(fs, owner, flags)
    }

    /// What a mount of a type that shows the kernel has to keep locked in `ns`; `EPERM` where
    /// it would show more than there is to see.
    pub fn too_revealing(
        &self,
        ns: &MountNamespace,
        sb: &SuperBlock,
        flags: MountFlags,
    ) -> Result<MountLocks> {
        if !matches!(self.name, "proc" | "sysfs") {
            return Ok(MountLocks::empty());
        }
        let ro = flags.contains(MountFlags::RDONLY) || sb.flags().contains(SuperFlags::RDONLY);
        ns.visible(self.name, flags, ro)
    }
}

impl SuperBlock {
    /// Changes options and, of the flags, those in the mask (`MS_REMOUNT`); `EPERM` without
    /// privilege where it was made, `EBUSY` for read only while files are open for writing.
    pub fn reconfigure(
        &self,
        t: &Arc<Task>,
        options: &[u8],
        (flags, mask): (SuperFlags, SuperFlags),
    ) -> Result<()> {
        let cx = WalkCx::of(t);
        if !cx.creds.ns_capable(&self.user_ns, Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        self.fs.reconfigure(&MountRequest {
            kernel: &t.kernel,
            cx: &cx,
            source: b"",
            options,
        })?;
        self.change_flags(flags, mask)
    }
}

/// The types the kernel has. Lock rank: leaf.
pub struct FsTypes {
    types: RwLock<BTreeMap<&'static str, FsType>>,
    next_dev: AtomicU64,
}

impl fmt::Debug for FsTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.types.read().keys()).finish()
    }
}

impl Default for FsTypes {
    fn default() -> FsTypes {
        let types = FsTypes {
            types: RwLock::default(),
            // Low ones are known for pipes, sockets and anonymous inodes.
            next_dev: AtomicU64::new(32),
        };
        types.register("tmpfs", tmpfs::OPTIONS, mounter, Arc::new(tmpfs::mount));
        types.register("ramfs", &[], mounter, Arc::new(tmpfs::mount_ramfs));
        types.register("overlay", overlay::OPTIONS, first, Arc::new(overlay::mount));
        types.register(
            "proc",
            &[],
            |t| t.pid_ns().owner.clone(),
            Arc::new(proc::mount),
        );
        types.register("sysfs", &[], first, Arc::new(sys::mount));
        types.register(
            "cgroup2",
            sys::cgroup::OPTIONS,
            |t| t.namespaces().cgroup.owner.clone(),
            Arc::new(sys::cgroup::mount),
        );
        types
    }
}

impl FsTypes {
    /// Adds a type.
    pub fn register(&self, name: &'static str, options: Options, owner: Owner, make: Arc<MakeFs>) {
        let kind = FsType {
            name,
            options,
            owner,
            make,
        };
        self.types.write().insert(name, kind);
    }

    /// The type of that name; `ENODEV` for an unknown one.
    pub fn find(&self, name: &[u8]) -> Result<FsType> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENODEV)?;
        self.types.read().get(name).cloned().ok_or(Errno::ENODEV)
    }

    /// Names of the types, for `/proc/filesystems`.
    pub fn names(&self) -> Vec<&'static str> {
        self.types.read().keys().copied().collect()
    }

    /// A device number for a file system instance (`st_dev`).
    pub fn new_dev(&self) -> u64 {
        let n = self.next_dev.fetch_add(1, Ordering::Relaxed);
        dev::makedev(0, u32::try_from(n & 0xf_ffff).unwrap_or(0))
    }
}
