//! Filters of what a socket receives (`SO_ATTACH_FILTER`, `socket(7)`): classic BPF over a
//! packet from its transport header on.
//!
//! Programs are run by [`crate::seccomp::bpf`]; here is where their loads look.

use std::sync::Arc;

use abi::Errno;
use zerocopy::IntoBytes;

use super::options::{OptCall, OptValue};
use crate::Result;
use crate::seccomp::bpf::{Insn, Loaded, Loads, MAX_INSNS, Program};

/// Loads from an absolute place, from one relative to the index register, and four times
/// the low half of a byte.
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const LDX_MSH: u16 = 0xb1;
/// Bits of a load that say where it looks, and how much it takes.
const MODE: u16 = 0xe0;
const SIZE: u16 = 0x18;
/// The remainder of a division by a constant, and by the index register.
const MOD: [u16; 2] = [0x94, 0x9c];
/// Places from here on are facts about the packet (`SKF_AD_OFF`).
const ANCILLARY: u32 = 0xffff_f000;
/// The last of them.
const ANCILLARY_END: u32 = ANCILLARY + 60;
/// The one that no load can bring: an exclusive or with the index register.
const ANCILLARY_XOR: u32 = ANCILLARY + 40;

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
pub struct Filter {
    program: Program,
    /// As it was given.
    insns: Vec<Insn>,
}

impl Filter {
    /// Reads and checks the program a `struct sock_fprog` names. `EINVAL`, `EFAULT`.
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
        let mut insns = vec![Insn::default(); len];
        c.t.mm().copy_in(at, insns.as_mut_bytes())?;
        Filter::new(insns).map(Arc::new)
    }

    /// Checks a program; `EINVAL`.
    pub fn new(insns: Vec<Insn>) -> Result<Filter> {
        let program = Program::with_loads(insns.clone(), is_own)?;
        Ok(Filter { program, insns })
    }

    /// `SO_GET_FILTER`: lengths count instructions. `EINVAL` when there are more than asked
    /// for.
    pub fn value(&self, c: &OptCall<'_>) -> Result<OptValue> {
        match c.room()? {
            0 => Ok(OptValue::Whole(Vec::new(), self.insns.len())),
            n if n < self.insns.len() => Err(Errno::EINVAL),
            n => Ok(OptValue::Whole(
                self.insns.as_bytes().to_vec(),
                n.min(self.insns.len()),
            )),
        }
    }

    /// How many bytes of a packet are let through, 0 for none.
    pub fn run(&self, packet: &[u8], facts: Facts) -> usize {
        let seen = Seen { packet, facts };
        let n = self.program.interpret(&seen).unwrap_or(0);
        usize::try_from(n).unwrap_or(usize::MAX).min(packet.len())
    }
}

/// A packet as a program sees it.
struct Seen<'a> {
    packet: &'a [u8],
    facts: Facts,
}

impl Loads for Seen<'_> {
    fn size(&self) -> u32 {
        u32::try_from(self.packet.len()).unwrap_or(u32::MAX)
    }

    fn load(&self, i: &Insn, x: u32) -> std::result::Result<Loaded, Option<u32>> {
        // A load beyond the end drops the packet.
        let dropped = Err(Some(0));
        if i.code == LDX_MSH {
            let byte = load(self.packet, i.k, 1);
            return byte.map_or(dropped, |b| Ok(Loaded::X((b & 15) << 2)));
        }
        let word = match i.code & MODE {
            ABS if i.k >= ANCILLARY => Some(ancillary(i.k, self.facts)),
            ABS => load(self.packet, i.k, size(i.code)),
            _ => load(self.packet, x.wrapping_add(i.k), size(i.code)),
        };
        word.map_or(dropped, |w| Ok(Loaded::A(w)))
    }
}

/// How many bytes a load takes.
fn size(code: u16) -> usize {
    match code & SIZE {
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

/// Whether an instruction is one that sockets take besides the common ones.
fn is_own(i: &Insn) -> bool {
    let plain = i.code & !(SIZE | MODE) == 0 && i.code & SIZE != SIZE;
    match i.code & MODE {
        _ if i.code == LDX_MSH => true,
        _ if MOD.contains(&i.code) => i.code != MOD[0] || i.k != 0,
        ABS if plain && i.k >= ANCILLARY => {
            i.k <= ANCILLARY_END && i.k.is_multiple_of(4) && i.k != ANCILLARY_XOR
        }
        ABS | IND => plain,
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
            insn(0x16, 0, 0, 0),
            insn(0x06, 0, 0, 0),
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
        let ret = insn(0x06, 0, 0, 0);
        for bad in [
            vec![insn(0x30, 0, 0, 0)],
            vec![insn(0x94, 0, 0, 0), ret],
            vec![insn(0x05, 0, 0, 1), ret],
            vec![insn(0x20, 0, 0, ANCILLARY_END + 4), ret],
        ] {
            assert!(Filter::new(bad).is_err());
        }
    }
}
