//! Futexes (`futex(2)`): words in guest memory that tasks wait on.
//!
//! [`FutexTable`]: hash buckets of waiters, each with its own lock. [`wait`]: the parked
//! wait. [`requeue`], [`op`], [`pi`]: the other operations. [`robust`]: locks whose owner
//! dies. The waker writes the result into the waiter, so that no condition is tested twice.
//!
//! Lock rank: bucket locks are taken in order of their index; guest words are read under
//! them after their page was made present.

pub mod op;
mod parked;
pub mod pi;
pub mod requeue;
pub mod requeue_pi;
pub mod robust;
pub mod table;
pub mod wait;
pub mod waitv;

pub use table::{FutexTable, Key, Scope, wake};
