//! `open(2)`, `openat(2)`, `openat2(2)`, `creat(2)`.

use std::fmt::Write;
use std::sync::Arc;

use abi::Errno;
use sentry::fs::lease;
use sentry::fs::pipe::open_fifo;
use sentry::fs::vfs::open::{OpenHow, Opened, resolve};
use sentry::fs::vfs::{WalkCx, WalkFlags};
use sentry::fs::{File, OpenFlags};
use sentry::task::limits::Resource;
use sentry::{Result, SysResult, Task};

use super::at;
use crate::arg::{Arg, DirFd, UserBuf, UserCStr};

/// `O_*`, printed as strace does.
#[derive(Clone, Copy, Debug)]
pub struct OpenArg(pub u32);

/// Names of the bits, without the access mode; those of two bits first.
const OPEN_NAMES: [(u32, &str); 18] = [
    (0o20_200_000, "O_TMPFILE"),
    (0o4_010_000, "O_SYNC"),
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1_000, "O_TRUNC"),
    (0o2_000, "O_APPEND"),
    (0o4_000, "O_NONBLOCK"),
    (0o10_000, "O_DSYNC"),
    (0o20_000, "O_ASYNC"),
    (0o40_000, "O_DIRECT"),
    (0o100_000, "O_LARGEFILE"),
    (0o200_000, "O_DIRECTORY"),
    (0o400_000, "O_NOFOLLOW"),
    (0o1_000_000, "O_NOATIME"),
    (0o2_000_000, "O_CLOEXEC"),
    (0o10_000_000, "O_PATH"),
    (0o20_000_000, "__O_TMPFILE"),
];

impl Arg for OpenArg {
    fn decode(reg: u64) -> OpenArg {
        OpenArg(u32::decode(reg))
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"];
        let mode = usize::try_from(self.0 & 3).unwrap_or(0);
        let mut names: Vec<&str> = access.get(mode).copied().into_iter().collect();
        let mut rest = self.0 & !3;
        for (bits, name) in OPEN_NAMES {
            if rest & bits == bits {
                names.push(name);
                rest &= !bits;
            }
        }
        crate::strace::flags(names.into_iter(), u64::from(rest), out);
    }
}

/// Permission bits, printed in octal.
#[derive(Clone, Copy, Debug)]
pub struct ModeArg(pub u32);

impl Arg for ModeArg {
    fn decode(reg: u64) -> ModeArg {
        ModeArg(u32::decode(reg))
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        let _ = write!(out, "0{:02o}", self.0 & 0o177_777);
    }
}

/// `open(2)`.
pub fn open(t: &Arc<Task>, path: UserCStr, flags: OpenArg, mode: ModeArg) -> SysResult<i64> {
    openat(t, DirFd::CWD, path, flags, mode)
}

/// `creat(2)`.
pub fn creat(t: &Arc<Task>, path: UserCStr, mode: ModeArg) -> SysResult<i64> {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
    openat(t, DirFd::CWD, path, OpenArg(flags.bits()), mode)
}

/// `openat(2)`: unknown flags are ignored, as ever.
pub fn openat(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    flags: OpenArg,
    mode: ModeArg,
) -> SysResult<i64> {
    let mut flags = OpenFlags::from_bits_truncate(flags.0);
    if flags.contains(OpenFlags::PATH) {
        flags &= PATH_FLAGS;
    }
    let how = OpenHow {
        flags,
        perm: mode.0 & 0o7777,
        walk: WalkFlags::default(),
    };
    do_open(t, dirfd, path, how)
}

/// What `O_PATH` goes with.
const PATH_FLAGS: OpenFlags = OpenFlags::PATH
    .union(OpenFlags::DIRECTORY)
    .union(OpenFlags::NOFOLLOW)
    .union(OpenFlags::CLOEXEC);

