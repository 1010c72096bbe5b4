//! The seccomp programs of guest threads and of the mapper.
//!
//! Whatever the guest program lets through must be harmless with any arguments from any
//! address: that is `rt_sigreturn` (it changes the caller's own registers, mask and
//! alternate stack; the address test only chooses between it and the guest's own), the
//! wake-up of one futex word in the stub's scratch page, and from one place each `rseq` and
//! `clock_gettime` (they have the host write to the guest's own memory, with the guest's
//! rights; what time it is, is no secret). See seccomp(2).

use super::layout::DOORBELL;

const LD_W_ABS: u16 = 0x20;
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const RET_TRAP: u32 = 0x0003_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

const OFF_NR: u32 = 0;
const OFF_ARCH: u32 = 4;
const OFF_IP: u32 = 8;
const OFF_ARG0: u32 = 16;
const OFF_ARG1: u32 = 24;
const OFF_ARG2: u32 = 32;

/// Longest change of memory that a guest may make by itself, in bytes; how far below the
/// stub region it must begin.
pub const OWN_LEN: u32 = 0x1000_0000;

/// One BPF instruction as the kernel reads it (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

impl Insn {
    fn load(offset: u32) -> Self {
        Self {
            code: LD_W_ABS,
            jt: 0,
            jf: 0,
            k: offset,
        }
    }

    fn ret(verdict: u32) -> Self {
        Self {
            code: RET,
            jt: 0,
            jf: 0,
            k: verdict,
        }
    }

    fn jump(code: u16, value: u32, jt: u8, jf: u8) -> Self {
        Self {
            code,
            jt,
            jf,
            k: value,
        }
    }

    fn jeq(value: u32, jt: u8, jf: u8) -> Self {
        Self::jump(JEQ, value, jt, jf)
    }

    /// The instruction's eight bytes as a word.
    #[must_use]
    pub fn word(self) -> u64 {
        u64::from(self.code)
            | u64::from(self.jt) << 16
            | u64::from(self.jf) << 24
            | u64::from(self.k) << 32
    }
}

fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

/// Places in the stub's code, each the address after a `syscall` instruction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    /// The only `rt_sigreturn` that is let through.
    pub sigreturn: u64,
    /// The only `rseq` that is let through.
    pub rseq: u64,
    /// The only `clock_gettime` that is let through.
    pub cpu_time: u64,
    /// The only `exit` that is notified; others arrive with full registers.
    pub exit: u64,
    /// The only `munmap` and `mprotect` that may be let through.
    pub own: u64,
}

/// Addresses in the stub.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words {
    /// A futex word that may be woken: a new thread is ready.
    pub ready: u64,
    /// The same: the mapper has something to do.
    pub command: u64,
    /// A futex word that may be waited for: the mapper has done it.
    pub relayed: u64,
    /// Where the stub region begins.
    pub base: u64,
}

/// The guest threads' program. `trap` are the numbers that arrive with full registers.
#[must_use]
pub fn guest(trap: &[u32], places: &Places, words: &Words) -> Vec<Insn> {
    let mut special = vec![
        (
            libc::SYS_rt_sigreturn,
            at(places.sigreturn, RET_ALLOW, RET_TRAP),
        ),
        (libc::SYS_futex, wakes_and_waits(words)),
        (libc::SYS_rseq, at(places.rseq, RET_ALLOW, RET_USER_NOTIF)),
        (
            libc::SYS_clock_gettime,
            at(places.cpu_time, RET_ALLOW, RET_USER_NOTIF),
        ),
        (libc::SYS_exit, at(places.exit, RET_USER_NOTIF, RET_TRAP)),
        (libc::SYS_munmap, own(places.own, words.base, false)),
        (libc::SYS_mprotect, own(places.own, words.base, true)),
    ];
    let is_special = |nr: u32| special.iter().any(|(s, _)| *s as u32 == nr);
    let trap: Vec<u32> = trap
        .iter()
        .copied()
        .filter(|&nr| !is_special(nr) && nr != DOORBELL)
        .take(64)
        .collect();
    let mut program = vec![
        Insn::load(OFF_ARCH),
        Insn::jeq(AUDIT_ARCH_X86_64, 1, 0),
        Insn::ret(RET_TRAP),
        Insn::load(OFF_NR),
    ];
    // Distances are set where the places are known.
    let tests = program.len();
    program.extend(special.iter().map(|(nr, _)| Insn::jeq(*nr as u32, 0, 0)));
    let count = u8::try_from(trap.len()).unwrap_or(0);
    for (index, nr) in trap.iter().enumerate() {
        let left = count.saturating_sub(u8::try_from(index).unwrap_or(0));
        program.push(Insn::jeq(*nr, left, 0));
    }
    program.extend([Insn::ret(RET_USER_NOTIF), Insn::ret(RET_TRAP)]);
    for (index, (_, verdict)) in special.drain(..).enumerate() {
        jump_here(&mut program, tests.saturating_add(index));
        program.extend(verdict);
    }
    program
}

