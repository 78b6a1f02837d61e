//! Bytes to columns and back.
//!
//! Enters: undecoded records or rows. Leaves: columns with the failures apart, or encoded bytes. A format knows one part of a
//! record (key or value) and nothing of topics; `task` combines the parts.

pub(crate) mod column;
pub mod csv;
pub mod json;
pub mod raw;
pub mod registry;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::json::{JsonDecoder, JsonEncoder, JsonOptions};
use crate::format::registry::{RegistryJsonDecoder, RegistryJsonEncoder, SchemaRegistry};
use crate::types::FlinkType;

/// A column that a format decodes or encodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatField {
    /// Name in the encoded form (after `key.fields-prefix` is taken off).
    pub name: String,
    /// Type.
    pub ty: FlinkType,
}

/// Decodes one part of records into the asked columns.
pub trait Decoder: Send + Debug {
    /// Decodes a batch.
    ///
    /// # Shape
    /// In: one optional byte slice per record. Out: columns of exactly the rows that decoded, in order, and the rest in
    /// `failures` with ascending rows. A null part is the caller's business and must not be passed as a record to decode.
    ///
    /// # Errors
    /// Only for what is no fault of a record (a registry that does not answer).
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded>;
}

/// The outcome of decoding.
#[derive(Debug, Default)]
pub struct Decoded {
    /// One array per asked field, `records - failures` long.
    pub columns: Vec<ArrayRef>,
    /// Records that did not decode, ascending by row.
    pub failures: Vec<Failure>,
}

/// A record that did not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its index in the input.
    pub row: usize,
    /// Machine-readable reason.
    pub code: FailureCode,
    /// What is wrong, naming field and place, never the whole record.
    pub message: String,
}

/// Why a record did not decode. The number is the `error_code` of the error table.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum FailureCode {
    /// The bytes are not of the format (bad JSON, bad UTF-8, wrong number of fields).
    Malformed,
    /// A value has a type or range that the column does not take.
    TypeMismatch,
    /// A NOT NULL column is missing or null.
    NullValue,
    /// The schema id is unknown or the framing is wrong.
    UnknownSchema,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 4] = [
        Self::Malformed,
        Self::TypeMismatch,
        Self::NullValue,
        Self::UnknownSchema,
    ];

    /// The `error_code` of the error table: Weir's own numbers, Confluent publishes none.
    pub fn number(self) -> i32 {
        match self {
            Self::Malformed => 1,
            Self::TypeMismatch => 2,
            Self::NullValue => 3,
            Self::UnknownSchema => 4,
        }
    }

    /// The `error_reason` of the error table and the label of the metric.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED_RECORD",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::NullValue => "NULL_VALUE",
            Self::UnknownSchema => "UNKNOWN_SCHEMA",
        }
    }
}

/// Encodes one part of rows.
pub trait Encoder: Send + Debug {
    /// Appends the encoded form of every row to `buffer`, and its end in `buffer` to `ends`.
    ///
    /// # Errors
    /// `Data` when a value has no encoded form; `Unavailable` when the registry does not answer.
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()>;
}

/// Formats that this version reads and writes.
const FORMATS: &str = "json, json-registry, csv, raw";

/// Whether the fields of a format are known by their position, so that it needs all columns of the part, in table order.
///
/// The decoders of other formats take just the fields that are asked for.
pub fn is_positional(format: &str) -> bool {
    format == "csv"
}

/// The decoder of a format.
///
/// # Shape
/// `options` are the table's, without `key.` or `value.` in front (`json.timestamp-format.standard`). `fields` are the asked ones;
/// for a format that [`is_positional`] all of the part.
///
/// # Errors
/// `Unsupported` for an unknown format or a type it has no form for; `Invalid` for bad options or a registry that is needed and
/// absent.
pub fn create_decoder(
    format: &str,
    options: &BTreeMap<String, String>,
    fields: Vec<FormatField>,
    registry: Option<Arc<dyn SchemaRegistry>>,
) -> Result<Box<dyn Decoder>> {
    Ok(match format {
        "json" => Box::new(JsonDecoder::new(fields, JsonOptions::parse(options)?)?),
        "json-registry" => {
            registry::check_options(options)?;
            let inner = JsonDecoder::new(fields, JsonOptions::registry())?;
            Box::new(RegistryJsonDecoder::new(needed(registry)?, inner))
        }
        "csv" => Box::new(csv::CsvDecoder::new(&fields, options)?),
        "raw" => Box::new(raw::RawDecoder::new(&fields, options)?),
        other => return Err(unknown_format(other)),
    })
}

/// The encoder of a format.
///
/// # Shape
/// `fields` are the columns of the part, in order; `subject` is `<topic>-value` or `<topic>-key`.
///
/// # Errors
/// As [`create_decoder`], and `Unavailable` when the registry that the schema is registered with does not answer.
pub fn create_encoder(
    format: &str,
    options: &BTreeMap<String, String>,
    fields: Vec<FormatField>,
    subject: &str,
    registry: Option<Arc<dyn SchemaRegistry>>,
) -> Result<Box<dyn Encoder>> {
    Ok(match format {
        "json" => Box::new(JsonEncoder::new(fields, JsonOptions::parse(options)?)?),
        "json-registry" => {
            registry::check_options(options)?;
            let registry = needed(registry)?;
            Box::new(RegistryJsonEncoder::new(
                registry.as_ref(),
                subject,
                fields,
            )?)
        }
        "csv" => Box::new(csv::CsvEncoder::new(fields, options)?),
        "raw" => Box::new(raw::RawEncoder::new(&fields, options)?),
        other => return Err(unknown_format(other)),
    })
}

/// The registry, which the format cannot do without.
fn needed(registry: Option<Arc<dyn SchemaRegistry>>) -> Result<Arc<dyn SchemaRegistry>> {
    registry.ok_or_else(|| {
        Error::option("format 'json-registry' needs a Schema Registry, and none is configured; use format 'json'")
    })
}

/// A format that does not exist here.
fn unknown_format(format: &str) -> Error {
    Error::unsupported(format!("format '{format}' is not one of {FORMATS}"))
}

/// A boolean option, false by default.
///
/// # Errors
/// `Invalid` for anything but `true` and `false`.
pub(crate) fn flag(options: &BTreeMap<String, String>, key: &str) -> Result<bool> {
    match options.get(key).map(String::as_str) {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
        Some(other) => Err(Error::option(format!(
            "option '{key}': \"{other}\" is not one of true, false"
        ))),
    }
}
