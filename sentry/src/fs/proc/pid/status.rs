//! `/proc/PID/{status,limits,personality}`, the writable settings, and what is left of a
//! zombie.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use abi::Errno;

use crate::Result;
use crate::creds::{Cap, Creds};
use crate::task::group::ThreadGroup;
use crate::task::limits::{INFINITY, Resource};
use crate::task::{Pid, PidNamespace, Task};
use crate::userns::UserNs;

fn state_name(letter: char) -> &'static str {
    match letter {
        'S' => "S (sleeping)",
        'T' => "T (stopped)",
        't' => "t (tracing stop)",
        'Z' => "Z (zombie)",
        'X' => "X (dead)",
        _ => "R (running)",
    }
}

/// The lines about memory.
fn memory(u: &crate::mm::report::Usage, s: &mut String) {
    for (name, value) in [
        ("VmPeak", u.peak.max(u.size)),
        ("VmSize", u.size),
        ("VmLck", u.locked),
        ("VmPin", 0),
        ("VmHWM", u.rss()),
        ("VmRSS", u.rss()),
        ("RssAnon", u.rss_anon),
        ("RssFile", u.rss_file),
        ("RssShmem", u.rss_shmem),
        ("VmData", u.data),
        ("VmStk", u.stack),
        ("VmExe", u.text),
        ("VmLib", 0),
        ("VmPTE", 0),
        ("VmSwap", 0),
    ] {
        let _ = writeln!(s, "{name}:\t{:>8} kB", value / 1024);
    }
}

/// A line of the numbers of `id` in the namespaces from `pids` on in which `own` is seen.
fn levels(name: &str, id: &Pid, own: &Pid, pids: &PidNamespace) -> String {
    let within = own.ns.lineage().take_while(|ns| ns.within(pids));
    let mut numbers: Vec<i32> = within.map(|ns| id.nr_in(ns)).collect();
    numbers.reverse();
    let numbers: String = numbers.iter().map(|nr| format!("\t{nr}")).collect();
    format!("{name}:{numbers}\n")
}

/// `status` (`proc_pid_status(5)`), ids as the reader's user namespace shows them, numbers as
/// `pids` does.
pub fn status(t: &Task, reader: &UserNs, pids: &PidNamespace) -> Result<Vec<u8>> {
    let g = t.thread_group();
    let c = t.creds();
    let u = t.mm().usage();
    let mut s = String::new();
    let umask = t.fs().umask();
    let groups: String = c
        .groups
        .iter()
        .map(|g| format!("{} ", reader.shown_gid(*g)))
        .collect();
    let slots = t.files().room();
    // Writing to a string cannot fail.
    let _ = write!(
        s,
        "Name:\t{}\nUmask:\t{umask:04o}\nState:\t{}\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t{}\n",
        String::from_utf8_lossy(&t.comm()).escape_default(),
        state_name(t.state()),
        t.pid_in(pids),
        t.tid_in(pids),
        g.ppid_in(pids),
        t.tracer().map_or(0, |t| t.tid_in(pids)),
    );
    let _ = write!(
        s,
        "Uid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\nFDSize:\t{slots}\nGroups:\t{groups}\n{}{}{}{}",
        reader.shown_uid(c.uid),
        reader.shown_uid(c.euid),
        reader.shown_uid(c.suid),
        reader.shown_uid(c.fsuid),
        reader.shown_gid(c.gid),
        reader.shown_gid(c.egid),
        reader.shown_gid(c.sgid),
        reader.shown_gid(c.fsgid),
        levels("NStgid", &g.id, &g.id, pids),
        levels("NSpid", &t.id(), &g.id, pids),
        levels("NSpgid", &g.pgrp().id, &g.id, pids),
        levels("NSsid", &g.session().id, &g.id, pids),
    );
    memory(&u, &mut s);
    signals(t, &mut s);
    caps(&c, &mut s);
    let mode = t.seccomp();
    let cpus = t.sched.lock().affinity;
    let last = 63u32.saturating_sub(cpus.leading_zeros());
    let list = if last == 0 {
        "0".to_owned()
    } else {
        format!("0-{last}")
    };
    let _ = write!(
        s,
        "NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}\nSpeculation_Store_Bypass:\tvulnerable\nCpus_allowed:\t{cpus:x}\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t0\n",
        u8::from(c.no_new_privs),
        mode.number(),
        mode.filters(),
        t.account.counts().waits,
    );
    Ok(s.into_bytes())
}

fn signals(t: &Task, s: &mut String) {
    let g = t.thread_group();
    let (own, shared) = t.pending_signals();
    let (ignored, caught) = g.sighand().sets();
    let _ = write!(
        s,
        "CoreDumping:\t0\nTHP_enabled:\t0\nThreads:\t{}\nSigQ:\t{}/{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
        g.thread_count(),
        own.0.count_ones() + shared.0.count_ones(),
        g.limit(Resource::Sigpending).soft,
        own.0,
        shared.0,
        t.sigmask().0,
        ignored.0,
        caught.0,
    );
}

fn caps(c: &Creds, s: &mut String) {
    for (name, set) in [
        ("CapInh", c.inheritable),
        ("CapPrm", c.permitted),
        ("CapEff", c.effective),
        ("CapBnd", c.bounding),
        ("CapAmb", c.ambient),
    ] {
        let _ = writeln!(s, "{name}:\t{:016x}", set.0);
    }
}

