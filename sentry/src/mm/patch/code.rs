//! Machine code of patched call sites: which sites can be patched, and what they jump to.
//!
//! Only the instruction before a `syscall` is replaced, by a jump: the `syscall` itself
//! stays. So there is no instruction inside what is replaced at which a thread could stand, a
//! jump to the `syscall` works as ever, and the *thunk* that is jumped to comes back to it
//! when it has no answer. What a debugger or a signal handler sees of a call that traps is
//! then just what it was. A jump of five bytes replaces instructions that are as long; the
//! two bytes of `xor %eax, %eax` become a short jump to a long one, which stands in the
//! padding after the function.
//!
//! A thunk uses the registers that the call may change anyway (rax, rcx, r11), no stack, and
//! no flags where they might be needed after the call.

use smallvec::SmallVec;

/// Bytes kept for a thunk.
pub const THUNK: u64 = 128;
/// Number of `rt_sigreturn`.
const SIGRETURN: u64 = abi::nr::rt_sigreturn as u64;
/// Length of a jump.
pub const JUMP: usize = 5;

/// What the instruction that is replaced does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `mov $nr, %eax`
    Number(u32),
    /// `xor %eax, %eax`; the address of padding for a jump.
    Zero(u64),
    /// `mov 8(%rsp), %r9` in a C function whose first argument is the number.
    LastArgument,
    /// `mov $15, %rax`, of whose seven bytes the first five are replaced: where signal
    /// handlers return to.
    Restorer,
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
    /// The bytes that the long jump replaces.
    pub bytes: [u8; JUMP],
}

/// Bytes to put at an address.
pub type Edit = (u64, SmallVec<[u8; 8]>);

const SYSCALL: [u8; 2] = [0x0f, 0x05];
const ZERO: [u8; 2] = [0x31, 0xc0];
const RESTORER: [u8; 7] = [0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00];
const LAST_ARGUMENT: [u8; JUMP] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];
/// `mov %r9, %r8`, which comes before it.
const BEFORE_LAST: [u8; 3] = [0x4d, 0x89, 0xc8];
/// `cmp $-4095, %rax`, after which no flag of before counts.
const COMPARE: [u8; 6] = [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff];
/// The same with -4096.
const COMPARE_LESS: [u8; 6] = [0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff];
const RET: u8 = 0xc3;

/// Whether `byte` before `b8 imm32` or `31 c0` makes another instruction of it.
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
    if *text.get(call..stop)? != SYSCALL {
        return None;
    }
    let known = find_long(text, call, nr).or_else(|| find_restorer(text, call));
    let (at, head, bytes) = known.or_else(|| {
        let at = call.checked_sub(ZERO.len())?;
        let before = *text.get(at.checked_sub(1)?)?;
        if nr != 0 || text.get(at..call)? != ZERO || is_prefix(before) {
            return None;
        }
        let padding = find_padding(text, page, stop)?;
        // A short jump must reach it.
        i8::try_from(padding.checked_sub(call)?).ok()?;
        let bytes = text.get(padding..)?.get(..JUMP)?.try_into().ok()?;
        Some((at, Head::Zero(page.checked_add(padding as u64)?), bytes))
    })?;
    Some(Site {
        at: page.checked_add(at as u64)?,
        call: end.checked_sub(2)?,
        end,
        head,
        bytes,
    })
}

/// Looks for an instruction of five bytes before the `syscall` at `call`.
fn find_long(text: &[u8], call: usize, nr: u64) -> Option<(usize, Head, [u8; JUMP])> {
    let at = call.checked_sub(JUMP)?;
    let bytes: [u8; JUMP] = text.get(at..call)?.try_into().ok()?;
    match bytes {
        [0xb8, a, b, c, d] => {
            let number = u32::from_le_bytes([a, b, c, d]);
            let before = *text.get(at.checked_sub(1)?)?;
            let plain = u64::from(number) == nr && !is_prefix(before);
            plain.then_some((at, Head::Number(number), bytes))
        }
        LAST_ARGUMENT => {
            let before = text.get(at.checked_sub(BEFORE_LAST.len())?..at)?;
            let after = text.get(call.checked_add(2)?..)?.get(..COMPARE.len())?;
            let whole = before == BEFORE_LAST && after == COMPARE;
            whole.then_some((at, Head::LastArgument, bytes))
        }
        _ => None,
    }
}

