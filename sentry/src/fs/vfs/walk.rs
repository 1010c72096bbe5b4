//! The path walk (`path_resolution(7)`, `openat2(2)`): from a text to a [`Path`].
//!
//! [`lookup`] finds what a path names; [`Walker::parent`] stops before the last component,
//! for everything that creates, removes or renames.

use std::sync::Arc;

use abi::Errno;

use super::attr::FileType;
use super::dentry::Dentry;
use super::device::DeviceTable;
use super::inode::{Inode, Symlink};
use super::mount::{MountFlags, Path};
use super::namespace::MountNamespace;
use super::perm::{self, Access};
use crate::Result;
use crate::creds::Creds;
use crate::task::Task;

/// Most symbolic links followed in one walk.
const MAX_LINKS: u32 = 40;

/// Who walks: where it stands and what it may do.
#[derive(Clone)]
pub struct WalkCx<'a> {
    /// Where `/` leads.
    pub root: Path,
    /// Where relative paths start.
    pub cwd: Path,
    /// Credentials.
    pub creds: Arc<Creds>,
    /// File mode creation mask.
    pub umask: u32,
    /// The task; `None` for the kernel itself.
    pub task: Option<&'a Arc<Task>>,
    /// Openers of device nodes, when the walk may open.
    pub devices: Option<&'a DeviceTable>,
}

impl<'a> WalkCx<'a> {
    /// On behalf of a task.
    pub fn of(t: &'a Arc<Task>) -> WalkCx<'a> {
        let fs = t.fs();
        WalkCx {
            root: fs.root(),
            cwd: fs.cwd(),
            creds: t.creds(),
            umask: fs.umask(),
            task: Some(t),
            devices: Some(&t.kernel.devices),
        }
    }

    /// The mount namespace it is in.
    pub fn namespace(&self) -> Option<Arc<MountNamespace>> {
        match self.task {
            Some(t) => t.fs().mounts(),
            None => self.root.mount.namespace(),
        }
    }

    /// On behalf of the kernel (boot, loader), seeing `root`, as root.
    pub fn kernel(root: Path) -> WalkCx<'static> {
        WalkCx {
            cwd: root.clone(),
            root,
            creds: Arc::new(Creds::root()),
            umask: 0,
            task: None,
            devices: None,
        }
    }
}

bitflags::bitflags! {
    /// How to walk.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct WalkFlags: u32 {
        /// Follow a symbolic link in the last component.
        const FOLLOW = 1;
        /// The result must be a directory.
        const DIRECTORY = 2;
        /// An empty path means the start.
        const EMPTY_PATH = 4;
        /// `RESOLVE_NO_XDEV`.
        const NO_XDEV = 8;
        /// `RESOLVE_NO_MAGICLINKS`.
        const NO_MAGICLINKS = 0x10;
        /// `RESOLVE_NO_SYMLINKS`.
        const NO_SYMLINKS = 0x20;
        /// `RESOLVE_BENEATH`.
        const BENEATH = 0x40;
        /// `RESOLVE_IN_ROOT`.
        const IN_ROOT = 0x80;
        /// The result is to be unmounted: it is the topmost mount there, and the way to it is
        /// no use of it.
        const UNMOUNT = 0x100;
    }
}

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// A name; with slashes behind it when the flag is set.
    Name(Vec<u8>, bool),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// Nothing but slashes.
    Root,
}

/// A walk under way.
pub struct Walker<'c, 'a> {
    cx: &'c WalkCx<'a>,
    flags: WalkFlags,
    /// What `..` and absolute links cannot leave.
    root: Path,
    at: Path,
    links: u32,
}

/// What one component led to.
enum Step {
    /// A place.
    Place(Path),
    /// A symbolic link.
    Link(Path, Arc<dyn Inode>),
}

