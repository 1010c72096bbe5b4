//! The TOML files of containerd (`config.toml`, containerd-config.toml(5)) and Podman
//! (`containers.conf`, containers.conf(5)).

use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{Entry, Failure, SHIM_TYPE};

fn parse(text: &str) -> Result<DocumentMut, Failure> {
    text.parse()
        .map_err(|e: toml_edit::TomlError| Failure::new(1, e.to_string().trim().to_string()))
}

/// The table at this path, made where it is missing.
fn table<'a>(root: &'a mut Table, path: &[&str]) -> Result<&'a mut Table, Failure> {
    let mut at = root;
    for key in path {
        let item = at.entry(key).or_insert_with(|| {
            let mut new = Table::new();
            new.set_implicit(true);
            Item::Table(new)
        });
        if let Item::Value(inline) = item
            && let Some(inline) = inline.as_inline_table()
        {
            *item = Item::Table(inline.clone().into_table());
        }
        at = item
            .as_table_mut()
            .ok_or_else(|| Failure::new(1, format!("{key:?} is not a table")))?;
    }
    Ok(at)
}

/// The table at this path, if there is one.
fn existing<'a>(root: &'a mut Table, path: &[&str]) -> Option<&'a mut Table> {
    path.iter()
        .try_fold(root, |at, key| at.get_mut(key)?.as_table_mut())
}

fn refuse_options(entry: &Entry, client: &str) -> Result<(), Failure> {
    if entry.options.is_empty() {
        return Ok(());
    }
    let message = format!("{client} gives its runtimes no options of their own");
    Err(Failure::new(1, message))
}

/// Where the CRI plugin's containers are configured: another key in each version.
fn cri(doc: &DocumentMut) -> Result<[&'static str; 3], Failure> {
    let version = doc.get("version").and_then(Item::as_integer);
    match version {
        None | Some(2) => Ok(["plugins", "io.containerd.grpc.v1.cri", "containerd"]),
        Some(3) => Ok(["plugins", "io.containerd.cri.v1.runtime", "containerd"]),
        Some(other) => {
            let message = format!("configurations of version {other} are not known");
            Err(Failure::new(1, message))
        }
    }
}

/// containerd's text with the entry, called by the shim of runc.
pub fn containerd_add(text: &str, entry: &Entry) -> Result<String, Failure> {
    refuse_options(entry, "containerd")?;
    let mut doc = parse(text)?;
    if doc.get("version").is_none() {
        if !doc.is_empty() {
            return Err(Failure::new(
                1,
                "configurations of version 1 are not supported",
            ));
        }
        doc.insert("version", value(2));
    }
    let path = cri(&doc)?;
    let containerd = table(doc.as_table_mut(), &path)?;
    if entry.default {
        containerd.insert("default_runtime_name", value(&entry.name));
    } else if !containerd.contains_key("runtimes") {
        // The first entry replaces the built-in one, which is the default.
        let runc = table(containerd, &["runtimes", "runc"])?;
        runc.set_implicit(false);
        runc.insert("runtime_type", value("io.containerd.runc.v2"));
    }
    let known = existing(containerd, &["runtimes", &entry.name]);
    entry.may_replace(known.map(|runtime| called(runtime)).as_deref())?;
    let runtime = table(containerd, &["runtimes", &entry.name])?;
    runtime.set_implicit(false);
    if entry.shim {
        runtime.remove("options");
        runtime.insert("runtime_type", value(SHIM_TYPE));
        return Ok(doc.to_string());
    }
    runtime.insert("runtime_type", value("io.containerd.runc.v2"));
    table(runtime, &["options"])?.insert("BinaryName", value(&entry.path));
    Ok(doc.to_string())
}

/// What an entry of containerd's calls: a program by the shim of runc, or another shim.
fn called(runtime: &Table) -> String {
    let kind = runtime.get("runtime_type").and_then(Item::as_str);
    if let Some(kind) = kind.filter(|kind| !kind.starts_with("io.containerd.runc.")) {
        return kind.to_owned();
    }
    let options = runtime.get("options").and_then(Item::as_table);
    let binary = options.and_then(|o| o.get("BinaryName")?.as_str());
    binary.unwrap_or("runc").to_owned()
}

/// containerd's text without the runtime of this name; nothing if it has none.
pub fn containerd_remove(text: &str, name: &str) -> Result<Option<String>, Failure> {
    let mut doc = parse(text)?;
    let path = cri(&doc)?;
    let Some(containerd) = existing(doc.as_table_mut(), &path) else {
        return Ok(None);
    };
    let runtimes = existing(containerd, &["runtimes"]);
    if runtimes.and_then(|all| all.remove(name)).is_none() {
        return Ok(None);
    }
    remove_default(containerd, "default_runtime_name", name);
    Ok(Some(doc.to_string()))
}