/// Looks for what a C library has its signal handlers return to.
fn find_restorer(text: &[u8], call: usize) -> Option<(usize, Head, [u8; JUMP])> {
    let at = call.checked_sub(RESTORER.len())?;
    let bytes = text.get(at..call)?;
    let head = bytes.first_chunk::<JUMP>().filter(|_| bytes == RESTORER)?;
    Some((at, Head::Restorer, *head))
}

/// Padding long enough for a jump after a function that ends soon after `at`: a comparison
/// with an error's number, a conditional jump, `ret`, and nothing but padding up to the next
/// aligned address. Read from a known instruction on, so that a `ret` is one.
fn find_padding(text: &[u8], page: u64, at: usize) -> Option<usize> {
    let compare = text.get(at..)?.get(..COMPARE.len())?;
    if compare != COMPARE && compare != COMPARE_LESS {
        return None;
    }
    let at = at.checked_add(COMPARE.len())?;
    let at = match text.get(at..)? {
        [0x73 | 0x77, _, ..] => at.checked_add(2)?,
        [0x0f, 0x83 | 0x87, ..] => at.checked_add(6)?,
        _ => return None,
    };
    if *text.get(at)? != RET {
        return None;
    }
    let from = at.checked_add(1)?;
    let to = usize::try_from(page.checked_add(from as u64)?.next_multiple_of(16) - page).ok()?;
    (to.checked_sub(from)? >= JUMP && is_padding(text.get(from..to)?)).then_some(from)
}

/// Whether these bytes are instructions that do nothing, and no part of one more.
fn is_padding(mut bytes: &[u8]) -> bool {
    while let [first, rest @ ..] = bytes {
        let len = match (*first, rest) {
            (0x66 | 0x2e, _) if !rest.is_empty() => 1,
            (0x90 | 0xcc, _) => 1,
            (0x0f, [0x1f, 0x00, ..]) => 3,
            (0x0f, [0x1f, 0x40, 0, ..]) => 4,
            (0x0f, [0x1f, 0x44, 0, 0, ..]) => 5,
            (0x0f, [0x1f, 0x80, 0, 0, 0, 0, ..]) => 7,
            (0x0f, [0x1f, 0x84, 0, 0, 0, 0, 0, ..]) => 8,
            _ => return false,
        };
        bytes = bytes.get(len..).unwrap_or(&[]);
    }
    true
}

/// `jmp` from `from` to `to`; `None` when that is too far.
pub fn jump(from: u64, to: u64) -> Option<[u8; JUMP]> {
    let next = from.wrapping_add(JUMP as u64);
    let far = i32::try_from(to.wrapping_sub(next).cast_signed()).ok()?;
    let [a, b, c, d] = far.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

impl Site {
    /// The long jump's address.
    fn jump_at(&self) -> u64 {
        match self.head {
            Head::Zero(padding) => padding,
            Head::Number(_) | Head::LastArgument | Head::Restorer => self.at,
        }
    }

    /// What makes the site jump to its thunk at `thunk`.
    pub fn patch(&self, thunk: u64) -> Option<SmallVec<[Edit; 2]>> {
        let long = jump(self.jump_at(), thunk)?;
        let mut edits: SmallVec<[Edit; 2]> = SmallVec::new();
        edits.push((self.jump_at(), SmallVec::from_slice(&long)));
        if let Head::Zero(padding) = self.head {
            let far = i8::try_from(padding.checked_sub(self.call)?).ok()?;
            let short = [0xeb, far.cast_unsigned()];
            edits.push((self.at, SmallVec::from_slice(&short)));
        }
        Some(edits)
    }

    /// What makes it as it was.
    pub fn original(&self) -> SmallVec<[Edit; 2]> {
        let mut edits: SmallVec<[Edit; 2]> = SmallVec::new();
        edits.push((self.jump_at(), SmallVec::from_slice(&self.bytes)));
        if let Head::Zero(_) = self.head {
            edits.push((self.at, SmallVec::from_slice(&ZERO)));
        }
        edits
    }
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

    /// `mov word, %rcx`, with rax for a moment.
    fn load(&mut self, word: u64) {
        self.put(&[0x48, 0xa1]); // mov word, %rax
        self.put(&word.to_le_bytes());
        self.put(&[0x48, 0x91]); // xchg %rcx, %rax
    }

    /// Goes to where calls are posted, which rcx says unless it is 0; else to the `syscall`.
    fn post(&mut self, site: &Site) -> Option<()> {
        self.put(&[0xe3, 12]); // jrcxz nobody
        self.put(&[0x49, 0xbb]); // mov $end, %r11
        self.put(&site.end.to_le_bytes());
        self.put(&[0xff, 0xe1]); // jmp *%rcx
        self.jump(site.call) // nobody:
    }
}

/// Where thunks find what they need.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Address of the answers, by number: 0 for none, else one more than the answer.
    pub answers: u64,
    /// Address of the word that says where calls are posted.
    pub post: Option<u64>,
}

