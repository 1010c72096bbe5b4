//! Machine code of patched call sites: which sites can be patched, and what they jump to.
//!
//! Only the instruction before a `syscall` is replaced, by a jump of five bytes, and only if
//! it is at least that long: the `syscall` itself stays. So there is no instruction inside
//! what is replaced at which a thread could stand, a jump to the `syscall` works as ever,
//! and the *thunk* that is jumped to comes back to it when it has no answer. What a debugger
//! or a signal handler sees of a call that traps is then just what it was.
//!
//! A thunk uses the registers that the call may change anyway (rax, rcx, r11), no stack, and
//! no flags where they might be needed after the call.

/// Bytes kept for a thunk.
pub const THUNK: u64 = 64;
/// Length of a jump.
pub const JUMP: usize = 5;

/// What the instruction that is replaced does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `mov $nr, %eax`
    Number(u32),
    /// `mov 8(%rsp), %r9` in a C function whose first argument is the number.
    LastArgument,
}

/// A call site that can be patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the replaced instruction starts.
    pub at: u64,
    /// The `syscall` instruction.
    pub call: u64,
    /// After the `syscall`.
    pub end: u64,
    /// What is replaced.
    pub head: Head,
    /// Its bytes.
    pub bytes: [u8; JUMP],
}

const SYSCALL: [u8; 2] = [0x0f, 0x05];
const LAST_ARGUMENT: [u8; JUMP] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];
/// `mov %r9, %r8`, which comes before it.
const BEFORE_LAST: [u8; 3] = [0x4d, 0x89, 0xc8];
/// `cmp $-4095, %rax`, after which no flag of before counts.
const COMPARE: [u8; 6] = [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff];

/// Whether `byte` before `b8 imm32` makes another instruction of it.
fn is_prefix(byte: u8) -> bool {
    matches!(
        byte,
        0x0f | 0x40..=0x4f | 0x66 | 0x67 | 0xc4 | 0xc5 | 0xf0 | 0xf2 | 0xf3
    )
}

/// The site whose call `nr` returns to `end`; `text` are the bytes of the page of its
/// `syscall`, which starts at `page`. `None` for forms that are not known.
pub fn find(text: &[u8], page: u64, end: u64, nr: u64) -> Option<Site> {
    let stop = usize::try_from(end.checked_sub(page)?).ok()?;
    let call = stop.checked_sub(2)?;
    let at = call.checked_sub(JUMP)?;
    if *text.get(call..stop)? != SYSCALL {
        return None;
    }
    let bytes: [u8; JUMP] = text.get(at..call)?.try_into().ok()?;
    let head = match bytes {
        [0xb8, a, b, c, d] => {
            let number = u32::from_le_bytes([a, b, c, d]);
            let before = *text.get(at.checked_sub(1)?)?;
            if u64::from(number) != nr || is_prefix(before) {
                return None;
            }
            Head::Number(number)
        }
        LAST_ARGUMENT => {
            let before = text.get(at.checked_sub(BEFORE_LAST.len())?..at)?;
            let after = text.get(stop..stop.checked_add(COMPARE.len())?)?;
            if before != BEFORE_LAST || after != COMPARE {
                return None;
            }
            Head::LastArgument
        }
        _ => return None,
    };
    let start = page.checked_add(at as u64)?;
    Some(Site {
        at: start,
        call: end.checked_sub(2)?,
        end,
        head,
        bytes,
    })
}

