//! The strace text of calls, in the host strace's format.

use std::fmt::Write;

/// Appends `bytes` quoted and escaped as strace does, cut to `max` bytes with `...`.
pub fn quote(bytes: &[u8], max: usize, out: &mut String) {
    out.push('"');
    for (i, &b) in bytes.iter().take(max).enumerate() {
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            0x0b => out.push_str("\\v"),
            0x0c => out.push_str("\\f"),
            0x20..=0x7e => out.push(char::from(b)),
            _ => {
                // A short octal escape is ambiguous before another octal digit.
                let next_is_digit = bytes.get(i + 1).is_some_and(u8::is_ascii_digit);
                let _ = if next_is_digit {
                    write!(out, "\\{b:03o}")
                } else {
                    write!(out, "\\{b:o}")
                };
            }
        }
    }
    out.push('"');
    if bytes.len() > max {
        out.push_str("...");
    }
}

/// Appends named flags joined by `|`, then what is left over in hex; `0` for none.
pub fn flags<'a>(names: impl Iterator<Item = &'a str>, rest: u64, out: &mut String) {
    let mut any = false;
    for name in names {
        if any {
            out.push('|');
        }
        out.push_str(name);
        any = true;
    }
    if rest != 0 {
        if any {
            out.push('|');
        }
        let _ = write!(out, "{rest:#x}");
    } else if !any {
        out.push('0');
    }
}
