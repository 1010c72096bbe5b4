//! What a tracer does with a tracee (`ptrace(2)`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::Errno;
use abi::signal::{SigInfo, SigSet, Signal};

use super::access::{Ids, may_access};
use super::{Event, How, Kind, Options, TraceStop};
use crate::Result;
use crate::signal::{info, send};
use crate::task::Task;

/// `PTRACE_SYSCALL_INFO_*`: what a stop tells of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in ptrace(2)")]
pub enum CallInfo {
    None,
    Entry,
    Exit,
    Seccomp(u16),
}

impl Task {
    /// `PTRACE_TRACEME`: the parent becomes the tracer.
    pub fn trace_me(&self) -> Result<()> {
        if self.tracer().is_some() {
            return Err(Errno::EPERM);
        }
        let parent = self.thread_group().parent().ok_or(Errno::EPERM)?;
        let forker = self.thread_group().forker.lock().upgrade();
        let tracer = forker
            .filter(|t| Arc::ptr_eq(t.thread_group(), &parent))
            .or_else(|| parent.main_task())
            .ok_or(Errno::EPERM)?;
        self.set_tracer(&tracer, false, Options::empty());
        Ok(())
    }

    /// `PTRACE_ATTACH`, or with options `PTRACE_SEIZE`.
    pub fn attach(self: &Arc<Task>, tracee: &Arc<Task>, seize: Option<Options>) -> Result<()> {
        if Arc::ptr_eq(tracee.thread_group(), self.thread_group()) {
            return Err(Errno::EPERM);
        }
        may_access(self, tracee, Ids::Real)?;
        if tracee.thread_group().is_exiting() || tracee.tracer().is_some() {
            return Err(Errno::EPERM);
        }
        let options = seize.unwrap_or_default();
        tracee.set_tracer(self, seize.is_some(), options);
        if seize.is_none() {
            let stop = info::kernel(Signal::SIGSTOP);
            let _: Result<()> = send::to_task(tracee, stop, send::Origin::Kernel);
        }
        // One that job control has stopped stops for the tracer now.
        if tracee.sig.lock().stopped {
            tracee.ptrace.lock().trap = true;
        }
        tracee.kick();
        Ok(())
    }

    /// A tracee of this thread by its number; `ESRCH` unless it is stopped, where that is
    /// wanted.
    pub fn tracee(self: &Arc<Task>, tid: i32, stopped: bool) -> Result<Arc<Task>> {
        let tracee = self.pid_ns().task(tid).ok_or(Errno::ESRCH)?;
        let mine = tracee.tracer().is_some_and(|t| Arc::ptr_eq(&t, self));
        let ready = {
            let tr = tracee.ptrace.lock();
            tr.stop.is_some() && !tr.listening
        };
        if !mine || stopped && !ready {
            return Err(Errno::ESRCH);
        }
        Ok(tracee)
    }

    /// Lets a stopped tracee run on (`PTRACE_CONT` and its kin); `EIO` for a bad signal.
    pub fn let_go(self: &Arc<Task>, how: How, signal: u64) -> Result<()> {
        if signal > 64 {
            return Err(Errno::EIO);
        }
        let nr = i32::try_from(signal).unwrap_or(0);
        let last = {
            let mut tr = self.ptrace.lock();
            (tr.how, tr.signal) = (how, nr);
            tr.last = tr.stop.take();
            tr.last
        };
        self.after_syscall_stop(last.map(|s| s.kind), signal);
        self.wake();
        Ok(())
    }

    /// A signal given after a stop at a call is sent.
    fn after_syscall_stop(self: &Arc<Task>, kind: Option<Kind>, signal: u64) {
        if let (Some(Kind::Entry | Kind::Exit), Some(s)) = (kind, Signal::new(signal)) {
            let _: Result<()> = send::to_task(self, info::kernel(s), send::Origin::Kernel);
        }
    }

