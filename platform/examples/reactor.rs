//! What the seccomp platform costs: guests that do nothing but trap, handlers that do nothing.
//!
//! `cargo run --release -p platform --example reactor [name…]` prints nanoseconds beside the
//! figures of the C prototypes the design was measured with (2 vCPU machine, quiet).

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use platform::systrap::{Config, Systrap};
use platform::{
    AddressSpace, Context, Cookie, Event, Exit, MapOp, Platform, PlatformError, Prot, Registers,
    Resume, WorkerId,
};

type Any = Box<dyn std::error::Error>;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x50_0000;
const FAR: u64 = 0x7000_0000_0000;
const CHUNK: u64 = 0x10000;
const RW: Prot = Prot {
    read: true,
    write: true,
    exec: false,
};
const RX: Prot = Prot {
    read: true,
    write: false,
    exec: true,
};
/// clone, fork, vfork, execve, execveat, clone3, rt_sigreturn.
const TRAP: &[u32] = &[56, 57, 58, 59, 322, 435, 15];

/// A platform, its memory file, and guests.
struct Rig {
    platform: Arc<Systrap>,
    memory: std::fs::File,
    next: AtomicU64,
    contexts: HashMap<Cookie, Arc<dyn Context>>,
    spaces: Vec<Arc<dyn AddressSpace>>,
}

impl Rig {
    fn new(workers: usize) -> Result<Self, Any> {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let memory = memfd_create(c"guest", MFdFlags::MFD_CLOEXEC)?;
        nix::unistd::ftruncate(&memory, 1 << 36)?;
        let memory_file: OwnedFd = memory.try_clone()?;
        let platform = Systrap::new(Config {
            memory_file,
            workers,
            trap: TRAP,
            maps: None,
            keeper: false,
            enter: &[],
        })?;
        Ok(Self {
            platform,
            memory: memory.into(),
            next: AtomicU64::new(0),
            contexts: HashMap::new(),
            spaces: Vec::new(),
        })
    }

    fn take(&self, len: u64) -> u64 {
        self.next.fetch_add(len, Ordering::Relaxed)
    }

    fn space(&mut self, code: &[u8]) -> Result<Arc<dyn AddressSpace>, Any> {
        let space = self.platform.new_address_space()?;
        let (at, data) = (self.take(CHUNK), self.take(CHUNK));
        self.memory.write_all_at(code, at)?;
        let map = |addr, offset, prot| MapOp::MapMemory {
            addr,
            len: CHUNK,
            offset,
            prot,
        };
        space.commit(&[map(CODE, at, RX), map(DATA, data, RW)])?;
        self.spaces.push(space.clone());
        Ok(space)
    }

    fn start(
        &mut self,
        space: &Arc<dyn AddressSpace>,
        cookie: Cookie,
        worker: usize,
        entry: u64,
    ) -> Result<Arc<dyn Context>, PlatformError> {
        let mut regs = Registers::default();
        regs.gp.rip = entry;
        regs.gp.rsp = DATA + 0xff00;
        regs.gp.eflags = 0x202;
        let context = space.new_context(&regs, cookie, WorkerId(worker))?;
        context.resume(Resume::Regs)?;
        self.contexts.insert(cookie, context.clone());
        Ok(context)
    }

    /// Runs a worker loop per worker until `handler` says that it is enough.
    fn run(&self, handler: impl Fn(&Self, Cookie, Exit) -> bool + Sync) -> Duration {
        let done = AtomicBool::new(false);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for worker in (0..self.platform.workers()).map(WorkerId) {
                let (done, handler) = (&done, &handler);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let event = self.platform.next(worker, Some(Duration::from_secs(10)));
                        match event {
                            Event::Guest { cookie, exit } => {
                                if handler(self, cookie, exit) {
                                    done.store(true, Ordering::Relaxed);
                                }
                            }
                            Event::Timeout => {
                                println!("nothing happened for 10 s");
                                done.store(true, Ordering::Relaxed);
                            }
                            Event::Ready(_) | Event::Kick => {}
                        }
                    }
                    for worker in (0..self.platform.workers()).map(WorkerId) {
                        self.platform.kick(worker);
                    }
                });
            }
        });
        start.elapsed()
    }

    /// Takes events of worker 0 on this thread until `last` says that it was the last.
    fn wait(&self, last: impl Fn(Exit) -> bool) {
        loop {
            match self
                .platform
                .next(WorkerId(0), Some(Duration::from_secs(10)))
            {
                Event::Guest { exit, .. } if !last(exit) => {}
                _ => return,
            }
        }
    }

    fn resume(&self, cookie: Cookie, how: Resume) {
        if let Some(context) = self.contexts.get(&cookie) {
            let _ = context.resume(how);
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for space in &self.spaces {
            space.kill();
        }
    }
}

