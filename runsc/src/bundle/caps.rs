//! Capability names and numbers (capabilities(7)).

use serde_json::Value;

/// Names by number, without the `CAP_` prefix.
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number of a capability named with or without `CAP_`, in any case.
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|n| *n == short).map(|n| n as u32)
}

/// The set of the named capabilities as a bit mask.
pub fn mask<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    names
        .into_iter()
        .filter_map(number)
        .fold(0, |mask, n| mask | (1 << n))
}

/// Removes names that nobody knows from a process's capability lists, with one warning:
/// a newer client's list is not an error.
pub fn drop_unknown(process: &mut Value, warnings: &mut Vec<String>) {
    let Some(sets) = process
        .get_mut("capabilities")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let mut unknown = std::collections::BTreeSet::new();
    for list in sets.values_mut().filter_map(Value::as_array_mut) {
        list.retain(|name| match name.as_str() {
            Some(name) if number(name).is_none() => {
                unknown.insert(name.to_string());
                false
            }
            // What is not a string is left for the typed parser to refuse by its path.
            _ => true,
        });
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.into_iter().collect();
        warnings.push(ignored(&names));
    }
}

/// The warning about names that nobody knows.
pub fn ignored(names: &[String]) -> String {
    let names = names.join(" ");
    format!("ignoring unknown or unavailable capabilities: [{names}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number("CAP_CHOWN"), Some(0));
        assert_eq!(number("sys_admin"), Some(21));
        assert_eq!(number("CAP_CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(number("CAP_FOO"), None);
        assert_eq!(mask(["CAP_CHOWN", "CAP_KILL"]), 0x21);
    }
}
