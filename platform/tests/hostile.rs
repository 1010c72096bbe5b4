//! Guests that attack: the supervisor stays correct, and a bystander is not disturbed.

mod common;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::*;
use platform::{Context, Event, Exit, MapOp, Platform, Registers, Resume};

const WITNESS: u64 = 1 << 40;
const ENOSYS: i64 = -38;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A guest that counts: rdi of each call is one more than the last.
struct Witness {
    context: Arc<dyn Context>,
    expect: u64,
}

impl Witness {
    fn new(rig: &Rig) -> (Self, Arc<dyn platform::AddressSpace>) {
        let code = Asm::new()
            .raw(&[0x49, 0xff, 0xc4, 0x4c, 0x89, 0xe7]) // inc r12; mov rdi, r12
            .mov(R::Rax, 39)
            .syscall()
            .raw(&[0x48, 0x39, 0xf8, 0x74, 0x02, 0x0f, 0x0b]) // cmp rax, rdi; je +2; ud2
            .jmp_to(0);
        let (space, _, _) = rig.space(&code.0);
        let context = rig.start(&space, WITNESS);
        (Self { context, expect: 1 }, space)
    }

    fn check(&mut self, exit: Exit) {
        let Exit::Syscall { nr: 39, args, .. } = exit else {
            panic!("witness: {exit:?}")
        };
        assert_eq!(args[0], self.expect);
        self.expect += 1;
        self.context
            .resume(Resume::Return(args[0].cast_signed()))
            .unwrap();
    }
}

fn random_regs(rng: &mut Rng, rip: u64, base: u64) -> Registers {
    let mut regs = Registers::default();
    let mut value = || match rng.next() % 6 {
        0 => rng.next(),
        1 => rng.next() % 16,
        2 => DATA + rng.next() % 0x10000,
        3 => base + rng.next() % 0x60000,
        4 => base + 0x44000 + 8 * (rng.next() % 0x1000),
        _ => rng.next() % 500,
    };
    let g = &mut regs.gp;
    for reg in [
        &mut g.rax,
        &mut g.rbx,
        &mut g.rcx,
        &mut g.rdx,
        &mut g.rsi,
        &mut g.rdi,
        &mut g.rbp,
        &mut g.rsp,
        &mut g.r8,
        &mut g.r9,
        &mut g.r10,
        &mut g.r11,
        &mut g.r12,
        &mut g.r13,
        &mut g.r14,
        &mut g.r15,
        &mut g.fs_base,
        &mut g.gs_base,
    ] {
        *reg = value();
    }
    g.eflags = value() & 0xffff_ffff;
    g.rip = rip;
    regs
}

/// Guest threads start at every byte of the stub's code with random registers.
#[test]
fn jumps_into_the_stub() {
    let rig = Rig::new(1);
    let base = rig.platform.guest_range().1;
    let mut rng = Rng(0x1234_5678_9abc_def1);
    let (mut witness, _witness_space) = Witness::new(&rig);
    let (mut space, _, data) = rig.space(&Asm::new().call(39, &[]).jmp_to(0).0);
    // Up to the end of the blob, then some of the constants.
    let text = (0..0x380u64).chain((0x1000..0x3000).step_by(97));
    let until = Instant::now() + Duration::from_secs(60);
    for (n, offset) in text.enumerate() {
        assert!(Instant::now() < until, "too slow: {n} jumps");
        let regs = random_regs(&mut rng, base + offset, base);
        let cookie = n as u64;
        let context = match space.new_context(&regs, cookie, W0) {
            Ok(context) => context,
            Err(_) => {
                space = rig.space(&Asm::new().call(39, &[]).jmp_to(0).0).0;
                space.new_context(&regs, cookie, W0).unwrap()
            }
        };
        let _ = context.resume(Resume::Regs);
        let mut calls = 0;
        loop {
            let (from, exit) = match rig.platform.next(W0, Some(Duration::from_millis(5))) {
                Event::Guest { cookie, exit } => (cookie, exit),
                _ => {
                    context.kill();
                    continue;
                }
            };
            if from == WITNESS {
                witness.check(exit);
                calls += 1;
                if calls > 200 {
                    context.kill();
                }
                continue;
            }
            if from != cookie {
                continue;
            }
            match exit {
                Exit::Gone { .. } => break,
                Exit::Syscall { .. } if calls < 8 => {
                    let _ = context.resume(Resume::Return(ENOSYS));
                }
                _ => context.kill(),
            }
            calls += 1;
        }
    }
    // What another process has is untouched.
    assert!(witness.expect > 1000);
    rig.set_word(data, 5);
    assert_eq!(rig.word(data), 5);
}

