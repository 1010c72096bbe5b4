//! [`Slice`]: a range of guest memory that can be copied, never borrowed.

use std::marker::PhantomData;

use crate::fault::{guestmem_copy, guestmem_fill};

/// An access stopped because the host could not supply a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guest memory fault after {done} bytes")]
pub struct CopyFault {
    /// Bytes transferred before the fault.
    pub done: usize,
}

/// A range of memory shared with the guest, mapped in this process for at least `'a`.
///
/// There is no way to get a `&[u8]` out of it: the guest writes to it at any time, so its
/// bytes are copied, and what was copied is checked.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    ptr: *mut u8,
    len: usize,
    owner: PhantomData<&'a ()>,
}

// SAFETY: the pointer is only used by routines that tolerate concurrent changes and faults;
// the mapping stays for `'a`, whatever thread uses it.
unsafe impl Send for Slice<'_> {}
// SAFETY: as above; all methods take `self` by value and keep no state.
unsafe impl Sync for Slice<'_> {}

impl<'a> Slice<'a> {
    /// A slice of `len` bytes at `ptr`.
    ///
    /// # Safety
    /// `ptr..ptr+len` must lie in one mapping that stays in place for `'a`, that no Rust
    /// object lives in, and that is used through slices alone. The mapping may be
    /// unreadable or read-only: accesses then fail.
    pub(crate) unsafe fn from_raw(ptr: *mut u8, len: usize) -> Self {
        Self {
            ptr,
            len,
            owner: PhantomData,
        }
    }

    /// Start of the range in this process.
    pub(crate) fn as_ptr(self) -> *mut u8 {
        self.ptr
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether the length is 0.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The part `offset..offset+len`, or `None` when it does not lie within.
    pub fn sub(self, offset: usize, len: usize) -> Option<Slice<'a>> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        Some(Slice {
            ptr: self.ptr.wrapping_add(offset),
            len,
            owner: PhantomData,
        })
    }

    /// The first `len` bytes, or all when it is shorter.
    pub fn first(self, len: usize) -> Slice<'a> {
        Slice {
            len: self.len.min(len),
            ..self
        }
    }

    /// Copies `min(len, buf.len())` bytes out; returns their number.
    pub fn copy_to(self, buf: &mut [u8]) -> Result<usize, CopyFault> {
        let n = self.len.min(buf.len());
        // SAFETY: source within the slice, destination within `buf`; they cannot overlap.
        let left = unsafe { guestmem_copy(buf.as_mut_ptr(), self.ptr, n) };
        done(n, left)
    }

    /// Copies `min(len, buf.len())` bytes in; returns their number.
    pub fn copy_from(self, buf: &[u8]) -> Result<usize, CopyFault> {
        let n = self.len.min(buf.len());
        // SAFETY: destination within the slice, source within `buf`; they cannot overlap.
        let left = unsafe { guestmem_copy(self.ptr, buf.as_ptr(), n) };
        done(n, left)
    }

    /// Copies `min` of both lengths to `to`, lowest address first (overlapping ranges give
    /// what a byte loop gives).
    pub fn copy_to_slice(self, to: Slice<'_>) -> Result<usize, CopyFault> {
        let n = self.len.min(to.len);
        // SAFETY: both ranges lie within slices, which no Rust object lives in.
        let left = unsafe { guestmem_copy(to.ptr, self.ptr, n) };
        done(n, left)
    }

    /// Sets every byte.
    pub fn fill(self, byte: u8) -> Result<usize, CopyFault> {
        // SAFETY: the range lies within the slice.
        let left = unsafe { guestmem_fill(self.ptr, u32::from(byte), self.len) };
        done(self.len, left)
    }

    /// Position of the first `byte`.
    pub fn find_byte(self, byte: u8) -> Result<Option<usize>, CopyFault> {
        let mut chunk = [0u8; 256];
        let mut at = 0;
        while at < self.len {
            let n = chunk.len().min(self.len - at);
            let part = Slice {
                ptr: self.ptr.wrapping_add(at),
                len: n,
                owner: PhantomData,
            };
            let (got, fault) = match part.copy_to(&mut chunk) {
                Ok(got) => (got, false),
                Err(f) => (f.done, true),
            };
            if let Some(i) = chunk.iter().take(got).position(|b| *b == byte) {
                return Ok(Some(at + i));
            }
            if fault {
                return Err(CopyFault { done: at + got });
            }
            at += n;
        }
        Ok(None)
    }

    /// Copies a NUL-terminated string into `buf`, reading no further than the chunk its end
    /// is in. `Ok(Some(n))`: `n` bytes without the NUL; `Ok(None)`: no NUL within
    /// `min(len, buf.len())` bytes, all of which are in `buf`.
    pub fn copy_cstr(self, buf: &mut [u8]) -> Result<Option<usize>, CopyFault> {
        let n = self.len.min(buf.len());
        let mut at = 0;
        for chunk in buf.chunks_mut(256) {
            if at >= n {
                break;
            }
            let part = Slice {
                ptr: self.ptr.wrapping_add(at),
                len: chunk.len().min(n - at),
                owner: PhantomData,
            };
            let (got, fault) = match part.copy_to(chunk) {
                Ok(got) => (got, false),
                Err(f) => (f.done, true),
            };
            if let Some(i) = chunk.iter().take(got).position(|b| *b == 0) {
                return Ok(Some(at + i));
            }
            if fault {
                return Err(CopyFault { done: at + got });
            }
            at += got;
        }
        Ok(None)
    }
}

/// Turns "bytes left" into a result.
fn done(n: usize, left: usize) -> Result<usize, CopyFault> {
    if left == 0 {
        Ok(n)
    } else {
        Err(CopyFault {
            done: n.saturating_sub(left),
        })
    }
}
