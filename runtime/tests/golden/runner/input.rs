//! Lines of `input/TABLE.jsonl`: records and watermarks in arrival order.
//!
//! Place in the flow: a case reads its files with it; the table's own settings turn a [`Record`] into key and value bytes. Invariant:
//! where a record goes and which timestamp it has follows from the file alone, so that every run reads the same topic.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use super::Result;

/// Timestamp of a first line that gives none: 2024-01-01 00:00:00 UTC; each line is a second later than the one before.
const TIMESTAMP_BASE_MS: i64 = 1_704_067_200_000;

/// Milliseconds between the timestamps of lines that give none.
const TIMESTAMP_STEP_MS: i64 = 1000;

/// Row kinds as Flink writes them, in the order of the values of the `op` header.
const KINDS: [&str; 4] = ["+I", "-U", "+U", "-D"];

/// Fields of a row as JSON text, in no order.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// What happens next to a table.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A record arrives.
    Record(Record),
    /// Nothing arrives before the table's watermark is this far, epoch milliseconds.
    Watermark(i64),
}

/// A record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// What it says.
    pub(crate) content: Content,
    /// Its partition.
    pub(crate) partition: u32,
    /// Its timestamp, epoch milliseconds.
    pub(crate) timestamp_ms: i64,
    /// Its row kind, the value of the `op` header; absent for inserts.
    pub(crate) op: Option<u8>,
}

/// What a record says.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A row, dealt out to key and value as the table says.
    Row(Fields),
    /// A key as JSON text without a value.
    Tombstone(String),
    /// These bytes, and JSON text as key.
    Raw {
        /// Key.
        key: Option<String>,
        /// Value.
        value: Vec<u8>,
    },
}

/// Reads all lines.
///
/// # Errors
/// With the number of the line and what is wrong with it.
pub(crate) fn parse(text: &str, partitions: u32) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let step = parse_line(line, index, partitions)
            .map_err(|error| format!("line {}: {error}", index + 1))?;
        steps.push(step);
    }
    Ok(steps)
}

/// Reads one line.
fn parse_line(line: &str, index: usize, partitions: u32) -> Result<Step> {
    let mut fields: Fields = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if let Some(watermark) = fields.remove("watermark") {
        return watermark_ms(&decoded::<String>(&watermark)?).map(Step::Watermark);
    }
    let op = fields
        .remove("kind")
        .map(|kind| row_kind(&kind))
        .transpose()?;
    let timestamp_ms = match fields.remove("timestamp") {
        Some(timestamp) => decoded(&timestamp)?,
        None => TIMESTAMP_BASE_MS + TIMESTAMP_STEP_MS * i64::try_from(index).unwrap_or(0),
    };
    let chosen = fields.remove("partition");
    let key = fields.remove("key").map(|key| key.get().to_owned());
    let content = match (fields.remove("row"), fields.remove("value"), &key) {
        (Some(row), None, Some(key)) if row.get() == "null" => Content::Tombstone(key.clone()),
        (Some(row), None, None) => Content::Row(decoded(&row)?),
        (None, Some(value), _) => Content::Raw {
            key: key.clone(),
            value: decoded::<String>(&value)?.into_bytes(),
        },
        _ => return Err("a line has \"row\", or \"value\" with or without \"key\", or \"key\" and a null row, or \"watermark\"".to_owned()),
    };
    if let Some(unknown) = fields.keys().next() {
        return Err(format!("\"{unknown}\" is not known"));
    }
    let partition = match (chosen, key) {
        (Some(partition), _) => decoded::<u32>(&partition)?,
        (None, Some(key)) => spread(xxh3_64(key.as_bytes()), partitions),
        (None, None) => spread(index as u64, partitions),
    };
    if partition >= partitions {
        return Err(format!(
            "partition {partition} of {partitions}: set [partitions] in case.toml"
        ));
    }
    Ok(Step::Record(Record {
        content,
        partition,
        timestamp_ms,
        op: op.filter(|op| *op > 0),
    }))
}

/// One of some partitions.
fn spread(number: u64, partitions: u32) -> u32 {
    u32::try_from(number % u64::from(partitions)).unwrap_or(0)
}

/// The value of the `op` header.
fn row_kind(kind: &RawValue) -> Result<u8> {
    let kind: String = decoded(kind)?;
    let index = KINDS.iter().position(|known| *known == kind);
    index
        .and_then(|index| u8::try_from(index).ok())
        .ok_or_else(|| format!("\"{kind}\" is not one of {}", KINDS.join(", ")))
}

/// Epoch milliseconds of `2024-01-01 00:00:00.000`, in UTC.
fn watermark_ms(text: &str) -> Result<i64> {
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .map(|time| time.and_utc().timestamp_millis())
        .map_err(|error| format!("watermark \"{text}\": {error}"))
}

/// A JSON text as a value.
fn decoded<T: serde::de::DeserializeOwned>(raw: &RawValue) -> Result<T> {
    serde_json::from_str(raw.get()).map_err(|error| format!("{}: {error}", raw.get()))
}
