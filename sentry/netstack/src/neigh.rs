//! Neighbours: hardware addresses of hosts on the same link, learned by ARP (RFC 826) and
//! neighbour discovery (RFC 4861). Frames wait for an address in short queues.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::Time;
use crate::output::Frame;
use crate::wire::Mac;

/// Most entries.
const MAX_ENTRIES: usize = 1024;
/// Most frames that wait for one address.
const MAX_WAITING: usize = 64;
/// An answer is believed this long.
const REACHABLE: Time = 30_000_000;
/// Time between questions, and how many are asked.
const RETRANS: Time = 1_000_000;
const TRIES: u32 = 3;
/// When what was entered by hand was last heard of.
const PERMANENT: Time = Time::MAX;

/// What is known of a neighbour.
#[derive(Debug)]
pub struct Entry {
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// When it was last heard of.
    pub confirmed: Time,
    /// Questions asked without an answer.
    pub tries: u32,
    due: Option<Time>,
    waiting: Vec<Frame>,
}

impl Entry {
    /// Whether it was entered by hand, to stay.
    pub fn is_permanent(&self) -> bool {
        self.confirmed == PERMANENT
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Neighbours {
    entries: HashMap<(u32, IpAddr), Entry>,
    due: Option<Time>,
}

/// What a look-up says.
pub(crate) enum Lookup {
    /// Send the frame to this address.
    Known(Mac, Frame),
    /// The frame waits.
    Waits,
}

/// A question to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) link: u32,
    pub(crate) ip: IpAddr,
    /// To this host only, which is believed to be there.
    pub(crate) to: Option<Mac>,
}

impl Neighbours {
    /// All entries: link, address, what is known.
    pub fn all(&self) -> impl Iterator<Item = (u32, IpAddr, &Entry)> {
        self.entries.iter().map(|((l, ip), e)| (*l, *ip, e))
    }

    /// Finds the hardware address for a frame. A question may have to be asked.
    pub(crate) fn lookup(
        &mut self,
        link: u32,
        ip: IpAddr,
        frame: Frame,
        now: Time,
    ) -> (Lookup, Option<Question>) {
        if !self.entries.contains_key(&(link, ip)) {
            self.make_room();
        }
        let entry = self.entries.entry((link, ip)).or_insert(Entry {
            mac: None,
            confirmed: 0,
            tries: 0,
            due: None,
            waiting: Vec::new(),
        });
        let mut ask = None;
        let stale = now.saturating_sub(entry.confirmed) > REACHABLE;
        if entry.due.is_none() && (entry.mac.is_none() || stale) {
            entry.tries = 1;
            let due = now.saturating_add(RETRANS);
            entry.due = Some(due);
            self.due = Some(self.due.map_or(due, |d| d.min(due)));
            ask = Some(Question {
                link,
                ip,
                to: entry.mac,
            });
        }
        match entry.mac {
            Some(mac) => (Lookup::Known(mac, frame), ask),
            None => {
                if entry.waiting.len() >= MAX_WAITING {
                    entry.waiting.remove(0);
                }
                entry.waiting.push(frame);
                (Lookup::Waits, ask)
            }
        }
    }

    fn make_room(&mut self) {
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, e)| e.confirmed);
        if let Some(key) = oldest.map(|(k, _)| *k) {
            self.entries.remove(&key);
        }
    }

    /// A neighbour has said where it is; frames that waited for it. `create`: also when
    /// nobody asked.
    pub(crate) fn learn(
        &mut self,
        link: u32,
        ip: IpAddr,
        mac: Mac,
        create: bool,
        now: Time,
    ) -> Vec<Frame> {
        if create && !self.entries.contains_key(&(link, ip)) {
            self.make_room();
            let entry = Entry {
                mac: Some(mac),
                confirmed: now,
                tries: 0,
                due: None,
                waiting: Vec::new(),
            };
            self.entries.insert((link, ip), entry);
            return Vec::new();
        }
        let Some(entry) = self.entries.get_mut(&(link, ip)) else {
            return Vec::new();
        };
        if entry.is_permanent() {
            return Vec::new();
        }
        entry.mac = Some(mac);
        entry.confirmed = now;
        entry.tries = 0;
        entry.due = None;
        std::mem::take(&mut entry.waiting)
    }

    /// Enters a neighbour by hand, for ever or as if heard of now; what waited for it.
    pub(crate) fn set(
        &mut self,
        (link, ip): (u32, IpAddr),
        mac: Mac,
        forever: bool,
        now: Time,
    ) -> Vec<Frame> {
        let confirmed = if forever { PERMANENT } else { now };
        if let Some(e) = self.entries.get_mut(&(link, ip)) {
            e.confirmed = 0;
        }
        let out = self.learn(link, ip, mac, true, confirmed);
        if let Some(e) = self.entries.get_mut(&(link, ip)) {
            e.confirmed = confirmed;
        }
        out
    }

    /// Forgets a neighbour; whether it was known.
    pub fn remove(&mut self, link: u32, ip: IpAddr) -> bool {
        self.entries.remove(&(link, ip)).is_some()
    }

    /// The earliest deadline.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Asks again, or gives up: questions, and addresses that nobody has.
    pub(crate) fn on_time(&mut self, now: Time) -> (Vec<Question>, Vec<(u32, IpAddr)>) {
        let (mut ask, mut dead) = (Vec::new(), Vec::new());
        if self.due.is_none_or(|d| d > now) {
            return (ask, dead);
        }
        self.due = None;
        for ((link, ip), e) in &mut self.entries {
            let Some(due) = e.due else { continue };
            if due <= now {
                if e.tries >= TRIES {
                    e.due = None;
                    if e.mac.take().is_none() {
                        e.waiting.clear();
                        dead.push((*link, *ip));
                        continue;
                    }
                    e.tries = 0;
                }
                e.tries += 1;
                e.due = Some(now.saturating_add(RETRANS));
                ask.push(Question {
                    link: *link,
                    ip: *ip,
                    to: e.mac,
                });
            }
            self.due = match (self.due, e.due) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        for key in &dead {
            self.entries.remove(key);
        }
        (ask, dead)
    }

    /// A link is gone, or down.
    pub fn forget_link(&mut self, link: u32) {
        self.entries.retain(|(l, _), _| *l != link);
    }
}
