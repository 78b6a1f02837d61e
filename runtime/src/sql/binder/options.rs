//! WITH options: which names each connector takes and which values.
//!
//! Place in the flow: CREATE TABLE, ALTER TABLE and hints check their options here, so that a misspelt option is an error
//! and never a silent default. Invariant: an option that is accepted is read by the connector or format it is for, or has no
//! effect on results.

use std::collections::BTreeMap;

use crate::error::{Error, Result, unknown_name};
use crate::format::FORMATS;
use crate::sql::session::{ValueKind, check_value};

/// The connector of tables that name none.
///
/// # Source
/// Confluent: default of the option `connector`.
pub(crate) const DEFAULT_CONNECTOR: &str = "confluent";

/// Connectors there are.
const CONNECTORS: [&str; 8] = [
    "confluent",
    "kafka",
    "upsert-kafka",
    "filesystem",
    "datagen",
    "faker",
    "print",
    "blackhole",
];

/// Formats whose records cannot stand in lines of a file.
const BINARY_FORMATS: [&str; 8] = [
    "avro",
    "avro-registry",
    "avro-confluent",
    "proto-registry",
    "debezium-avro-confluent",
    "json-debezium-registry",
    "avro-debezium-registry",
    "proto-debezium-registry",
];

/// An option: its name, where `*` stands for any text, and its values.
type Known = (&'static str, ValueKind);

/// Names of startup modes.
const STARTUP: ValueKind = ValueKind::OneOf(&[
    "earliest-offset",
    "latest-offset",
    "timestamp",
    "specific-offsets",
    "group-offsets",
]);

/// Names of bounded modes.
/// What becomes of late rows.
const LATE_HANDLING: ValueKind = ValueKind::OneOf(&["pass-through", "filter"]);

const BOUNDED: ValueKind = ValueKind::OneOf(&["unbounded", "latest-offset", "timestamp"]);

/// Values of `*.fields-include`.
const FIELDS_INCLUDE: ValueKind = ValueKind::OneOf(&["all", "except-key"]);

/// Options of every connector.
///
/// # Source
/// Confluent: error handling; the others are the connector and changelog of the table.
const COMMON: [Known; 5] = [
    ("connector", ValueKind::OneOf(&CONNECTORS)),
    (
        "changelog.mode",
        ValueKind::OneOf(&["append", "upsert", "retract"]),
    ),
    (
        "error-handling.mode",
        ValueKind::OneOf(&["fail", "ignore", "log"]),
    ),
    ("error-handling.log.target", ValueKind::Text),
    ("scan.watermark.idle-timeout", ValueKind::Duration),
];

/// Options of `confluent`.
///
/// # Source
/// Confluent: documentation of CREATE TABLE, WITH options; `properties.*` reach a cluster of one's own.
const CONFLUENT: [Known; 21] = [
    (
        "kafka.cleanup-policy",
        ValueKind::OneOf(&["delete", "compact", "delete-compact"]),
    ),
    ("kafka.compaction.time", ValueKind::Duration),
    (
        "kafka.consumer.isolation-level",
        ValueKind::OneOf(&["read-committed", "read-uncommitted"]),
    ),
    ("kafka.max-message-size", ValueKind::Bytes),
    (
        "kafka.message-timestamp-type",
        ValueKind::OneOf(&[
            "create-time",
            "log-append-time",
            "CreateTime",
            "LogAppendTime",
        ]),
    ),
    ("kafka.partitions", ValueKind::Count),
    (
        "kafka.producer.compression.type",
        ValueKind::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]),
    ),
    ("kafka.retention.size", ValueKind::Bytes),
    ("kafka.retention.time", ValueKind::Duration),
    ("key.fields-prefix", ValueKind::Text),
    ("key.format", ValueKind::Text),
    ("value.format", ValueKind::Text),
    ("value.fields-include", FIELDS_INCLUDE),
    ("late-handling.mode", LATE_HANDLING),
    ("scan.startup.mode", STARTUP),
    ("scan.startup.timestamp-millis", ValueKind::Integer),
    ("scan.startup.specific-offsets", ValueKind::Text),
    ("scan.bounded.mode", BOUNDED),
    ("scan.bounded.timestamp-millis", ValueKind::Integer),
    ("properties.*", ValueKind::Text),
    ("weir.*", ValueKind::Text),
];

