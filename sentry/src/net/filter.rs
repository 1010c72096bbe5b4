//! Filters of what a socket receives (`SO_ATTACH_FILTER`, `socket(7)`): classic BPF over a
//! packet from its transport header on.
//!
//! The arithmetic is that of [`crate::seccomp::bpf`]; what differs is where loads look.

use std::sync::Arc;

use abi::Errno;
use zerocopy::IntoBytes;

use super::options::{OptCall, OptValue};
use crate::Result;
use crate::seccomp::bpf::{
    ALU, CLASS, Insn, JA, JMP, LD_IMM, LD_MEM, LD_W_LEN, LDX_IMM, LDX_MEM, LDX_W_LEN, MAX_INSNS,
    MEM_WORDS, NEG, OP, RET_A, RET_K, SRC_X, ST, STX, TAX, TXA, compute, holds, loads_are_stored,
};

/// Loads from an absolute place, and four times
/// the low half of a byte.
const ABS: u16 = 0x20;
const LDX_MSH: u16 = 0xb1;
/// Bits of a load that say where it looks.
const MODE: u16 = 0xe0;
/// Places from here on are facts about the packet (`SKF_AD_OFF`).
const ANCILLARY: u32 = 0xffff_f000;
/// The last of them.
const ANCILLARY_END: u32 = ANCILLARY + 60;
/// The place that means "exclusive or with the index register".
const ANCILLARY_XOR: u32 = ANCILLARY + 40;
/// Longest filters of one socket in bytes (`optmem_max`).
const OPTMEM_MAX: usize = 128 * 1024;

/// What a packet is beyond its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// `ETH_P_*`.
    pub protocol: u16,
    /// Number of the link it came over.
    pub link: i32,
    /// `SO_MARK` of its sender.
    pub mark: i32,
}

/// A program that was checked.
#[derive(Debug)]
pub struct Filter(Vec<Insn>);

impl Filter {
    /// Reads and checks the program a `struct sock_fprog` names. `EINVAL`, `EFAULT`,
    /// `ENOMEM`.
    pub fn read(c: &OptCall<'_>) -> Result<Arc<Filter>> {
        if c.len != 16 {
            return Err(Errno::EINVAL);
        }
        let raw = c.exact::<16>()?;
        let [l0, l1, _, _, _, _, _, _, at @ ..] = raw;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let at = u64::from_ne_bytes(at);
        if at == 0 || len == 0 || len > MAX_INSNS {
            return Err(Errno::EINVAL);
        }
        let size = len * size_of::<Insn>();
        if size > OPTMEM_MAX {
            return Err(Errno::ENOMEM);
        }
        let mut insns = vec![Insn::default(); len];
        c.t.mm().copy_in(at, insns.as_mut_bytes())?;
        Filter::new(insns).map(Arc::new)
    }

    /// Checks a program; `EINVAL`.
    pub fn new(insns: Vec<Insn>) -> Result<Filter> {
        let len = insns.len();
        let valid = |(pc, i): (usize, &Insn)| is_valid(i, len - pc - 1);
        let ends = insns
            .last()
            .is_some_and(|i| matches!(i.code, RET_K | RET_A));
        if !insns.iter().enumerate().all(valid) || !ends || !loads_are_stored(&insns) {
            return Err(Errno::EINVAL);
        }
        Ok(Filter(insns))
    }

    /// `SO_GET_FILTER`: lengths count instructions. `EINVAL` when there are more than asked
    /// for.
    pub fn value(&self, c: &OptCall<'_>) -> Result<OptValue> {
        match c.room()? {
            0 => Ok(OptValue::Whole(Vec::new(), self.0.len())),
            n if n < self.0.len() => Err(Errno::EINVAL),
            n => Ok(OptValue::Whole(
                self.0.as_bytes().to_vec(),
                n.min(self.0.len()),
            )),
        }
    }

    /// How many bytes of a packet are let through, 0 for none.
    pub fn run(&self, packet: &[u8], facts: Facts) -> usize {
        let n = self.interpret(packet, facts).unwrap_or(0);
        usize::try_from(n).unwrap_or(usize::MAX).min(packet.len())
    }

