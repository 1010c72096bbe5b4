//! `/proc/cpuinfo`, `/proc/stat`, `/proc/uptime`, `/proc/loadavg`.

use std::time::Duration;

use crate::kernel::Kernel;

/// Clock ticks a second (`sysconf(_SC_CLK_TCK)`).
pub const HZ: u64 = 100;

/// A duration in clock ticks.
pub fn ticks(d: Duration) -> u64 {
    d.as_secs().saturating_mul(HZ).saturating_add(u64::from(d.subsec_millis()) * HZ / 1000)
}

/// The host's `/proc/cpuinfo`, as many processors of it as the sandbox has.
pub fn cpuinfo(k: &Kernel) -> Vec<u8> {
    let text = String::from_utf8_lossy(&k.host.cpuinfo);
    let cpus = usize::try_from(k.host.cpus).unwrap_or(1).max(1);
    let blocks = text.split_inclusive("\n\n").take(cpus);
    blocks.collect::<String>().into_bytes()
}

/// Time since the container started.
pub fn uptime(k: &Kernel) -> Duration {
    k.clock.boottime().saturating_sub(k.started.1)
}

/// `/proc/uptime`: up and idle seconds.
pub fn uptime_text(k: &Kernel) -> Vec<u8> {
    let up = uptime(k);
    let idle = idle(k, up);
    format!("{}.{:02} {}.{:02}\n", up.as_secs(), up.subsec_millis() / 10, idle.as_secs(), idle.subsec_millis() / 10)
        .into_bytes()
}

/// Idle time over all CPUs.
fn idle(k: &Kernel, up: Duration) -> Duration {
    let (user, system) = k.cpu_times();
    up.saturating_mul(k.host.cpus.max(1)).saturating_sub(user + system)
}

/// `/proc/stat`. Time is known for the whole, so each CPU shows an equal share.
pub fn stat(k: &Kernel) -> Vec<u8> {
    let up = uptime(k);
    let (user, system) = k.cpu_times();
    let idle = idle(k, up);
    let cpus = k.host.cpus.max(1);
    let line = |name: &str, n: u32| {
        let t = |d: Duration| ticks(d / n);
        format!("{name} {} 0 {} {} 0 0 0 0 0 0\n", t(user), t(system), t(idle))
    };
    let mut out = line("cpu ", 1);
    for i in 0..cpus {
        out.push_str(&line(&format!("cpu{i}"), cpus));
    }
    let (forks, running, blocked, switches) = k.task_counts();
    out.push_str(&format!(
        "intr 0\nctxt {switches}\nbtime {}\nprocesses {forks}\nprocs_running {running}\nprocs_blocked {blocked}\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        k.started.0.as_secs(),
    ));
    out.into_bytes()
}
