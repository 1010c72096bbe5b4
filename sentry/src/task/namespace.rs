//! Namespaces as files (`/proc/PID/ns`, `setns(2)`, `ioctl_ns(2)`).
//!
//! [`NsFile`] keeps a namespace alive.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;
use abi::raw::general as raw;

use super::nsproxy::CgroupNs;
use super::pid::PidNamespace;
use super::{Task, UtsNamespace};
use crate::creds::Creds;
use crate::fs::file::{File, FileOps, IoCx, OpenFlags};
use crate::fs::vfs::{Attr, MountNamespace, Path, anon};
use crate::ipc::IpcNs;
use crate::net::NetNs;
use crate::task::limits::Resource;
use crate::time::ns::TimeNs;
use crate::userns::UserNs;
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
    /// Ids and capabilities.
    User(UserNs),
    /// Mounts.
    Mnt(Arc<MountNamespace>),
    /// System V IPC and message queues.
    Ipc(Arc<IpcNs>),
    /// Networks.
    Net(Arc<NetNs>),
    /// Control groups.
    Cgroup(Arc<CgroupNs>),
    /// Process numbers.
    Pid(Arc<PidNamespace>),
    /// Clocks.
    Time(Arc<TimeNs>),
}

impl Namespace {
    /// The one of a kind that `t` is in; `ESRCH` for mounts of a task that is in none.
    pub fn of(t: &Task, kind: NsKind) -> Result<Namespace> {
        Ok(match kind {
            NsKind::User => Namespace::User(t.creds().user_ns.clone()),
            NsKind::Uts => Namespace::Uts(t.uts()),
            NsKind::Ipc => Namespace::Ipc(t.ipc()),
            NsKind::Net => Namespace::Net(t.net()),
            NsKind::Cgroup => Namespace::Cgroup(t.namespaces().cgroup),
            NsKind::Pid => Namespace::Pid(t.pid_ns().clone()),
            NsKind::Time => Namespace::Time(t.namespaces().time),
            NsKind::Mnt => Namespace::Mnt(t.fs().mounts().ok_or(Errno::ESRCH)?),
        })
    }

    /// The pid namespace that children of `t` are in; `ENOENT` for one without an init yet.
    pub fn of_children(t: &Task) -> Result<Namespace> {
        let ns = t.namespaces().pid_for_children;
        if !ns.has_begun() {
            return Err(Errno::ENOENT);
        }
        Ok(Namespace::Pid(ns))
    }

    /// Its kind.
    pub fn kind(&self) -> NsKind {
        match self {
            Namespace::User(_) => NsKind::User,
            Namespace::Uts(_) => NsKind::Uts,
            Namespace::Mnt(_) => NsKind::Mnt,
            Namespace::Ipc(_) => NsKind::Ipc,
            Namespace::Net(_) => NsKind::Net,
            Namespace::Cgroup(_) => NsKind::Cgroup,
            Namespace::Pid(_) => NsKind::Pid,
            Namespace::Time(_) => NsKind::Time,
        }
    }

    /// The user namespace it belongs to, for a user namespace its parent; `None` above the
    /// first.
    pub fn owner(&self) -> Option<UserNs> {
        match self {
            Namespace::User(ns) => ns.parent(),
            Namespace::Uts(uts) => Some(uts.owner.clone()),
            Namespace::Ipc(ipc) => Some(ipc.owner.clone()),
            Namespace::Net(net) => Some(net.owner.clone()),
            Namespace::Cgroup(cgroup) => Some(cgroup.owner.clone()),
            Namespace::Mnt(mounts) => Some(mounts.owner().clone()),
            Namespace::Pid(pids) => Some(pids.owner.clone()),
            Namespace::Time(time) => Some(time.owner.clone()),
        }
    }

    /// Its number, unique in the kernel.
    pub fn number(&self) -> u64 {
        match self {
            Namespace::User(user) => user.ino().unwrap_or(NsKind::User.first()),
            Namespace::Uts(uts) => uts.ino,
            Namespace::Ipc(ipc) => ipc.ino.unwrap_or(NsKind::Ipc.first()),
            Namespace::Net(net) => net.ino.unwrap_or(NsKind::Net.first()),
            Namespace::Cgroup(cgroup) => cgroup.ino.unwrap_or(NsKind::Cgroup.first()),
            Namespace::Pid(pids) => pids.ino,
            Namespace::Time(time) => time.ino.unwrap_or(NsKind::Time.first()),
            Namespace::Mnt(mounts) => mounts.number().unwrap_or(NsKind::Mnt.first()),
        }
    }
}

