//! What `add_key(2)`, `request_key(2)` and `keyctl(2)` do.

use std::time::Duration;

use abi::Errno;

use super::lookup::{Wanted, permitted, search};
use super::table::NewKey;
use super::{KeyType, PAYLOAD_MAX, Serial, need};
use crate::Result;
use crate::creds::Cap;
use crate::task::Task;
use crate::userns::OVERFLOW_ID;

/// Checks a payload for a new or changed key; `EINVAL`.
fn check_payload(kind: KeyType, payload: &[u8]) -> Result<()> {
    let fits = match kind {
        KeyType::Keyring => payload.is_empty(),
        KeyType::User | KeyType::Logon => (1..=PAYLOAD_MAX).contains(&payload.len()),
    };
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}

impl Task {
    fn now(&self) -> Duration {
        self.kernel.clock.boottime()
    }

    /// `add_key(2)`: the key's number.
    pub fn add_key(
        &self,
        kind: &[u8],
        description: Option<&[u8]>,
        payload: Vec<u8>,
        ring: i32,
    ) -> Result<Serial> {
        let ring = self.key(ring, true, need::WRITE)?;
        let kind = KeyType::named(kind).ok_or(Errno::ENODEV)?;
        let description = description.ok_or(Errno::EINVAL)?;
        self.kernel
            .keys
            .with(|t| t.links(ring.serial()).map(drop))?;
        // A logon key's description names a service.
        let colon = description.iter().position(|b| *b == b':');
        if kind == KeyType::Logon && colon.is_none_or(|at| at == 0) {
            return Err(Errno::EINVAL);
        }
        check_payload(kind, &payload)?;
        let creds = self.creds();
        self.kernel.keys.with(|table| {
            let old = table.linked(ring.serial(), kind, description);
            if let Some(old) = old.filter(|_| kind != KeyType::Keyring) {
                permitted(table.key(old)?, &creds, ring.possessed, need::WRITE)?;
                table.set_payload(old, payload)?;
                let key = table.key_mut(old)?;
                (key.revoked, key.expires) = (false, None);
                return Ok(old);
            }
            let serial = table.make(NewKey {
                kind,
                description,
                payload,
                owner: (creds.fsuid, creds.fsgid),
                perm: None,
                charged: true,
            })?;
            let linked = table.link(ring.serial(), serial);
            table.put(serial);
            linked.map(|()| serial)
        })
    }

    /// `request_key(2)`: the number of a key found in the task's keyrings, linked to `ring`
    /// too where one is named. There is nobody to ask for others: `ENOKEY`.
    pub fn request_key(&self, kind: &[u8], description: &[u8], ring: i32) -> Result<Serial> {
        let to = match ring {
            0 => None,
            ring => Some(self.key(ring, true, need::WRITE)?),
        };
        let kind = KeyType::named(kind).ok_or(Errno::ENOKEY)?;
        let serial = self.search_own(&Wanted::Named(kind, description))?;
        if let Some(to) = to {
            let creds = self.creds();
            self.kernel.keys.with(|table| {
                permitted(table.key(serial)?, &creds, true, need::LINK)?;
                table.link(to.serial(), serial)
            })?;
        }
        Ok(serial)
    }

    /// `KEYCTL_SEARCH`.
    pub fn search_keyring(
        &self,
        ring: i32,
        kind: &[u8],
        description: &[u8],
        to: i32,
    ) -> Result<Serial> {
        let ring = self.key(ring, false, need::SEARCH)?;
        let to = match to {
            0 => None,
            to => Some(self.key(to, true, need::WRITE)?),
        };
        let kind = KeyType::named(kind).ok_or(Errno::ENOKEY)?;
        let (creds, now) = (self.creds(), self.now());
        self.kernel.keys.with(|table| {
            table.links(ring.serial())?;
            let wanted = Wanted::Named(kind, description);
            let from = (ring.serial(), ring.possessed);
            let found = search(table, (&creds, now), from, &wanted)?;
            if let Some(to) = &to {
                permitted(table.key(found)?, &creds, ring.possessed, need::LINK)?;
                table.link(to.serial(), found)?;
            }
            Ok(found)
        })
    }

    /// `KEYCTL_UPDATE`.
    pub fn update_key(&self, id: i32, payload: Vec<u8>) -> Result<()> {
        let found = self.key(id, false, need::WRITE)?;
        self.kernel.keys.with(|table| {
            let kind = table.key(found.serial())?.kind;
            if kind == KeyType::Keyring {
                return Err(Errno::EOPNOTSUPP);
            }
            check_payload(kind, &payload)?;
            table.set_payload(found.serial(), payload)?;
            table.key_mut(found.serial())?.expires = None;
            Ok(())
        })
    }

    /// `KEYCTL_REVOKE`.
    pub fn revoke_key(&self, id: i32) -> Result<()> {
        let found = match self.key(id, false, need::WRITE) {
            Err(Errno::EACCES) => self.key(id, false, need::SETATTR)?,
            other => other?,
        };
        self.kernel.keys.with(|table| {
            if table.key(found.serial())?.kind == KeyType::Keyring {
                table.clear(found.serial())?;
            } else {
                table.set_payload(found.serial(), Vec::new())?;
            }
            table.key_mut(found.serial())?.revoked = true;
            Ok(())
        })
    }

    /// `KEYCTL_INVALIDATE`: gone at once, wherever it is linked.
    pub fn invalidate_key(&self, id: i32) -> Result<()> {
        let found = self.key(id, false, need::SEARCH)?;
        let serial = found.serial();
        self.kernel.keys.with(|table| {
            table.key_mut(serial)?.invalid = true;
            let holds =
                |(ring, key): (Serial, &super::Key)| key.links.contains(&serial).then_some(ring);
            let rings: Vec<Serial> = table.all().filter_map(holds).collect();
            for ring in rings {
                table.unlink(ring, serial)?;
            }
            Ok(())
        })
    }

