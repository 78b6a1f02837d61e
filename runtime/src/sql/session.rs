//! The properties a statement runs with.
//!
//! Place in the flow: SET and the statement's `properties` fill it; binder, evaluator and job read it. Invariant: only
//! documented keys are accepted, so that a misspelt one is an error and not a silent default.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result, unknown_name};

/// Properties of a statement: what `SET` changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Session {
    /// Values that differ from the default, by key.
    pub properties: BTreeMap<String, String>,
}

/// What a property's value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// Anything.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number from 0 on.
    Count,
    /// A whole number from 1 on.
    Positive,
    /// A whole number.
    Integer,
    /// A number from 0 on.
    Decimal,
    /// A Flink duration.
    Duration,
    /// A size such as `2097164 bytes`.
    Bytes,
    /// A TZDB name or an offset such as `GMT+03:00`.
    TimeZone,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// Keys that SET takes.
///
/// # Source
/// Confluent: documentation of SET (all `sql.*` and `client.*` keys); Flink: `table.*`, `execution.*`,
/// `restart-strategy.*` and `parallelism.default`; `weir.cfu-cpu-share` is Weir's own.
const KEYS: [(&str, ValueKind); 47] = [
    ("sql.current-catalog", ValueKind::Text),
    ("sql.current-database", ValueKind::Text),
    ("sql.dry-run", ValueKind::Boolean),
    ("sql.inline-result", ValueKind::Boolean),
    ("sql.local-time-zone", ValueKind::TimeZone),
    ("sql.snapshot.mode", ValueKind::OneOf(&["now", "off"])),
    (
        "sql.snapshot.write-mode",
        ValueKind::OneOf(&["default", "fast-write"]),
    ),
    ("sql.state-ttl", ValueKind::Duration),
    ("sql.tables.initial-offset-from", ValueKind::Text),
    (
        "sql.tables.scan.bounded.mode",
        ValueKind::OneOf(&["latest-offset", "timestamp", "unbounded"]),
    ),
    (
        "sql.tables.scan.bounded.timestamp-millis",
        ValueKind::Integer,
    ),
    (
        "sql.tables.scan.startup.mode",
        ValueKind::OneOf(&[
            "earliest-offset",
            "latest-offset",
            "timestamp",
            "specific-offsets",
            "group-offsets",
        ]),
    ),
    (
        "sql.tables.scan.startup.timestamp-millis",
        ValueKind::Integer,
    ),
    ("sql.tables.scan.startup.specific-offsets", ValueKind::Text),
    ("sql.tables.scan.idle-timeout", ValueKind::Duration),
    (
        "sql.tables.scan.watermark-alignment.max-allowed-drift",
        ValueKind::Duration,
    ),
    (
        "sql.tables.scan.source-operator-parallelism",
        ValueKind::Positive,
    ),
    (
        "client.output-format",
        ValueKind::OneOf(&["standard", "plain-text"]),
    ),
    ("client.results-timeout", ValueKind::Count),
    ("client.service-account", ValueKind::Text),
    ("client.statement-name", ValueKind::Text),
    ("parallelism.default", ValueKind::Count),
    ("execution.checkpointing.interval", ValueKind::Duration),
    ("execution.checkpointing.min-pause", ValueKind::Duration),
    (
        "execution.checkpointing.mode",
        ValueKind::OneOf(&["EXACTLY_ONCE", "AT_LEAST_ONCE"]),
    ),
    ("execution.checkpointing.num-retained", ValueKind::Count),
    ("execution.checkpointing.timeout", ValueKind::Duration),
    (
        "execution.checkpointing.tolerable-failed-checkpoints",
        ValueKind::Integer,
    ),
    ("execution.runtime-mode", ValueKind::OneOf(&["streaming"])),
    (
        "restart-strategy.exponential-delay.initial-backoff",
        ValueKind::Duration,
    ),
    (
        "restart-strategy.exponential-delay.max-backoff",
        ValueKind::Duration,
    ),
    (
        "restart-strategy.exponential-delay.backoff-multiplier",
        ValueKind::Decimal,
    ),
    (
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        ValueKind::Duration,
    ),
    (
        "restart-strategy.exponential-delay.jitter-factor",
        ValueKind::Decimal,
    ),
    ("table.local-time-zone", ValueKind::TimeZone),
    ("table.exec.state.ttl", ValueKind::Duration),
    ("table.exec.source.idle-timeout", ValueKind::Duration),
    ("table.exec.source.cdc-events-duplicate", ValueKind::Boolean),
    ("table.exec.mini-batch.enabled", ValueKind::Boolean),
    ("table.exec.mini-batch.allow-latency", ValueKind::Duration),
    ("table.exec.mini-batch.size", ValueKind::Count),
    (
        "table.exec.sink.not-null-enforcer",
        ValueKind::OneOf(&["error", "drop"]),
    ),
    ("table.exec.sink.require-on-conflict", ValueKind::Boolean),
    (
        "table.exec.sink.type-length-enforcer",
        ValueKind::OneOf(&["ignore", "trim_pad", "error"]),
    ),
    (
        "table.exec.sink.nested-constraint-enforcer",
        ValueKind::OneOf(&["ignore", "rows", "rows_and_collections"]),
    ),
    ("table.exec.resource.default-parallelism", ValueKind::Count),
    ("weir.cfu-cpu-share", ValueKind::Decimal),
];

