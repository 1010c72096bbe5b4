//! What a number means to a task (`keyctl(2)`, "serial numbers"), and what it may do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use abi::Errno;

use super::table::{NewKey, Table};
use super::{Anchor, Key, KeyType, Serial, need};
use crate::Result;
use crate::creds::Creds;
use crate::task::Task;

/// How deep keyrings are searched.
pub(super) const DEPTH: usize = 6;

/// `KEY_SPEC_*`.
const THREAD: i32 = -1;
const PROCESS: i32 = -2;
const SESSION: i32 = -3;
const USER: i32 = -4;
const USER_SESSION: i32 = -5;
const GROUP: i32 = -6;
const AUTHORITY: i32 = -7;
const REQUESTER: i32 = -8;

/// A key a task has named, held.
#[derive(Debug)]
pub struct Found {
    /// The key.
    pub key: Anchor,
    /// The task possesses it: it can be reached from its keyrings.
    pub possessed: bool,
}

impl Found {
    /// Its number.
    pub fn serial(&self) -> Serial {
        self.key.serial
    }
}

/// Whether `creds` may do `want` with a key; `EACCES`.
pub(super) fn permitted(key: &Key, creds: &Creds, possessed: bool, want: u32) -> Result<()> {
    let group =
        key.perm >> 8 & 0x3f != 0 && (creds.fsgid == key.gid || creds.groups.contains(&key.gid));
    let mut allowed = if creds.fsuid == key.uid {
        key.perm >> 16
    } else if group {
        key.perm >> 8
    } else {
        key.perm
    };
    if possessed {
        allowed |= key.perm >> 24;
    }
    if allowed & want == want {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// What is looked for in keyrings.
pub(super) enum Wanted<'a> {
    /// This very key.
    Serial(Serial),
    /// One of a type with a description.
    Named(KeyType, &'a [u8]),
}

/// Searches below a keyring that the task possesses or not; `ENOKEY`, or what makes the best
/// match useless.
pub(super) fn search(
    table: &Table,
    (creds, now): (&Creds, Duration),
    (ring, possessed): (Serial, bool),
    wanted: &Wanted<'_>,
) -> Result<Serial> {
    let mut seen = BTreeSet::from([ring]);
    let mut level = vec![ring];
    let mut failure = Errno::ENOKEY;
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for ring in &level {
            let Ok(ring) = table.valid(*ring, now) else {
                continue;
            };
            for &link in &ring.links {
                let Ok(key) = table.key(link) else { continue };
                let same = match wanted {
                    Wanted::Serial(serial) => *serial == link,
                    Wanted::Named(kind, text) => key.kind == *kind && key.description == *text,
                };
                let found = permitted(key, creds, possessed, need::SEARCH);
                if same {
                    let useful = matches!(wanted, Wanted::Serial(_));
                    match table.valid(link, now).map(drop).and(found) {
                        Ok(()) => return Ok(link),
                        Err(_) if useful && found.is_ok() => return Ok(link),
                        Err(e) => failure = e,
                    }
                }
                if key.kind == KeyType::Keyring && found.is_ok() && seen.insert(link) {
                    next.push(link);
                }
            }
        }
        level = next;
    }
    Err(failure)
}

impl Task {
    fn own_keyrings(&self) -> Vec<Serial> {
        let keys = self.keys.lock();
        let thread = keys.thread.as_ref().map(|a| a.serial);
        let session = keys.session.as_ref().map(|a| a.serial);
        drop(keys);
        let process = self.thread_group().keyring.lock();
        let process = process.as_ref().map(|a| a.serial);
        thread.into_iter().chain(process).chain(session).collect()
    }

    /// Searches the task's own keyrings; `ENOKEY`.
    pub(super) fn search_own(&self, wanted: &Wanted<'_>) -> Result<Serial> {
        let creds = self.creds();
        let now = self.kernel.clock.boottime();
        let mut rings = self.own_keyrings();
        let default = self.keys.lock().session.is_none();
        self.kernel.keys.with(|table| {
            if default {
                rings.push(table.of_user(creds.uid)?.1);
            }
            // A keyring where nothing is to be found counts for more than one where what is
            // found cannot be used.
            let mut failure = None;
            for ring in rings {
                if matches!(wanted, Wanted::Serial(s) if *s == ring) {
                    return Ok(ring);
                }
                match search(table, (&creds, now), (ring, true), wanted) {
                    Ok(serial) => return Ok(serial),
                    Err(Errno::ENOKEY) => failure = Some(Errno::ENOKEY),
                    Err(e) => failure = failure.or(Some(e)),
                }
            }
            Err(failure.unwrap_or(Errno::ENOKEY))
        })
    }

    fn new_keyring(&self, name: &[u8], perm: u32) -> Result<Anchor> {
        let creds = self.creds();
        self.kernel.keys.make(NewKey {
            kind: KeyType::Keyring,
            description: name,
            payload: Vec::new(),
            owner: (creds.uid, creds.gid),
            perm: Some(perm),
            charged: true,
        })
    }

    fn held(&self, serial: Serial, possessed: bool) -> Result<Found> {
        let key = self.kernel.keys.hold(serial).ok_or(Errno::ENOKEY)?;
        Ok(Found { key, possessed })
    }

    /// The thread's own keyring; `ENOKEY` without `create`.
    fn thread_keyring(&self, create: bool) -> Result<Found> {
        let mut mine = self.keys.lock();
        if mine.thread.is_none() && create {
            mine.thread = Some(self.new_keyring(b"_tid", 0x3f01_0000)?);
        }
        let serial = mine.thread.as_ref().ok_or(Errno::ENOKEY)?.serial;
        self.held(serial, true)
    }

    /// The process's own keyring; `ENOKEY` without `create`.
    fn process_keyring(&self, create: bool) -> Result<Found> {
        let mut mine = self.thread_group().keyring.lock();
        if mine.is_none() && create {
            *mine = Some(self.new_keyring(b"_pid", 0x3f01_0000)?);
        }
        let serial = mine.as_ref().ok_or(Errno::ENOKEY)?.serial;
        self.held(serial, true)
    }

    /// The session keyring: the user's default one, or a new one where one is to be written.
    fn session_keyring(&self, create: bool) -> Result<Found> {
        let uid = self.creds().uid;
        let (_, default) = self.kernel.keys.with(|t| t.of_user(uid))?;
        let mut mine = self.keys.lock();
        let now = mine.session.as_ref().map(|a| a.serial);
        if create && now.is_none_or(|serial| serial == default) {
            mine.session = Some(Arc::new(self.new_keyring(b"_ses", 0x3f03_0000)?));
        } else if now.is_none() {
            mine.session = self.kernel.keys.hold(default).map(Arc::new);
        }
        let serial = mine.session.as_ref().ok_or(Errno::ENOKEY)?.serial;
        self.held(serial, true)
    }

    /// Enters a session keyring: a new one, or that of a name; its number.
    pub fn join_session_keyring(&self, name: Option<&[u8]>) -> Result<Serial> {
        let now = self.kernel.clock.boottime();
        let creds = self.creds();
        let old = name.and_then(|name| {
            self.kernel.keys.with(|table| {
                let fits = |(serial, key): &(Serial, &Key)| {
                    key.kind == KeyType::Keyring
                        && key.description == name
                        && table.valid(*serial, now).is_ok()
                        && permitted(key, &creds, false, need::SEARCH).is_ok()
                };
                let found = table.all().find(fits);
                found.map(|(serial, _)| serial)
            })
        });
        let ring = match (old.and_then(|s| self.kernel.keys.hold(s)), name) {
            (Some(ring), _) => ring,
            (None, Some(name)) => self.new_keyring(name, 0x3f13_0000)?,
            (None, None) => self.new_keyring(b"_ses", 0x3f03_0000)?,
        };
        let serial = ring.serial;
        let old = self.keys.lock().session.replace(Arc::new(ring));
        drop(old);
        Ok(serial)
    }

    /// `KEYCTL_SET_REQKEY_KEYRING`: sets where found keys go, if it is one; the old value.
    pub fn set_request_keyring(&self, to: i32) -> Result<i32> {
        match to {
            1 => drop(self.thread_keyring(true)?),
            2 => drop(self.process_keyring(true)?),
            -1 | 0 | 3..=5 | 7 => {}
            _ => return Err(Errno::EINVAL),
        }
        let mut mine = self.keys.lock();
        let old = mine.request_to;
        if to >= 0 {
            mine.request_to = to;
        }
        Ok(old)
    }

    /// Finds what `id` means, without asking for permission; `create` makes own keyrings.
    pub(super) fn find_key(&self, id: i32, create: bool) -> Result<Found> {
        match id {
            THREAD => self.thread_keyring(create),
            PROCESS => self.process_keyring(create),
            SESSION => self.session_keyring(create),
            USER | USER_SESSION => {
                let uid = self.creds().uid;
                let (user, session) = self.kernel.keys.with(|t| t.of_user(uid))?;
                self.held(if id == USER { user } else { session }, true)
            }
            AUTHORITY | REQUESTER => Err(Errno::ENOKEY),
            GROUP => Err(Errno::EINVAL),
            _ if id < 1 => Err(Errno::EINVAL),
            serial => {
                let found = self.held(serial, false)?;
                let possessed = self.search_own(&Wanted::Serial(serial)).is_ok();
                Ok(Found { possessed, ..found })
            }
        }
    }

    /// Finds a key that may be used for `want`: `ENOKEY`, `EKEYREVOKED`, `EKEYEXPIRED`,
    /// `EACCES`.
    pub fn key(&self, id: i32, create: bool, want: u32) -> Result<Found> {
        let found = self.find_key(id, create)?;
        let (creds, now) = (self.creds(), self.kernel.clock.boottime());
        self.kernel.keys.with(|table| {
            let key = table.valid(found.serial(), now)?;
            permitted(key, &creds, found.possessed, want)
        })?;
        Ok(found)
    }
}
