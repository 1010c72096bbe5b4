//! Opening a named pipe (`fifo(7)`): waits until the other end is there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::PollEvents;

use super::{Pipe, PipeEnd, READABLE, WRITABLE};
use crate::fs::file::{File, OpenFlags};
use crate::fs::vfs::Path;
use crate::retry::{Attempt, Registrations, retry, watch_one};
use crate::task::Task;
use crate::wait::{OnSignal, SysResult, Waker};

/// What is done with the description once it is open (its descriptor is installed).
pub type Opened = Box<dyn FnOnce(&Arc<Task>, Arc<File>) -> SysResult<i64> + Send>;

struct Open {
    pipe: Arc<Pipe>,
    /// The open description; it counts as an end while it waits.
    file: Arc<File>,
    /// Opens of the other kind before this one.
    others_seen: u64,
    reads: bool,
    then: Option<Opened>,
}

impl Open {
    fn other_end_came(&self) -> bool {
        let (present, opens) = {
            let s = self.pipe.state.lock();
            if self.reads {
                (s.writers > 0, self.pipe.writer_opens.load(Ordering::SeqCst))
            } else {
                (s.readers > 0, self.pipe.reader_opens.load(Ordering::SeqCst))
            }
        };
        // An end that came and went again counts too.
        present || opens != self.others_seen
    }
}

impl Attempt for Open {
    fn attempt(&mut self, t: &Arc<Task>) -> SysResult<i64> {
        if !self.other_end_came() {
            return Err(Errno::EAGAIN.into());
        }
        match self.then.take() {
            Some(then) => then(t, self.file.clone()),
            None => Err(Errno::EBADF.into()),
        }
    }

    fn watch(&self, waker: Waker) -> Registrations {
        watch_one(&self.pipe.pollee, PollEvents::PRI, waker)
    }

    fn on_signal(&mut self, _t: &Arc<Task>) -> OnSignal {
        OnSignal::Restart
    }

    fn name(&self) -> &'static str {
        "wait_for_partner"
    }
}

/// Opens the FIFO at `path`; permission was checked. `then` gets the description at once or
/// when the other end has come, and returns the value of the call. `ENXIO` for
/// `O_WRONLY|O_NONBLOCK` without a reader.
pub fn open_fifo(t: &Arc<Task>, path: Path, flags: OpenFlags, then: Opened) -> SysResult<i64> {
    let inode = path.dentry.inode().ok_or(Errno::ENOENT)?;
    let pipe = inode
        .extra()
        .get_or_insert(|| FifoPipe(Arc::new(Pipe::new(t.kernel.next_anon_ino()))))
        .0
        .clone();
    let (reads, writes) = (flags.readable(), flags.writable());
    let nonblock = flags.contains(OpenFlags::NONBLOCK);
    if writes && !reads && nonblock && pipe.state.lock().readers == 0 {
        return Err(Errno::ENXIO.into());
    }
    let others_seen = if reads {
        pipe.writer_opens.load(Ordering::SeqCst)
    } else {
        pipe.reader_opens.load(Ordering::SeqCst)
    };
    let end = PipeEnd::open(&pipe, reads, writes, true);
    let file = File::new(Arc::new(end), flags, Some(path));
    // Partners waiting in open, and writers that met no reader, look again.
    pipe.pollee.notify(PollEvents::PRI | READABLE | WRITABLE);
    if nonblock || (reads && writes) {
        return then(t, file);
    }
    let open = Open {
        pipe,
        file,
        others_seen,
        reads,
        then: Some(then),
    };
    retry(t, open, None)
}

/// The pipe of a FIFO, as it hangs on the inode.
struct FifoPipe(Arc<Pipe>);
