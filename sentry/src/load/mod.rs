//! Loading programs (`execve(2)`, `elf(5)`).
//!
//! Two steps, so that credentials can be decided between them: [`Program::open`] finds out
//! what is to run (following `#!` lines, reading ELF headers, opening the interpreter) and
//! [`load`] builds it up in a fresh address space. Nothing of the caller changes before the
//! new space is complete, so every error can still be returned.

mod cpu;
mod elf;
mod image;
mod script;
mod stack;

use std::sync::Arc;

use abi::Errno;
use platform::Registers;

use crate::Result;
use crate::creds::Creds;
use crate::fs::file::{File, OpenFlags};
use crate::fs::vfs::walk::{WalkCx, WalkFlags};
use crate::fs::vfs::{Access, FileType, MountFlags, Opened, lookup, open, perm};
use crate::io::KernelDst;
use crate::landlock::FsRights;
use crate::mm::{Mm, MmLimits};

use elf::Elf;

/// Longest single argument or environment string with its NUL (`MAX_ARG_STRLEN`).
pub const MAX_ARG_STRLEN: usize = 131_072;
/// Most interpreters of interpreters.
const MAX_SCRIPTS: usize = 5;

/// What is to run.
pub struct Program {
    /// The ELF executable: the file asked for, or the last script's interpreter.
    pub file: Arc<File>,
    /// Its arguments; changed by `#!` lines.
    pub argv: Vec<Vec<u8>>,
    /// The path it was asked for by, for `AT_EXECFN`.
    pub name: Vec<u8>,
    elf: Elf,
    interpreter: Option<(Arc<File>, Elf)>,
}

/// What else a program is started with.
pub struct StartInfo<'a> {
    /// The environment.
    pub envp: &'a [Vec<u8>],
    /// Credentials it will have.
    pub creds: &'a Creds,
    /// `AT_SECURE`: it gained privilege.
    pub secure: bool,
    /// Resource limits.
    pub limits: MmLimits,
    /// Whether addresses are randomised (`personality(2)`, `ADDR_NO_RANDOMIZE`).
    pub randomise: bool,
}

/// Finds an executable by path, as `execve(2)` does: a regular file, executable, on a mount
/// that allows it. `ENOENT`, `EACCES` and the walk's errors.
pub fn open_exec(
    cx: &WalkCx<'_>,
    start: &crate::fs::vfs::Path,
    name: &[u8],
    flags: WalkFlags,
) -> Result<Arc<File>> {
    let path = lookup(cx, start, name, flags | WalkFlags::FOLLOW)?;
    let inode = path.inode()?;
    if inode.kind() != FileType::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    perm::check_path(&cx.creds, &path, Access::X)?;
    let rights = FsRights::EXECUTE | FsRights::READ_FILE;
    crate::landlock::files::check(&cx.creds, &path, rights)?;
    // What may be executed need not be readable, but the kernel reads it.
    let mut kernel = cx.clone();
    kernel.creds = Arc::new(Creds::root());
    match open::open_at(&kernel, &path, OpenFlags::empty())? {
        Opened::File(file) => Ok(file),
        Opened::Fifo(_) => Err(Errno::EACCES),
        Opened::Leased(_) => Err(Errno::EAGAIN),
    }
}

impl Program {
    /// Reads `file`, which [`open_exec`] gave for `name`, follows `#!` lines and opens the
    /// ELF interpreter. `ENOEXEC`, `ELOOP`, `ELIBBAD`, and what opening gives.
    pub fn open(
        cx: &WalkCx<'_>,
        file: Arc<File>,
        name: Vec<u8>,
        argv: Vec<Vec<u8>>,
    ) -> Result<Program> {
        Program::open_with(file, name, argv, |name| {
            open_exec(cx, &cx.cwd, name, WalkFlags::empty())
        })
    }

    /// The same with `opener` to open interpreters.
    pub fn open_with(
        file: Arc<File>,
        name: Vec<u8>,
        argv: Vec<Vec<u8>>,
        opener: impl Fn(&[u8]) -> Result<Arc<File>>,
    ) -> Result<Program> {
        let (mut file, mut argv) = (file, argv);
        if argv.is_empty() {
            // As Linux since 5.18: nobody need meet an empty argv.
            argv.push(Vec::new());
        }
        let mut script_name = name.clone();
        for _ in 0..=MAX_SCRIPTS {
            let head = read_at(&file, 0, script::HEAD)?;
            let Some(line) = script::parse(&head)? else {
                let elf = Elf::read(&file, Errno::ENOEXEC)?;
                let interpreter = open_interpreter(&opener, &file, &elf)?;
                return Ok(Program {
                    file,
                    argv,
                    name,
                    elf,
                    interpreter,
                });
            };
            argv.remove(0);
            argv.insert(0, script_name);
            if let Some(argument) = line.argument {
                argv.insert(0, argument);
            }
            argv.insert(0, line.interpreter.clone());
            file = opener(&line.interpreter)?;
            script_name = line.interpreter;
        }
        Err(Errno::ELOOP)
    }
}

/// Opens what `PT_INTERP` names.
fn open_interpreter(
    opener: impl Fn(&[u8]) -> Result<Arc<File>>,
    file: &Arc<File>,
    elf: &Elf,
) -> Result<Option<(Arc<File>, Elf)>> {
    let Some((offset, len)) = elf.interpreter_name()? else {
        return Ok(None);
    };
    let mut name = read_at(file, offset, len)?;
    if name.len() != len || name.pop() != Some(0) {
        return Err(Errno::ENOEXEC);
    }
    name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
    let interpreter = opener(&name)?;
    let elf = Elf::read(&interpreter, Errno::ELIBBAD)?;
    Ok(Some((interpreter, elf)))
}

/// Reads up to `len` bytes of a file at `offset`; fewer only at its end.
fn read_at(file: &Arc<File>, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let mut done = 0;
    while done < len {
        let rest = buf.get_mut(done..).ok_or(Errno::EIO)?;
        let mut dst = KernelDst::new(rest);
        let at = offset.checked_add(done as u64).ok_or(Errno::EINVAL)?;
        match file.ops.read(&file.cx(None), &mut dst, at)? {
            0 => break,
            n => done += n,
        }
    }
    buf.truncate(done);
    Ok(buf)
}

/// Builds `program` up in `mm`, which is empty; the registers it starts with. On an error
/// `mm` is to be thrown away.
pub fn load(mm: &Arc<Mm>, program: &Program, info: &StartInfo<'_>) -> Result<Registers> {
    let mut random = stack::Random::new(info.randomise)?;
    mm.hold_changes();
    let place = stack::place(mm, program, info, &mut random)?;
    mm.set_stack_limit(info.limits.stack);
    mm.set_mmap_base(place.mmap_base);
    let main = image::map_program(mm, program, info, &mut random)?;
    let linker = match &program.interpreter {
        Some((file, elf)) => Some(image::map_interpreter(mm, file, elf, info)?),
        None => None,
    };
    let sp = stack::build(mm, program, info, &place, &main, linker.as_ref(), &random)?;
    mm.apply_held();
    let mut regs = Registers::default();
    regs.gp.rip = linker.as_ref().map_or(main.entry, |l| l.entry);
    regs.gp.rsp = sp;
    regs.gp.eflags = 0x202;
    regs.gp.cs = 0x33;
    regs.gp.ss = 0x2b;
    Ok(regs)
}