/// Lets wake-ups at two words and waits at a third through. All are in one region of 4 GiB.
fn wakes_and_waits(words: &Words) -> Vec<Insn> {
    vec![
        Insn::load(OFF_ARG0 + 4),
        Insn::jeq(high(words.ready), 0, 9),
        Insn::load(OFF_ARG1),
        Insn::jeq(libc::FUTEX_WAKE.cast_unsigned(), 0, 3),
        Insn::load(OFF_ARG0),
        Insn::jeq(low(words.ready), 4, 0),
        Insn::jeq(low(words.command), 3, 4),
        Insn::jeq(libc::FUTEX_WAIT.cast_unsigned(), 0, 3),
        Insn::load(OFF_ARG0),
        Insn::jeq(low(words.relayed), 0, 1),
        Insn::ret(RET_ALLOW),
        Insn::ret(RET_USER_NOTIF),
    ]
}

/// Lets a change of memory that only takes away through, at one place: of at most [`OWN_LEN`]
/// bytes, which begin so far below the stub region that they end below it; with `rights`,
/// only to rights without that to write. What a guest does to its own memory so is made good
/// by the mapper before anybody relies on it.
fn own(ip: u64, base: u64, rights: bool) -> Vec<Insn> {
    let limit = base.saturating_sub(u64::from(OWN_LEN));
    let mut program = vec![
        // The address lies below `limit`, where one with a smaller upper half does.
        Insn::load(OFF_ARG0 + 4),
        Insn::jump(JGE, high(limit), 0, 3),
        Insn::jeq(high(limit), 0, UNSET),
        Insn::load(OFF_ARG0),
        Insn::jump(JGE, low(limit), UNSET, 0),
        Insn::load(OFF_ARG1 + 4),
        Insn::jeq(0, 0, UNSET),
        Insn::load(OFF_ARG1),
        Insn::jump(JGE, OWN_LEN + 1, UNSET, 0),
    ];
    if rights {
        const WRITE: u32 = libc::PROT_WRITE.cast_unsigned();
        program.extend([
            Insn::load(OFF_ARG2 + 4),
            Insn::jeq(0, 0, UNSET),
            Insn::load(OFF_ARG2),
            Insn::jump(JGE, 8, UNSET, 0),
            Insn::jump(JSET, WRITE, UNSET, 0),
        ]);
    }
    program.extend(at(ip, RET_ALLOW, RET_USER_NOTIF));
    let last = program.len().saturating_sub(1);
    for (index, insn) in program.iter_mut().enumerate() {
        let there = u8::try_from(last.saturating_sub(index + 1)).unwrap_or(0);
        for distance in [&mut insn.jt, &mut insn.jf] {
            if *distance == UNSET {
                *distance = there;
            }
        }
    }
    program
}

/// A distance to the program's last verdict, until that is known.
const UNSET: u8 = u8::MAX;

/// One verdict for the call at the place `ip`, another for those elsewhere.
fn at(ip: u64, there: u32, elsewhere: u32) -> Vec<Insn> {
    if_word(OFF_IP, ip, there, elsewhere).to_vec()
}

/// One verdict if the 64-bit word at `offset` of the call's data is `value`.
fn if_word(offset: u32, value: u64, then: u32, otherwise: u32) -> [Insn; 6] {
    [
        Insn::load(offset),
        Insn::jeq(low(value), 0, 3),
        Insn::load(offset + 4),
        Insn::jeq(high(value), 0, 1),
        Insn::ret(then),
        Insn::ret(otherwise),
    ]
}

/// Has the test at `index` lead to what follows when it succeeds.
fn jump_here(program: &mut [Insn], index: usize) {
    let distance = program.len().saturating_sub(index.saturating_add(1));
    if let Some(test) = program.get_mut(index) {
        test.jt = u8::try_from(distance).unwrap_or(0);
    }
}

