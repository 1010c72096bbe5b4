//! Attributes of an inode (`inode(7)`).

use std::time::Duration;

use abi::fs::Stat;

/// File type, in the bits of `st_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in inode(7)")]
#[repr(u32)]
pub enum FileType {
    Fifo = 0o010000,
    CharDevice = 0o020000,
    Directory = 0o040000,
    BlockDevice = 0o060000,
    Regular = 0o100000,
    Symlink = 0o120000,
    Socket = 0o140000,
}

impl FileType {
    /// From a mode; `None` for no known type.
    pub fn from_mode(mode: u32) -> Option<FileType> {
        Some(match mode & 0o170000 {
            0o010000 => FileType::Fifo,
            0o020000 => FileType::CharDevice,
            0o040000 => FileType::Directory,
            0o060000 => FileType::BlockDevice,
            0o100000 => FileType::Regular,
            0o120000 => FileType::Symlink,
            0o140000 => FileType::Socket,
            _ => return None,
        })
    }

    /// `d_type` of `getdents64(2)`.
    pub fn dirent_type(self) -> u8 {
        (self as u32 >> 12) as u8
    }
}

/// A time of a file since the epoch, which may lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds that are added, below a second.
    pub nsec: u32,
}

impl From<Duration> for FileTime {
    fn from(d: Duration) -> FileTime {
        FileTime {
            sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            nsec: d.subsec_nanos(),
        }
    }
}

/// Everything `stat(2)` and `statx(2)` tell. Times are since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in stat(3type)")]
pub struct Attr {
    pub dev: u64,
    pub ino: u64,
    pub kind: FileType,
    /// Permission bits with set-id and sticky, without the type.
    pub perm: u32,
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    /// Device number in the kernel's `makedev` encoding, for device nodes.
    pub rdev: u64,
    pub size: u64,
    pub blksize: u32,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub atime: FileTime,
    pub mtime: FileTime,
    pub ctime: FileTime,
    pub btime: Option<FileTime>,
}

impl Attr {
    /// Attributes of an anonymous inode (eventfd, epoll …).
    pub fn anonymous() -> Attr {
        Attr {
            dev: 14,
            ino: 1,
            kind: FileType::Regular,
            perm: 0o600,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            blksize: 4096,
            blocks: 0,
            atime: FileTime::default(),
            mtime: FileTime::default(),
            ctime: FileTime::default(),
            btime: None,
        }
    }

    /// `st_mode`.
    pub fn mode(&self) -> u32 {
        self.kind as u32 | self.perm
    }

    /// As `struct stat`.
    pub fn to_stat(&self) -> Stat {
        Stat {
            dev: self.dev,
            ino: self.ino,
            nlink: self.nlink,
            mode: self.mode(),
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
            blksize: i64::from(self.blksize),
            blocks: i64::try_from(self.blocks).unwrap_or(i64::MAX),
            atime: self.atime.sec,
            atime_nsec: u64::from(self.atime.nsec),
            mtime: self.mtime.sec,
            mtime_nsec: u64::from(self.mtime.nsec),
            ctime: self.ctime.sec,
            ctime_nsec: u64::from(self.ctime.nsec),
            ..Stat::default()
        }
    }
}

/// A new time (`utimensat(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSet {
    /// The current time.
    Now,
    /// This time since the epoch.
    To(FileTime),
}

/// What was changed of the attributes of an object without a file system (pipe, socket).
#[derive(Clone, Copy, Debug, Default)]
pub struct Changed(SetAttr);

impl Changed {
    /// Notes a change; `EOPNOTSUPP` for the size.
    pub fn note(&mut self, set: &SetAttr) -> crate::Result<()> {
        if set.size.is_some() {
            return Err(abi::Errno::EOPNOTSUPP);
        }
        self.0.perm = set.perm.or(self.0.perm);
        self.0.uid = set.uid.or(self.0.uid);
        self.0.gid = set.gid.or(self.0.gid);
        self.0.atime = set.atime.or(self.0.atime);
        self.0.mtime = set.mtime.or(self.0.mtime);
        Ok(())
    }

    /// `attr` with the changes.
    #[must_use]
    pub fn on(&self, attr: Attr) -> Attr {
        let time = |to: Option<TimeSet>, old| match to {
            Some(TimeSet::To(t)) => t,
            _ => old,
        };
        Attr {
            perm: self.0.perm.map_or(attr.perm, |p| p & 0o7777),
            uid: self.0.uid.unwrap_or(attr.uid),
            gid: self.0.gid.unwrap_or(attr.gid),
            atime: time(self.0.atime, attr.atime),
            mtime: time(self.0.mtime, attr.mtime),
            ..attr
        }
    }
}

/// Which attributes to change; the walk has checked permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in inode(7)")]
pub struct SetAttr {
    pub perm: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<TimeSet>,
    pub mtime: Option<TimeSet>,
}
