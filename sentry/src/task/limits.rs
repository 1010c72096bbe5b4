//! Resource limits (`getrlimit(2)`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// A limited resource, by its Linux number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in getrlimit(2)")]
#[repr(u8)]
pub enum Resource {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

/// Number of resources.
pub const COUNT: usize = 16;

impl Resource {
    /// From its number.
    pub fn from_raw(nr: u32) -> Option<Resource> {
        use Resource as R;
        const ALL: [Resource; COUNT] = [
            R::Cpu,
            R::Fsize,
            R::Data,
            R::Stack,
            R::Core,
            R::Rss,
            R::Nproc,
            R::Nofile,
            R::Memlock,
            R::As,
            R::Locks,
            R::Sigpending,
            R::Msgqueue,
            R::Nice,
            R::Rtprio,
            R::Rttime,
        ];
        usize::try_from(nr).ok().and_then(|i| ALL.get(i)).copied()
    }
}

/// A soft and a hard limit (`struct rlimit64`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RLimit {
    /// What is enforced.
    pub soft: u64,
    /// How far `soft` may be raised.
    pub hard: u64,
}

/// The limits of a process, by resource number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits(pub [RLimit; COUNT]);

impl Limits {
    /// One limit.
    pub fn get(&self, resource: Resource) -> RLimit {
        self.0[resource as usize]
    }
    /// Replaces one limit.
    pub fn set(&mut self, resource: Resource, limit: RLimit) {
        self.0[resource as usize] = limit;
    }
}

impl Default for Limits {
    /// What Linux gives its first process on a machine with 8 GiB of memory.
    fn default() -> Limits {
        let none = RLimit {
            soft: INFINITY,
            hard: INFINITY,
        };
        let both = |soft, hard| RLimit { soft, hard };
        let mut l = Limits([none; COUNT]);
        l.set(Resource::Stack, both(8 << 20, INFINITY));
        l.set(Resource::Core, both(0, INFINITY));
        l.set(Resource::Nproc, both(31_000, 31_000));
        l.set(Resource::Nofile, both(1024, 524_288));
        l.set(Resource::Memlock, both(8 << 20, 8 << 20));
        l.set(Resource::Sigpending, both(31_000, 31_000));
        l.set(Resource::Msgqueue, both(819_200, 819_200));
        l.set(Resource::Nice, both(0, 0));
        l.set(Resource::Rtprio, both(0, 0));
        l
    }
}
