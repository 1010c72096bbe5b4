//! What `/proc/PID` tells of memory and of the program's arguments.

use std::io::Write;

use crate::Result;
use crate::task::Task;

/// Most bytes of arguments or environment shown.
const MAX_TEXT: u64 = 1 << 20;

/// Copies `start..end` of the task's memory, as far as it is there.
fn bytes(t: &Task, start: u64, end: u64) -> Vec<u8> {
    let len = end.saturating_sub(start).min(MAX_TEXT);
    let mut buf = vec![0; usize::try_from(len).unwrap_or(0)];
    let done = match t.mm().copy_in(start, &mut buf) {
        Ok(()) => buf.len(),
        Err(fault) => fault.done,
    };
    buf.truncate(done);
    buf
}

/// `cmdline`: arguments, each with its NUL.
pub fn cmdline(t: &Task) -> Result<Vec<u8>> {
    let layout = t.mm().layout();
    Ok(bytes(t, layout.arg_start, layout.arg_end))
}

/// `environ`.
pub fn environ(t: &Task) -> Result<Vec<u8>> {
    let layout = t.mm().layout();
    Ok(bytes(t, layout.env_start, layout.env_end))
}

/// `auxv`.
pub fn auxv(t: &Task) -> Result<Vec<u8>> {
    Ok(t.mm().auxv())
}

/// The body of an `smaps` entry.
fn sizes(out: &mut Vec<u8>, size: u64, rss: u64) {
    let kb = |n: u64| n / 1024;
    let rows = [
        ("Size", kb(size)),
        ("KernelPageSize", 4),
        ("MMUPageSize", 4),
        ("Rss", kb(rss)),
        ("Pss", kb(rss)),
        ("Shared_Clean", 0),
        ("Shared_Dirty", 0),
        ("Private_Clean", 0),
        ("Private_Dirty", kb(rss)),
        ("Referenced", kb(rss)),
        ("Anonymous", kb(rss)),
        ("LazyFree", 0),
        ("AnonHugePages", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", 0),
    ];
    for (name, value) in rows {
        // Writing to a vector cannot fail.
        let _ = writeln!(out, "{:<16}{value:>8} kB", format!("{name}:"));
    }
}

/// `smaps`.
pub fn smaps(t: &Task) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for line in t.mm().map_lines(true) {
        line.write_header(&mut out);
        sizes(&mut out, line.end - line.start, line.rss);
        out.extend(b"VmFlags: rd\n");
    }
    Ok(out)
}

/// `smaps_rollup`.
pub fn smaps_rollup(t: &Task) -> Result<Vec<u8>> {
    let lines = t.mm().map_lines(true);
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    let _ = writeln!(
        out,
        "{:08x}-{:08x} ---p 00000000 00:00 0                          [rollup]",
        first.start, last.end
    );
    let size = lines.iter().map(|l| l.end - l.start).sum();
    sizes(&mut out, size, lines.iter().map(|l| l.rss).sum());
    Ok(out)
}
