//! The requests: a typed enum, and how each fits into the fixed request head.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::wire::RequestHead;
use super::{DATA_MAX, FORGET_MAX, Handle, Malformed, NAME_MAX, TARGET_MAX, is_component};
use crate::attr::{SetAttr, SetTime, Time};

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $nr:literal;)*) => {
        /// Operation numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Op { $($(#[$doc])* $name = $nr,)* }

        impl Op {
            fn from_raw(raw: u16) -> Option<Op> {
                match raw { $($nr => Some(Op::$name),)* _ => None }
            }
        }
    };
}

ops! {
    /// Version check.
    Hello = 1;
    /// Root of a mount.
    Attach = 2;
    /// One component.
    Lookup = 3;
    /// A whole listing.
    ReadDir = 4;
    /// A descriptor for data.
    Open = 5;
    /// A new regular file, opened.
    Create = 6;
    /// A new directory.
    Mkdir = 7;
    /// A new symlink.
    Symlink = 8;
    /// Another name for a file.
    Link = 9;
    /// A FIFO or socket, as a name.
    Mknod = 10;
    /// Removes a name.
    Unlink = 11;
    /// Removes an empty directory.
    Rmdir = 12;
    /// Moves a name.
    Rename = 13;
    /// Target of a symlink.
    ReadLink = 14;
    /// Changes attributes.
    SetAttr = 15;
    /// Attributes now.
    GetAttr = 16;
    /// File system totals.
    StatFs = 17;
    /// An extended attribute.
    GetXattr = 18;
    /// Sets one.
    SetXattr = 19;
    /// Their names.
    ListXattr = 20;
    /// Removes one.
    RemoveXattr = 21;
    /// Data to stable storage.
    Fsync = 22;
    /// A file without a name.
    TmpFile = 23;
    /// Handles no longer needed; has no reply.
    Forget = 24;
    /// Reads through the gofer.
    Pread = 25;
    /// Writes through the gofer.
    Pwrite = 26;
    /// Tells changes of a directory made by others.
    Watch = 27;
    /// The pipe on which it tells them.
    Events = 28;
}

bitflags::bitflags! {
    /// Flags of `renameat2(2)` that the gofer takes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail when the new name exists.
        const NOREPLACE = 1;
        /// Swap the two names.
        const EXCHANGE = 2;
    }
}

/// Owner and mode of something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Permission bits, umask already applied.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "fields are named for what they are; `Op` describes each"
)]
pub enum Call<'a> {
    Hello {
        version: u32,
    },
    Attach {
        mount: u32,
    },
    Lookup {
        dir: Handle,
        name: &'a [u8],
    },
    ReadDir {
        dir: Handle,
        attrs: bool,
        watch: bool,
    },
    Open {
        file: Handle,
        read: bool,
        write: bool,
    },
    Create {
        dir: Handle,
        name: &'a [u8],
        new: NewFile,
        excl: bool,
    },
    Mkdir {
        dir: Handle,
        name: &'a [u8],
        new: NewFile,
        watch: bool,
    },
    Symlink {
        dir: Handle,
        name: &'a [u8],
        target: &'a [u8],
        new: NewFile,
    },
    Link {
        file: Handle,
        dir: Handle,
        name: &'a [u8],
    },
    Mknod {
        dir: Handle,
        name: &'a [u8],
        new: NewFile,
    },
    Unlink {
        dir: Handle,
        name: &'a [u8],
        forget: Option<Handle>,
    },
    Rmdir {
        dir: Handle,
        name: &'a [u8],
        forget: Option<Handle>,
    },
    Rename {
        dir: Handle,
        name: &'a [u8],
        new_dir: Handle,
        new_name: &'a [u8],
        flags: RenameFlags,
    },
    ReadLink {
        file: Handle,
    },
    SetAttr {
        file: Handle,
        set: SetAttr,
    },
    GetAttr {
        file: Handle,
    },
    StatFs {
        file: Handle,
    },
    GetXattr {
        file: Handle,
        name: &'a [u8],
    },
    SetXattr {
        file: Handle,
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
    },
    ListXattr {
        file: Handle,
    },
    RemoveXattr {
        file: Handle,
        name: &'a [u8],
    },
    Fsync {
        file: Handle,
        data_only: bool,
    },
    TmpFile {
        dir: Handle,
        new: NewFile,
    },
    Forget {
        handles: &'a [U64],
    },
    Pread {
        file: Handle,
        offset: u64,
        len: u32,
    },
    Pwrite {
        file: Handle,
        offset: u64,
        data: &'a [u8],
    },
    Watch {
        dir: Handle,
    },
    Events,
}

