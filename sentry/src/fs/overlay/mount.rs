//! Overlays a guest mounts: `lowerdir=a:b,upperdir=u,workdir=w`.

use std::sync::Arc;

use abi::Errno;

use super::OverlayFs;
use crate::Result;
use crate::fs::vfs::fs_type::{MountRequest, Options, Value};
use crate::fs::vfs::{FileSystem, Path, WalkFlags, lookup};

/// Options of a mount.
pub const OPTIONS: Options = &[
    ("lowerdir", Value::Text),
    ("upperdir", Value::Text),
    ("workdir", Value::Text),
    ("volatile", Value::Flag),
    ("userxattr", Value::Flag),
    ("xino", Value::Text),
    ("index", Value::Text),
    ("metacopy", Value::Text),
];

/// Most lower layers.
const MAX_LOWER: usize = 64;

fn place(request: &MountRequest<'_>, name: &[u8]) -> Result<Path> {
    let flags = WalkFlags::FOLLOW | WalkFlags::DIRECTORY;
    lookup(request.cx, &request.cx.cwd, name, flags)
}

/// `mount -t overlay`. Without `upperdir` the topmost lower layer stands in its place, and
/// the mount must be read-only.
pub fn mount(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    let (mut lower, mut upper) = (Vec::new(), None);
    for (name, value) in request.options() {
        match (name, value) {
            (b"lowerdir", Some(list)) => {
                for part in list.split(|&b| b == b':').filter(|p| !p.is_empty()) {
                    lower.push(place(request, part)?);
                }
            }
            (b"upperdir", Some(dir)) => upper = Some(place(request, dir)?),
            (b"workdir", Some(dir)) => {
                place(request, dir)?;
            }
            (b"volatile" | b"xino" | b"index" | b"metacopy" | b"userxattr", _) => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    if lower.is_empty() || lower.len() > MAX_LOWER {
        return Err(Errno::EINVAL);
    }
    // The first lower directory is the topmost; layers are put on from the last.
    let mut layers: Vec<Path> = upper.into_iter().chain(lower).collect();
    let bottom = layers.pop().ok_or(Errno::EINVAL)?;
    let mut below = bottom.inode()?;
    let mut made: Option<Arc<OverlayFs>> = None;
    while let Some(layer) = layers.pop() {
        let dev = request.kernel.fs_types.new_dev();
        let fs = OverlayFs::new(dev, below, layer.inode()?, layer.mount.fs.clone())?;
        below = fs.root()?;
        made = Some(fs);
    }
    let options = String::from_utf8_lossy(request.options).into_owned();
    Ok(made.ok_or(Errno::EINVAL)?.with_options(options))
}
