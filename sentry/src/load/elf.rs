//! ELF headers (`elf(5)`), read from a hostile file.

use std::sync::Arc;

use abi::Errno;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::read_at;
use crate::Result;
use crate::fs::file::File;
use crate::mm::MapProt;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
/// Most bytes of program headers.
const MAX_PHDRS: usize = 65_536;
/// Size of a program header.
pub const PHENT: u16 = 56;

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ehdr {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    shentsize: u16,
    shnum: u16,
    shstrndx: u16,
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Phdr {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

/// A `PT_LOAD` segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Address, before relocation.
    pub vaddr: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes from the file.
    pub filesz: u64,
    /// Bytes in memory.
    pub memsz: u64,
    /// Protection.
    pub prot: MapProt,
}

/// What the loader needs of the headers.
#[derive(Debug)]
pub struct Elf {
    /// Whether it may be loaded anywhere (`ET_DYN`).
    pub relocatable: bool,
    /// Entry point, before relocation.
    pub entry: u64,
    /// Offset of the program headers.
    pub phoff: u64,
    /// How many there are.
    pub phnum: u16,
    /// What to load, in file order; not empty, `memsz >= filesz`, no overflow.
    pub segments: Vec<Segment>,
    /// Largest alignment wanted, a power of two of at least a page.
    pub align: u64,
    /// Whether the stack is to be executable.
    pub exec_stack: bool,
    interp: Option<(u64, u64)>,
}

impl Elf {
    /// Reads the headers of `file`; `bad` for what is no ELF file of this machine.
    pub fn read(file: &Arc<File>, bad: Errno) -> Result<Elf> {
        let head = read_at(file, 0, size_of::<Ehdr>())?;
        let head = Ehdr::read_from_bytes(&head).map_err(|_| bad)?;
        let known = head.ident.starts_with(b"\x7fELF\x02\x01")
            && matches!(head.kind, ET_EXEC | ET_DYN)
            && head.machine == EM_X86_64
            && head.phentsize == PHENT;
        let bytes = usize::from(head.phnum) * usize::from(PHENT);
        if !known || bytes == 0 || bytes > MAX_PHDRS {
            return Err(bad);
        }
        let table = read_at(file, head.phoff, bytes)?;
        if table.len() != bytes {
            return Err(bad);
        }
        let mut elf = Elf {
            relocatable: head.kind == ET_DYN,
            entry: head.entry,
            phoff: head.phoff,
            phnum: head.phnum,
            segments: Vec::new(),
            align: abi::PAGE_SIZE,
            exec_stack: false,
            interp: None,
        };
        for raw in table.chunks_exact(usize::from(PHENT)) {
            elf.add(&Phdr::read_from_bytes(raw).map_err(|_| bad)?, bad)?;
        }
        if elf.segments.is_empty() {
            return Err(bad);
        }
        Ok(elf)
    }

    fn add(&mut self, p: &Phdr, bad: Errno) -> Result<()> {
        match p.kind {
            PT_LOAD => {
                let fits = p.memsz >= p.filesz
                    && p.vaddr.checked_add(p.memsz).is_some()
                    && p.offset.checked_add(p.filesz).is_some()
                    && p.vaddr % abi::PAGE_SIZE == p.offset % abi::PAGE_SIZE;
                if !fits {
                    return Err(if bad == Errno::ENOEXEC {
                        Errno::EINVAL
                    } else {
                        bad
                    });
                }
                if p.align.is_power_of_two() {
                    self.align = self.align.max(p.align.min(1 << 30));
                }
                if p.memsz > 0 {
                    self.segments.push(Segment {
                        vaddr: p.vaddr,
                        offset: p.offset,
                        filesz: p.filesz,
                        memsz: p.memsz,
                        prot: prot(p.flags),
                    });
                }
            }
            PT_INTERP if self.interp.is_none() => self.interp = Some((p.offset, p.filesz)),
            PT_GNU_STACK => self.exec_stack = p.flags & 1 != 0,
            _ => {}
        }
        Ok(())
    }

    /// Where the interpreter's name stands in the file and how long it is with its NUL.
    pub fn interpreter_name(&self) -> Result<Option<(u64, usize)>> {
        let Some((offset, len)) = self.interp else {
            return Ok(None);
        };
        let len = usize::try_from(len).map_err(|_| Errno::ENOEXEC)?;
        if !(2..=abi::PATH_MAX).contains(&len) {
            return Err(Errno::ENOEXEC);
        }
        Ok(Some((offset, len)))
    }

    /// First page and one past the last byte of all segments, before relocation.
    pub fn span(&self) -> (u64, u64) {
        let low = self
            .segments
            .iter()
            .map(|s| s.vaddr - s.vaddr % abi::PAGE_SIZE)
            .min();
        let high = self
            .segments
            .iter()
            .map(|s| s.vaddr.saturating_add(s.memsz))
            .max();
        (low.unwrap_or(0), high.unwrap_or(0))
    }

    /// Address of the program headers in memory, before relocation; 0 if not loaded.
    pub fn phdr_addr(&self) -> u64 {
        let holds = |s: &&Segment| s.offset <= self.phoff && self.phoff < s.offset + s.filesz;
        let found = self.segments.iter().find(holds);
        found.map_or(0, |s| (self.phoff - s.offset).wrapping_add(s.vaddr))
    }
}

/// Protection from `p_flags`.
fn prot(flags: u32) -> MapProt {
    let mut prot = MapProt::empty();
    prot.set(MapProt::EXEC, flags & 1 != 0);
    prot.set(MapProt::WRITE, flags & 2 != 0);
    prot.set(MapProt::READ, flags & 4 != 0);
    prot
}
