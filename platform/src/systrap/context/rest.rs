//! Host threads of guest threads that have exited, kept for the next ones.
//!
//! A thread of the host with a filter and a listener of its own is dear to make and dearer
//! to end. `exit(2)` arrives with full registers, after the stub's code has had the host let
//! go of the guest's memory; when the kernel then ends the thread, it stays held in that
//! frame, and a thread that is made later in the same stub starts from it. Neighbours:
//! `stub` (the way out), `space` (where they are kept).

use std::os::fd::AsFd;
use std::time::Duration;

use super::{AUDIT_ARCH_X86_64, DIE, Phase, State, Thread};
use crate::RseqArea;
use crate::systrap::layout::{AREA_CPU, AREA_RSEQ, AREA_RSEQ_LEN, AREA_RSEQ_SIG};
use crate::systrap::raw;
use crate::systrap::space::Born;

impl Thread {
    /// Notes what the call in hand, which the host is to execute, says of `rseq(2)`.
    pub(super) fn note_rseq(&self, nr: i32, args: &[u64; 6]) {
        const UNREGISTER: u64 = 1;
        if i64::from(nr) != libc::SYS_rseq {
            return;
        }
        let low = |word: u64| (word & 0xffff_ffff) as u32;
        let area = match args[2] & 0xffff_ffff {
            0 => Some(RseqArea {
                addr: args[0],
                len: low(args[1]),
                sig: low(args[3]),
            }),
            UNREGISTER => None,
            _ => return,
        };
        self.show_rseq(area.as_ref());
    }

    /// Shows the stub's code what the host thread has registered, or is to.
    pub(super) fn show_rseq(&self, area: Option<&RseqArea>) {
        let window = self.core.control.window();
        let at = self.area.offset;
        let of = |word: fn(&RseqArea) -> u32| area.map_or(0, word);
        window.set32(at + AREA_RSEQ_LEN, of(|a| a.len));
        window.set32(at + AREA_RSEQ_SIG, of(|a| a.sig));
        window.set64(at + AREA_RSEQ, area.map_or(0, |a| a.addr));
    }

    /// Whether the frame at `at`, which a signal has brought, is that of an `exit(2)`.
    pub(super) fn is_exit(&self, signo: u64, at: u64) -> bool {
        let info = || self.area.siginfo(self.core.control.window(), at);
        let is = |nr: u32| i64::from(nr) == libc::SYS_exit;
        signo == libc::SIGSYS as u64 && {
            let info = info();
            is(info.nr) && info.arch == AUDIT_ARCH_X86_64
        }
    }

    /// The CPU time that a thread has noted which is about to exit; guest data.
    pub(super) fn noted_cpu_time(&self) -> Duration {
        let window = self.core.control.window();
        let word = |at: u64| window.get64(self.area.offset + at).cast_signed();
        raw::duration(word(AREA_CPU), word(AREA_CPU + 8))
    }

    /// Where the host thread can be kept: the notification and the frame it is held in.
    pub(super) fn restful(&self, state: &State) -> Option<(u64, u64)> {
        match state.phase {
            Phase::HeldFrame { id, at } if state.leaves && !state.irq => Some((id, at)),
            _ => None,
        }
    }

    /// Ends the guest thread, whose host thread waits in the notification `id` with a frame
    /// at `at`, and keeps the latter.
    pub(super) fn rest(&self, (id, at): (u64, u64), tid: i32) {
        // Nothing finds the thread by its number or its listener from here on, and nobody is
        // told: whoever ends it knows.
        let _ = self.finish(0);
        let _ = raw::set_affinity(tid, &self.core.cpus);
        let born = Born {
            area_index: self.area_index,
            area: self.area,
            listener: self.listener.clone(),
            rung: Some((tid, id)),
            at,
            cpu_base: self.noted_cpu_time(),
        };
        if !self.stub.keep(born) {
            let _ = raw::notif_return(self.listener.as_fd(), id, DIE);
        }
    }
}
