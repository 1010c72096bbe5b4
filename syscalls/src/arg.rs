//! Typed arguments: how one register becomes a value, and how the value is printed.
//!
//! Decoding never reads guest memory and never fails, so that the order of errors stays in
//! the handler's hands. Pointers are read by their own methods, each at most once, because
//! reading consumes them.

use std::fmt::{self, Write};
use std::marker::PhantomData;
use std::sync::Arc;

use abi::Errno;
use sentry::io::{IoVec, UserIo};
use sentry::{Result, Task};
use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// One argument of a system call.
pub trait Arg: Sized {
    /// From the register.
    fn decode(reg: u64) -> Self;
    /// As the host's strace prints it; `t` gives access to guest memory. `after` tells
    /// whether the call has returned (then out-pointers have their content).
    fn trace(&self, t: &Arc<Task>, after: bool, out: &mut String);
}

/// A value that goes back into `rax`.
pub trait Ret {
    /// As the register holds it.
    fn into_reg(self) -> i64;
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Arg for $t {
            fn decode(reg: u64) -> $t { reg as $t }
            fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
                let _ = write!(out, "{self}");
            }
        }
    )*};
}
macro_rules! returns {
    ($($t:ty),*) => {$(
        impl Ret for $t {
            fn into_reg(self) -> i64 { self as i64 }
        }
    )*};
}
integers!(i32, u32, i64, u64, usize);
returns!(i32, u32, i64, u64, usize);

impl Ret for () {
    fn into_reg(self) -> i64 {
        0
    }
}

impl Ret for Fd {
    fn into_reg(self) -> i64 {
        i64::from(self.0)
    }
}

/// A file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd(pub i32);

impl Arg for Fd {
    fn decode(reg: u64) -> Fd {
        Fd(i32::decode(reg))
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        let _ = write!(out, "{}", self.0);
    }
}

/// A directory descriptor or `AT_FDCWD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirFd(pub i32);

impl DirFd {
    /// The current directory.
    pub const CWD: DirFd = DirFd(-100);
}

impl Arg for DirFd {
    fn decode(reg: u64) -> DirFd {
        DirFd(i32::decode(reg))
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        if *self == DirFd::CWD {
            out.push_str("AT_FDCWD");
        } else {
            let _ = write!(out, "{}", self.0);
        }
    }
}

/// A guest address that is not dereferenced by its type (`mmap`'s addr).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserAddr(pub u64);

impl fmt::Debug for UserAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            f.write_str("NULL")
        } else {
            write!(f, "{:#x}", self.0)
        }
    }
}

impl Arg for UserAddr {
    fn decode(reg: u64) -> UserAddr {
        UserAddr(reg)
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        let _ = write!(out, "{self:?}");
    }
}

/// A pointer to a NUL-terminated string (a path, mostly).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserCStr(pub u64);

impl UserCStr {
    /// Whether it is `NULL`.
    pub fn is_null(self) -> bool {
        self.0 == 0
    }
    /// Reads a path: at most `PATH_MAX` with its NUL, else `ENAMETOOLONG`; `EFAULT`.
    pub fn read_path(self, t: &Arc<Task>) -> Result<Vec<u8>> {
        t.mm().copy_in_cstr(self.0, abi::PATH_MAX - 1)
    }
    /// Reads a string of at most `max` bytes; `ENAMETOOLONG`, `EFAULT`.
    pub fn read(self, t: &Arc<Task>, max: usize) -> Result<Vec<u8>> {
        t.mm().copy_in_cstr(self.0, max)
    }
}

impl Arg for UserCStr {
    fn decode(reg: u64) -> UserCStr {
        UserCStr(reg)
    }
    fn trace(&self, t: &Arc<Task>, _after: bool, out: &mut String) {
        match self.read(t, abi::PATH_MAX) {
            Ok(s) => crate::strace::quote(&s, usize::MAX, out),
            Err(_) => {
                let _ = write!(out, "{:?}", UserAddr(self.0));
            }
        }
    }
}

