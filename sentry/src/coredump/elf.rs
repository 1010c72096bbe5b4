//! The format of a core file: ELF headers and notes (`elf(5)`, `<linux/elfcore.h>`).

use abi::PAGE_SIZE;
use abi::signal::SigInfo;
use zerocopy::IntoBytes;

use crate::mm::dump::Segment;
use crate::mm::{MapProt, VmaFlags};
use crate::ptrace::regs::{fxsave_image, xsave_image};
use crate::task::Task;
use platform::Registers;

const EHDR: usize = 64;
const PHDR: usize = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
const NT_PRFPREG: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_X86_XSTATE: u32 = 0x202;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
/// Most program headers without the escape for more.
const MAX_HEADERS: usize = 0xfffe;

/// The part of a core file before the memory.
pub struct Head {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where each segment's memory goes in the file, in their order.
    pub offsets: Vec<u64>,
}

/// Makes it. `threads`: the dumped thread first, each with its registers.
pub fn head(
    threads: &[(std::sync::Arc<Task>, Registers)],
    info: &SigInfo,
    segments: &[Segment],
) -> Head {
    let segments = segments
        .get(..segments.len().min(MAX_HEADERS))
        .unwrap_or_default();
    let notes = notes(threads, info, segments);
    let count = segments.len() + 1;
    let notes_at = EHDR + PHDR * count;
    let start = ((notes_at + notes.len()) as u64).next_multiple_of(PAGE_SIZE);
    let mut bytes = Vec::with_capacity(notes_at + notes.len());
    ehdr(&mut bytes, count);
    phdr(
        &mut bytes,
        PT_NOTE,
        0,
        [notes_at as u64, 0, notes.len() as u64, 0, 4],
    );
    let mut offsets = Vec::with_capacity(segments.len());
    let mut at = start;
    for s in segments {
        let mut flags = 0;
        for (bit, prot) in [(4, MapProt::READ), (2, MapProt::WRITE), (1, MapProt::EXEC)] {
            if s.map.prot.contains(prot) {
                flags |= bit;
            }
        }
        let size = s.map.end - s.map.start;
        phdr(
            &mut bytes,
            PT_LOAD,
            flags,
            [at, s.map.start, s.dumped, size, PAGE_SIZE],
        );
        offsets.push(at);
        at = at.saturating_add(s.dumped);
    }
    bytes.extend_from_slice(&notes);
    Head { bytes, offsets }
}

fn ehdr(out: &mut Vec<u8>, headers: usize) {
    out.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // ET_CORE, EM_X86_64, version 1.
    out.extend_from_slice(&4u16.to_ne_bytes());
    out.extend_from_slice(&62u16.to_ne_bytes());
    out.extend_from_slice(&1u32.to_ne_bytes());
    out.extend_from_slice([0u64, EHDR as u64, 0].as_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    let headers = u16::try_from(headers).unwrap_or(u16::MAX);
    for n in [EHDR as u16, PHDR as u16, headers, 0, 0, 0] {
        out.extend_from_slice(&n.to_ne_bytes());
    }
}

/// A program header; `[offset, address, size in the file, size in memory, alignment]`.
fn phdr(out: &mut Vec<u8>, kind: u32, flags: u32, v: [u64; 5]) {
    let [offset, addr, in_file, in_memory, align] = v;
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice([offset, addr, 0, in_file, in_memory, align].as_bytes());
}

fn note(out: &mut Vec<u8>, name: &[u8], kind: u32, body: &[u8]) {
    let word = |n: usize| u32::try_from(n).unwrap_or(0).to_ne_bytes();
    out.extend_from_slice(&word(name.len() + 1));
    out.extend_from_slice(&word(body.len()));
    out.extend_from_slice(&kind.to_ne_bytes());
    for part in [name, &[0]] {
        out.extend_from_slice(part);
    }
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn notes(
    threads: &[(std::sync::Arc<Task>, Registers)],
    info: &SigInfo,
    segments: &[Segment],
) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, (t, regs)) in threads.iter().enumerate() {
        note(&mut out, b"CORE", NT_PRSTATUS, &prstatus(t, regs, info));
        if i == 0 {
            note(&mut out, b"CORE", NT_PRPSINFO, &prpsinfo(t));
            note(&mut out, b"CORE", NT_SIGINFO, info.as_bytes());
            note(&mut out, b"CORE", NT_AUXV, &t.mm().auxv());
            note(&mut out, b"CORE", NT_FILE, &files(segments));
        }
        note(&mut out, b"CORE", NT_PRFPREG, &fxsave_image(&regs.xstate));
        note(
            &mut out,
            b"LINUX",
            NT_X86_XSTATE,
            &xsave_image(&regs.xstate),
        );
    }
    out
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at.saturating_add(value.len())) {
        to.copy_from_slice(value);
    }
}

