//! The command line: a superset of runc's, so that its clients need not know the
//! difference.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Open Container Initiative runtime with a kernel of its own in user space.
#[derive(Debug, Parser)]
#[command(
    name = "runsc",
    disable_version_flag = true,
    subcommand_required = false
)]
pub struct Cli {
    /// Options before the command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options before the command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Enable debug logging
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
    pub debug: bool,
    /// File to write logs to (default: stderr)
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Log format: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: String,
    /// Root directory for storage of container state (should be on a tmpfs)
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Accepted for compatibility; checkpoints are not made by criu
    #[arg(long, value_name = "PATH", hide = true)]
    pub criu: Option<PathBuf>,
    /// cgroupsPath has the form "slice:prefix:name"
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
    pub systemd_cgroup: bool,
    /// Accepted for compatibility with crun's command line
    #[arg(long, value_name = "NAME", hide = true)]
    pub cgroup_manager: Option<String>,
    /// Ignore cgroup permission errors: true, false or auto
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub rootless: String,
    /// Make, join and limit no cgroups on the host
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
    pub ignore_cgroups: bool,
    /// How guest code runs
    #[arg(long, value_enum, default_value = "systrap")]
    pub platform: PlatformKind,
    /// The guest's network
    #[arg(long, value_enum, default_value = "sandbox")]
    pub network: NetworkMode,
    /// Record all frames of the guest's links in this file
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Put a private upper layer over the root file system: none, memory
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub overlay: String,
    /// Trace system calls; with a value, only those named (comma separated)
    #[arg(long, value_name = "CALLS", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub strace: Option<String>,
    /// File for the trace (default: stderr)
    #[arg(long, value_name = "FILE")]
    pub strace_log: Option<PathBuf>,
    /// Measure where the time of system calls goes, and write it to this file at the end
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Print the version
    #[arg(long, short = 'v', action = ArgAction::SetTrue)]
    pub version: bool,
}

/// How guest code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformKind {
    /// Seccomp user notification and traps; the fastest.
    Systrap,
    /// Traced processes: slower, for hosts without seccomp user notification.
    Ptrace,
}

/// The guest's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The Sentry's own stack.
    Sandbox,
    /// Loopback only.
    None,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a container
    Create(CreateArgs),
    /// Execute the user defined process in a created container
    Start(IdArgs),
    /// Create and run a container
    Run(RunArgs),
    /// Execute a new process inside the container
    Exec(ExecArgs),
    /// Send a signal (default SIGTERM) to the container's init process
    Kill(KillArgs),
    /// Delete any resources held by the container
    Delete(DeleteArgs),
    /// Output the state of a container
    State(IdArgs),
    /// Wait for a container to end and exit with its status
    Wait(IdArgs),
    /// Display the processes running inside a container
    Ps(PsArgs),
    /// Display container events and usage statistics
    Events(EventsArgs),
    /// Suspend all processes inside the container
    Pause(IdArgs),
    /// Resume all processes that have been paused
    Resume(IdArgs),
    /// Update container resource constraints
    Update(Box<UpdateArgs>),
    /// List the containers of this root directory
    List(ListArgs),
    /// Create a new specification file
    Spec(SpecArgs),
    /// Show the enabled features
    Features,
    /// Run a command over the host's root, read-only under a memory overlay
    Do(DoArgs),
    /// Tell Docker, containerd or Podman of this runtime
    Install(InstallArgs),
    /// Take back what install told
    Uninstall(UninstallArgs),
    /// Check whether this host can run sandboxes, and which clients know the runtime
    Doctor(DoctorArgs),
    /// Not supported: always fails
    Checkpoint(RefusedArgs),
    /// Not supported: always fails
    Restore(RefusedArgs),
}

/// A command on one container.
#[derive(Clone, Debug, Args)]
pub struct IdArgs {
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// What `create` and `run` share.
#[derive(Clone, Debug, Args)]
pub struct BundleArgs {
    /// Path to the bundle directory (default: the current directory)
    #[arg(long, short, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Name of the configuration inside the bundle
    #[arg(long, value_name = "FILE", hide = true)]
    pub config: Option<PathBuf>,
    /// AF_UNIX socket that will receive the master end of the pseudoterminal
    #[arg(long, value_name = "PATH")]
    pub console_socket: Option<PathBuf>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Accepted for compatibility: the guest's root is never a host root
    #[arg(long)]
    pub no_pivot: bool,
    /// Accepted for compatibility: the guest has keyrings of its own
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Pass N additional descriptors to the container
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// `create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// What `run` takes too.
    #[command(flatten)]
    pub bundle: BundleArgs,
}

/// `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// What `create` takes too.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Detach from the container's process
    #[arg(long, short)]
    pub detach: bool,
    /// Do not delete the container after it exits
    #[arg(long)]
    pub keep: bool,
    /// Do not reap reparented processes
    #[arg(long)]
    pub no_subreaper: bool,
}

/// `exec`.
#[derive(Clone, Debug, Args)]
pub struct ExecArgs {
    /// AF_UNIX socket that will receive the master end of the pseudoterminal
    #[arg(long, value_name = "PATH")]
    pub console_socket: Option<PathBuf>,
    /// Current working directory in the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Set an environment variable
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(long, short)]
    pub tty: bool,
    /// UID (format: <uid>[:<gid>])
    #[arg(long, short, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Additional group ids
    #[arg(long, short = 'g', value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// Path to the process.json
    #[arg(long, short, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Detach from the process
    #[arg(long, short)]
    pub detach: bool,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Accepted for compatibility: there is no SELinux inside
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// Accepted for compatibility: there is no AppArmor inside
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Set no_new_privs for the process
    #[arg(long)]
    pub no_new_privs: bool,
    /// Add a capability to the process
    #[arg(long, short, value_name = "CAP")]
    pub cap: Vec<String>,
    /// Pass N additional descriptors to the process
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Run the process in an existing sub-cgroup
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<String>,
    /// Allow exec in a paused container
    #[arg(long)]
    pub ignore_paused: bool,
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
    /// Command and its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

