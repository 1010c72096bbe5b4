//! The specification's hooks: programs run at points of a container's life, with its
//! state on stdin.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::Hook;

use super::state::{Shown, State};
use crate::boot::client::Client;
use crate::boot::message::{Ended, Reply, Request};
use crate::bundle::process::guest_process;
use crate::cli::{Failure, reason};

/// Runs hooks in order; the first failure ends it.
pub fn run(hooks: &[Hook], state: &Shown) -> Result<(), Failure> {
    run_in(None, hooks, state)
}

/// The same in a folder of theirs.
pub fn run_in(cwd: Option<&Path>, hooks: &[Hook], state: &Shown) -> Result<(), Failure> {
    let input = serde_json::to_string(state)?;
    for (i, hook) in hooks.iter().enumerate() {
        run_one(hook, cwd, &input)
            .map_err(|text| Failure::new(1, format!("error running hook #{i}: {text}")))?;
    }
    Ok(())
}

/// Runs `startContainer` hooks in order inside the container, whose first process is held
/// still; the first failure ends it. What they print is not kept.
pub fn run_inside(folder: &Path, state: &State, hooks: &[Hook]) -> Result<(), Failure> {
    let input = serde_json::to_string(&state.for_hooks("created"))?;
    for (i, hook) in hooks.iter().enumerate() {
        run_one_inside(folder, state, hook, &input).map_err(|e| {
            let text = format!("error running hook #{i} (startContainer): {}", e.message);
            Failure::new(1, text)
        })?;
    }
    Ok(())
}

fn run_one_inside(folder: &Path, state: &State, hook: &Hook, input: &str) -> Result<(), Failure> {
    let Some(oci) = &state.process_spec else {
        return Ok(());
    };
    let mut process = guest_process(oci, Some(&state.rootfs));
    process.args = vec![hook.path().display().to_string()];
    let further = hook.args().iter().flatten().skip(1).cloned();
    process.args.extend(further);
    process.env = hook.env().clone().unwrap_or_default();
    process.terminal = false;
    let (stdin, mut feed) = std::io::pipe()?;
    feed.write_all(input.as_bytes())?;
    drop(feed);
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    let client = Client::connect(folder)?;
    let request = Request::Exec {
        process: Box::new(process),
    };
    client.send(&request, &[stdin.as_fd(), null.as_fd(), null.as_fd()])?;
    loop {
        match client.reply()? {
            Some(Reply::Started(_)) => {}
            Some(Reply::Ended(ended)) if ended.code() == 0 => return Ok(()),
            Some(Reply::Ended(ended)) => return Err(Failure::new(1, end(ended))),
            Some(other) => return Err(Failure::new(1, format!("unexpected answer: {other:?}"))),
            None => return Err(Failure::new(1, "the sandbox has ended")),
        }
    }
}

/// How a hook ended, as runc words it.
fn end(ended: Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("exit status {code}"),
        Ended::Signaled(signal) => match i32::from(signal) {
            libc::SIGSYS => "signal: bad system call".into(),
            libc::SIGKILL => "signal: killed".into(),
            libc::SIGSEGV => "signal: segmentation fault".into(),
            libc::SIGABRT => "signal: aborted".into(),
            other => format!("signal: {other}"),
        },
    }
}

fn run_one(hook: &Hook, cwd: Option<&Path>, input: &str) -> Result<(), String> {
    let path = hook.path();
    let args = hook.args().clone().unwrap_or_default();
    let mut command = Command::new(path);
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    // As runc: a hook without an environment gets the runtime's.
    let env = hook.env().as_ref().filter(|env| !env.is_empty());
    if env.is_some() {
        command.env_clear();
    }
    for pair in env.into_iter().flatten() {
        if let Some((name, value)) = pair.split_once('=') {
            command.env(name, value);
        }
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("fork/exec {}: {}", path.display(), reason(&e)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read its state is no failure (EPIPE).
        let _ = stdin.write_all(input.as_bytes());
    }
    let limit = hook
        .timeout()
        .and_then(|s| u64::try_from(s).ok())
        .filter(|s| *s > 0);
    let status = wait(&mut child, limit.map(Duration::from_secs))?;
    if status.success() {
        return Ok(());
    }
    let mut out = [String::new(), String::new()];
    if let Some(pipe) = &mut child.stdout {
        let _ = pipe.take(4096).read_to_string(&mut out[0]);
    }
    if let Some(pipe) = &mut child.stderr {
        let _ = pipe.take(4096).read_to_string(&mut out[1]);
    }
    let [stdout, stderr] = out;
    let why = match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    };
    Err(format!(
        "error running hook: {why}, stdout: {stdout}, stderr: {stderr}"
    ))
}

fn wait(child: &mut Child, limit: Option<Duration>) -> Result<ExitStatus, String> {
    let Some(limit) = limit else {
        return child.wait().map_err(|e| reason(&e));
    };
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().map_err(|e| reason(&e))? {
            return Ok(status);
        }
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("hook ran past timeout of {limit:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
