//! The locks the kernel uses, in one place so that a checker can stand in for them.

pub use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
