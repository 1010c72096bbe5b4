//! `add_key(2)`, `request_key(2)`, `keyctl(2)`.

use std::sync::Arc;

use abi::Errno;
use sentry::keys::need;
use sentry::{Result, SysResult, Task};

use crate::arg::{UserBuf, UserCStr};

/// Longest payload of `add_key`.
const ADD_MAX: usize = 1024 * 1024 - 1;
/// Longest payload of `KEYCTL_UPDATE`.
const UPDATE_MAX: usize = abi::PAGE_SIZE as usize;
/// Longest name of a type, and description; with their NULs.
const TYPE_MAX: usize = 32;
const TEXT_MAX: usize = 4096;

/// `KEYCTL_CAPABILITIES`: this operation, invalidation, moves; names by namespace are not.
const CAPABILITIES: [u8; 2] = [0x01 | 0x20 | 0x80, 0];

/// A type's name: `EINVAL` when empty or too long, `EPERM` for the kernel's own.
fn read_type(t: &Arc<Task>, name: UserCStr) -> Result<Vec<u8>> {
    let name = read_text(t, name, TYPE_MAX)?;
    match name.first() {
        None => Err(Errno::EINVAL),
        Some(b'.') => Err(Errno::EPERM),
        Some(_) => Ok(name),
    }
}

fn read_text(t: &Arc<Task>, text: UserCStr, room: usize) -> Result<Vec<u8>> {
    match text.read(t, room - 1) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::EINVAL),
        other => other,
    }
}

/// `add_key(2)`.
pub fn add_key(
    t: &Arc<Task>,
    kind: UserCStr,
    description: UserCStr,
    payload: UserBuf,
    len: usize,
    ring: i32,
) -> SysResult<i32> {
    if len > ADD_MAX {
        return Err(Errno::EINVAL.into());
    }
    let kind = read_type(t, kind)?;
    let description = match description.is_null() {
        true => None,
        false => Some(read_text(t, description, TEXT_MAX)?).filter(|d| !d.is_empty()),
    };
    if kind == b"keyring"
        && description
            .as_ref()
            .is_some_and(|d| d.first() == Some(&b'.'))
    {
        return Err(Errno::EPERM.into());
    }
    let payload = match len {
        0 => Vec::new(),
        len => payload.read(t, len)?,
    };
    Ok(t.add_key(&kind, description.as_deref(), payload, ring)?)
}

/// `request_key(2)`.
pub fn request_key(
    t: &Arc<Task>,
    kind: UserCStr,
    description: UserCStr,
    callout: UserCStr,
    ring: i32,
) -> SysResult<i32> {
    let kind = read_type(t, kind)?;
    let description = read_text(t, description, TEXT_MAX)?;
    if !callout.is_null() {
        read_text(t, callout, TEXT_MAX)?;
    }
    Ok(t.request_key(&kind, &description, ring)?)
}

/// Copies an answer out, whole or not at all; its length.
fn answer(t: &Arc<Task>, bytes: &[u8], to: UserBuf, room: usize) -> Result<i64> {
    if to.0 != 0 && bytes.len() <= room && !bytes.is_empty() {
        to.write(t, bytes)?;
    }
    Ok(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn join(t: &Arc<Task>, name: UserCStr) -> Result<i32> {
    if name.is_null() {
        return t.join_session_keyring(None);
    }
    let name = read_text(t, name, TEXT_MAX)?;
    if name.first() == Some(&b'.') {
        return Err(Errno::EPERM);
    }
    t.join_session_keyring(Some(&name))
}

fn update(t: &Arc<Task>, id: i32, payload: UserBuf, len: usize) -> Result<()> {
    if len > UPDATE_MAX {
        return Err(Errno::EINVAL);
    }
    let payload = if len == 0 {
        Vec::new()
    } else {
        payload.read(t, len)?
    };
    t.update_key(id, payload)
}

fn move_key(t: &Arc<Task>, id: i32, from: i32, to: i32, flags: u64) -> Result<()> {
    if flags & !1 != 0 {
        return Err(Errno::EINVAL);
    }
    t.move_key(id, from, to, flags & 1 != 0)
}

/// `keyctl(2)`. Operations that a kernel may be built without are not there; nobody is ever
/// asked for a key, so that there is none to instantiate.
pub fn keyctl(t: &Arc<Task>, op: i32, a: u64, b: u64, c: u64, d: u64) -> SysResult<i64> {
    let int = |reg: u64| (reg & 0xffff_ffff) as u32;
    let id = |reg: u64| int(reg).cast_signed();
    let len = |reg: u64| usize::try_from(reg).unwrap_or(usize::MAX);
    let done = |result: Result<()>| result.map(|()| 0);
    let result = match op {
        0 => t
            .key(id(a), int(b) != 0, need::SEARCH)
            .map(|k| k.serial().into()),
        1 => join(t, UserCStr(a)).map(i64::from),
        2 => done(update(t, id(a), UserBuf(b), len(c))),
        3 => done(t.revoke_key(id(a))),
        4 => done(t.chown_key(id(a), int(b), int(c))),
        5 => done(t.set_key_perm(id(a), int(b))),
        6 => t
            .describe_key(id(a))
            .and_then(|text| answer(t, &text, UserBuf(b), len(c))),
        7 => done(t.clear_keyring(id(a))),
        8 => done(t.link_key(id(a), id(b))),
        9 => done(t.unlink_key(id(a), id(b))),
        10 => search(t, id(a), (UserCStr(b), UserCStr(c)), id(d)).map(i64::from),
        11 => t
            .read_key(id(a))
            .and_then(|bytes| answer(t, &bytes, UserBuf(b), len(c))),
        // To instantiate, negate or reject a key takes an authority, which nobody has.
        12 | 13 | 19 | 20 => Err(Errno::EPERM),
        14 => t.set_request_keyring(id(a)).map(i64::from),
        15 => done(t.set_key_timeout(id(a), int(b))),
        16 if id(a) < 0 => Err(Errno::EINVAL),
        16 if id(a) == 0 => Ok(0),
        16 => Err(Errno::ENOKEY),
        // There are no labels: the empty one.
        17 => t
            .key(id(a), false, need::VIEW)
            .and_then(|_| answer(t, b"\0", UserBuf(b), len(c))),
        21 => done(t.invalidate_key(id(a))),
        30 => done(move_key(t, id(a), id(b), id(c), d)),
        31 => capabilities(t, UserBuf(a), len(b)),
        _ => Err(Errno::EOPNOTSUPP),
    };
    Ok(result?)
}

fn search(t: &Arc<Task>, ring: i32, (kind, text): (UserCStr, UserCStr), to: i32) -> Result<i32> {
    let kind = read_type(t, kind)?;
    let text = read_text(t, text, TEXT_MAX)?;
    t.search_keyring(ring, &kind, &text, to)
}

fn capabilities(t: &Arc<Task>, to: UserBuf, room: usize) -> Result<i64> {
    let mut bytes = vec![0; room.min(abi::PAGE_SIZE as usize)];
    for (byte, known) in bytes.iter_mut().zip(CAPABILITIES) {
        *byte = known;
    }
    if !bytes.is_empty() {
        to.write(t, &bytes)?;
    }
    Ok(CAPABILITIES.len() as i64)
}
