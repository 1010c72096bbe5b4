//! `/proc/PID/{stat,statm,io,schedstat,syscall}`.

use std::sync::atomic::Ordering;

use abi::PAGE_SIZE;

use crate::Result;
use crate::task::times::ticks;
use crate::task::{PidNamespace, Task};
use crate::time::ns::shifted;

/// `stat` (`proc_pid_stat(5)`), with the numbers of a namespace, for a reader whose clock is
/// `boot_offset` nanoseconds ahead.
pub fn stat(t: &Task, pids: &PidNamespace, boot_offset: i64) -> Result<Vec<u8>> {
    let g = t.thread_group();
    let (usage, layout) = (t.mm().usage(), t.mm().layout());
    let (own, children) = (g.cpu_times(), g.children_times());
    let sched = *t.sched.lock();
    let (pending, _) = t.pending_signals();
    let (ignored, caught) = g.sighand().sets();
    let session = g.session();
    let (tty, tpgid) = session
        .tty()
        .map_or((0, -1), |tty| (tty.dev(), tty.foreground_in(pids)));
    let exe = t.exe().is_some();
    let fields = [
        t.tid_in(pids).to_string(),
        format!("({})", String::from_utf8_lossy(&t.comm())),
        t.state().to_string(),
        g.ppid_in(pids).to_string(),
        g.pgrp().id.nr_in(pids).to_string(),
        session.id.nr_in(pids).to_string(),
        tty.to_string(),
        tpgid.to_string(),
        if exe { "4194560" } else { "4194368" }.to_owned(),
        // Faults the host resolves are not seen.
        format!("{} {} 0 0", own.counts.faults, children.counts.faults),
        ticks(own.user).to_string(),
        ticks(own.system).to_string(),
        ticks(children.user).to_string(),
        ticks(children.system).to_string(),
        (20 + sched.nice).to_string(),
        sched.nice.to_string(),
        g.thread_count().to_string(),
        "0".to_owned(),
        ticks(shifted(
            t.start.saturating_sub(t.kernel.started.1),
            boot_offset,
        ))
        .to_string(),
        usage.size.to_string(),
        (usage.rss() / PAGE_SIZE).to_string(),
        g.limit(crate::task::limits::Resource::Rss).soft.to_string(),
        layout.start_code.to_string(),
        layout.end_code.to_string(),
        layout.start_stack.to_string(),
        "0 0".to_owned(),
        (pending.0 & 0x7fff_ffff).to_string(),
        (t.sigmask().0 & 0x7fff_ffff).to_string(),
        (ignored.0 & 0x7fff_ffff).to_string(),
        (caught.0 & 0x7fff_ffff).to_string(),
        if t.state() == 'S' { "1" } else { "0" }.to_owned(),
        "0 0".to_owned(),
        g.exit_signal.load(Ordering::Relaxed).to_string(),
        "0".to_owned(),
        sched.priority.to_string(),
        sched.policy.to_string(),
        "0 0 0".to_owned(),
        layout.start_data.to_string(),
        layout.end_data.to_string(),
        t.mm().heap().0.to_string(),
        layout.arg_start.to_string(),
        layout.arg_end.to_string(),
        layout.env_start.to_string(),
        layout.env_end.to_string(),
        "0".to_owned(),
    ];
    let mut line = fields.join(" ");
    line.push('\n');
    Ok(line.into_bytes())
}

/// `statm`: size, resident, shared, text, 0, data, 0; in pages.
pub fn statm(t: &Task) -> Result<Vec<u8>> {
    let u = t.mm().usage();
    let pages = |n: u64| n / PAGE_SIZE;
    let shared = u.rss_file + u.rss_shmem;
    let text = format!(
        "{} {} {} {} 0 {} 0\n",
        pages(u.size),
        pages(u.rss()),
        pages(shared),
        pages(u.text),
        pages(u.data + u.stack)
    );
    Ok(text.into_bytes())
}

/// `io` (`proc_pid_io(5)`): bytes that reached a disk are the host's to know.
pub fn io(t: &Task) -> Result<Vec<u8>> {
    let c = t.thread_group().cpu_times().counts;
    Ok(format!(
        "rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
        c.read_bytes, c.written_bytes, c.reads, c.writes
    )
    .into_bytes())
}

/// `wchan`: what a sleeping thread waits in.
pub fn wchan(t: &Task) -> Result<Vec<u8>> {
    Ok(t.park.waits_in().unwrap_or("0").as_bytes().to_vec())
}

/// `oom_score`: the share of memory, moved by the adjustment.
pub fn oom_score(t: &Task) -> Result<Vec<u8>> {
    let total = (t.kernel.host.memory / PAGE_SIZE).max(1);
    let rss = t.mm().usage().rss() / PAGE_SIZE;
    let adjust = i64::from(t.thread_group().oom_score_adj.load(Ordering::Relaxed));
    if adjust == -1000 {
        return Ok(b"0\n".to_vec());
    }
    let share = i64::try_from(rss.saturating_mul(1000) / total).unwrap_or(1000);
    let score = (1000 + share + adjust) * 2 / 3;
    Ok(format!("{}\n", score.max(0)).into_bytes())
}

/// `schedstat`: time on a CPU in ns; waiting time and slices are the host's.
pub fn schedstat(t: &Task) -> Result<Vec<u8>> {
    Ok(format!("{} 0 0\n", t.cpu_times().total().as_nanos()).into_bytes())
}

/// `syscall`: the call a sleeping thread is in.
pub fn syscall(t: &Task) -> Result<Vec<u8>> {
    if !t.park.is_parked() {
        return Ok(b"running\n".to_vec());
    }
    own_syscall(t)
}

/// What [`syscall`] says to the thread itself, which is in the call that reads it.
pub fn own_syscall(t: &Task) -> Result<Vec<u8>> {
    let call = *t.call.lock();
    let args: String = call.args.iter().map(|a| format!("{a:#x} ")).collect();
    Ok(format!("{} {args}0x0 {:#x}\n", call.nr, call.ip).into_bytes())
}
