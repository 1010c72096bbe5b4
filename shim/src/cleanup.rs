//! The action `delete`: containerd calls it for a container whose server is gone.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;

use crate::container;
use crate::fault::{Fault, Result};
use crate::flags::Flags;
use crate::options::Options;
use crate::process::Exit;
use crate::reaper::Reaper;
use crate::rootfs;
use crate::runtime::Runtime;

/// What a process is said to have ended with whose end nobody saw: as if killed.
const KILLED: u32 = 128 + 9;

/// Ends and removes the container, and prints how it ended.
pub fn delete(flags: &Flags) -> Result<()> {
    if flags.id.is_empty() {
        return Err(Fault::new("-id is needed"));
    }
    let bundle = match flags.bundle.as_str() {
        "" => std::env::current_dir()?,
        path => PathBuf::from(path),
    };
    let reaper = Arc::new(Reaper::default());
    let runs = reaper.clone();
    std::thread::spawn(move || runs.run());
    let options = Options::load(&bundle);
    let runtime = Runtime::new(options, &flags.namespace, &bundle, reaper);
    let deleted = runtime.simple(&["delete", "--force", &flags.id]);
    rootfs::undo(&bundle.join(container::ROOTFS));
    deleted?;
    let exit = Exit {
        status: KILLED,
        at: SystemTime::now(),
    };
    let answer = DeleteResponse {
        pid: container::read_pid(&bundle.join(container::PID_FILE))
            .unwrap_or(0)
            .unsigned_abs(),
        exit_status: exit.status,
        exited_at: exit.time(),
        ..DeleteResponse::default()
    };
    std::io::stdout().write_all(&answer.write_to_bytes()?)?;
    Ok(())
}
