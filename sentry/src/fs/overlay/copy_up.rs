//! Copying a file to the upper layer before its first change.

use std::sync::Arc;

use abi::Errno;

use super::inode::OvlInode;
use super::{ORIGIN, find};
use crate::Result;
use crate::fs::file::{File, OpenFlags};
use crate::fs::vfs::{Attr, FileType, Inode, Owner, SetAttr, Symlink, TimeSet};
use crate::io::{KernelDst, KernelSrc};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 16;

impl OvlInode {
    /// The upper inode, made now if the file is only in the lower layer, together with the
    /// directories above it. `data` false: the content is about to be cut off anyway.
    pub(super) fn copy_up(self: &Arc<OvlInode>, data: bool) -> Result<Arc<dyn Inode>> {
        if let Some(upper) = &self.layers.read().upper {
            return Ok(upper.clone());
        }
        let _copying = self.shared.copying.lock();
        let mut chain = vec![self.clone()];
        while let Some(last) = chain.last()
            && last.layers.read().upper.is_none()
        {
            let place = last.place.lock().clone();
            let (parent, _) = place.ok_or(Errno::ESTALE)?;
            chain.push(parent);
        }
        while let Some(next) = chain.pop() {
            if next.layers.read().upper.is_none() {
                let upper = next.copy_one(data)?;
                next.layers.write().upper = Some(upper);
            }
        }
        self.real()
    }

    /// Copies one file into its directory, which is in the upper layer.
    fn copy_one(&self, data: bool) -> Result<Arc<dyn Inode>> {
        let (parent, name) = self.place.lock().clone().ok_or(Errno::ESTALE)?;
        let dir = parent.real()?;
        let lower = self.layers.read().lower.clone().ok_or(Errno::ESTALE)?;
        if let Some(there) = find(&dir, &name)? {
            return Ok(there);
        }
        let attr = lower.attr()?;
        let owner = Owner {
            uid: attr.uid,
            gid: attr.gid,
        };
        let upper = match attr.kind {
            FileType::Directory => dir.mkdir(&name, attr.perm, owner)?,
            FileType::Regular => {
                let file = dir.tmpfile(attr.perm, owner)?;
                if data {
                    copy_data(&lower, &file)?;
                }
                dir.link(&name, &file)?;
                file
            }
            FileType::Symlink => match lower.readlink(None)? {
                Symlink::Target(text) => dir.symlink(&name, &text, owner)?,
                Symlink::Jump(_) => return Err(Errno::EXDEV),
            },
            kind => dir.mknod(&name, kind, attr.perm, attr.rdev, owner)?,
        };
        copy_attributes(&lower, &upper)?;
        // A number that changes with the first write would confuse who compares it.
        let _ = upper.set_xattr(ORIGIN, &attr.ino.to_ne_bytes(), 0);
        keep_for_other_names(self, &attr, &upper);
        Ok(upper)
    }
}

/// Other names of the lower file must lead to the copy from now on.
fn keep_for_other_names(inode: &OvlInode, attr: &Attr, upper: &Arc<dyn Inode>) {
    if attr.kind != FileType::Directory && attr.nlink > 1 {
        let mut copies = inode.shared.copies.lock();
        copies.insert(attr.ino, upper.clone());
    }
}

/// Owner, permission bits, times and extended attributes.
pub(super) fn copy_attributes(from: &Arc<dyn Inode>, to: &Arc<dyn Inode>) -> Result<()> {
    let attr = from.attr()?;
    for name in from.list_xattr().unwrap_or_default() {
        if let Ok(value) = from.get_xattr(&name) {
            // What the upper layer does not store is lost, as on Linux.
            let _ = to.set_xattr(&name, &value, 0);
        }
    }
    to.set_attr(&SetAttr {
        perm: (attr.kind != FileType::Symlink).then_some(attr.perm),
        uid: Some(attr.uid),
        gid: Some(attr.gid),
        size: None,
        atime: Some(TimeSet::To(attr.atime)),
        mtime: Some(TimeSet::To(attr.mtime)),
    })
}

fn copy_data(from: &Arc<dyn Inode>, to: &Arc<dyn Inode>) -> Result<()> {
    let source = from.clone().open(OpenFlags::default(), None)?;
    let source = File::new(source, OpenFlags::default(), None);
    let target = to.clone().open(OpenFlags::RDWR, None)?;
    let target = File::new(target, OpenFlags::RDWR, None);
    let mut buf = vec![0; CHUNK];
    let mut pos = 0u64;
    loop {
        let n = {
            let mut dst = KernelDst::new(&mut buf);
            source.ops.read(&source.cx(None), &mut dst, pos)?
        };
        let chunk = buf.get(..n).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        // Holes stay holes.
        if chunk.iter().any(|b| *b != 0) {
            write_all(&target, chunk, pos)?;
        }
        pos = pos.saturating_add(n as u64);
    }
    target.ops.truncate(&target.cx(None), pos)
}

fn write_all(target: &Arc<File>, mut bytes: &[u8], mut pos: u64) -> Result<()> {
    while !bytes.is_empty() {
        let mut src = KernelSrc::new(bytes);
        let n = target.ops.write(&target.cx(None), &mut src, pos)?;
        if n == 0 {
            return Err(Errno::EIO);
        }
        bytes = bytes.get(n..).unwrap_or_default();
        pos = pos.saturating_add(n as u64);
    }
    Ok(())
}
