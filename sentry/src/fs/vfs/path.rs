//! The text of a path (`d_path`): for `getcwd`, `/proc/PID/{fd,cwd,root,exe}`, maps and mounts.

use std::sync::Arc;

use abi::Errno;

use super::anon;
use super::mount::{Mount, Path};
use crate::Result;

impl Mount {
    /// Text of its root within the file system.
    pub fn root_in_fs(self: &Arc<Mount>) -> Vec<u8> {
        if let Some(file) = anon::file_of(&Path::root_of(self)) {
            return file.ops.description().into_bytes();
        }
        let mut names = Vec::new();
        let mut at = self.root.clone();
        while let Some((parent, name)) = at.place() {
            names.push(name);
            at = parent;
        }
        if names.is_empty() {
            return b"/".to_vec();
        }
        let names = names.iter().rev();
        names.flat_map(|n| [b"/".as_slice(), n].concat()).collect()
    }
}

impl Path {
    /// The absolute text as seen from `root`, with ` (deleted)` behind it when the name is
    /// gone. The flag tells whether `root` was met on the way up.
    pub fn text_reachable(&self, root: Option<&Path>) -> (Vec<u8>, bool) {
        if let Some(text) = anon::text(self) {
            return (text, true);
        }
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let mut at = self.clone();
        let mut reached = root.is_none();
        loop {
            if root.is_some_and(|r| *r == at) {
                reached = true;
                break;
            }
            if Arc::ptr_eq(&at.dentry, &at.mount.root) {
                match at.mount.point() {
                    Some(point) => at = point,
                    None => break,
                }
                continue;
            }
            let Some((parent, name)) = at.dentry.place() else {
                break;
            };
            names.push(name);
            at.dentry = parent;
        }
        let mut text = Vec::new();
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        if self.dentry.is_dead() {
            text.extend_from_slice(b" (deleted)");
        }
        (text, reached)
    }

    /// The absolute text as seen from `root`.
    pub fn text(&self, root: &Path) -> Vec<u8> {
        self.text_reachable(Some(root)).0
    }

    /// The absolute text from the top of the mount tree.
    pub fn full_text(&self) -> Vec<u8> {
        self.text_reachable(None).0
    }

    /// `getcwd(2)`: `ENOENT` for a directory that is gone; `(unreachable)` in front of one
    /// outside `root`.
    pub fn cwd_text(&self, root: &Path) -> Result<Vec<u8>> {
        if self.dentry.is_dead() {
            return Err(Errno::ENOENT);
        }
        let (text, reached) = self.text_reachable(Some(root));
        if reached {
            return Ok(text);
        }
        Ok([b"(unreachable)".as_slice(), &text].concat())
    }
}
