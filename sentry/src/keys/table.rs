//! The table of keys: numbers, references, quotas.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::{Key, KeyType, Serial};
use crate::Result;
use crate::sync::Mutex;

/// Keys and bytes that a user's keys may come to (`/proc/sys/kernel/keys`).
const MAX_KEYS: u64 = 200;
const MAX_BYTES: u64 = 20_000;
/// The same for root.
const ROOT_MAX_KEYS: u64 = 1_000_000;
const ROOT_MAX_BYTES: u64 = 25_000_000;
/// User keyrings kept without anything in them.
const IDLE_USERS: usize = 256;

/// The kernel's keys.
#[derive(Default)]
pub struct Keys(Mutex<Table>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// Holds a key from outside the table.
pub struct Anchor {
    keys: Arc<Keys>,
    /// Which.
    pub serial: Serial,
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchor({})", self.serial)
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        self.keys.0.lock().put(self.serial);
    }
}

/// A new key.
pub(super) struct NewKey<'a> {
    pub kind: KeyType,
    pub description: &'a [u8],
    pub payload: Vec<u8>,
    pub owner: (u32, u32),
    pub perm: Option<u32>,
    /// Counts for the owner's quota.
    pub charged: bool,
}

/// What the lock guards.
#[derive(Default)]
pub(super) struct Table {
    keys: BTreeMap<Serial, Key>,
    /// User and user session keyring by user.
    users: BTreeMap<u32, (Serial, Serial)>,
    used: BTreeMap<u32, (u64, u64)>,
}

impl Keys {
    /// Runs `f` on the table.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
        f(&mut self.0.lock())
    }

    /// Makes a key that only the returned anchor holds.
    pub(super) fn make(self: &Arc<Keys>, new: NewKey<'_>) -> Result<Anchor> {
        let serial = self.0.lock().make(new)?;
        Ok(self.adopt(serial))
    }

    /// One more that holds the key.
    pub(super) fn hold(self: &Arc<Keys>, serial: Serial) -> Option<Anchor> {
        let held = self.0.lock().get_ref(serial);
        held.then(|| self.adopt(serial))
    }

    fn adopt(self: &Arc<Keys>, serial: Serial) -> Anchor {
        Anchor {
            keys: self.clone(),
            serial,
        }
    }
}

fn size(key: &Key) -> u64 {
    (key.description.len() + 1 + key.payload.len()) as u64
}

impl Table {
    /// A key; `ENOKEY`.
    pub fn key(&self, serial: Serial) -> Result<&Key> {
        self.keys.get(&serial).ok_or(Errno::ENOKEY)
    }

    /// The same, to be changed.
    pub fn key_mut(&mut self, serial: Serial) -> Result<&mut Key> {
        self.keys.get_mut(&serial).ok_or(Errno::ENOKEY)
    }

    /// All keys.
    pub fn all(&self) -> impl Iterator<Item = (Serial, &Key)> {
        self.keys.iter().map(|(s, k)| (*s, k))
    }

    /// Makes a key with one reference; `EDQUOT`.
    pub fn make(&mut self, new: NewKey<'_>) -> Result<Serial> {
        let key = Key {
            kind: new.kind,
            description: new.description.to_vec(),
            uid: new.owner.0,
            gid: new.owner.1,
            perm: new.perm.unwrap_or(new.kind.default_perm()),
            payload: new.payload,
            links: Vec::new(),
            revoked: false,
            invalid: false,
            expires: None,
            refs: 1,
            charged: new.charged,
        };
        if key.charged {
            self.charge(key.uid, 1, size(&key))?;
        }
        let serial = self.free_serial();
        self.keys.insert(serial, key);
        Ok(serial)
    }

    fn free_serial(&self) -> Serial {
        loop {
            let mut bytes = [0; 4];
            // Without random numbers they are only easier to guess.
            let random = platform::host::random(&mut bytes).is_ok();
            let mut at = i32::from_ne_bytes(bytes) & 0x3fff_ffff;
            if !random || at < 3 {
                at = self.keys.keys().next_back().map_or(3, |last| last + 1);
            }
            if !self.keys.contains_key(&at) {
                return at;
            }
        }
    }

    fn charge(&mut self, uid: u32, keys: u64, bytes: u64) -> Result<()> {
        let (max_keys, max_bytes) = match uid {
            0 => (ROOT_MAX_KEYS, ROOT_MAX_BYTES),
            _ => (MAX_KEYS, MAX_BYTES),
        };
        let (have, held) = self.used.get(&uid).copied().unwrap_or_default();
        let (have, held) = (have + keys, held.saturating_add(bytes));
        if have > max_keys || held > max_bytes {
            return Err(Errno::EDQUOT);
        }
        self.used.insert(uid, (have, held));
        Ok(())
    }

    fn uncharge(&mut self, uid: u32, keys: u64, bytes: u64) {
        if let Some((have, held)) = self.used.get_mut(&uid) {
            *have = have.saturating_sub(keys);
            *held = held.saturating_sub(bytes);
            if *have == 0 {
                self.used.remove(&uid);
            }
        }
    }

