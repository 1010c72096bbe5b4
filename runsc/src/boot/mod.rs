//! From a plan to a running container.
//!
//! [`launch`] forks the sandbox's [`leader`] and walks it through its stages by [`sync`]:
//! namespaces, hooks, user ids, boot. The leader forks the [`gofer`], makes the kernel
//! ([`kernel`]) and serves [`control`], whose messages are in [`message`] and whose other
//! end is [`client`].
//!
//! A container that joins another's sandbox has a [`holder`] in the leader's place: it forks
//! a gofer too, has the container made over the control socket, and stands for it on the
//! host. What stands for a guest process forwards signals to it by [`hold`].

pub mod client;
mod control;
mod gofer;
pub mod hold;
mod holder;
mod kernel;
pub mod launch;
mod leader;
pub mod message;
mod sync;

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::LinuxNamespace;
use sentry::seccomp::bpf::Insn;
use serde::{Deserialize, Serialize};

use self::client::Client;
use self::message::Share;

use crate::bundle::devices::GuestDeviceRule;
use crate::bundle::mounts::{GuestDevice, GuestMount, HostRoot};
use crate::bundle::process::GuestProcess;
use crate::cli::args::{NetworkMode, PlatformKind};
use crate::sys;

/// Where a guest process's standard descriptors lead.
#[derive(Debug)]
pub enum Stdio {
    /// The caller's own three.
    Files([OwnedFd; 3]),
    /// A raw host terminal.
    Terminal(OwnedFd),
}

impl Stdio {
    /// The terminal, or all three files.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Stdio::Files(files) => files.iter().map(AsFd::as_fd).collect(),
            Stdio::Terminal(tty) => vec![tty.as_fd()],
        }
    }
}

/// A running sandbox that a container is made in.
#[derive(Debug)]
pub struct Join {
    /// Id of the container that the sandbox was made for.
    pub id: String,
    /// Its control socket.
    pub sandbox: Client,
    /// Containers in it whose namespaces are shared.
    pub share: Share,
}

/// How system calls are traced.
#[derive(Debug)]
pub struct Trace {
    /// Names to show; empty for all.
    pub calls: Vec<String>,
    /// Where lines go.
    pub output: OwnedFd,
}

/// What a kernel makes a container from: nothing of the host, so that it can be sent to one
/// that runs already.
#[derive(Debug, Serialize, Deserialize)]
pub struct Guest {
    /// Container id.
    pub id: String,
    /// Host name.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: String,
    /// Whether the guest sees its root read-only.
    pub root_readonly: bool,
    /// Whether guest writes to the root stay in memory.
    pub overlay: bool,
    /// Mounts.
    pub mounts: Vec<GuestMount>,
    /// Device nodes.
    pub devices: Vec<GuestDevice>,
    /// Which devices may be used.
    pub device_rules: Vec<GuestDeviceRule>,
    /// Paths that read as empty.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<String>,
    /// Kernel settings.
    pub sysctls: Vec<(String, String)>,
    /// The seccomp profile as a program; empty for none.
    #[serde(with = "message::program")]
    pub seccomp: Vec<Insn>,
    /// Most guest tasks.
    pub pids_limit: Option<u64>,
    /// Memory limit in bytes.
    pub memory_limit: Option<u64>,
    /// CPUs the quota leaves.
    pub cpus: Option<u32>,
    /// The first process.
    pub process: GuestProcess,
}

/// Everything a container is made from. Owned, so that the forked leader or holder takes it
/// along.
#[derive(Debug)]
pub struct Plan {
    /// What the kernel is told.
    pub guest: Guest,
    /// The state folder.
    pub folder: PathBuf,
    /// Namespaces of the configuration.
    pub namespaces: Vec<LinuxNamespace>,
    /// What the Gofer serves; 0 is the root.
    pub roots: Vec<HostRoot>,
    /// Standard descriptors of the first process.
    pub stdio: Stdio,
    /// Its further descriptors, from 3 on.
    pub preserved: Vec<OwnedFd>,
    /// Traced calls.
    pub trace: Option<Trace>,
    /// Where the sandbox's own last words go.
    pub log: Option<OwnedFd>,
    /// Log what the kernel does.
    pub debug: bool,
    /// How guest code runs.
    pub platform: PlatformKind,
    /// The guest's network.
    pub network: NetworkMode,
    /// Record of all frames.
    pub pcap: Option<OwnedFd>,
    /// Where the time of system calls goes is written here at the end.
    pub profile: Option<OwnedFd>,
    /// The sandbox whose kernel it joins; `None` for one of its own.
    pub join: Option<Join>,
    /// `cgroup.procs` of the container's own groups, where it joins another's sandbox.
    pub groups: Vec<OwnedFd>,
}

impl Plan {
    /// Names this process for ps(1), and for tools that look for the processes of their own
    /// folder: labels only.
    fn show_as(&self, name: &CStr) {
        let _ = nix::sys::prctl::set_name(name);
        let root = self.folder.parent().unwrap_or(&self.folder);
        sys::set_command_line(&format!(
            "{} --root {} {}: {}",
            name.to_string_lossy(),
            root.display(),
            self.guest.id,
            self.guest.process.args.join(" ")
        ));
    }

    /// Numbers of all descriptors in it.
    pub fn descriptors(&self) -> Vec<i32> {
        let mut all: Vec<i32> = self.preserved.iter().map(AsRawFd::as_raw_fd).collect();
        all.extend(self.stdio.fds().iter().map(AsRawFd::as_raw_fd));
        all.extend(self.trace.iter().map(|t| t.output.as_raw_fd()));
        all.extend(self.log.iter().map(AsRawFd::as_raw_fd));
        all.extend(self.pcap.iter().map(AsRawFd::as_raw_fd));
        all.extend(self.profile.iter().map(AsRawFd::as_raw_fd));
        all.extend(self.groups.iter().map(AsRawFd::as_raw_fd));
        all
    }
}