/// Direction of a pointer argument.
pub trait Dir {
    /// Whether the kernel reads it.
    const READ: bool;
    /// Whether the kernel writes it.
    const WRITE: bool;
}
/// Read by the kernel.
#[derive(Clone, Copy, Debug)]
pub struct In;
/// Written by the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Out;
/// Both.
#[derive(Clone, Copy, Debug)]
pub struct InOut;
impl Dir for In {
    const READ: bool = true;
    const WRITE: bool = false;
}
impl Dir for Out {
    const READ: bool = false;
    const WRITE: bool = true;
}
impl Dir for InOut {
    const READ: bool = true;
    const WRITE: bool = true;
}

/// A pointer to a `T` in guest memory, used in direction `D`.
#[derive(Debug)]
pub struct UserPtr<T, D> {
    addr: u64,
    _of: PhantomData<(T, D)>,
}

impl<T, D> UserPtr<T, D> {
    /// From an address computed by a handler.
    pub fn at(addr: u64) -> UserPtr<T, D> {
        UserPtr {
            addr,
            _of: PhantomData,
        }
    }
    /// Whether it is `NULL`.
    pub fn is_null(&self) -> bool {
        self.addr == 0
    }
    /// The address.
    pub fn addr(&self) -> u64 {
        self.addr
    }
    /// `None` for `NULL`.
    pub fn non_null(self) -> Option<UserPtr<T, D>> {
        if self.addr == 0 { None } else { Some(self) }
    }
}

impl<T: FromBytes + IntoBytes, D: Dir> UserPtr<T, D> {
    /// Copies the value in; consumes the pointer so that nothing is fetched twice.
    /// Use on `In` and `InOut` (for `InOut` keep [`UserPtr::addr`] for the write back).
    pub fn read(self, t: &Arc<Task>) -> Result<T> {
        let mut value = T::new_zeroed();
        t.mm().copy_in(self.addr, value.as_mut_bytes())?;
        Ok(value)
    }
    /// Copies `n` values in; the caller has bounded `n`.
    pub fn read_array(self, t: &Arc<Task>, n: usize) -> Result<Vec<T>> {
        let mut values = Vec::new();
        values.try_reserve_exact(n).map_err(|_| Errno::ENOMEM)?;
        values.resize_with(n, T::new_zeroed);
        let mm = t.mm();
        let size = size_of::<T>() as u64;
        for (i, v) in values.iter_mut().enumerate() {
            mm.copy_in(
                self.addr.wrapping_add(size.wrapping_mul(i as u64)),
                v.as_mut_bytes(),
            )?;
        }
        Ok(values)
    }
}

impl<T: IntoBytes + Immutable, D: Dir> UserPtr<T, D> {
    /// Copies a value out.
    pub fn write(&self, t: &Arc<Task>, value: &T) -> Result<()> {
        Ok(t.mm().copy_out(self.addr, value.as_bytes())?)
    }
    /// Copies a value out unless the pointer is `NULL`.
    pub fn write_opt(&self, t: &Arc<Task>, value: &T) -> Result<()> {
        if self.is_null() {
            Ok(())
        } else {
            self.write(t, value)
        }
    }
    /// Copies values out one after the other.
    pub fn write_array(&self, t: &Arc<Task>, values: &[T]) -> Result<()> {
        Ok(t.mm().copy_out(self.addr, values.as_bytes())?)
    }
}

impl<T, D: Dir> Arg for UserPtr<T, D> {
    fn decode(reg: u64) -> UserPtr<T, D> {
        UserPtr::at(reg)
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        let _ = write!(out, "{:?}", UserAddr(self.addr));
    }
}

/// A plain buffer; its length is another argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserBuf(pub u64);

