//! Made-up directories.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use abi::Errno;

use super::Node;
use crate::Result;
use crate::fs::file::{FileOps, IoCx, OpenFlags, Whence};
use crate::fs::vfs::{Attr, DirEntry, DirSink, FileType, Inode, InodeExtra, SetAttr};
use crate::sync::Mutex;
use crate::task::Task;

/// What a made-up directory contains.
pub trait Tree: Send + Sync + 'static {
    /// The child of this name; `ENOENT`.
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>>;
    /// Names and types, in order. `ENOENT` when what it shows is gone.
    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>>;
    /// Whether what it shows still exists.
    fn alive(&self) -> bool {
        true
    }
    /// Whether it has the same children for ever: what is mounted below one of them then stays
    /// in sight.
    fn fixed(&self) -> bool {
        false
    }
}

/// A directory over a [`Tree`].
pub struct Dir<T> {
    node: Node,
    tree: T,
}

impl<T: Tree> Dir<T> {
    /// A directory.
    pub fn new(node: Node, tree: T) -> Arc<Dir<T>> {
        Arc::new(Dir { node, tree })
    }

    /// What it lists.
    pub fn tree(&self) -> &T {
        &self.tree
    }
}

impl<T: Tree> Inode for Dir<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::Directory
    }
    fn attr(&self) -> Result<Attr> {
        Ok(self.node.attr(FileType::Directory, 2, 0))
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        self.node.keeps(set)
    }
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        self.tree.child(name)
    }
    fn still_valid(&self, _name: &[u8], _child: Option<&Arc<dyn Inode>>) -> bool {
        self.tree.fixed()
    }
    fn open(
        self: Arc<Self>,
        _flags: OpenFlags,
        _t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(OpenDir {
            dir: self,
            listing: Mutex::default(),
        }))
    }
    fn extra(&self) -> &InodeExtra {
        &self.node.extra
    }
    fn dev(&self) -> u64 {
        self.node.dev
    }
}

/// Names and types of a directory's entries.
type Listing = Arc<[(Vec<u8>, FileType)]>;

/// An open directory; the listing is taken when read from the start.
struct OpenDir<T> {
    dir: Arc<Dir<T>>,
    listing: Mutex<Listing>,
}

impl<T: Tree> FileOps for OpenDir<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, _cx: &IoCx<'_>, _dst: &mut dyn crate::io::IoDst, _pos: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        // Its size is 0, and it has neither data nor holes.
        match whence {
            Whence::End => super::seek(0, offset, Whence::Set),
            Whence::Data | Whence::Hole => Err(Errno::ENXIO),
            Whence::Set | Whence::Cur => super::seek(cur, offset, whence),
        }
    }
    fn read_dir(&self, _cx: &IoCx<'_>, pos: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        if *pos == 0 {
            let ino = self.dir.node.ino;
            if !sink.entry(dir_entry(b".", ino, FileType::Directory, 1)) {
                return Ok(());
            }
            *pos = 1;
        }
        if *pos == 1 {
            *self.listing.lock() = self.dir.tree.list()?.into();
            if !sink.entry(dir_entry(b"..", 1, FileType::Directory, 2)) {
                return Ok(());
            }
            *pos = 2;
        }
        let listing = self.listing.lock().clone();
        let from = usize::try_from(*pos - 2).unwrap_or(usize::MAX);
        for (name, kind) in listing.iter().skip(from) {
            let ino = Node::new(
                self.dir.node.dev,
                &(self.dir.node.ino, name),
                0,
                self.dir.node.owner,
            );
            if !sink.entry(dir_entry(name, ino.ino, *kind, *pos + 1)) {
                break;
            }
            *pos += 1;
        }
        Ok(())
    }
}

fn dir_entry(name: &[u8], ino: u64, kind: FileType, next: u64) -> DirEntry<'_> {
    DirEntry {
        name,
        ino,
        kind: Some(kind),
        next,
    }
}

/// A tree with a fixed set of children.
#[derive(Default)]
pub struct Static(Vec<(Cow<'static, str>, Arc<dyn Inode>)>);

impl Static {
    /// With these children.
    pub fn new<N: Into<Cow<'static, str>>>(children: Vec<(N, Arc<dyn Inode>)>) -> Static {
        Static(children.into_iter().map(|(n, i)| (n.into(), i)).collect())
    }
}

impl Tree for Static {
    fn fixed(&self) -> bool {
        true
    }
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.0.iter().find(|(n, _)| n.as_bytes() == name);
        found.map(|(_, i)| i.clone()).ok_or(Errno::ENOENT)
    }
    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        Ok(self
            .0
            .iter()
            .map(|(n, i)| (n.as_bytes().to_vec(), i.kind()))
            .collect())
    }
}
