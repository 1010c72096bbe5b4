//! Address spaces on the mock platform, with a guest that looks at its mappings as a CPU
//! would.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};
use guestmem::MemoryFile;
use platform::mock::{Backing, MockPlatform, MockSpace};
use platform::{Access, FaultKind, Platform};
use sentry::mm::advise::Advice;
use sentry::mm::fault::FaultOutcome;
use sentry::mm::map::{MapRequest, Placement};
use sentry::mm::remap::Remap;
use sentry::mm::{Frames, MapProt, Mm, MmLimits, VmaFlags};

const P: u64 = PAGE_SIZE;
const NONE: MmLimits = MmLimits::NONE;

struct Guest {
    platform: Arc<MockPlatform>,
    space: Arc<MockSpace>,
    mm: Arc<Mm>,
}

fn rw() -> MapProt {
    MapProt::READ | MapProt::WRITE
}

fn guest() -> Guest {
    guestmem::install_handler().unwrap();
    let platform = MockPlatform::new(1, &[]);
    let frames = Frames::new(Arc::new(MemoryFile::new(1 << 42).unwrap()));
    let space = platform.new_address_space().unwrap();
    let mm = Mm::new(space, frames, platform.guest_range());
    let space = platform.spaces().pop().unwrap();
    Guest {
        platform,
        space,
        mm,
    }
}

impl Guest {
    fn map(&self, len: u64, prot: MapProt) -> u64 {
        self.mm
            .map(MapRequest::anon(Placement::Hint(0), len, prot), &NONE)
            .unwrap()
    }

    /// Offset in the memory file that the guest reaches at `addr`.
    fn reach(&self, addr: u64, access: Access) -> Result<u64, FaultOutcome> {
        for _ in 0..4 {
            if let Some((backing, prot)) = self.space.lookup(addr) {
                let fine = match access {
                    Access::Read => prot.read,
                    Access::Write => prot.write,
                    Access::Exec => prot.exec,
                };
                if let (true, Backing::Memory(offset)) = (fine, backing) {
                    return Ok(offset);
                }
            }
            match self.mm.fault(addr, access, FaultKind::Page) {
                FaultOutcome::Resolved => {}
                other => return Err(other),
            }
        }
        panic!("{addr:#x} faults for ever");
    }

    fn store(&self, addr: u64, byte: u8) -> Result<(), FaultOutcome> {
        let at = self.reach(addr, Access::Write)?;
        let file = self.mm.frames().file();
        file.slice(at, 1).unwrap().copy_from(&[byte]).unwrap();
        Ok(())
    }

    fn load(&self, addr: u64) -> Result<u8, FaultOutcome> {
        let at = self.reach(addr, Access::Read)?;
        let mut b = [0];
        let file = self.mm.frames().file();
        file.slice(at, 1).unwrap().copy_to(&mut b).unwrap();
        Ok(b[0])
    }

    fn fork(&self) -> Guest {
        let mm = self.mm.fork(None).unwrap();
        let space = self.platform.spaces().pop().unwrap();
        Guest {
            platform: Arc::clone(&self.platform),
            space,
            mm,
        }
    }

    fn peek(&self, addr: u64) -> u8 {
        let mut b = [0];
        self.mm.copy_in(addr, &mut b).unwrap();
        b[0]
    }
}

#[test]
fn private_memory_is_mapped_at_once() {
    let g = guest();
    let a = g.map(100 * P, rw());
    let (_, prot) = g.space.lookup(a + 50 * P).unwrap();
    assert!(prot.write);
    g.store(a + 50 * P, 7).unwrap();
    assert_eq!(g.peek(a + 50 * P), 7);
    assert_eq!(g.mm.usage().rss_anon, P);
    g.mm.copy_out(a + P - 2, &[1, 2, 3, 4]).unwrap();
    assert_eq!(g.load(a + P + 1), Ok(4));
    g.mm.unmap(a + 10 * P, 10 * P).unwrap();
    assert_eq!(g.load(a + 15 * P), Err(FaultOutcome::NotMapped));
    let e =
        g.mm.copy_out(a + 9 * P, &vec![9; 2 * P as usize])
            .unwrap_err();
    assert_eq!((e.done as u64, e.errno), (P, Errno::EFAULT));
    g.mm.unmap(a, 100 * P).unwrap();
    assert_eq!(g.mm.frames().reserved(), 0);
    assert_eq!(g.mm.frames().file().resident_bytes(), 0);
}

#[test]
fn protection_is_heeded() {
    let g = guest();
    let a = g.map(4 * P, rw());
    g.store(a, 1).unwrap();
    g.mm.protect(a, P, MapProt::READ, false, &NONE).unwrap();
    assert_eq!(g.store(a, 2), Err(FaultOutcome::NotAllowed));
    assert!(g.mm.copy_out(a, &[1]).is_err());
    assert_eq!(g.load(a), Ok(1));
    g.mm.protect(a, 4 * P, MapProt::empty(), false, &NONE)
        .unwrap();
    assert_eq!(g.load(a), Err(FaultOutcome::NotAllowed));
    g.mm.protect(a, 4 * P, rw(), false, &NONE).unwrap();
    g.store(a, 3).unwrap();
    assert_eq!(g.space.mapping_count(), 1);
    let e = g.mm.protect(a, 5 * P, MapProt::READ, false, &NONE);
    assert_eq!(e, Err(Errno::ENOMEM));
    assert_eq!(g.mm.maps_text().iter().filter(|b| **b == b'\n').count(), 1);
    g.mm.poke(a, &[8]).unwrap();
    assert_eq!(g.load(a), Ok(8));
}

