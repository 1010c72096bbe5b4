//! Peer groups: between which mounts events spread (`mount_namespaces(7)`, "Shared
//! subtrees").
//!
//! A shared mount is a member of a group; a group may be the slave of another one. A slave
//! that is not shared hangs at its master's group by itself. [`PeerGroups`] is the table of
//! a container's groups; each mount knows its place in it by its [`Link`].
//!
//! Lock rank: the table is below the tree lock and above a mount's link. No mount is dropped
//! under either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use super::mount::Mount;
use crate::sync::Mutex;

/// How mount events are to spread, one bit of `mount(2)` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in mount_namespaces(7)")]
pub enum Propagation {
    Private,
    Shared,
    Slave,
    Unbindable,
}

/// A mount's place among the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The group it is a member of.
    pub shared: Option<u64>,
    /// The group it is a slave of, unless it is shared: then that is the group's matter.
    master: Option<u64>,
    /// Whether it cannot be bound elsewhere.
    pub unbindable: bool,
}

#[derive(Default)]
struct Group {
    members: BTreeMap<u64, Weak<Mount>>,
    master: Option<u64>,
    slaves: BTreeMap<u64, Weak<Mount>>,
    slave_groups: BTreeSet<u64>,
}

#[derive(Default)]
struct Table {
    groups: BTreeMap<u64, Group>,
    last: u64,
    /// Numbers up to `last` of no group: the lowest is given next.
    free: BTreeSet<u64>,
}

/// The groups of all namespaces of a container.
#[derive(Default)]
pub struct PeerGroups(Mutex<Table>);

impl Table {
    fn new_id(&mut self) -> u64 {
        self.free.pop_first().unwrap_or_else(|| {
            self.last += 1;
            self.last
        })
    }

    /// Hangs `mount`, which is in no group, at a master.
    fn enslave(&mut self, mount: &Arc<Mount>, master: Option<u64>) {
        let master = master.filter(|m| self.groups.contains_key(m));
        if let Some(group) = master.and_then(|m| self.groups.get_mut(&m)) {
            group.slaves.insert(mount.id, Arc::downgrade(mount));
        }
        mount.link.lock().master = master;
    }

    /// Takes `mount` out of its group or from its master; the master it then has.
    fn unlink(&mut self, mount: &Arc<Mount>, kept: &mut Vec<Arc<Mount>>) -> Option<u64> {
        let old = std::mem::take(&mut *mount.link.lock());
        if let Some(group) = old.master.and_then(|m| self.groups.get_mut(&m)) {
            group.slaves.remove(&mount.id);
        }
        let Some(id) = old.shared else {
            return old.master;
        };
        let group = self.groups.get_mut(&id)?;
        group.members.remove(&mount.id);
        if !group.members.is_empty() {
            return Some(id);
        }
        self.dissolve(id, kept)
    }

    /// Ends a group without members: its slaves go to its master, which is returned.
    fn dissolve(&mut self, id: u64, kept: &mut Vec<Arc<Mount>>) -> Option<u64> {
        let group = self.groups.remove(&id)?;
        self.free.insert(id);
        if let Some(master) = group.master.and_then(|m| self.groups.get_mut(&m)) {
            master.slave_groups.remove(&id);
            master.slave_groups.extend(&group.slave_groups);
        }
        for slave in &group.slave_groups {
            if let Some(slave) = self.groups.get_mut(slave) {
                slave.master = group.master;
            }
        }
        for slave in group.slaves.values().filter_map(Weak::upgrade) {
            self.enslave(&slave, group.master);
            kept.push(slave);
        }
        group.master
    }
}

