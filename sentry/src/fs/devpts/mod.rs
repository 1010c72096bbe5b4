//! `devpts`: the file system of pseudoterminals (`pts(4)`).
//!
//! An instance numbers its own pairs. `ptmx` in it opens a new master; a number opens the
//! terminal side. A host terminal takes a number too ([`DevPts::open_console`]), so that
//! its guest side has a name.

mod inode;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use abi::Errno;

use super::dev::makedev;
use super::pseudo::{Dir, Node, Tree};
use super::tty::console::Console;
use super::tty::pty::{Master, Pty};
use super::tty::termios::WinSize;
use super::tty::{OpenTty, Tty, open_controlling};
use super::vfs::fs_type::{MountRequest, Options, Value, mounter};
use super::vfs::{Device, FileSystem, FileType, Inode, Owner, StatFs};
use super::{File, FileOps, OpenFlags};
use crate::sync::Mutex;
use crate::task::Task;
use crate::{Kernel, Result};
use inode::{PtmxInode, PtsInode};

/// Most pairs of an instance (`/proc/sys/kernel/pty/max`).
const MAX: usize = 4096;
const MAGIC: u64 = 0x1cd1;
/// Major number of terminal sides.
const PTS_MAJOR: u32 = 136;

/// Mount options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtsOptions {
    /// Permission bits of `ptmx`.
    pub ptmxmode: u32,
    /// Permission bits of new terminals.
    pub mode: u32,
    /// Owner of new terminals, if not their opener.
    pub uid: Option<u32>,
    /// Group of new terminals, if not their opener's.
    pub gid: Option<u32>,
}

impl Default for PtsOptions {
    fn default() -> PtsOptions {
        PtsOptions {
            ptmxmode: 0,
            mode: 0o600,
            uid: None,
            gid: None,
        }
    }
}

/// One instance. Lock rank: `pairs` is a leaf.
pub struct DevPts {
    me: Weak<DevPts>,
    kernel: Weak<Kernel>,
    dev: u64,
    options: PtsOptions,
    root: Arc<dyn Inode>,
    pairs: Mutex<BTreeMap<u32, Arc<PtsInode>>>,
}

/// The root directory's content.
struct Root {
    fs: Weak<DevPts>,
    ptmx: Arc<PtmxInode>,
}

impl Tree for Root {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if name == b"ptmx" {
            return Ok(self.ptmx.clone());
        }
        let text = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let index: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        // Only the usual spelling is a name: no sign, no leading zero.
        if index.to_string() != text {
            return Err(Errno::ENOENT);
        }
        let fs = self.fs.upgrade().ok_or(Errno::ENOENT)?;
        let found = fs.pairs.lock().get(&index).cloned();
        Ok(found.ok_or(Errno::ENOENT)?)
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let fs = self.fs.upgrade().ok_or(Errno::ENOENT)?;
        let numbers: Vec<u32> = fs.pairs.lock().keys().copied().collect();
        let names = numbers.iter().map(|n| n.to_string().into_bytes());
        let all = std::iter::once(b"ptmx".to_vec()).chain(names);
        Ok(all.map(|n| (n, FileType::CharDevice)).collect())
    }
}

impl DevPts {
    /// A new instance; the kernel's first becomes the one plain `ptmx` nodes open in.
    pub fn new(kernel: &Arc<Kernel>, options: PtsOptions) -> Arc<DevPts> {
        let dev = kernel.fs_types.new_dev();
        let fs = Arc::new_cyclic(|me: &Weak<DevPts>| {
            let ptmx = PtmxInode::new(dev, options.ptmxmode, me.clone());
            let tree = Root {
                fs: me.clone(),
                ptmx,
            };
            let mut node = Node::root(dev).since(kernel.clock.realtime());
            node.perm = 0o755;
            DevPts {
                me: me.clone(),
                kernel: Arc::downgrade(kernel),
                dev,
                options,
                root: Dir::new(node, tree),
                pairs: Mutex::default(),
            }
        });
        let mut first = kernel.terminals.devpts.lock();
        first.get_or_insert_with(|| fs.clone());
        drop(first);
        fs
    }

    /// The instance plain nodes open in, made if there is none.
    pub fn first(kernel: &Arc<Kernel>) -> Arc<DevPts> {
        let there = kernel.terminals.devpts.lock().clone();
        there.unwrap_or_else(|| DevPts::new(kernel, PtsOptions::default()))
    }

    /// Takes the lowest free number; `ENOSPC`.
    fn add(&self, owner: Owner, make: impl FnOnce(u32, Arc<Tty>) -> Arc<Pty>) -> Result<Arc<Pty>> {
        let kernel = self.kernel.upgrade().ok_or(Errno::EIO)?;
        let mut pairs = self.pairs.lock();
        if pairs.len() >= MAX {
            return Err(Errno::ENOSPC);
        }
        let index = (0..).find(|i| !pairs.contains_key(i)).unwrap_or(0);
        let rdev = makedev(PTS_MAJOR, index);
        let tty = Tty::new(&kernel, rdev, format!("/dev/pts/{index}"));
        let pty = make(index, tty);
        let owner = Owner {
            uid: self.options.uid.unwrap_or(owner.uid),
            gid: self.options.gid.unwrap_or(owner.gid),
        };
        let now = kernel.clock.realtime();
        let inode = PtsInode::new(self.dev, pty.clone(), self.options.mode, owner, now.into());
        pairs.insert(index, inode);
        Ok(pty)
    }

