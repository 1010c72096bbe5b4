//! `/sys/devices/system`: processors and the one memory node, and `/sys/bus/cpu`.
//!
//! Processors are shown as cores of one package, each with one thread: what the guest may tell
//! apart. Formats: `Documentation/ABI/stable/sysfs-devices-system-cpu` and `-node`.

use std::sync::Arc;

use super::{Builder, Inode};
use crate::kernel::Kernel;

type Entries = Vec<(String, Arc<dyn Inode>)>;

/// `/sys/devices/system` of a machine with `cpus` processors.
pub(super) fn system(b: &Builder, cpus: usize) -> Arc<dyn Inode> {
    b.dir(
        "system",
        vec![("cpu", cpu(b, cpus)), ("node", node(b, cpus))],
    )
}

/// `/sys/bus`: `cpu` and its devices.
pub(super) fn bus(b: &Builder, cpus: usize) -> Arc<dyn Inode> {
    let devices = (0..cpus).map(|n| {
        let target = format!("../../../devices/system/cpu/cpu{n}");
        (format!("cpu{n}"), b.link(&format!("bus/cpu{n}"), target))
    });
    let devices = b.dir("bus/devices", devices.collect());
    b.dir(
        "bus",
        vec![("cpu", b.dir("bus/cpu", vec![("devices", devices)]))],
    )
}

fn cpu(b: &Builder, cpus: usize) -> Arc<dyn Inode> {
    let mut entries: Entries = (0..cpus)
        .map(|n| (format!("cpu{n}"), one_cpu(b, n, cpus)))
        .collect();
    let mut file = |name: &str, text: String| {
        entries.push((name.to_owned(), fixed(b, &format!("cpu/{name}"), text)));
    };
    for name in ["online", "possible", "present"] {
        file(name, range(cpus));
    }
    file("isolated", String::new());
    file("offline", String::new());
    file("kernel_max", cpus.saturating_sub(1).to_string());
    b.dir("cpu", entries)
}

fn one_cpu(b: &Builder, n: usize, cpus: usize) -> Arc<dyn Inode> {
    let place = format!("cpu{n}");
    let links = [
        ("node0", "../../node/node0"),
        ("subsystem", "../../../../bus/cpu"),
    ];
    let links = links.map(|(name, target)| {
        let link = b.link(&format!("{place}/{name}"), target.to_owned());
        (name.to_owned(), link)
    });
    let mut entries = Entries::from(links);
    entries.push(("topology".to_owned(), topology(b, n, cpus)));
    b.dir(&place, entries)
}

fn topology(b: &Builder, n: usize, cpus: usize) -> Arc<dyn Inode> {
    let own = (mask(n..n + 1, cpus), n.to_string());
    let all = (mask(0..cpus, cpus), range(cpus));
    let place = format!("cpu{n}/topology");
    let mut entries: Entries = Vec::new();
    let mut file = |name: &str, text: &str| {
        let file = fixed(b, &format!("{place}/{name}"), text.to_owned());
        entries.push((name.to_owned(), file));
    };
    for (set, list, cpus) in [
        ("core_cpus", "core_cpus_list", &own),
        ("thread_siblings", "thread_siblings_list", &own),
        ("cluster_cpus", "cluster_cpus_list", &own),
        ("core_siblings", "core_siblings_list", &all),
        ("die_cpus", "die_cpus_list", &all),
        ("package_cpus", "package_cpus_list", &all),
    ] {
        file(set, &cpus.0);
        file(list, &cpus.1);
    }
    file("core_id", &n.to_string());
    file("cluster_id", "65535");
    file("die_id", "0");
    file("physical_package_id", "0");
    b.dir(&place, entries)
}

fn node(b: &Builder, cpus: usize) -> Arc<dyn Inode> {
    let mut node0: Entries = (0..cpus)
        .map(|n| {
            let target = format!("../../cpu/cpu{n}");
            (format!("cpu{n}"), b.link(&format!("node0/cpu{n}"), target))
        })
        .collect();
    node0.push(("cpulist".to_owned(), fixed(b, "node0/cpulist", range(cpus))));
    let all = mask(0..cpus, cpus);
    node0.push(("cpumap".to_owned(), fixed(b, "node0/cpumap", all)));
    let distance = fixed(b, "node0/distance", "10".to_owned());
    node0.push(("distance".to_owned(), distance));
    node0.push(("meminfo".to_owned(), b.file("node0/meminfo", meminfo)));
    let mut entries: Entries = vec![("node0".to_owned(), b.dir("node0", node0))];
    for name in [
        "online",
        "possible",
        "has_cpu",
        "has_memory",
        "has_normal_memory",
    ] {
        let file = fixed(b, &format!("node/{name}"), "0".to_owned());
        entries.push((name.to_owned(), file));
    }
    b.dir("node", entries)
}

fn meminfo(k: &Kernel) -> String {
    let total = k.host.memory;
    let used = k.memory_in_use();
    [
        ("MemTotal", total),
        ("MemFree", total - used),
        ("MemUsed", used),
        ("AnonPages", used),
    ]
    .map(|(name, bytes)| format!("Node 0 {:<15}{:>8} kB", format!("{name}:"), bytes / 1024))
    .join("\n")
}

fn fixed(b: &Builder, place: &str, text: String) -> Arc<dyn Inode> {
    b.file_of(place, move |_| text.clone())
}

/// `0-3`.
pub(super) fn range(cpus: usize) -> String {
    match cpus {
        0 | 1 => "0".to_owned(),
        n => format!("0-{}", n - 1),
    }
}

/// A mask of some of `cpus` processors as hexadecimal words of 32 bits, highest first.
fn mask(of: std::ops::Range<usize>, cpus: usize) -> String {
    let words = cpus.div_ceil(32).max(1);
    let word = |w: usize| {
        let set = (0..32).filter(|bit| of.contains(&(w * 32 + bit)));
        set.fold(0u32, |m, bit| m | 1 << bit)
    };
    let digits = |w: usize| (cpus - w * 32).clamp(1, 32).div_ceil(4);
    (0..words)
        .rev()
        .map(|w| format!("{:0width$x}", word(w), width = digits(w)))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_words_of_32_processors() {
        assert_eq!(mask(0..2, 2), "3");
        assert_eq!(mask(4..5, 8), "10");
        assert_eq!(mask(32..33, 40), "01,00000000");
        assert_eq!(range(4), "0-3");
    }
}