/// Offset of the jump to the end of the site, with the answer in rax, in a thunk that has
/// one.
fn answered(site: &Site) -> Option<u64> {
    match site.head {
        Head::Number(nr) if has_answer(nr) => Some(18),
        Head::LastArgument => Some(33),
        Head::Number(_) | Head::Zero(_) | Head::Restorer => None,
    }
}

fn has_answer(nr: u32) -> bool {
    super::kind_of(u64::from(nr)).is_some()
}

/// The code of `site`'s thunk at `at`.
pub fn thunk(site: &Site, at: u64, words: Words) -> Option<Vec<u8>> {
    let mut code = Code {
        at,
        bytes: Vec::new(),
    };
    match site.head {
        Head::Number(nr) if has_answer(nr) => {
            let word = words.answers.checked_add(u64::from(nr).checked_mul(8)?)?;
            code.load(word);
            code.put(&[0xe3, 9]); // jrcxz none
            code.put(&[0x48, 0x8d, 0x41, 0xff]); // lea -1(%rcx), %rax
            code.jump(site.end)?;
            code.put(&site.bytes); // none: mov $nr, %eax
            code.jump(site.call)?;
        }
        Head::Number(_) | Head::Zero(_) | Head::Restorer => {
            code.load(words.post?);
            match site.head {
                Head::Zero(_) => code.put(&ZERO),
                Head::Restorer => code.put(&RESTORER),
                _ => code.put(&site.bytes),
            }
            code.post(site)?;
        }
        Head::LastArgument => {
            code.put(&site.bytes);
            code.put(&[0x48, 0x3d]); // cmp $WORDS, %rax
            code.put(&u32::try_from(platform::WORDS).ok()?.to_le_bytes());
            code.put(&[0x73, 25]); // jae none
            code.put(&[0x48, 0xb9]); // mov $answers, %rcx
            code.put(&words.answers.to_le_bytes());
            code.put(&[0x48, 0x8b, 0x0c, 0xc1]); // mov (%rcx,%rax,8), %rcx
            code.put(&[0xe3, 9]); // jrcxz none
            code.put(&[0x48, 0x8d, 0x41, 0xff]); // lea -1(%rcx), %rax
            code.jump(site.end)?;
            match words.post {
                // none:
                Some(post) => {
                    code.put(&[0x48, 0xb9]); // mov $post, %rcx
                    code.put(&post.to_le_bytes());
                    code.put(&[0x48, 0x8b, 0x09]); // mov (%rcx), %rcx
                    code.post(site)?;
                }
                None => code.jump(site.call)?,
            }
        }
    }
    (code.bytes.len() as u64 <= THUNK).then_some(code.bytes)
}

/// Where a thread that was stopped in a thunk stands in the unpatched program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// After the call, whose result is in rax.
    Done(u64),
    /// At the `syscall` at this address, with this number to be in rax.
    Call(u64, u64),
    /// The same after the zeroing of rax, which sets flags.
    Zeroed(u64),
    /// At the `syscall` at this address, rax as it is.
    Ready(u64),
    /// At the load of r9 before the `syscall`, which are at these addresses.
    Load(u64, u64),
}

