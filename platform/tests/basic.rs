//! Calls, registers, faults, exceptions, mappings, threads.

mod common;
use common::*;
use platform::{Access, Exit, FaultKind, MapOp, Platform, Resume};

fn syscall_of(event: (u64, Exit)) -> (u64, [u64; 6]) {
    match event.1 {
        Exit::Syscall { nr, args, .. } => (nr, args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_and_values() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .call(39, &[1, 2, 3, 4, 5, 6])
        .store_rax(DATA)
        .call(999, &[])
        .store_rax(DATA + 8)
        .call(60, &[7]);
    let (space, _, data) = rig.space(&code.0);
    let context = rig.start(&space, 42);
    assert_eq!(syscall_of(rig.guest()), (39, [1, 2, 3, 4, 5, 6]));
    assert!(context.regs().is_none());
    context.resume(Resume::Return(1234)).unwrap();
    assert_eq!(syscall_of(rig.guest()).0, 999);
    assert_eq!(rig.word(data), 1234);
    context.resume(Resume::Return(-38)).unwrap();
    assert_eq!(syscall_of(rig.guest()), (60, [7, 2, 3, 4, 5, 6]));
    assert_eq!(rig.word(data + 8).cast_signed(), -38);
    assert!(context.leaves());
    context.kill();
    assert_eq!(rig.guest(), (42, Exit::Gone { signo: 0 }));
}

#[test]
fn trapped_call_shows_all_registers() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .mov(R::Rbx, 0x1111)
        .mov(R::R15, 0x2222)
        .mov(R::Rbp, 0x3333)
        .raw(&[0x66, 0x49, 0x0f, 0x6e, 0xdf]) // movq xmm3, r15
        .call(56, &[0x11, 0x22, 0x33])
        .store_rax(DATA)
        .raw(&[0x4c, 0x89, 0xf8]) // mov rax, r15
        .store_rax(DATA + 8)
        .raw(&[0x66, 0x48, 0x0f, 0x7e, 0xd8]) // movq rax, xmm3
        .store_rax(DATA + 16)
        .raw(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]) // mov rax, fs:[0]
        .store_rax(DATA + 24)
        .call(39, &[]);
    let (space, _, data) = rig.space(&code.0);
    let context = rig.start(&space, 1);
    let (nr, args) = syscall_of(rig.guest());
    assert_eq!((nr, args[0], args[1], args[2]), (56, 0x11, 0x22, 0x33));
    let mut regs = context.regs().unwrap();
    assert_eq!(
        (regs.gp.rbx, regs.gp.r15, regs.gp.rbp),
        (0x1111, 0x2222, 0x3333)
    );
    assert_eq!((regs.gp.rax, regs.gp.rsp), (56, DATA + 0xff00));
    let xmm3 = 160 + 3 * 16;
    assert_eq!(regs.xstate.0[xmm3..xmm3 + 8], 0x2222u64.to_le_bytes());
    regs.gp.r15 = 0x4444;
    regs.gp.rax = 77;
    regs.gp.fs_base = DATA + 0x100;
    regs.xstate.0[xmm3..xmm3 + 8].copy_from_slice(&0x5555u64.to_le_bytes());
    rig.set_word(data + 0x100, 0x6666);
    context.set_regs(&regs).unwrap();
    context.resume(Resume::Regs).unwrap();
    assert_eq!(syscall_of(rig.guest()).0, 39);
    let words: Vec<u64> = (0..4).map(|n| rig.word(data + 8 * n)).collect();
    assert_eq!(words, [77, 0x4444, 0x5555, 0x6666]);
}

