//! The server's log: containerd reads it from a FIFO in the first bundle.
//!
//! Nobody waits for the reader: with none, or a slow one, lines are lost.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;

/// Where lines go.
pub struct Log {
    file: Option<File>,
    debug: bool,
}

impl Log {
    /// The FIFO `log` of the bundle; open for reading too, so that a containerd that goes away
    /// does not matter.
    pub fn open(bundle: &Path, debug: bool) -> Log {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(bundle.join("log"))
            .ok();
        Log { file, debug }
    }

    /// A line for everybody.
    pub fn warn(&self, text: &str) {
        self.write("warning", text);
    }

    /// A line for whoever asked for more.
    pub fn debug(&self, text: &str) {
        if self.debug {
            self.write("debug", text);
        }
    }

    fn write(&self, level: &str, text: &str) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |d| d.as_secs());
        let line = format!("containerd-shim-runsc: time={now} level={level} msg={text:?}\n");
        // Lost when the FIFO is full, which must not hold up a container.
        let _ = file.write(line.as_bytes());
    }
}