/// Process, parent, process group and session.
fn ids(t: &Task) -> [i32; 4] {
    let g = t.thread_group();
    let pgrp = g.pgrp();
    [
        t.tid(),
        g.ppid(),
        pgrp.id.nr_in(t.pid_ns()),
        pgrp.session.id.nr_in(t.pid_ns()),
    ]
}

/// `struct elf_prstatus`.
fn prstatus(t: &Task, regs: &Registers, info: &SigInfo) -> Vec<u8> {
    let mut out = vec![0u8; 336];
    put(&mut out, 0, &info.signo.to_ne_bytes());
    put(&mut out, 4, &info.code.to_ne_bytes());
    put(&mut out, 8, &info.errno.to_ne_bytes());
    put(&mut out, 12, &(info.signo as u16).to_ne_bytes());
    put(&mut out, 16, &t.pending_signals().0.0.to_ne_bytes());
    put(&mut out, 24, &t.sigmask().0.to_ne_bytes());
    put(&mut out, 32, ids(t).as_bytes());
    let times = [t.cpu_times(), t.thread_group().children_times()];
    for (i, d) in times.iter().flat_map(|c| [c.user, c.system]).enumerate() {
        put(&mut out, 48 + 16 * i, &d.as_secs().to_ne_bytes());
        let micros = u64::from(d.subsec_micros());
        put(&mut out, 56 + 16 * i, &micros.to_ne_bytes());
    }
    put(&mut out, 112, regs.gp.as_bytes());
    put(&mut out, 328, &1u32.to_ne_bytes());
    out
}

/// `struct elf_prpsinfo`.
fn prpsinfo(t: &Task) -> Vec<u8> {
    let mut out = vec![0u8; 136];
    out[1] = b'R';
    let creds = t.creds();
    put(&mut out, 16, [creds.uid, creds.gid].as_bytes());
    let mut of_process = ids(t);
    of_process[0] = t.pid();
    put(&mut out, 24, of_process.as_bytes());
    put(&mut out, 40, &t.comm());
    let layout = t.mm().layout();
    let len = layout.arg_end.saturating_sub(layout.arg_start).min(79);
    let mut args = vec![0u8; usize::try_from(len).unwrap_or(0)];
    if t.mm().peek(layout.arg_start, &mut args).is_ok() {
        args.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
        put(&mut out, 56, &args);
    }
    out
}

/// The note that names mapped files.
fn files(segments: &[Segment]) -> Vec<u8> {
    let mapped = |s: &&Segment| s.map.is_file && !s.map.identity.path.is_empty();
    let (mut out, mut names, mut count) = (Vec::new(), Vec::new(), 0u64);
    for s in segments.iter().filter(mapped) {
        let shared_memory = s.map.flags.contains(VmaFlags::SHARED) && s.map.identity.ino == 0;
        if shared_memory {
            continue;
        }
        count += 1;
        let entry = [s.map.start, s.map.end, s.map.offset / PAGE_SIZE];
        out.extend_from_slice(entry.as_bytes());
        names.extend_from_slice(&s.map.identity.path);
        names.push(0);
    }
    let mut all = [count, PAGE_SIZE].as_bytes().to_vec();
    all.extend_from_slice(&out);
    all.extend_from_slice(&names);
    all
}