/// Prefix of keys that hold secrets; any name may follow.
const SECRETS: &str = "sql.secrets.";

impl Session {
    /// A property, if set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// Sets a property.
    ///
    /// # Errors
    /// `Invalid` for a key that does not exist or a value that the key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        check_property(key, value)?;
        self.properties.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// The catalog that unqualified names are looked up in.
    pub fn current_catalog(&self) -> &str {
        self.get("sql.current-catalog").unwrap_or("default")
    }

    /// The database that unqualified names are looked up in.
    pub fn current_database(&self) -> &str {
        self.get("sql.current-database").unwrap_or("cluster_0")
    }

    /// How long state is kept after its last change; absent for ever.
    pub fn state_ttl(&self) -> Option<Duration> {
        self.get("sql.state-ttl")
            .or_else(|| self.get("table.exec.state.ttl"))
            .and_then(parse_duration)
            .filter(|ttl| !ttl.is_zero())
    }

    /// The session time zone: a TZDB name or an offset such as `GMT+03:00`.
    pub fn local_time_zone(&self) -> &str {
        self.get("sql.local-time-zone")
            .or_else(|| self.get("table.local-time-zone"))
            .unwrap_or("UTC")
    }
}

/// Checks key and value of a property.
///
/// # Errors
/// `Invalid` for a key that does not exist or a value that the key does not take.
pub fn check_property(key: &str, value: &str) -> Result<()> {
    if key.starts_with(SECRETS) {
        return Ok(());
    }
    check_key(key)?;
    let kind = KEYS.iter().find(|(known, _)| *known == key);
    kind.map_or(Ok(()), |(_, kind)| {
        check_value("property", key, value, *kind)
    })
}

/// Checks the key of a property.
///
/// # Errors
/// `Invalid` for a key that does not exist.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.starts_with(SECRETS) || KEYS.iter().any(|(known, _)| *known == key) {
        return Ok(());
    }
    Err(unknown_name(
        "property",
        key,
        KEYS.iter().map(|(known, _)| *known),
    ))
}

/// Checks a value.
///
/// # Errors
/// `Invalid` with what is allowed.
pub(crate) fn check_value(what: &str, key: &str, value: &str, kind: ValueKind) -> Result<()> {
    let (is_valid, expected) = match kind {
        ValueKind::Text => (true, String::new()),
        ValueKind::Boolean => (
            ["true", "false"].contains(&value.to_lowercase().as_str()),
            "true or false".to_owned(),
        ),
        ValueKind::Count => (
            value.trim().parse::<u64>().is_ok(),
            "a whole number".to_owned(),
        ),
        ValueKind::Positive => (
            value.trim().parse::<u64>().is_ok_and(|number| number > 0),
            "a whole number from 1 on".to_owned(),
        ),
        ValueKind::Integer => (
            value.trim().parse::<i64>().is_ok(),
            "a whole number".to_owned(),
        ),
        ValueKind::Decimal => (
            value
                .trim()
                .parse::<f64>()
                .is_ok_and(|number| number.is_finite() && number >= 0.0),
            "a number".to_owned(),
        ),
        ValueKind::Duration => (
            parse_duration(value).is_some(),
            "a duration such as \"5 min\" or \"500 ms\"".to_owned(),
        ),
        ValueKind::Bytes => (
            is_size(value),
            "a size such as \"2097164 bytes\" or \"2 mb\"".to_owned(),
        ),
        ValueKind::TimeZone => (
            is_time_zone(value),
            "a time zone such as \"Europe/Berlin\" or \"GMT+03:00\"".to_owned(),
        ),
        ValueKind::OneOf(values) => (
            values
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(value)),
            format!("one of {}", values.join(", ")),
        ),
    };
    if is_valid {
        return Ok(());
    }
    Err(Error::option(format!(
        "{what} '{key}': \"{value}\" is not {expected}"
    )))
}

