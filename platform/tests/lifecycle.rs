//! Fork, interruption in each state, parked calls, death.

mod common;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use common::*;
use platform::{Event, Exit, MapOp, Platform, Resume};

fn nr_of(exit: Exit) -> u64 {
    match exit {
        Exit::Syscall { nr, .. } => nr,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fork_copies_mappings() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .call(57, &[])
        .store_rax(DATA)
        .load_rax(DATA + 8)
        .call(39, &[])
        .jmp_to(0);
    let (space, _, data) = rig.space(&code.0);
    let parent = rig.start(&space, 1);
    assert_eq!(nr_of(rig.guest().1), 57);
    let regs = parent.regs().unwrap();
    let child_space = space.fork().unwrap();
    // The child's data page is its own from now on.
    let own = rig.take(0x10000);
    let map = MapOp::MapMemory {
        addr: DATA,
        len: 0x10000,
        offset: own,
        prot: RW,
    };
    child_space.commit(&[map]).unwrap();
    let child = child_space.new_context(&regs, 2, W0).unwrap();
    let mut regs = child.regs().unwrap();
    regs.gp.rax = 0;
    child.set_regs(&regs).unwrap();
    child.resume(Resume::Regs).unwrap();
    parent.resume(Resume::Return(1000)).unwrap();
    for _ in 0..2 {
        assert_eq!(nr_of(rig.guest().1), 39);
    }
    assert_eq!((rig.word(data), rig.word(own)), (1000, 0));
    // The parent's death leaves the child alone.
    space.kill();
    assert_eq!(rig.guest(), (1, Exit::Gone { signo: 9 }));
    child.resume(Resume::Return(0)).unwrap();
    assert_eq!(nr_of(rig.guest().1), 57);
    // A fork of the fork, and its end by its own doing.
    let grand = child_space.fork().unwrap();
    let third = grand.new_context(&regs, 3, W0).unwrap();
    third.resume(Resume::Regs).unwrap();
    assert_eq!(nr_of(rig.guest().1), 39);
}

#[test]
fn a_new_thread_gets_the_whole_register_file() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .mov(R::Rax, 0x1234_5678)
        .raw(&[0xc4, 0xe1, 0xf9, 0x6e, 0xd8]) // vmovq xmm3, rax
        .raw(&[0xc4, 0xe3, 0x65, 0x18, 0xe3, 0x01]) // vinsertf128 ymm4, ymm3, xmm3, 1
        .call(57, &[])
        .raw(&[0xc4, 0xe3, 0x7d, 0x19, 0xe5, 0x01]) // vextractf128 xmm5, ymm4, 1
        .raw(&[0xc4, 0xe1, 0xf9, 0x7e, 0xe8]) // vmovq rax, xmm5
        .store_rax(DATA)
        .raw(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]) // mov rax, fs:[0]
        .store_rax(DATA + 8)
        .raw(&[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]) // mov rax, gs:[0]
        .store_rax(DATA + 16)
        .call(39, &[]);
    let (space, _, data) = rig.space(&code.0);
    let parent = rig.start(&space, 1);
    assert_eq!(nr_of(rig.guest().1), 57);
    let mut regs = parent.regs().unwrap();
    regs.gp.fs_base = DATA + 0x100;
    regs.gp.gs_base = DATA + 0x200;
    rig.set_word(data + 0x100, 0x77);
    rig.set_word(data + 0x200, 0x88);
    let child = space.new_context(&regs, 2, W0).unwrap();
    assert_eq!(child.regs().unwrap().gp.rip, regs.gp.rip);
    child.resume(Resume::Regs).unwrap();
    assert_eq!(rig.guest().0, 2);
    let words: Vec<u64> = (0..3).map(|n| rig.word(data + 8 * n)).collect();
    assert_eq!(words, [0x1234_5678, 0x77, 0x88]);
    // The bases stay through an interruption.
    child.interrupt();
    child.resume(Resume::Return(0)).unwrap();
    assert_eq!(rig.guest(), (2, Exit::Interrupted));
    let now = child.regs().unwrap();
    assert_eq!(
        (now.gp.fs_base, now.gp.gs_base),
        (DATA + 0x100, DATA + 0x200)
    );
}

#[test]
fn interrupt_in_user_code() {
    let rig = Rig::new(1);
    let code = Asm::new().mov(R::Rbx, 0x77).raw(&[0xeb, 0xfe]); // jmp .
    let (space, _, _) = rig.space(&code.0);
    let context = rig.start(&space, 1);
    let soon = Some(Duration::from_millis(30));
    assert_eq!(rig.platform.next(W0, soon), Event::Timeout);
    for _ in 0..50 {
        context.interrupt();
        context.interrupt();
        assert_eq!(rig.guest().1, Exit::Interrupted);
        assert_eq!(context.regs().unwrap().gp.rbx, 0x77);
        context.resume(Resume::Regs).unwrap();
    }
    assert_eq!(rig.platform.next(W0, soon), Event::Timeout);
}

