//! The vDSO of processes whose clocks are not the host's ([`Kernel::fit_vdso`]).
//!
//! The vDSO in an address space is the host's, and knows the host's clocks only. In a time
//! namespace with offsets its code is replaced by a copy in which `clock_gettime` makes the
//! system call; the copy stands in the memory file once for the whole kernel, and stays in
//! place for children. Neighbours: [`super::ns`].

use std::sync::OnceLock;

use abi::{Errno, PAGE_SIZE};

use super::ns::Offsets;
use crate::Result;
use crate::kernel::Kernel;
use crate::mm::Mm;

/// `mov eax, clock_gettime; syscall; ret`.
const CALL: [u8; 8] = [
    0xb8,
    abi::nr::clock_gettime as u8,
    0,
    0,
    0,
    0x0f,
    0x05,
    0xc3,
];
/// The function that tells clocks that have offsets; the others tell the wall clock.
const NAME: &[u8] = b"__vdso_clock_gettime";

/// Where the copy stands in the memory file, once it was needed; `None` where the image is
/// none that can be changed.
#[derive(Default)]
pub(crate) struct PlainVdso(OnceLock<Option<u64>>);

impl Kernel {
    /// Sees to it that an address space does not read clocks without these offsets itself;
    /// `ENOMEM`.
    pub fn fit_vdso(&self, mm: &Mm, offsets: Offsets) -> Result<()> {
        let Some((_, len)) = mm.space().vdso() else {
            return Ok(());
        };
        if offsets == Offsets::default() {
            return Ok(());
        }
        let copy = self.plain_vdso.0.get_or_init(|| self.copy_vdso(len));
        let offset = copy.ok_or(Errno::ENOMEM)?;
        let placed = mm.space().replace_vdso(offset);
        placed.map_err(|_| Errno::ENOMEM)
    }

    fn copy_vdso(&self, len: u64) -> Option<u64> {
        let mut image = self.host.vdso.to_vec();
        image.resize(usize::try_from(len).ok()?, 0);
        let at = function(&image, NAME)?;
        image
            .get_mut(at..at.checked_add(CALL.len())?)?
            .copy_from_slice(&CALL);
        let frames = self
            .frames
            .alloc(len.checked_next_multiple_of(PAGE_SIZE)?)
            .ok()?;
        let written = self
            .frames
            .slice(frames.offset, len)
            .ok()?
            .copy_from(&image);
        written.is_ok().then_some(frames.offset)
    }
}

fn number<const N: usize>(image: &[u8], at: usize) -> Option<usize> {
    let bytes = image.get(at..at.checked_add(N)?)?;
    let value = bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    usize::try_from(value).ok()
}

/// Where a dynamic symbol of an ELF file with sections stands in it (`elf(5)`).
fn function(image: &[u8], name: &[u8]) -> Option<usize> {
    const SHT_DYNSYM: usize = 11;
    let (sections, count) = (number::<8>(image, 40)?, number::<2>(image, 60)?);
    let header = |i: usize| sections.checked_add(i.checked_mul(64)?);
    let dynsym = (0..count)
        .filter_map(header)
        .find(|h| number::<4>(image, h + 4) == Some(SHT_DYNSYM))?;
    let strings = header(number::<4>(image, dynsym + 40)?)?;
    let strings = number::<8>(image, strings + 24)?;
    let (table, bytes) = (
        number::<8>(image, dynsym + 24)?,
        number::<8>(image, dynsym + 32)?,
    );
    (0..bytes / 24).find_map(|i| {
        let symbol = table.checked_add(i * 24)?;
        let at = strings.checked_add(number::<4>(image, symbol)?)?;
        let text = image.get(at..)?.split(|b| *b == 0).next()?;
        let value = number::<8>(image, symbol + 8)?;
        (text == name).then_some(value)
    })
}
