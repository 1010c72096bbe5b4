//! The end of a pid namespace (`pid_namespaces(7)`, "The namespace init process").
//!
//! When the last thread of a nested namespace's init has exited, everybody else in the
//! namespace is killed, and init becomes a zombie only once they are all gone and waited for.
//! What is left to do for it is kept in the namespace ([`Ending`]); whoever takes the last of
//! the others out of the tables does it. Neighbours: [`super::exit`], [`super::reap`].

use std::sync::Arc;

use super::group::ThreadGroup;
use super::pid::PidNamespace;
use super::{Task, exit, reap};
use crate::signal::WaitStatus;

/// An init that waits for the others of its namespace.
pub(crate) struct Ending {
    /// Its last thread, which has exited.
    pub(super) last: Arc<Task>,
    /// What it exited with.
    pub(super) status: WaitStatus,
}

/// The children of an ending init that have ended need wait for nobody; with the tree lock
/// held.
pub(super) fn reap_children(init: &Arc<ThreadGroup>) {
    for child in init.children() {
        if child.is_zombie() {
            reap::unlink(&child, Some(init));
        }
    }
}

/// Ends the inits that waited for a process which has gone from `ns`. The tree lock is not
/// held.
pub(super) fn finish(ns: &Arc<PidNamespace>) {
    for ns in ns.lineage() {
        if let Some(ending) = ns.take_ending() {
            exit::become_zombie(&ending.last, ending.status, ns.tree());
        }
    }
}