const SET_MODE: u32 = 1;
const SET_UID: u32 = 2;
const SET_GID: u32 = 4;
const SET_SIZE: u32 = 8;
const SET_ATIME: u32 = 16;
const SET_ATIME_NOW: u32 = 32;
const SET_MTIME: u32 = 64;
const SET_MTIME_NOW: u32 = 128;
const SET_ALL: u32 = 255;

fn low(value: U64) -> Result<u32, Malformed> {
    u32::try_from(value.get()).map_err(|_| Malformed("number out of range"))
}

fn length16(bytes: &[u8]) -> U16 {
    // Callers keep to NAME_MAX or XATTR limits, far below; a longer one is refused there.
    U16::new(u16::try_from(bytes.len()).unwrap_or(u16::MAX))
}

/// The CPU this thread runs on (read from memory the host shares: no call), as [`RequestHead::cpu`] says it.
fn waits_on() -> U16 {
    let cpu = nix::sched::sched_getcpu().map_or(0, |cpu| cpu.saturating_add(1));
    U16::new(u16::try_from(cpu).unwrap_or(0))
}

/// The head under construction and the bytes after it.
struct Encoder<'a> {
    head: RequestHead,
    name: &'a [u8],
    name2: &'a [u8],
    data: &'a [u8],
}

impl<'a> Encoder<'a> {
    fn new(id: u64, op: Op, handle: Handle) -> Encoder<'a> {
        let head = RequestHead {
            id: id.into(),
            op: U16::new(op as u16),
            handle: handle.0.into(),
            cpu: waits_on(),
            ..RequestHead::default()
        };
        Encoder {
            head,
            name: &[],
            name2: &[],
            data: &[],
        }
    }

    fn name(mut self, name: &'a [u8]) -> Self {
        self.name = name;
        self
    }

    fn second(mut self, dir: Handle, name: &'a [u8]) -> Self {
        self.head.handle2 = dir.0.into();
        self.name2 = name;
        self
    }

    fn data(mut self, data: &'a [u8]) -> Self {
        self.data = data;
        self
    }

    fn flags(mut self, flags: u32) -> Self {
        self.head.flags = flags.into();
        self
    }

    fn arg(mut self, index: usize, value: u64) -> Self {
        if let Some(slot) = self.head.args.get_mut(index) {
            *slot = value.into();
        }
        self
    }

    fn new_file(self, new: NewFile) -> Self {
        self.arg(0, new.mode.into())
            .arg(1, new.uid.into())
            .arg(2, new.gid.into())
    }

    fn set_attr(self, set: SetAttr) -> Self {
        let mut flags = 0;
        let mut number = |bit: u32, value: Option<u64>| {
            flags |= if value.is_some() { bit } else { 0 };
            value.unwrap_or(0)
        };
        let mode = number(SET_MODE, set.mode.map(u64::from));
        // Owner and group share a word so that the times fit as well.
        let owner = number(SET_UID, set.uid.map(u64::from));
        let group = number(SET_GID, set.gid.map(u64::from));
        let size = number(SET_SIZE, set.size);
        let mut time = |value: Option<SetTime>, at: u32, now: u32| match value {
            None => Time::default(),
            Some(SetTime::Now) => {
                flags |= now;
                Time::default()
            }
            Some(SetTime::At(t)) => {
                flags |= at;
                t
            }
        };
        let atime = time(set.atime, SET_ATIME, SET_ATIME_NOW);
        let mtime = time(set.mtime, SET_MTIME, SET_MTIME_NOW);
        self.flags(flags)
            .arg(0, mode)
            .arg(1, owner | group << 32)
            .arg(2, size)
            .arg(3, atime.sec.cast_unsigned())
            .arg(4, atime.nsec.into())
            .arg(5, mtime.sec.cast_unsigned())
            .arg(6, mtime.nsec.into())
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        self.head.name_len = length16(self.name);
        self.head.name2_len = length16(self.name2);
        self.head.data_len = U32::new(u32::try_from(self.data.len()).unwrap_or(u32::MAX));
        out.clear();
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(self.name);
        out.extend_from_slice(self.name2);
        out.extend_from_slice(self.data);
    }
}

