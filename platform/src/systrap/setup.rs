//! The making of the first stub, and whether this host can run stubs at all.
//!
//! The stub's image is put together at its final address in this process; a raw clone then
//! starts the mapper loop on it, and the loop's first batch strips the copy of this process
//! of everything else: capabilities, descriptors, signal handlers, mappings. No Rust code
//! runs in the new process. Neighbours: `stub` (the code), `filter`, `layout`.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;

use super::Config;
use super::context::INTERRUPT;
use super::control::{Chunk, Control};
use super::core::{Core, Slab, Worker};
use super::layout::{self as l, Layout, Op};
use super::mapper::{Ends, Failure, Mapper, channels};
use super::raw::{self, Place, Window};
use super::space::Stub;
use super::watchdog::Watchdog;
use super::{filter, stub};
use crate::PlatformError;

/// Lowest guest address where the host does not tell its vm.mmap_min_addr: its usual value.
const MIN_ADDR: u64 = 0x10000;

/// The lowest address a stub may map.
fn min_addr() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/vm/mmap_min_addr").unwrap_or_default();
    text.trim()
        .parse()
        .map_or(MIN_ADDR, |addr: u64| addr.max(l::PAGE))
}

const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_TRAP: u32 = 0x0003_0000;
const HWCAP2_FSGSBASE: u64 = 2;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// See [`super::probe`].
pub fn probe() -> Result<(), String> {
    let version = raw::kernel_version();
    if version < (6, 6) {
        let (major, minor) = version;
        return Err(format!("Linux {major}.{minor} is too old, 6.6 is needed"));
    }
    if raw::auxv(libc::AT_HWCAP2) & HWCAP2_FSGSBASE == 0 {
        return Err("the CPU or the kernel does not let user code set FS and GS bases".into());
    }
    for action in [RET_USER_NOTIF, RET_TRAP] {
        raw::seccomp_action(action)
            .map_err(|errno| format!("seccomp action {action:#x} is not available: {errno}"))?;
    }
    let min_stack = raw::auxv(libc::AT_MINSIGSTKSZ);
    Layout::area_for(min_stack).ok_or("signal frames are too big on this CPU")?;
    Ok(())
}

fn failed(what: &'static str) -> impl Fn(i32) -> PlatformError {
    move |errno| PlatformError::Exhausted { what, errno }
}

/// A piece of the vDSO and its data, with its place in the stub.
struct Piece {
    from: u64,
    len: u64,
    to: u64,
}

/// Finds the vDSO and its data pages, which must keep their distances; and where the ELF
/// image will be. Empty when there is none or it does not fit.
fn vdso_pieces(maps: Option<&File>, base: u64) -> (Vec<Piece>, Option<(u64, u64)>) {
    let text = match maps {
        Some(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| text)
        }
        None => std::fs::read_to_string("/proc/self/maps"),
    };
    let maps = text.unwrap_or_default();
    let mut found = Vec::new();
    for line in maps.lines() {
        let name = line.split_whitespace().nth(5).unwrap_or("");
        if !name.starts_with("[vvar") && name != "[vdso]" {
            continue;
        }
        let range = line
            .split_whitespace()
            .next()
            .and_then(|range| range.split_once('-'));
        let Some((start, end)) = range else { continue };
        let hex = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        found.push((hex(start), hex(end), name == "[vdso]"));
    }
    let low = found.iter().map(|piece| piece.0).min().unwrap_or(0);
    let high = found.iter().map(|piece| piece.1).max().unwrap_or(0);
    if low == 0 || high - low > l::VDSO_LEN {
        return (Vec::new(), None);
    }
    let place = |addr: u64| base + l::VDSO + (addr - low);
    let image = found
        .iter()
        .find(|piece| piece.2)
        .map(|p| (place(p.0), p.1 - p.0));
    let pieces = found.iter().map(|p| Piece {
        from: p.0,
        len: p.1 - p.0,
        to: place(p.0),
    });
    (pieces.collect(), image)
}