impl<'c, 'a> Walker<'c, 'a> {
    /// Starts at `start`.
    pub fn new(cx: &'c WalkCx<'a>, start: &Path, flags: WalkFlags) -> Walker<'c, 'a> {
        let confined = flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT);
        Walker {
            cx,
            flags,
            root: if confined { start } else { &cx.root }.clone(),
            at: start.clone(),
            links: 0,
        }
    }

    /// Walks all of `name`.
    fn whole(&mut self, name: &[u8]) -> Result<Path> {
        if name.is_empty() {
            return if self.flags.contains(WalkFlags::EMPTY_PATH) {
                Ok(self.at.clone())
            } else {
                Err(Errno::ENOENT)
            };
        }
        let mut text = name.to_vec();
        loop {
            let last = self.parent(&text)?;
            let (name, slashes) = match last {
                Last::Name(name, slashes) => (name, slashes),
                Last::DotDot => {
                    self.dotdot()?;
                    break;
                }
                Last::Dot | Last::Root => break,
            };
            let follow = slashes || self.flags.contains(WalkFlags::FOLLOW);
            match self.step(&name)? {
                Step::Link(_, link) if follow => match self.link_text(&*link)? {
                    Some(mut target) => {
                        if slashes {
                            target.push(b'/');
                        }
                        text = target;
                    }
                    None => {
                        self.must_be_dir(slashes)?;
                        break;
                    }
                },
                Step::Link(place, _) | Step::Place(place) => {
                    self.at = place;
                    self.must_be_dir(slashes)?;
                    break;
                }
            }
        }
        self.must_be_dir(self.flags.contains(WalkFlags::DIRECTORY))?;
        if self.flags.contains(WalkFlags::UNMOUNT) {
            self.at.cross_mounts();
        } else {
            self.at.mount.used();
        }
        Ok(self.at.clone())
    }

    fn must_be_dir(&self, wanted: bool) -> Result<()> {
        if wanted && self.at.inode()?.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(())
    }

    /// Walks to the directory of the last component, which becomes the walk's place, and
    /// returns that component. The directory may be searched.
    pub fn parent(&mut self, name: &[u8]) -> Result<Last> {
        if name.is_empty() {
            return Err(Errno::ENOENT);
        }
        let mut text = name.to_vec();
        let mut pos = 0;
        if text.first() == Some(&b'/') {
            self.go_to_root()?;
        }
        loop {
            let rest = text.get(pos..).unwrap_or_default();
            let lead = rest.iter().take_while(|&&b| b == b'/').count();
            let rest = rest.get(lead..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(Last::Root);
            }
            self.may_search()?;
            let len = rest.iter().take_while(|&&b| b != b'/').count();
            let comp = rest.get(..len).unwrap_or_default();
            let tail = rest.get(len..).unwrap_or_default();
            let last = tail.iter().all(|&b| b == b'/');
            match comp {
                b"." if last => return Ok(Last::Dot),
                b"." => {}
                b".." if last => return Ok(Last::DotDot),
                b".." => self.dotdot()?,
                _ if len > abi::NAME_MAX => return Err(Errno::ENAMETOOLONG),
                _ if last => return Ok(Last::Name(comp.to_vec(), !tail.is_empty())),
                _ => match self.step(comp)? {
                    Step::Place(place) => self.at = place,
                    Step::Link(_, link) => {
                        if let Some(mut target) = self.link_text(&*link)? {
                            target.extend_from_slice(tail);
                            if target.first() == Some(&b'/') {
                                self.go_to_root()?;
                            }
                            (text, pos) = (target, 0);
                            continue;
                        }
                    }
                },
            }
            pos += lead + len;
        }
    }

    /// The place the walk stands at.
    pub fn place(&self) -> &Path {
        &self.at
    }

    fn go_to_root(&mut self) -> Result<()> {
        if self.flags.contains(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        // An absolute path may name another mount, an absolute link may not lead there.
        let by_link = self.links > 0 && self.flags.contains(WalkFlags::NO_XDEV);
        if by_link && !Arc::ptr_eq(&self.at.mount, &self.root.mount) {
            return Err(Errno::EXDEV);
        }
        self.at = self.root.clone();
        Ok(())
    }

    fn may_search(&self) -> Result<()> {
        let inode = self.at.inode()?;
        if inode.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        perm::check(&self.cx.creds, &*inode, Access::X)
    }

    fn dotdot(&mut self) -> Result<()> {
        let xdev = self.flags.contains(WalkFlags::NO_XDEV);
        loop {
            if self.at == self.root {
                if self.flags.contains(WalkFlags::BENEATH) {
                    return Err(Errno::EXDEV);
                }
                break;
            }
            if !Arc::ptr_eq(&self.at.dentry, &self.at.mount.root) {
                if let Some(parent) = self.at.dentry.parent() {
                    self.at.dentry = parent;
                }
                break;
            }
            let Some(point) = self.at.mount.point() else {
                break;
            };
            if xdev {
                return Err(Errno::EXDEV);
            }
            self.at = point;
        }
        if self.at.cross_mounts() && xdev {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// One component down; `ENOENT`.
    fn step(&mut self, name: &[u8]) -> Result<Step> {
        let dentry = child(&self.at, name)?;
        let mut place = Path {
            mount: self.at.mount.clone(),
            dentry,
        };
        if place.cross_mounts() && self.flags.contains(WalkFlags::NO_XDEV) {
            return Err(Errno::EXDEV);
        }
        let inode = place.inode()?;
        if inode.kind() == FileType::Symlink {
            return Ok(Step::Link(place, inode));
        }
        Ok(Step::Place(place))
    }

    /// Follows a link found at the walk's place: its text, or `None` when it led straight
    /// to a place, at which the walk then stands.
    pub fn link_text(&mut self, link: &dyn Inode) -> Result<Option<Vec<u8>>> {
        self.links += 1;
        let off = self.flags.contains(WalkFlags::NO_SYMLINKS)
            || self.at.mount.flags().contains(MountFlags::NOSYMFOLLOW);
        if self.links > MAX_LINKS || off {
            return Err(Errno::ELOOP);
        }
        match link.readlink(self.cx.task)? {
            Symlink::Target(text) if text.is_empty() => Err(Errno::ENOENT),
            Symlink::Target(text) => Ok(Some(text)),
            Symlink::Jump(_) if self.flags.contains(WalkFlags::NO_MAGICLINKS) => Err(Errno::ELOOP),
            Symlink::Jump(_)
                if self
                    .flags
                    .intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT) =>
            {
                Err(Errno::EXDEV)
            }
            Symlink::Jump(to) => {
                if self.flags.contains(WalkFlags::NO_XDEV)
                    && !Arc::ptr_eq(&to.mount, &self.at.mount)
                {
                    return Err(Errno::EXDEV);
                }
                self.at = to;
                Ok(None)
            }
        }
    }
}

/// Finds what `name` is called in a context: absolute from its root, else from `start`.
pub fn lookup(cx: &WalkCx<'_>, start: &Path, name: &[u8], flags: WalkFlags) -> Result<Path> {
    Walker::new(cx, start, flags).whole(name)
}

/// The dentry of `name` in the directory at `dir`, positive or negative, from the cache or
/// the file system. Mounts on it are not crossed.
pub fn child(dir: &Path, name: &[u8]) -> Result<Arc<Dentry>> {
    let parent = dir.inode()?;
    if let Some(found) = cached_child(dir, &parent, name) {
        return Ok(found);
    }
    let _lock = dir.dentry.lock_dir();
    child_locked(dir, &parent, name)
}

/// As [`child`], with the directory's lock held by the caller.
pub fn child_locked(dir: &Path, parent: &Arc<dyn Inode>, name: &[u8]) -> Result<Arc<Dentry>> {
    if let Some(found) = cached_child(dir, parent, name) {
        return Ok(found);
    }
    if dir.dentry.is_dead() {
        // A made-up directory says itself why there is nothing any more.
        let made_up = dir.mount.fs.missing_is_error();
        let why = made_up.then(|| parent.lookup(name).err()).flatten();
        return Err(why.unwrap_or(Errno::ENOENT));
    }
    match parent.lookup(name) {
        Ok(inode) => Ok(dir.dentry.insert(name, Some(inode))),
        Err(Errno::ENOENT) if !dir.mount.fs.missing_is_error() => Ok(dir.dentry.insert(name, None)),
        Err(e) => Err(e),
    }
}

/// The cached child if it still holds.
fn cached_child(dir: &Path, parent: &Arc<dyn Inode>, name: &[u8]) -> Option<Arc<Dentry>> {
    let found = dir.dentry.cached(name)?;
    if dir.mount.sb.revalidate && found.mounts().load(std::sync::atomic::Ordering::Acquire) == 0 {
        let inode = found.inode();
        if !parent.still_valid(name, inode.as_ref()) {
            found.kill();
            return None;
        }
    }
    Some(found)
}
