//! Whether the host's OOM killer has struck in a container.
//!
//! The kernel counts its kills in the control group's files and tells of changes: version 1 by
//! an event descriptor, version 2 by inotify(7).

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// The memory control group of a container.
pub struct Oom {
    dir: PathBuf,
    /// `memory.events` of version 2, `memory.oom_control` of version 1.
    file: PathBuf,
    unified: bool,
    seen: AtomicU64,
}

impl Oom {
    /// That of a process; `None` where it has none.
    pub fn of(pid: u32) -> Option<Oom> {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (dir, unified) = find(&groups, &mounts)?;
        let name = if unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let file = dir.join(name);
        let seen = AtomicU64::new(kills(&file)?);
        Some(Oom {
            dir,
            file,
            unified,
            seen,
        })
    }

    /// Whether there were kills since the last time.
    pub fn struck(&self) -> bool {
        kills(&self.file).is_some_and(|n| self.seen.swap(n, Ordering::Relaxed) < n)
    }

    /// Waits for changes as long as the group is there, and calls `changed` after each.
    pub fn watch(&self, changed: impl Fn()) {
        let Some(events) = self.subscribe() else {
            return;
        };
        let mut buffer = [0; 4096];
        while rustix::io::read(&events, &mut buffer).is_ok_and(|n| n > 0) {
            // Its removal is an event too.
            if !self.dir.exists() {
                return;
            }
            changed();
        }
    }

    fn subscribe(&self) -> Option<OwnedFd> {
        if self.unified {
            let events = inotify::init(CreateFlags::CLOEXEC).ok()?;
            for name in ["memory.events", "cgroup.events"] {
                inotify::add_watch(&events, self.dir.join(name), WatchFlags::MODIFY).ok()?;
            }
            return Some(events);
        }
        let events = eventfd(0, EventfdFlags::CLOEXEC).ok()?;
        let of = File::open(&self.file).ok()?;
        let line = format!("{} {}", events.as_raw_fd(), of.as_raw_fd());
        std::fs::write(self.dir.join("cgroup.event_control"), line).ok()?;
        Some(events)
    }
}

fn kills(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

/// The folder of a process's memory group by `/proc/PID/cgroup` and `/proc/self/mountinfo`
/// (cgroups(7)), and whether it is one of version 2.
fn find(groups: &str, mounts: &str) -> Option<(PathBuf, bool)> {
    let group = |version1: bool| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers = fields.next()?;
            let path = fields.next()?;
            let here = match version1 {
                true => controllers.split(',').any(|c| c == "memory"),
                false => controllers.is_empty(),
            };
            here.then_some(path)
        })
    };
    for (version1, kind) in [(true, "cgroup"), (false, "cgroup2")] {
        let Some(group) = group(version1) else {
            continue;
        };
        let found = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ').skip(3);
            let (root, point) = (left.next()?, left.next()?);
            let mut right = right.split(' ');
            let options = (right.next()? == kind).then(|| right.nth(1))??;
            let memory = !version1 || options.split(',').any(|o| o == "memory");
            let below = group.strip_prefix(root.trim_end_matches('/'))?;
            memory.then(|| Path::new(point).join(below.trim_start_matches('/')))
        });
        if let Some(dir) = found {
            return Some((dir, !version1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        let mounts = "30 1 0:26 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
                      31 1 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = find("4:cpu:/x\n3:memory:/pod/c\n0::/y\n", mounts);
        let dir = PathBuf::from("/sys/fs/cgroup/memory/pod/c");
        assert_eq!(found, Some((dir, false)));
        let found = find("0::/y\n", mounts);
        assert_eq!(
            found,
            Some((PathBuf::from("/sys/fs/cgroup/unified/y"), true))
        );
        assert_eq!(find("", mounts), None);
    }
}
