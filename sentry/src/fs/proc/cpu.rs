//! `/proc/cpuinfo`, `/proc/stat`, `/proc/uptime`, `/proc/loadavg`.

use std::time::Duration;

use super::View;
use crate::task::times::{CpuTimes, ticks};
use crate::time::ns::shifted;

/// The host's `/proc/cpuinfo`, as many processors of it as the sandbox has.
pub fn cpuinfo(k: &View) -> Vec<u8> {
    let text = String::from_utf8_lossy(&k.kernel.host.cpuinfo);
    let cpus = usize::try_from(k.kernel.host.cpus).unwrap_or(1).max(1);
    let blocks = text.split_inclusive("\n\n").take(cpus);
    blocks.collect::<String>().into_bytes()
}

/// `/proc/uptime`: up and idle seconds.
pub fn uptime_text(k: &View) -> Vec<u8> {
    let up = k.kernel.since_boot();
    let idle = idle(k, up);
    let up = shifted(up, k.boot_offset);
    format!(
        "{}.{:02} {}.{:02}\n",
        up.as_secs(),
        up.subsec_millis() / 10,
        idle.as_secs(),
        idle.subsec_millis() / 10
    )
    .into_bytes()
}

/// CPU time of all processes that are there or were waited for.
pub fn busy(k: &View) -> CpuTimes {
    let all = k.pids.first().groups();
    all.iter().fold(CpuTimes::default(), |sum, g| {
        sum.plus(g.cpu_times()).plus(g.children_times())
    })
}

/// Idle time over all CPUs.
fn idle(k: &View, up: Duration) -> Duration {
    let idle = up
        .saturating_mul(k.kernel.host.cpus.max(1))
        .saturating_sub(busy(k).total());
    k.kernel.load.lock().idle(idle)
}

/// How many threads run and how many are blocked.
pub fn running(k: &View) -> (usize, usize) {
    let groups = k.pids.first().groups();
    let states = groups.iter().flat_map(|g| g.tasks()).map(|t| t.state());
    states.fold((0, 0), |(r, b), s| match s {
        'R' => (r + 1, b),
        'D' => (r, b + 1),
        _ => (r, b),
    })
}

/// `/proc/stat`. Time is known for the whole, so each CPU shows an equal share.
pub fn stat(k: &View) -> Vec<u8> {
    let up = k.kernel.since_boot();
    let CpuTimes { user, system, .. } = busy(k);
    let idle = idle(k, up);
    let cpus = k.kernel.host.cpus.max(1);
    let line = |name: &str, n: u32| {
        let t = |d: Duration| ticks(d / n);
        format!(
            "{name} {} 0 {} {} 0 0 0 0 0 0\n",
            t(user),
            t(system),
            t(idle)
        )
    };
    let mut out = line("cpu ", 1);
    for i in 0..cpus {
        out.push_str(&line(&format!("cpu{i}"), cpus));
    }
    let (running, blocked) = running(k);
    let forks = k.pids.first().last_pid();
    out.push_str(&format!(
        "intr 0\nctxt 0\nbtime {}\nprocesses {forks}\nprocs_running {running}\nprocs_blocked {blocked}\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        shifted(k.kernel.started.0, k.boot_offset.saturating_neg()).as_secs(),
    ));
    out.into_bytes()
}