#[test]
fn fork_copies_on_write() {
    let g = guest();
    let a = g.map(64 * P, rw());
    for i in 0..64 {
        g.store(a + i * P, i as u8).unwrap();
    }
    let c = g.fork();
    assert!(!g.space.lookup(a).unwrap().1.write);
    c.store(a + 20 * P, 100).unwrap();
    assert_eq!(g.load(a + 20 * P), Ok(20));
    assert_eq!(c.load(a + 20 * P), Ok(100));
    assert_eq!(c.load(a + 21 * P), Ok(21));
    g.store(a + 21 * P, 200).unwrap();
    assert_eq!(c.load(a + 21 * P), Ok(21));
    // The kernel's own copies break it too.
    c.mm.copy_out(a + 40 * P, &[55]).unwrap();
    assert_eq!((c.load(a + 40 * P), g.load(a + 40 * P)), (Ok(55), Ok(40)));
    let grandchild = c.fork();
    grandchild.store(a + 20 * P, 9).unwrap();
    assert_eq!(c.load(a + 20 * P), Ok(100));
    drop(grandchild);
    drop(c);
    g.space.clear_ops();
    g.store(a + 63 * P, 1).unwrap();
    assert_eq!(g.space.ops().len(), 1, "sole owner: one call");
    for i in 0..64 {
        let want = match i {
            21 => 200,
            63 => 1,
            i => i as u8,
        };
        assert_eq!(g.load(a + i * P), Ok(want), "page {i}");
    }
    g.mm.unmap_all();
    assert_eq!(g.mm.frames().reserved(), 0);
}

#[test]
fn fork_shares_shared_memory_and_heeds_advice() {
    let g = guest();
    let mut request = MapRequest::anon(Placement::Hint(0), 4 * P, rw());
    request.flags = VmaFlags::SHARED | VmaFlags::MAYWRITE;
    let s = g.mm.map(request, &NONE).unwrap();
    let (d, w) = (g.map(P, rw()), g.map(P, rw()));
    for at in [s, d, w] {
        g.store(at, 5).unwrap();
    }
    let flags = |set| Advice::Flags {
        set,
        clear: VmaFlags::empty(),
        anon_only: false,
    };
    g.mm.advise(d, P, flags(VmaFlags::DONTFORK)).unwrap();
    g.mm.advise(w, P, flags(VmaFlags::WIPEONFORK)).unwrap();
    let c = g.fork();
    c.store(s, 6).unwrap();
    assert_eq!(g.load(s), Ok(6));
    assert_eq!(c.load(d), Err(FaultOutcome::NotMapped));
    assert_eq!((c.load(w), g.load(w)), (Ok(0), Ok(5)));
    assert_eq!(g.mm.shared_key(s), c.mm.shared_key(s));
    assert_ne!(g.mm.shared_key(w), c.mm.shared_key(w));
}

#[test]
fn dontneed_reads_zero() {
    let g = guest();
    let a = g.map(32 * P, rw());
    g.store(a, 1).unwrap();
    g.store(a + P, 2).unwrap();
    g.mm.advise(a, P, Advice::DontNeed { locked: false })
        .unwrap();
    assert_eq!((g.load(a), g.load(a + P)), (Ok(0), Ok(2)));
    g.store(a, 3).unwrap();
    let c = g.fork();
    g.mm.advise(a, 2 * P, Advice::DontNeed { locked: false })
        .unwrap();
    assert_eq!((g.load(a), c.load(a), c.load(a + P)), (Ok(0), Ok(3), Ok(2)));
    g.store(a, 4).unwrap();
    assert_eq!((g.load(a), c.load(a)), (Ok(4), Ok(3)));
    let e = g.mm.advise(a, 64 * P, Advice::DontNeed { locked: false });
    assert_eq!(e, Err(Errno::ENOMEM));
}