/// Where a thread that stands at offset `at` of `site`'s thunk, or at its jump (`None`),
/// stands.
pub fn unthunk(site: &Site, at: Option<u64>) -> Place {
    match site.head {
        _ if at.is_some() && at == answered(site) => Place::Done(site.end),
        Head::Number(nr) => Place::Call(site.call, u64::from(nr)),
        Head::Restorer => Place::Call(site.call, SIGRETURN),
        Head::Zero(_) => Place::Zeroed(site.call),
        Head::LastArgument if at.unwrap_or(0) == 0 => Place::Load(site.at, site.call),
        Head::LastArgument => Place::Ready(site.call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NR: [u8; 8] = [0x90, 0xb8, 110, 0, 0, 0, 0x0f, 0x05];
    const WORDS: Words = Words {
        answers: 0x7000_0000,
        post: Some(0x7000_0ff8),
    };

    /// `read` of a C library: a comparison and a jump around it, then padding.
    fn read_text() -> Vec<u8> {
        let mut text = vec![0x74, 0x17];
        text.extend([0x31, 0xc0, 0x0f, 0x05]);
        text.extend(COMPARE_LESS);
        text.extend([0x77, 0x5b, 0xc3]);
        text.extend([0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]);
        text
    }

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
    fn handlers_return_to_a_restorer() {
        let text = [&RESTORER[..], &SYSCALL].concat();
        let site = find(&text, 0x1000, 0x1009, SIGRETURN).unwrap();
        assert_eq!((site.at, site.head), (0x1000, Head::Restorer));
        assert_eq!(site.original()[0].1[..], RESTORER[..JUMP]);
        let code = thunk(&site, 0x9000, WORDS).unwrap();
        assert_eq!(code[12..19], RESTORER);
        assert_eq!(unthunk(&site, Some(18)), Place::Call(0x1007, SIGRETURN));
        assert_eq!(find(&text[1..], 0x1001, 0x1009, SIGRETURN), None);
    }

    #[test]
    fn zero_needs_padding() {
        // As if at ...a7 of a page, so that the padding ends aligned.
        let page = 0xf82a7;
        let text = read_text();
        let site = find(&text, page, page + 6, 0).unwrap();
        assert_eq!(site.head, Head::Zero(0xf82b6));
        let edits = site.patch(0xf9000).unwrap();
        assert_eq!(edits[1].1[..], [0xeb, 0xb]);
        assert_eq!(edits[1].0 + 2 + 0xb, edits[0].0);
        assert_eq!(edits[0].1[..], jump(0xf82b6, 0xf9000).unwrap());
        assert_eq!(find(&text, page, page + 6, 1), None);
        // Not aligned, not padding, no ret, a longer instruction.
        assert_eq!(find(&text, page + 1, page + 7, 0), None);
        for at in [15, 24, 14, 1] {
            let mut text = text.clone();
            text[at] = 0x48;
            assert_eq!(find(&text, page, page + 6, 0), None, "{at}");
        }
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
        let code = thunk(&site, 0x9000, WORDS).unwrap();
        assert_eq!(code[18..23], jump(0x9000 + 18, 0x5008).unwrap());
        assert_eq!(code[14 + 9..14 + 14], NR[1..6]);
        assert_eq!(unthunk(&site, Some(0)), Place::Call(0x5006, 110));
        assert_eq!(unthunk(&site, Some(18)), Place::Done(0x5008));
        let text = [&BEFORE_LAST[..], &LAST_ARGUMENT, &SYSCALL, &COMPARE].concat();
        let site = find(&text, 0x1000, 0x100a, 7).unwrap();
        let code = thunk(&site, 0x9000, WORDS).unwrap();
        assert_eq!(code[33..38], jump(0x9000 + 33, 0x100a).unwrap());
        assert_eq!(code[13 + 25..13 + 27], [0x48, 0xb9]);
        assert_eq!(code[29 + 9..29 + 11], [0x48, 0xb9]);
        let last = code.len() - 5;
        assert_eq!(code[53 + 12..], jump(0x9000 + last as u64, 0x1008).unwrap());
        assert_eq!(unthunk(&site, Some(0)), Place::Load(0x1003, 0x1008));
        assert_eq!(unthunk(&site, Some(20)), Place::Ready(0x1008));
    }

    #[test]
    fn others_post() {
        let mut text = NR;
        text[2] = 1;
        let site = find(&text, 0x5000, 0x5008, 1).unwrap();
        let code = thunk(&site, 0x9000, WORDS).unwrap();
        assert_eq!(code[12..17], text[1..6]);
        assert_eq!(code[17..19], [0xe3, 12]);
        assert_eq!(code[19 + 12..], jump(0x9000 + 31, 0x5006).unwrap());
        assert_eq!(unthunk(&site, Some(18)), Place::Call(0x5006, 1));
        let none = Words {
            post: None,
            ..WORDS
        };
        assert_eq!(thunk(&site, 0x9000, none), None);
    }
}
