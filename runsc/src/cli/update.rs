//! `update`: new limits for a container that runs.

use std::io::Read;

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::args::UpdateArgs;
use super::{App, Failure, Outcome, reason};
use crate::boot::client::Client;
use crate::boot::message::Request;
use crate::cgroup::limits;
use crate::container::status::{self, Status};
use crate::container::store::Folder;

/// Runs the command.
pub fn update(app: &App, args: &UpdateArgs) -> Outcome {
    let folder = Folder::open(&app.root, &args.id)?;
    let state = folder.load()?;
    if status::of(&state) == Status::Stopped {
        return Err(Failure::new(1, "container not running"));
    }
    let value = match &args.resources {
        Some(path) => from_file(path)?,
        None => from_flags(args)?,
    };
    let resources: LinuxResources = serde_path_to_error::deserialize(value)
        .map_err(|e| Failure::new(1, format!("json: cannot unmarshal field {e}")))?;
    limits::apply(&state.cgroups, &resources).map_err(|text| Failure::new(1, text))?;
    if let Some(limit) = resources
        .pids()
        .as_ref()
        .map(|p| p.limit())
        .filter(|l| *l != 0)
    {
        let pids_limit = Some(limit);
        // No answer: it has just ended.
        Client::connect(folder.path())?.call(&Request::Update { pids_limit })?;
    }
    Ok(0)
}

fn from_file(path: &std::path::Path) -> Result<Value, Failure> {
    let mut text = Vec::new();
    if path == std::path::Path::new("-") {
        std::io::stdin().read_to_end(&mut text)?;
    } else {
        text = std::fs::read(path)
            .map_err(|e| Failure::new(1, format!("open {}: {}", path.display(), reason(&e))))?;
    }
    let mut value: Value = serde_json::from_slice(&text)?;
    // Clients write null for a list that is not there.
    if let Some(all) = value.as_object_mut() {
        all.retain(|_, v| !v.is_null());
        for part in all.values_mut().filter_map(Value::as_object_mut) {
            part.retain(|_, v| !v.is_null());
        }
    }
    Ok(value)
}

fn from_flags(args: &UpdateArgs) -> Result<Value, Failure> {
    let put = |map: &mut Map<String, Value>, name: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(name.to_string(), value);
        }
    };
    let mut memory = Map::new();
    put(&mut memory, "limit", bytes(args.memory.as_deref())?);
    put(
        &mut memory,
        "reservation",
        bytes(args.memory_reservation.as_deref())?,
    );
    put(&mut memory, "swap", bytes(args.memory_swap.as_deref())?);
    let mut cpu = Map::new();
    put(&mut cpu, "shares", args.cpu_share.map(Value::from));
    put(&mut cpu, "quota", args.cpu_quota.map(Value::from));
    put(&mut cpu, "period", args.cpu_period.map(Value::from));
    put(&mut cpu, "cpus", args.cpuset_cpus.clone().map(Value::from));
    put(&mut cpu, "mems", args.cpuset_mems.clone().map(Value::from));
    put(
        &mut cpu,
        "realtimePeriod",
        args.cpu_rt_period.map(Value::from),
    );
    put(
        &mut cpu,
        "realtimeRuntime",
        args.cpu_rt_runtime.map(Value::from),
    );
    let mut all = json!({"memory": memory, "cpu": cpu});
    if let (Some(weight), Some(map)) = (args.blkio_weight, all.as_object_mut()) {
        map.insert("blockIO".into(), json!({"weight": weight}));
    }
    if let (Some(limit), Some(map)) = (args.pids_limit, all.as_object_mut()) {
        map.insert("pids".into(), json!({"limit": limit}));
    }
    Ok(all)
}

/// A size with an optional suffix k, m, g or t; -1 for no limit.
fn bytes(text: Option<&str>) -> Result<Option<Value>, Failure> {
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let lower = text.to_ascii_lowercase();
    let lower = lower.trim_end_matches('b');
    let (digits, shift) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 10),
        Some(b'm') => (&lower[..lower.len() - 1], 20),
        Some(b'g') => (&lower[..lower.len() - 1], 30),
        Some(b't') => (&lower[..lower.len() - 1], 40),
        _ => (lower, 0),
    };
    let invalid = || Failure::new(1, format!("invalid value for memory: {text:?}"));
    let n: i64 = digits.parse().map_err(|_| invalid())?;
    let n = n.checked_mul(1 << shift).ok_or_else(invalid)?;
    Ok(Some(n.into()))
}
