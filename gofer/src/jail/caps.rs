//! The capabilities of a process that works on files for others.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// What is kept, as far as the process has it.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::SETFCAP);

/// Reduces the calling thread's capabilities. `CAP_FSETID` stays permitted but not
/// effective: with it the host would keep set-id bits where it must clear them.
pub(super) fn reduce() -> rustix::io::Result<()> {
    let now = capabilities(None)?;
    // Nothing is executed any more, so the bounding and ambient sets are a second fence
    // only; an unprivileged process may not change the former.
    let _ = rustix::thread::clear_ambient_capability_set();
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective & KEPT,
            permitted: now.permitted & (KEPT | CapabilitySet::FSETID),
            inheritable: CapabilitySet::empty(),
        },
    )
}

/// Runs `work` with `CAP_FSETID`, which setting a set-group-id bit for a group not one's own
/// needs. Without the right to it, `work` runs as things are.
pub(crate) fn with_fsetid<T>(work: impl FnOnce() -> T) -> T {
    let fsetid = CapabilitySet::FSETID;
    let Ok(now) = capabilities(None) else {
        return work();
    };
    if now.effective.contains(fsetid) || !now.permitted.contains(fsetid) {
        return work();
    }
    let raised = CapabilitySets {
        effective: now.effective | fsetid,
        ..now
    };
    if set_capabilities(None, raised).is_err() {
        return work();
    }
    let result = work();
    // Giving up what one has never fails.
    let _ = set_capabilities(None, now);
    result
}