#[test]
fn interrupt_of_a_held_call() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .call(0, &[3, 4])
        .store_rax(DATA)
        .call(39, &[])
        .jmp_to(0);
    let (space, _, data) = rig.space(&code.0);
    let context = rig.start(&space, 1);
    for _ in 0..20 {
        let Exit::Syscall { nr: 0, ip, .. } = rig.guest().1 else {
            panic!()
        };
        context.interrupt();
        context.resume(Resume::Return(-4)).unwrap();
        assert_eq!(rig.guest().1, Exit::Interrupted);
        let mut regs = context.regs().unwrap();
        assert_eq!((regs.gp.rax.cast_signed(), regs.gp.rip), (-4, ip));
        // Restart the call.
        regs.gp.rip -= 2;
        regs.gp.rax = 0;
        context.set_regs(&regs).unwrap();
        context.resume(Resume::Regs).unwrap();
        assert_eq!(nr_of(rig.guest().1), 0);
        context.resume(Resume::Return(55)).unwrap();
        assert_eq!(nr_of(rig.guest().1), 39);
        assert_eq!(rig.word(data), 55);
        context.resume(Resume::Return(0)).unwrap();
    }
    // At a frame: the interruption comes after the return.
    let Exit::Syscall { nr: 0, .. } = rig.guest().1 else {
        panic!()
    };
    context.interrupt();
    context.resume(Resume::Return(1)).unwrap();
    assert_eq!(rig.guest().1, Exit::Interrupted);
    context.interrupt();
    context.resume(Resume::Regs).unwrap();
    assert_eq!(rig.guest().1, Exit::Interrupted);
    context.resume(Resume::Regs).unwrap();
    assert_eq!(nr_of(rig.guest().1), 39);
}

#[test]
fn interrupt_before_the_first_instruction() {
    let rig = Rig::new(1);
    let (space, _, _) = rig.space(&Asm::new().call(39, &[]).0);
    let context = space.new_context(&regs_at(CODE), 9, W0).unwrap();
    context.interrupt();
    context.resume(Resume::Regs).unwrap();
    assert_eq!(rig.guest(), (9, Exit::Interrupted));
    context.resume(Resume::Regs).unwrap();
    assert_eq!(nr_of(rig.guest().1), 39);
}

