//! Options of a table that shape its topic.

use weir_runtime::error::{Error, Result};
use weir_runtime::sql::catalog::TableDef;

/// Partitions of a topic whose table does not say.
///
/// # Source
/// Confluent: tables are distributed into 6 buckets by default.
const DEFAULT_BUCKETS: u32 = 6;

/// What a topic is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TopicSettings {
    /// Partitions.
    pub(super) partitions: u32,
    /// Age after which records go; absent keeps them.
    pub(super) retention_ms: Option<i64>,
    /// Whether the newest record of each key is kept for ever.
    pub(super) compacted: bool,
}

/// Settings of a table's topic.
///
/// Without `kafka.retention.time` nothing is deleted: Confluent's seven days would surprise on a laptop.
///
/// # Errors
/// `Invalid` for a duration or policy that does not exist.
pub(super) fn topic_settings(table: &TableDef) -> Result<TopicSettings> {
    let retention_ms = match table.option("kafka.retention.time") {
        None => None,
        Some(text) => Some(duration_ms(text).ok_or_else(|| {
            Error::option(format!(
                "option 'kafka.retention.time' is '{text}', a duration such as '7 d', '12 h' or '30 min' is needed"
            ))
        })?)
        .filter(|retention| *retention > 0),
    };
    let compacted = match table.option("kafka.cleanup-policy") {
        None => !table.primary_key.is_empty(),
        Some("compact" | "delete-compact") => true,
        Some("delete") => false,
        Some(other) => {
            return Err(Error::option(format!(
                "option 'kafka.cleanup-policy' is '{other}', it must be 'delete', 'compact' or 'delete-compact'"
            )));
        }
    };
    Ok(TopicSettings {
        partitions: table.buckets.unwrap_or(DEFAULT_BUCKETS),
        retention_ms,
        compacted,
    })
}

/// A duration as Flink writes it: a number and a unit; without a unit, milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" | "milli" | "millis" => 1,
        "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_flink_writes_them() {
        assert_eq!(duration_ms("7 d"), Some(604_800_000));
        assert_eq!(duration_ms("10min"), Some(600_000));
        assert_eq!(duration_ms("250"), Some(250));
        for wrong in ["", "d", "7 weeks", "-1 d", "99999999999999 d"] {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }
}