impl Call<'_> {
    /// Writes the message for this request into `out`, replacing what is there.
    pub fn encode(&self, id: u64, out: &mut Vec<u8>) {
        let none = Handle(0);
        let start = |op, handle: &Handle| Encoder::new(id, op, *handle);
        let whole = match self {
            Call::Hello { version } => start(Op::Hello, &none).arg(0, (*version).into()),
            Call::Attach { mount } => start(Op::Attach, &none).arg(0, (*mount).into()),
            Call::Lookup { dir, name } => start(Op::Lookup, dir).name(name),
            Call::ReadDir { dir, attrs, watch } => {
                start(Op::ReadDir, dir).flags(u32::from(*attrs) | u32::from(*watch) << 1)
            }
            Call::Open { file, read, write } => {
                start(Op::Open, file).flags(u32::from(*read) | u32::from(*write) << 1)
            }
            Call::Create {
                dir,
                name,
                new,
                excl,
            } => start(Op::Create, dir)
                .name(name)
                .new_file(*new)
                .flags((*excl).into()),
            Call::Mkdir {
                dir,
                name,
                new,
                watch,
            } => start(Op::Mkdir, dir)
                .name(name)
                .new_file(*new)
                .flags((*watch).into()),
            Call::Symlink {
                dir,
                name,
                target,
                new,
            } => start(Op::Symlink, dir)
                .name(name)
                .new_file(*new)
                .data(target),
            Call::Link { file, dir, name } => start(Op::Link, file).second(*dir, name),
            Call::Mknod { dir, name, new } => start(Op::Mknod, dir).name(name).new_file(*new),
            Call::Unlink { dir, name, forget } => start(Op::Unlink, dir)
                .name(name)
                .second(forget.unwrap_or(none), &[]),
            Call::Rmdir { dir, name, forget } => start(Op::Rmdir, dir)
                .name(name)
                .second(forget.unwrap_or(none), &[]),
            Call::Rename {
                dir,
                name,
                new_dir,
                new_name,
                flags,
            } => start(Op::Rename, dir)
                .name(name)
                .second(*new_dir, new_name)
                .flags(flags.bits()),
            Call::ReadLink { file } => start(Op::ReadLink, file),
            Call::SetAttr { file, set } => start(Op::SetAttr, file).set_attr(*set),
            Call::GetAttr { file } => start(Op::GetAttr, file),
            Call::StatFs { file } => start(Op::StatFs, file),
            Call::GetXattr { file, name } => start(Op::GetXattr, file).name(name),
            Call::SetXattr {
                file,
                name,
                value,
                flags,
            } => start(Op::SetXattr, file)
                .name(name)
                .data(value)
                .flags(*flags),
            Call::ListXattr { file } => start(Op::ListXattr, file),
            Call::RemoveXattr { file, name } => start(Op::RemoveXattr, file).name(name),
            Call::Fsync { file, data_only } => start(Op::Fsync, file).flags((*data_only).into()),
            Call::TmpFile { dir, new } => start(Op::TmpFile, dir).new_file(*new),
            Call::Forget { handles } => start(Op::Forget, &none).data(handles.as_bytes()),
            Call::Pread { file, offset, len } => {
                start(Op::Pread, file).arg(0, *offset).arg(1, (*len).into())
            }
            Call::Pwrite { file, offset, data } => {
                start(Op::Pwrite, file).arg(0, *offset).data(data)
            }
            Call::Watch { dir } => start(Op::Watch, dir),
            Call::Events => start(Op::Events, &none),
        };
        whole.finish(out);
    }
}

/// A message taken apart, lengths checked, before its operation is looked at.
struct Parts<'a> {
    head: RequestHead,
    name: &'a [u8],
    name2: &'a [u8],
    data: &'a [u8],
}

impl<'a> Parts<'a> {
    fn handle(&self) -> Handle {
        Handle(self.head.handle.get())
    }

    fn handle2(&self) -> Handle {
        Handle(self.head.handle2.get())
    }

    fn forget(&self) -> Option<Handle> {
        Some(self.handle2()).filter(|h| h.0 != 0)
    }