/// A forged signal frame blocks every signal and names a wild alternate stack.
fn forge(rig: &Rig, data: u64, rip: u64) {
    let uc = data + 0x1000;
    rig.set_word(uc, 0);
    rig.set_word(uc + 16, 0x1000); // alternate stack
    rig.set_word(uc + 32, 0x4000);
    let words = [
        (15, DATA + 0x8000),
        (16, rip),
        (17, 0x202),
        (18, 0x002b_0000_0000_0033),
    ];
    for (n, value) in words {
        rig.set_word(uc + 40 + 8 * n, value);
    }
    rig.set_word(uc + 296, u64::MAX); // mask
}

/// Code that performs the forged return by way of the stub's own instruction.
fn forger(rig: &Rig) -> (Vec<u8>, usize) {
    let restorer = find_restorer(rig);
    let mut code = Asm::new()
        .mov(R::Rsp, DATA + 0x1000)
        .mov(R::Rcx, restorer)
        .raw(&[0xff, 0xe1])
        .0;
    let at = code.len();
    code.extend([0xeb, 0xfe]); // jmp .
    code.extend([0x8b, 0x04, 0x25, 0, 0, 0, 0]); // mov eax, [0]
    (code, at)
}

/// The stub's `mov eax, 15; syscall`, by looking at the guest's view of its code.
fn find_restorer(rig: &Rig) -> u64 {
    let base = rig.platform.guest_range().1;
    // mov rsi, base; loop: lodsb … is slower to write than to read it word by word.
    let mut found = None;
    let mut code = Asm::new();
    for n in 0..0xa0 {
        code = code.load_rax(base + 8 * n).store_rax(DATA + 8 * n);
    }
    let (space, _, data) = rig.space(&code.call(39, &[]).0);
    let _context = rig.start(&space, 77);
    loop {
        if let (77, exit) = rig.guest() {
            assert!(matches!(exit, Exit::Syscall { nr: 39, .. }), "{exit:?}");
            break;
        }
    }
    let bytes: Vec<u8> = (0..0xa0)
        .flat_map(|n| rig.word(data + 8 * n).to_le_bytes())
        .collect();
    for (at, window) in bytes.windows(7).enumerate() {
        if window == [0xb8, 15, 0, 0, 0, 0x0f, 0x05] {
            found = Some(base + at as u64);
        }
    }
    space.kill();
    assert!(matches!(rig.guest(), (77, Exit::Gone { .. })));
    found.unwrap()
}

