//! Classic BPF: checking a program, running it, as `seccomp(2)` takes it. What programs of
//! sockets load besides is [`Loads`]' to say (`net/filter.rs`, `net/packet/filter.rs`).

use abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Result;

/// Most instructions of one program (`BPF_MAXINSNS`).
pub const MAX_INSNS: usize = 4096;
/// Words of scratch memory (`BPF_MEMWORDS`).
const MEM_WORDS: usize = 16;
/// Size of [`Data`] in bytes.
const DATA_LEN: u32 = 64;

/// `struct sock_filter`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in <linux/filter.h>")]
pub struct Insn {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// `struct seccomp_data`: what a program sees.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in <linux/seccomp.h>")]
pub struct Data {
    pub nr: i32,
    pub arch: u32,
    pub ip: u64,
    pub args: [u64; 6],
}

impl Data {
    /// The 32-bit word at a byte offset, which the check has found to be aligned.
    fn word(&self, at: u32) -> u32 {
        let bytes = self.as_bytes();
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let word = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
        word.map_or(0, |w| u32::from_ne_bytes(*w))
    }
}

/// What a program sees: what its own loads bring, and how long it is.
pub trait Loads {
    /// Length in bytes.
    fn size(&self) -> u32;
    /// What an instruction that is none of the common ones loads; `Err` ends the program with
    /// that value, or unknown.
    fn load(&self, i: &Insn, x: u32) -> std::result::Result<Loaded, Option<u32>>;
}

/// Where a loaded word goes.
#[derive(Clone, Copy, Debug)]
pub enum Loaded {
    /// To the accumulator.
    A(u32),
    /// To the index register.
    X(u32),
}

struct Call<'a> {
    data: &'a Data,
    /// Only number and architecture are known.
    number_only: bool,
}

impl Loads for Call<'_> {
    fn size(&self) -> u32 {
        DATA_LEN
    }
    fn load(&self, i: &Insn, _x: u32) -> std::result::Result<Loaded, Option<u32>> {
        match self.number_only && i.k >= 8 {
            true => Err(None),
            false => Ok(Loaded::A(self.data.word(i.k))),
        }
    }
}

const LD_W_ABS: u16 = 0x20;
const LD_W_LEN: u16 = 0x80;
const LDX_W_LEN: u16 = 0x81;
const LD_IMM: u16 = 0x00;
const LDX_IMM: u16 = 0x01;
const LD_MEM: u16 = 0x60;
const LDX_MEM: u16 = 0x61;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const RET_K: u16 = 0x06;
const RET_A: u16 = 0x16;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const JA: u16 = 0x05;
const NEG: u16 = 0x84;
const CLASS: u16 = 0x07;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
/// The second operand is the index register.
const SRC_X: u16 = 0x08;
const OP: u16 = 0xf0;

/// A program that was checked.
#[derive(Debug)]
pub struct Program(Vec<Insn>);

impl Program {
    /// Checks a program: `EINVAL` for whatever Linux refuses.
    pub fn new(insns: Vec<Insn>) -> Result<Program> {
        let own = |i: &Insn| i.code == LD_W_ABS && i.k.is_multiple_of(4) && i.k < DATA_LEN;
        Program::with_loads(insns, own)
    }

    /// The same with loads that `own` says are allowed.
    pub fn with_loads(insns: Vec<Insn>, own: impl Fn(&Insn) -> bool) -> Result<Program> {
        let len = insns.len();
        if len == 0 || len > MAX_INSNS {
            return Err(Errno::EINVAL);
        }
        for (pc, i) in insns.iter().enumerate() {
            // Instructions after this one.
            let left = len - pc - 1;
            if !is_valid(i, left) && !own(i) {
                return Err(Errno::EINVAL);
            }
        }
        let ends = insns
            .last()
            .is_some_and(|i| matches!(i.code, RET_K | RET_A));
        if !ends || !loads_are_stored(&insns) {
            return Err(Errno::EINVAL);
        }
        Ok(Program(insns))
    }

    /// Number of instructions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Always false: an empty program is refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs it.
    pub fn run(&self, data: &Data) -> u32 {
        let call = Call {
            data,
            number_only: false,
        };
        self.interpret(&call).unwrap_or(0)
    }

    /// What it returns for a call whatever its arguments are, if that can be told.
    pub fn run_by_number(&self, nr: i32, arch: u32) -> Option<u32> {
        let data = Data {
            nr,
            arch,
            ..Data::default()
        };
        self.interpret(&Call {
            data: &data,
            number_only: true,
        })
    }

