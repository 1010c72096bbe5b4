//! Mount options of tmpfs (`tmpfs(5)`).

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};

use super::{TmpFs, TmpOptions};
use crate::Result;
use crate::fs::vfs::fs_type::{MountRequest, Options, Value};
use crate::fs::vfs::{FileSystem, Owner};

/// Options of a mount.
pub const OPTIONS: Options = &[
    ("size", Value::Size),
    ("nr_blocks", Value::Size),
    ("nr_inodes", Value::Size),
    ("mode", Value::Number(8)),
    ("uid", Value::Number(10)),
    ("gid", Value::Number(10)),
    ("huge", Value::Text),
    ("mpol", Value::Text),
    ("inode32", Value::Flag),
    ("inode64", Value::Flag),
    ("noswap", Value::Flag),
];

/// A number with a suffix `k`, `m`, `g`, `t` or, for a share of `whole`, `%`.
fn size(text: &[u8], whole: u64) -> Result<u64> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    if let Some(share) = text.strip_suffix('%') {
        let share: u64 = share.parse().map_err(|_| Errno::EINVAL)?;
        return Ok((whole / 100).saturating_mul(share));
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(Errno::EINVAL),
    };
    let n: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    n.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

fn number(text: &[u8], radix: u32) -> Result<u32> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    u32::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

/// Reads options; `EINVAL` for unknown ones. 0 means no limit.
pub fn parse(request: &MountRequest<'_>) -> Result<TmpOptions> {
    let whole = request.kernel.host.memory;
    let creds = &request.cx.creds;
    let owner = Owner {
        uid: creds.fsuid,
        gid: creds.fsgid,
    };
    let mut options = TmpOptions {
        owner,
        ..TmpOptions::default()
    };
    if whole != 0 {
        options.size = Some(whole / 2);
        options.inodes = Some(whole / 2 / PAGE_SIZE);
        options.usual = (options.size, options.inodes);
    }
    let limit = |n: u64| (n != 0).then_some(n);
    for (name, value) in request.options() {
        let value = || value.ok_or(Errno::EINVAL);
        match name {
            b"size" => options.size = limit(size(value()?, whole)?),
            b"nr_blocks" => {
                let blocks = size(value()?, whole)?;
                options.size = limit(blocks.saturating_mul(PAGE_SIZE));
            }
            b"nr_inodes" => options.inodes = limit(size(value()?, whole)?),
            b"mode" => options.mode = number(value()?, 8)? & 0o7777,
            b"uid" => {
                options.owner.uid = creds
                    .user_ns
                    .uid_to_kernel(number(value()?, 10)?)
                    .ok_or(Errno::EINVAL)?
            }
            b"gid" => {
                options.owner.gid = creds
                    .user_ns
                    .gid_to_kernel(number(value()?, 10)?)
                    .ok_or(Errno::EINVAL)?
            }
            b"huge" | b"mpol" | b"noswap" | b"inode32" | b"inode64" => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(options)
}

fn make(request: &MountRequest<'_>, options: TmpOptions) -> Arc<TmpFs> {
    let kernel = request.kernel;
    let (frames, clock) = (kernel.frames.clone(), kernel.clock.clone());
    TmpFs::new(frames, clock, kernel.fs_types.new_dev(), options)
}

/// `mount -t tmpfs`.
pub fn mount(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    Ok(make(request, parse(request)?))
}

impl TmpFs {
    /// Takes the limits that a remount names.
    pub(super) fn remount(&self, request: &MountRequest<'_>) -> Result<()> {
        let wanted = parse(request)?;
        let named = |names: &[&[u8]]| request.options().any(|(name, _)| names.contains(&name));
        let size = named(&[b"size", b"nr_blocks"]).then(|| wanted.size.unwrap_or(u64::MAX));
        let inodes = named(&[b"nr_inodes"]).then(|| wanted.inodes.unwrap_or(u64::MAX));
        self.set_limits(size, inodes)
    }
}

/// `mount -t ramfs`: no limits, unknown options ignored.
pub fn mount_ramfs(request: &MountRequest<'_>) -> Result<Arc<dyn FileSystem>> {
    let mut options = TmpOptions {
        mode: 0o755,
        ..TmpOptions::default()
    };
    for (name, value) in request.options() {
        if let (b"mode", Some(value)) = (name, value) {
            options.mode = number(value, 8)? & 0o7777;
        }
    }
    Ok(make(request, options).named("ramfs"))
}
