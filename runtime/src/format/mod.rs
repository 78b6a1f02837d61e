//! Bytes to columns and back.
//!
//! Enters: undecoded records or rows. Leaves: columns with the failures apart, or encoded bytes. A format knows one part of a
//! record (key or value) and nothing of topics; `task` combines the parts.

pub mod csv;
pub mod json;
pub mod raw;
pub mod registry;

use std::fmt::Debug;

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::error::Result;
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

/// STUB.
///
/// # Errors
/// Always.
pub fn create_decoder(
    format: &str,
    options: &std::collections::BTreeMap<String, String>,
    fields: Vec<FormatField>,
    registry: Option<std::sync::Arc<dyn registry::SchemaRegistry>>,
) -> Result<Box<dyn Decoder>> {
    let _ = (options, fields, registry);
    Err(crate::error::Error::unsupported(format))
}
/// STUB.
///
/// # Errors
/// Always.
pub fn create_encoder(
    format: &str,
    options: &std::collections::BTreeMap<String, String>,
    fields: Vec<FormatField>,
    subject: &str,
    registry: Option<std::sync::Arc<dyn registry::SchemaRegistry>>,
) -> Result<Box<dyn Encoder>> {
    let _ = (options, fields, registry, subject);
    Err(crate::error::Error::unsupported(format))
}
