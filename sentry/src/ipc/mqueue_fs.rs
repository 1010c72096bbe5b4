//! `mqueue`: the file system that shows POSIX message queues (`mq_overview(7)`).

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use super::IpcNs;
use super::mqueue::{MQueue, MqFile};
use crate::fs::pseudo::{Dir, Node, PseudoFs, Tree};
use crate::fs::vfs::fs_type::MountRequest;
use crate::fs::vfs::{Attr, FileSystem, FileType, Inode, InodeExtra};
use crate::fs::{FileOps, OpenFlags};
use crate::task::Task;
use crate::{Kernel, Result};

/// `MQUEUE_MAGIC`.
const MAGIC: u64 = 0x1980_0202;

struct Root {
    ns: Arc<IpcNs>,
    dev: u64,
}

impl Tree for Root {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let queue = self.ns.mqueue.find(name).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(QueueInode {
            queue,
            dev: self.dev,
            extra: InodeExtra::default(),
        }))
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let names = self.ns.mqueue.list();
        Ok(names.into_iter().map(|n| (n, FileType::Regular)).collect())
    }
}

/// A queue as a file.
struct QueueInode {
    queue: Arc<MQueue>,
    dev: u64,
    extra: InodeExtra,
}

impl Inode for QueueInode {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::Regular
    }
    fn attr(&self) -> Result<Attr> {
        Ok(Attr {
            dev: self.dev,
            ..MqFile(self.queue.clone()).attr()?
        })
    }
    fn open(
        self: Arc<Self>,
        _flags: OpenFlags,
        _t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(MqFile(self.queue.clone())))
    }
    fn extra(&self) -> &InodeExtra {
        &self.extra
    }
    fn dev(&self) -> u64 {
        self.dev
    }
}

/// An instance that shows the queues of an IPC namespace.
pub fn new(kernel: &Arc<Kernel>, ns: Arc<IpcNs>) -> Arc<dyn FileSystem> {
    let dev = kernel.fs_types.new_dev();
    let mut node = Node::root(dev).since(kernel.clock.realtime());
    node.perm = 0o1777;
    let root = Root { ns, dev };
    PseudoFs::new("mqueue", MAGIC, dev, Dir::new(node, root))
}

/// `mount -t mqueue`.
pub fn mount(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    let ns = request.cx.task.map(|t| t.ipc());
    let ns = ns.unwrap_or_else(|| request.kernel.ipc.clone());
    Ok(new(request.kernel, ns))
}
