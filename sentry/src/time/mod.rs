//! Time: the injected clock and the timers of the reactor.

pub mod clock;
pub mod timers;
