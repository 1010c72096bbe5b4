//! Id maps: `/proc/PID/uid_map` and `gid_map` (`user_namespaces(7)`, "User and group ID
//! mappings").

use std::fmt::Write;
use std::sync::Arc;

use abi::Errno;

use super::{UserNamespace, UserNs};
use crate::Result;
use crate::creds::{Cap, Creds};

/// Most lines of a map (`UID_GID_MAP_MAX_EXTENTS`).
const MAX_EXTENTS: usize = 340;

/// A line of a map: `count` ids from `inside` are those from `outside` on.
#[derive(Clone, Copy, Debug)]
struct Extent {
    inside: u32,
    /// In the parent as written; in the kernel once set.
    outside: u32,
    count: u32,
}

/// An id map between a namespace and the kernel.
#[derive(Debug)]
pub struct IdMap(Vec<Extent>);

fn shift(id: u32, from: u32, to: u32, count: u32) -> Option<u32> {
    let offset = id.checked_sub(from).filter(|o| *o < count)?;
    to.checked_add(offset)
}

impl IdMap {
    /// The kernel's id for one inside.
    pub fn to_kernel(&self, id: u32) -> Option<u32> {
        let found = |e: &Extent| shift(id, e.inside, e.outside, e.count);
        self.0.iter().find_map(found)
    }

    /// The id inside for one of the kernel's.
    pub fn to_user(&self, id: u32) -> Option<u32> {
        let found = |e: &Extent| shift(id, e.outside, e.inside, e.count);
        self.0.iter().find_map(found)
    }
}

/// Which map, and what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `uid_map`.
    Uid,
    /// `gid_map`.
    Gid,
}

impl Which {
    fn cap(self) -> Cap {
        match self {
            Which::Uid => Cap::Setuid,
            Which::Gid => Cap::Setgid,
        }
    }

    fn is_uid(self) -> bool {
        self == Which::Uid
    }
}

fn overlap(a: u32, b: u32, n: u32, m: u32) -> bool {
    let (a, b, n, m) = (u64::from(a), u64::from(b), u64::from(n), u64::from(m));
    a < b + m && b < a + n
}

fn parse(text: &[u8]) -> Result<Vec<Extent>> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let mut list: Vec<Extent> = Vec::new();
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        let mut words = line.split_ascii_whitespace();
        let mut number = || -> Result<u32> {
            let word = words.next().ok_or(Errno::EINVAL)?;
            word.parse().map_err(|_| Errno::EINVAL)
        };
        let new = Extent {
            inside: number()?,
            outside: number()?,
            count: number()?,
        };
        let fits = |from: u32| from != u32::MAX && from.checked_add(new.count).is_some();
        let clash = list.iter().any(|e| {
            overlap(e.inside, new.inside, e.count, new.count)
                || overlap(e.outside, new.outside, e.count, new.count)
        });
        let rest = words.next().is_some();
        if rest || new.count == 0 || !fits(new.inside) || !fits(new.outside) || clash {
            return Err(Errno::EINVAL);
        }
        if list.len() >= MAX_EXTENTS {
            return Err(Errno::EINVAL);
        }
        list.push(new);
    }
    Ok(list)
}

/// Whether a writer may set this map of `ns` (`new_idmap_permitted`). `opener` opened the file.
fn allowed(ns: &UserNamespace, which: Which, list: &[Extent], me: &Creds, opener: &Creds) -> bool {
    if which.is_uid() && list.iter().any(|e| e.outside == 0) {
        // Who maps the parent's root could give file capabilities valid there.
        let from_inside = opener.user_ns.ino() == Some(ns.ino);
        let can = if from_inside {
            ns.maker_setfcap
        } else {
            opener.ns_capable(&ns.parent, Cap::Setfcap)
        };
        if !can {
            return false;
        }
    }
    if let [
        Extent {
            outside, count: 1, ..
        },
    ] = list
        && ns.owner == me.euid
    {
        let own = match which {
            Which::Uid => ns.parent.uid_to_kernel(*outside) == Some(me.euid),
            Which::Gid => {
                !ns.maps.lock().setgroups && ns.parent.gid_to_kernel(*outside) == Some(me.egid)
            }
        };
        if own {
            return true;
        }
    }
    let cap = which.cap();
    me.ns_capable(&ns.parent, cap) && opener.ns_capable(&ns.parent, cap)
}

