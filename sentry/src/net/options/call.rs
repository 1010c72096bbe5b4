//! A `getsockopt(2)` or `setsockopt(2)` as the layers that answer it see it: the value is
//! copied in only where, and as far as, an option wants it, because the errors of a bad
//! pointer and of an unknown option come in that order.

use std::cell::Cell;
use std::sync::Arc;

use abi::Errno;

use crate::Result;
use crate::creds::Cap;
use crate::net::NetNs;
use crate::task::Task;

/// Value of an option towards the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptValue {
    /// An int, cut to the length given.
    Int(i32),
    /// An int, of which the level IP gives one byte where less than four are asked for.
    Byte(i32),
    /// Anything else, cut to the length given.
    Bytes(Vec<u8>),
    /// All of it, whatever the length given, and the length that is told.
    Whole(Vec<u8>, usize),
    /// The length it would take, with `ERANGE`.
    TooLong(usize),
}

impl OptValue {
    /// A truth value.
    pub fn flag(on: bool) -> OptValue {
        OptValue::Int(i32::from(on))
    }
}

/// One of the two calls.
pub struct OptCall<'a> {
    /// Who calls.
    pub t: &'a Arc<Task>,
    /// The socket's network namespace.
    pub net: Arc<NetNs>,
    /// Level.
    pub level: i32,
    /// Number of the option.
    pub name: i32,
    /// Where the value is, or goes to.
    addr: u64,
    /// Length of the value to be set.
    pub len: usize,
    /// Where the length of a value to be got is.
    len_ptr: u64,
    room: Cell<Option<i32>>,
}

impl<'a> OptCall<'a> {
    /// A `setsockopt(2)` of `len` bytes at `addr`.
    pub fn set(
        t: &'a Arc<Task>,
        net: &Arc<NetNs>,
        (level, name): (i32, i32),
        addr: u64,
        len: usize,
    ) -> OptCall<'a> {
        OptCall {
            t,
            net: net.clone(),
            level,
            name,
            addr,
            len,
            len_ptr: 0,
            room: Cell::new(None),
        }
    }

    /// A `getsockopt(2)` to `addr`, with its length at `len_ptr`.
    pub fn get(
        t: &'a Arc<Task>,
        net: &Arc<NetNs>,
        (level, name): (i32, i32),
        addr: u64,
        len_ptr: u64,
    ) -> OptCall<'a> {
        OptCall {
            len_ptr,
            ..OptCall::set(t, net, (level, name), addr, 0)
        }
    }

    /// The length given for a value to be got; `EFAULT`.
    pub fn raw_room(&self) -> Result<i32> {
        if let Some(room) = self.room.get() {
            return Ok(room);
        }
        let mut raw = [0; 4];
        self.t.mm().copy_in(self.len_ptr, &mut raw)?;
        let room = i32::from_ne_bytes(raw);
        self.room.set(Some(room));
        Ok(room)
    }

    /// As [`OptCall::raw_room`], and `EINVAL` when it is negative.
    pub fn room(&self) -> Result<usize> {
        usize::try_from(self.raw_room()?).map_err(|_| Errno::EINVAL)
    }

    /// As [`OptCall::room`], a negative length counting as a large one.
    pub fn wide_room(&self) -> Result<usize> {
        Ok(usize::try_from(self.raw_room()?).unwrap_or(usize::MAX))
    }

    /// The first `n` bytes at the value's place; `EFAULT`.
    pub fn bytes(&self, n: usize) -> Result<Vec<u8>> {
        let mut raw = vec![0; n];
        self.t.mm().copy_in(self.addr, &mut raw)?;
        Ok(raw)
    }

    /// A structure of `N` bytes; `EINVAL` when fewer are given.
    pub fn exact<const N: usize>(&self) -> Result<[u8; N]> {
        if self.len < N {
            return Err(Errno::EINVAL);
        }
        let mut raw = [0; N];
        self.t.mm().copy_in(self.addr, &mut raw)?;
        Ok(raw)
    }

    /// An int; `EINVAL` when it is shorter.
    pub fn int(&self) -> Result<i32> {
        Ok(i32::from_ne_bytes(self.exact()?))
    }

    /// Whether no place for the value was given.
    pub fn is_null(&self) -> bool {
        self.addr == 0
    }

    /// `EPERM` unless the caller has one of `caps`.
    pub fn need(&self, caps: &[Cap]) -> Result<()> {
        let creds = self.t.creds();
        match caps.iter().any(|cap| self.net.allows(&creds, *cap)) {
            true => Ok(()),
            false => Err(Errno::EPERM),
        }
    }

    /// Whether a value of `n` bytes fits where it is to go; `EINVAL`.
    pub fn fits(&self, n: usize) -> Result<()> {
        if self.room()? < n {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// A value, once the length has been looked at: level IPv6 takes a negative one.
    pub fn checked(&self, value: OptValue) -> Result<OptValue> {
        const SOL_IPV6: i32 = 41;
        match self.level {
            SOL_IPV6 => self.raw_room().map(drop)?,
            _ => self.room().map(drop)?,
        }
        Ok(value)
    }

    /// Writes a value that was got, and its length. `EFAULT`; `ERANGE` for one too long.
    pub fn put(&self, value: OptValue) -> Result<()> {
        let mut room = self.wide_room()?;
        let (bytes, told) = match value {
            OptValue::Int(n) => (n.to_ne_bytes().to_vec(), None),
            OptValue::Byte(n) => match u8::try_from(n) {
                Ok(byte) if (1..4).contains(&room) => (vec![byte], None),
                _ => (n.to_ne_bytes().to_vec(), None),
            },
            OptValue::Bytes(b) => (b, None),
            OptValue::Whole(b, n) => {
                room = b.len();
                (b, Some(n))
            }
            OptValue::TooLong(n) => {
                self.put(OptValue::Whole(Vec::new(), n))?;
                return Err(Errno::ERANGE);
            }
        };
        let n = bytes.len().min(room);
        let mm = self.t.mm();
        mm.copy_out(self.addr, bytes.get(..n).unwrap_or_default())?;
        let len = u32::try_from(told.unwrap_or(n)).unwrap_or(0);
        mm.copy_out(self.len_ptr, &len.to_ne_bytes())?;
        Ok(())
    }
}
