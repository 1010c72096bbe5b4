//! A container's making and end on the host.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oci_spec::runtime::{Hook, LinuxResources, Spec};

use super::hooks;
use super::join;
use super::state::{Phase, State};
use super::status::{self, Status};
use super::store::Folder;
use crate::boot::client::Client;
use crate::boot::message::{Reply, Request};
use crate::boot::{Guest, Plan, Stdio, Trace, launch};
use crate::bundle::mounts::GuestMount;
use crate::bundle::{Bundle, devices, mounts, process};
use crate::cgroup::{self, limits};
use crate::cli::{App, Failure, reason};
use crate::debug::log::steps;
use crate::debug::time;
use crate::sys;

/// What `create` and `run` decide about a container's surroundings.
pub struct Surroundings {
    /// Standard descriptors of the first process.
    pub stdio: Stdio,
    /// Its further descriptors.
    pub preserved: Preserved,
    /// Whether sandbox messages may go to our stderr: we stay as long as the container.
    pub foreground: bool,
    /// Put a memory overlay over the root.
    pub overlay: bool,
}

/// The caller's standard descriptors.
pub fn own_stdio() -> Result<Stdio, Failure> {
    Ok(Stdio::Files([
        std::io::stdin().as_fd().try_clone_to_owned()?,
        std::io::stdout().as_fd().try_clone_to_owned()?,
        std::io::stderr().as_fd().try_clone_to_owned()?,
    ]))
}

/// Descriptors that the caller left open for the container, from number 3 on.
#[derive(Debug, Default)]
pub struct Preserved {
    /// What stands at each number.
    pub fds: Vec<OwnedFd>,
    /// Numbers that are not open: what stands there keeps the place only.
    pub closed: Vec<i32>,
}

/// The `count` descriptors from 3 on that the caller left open for the container, after
/// those of socket activation (LISTEN_FDS).
pub fn preserved_fds(app: &App, count: u32) -> Result<Preserved, Failure> {
    let listen: u32 = std::env::var("LISTEN_FDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let last = i32::try_from(listen.saturating_add(count)).unwrap_or(i32::MAX);
    let mut preserved = Preserved::default();
    for fd in 3..last.saturating_add(3) {
        if let Some(fd) = sys::adopt_fd(fd) {
            preserved.fds.push(fd);
            continue;
        }
        app.log
            .debug(&format!("please check that preserved-fd {fd} is present"));
        let place = std::fs::File::open("/dev/null")?;
        preserved.fds.push(place.into());
        preserved.closed.push(fd);
    }
    Ok(preserved)
}

/// Creates a container from a bundle; returns its leader and locked folder. On a failure
/// nothing is left behind.
pub fn create(
    app: &App,
    id: &str,
    bundle: &Bundle,
    surroundings: Surroundings,
) -> Result<(Pid, Folder, State), Failure> {
    app.log
        .debug(&format!("create {id} from {}", bundle.dir.display()));
    let folder = Folder::create(&app.root, id)?;
    let mut state = new_state(id, bundle);
    match build(app, bundle, surroundings, &folder, &mut state) {
        Ok(pid) => Ok((pid, folder, state)),
        Err(e) => {
            if let Err(text) = state.cgroups.remove() {
                app.log.warn(&text);
            }
            run_poststop(app, &state);
            folder.remove()?;
            Err(e)
        }
    }
}

fn new_state(id: &str, bundle: &Bundle) -> State {
    let spec = &bundle.spec;
    let annotations: BTreeMap<String, String> = spec
        .annotations()
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    State {
        oci_version: spec.version().clone(),
        id: id.to_string(),
        process: None,
        sandbox: None,
        phase: Phase::Creating,
        bundle: bundle.dir.clone(),
        rootfs: bundle.rootfs.clone(),
        created: time::nanos(SystemTime::now()),
        owner_uid: nix::unistd::geteuid().as_raw(),
        annotations,
        hooks: spec.hooks().clone(),
        cgroups: cgroup::Paths::default(),
        process_spec: spec.process().clone(),
    }
}

fn resources(spec: &Spec) -> Option<&LinuxResources> {
    spec.linux().as_ref()?.resources().as_ref()
}

/// Makes the container's cgroups and sets their limits.
fn limit(app: &App, bundle: &Bundle, folder: &Folder, state: &mut State) -> Result<(), Failure> {
    let mut warnings = Vec::new();
    let asked = bundle
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.cgroups_path().clone());
    // Where they will be is known before they are: whoever deletes what a dying command
    // left finds them.
    let places = cgroup::places(asked.as_deref(), &state.id, app.global.systemd_cgroup);
    if places.is_frozen() {
        return Err(Failure::new(1, "container's cgroup unexpectedly frozen"));
    }
    let there = places.processes().len();
    if there > 0 {
        warnings.push(format!(
            "container's cgroup is not empty: {there} process(es) found"
        ));
    }
    state.cgroups = places;
    folder.save(state)?;
    state.cgroups = cgroup::create(state.cgroups.clone(), &mut warnings);
    if let Some(resources) = resources(&bundle.spec)
        && let Err(text) = limits::apply(&state.cgroups, resources)
    {
        if app.global.rootless == "true" || !nix::unistd::geteuid().is_root() {
            warnings.push(text);
        } else {
            return Err(Failure::new(
                1,
                format!("unable to apply cgroup configuration: {text}"),
            ));
        }
    }
    for text in &warnings {
        app.log.warn(text);
    }
    Ok(())
}

