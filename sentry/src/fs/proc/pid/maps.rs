//! What `/proc/PID` tells of memory and of the program's arguments.

use std::io::Write;

use abi::PAGE_SIZE;

use crate::Result;
use crate::mm::report::MapLine;
use crate::mm::{MapProt, VmaFlags};
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

/// Sizes of a mapping, or of all: mapped, present, present and its own.
#[derive(Clone, Copy, Default)]
struct Sizes {
    size: u64,
    rss: u64,
    private: u64,
    locked: u64,
}

impl Sizes {
    fn of(l: &MapLine) -> Sizes {
        let locked = l.flags.contains(VmaFlags::LOCKED);
        Sizes {
            size: l.end - l.start,
            rss: l.rss,
            private: l.private,
            locked: if locked { l.rss } else { 0 },
        }
    }

    fn plus(self, o: Sizes) -> Sizes {
        Sizes {
            size: self.size.saturating_add(o.size),
            rss: self.rss.saturating_add(o.rss),
            private: self.private.saturating_add(o.private),
            locked: self.locked.saturating_add(o.locked),
        }
    }

    /// The body of an `smaps` entry. What is not a mapping's own counts as shared and clean.
    fn write(self, out: &mut Vec<u8>, mapping: bool) {
        let shared = self.rss.saturating_sub(self.private);
        let head = [
            ("Size", self.size),
            ("KernelPageSize", 4096),
            ("MMUPageSize", 4096),
        ];
        let body = [
            ("Rss", self.rss),
            ("Pss", self.rss),
            ("Pss_Dirty", self.private),
            ("Shared_Clean", shared),
            ("Shared_Dirty", 0),
            ("Private_Clean", 0),
            ("Private_Dirty", self.private),
            ("Referenced", self.rss),
            ("Anonymous", self.private),
            ("LazyFree", 0),
            ("AnonHugePages", 0),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", self.locked),
        ];
        let head = head.iter().filter(|_| mapping);
        for (name, bytes) in head.chain(&body) {
            // Writing to a vector cannot fail.
            let _ = writeln!(out, "{:<16}{:>8} kB", format!("{name}:"), bytes / 1024);
        }
    }
}

/// The two-letter flags of `smaps` (`proc_pid_smaps(5)`).
fn flag_names(l: &MapLine) -> String {
    let prot = |p| l.prot.contains(p);
    let flag = |f| l.flags.contains(f);
    let shared = flag(VmaFlags::SHARED);
    let may_write = !shared || flag(VmaFlags::MAYWRITE);
    let table = [
        (prot(MapProt::READ), "rd"),
        (prot(MapProt::WRITE), "wr"),
        (prot(MapProt::EXEC), "ex"),
        (shared, "sh"),
        (true, "mr"),
        (may_write, "mw"),
        (!flag(VmaFlags::NOEXEC), "me"),
        (shared, "ms"),
        (flag(VmaFlags::GROWSDOWN), "gd"),
        (flag(VmaFlags::LOCKED), "lo"),
        (flag(VmaFlags::SEQUENTIAL), "sr"),
        (flag(VmaFlags::RANDOM), "rr"),
        (flag(VmaFlags::DONTFORK), "dc"),
        (
            !shared && prot(MapProt::WRITE) && !flag(VmaFlags::NORESERVE),
            "ac",
        ),
        (flag(VmaFlags::NORESERVE), "nr"),
        (flag(VmaFlags::WIPEONFORK), "wf"),
        (flag(VmaFlags::DONTDUMP), "dd"),
        (true, "sd"),
        (flag(VmaFlags::HUGEPAGE), "hg"),
        (flag(VmaFlags::NOHUGEPAGE), "nh"),
        (flag(VmaFlags::MERGEABLE), "mg"),
    ];
    let set = table.iter().filter(|(on, _)| *on);
    set.map(|(_, name)| format!("{name} ")).collect()
}

/// `maps`.
pub fn maps(t: &Task) -> Result<Vec<u8>> {
    let mut text = t.mm().maps_text();
    text.extend_from_slice(t.kernel.host.vsyscall.as_bytes());
    Ok(text)
}

/// `smaps`.
pub fn smaps(t: &Task) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for line in t.mm().map_lines(true) {
        line.write_header(&mut out);
        Sizes::of(&line).write(&mut out, true);
        let _ = writeln!(
            out,
            "THPeligible:           0\nVmFlags: {}",
            flag_names(&line)
        );
    }
    if !t.kernel.host.vsyscall.is_empty() {
        out.extend_from_slice(t.kernel.host.vsyscall.as_bytes());
        let size = Sizes {
            size: PAGE_SIZE,
            ..Sizes::default()
        };
        size.write(&mut out, true);
        out.extend_from_slice(b"THPeligible:           0\nVmFlags: ex \n");
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
    let head = format!(
        "{:08x}-{:08x} ---p 00000000 00:00 0 ",
        first.start, last.end
    );
    let _ = writeln!(out, "{head:<73}[rollup]");
    let all = lines.iter().map(Sizes::of);
    all.fold(Sizes::default(), Sizes::plus)
        .write(&mut out, false);
    Ok(out)
}