    fn component(&self) -> Result<&'a [u8], Malformed> {
        checked(self.name)
    }

    fn xattr_name(&self) -> Result<&'a [u8], Malformed> {
        if self.name.is_empty() || self.name.len() > NAME_MAX || self.name.contains(&0) {
            return Err(Malformed("bad attribute name"));
        }
        Ok(self.name)
    }

    fn new_file(&self) -> Result<NewFile, Malformed> {
        let [mode, uid, gid, ..] = self.head.args;
        Ok(NewFile {
            mode: low(mode)?,
            uid: low(uid)?,
            gid: low(gid)?,
        })
    }

    fn set_attr(&self) -> Result<SetAttr, Malformed> {
        let flags = self.head.flags.get();
        if flags & !SET_ALL != 0 {
            return Err(Malformed("unknown attribute bits"));
        }
        let [mode, owner, size, asec, ansec, msec, mnsec] = self.head.args;
        let time = |sec: U64, nsec: U64, at: u32, now: u32| -> Result<Option<SetTime>, Malformed> {
            if flags & now != 0 {
                return Ok(Some(SetTime::Now));
            }
            if flags & at == 0 {
                return Ok(None);
            }
            let nsec = low(nsec)?;
            if nsec > 999_999_999 {
                return Err(Malformed("nanoseconds out of range"));
            }
            let sec = sec.get().cast_signed();
            Ok(Some(SetTime::At(Time { sec, nsec })))
        };
        let has = |bit: u32| flags & bit != 0;
        let owner = owner.get();
        Ok(SetAttr {
            mode: has(SET_MODE).then(|| low(mode)).transpose()?,
            uid: has(SET_UID).then_some((owner & u64::from(u32::MAX)) as u32),
            gid: has(SET_GID).then_some((owner >> 32) as u32),
            size: has(SET_SIZE).then(|| size.get()),
            atime: time(asec, ansec, SET_ATIME, SET_ATIME_NOW)?,
            mtime: time(msec, mnsec, SET_MTIME, SET_MTIME_NOW)?,
        })
    }
}

fn checked(name: &[u8]) -> Result<&[u8], Malformed> {
    if is_component(name) {
        Ok(name)
    } else {
        Err(Malformed("not a path component"))
    }
}

fn split(bytes: &[u8]) -> Result<Parts<'_>, Malformed> {
    let (head, rest) =
        RequestHead::read_from_prefix(bytes).map_err(|_| Malformed("short request"))?;
    let short = Malformed("lengths do not add up");
    let (name, rest) = rest
        .split_at_checked(usize::from(head.name_len.get()))
        .ok_or(short)?;
    let (name2, data) = rest
        .split_at_checked(usize::from(head.name2_len.get()))
        .ok_or(short)?;
    let data_len = usize::try_from(head.data_len.get()).map_err(|_| short)?;
    if data.len() != data_len || data_len > DATA_MAX {
        return Err(short);
    }
    Ok(Parts {
        head,
        name,
        name2,
        data,
    })
}

/// The CPU that the client waits on, as far as the message says.
pub fn request_cpu(bytes: &[u8]) -> Option<usize> {
    let (head, _) = RequestHead::read_from_prefix(bytes).ok()?;
    usize::from(head.cpu.get()).checked_sub(1)
}

/// The id of a request, as far as the message has one.
pub fn request_id(bytes: &[u8]) -> Option<u64> {
    U64::read_from_prefix(bytes).ok().map(|(id, _)| id.get())
}

impl<'a> Call<'a> {
    /// Reads a request, checking every length, number and name.
    pub fn decode(bytes: &'a [u8]) -> Result<(u64, Call<'a>), Malformed> {
        let parts = split(bytes)?;
        let op = Op::from_raw(parts.head.op.get()).ok_or(Malformed("unknown operation"))?;
        let call = match op {
            Op::Create | Op::Mkdir | Op::Symlink | Op::Link | Op::Mknod | Op::TmpFile => {
                decode_making(op, &parts)?
            }
            Op::GetXattr | Op::SetXattr | Op::ListXattr | Op::RemoveXattr => {
                decode_xattr(op, &parts)?
            }
            Op::Unlink | Op::Rmdir | Op::Rename => decode_removing(op, &parts)?,
            _ => decode_plain(op, &parts)?,
        };
        Ok((parts.head.id.get(), call))
    }
}