    /// `KEYCTL_CHOWN`; -1 leaves an id.
    pub fn chown_key(&self, id: i32, uid: u32, gid: u32) -> Result<()> {
        if uid == u32::MAX && gid == u32::MAX {
            return Ok(());
        }
        let found = self.key(id, true, need::SETATTR)?;
        let creds = self.creds();
        let all = creds.capable(Cap::SysAdmin);
        let mine = |gid: u32| gid == creds.fsgid || creds.groups.contains(&gid);
        self.kernel.keys.with(|table| {
            let key = table.key(found.serial())?;
            let owner = uid != u32::MAX && uid != key.uid;
            let group = gid != u32::MAX && gid != key.gid && !mine(gid);
            if !all && (owner || group) {
                return Err(Errno::EACCES);
            }
            if uid != u32::MAX {
                table.chown(found.serial(), uid)?;
            }
            if gid != u32::MAX {
                table.key_mut(found.serial())?.gid = gid;
            }
            Ok(())
        })
    }

    /// `KEYCTL_SETPERM`.
    pub fn set_key_perm(&self, id: i32, perm: u32) -> Result<()> {
        if perm & !0x3f3f_3f3f != 0 {
            return Err(Errno::EINVAL);
        }
        let found = self.key(id, true, need::SETATTR)?;
        let creds = self.creds();
        self.kernel.keys.with(|table| {
            let key = table.key_mut(found.serial())?;
            if creds.fsuid != key.uid && !creds.capable(Cap::SysAdmin) {
                return Err(Errno::EACCES);
            }
            key.perm = perm;
            Ok(())
        })
    }

    /// `KEYCTL_DESCRIBE`: type, owner, group, permissions, description.
    pub fn describe_key(&self, id: i32) -> Result<Vec<u8>> {
        let found = self.key(id, false, need::VIEW)?;
        let ns = self.creds().user_ns.clone();
        self.kernel.keys.with(|table| {
            let key = table.key(found.serial())?;
            // A user's keyrings have no group: what is shown is that of nobody.
            let gid = match key.gid {
                u32::MAX => OVERFLOW_ID,
                gid => ns.shown_gid(gid),
            };
            let uid = ns.shown_uid(key.uid);
            let head = format!("{};{uid};{gid};{:08x};", key.kind.name(), key.perm);
            let mut text = head.into_bytes();
            text.extend_from_slice(&key.description);
            text.push(0);
            Ok(text)
        })
    }

    /// `KEYCTL_READ`: the payload, or a keyring's links as numbers.
    pub fn read_key(&self, id: i32) -> Result<Vec<u8>> {
        let found = self.find_key(id, false)?;
        let (creds, now) = (self.creds(), self.now());
        self.kernel.keys.with(|table| {
            let key = table.valid(found.serial(), now)?;
            // What can be found may be read by who possesses it.
            if permitted(key, &creds, found.possessed, need::READ).is_err() && !found.possessed {
                return Err(Errno::EACCES);
            }
            match key.kind {
                KeyType::User => Ok(key.payload.clone()),
                KeyType::Logon => Err(Errno::EOPNOTSUPP),
                KeyType::Keyring => Ok(key.links.iter().flat_map(|s| s.to_ne_bytes()).collect()),
            }
        })
    }

    /// `KEYCTL_CLEAR`.
    pub fn clear_keyring(&self, id: i32) -> Result<()> {
        let found = self.key(id, true, need::WRITE)?;
        self.kernel.keys.with(|table| table.clear(found.serial()))
    }

    /// `KEYCTL_LINK`.
    pub fn link_key(&self, id: i32, ring: i32) -> Result<()> {
        let ring = self.key(ring, true, need::WRITE)?;
        let key = self.key(id, true, need::LINK)?;
        let keys = &self.kernel.keys;
        keys.with(|table| table.link(ring.serial(), key.serial()))
    }

    /// `KEYCTL_UNLINK`.
    pub fn unlink_key(&self, id: i32, ring: i32) -> Result<()> {
        let ring = self.key(ring, false, need::WRITE)?;
        let key = self.find_key(id, false)?;
        let keys = &self.kernel.keys;
        keys.with(|table| table.unlink(ring.serial(), key.serial()))
    }

    /// `KEYCTL_MOVE`; with `new` only where no key is displaced (`EEXIST`).
    pub fn move_key(&self, id: i32, from: i32, to: i32, new: bool) -> Result<()> {
        let key = self.key(id, true, need::LINK)?;
        let from = self.key(from, false, need::WRITE)?;
        let to = self.key(to, true, need::WRITE)?;
        self.kernel.keys.with(|table| {
            table.links(to.serial())?;
            if !table.links(from.serial())?.contains(&key.serial()) {
                return Err(Errno::ENOENT);
            }
            if from.serial() == to.serial() {
                return Ok(());
            }
            let this = table.key(key.serial())?;
            let there = table.linked(to.serial(), this.kind, &this.description);
            if new && there.is_some() {
                return Err(Errno::EEXIST);
            }
            table.link(to.serial(), key.serial())?;
            table.unlink(from.serial(), key.serial())
        })
    }

    /// `KEYCTL_SET_TIMEOUT`; 0 seconds for none.
    pub fn set_key_timeout(&self, id: i32, seconds: u32) -> Result<()> {
        let found = self.key(id, true, need::SETATTR)?;
        let at = self
            .now()
            .saturating_add(Duration::from_secs(seconds.into()));
        self.kernel.keys.with(|table| {
            table.key_mut(found.serial())?.expires = (seconds > 0).then_some(at);
            Ok(())
        })
    }
}