/// Machine code: mov rax, nr; syscall; jmp back.
fn call_loop(nr: u32) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(nr.to_le_bytes());
    code.extend([0x0f, 0x05, 0xeb, 0xf7]);
    code
}

fn row(name: &str, nanos: f64, reference: &str) {
    println!("{name:<46} {nanos:>12.0}   {reference}");
}

fn per(total: Duration, count: u64) -> f64 {
    total.as_nanos() as f64 / count as f64
}

fn null(processes: u64, workers: usize, reference: &str) -> Result<(), Any> {
    let count = 200_000;
    let mut best = f64::MAX;
    for _ in 0..3 {
        let mut rig = Rig::new(workers)?;
        for n in 0..processes {
            let space = rig.space(&call_loop(39))?;
            rig.start(&space, n, n as usize % workers, CODE)?;
        }
        let done = AtomicU64::new(0);
        let time = rig.run(|rig, cookie, _| {
            rig.resume(cookie, Resume::Return(1));
            done.fetch_add(1, Ordering::Relaxed) > count
        });
        best = best.min(per(time, count));
    }
    row(
        &format!("null call, {processes} processes, {workers} workers"),
        best,
        reference,
    );
    Ok(())
}

/// Pairs of processes: call 1 gives the partner the token and is answered at once, call 0
/// waits for it. Four calls a round trip.
fn ping_pong(pairs: u64, workers: usize, reference: &str) -> Result<(), Any> {
    #[derive(Default, Clone, Copy)]
    struct Mailbox {
        full: bool,
        waiting: bool,
    }
    let mut code = vec![];
    for nr in [1u8, 0] {
        code.extend([0xb8, nr, 0, 0, 0, 0x0f, 0x05]);
    }
    code.extend([0xeb, 0xf0]);
    let rounds = 50_000 * pairs;
    let mut best = f64::MAX;
    for _ in 0..3 {
        let mut rig = Rig::new(workers)?;
        for n in 0..2 * pairs {
            let space = rig.space(&code)?;
            // The second of a pair waits first.
            let entry = CODE + 7 * (n % 2);
            rig.start(&space, n, (n / 2) as usize % workers, entry)?;
        }
        let boxes: Vec<_> = (0..2 * pairs)
            .map(|_| std::sync::Mutex::new(Mailbox::default()))
            .collect();
        let done = AtomicU64::new(0);
        let time = rig.run(|rig, cookie, exit| {
            let Exit::Syscall { nr, .. } = exit else {
                return false;
            };
            let own = nr == 0;
            let to = if own { cookie } else { cookie ^ 1 };
            let Some(Ok(mut mailbox)) = boxes.get(to as usize).map(|b| b.lock()) else {
                return true;
            };
            if own && !mailbox.full {
                mailbox.waiting = true;
                return false;
            }
            let wake = !own && std::mem::take(&mut mailbox.waiting);
            mailbox.full = !own && !wake;
            drop(mailbox);
            rig.resume(cookie, Resume::Return(0));
            if wake {
                rig.resume(to, Resume::Return(0));
            }
            nr == 1 && done.fetch_add(1, Ordering::Relaxed) > 2 * rounds
        });
        best = best.min(per(time, rounds));
    }
    row(
        &format!("ping-pong, {pairs} pairs, {workers} workers"),
        best,
        reference,
    );
    Ok(())
}

fn parked(threads: u64, reference: &str) -> Result<(), Any> {
    let count = 100_000;
    let mut rig = Rig::new(1)?;
    let mut code = call_loop(39);
    let park = CODE + code.len() as u64;
    code.extend(call_loop(0));
    let space = rig.space(&code)?;
    let start = Instant::now();
    for n in 1..=threads {
        if let Err(error) = rig.start(&space, n, 0, park) {
            row(
                &format!("beside {threads} parked threads"),
                f64::NAN,
                &format!("{n}: {error}"),
            );
            return Ok(());
        }
    }
    let waiting = AtomicU64::new(0);
    rig.run(|_, _, _| waiting.fetch_add(1, Ordering::Relaxed) + 1 == threads);
    let birth = per(start.elapsed(), threads);
    rig.start(&space, 0, 0, CODE)?;
    let done = AtomicU64::new(0);
    let time = rig.run(|rig, cookie, _| {
        rig.resume(cookie, Resume::Return(1));
        done.fetch_add(1, Ordering::Relaxed) > count
    });
    row(
        &format!("null call beside {threads} parked threads"),
        per(time, count),
        reference,
    );
    row(
        "  birth of each of them, to its first call",
        birth,
        "41,000 - 84,000",
    );
    Ok(())
}