/// Reserves a place for the stub region that is free in this process, near the top of the
/// address space.
fn choose_base() -> Result<(u64, Window), PlatformError> {
    const CANDIDATES: u64 = 64;
    let top = l::TASK_SIZE - l::TASK_SIZE % l::REGION - l::REGION;
    for n in 0..CANDIDATES {
        let base = top - n * l::REGION;
        if let Ok(region) = Window::map(Place::At(base), l::REGION, libc::PROT_NONE, None) {
            return Ok((base, region));
        }
    }
    Err(failed("finding room for stubs")(libc::ENOMEM))
}

/// Writes code and constants.
fn write_text(text: &Window, layout: &Layout, trap: &[u32]) -> Result<(), PlatformError> {
    let entries = stub::entries();
    let base = layout.base;
    let too_big = || PlatformError::Unsupported("the stub's code does not fit".into());
    let code = stub::code();
    if code.len() as u64 > l::CONSTS || !text.copy_in(l::CODE, code) {
        return Err(too_big());
    }
    text.set64(l::CONST_AREA_MASK, (layout.area - 1) ^ u64::MAX);
    text.set64(l::CONST_PARENT, u64::from(std::process::id()));
    text.set64(l::CONST_FULL_MASK, u64::MAX);
    // _LINUX_CAPABILITY_VERSION_3, pid 0.
    text.set64(l::CONST_CAP_HEADER, 0x2008_0522);
    text.copy_in(l::CONST_NAME, b"guest\0");
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART | 0x0400_0000;
    let action = [
        base + entries.handler,
        u64::from(flags.cast_unsigned()),
        base + entries.restorer,
        u64::MAX,
    ];
    for (word, at) in action.iter().zip((l::CONST_ACTION..).step_by(8)) {
        text.set64(at, *word);
    }
    for value in 0..512u16 {
        text.copy_in(l::CONST_TABLE + 2 * u64::from(value), &value.to_le_bytes());
    }
    let words = filter::Words {
        ready: base + l::CHUNK0 + l::READY,
        command: base + l::CHUNK0 + l::CMD_SEQ,
        relayed: base + l::CHUNK0 + l::POST + l::post::RELAYED,
        base,
    };
    let places = filter::Places {
        sigreturn: base + entries.sigreturn_ip,
        rseq: base + entries.rseq_ip,
        cpu_time: base + entries.cpu_ip,
        exit: base + entries.exit_ip,
        own: base + entries.own_ip,
    };
    let programs = [
        (l::CONST_GUEST_PROG, filter::guest(trap, &places, &words)),
        (l::CONST_MAPPER_PROG, filter::mapper()),
    ];
    let mut at = l::CONST_BPF;
    for (header, program) in programs {
        text.set64(header, program.len() as u64);
        text.set64(header + 8, base + at);
        for insn in program {
            if at + 8 > l::TEXT_LEN {
                return Err(too_big());
            }
            text.set64(at, insn.word());
            at += 8;
        }
    }
    Ok(())
}

