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

/// What is read of transactions. The Kafka source leaves that to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// Only what was committed, and nothing behind an open transaction: Confluent's default.
    #[default]
    ReadCommitted,
    /// Everything, at once.
    ReadUncommitted,
}

impl IsolationLevel {
    /// Reads `kafka.consumer.isolation-level`.
    ///
    /// # Errors
    /// `Invalid` for a level that does not exist.
    pub fn parse(table: &TableDef) -> Result<Self> {
        let key = "kafka.consumer.isolation-level";
        match table.option(key) {
            None | Some("read-committed") => Ok(Self::ReadCommitted),
            Some("read-uncommitted") => Ok(Self::ReadUncommitted),
            Some(other) => Err(Error::option(format!(
                "option '{key}': \"{other}\" is not one of read-committed, read-uncommitted"
            ))),
        }
    }
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
                .filter(|value| *value >= 0)
                .ok_or_else(bad)?;
            let offset = number(offset, "offset:").filter(|value| *value >= 0);
            Ok((partition, offset.ok_or_else(bad)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::sql::catalog::ObjectName;

    /// Scan options of a table with these WITH options.
    fn parse(options: &[(&str, &str)]) -> Result<ScanOptions> {
        ScanOptions::parse(&table(options))
    }

    /// A table with these WITH options.
    fn table(options: &[(&str, &str)]) -> TableDef {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        TableDef {
            name: ObjectName {
                catalog: "c".into(),
                database: "d".into(),
                name: "t".into(),
            },
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            distributed_by: Vec::new(),
            buckets: None,
            options: options.iter().map(pair).collect(),
            comment: None,
        }
    }

    #[test]
    fn isolation_is_read_committed_unless_asked_otherwise() {
        let key = "kafka.consumer.isolation-level";
        let of = |options: &[_]| IsolationLevel::parse(&table(options));
        assert_eq!(of(&[]).unwrap(), IsolationLevel::ReadCommitted);
        assert_eq!(
            of(&[(key, "read-uncommitted")]).unwrap(),
            IsolationLevel::ReadUncommitted
        );
        let error = of(&[(key, "dirty")]).unwrap_err();
        assert_eq!(error.code, Code::InvalidOption);
        assert!(error.message.contains(key), "{error}");
    }

    #[test]
    fn defaults_are_the_whole_topic_for_ever() {
        let scan = parse(&[]).unwrap();
        assert_eq!(scan.startup, StartupMode::EarliestOffset);
        assert_eq!(scan.bounded, BoundedMode::Unbounded);
    }

    #[test]
    fn modes_with_values_are_read() {
        let scan = parse(&[
            ("scan.startup.mode", "specific-offsets"),
            (
                "scan.startup.specific-offsets",
                "partition:0,offset:42; partition: 1 , offset: 300;",
            ),
            ("scan.bounded.mode", "timestamp"),
            ("scan.bounded.timestamp-millis", "-5"),
        ])
        .unwrap();
        let offsets = BTreeMap::from([(0, 42), (1, 300)]);
        assert_eq!(scan.startup, StartupMode::SpecificOffsets(offsets));
        assert_eq!(scan.bounded, BoundedMode::Timestamp(-5));
    }

    #[test]
    fn bad_values_are_errors_that_name_the_option() {
        let cases: [&[(&str, &str)]; 6] = [
            &[("scan.startup.mode", "earliest")],
            &[("scan.startup.mode", "timestamp")],
            &[
                ("scan.startup.mode", "timestamp"),
                ("scan.startup.timestamp-millis", "today"),
            ],
            &[
                ("scan.startup.mode", "specific-offsets"),
                ("scan.startup.specific-offsets", "partition:0,offset:-1"),
            ],
            &[
                ("scan.startup.mode", "specific-offsets"),
                ("scan.startup.specific-offsets", "0:42"),
            ],
            &[("scan.bounded.mode", "never")],
        ];
        for case in cases {
            let error = parse(case).unwrap_err();
            assert_eq!(error.code, Code::InvalidOption);
            let (mode, _) = case[0].0.rsplit_once('.').unwrap();
            assert!(error.message.contains(mode), "{error}");
        }
    }
}
