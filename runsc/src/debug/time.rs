//! RFC 3339 times in UTC, as state files and log lines carry them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Year, month (1–12) and day (1–31) of a day number counted from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // Shift the epoch to 0000-03-01, so that the leap day is a year's last one.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn split(t: SystemTime) -> (String, u32) {
    let d = t.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let secs = d.as_secs() as i64;
    let (y, m, day) = civil(secs.div_euclid(86_400));
    let s = secs.rem_euclid(86_400);
    let text = format!(
        "{y:04}-{m:02}-{day:02}T{:02}:{:02}:{:02}",
        s / 3600,
        s / 60 % 60,
        s % 60
    );
    (text, d.subsec_nanos())
}

/// `2026-01-02T03:04:05Z`.
pub fn seconds(t: SystemTime) -> String {
    format!("{}Z", split(t).0)
}

/// `2026-01-02T03:04:05.123456789Z`.
pub fn nanos(t: SystemTime) -> String {
    let (text, ns) = split(t);
    format!("{text}.{ns:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let at = |s| seconds(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
    }
}
