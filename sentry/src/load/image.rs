//! Mapping the segments of an ELF file.

use std::sync::Arc;

use abi::{Errno, PAGE_SIZE};

use super::elf::{Elf, Segment};
use super::stack::Random;
use super::{Program, StartInfo};
use crate::Result;
use crate::fs::file::File;
use crate::mm::map::{MapRequest, Placement};
use crate::mm::{MapProt, Mappable, Mm};

/// A file as loaded.
pub struct Image {
    /// Where execution begins.
    pub entry: u64,
    /// What was added to its addresses.
    pub bias: u64,
    /// Address of the program headers, 0 if they are not in memory.
    pub phdr: u64,
}

/// Maps the program itself and sets the heap up behind it.
pub fn map_program(
    mm: &Arc<Mm>,
    program: &Program,
    info: &StartInfo<'_>,
    random: &mut Random,
) -> Result<Image> {
    let elf = &program.elf;
    let (low, high) = elf.span();
    let bias = match (elf.relocatable, &program.interpreter) {
        (false, _) => 0,
        // Two thirds up, away from libraries.
        (true, Some(_)) => {
            let two_thirds = mm.range().1 / 3 * 2;
            let base = two_thirds.saturating_add(random.pages(1 << 28)) & !(elf.align - 1);
            base.wrapping_sub(low)
        }
        // A static program or the dynamic linker itself lies where libraries do.
        (true, None) => free_place(mm, elf, info)?,
    };
    map_segments(mm, &program.file, elf, bias, info)?;
    let end = high.wrapping_add(bias);
    let heap = if elf.relocatable && program.interpreter.is_none() {
        mm.range().1 / 3 * 2
    } else {
        end
    };
    let heap = heap
        .checked_next_multiple_of(PAGE_SIZE)
        .ok_or(Errno::ENOMEM)?;
    mm.set_brk_start(heap.saturating_add(random.pages(0x2000)).min(mm.range().1));
    note_layout(mm, elf, bias);
    Ok(Image {
        entry: elf.entry.wrapping_add(bias),
        bias,
        phdr: match elf.phdr_addr() {
            0 => 0,
            at => at.wrapping_add(bias),
        },
    })
}

/// Maps the dynamic linker.
pub fn map_interpreter(
    mm: &Arc<Mm>,
    file: &Arc<File>,
    elf: &Elf,
    info: &StartInfo<'_>,
) -> Result<Image> {
    let bias = if elf.relocatable {
        free_place(mm, elf, info)?
    } else {
        0
    };
    map_segments(mm, file, elf, bias, info)?;
    Ok(Image {
        entry: elf.entry.wrapping_add(bias),
        bias,
        phdr: 0,
    })
}

/// A bias that puts the file where enough is free.
fn free_place(mm: &Arc<Mm>, elf: &Elf, info: &StartInfo<'_>) -> Result<u64> {
    let (low, high) = elf.span();
    let len = (high - low).checked_add(elf.align).ok_or(Errno::ENOMEM)?;
    let request = MapRequest::anon(Placement::Hint(0), len, MapProt::empty());
    let at = mm.map(request, &info.limits)?;
    mm.unmap(at, len)?;
    // From the top, so that files lie one under the other without gaps.
    let top = at.saturating_add(len);
    let base = (top.saturating_sub((high - low).next_multiple_of(PAGE_SIZE))) & !(elf.align - 1);
    Ok(base.wrapping_sub(low))
}

fn map_segments(
    mm: &Arc<Mm>,
    file: &Arc<File>,
    elf: &Elf,
    bias: u64,
    info: &StartInfo<'_>,
) -> Result<()> {
    let mappable = file.mappable().map_err(|_| Errno::ENOEXEC)?;
    for s in &elf.segments {
        map_segment(mm, &mappable, s, bias, info)?;
    }
    Ok(())
}

/// Maps one segment: its file part, the zeroed rest of its last page, and fresh pages.
fn map_segment(
    mm: &Arc<Mm>,
    file: &Arc<dyn Mappable>,
    s: &Segment,
    bias: u64,
    info: &StartInfo<'_>,
) -> Result<()> {
    let at = s.vaddr.wrapping_add(bias);
    let start = at - at % PAGE_SIZE;
    let data_end = at.checked_add(s.filesz).ok_or(Errno::ENOMEM)?;
    let end = at.checked_add(s.memsz).ok_or(Errno::ENOMEM)?;
    let page_end = |n: u64| n.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM);
    let mut zero_from = start;
    if s.filesz > 0 {
        let request = MapRequest {
            place: Placement::Fixed(start),
            file: Some((Arc::clone(file), s.offset - s.offset % PAGE_SIZE)),
            copy_now: true,
            ..MapRequest::anon(Placement::Hint(0), data_end - start, s.prot)
        };
        mm.map(request, &info.limits)?;
        zero_from = page_end(data_end)?;
        let tail = usize::try_from(zero_from - data_end).unwrap_or(0);
        if s.memsz > s.filesz && s.prot.contains(MapProt::WRITE) && tail > 0 {
            mm.zero_out(data_end, tail)?;
        }
    }
    let zero_end = page_end(end)?;
    if zero_end > zero_from {
        let place = Placement::Fixed(zero_from);
        let request = MapRequest::anon(place, zero_end - zero_from, s.prot);
        mm.map(request, &info.limits)?;
    }
    Ok(())
}

/// Code and data bounds for `/proc/PID/stat`.
fn note_layout(mm: &Arc<Mm>, elf: &Elf, bias: u64) {
    let place = |s: &Segment| {
        let start = s.vaddr.wrapping_add(bias);
        (start, start.wrapping_add(s.filesz))
    };
    let (mut code, mut data) = ((u64::MAX, 0), (0, 0));
    for s in &elf.segments {
        let (start, end) = place(s);
        if s.prot.contains(MapProt::EXEC) {
            code = (code.0.min(start), code.1.max(end));
        }
        if end > data.1 {
            data = (start, end);
        }
    }
    mm.update_layout(|l| {
        (l.start_code, l.end_code) = (code.0.min(code.1), code.1);
        (l.start_data, l.end_data) = data;
    });
}