    /// Replaces a payload; `EDQUOT`.
    pub fn set_payload(&mut self, serial: Serial, payload: Vec<u8>) -> Result<()> {
        let (uid, charged, old) = {
            let key = self.key(serial)?;
            (key.uid, key.charged, key.payload.len() as u64)
        };
        if charged {
            let new = payload.len() as u64;
            self.charge(uid, 0, new.saturating_sub(old))?;
            self.uncharge(uid, 0, old.saturating_sub(new));
        }
        self.key_mut(serial)?.payload = payload;
        Ok(())
    }

    /// Changes the owner; `EDQUOT`.
    pub fn chown(&mut self, serial: Serial, uid: u32) -> Result<()> {
        let (old, charged, bytes) = {
            let key = self.key(serial)?;
            (key.uid, key.charged, size(key))
        };
        if charged && old != uid {
            self.charge(uid, 1, bytes)?;
            self.uncharge(old, 1, bytes);
        }
        self.key_mut(serial)?.uid = uid;
        Ok(())
    }

    /// One more reference; whether the key is there.
    pub fn get_ref(&mut self, serial: Serial) -> bool {
        let key = self.keys.get_mut(&serial);
        key.map(|k| k.refs = k.refs.saturating_add(1)).is_some()
    }

    /// One reference less. A key without any is gone, and lets go what it links: one after
    /// the other, since keyrings may be deep.
    pub fn put(&mut self, serial: Serial) {
        let mut left = vec![serial];
        while let Some(serial) = left.pop() {
            let Some(key) = self.keys.get_mut(&serial) else {
                continue;
            };
            key.refs = key.refs.saturating_sub(1);
            if key.refs > 0 {
                continue;
            }
            if let Some(key) = self.keys.remove(&serial) {
                if key.charged {
                    self.uncharge(key.uid, 1, size(&key));
                }
                left.extend(key.links);
            }
        }
    }

    /// The keyrings of a user: its own and the default session.
    pub fn of_user(&mut self, uid: u32) -> Result<(Serial, Serial)> {
        if let Some(rings) = self.users.get(&uid) {
            return Ok(*rings);
        }
        self.tidy_users();
        let mut ring = |name: String| {
            self.make(NewKey {
                kind: KeyType::Keyring,
                description: name.as_bytes(),
                payload: Vec::new(),
                owner: (uid, u32::MAX),
                perm: Some(0x1f3f_0000),
                charged: false,
            })
        };
        let user = ring(format!("_uid.{uid}"))?;
        let session = ring(format!("_uid_ses.{uid}"))?;
        self.get_ref(user);
        self.key_mut(session)?.links.push(user);
        self.users.insert(uid, (user, session));
        Ok((user, session))
    }

    /// Lets go keyrings of users who have nothing in them, where there are many.
    fn tidy_users(&mut self) {
        if self.users.len() < IDLE_USERS {
            return;
        }
        let idle = |(user, session): &(Serial, Serial)| {
            let user = self.keys.get(user);
            let session = self.keys.get(session);
            user.is_some_and(|k| k.links.is_empty() && k.refs == 2)
                && session.is_some_and(|k| k.links.len() <= 1 && k.refs == 1)
        };
        let all = self.users.iter();
        let gone: Vec<u32> = all.filter(|(_, r)| idle(r)).map(|(uid, _)| *uid).collect();
        for uid in gone {
            if let Some((user, session)) = self.users.remove(&uid) {
                self.put(session);
                self.put(user);
            }
        }
    }

    /// Whether a key may be used at `now`: `ENOKEY`, `EKEYREVOKED`, `EKEYEXPIRED`.
    pub fn valid(&self, serial: Serial, now: Duration) -> Result<&Key> {
        let key = self.key(serial)?;
        if key.invalid {
            Err(Errno::ENOKEY)
        } else if key.revoked {
            Err(Errno::EKEYREVOKED)
        } else if key.expires.is_some_and(|at| now >= at) {
            Err(Errno::EKEYEXPIRED)
        } else {
            Ok(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(description: &[u8], uid: u32, len: usize) -> NewKey<'_> {
        NewKey {
            kind: KeyType::User,
            description,
            payload: vec![0; len],
            owner: (uid, uid),
            perm: None,
            charged: true,
        }
    }

    #[test]
    fn quotas_and_references() {
        let keys = Arc::new(Keys::default());
        let first = keys.make(new(b"a", 5, 100)).unwrap();
        assert_eq!(keys.make(new(b"b", 5, 20_000)).err(), Some(Errno::EDQUOT));
        let again = keys.hold(first.serial).unwrap();
        drop(first);
        keys.with(|t| {
            assert_eq!(t.key(again.serial).unwrap().description, b"a");
            assert_eq!(
                t.set_payload(again.serial, vec![1; 25_000]),
                Err(Errno::EDQUOT)
            );
            t.set_payload(again.serial, vec![1; 19_000]).unwrap();
        });
        drop(again);
        keys.with(|t| assert!(t.all().next().is_none() && t.used.is_empty()));
    }

    #[test]
    fn users_without_keys_are_forgotten() {
        let keys = Keys::default();
        keys.with(|t| {
            for uid in 0..2000 {
                t.of_user(uid).unwrap();
            }
            assert!(t.users.len() <= IDLE_USERS);
        });
    }
}
