//! What a container and a process are made from: the OCI bundle, validated and translated.

use std::os::fd::OwnedFd;

use crate::creds::Creds;
use crate::seccomp::bpf::Insn;
use crate::task::device_rules::DeviceRule;
use crate::task::limits::Resource;

/// Per-mount flags (`mount(2)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in mount(8)")]
pub struct MountFlags {
    pub readonly: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
    pub noatime: bool,
    pub nodiratime: bool,
    pub relatime: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A directory or file of the host, by its index at the container's gofer.
    Gofer {
        /// Index given to `attach`.
        index: u32,
        /// Nobody else writes it (the root file system): cached without asking again.
        exclusive: bool,
    },
    /// A new tmpfs.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
        /// Limit in inodes.
        inodes: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
        /// Owner of its root.
        uid: u32,
        /// Group of its root.
        gid: u32,
    },
    /// `proc`.
    Proc,
    /// `sysfs`.
    Sys,
    /// `devpts`, a new instance.
    Devpts {
        /// Permission bits of `ptmx`.
        ptmxmode: u32,
        /// Permission bits of new slaves.
        mode: u32,
        /// Group of new slaves.
        gid: Option<u32>,
    },
    /// POSIX message queues.
    Mqueue,
    /// The cgroup tree as the container sees it.
    Cgroup,
    /// Trees of version 1, one for each controller, in a directory of their own.
    CgroupV1,
}

/// A mount of the container, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// Absolute path in the container; made if missing.
    pub destination: Vec<u8>,
    /// What is mounted there.
    pub source: MountSource,
    /// Flags.
    pub flags: MountFlags,
}

/// A device node wanted in `/dev` beyond the default ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Absolute path in the container.
    pub path: Vec<u8>,
    /// Whether it is a block device (else a character device).
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Where the standard descriptors lead.
#[derive(Debug)]
pub enum Stdio {
    /// Descriptors of the caller: files, pipes, sockets, `/dev/null`.
    Files([OwnedFd; 3]),
    /// A terminal: a host descriptor, set raw by the caller, that is the far end of the
    /// guest's own tty.
    Terminal {
        /// The host side.
        fd: OwnedFd,
        /// Window rows.
        rows: u16,
        /// Window columns.
        cols: u16,
    },
}

/// A process to run.
#[derive(Debug)]
pub struct ProcessSpec {
    /// Program and arguments; the program is searched in `PATH` of `env` if it has no slash.
    pub args: Vec<Vec<u8>>,
    /// Environment, `NAME=value`.
    pub env: Vec<Vec<u8>>,
    /// Absolute working directory in the container; made if missing.
    pub cwd: Vec<u8>,
    /// User, groups, capabilities, `no_new_privs`.
    pub creds: Creds,
    /// File mode creation mask.
    pub umask: u32,
    /// Limits: resource, soft, hard.
    pub rlimits: Vec<(Resource, u64, u64)>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: i32,
    /// Standard descriptors.
    pub stdio: Stdio,
    /// Further descriptors, from number 3 on.
    pub preserved_fds: Vec<OwnedFd>,
    /// Numbers among these that the process does not have open.
    pub closed_fds: Vec<i32>,
}

/// A container.
#[derive(Debug)]
pub struct ContainerSpec {
    /// Its id.
    pub id: String,
    /// Host name.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: String,
    /// Index of the root file system at the gofer.
    pub root: u32,
    /// Whether the root is read-only.
    pub root_readonly: bool,
    /// Whether writes to the root go to a private overlay in memory.
    pub root_overlay: bool,
    /// Mounts, in order.
    pub mounts: Vec<MountSpec>,
    /// Devices.
    pub devices: Vec<DeviceSpec>,
    /// Which devices its processes may use; empty for all.
    pub device_rules: Vec<DeviceRule>,
    /// Paths that read as empty.
    pub masked_paths: Vec<Vec<u8>>,
    /// Paths made read-only.
    pub readonly_paths: Vec<Vec<u8>>,
    /// `sysctl` settings, by dotted name.
    pub sysctls: Vec<(String, String)>,
    /// Seccomp program of every process that enters from outside; empty for none.
    pub seccomp: Vec<Insn>,
    /// Most guest tasks at a time.
    pub pids_limit: Option<u64>,
    /// Memory limit in bytes, as `/proc/meminfo` tells it.
    pub memory_limit: Option<u64>,
    /// `cgroup.procs` of the host's groups that what runs the container's code is moved into;
    /// none where the Sentry is in them itself.
    pub host_groups: Vec<OwnedFd>,
    /// CPUs the quota allows, as `/proc/cpuinfo` and `sched_getaffinity` tell it.
    pub cpus: Option<u32>,
    /// The first process.
    pub process: ProcessSpec,
}

/// How a guest process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// `exit(2)` with this code (0 to 255).
    Exited(u8),
    /// Killed by this signal.
    Signaled {
        /// Signal number.
        signo: u8,
        /// Whether a core was dumped.
        core: bool,
    },
}

/// Why a container or process could not be made; the text is for the operator, as runc
/// words it where it has the same error.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The program is not there (exit code 127).
    #[error("exec: \"{0}\": executable file not found in $PATH")]
    NotFoundInPath(String),
    /// The program given by path is not there (exit code 127).
    #[error("exec: \"{0}\": stat {0}: no such file or directory")]
    NotFound(String),
    /// The program may not be executed (exit code 126).
    #[error("exec: \"{0}\": permission denied")]
    NotExecutable(String),
    /// The program is a directory (exit code 126).
    #[error("exec: \"{0}\": is a directory")]
    IsDirectory(String),
    /// The program cannot be executed (exit code 126).
    #[error("exec {program}: {errno}")]
    Exec {
        /// The program.
        program: String,
        /// Why.
        errno: abi::Errno,
    },
    /// A mount failed.
    #[error("mounting {what} at {destination}: {errno}")]
    Mount {
        /// Type or source.
        what: String,
        /// Where.
        destination: String,
        /// Why.
        errno: abi::Errno,
    },
    /// The working directory cannot be used.
    #[error("chdir to cwd (\"{cwd}\") set in config.json failed: {errno}")]
    Cwd {
        /// The directory.
        cwd: String,
        /// Why.
        errno: abi::Errno,
    },
    /// A sysctl that does not exist here.
    #[error("sysctl \"{0}\" is not supported")]
    Sysctl(String),
    /// Anything else.
    #[error("{what}: {errno}")]
    Other {
        /// What was being done.
        what: String,
        /// Why.
        errno: abi::Errno,
    },
}