#[test]
fn remap_moves_and_grows() {
    let g = guest();
    let a = g.map(4 * P, rw());
    g.store(a + 3 * P, 9).unwrap();
    let stay = Remap {
        may_move: false,
        fixed: None,
        dont_unmap: false,
    };
    let go = Remap {
        may_move: true,
        ..stay
    };
    let e = g.mm.remap(a, 4 * P, 1 << 46, stay, &NONE);
    assert_eq!(e, Err(Errno::ENOMEM));
    assert_eq!(g.mm.remap(a, 4 * P, 4 * P, stay, &NONE), Ok(a));
    // Something below, so that growth must move.
    let b = g.mm.remap(a, 4 * P, 40 * P, go, &NONE).unwrap();
    assert_eq!(g.load(b + 3 * P), Ok(9));
    g.store(b + 39 * P, 1).unwrap();
    let fixed = Remap {
        fixed: Some(1 << 40),
        ..go
    };
    assert_eq!(g.mm.remap(b, 40 * P, 2 * P, fixed, &NONE), Ok(1 << 40));
    assert_eq!(g.load(b), Err(FaultOutcome::NotMapped));
    g.store(1 << 40, 3).unwrap();
    let keep = Remap {
        dont_unmap: true,
        ..go
    };
    let n = g.mm.remap(1 << 40, 2 * P, 2 * P, keep, &NONE).unwrap();
    assert_eq!((g.load(n), g.load(1 << 40)), (Ok(3), Ok(0)));
    g.mm.unmap_all();
    assert_eq!(g.mm.frames().reserved(), 0);
}

#[test]
fn heap_grows_in_one_mapping() {
    let g = guest();
    g.mm.set_brk_start(0x1000_0000);
    for i in 1..100 {
        let to = 0x1000_0000 + i * 3 * P;
        assert_eq!(g.mm.brk(to, &NONE), to);
        g.store(to - 1, 1).unwrap();
    }
    let first = g.reach(0x1000_0000, Access::Write).unwrap();
    for i in 0..297 {
        let at = g.reach(0x1000_0000 + i * P, Access::Write);
        assert_eq!(at, Ok(first + i * P), "side by side in the memory file");
    }
    assert_eq!(g.mm.brk(0, &NONE), 0x1000_0000 + 297 * P);
    assert_eq!(g.mm.brk(0x1000_0000, &NONE), 0x1000_0000);
    assert_eq!(g.load(0x1000_0000), Err(FaultOutcome::NotMapped));
    let tight = MmLimits {
        data: 2 * P,
        ..NONE
    };
    assert_eq!(g.mm.brk(0x1000_0000 + 3 * P, &tight), 0x1000_0000);
}

#[test]
fn stack_grows_to_its_limit() {
    let g = guest();
    g.mm.set_stack_limit(1 << 20);
    let top = 0x7000_0000_0000;
    let mut request = MapRequest::anon(Placement::Fixed(top - 4 * P), 4 * P, rw());
    request.flags = VmaFlags::GROWSDOWN;
    g.mm.map(request, &NONE).unwrap();
    g.store(top - 1, 1).unwrap();
    g.store(top - 5 * P, 1).unwrap();
    g.store(top - 300 * P + (44 + 1) * P, 1).unwrap();
    g.mm.copy_out(top - 256 * P, &[1]).unwrap();
    assert_eq!(g.store(top - 257 * P, 1), Err(FaultOutcome::NotMapped));
}

#[test]
fn reservations_cost_nothing_until_touched() {
    let g = guest();
    let a = g.map(16 << 40, MapProt::empty());
    assert_eq!(g.mm.frames().reserved(), 0);
    g.mm.protect(a + (1 << 40), 1 << 20, rw(), false, &NONE)
        .unwrap();
    g.store(a + (1 << 40), 1).unwrap();
    assert_eq!(g.store(a, 1), Err(FaultOutcome::NotAllowed));
    let mut lazy = MapRequest::anon(Placement::Hint(0), 1 << 44, rw());
    lazy.flags = VmaFlags::NORESERVE;
    let b = g.mm.map(lazy, &NONE).unwrap();
    g.store(b + (1 << 43), 1).unwrap();
    g.store(b + (1 << 43) + (3 << 20), 1).unwrap();
    assert_eq!(g.load(b), Ok(0));
    g.mm.unmap_all();
    assert_eq!(g.mm.frames().reserved(), 0);
}

#[test]
fn host_refusal_is_survived() {
    let g = guest();
    let (a, b) = (g.map(4 * P, rw()), g.map(4 * P, rw()));
    g.store(a, 1).unwrap();
    g.platform.fail_commit(0, 12);
    let c = g.map(4 * P, MapProt::READ);
    assert!(g.space.lookup(a).is_none());
    assert_eq!((g.load(a), g.load(b), g.load(c)), (Ok(1), Ok(0), Ok(0)));
}

#[test]
fn errors_of_placement() {
    let g = guest();
    let a = g.map(4 * P, rw());
    let at = |p| g.mm.map(MapRequest::anon(p, P, rw()), &NONE);
    assert_eq!(at(Placement::FixedNoReplace(a + P)), Err(Errno::EEXIST));
    assert_eq!(at(Placement::Fixed(a + 1)), Err(Errno::EINVAL));
    assert_eq!(at(Placement::Fixed(0)), Err(Errno::EPERM));
    assert_eq!(at(Placement::Fixed(1 << 60)), Err(Errno::ENOMEM));
    assert_eq!(at(Placement::Hint(1 << 33)), Ok(1 << 33));
    assert!(at(Placement::Low).unwrap() < 1 << 31);
    let tight = MmLimits {
        address_space: 5 * P,
        ..NONE
    };
    let big = MapRequest::anon(Placement::Hint(0), 64 * P, rw());
    assert_eq!(g.mm.map(big, &tight), Err(Errno::ENOMEM));
}