/// A Flink duration: a whole number and a unit, milliseconds without one; absent when the text is not one.
///
/// # Source
/// Flink: `TimeUtils.parseDuration`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let nanos: u64 = match text[digits..].trim().to_lowercase().as_str() {
        "d" | "day" | "days" => 86_400_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        _ => return None,
    };
    let total = u128::from(number) * u128::from(nanos);
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    let rest = u32::try_from(total % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

/// Whether a text is a size: a whole number and a unit, bytes without one.
fn is_size(text: &str) -> bool {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let units = [
        "",
        "b",
        "byte",
        "bytes",
        "k",
        "kb",
        "kibibyte",
        "kibibytes",
        "m",
        "mb",
        "mebibyte",
        "mebibytes",
        "g",
        "gb",
        "gibibyte",
        "gibibytes",
        "t",
        "tb",
        "tebibyte",
        "tebibytes",
    ];
    text[..digits].parse::<u64>().is_ok()
        && units.contains(&text[digits..].trim().to_lowercase().as_str())
}

/// Whether a text is a TZDB name or an offset.
fn is_time_zone(text: &str) -> bool {
    if text.parse::<chrono_tz::Tz>().is_ok() {
        return true;
    }
    let offset = ["GMT", "UTC", "UT"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    let Some(digits) = offset.strip_prefix(['+', '-']) else {
        return false;
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let in_range = |text: &str, max: u8| {
        (1..=2).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u8>().is_ok_and(|n| n <= max)
    };
    in_range(hours, 18) && minutes.len() == 2 && in_range(minutes, 59)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_misspelt_key_is_offered_the_nearest_one() {
        let error = Session::default().set("sql.state-tll", "1 h").unwrap_err();
        assert_eq!(
            error.message,
            "unknown property \"sql.state-tll\", did you mean \"sql.state-ttl\"?"
        );
    }

    #[test]
    fn the_waiting_times_of_restarts_can_be_set() {
        let mut session = Session::default();
        let key = "restart-strategy.exponential-delay.max-backoff";
        session.set(key, "2 s").unwrap();
        assert_eq!(session.get(key), Some("2 s"));
        assert!(session.set(key, "soon").is_err());
    }

    #[test]
    fn values_are_checked_by_kind() {
        let mut session = Session::default();
        for (key, value) in [
            ("sql.state-ttl", "1 h"),
            ("sql.local-time-zone", "Europe/Berlin"),
            ("table.local-time-zone", "GMT+03:00"),
            ("sql.dry-run", "TRUE"),
            ("parallelism.default", "4"),
            ("sql.secrets.any", "x"),
        ] {
            session.set(key, value).unwrap();
            assert_eq!(session.get(key), Some(value));
        }
        for (key, value) in [
            ("sql.state-ttl", "1 fortnight"),
            ("sql.local-time-zone", "Mars"),
            ("sql.local-time-zone", "GMT+3:0"),
            ("sql.dry-run", "yes"),
            ("parallelism.default", "-1"),
            ("sql.snapshot.mode", "later"),
        ] {
            let error = session.set(key, value).unwrap_err();
            assert_eq!(error.code, Code::InvalidOption, "{key} = {value}");
            assert!(error.message.contains(value));
        }
    }

    #[test]
    fn durations_are_read_with_and_without_unit() {
        assert_eq!(parse_duration("5 min"), Some(Duration::from_mins(5)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_hours(168)));
        assert_eq!(parse_duration(" 250 "), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("3µs"), Some(Duration::from_micros(3)));
        assert_eq!(parse_duration("18446744073709551615 d"), None);
        assert_eq!(parse_duration("-1 s"), None);
        assert_eq!(parse_duration("s"), None);
    }
}
