//! Resources of the specification as cgroup files.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::{Paths, write};

/// Applies what makes sense for the sandbox as a whole. The first refusal is the result.
pub fn apply(paths: &Paths, r: &LinuxResources) -> Result<(), String> {
    if paths.is_empty() {
        return Ok(());
    }
    memory(paths, r)?;
    cpu(paths, r)?;
    block_io(paths, r)?;
    if !paths.unified() && r.unified().as_ref().is_some_and(|all| !all.is_empty()) {
        return Err("invalid configuration: unified resources need cgroup version 2".into());
    }
    if paths.unified()
        && let (Some(all), Some(dir)) = (r.unified(), paths.of(""))
    {
        for (file, value) in all {
            if file.contains('/') {
                return Err(format!(
                    "unified resource {file:?} must be a file name (no slashes)"
                ));
            }
            write(dir, file, value)?;
        }
    }
    Ok(())
}

fn memory(paths: &Paths, r: &LinuxResources) -> Result<(), String> {
    let (Some(m), Some(dir)) = (r.memory(), paths.of("memory")) else {
        return Ok(());
    };
    if paths.unified() {
        let text = |n: i64| {
            if n < 0 {
                "max".to_string()
            } else {
                n.to_string()
            }
        };
        if let Some(limit) = m.limit().filter(|l| *l != 0) {
            write(dir, "memory.max", &text(limit))?;
        }
        if let Some(low) = m.reservation().filter(|l| *l != 0) {
            write(dir, "memory.low", &text(low))?;
        }
        if let Some(both) = m.swap().filter(|l| *l != 0) {
            let swap = match m.limit() {
                Some(limit) if both >= 0 && limit > 0 => both.saturating_sub(limit),
                _ => both,
            };
            // Without swap on the host the file is missing, and there is nothing to limit.
            let _ = write(dir, "memory.swap.max", &text(swap));
        }
        return Ok(());
    }
    let limit = m.limit().filter(|l| *l != 0);
    let swap = m.swap().filter(|l| *l != 0);
    // memsw may never be below the limit.
    in_either_order(
        || set(dir, "memory.limit_in_bytes", limit),
        || set(dir, "memory.memsw.limit_in_bytes", swap),
    )?;
    let soft = m.reservation().filter(|l| *l != 0);
    set(dir, "memory.soft_limit_in_bytes", soft)
}

fn cpu(paths: &Paths, r: &LinuxResources) -> Result<(), String> {
    let Some(c) = r.cpu() else {
        return Ok(());
    };
    if let Some(dir) = paths.of("cpuset") {
        if let Some(cpus) = c.cpus().as_ref().filter(|s| !s.is_empty()) {
            write(dir, "cpuset.cpus", cpus)?;
        }
        if let Some(mems) = c.mems().as_ref().filter(|s| !s.is_empty()) {
            write(dir, "cpuset.mems", mems)?;
        }
    }
    let Some(dir) = paths.of("cpu") else {
        return Ok(());
    };
    let shares = c.shares().filter(|s| *s != 0);
    let quota = c.quota().filter(|q| *q != 0);
    let period = c.period().filter(|p| *p != 0);
    if paths.unified() {
        if let Some(shares) = shares {
            write(dir, "cpu.weight", &weight(shares).to_string())?;
        }
        if quota.is_some() || period.is_some() {
            let q = match quota {
                Some(q) if q > 0 => q.to_string(),
                _ => "max".to_string(),
            };
            write(
                dir,
                "cpu.max",
                &format!("{q} {}", period.unwrap_or(100_000)),
            )?;
        }
        return Ok(());
    }
    set(dir, "cpu.shares", shares)?;
    // A parent's limit may stand against either in between.
    in_either_order(
        || set(dir, "cpu.cfs_period_us", period),
        || set(dir, "cpu.cfs_quota_us", quota),
    )?;
    // The period cannot be set without room for the runtime in it.
    let period = c.realtime_period().filter(|p| *p != 0);
    let runtime = c.realtime_runtime().filter(|r| *r != 0);
    in_either_order(
        || set(dir, "cpu.rt_period_us", period),
        || set(dir, "cpu.rt_runtime_us", runtime),
    )
}

/// Writes a control file, if there is something to write.
fn set(dir: &Path, file: &str, value: Option<impl ToString>) -> Result<(), String> {
    value.map_or(Ok(()), |value| write(dir, file, &value.to_string()))
}

/// Does both: which can go first depends on what is set already.
fn in_either_order(
    first: impl Fn() -> Result<(), String>,
    second: impl Fn() -> Result<(), String>,
) -> Result<(), String> {
    if first().is_ok() {
        return second();
    }
    second()?;
    first()
}

/// Weights and throttles of block devices; version 1 only.
fn block_io(paths: &Paths, r: &LinuxResources) -> Result<(), String> {
    let (Some(b), Some(dir), false) = (r.block_io(), paths.of("blkio"), paths.unified()) else {
        return Ok(());
    };
    // The file is the scheduler's, and so has its name.
    let weight_file = |kind: &str| {
        let bfq = format!("blkio.bfq.{kind}");
        match dir.join(&bfq).exists() {
            true => bfq,
            false => format!("blkio.{kind}"),
        }
    };
    let weight = b.weight().filter(|w| *w != 0);
    set(dir, &weight_file("weight"), weight)?;
    for d in b.weight_device().iter().flatten() {
        if let Some(weight) = d.weight().filter(|w| *w != 0) {
            let line = format!("{}:{} {weight}", d.major(), d.minor());
            write(dir, &weight_file("weight_device"), &line)?;
        }
    }
    for (file, list) in [
        ("read_bps", b.throttle_read_bps_device()),
        ("write_bps", b.throttle_write_bps_device()),
        ("read_iops", b.throttle_read_iops_device()),
        ("write_iops", b.throttle_write_iops_device()),
    ] {
        for d in list.iter().flatten() {
            let line = format!("{}:{} {}", d.major(), d.minor(), d.rate());
            write(dir, &format!("blkio.throttle.{file}_device"), &line)?;
        }
    }
    Ok(())
}

/// Version 1's shares (2–262144) on version 2's scale (1–10000).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The number of CPUs that a quota or a CPU list leaves, if it leaves fewer than all.
pub fn cpus(r: Option<&LinuxResources>) -> Option<u32> {
    let c = r?.cpu().as_ref()?;
    let by_quota = match (c.quota(), c.period()) {
        (Some(q), period) if q > 0 => {
            let period = period.filter(|p| *p > 0).unwrap_or(100_000);
            let n = (q as u64).div_ceil(period).max(1);
            Some(u32::try_from(n).unwrap_or(u32::MAX))
        }
        _ => None,
    };
    let by_list = c.cpus().as_ref().and_then(|l| count(l));
    match (by_quota, by_list) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// How many CPUs a list such as `0-2,7` names.
fn count(list: &str) -> Option<u32> {
    let mut n = 0u32;
    for part in list.split(',').filter(|p| !p.trim().is_empty()) {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        let (a, b): (u32, u32) = (a.trim().parse().ok()?, b.trim().parse().ok()?);
        n = n.saturating_add(b.checked_sub(a)?.saturating_add(1));
    }
    (n > 0).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_weights() {
        assert_eq!(count("0-2,7"), Some(4));
        assert_eq!(count(""), None);
        assert_eq!(weight(1024), 39);
        assert_eq!(weight(2), 1);
        assert_eq!(weight(262_144), 10_000);
    }
}
