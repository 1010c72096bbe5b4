//! `/proc/PID/{uid_map,gid_map,setgroups}` (`user_namespaces(7)`).

use std::sync::Arc;

use abi::Errno;

use super::Subject;
use crate::Result;
use crate::creds::{Cap, Creds};
use crate::fs::pseudo::{Text, TextSource};
use crate::fs::vfs::Inode;
use crate::task::Task;
use crate::userns::UserNs;
use crate::userns::map::Which;

/// The files here.
pub(super) const NAMES: [&str; 3] = ["gid_map", "setgroups", "uid_map"];

/// Longest text of a map: less than a page.
const TEXT_MAX: usize = 4095;

/// One of them.
pub(super) fn file(s: &Subject, name: &'static str) -> Arc<dyn Inode> {
    let source = Source {
        subject: s.clone(),
        name,
    };
    Text::new(s.node(name, 0o644), source)
}

struct Source {
    subject: Subject,
    name: &'static str,
}

impl TextSource for Source {
    fn text(&self, reader: Option<&Arc<Task>>) -> Result<Vec<u8>> {
        let ns = self.subject.task()?.creds().user_ns.clone();
        let seen = reader.map_or(UserNs::INITIAL, |r| r.creds().user_ns.clone());
        Ok(match which(self.name) {
            Some(which) => ns.map_text(which, &seen),
            None if ns.setgroups_allowed() => b"allow\n".to_vec(),
            None => b"deny\n".to_vec(),
        })
    }

    fn write_opened(
        &self,
        writer: Option<&Arc<Task>>,
        opener: Option<&Arc<Creds>>,
        text: &[u8],
    ) -> Result<()> {
        let ns = self.subject.task()?.creds().user_ns.clone();
        let me = writer.ok_or(Errno::EPERM)?.creds();
        let opener = opener.ok_or(Errno::EPERM)?;
        if text.len() > TEXT_MAX {
            return Err(Errno::EINVAL);
        }
        if let Some(which) = which(self.name) {
            return ns.write_map(which, text, &me, opener);
        }
        if !opener.ns_capable(&ns, Cap::SysAdmin) {
            return Err(Errno::EACCES);
        }
        match text.trim_ascii_end() {
            b"allow" => ns.set_setgroups(true),
            b"deny" => ns.set_setgroups(false),
            _ => Err(Errno::EINVAL),
        }
    }
}

fn which(name: &str) -> Option<Which> {
    match name {
        "uid_map" => Some(Which::Uid),
        "gid_map" => Some(Which::Gid),
        _ => None,
    }
}
