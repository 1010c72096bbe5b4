//! Keys and keyrings (`keyrings(7)`, `keyctl(2)`): the types `user`, `logon` and `keyring`.
//!
//! [`Keys`] is the kernel's table. A key lives as long as something holds it: a keyring that
//! links it, or an [`Anchor`] of a task, a process or a user. [`TaskKeys`] are a thread's own
//! keyrings; [`lookup`] finds what a number means to a task and whether it may.
//! Lock rank: the table's lock is a leaf.

pub mod lookup;
pub mod ops;
pub mod ring;
mod table;

use std::sync::Arc;

pub use table::{Anchor, Keys};

use crate::task::Task;

/// A key's number.
pub type Serial = i32;

/// Longest payload of a `user` or `logon` key.
pub const PAYLOAD_MAX: usize = 32767;

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Data of programs.
    User,
    /// Data that only the kernel may read.
    Logon,
    /// Links to keys.
    Keyring,
}

impl KeyType {
    /// By name.
    pub fn named(name: &[u8]) -> Option<KeyType> {
        match name {
            b"user" => Some(KeyType::User),
            b"logon" => Some(KeyType::Logon),
            b"keyring" => Some(KeyType::Keyring),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::User => "user",
            KeyType::Logon => "logon",
            KeyType::Keyring => "keyring",
        }
    }

    /// Permissions of a new key: all for who possesses it, as far as they mean something, and
    /// the owner may view it.
    fn default_perm(self) -> u32 {
        match self {
            KeyType::Logon => 0x3d01_0000,
            KeyType::User | KeyType::Keyring => 0x3f01_0000,
        }
    }
}

/// Permissions asked for, as bits of one class (`KEY_POS_*` shifted down).
pub mod need {
    /// To see type, description and attributes.
    pub const VIEW: u32 = 1;
    /// To read the payload.
    pub const READ: u32 = 2;
    /// To change the payload or the links.
    pub const WRITE: u32 = 4;
    /// To be found.
    pub const SEARCH: u32 = 8;
    /// To be linked.
    pub const LINK: u32 = 0x10;
    /// To change attributes.
    pub const SETATTR: u32 = 0x20;
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its type.
    pub kind: KeyType,
    /// Its description.
    pub description: Vec<u8>,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `KEY_POS_*`, `KEY_USR_*`, `KEY_GRP_*`, `KEY_OTH_*`.
    pub perm: u32,
    /// Data.
    pub payload: Vec<u8>,
    /// A keyring's links.
    pub links: Vec<Serial>,
    /// No longer to be used.
    pub revoked: bool,
    /// As good as gone.
    pub invalid: bool,
    /// When it expires, on the boot-time clock.
    pub expires: Option<std::time::Duration>,
    /// What holds it.
    refs: u32,
    /// Counts for its owner's quota.
    charged: bool,
}

/// A thread's keyrings.
#[derive(Debug, Default)]
pub struct TaskKeys {
    thread: Option<Anchor>,
    session: Option<Arc<Anchor>>,
    /// `KEYCTL_SET_REQKEY_KEYRING`.
    request_to: i32,
}

impl TaskKeys {
    /// What a child starts with: the session keyring.
    pub fn for_child(&self) -> TaskKeys {
        TaskKeys {
            thread: None,
            session: self.session.clone(),
            request_to: self.request_to,
        }
    }
}

impl Task {
    /// A new program has no keyrings of thread and process.
    pub(crate) fn drop_keyrings(&self) {
        let thread = self.keys.lock().thread.take();
        let process = self.thread_group().keyring.lock().take();
        drop((thread, process));
    }
}