#[test]
fn faults_and_mapping() {
    let rig = Rig::new(1);
    let far = 0x7000_0000_0000u64;
    let code = Asm::new()
        .load_rax(far + 8)
        .store_rax(DATA)
        .store_rax(far + 16)
        .call(39, &[])
        .raw(&[0x0f, 0x0b]); // ud2
    let (space, _, data) = rig.space(&code.0);
    let offset = rig.take(0x1000);
    rig.set_word(offset + 8, 99);
    let context = rig.start(&space, 1);
    let page = |addr, access| Exit::Fault {
        addr,
        access,
        kind: FaultKind::Page,
    };
    assert_eq!(rig.guest().1, page(far + 8, Access::Read));
    let ro = platform::Prot {
        read: true,
        ..Default::default()
    };
    space
        .commit(&[MapOp::MapMemory {
            addr: far,
            len: 0x1000,
            offset,
            prot: ro,
        }])
        .unwrap();
    context.resume(Resume::Regs).unwrap();
    assert_eq!(rig.guest().1, page(far + 16, Access::Write));
    assert_eq!(rig.word(data), 99);
    // Holes around it are skipped.
    space
        .commit(&[MapOp::Protect {
            addr: far - 0x1000,
            len: 0x3000,
            prot: RW,
        }])
        .unwrap();
    context.resume(Resume::Regs).unwrap();
    assert_eq!(syscall_of(rig.guest()).0, 39);
    assert_eq!(rig.word(offset + 16), 99);
    space
        .commit(&[MapOp::Unmap {
            addr: far,
            len: 0x1000,
        }])
        .unwrap();
    context.resume(Resume::Return(0)).unwrap();
    let Exit::Exception {
        vector: 6,
        signo: 4,
        ..
    } = rig.guest().1
    else {
        panic!()
    };
    let mut regs = context.regs().unwrap();
    regs.gp.rip = far;
    context.set_regs(&regs).unwrap();
    context.resume(Resume::Regs).unwrap();
    assert_eq!(rig.guest().1, page(far, Access::Exec));
}

#[test]
fn exceptions() {
    let rig = Rig::new(1);
    let code = Asm::new()
        .raw(&[0xcc]) // int3
        .raw(&[0x31, 0xc9, 0xf7, 0xf1]) // xor ecx,ecx; div ecx
        .raw(&[0xf4]) // hlt
        .raw(&[0xb8, 20, 0, 0, 0, 0xcd, 0x80]); // int 0x80, getpid of i386
    let (space, _, _) = rig.space(&code.0);
    let context = rig.start(&space, 1);
    let skip = |len: u64| {
        let mut regs = context.regs().unwrap();
        regs.gp.rip += len;
        context.set_regs(&regs).unwrap();
        context.resume(Resume::Regs).unwrap();
    };
    let Exit::Exception {
        vector: 3,
        signo: 5,
        ..
    } = rig.guest().1
    else {
        panic!()
    };
    skip(0);
    let Exit::Exception {
        vector: 0,
        signo: 8,
        ..
    } = rig.guest().1
    else {
        panic!()
    };
    skip(2);
    let Exit::Exception {
        vector: 13,
        signo: 11,
        ..
    } = rig.guest().1
    else {
        panic!()
    };
    skip(1);
    assert_eq!(rig.guest().1, Exit::ForeignSyscall { nr: 20 });
}

#[test]
fn map_file() {
    let rig = Rig::new(1);
    let code = Asm::new().load_rax(0x60_0000).store_rax(DATA).call(39, &[]);
    let (space, _, data) = rig.space(&code.0);
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &[0x5a; 4096]).unwrap();
    let file = std::sync::Arc::new(file.into());
    let prot = platform::Prot {
        read: true,
        ..Default::default()
    };
    let map = MapOp::MapFile {
        addr: 0x60_0000,
        len: 0x1000,
        file,
        offset: 0,
        prot,
    };
    let other = tempfile::tempfile().unwrap();
    other.set_len(8192).unwrap();
    let file = std::sync::Arc::new(other.into());
    let map2 = MapOp::MapFile {
        addr: 0x70_0000,
        len: 0x2000,
        file,
        offset: 0,
        prot,
    };
    space.commit(&[map.clone(), map2, map]).unwrap();
    rig.start(&space, 1);
    let _context = rig.start(&space, 2);
    while rig.word(data) != 0x5a5a_5a5a_5a5a_5a5a {
        rig.guest();
    }
}