/// A register-needing call: trap, doorbell, return.
fn trapped(reference: &str) -> Result<(), Any> {
    let count = 100_000;
    let mut rig = Rig::new(1)?;
    let space = rig.space(&call_loop(56))?;
    rig.start(&space, 0, 0, CODE)?;
    for full in [false, true] {
        let done = AtomicU64::new(0);
        let time = rig.run(|rig, cookie, _| {
            if full && let Some(context) = rig.contexts.get(&cookie) {
                let regs = context.regs().unwrap_or_default();
                let _ = context.set_regs(&regs);
            }
            rig.resume(cookie, Resume::Return(1));
            done.fetch_add(1, Ordering::Relaxed) > count
        });
        let name = if full {
            "trapped call, registers read and set"
        } else {
            "trapped call"
        };
        row(name, per(time, count), reference);
    }
    Ok(())
}

/// Touches a page at FAR, faults, is given it, unmaps it by a call.
fn faults() -> Result<(), Any> {
    let count = 50_000;
    let mut rig = Rig::new(1)?;
    // mov rbx, FAR; loop: mov [rbx], eax; mov eax, 11; syscall; jmp loop
    let mut code = vec![0x48, 0xbb];
    code.extend(FAR.to_le_bytes());
    code.extend([0x89, 0x03, 0xb8, 11, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf5]);
    let space = rig.space(&code)?;
    let offset = rig.take(CHUNK);
    rig.memory.write_all_at(&vec![1; CHUNK as usize], offset)?;
    rig.start(&space, 0, 0, CODE)?;
    let done = AtomicU64::new(0);
    let time = rig.run(|rig, cookie, exit| {
        let op = match exit {
            Exit::Fault { .. } => MapOp::MapMemory {
                addr: FAR,
                len: CHUNK,
                offset,
                prot: RW,
            },
            _ => MapOp::Unmap {
                addr: FAR,
                len: CHUNK,
            },
        };
        let _ = space.commit(&[op]);
        let how = match exit {
            Exit::Fault { .. } => Resume::Regs,
            _ => Resume::Return(0),
        };
        rig.resume(cookie, how);
        done.fetch_add(1, Ordering::Relaxed) > 2 * count
    });
    row(
        "fault, 64 KiB mapped; then unmapped by a call",
        per(time, count),
        "16,600 + ~8,000",
    );
    Ok(())
}

/// mmap 64 KiB, touch, munmap.
fn map_touch_unmap() -> Result<(), Any> {
    let count = 50_000;
    let mut rig = Rig::new(1)?;
    // loop: mov eax, 9; syscall; mov [rax], eax; mov eax, 11; syscall; jmp loop
    let code = [
        0xb8, 9, 0, 0, 0, 0x0f, 0x05, 0x89, 0x00, 0xb8, 11, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xee,
    ];
    let space = rig.space(&code)?;
    let offset = rig.take(CHUNK);
    rig.memory.write_all_at(&vec![1; CHUNK as usize], offset)?;
    rig.start(&space, 0, 0, CODE)?;
    let done = AtomicU64::new(0);
    let time = rig.run(|rig, cookie, exit| {
        let mmap = matches!(exit, Exit::Syscall { nr: 9, .. });
        let op = if mmap {
            MapOp::MapMemory {
                addr: FAR,
                len: CHUNK,
                offset,
                prot: RW,
            }
        } else {
            MapOp::Unmap {
                addr: FAR,
                len: CHUNK,
            }
        };
        let _ = space.commit(&[op]);
        rig.resume(cookie, Resume::Return(if mmap { FAR as i64 } else { 0 }));
        done.fetch_add(1, Ordering::Relaxed) > 2 * count
    });
    row(
        "mmap 64 KiB, touch, munmap",
        per(time, count),
        "22,600; all by mapper 32,300",
    );
    Ok(())
}

