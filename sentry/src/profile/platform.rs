//! The platform with a clock around it: what a profile sees of guest threads.
//!
//! Every method of the traits is handed on, those with a default too: a default would hide
//! what the platform inside can do.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use platform::{
    AddressSpace, Commit, Context, Cookie, Event, MapOp, Platform, PlatformError, Registers,
    Resume, RseqArea, WorkerId,
};

use super::{Phase, Profile};

struct TimedPlatform {
    profile: Arc<Profile>,
    inner: Arc<dyn Platform>,
}

struct TimedSpace {
    profile: Arc<Profile>,
    inner: Arc<dyn AddressSpace>,
}

struct TimedContext {
    profile: Arc<Profile>,
    inner: Arc<dyn Context>,
    cookie: Cookie,
}

impl Profile {
    /// This platform, seen by the profile.
    pub fn around(self: &Arc<Profile>, inner: Arc<dyn Platform>) -> Arc<dyn Platform> {
        Arc::new(TimedPlatform {
            profile: self.clone(),
            inner,
        })
    }

    fn space(self: &Arc<Profile>, inner: Arc<dyn AddressSpace>) -> Arc<dyn AddressSpace> {
        Arc::new(TimedSpace {
            profile: self.clone(),
            inner,
        })
    }

    /// Does `work` as a change of memory.
    fn memory<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.turn(Phase::Memory);
        let result = work();
        self.turn(before);
        result
    }
}

impl Platform for TimedPlatform {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        let made = self.profile.memory(|| self.inner.new_address_space())?;
        Ok(self.profile.space(made))
    }
    fn guest_range(&self) -> (u64, u64) {
        self.inner.guest_range()
    }
    fn next(&self, worker: WorkerId, timeout: Option<Duration>) -> Event {
        self.profile.idle();
        let event = self.inner.next(worker, timeout);
        match &event {
            Event::Guest { cookie, exit } => self.profile.stopped(Some((*cookie, exit))),
            Event::Ready(_) | Event::Kick | Event::Timeout => self.profile.stopped(None),
        }
        event
    }
    fn take_over(&self, worker: WorkerId) {
        self.inner.take_over(worker);
    }
    fn is_bound(&self, worker: WorkerId) -> bool {
        self.inner.is_bound(worker)
    }
    fn kick(&self, worker: WorkerId) {
        self.inner.kick(worker);
    }
    fn watch(&self, worker: WorkerId, fd: BorrowedFd<'_>, token: u64) -> Result<(), PlatformError> {
        self.inner.watch(worker, fd, token)
    }
    fn unwatch(&self, worker: WorkerId, fd: BorrowedFd<'_>) {
        self.inner.unwatch(worker, fd);
    }
    fn keep(&self) {
        self.inner.keep();
    }
    fn cpus(&self) -> u64 {
        self.inner.cpus()
    }
    fn passes_rseq(&self) -> bool {
        self.inner.passes_rseq()
    }
    fn workers(&self) -> usize {
        self.inner.workers()
    }
}

impl AddressSpace for TimedSpace {
    fn commit(&self, ops: &[MapOp]) -> Result<(), PlatformError> {
        self.profile.memory(|| self.inner.commit(ops))
    }
    fn commit_later(&self, ops: &[MapOp]) -> Result<Commit, PlatformError> {
        self.profile.memory(|| self.inner.commit_later(ops))
    }
    fn fork(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        let made = self.profile.memory(|| self.inner.fork())?;
        Ok(self.profile.space(made))
    }
    fn spare(&self) -> Option<Arc<dyn AddressSpace>> {
        Some(self.profile.space(self.inner.spare()?))
    }
    fn enter_groups(&self, groups: &[OwnedFd]) -> Result<(), PlatformError> {
        self.inner.enter_groups(groups)
    }
    fn new_context(
        &self,
        regs: &Registers,
        cookie: Cookie,
        worker: WorkerId,
    ) -> Result<Arc<dyn Context>, PlatformError> {
        let inner = self
            .profile
            .memory(|| self.inner.new_context(regs, cookie, worker))?;
        Ok(Arc::new(TimedContext {
            profile: self.profile.clone(),
            inner,
            cookie,
        }))
    }
    fn kill(&self) {
        self.inner.kill();
    }
    fn keep_end(&self) -> bool {
        self.inner.keep_end()
    }
    fn ended(&self) -> bool {
        self.inner.ended()
    }
    fn vdso(&self) -> Option<(u64, u64)> {
        self.inner.vdso()
    }
    fn replace_vdso(&self, offset: u64) -> Result<(), PlatformError> {
        self.inner.replace_vdso(offset)
    }
    fn words(&self) -> Option<u64> {
        self.inner.words()
    }
    fn post_word(&self) -> Option<u64> {
        self.inner.post_word()
    }
    fn set_word(&self, index: usize, value: u64) {
        self.inner.set_word(index, value);
    }
}

impl Context for TimedContext {
    fn regs(&self) -> Option<Registers> {
        self.inner.regs()
    }
    fn set_regs(&self, regs: &Registers) -> Result<(), PlatformError> {
        self.inner.set_regs(regs)
    }
    fn resume(&self, how: Resume) -> Result<(), PlatformError> {
        self.profile.resuming(self.cookie);
        let result = self.inner.resume(how);
        self.profile.turn(Phase::After);
        result
    }
    fn interrupt(&self) {
        self.inner.interrupt();
    }
    fn entrust(&self, op: &MapOp) -> bool {
        self.inner.entrust(op)
    }
    fn inherit_rseq(&self, area: &RseqArea) -> bool {
        self.inner.inherit_rseq(area)
    }
    fn leaves(&self) -> bool {
        self.inner.leaves()
    }
    fn kill(&self) {
        self.inner.kill();
    }
    fn kill_now(&self) {
        self.inner.kill_now();
    }
    fn cpu_time(&self) -> Duration {
        self.inner.cpu_time()
    }
    fn set_affinity(&self, cpus: u64) {
        self.inner.set_affinity(cpus);
    }
    fn set_worker(&self, worker: WorkerId) {
        self.inner.set_worker(worker);
    }
}
