//! The one place where children are waited for.
//!
//! The server is a subreaper: beside the commands it starts, the processes that stand for
//! containers become its children. [`Reaper::run`] takes in whoever ends. A command's caller
//! waits by [`Expect::wait`]; a container's process is watched from [`Expect::watch`] on,
//! also one that ended before its number was known: while a command runs, ends that nobody
//! asked for yet are kept.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::process::{WaitOptions, WaitStatus};

/// What is done with the exit status of a watched process.
pub type Watch = Box<dyn FnOnce(u32) + Send>;

#[derive(Default)]
struct Table {
    /// Commands that run: ends are kept meanwhile.
    expecting: usize,
    /// Status of processes that ended and that nobody asked for yet.
    ended: HashMap<i32, u32>,
    watched: HashMap<i32, Watch>,
}

/// All children's ends.
#[derive(Default)]
pub struct Reaper {
    table: Mutex<Table>,
    changed: Condvar,
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for children for ever.
    pub fn run(&self) {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => self.ended(pid.as_raw_nonzero().get(), code(status)),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                // No children: until a command is started.
                Err(_) => {
                    let table = self.lock();
                    let idle = self.changed.wait_while(table, |t| t.expecting == 0);
                    drop(idle);
                    // The command is expected first and a child a moment later.
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        }
    }

    fn ended(&self, pid: i32, status: u32) {
        let mut table = self.lock();
        let watch = table.watched.remove(&pid);
        if watch.is_none() && table.expecting > 0 {
            table.ended.insert(pid, status);
            self.changed.notify_all();
        }
        drop(table);
        if let Some(watch) = watch {
            watch(status);
        }
    }

    /// To be called before a command is started.
    pub fn expect(self: &Arc<Self>) -> Expect {
        self.lock().expecting += 1;
        self.changed.notify_all();
        Expect(self.clone())
    }
}

/// While it lives, no child's end is lost.
pub struct Expect(Arc<Reaper>);

impl Expect {
    /// Waits until this child has ended; its exit status.
    pub fn wait(&self, pid: i32) -> u32 {
        let mut table = self.0.lock();
        loop {
            if let Some(status) = table.ended.remove(&pid) {
                return status;
            }
            table = self
                .0
                .changed
                .wait(table)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Calls `watch` when this child ends, at once when it has.
    pub fn watch(&self, pid: i32, watch: Watch) {
        let mut table = self.0.lock();
        match table.ended.remove(&pid) {
            Some(status) => {
                drop(table);
                watch(status);
            }
            None => {
                table.watched.insert(pid, watch);
            }
        }
    }
}

impl Drop for Expect {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.expecting -= 1;
        if table.expecting == 0 {
            table.ended.clear();
        }
    }
}

/// An exit status as a shell has it.
fn code(status: WaitStatus) -> u32 {
    let signal = status.terminating_signal().map(|s| 128 + s);
    let code = status.exit_status().or(signal).unwrap_or(255);
    u32::try_from(code).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::mpsc;

    #[test]
    fn commands_and_watched_ones() {
        let reaper = Arc::new(Reaper::default());
        let runs = reaper.clone();
        std::thread::spawn(move || runs.run());
        let shell = |script: &str| Command::new("sh").args(["-c", script]).spawn().unwrap();
        let expect = reaper.expect();
        let first = shell("exit 3").id() as i32;
        assert_eq!(expect.wait(first), 3);
        let (sender, ends) = mpsc::channel();
        let early = shell("kill -9 $$").id() as i32;
        std::thread::sleep(std::time::Duration::from_millis(100));
        let late = shell("sleep 0.2; exit 4").id() as i32;
        for pid in [early, late] {
            let sender = sender.clone();
            expect.watch(pid, Box::new(move |status| sender.send(status).unwrap()));
        }
        drop(expect);
        let limit = std::time::Duration::from_secs(10);
        assert_eq!(ends.recv_timeout(limit), Ok(137));
        assert_eq!(ends.recv_timeout(limit), Ok(4));
    }
}