fn fork(mappings: u64, reference: &str) -> Result<(), Any> {
    let count = 100;
    let mut rig = Rig::new(1)?;
    let space = rig.space(&call_loop(39))?;
    let ops: Vec<_> = (0..mappings)
        .map(|n| {
            let offset = rig.take(2 * CHUNK);
            MapOp::MapMemory {
                addr: FAR + n * 2 * CHUNK,
                len: CHUNK,
                offset,
                prot: RW,
            }
        })
        .collect();
    space.commit(&ops)?;
    let (mut forks, mut calls, mut ends) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for n in 0..count {
        let start = Instant::now();
        let child = space.fork()?;
        let forked = start.elapsed();
        rig.start(&child, n, 0, CODE)?;
        rig.wait(|_| true);
        let called = start.elapsed();
        child.kill();
        drop(child);
        rig.wait(|exit| matches!(exit, Exit::Gone { .. }));
        forks += forked;
        calls += called;
        ends += start.elapsed() - called;
    }
    let name = |what: &str| format!("fork, {mappings} mappings: {what}");
    row(&name("returned"), per(forks, count), reference);
    row(&name("child's first call"), per(calls, count), "");
    row(&name("kill until reported"), per(ends, count), "");
    Ok(())
}

/// A new space with a thread, as exec needs it, in its steps.
fn exec_like() -> Result<(), Any> {
    let count = 200u64;
    let mut rig = Rig::new(1)?;
    let mut times = [Duration::ZERO; 4];
    for n in 0..count {
        let mut last = Instant::now();
        let mut lap = |index: usize| {
            let now = Instant::now();
            if let Some(time) = times.get_mut(index) {
                *time += now - last;
            }
            last = now;
        };
        let space = rig.platform.new_address_space()?;
        lap(0);
        let (at, data) = (rig.take(CHUNK), rig.take(CHUNK));
        rig.memory.write_all_at(&call_loop(39), at)?;
        let map = |addr, offset, prot| MapOp::MapMemory {
            addr,
            len: CHUNK,
            offset,
            prot,
        };
        space.commit(&[map(CODE, at, RX), map(DATA, data, RW)])?;
        lap(1);
        rig.start(&space, n, 0, CODE)?;
        lap(2);
        rig.wait(|_| true);
        lap(3);
        rig.spaces.push(space);
    }
    for (what, time) in ["made", "two mappings", "thread made", "first call"]
        .iter()
        .zip(times)
    {
        row(&format!("new space: {what}"), per(time, count), "");
    }
    row(
        "new space, all of it",
        per(times.iter().sum(), count),
        "165,000",
    );
    Ok(())
}

/// Making and dropping the platform itself.
fn start_up() -> Result<(), Any> {
    let count = 50;
    let (mut made, mut dropped) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count {
        let start = Instant::now();
        let rig = Rig::new(2)?;
        made += start.elapsed();
        let start = Instant::now();
        drop(rig);
        dropped += start.elapsed();
    }
    row("platform made", per(made, count), "165,000");
    row("platform dropped", per(dropped, count), "");
    Ok(())
}

fn interrupt() -> Result<(), Any> {
    let count = 20_000;
    let mut rig = Rig::new(1)?;
    let space = rig.space(&call_loop(0))?;
    rig.start(&space, 0, 0, CODE)?;
    let done = AtomicU64::new(0);
    let time = rig.run(|rig, cookie, exit| {
        if matches!(exit, Exit::Interrupted) {
            rig.resume(cookie, Resume::Regs);
        } else {
            if let Some(context) = rig.contexts.get(&cookie) {
                context.interrupt();
            }
            rig.resume(cookie, Resume::Return(-4));
        }
        done.fetch_add(1, Ordering::Relaxed) > 2 * count
    });
    row(
        "a parked call interrupted, and the next call",
        per(time, count),
        "8,500 + 6,200",
    );
    Ok(())
}

fn main() -> Result<(), Any> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| chosen.is_empty() || chosen.iter().any(|c| name.contains(c.as_str()));
    println!("{:<46} {:>12}   reference", "", "ns");
    if wants("start") {
        start_up()?;
    }
    if wants("null") {
        null(1, 1, "3,860 (4,260 with 2 workers)")?;
        null(1, 2, "4,260")?;
        null(2, 2, "2,220")?;
        null(8, 2, "2,770")?;
    }
    if wants("pingpong") {
        ping_pong(1, 1, "18,400")?;
        ping_pong(1, 2, "19,500")?;
        ping_pong(4, 2, "13,000")?;
    }
    if wants("trapped") {
        trapped("6,000 - 6,400")?;
    }
    if wants("interrupt") {
        interrupt()?;
    }
    if wants("fault") {
        faults()?;
    }
    if wants("mmap") {
        map_touch_unmap()?;
    }
    if wants("fork") {
        fork(20, "90,000 - 129,000")?;
        fork(200, "138,000 - 181,000")?;
    }
    if wants("exec") {
        exec_like()?;
    }
    if wants("parked") {
        parked(10, "4,280")?;
        parked(1000, "4,280")?;
        parked(10_000, "4,280")?;
    }
    Ok(())
}
