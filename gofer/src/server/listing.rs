//! Whole directories, with the attributes of what is in them, in one reply.

use std::os::fd::AsFd;

use abi::Errno;
use rustix::fs::{FileType, OFlags, RawDir};

use super::answer::{Answer, Sink};
use super::node::attr_at;
use super::pool::Server;
use crate::attr::{Attr, FileKind};
use crate::errno;
use crate::proto::dirent::DirentRef;
use crate::proto::{DATA_MAX, Handle, is_component};

/// Room for `getdents64(2)`.
const HOST_BUFFER: usize = 32 * 1024;

impl Server {
    /// Sends every entry but `.` and `..`; full messages at once, the rest with the answer,
    /// which also has the directory's own attributes from before the listing.
    pub(super) fn read_dir(
        &self,
        dir: Handle,
        (attrs, watch): (bool, bool),
        sink: &Sink<'_>,
        data: &mut Vec<u8>,
    ) -> Result<Answer, Errno> {
        let node = self.table.get(dir)?;
        node.require(FileKind::Directory, Errno::ENOTDIR)?;
        // Watched first: what changes during the listing is told.
        let watched = watch && self.watch(dir).is_ok();
        let answer = Answer {
            watched,
            ..self.attr_answer(&node)?
        };
        let fd = self.reopen(&node, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut buffer = Vec::with_capacity(HOST_BUFFER);
        let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(errno)?;
            let name = entry.file_name();
            if !is_component(name.to_bytes()) {
                continue;
            }
            // An entry that goes away meanwhile is listed without attributes.
            let attr = if attrs {
                attr_at(node.as_fd(), name).ok()
            } else {
                None
            };
            let out = DirentRef {
                name: name.to_bytes(),
                ino: attr.map_or(entry.ino(), |a| a.ino),
                dtype: dirent_type(entry.file_type(), attr.as_ref()),
                attr,
            };
            if data.len() + out.encoded_len() > DATA_MAX {
                sink.more(data)?;
                data.clear();
            }
            out.encode(data);
        }
        Ok(answer)
    }
}

fn dirent_type(host: FileType, attr: Option<&Attr>) -> u8 {
    if let Some(kind) = attr.and_then(Attr::kind) {
        return kind.dirent_type();
    }
    let kind = match host {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => return 0,
    };
    kind.dirent_type()
}