/// What the mapper is let do. Guest threads inherit this program, so its default must give
/// way to a notification: only `RET_TRACE` (without a tracer: ENOSYS) does.
const MAPPER_CALLS: &[i64] = &[
    libc::SYS_futex,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_clone,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_dup3,
    libc::SYS_prctl,
    libc::SYS_getppid,
    libc::SYS_seccomp,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_clock_gettime,
    libc::SYS_rseq,
    libc::SYS_membarrier,
];

/// The mapper's program.
#[must_use]
pub fn mapper() -> Vec<Insn> {
    let count = u8::try_from(MAPPER_CALLS.len()).unwrap_or(0);
    let mut program = vec![
        Insn::load(OFF_ARCH),
        Insn::jeq(AUDIT_ARCH_X86_64, 1, 0),
        Insn::ret(RET_TRACE),
        Insn::load(OFF_NR),
    ];
    for (index, nr) in MAPPER_CALLS.iter().enumerate() {
        let left = count.saturating_sub(u8::try_from(index).unwrap_or(0));
        program.push(Insn::jeq(u32::try_from(*nr).unwrap_or(u32::MAX), left, 0));
    }
    program.push(Insn::ret(RET_TRACE));
    program.push(Insn::ret(RET_ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &[Insn], data: &[u32; 16]) -> u32 {
        let (mut pc, mut acc) = (0usize, 0u32);
        loop {
            let insn = program[pc];
            pc += 1;
            match insn.code {
                LD_W_ABS => acc = data[insn.k as usize / 4],
                JEQ => pc += usize::from(if acc == insn.k { insn.jt } else { insn.jf }),
                JGE => pc += usize::from(if acc >= insn.k { insn.jt } else { insn.jf }),
                JSET => pc += usize::from(if acc & insn.k != 0 { insn.jt } else { insn.jf }),
                _ => return insn.k,
            }
        }
    }

    fn data(nr: u32, arch: u32, ip: u64, arg0: u64, arg1: u32) -> [u32; 16] {
        let mut d = [0; 16];
        d[..4].copy_from_slice(&[nr, arch, low(ip), high(ip)]);
        d[4..7].copy_from_slice(&[low(arg0), high(arg0), arg1]);
        d
    }

    #[test]
    fn guest_verdicts() {
        let (ip, ready) = (0x7fff_c000_0123, 0x7fff_c004_3000);
        let rseq_ip = 0x7fff_c000_0456;
        let (cpu_ip, exit_ip) = (0x7fff_c000_0789, 0x7fff_c000_0abc);
        let words = Words {
            ready,
            command: ready + 8,
            relayed: ready + 16,
            base: 0x7fff_c000_0000,
        };
        let own = 0x7fff_c000_0def;
        let places = Places {
            own,
            sigreturn: ip,
            rseq: rseq_ip,
            cpu_time: cpu_ip,
            exit: exit_ip,
        };
        let p = guest(&[56, 15, 59, 60], &places, &words);
        let x = AUDIT_ARCH_X86_64;
        assert_eq!(run(&p, &data(39, x, 1, 0, 0)), RET_USER_NOTIF);
        assert_eq!(run(&p, &data(56, x, 1, 0, 0)), RET_TRAP);
        assert_eq!(run(&p, &data(59, x, 1, 0, 0)), RET_TRAP);
        assert_eq!(run(&p, &data(15, x, 1, 0, 0)), RET_TRAP);
        assert_eq!(run(&p, &data(15, x, ip, 0, 0)), RET_ALLOW);
        assert_eq!(run(&p, &data(15, x, ip ^ (1 << 40), 0, 0)), RET_TRAP);
        assert_eq!(run(&p, &data(202, x, 1, ready, 1)), RET_ALLOW);
        assert_eq!(run(&p, &data(202, x, 1, ready, 0)), RET_USER_NOTIF);
        assert_eq!(run(&p, &data(202, x, 1, ready + 4, 1)), RET_USER_NOTIF);
        assert_eq!(
            run(&p, &data(202, x, 1, ready ^ (1 << 40), 1)),
            RET_USER_NOTIF
        );
        assert_eq!(run(&p, &data(20, 0x4000_0003, ip, 0, 0)), RET_TRAP);
        assert_eq!(run(&p, &data(DOORBELL, x, 1, 0, 0)), RET_USER_NOTIF);
        assert_eq!(run(&p, &data(334, x, rseq_ip, 0, 0)), RET_ALLOW);
        assert_eq!(run(&p, &data(334, x, ip, 0, 0)), RET_USER_NOTIF);
        let elsewhere = rseq_ip ^ (1 << 40);
        assert_eq!(run(&p, &data(334, x, elsewhere, 0, 0)), RET_USER_NOTIF);
        assert_eq!(run(&p, &data(228, x, cpu_ip, 0, 0)), RET_ALLOW);
        assert_eq!(run(&p, &data(228, x, rseq_ip, 0, 0)), RET_USER_NOTIF);
        assert_eq!(run(&p, &data(60, x, exit_ip, 0, 0)), RET_USER_NOTIF);
        assert_eq!(run(&p, &data(60, x, cpu_ip, 0, 0)), RET_TRAP);
        let p = guest(&[], &places, &words);
        assert_eq!(run(&p, &data(15, x, ip, 0, 0)), RET_ALLOW);
        assert_eq!(run(&p, &data(202, x, 1, ready, 1)), RET_ALLOW);
        assert_eq!(run(&p, &data(56, x, 1, 0, 0)), RET_USER_NOTIF);
    }

    #[test]
    fn memory_that_a_guest_may_take_away() {
        let base = 0x7fff_c000_0000;
        let places = Places {
            own: 0x7fff_c000_0def,
            ..Places::default()
        };
        let words = Words {
            base,
            ..Words::default()
        };
        let p = guest(&[], &places, &words);
        let verdict = |nr: i64, ip: u64, addr: u64, len: u64, prot: u64| {
            let nr = u32::try_from(nr).unwrap();
            let mut d = [0; 16];
            d[..4].copy_from_slice(&[nr, AUDIT_ARCH_X86_64, low(ip), high(ip)]);
            d[4..10].copy_from_slice(&[
                low(addr),
                high(addr),
                low(len),
                high(len),
                low(prot),
                high(prot),
            ]);
            run(&p, &d)
        };
        let (unmap, protect) = (libc::SYS_munmap, libc::SYS_mprotect);
        let (most, limit) = (u64::from(OWN_LEN), base - u64::from(OWN_LEN));
        for (addr, len, fine) in [
            (0x1000, 0x1000, true),
            (limit - 0x1000, most, true),
            (0x7ffe_ffff_f000, most, true),
            (limit, 0x1000, false),
            (base, 0x1000, false),
            (0x8000_0000_0000, 0x1000, false),
            (0xffff_8000_0000_0000, 0x1000, false),
            (0x1000, most + 1, false),
            (0x1000, 1 << 32, false),
        ] {
            let expected = if fine { RET_ALLOW } else { RET_USER_NOTIF };
            assert_eq!(
                verdict(unmap, places.own, addr, len, 0),
                expected,
                "{addr:x}"
            );
            assert_eq!(
                verdict(protect, places.own, addr, len, 1),
                expected,
                "{addr:x}"
            );
            assert_eq!(verdict(unmap, 0x40_1000, addr, len, 0), RET_USER_NOTIF);
        }
        for (prot, fine) in [(0, true), (1, true), (5, true), (3, false), (2, false)] {
            let expected = if fine { RET_ALLOW } else { RET_USER_NOTIF };
            assert_eq!(verdict(protect, places.own, 0x1000, 0x1000, prot), expected);
            let odd = [prot | 1 << 32, prot | 0x0100_0000];
            for prot in odd {
                let found = verdict(protect, places.own, 0x1000, 0x1000, prot);
                assert_eq!(found, RET_USER_NOTIF);
            }
        }
    }

    #[test]
    fn mapper_verdicts() {
        let p = mapper();
        for nr in MAPPER_CALLS {
            let nr = u32::try_from(*nr).unwrap();
            assert_eq!(run(&p, &data(nr, AUDIT_ARCH_X86_64, 0, 0, 0)), RET_ALLOW);
        }
        assert_eq!(run(&p, &data(257, AUDIT_ARCH_X86_64, 0, 0, 0)), RET_TRACE);
        assert_eq!(run(&p, &data(9, 0x4000_0003, 0, 0, 0)), RET_TRACE);
    }
}
