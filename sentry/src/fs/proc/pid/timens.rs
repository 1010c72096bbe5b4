//! `/proc/PID/timens_offsets` (`time_namespaces(7)`).

use std::sync::Arc;

use abi::Errno;

use super::Subject;
use crate::Result;
use crate::creds::{Cap, Creds};
use crate::fs::pseudo::{Text, TextSource};
use crate::fs::vfs::Inode;
use crate::task::Task;

/// The file's name.
pub(super) const NAME: &str = "timens_offsets";

/// Longest text written: less than a page.
const TEXT_MAX: usize = 4095;

/// The offsets of the time namespace that a process' children are in.
pub(super) fn file(s: &Subject) -> Arc<dyn Inode> {
    Text::new(s.node(NAME, 0o644), Source(s.clone()))
}

struct Source(Subject);

impl TextSource for Source {
    fn text(&self, _reader: Option<&Arc<Task>>) -> Result<Vec<u8>> {
        Ok(self.0.task()?.namespaces().time_for_children.text())
    }

    fn write_opened(
        &self,
        _writer: Option<&Arc<Task>>,
        opener: Option<&Arc<Creds>>,
        text: &[u8],
    ) -> Result<()> {
        if text.len() > TEXT_MAX {
            return Err(Errno::EINVAL);
        }
        let task = self.0.task()?;
        let ns = task.namespaces().time_for_children;
        ns.check_text(text)?;
        if !opener.is_some_and(|c| c.ns_capable(&ns.owner, Cap::SysTime)) {
            return Err(Errno::EPERM);
        }
        ns.set_text(&task.kernel, text)
    }
}
