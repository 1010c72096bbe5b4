//! Time: the injected clock, the timers of the reactor, and the guest's clocks and timers.
//!
//! [`clock_id`]: what a `clockid_t` means. [`process_timers`]: interval timers of a process;
//! [`posix_timer`]: `timer_create(2)`; [`timerfd`]; [`sleep`]: `clock_nanosleep(2)`.

pub mod clock;
pub mod clock_id;
pub mod ns;
pub mod posix_timer;
pub mod process_timers;
pub mod sleep;
pub mod timerfd;
pub mod timers;
pub(crate) mod vdso;
