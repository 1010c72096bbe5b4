//! `/proc/PID/map_files`: a link for each mapping of a file, named by its addresses.

use std::sync::Arc;

use abi::Errno;

use super::Subject;
use crate::Result;
use crate::fs::pseudo::{Dir, Jump, Tree};
use crate::fs::vfs::{FileType, Inode};
use crate::mm::vma::MapProt;

struct MapFiles(Subject);

/// `/proc/PID/map_files`.
pub fn dir(subject: &Subject) -> Arc<dyn Inode> {
    Dir::new(subject.node("map_files", 0o500), MapFiles(subject.clone()))
}

/// The two addresses of a name; only the spelling without leading zeros means them.
fn parse(name: &[u8]) -> Result<(u64, u64)> {
    let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    let (from, to) = name.split_once('-').ok_or(Errno::ENOENT)?;
    let address = |s| u64::from_str_radix(s, 16).map_err(|_| Errno::ENOENT);
    let (start, end) = (address(from)?, address(to)?);
    if format!("{start:x}-{end:x}") != name {
        return Err(Errno::ENOENT);
    }
    Ok((start, end))
}

impl Tree for MapFiles {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let (start, end) = parse(name)?;
        let task = self.0.task().map_err(|_| Errno::ENOENT)?;
        let (_, prot) = task.mm().file_mapped(start, end).ok_or(Errno::ENOENT)?;
        let mut perm = 0;
        perm |= if prot.contains(MapProt::READ) {
            0o500
        } else {
            0
        };
        perm |= if prot.contains(MapProt::WRITE) {
            0o300
        } else {
            0
        };
        let node = self.0.node(&format!("map_files/{start:x}-{end:x}"), perm);
        let subject = self.0.clone();
        Ok(Jump::new(node, move || {
            let task = subject.task().map_err(|_| Errno::ENOENT)?;
            let (link, _) = task.mm().file_mapped(start, end).ok_or(Errno::ENOENT)?;
            Ok(link)
        }))
    }

    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let task = self.0.task().map_err(|_| Errno::ENOENT)?;
        let lines = task.mm().map_lines(false);
        let files = lines.iter().filter(|l| l.is_file);
        Ok(files
            .map(|l| {
                (
                    format!("{:x}-{:x}", l.start, l.end).into_bytes(),
                    FileType::Symlink,
                )
            })
            .collect())
    }
}
