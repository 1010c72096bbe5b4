//! Landlock (`landlock(7)`): a program takes rights to files and ports away from itself.
//!
//! A [`Ruleset`] is made and filled by descriptor ([`RulesetFile`]); `landlock_restrict_self(2)`
//! puts a copy of it on top of the caller's [`Domain`], which lies in the credentials and goes
//! on to children. Checks of files are in [`files`]. Lock rank: a ruleset's lock is a leaf.

pub mod files;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use abi::Errno;

use crate::Result;
use crate::creds::Creds;
use crate::fs::file::{File, FileOps, OpenFlags};
use crate::fs::vfs::{FileType, Inode};
use crate::sync::Mutex;

/// Most layers of a domain.
const MAX_LAYERS: usize = 16;
/// Most rules of a ruleset.
const MAX_RULES: usize = 1 << 16;

bitflags::bitflags! {
    /// `LANDLOCK_ACCESS_FS_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct FsRights: u64 {
        /// Execute a file.
        const EXECUTE = 1;
        /// Open a file to write.
        const WRITE_FILE = 1 << 1;
        /// Open a file to read.
        const READ_FILE = 1 << 2;
        /// Open a directory.
        const READ_DIR = 1 << 3;
        /// Remove a directory.
        const REMOVE_DIR = 1 << 4;
        /// Remove anything else.
        const REMOVE_FILE = 1 << 5;
        /// Make a character device.
        const MAKE_CHAR = 1 << 6;
        /// Make a directory.
        const MAKE_DIR = 1 << 7;
        /// Make a regular file.
        const MAKE_REG = 1 << 8;
        /// Make a socket.
        const MAKE_SOCK = 1 << 9;
        /// Make a FIFO.
        const MAKE_FIFO = 1 << 10;
        /// Make a block device.
        const MAKE_BLOCK = 1 << 11;
        /// Make a symbolic link.
        const MAKE_SYM = 1 << 12;
        /// Link or rename to another directory.
        const REFER = 1 << 13;
        /// Truncate a file.
        const TRUNCATE = 1 << 14;
        /// `ioctl(2)` on a device.
        const IOCTL_DEV = 1 << 15;
    }

    /// `LANDLOCK_ACCESS_NET_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NetRights: u64 {
        /// `bind(2)` of a TCP socket.
        const BIND_TCP = 1;
        /// `connect(2)` of a TCP socket.
        const CONNECT_TCP = 2;
    }

    /// `LANDLOCK_SCOPE_*`: what is not done to those outside of the domain.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Scopes: u64 {
        /// Connecting to abstract unix sockets.
        const ABSTRACT_UNIX_SOCKET = 1;
        /// Signals.
        const SIGNAL = 2;
    }
}

impl FsRights {
    /// Those that mean something for what is no directory.
    pub const OF_FILES: FsRights = FsRights::EXECUTE
        .union(FsRights::WRITE_FILE)
        .union(FsRights::READ_FILE)
        .union(FsRights::TRUNCATE)
        .union(FsRights::IOCTL_DEV);

    /// The right to make a file of this type.
    pub fn to_make(kind: FileType) -> FsRights {
        match kind {
            FileType::Regular => FsRights::MAKE_REG,
            FileType::Directory => FsRights::MAKE_DIR,
            FileType::Symlink => FsRights::MAKE_SYM,
            FileType::Fifo => FsRights::MAKE_FIFO,
            FileType::Socket => FsRights::MAKE_SOCK,
            FileType::CharDevice => FsRights::MAKE_CHAR,
            FileType::BlockDevice => FsRights::MAKE_BLOCK,
        }
    }
}

/// A rule keeps its inode, so that the address stays its own.
#[derive(Clone)]
struct FsRule {
    _inode: Arc<dyn Inode>,
    rights: FsRights,
}

/// What is handled, and what is allowed of that.
#[derive(Clone, Default)]
pub struct Ruleset {
    fs: FsRights,
    net: NetRights,
    scopes: Scopes,
    files: HashMap<usize, FsRule>,
    ports: BTreeMap<u16, NetRights>,
}

fn key(inode: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(inode).cast::<()>().addr()
}

impl Ruleset {
    /// One without rules: `ENOMSG` if it handles nothing.
    pub fn new(fs: FsRights, net: NetRights, scopes: Scopes) -> Result<Ruleset> {
        if fs.is_empty() && net.is_empty() && scopes.is_empty() {
            return Err(Errno::ENOMSG);
        }
        Ok(Ruleset {
            fs,
            net,
            scopes,
            ..Ruleset::default()
        })
    }