    /// Runs it; `None` when it asks for what is not known.
    pub fn interpret(&self, data: &impl Loads) -> Option<u32> {
        let (mut a, mut x, mut pc) = (0u32, 0u32, 0usize);
        let mut mem = [0u32; MEM_WORDS];
        // Jumps only go forward, so this ends.
        loop {
            let i = self.0.get(pc)?;
            pc += 1;
            let slot = usize::try_from(i.k).unwrap_or(usize::MAX);
            match i.code {
                RET_K => return Some(i.k),
                RET_A => return Some(a),
                LD_W_LEN => a = data.size(),
                LDX_W_LEN => x = data.size(),
                LD_IMM => a = i.k,
                LDX_IMM => x = i.k,
                LD_MEM => a = mem.get(slot).copied()?,
                LDX_MEM => x = mem.get(slot).copied()?,
                ST => *mem.get_mut(slot)? = a,
                STX => *mem.get_mut(slot)? = x,
                TAX => x = a,
                TXA => a = x,
                JA => pc = pc.checked_add(slot)?,
                NEG => a = a.wrapping_neg(),
                code if code & CLASS < ST => match data.load(i, x) {
                    Ok(Loaded::A(word)) => a = word,
                    Ok(Loaded::X(word)) => x = word,
                    Err(end) => return end,
                },
                code => {
                    let b = if code & SRC_X != 0 { x } else { i.k };
                    if code & CLASS == ALU {
                        // A division by a zero index register ends the program.
                        let Some(v) = compute(code & OP, a, b) else {
                            return Some(0);
                        };
                        a = v;
                    } else {
                        let to = if holds(code & OP, a, b) { i.jt } else { i.jf };
                        pc = pc.checked_add(usize::from(to))?;
                    }
                }
            }
        }
    }
}

fn compute(op: u16, a: u32, b: u32) -> Option<u32> {
    Some(match op {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 => a.checked_div(b)?,
        0x40 => a | b,
        0x50 => a & b,
        0x90 => a.checked_rem(b)?,
        // A shift by a register counts modulo 32, as the interpreter's 32-bit shift does.
        0x60 => a.wrapping_shl(b),
        0x70 => a.wrapping_shr(b),
        0xa0 => a ^ b,
        _ => return None,
    })
}

fn holds(op: u16, a: u32, b: u32) -> bool {
    match op {
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        _ => a & b != 0,
    }
}

/// Whether an instruction is one that any program may have; `left` instructions follow it.
fn is_valid(i: &Insn, left: usize) -> bool {
    let within = |n: usize| n < left;
    match i.code {
        RET_K | RET_A | LD_W_LEN | LDX_W_LEN | LD_IMM | LDX_IMM | TAX | TXA | NEG => true,
        LD_MEM | LDX_MEM | ST | STX => i.k < MEM_WORDS as u32,
        JA => usize::try_from(i.k).is_ok_and(within),
        code if code & !(OP | SRC_X) == JMP => {
            matches!(code & OP, 0x10..=0x40) && within(i.jt.into()) && within(i.jf.into())
        }
        code if code & !(OP | SRC_X) == ALU => match code & OP {
            0x30 if code & SRC_X == 0 => i.k != 0,
            0x60 | 0x70 if code & SRC_X == 0 => i.k < 32,
            0x00..=0x70 | 0xa0 => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether every word of scratch memory is stored before it is loaded, on every way.
fn loads_are_stored(insns: &[Insn]) -> bool {
    let mut known = vec![u16::MAX; insns.len()];
    let mut valid = 0u16;
    for (pc, i) in insns.iter().enumerate() {
        valid &= known.get(pc).copied().unwrap_or(0);
        let bit = 1u16.checked_shl(i.k).unwrap_or(0);
        let mut lead = |by: usize| {
            if let Some(k) = known.get_mut(pc.saturating_add(1).saturating_add(by)) {
                *k &= valid;
            }
        };
        match i.code {
            ST | STX => valid |= bit,
            LD_MEM | LDX_MEM if valid & bit == 0 => return false,
            JA => {
                lead(usize::try_from(i.k).unwrap_or(usize::MAX));
                valid = u16::MAX;
            }
            code if code & CLASS == JMP => {
                lead(i.jt.into());
                lead(i.jf.into());
                valid = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    #[test]
    fn refuses_what_linux_refuses() {
        let ret = insn(RET_K, 0, 0, 0);
        let bad = [
            vec![],
            vec![insn(LD_IMM, 0, 0, 0)],
            vec![insn(LD_W_ABS, 0, 0, 2), ret],
            vec![insn(LD_W_ABS, 0, 0, 64), ret],
            vec![insn(0x28, 0, 0, 0), ret],
            vec![insn(0x34, 0, 0, 0), ret],
            vec![insn(0x94, 0, 0, 3), ret],
            vec![insn(0x64, 0, 0, 32), ret],
            vec![insn(LD_MEM, 0, 0, 0), ret],
            vec![insn(ST, 0, 0, 16), ret],
            vec![insn(JA, 0, 0, 1), ret],
            vec![insn(0x15, 0, 1, 0), ret],
            vec![ret; MAX_INSNS + 1],
        ];
        for p in bad {
            assert_eq!(Program::new(p.clone()).err(), Some(Errno::EINVAL), "{p:?}");
        }
    }

    #[test]
    fn runs_and_tells_what_depends_on_the_number_alone() {
        let p = Program::new(vec![
            insn(LD_W_ABS, 0, 0, 0),
            insn(0x15, 0, 1, 7),
            insn(RET_K, 0, 0, 1),
            insn(LD_W_ABS, 0, 0, 16),
            insn(RET_A, 0, 0, 0),
        ]);
        let Ok(p) = p else { panic!("refused") };
        let data = Data {
            nr: 8,
            args: [5, 0, 0, 0, 0, 0],
            ..Data::default()
        };
        assert_eq!(p.run(&data), 5);
        assert_eq!(p.run_by_number(7, 0), Some(1));
        assert_eq!(p.run_by_number(8, 0), None);
    }
}
