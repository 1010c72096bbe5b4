//! The initial stack: strings, vectors, auxiliary vector; and where it stands.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};

use super::image::Image;
use super::{MAX_ARG_STRLEN, Program, StartInfo, cpu};
use crate::Result;
use crate::mm::map::{MapRequest, Placement};
use crate::mm::{MapProt, Mm, VmaFlags, VmaName};

/// Stack mapped beyond what the arguments need, at the start.
const ROOM: u64 = 128 << 10;
/// Most bytes of arguments and environment whatever the stack limit (three quarters of the
/// default limit).
const MAX_ARGS: u64 = 6 << 20;

/// Random bytes of one start.
pub struct Random {
    bytes: [u8; 64],
    at: usize,
    on: bool,
}

impl Random {
    /// Fresh ones; places are only randomised when `on`.
    pub fn new(on: bool) -> Result<Random> {
        let mut bytes = [0; 64];
        platform::host::random(&mut bytes).map_err(Errno::from)?;
        Ok(Random { bytes, at: 16, on })
    }

    /// A multiple of the page size below `count` pages; `count` is a power of two.
    pub fn pages(&mut self, count: u64) -> u64 {
        let mut word = [0; 8];
        if let Some(bytes) = self.bytes.get(self.at..self.at + 8) {
            word.copy_from_slice(bytes);
        }
        self.at += 8;
        if !self.on {
            return 0;
        }
        (u64::from_le_bytes(word) & (count - 1)) * PAGE_SIZE
    }

    /// The 16 bytes `AT_RANDOM` points to.
    fn seed(&self) -> &[u8] {
        self.bytes.get(..16).unwrap_or(&[])
    }
}

/// Where the stack and the mappings below it go.
pub struct StackPlace {
    /// One past the highest address.
    pub top: u64,
    /// Where `mmap` starts downwards.
    pub mmap_base: u64,
    /// Bytes of strings and vectors.
    used: u64,
}

/// Decides where the stack stands; `E2BIG` when arguments and environment are too long.
pub fn place(
    mm: &Arc<Mm>,
    program: &Program,
    info: &StartInfo<'_>,
    random: &mut Random,
) -> Result<StackPlace> {
    let strings = || program.argv.iter().chain(info.envp);
    let too_long = strings().any(|s| s.len() >= MAX_ARG_STRLEN);
    let bytes: u64 = strings().map(|s| s.len() as u64 + 1 + 8).sum();
    let limit = (info.limits.stack / 4).clamp(ROOM, MAX_ARGS);
    if too_long || bytes + program.name.len() as u64 + 1 > limit {
        return Err(Errno::E2BIG);
    }
    let high = mm.range().1;
    let top = (high - random.pages(1 << 22)) & !(PAGE_SIZE - 1);
    let gap = info.limits.stack.clamp(128 << 20, high / 6 * 5);
    let gap = gap.saturating_add(1 << 20).saturating_add(high - top);
    let mmap_base = high
        .saturating_sub(gap)
        .saturating_sub(random.pages(1 << 28));
    Ok(StackPlace {
        top,
        mmap_base: mmap_base & !(PAGE_SIZE - 1),
        used: bytes + program.name.len() as u64 + 4096,
    })
}

/// Strings written downwards from the top of the stack, and the buffer they are written to.
struct Strings {
    /// Address of the first byte of `buf` reversed: they are collected from the end.
    top: u64,
    /// The bytes, last string first.
    parts: Vec<(u64, Vec<u8>)>,
    at: u64,
}

impl Strings {
    fn push(&mut self, bytes: &[u8], nul: bool) -> u64 {
        let mut owned = bytes.to_vec();
        if nul {
            owned.push(0);
        }
        self.at = self.at.saturating_sub(owned.len() as u64);
        self.parts.push((self.at, owned));
        self.at
    }

    /// All bytes from the lowest string to the top.
    fn image(&self) -> Result<Vec<u8>> {
        let len = usize::try_from(self.top - self.at).map_err(|_| Errno::E2BIG)?;
        let mut image = vec![0; len];
        for (at, bytes) in &self.parts {
            let from = usize::try_from(at - self.at).map_err(|_| Errno::E2BIG)?;
            let to = image
                .get_mut(from..from + bytes.len())
                .ok_or(Errno::E2BIG)?;
            to.copy_from_slice(bytes);
        }
        Ok(image)
    }
}

