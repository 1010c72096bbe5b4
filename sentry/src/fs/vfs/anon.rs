//! Places of files that have no path: pipes, sockets, memfds, eventfds.
//!
//! `/proc/PID/fd/N` leads to such a file as to any other. [`of_file`] makes the place: a
//! dentry of its own whose inode stands for the description; opening it asks the object to
//! [`FileOps::reopen`].

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use super::attr::{Attr, FileType, SetAttr};
use super::inode::{FileSystem, Inode, InodeExtra, StatFs};
use super::mount::{Mount, MountFlags, Path, SuperBlock};
use crate::Result;
use crate::fs::file::{File, FileOps, OpenFlags};
use crate::fs::host_file::HostFile;
use crate::task::Task;
use crate::task::namespace::NsFile;

/// Magic of `anon_inodefs`, `<linux/magic.h>`.
const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
/// Magic of `pipefs`.
const PIPE_FS_MAGIC: u64 = 0x5049_5045;
/// Magic of `nsfs`.
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// Magic of `sockfs`.
const SOCK_FS_MAGIC: u64 = 0x534f_434b;

/// The file system of one description.
struct AnonFs {
    file: Arc<File>,
}

/// Stands for a description.
struct AnonInode {
    file: Arc<File>,
    extra: InodeExtra,
}

/// The place of a description: its own path, or one made for it.
pub fn of_file(file: &Arc<File>) -> Result<Path> {
    if let Some(path) = &file.path {
        return Ok(path.clone());
    }
    let sb = SuperBlock::new(Arc::new(AnonFs { file: file.clone() }))?;
    let root = sb.root.clone();
    let name = sb.fs.name().as_bytes().to_vec();
    let mount = Mount::new(0, sb, root.clone(), &name, MountFlags::default());
    Ok(Path {
        mount,
        dentry: root,
    })
}

/// The description an anonymous place stands for.
pub fn file_of(path: &Path) -> Option<Arc<File>> {
    let inode = path.dentry.inode()?;
    let anon = inode.as_any().downcast_ref::<AnonInode>()?;
    Some(anon.file.clone())
}

/// What readlink shows for an anonymous place.
pub(super) fn text(path: &Path) -> Option<Vec<u8>> {
    if path.mount.id != 0 {
        return None;
    }
    file_of(path).map(|f| f.ops.description().into_bytes())
}

impl FileSystem for AnonFs {
    fn name(&self) -> &'static str {
        if self.file.downcast::<NsFile>().is_some() {
            return "nsfs";
        }
        "anon_inodefs"
    }
    fn dev(&self) -> u64 {
        self.file.ops.attr().map_or(14, |a| a.dev)
    }
    fn root(&self) -> Result<Arc<dyn Inode>> {
        Ok(Arc::new(AnonInode {
            file: self.file.clone(),
            extra: InodeExtra::default(),
        }))
    }
    fn statfs(&self) -> Result<StatFs> {
        let kind = match self.file.ops.attr()?.kind {
            _ if self.name() == "nsfs" => NSFS_MAGIC,
            FileType::Fifo => PIPE_FS_MAGIC,
            FileType::Socket => SOCK_FS_MAGIC,
            _ => ANON_INODE_FS_MAGIC,
        };
        Ok(StatFs {
            kind,
            bsize: abi::PAGE_SIZE,
            namelen: abi::NAME_MAX as u64,
            ..StatFs::default()
        })
    }
}

impl Inode for AnonInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        self.file.ops.attr().map_or(FileType::Regular, |a| a.kind)
    }
    fn attr(&self) -> Result<Attr> {
        self.file.ops.attr()
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        self.file.ops.set_attr(set)
    }
    fn open(self: Arc<Self>, flags: OpenFlags, _t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        // A file of the caller cannot be opened anew: the new description shares it.
        if self.file.downcast::<HostFile>().is_some() {
            let had = self.file.flags();
            let more =
                (flags.readable() && !had.readable()) || (flags.writable() && !had.writable());
            return if more {
                Err(Errno::EACCES)
            } else {
                Ok(self.file.ops.clone())
            };
        }
        self.file.ops.reopen(flags)
    }
    fn extra(&self) -> &InodeExtra {
        &self.extra
    }
    fn dev(&self) -> u64 {
        self.file.ops.attr().map_or(14, |a| a.dev)
    }
}
