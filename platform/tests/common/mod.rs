//! A rig for tests of the seccomp platform: a memory file, tiny machine code, a worker loop.
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use platform::systrap::{Config, Systrap};
use platform::{
    AddressSpace, Context, Cookie, Event, Exit, MapOp, Platform, Prot, Registers, Resume, WorkerId,
};

pub const RW: Prot = Prot {
    read: true,
    write: true,
    exec: false,
};
pub const RX: Prot = Prot {
    read: true,
    write: false,
    exec: true,
};
pub const RWX: Prot = Prot {
    read: true,
    write: true,
    exec: true,
};
pub const CODE: u64 = 0x40_0000;
pub const DATA: u64 = 0x50_0000;
pub const W0: WorkerId = WorkerId(0);

/// clone, fork, vfork, execve, execveat, clone3, rt_sigreturn.
pub const TRAP: &[u32] = &[56, 57, 58, 59, 322, 435, 15];

pub struct Rig {
    pub platform: Arc<Systrap>,
    pub memory: std::fs::File,
    next: AtomicU64,
}

impl Rig {
    pub fn new(workers: usize) -> Self {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let memory = memfd_create(c"guest", MFdFlags::MFD_CLOEXEC).unwrap();
        nix::unistd::ftruncate(&memory, 1 << 32).unwrap();
        let memory_file: OwnedFd = memory.try_clone().unwrap();
        let platform = Systrap::new(Config {
            memory_file,
            workers,
            trap: TRAP,
            maps: None,
            keeper: false,
            enter: &[],
        })
        .unwrap();
        Self {
            platform,
            memory: memory.into(),
            next: AtomicU64::new(0),
        }
    }

    /// Takes a range of the memory file.
    pub fn take(&self, len: u64) -> u64 {
        self.next.fetch_add(len, Ordering::Relaxed)
    }

    /// A space with `code` at CODE (64 KiB) and 64 KiB of data at DATA; the file offsets.
    pub fn space(&self, code: &[u8]) -> (Arc<dyn AddressSpace>, u64, u64) {
        let space = self.platform.new_address_space().unwrap();
        let (c, d) = (self.take(0x10000), self.take(0x10000));
        self.memory.write_all_at(code, c).unwrap();
        let map = |addr, offset, prot| MapOp::MapMemory {
            addr,
            len: 0x10000,
            offset,
            prot,
        };
        space.commit(&[map(CODE, c, RX), map(DATA, d, RW)]).unwrap();
        (space, c, d)
    }

    /// A running thread at CODE with its stack at the end of the data.
    pub fn start(&self, space: &Arc<dyn AddressSpace>, cookie: Cookie) -> Arc<dyn Context> {
        let context = space.new_context(&regs_at(CODE), cookie, W0).unwrap();
        context.resume(Resume::Regs).unwrap();
        context
    }

    /// The next guest event of worker 0.
    pub fn guest(&self) -> (Cookie, Exit) {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            match self.platform.next(W0, Some(Duration::from_secs(1))) {
                Event::Guest { cookie, exit } => return (cookie, exit),
                _ => continue,
            }
        }
        panic!("no guest event in 20 s");
    }

    pub fn word(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read_exact_at(&mut bytes, offset).unwrap();
        u64::from_le_bytes(bytes)
    }

    pub fn set_word(&self, offset: u64, value: u64) {
        self.memory
            .write_all_at(&value.to_le_bytes(), offset)
            .unwrap();
    }
}

pub fn regs_at(rip: u64) -> Registers {
    let mut regs = Registers::default();
    regs.gp.rip = rip;
    regs.gp.rsp = DATA + 0xff00;
    regs.gp.eflags = 0x202;
    regs
}

/// A tiny assembler.
#[derive(Default)]
pub struct Asm(pub Vec<u8>);

#[derive(Clone, Copy)]
pub enum R {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsp = 4,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R12 = 12,
    R15 = 15,
}

impl Asm {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    pub fn mov(self, reg: R, value: u64) -> Self {
        let r = reg as u8;
        self.raw(&[0x48 | (r >> 3), 0xb8 | (r & 7)])
            .raw(&value.to_le_bytes())
    }
    pub fn syscall(self) -> Self {
        self.raw(&[0x0f, 0x05])
    }
    /// rax = call(nr, args…).
    pub fn call(mut self, nr: u64, args: &[u64]) -> Self {
        let regs = [R::Rdi, R::Rsi, R::Rdx, R::R10, R::R8, R::R9];
        for (reg, value) in regs.into_iter().zip(args) {
            self = self.mov(reg, *value);
        }
        self.mov(R::Rax, nr).syscall()
    }
    /// [addr] = rax.
    pub fn store_rax(self, addr: u64) -> Self {
        self.raw(&[0x48, 0xa3]).raw(&addr.to_le_bytes())
    }
    /// rax = [addr].
    pub fn load_rax(self, addr: u64) -> Self {
        self.raw(&[0x48, 0xa1]).raw(&addr.to_le_bytes())
    }
    pub fn jmp_to(self, target: usize) -> Self {
        let from = self.0.len() as i64 + 5;
        let rel = (target as i64 - from) as i32;
        self.raw(&[0xe9]).raw(&rel.to_le_bytes())
    }
    pub fn here(&self) -> usize {
        self.0.len()
    }
}
