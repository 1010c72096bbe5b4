//! A container's use of the host, in the form of runc's `events`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Paths;

fn number(dir: &Path, file: &str) -> Option<u64> {
    let text = std::fs::read_to_string(dir.join(file)).ok()?;
    match text.trim() {
        "max" => Some(u64::MAX),
        t => t.parse().ok(),
    }
}

/// A file of `name value` lines.
fn table(dir: &Path, file: &str) -> Map<String, Value> {
    std::fs::read_to_string(dir.join(file))
        .unwrap_or_default()
        .lines()
        .filter_map(|l| {
            let (name, value) = l.split_once(' ')?;
            Some((name.to_string(), value.trim().parse::<u64>().ok()?.into()))
        })
        .collect()
}

fn get(t: &Map<String, Value>, name: &str) -> u64 {
    t.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// The `data` of a statistics event; `tasks` is the number of guest tasks.
pub fn stats(paths: &Paths, tasks: u64, tasks_limit: Option<u64>) -> Value {
    let mut pids = json!({"current": tasks});
    if let (Some(limit), Some(o)) = (tasks_limit, pids.as_object_mut()) {
        o.insert("limit".into(), limit.into());
    }
    json!({
        "cpu": cpu(paths),
        "cpuset": {},
        "memory": memory(paths),
        "pids": pids,
        "blkio": {},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null
    })
}

fn cpu(paths: &Paths) -> Value {
    if paths.unified() {
        let t = paths
            .of("")
            .map(|d| table(d, "cpu.stat"))
            .unwrap_or_default();
        return json!({
            "usage": {
                "total": get(&t, "usage_usec").saturating_mul(1000),
                "kernel": get(&t, "system_usec").saturating_mul(1000),
                "user": get(&t, "user_usec").saturating_mul(1000)
            },
            "throttling": {
                "periods": get(&t, "nr_periods"),
                "throttledPeriods": get(&t, "nr_throttled"),
                "throttledTime": get(&t, "throttled_usec").saturating_mul(1000)
            }
        });
    }
    const TICK_NS: u64 = 10_000_000;
    let acct = paths.of("cpuacct");
    let t = acct.map(|d| table(d, "cpuacct.stat")).unwrap_or_default();
    let throttled = paths
        .of("cpu")
        .map(|d| table(d, "cpu.stat"))
        .unwrap_or_default();
    let percpu: Vec<u64> = acct
        .and_then(|d| std::fs::read_to_string(d.join("cpuacct.usage_percpu")).ok())
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    json!({
        "usage": {
            "total": acct.and_then(|d| number(d, "cpuacct.usage")).unwrap_or(0),
            "percpu": percpu,
            "kernel": get(&t, "system").saturating_mul(TICK_NS),
            "user": get(&t, "user").saturating_mul(TICK_NS)
        },
        "throttling": {
            "periods": get(&throttled, "nr_periods"),
            "throttledPeriods": get(&throttled, "nr_throttled"),
            "throttledTime": get(&throttled, "throttled_time")
        }
    })
}

fn memory(paths: &Paths) -> Value {
    let Some(dir) = paths.of("memory") else {
        return json!({});
    };
    let raw = table(dir, "memory.stat");
    let n = |file: &str| number(dir, file).unwrap_or(0);
    if paths.unified() {
        let file = get(&raw, "file");
        return json!({
            "cache": file,
            "usage": {"limit": n("memory.max"), "usage": n("memory.current"),
                      "max": n("memory.peak"), "failcnt": 0},
            "swap": {"limit": n("memory.swap.max"), "usage": n("memory.swap.current"), "failcnt": 0},
            "kernel": {"usage": get(&raw, "kernel"), "failcnt": 0},
            "kernelTCP": {"failcnt": 0},
            "raw": raw
        });
    }
    let group = |prefix: &str| {
        json!({
            "limit": n(&format!("{prefix}limit_in_bytes")),
            "usage": n(&format!("{prefix}usage_in_bytes")),
            "max": n(&format!("{prefix}max_usage_in_bytes")),
            "failcnt": n(&format!("{prefix}failcnt"))
        })
    };
    json!({
        "cache": get(&raw, "cache"),
        "usage": group("memory."),
        "swap": group("memory.memsw."),
        "kernel": group("memory.kmem."),
        "kernelTCP": group("memory.kmem.tcp."),
        "raw": raw
    })
}
