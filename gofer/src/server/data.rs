//! Descriptors for data, and data through the gofer where none was donated.

use abi::Errno;
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;

use super::answer::Answer;
use super::pool::Server;
use crate::attr::FileKind;
use crate::errno;
use crate::proto::Handle;

impl Server {
    /// A descriptor of a regular file for the Sentry to keep.
    pub(super) fn open(&self, file: Handle, read: bool, write: bool) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        // A directory descriptor would let the Sentry name files on the host.
        node.require(
            FileKind::Regular,
            if node.kind == FileKind::Directory {
                Errno::EISDIR
            } else {
                Errno::ENXIO
            },
        )?;
        let flags = match (read, write) {
            (_, false) => OFlags::RDONLY,
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
        };
        if write {
            node.writable()?;
        }
        Ok(Answer {
            fd: Some(self.reopen(&node, flags)?),
            ..Answer::default()
        })
    }

    /// Reads; the answer's data is shorter only at the end of the file.
    pub(super) fn pread(
        &self,
        file: Handle,
        offset: u64,
        len: u32,
        data: &mut Vec<u8>,
    ) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        node.require(FileKind::Regular, Errno::EISDIR)?;
        let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        let fd = self.reopen(&node, OFlags::RDONLY)?;
        data.reserve(len);
        while data.len() < len {
            let at = offset.checked_add(data.len() as u64).ok_or(Errno::EINVAL)?;
            match rustix::io::pread(&fd, spare_capacity(data), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) if !data.is_empty() => break,
                Err(e) => return Err(errno(e)),
            }
        }
        data.truncate(len);
        Ok(Answer::default())
    }

    /// Writes; `value` is the number of bytes written.
    pub(super) fn pwrite(&self, file: Handle, offset: u64, data: &[u8]) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        node.require(FileKind::Regular, Errno::EISDIR)?;
        node.writable()?;
        let fd = self.reopen(&node, OFlags::WRONLY)?;
        let value = loop {
            match rustix::io::pwrite(&fd, data, offset) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.map_err(errno)?,
            }
        };
        Ok(Answer {
            value: value as u64,
            ..self.attr_answer(&node)?
        })
    }

    /// Data (and attributes) of a file, or a directory's entries, to stable storage.
    pub(super) fn fsync(&self, file: Handle, data_only: bool) -> Result<Answer, Errno> {
        let node = self.table.get(file)?;
        let fd = self.reopen(&node, OFlags::RDONLY)?;
        let synced = if data_only {
            rustix::fs::fdatasync(&fd)
        } else {
            rustix::fs::fsync(&fd)
        };
        synced.map_err(errno)?;
        Ok(Answer::default())
    }
}
