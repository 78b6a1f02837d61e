//! Epoch milliseconds as the text that APIs carry.

use chrono::{DateTime, SecondsFormat};

/// RFC 3339 in UTC with microseconds, as `sql/v1` prints it; the epoch when the time is out of range.
pub fn rfc3339(epoch_ms: i64) -> String {
    DateTime::from_timestamp_millis(epoch_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Epoch milliseconds of an RFC 3339 time.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_microseconds() {
        assert_eq!(rfc3339(1_746_208_464_822), "2025-05-02T17:54:24.822000Z");
        assert_eq!(
            parse_rfc3339("2025-05-02T17:54:24.822Z"),
            Some(1_746_208_464_822)
        );
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
