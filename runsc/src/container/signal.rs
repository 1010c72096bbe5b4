//! Signals by name and number, as `kill` takes them.

use crate::cli::Failure;

/// The number of `KILL`, `SIGKILL`, `kill`, `9`, `RTMIN+3` and the like.
pub fn parse(text: &str) -> Result<i32, Failure> {
    if let Ok(n) = text.parse::<i32>() {
        return Ok(n);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    by_name(name).ok_or_else(|| Failure::new(1, format!("unknown signal {text:?}")))
}

fn by_name(name: &str) -> Option<i32> {
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    let alias = match name {
        "IOT" => Some(libc::SIGABRT),
        "CLD" => Some(libc::SIGCHLD),
        "POLL" => Some(libc::SIGIO),
        "UNUSED" => Some(libc::SIGSYS),
        "RTMIN" => Some(RTMIN),
        "RTMAX" => Some(RTMAX),
        _ => None,
    };
    if alias.is_some() {
        return alias;
    }
    let offset = |text: &str| text.parse::<u8>().ok().map(i32::from);
    if let Some(n) = name.strip_prefix("RTMIN+").and_then(offset) {
        return Some(RTMIN + n).filter(|s| *s <= RTMAX);
    }
    if let Some(n) = name.strip_prefix("RTMAX-").and_then(offset) {
        return Some(RTMAX - n).filter(|s| *s >= RTMIN);
    }
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|s| s as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let number = |t| parse(t).map_err(|e| e.message);
        for t in ["9", "KILL", "SIGKILL", "sigkill"] {
            assert_eq!(number(t), Ok(9));
        }
        assert_eq!(number("RTMIN+3"), Ok(37));
        assert_eq!(number("SIGRTMAX-1"), Ok(63));
        assert_eq!(number("BOGUS"), Err("unknown signal \"BOGUS\"".into()));
    }
}