fn build(
    app: &App,
    bundle: &Bundle,
    surroundings: Surroundings,
    folder: &Folder,
    state: &mut State,
) -> Result<Pid, Failure> {
    let mut plan = plan(app, bundle, surroundings, folder, state)?;
    state.sandbox = plan.join.as_ref().map(|join| join.id.clone());
    if !app.global.ignore_cgroups {
        limit(app, bundle, folder, state)?;
        if plan.join.is_some() {
            plan.groups = state.cgroups.entries();
        }
    }
    folder.save(state)?;
    let cgroups = state.cgroups.clone();
    let mut early = state.clone();
    let pid = launch::launch(
        plan,
        |pid| {
            // Known before it may go on: whoever deletes what a dying command left finds it.
            early.process = status::identify(pid.as_raw());
            folder.save(&early)?;
            cgroups.join(pid.as_raw()).map_err(|text| {
                Failure::new(1, format!("unable to apply cgroup configuration: {text}"))
            })
        },
        |pid| {
            app.log.debug(steps::NAMESPACES);
            state.process = status::identify(pid.as_raw());
            run_create_hooks(state)?;
            app.log.debug(steps::INIT);
            Ok(())
        },
    )?;
    app.log.debug(steps::READY);
    state.process = status::identify(pid.as_raw());
    state.phase = Phase::Created;
    if let Err(e) = folder.save(state) {
        let _ = kill(pid, Signal::SIGKILL);
        return Err(e);
    }
    Ok(pid)
}

/// `prestart`, `createRuntime` and `createContainer`: the namespaces exist, the guest does
/// not run.
fn run_create_hooks(state: &State) -> Result<(), Failure> {
    let Some(all) = &state.hooks else {
        return Ok(());
    };
    let shown = state.for_hooks("creating");
    // Those of the container start in its root, as runc has them.
    let root = Some(state.rootfs.as_path());
    let lists = [
        (all.prestart(), None),
        (all.create_runtime(), None),
        (all.create_container(), root),
    ];
    for (list, cwd) in lists {
        let list = list.as_deref().unwrap_or_default();
        hooks::run_in(cwd, list, &shown).map_err(|e| {
            e.context("unable to start container process: error during container init")
        })?;
    }
    Ok(())
}

