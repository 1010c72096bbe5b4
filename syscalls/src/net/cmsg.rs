//! Ancillary data in and out of guest memory (`cmsg(3)`), and `struct msghdr`.

use std::sync::Arc;

use abi::Errno;
use sentry::creds::Cap;
use sentry::fs::File;
use sentry::net::msg::CmsgOut;
use sentry::net::unix::SCM_MAX_FD;
use sentry::net::{Control, MsgFlags, PeerCreds, Received, Ucred};
use sentry::task::Pid;
use sentry::task::limits::Resource;
use sentry::{Result, Task};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const SO_PRIORITY: i32 = 12;
const SO_MARK: i32 = 36;
const SO_TIMESTAMPING: i32 = 37;
const SCM_TXTIME: i32 = 61;
/// Bytes of `struct cmsghdr`.
const HEADER: usize = 16;
/// Longest control buffer of a send (`/proc/sys/net/core/optmem_max`).
const OPTMEM_MAX: u64 = 128 * 1024;

/// `struct msghdr`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MsgHdr {
    pub(super) name: u64,
    pub(super) namelen: u32,
    pad0: u32,
    pub(super) iov: u64,
    pub(super) iovlen: u64,
    pub(super) control: u64,
    pub(super) controllen: u64,
    pub(super) flags: u32,
    pad1: u32,
}

/// Offsets of the fields a receive writes back.
pub(super) const OFF_NAMELEN: u64 = 8;
pub(super) const OFF_CONTROLLEN: u64 = 40;
pub(super) const OFF_FLAGS: u64 = 48;

fn align(n: usize) -> usize {
    n.saturating_add(7) & !7
}

/// Copies in and decodes the control buffer of a send. `EINVAL` for a bad header, `EBADF`
/// for a bad descriptor, `EPERM` for credentials that are not the sender's.
pub(super) fn read(t: &Arc<Task>, hdr: &MsgHdr) -> Result<Control> {
    let mut control = Control::default();
    if hdr.controllen == 0 || hdr.control == 0 {
        return Ok(control);
    }
    if hdr.controllen > OPTMEM_MAX {
        return Err(Errno::ENOBUFS);
    }
    let len = usize::try_from(hdr.controllen).map_err(|_| Errno::ENOBUFS)?;
    let mut raw = vec![0; len];
    t.mm().copy_in(hdr.control, &mut raw)?;
    let mut at = 0;
    while let Some(rest) = raw.get(at..).filter(|r| r.len() >= HEADER) {
        let len = word(rest, 0).and_then(|n| usize::try_from(n).ok());
        let len = len.filter(|n| (HEADER..=rest.len()).contains(n));
        let len = len.ok_or(Errno::EINVAL)?;
        let data = rest.get(HEADER..len).unwrap_or_default();
        one(t, &mut control, half(rest, 8), half(rest, 12), data)?;
        at = at.saturating_add(align(len));
    }
    Ok(control)
}

fn word(raw: &[u8], at: usize) -> Option<u64> {
    let bytes = raw.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_ne_bytes(bytes))
}

fn half(raw: &[u8], at: usize) -> i32 {
    let bytes = raw.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map_or(0, i32::from_ne_bytes)
}

fn one(t: &Arc<Task>, control: &mut Control, level: i32, kind: i32, data: &[u8]) -> Result<()> {
    match (level, kind) {
        (SOL_SOCKET, SCM_RIGHTS) => {
            if control.files.len() + data.len() / 4 > SCM_MAX_FD {
                return Err(Errno::EINVAL);
            }
            let files = t.files();
            for fd in data.chunks_exact(4) {
                control.files.push(files.get(half(fd, 0))?);
            }
            Ok(())
        }
        (SOL_SOCKET, SCM_CREDENTIALS) => {
            let (mut creds, _) = Ucred::read_from_prefix(data).map_err(|_| Errno::EINVAL)?;
            let ns = &t.creds().user_ns;
            creds.uid = ns.uid_to_kernel(creds.uid).ok_or(Errno::EINVAL)?;
            creds.gid = ns.gid_to_kernel(creds.gid).ok_or(Errno::EINVAL)?;
            check_creds(t, creds)?;
            control.creds = Some(PeerCreds {
                id: Some(claimed(t, creds.pid)?),
                uid: creds.uid,
                gid: creds.gid,
            });
            Ok(())
        }
        (SOL_SOCKET, SO_MARK) if data.len() == 4 && !may_mark(t) => Err(Errno::EPERM),
        (SOL_SOCKET, SO_MARK | SO_PRIORITY | SO_TIMESTAMPING | SCM_TXTIME) => {
            control.others.push((level, kind, data.to_vec()));
            Ok(())
        }
        (SOL_SOCKET, _) => Err(Errno::EINVAL),
        // Levels of other protocols are theirs to read.
        _ => {
            control.others.push((level, kind, data.to_vec()));
            Ok(())
        }
    }
}