/// Options of `kafka` and `upsert-kafka`.
///
/// # Source
/// Flink: documentation of the Kafka and Upsert Kafka SQL connectors.
const KAFKA: [Known; 17] = [
    ("topic", ValueKind::Text),
    ("properties.*", ValueKind::Text),
    ("format", ValueKind::Text),
    ("key.format", ValueKind::Text),
    ("value.format", ValueKind::Text),
    ("key.fields", ValueKind::Text),
    ("key.fields-prefix", ValueKind::Text),
    (
        "value.fields-include",
        ValueKind::OneOf(&["ALL", "EXCEPT_KEY"]),
    ),
    ("scan.startup.mode", STARTUP),
    ("scan.startup.timestamp-millis", ValueKind::Integer),
    ("scan.startup.specific-offsets", ValueKind::Text),
    ("scan.bounded.mode", BOUNDED),
    ("scan.bounded.timestamp-millis", ValueKind::Integer),
    (
        "kafka.consumer.isolation-level",
        ValueKind::OneOf(&["read-committed", "read-uncommitted"]),
    ),
    (
        "sink.delivery-guarantee",
        ValueKind::OneOf(&["at-least-once"]),
    ),
    ("scan.parallelism", ValueKind::Count),
    ("weir.*", ValueKind::Text),
];

/// Options of `filesystem`.
///
/// # Source
/// Flink: documentation of the `filesystem` connector.
const FILESYSTEM: [Known; 2] = [("path", ValueKind::Text), ("format", ValueKind::Text)];

/// Options of `datagen`.
///
/// # Source
/// Flink: documentation of the `DataGen` SQL connector.
const DATAGEN: [Known; 11] = [
    ("rows-per-second", ValueKind::Count),
    ("number-of-rows", ValueKind::Count),
    ("fields.*.kind", ValueKind::OneOf(&["random", "sequence"])),
    ("fields.*.min", ValueKind::Text),
    ("fields.*.max", ValueKind::Text),
    ("fields.*.max-past", ValueKind::Duration),
    ("fields.*.length", ValueKind::Count),
    ("fields.*.var-len", ValueKind::Boolean),
    ("fields.*.start", ValueKind::Text),
    ("fields.*.end", ValueKind::Text),
    ("fields.*.null-rate", ValueKind::Decimal),
];

/// Options of `faker`.
///
/// # Source
/// Confluent: custom sample data; flink-faker.
const FAKER: [Known; 5] = [
    ("rows-per-second", ValueKind::Count),
    ("number-of-rows", ValueKind::Count),
    ("fields.*.expression", ValueKind::Text),
    ("fields.*.null-rate", ValueKind::Decimal),
    ("fields.*.length", ValueKind::Count),
];

/// Options of `print`.
const PRINT: [Known; 2] = [
    ("print-identifier", ValueKind::Text),
    ("standard-error", ValueKind::Boolean),
];

/// Options of a connector besides the common ones.
fn known(connector: &str) -> &'static [Known] {
    match connector {
        "confluent" => &CONFLUENT,
        "kafka" | "upsert-kafka" => &KAFKA,
        "filesystem" => &FILESYSTEM,
        "datagen" => &DATAGEN,
        "faker" => &FAKER,
        "print" => &PRINT,
        _ => &[],
    }
}

/// The connector of a table.
pub(crate) fn connector(options: &BTreeMap<String, String>) -> &str {
    options
        .get("connector")
        .map_or(DEFAULT_CONNECTOR, String::as_str)
}

/// Checks one option of a table.
///
/// # Errors
/// `Invalid` for a name that the connector does not take, with the nearest one, or a value that is not allowed;
/// `Unsupported` for a format that does not exist yet.
pub(crate) fn check(connector: &str, key: &str, value: &str) -> Result<()> {
    if !CONNECTORS.contains(&connector) {
        let mut error = unknown_name("connector", connector, CONNECTORS);
        error.message = format!("{}; there are {}", error.message, CONNECTORS.join(", "));
        return Err(error);
    }
    // Options of formats are checked with the table, whose parts they must be for.
    if format_option(connector, key).is_some() {
        return Ok(());
    }
    let names = || COMMON.iter().chain(known(connector));
    let Some((_, kind)) = names().find(|(pattern, _)| matches(pattern, key)) else {
        let fixed = names()
            .map(|(name, _)| *name)
            .filter(|name| !name.contains('*'));
        let error = unknown_name("option", key, fixed);
        return Err(error.context(&format!("connector '{connector}'")));
    };
    check_value("option", key, value, *kind)?;
    if ["format", "key.format", "value.format"].contains(&key) {
        let in_files = connector == "filesystem";
        let is_taken = |format: &&str| !in_files || !BINARY_FORMATS.contains(format);
        let formats: Vec<&str> = FORMATS.into_iter().filter(is_taken).collect();
        if !formats.contains(&value) {
            return Err(Error::unsupported(format!(
                "option '{key}': format \"{value}\"; there are {}",
                formats.join(", ")
            )));
        }
    }
    Ok(())
}