#[test]
fn forged_sigreturn_that_blocks_signals_is_killed() {
    let rig = Rig::new(1);
    let (code, at) = forger(&rig);
    let (space, _, data) = rig.space(&code);
    forge(&rig, data, CODE + at as u64);
    let context = rig.start(&space, 1);
    assert_eq!(
        rig.platform.next(W0, Some(Duration::from_millis(50))),
        Event::Timeout
    );
    let start = Instant::now();
    context.interrupt();
    assert_eq!(rig.guest(), (1, Exit::Gone { signo: 9 }));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn forged_sigreturn_then_a_fault_is_the_guests_death() {
    let rig = Rig::new(1);
    let (code, at) = forger(&rig);
    let (space, _, data) = rig.space(&code);
    forge(&rig, data, CODE + at as u64 + 2);
    let _context = rig.start(&space, 1);
    assert_eq!(rig.guest(), (1, Exit::Gone { signo: 11 }));
}

#[test]
fn doorbell_with_a_wild_frame_is_a_call() {
    let rig = Rig::new(1);
    let doorbell = 0x1fff_ff01;
    let code = Asm::new()
        .call(doorbell, &[0x1234, 11, 0, 0])
        .call(doorbell, &[DATA, 31]);
    let (space, _, _) = rig.space(&code.0);
    let context = rig.start(&space, 1);
    for first in [0x1234, DATA] {
        let Exit::Syscall { nr, args, .. } = rig.guest().1 else {
            panic!()
        };
        assert_eq!((nr, args[0]), (doorbell, first));
        assert!(context.regs().is_none());
        context.resume(Resume::Return(ENOSYS)).unwrap();
    }
}

/// A thread that keeps writing the word by which new threads say that they are ready.
#[test]
fn forged_ready_word() {
    let rig = Rig::new(1);
    let ready = rig.platform.guest_range().1 + 0x43000;
    for value in [0u64, 1, 5, (-12i64).cast_unsigned()] {
        let code = Asm::new().mov(R::Rax, value).store_rax(ready).jmp_to(10);
        let (space, _, _) = rig.space(&code.0);
        let _forger = rig.start(&space, 1);
        let start = Instant::now();
        for n in 2..12 {
            // It may cost the guest its life, but not us our time.
            if let Ok(context) = space.new_context(&regs_at(CODE), n, W0) {
                let _ = context.resume(Resume::Regs);
            }
        }
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{value}: {:?}",
            start.elapsed()
        );
        space.kill();
    }
    let (mut witness, _space) = Witness::new(&rig);
    for _ in 0..100 {
        match rig.guest() {
            (WITNESS, exit) => witness.check(exit),
            (_, exit) => assert!(matches!(exit, Exit::Gone { .. }), "{exit:?}"),
        }
    }
}

/// Stubs are stopped, continued and killed at random while calls run.
#[test]
fn stopped_continued_killed() {
    let rig = Rig::new(1);
    let (mut witness, _space) = Witness::new(&rig);
    let me = nix::unistd::gettid();
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let children = move || -> Vec<i32> {
        let path = format!("/proc/self/task/{me}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    };
    let first: Vec<i32> = children();
    let tormentor = std::thread::spawn(move || {
        use nix::sys::signal::{Signal, kill};
        let mut rng = Rng(99);
        while !stop.load(Ordering::Relaxed) {
            for pid in children() {
                let new = !first.contains(&pid);
                let pid = nix::unistd::Pid::from_raw(pid);
                let _ = kill(pid, Signal::SIGSTOP);
                std::thread::sleep(Duration::from_micros(rng.next() % 300));
                let _ = kill(pid, Signal::SIGCONT);
                if new && rng.next().is_multiple_of(40) {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                std::thread::sleep(Duration::from_micros(rng.next() % 300));
            }
        }
    });
    let code = Asm::new().call(39, &[]).call(56, &[]).jmp_to(0);
    let (mut deaths, mut spaces) = (0, Vec::new());
    let until = Instant::now() + Duration::from_secs(5);
    let mut round = 0u64;
    while Instant::now() < until {
        while spaces.len() < 3 {
            let Ok(space) = rig.platform.new_address_space() else {
                continue;
            };
            let offset = rig.take(0x10000);
            std::os::unix::fs::FileExt::write_all_at(&rig.memory, &code.0, offset).unwrap();
            let map = MapOp::MapMemory {
                addr: CODE,
                len: 0x10000,
                offset,
                prot: RX,
            };
            if space.commit(&[map]).is_err() {
                continue;
            }
            let Ok(context) = space.new_context(&regs_at(CODE), round, W0) else {
                continue;
            };
            if context.resume(Resume::Regs).is_ok() {
                spaces.push((round, space, context));
            }
            round += 1;
        }
        match rig.guest() {
            (WITNESS, exit) => witness.check(exit),
            (cookie, Exit::Gone { .. }) => {
                deaths += 1;
                spaces.retain(|space| space.0 != cookie);
            }
            (cookie, exit) => {
                assert!(
                    matches!(exit, Exit::Syscall { nr: 39 | 56, .. }),
                    "{exit:?}"
                );
                if let Some(space) = spaces.iter().find(|space| space.0 == cookie) {
                    let _ = space.2.resume(Resume::Return(0));
                }
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    tormentor.join().unwrap();
    assert!(deaths > 3, "{deaths}");
    assert!(witness.expect > 500, "{}", witness.expect);
}
