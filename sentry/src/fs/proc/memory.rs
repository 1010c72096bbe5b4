//! `/proc/meminfo` and `/proc/vmstat`.

use super::View;

/// `/proc/meminfo`.
pub fn meminfo(k: &View) -> Vec<u8> {
    let total = k.kernel.host.memory;
    let used = k.kernel.memory_in_use();
    let free = total - used;
    let lines: [(&str, u64); 20] = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Active(anon)", used),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used),
        ("Mapped", 0),
    ];
    let mut out: String = lines
        .iter()
        .map(|(name, bytes)| format!("{:<16}{:>8} kB\n", format!("{name}:"), bytes / 1024))
        .collect();
    for name in ["Shmem", "Slab", "PageTables", "Committed_AS"] {
        out.push_str(&format!("{:<16}{:>8} kB\n", format!("{name}:"), 0));
    }
    out.push_str(&format!(
        "{:<16}{:>8} kB\n",
        "VmallocTotal:", 34_359_738_367u64
    ));
    out.push_str(
        "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n",
    );
    out.into_bytes()
}

/// `/proc/vmstat`: the counters that are known.
pub fn vmstat(k: &View) -> Vec<u8> {
    let used = k.kernel.memory_in_use();
    let free = (k.kernel.host.memory - used) / abi::PAGE_SIZE;
    format!(
        "nr_free_pages {free}\nnr_anon_pages {}\n",
        used / abi::PAGE_SIZE
    )
    .into_bytes()
}