/// Whether a task may mark what it sends (`SO_MARK`).
fn may_mark(t: &Arc<Task>) -> bool {
    let creds = t.creds();
    creds.capable(Cap::NetRaw) || creds.capable(Cap::NetAdmin)
}

/// Whether a task may claim `claim` (`unix(7)`).
fn check_creds(t: &Arc<Task>, claim: Ucred) -> Result<()> {
    let creds = t.creds();
    let own = Ucred::of(t);
    let pid = claim.pid == own.pid || creds.ns_capable(&t.pid_ns().owner, Cap::SysAdmin);
    let uid = [creds.uid, creds.euid, creds.suid].contains(&claim.uid);
    let gid = [creds.gid, creds.egid, creds.sgid].contains(&claim.gid);
    let uid = uid || creds.own_capable(Cap::Setuid);
    let gid = gid || creds.own_capable(Cap::Setgid);
    if pid && uid && gid {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Whom a claimed process number means; `ESRCH`.
fn claimed(t: &Arc<Task>, pid: i32) -> Result<Arc<Pid>> {
    if pid == t.pid() {
        return Ok(t.thread_group().id.clone());
    }
    let process = t.pid_ns().group(pid).map(|g| g.id.clone());
    let found = process.or_else(|| t.pid_ns().task(pid).map(|t| t.id()));
    found.ok_or(Errno::ESRCH)
}

/// Writes ancillary data to `addr`, installing descriptors; bytes used, and `CTRUNC` when
/// there was not room for all. Descriptors without room are closed.
pub(super) fn write(
    t: &Arc<Task>,
    addr: u64,
    room: usize,
    r: &Received,
    files: Vec<Arc<File>>,
    flags: MsgFlags,
) -> Result<(usize, MsgFlags)> {
    let mut used = 0;
    let mut cut = MsgFlags::empty();
    let creds: Option<CmsgOut> = r.creds.as_ref().map(|c| {
        let shown = c.shown_to(t).as_bytes().to_vec();
        (SOL_SOCKET, SCM_CREDENTIALS, shown)
    });
    for (level, kind, data) in creds.iter().chain(&r.cmsgs) {
        let left = room.saturating_sub(used);
        if left < HEADER {
            cut = MsgFlags::CTRUNC;
            break;
        }
        let len = (HEADER + data.len()).min(left);
        if len < HEADER + data.len() {
            cut = MsgFlags::CTRUNC;
        }
        let body = data.get(..len - HEADER).unwrap_or_default();
        put(t, addr, used, *level, *kind, body)?;
        used = (used + align(len)).min(room);
    }
    if files.is_empty() {
        return Ok((used, cut));
    }
    let fits = room.saturating_sub(used + HEADER) / 4;
    let wanted = files.len();
    let fds = install(t, files, fits, flags.contains(MsgFlags::CMSG_CLOEXEC));
    if fds.len() < wanted {
        cut = MsgFlags::CTRUNC;
    }
    if !fds.is_empty() {
        put(t, addr, used, SOL_SOCKET, SCM_RIGHTS, fds.as_bytes())?;
        used = (used + align(HEADER + fds.len() * 4)).min(room);
    }
    Ok((used, cut))
}

fn install(t: &Arc<Task>, files: Vec<Arc<File>>, fits: usize, cloexec: bool) -> Vec<i32> {
    let limit = t.limit(Resource::Nofile);
    let table = t.files();
    let fds = files
        .into_iter()
        .take(fits)
        .map_while(|f| table.install(f, 0, cloexec, limit).ok());
    fds.collect()
}

fn put(t: &Arc<Task>, addr: u64, at: usize, level: i32, kind: i32, data: &[u8]) -> Result<()> {
    let mut raw = Vec::with_capacity(HEADER + data.len());
    raw.extend_from_slice(&((HEADER + data.len()) as u64).to_ne_bytes());
    raw.extend_from_slice(&level.to_ne_bytes());
    raw.extend_from_slice(&kind.to_ne_bytes());
    raw.extend_from_slice(data);
    t.mm().copy_out(addr.wrapping_add(at as u64), &raw)?;
    Ok(())
}