impl PeerGroups {
    /// Whether there are no groups.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.lock().groups.is_empty()
    }

    /// Changes how events of `mount` spread.
    pub fn change(&self, mount: &Arc<Mount>, to: Propagation) {
        match to {
            Propagation::Shared => self.share(mount),
            Propagation::Private => self.part(mount, false),
            Propagation::Unbindable => self.part(mount, true),
            Propagation::Slave => self.make_slave(mount),
        }
    }

    /// Makes it a member of a new group unless it is in one; a slave stays a slave.
    pub fn share(&self, mount: &Arc<Mount>) {
        let mut table = self.0.lock();
        let old = *mount.link.lock();
        let mut new = Link {
            unbindable: false,
            ..old
        };
        if old.shared.is_none() {
            let id = table.new_id();
            if let Some(master) = old.master.and_then(|m| table.groups.get_mut(&m)) {
                master.slaves.remove(&mount.id);
                master.slave_groups.insert(id);
            }
            let group = Group {
                members: BTreeMap::from([(mount.id, Arc::downgrade(mount))]),
                master: old.master,
                ..Group::default()
            };
            table.groups.insert(id, group);
            (new.shared, new.master) = (Some(id), None);
        }
        *mount.link.lock() = new;
    }

    /// Takes it out of all groups.
    pub fn part(&self, mount: &Arc<Mount>, unbindable: bool) {
        let mut kept = Vec::new();
        let mut table = self.0.lock();
        table.unlink(mount, &mut kept);
        mount.link.lock().unbindable = unbindable;
        drop(table);
        drop(kept);
    }

    /// A shared one becomes a slave of its peers, or of their master where there are none;
    /// another one stays what it is.
    fn make_slave(&self, mount: &Arc<Mount>) {
        let mut kept = Vec::new();
        let mut table = self.0.lock();
        if mount.link.lock().shared.is_some() {
            let master = table.unlink(mount, &mut kept);
            table.enslave(mount, master);
        }
        drop(table);
        drop(kept);
    }

    /// Puts a new mount where `like` is.
    pub fn join(&self, mount: &Arc<Mount>, like: &Mount) {
        let mut table = self.0.lock();
        let link = *like.link.lock();
        if let Some(group) = link.shared.and_then(|g| table.groups.get_mut(&g)) {
            group.members.insert(mount.id, Arc::downgrade(mount));
            *mount.link.lock() = link;
            return;
        }
        table.enslave(mount, link.master);
        mount.link.lock().unbindable = link.unbindable;
    }

    /// Makes a new mount a slave of a shared one; of another one it is put beside.
    pub fn follow(&self, mount: &Arc<Mount>, of: &Mount) {
        let shared = of.link.lock().shared;
        if shared.is_none() {
            self.join(mount, of);
        } else {
            self.0.lock().enslave(mount, shared);
        }
    }

    /// The group it is a slave of.
    pub fn master_of(&self, mount: &Mount) -> Option<u64> {
        let table = self.0.lock();
        let link = *mount.link.lock();
        match link.shared {
            Some(id) => table.groups.get(&id)?.master,
            None => link.master,
        }
    }

    /// The master of a group.
    pub fn master_of_group(&self, id: u64) -> Option<u64> {
        self.0.lock().groups.get(&id)?.master
    }

    /// Members of a group.
    pub fn members(&self, id: u64) -> Vec<Weak<Mount>> {
        let table = self.0.lock();
        let group = table.groups.get(&id);
        group.map_or_else(Vec::new, |g| g.members.values().cloned().collect())
    }

    /// Members of a group with numbers above `after`, at most `max`.
    pub fn members_after(&self, id: u64, after: u64, max: usize) -> Vec<(u64, Weak<Mount>)> {
        let table = self.0.lock();
        let Some(group) = table.groups.get(&id) else {
            return Vec::new();
        };
        let members = group.members.range(after.saturating_add(1)..);
        members.take(max).map(|(n, m)| (*n, m.clone())).collect()
    }

    /// What follows a group: mounts of no group, and groups.
    pub fn slaves(&self, id: u64) -> (Vec<Weak<Mount>>, Vec<u64>) {
        let table = self.0.lock();
        let Some(group) = table.groups.get(&id) else {
            return Default::default();
        };
        let mounts = group.slaves.values().cloned().collect();
        (mounts, group.slave_groups.iter().copied().collect())
    }
}

impl Mount {
    /// Its place among the peer groups.
    pub fn link(&self) -> Link {
        *self.link.lock()
    }
}
