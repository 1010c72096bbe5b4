//! `doctor`: what this host offers a sandbox, and which clients know the runtime.
//!
//! Each check is a line: `ok`, `note` (works, but less well), or `fail` (no sandbox will
//! start), with what was found and, where it is not well, what it means. The last check runs
//! a program in a sandbox.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::{Client, DoctorArgs, PlatformKind};
use super::{App, Failure, Outcome, install, reason};
use crate::cgroup;

/// How long the trial run may take.
const TRIAL: Duration = Duration::from_secs(30);
/// Mappings a process may have by default, and what copy-on-write of a big guest may need.
const MAPPINGS: u64 = 65530;
/// Descriptors that a sandbox of many connections and files needs.
const DESCRIPTORS: u64 = 65536;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Note,
    Fail,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    status: Status,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Check {
        Check {
            check,
            status: Status::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn note(check: &'static str, found: impl Into<String>, advice: &'static str) -> Check {
        Check {
            status: Status::Note,
            advice: Some(advice),
            ..Check::ok(check, found)
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, advice: &'static str) -> Check {
        Check {
            status: Status::Fail,
            ..Check::note(check, found, advice)
        }
    }
}

/// Runs the command: exit status 1 when a check fails.
pub fn doctor(app: &App, args: &DoctorArgs) -> Outcome {
    if !matches!(args.format.as_str(), "table" | "json") {
        return Err(Failure::new(1, "invalid format option"));
    }
    let mut checks = vec![
        kernel(),
        platform(app),
        user(),
        cgroups(),
        mappings(),
        overcommit(),
        descriptors(),
        huge_pages(),
        landlock(),
        state_root(&app.root),
    ];
    checks.extend(clients());
    if !args.no_run {
        checks.push(trial(app));
    }
    if args.format == "json" {
        println!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        checks.iter().for_each(print);
    }
    let failed = checks.iter().any(|c| c.status == Status::Fail);
    Ok(i32::from(failed))
}

fn print(check: &Check) {
    let status = match check.status {
        Status::Ok => "ok",
        Status::Note => "note",
        Status::Fail => "fail",
    };
    println!("{status:<6}{:<12}{}", check.check, check.found);
    if let Some(advice) = check.advice {
        println!("{:18}{advice}", "");
    }
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_string())
}

fn number(path: &str) -> Option<u64> {
    read(path)?.parse().ok()
}

fn kernel() -> Check {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let arch = std::env::consts::ARCH;
    Check::ok("kernel", format!("Linux {release} {arch}, {cpus} CPUs"))
}

fn probe(kind: PlatformKind) -> Result<(), String> {
    match kind {
        PlatformKind::Systrap => ::platform::systrap::probe(),
        PlatformKind::Ptrace => ::platform::ptrace::probe(),
    }
}

fn platform(app: &App) -> Check {
    let (chosen, other) = match app.global.platform {
        PlatformKind::Systrap => (PlatformKind::Systrap, PlatformKind::Ptrace),
        PlatformKind::Ptrace => (PlatformKind::Ptrace, PlatformKind::Systrap),
    };
    let name = |kind: PlatformKind| format!("{kind:?}").to_lowercase();
    let beside = match probe(other) {
        Ok(()) => format!("{} works too", name(other)),
        Err(why) => format!("{} does not work: {why}", name(other)),
    };
    match probe(chosen) {
        Ok(()) => Check::ok("platform", format!("{}; {beside}", name(chosen))),
        Err(why) => {
            let found = format!("{}: {why}; {beside}", name(chosen));
            Check::fail("platform", found, "no sandbox can run")
        }
    }
}

fn user() -> Check {
    if nix::unistd::geteuid().is_root() {
        return Check::ok("user", "root");
    }
    match number("/proc/sys/user/max_user_namespaces") {
        Some(0) | None => Check::fail(
            "user",
            "not root, and user namespaces are off",
            "run as root, or raise user.max_user_namespaces",
        ),
        Some(_) => Check::note(
            "user",
            "not root",
            "containers run rootless: without cgroup limits and links of their own",
        ),
    }
}

fn cgroups() -> Check {
    let base = Path::new(cgroup::MOUNT);
    let unified = cgroup::is_unified();
    let found = match (unified, base.join("unified").exists()) {
        (true, _) => "version 2",
        (false, true) => "hybrid",
        (false, false) if base.join("memory").exists() => "version 1",
        (false, false) => {
            return Check::note(
                "cgroups",
                "none at /sys/fs/cgroup",
                "limits of containers do not hold",
            );
        }
    };
    let writable = |dir: &Path| {
        nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).is_ok()
            && nix::sys::statvfs::statvfs(dir)
                .is_ok_and(|fs| !fs.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
    };
    let place = if unified {
        base.into()
    } else {
        base.join("memory")
    };
    if writable(&place) {
        return Check::ok("cgroups", found);
    }
    Check::note(
        "cgroups",
        format!("{found}, not writable"),
        "give --ignore-cgroups; limits of containers do not hold",
    )
}

/// A check of how much a process may have of something.
fn room(check: &'static str, most: u64, wanted: u64, advice: &'static str) -> Check {
    let found = format!("{most} a process");
    match most >= wanted {
        true => Check::ok(check, found),
        false => Check::note(check, found, advice),
    }
}

fn mappings() -> Check {
    let most = number("/proc/sys/vm/max_map_count").unwrap_or(0);
    let advice = "big guests that fork may run out: raise vm.max_map_count";
    room("mappings", most, MAPPINGS, advice)
}

fn overcommit() -> Check {
    match number("/proc/sys/vm/overcommit_memory") {
        Some(2) => Check::note(
            "overcommit",
            "strict",
            "memory that guests reserve counts at once: set vm.overcommit_memory to 0",
        ),
        Some(1) => Check::ok("overcommit", "always"),
        _ => Check::ok("overcommit", "heuristic"),
    }
}

fn descriptors() -> Check {
    use nix::sys::resource::{Resource, getrlimit};
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    let advice = "servers of many files may run out: raise the hard limit of open files";
    room("descriptors", most, DESCRIPTORS, advice)
}

fn huge_pages() -> Check {
    let text = read("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_default();
    let chosen = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match chosen {
        Some(how @ ("always" | "advise" | "within_size" | "force")) => Check::ok("huge pages", how),
        _ => Check::note(
            "huge pages",
            "off for shared memory",
            "first touches of big memory are slower: \
             echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
        ),
    }
}

fn landlock() -> Check {
    let list = read("/sys/kernel/security/lsm").unwrap_or_default();
    if list.split(',').any(|name| name == "landlock") {
        return Check::ok("landlock", "on");
    }
    Check::note(
        "landlock",
        "off",
        "the file server has its namespace as its only fence",
    )
}

fn state_root(root: &Path) -> Check {
    let made = std::fs::create_dir_all(root).and_then(|()| tempfile::tempfile_in(root));
    match made {
        Ok(_) => Check::ok("state", root.display().to_string()),
        Err(e) => Check::fail(
            "state",
            format!("{}: {}", root.display(), reason(&e)),
            "give a writable folder by --root",
        ),
    }
}

/// The clients that are installed, and whether their usual configuration names this program.
fn clients() -> Vec<Check> {
    let own = std::env::current_exe().ok();
    let own = own.as_deref().and_then(Path::to_str).unwrap_or("runsc");
    let mut checks = Vec::new();
    for (client, name, program, advice) in [
        (
            Client::Docker,
            "docker",
            "dockerd",
            "tell it: runsc install",
        ),
        (
            Client::Containerd,
            "containerd",
            "containerd",
            "tell it: runsc install --client containerd",
        ),
        (
            Client::Podman,
            "podman",
            "podman",
            "tell it: runsc install --client podman",
        ),
    ] {
        let file = install::usual_file(client);
        if !on_path(program) {
            continue;
        }
        checks.push(match read(file).is_some_and(|text| text.contains(own)) {
            true => Check::ok(name, format!("{file} names {own}")),
            false => Check::note(name, format!("{file} does not name {own}"), advice),
        });
    }
    checks
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Runs this program in a sandbox over the host's root: it prints its version there.
fn trial(app: &App) -> Check {
    const ADVICE: &str = "see: runsc --debug do true";
    match try_run(app) {
        Ok(took) => Check::ok("trial", format!("a sandbox ran in {} ms", took.as_millis())),
        Err(why) => Check::fail("trial", why, ADVICE),
    }
}

fn try_run(app: &App) -> Result<Duration, String> {
    let own = std::env::current_exe().map_err(|e| reason(&e))?;
    let begun = Instant::now();
    let mut child = Command::new(&own)
        .arg("--root")
        .arg(&app.root)
        .args(["--ignore-cgroups", "--network=none", "do", "--"])
        .arg(&own)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| reason(&e))?;
    while child.try_wait().map_err(|e| reason(&e))?.is_none() {
        if begun.elapsed() > TRIAL {
            let _ = child.kill();
            return Err(format!("no end after {} s", TRIAL.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    let output = child.wait_with_output().map_err(|e| reason(&e))?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.success() && out.starts_with("runsc version") {
        return Ok(took);
    }
    let last = err.lines().last().unwrap_or("no message");
    Err(format!("{}: {last}", output.status))
}
