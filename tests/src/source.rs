//! Rust source as the style tests see it: files of the workspace, with comments, text
//! literals and test modules blanked out so that only code that ships is counted.
//!
//! [`files`] reads a crate, [`SourceFile::code`] is the blanked text (same line numbers).

use crate::top;
use std::fs;
use std::path::{Path, PathBuf};

/// One file of the workspace.
#[derive(Debug)]
pub struct SourceFile {
    /// Path relative to the repository.
    pub path: String,
    /// The text as it is.
    pub text: String,
    /// The text with comments, literals and `#[cfg(test)]` items blanked by spaces.
    pub code: String,
}

impl SourceFile {
    /// Whether the file is made of tests: below a `tests` or `examples` folder, or a test module.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        parts
            .iter()
            .any(|p| matches!(*p, "tests" | "examples" | "benches" | "testkit"))
            || matches!(parts.last(), Some(&"tests.rs" | &"testkit.rs"))
    }

    /// Lines on which `needle` stands in the code, as `path:line`.
    #[must_use]
    pub fn find(&self, needle: &str) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, l)| contains_word(l, needle))
            .map(|(i, _)| format!("{}:{}", self.path, i + 1))
            .collect()
    }
}

/// Whether `needle` is in `line` and no identifier goes on before it.
fn contains_word(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let starts_word = needle.starts_with(|c: char| c.is_alphanumeric());
        !(starts_word && before.is_some_and(|c| c.is_alphanumeric() || c == '_'))
    })
}

/// Every Rust file below `dir` (relative to the repository), sorted, without build output.
#[must_use]
pub fn files(dir: &str) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    walk(&top().join(dir), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        let relative = path
            .strip_prefix(top())
            .ok()?
            .to_string_lossy()
            .into_owned();
        let code = without_tests(&blank(&text));
        Some(SourceFile {
            path: relative,
            text,
            code,
        })
    };
    paths.into_iter().filter_map(read).collect()
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|e| e.path()) {
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        if path.is_dir() && !name.starts_with("target") && !name.starts_with('.') {
            walk(&path, into);
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
}

/// Blanks comments and the inside of text and character literals, keeping every line break.
fn blank(text: &str) -> String {
    let b = text.as_bytes();
    let mut out = b.to_vec();
    let mut i = 0;
    while i < b.len() {
        let end = match b[i] {
            b'/' if b.get(i + 1) == Some(&b'/') => line_end(b, i),
            b'/' if b.get(i + 1) == Some(&b'*') => comment_end(b, i),
            b'r' if raw_hashes(b, i).is_some() => raw_end(b, i),
            b'"' => string_end(b, i),
            b'\'' => char_end(b, i),
            _ => {
                i += 1;
                continue;
            }
        };
        for byte in &mut out[i..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        i = end.max(i + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn line_end(b: &[u8], from: usize) -> usize {
    b[from..]
        .iter()
        .position(|c| *c == b'\n')
        .map_or(b.len(), |n| from + n)
}

fn comment_end(b: &[u8], from: usize) -> usize {
    let (mut depth, mut i) = (0_usize, from);
    while i < b.len() {
        if b[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if b[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                break;
            }
        } else {
            i += 1;
        }
    }
    i
}

/// The number of `#` when a raw text literal starts here.
fn raw_hashes(b: &[u8], from: usize) -> Option<usize> {
    let word_before = from > 0
        && (b[from - 1].is_ascii_alphanumeric() && b[from - 1] != b'b' || b[from - 1] == b'_');
    let hashes = b[from + 1..].iter().take_while(|c| **c == b'#').count();
    (!word_before && b.get(from + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_end(b: &[u8], from: usize) -> usize {
    let hashes = raw_hashes(b, from).unwrap_or(0);
    let close: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let start = from + 2 + hashes;
    let rest = b.get(start..).unwrap_or_default();
    rest.windows(close.len())
        .position(|w| w == close)
        .map_or(b.len(), |n| start + n + close.len())
}

fn string_end(b: &[u8], from: usize) -> usize {
    let mut i = from + 1;
    while i < b.len() {
        match b[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    b.len()
}

/// The end of a character literal, or just behind the quote of a lifetime.
fn char_end(b: &[u8], from: usize) -> usize {
    if b.get(from + 1) == Some(&b'\\') {
        return b[from + 3..]
            .iter()
            .position(|c| *c == b'\'')
            .map_or(b.len(), |n| from + 4 + n);
    }
    let rest = b.get(from + 1..).unwrap_or_default();
    let quote = rest.iter().take(5).position(|c| *c == b'\'');
    match quote {
        Some(n) if n >= 1 && (n == 1 || rest[0] >= 0x80) => from + n + 2,
        _ => from + 1,
    }
}

/// Blanks each item that follows `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = out.find("#[cfg(test)]") {
        let end = item_end(&out, at);
        let blanked: String = out[at..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(at..end, &blanked);
    }
    out
}

/// The end of the item at `from`: its closing brace, or the semicolon when it has no body.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (i, c) in code[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return from + i + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return from + i + 1,
            _ => {}
        }
    }
    code.len()
}

/// The functions of a file that have a body: name and number of lines.
#[must_use]
pub fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
        {
            continue;
        }
        let name: String = code[at + 3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let body = code[at..].find(['{', ';']).map(|n| at + n);
        if let Some(open) = body.filter(|n| code.as_bytes()[*n] == b'{' && !name.is_empty()) {
            let end = item_end(code, open);
            found.push((name, code[at..end].matches('\n').count() + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let code = blank(
            "let a = \"panic!\"; // unwrap()\n/* x /* y */ z */ let c = '\"'; let r = r#\"fs\"#; 'a: loop {}",
        );
        assert!(
            !code.contains("panic")
                && !code.contains("unwrap")
                && !code.contains("fs")
                && !code.contains('y')
        );
        assert!(code.contains("let c =") && code.contains("a: loop {}"));
        assert_eq!(code.matches('\n').count(), 1);
    }

    #[test]
    fn test_modules_are_left_out() {
        let code = without_tests(
            "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { x.unwrap(); } }\nfn c() {}",
        );
        assert!(!code.contains("unwrap") && code.contains("fn c"));
    }

    #[test]
    fn functions_are_measured() {
        assert_eq!(
            functions("fn a() {\n}\nfn b();\nfn c() { { } }"),
            [("a".to_owned(), 2), ("c".to_owned(), 1)]
        );
    }
}
