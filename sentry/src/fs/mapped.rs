//! What `mmap(2)` gets of an open file: its data under its name.

use std::sync::Arc;

use super::file::File;
use super::vfs::Path;
use crate::Result;
use crate::mm::{Backing, MapIdentity, Mappable, Mappers};

/// The data of a file that was opened by path; keeps the place in use.
struct Named {
    data: Arc<dyn Mappable>,
    path: Path,
}

impl File {
    /// What `mmap(2)` maps; `ENODEV`. The name in `/proc/PID/maps` follows renames.
    pub fn mappable(&self) -> Result<Arc<dyn Mappable>> {
        let data = self.ops.mappable()?;
        Ok(match &self.path {
            Some(path) if !data.anonymous() => Arc::new(Named {
                data,
                path: path.clone(),
            }),
            _ => data,
        })
    }
}

impl Mappable for Named {
    fn frames(&self, offset: u64, len: u64, write: bool) -> Result<Backing> {
        self.data.frames(offset, len, write)
    }
    fn size(&self) -> u64 {
        self.data.size()
    }
    fn identity(&self) -> MapIdentity {
        MapIdentity {
            path: self.path.full_text(),
            ..self.data.identity()
        }
    }
    fn place(&self) -> Option<Path> {
        Some(self.path.clone())
    }
    fn mapped(&self, delta: i32, shared_write: bool) {
        self.data.mapped(delta, shared_write);
    }
    fn may_write(&self) -> Result<()> {
        self.data.may_write()
    }
    fn mappers(&self) -> Option<&Mappers> {
        self.data.mappers()
    }
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.data.discard(offset, len)
    }
    fn sync(&self, offset: u64, len: u64) -> Result<()> {
        self.data.sync(offset, len)
    }
}