/// Podman's text with the entry.
pub fn podman_add(text: &str, entry: &Entry) -> Result<String, Failure> {
    refuse_options(entry, "Podman")?;
    let mut doc = parse(text)?;
    let runtimes = table(doc.as_table_mut(), &["engine", "runtimes"])?;
    let there = runtimes.get(&entry.name).map(|paths| {
        let first = paths.as_array().and_then(|paths| paths.get(0)?.as_str());
        first.unwrap_or("nothing")
    });
    entry.may_replace(there)?;
    runtimes.set_implicit(false);
    runtimes.insert(&entry.name, value(Array::from_iter([entry.path.as_str()])));
    if entry.default {
        let engine = table(doc.as_table_mut(), &["engine"])?;
        engine.set_implicit(false);
        engine.insert("runtime", value(&entry.name));
    }
    Ok(doc.to_string())
}

/// Podman's text without the runtime of this name; nothing if it has none.
pub fn podman_remove(text: &str, name: &str) -> Result<Option<String>, Failure> {
    let mut doc = parse(text)?;
    let Some(engine) = existing(doc.as_table_mut(), &["engine"]) else {
        return Ok(None);
    };
    let runtimes = existing(engine, &["runtimes"]);
    if runtimes.and_then(|all| all.remove(name)).is_none() {
        return Ok(None);
    }
    remove_default(engine, "runtime", name);
    Ok(Some(doc.to_string()))
}

fn remove_default(table: &mut Table, key: &str, name: &str) {
    if table.get(key).and_then(Item::as_str) == Some(name) {
        table.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            name: "runsc".into(),
            path: path.into(),
            options: Vec::new(),
            default: true,
            clobber: false,
            shim: false,
        }
    }

    #[test]
    fn the_shim_needs_no_program() {
        let mut shim = entry("/bin/runsc");
        shim.shim = true;
        let new = containerd_add("", &shim).expect("added");
        assert!(
            new.contains("runtime_type = \"io.containerd.runsc.v1\""),
            "{new}"
        );
        assert!(!new.contains("BinaryName"), "{new}");
        assert_eq!(containerd_add(&new, &shim).expect("again"), new);
        assert!(containerd_add(&new, &entry("/bin/runsc")).is_err());
        shim.shim = false;
        shim.clobber = true;
        let back = containerd_add(&new, &shim).expect("replaced");
        assert!(back.contains("BinaryName"), "{back}");
        let mut again = entry("/bin/runsc");
        (again.shim, again.clobber) = (true, true);
        assert_eq!(containerd_add(&back, &again).expect("replaced"), new);
    }

    #[test]
    fn containerd_keeps_comments_and_takes_back_what_was_added() {
        let old = "# ours\nversion = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\"]\n\
                   sandbox_image = \"pause\" # small\n";
        let new = containerd_add(old, &entry("/bin/runsc")).expect("added");
        assert!(new.starts_with(old), "{new}");
        assert!(new.contains("BinaryName = \"/bin/runsc\""), "{new}");
        assert!(new.contains("default_runtime_name = \"runsc\""), "{new}");
        assert!(containerd_add(&new, &entry("/bin/other")).is_err());
        let back = containerd_remove(&new, "runsc").expect("removed");
        let back = back.expect("was there");
        assert!(!back.contains("runsc"), "{back}");
        assert!(back.starts_with(old), "{back}");
        assert!(containerd_remove(old, "runsc").expect("read").is_none());
    }

    #[test]
    fn the_default_stays() {
        let mut plain = entry("/bin/runsc");
        plain.default = false;
        let new = containerd_add("", &plain).expect("added");
        assert!(new.contains("containerd.runtimes.runc]"), "{new}");
        assert_eq!(containerd_add(&new, &plain).expect("again"), new);
    }

    #[test]
    fn versions_decide_the_plugin() {
        let new = containerd_add("version = 3\n", &entry("/bin/runsc")).expect("added");
        assert!(new.contains("io.containerd.cri.v1.runtime"), "{new}");
        let new = containerd_add("", &entry("/bin/runsc")).expect("added");
        assert!(new.starts_with("version = 2\n"), "{new}");
        assert!(containerd_add("root = \"/x\"\n", &entry("/bin/runsc")).is_err());
        assert!(containerd_add("version = 9\n", &entry("/bin/runsc")).is_err());
    }

    #[test]
    fn podman_has_a_list_of_programs() {
        let old = "[engine]\ncgroup_manager = \"cgroupfs\"\n";
        let new = podman_add(old, &entry("/bin/runsc")).expect("added");
        assert!(new.contains("runsc = [\"/bin/runsc\"]"), "{new}");
        assert!(new.contains("runtime = \"runsc\""), "{new}");
        let back = podman_remove(&new, "runsc").expect("removed");
        assert!(!back.expect("was there").contains("runsc"));
    }
}
