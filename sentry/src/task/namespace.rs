//! Namespaces as files (`/proc/PID/ns`, `setns(2)`, `ioctl_ns(2)`).
//!
//! [`NsFile`] keeps a namespace alive. Mount and uts namespaces can be many; of the other
//! kinds the kernel has one each.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::raw::general as raw;

use super::{Task, UtsNamespace};
use crate::fs::file::{File, FileOps, IoCx, OpenFlags};
use crate::fs::vfs::{Attr, MountNamespace};
use crate::task::limits::Resource;
use crate::{Result, SysResult};

/// A kind of namespace (`namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in namespaces(7)")]
pub enum NsKind {
    Cgroup,
    Ipc,
    Mnt,
    Net,
    Pid,
    Time,
    User,
    Uts,
}

impl NsKind {
    /// Every kind.
    pub const ALL: [NsKind; 8] = [
        NsKind::Cgroup,
        NsKind::Ipc,
        NsKind::Mnt,
        NsKind::Net,
        NsKind::Pid,
        NsKind::Time,
        NsKind::User,
        NsKind::Uts,
    ];

    /// Its name in links.
    pub fn name(self) -> &'static str {
        match self {
            NsKind::Cgroup => "cgroup",
            NsKind::Ipc => "ipc",
            NsKind::Mnt => "mnt",
            NsKind::Net => "net",
            NsKind::Pid => "pid",
            NsKind::Time => "time",
            NsKind::User => "user",
            NsKind::Uts => "uts",
        }
    }

    /// Its `CLONE_NEW*` flag.
    pub fn flag(self) -> u32 {
        match self {
            NsKind::Cgroup => raw::CLONE_NEWCGROUP,
            NsKind::Ipc => raw::CLONE_NEWIPC,
            NsKind::Mnt => raw::CLONE_NEWNS,
            NsKind::Net => raw::CLONE_NEWNET,
            NsKind::Pid => raw::CLONE_NEWPID,
            NsKind::Time => raw::CLONE_NEWTIME,
            NsKind::User => raw::CLONE_NEWUSER,
            NsKind::Uts => raw::CLONE_NEWUTS,
        }
    }

    /// Number of the first namespace of the kind, as in Linux.
    fn first(self) -> u64 {
        match self {
            NsKind::Time => 4_026_531_834,
            NsKind::Cgroup => 4_026_531_835,
            NsKind::Pid => 4_026_531_836,
            NsKind::User => 4_026_531_837,
            NsKind::Uts => 4_026_531_838,
            NsKind::Ipc => 4_026_531_839,
            NsKind::Net => 4_026_531_840,
            NsKind::Mnt => 4_026_531_841,
        }
    }
}

/// A namespace.
#[derive(Clone, Debug)]
pub enum Namespace {
    /// Host and domain name.
    Uts(Arc<UtsNamespace>),
    /// Mounts.
    Mnt(Arc<MountNamespace>),
    /// The one of its kind.
    Only(NsKind),
}

impl Namespace {
    /// The one of a kind that `t` is in; `ESRCH` for mounts of a task that is in none.
    pub fn of(t: &Task, kind: NsKind) -> Result<Namespace> {
        Ok(match kind {
            NsKind::Uts => Namespace::Uts(t.uts()),
            NsKind::Mnt => Namespace::Mnt(t.fs().mounts().ok_or(Errno::ESRCH)?),
            other => Namespace::Only(other),
        })
    }

    /// Its kind.
    pub fn kind(&self) -> NsKind {
        match self {
            Namespace::Uts(_) => NsKind::Uts,
            Namespace::Mnt(_) => NsKind::Mnt,
            Namespace::Only(kind) => *kind,
        }
    }

    /// Its number, unique in the kernel.
    pub fn number(&self) -> u64 {
        match self {
            Namespace::Uts(uts) => uts.ino,
            Namespace::Mnt(mounts) => mounts.number().unwrap_or(NsKind::Mnt.first()),
            Namespace::Only(kind) => kind.first(),
        }
    }
}

/// A namespace as an open file.
pub struct NsFile(Namespace);

impl NsFile {
    /// A description of a namespace.
    pub fn file(ns: Namespace) -> Arc<File> {
        File::anonymous(Arc::new(NsFile(ns)), OpenFlags::empty())
    }

    /// The namespace a description stands for; `None` for another kind of file.
    pub fn namespace_of(file: &File) -> Option<Namespace> {
        let ns = file.downcast::<NsFile>()?;
        Some(ns.0.clone())
    }
}

const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;

impl FileOps for NsFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self) -> Result<Attr> {
        Ok(Attr {
            dev: 4,
            ino: self.0.number(),
            perm: 0o444,
            ..Attr::anonymous()
        })
    }
    fn reopen(&self, flags: OpenFlags) -> Result<Arc<dyn FileOps>> {
        if flags.writable() {
            return Err(Errno::EPERM);
        }
        Ok(Arc::new(NsFile(self.0.clone())))
    }
    fn description(&self) -> String {
        format!("{}:[{}]", self.0.kind().name(), self.0.number())
    }
    fn ioctl(&self, cx: &IoCx<'_>, request: u32, arg: u64) -> SysResult<i64> {
        let t = cx.task.ok_or(Errno::ENOTTY)?;
        let kind = self.0.kind();
        match request {
            NS_GET_NSTYPE => Ok(i64::from(kind.flag())),
            // The owner is the first user namespace, which has no parent itself.
            NS_GET_USERNS if kind != NsKind::User => {
                let file = NsFile::file(Namespace::Only(NsKind::User));
                let fd = t
                    .files()
                    .install(file, 0, true, t.limit(Resource::Nofile))?;
                Ok(i64::from(fd))
            }
            NS_GET_USERNS => Err(Errno::EPERM.into()),
            NS_GET_PARENT if matches!(kind, NsKind::User | NsKind::Pid) => Err(Errno::EPERM.into()),
            NS_GET_OWNER_UID if kind == NsKind::User => {
                t.mm()
                    .copy_out(arg, &0u32.to_ne_bytes())
                    .map_err(Errno::from)?;
                Ok(0)
            }
            NS_GET_PARENT | NS_GET_OWNER_UID => Err(Errno::EINVAL.into()),
            _ => Err(Errno::ENOTTY.into()),
        }
    }
}