/// The first batch: everything the new process must shed or set.
fn strip(base: u64, fds: [&OwnedFd; 4], pieces: &[Piece]) -> Vec<Op> {
    let at = |offset: u64| base + offset;
    let mut ops = vec![
        Op::new(
            libc::SYS_capset,
            [at(l::CONST_CAP_HEADER), at(l::CONST_ZEROS), 0, 0, 0, 0],
        ),
        prctl(libc::PR_SET_DUMPABLE, 1),
        Op::lenient(libc::SYS_setsid, [0; 6]),
        prctl(libc::PR_SET_NAME, at(l::CONST_NAME)),
        prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64),
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1),
        Op::new(
            libc::SYS_prlimit64,
            [0, u64::from(libc::RLIMIT_CORE), at(l::CONST_ZEROS), 0, 0, 0],
        ),
        Op::new(
            libc::SYS_rt_sigprocmask,
            [libc::SIG_SETMASK as u64, at(l::CONST_FULL_MASK), 0, 8, 0, 0],
        ),
    ];
    let ours = [
        libc::SIGSYS,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        INTERRUPT,
    ];
    for signo in 1..=64 {
        if [libc::SIGKILL, libc::SIGSTOP].contains(&signo) {
            continue;
        }
        let mine = ours.contains(&signo);
        let action = if mine {
            l::CONST_ACTION
        } else {
            l::CONST_ZEROS
        };
        ops.push(Op::new(
            libc::SYS_rt_sigaction,
            [signo as u64, at(action), 0, 8, 0, 0],
        ));
    }
    for (fd, to) in fds
        .iter()
        .zip([l::FD_MEMORY, l::FD_REPLY, l::FD_SOCKET, l::FD_CONTROL])
    {
        ops.push(Op::new(
            libc::SYS_dup3,
            [fd.as_raw_fd() as u64, to, 0, 0, 0, 0],
        ));
    }
    ops.push(Op::new(
        libc::SYS_close_range,
        [l::FD_FREE, u64::from(u32::MAX), 0, 0, 0, 0],
    ));
    // What is left of the reservation, between our pieces.
    let gap = |from: u64, to: u64| Op::new(libc::SYS_munmap, [at(from), to - from, 0, 0, 0, 0]);
    ops.push(gap(l::TEXT_LEN, l::CHUNK0));
    ops.push(gap(l::CHUNK0 + l::CHUNK, l::REGION));
    let fixed = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
    for p in pieces {
        ops.push(Op::new(
            libc::SYS_mremap,
            [p.from, p.len, p.len, fixed, p.to, 0],
        ));
    }
    let end = base + l::REGION;
    ops.push(Op::new(libc::SYS_munmap, [0, base, 0, 0, 0, 0]));
    ops.push(Op::new(
        libc::SYS_munmap,
        [end, l::TASK_SIZE - end, 0, 0, 0, 0],
    ));
    // SECCOMP_SET_MODE_FILTER.
    ops.push(Op::new(
        libc::SYS_seccomp,
        [1, 0, at(l::CONST_MAPPER_PROG), 0, 0, 0],
    ));
    ops
}

fn prctl(option: i32, value: u64) -> Op {
    Op::new(
        libc::SYS_prctl,
        [u64::from(option.cast_unsigned()), value, 0, 0, 0, 0],
    )
}

fn make_core(config: &Config, base: u64) -> Result<(Arc<Core>, Vec<Piece>), PlatformError> {
    let min_stack = raw::auxv(libc::AT_MINSIGSTKSZ);
    let too_big = || PlatformError::Unsupported("signal frames are too big".into());
    let area = Layout::area_for(min_stack).ok_or_else(too_big)?;
    let (pieces, vdso) = vdso_pieces(config.maps.as_ref(), base);
    let cpus = raw::affinity().map_err(failed("reading the CPU set"))?;
    let numbers = raw::cpus_of(&cpus);
    let mut workers = Vec::new();
    for n in 0..config.workers.max(1) {
        let cpu = numbers.get(n % numbers.len().max(1)).copied();
        workers.push(Worker::new(cpu).map_err(failed("making a worker's wait set"))?);
    }
    let keeper = config.keeper.then(|| Worker::new(None)).transpose();
    let keeper = keeper.map_err(failed("making the keeper's wait set"))?;
    let bit = |n: &usize| u32::try_from(*n).ok().and_then(|n| 1u64.checked_shl(n));
    let mask = numbers.iter().map(bit).reduce(|a, b| Some(a? | b?));
    let core = Core {
        control: Control::new()?,
        layout: Layout { base, area },
        min_addr: min_addr(),
        entries: stub::entries(),
        xstate: raw::xstate_layout(),
        vdso,
        cpus,
        cpu_count: numbers.len(),
        running: AtomicUsize::new(0),
        spinning: AtomicUsize::new(0),
        unposted: [config.trap, config.enter]
            .concat()
            .into_iter()
            .filter(|&nr| nr != libc::SYS_rt_sigreturn as u32)
            .collect(),
        workers,
        keeper,
        ended: AtomicBool::new(false),
        pool: OnceLock::new(),
        by_socket: AtomicBool::new(false),
        cpu_mask: mask.flatten().unwrap_or(0),
        rseq: raw::has_rseq(),
        watchdog: Watchdog::default(),
        threads: RwLock::new(Slab::default()),
        stubs: RwLock::new(Slab::default()),
    };
    Ok((Arc::new(core), pieces))
}

