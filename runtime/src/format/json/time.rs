//! Dates and times as text.
//!
//! Place in the flow: JSON and CSV read and write times with it. Invariant: what is written is read back as the same value.

use crate::format::json::Times;

/// Days from 1970-01-01 to a civil date; absent when the date does not exist.
///
/// # Source
/// Howard Hinnant, chrono-compatible low-level date algorithms.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Year, month and day of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A number of exactly `N` digits at the front.
fn digits<const N: usize>(text: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<N>()?;
    let number = digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })?;
    Some((number, rest))
}

/// `2026-01-31` as days since the epoch.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    let (days, rest) = date(text)?;
    if rest.is_empty() {
        i32::try_from(days).ok()
    } else {
        None
    }
}

/// A date at the front, in days since the epoch.
fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = digits::<4>(text)?;
    let (month, rest) = digits::<2>(rest.strip_prefix(b"-")?)?;
    let (day, rest) = digits::<2>(rest.strip_prefix(b"-")?)?;
    Some((days_from_civil(year, month, day)?, rest))
}

/// A time of the day at the front, in microseconds; digits beyond the sixth are cut off.
fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits::<2>(text)?;
    let (minute, rest) = digits::<2>(rest.strip_prefix(b":")?)?;
    let (second, rest) = digits::<2>(rest.strip_prefix(b":")?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = ((hour * 60 + minute) * 60 + second) * 1_000_000;
    let Some(fraction) = rest.strip_prefix(b".") else {
        return Some((micros, rest));
    };
    let length = fraction
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if length == 0 || length > 9 {
        return None;
    }
    let mut unit = 100_000;
    for digit in &fraction[..length] {
        micros += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    Some((micros, &fraction[length..]))
}

/// `23:59:59.999` as milliseconds of the day.
pub(crate) fn parse_time(text: &[u8]) -> Option<i32> {
    let (micros, rest) = time_of_day(text)?;
    if rest.is_empty() {
        i32::try_from(micros / 1000).ok()
    } else {
        None
    }
}

/// A timestamp as microseconds since the epoch; with `zoned`, it ends in `Z`.
pub(crate) fn parse_timestamp(text: &[u8], times: Times, zoned: bool) -> Option<i64> {
    let (days, rest) = date(text)?;
    let separator: &[u8] = if times == Times::Iso8601 { b"T" } else { b" " };
    let (micros, rest) = time_of_day(rest.strip_prefix(separator)?)?;
    let rest = if zoned {
        rest.strip_prefix(b"Z")?
    } else {
        rest
    };
    if rest.is_empty() {
        Some(days * 86_400_000_000 + micros)
    } else {
        None
    }
}

/// Appends a number with leading zeros.
fn push_padded(out: &mut Vec<u8>, number: i64, width: usize) {
    let text = number.unsigned_abs().to_string();
    if number < 0 {
        out.push(b'-');
    }
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(text.len())));
    out.extend_from_slice(text.as_bytes());
}

/// Appends `2026-01-31`.
pub(crate) fn push_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    push_padded(out, year, 4);
    out.push(b'-');
    push_padded(out, month, 2);
    out.push(b'-');
    push_padded(out, day, 2);
}

/// Appends `23:59:59.999`; the fraction without trailing zeros, or not at all.
pub(crate) fn push_time(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / 1_000_000;
    push_padded(out, seconds / 3600, 2);
    out.push(b':');
    push_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    push_padded(out, seconds % 60, 2);
    let mut fraction = micros % 1_000_000;
    if fraction != 0 {
        out.push(b'.');
        let mut width = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        push_padded(out, fraction, width);
    }
}

/// Appends a timestamp; with `zoned`, a `Z` behind it.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, micros: i64, times: Times, zoned: bool) {
    push_date(out, micros.div_euclid(86_400_000_000));
    out.push(if times == Times::Iso8601 { b'T' } else { b' ' });
    push_time(out, micros.rem_euclid(86_400_000_000));
    if zoned {
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        assert_eq!(parse_date(b"1970-01-02"), Some(1));
        assert_eq!(parse_date(b"2024-02-29"), Some(19_782));
        for bad in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-1-01",
            "2024-01-01 ",
            "",
        ] {
            assert_eq!(parse_date(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn timestamps_have_the_asked_form() {
        assert_eq!(
            parse_timestamp(b"1970-01-01 00:00:01.5", Times::Sql, false),
            Some(1_500_000)
        );
        assert_eq!(
            parse_timestamp(b"1970-01-01T00:00:01Z", Times::Iso8601, true),
            Some(1_000_000)
        );
        assert_eq!(
            parse_timestamp(b"1970-01-01T00:00:01", Times::Sql, false),
            None
        );
        assert_eq!(
            parse_timestamp(b"1970-01-01 24:00:00", Times::Sql, false),
            None
        );
        assert_eq!(
            parse_timestamp(b"1970-01-01 00:00:01", Times::Sql, true),
            None
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in -62_000_000_000_000_000i64..250_000_000_000_000_000, zoned: bool, iso: bool) {
            let times = if iso { Times::Iso8601 } else { Times::Sql };
            let mut text = Vec::new();
            push_timestamp(&mut text, micros, times, zoned);
            prop_assert_eq!(parse_timestamp(&text, times, zoned), Some(micros));
        }
    }
}