    /// `None` where the program looks beyond the packet's end.
    fn interpret(&self, packet: &[u8], facts: Facts) -> Option<u32> {
        let (mut a, mut x, mut pc) = (0u32, 0u32, 0usize);
        let mut mem = [0u32; MEM_WORDS];
        let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        // Jumps only go forward, so this ends.
        loop {
            let i = self.0.get(pc)?;
            pc += 1;
            let slot = usize::try_from(i.k).unwrap_or(usize::MAX);
            match i.code {
                RET_K => return Some(i.k),
                RET_A => return Some(a),
                LD_W_LEN => a = len,
                LDX_W_LEN => x = len,
                LD_IMM => a = i.k,
                LDX_IMM => x = i.k,
                LD_MEM => a = mem.get(slot).copied()?,
                LDX_MEM => x = mem.get(slot).copied()?,
                ST => *mem.get_mut(slot)? = a,
                STX => *mem.get_mut(slot)? = x,
                TAX => x = a,
                TXA => a = x,
                LDX_MSH => x = (load(packet, i.k, 1)? & 15) << 2,
                JA => pc = pc.checked_add(slot)?,
                NEG => a = a.wrapping_neg(),
                code if code & CLASS == 0 && code & MODE == ABS && i.k == ANCILLARY_XOR => a ^= x,
                code if code & CLASS == 0 && code & MODE == ABS && i.k >= ANCILLARY => {
                    a = ancillary(i.k, facts);
                }
                code if code & CLASS == 0 && code & MODE == ABS => {
                    a = load(packet, i.k, size(code))?;
                }
                code if code & CLASS == 0 => a = load(packet, x.wrapping_add(i.k), size(code))?,
                code => {
                    let b = if code & SRC_X != 0 { x } else { i.k };
                    if code & CLASS == ALU {
                        a = compute(code & OP, a, b)?;
                    } else {
                        let to = if holds(code & OP, a, b) { i.jt } else { i.jf };
                        pc = pc.checked_add(usize::from(to))?;
                    }
                }
            }
        }
    }
}

/// How many bytes a load takes.
fn size(code: u16) -> usize {
    match code & 0x18 {
        0x08 => 2,
        0x10 => 1,
        _ => 4,
    }
}

/// Bytes of a packet as a number, the most significant first.
fn load(packet: &[u8], at: u32, size: usize) -> Option<u32> {
    let at = usize::try_from(at).ok()?;
    let bytes = packet.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
}

/// A fact about the packet.
fn ancillary(at: u32, facts: Facts) -> u32 {
    match at - ANCILLARY {
        0 => facts.protocol.into(),
        8 => facts.link.cast_unsigned(),
        20 => facts.mark.cast_unsigned(),
        // ARPHRD_LOOPBACK.
        28 if facts.link == super::view::LO_INDEX => super::view::LOOPBACK.into(),
        28 => super::view::ETHERNET.into(),
        56 => {
            let mut raw = [0; 4];
            // Without random bytes the number is 0.
            let _ = platform::host::random(&mut raw);
            u32::from_ne_bytes(raw)
        }
        _ => 0,
    }
}

/// Whether a socket takes an instruction; `left` instructions follow it.
fn is_valid(i: &Insn, left: usize) -> bool {
    let within = |n: usize| n < left;
    match i.code {
        RET_K | RET_A | LD_W_LEN | LDX_W_LEN | LD_IMM | LDX_IMM | LDX_MSH => true,
        TAX | TXA | NEG => true,
        LD_MEM | LDX_MEM | ST | STX => i.k < MEM_WORDS as u32,
        JA => usize::try_from(i.k).is_ok_and(within),
        0x20 | 0x28 | 0x30 => i.k < ANCILLARY || (i.k <= ANCILLARY_END && i.k.is_multiple_of(4)),
        0x40 | 0x48 | 0x50 => true,
        code if code & !(OP | SRC_X) == JMP => {
            matches!(code & OP, 0x10..=0x40) && within(i.jt.into()) && within(i.jf.into())
        }
        code if code & !(OP | SRC_X) == ALU => match code & OP {
            0x30 | 0x90 if code & SRC_X == 0 => i.k != 0,
            0x60 | 0x70 if code & SRC_X == 0 => i.k < 32,
            0x00..=0x70 | 0x90 | 0xa0 => true,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
        Insn { code, jt, jf, k }
    }

    #[test]
    fn looks_into_a_packet() {
        // The second byte, if the first is 7.
        let program = vec![
            insn(0x30, 0, 0, 0),
            insn(0x15, 0, 2, 7),
            insn(0x30, 0, 0, 1),
            insn(RET_A, 0, 0, 0),
            insn(RET_K, 0, 0, 0),
        ];
        let filter = Filter::new(program).expect("valid");
        let facts = Facts::default();
        assert_eq!(filter.run(&[7, 2, 9], facts), 2);
        assert_eq!(filter.run(&[7, 200, 9], facts), 3);
        assert_eq!(filter.run(&[6, 2, 9], facts), 0);
        assert_eq!(filter.run(&[7], facts), 0, "a load beyond the end");
    }

    #[test]
    fn refuses_what_linux_refuses() {
        let ret = insn(RET_K, 0, 0, 0);
        for bad in [
            vec![insn(0x30, 0, 0, 0)],
            vec![insn(0x94, 0, 0, 0), ret],
            vec![insn(JA, 0, 0, 1), ret],
            vec![insn(0x20, 0, 0, ANCILLARY_END + 4), ret],
        ] {
            assert!(Filter::new(bad).is_err());
        }
    }
}