/// Makes the shared part and the zygote.
pub fn start(config: &Config) -> Result<(Arc<Core>, Arc<Stub>), PlatformError> {
    let (base, region) = choose_base()?;
    let (core, pieces) = make_core(config, base)?;
    let chunk = core.control.take()?;
    let (ours, its) = channels().map_err(failed("making a stub's channels"))?;
    let high = |fd: &OwnedFd| raw::dup_high(fd.as_fd()).map_err(failed("copying a descriptor"));
    let control = core.control.file().try_clone_to_owned();
    let control = control.map_err(|_| failed("copying a descriptor")(libc::EMFILE))?;
    let fds = [
        high(&config.memory_file)?,
        high(&its.reply)?,
        high(&its.socket)?,
        high(&control)?,
    ];
    let [memory, reply, socket, control_high] = &fds;
    let ops = strip(base, [memory, reply, socket, control_high], &pieces);
    Mapper::write_batch(&core, chunk.offset(), 1, &ops, 0);
    spawn(&core, &chunk, &region, config.trap)?;
    drop(region);
    drop(fds);
    drop(its);
    finish(core, chunk, ours, &ops)
}

/// Puts the stub's image together here and starts the new process on it.
fn spawn(core: &Core, chunk: &Chunk, region: &Window, trap: &[u32]) -> Result<(), PlatformError> {
    let image = failed("putting the stub's image together");
    region
        .replace(l::CODE, l::TEXT_LEN, READ_WRITE, None)
        .map_err(&image)?;
    write_text(region, &core.layout, trap)?;
    let read_exec = libc::PROT_READ | libc::PROT_EXEC;
    region
        .protect(l::CODE, l::TEXT_LEN, read_exec)
        .map_err(&image)?;
    let file = core.control.file();
    let at = chunk.offset();
    let commands = Some((file, at));
    region
        .replace(l::CHUNK0, l::CMD_LEN, libc::PROT_READ, commands)
        .map_err(&image)?;
    let rest = Some((file, at + l::CMD_LEN));
    region
        .replace(
            l::CHUNK0 + l::CMD_LEN,
            l::CHUNK - l::CMD_LEN,
            READ_WRITE,
            rest,
        )
        .map_err(&image)?;
    let first = stub::spawn_at(region, core.layout.base).map_err(failed("forking a stub"))?;
    raw::wait_pid(first).map_err(failed("forking a stub"))
}

/// Waits until the new process has stripped itself.
fn finish(
    core: Arc<Core>,
    chunk: Chunk,
    ours: Ends,
    ops: &[Op],
) -> Result<(Arc<Core>, Arc<Stub>), PlatformError> {
    let tid_at = chunk.offset() + l::FIRST_TID;
    let _ = raw::poll(ours.reply.as_fd(), libc::POLLIN, Duration::from_secs(20));
    let mut mapper = Mapper::new(core.clone(), chunk, ours, 0, None);
    match mapper.wait() {
        Ok(_) => {}
        Err(Failure::Gone) => return Err(failed("starting the first stub")(libc::ESRCH)),
        Err(Failure::Call { errno, index }) => {
            let call = ops.get(index).map_or(0, |op| op.words[0]);
            let why = format!("system call {call} failed in the first stub: errno {errno}");
            return Err(PlatformError::Unsupported(why));
        }
    }
    let pid = core.control.window().get32(tid_at).cast_signed();
    mapper.set_tid(pid);
    // Guests go first when the host runs out of memory; a host without it loses only that.
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
    let zygote = Stub::enter(&core, pid, mapper)?;
    // A container's seccomp profile or Yama may forbid it.
    core.by_socket.store(!zygote.can_fetch(), Ordering::Relaxed);
    Ok((core, zygote))
}
