//! Filters of packet sockets (`SO_ATTACH_FILTER`): classic BPF over a frame.

use std::sync::Arc;

use abi::Errno;
use zerocopy::FromBytes;

use crate::Result;
use crate::seccomp::bpf::{Insn, Loaded, Loads, MAX_INSNS, Program};
use crate::task::Task;

/// Bits of a load's size and mode.
const SIZE: u16 = 0x18;
const MODE: u16 = 0xe0;
const WORD: u16 = 0x00;
const HALF: u16 = 0x08;
const BYTE: u16 = 0x10;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
/// Four times the low half of a byte: the length of an IPv4 header.
const LDX_MSH: u16 = 0xb1;
/// Offsets from here on mean something else than the frame (`SKF_AD_OFF`, `SKF_NET_OFF`,
/// `SKF_LL_OFF`).
const ANCILLARY: u32 = 0xffff_f000;
const NETWORK: u32 = 0xfff0_0000;
const LINK: u32 = 0xffe0_0000;

/// A frame as a filter sees it.
pub(super) struct View<'a> {
    /// From where the socket's data starts.
    pub(super) data: &'a [u8],
    /// From the link header on.
    pub(super) frame: &'a [u8],
    /// Bytes of the link header.
    pub(super) header: usize,
    pub(super) protocol: u16,
    pub(super) kind: u8,
    pub(super) index: u32,
    pub(super) hardware: u16,
}

impl View<'_> {
    fn ancillary(&self, at: u32) -> Option<u32> {
        Some(match at {
            // Protocol, packet type, link, hardware type.
            0 => self.protocol.into(),
            4 => self.kind.into(),
            8 => self.index,
            28 => self.hardware.into(),
            // No queue, mark, hash or tag.
            20 | 24 | 32 | 44 | 48 | 60 => 0,
            _ => return None,
        })
    }

    fn bytes(&self, size: u16, at: u32) -> Option<u32> {
        let (from, at) = match at {
            ANCILLARY.. => return self.ancillary(at - ANCILLARY),
            NETWORK.. => (self.frame.get(self.header..)?, at - NETWORK),
            LINK.. => (self.frame, at - LINK),
            _ => (self.data, at),
        };
        let rest = from.get(usize::try_from(at).ok()?..)?;
        match size {
            WORD => rest.first_chunk().map(|b| u32::from_be_bytes(*b)),
            HALF => rest.first_chunk().map(|b| u16::from_be_bytes(*b).into()),
            _ => rest.first().map(|b| u32::from(*b)),
        }
    }
}

impl Loads for View<'_> {
    fn size(&self) -> u32 {
        u32::try_from(self.data.len()).unwrap_or(u32::MAX)
    }

    fn load(&self, i: &Insn, x: u32) -> std::result::Result<Loaded, Option<u32>> {
        // A load beyond the end drops the packet.
        let dropped = Err(Some(0));
        if i.code == LDX_MSH {
            let byte = self.bytes(BYTE, i.k);
            return byte.map_or(dropped, |b| Ok(Loaded::X((b & 15) * 4)));
        }
        let at = match i.code & MODE {
            IND => i.k.wrapping_add(x),
            _ => i.k,
        };
        let word = self.bytes(i.code & SIZE, at);
        word.map_or(dropped, |w| Ok(Loaded::A(w)))
    }
}

/// Whether a load is one that filters of sockets may have besides the common ones.
fn is_own(i: &Insn) -> bool {
    let size = matches!(i.code & SIZE, WORD | HALF | BYTE);
    let plain = i.code & !(SIZE | MODE) == 0 && matches!(i.code & MODE, ABS | IND) && size;
    i.code == LDX_MSH || plain
}

/// Reads and checks a `struct sock_fprog`; `EINVAL`, `EFAULT`.
pub(super) fn read(t: &Arc<Task>, value: &[u8]) -> Result<Program> {
    let (len, at) = match (value.first_chunk::<2>(), value.get(8..16)) {
        (Some(len), Some(at)) => (u16::from_ne_bytes(*len), at),
        _ => return Err(Errno::EINVAL),
    };
    let at = <[u8; 8]>::try_from(at).map_or(0, u64::from_ne_bytes);
    let len = usize::from(len);
    if len == 0 || len > MAX_INSNS {
        return Err(Errno::EINVAL);
    }
    let mut raw = vec![0; len * size_of::<Insn>()];
    t.mm().copy_in(at, &mut raw)?;
    let insns = raw.chunks_exact(size_of::<Insn>());
    let insns = insns
        .filter_map(|b| Insn::read_from_bytes(b).ok())
        .collect();
    Program::with_loads(insns, is_own)
}