fn plan(
    app: &App,
    bundle: &Bundle,
    surroundings: Surroundings,
    folder: &Folder,
    state: &State,
) -> Result<Plan, Failure> {
    let spec = &bundle.spec;
    let mut warnings = Vec::new();
    let (mounts, mut roots) = mounts::guest_mounts(bundle, &mut warnings)?;
    for text in &warnings {
        app.log.warn(text);
    }
    if let Some(root) = roots.first_mut() {
        // Under an overlay nothing is ever written. Else mount points may have to be made,
        // even in a root that the guest sees read-only: that is the Sentry's to keep.
        root.readonly = surroundings.overlay;
    }
    let linux = spec.linux().as_ref();
    let mut guest = guest(bundle, state, mounts, surroundings.overlay)?;
    guest.process.closed = surroundings.preserved.closed;
    Ok(Plan {
        guest,
        folder: folder.path().to_path_buf(),
        namespaces: linux
            .and_then(|l| l.namespaces().clone())
            .unwrap_or_default(),
        roots,
        stdio: surroundings.stdio,
        preserved: surroundings.preserved.fds,
        trace: trace(app, surroundings.foreground)?,
        log: log_fd(app, surroundings.foreground)?,
        debug: app.global.debug,
        platform: app.global.platform,
        network: app.global.network,
        pcap: created(app.global.pcap.as_deref())?,
        profile: created(app.global.profile.as_deref())?,
        join: join::find(app, bundle)?,
        groups: Vec::new(),
    })
}

/// What the kernel is told of the container.
fn guest(
    bundle: &Bundle,
    state: &State,
    mounts: Vec<GuestMount>,
    overlay: bool,
) -> Result<Guest, Failure> {
    let spec = &bundle.spec;
    let oci = spec
        .process()
        .as_ref()
        .ok_or_else(|| Failure::new(1, "process property must not be empty"))?;
    let linux = spec.linux().as_ref();
    let resources = resources(spec);
    let root_readonly = spec
        .root()
        .as_ref()
        .is_some_and(|r| r.readonly().unwrap_or(false));
    let positive = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
    Ok(Guest {
        id: state.id.clone(),
        hostname: spec.hostname().clone().unwrap_or_default(),
        domainname: spec.domainname().clone().unwrap_or_default(),
        root_readonly,
        overlay,
        mounts,
        devices: mounts::guest_devices(spec),
        device_rules: devices::rules(resources),
        masked_paths: linux
            .and_then(|l| l.masked_paths().clone())
            .unwrap_or_default(),
        readonly_paths: linux
            .and_then(|l| l.readonly_paths().clone())
            .unwrap_or_default(),
        sysctls: linux
            .and_then(|l| l.sysctl().clone())
            .unwrap_or_default()
            .into_iter()
            .map(|(k, v)| (k.replace('/', "."), v))
            .collect(),
        seccomp: crate::bundle::seccomp::program(spec)?,
        pids_limit: resources
            .and_then(|r| r.pids().as_ref())
            .and_then(|p| positive(p.limit())),
        memory_limit: resources
            .and_then(|r| r.memory().as_ref())
            .and_then(|m| m.limit())
            .and_then(positive),
        cpus: limits::cpus(resources),
        process: process::first(oci, bundle),
    })
}

/// A file that is written anew, if one is wanted.
fn created(path: Option<&Path>) -> Result<Option<OwnedFd>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let file = std::fs::File::create(path)
        .map_err(|e| Failure::new(1, format!("open {}: {}", path.display(), reason(&e))))?;
    Ok(Some(file.into()))
}

fn log_fd(app: &App, foreground: bool) -> Result<Option<OwnedFd>, Failure> {
    Ok(match app.log.file() {
        Some(file) => Some(file.try_clone()?.into()),
        None if foreground => Some(std::io::stderr().as_fd().try_clone_to_owned()?),
        None => None,
    })
}

