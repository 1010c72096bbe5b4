//! What a domain allows with files (`landlock(7)`, "Filesystem flags").
//!
//! A right is there if in each layer that handles it a rule grants it, for the file or for a
//! directory above it, up to the root of the tree.

use std::sync::Arc;

use abi::Errno;

use super::{Domain, FsRights, Ruleset};
use crate::Result;
use crate::creds::Creds;
use crate::fs::vfs::{Dentry, FileType, Path, anon};

/// Rights that even a layer that does not handle them takes away.
const DENIED_ALWAYS: FsRights = FsRights::REFER;

impl Ruleset {
    fn handled(&self) -> FsRights {
        self.fs | DENIED_ALWAYS
    }
}

/// What each layer grants at a place, by rules for what is there and above.
fn granted(domain: &Domain, place: &Path) -> Vec<FsRights> {
    let mut all = vec![FsRights::empty(); domain.layers().len()];
    let mut at = place.clone();
    loop {
        if let Some(inode) = at.dentry.inode() {
            for (sum, layer) in all.iter_mut().zip(domain.layers()) {
                *sum |= layer.of_inode(&inode);
            }
        }
        if Arc::ptr_eq(&at.dentry, &at.mount.root) {
            match at.mount.point() {
                Some(up) => at = up,
                None => return all,
            }
        } else {
            match at.dentry.parent() {
                Some(parent) => at.dentry = parent,
                None => return all,
            }
        }
    }
}

/// The rights among `wanted` that are not there.
fn missing(domain: &Domain, place: &Path, wanted: FsRights) -> FsRights {
    // What stands in no tree (a pipe reached through `/proc`) is not restricted.
    if anon::file_of(place).is_some() {
        return FsRights::empty();
    }
    let all = granted(domain, place);
    let denied = |(sum, layer): (&FsRights, &Arc<Ruleset>)| wanted & layer.handled() & !*sum;
    all.iter()
        .zip(domain.layers())
        .map(denied)
        .fold(FsRights::empty(), |a, b| a | b)
}

/// Whether all these rights are there; `EACCES`.
pub fn check(creds: &Creds, place: &Path, wanted: FsRights) -> Result<()> {
    let domain = &creds.landlock;
    if !domain.restricts_files() || missing(domain, place, wanted).is_empty() {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// Which of the rights that are asked for later, of the open file, are not there.
pub fn denied_later(creds: &Creds, place: &Path) -> FsRights {
    if !creds.landlock.restricts_files() {
        return FsRights::empty();
    }
    let later = FsRights::TRUNCATE | FsRights::IOCTL_DEV;
    missing(&creds.landlock, place, later)
}

/// A link or a rename between two directories.
pub struct Refer<'a> {
    /// The directory of the file, if a file of it goes away or may be linked from it.
    pub old_dir: &'a Path,
    /// The file.
    pub old: &'a Arc<Dentry>,
    /// Where it goes.
    pub new_dir: &'a Path,
    /// What has the new name.
    pub new: Option<&'a Arc<Dentry>>,
    /// The old name goes: a rename.
    pub moves: bool,
    /// The two change places.
    pub exchange: bool,
}

fn kind(dentry: &Arc<Dentry>) -> Option<FileType> {
    dentry.inode().map(|i| i.kind())
}

fn to_make(dentry: Option<&Arc<Dentry>>) -> FsRights {
    let kind = dentry.and_then(kind);
    kind.map_or(FsRights::empty(), FsRights::to_make)
}

fn to_remove(dentry: Option<&Arc<Dentry>>) -> FsRights {
    match dentry.and_then(kind) {
        Some(FileType::Directory) => FsRights::REMOVE_DIR,
        Some(_) => FsRights::REMOVE_FILE,
        None => FsRights::empty(),
    }
}

/// Whether a file that goes from a place with `from` to one with `to` gains nothing; `own` is
/// what rules say of the file itself.
fn gains_nothing(
    layer: &Ruleset,
    child: Option<&Arc<Dentry>>,
    from: FsRights,
    to: FsRights,
) -> bool {
    let Some(inode) = child.and_then(|c| c.inode()) else {
        return true;
    };
    let mut gained = to & !from & !layer.of_inode(&inode) & layer.handled();
    if inode.kind() != FileType::Directory {
        gained &= FsRights::OF_FILES;
    }
    gained.is_empty()
}

impl Refer<'_> {
    /// Whether it may be: `EACCES` where a right to make or remove is not there, `EXDEV`
    /// where only the move to another directory is not allowed.
    pub fn check(&self, creds: &Creds) -> Result<()> {
        let domain = &creds.landlock;
        if !domain.restricts_files() {
            return Ok(());
        }
        let mut at_old = FsRights::empty();
        let mut at_new = to_make(Some(self.old));
        if self.exchange {
            at_old |= to_make(self.new);
        }
        if self.moves {
            at_old |= to_remove(Some(self.old));
            at_new |= to_remove(self.new);
        }
        if Arc::ptr_eq(&self.old_dir.dentry, &self.new_dir.dentry) {
            return check(creds, self.new_dir, at_old | at_new);
        }
        let (from, to) = (granted(domain, self.old_dir), granted(domain, self.new_dir));
        let mut crosses = true;
        for ((layer, from), to) in domain.layers().iter().zip(from).zip(to) {
            let handled = layer.handled();
            let lacks = |wanted: FsRights, there: FsRights| wanted & handled & !there;
            if !(lacks(at_old, from) | lacks(at_new, to)).is_empty() {
                return Err(Errno::EACCES);
            }
            crosses &= (FsRights::REFER & handled & !(from & to)).is_empty();
            crosses &= gains_nothing(layer, Some(self.old), from, to);
            if self.exchange {
                crosses &= gains_nothing(layer, self.new, to, from);
            }
        }
        if crosses { Ok(()) } else { Err(Errno::EXDEV) }
    }
}
