//! Made-up symbolic links.

use std::any::Any;
use std::sync::Arc;

use super::Node;
use crate::Result;
use crate::fs::vfs::{Attr, FileType, Inode, InodeExtra, Path, Symlink};
use crate::task::Task;

type TextFn = dyn Fn(Option<&Arc<Task>>) -> Result<Vec<u8>> + Send + Sync;

/// A link with a text made when read.
pub struct Link {
    node: Node,
    text: Box<TextFn>,
}

impl Link {
    /// A link whose text is `text(reader)`.
    pub fn new(
        node: Node,
        text: impl Fn(Option<&Arc<Task>>) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Arc<Link> {
        Arc::new(Link {
            node,
            text: Box::new(text),
        })
    }
}

impl Inode for Link {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::Symlink
    }
    fn attr(&self) -> Result<Attr> {
        Ok(self.node.attr(FileType::Symlink, 1, 0))
    }
    fn readlink(&self, t: Option<&Arc<Task>>) -> Result<Symlink> {
        (self.text)(t).map(Symlink::Target)
    }
    fn extra(&self) -> &InodeExtra {
        &self.node.extra
    }
    fn dev(&self) -> u64 {
        self.node.dev
    }
}

/// A link that leads straight to a place (`/proc/PID/cwd`).
pub struct Jump {
    node: Node,
    place: Box<dyn Fn() -> Result<Symlink> + Send + Sync>,
}

impl Jump {
    /// A link that leads to `place()`.
    pub fn new(
        node: Node,
        place: impl Fn() -> Result<Symlink> + Send + Sync + 'static,
    ) -> Arc<Jump> {
        Arc::new(Jump {
            node,
            place: Box::new(place),
        })
    }

    /// A link to a path.
    pub fn to_path(
        node: Node,
        place: impl Fn() -> Result<Path> + Send + Sync + 'static,
    ) -> Arc<Jump> {
        Jump::new(node, move || place().map(Symlink::Jump))
    }
}

impl Inode for Jump {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::Symlink
    }
    fn attr(&self) -> Result<Attr> {
        Ok(self.node.attr(FileType::Symlink, 1, 64))
    }
    fn readlink(&self, _t: Option<&Arc<Task>>) -> Result<Symlink> {
        (self.place)()
    }
    fn extra(&self) -> &InodeExtra {
        &self.node.extra
    }
    fn dev(&self) -> u64 {
        self.node.dev
    }
}
