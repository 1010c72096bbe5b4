//! `#!` lines (`execve(2)`, "Interpreter scripts").

use abi::Errno;

use crate::Result;

/// Bytes of a file that are looked at (`BINPRM_BUF_SIZE`).
pub const HEAD: usize = 256;

/// A parsed line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Path of the interpreter.
    pub interpreter: Vec<u8>,
    /// Its one optional argument.
    pub argument: Option<Vec<u8>>,
}

fn blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// The `#!` line at the start of a file, if there is one. `head` is the first [`HEAD`] bytes
/// or the whole file if it is shorter. `ENOEXEC` when no interpreter is named or its name
/// does not end within them.
pub fn parse(head: &[u8]) -> Result<Option<Line>> {
    let Some(rest) = head.strip_prefix(b"#!") else {
        return Ok(None);
    };
    // A short file is followed by zeroes, and a NUL ends a name.
    let whole = head.len() < HEAD;
    let line = match rest.iter().position(|b| *b == b'\n') {
        Some(end) => rest.get(..end).unwrap_or(rest),
        None => rest,
    };
    let cut = line.len() == rest.len() && !whole;
    let start = line.iter().position(|b| !blank(*b)).ok_or(Errno::ENOEXEC)?;
    let line = line.get(start..).unwrap_or(&[]);
    let name_end = line.iter().position(|b| blank(*b) || *b == 0);
    if cut && name_end.is_none() {
        return Err(Errno::ENOEXEC);
    }
    let (name, tail) = line.split_at(name_end.unwrap_or(line.len()));
    if name.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let tail = match tail.first() {
        Some(0) => &[],
        _ => tail.split(|b| *b == 0).next().unwrap_or(&[]),
    };
    let first = tail.iter().position(|b| !blank(*b));
    let argument = first.map(|first| {
        let last = tail.iter().rposition(|b| !blank(*b)).unwrap_or(first);
        tail.get(first..=last).unwrap_or(&[]).to_vec()
    });
    Ok(Some(Line {
        interpreter: name.to_vec(),
        argument,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, argument: Option<&str>) -> Result<Option<Line>> {
        Ok(Some(Line {
            interpreter: name.into(),
            argument: argument.map(Into::into),
        }))
    }

    #[test]
    fn lines() {
        assert_eq!(parse(b"\x7fELF"), Ok(None));
        assert_eq!(parse(b"#!/bin/sh\necho"), line("/bin/sh", None));
        assert_eq!(parse(b"#! /bin/sh"), line("/bin/sh", None));
        assert_eq!(
            parse(b"#!/bin/a  -x -y \t\nz"),
            line("/bin/a", Some("-x -y"))
        );
        assert_eq!(parse(b"#!\n/bin/sh"), Err(Errno::ENOEXEC));
        assert_eq!(parse(b"#!   \n"), Err(Errno::ENOEXEC));
        let mut long = b"#!/".to_vec();
        long.resize(HEAD, b'a');
        assert_eq!(parse(&long), Err(Errno::ENOEXEC));
        long.truncate(HEAD - 1);
        assert!(parse(&long).is_ok());
        let mut argument = b"#!/a ".to_vec();
        argument.resize(HEAD, b'b');
        assert_eq!(
            parse(&argument).unwrap().unwrap().argument.unwrap().len(),
            HEAD - 5
        );
    }
}
