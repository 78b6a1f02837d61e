//! Scan options that every topic-like source understands.
//!
//! Place in the flow: `connector/log` and `connector/kafka` read a table's WITH options through it. Invariant: names, values and
//! defaults are Confluent's, and a value that is not allowed is an error that lists the allowed ones.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::sql::catalog::TableDef;

/// Where reading starts when there is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupMode {
    /// The first record there is: Confluent's default.
    EarliestOffset,
    /// Only what comes after the statement started.
    LatestOffset,
    /// The first record at or after this epoch millisecond.
    Timestamp(i64),
    /// Offset of each partition; partitions not named start at the earliest.
    SpecificOffsets(BTreeMap<i32, i64>),
    /// The committed offsets of `properties.group.id`.
    GroupOffsets,
}

/// Where reading ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundedMode {
    /// Never.
    Unbounded,
    /// At what was the end when the statement started.
    LatestOffset,
    /// Before the first record at or after this epoch millisecond.
    Timestamp(i64),
}

/// Where reading starts and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    /// Start.
    pub startup: StartupMode,
    /// End.
    pub bounded: BoundedMode,
}

impl ScanOptions {
    /// Reads `scan.startup.*` and `scan.bounded.*`.
    ///
    /// # Errors
    /// `Invalid` for a mode that does not exist or a value that is missing or not a number.
    pub fn parse(table: &TableDef) -> Result<Self> {
        let millis = |key: &str| -> Result<i64> {
            let value = table
                .option(key)
                .ok_or_else(|| Error::option(format!("option '{key}' is missing")))?;
            value.parse().map_err(|_| {
                Error::option(format!(
                    "option '{key}': \"{value}\" is not a number of milliseconds"
                ))
            })
        };
        let startup = match table
            .option("scan.startup.mode")
            .unwrap_or("earliest-offset")
        {
            "earliest-offset" => StartupMode::EarliestOffset,
            "latest-offset" => StartupMode::LatestOffset,
            "timestamp" => StartupMode::Timestamp(millis("scan.startup.timestamp-millis")?),
            "specific-offsets" => StartupMode::SpecificOffsets(specific_offsets(table)?),
            "group-offsets" => StartupMode::GroupOffsets,
            other => {
                return Err(Error::option(format!(
                    "option 'scan.startup.mode': \"{other}\" is not one of earliest-offset, latest-offset, timestamp, specific-offsets, group-offsets"
                )));
            }
        };
        let bounded = match table.option("scan.bounded.mode").unwrap_or("unbounded") {
            "unbounded" => BoundedMode::Unbounded,
            "latest-offset" => BoundedMode::LatestOffset,
            "timestamp" => BoundedMode::Timestamp(millis("scan.bounded.timestamp-millis")?),
            other => {
                return Err(Error::option(format!(
                    "option 'scan.bounded.mode': \"{other}\" is not one of unbounded, latest-offset, timestamp"
                )));
            }
        };
        Ok(Self { startup, bounded })
    }
}

/// Reads `partition:0,offset:42;partition:1,offset:300`.
fn specific_offsets(table: &TableDef) -> Result<BTreeMap<i32, i64>> {
    let key = "scan.startup.specific-offsets";
    let text = table
        .option(key)
        .ok_or_else(|| Error::option(format!("option '{key}' is missing")))?;
    let bad = || {
        Error::option(format!(
            "option '{key}': \"{text}\" is not like \"partition:0,offset:42;partition:1,offset:300\""
        ))
    };
    text.split(';')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (partition, offset) = part.split_once(',').ok_or_else(bad)?;
            let number =
                |text: &str, name: &str| text.trim().strip_prefix(name)?.trim().parse::<i64>().ok();
            let partition = number(partition, "partition:")
                .and_then(|value| i32::try_from(value).ok())
                .ok_or_else(bad)?;
            Ok((partition, number(offset, "offset:").ok_or_else(bad)?))
        })
        .collect()
}