/// `jmp` from `from` to `to`; `None` when that is too far.
pub fn jump(from: u64, to: u64) -> Option<[u8; JUMP]> {
    let next = from.wrapping_add(JUMP as u64);
    let far = i32::try_from(to.wrapping_sub(next).cast_signed()).ok()?;
    let [a, b, c, d] = far.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

/// Code under construction.
struct Code {
    at: u64,
    bytes: Vec<u8>,
}

impl Code {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn here(&self) -> u64 {
        self.at.wrapping_add(self.bytes.len() as u64)
    }

    fn jump(&mut self, to: u64) -> Option<()> {
        let bytes = jump(self.here(), to)?;
        self.put(&bytes);
        Some(())
    }
}

/// Offset in a thunk of the jump to the end of the site, with the answer in rax.
fn answered(head: Head) -> u64 {
    match head {
        Head::Number(_) => 18,
        Head::LastArgument => 33,
    }
}

/// The code of `site`'s thunk at `at`. `words` is the address of the answers, by number:
/// 0 for none, else one more than the answer.
pub fn thunk(site: &Site, at: u64, words: u64) -> Option<Vec<u8>> {
    let mut code = Code {
        at,
        bytes: Vec::new(),
    };
    match site.head {
        Head::Number(nr) => {
            let word = words.checked_add(u64::from(nr).checked_mul(8)?)?;
            if nr as usize >= platform::WORDS {
                return None;
            }
            code.put(&[0x48, 0xa1]); // mov word, %rax
            code.put(&word.to_le_bytes());
            code.put(&[0x48, 0x91]); // xchg %rcx, %rax
            code.put(&[0xe3, 9]); // jrcxz none
            code.put(&[0x48, 0x8d, 0x41, 0xff]); // lea -1(%rcx), %rax
            code.jump(site.end)?;
            code.put(&site.bytes); // none: mov $nr, %eax
            code.jump(site.call)?;
        }
        Head::LastArgument => {
            code.put(&site.bytes);
            code.put(&[0x48, 0x3d]); // cmp $WORDS, %rax
            code.put(&u32::try_from(platform::WORDS).ok()?.to_le_bytes());
            code.put(&[0x73, 25]); // jae none
            code.put(&[0x48, 0xb9]); // mov $words, %rcx
            code.put(&words.to_le_bytes());
            code.put(&[0x48, 0x8b, 0x0c, 0xc1]); // mov (%rcx,%rax,8), %rcx
            code.put(&[0xe3, 9]); // jrcxz none
            code.put(&[0x48, 0x8d, 0x41, 0xff]); // lea -1(%rcx), %rax
            code.jump(site.end)?;
            code.jump(site.call)?; // none:
        }
    }
    (code.bytes.len() as u64 <= THUNK).then_some(code.bytes)
}

/// Where a thread that stands at offset `at` of `site`'s thunk stands in the unpatched
/// program, and the value of rax there if it is not the one it has.
pub fn unthunk(site: &Site, at: u64) -> (u64, Option<u64>) {
    match site.head {
        _ if at == answered(site.head) => (site.end, None),
        Head::Number(nr) => (site.call, Some(u64::from(nr))),
        Head::LastArgument if at == 0 => (site.at, None),
        Head::LastArgument => (site.call, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NR: [u8; 8] = [0x90, 0xb8, 110, 0, 0, 0, 0x0f, 0x05];

    #[test]
    fn a_constant_number_is_found() {
        let site = find(&NR, 0x5000, 0x5008, 110).unwrap();
        assert_eq!((site.at, site.call, site.end), (0x5001, 0x5006, 0x5008));
        assert_eq!(site.head, Head::Number(110));
        // Another number, no syscall, a site that starts before the page.
        assert_eq!(find(&NR, 0x5000, 0x5008, 39), None);
        assert_eq!(find(&NR, 0x5000, 0x5007, 110), None);
        assert_eq!(find(&NR[2..], 0x5000, 0x5006, 110), None);
        // mov $110, %r8d
        let mut text = NR;
        text[0] = 0x41;
        assert_eq!(find(&text, 0x5000, 0x5008, 110), None);
    }

    #[test]
    fn the_c_function_is_found() {
        let text = [&BEFORE_LAST[..], &LAST_ARGUMENT, &SYSCALL, &COMPARE].concat();
        let site = find(&text, 0x1000, 0x100a, 7).unwrap();
        assert_eq!(site.head, Head::LastArgument);
        assert_eq!(find(&text[1..], 0x1001, 0x100a, 7), None);
        assert_eq!(find(&text[..14], 0x1000, 0x100a, 7), None);
    }

    #[test]
    fn jumps_reach_two_gigabytes() {
        assert_eq!(jump(0x1000, 0x1005), Some([0xe9, 0, 0, 0, 0]));
        assert_eq!(jump(0x1000, 0x1000), Some([0xe9, 0xfb, 0xff, 0xff, 0xff]));
        assert_eq!(jump(0x1000, 0x1_0000_0000), None);
    }

    /// The offsets that `unthunk` knows are those of the code.
    #[test]
    fn thunks_end_where_they_say() {
        let site = find(&NR, 0x5000, 0x5008, 110).unwrap();
        let code = thunk(&site, 0x9000, 0x7000_0000).unwrap();
        let done = answered(site.head) as usize;
        assert_eq!(code[done..done + 5], jump(0x9000 + 18, 0x5008).unwrap());
        assert_eq!(code[14 + 9..14 + 14], NR[1..6]);
        assert_eq!(unthunk(&site, 0), (0x5006, Some(110)));
        assert_eq!(unthunk(&site, 18), (0x5008, None));
        let text = [&BEFORE_LAST[..], &LAST_ARGUMENT, &SYSCALL, &COMPARE].concat();
        let site = find(&text, 0x1000, 0x100a, 7).unwrap();
        let code = thunk(&site, 0x9000, 0x7000_0000).unwrap();
        assert_eq!(code[33..38], jump(0x9000 + 33, 0x100a).unwrap());
        assert_eq!(code[38..43], jump(0x9000 + 38, 0x1008).unwrap());
        assert_eq!(13 + 25, 38);
        assert_eq!(unthunk(&site, 0), (0x1003, None));
        assert_eq!(unthunk(&site, 20), (0x1008, None));
    }
}