    /// `PTRACE_DETACH`.
    pub fn detach(self: &Arc<Task>, signal: u64) {
        let kind = {
            let mut tr = self.ptrace.lock();
            tr.signal = i32::try_from(signal).unwrap_or(0);
            tr.how = How::Cont;
            tr.stop.map(|s| s.kind)
        };
        self.clear_tracer();
        {
            // A stop of its process holds it again.
            let sig = self.thread_group().signals.lock();
            if sig.stopped && sig.stop.is_some() {
                self.sig.lock().stopped = true;
            }
        }
        self.after_syscall_stop(kind, signal);
        self.kick();
    }

    /// `PTRACE_INTERRUPT`; `EIO` for one that was not seized.
    pub fn interrupt_tracee(self: &Arc<Task>) -> Result<()> {
        {
            let mut tr = self.ptrace.lock();
            if !tr.seized {
                return Err(Errno::EIO);
            }
            if tr.listening {
                tr.listening = false;
                tr.last = tr.stop.take();
            }
            tr.trap = true;
        }
        self.kick();
        Ok(())
    }

    /// `PTRACE_LISTEN`: stays stopped, but hears of the end of the group stop.
    pub fn listen_tracee(self: &Arc<Task>) -> Result<()> {
        {
            let mut tr = self.ptrace.lock();
            let group = tr
                .stop
                .is_some_and(|s| s.code >> 8 == Event::Stop as i32 && s.kind == Kind::Event);
            if !tr.seized || !group {
                return Err(Errno::EIO);
            }
            tr.listening = true;
        }
        self.wake();
        Ok(())
    }

    /// `PTRACE_SETOPTIONS`.
    pub fn set_trace_options(&self, options: Options) {
        self.ptrace.lock().options = options;
    }

    /// `PTRACE_GETEVENTMSG`.
    pub fn event_message(&self) -> u64 {
        self.ptrace.lock().message
    }

    /// `PTRACE_GETSIGINFO`; `EINVAL` in a group stop.
    pub fn stop_info(&self) -> Result<SigInfo> {
        let tr = self.ptrace.lock();
        tr.stop.and_then(|s| s.info).ok_or(Errno::EINVAL)
    }

    /// `PTRACE_SETSIGINFO`.
    pub fn set_stop_info(&self, info: SigInfo) -> Result<()> {
        let mut tr = self.ptrace.lock();
        let own = tr.stop.as_mut().and_then(|s| s.info.as_mut());
        *own.ok_or(Errno::EINVAL)? = info;
        Ok(())
    }

    /// `PTRACE_SETSIGMASK`.
    pub fn set_tracee_mask(&self, mask: SigSet) {
        self.set_sigmask(mask);
        self.attention.store(true, Ordering::SeqCst);
    }

    /// `PTRACE_PEEKSIGINFO`: up to `n` queued signals from the `from`-th on.
    pub fn queued_signals(&self, shared: bool, from: usize, n: usize) -> Vec<SigInfo> {
        let group = self.thread_group().signals.lock();
        let own = self.sig.lock();
        let queue = if shared { &group.pending } else { &own.pending };
        queue.entries().skip(from).take(n).copied().collect()
    }

    /// What `PTRACE_GET_SYSCALL_INFO` tells of the stop.
    pub fn call_info(&self) -> CallInfo {
        // Without `PTRACE_O_TRACESYSGOOD` stops at calls are not told apart.
        let stop = self.ptrace.lock().stop;
        let plain = |s: &TraceStop| s.code == i32::from(Signal::SIGTRAP.raw());
        match stop.filter(|s| !plain(s)).map(|s| s.kind) {
            Some(Kind::Entry) => CallInfo::Entry,
            Some(Kind::Exit) => CallInfo::Exit,
            Some(Kind::Seccomp(data)) => CallInfo::Seccomp(data),
            _ => CallInfo::None,
        }
    }
}
