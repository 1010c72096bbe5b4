//! Docker's `daemon.json`: `runtimes` and `default-runtime` (dockerd(8)).

use serde_json::{Map, Value, json};

use super::{Entry, Failure};

fn parse(text: &str) -> Result<Map<String, Value>, Failure> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text)? {
        Value::Object(map) => Ok(map),
        _ => Err(Failure::new(1, "not a JSON object")),
    }
}

fn print(map: Map<String, Value>) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(&Value::Object(map))?;
    text.push('\n');
    Ok(text)
}

/// The text with the entry.
pub fn add(text: &str, entry: &Entry) -> Result<String, Failure> {
    let mut config = parse(text)?;
    let runtimes = config.entry("runtimes").or_insert_with(|| json!({}));
    let Some(runtimes) = runtimes.as_object_mut() else {
        return Err(Failure::new(1, "\"runtimes\" is not an object"));
    };
    let there = runtimes.get(&entry.name).map(|there| there.get("path"));
    entry.may_replace(there.map(|path| path.and_then(Value::as_str).unwrap_or("a shim")))?;
    let mut runtime = json!({"path": entry.path});
    if !entry.options.is_empty() {
        runtime["runtimeArgs"] = json!(entry.options);
    }
    runtimes.insert(entry.name.clone(), runtime);
    if entry.default {
        config.insert("default-runtime".into(), json!(entry.name));
    }
    print(config)
}

/// The text without the runtime of this name; nothing if it has none.
pub fn remove(text: &str, name: &str) -> Result<Option<String>, Failure> {
    let mut config = parse(text)?;
    let runtimes = config.get_mut("runtimes").and_then(Value::as_object_mut);
    let Some(runtimes) = runtimes else {
        return Ok(None);
    };
    if runtimes.remove(name).is_none() {
        return Ok(None);
    }
    if runtimes.is_empty() {
        config.remove("runtimes");
    }
    if config.get("default-runtime").and_then(Value::as_str) == Some(name) {
        config.remove("default-runtime");
    }
    print(config).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(clobber: bool) -> Entry {
        Entry {
            name: "runsc".into(),
            path: "/usr/local/bin/runsc".into(),
            options: vec!["--debug".into()],
            default: true,
            clobber,
            shim: false,
        }
    }

    #[test]
    fn what_is_added_is_removed_and_the_rest_stays() {
        let old = r#"{"debug": true, "runtimes": {"kata": {"path": "/kata"}}}"#;
        let new = add(old, &entry(false)).expect("added");
        let value: Value = serde_json::from_str(&new).expect("JSON");
        assert_eq!(value["runtimes"]["runsc"]["path"], "/usr/local/bin/runsc");
        assert_eq!(value["runtimes"]["runsc"]["runtimeArgs"][0], "--debug");
        assert_eq!(value["default-runtime"], "runsc");
        let back = remove(&new, "runsc").expect("removed").expect("was there");
        let parsed = |text: &str| parse(text).expect("an object");
        assert_eq!(parsed(&back), parsed(old));
        assert!(remove(old, "runsc").expect("read").is_none());
    }

    #[test]
    fn another_program_stays_unless_told() {
        let old = r#"{"runtimes": {"runsc": {"path": "/other"}}}"#;
        assert!(add(old, &entry(false)).is_err());
        assert!(add(old, &entry(true)).is_ok());
        assert!(add("[]", &entry(true)).is_err());
        assert!(add("{", &entry(true)).is_err());
        assert!(add(r#"{"runtimes": 1}"#, &entry(true)).is_err());
    }
}
