//! A container's figures: what `runsc events --stats` prints, as containerd's message.

use containerd_shim_protos::cgroups::metrics::{
    CPUStat, CPUUsage, MemoryEntry, MemoryStat, Metrics, PidsStat, Throttle,
};
use containerd_shim_protos::protobuf::MessageField;
use serde_json::Value;

/// The name by which clients know the message, which is not that of its definition.
pub const TYPE: &str = "io.containerd.cgroups.v1.Metrics";

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(0)
}

/// The message for one line of `events`.
pub fn metrics(line: &Value) -> Metrics {
    let data = &line["data"];
    let pids = PidsStat {
        current: number(&data["pids"], "current"),
        limit: number(&data["pids"], "limit"),
        ..PidsStat::default()
    };
    Metrics {
        pids: MessageField::some(pids),
        cpu: MessageField::some(cpu(&data["cpu"])),
        memory: MessageField::some(memory(&data["memory"])),
        ..Metrics::default()
    }
}

fn cpu(data: &Value) -> CPUStat {
    let (usage, throttling) = (&data["usage"], &data["throttling"]);
    let per_cpu = usage["percpu"].as_array().into_iter().flatten();
    let usage = CPUUsage {
        total: number(usage, "total"),
        kernel: number(usage, "kernel"),
        user: number(usage, "user"),
        per_cpu: per_cpu.filter_map(Value::as_u64).collect(),
        ..CPUUsage::default()
    };
    let throttling = Throttle {
        periods: number(throttling, "periods"),
        throttled_periods: number(throttling, "throttledPeriods"),
        throttled_time: number(throttling, "throttledTime"),
        ..Throttle::default()
    };
    CPUStat {
        usage: MessageField::some(usage),
        throttling: MessageField::some(throttling),
        ..CPUStat::default()
    }
}

fn memory(data: &Value) -> MemoryStat {
    let raw = &data["raw"];
    let either = |first: &str, second: &str| match raw[first].as_u64() {
        Some(n) => n,
        None => number(raw, second),
    };
    // Version 1 counts a group without its children beside a total with them; version 2 has
    // only the latter, under other names.
    let rss = either("rss", "anon");
    let mapped = either("mapped_file", "file_mapped");
    let total = |key: &str| either(&format!("total_{key}"), key);
    MemoryStat {
        cache: number(data, "cache"),
        rss,
        mapped_file: mapped,
        pg_fault: either("pgfault", "pgfault"),
        pg_maj_fault: either("pgmajfault", "pgmajfault"),
        inactive_anon: number(raw, "inactive_anon"),
        active_anon: number(raw, "active_anon"),
        inactive_file: number(raw, "inactive_file"),
        active_file: number(raw, "active_file"),
        unevictable: number(raw, "unevictable"),
        hierarchical_memory_limit: number(raw, "hierarchical_memory_limit"),
        hierarchical_swap_limit: number(raw, "hierarchical_memsw_limit"),
        total_cache: either("total_cache", "file"),
        total_rss: raw["total_rss"].as_u64().unwrap_or(rss),
        total_mapped_file: raw["total_mapped_file"].as_u64().unwrap_or(mapped),
        total_pg_fault: total("pgfault"),
        total_pg_maj_fault: total("pgmajfault"),
        total_inactive_anon: total("inactive_anon"),
        total_active_anon: total("active_anon"),
        total_inactive_file: total("inactive_file"),
        total_active_file: total("active_file"),
        total_unevictable: total("unevictable"),
        usage: entry(&data["usage"]),
        swap: entry(&data["swap"]),
        kernel: entry(&data["kernel"]),
        kernel_tcp: entry(&data["kernelTCP"]),
        ..MemoryStat::default()
    }
}

fn entry(data: &Value) -> MessageField<MemoryEntry> {
    MessageField::some(MemoryEntry {
        limit: number(data, "limit"),
        usage: number(data, "usage"),
        max: number(data, "max"),
        failcnt: number(data, "failcnt"),
        ..MemoryEntry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        let line = serde_json::json!({"data": {
            "pids": {"current": 3}, "cpu": {"usage": {"total": 5, "percpu": [2, 3]}},
            "memory": {"usage": {"usage": 7, "limit": 9},
                       "raw": {"total_inactive_file": 4, "inactive_file": 1, "rss": 2}}}});
        let m = metrics(&line);
        assert_eq!(m.pids.current, 3);
        assert_eq!((m.cpu.usage.total, m.cpu.usage.per_cpu.len()), (5, 2));
        assert_eq!((m.memory.usage.usage, m.memory.usage.limit), (7, 9));
        assert_eq!((m.memory.total_inactive_file, m.memory.rss), (4, 2));
        let line =
            serde_json::json!({"data": {"memory": {"raw": {"inactive_file": 6, "anon": 8}}}});
        let m = metrics(&line);
        assert_eq!((m.memory.total_inactive_file, m.memory.total_rss), (6, 8));
    }
}
