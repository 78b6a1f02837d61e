//! JSON: one object per record.
//!
//! Enters: JSON bytes or rows. Leaves: columns, or JSON bytes. `scan` knows the syntax, `convert` the types, `decoder` predicts the
//! layout of the next record from the last one, `encoder` writes.

pub(super) mod convert;
mod decoder;
mod encoder;
mod layout;
mod quick;
pub(super) mod scan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use decoder::JsonDecoder;
pub(super) use decoder::{check_size, check_type};
pub use encoder::JsonEncoder;

use crate::error::{Error, Result, unknown_name};
pub use crate::format::text::TimestampFormat;

/// How JSON is read and written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JsonOptions {
    /// How dates and times are written.
    pub timestamp_format: TimestampFormat,
    /// What a key that is not there means.
    pub missing_field: MissingField,
    /// Which JSON types a column takes.
    pub typing: Typing,
    /// How decimals are written.
    pub decimals: Decimals,
    /// What is written for NULL.
    pub null_fields: NullFields,
    /// How maps are written.
    pub maps: Maps,
    /// What becomes of a value that its column does not take.
    pub faults: Faults,
}

/// What becomes of a value that its column does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Faults {
    /// The record fails.
    #[default]
    Fail,
    /// It is NULL: `ignore-parse-errors` of the formats of changes.
    Null,
}

/// What a key that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingField {
    /// NULL.
    #[default]
    Null,
    /// The record fails: `json.fail-on-missing-field`.
    Fail,
}

/// Which JSON types a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Typing {
    /// Flink's: numbers from strings, strings from anything, booleans from anything.
    #[default]
    Lenient,
    /// Confluent's: only the JSON type that the column is written as.
    Strict,
}

/// How decimals are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decimals {
    /// As Java's `BigDecimal.toString`: tiny ones with an exponent.
    #[default]
    Scientific,
    /// Never with an exponent: `json.encode.decimal-as-plain-number`.
    Plain,
}

/// What is written for NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NullFields {
    /// `"name": null`.
    #[default]
    Write,
    /// Nothing: `json.encode.ignore-null-fields`.
    Omit,
}

/// How maps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maps {
    /// As objects; keys must be character strings.
    #[default]
    Objects,
    /// Maps with other keys as arrays of `{"key": ..., "value": ...}`.
    ///
    /// # Source
    /// The JSON Schema mapping of Confluent.
    ObjectsOrEntries,
}

impl JsonOptions {
    /// The options of `json-registry`: Confluent's strict types and numbers for dates and times.
    pub fn registry() -> Self {
        Self {
            timestamp_format: TimestampFormat::Epoch,
            missing_field: MissingField::Null,
            typing: Typing::Strict,
            decimals: Decimals::Plain,
            null_fields: NullFields::Write,
            maps: Maps::ObjectsOrEntries,
            faults: Faults::Fail,
        }
    }

    /// Reads the `json.*` options of a table.
    ///
    /// # Errors
    /// `Invalid` for an option or value that does not exist; `Unsupported` for `json.ignore-parse-errors`, which has a successor.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        /// Every option of the format.
        ///
        /// # Source
        /// Flink 2.3, "JSON Format".
        const KNOWN: [&str; 8] = [
            "json.fail-on-missing-field",
            "json.ignore-parse-errors",
            "json.timestamp-format.standard",
            "json.map-null-key.mode",
            "json.map-null-key.literal",
            "json.encode.decimal-as-plain-number",
            "json.encode.ignore-null-fields",
            "json.decode.json-parser.enabled",
        ];
        for key in options.keys().filter(|key| key.starts_with("json.")) {
            if !KNOWN.contains(&key.as_str()) {
                return Err(unknown_name("option", key, KNOWN));
            }
        }
        if crate::format::flag(options, "json.ignore-parse-errors")? {
            return Err(Error::unsupported(
                "option 'json.ignore-parse-errors': set 'error-handling.mode' to 'ignore' or 'log' instead",
            ));
        }
        Ok(Self {
            missing_field: if crate::format::flag(options, "json.fail-on-missing-field")? {
                MissingField::Fail
            } else {
                MissingField::Null
            },
            ..Self::shared(options, "json")?
        })
    }

    /// Reads the options that all formats of Flink in JSON have, whatever `format` is.
    ///
    /// # Errors
    /// `Invalid` for a value that does not exist.
    pub fn shared(options: &BTreeMap<String, String>, format: &str) -> Result<Self> {
        let key = format!("{format}.timestamp-format.standard");
        let timestamp_format = match options.get(&key).map_or("SQL", String::as_str) {
            "SQL" => TimestampFormat::Sql,
            "ISO-8601" => TimestampFormat::Iso8601,
            other => {
                return Err(Error::option(format!(
                    "option '{key}': \"{other}\" is not one of SQL, ISO-8601"
                )));
            }
        };
        let flag = |name: &str| crate::format::flag(options, &format!("{format}.{name}"));
        Ok(Self {
            timestamp_format,
            missing_field: MissingField::Null,
            typing: Typing::Lenient,
            decimals: if flag("encode.decimal-as-plain-number")? {
                Decimals::Plain
            } else {
                Decimals::Scientific
            },
            null_fields: if flag("encode.ignore-null-fields")? {
                NullFields::Omit
            } else {
                NullFields::Write
            },
            maps: Maps::Objects,
            faults: Faults::Fail,
        })
    }
}
