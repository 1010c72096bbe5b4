//! Pending signals: standard ones once, real-time ones in order.

use std::collections::VecDeque;

use abi::signal::{SigInfo, SigSet, Signal};

/// A queue of pending signals.
#[derive(Debug, Default)]
pub struct Queue {
    set: SigSet,
    entries: VecDeque<SigInfo>,
}

/// Signals the CPU raised are taken first.
const SYNCHRONOUS: SigSet = SigSet(
    SigSet::of(Signal::SIGSEGV).0
        | SigSet::of(Signal::SIGBUS).0
        | SigSet::of(Signal::SIGILL).0
        | SigSet::of(Signal::SIGTRAP).0
        | SigSet::of(Signal::SIGFPE).0
        | SigSet::of(Signal::SIGSYS).0,
);

impl Queue {
    /// The pending set.
    pub fn set(&self) -> SigSet {
        self.set
    }

    /// Number of queued entries (`RLIMIT_SIGPENDING` counts them).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// What is queued, in order.
    pub fn entries(&self) -> impl Iterator<Item = &SigInfo> {
        self.entries.iter()
    }

    /// Adds a signal; a standard one that is pending already is dropped. Without `info` the
    /// signal is only marked.
    pub fn push(&mut self, signal: Signal, info: Option<SigInfo>) {
        if !signal.is_realtime() && self.set.contains(signal) {
            return;
        }
        self.set.insert(signal);
        self.entries.extend(info);
    }

    /// Puts a signal back in front.
    pub fn push_front(&mut self, signal: Signal, info: SigInfo) {
        self.set.insert(signal);
        self.entries.push_front(info);
    }

    /// Which signal of `wanted` comes next.
    pub fn next(&self, wanted: SigSet) -> Option<Signal> {
        let set = self.set.intersection(wanted);
        set.intersection(SYNCHRONOUS).first().or(set.first())
    }

    /// Takes one instance of `signal`.
    pub fn take(&mut self, signal: Signal) -> SigInfo {
        let is_it = |i: &SigInfo| i.signo == i32::from(signal.raw());
        let at = self.entries.iter().position(is_it);
        let info = at.and_then(|i| self.entries.remove(i));
        if !self.entries.iter().any(is_it) {
            self.set.remove(signal);
        }
        // Without room for the information only the fact was kept.
        info.unwrap_or(SigInfo::new(signal, 0))
    }

    /// Forgets every pending signal of `set`.
    pub fn flush(&mut self, set: SigSet) {
        self.set = self.set.difference(set);
        self.entries.retain(|i| {
            !u64::try_from(i.signo)
                .ok()
                .and_then(Signal::new)
                .is_some_and(|s| set.contains(s))
        });
    }

    /// Forgets entries for which `keep` does not hold (a deleted timer's).
    pub fn retain(&mut self, mut keep: impl FnMut(&SigInfo) -> bool) {
        let signal_of = |i: &SigInfo| u64::try_from(i.signo).ok().and_then(Signal::new);
        let mut touched = SigSet::EMPTY;
        self.entries.retain(|i| {
            let stays = keep(i);
            if !stays && let Some(s) = signal_of(i) {
                touched.insert(s);
            }
            stays
        });
        self.set = self.set.difference(touched);
        for s in self.entries.iter().filter_map(signal_of) {
            self.set.insert(s);
        }
    }
}
