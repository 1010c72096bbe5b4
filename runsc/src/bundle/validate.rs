//! Rules a configuration must keep, each with a message that names the field.

use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Process, Spec};

use crate::cli::Failure;

fn fail<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(1, message))
}

/// Checks a whole configuration.
pub fn spec(spec: &Spec, warnings: &mut Vec<String>) -> Result<(), Failure> {
    version(spec.version())?;
    if spec.root().is_none() {
        return fail("root must be specified");
    }
    match spec.process() {
        Some(p) => process(p)?,
        None => return fail("process property must not be empty"),
    }
    hostname(spec)?;
    mounts(spec, warnings)?;
    namespaces(spec)?;
    sysctls(spec)
}

/// Any 1.x; an empty string is taken as runc takes it.
fn version(v: &str) -> Result<(), Failure> {
    if v.is_empty() || v == "1" || v.starts_with("1.") {
        return Ok(());
    }
    fail(format!("unsupported ociVersion {v:?}: 1.x is supported"))
}

/// Checks a process, of a configuration or of `exec`.
pub fn process(p: &Process) -> Result<(), Failure> {
    if p.args().as_ref().is_none_or(Vec::is_empty) {
        return fail("args must not be empty");
    }
    if p.cwd().as_os_str().is_empty() {
        return fail("Cwd property must not be empty");
    }
    if !p.cwd().is_absolute() {
        return fail("Cwd must be an absolute path");
    }
    let strings = p.args().iter().flatten().chain(p.env().iter().flatten());
    for s in strings {
        if s.contains('\0') {
            return fail("process.args and process.env must not contain a NUL byte");
        }
    }
    for (i, r) in p.rlimits().iter().flatten().enumerate() {
        if r.soft() > r.hard() {
            return fail(format!(
                "process.rlimits[{i}]: soft limit {} is above the hard limit {}",
                r.soft(),
                r.hard()
            ));
        }
    }
    if let Some(score) = p.oom_score_adj()
        && !(-1000..=1000).contains(&score)
    {
        return fail(format!(
            "process.oomScoreAdj {score} is not within -1000..1000"
        ));
    }
    Ok(())
}

/// Whether the configuration asks for a namespace of this kind.
pub fn has_namespace(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    spec.linux()
        .iter()
        .flat_map(|l| l.namespaces().iter().flatten())
        .any(|n| n.typ() == kind)
}

fn hostname(spec: &Spec) -> Result<(), Failure> {
    let named = |n: &Option<String>| n.as_ref().is_some_and(|n| !n.is_empty());
    if has_namespace(spec, LinuxNamespaceType::Uts) {
        return Ok(());
    }
    if named(spec.hostname()) {
        return fail("unable to set hostname without a private UTS namespace");
    }
    if named(spec.domainname()) {
        return fail("unable to set domainname without a private UTS namespace");
    }
    Ok(())
}

fn mounts(spec: &Spec, warnings: &mut Vec<String>) -> Result<(), Failure> {
    for (i, m) in spec.mounts().iter().flatten().enumerate() {
        if m.destination().as_os_str().is_empty() {
            return fail(format!("mounts[{i}].destination must not be empty"));
        }
        if !m.destination().is_absolute() {
            warnings.push(format!(
                "mount destination {} is not absolute. Support for non-absolute mount destinations will be removed in a future release.",
                m.destination().display()
            ));
        }
    }
    Ok(())
}

fn namespaces(spec: &Spec) -> Result<(), Failure> {
    let mut seen = Vec::new();
    let all = spec
        .linux()
        .iter()
        .flat_map(|l| l.namespaces().iter().flatten());
    for n in all {
        if seen.contains(&n.typ()) {
            return fail(format!(
                "malformed spec file: duplicated ns {:?}",
                n.typ().to_string()
            ));
        }
        seen.push(n.typ());
        if let Some(path) = n.path()
            && !path.as_os_str().is_empty()
            && !Path::new(path).exists()
        {
            return fail(format!(
                "lstat {}: no such file or directory",
                path.display()
            ));
        }
        joinable(n)?;
    }
    Ok(())
}

/// Users are those of the container's own kernel.
fn joinable(n: &LinuxNamespace) -> Result<(), Failure> {
    let path = n.path().as_ref().filter(|p| !p.as_os_str().is_empty());
    match path {
        Some(path) if n.typ() == LinuxNamespaceType::User => fail(format!(
            "linux.namespaces: joining the {} namespace {} is not supported",
            n.typ(),
            path.display()
        )),
        _ => Ok(()),
    }
}

/// Sysctls must belong to a namespace that the container has to itself.
fn sysctls(spec: &Spec) -> Result<(), Failure> {
    const IPC: [&str; 7] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
    ];
    let all = spec
        .linux()
        .iter()
        .flat_map(|l| l.sysctl().iter().flatten());
    for (key, _) in all {
        let dotted = key.replace('/', ".");
        let needs = if IPC.contains(&dotted.as_str())
            || dotted == "kernel.shm_rmid_forced"
            || dotted.starts_with("fs.mqueue.")
        {
            LinuxNamespaceType::Ipc
        } else if dotted.starts_with("net.") {
            LinuxNamespaceType::Network
        } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
            LinuxNamespaceType::Uts
        } else {
            return fail(format!(
                "sysctl {key:?} is not in a separate kernel namespace"
            ));
        };
        if !has_namespace(spec, needs) {
            return fail(format!(
                "sysctl {key:?} is not allowed in the hosts {} namespace",
                needs
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.0.2-dev", "1.2.0", "1.3.0", ""] {
            assert!(version(good).is_ok(), "{good}");
        }
        for bad in ["2.0.0", "0.9", "foo"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