impl UserNs {
    /// Sets a map by a write of `text`: `EPERM` for those who may not and a second time,
    /// `EINVAL` for text that is no map.
    pub fn write_map(&self, which: Which, text: &[u8], me: &Creds, opener: &Creds) -> Result<()> {
        let Some(ns) = &self.0 else {
            return Err(Errno::EPERM);
        };
        let set = |ns: &UserNamespace| {
            let maps = ns.maps.lock();
            match which {
                Which::Uid => maps.uids.is_some(),
                Which::Gid => maps.gids.is_some(),
            }
        };
        if set(ns) || !me.ns_capable(self, Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        let mut list = parse(text)?;
        if me.user_ns != *self && me.user_ns != ns.parent {
            return Err(Errno::EPERM);
        }
        if !allowed(ns, which, &list, me, opener) {
            return Err(Errno::EPERM);
        }
        for e in &mut list {
            e.outside = ns.parent.range(which, e).ok_or(Errno::EPERM)?;
        }
        let mut maps = ns.maps.lock();
        let place = match which {
            Which::Uid => &mut maps.uids,
            Which::Gid => &mut maps.gids,
        };
        if place.is_some() {
            return Err(Errno::EPERM);
        }
        *place = Some(Arc::new(IdMap(list)));
        Ok(())
    }

    /// Where the ids of a line begin in the kernel: all of it within one line here.
    fn range(&self, which: Which, e: &Extent) -> Option<u32> {
        let Some(map) = self.id_map(which.is_uid()) else {
            return Some(e.outside);
        };
        let map = map?;
        let last = e.outside.checked_add(e.count.checked_sub(1)?)?;
        let home = map.0.iter().find(|m| {
            shift(e.outside, m.inside, m.outside, m.count).is_some()
                && shift(last, m.inside, m.outside, m.count).is_some()
        })?;
        shift(e.outside, home.inside, home.outside, home.count)
    }

    /// A map as `reader` sees it: outer ids are those of his namespace, or of the parent for
    /// one who is inside; all ones when not mapped there.
    pub fn map_text(&self, which: Which, reader: &UserNs) -> Vec<u8> {
        let Some(map) = self.id_map(which.is_uid()) else {
            return b"         0          0 4294967295\n".to_vec();
        };
        let lower = match self.parent() {
            Some(parent) if reader == self => parent,
            _ => reader.clone(),
        };
        let mut text = String::new();
        for e in map.iter().flat_map(|m| m.0.iter()) {
            let seen = lower.to_user(which.is_uid(), e.outside);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:>10} {:>10} {:>10}",
                e.inside,
                seen.unwrap_or(u32::MAX),
                e.count
            );
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_written_once_and_turns_ids_both_ways() {
        let root = Creds::root();
        let ns = UserNs::child(&root, 7).unwrap();
        let inside = root.entering(ns.clone());
        for bad in [
            "",
            "0 0",
            "0 1 0",
            "0 0 1\n0 5 1\n",
            "4294967295 0 1",
            "0 1 2 3",
        ] {
            let wrote = ns.write_map(Which::Uid, bad.as_bytes(), &root, &root);
            assert_eq!(wrote, Err(Errno::EINVAL), "{bad:?}");
        }
        assert_eq!(ns.shown_uid(0), super::super::OVERFLOW_ID);
        let text = b"0 1000 10\n100 5 1\n";
        assert_eq!(ns.write_map(Which::Uid, text, &root, &root), Ok(()));
        let again = ns.write_map(Which::Uid, text, &root, &root);
        assert_eq!(again, Err(Errno::EPERM));
        assert_eq!(ns.uid_to_kernel(9), Some(1009));
        assert_eq!(ns.uid_to_kernel(10), None);
        assert_eq!(ns.uid_to_user(5), Some(100));
        assert!(root.ns_capable(&ns, Cap::SysAdmin));
        assert!(!inside.capable(Cap::SysAdmin));
        assert!(inside.ns_capable(&ns, Cap::SysAdmin));
        let below = UserNs::child(
            &Creds {
                euid: 1000,
                ..inside
            },
            8,
        );
        // Groups are not mapped.
        assert_eq!(below.err(), Some(Errno::EPERM));
    }
}