/// Interrupts from another thread at any moment: no call lost, none doubled.
#[test]
fn interrupt_storm() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .raw(&[0x49, 0xff, 0xc4]) // inc r12
        .raw(&[0x4c, 0x89, 0xe7]) // mov rdi, r12
        .mov(R::Rax, 39)
        .syscall()
        .raw(&[0x48, 0x39, 0xf8, 0x74, 0x02, 0x0f, 0x0b]) // cmp rax, rdi; je +2; ud2
        .jmp_to(0);
    let (space, _, _) = rig.space(&code.0);
    let context = rig.start(&space, 1);
    let other = context.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            other.interrupt();
            std::thread::sleep(Duration::from_micros(20));
        }
    });
    let (mut expect, mut interrupts) = (1, 0);
    while expect < 20_000 {
        match rig.guest().1 {
            Exit::Syscall { nr: 39, args, .. } => {
                assert_eq!(args[0], expect);
                expect += 1;
                context
                    .resume(Resume::Return(args[0].cast_signed()))
                    .unwrap();
            }
            Exit::Interrupted => {
                interrupts += 1;
                context.resume(Resume::Regs).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    thread.join().unwrap();
    assert!(interrupts > 0);
}

#[test]
fn parked_calls_resume_in_any_order() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .call(0, &[])
        .raw(&[0x48, 0x89, 0xc7])
        .mov(R::Rax, 39)
        .syscall();
    let (space, _, _) = rig.space(&code.0);
    let contexts: Vec<_> = (0..64).map(|n| rig.start(&space, n)).collect();
    for _ in 0..64 {
        assert_eq!(nr_of(rig.guest().1), 0);
    }
    for n in (0..64).map(|n| (n * 37 + 11) % 64) {
        contexts[n].resume(Resume::Return(n as i64)).unwrap();
        let (cookie, Exit::Syscall { nr: 39, args, .. }) = rig.guest() else {
            panic!()
        };
        assert_eq!((cookie, args[0]), (n as u64, n as u64));
    }
}

#[test]
fn death_of_a_stub_is_reported() {
    let rig = Rig::new(1);
    // A fault while SIGSEGV is blocked by a forged rt_sigreturn is covered elsewhere; here
    // the host kills.
    let code = Asm::new().call(0, &[]).jmp_to(0);
    let (space, _, _) = rig.space(&code.0);
    let contexts: Vec<_> = (0..3).map(|n| rig.start(&space, n)).collect();
    for _ in 0..3 {
        rig.guest();
    }
    for pid in stubs() {
        // All stubs but the zygote have guest threads.
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        if tasks == 4 {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        }
    }
    for _ in 0..3 {
        let (_, exit) = rig.guest();
        assert_eq!(exit, Exit::Gone { signo: 15 });
    }
    assert!(contexts[0].resume(Resume::Return(0)).is_err());
    assert!(
        space
            .commit(&[MapOp::Unmap {
                addr: CODE,
                len: 0x1000
            }])
            .is_err()
    );
    assert!(space.fork().is_err());
    assert!(space.new_context(&regs_at(CODE), 9, W0).is_err());
    assert!(rig.platform.new_address_space().is_ok());
}

/// Children of this process that are stubs of this test's thread.
fn stubs() -> Vec<i32> {
    let me = nix::unistd::gettid();
    let path = format!("/proc/self/task/{me}/children");
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

#[test]
fn nothing_is_left_behind() {
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = stubs().len();
    let rig = Rig::new(1);
    let (first, _, _) = rig.space(&Asm::new().call(39, &[]).0);
    drop(first);
    let mut start = 0;
    for round in 0..40 {
        let (space, _, _) = rig.space(&Asm::new().call(39, &[]).0);
        let contexts: Vec<_> = (0..5).map(|n| rig.start(&space, n)).collect();
        for _ in 0..5 {
            assert_eq!(nr_of(rig.guest().1), 39);
        }
        contexts[0].kill();
        assert_eq!(rig.guest(), (0, Exit::Gone { signo: 0 }));
        drop(space);
        for _ in 0..4 {
            assert_eq!(rig.guest().1, Exit::Gone { signo: 9 });
        }
        drop(contexts);
        let until = Instant::now() + Duration::from_secs(10);
        // The zygote and three spares stay.
        while stubs().len() > before + 4 && Instant::now() < until {
            rig.platform.next(W0, Some(Duration::from_millis(1)));
        }
        assert!(stubs().len() <= before + 4, "round {round}");
        if round == 0 {
            start = fds();
        }
    }
    // Other tests of this process have descriptors too, so only a leak shows.
    assert!(fds() < start + 100, "{} {start}", fds());
    drop(rig);
    assert_eq!(stubs().len(), before);
}

#[test]
fn kicks_and_watches() {
    let rig = Rig::new(1);
    rig.platform.kick(W0);
    rig.platform.kick(W0);
    let soon = Some(Duration::from_millis(5));
    assert_eq!(rig.platform.next(W0, soon), Event::Kick);
    assert_eq!(rig.platform.next(W0, soon), Event::Timeout);
    let (read, write) = nix::unistd::pipe().unwrap();
    rig.platform.watch(W0, read.as_fd(), u64::MAX).unwrap();
    assert_eq!(rig.platform.next(W0, soon), Event::Timeout);
    nix::unistd::write(&write, b"x").unwrap();
    assert_eq!(rig.platform.next(W0, soon), Event::Ready(u64::MAX));
    assert_eq!(rig.platform.next(W0, soon), Event::Timeout);
    rig.platform.watch(W0, read.as_fd(), 7).unwrap();
    assert_eq!(rig.platform.next(W0, soon), Event::Ready(7));
    rig.platform.watch(W0, read.as_fd(), 8).unwrap();
    rig.platform.unwatch(W0, read.as_fd());
    assert_eq!(rig.platform.next(W0, soon), Event::Timeout);
}

#[test]
fn cpu_time_is_counted_per_thread() {
    let rig = Rig::new(1);
    let spin = Asm::new().raw(&[0xeb, 0xfe]);
    let (space, _, _) = rig.space(&spin.0);
    let busy = rig.start(&space, 1);
    let idle = space.new_context(&regs_at(CODE), 2, W0).unwrap();
    // On a loaded machine it may take a while to come by some.
    let until = Instant::now() + Duration::from_secs(10);
    while busy.cpu_time() <= Duration::from_millis(10) && Instant::now() < until {
        assert_eq!(
            rig.platform.next(W0, Some(Duration::from_millis(20))),
            Event::Timeout
        );
    }
    assert!(
        busy.cpu_time() > Duration::from_millis(10),
        "{:?}",
        busy.cpu_time()
    );
    assert!(
        idle.cpu_time() < Duration::from_millis(10),
        "{:?}",
        idle.cpu_time()
    );
}