/// `openat2(2)`: everything unknown is an error.
pub fn openat2(
    t: &Arc<Task>,
    dirfd: DirFd,
    path: UserCStr,
    how: UserBuf,
    size: usize,
) -> SysResult<i64> {
    let raw: abi::fs::OpenHow = how.read_extensible(t, size, size_of::<abi::fs::OpenHow>())?;
    do_open(t, dirfd, path, strict(&raw)?)
}

/// Checks an `open_how` as Linux does.
fn strict(raw: &abi::fs::OpenHow) -> Result<OpenHow> {
    let bits = u32::try_from(raw.flags).map_err(|_| Errno::EINVAL)?;
    let flags = OpenFlags::from_bits(bits).ok_or(Errno::EINVAL)?;
    let creates = flags.contains(OpenFlags::CREAT) || flags.contains(OpenFlags::TMPFILE_BIT);
    if (raw.mode != 0 && !creates) || raw.mode & !0o7777 != 0 {
        return Err(Errno::EINVAL);
    }
    if flags.contains(OpenFlags::PATH) && !PATH_FLAGS.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let mut walk = WalkFlags::default();
    for (bit, flag) in [
        (1, WalkFlags::NO_XDEV),
        (2, WalkFlags::NO_MAGICLINKS),
        (4, WalkFlags::NO_SYMLINKS),
        (8, WalkFlags::BENEATH),
        (0x10, WalkFlags::IN_ROOT),
    ] {
        walk.set(flag, raw.resolve & bit != 0);
    }
    if raw.resolve & !0x3f != 0 || walk.contains(WalkFlags::BENEATH | WalkFlags::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    // RESOLVE_CACHED: whether a walk stays in the cache is not known before it is made.
    if raw.resolve & 0x20 != 0 {
        return Err(Errno::EAGAIN);
    }
    Ok(OpenHow {
        flags,
        perm: (raw.mode & 0o7777) as u32,
        walk,
    })
}

fn do_open(t: &Arc<Task>, dirfd: DirFd, path: UserCStr, mut how: OpenHow) -> SysResult<i64> {
    let flags = how.flags;
    if flags.contains(OpenFlags::TMPFILE_BIT)
        && (!flags.is_tmpfile() || !flags.writable() || flags.contains(OpenFlags::CREAT))
    {
        return Err(Errno::EINVAL.into());
    }
    if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL.into());
    }
    if !flags.contains(OpenFlags::PATH) {
        how.flags |= OpenFlags::LARGEFILE;
    }
    let name = at::read_path(t, path, 0)?;
    let files = t.files();
    files.check_room(t.limit(Resource::Nofile))?;
    // Under RESOLVE_IN_ROOT even an absolute path starts at the descriptor.
    let from: &[u8] = if how.walk.contains(WalkFlags::IN_ROOT) {
        b"."
    } else {
        &name
    };
    let start = at::start(t, dirfd, from)?;
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    match resolve(&WalkCx::of(t), &start, &name, &how)? {
        Opened::File(file) => install(t, file, cloexec),
        Opened::Leased(leased) => {
            let (Some(counts), writes) = leased.parts() else {
                return Err(Errno::EAGAIN.into());
            };
            let then = move |t: &Arc<Task>| {
                let file = leased.finish(&WalkCx::of(t))?;
                install(t, file, cloexec)
            };
            let nonblock = flags.contains(OpenFlags::NONBLOCK);
            lease::wait(t, counts, writes, nonblock, Box::new(then))
        }
        Opened::Fifo(path) => {
            let then = Box::new(move |t: &Arc<Task>, file| install(t, file, cloexec));
            open_fifo(t, path, how.flags, then)
        }
    }
}

fn install(t: &Arc<Task>, file: Arc<File>, cloexec: bool) -> SysResult<i64> {
    let limit = t.limit(Resource::Nofile);
    let fd = t.files().install(file, 0, cloexec, limit)?;
    Ok(i64::from(fd))
}