/// `kill`.
#[derive(Clone, Debug, Args)]
pub struct KillArgs {
    /// Send the signal to all processes inside the container
    #[arg(long, short)]
    pub all: bool,
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
    /// Name or number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    pub signal: String,
}

/// `delete`.
#[derive(Clone, Debug, Args)]
pub struct DeleteArgs {
    /// Delete the container even if it is running (uses SIGKILL)
    #[arg(long, short)]
    pub force: bool,
    /// Take the id as a regular expression
    #[arg(long, hide = true)]
    pub regex: bool,
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// `ps`.
#[derive(Clone, Debug, Args)]
pub struct PsArgs {
    /// table or json
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub format: String,
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
    /// Options of ps(1)
    #[arg(
        value_name = "PS-OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub ps_args: Vec<String>,
}

/// `events`.
#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// Interval between statistics
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub interval: String,
    /// Display the container's statistics, then exit
    #[arg(long)]
    pub stats: bool,
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// `list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// table or json
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub format: String,
    /// Display only container ids
    #[arg(long, short)]
    pub quiet: bool,
}

/// `spec`.
#[derive(Clone, Debug, Args)]
pub struct SpecArgs {
    /// Path to the bundle directory
    #[arg(long, short, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Configuration for a rootless container
    #[arg(long)]
    pub rootless: bool,
    /// Command and its arguments (default: sh)
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
}

/// `do`.
#[derive(Clone, Debug, Args)]
pub struct DoArgs {
    /// Working directory (default: the caller's)
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Root file system (default: the host's)
    #[arg(long = "rootfs", value_name = "DIR", default_value = "/")]
    pub rootfs: PathBuf,
    /// Host directory or file to show inside: SOURCE[:DEST[:ro]]
    #[arg(long, short = 'V', value_name = "SPEC")]
    pub volume: Vec<String>,
    /// Most guest tasks at a time
    #[arg(long, value_name = "N")]
    pub pids_limit: Option<i64>,
    /// Command and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

/// `update`.
#[derive(Clone, Debug, Args)]
pub struct UpdateArgs {
    /// File with the resources to update, or '-' for stdin
    #[arg(long, short, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Per cgroup block I/O weight, 10 to 1000
    #[arg(long, value_name = "N")]
    pub blkio_weight: Option<u16>,
    /// CFS period in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_period: Option<u64>,
    /// CFS quota in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// CPU shares
    #[arg(long, value_name = "N")]
    pub cpu_share: Option<u64>,
    /// Realtime period in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_rt_period: Option<u64>,
    /// Realtime runtime in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// CPUs to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Memory limit, for example 64m
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory: Option<String>,
    /// Soft memory limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_reservation: Option<String>,
    /// Memory and swap; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Most guest tasks at a time
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Accepted for compatibility
    #[arg(long, value_name = "SCHEMA", hide = true)]
    pub l3_cache_schema: Option<String>,
    /// Accepted for compatibility
    #[arg(long, value_name = "SCHEMA", hide = true)]
    pub mem_bw_schema: Option<String>,
    /// Accepted for compatibility
    #[arg(long, value_name = "BYTES", hide = true)]
    pub kernel_memory: Option<String>,
    /// Accepted for compatibility
    #[arg(long, value_name = "BYTES", hide = true)]
    pub kernel_memory_tcp: Option<String>,
    /// Container id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// Which client's configuration, and under what name: for `install` and `uninstall`.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// Whose configuration to change
    #[arg(long, value_enum, default_value = "docker")]
    pub client: Client,
    /// The name clients call the runtime by
    #[arg(long, value_name = "NAME", default_value = "runsc")]
    pub runtime: String,
    /// Configuration file (default: the client's usual one)
    #[arg(long, value_name = "FILE", alias = "config_file")]
    pub config_file: Option<PathBuf>,
}

/// A program that calls OCI runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum Client {
    /// /etc/docker/daemon.json
    Docker,
    /// /etc/containerd/config.toml
    Containerd,
    /// /etc/containers/containers.conf
    Podman,
}

/// `install`.
#[derive(Clone, Debug, Args)]
pub struct InstallArgs {
    /// What `uninstall` takes too.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The runtime's program (default: this one)
    #[arg(long, value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Make it the client's default runtime
    #[arg(long)]
    pub default: bool,
    /// Replace an entry of that name that calls another program
    #[arg(long)]
    pub clobber: bool,
    /// For containerd: by containerd-shim-runsc-v1, not by the shim of runc
    #[arg(long)]
    pub shim: bool,
    /// Options the client gives the runtime before every command
    #[arg(value_name = "RUNTIME-OPTIONS", last = true)]
    pub options: Vec<String>,
}

/// `uninstall`.
#[derive(Clone, Debug, Args)]
pub struct UninstallArgs {
    /// What `install` takes too.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// table or json
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub format: String,
    /// Leave out the trial run of a sandbox
    #[arg(long)]
    pub no_run: bool,
}

/// Commands that are refused.
#[derive(Clone, Debug, Args)]
pub struct RefusedArgs {
    /// Whatever runc would take.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<String>,
}