impl UserBuf {
    /// As source or destination of `len` bytes. Like Linux's `access_ok`, a range that wraps
    /// or leaves the user half is `EFAULT` at once; everything else only when touched.
    pub fn io(self, t: &Arc<Task>, len: usize) -> Result<UserIo> {
        check_range(self.0, len)?;
        Ok(UserIo::single(t.mm(), self.0, len))
    }
    /// Copies `len` bytes in; the caller has bounded `len`.
    pub fn read(self, t: &Arc<Task>, len: usize) -> Result<Vec<u8>> {
        let mut buf = Vec::new();
        buf.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        buf.resize(len, 0);
        t.mm().copy_in(self.0, &mut buf)?;
        Ok(buf)
    }
    /// Copies a structure in that later versions may lengthen: `EINVAL` when `size` is less
    /// than the `least` a caller may give, `E2BIG` when there is more than is known here, unless
    /// that is zero.
    pub fn read_extensible<T: FromBytes>(
        self,
        t: &Arc<Task>,
        size: usize,
        least: usize,
    ) -> Result<T> {
        if size > abi::PAGE_SIZE as usize {
            return Err(Errno::E2BIG);
        }
        if size < least {
            return Err(Errno::EINVAL);
        }
        let known = size_of::<T>();
        let mut bytes = self.read(t, size)?;
        if bytes.iter().skip(known).any(|b| *b != 0) {
            return Err(Errno::E2BIG);
        }
        bytes.resize(known, 0);
        T::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)
    }
    /// Copies bytes out.
    pub fn write(self, t: &Arc<Task>, bytes: &[u8]) -> Result<()> {
        Ok(t.mm().copy_out(self.0, bytes)?)
    }
}

impl Arg for UserBuf {
    fn decode(reg: u64) -> UserBuf {
        UserBuf(reg)
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        let _ = write!(out, "{:?}", UserAddr(self.0));
    }
}

/// A pointer to an iovec array; its count is another argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserIoVec(pub u64);

impl UserIoVec {
    /// Copies the array in: `EINVAL` for a count above `UIO_MAXIOV` or a length that is
    /// negative or overflows; `EFAULT`.
    pub fn read(self, t: &Arc<Task>, count: u64) -> Result<UserIo> {
        let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
        if count > abi::UIO_MAXIOV {
            return Err(Errno::EINVAL);
        }
        let raw: Vec<[u64; 2]> = UserPtr::<[u64; 2], In>::at(self.0).read_array(t, count)?;
        let mut vec: SmallVec<[IoVec; 2]> = SmallVec::with_capacity(count);
        for [addr, len] in raw {
            if i64::try_from(len).is_err() {
                return Err(Errno::EINVAL);
            }
            let mut len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            // A single piece is cut before it is looked at.
            if count == 1 {
                len = len.min(abi::MAX_RW_COUNT);
            }
            check_range(addr, len)?;
            vec.push(IoVec { addr, len });
        }
        Ok(UserIo::vector(t.mm(), vec))
    }
}

impl Arg for UserIoVec {
    fn decode(reg: u64) -> UserIoVec {
        UserIoVec(reg)
    }
    fn trace(&self, _t: &Arc<Task>, _after: bool, out: &mut String) {
        let _ = write!(out, "{:?}", UserAddr(self.0));
    }
}

/// Linux's `access_ok`: the range must lie in the user half of the address space.
fn check_range(addr: u64, len: usize) -> Result<()> {
    match addr.checked_add(len as u64) {
        Some(end) if end <= abi::TASK_SIZE => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Defines an argument type over a `bitflags`-like set of named bits, printed as strace
/// does: `A|B|0x40`.
#[macro_export]
macro_rules! flag_arg {
    ($(#[$doc:meta])* $name:ident : $repr:ty { $($flag:ident = $value:expr,)* }) => {
        bitflags::bitflags! {
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub struct $name: $repr {
                $(#[doc = stringify!($flag)] const $flag = $value;)*
            }
        }
        impl $crate::arg::Arg for $name {
            fn decode(reg: u64) -> $name {
                $name::from_bits_retain(<$repr as $crate::arg::Arg>::decode(reg))
            }
            fn trace(&self, _t: &std::sync::Arc<sentry::Task>, _after: bool, out: &mut String) {
                $crate::strace::flags(self.iter_names().map(|(n, _)| n),
                    u64::from((*self - $name::all()).bits()), out);
            }
        }
    };
}