    fn full(&self) -> Result<()> {
        let full = self.files.len() + self.ports.len() >= MAX_RULES;
        if full { Err(Errno::E2BIG) } else { Ok(()) }
    }

    /// Allows `rights` below an inode: `EINVAL` for rights that are not handled, or not of
    /// files where it is one.
    pub fn allow_path(&mut self, inode: Arc<dyn Inode>, rights: FsRights) -> Result<()> {
        if inode.kind() != FileType::Directory && !FsRights::OF_FILES.contains(rights) {
            return Err(Errno::EINVAL);
        }
        if let Some(rule) = self.files.get_mut(&key(&inode)) {
            rule.rights |= rights;
            return Ok(());
        }
        self.full()?;
        let rule = FsRule {
            _inode: inode.clone(),
            rights,
        };
        self.files.insert(key(&inode), rule);
        Ok(())
    }

    /// Whether files, or ports, are handled with all of these rights; `EINVAL`.
    pub fn handles(&self, fs: FsRights, net: NetRights) -> Result<()> {
        let handled = self.fs.contains(fs) && self.net.contains(net);
        if handled { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Allows `rights` for a port.
    pub fn allow_port(&mut self, port: u16, rights: NetRights) -> Result<()> {
        if !self.ports.contains_key(&port) {
            self.full()?;
        }
        *self.ports.entry(port).or_default() |= rights;
        Ok(())
    }

    /// What its rule for an inode allows.
    fn of_inode(&self, inode: &Arc<dyn Inode>) -> FsRights {
        let rule = self.files.get(&key(inode));
        rule.map_or(FsRights::empty(), |r| r.rights)
    }
}

/// A ruleset behind a descriptor.
pub struct RulesetFile(pub Mutex<Ruleset>);

impl RulesetFile {
    /// A description of it.
    pub fn open(ruleset: Ruleset) -> Arc<File> {
        let ops = Arc::new(RulesetFile(Mutex::new(ruleset)));
        File::anonymous(ops, OpenFlags::RDWR)
    }
}

impl FileOps for RulesetFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn description(&self) -> String {
        "anon_inode:[landlock-ruleset]".to_owned()
    }
}

/// The restrictions of a task, one layer on top of the other; all of them hold.
#[derive(Clone, Default)]
pub struct Domain(Option<Arc<Vec<Arc<Ruleset>>>>);

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({} layers)", self.layers().len())
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Domain) -> bool {
        self.within(other) && other.within(self)
    }
}

impl Eq for Domain {}

impl Domain {
    fn layers(&self) -> &[Arc<Ruleset>] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// With one more layer: `E2BIG`.
    pub fn with(&self, ruleset: &Ruleset) -> Result<Domain> {
        let mut layers = self.layers().to_vec();
        if layers.len() >= MAX_LAYERS {
            return Err(Errno::E2BIG);
        }
        layers.push(Arc::new(ruleset.clone()));
        Ok(Domain(Some(Arc::new(layers))))
    }

    /// Whether every layer of `above` is one of this too.
    pub fn within(&self, above: &Domain) -> bool {
        let (mine, theirs) = (self.layers(), above.layers());
        mine.len() >= theirs.len() && mine.iter().zip(theirs).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Whether any layer restricts files.
    fn restricts_files(&self) -> bool {
        self.layers().iter().any(|l| !l.fs.is_empty())
    }

    /// Whether a scope keeps this from reaching `other`.
    pub fn scoped_from(&self, other: &Domain, scope: Scopes) -> bool {
        let theirs = other.layers();
        let shared = |i: usize, l: &Arc<Ruleset>| theirs.get(i).is_some_and(|t| Arc::ptr_eq(t, l));
        let mut layers = self.layers().iter().enumerate();
        layers.any(|(i, l)| l.scopes.contains(scope) && !shared(i, l))
    }

    /// Whether a TCP socket may do this with a port; `EACCES`.
    pub fn check_port(&self, port: u16, rights: NetRights) -> Result<()> {
        let denies = |l: &Arc<Ruleset>| {
            let allowed = l.ports.get(&port).copied().unwrap_or_default();
            !allowed.contains(rights & l.net)
        };
        if self.layers().iter().any(denies) {
            return Err(Errno::EACCES);
        }
        Ok(())
    }
}

/// Whether a task with these credentials may change what is mounted; `EPERM`.
pub fn check_mount(creds: &Creds) -> Result<()> {
    if creds.landlock.restricts_files() {
        return Err(Errno::EPERM);
    }
    Ok(())
}
