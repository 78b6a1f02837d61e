//! What records of changes tell besides rows: metadata columns `value.*`.
//!
//! Place in the flow: the binder asks which there are, the decoder where they are. Invariant: a key has the type that Flink gives it, and
//! is NULL in a record that does not have it.
//!
//! # Source
//! Flink 2.3, documentation of the Debezium, Canal, Maxwell and Ogg formats, "Available Metadata".

use crate::types::{FlinkType, TypeKind};

/// A metadata key.
#[derive(Debug)]
pub(crate) struct Readable {
    /// The key, without the `value.` that connectors put before it.
    pub(crate) key: &'static str,
    /// What it is.
    what: What,
    /// Where it is: members of members of the envelope.
    pub(super) path: &'static [&'static str],
}

/// What a metadata key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A text, of the envelope or of what is around it.
    Text,
    /// The JSON text of what is beside the envelope.
    Beside,
    /// A number of milliseconds since 1970.
    Millis,
    /// A date and time of UTC in the text form of the table.
    Written,
    /// A list of texts.
    Texts,
    /// Texts by name.
    TextByName,
    /// Numbers by name.
    NumberByName,
}

/// A key.
const fn key(key: &'static str, what: What, path: &'static [&'static str]) -> Readable {
    Readable { key, what, path }
}

/// Metadata of Debezium.
const DEBEZIUM: [Readable; 7] = [
    key("schema", What::Beside, &["schema"]),
    key("ingestion-timestamp", What::Millis, &["ts_ms"]),
    key("source.timestamp", What::Millis, &["source", "ts_ms"]),
    key("source.database", What::Text, &["source", "db"]),
    key("source.schema", What::Text, &["source", "schema"]),
    key("source.table", What::Text, &["source", "table"]),
    key("source.properties", What::TextByName, &["source"]),
];

/// Metadata of Canal.
const CANAL: [Readable; 6] = [
    key("database", What::Text, &["database"]),
    key("table", What::Text, &["table"]),
    key("sql-type", What::NumberByName, &["sqlType"]),
    key("pk-names", What::Texts, &["pkNames"]),
    key("ingestion-timestamp", What::Millis, &["ts"]),
    key("event-timestamp", What::Millis, &["es"]),
];

/// Metadata of Maxwell. Its `ts` are seconds, and Flink takes them for milliseconds.
const MAXWELL: [Readable; 4] = [
    key("database", What::Text, &["database"]),
    key("table", What::Text, &["table"]),
    key("primary-key-columns", What::Texts, &["primary_key_columns"]),
    key("ingestion-timestamp", What::Millis, &["ts"]),
];

/// Metadata of `GoldenGate`.
const OGG: [Readable; 4] = [
    key("table", What::Text, &["table"]),
    key("primary-keys", What::Texts, &["primary_keys"]),
    key("ingestion-timestamp", What::Written, &["current_ts"]),
    key("event-timestamp", What::Written, &["op_ts"]),
];

/// The metadata that a format has.
pub(crate) fn readable(format: &str) -> &'static [Readable] {
    match format {
        "debezium-json" => &DEBEZIUM,
        "canal-json" => &CANAL,
        "maxwell-json" => &MAXWELL,
        "ogg-json" => &OGG,
        _ => &[],
    }
}

impl Readable {
    /// The type of the column.
    pub(crate) fn ty(&self) -> FlinkType {
        match self.what {
            What::Text | What::Beside => TypeKind::string(),
            What::Millis => TypeKind::TimestampLtz(3),
            What::Written => TypeKind::TimestampLtz(6),
            What::Texts => TypeKind::Array(Box::new(TypeKind::string().nullable())),
            What::TextByName => TypeKind::Map(
                Box::new(TypeKind::string().nullable()),
                Box::new(TypeKind::string().nullable()),
            ),
            What::NumberByName => TypeKind::Map(
                Box::new(TypeKind::string().nullable()),
                Box::new(TypeKind::Int.nullable()),
            ),
        }
        .nullable()
    }

    /// The type that the JSON value is read as; its stored form is that of [`Self::ty`].
    pub(super) fn read_type(&self) -> FlinkType {
        match self.what {
            // Without the `Z` that an instant ends with in JSON.
            What::Written => TypeKind::Timestamp(6).nullable(),
            What::Text
            | What::Beside
            | What::Millis
            | What::Texts
            | What::TextByName
            | What::NumberByName => self.ty(),
        }
    }

    /// Whether it is a number of milliseconds.
    pub(super) fn is_epoch(&self) -> bool {
        self.what == What::Millis
    }

    /// Whether it is beside the envelope rather than in it.
    pub(super) fn is_beside(&self) -> bool {
        self.what == What::Beside
    }
}