fn decode_making<'a>(op: Op, parts: &Parts<'a>) -> Result<Call<'a>, Malformed> {
    let dir = parts.handle();
    if op == Op::Link {
        let name = checked(parts.name2)?;
        return Ok(Call::Link {
            file: dir,
            dir: parts.handle2(),
            name,
        });
    }
    let new = parts.new_file()?;
    if op == Op::TmpFile {
        return Ok(Call::TmpFile { dir, new });
    }
    let name = parts.component()?;
    Ok(match op {
        Op::Create => Call::Create {
            dir,
            name,
            new,
            excl: parts.head.flags.get() & 1 != 0,
        },
        Op::Mkdir => Call::Mkdir {
            dir,
            name,
            new,
            watch: parts.head.flags.get() & 1 != 0,
        },
        Op::Symlink => {
            let target = parts.data;
            if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
                return Err(Malformed("bad symlink target"));
            }
            Call::Symlink {
                dir,
                name,
                target,
                new,
            }
        }
        _ => Call::Mknod { dir, name, new },
    })
}

fn decode_removing<'a>(op: Op, parts: &Parts<'a>) -> Result<Call<'a>, Malformed> {
    let dir = parts.handle();
    let name = parts.component()?;
    Ok(match op {
        Op::Unlink => Call::Unlink {
            dir,
            name,
            forget: parts.forget(),
        },
        Op::Rmdir => Call::Rmdir {
            dir,
            name,
            forget: parts.forget(),
        },
        _ => Call::Rename {
            dir,
            name,
            new_dir: parts.handle2(),
            new_name: checked(parts.name2)?,
            flags: RenameFlags::from_bits(parts.head.flags.get())
                .ok_or(Malformed("unknown rename flags"))?,
        },
    })
}

fn decode_xattr<'a>(op: Op, parts: &Parts<'a>) -> Result<Call<'a>, Malformed> {
    let file = parts.handle();
    if op == Op::ListXattr {
        return Ok(Call::ListXattr { file });
    }
    let name = parts.xattr_name()?;
    Ok(match op {
        Op::GetXattr => Call::GetXattr { file, name },
        Op::RemoveXattr => Call::RemoveXattr { file, name },
        _ => {
            let flags = parts.head.flags.get();
            if flags > 2 {
                return Err(Malformed("unknown attribute flags"));
            }
            Call::SetXattr {
                file,
                name,
                value: parts.data,
                flags,
            }
        }
    })
}

fn decode_plain<'a>(op: Op, parts: &Parts<'a>) -> Result<Call<'a>, Malformed> {
    let file = parts.handle();
    let flags = parts.head.flags.get();
    let [first, second, ..] = parts.head.args;
    Ok(match op {
        Op::Hello => Call::Hello {
            version: low(first)?,
        },
        Op::Attach => Call::Attach { mount: low(first)? },
        Op::Lookup => Call::Lookup {
            dir: file,
            name: parts.component()?,
        },
        Op::ReadDir => Call::ReadDir {
            dir: file,
            attrs: flags & 1 != 0,
            watch: flags & 2 != 0,
        },
        Op::Open => Call::Open {
            file,
            read: flags & 1 != 0,
            write: flags & 2 != 0,
        },
        Op::ReadLink => Call::ReadLink { file },
        Op::SetAttr => Call::SetAttr {
            file,
            set: parts.set_attr()?,
        },
        Op::GetAttr => Call::GetAttr { file },
        Op::StatFs => Call::StatFs { file },
        Op::Fsync => Call::Fsync {
            file,
            data_only: flags & 1 != 0,
        },
        Op::Forget => {
            let handles = <[U64]>::ref_from_bytes(parts.data)
                .map_err(|_| Malformed("forget list has a broken length"))?;
            if handles.len() > FORGET_MAX {
                return Err(Malformed("forget list too long"));
            }
            Call::Forget { handles }
        }
        Op::Pread => {
            let len = low(second)?;
            if len as usize > DATA_MAX {
                return Err(Malformed("read too long"));
            }
            Call::Pread {
                file,
                offset: first.get(),
                len,
            }
        }
        Op::Pwrite => Call::Pwrite {
            file,
            offset: first.get(),
            data: parts.data,
        },
        Op::Watch => Call::Watch { dir: file },
        Op::Events => Call::Events,
        // The other groups are decoded elsewhere.
        _ => return Err(Malformed("unknown operation")),
    })
}