/// `stat`, `status` or `cmdline` of a process that has ended and was not waited for.
pub fn zombie(g: &ThreadGroup, pids: &PidNamespace, name: &str) -> Result<Vec<u8>> {
    let comm = String::from_utf8_lossy(&g.comm()).into_owned();
    let (uid, gid) = g.owner();
    let (pid, ppid) = (g.pid_in(pids), g.ppid_in(pids));
    let (pgid, sid) = (g.pgrp().id.nr_in(pids), g.session().id.nr_in(pids));
    Ok(match name {
        "stat" => {
            let own = g.cpu_times();
            let (user, system) = own.ticks();
            let rest = "0 ".repeat(28);
            format!("{pid} ({comm}) Z {ppid} {pgid} {sid} 0 -1 4227084 0 0 0 0 {user} {system} 0 0 20 0 1 0 0 0 0 {rest}0 0\n")
        }
        "status" => format!(
            "Name:\t{comm}\nState:\tZ (zombie)\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t{ppid}\nTracerPid:\t0\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nFDSize:\t0\nThreads:\t1\n"
        ),
        _ => String::new(),
    }
    .into_bytes())
}

/// `personality`.
pub fn personality(t: &Task) -> Result<Vec<u8>> {
    Ok(format!("{:08x}\n", t.personality.load(Ordering::Relaxed)).into_bytes())
}

/// Names and units of `limits`, by resource.
const LIMITS: [(&str, Resource, &str); 16] = [
    ("Max cpu time", Resource::Cpu, "seconds"),
    ("Max file size", Resource::Fsize, "bytes"),
    ("Max data size", Resource::Data, "bytes"),
    ("Max stack size", Resource::Stack, "bytes"),
    ("Max core file size", Resource::Core, "bytes"),
    ("Max resident set", Resource::Rss, "bytes"),
    ("Max processes", Resource::Nproc, "processes"),
    ("Max open files", Resource::Nofile, "files"),
    ("Max locked memory", Resource::Memlock, "bytes"),
    ("Max address space", Resource::As, "bytes"),
    ("Max file locks", Resource::Locks, "locks"),
    ("Max pending signals", Resource::Sigpending, "signals"),
    ("Max msgqueue size", Resource::Msgqueue, "bytes"),
    ("Max nice priority", Resource::Nice, ""),
    ("Max realtime priority", Resource::Rtprio, ""),
    ("Max realtime timeout", Resource::Rttime, "us"),
];

/// `limits`.
pub fn limits(t: &Task) -> Result<Vec<u8>> {
    let text = |n: u64| {
        if n == INFINITY {
            "unlimited".to_owned()
        } else {
            n.to_string()
        }
    };
    let mut s = format!(
        "{:<26}{:<21}{:<21}{:<10}\n",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    );
    for (name, resource, unit) in LIMITS {
        let limit = t.thread_group().limit(resource);
        let _ = writeln!(
            s,
            "{name:<26}{:<21}{:<21}{unit:<10}",
            text(limit.soft),
            text(limit.hard)
        );
    }
    Ok(s.into_bytes())
}

/// Reads a writable setting.
pub fn read_setting(t: &Task, name: &str) -> Result<Vec<u8>> {
    Ok(match name {
        "comm" => {
            let mut text = t.comm();
            text.push(b'\n');
            text
        }
        "oom_score_adj" => format!(
            "{}\n",
            t.thread_group().oom_score_adj.load(Ordering::Relaxed)
        )
        .into_bytes(),
        "coredump_filter" => {
            let filter = t.thread_group().coredump_filter.load(Ordering::Relaxed);
            format!("{filter:08x}\n").into_bytes()
        }
        _ => format!("{}\n", t.timer_slack.load(Ordering::Relaxed)).into_bytes(),
    })
}

/// Writes one.
pub fn write_setting(t: &Task, name: &str, text: &[u8]) -> Result<()> {
    if name == "comm" {
        t.set_comm(text);
        return Ok(());
    }
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?.trim();
    if name == "oom_score_adj" {
        let value: i32 = text.parse().map_err(|_| Errno::EINVAL)?;
        if !(-1000..=1000).contains(&value) {
            return Err(Errno::EINVAL);
        }
        let now = &t.thread_group().oom_score_adj;
        // Lowering it is a privilege (`proc(5)`).
        if value < now.load(Ordering::Relaxed) && !t.creds().capable(Cap::SysResource) {
            return Err(Errno::EACCES);
        }
        now.store(value, Ordering::Relaxed);
        return Ok(());
    }
    if name == "coredump_filter" {
        let digits = text.strip_prefix("0x");
        let value = digits.map_or_else(|| text.parse(), |d| u32::from_str_radix(d, 16));
        let value = value.map_err(|_| Errno::EINVAL)?;
        let now = &t.thread_group().coredump_filter;
        now.store(value & 0x1ff, Ordering::Relaxed);
        return Ok(());
    }
    let value: u64 = text.parse().map_err(|_| Errno::EINVAL)?;
    t.timer_slack
        .store(if value == 0 { 50_000 } else { value }, Ordering::Relaxed);
    Ok(())
}
