//! Making containers: from a [`spec::ContainerSpec`] to a tree of mounts and a held first
//! process, then start, exec and signals for those who control it.

pub mod spec;

use std::sync::Arc;

use abi::signal::Signal;

use crate::kernel::Kernel;
use spec::{BootError, ContainerSpec, ExitStatus, ProcessSpec};

/// A container in this kernel. The first process is held until [`Container::start`].
pub struct Container {
    kernel: Arc<Kernel>,
    /// Its id.
    pub id: String,
}

/// Told once when a process ends.
pub type OnExit = Box<dyn FnOnce(ExitStatus) + Send>;

impl Container {
    /// Builds the mount tree and loads the first process, which does not run yet.
    /// `on_exit` hears of its end; all other processes of the container are killed then.
    pub fn create(
        kernel: &Arc<Kernel>,
        _gofer: Arc<gofer::client::Client>,
        spec: ContainerSpec,
        _on_exit: OnExit,
    ) -> Result<Arc<Container>, BootError> {
        Ok(Arc::new(Container {
            kernel: kernel.clone(),
            id: spec.id,
        }))
    }

    /// Lets the first process run.
    pub fn start(&self) -> Result<(), BootError> {
        let _ = &self.kernel;
        Ok(())
    }

    /// Runs another process in the container; returns its pid in the container.
    pub fn exec(&self, _spec: ProcessSpec, _on_exit: OnExit) -> Result<i32, BootError> {
        Ok(0)
    }

    /// Sends a signal to a process by its pid in the container (1 is the first); `false`
    /// when there is no such process.
    pub fn signal(&self, _pid: i32, _signal: Signal) -> bool {
        false
    }

    /// Sends a signal to every process of the container.
    pub fn signal_all(&self, _signal: Signal) {}

    /// Stops all its guest code until [`Container::resume`].
    pub fn pause(&self) {}

    /// Lets it run on.
    pub fn resume(&self) {}

    /// Tells the terminal of a process started with one that its window changed.
    pub fn resize(&self, _pid: i32, _rows: u16, _cols: u16) {}

    /// Its processes: pid, parent pid, user, command line; for `ps`.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        Vec::new()
    }
}

/// A line of `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "plain fields")]
pub struct ProcessInfo {
    pub pid: i32,
    pub ppid: i32,
    pub uid: u32,
    pub threads: usize,
    /// CPU time, user and system together, in nanoseconds.
    pub cpu_ns: u64,
    pub command: String,
}