#[test]
fn many_threads() {
    let rig = Rig::new(1);
    let code = Asm::new().call(39, &[]).jmp_to(0);
    let (space, _, _) = rig.space(&code.0);
    let contexts: Vec<_> = (0..40).map(|n| rig.start(&space, n)).collect();
    let mut counts = [0; 40];
    while counts.iter().any(|&count| count < 5) {
        let (cookie, exit) = rig.guest();
        assert!(matches!(exit, Exit::Syscall { nr: 39, .. }), "{exit:?}");
        counts[cookie as usize] += 1;
        contexts[cookie as usize].resume(Resume::Return(0)).unwrap();
    }
    contexts[3].kill();
    loop {
        let (cookie, exit) = rig.guest();
        if let Exit::Gone { signo } = exit {
            assert_eq!((cookie, signo), (3, 0));
            break;
        }
        assert_ne!(cookie, 3);
        contexts[cookie as usize].resume(Resume::Return(0)).unwrap();
    }
    space.kill();
    let mut gone = 0;
    while gone < 39 {
        match rig.guest() {
            (_, Exit::Gone { .. }) => gone += 1,
            (cookie, _) => {
                let _ = contexts[cookie as usize].resume(Resume::Return(0));
            }
        }
    }
}

#[test]
fn listeners_by_socket() {
    let rig = Rig::new(1);
    rig.platform.listeners_by_socket();
    let code = Asm::new().call(39, &[]).jmp_to(0);
    let (space, _, _) = rig.space(&code.0);
    let contexts: Vec<_> = (0..9).map(|n| rig.start(&space, n)).collect();
    let child = space.fork().unwrap();
    let _other = rig.start(&child, 9);
    let mut seen = [false; 10];
    while seen.contains(&false) {
        let (cookie, exit) = rig.guest();
        assert!(matches!(exit, Exit::Syscall { nr: 39, .. }), "{exit:?}");
        seen[cookie as usize] = true;
        if let Some(context) = contexts.get(cookie as usize) {
            context.resume(Resume::Return(0)).unwrap();
        }
    }
}

#[test]
fn vdso_works_in_a_stub() {
    let rig = Rig::new(1);
    let (probe, _, _) = rig.space(&[]);
    let Some((vdso, len)) = probe.vdso() else {
        return;
    };
    // Find __vdso_clock_gettime by our own copy's symbol table.
    let own = own_vdso();
    assert!(own.len() as u64 >= len.min(0x1000));
    let entry = symbol(&own, "__vdso_clock_gettime").unwrap();
    let code = Asm::new()
        .mov(R::Rdi, 1)
        .mov(R::Rsi, DATA)
        .mov(R::Rax, vdso + entry)
        .raw(&[0xff, 0xd0]) // call rax
        .store_rax(DATA + 16)
        .call(39, &[]);
    let (space, _, data) = rig.space(&code.0);
    for space in [space.clone(), space.fork().unwrap()] {
        rig.set_word(data, 0);
        let context = rig.start(&space, 1);
        assert_eq!(syscall_of(rig.guest()).0, 39);
        drop(context);
        assert_eq!(rig.guest().1, Exit::Gone { signo: 0 });
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
        let seconds = rig.word(data).cast_signed();
        assert!((now.tv_sec() - 2..=now.tv_sec()).contains(&seconds));
    }
    assert!(rig.platform.workers() == 1);
}

fn own_vdso() -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).unwrap();
    let (start, end) = line
        .split_whitespace()
        .next()
        .unwrap()
        .split_once('-')
        .unwrap();
    let hex = |text| u64::from_str_radix(text, 16).unwrap();
    let mut image = vec![0; (hex(end) - hex(start)) as usize];
    let mem = std::fs::File::open("/proc/self/mem").unwrap();
    mem.read_exact_at(&mut image, hex(start)).unwrap();
    image
}

fn symbol(image: &[u8], name: &str) -> Option<u64> {
    let u = |at: usize, n: usize| {
        image[at..at + n]
            .iter()
            .rev()
            .fold(0u64, |value, b| value << 8 | u64::from(*b))
    };
    let (shoff, shnum) = (u(0x28, 8) as usize, u(0x3c, 2) as usize);
    for n in 0..shnum {
        let section = shoff + n * 64;
        if u(section + 4, 4) != 11 {
            continue; // not SHT_DYNSYM
        }
        let strings = u(shoff + u(section + 40, 4) as usize * 64 + 24, 8) as usize;
        let (at, size) = (u(section + 24, 8) as usize, u(section + 32, 8) as usize);
        for symbol in (at..at + size).step_by(24) {
            let text = &image[strings + u(symbol, 4) as usize..];
            if text.starts_with(name.as_bytes()) && text[name.len()] == 0 {
                return Some(u(symbol + 8, 8));
            }
        }
    }
    None
}
