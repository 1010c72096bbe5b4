//! The uts namespace: host and domain name (`uts_namespaces(7)`).

use crate::sync::RwLock;
use crate::userns::UserNs;

/// Longest name in bytes (`__NEW_UTS_LEN`).
pub const NAME_LEN: usize = 64;

/// Host and domain name of a container.
#[derive(Debug)]
pub struct UtsNamespace {
    /// Inode number under `/proc/PID/ns/uts`.
    pub ino: u64,
    /// The user namespace it belongs to.
    pub owner: UserNs,
    host: RwLock<Vec<u8>>,
    domain: RwLock<Vec<u8>>,
}

impl UtsNamespace {
    /// With these names, cut to [`NAME_LEN`].
    pub fn new(ino: u64, owner: UserNs, host: &[u8], domain: &[u8]) -> UtsNamespace {
        let cut = |s: &[u8]| RwLock::new(s.iter().copied().take(NAME_LEN).collect());
        UtsNamespace {
            ino,
            owner,
            host: cut(host),
            domain: cut(domain),
        }
    }
    /// The host name.
    pub fn hostname(&self) -> Vec<u8> {
        self.host.read().clone()
    }
    /// The NIS domain name.
    pub fn domainname(&self) -> Vec<u8> {
        self.domain.read().clone()
    }
    /// Sets the host name; the caller has checked its length.
    pub fn set_hostname(&self, name: Vec<u8>) {
        *self.host.write() = name;
    }
    /// Sets the domain name; the caller has checked its length.
    pub fn set_domainname(&self, name: Vec<u8>) {
        *self.domain.write() = name;
    }
}
