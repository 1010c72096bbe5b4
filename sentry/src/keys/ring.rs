//! Links of keyrings.

use std::collections::BTreeSet;

use abi::Errno;

use super::lookup::DEPTH;
use super::table::Table;
use super::{KeyType, Serial};
use crate::Result;

/// Most links of a keyring.
const MAX_LINKS: usize = 65_535;

impl Table {
    /// The links of a keyring; `ENOTDIR` for another key.
    pub fn links(&self, ring: Serial) -> Result<&[Serial]> {
        let key = self.key(ring)?;
        match key.kind {
            KeyType::Keyring => Ok(&key.links),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The key of a type with a description that a keyring links.
    pub fn linked(&self, ring: Serial, kind: KeyType, description: &[u8]) -> Option<Serial> {
        let same = |s: &&Serial| {
            let key = self.key(**s);
            key.is_ok_and(|k| k.kind == kind && k.description == description)
        };
        self.links(ring).ok()?.iter().find(same).copied()
    }

    /// Links a key, in place of one of the same type and description: `ENOTDIR`; `EDEADLK`
    /// for a cycle, `ELOOP` for too deep a nesting, `ENFILE` when the keyring is full.
    pub fn link(&mut self, ring: Serial, key: Serial) -> Result<()> {
        let links = self.links(ring)?;
        if links.contains(&key) {
            return Ok(());
        }
        let full = links.len() >= MAX_LINKS;
        let (kind, description) = {
            let key = self.key(key)?;
            (key.kind, key.description.clone())
        };
        if kind == KeyType::Keyring {
            self.check_nesting(ring, key)?;
        }
        let old = self.linked(ring, kind, &description);
        if full && old.is_none() {
            return Err(Errno::ENFILE);
        }
        self.get_ref(key);
        let links = &mut self.key_mut(ring)?.links;
        links.retain(|s| Some(*s) != old);
        links.push(key);
        if let Some(old) = old {
            self.put(old);
        }
        Ok(())
    }

    /// That `ring` is not below `key`, which is not nested too deep.
    fn check_nesting(&self, ring: Serial, key: Serial) -> Result<()> {
        let mut level = BTreeSet::from([key]);
        for _ in 0..=DEPTH {
            if level.contains(&ring) {
                return Err(Errno::EDEADLK);
            }
            let links = level.iter().filter_map(|s| self.links(*s).ok()).flatten();
            let rings = links.filter(|s| self.links(**s).is_ok());
            level = rings.copied().collect();
            if level.is_empty() {
                return Ok(());
            }
        }
        Err(Errno::ELOOP)
    }

    /// Takes a link away: `ENOTDIR`, `ENOENT`.
    pub fn unlink(&mut self, ring: Serial, key: Serial) -> Result<()> {
        if !self.links(ring)?.contains(&key) {
            return Err(Errno::ENOENT);
        }
        self.key_mut(ring)?.links.retain(|s| *s != key);
        self.put(key);
        Ok(())
    }

    /// Takes all links away: `ENOTDIR`.
    pub fn clear(&mut self, ring: Serial) -> Result<()> {
        self.links(ring)?;
        let links = std::mem::take(&mut self.key_mut(ring)?.links);
        for key in links {
            self.put(key);
        }
        Ok(())
    }
}
