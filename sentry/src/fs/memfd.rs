//! Anonymous memory files (`memfd_create(2)`): unnamed files of a tmpfs nobody sees.

use std::sync::Arc;

use super::file::{File, OpenFlags};
use super::seals::{F_SEAL_EXEC, Seals};
use super::tmpfs::{TmpFs, TmpOptions};
use super::vfs::{FileSystem, Mount, MountFlags, Owner, Path, SuperBlock};
use crate::Result;
use crate::kernel::Kernel;
use crate::sync::Mutex;

/// The tmpfs behind memfds and System V shared memory, made when first needed.
#[derive(Default)]
pub struct MemfdMount(Mutex<Option<(Arc<TmpFs>, Arc<Mount>)>>);

impl MemfdMount {
    fn get(&self, kernel: &Kernel) -> Result<(Arc<TmpFs>, Arc<Mount>)> {
        let mut slot = self.0.lock();
        if let Some(made) = &*slot {
            return Ok(made.clone());
        }
        let fs = TmpFs::new(
            kernel.frames.clone(),
            kernel.clock.clone(),
            kernel.fs_types.new_dev(),
            TmpOptions::default(),
        );
        let sb = SuperBlock::new(fs.clone() as Arc<dyn FileSystem>)?;
        let root = sb.root.clone();
        let mount = Mount::new(0, sb, root, b"tmpfs", MountFlags::default());
        *slot = Some((fs.clone(), mount.clone()));
        Ok((fs, mount))
    }
}

/// How a memory file is made.
#[derive(Clone, Copy, Debug)]
pub struct MemfdHow {
    /// Owner.
    pub owner: Owner,
    /// Whether programs in it may be executed; else that is sealed.
    pub executable: bool,
    /// Initial seals.
    pub seals: u32,
}

/// A new memory file, open for reading and writing.
pub fn create(kernel: &Kernel, name: &[u8], how: MemfdHow) -> Result<Arc<File>> {
    let (fs, mount) = kernel.memfds.get(kernel)?;
    let (perm, seals) = if how.executable {
        (0o777, how.seals)
    } else {
        (0o666, how.seals | F_SEAL_EXEC)
    };
    let inode = fs.memfd(perm, how.owner, Seals::new(seals))?;
    let flags = OpenFlags::RDWR | OpenFlags::LARGEFILE;
    let ops = inode.clone().open(flags, None)?;
    let name = [b"memfd:".as_slice(), name].concat();
    let dentry = mount.root.unnamed(&name, inode);
    Ok(File::new(ops, flags, Some(Path { mount, dentry })))
}
