//! Options of a table that shape its topic.

use weir_runtime::error::{Error, Result};
use weir_runtime::sql::catalog::TableDef;
use weir_runtime::sql::session::parse_duration;

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
        Some(text) => Some(parse_duration(text).and_then(|age| i64::try_from(age.as_millis()).ok()).ok_or_else(|| {
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