fn trace(app: &App, foreground: bool) -> Result<Option<Trace>, Failure> {
    let Some(calls) = &app.global.strace else {
        return Ok(None);
    };
    let output = match &app.global.strace_log {
        Some(path) => std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| Failure::new(1, format!("open {}: {}", path.display(), reason(&e))))?
            .into(),
        None => match log_fd(app, foreground)? {
            Some(fd) => fd,
            None => {
                return Err(Failure::new(
                    1,
                    "--strace of a detached container needs --strace-log",
                ));
            }
        },
    };
    let calls = match calls.as_str() {
        "all" => Vec::new(),
        list => list.split(',').map(str::to_string).collect(),
    };
    Ok(Some(Trace { calls, output }))
}

/// Starts a created container.
pub fn start(app: &App, folder: &Folder, state: &mut State) -> Result<(), Failure> {
    match status::of(state) {
        Status::Created => {}
        Status::Stopped => {
            return Err(Failure::new(1, "cannot start a container that has stopped"));
        }
        Status::Running => {
            return Err(Failure::new(1, "cannot start an already running container"));
        }
        other => {
            let text = format!("cannot start a container in the {} state", other.name());
            return Err(Failure::new(1, text));
        }
    }
    if let Some(list) = state
        .hooks
        .as_ref()
        .and_then(|h| h.start_container().as_ref())
    {
        hooks::run_inside(folder.path(), state, list)?;
    }
    state.phase = Phase::Running;
    folder.save(state)?;
    match Client::connect(folder.path())?.call(&Request::Start)? {
        // It may have run and ended before it could answer.
        Some(Reply::Done) | None => {}
        Some(other) => return Err(Failure::new(1, format!("unexpected answer: {other:?}"))),
    }
    if let Some(list) = state.hooks.as_ref().and_then(|h| h.poststart().as_ref())
        && let Err(e) = hooks::run(list, &state.for_hooks("running"))
    {
        app.log.warn(&e.message);
    }
    Ok(())
}

/// Ends a container's processes if asked to, and removes all that is left of it.
pub fn delete(app: &App, folder: Folder, state: &State, force: bool) -> Result<(), Failure> {
    match status::of(state) {
        Status::Stopped => {}
        // Like runc: what was never started may go.
        Status::Created | Status::Creating => kill_leader(state)?,
        _ if force => kill_leader(state)?,
        other => {
            let text = format!(
                "cannot delete container {} that is not stopped: {}",
                state.id,
                other.name()
            );
            return Err(Failure::new(1, text));
        }
    }
    let removed = state.cgroups.remove();
    run_poststop(app, state);
    folder.remove()?;
    removed.map_err(|text| Failure::new(1, text))
}

fn run_poststop(app: &App, state: &State) {
    let Some(list) = state.hooks.as_ref().and_then(|h| h.poststop().as_ref()) else {
        return;
    };
    let mut shown = state.for_hooks("stopped");
    shown.pid = 0;
    for hook in list {
        let one: &[Hook] = std::slice::from_ref(hook);
        if let Err(e) = hooks::run(one, &shown) {
            app.log.warn(&e.message);
        }
    }
}

/// Kills the leader, which takes all of the sandbox with it, and waits for its end.
fn kill_leader(state: &State) -> Result<(), Failure> {
    let Some(process) = state.process else {
        return Ok(());
    };
    let begun = Instant::now();
    let end = begun + Duration::from_secs(10);
    while status::is_alive(process) {
        let pid = Pid::from_raw(process.pid);
        if begun.elapsed() > Duration::from_millis(200) {
            cgroup::thaw_process(process.pid);
        }
        match kill(pid, Signal::SIGKILL) {
            Ok(()) | Err(nix::Error::ESRCH) => {}
            Err(e) => return Err(Failure::new(1, format!("kill the sandbox: {e}"))),
        }
        if Instant::now() > end {
            return Err(Failure::new(1, "container init still running"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Writes a pid file so that a reader sees none or all of it.
pub fn write_pid_file(path: &Path, pid: i32) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let tmp = path.with_file_name(format!(".{name}"));
    std::fs::write(&tmp, pid.to_string())
        .and_then(|()| std::fs::rename(&tmp, path))
        .map_err(|e| Failure::new(1, format!("open {}: {}", tmp.display(), reason(&e))))
}