    /// A new pair; operations of its master.
    pub fn open_master(&self, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        let creds = t.map(|t| t.creds());
        let owner = creds.map_or(Owner { uid: 0, gid: 0 }, |c| Owner {
            uid: c.fsuid,
            gid: c.fsgid,
        });
        let pty = self.add(owner, Pty::new)?;
        let fs = self.me.upgrade().ok_or(Errno::EIO)?;
        Ok(Arc::new(Master::new(pty, &fs)))
    }

    /// The master is closed: the number is free again.
    pub fn forget(&self, index: u32) {
        let gone = self.pairs.lock().remove(&index);
        drop(gone);
    }

    /// Connects a host terminal to a new terminal of this instance. The description is its
    /// guest side; dropping the console hangs it up.
    pub fn open_console(
        self: &Arc<DevPts>,
        fd: OwnedFd,
        size: WinSize,
        owner: Owner,
    ) -> Result<(Arc<File>, Arc<Console>)> {
        let kernel = self.kernel.upgrade().ok_or(Errno::EIO)?;
        let pty = self.add(owner, Pty::without_master)?;
        let console = match Console::attach(&kernel, fd, pty.tty.clone(), size) {
            Ok(console) => console,
            Err(e) => {
                self.forget(pty.index);
                return Err(e);
            }
        };
        console.on_drop(self, pty.index);
        let mut first = kernel.terminals.console.lock();
        first.get_or_insert_with(|| pty.tty.clone());
        drop(first);
        let ops = OpenTty::open(&pty.tty, OpenFlags::NOCTTY, None)?;
        Ok((File::anonymous(ops, OpenFlags::RDWR), console))
    }
}

impl FileSystem for DevPts {
    fn name(&self) -> &'static str {
        "devpts"
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn root(&self) -> Result<Arc<dyn Inode>> {
        Ok(self.root.clone())
    }
    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            kind: MAGIC,
            bsize: 4096,
            namelen: 255,
            ..StatFs::default()
        })
    }
    fn options(&self) -> String {
        let o = &self.options;
        let mut text = String::new();
        if let Some(gid) = o.gid {
            text.push_str(&format!("gid={gid},"));
        }
        text.push_str(&format!("mode={:o},ptmxmode={:03o}", o.mode, o.ptmxmode));
        text
    }
    fn revalidate_dentries(&self) -> bool {
        true
    }
}

/// Options of a mount.
const OPTIONS: Options = &[
    ("uid", Value::Number(10)),
    ("gid", Value::Number(10)),
    ("mode", Value::Number(8)),
    ("ptmxmode", Value::Number(8)),
    ("newinstance", Value::Flag),
    ("max", Value::Number(10)),
];

/// `mount -t devpts`: always a new instance.
pub fn mount(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    let mut options = PtsOptions::default();
    for (name, value) in request.options() {
        let number = |radix| -> Result<u32> {
            let text = value.and_then(|v| std::str::from_utf8(v).ok());
            let text = text.ok_or(Errno::EINVAL)?;
            u32::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
        };
        match name {
            b"mode" => options.mode = number(8)? & 0o777,
            b"ptmxmode" => options.ptmxmode = number(8)? & 0o777,
            b"uid" => options.uid = Some(number(10)?),
            b"gid" => options.gid = Some(number(10)?),
            b"newinstance" | b"max" => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(DevPts::new(request.kernel, options))
}

/// The kernel's terminals.
#[derive(Default)]
pub struct Terminals {
    devpts: Mutex<Option<Arc<DevPts>>>,
    /// What `/dev/console` opens: the first host terminal.
    console: Mutex<Option<Arc<Tty>>>,
}

/// Devices `5:0` (the controlling terminal), `5:1` (the console) and `5:2` (`ptmx`).
pub struct TtyDevices(pub Weak<Kernel>);

impl Device for TtyDevices {
    fn open(
        &self,
        minor: u32,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        t: Option<&Arc<Task>>,
    ) -> Result<Arc<dyn FileOps>> {
        let kernel = self.0.upgrade().ok_or(Errno::ENXIO)?;
        match minor {
            0 => open_controlling(t),
            1 => {
                let console = kernel.terminals.console.lock().clone();
                OpenTty::open(&console.ok_or(Errno::ENXIO)?, flags, t)
            }
            2 => match inode.as_any().downcast_ref::<PtmxInode>() {
                Some(own) => own.open_new(t),
                None => DevPts::first(&kernel).open_master(t),
            },
            _ => Err(Errno::ENXIO),
        }
    }
}

/// Registers the terminal devices and the file system type.
pub fn register(kernel: &Arc<Kernel>) {
    let devices = Arc::new(TtyDevices(Arc::downgrade(kernel)));
    for minor in 0..3 {
        kernel
            .devices
            .register(FileType::CharDevice, 5, minor, devices.clone());
    }
    let (types, devpts) = (&kernel.fs_types, Arc::new(mount));
    types.register("devpts", OPTIONS, mounter, devpts);
    let mqueue = Arc::new(crate::ipc::mqueue_fs::mount);
    types.register("mqueue", &[], |t| t.ipc().owner.clone(), mqueue);
}