/// The part of records and the format that an option is for: `key.`, `value.` or nothing, then the name of a format, then a point.
/// Absent for other options, and for connectors without such parts.
pub(super) fn format_option<'a>(connector: &str, key: &'a str) -> Option<(&'a str, &'a str)> {
    let parts: &[&str] = match connector {
        "confluent" => &["key.", "value."],
        "kafka" | "upsert-kafka" => &["key.", "value.", ""],
        "filesystem" => &[""],
        _ => &[],
    };
    let part = parts.iter().find(|part| key.starts_with(**part))?;
    let (part, rest) = key.split_at(part.len());
    let is_of = |format: &&str| {
        rest.strip_prefix(*format)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    let format = FORMATS.into_iter().find(is_of)?;
    Some((part, &rest[..format.len()]))
}

/// Whether a name fits a pattern with at most one `*`.
fn matches(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        Some((prefix, suffix)) => {
            key.len() > prefix.len() + suffix.len()
                && key.starts_with(prefix)
                && key.ends_with(suffix)
        }
    }
}

/// Whether the value of an option must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('_', "-");
    [
        "password",
        "secret",
        "jaas",
        "token",
        "user-info",
        "private",
        "api-key",
    ]
    .iter()
    .any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Kind};

    #[test]
    fn options_of_each_connector_are_taken() {
        for (connector, key, value) in [
            ("confluent", "kafka.retention.time", "7 d"),
            ("confluent", "changelog.mode", "upsert"),
            ("kafka", "properties.bootstrap.servers", "b:9092"),
            ("kafka", "value.fields-include", "EXCEPT_KEY"),
            ("kafka", "avro-confluent.url", "http://localhost:8081"),
            ("kafka", "key.avro.timestamp_mapping.legacy", "false"),
            ("confluent", "value.format", "avro-registry"),
            ("confluent", "key.format", "proto-registry"),
            ("confluent", "value.proto-registry.id-encoding", "payload"),
            ("kafka", "value.proto-registry.schema-context", ""),
            ("confluent", "value.avro-registry.id-encoding", "payload"),
            ("datagen", "fields.a.b.min", "1"),
            ("faker", "fields.name.expression", "#{Name.fullName}"),
            ("filesystem", "path", "/tmp/x"),
            ("blackhole", "connector", "blackhole"),
        ] {
            check(connector, key, value).unwrap();
        }
    }

    #[test]
    fn wrong_names_values_and_formats_are_refused() {
        let message = |connector, key, value| check(connector, key, value).unwrap_err().message;
        assert_eq!(
            message("confluent", "scan.startup.mod", "x"),
            "connector 'confluent': unknown option \"scan.startup.mod\", did you mean \"scan.startup.mode\"?"
        );
        assert_eq!(
            message("confluent", "error-handling.mode", "skip"),
            "option 'error-handling.mode': \"skip\" is not one of fail, ignore, log"
        );
        assert!(
            message("kafkaa", "topic", "t")
                .starts_with("unknown connector \"kafkaa\", did you mean \"kafka\"?")
        );
        let format = check("kafka", "format", "protobuf").unwrap_err();
        assert_eq!(
            (format.kind, format.code),
            (Kind::Unsupported, Code::Unsupported)
        );
        assert!(format.message.contains("json, json-registry, avro"));
        let lines = check("filesystem", "format", "avro").unwrap_err();
        assert!(
            lines.message.ends_with(
                "json, json-registry, csv, raw, debezium-json, canal-json, maxwell-json, ogg-json"
            ),
            "{lines}"
        );
        assert!(check("datagen", "fields..kind", "random").is_err());
    }
}