/// Maps the stack and fills it; the initial stack pointer.
pub fn build(
    mm: &Arc<Mm>,
    program: &Program,
    info: &StartInfo<'_>,
    place: &StackPlace,
    main: &Image,
    linker: Option<&Image>,
    random: &Random,
) -> Result<u64> {
    let mut prot = MapProt::READ | MapProt::WRITE;
    prot.set(MapProt::EXEC, program.elf.exec_stack);
    let size = (place.used + ROOM).next_multiple_of(PAGE_SIZE);
    let start = place.top.checked_sub(size).ok_or(Errno::ENOMEM)?;
    let request = MapRequest {
        flags: VmaFlags::GROWSDOWN,
        name: VmaName::Stack,
        ..MapRequest::anon(Placement::Fixed(start), size, prot)
    };
    mm.map(request, &info.limits)?;
    let mut strings = Strings {
        top: place.top - 8,
        parts: Vec::new(),
        at: place.top - 8,
    };
    let execfn = strings.push(&program.name, true);
    let env_end = strings.at;
    let mut envp: Vec<u64> = info
        .envp
        .iter()
        .rev()
        .map(|s| strings.push(s, true))
        .collect();
    envp.reverse();
    let arg_end = strings.at;
    let mut argv: Vec<u64> = program
        .argv
        .iter()
        .rev()
        .map(|s| strings.push(s, true))
        .collect();
    argv.reverse();
    let arg_start = strings.at;
    let platform = strings.push(b"x86_64", true);
    let seed = strings.push(random.seed(), false);
    let image = strings.image()?;
    mm.copy_out(strings.at, &image)?;
    let pointers = Pointers {
        execfn,
        platform,
        seed,
    };
    let auxv = auxv(mm, program, info, main, linker, &pointers);
    let mut words: Vec<u64> = vec![argv.len() as u64];
    words.extend(argv);
    words.push(0);
    words.extend(envp);
    words.push(0);
    let vector: Vec<u8> = auxv.iter().flat_map(|w| w.to_le_bytes()).collect();
    words.extend(auxv);
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let sp = (strings.at & !15).saturating_sub(bytes.len() as u64) & !15;
    mm.copy_out(sp, &bytes)?;
    mm.set_auxv(vector);
    mm.update_layout(|l| {
        l.start_stack = sp;
        (l.arg_start, l.arg_end) = (arg_start, arg_end);
        (l.env_start, l.env_end) = (arg_end, env_end);
    });
    Ok(sp)
}

/// Addresses the auxiliary vector names.
struct Pointers {
    execfn: u64,
    platform: u64,
    seed: u64,
}

/// The auxiliary vector in Linux's order, with its terminator (`getauxval(3)`).
fn auxv(
    mm: &Arc<Mm>,
    program: &Program,
    info: &StartInfo<'_>,
    main: &Image,
    linker: Option<&Image>,
    at: &Pointers,
) -> Vec<u64> {
    let creds = info.creds;
    let mut v: Vec<u64> = Vec::new();
    let mut put = |key: u64, value: u64| v.extend([key, value]);
    if let Some((base, _)) = mm.space().vdso() {
        put(33, base);
    }
    put(51, cpu::min_signal_stack());
    put(16, cpu::hwcap());
    put(6, PAGE_SIZE);
    put(17, 100);
    put(3, main.phdr);
    put(4, u64::from(super::elf::PHENT));
    put(5, u64::from(program.elf.phnum));
    put(7, linker.map_or(0, |l| l.bias));
    put(8, 0);
    put(9, main.entry);
    put(11, u64::from(creds.user_ns.shown_uid(creds.uid)));
    put(12, u64::from(creds.user_ns.shown_uid(creds.euid)));
    put(13, u64::from(creds.user_ns.shown_gid(creds.gid)));
    put(14, u64::from(creds.user_ns.shown_gid(creds.egid)));
    put(23, u64::from(info.secure));
    put(25, at.seed);
    put(26, cpu::hwcap2());
    put(31, at.execfn);
    put(15, at.platform);
    put(0, 0);
    v
}
