//! Launching a process in a container: descriptors, working directory, program.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;

use super::spec::{BootError, ExitStatus, ProcessSpec, Stdio};
use super::{Container, OnExit};
use crate::creds::Creds;
use crate::fs::host_file::HostFile;
use crate::fs::tty::console::Console;
use crate::fs::tty::termios::WinSize;
use crate::fs::vfs::{
    self, Access, FileType, MountFlags, Owner, WalkCx, WalkFlags, change, lookup, perm,
};
use crate::fs::{FdTable, FsContext};
use crate::signal::WaitStatus;
use crate::task;
use crate::task::group::ThreadGroup;
use crate::task::limits::{Limits, RLimit, Resource};

/// A number that no descriptor limit is above.
const NO_LIMIT: u64 = 1 << 20;

fn other(what: &str) -> impl FnOnce(Errno) -> BootError {
    let what = what.to_owned();
    move |errno| BootError::Other { what, errno }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The terminal of a process that was started with one.
pub struct Terminal(Arc<Console>);

impl Terminal {
    /// The far end's window changed.
    pub fn resize(&self, rows: u16, cols: u16) {
        self.0.tty().resize(WinSize {
            rows,
            cols,
            ..WinSize::default()
        });
    }
}

impl Container {
    /// Makes a process that does not run yet.
    pub(super) fn launch(
        &self,
        spec: ProcessSpec,
        on_exit: OnExit,
    ) -> Result<Arc<ThreadGroup>, BootError> {
        let fs = self.context(spec.umask);
        self.enter_cwd(&fs, &spec)?;
        let program = find_program(&fs, &spec)?;
        let (files, terminal) = self.descriptors(spec.stdio, spec.preserved_fds, &spec.creds)?;
        for fd in spec.closed_fds {
            // What holds the place of a descriptor that is not there.
            let _ = files.remove(fd);
        }
        let name = text(spec.args.first().map_or(&b""[..], |a| a));
        let process = task::create::ProcessSpec {
            path: program,
            argv: spec.args,
            envp: spec.env,
            creds: spec.creds,
            limits: limits(&spec.rlimits),
            files,
            fs: Arc::new(fs),
            uts: self.uts.clone(),
            cgroup: self.cgroup.clone(),
        };
        let made = self.kernel.create_process(&self.pids, process);
        let group = made.map_err(|errno| match errno {
            Errno::EACCES => BootError::NotExecutable(name),
            errno => BootError::Exec {
                program: name,
                errno,
            },
        })?;
        for task in group.tasks() {
            task.set_seccomp(self.seccomp.clone());
        }
        group
            .oom_score_adj
            .store(spec.oom_score_adj, Ordering::Relaxed);
        group.on_exit(Box::new(move |status| on_exit(exit_status(status))));
        if let Some(terminal) = terminal {
            terminal.0.tty().give_to(&group);
            self.terminals.lock().insert(group.pid(), terminal);
        }
        Ok(group)
    }

    fn enter_cwd(&self, fs: &FsContext, spec: &ProcessSpec) -> Result<(), BootError> {
        let failed = |errno| BootError::Cwd {
            cwd: text(&spec.cwd),
            errno,
        };
        let root = fs.root();
        let kernel_cx = WalkCx::kernel(root.clone());
        let flags = WalkFlags::FOLLOW | WalkFlags::DIRECTORY;
        // As runc, which makes a missing one, and goes there before it becomes the
        // container's user.
        let cwd = match lookup(&kernel_cx, &root, &spec.cwd, flags) {
            Err(Errno::ENOENT) => change::mkdir_all(&kernel_cx, &root, &spec.cwd, 0o755),
            found => found,
        };
        fs.set_cwd(cwd.map_err(failed)?);
        Ok(())
    }

    fn descriptors(
        &self,
        stdio: Stdio,
        more: Vec<OwnedFd>,
        creds: &Creds,
    ) -> Result<(Arc<FdTable>, Option<Terminal>), BootError> {
        let files = FdTable::new();
        let install = |file, min| files.install(file, min, false, NO_LIMIT).map(drop);
        let terminal = match stdio {
            Stdio::Files(fds) => {
                for fd in fds {
                    let file = HostFile::import(&self.kernel, fd);
                    file.and_then(|f| install(f, 0))
                        .map_err(other("taking a standard descriptor"))?;
                }
                None
            }
            Stdio::Terminal { fd, rows, cols } => {
                let size = WinSize {
                    rows,
                    cols,
                    ..WinSize::default()
                };
                let owner = Owner {
                    uid: creds.uid,
                    gid: creds.gid,
                };
                let (file, console) = self
                    .devpts
                    .open_console(fd, size, owner)
                    .map_err(other("making the terminal"))?;
                for _ in 0..3 {
                    install(file.clone(), 0).map_err(other("opening the terminal"))?;
                }
                Some(Terminal(console))
            }
        };
        for fd in more {
            let file = HostFile::import(&self.kernel, fd);
            file.and_then(|f| install(f, 3))
                .map_err(other("taking a preserved descriptor"))?;
        }
        Ok((files, terminal))
    }
}

/// The limits of a new process: the defaults, and those given.
fn limits(given: &[(Resource, u64, u64)]) -> Limits {
    let mut limits = Limits::default();
    for &(resource, soft, hard) in given {
        limits.set(resource, RLimit { soft, hard });
    }
    limits
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    let raw = status.0;
    match u8::try_from(raw & 0x7f).unwrap_or(0) {
        0 => ExitStatus::Exited(u8::try_from(raw >> 8 & 0xff).unwrap_or(0)),
        signo => ExitStatus::Signaled {
            signo,
            core: raw & 0x80 != 0,
        },
    }
}

/// What `stat` and the execute permission say of a candidate.
fn executable(cx: &WalkCx<'_>, path: &[u8]) -> crate::Result<vfs::Path> {
    let place = lookup(cx, &cx.cwd, path, WalkFlags::FOLLOW)?;
    if place.inode()?.kind() == FileType::Directory {
        return Err(Errno::EISDIR);
    }
    if place.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    perm::check_path(&cx.creds, &place, Access::X)?;
    Ok(place)
}

/// The program's path, searched in `PATH` as the shell does when it has no slash.
fn find_program(fs: &FsContext, spec: &ProcessSpec) -> Result<Vec<u8>, BootError> {
    let name = spec.args.first().filter(|a| !a.is_empty());
    let Some(name) = name else {
        return Err(BootError::Other {
            what: "process.args is empty".to_owned(),
            errno: Errno::EINVAL,
        });
    };
    let cx = WalkCx {
        cwd: fs.cwd(),
        creds: Arc::new(spec.creds.clone()),
        ..WalkCx::kernel(fs.root())
    };
    if name.contains(&b'/') {
        return match executable(&cx, name) {
            Ok(_) => Ok(name.clone()),
            Err(Errno::EACCES) => Err(BootError::NotExecutable(text(name))),
            Err(Errno::EISDIR) => Err(BootError::IsDirectory(text(name))),
            Err(_) => Err(BootError::NotFound(text(name))),
        };
    }
    let path = spec.env.iter().rev().find_map(|e| e.strip_prefix(b"PATH="));
    let mut denied = false;
    for dir in path.unwrap_or_default().split(|&b| b == b':') {
        let dir: &[u8] = if dir.is_empty() { b"." } else { dir };
        let candidate = [dir, b"/", name].concat();
        match executable(&cx, &candidate) {
            Ok(_) => return Ok(candidate),
            Err(Errno::EACCES) => denied = true,
            Err(_) => {}
        }
    }
    let name = text(name);
    Err(if denied {
        BootError::NotExecutable(name)
    } else {
        BootError::NotFoundInPath(name)
    })
}