/// Credentials in a new user namespace (`CLONE_NEWUSER`): `EPERM` in a changed root and for
/// ids that are not mapped, `ENOSPC` when nested too deep.
pub fn new_user(t: &Task) -> Result<Creds> {
    let fs = t.fs();
    if fs.mounts().is_some_and(|m| m.root() != fs.root()) {
        return Err(Errno::EPERM);
    }
    let creds = t.creds();
    let ns = UserNs::child(&creds, t.kernel.next_ns_ino())?;
    Ok(creds.entering(ns))
}

/// A namespace as an open file.
pub struct NsFile(Namespace);

impl NsFile {
    /// A description of a namespace.
    pub fn file(ns: Namespace) -> Arc<File> {
        File::anonymous(Arc::new(NsFile(ns)), OpenFlags::empty())
    }

    /// The namespace whose file stands at a place.
    pub fn namespace_at(path: &Path) -> Option<Namespace> {
        NsFile::namespace_of(&*anon::file_of(path)?)
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
const NS_GET_PID_FROM_PIDNS: u32 = 0x8004_b706;
const NS_GET_TGID_FROM_PIDNS: u32 = 0x8004_b707;
const NS_GET_PID_IN_PIDNS: u32 = 0x8004_b708;
const NS_GET_TGID_IN_PIDNS: u32 = 0x8004_b709;

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
            NS_GET_USERNS => {
                let owner = self.0.owner().ok_or(Errno::EPERM)?;
                open_user(t, owner)
            }
            NS_GET_PARENT => match &self.0 {
                Namespace::User(ns) => open_user(t, ns.parent().ok_or(Errno::EPERM)?),
                Namespace::Pid(ns) => {
                    // One that the caller sees.
                    let parent = ns.parent.as_ref().filter(|p| p.within(t.pid_ns()));
                    open(t, Namespace::Pid(parent.ok_or(Errno::EPERM)?.clone()))
                }
                _ => Err(Errno::EINVAL.into()),
            },
            NS_GET_OWNER_UID => {
                let Namespace::User(ns) = &self.0 else {
                    return Err(Errno::EINVAL.into());
                };
                let uid = t.creds().user_ns.shown_uid(ns.owner());
                t.mm()
                    .copy_out(arg, &uid.to_ne_bytes())
                    .map_err(Errno::from)?;
                Ok(0)
            }
            NS_GET_PID_FROM_PIDNS..=NS_GET_TGID_IN_PIDNS => {
                let Namespace::Pid(target) = &self.0 else {
                    return Err(Errno::EINVAL.into());
                };
                Ok(translated(t.pid_ns(), target, request, arg)?)
            }
            _ => Err(Errno::ENOTTY.into()),
        }
    }
}

/// `NS_GET_PID_FROM_PIDNS` and its neighbours: the number in one of two namespaces of whom
/// `arg` names in the other; `ESRCH` when there is nobody, or he has none there.
fn translated(
    own: &Arc<PidNamespace>,
    target: &Arc<PidNamespace>,
    request: u32,
    arg: u64,
) -> Result<i64> {
    let inward = matches!(request, NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS);
    let (from, to) = if inward { (own, target) } else { (target, own) };
    // A number is an `int`: the upper half of the argument is not looked at.
    let [b0, b1, b2, b3, ..] = arg.to_le_bytes();
    let nr = i32::from_le_bytes([b0, b1, b2, b3]);
    let of_process = matches!(request, NS_GET_TGID_FROM_PIDNS | NS_GET_TGID_IN_PIDNS);
    let there = match (from.task(nr), from.group(nr)) {
        (Some(task), _) if of_process => task.pid_in(to),
        (Some(task), _) => task.tid_in(to),
        (None, Some(zombie)) => zombie.pid_in(to),
        (None, None) => 0,
    };
    match there {
        0 => Err(Errno::ESRCH),
        nr => Ok(i64::from(nr)),
    }
}

/// Opens a user namespace for a task that is in it or above it; `EPERM`.
fn open_user(t: &Task, ns: UserNs) -> SysResult<i64> {
    if !ns.within(&t.creds().user_ns) {
        return Err(Errno::EPERM.into());
    }
    open(t, Namespace::User(ns))
}

fn open(t: &Task, ns: Namespace) -> SysResult<i64> {
    let file = NsFile::file(ns);
    let limit = t.limit(Resource::Nofile);
    Ok(i64::from(t.files().install(file, 0, true, limit)?))
}
