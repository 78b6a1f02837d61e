//! Bytes to columns and back.
//!
//! Enters: undecoded records or rows. Leaves: columns with the failures apart, or encoded bytes. A format knows one part of a
//! record (key or value) and nothing of topics; `task` combines the parts.

pub mod avro;
pub mod changelog;
pub(crate) mod column;
pub mod csv;
pub(crate) mod decimal;
pub mod inference;
pub mod json;
pub mod proto;
pub mod raw;
pub mod registry;
pub(crate) mod rows;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::format::avro::{AvroOptions, ConfluentAvroOptions, Mapping};
use crate::format::changelog::{
    ChangeOptions, Dialect, EnvelopeDecoder, EnvelopeEncoder, JsonChangeDecoder,
};
use crate::format::json::JsonOptions;
use crate::format::registry::{SchemaRegistry, SchemaType};
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
    /// In: one byte slice per record. Out: columns of exactly the rows of the records that decoded, in order, and the other records in
    /// `failures`, ascending. A null part is the caller's business and must not be passed as a record to decode.
    ///
    /// # Errors
    /// Only for what is no fault of a record (a registry that does not answer).
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded>;
}

/// The outcome of decoding.
#[derive(Debug, Default)]
pub struct Decoded {
    /// One array per asked field, then one per asked metadata: as long as `changes`, or else as there are records that did not fail.
    pub columns: Vec<ArrayRef>,
    /// Records that did not decode, ascending by row.
    pub failures: Vec<Failure>,
    /// What the rows do, in formats whose records are changes; absent means that each record that did not fail is one insert.
    pub changes: Option<Changes>,
}

/// The rows of records that are changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The kind of each row.
    pub kinds: Vec<RowKind>,
    /// The record of each row, as its index in the input, ascending: an update stands there twice, and what says nothing not at all.
    pub records: Vec<usize>,
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
    /// Appends the encoded form of every row to `buffer`, and its end in `buffer` to `ends`. Only formats of changes look at kinds.
    ///
    /// # Errors
    /// `Data` when a value has no encoded form; `Unavailable` when the registry does not answer.
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()>;
}

/// Formats there are.
pub const FORMATS: [&str; 16] = [
    "json",
    "json-registry",
    "avro",
    "avro-registry",
    "avro-confluent",
    "proto-registry",
    "csv",
    "raw",
    "debezium-json",
    "canal-json",
    "maxwell-json",
    "ogg-json",
    "debezium-avro-confluent",
    "json-debezium-registry",
    "avro-debezium-registry",
    "proto-debezium-registry",
];

/// What a decoder or encoder of one part of a table's records is made from.
#[derive(Debug, Clone)]
pub struct PartSpec<'a> {
    /// Format name, one of [`FORMATS`].
    pub format: &'a str,
    /// Format options, such as `json.timestamp-format.standard`.
    pub options: &'a BTreeMap<String, String>,
    /// Every column of the part in order, by its encoded name.
    pub layout: &'a [FormatField],
    /// Schema Registry subject, `<topic>-key` or `<topic>-value`.
    pub subject: &'a str,
    /// The Schema Registry, if there is one.
    pub registry: Option<Arc<dyn SchemaRegistry>>,
}

impl PartSpec<'_> {
    /// The registry.
    fn registry(&self) -> Result<Arc<dyn SchemaRegistry>> {
        self.registry.clone().ok_or_else(|| {
            Error::option(format!("format '{}' needs a Schema Registry", self.format))
        })
    }

    /// The error for a format that does not exist.
    fn unknown(&self) -> Error {
        Error::unsupported(format!(
            "format '{}'; there are {}",
            self.format,
            FORMATS.join(", ")
        ))
    }

    /// The registry and subject of `avro-confluent`, which a table may name itself.
    fn confluent(&self) -> Result<(Arc<dyn SchemaRegistry>, String)> {
        let options = ConfluentAvroOptions::parse(self.options, self.format)?;
        let registry = match options.registry {
            Some(registry) => registry,
            None => self.registry()?,
        };
        let subject = options.subject.unwrap_or_else(|| self.subject.to_owned());
        Ok((registry, subject))
    }

    /// The schema that rows of the fields are registered under; absent for formats without one.
    ///
    /// # Errors
    /// `Unsupported` for a type that has no schema.
    pub fn schema(&self, fields: &[FormatField]) -> Result<Option<(SchemaType, String)>> {
        match Dialect::of(self.format) {
            Some(dialect) => self.record_schema(&dialect.envelope(fields)),
            None => self.record_schema(fields),
        }
    }

    /// As [`Self::schema`], of the fields of a record.
    fn record_schema(&self, fields: &[FormatField]) -> Result<Option<(SchemaType, String)>> {
        let (language, schema) = match Dialect::plain(self.format) {
            "json-registry" => (SchemaType::Json, registry::json_schema_of(fields)?),
            "avro-registry" => {
                let schema = avro::avro_schema_of(fields, Mapping::Confluent)?;
                (SchemaType::Avro, schema)
            }
            "avro-confluent" => {
                let schema = avro::avro_schema_of(fields, Mapping::FlinkLegacy)?;
                (SchemaType::Avro, schema)
            }
            "proto-registry" => (SchemaType::Protobuf, proto::proto_schema_of(fields)?),
            _ => return Ok(None),
        };
        Ok(Some((language, schema)))
    }

    /// An encoder that frames what `inner` encodes with the id of its schema.
    fn framed<E: Encoder + 'static>(
        &self,
        (registry, subject): (Arc<dyn SchemaRegistry>, &str),
        fields: &[FormatField],
        inner: E,
    ) -> Result<Box<dyn Encoder>> {
        let schema = self
            .record_schema(fields)?
            .ok_or_else(|| Error::internal(format!("format '{}' has no schema", self.format)))?;
        Ok(Box::new(registry::RegistryEncoder::new(
            registry, subject, schema, inner,
        )))
    }

    /// A decoder of the asked fields, and of metadata that formats of changes have, by its key without `value.`.
    ///
    /// # Errors
    /// `Unsupported` for a format that does not exist or a type that it does not hold; `Invalid` for bad options.
    pub fn decoder(
        &self,
        fields: Vec<FormatField>,
        metadata: &[String],
    ) -> Result<Box<dyn Decoder>> {
        let Some(dialect) = Dialect::of(self.format) else {
            return self.record_decoder(self.layout, fields);
        };
        // In JSON the envelope is read with its rows, as it may stand in one with a schema and hold rows by the list.
        let (options, json_registry) = match Dialect::plain(self.format) {
            "json" => (ChangeOptions::parse(self.options, self.format)?, None),
            "json-registry" => {
                registry::check_options(self.options, self.format)?;
                (ChangeOptions::registry(), Some(self.registry()?))
            }
            _ => {
                let layout = dialect.envelope(self.layout);
                let inner = self.record_decoder(&layout, dialect.envelope(&fields))?;
                return Ok(Box::new(EnvelopeDecoder::new(dialect, inner)));
            }
        };
        let inner = JsonChangeDecoder::new(dialect, options, &fields, metadata)?;
        Ok(match json_registry {
            Some(registry) => Box::new(registry::RegistryDecoder::new(registry, inner)),
            None => Box::new(inner),
        })
    }

    /// A decoder of records with some of the fields of a layout, without regard to what records do.
    fn record_decoder(
        &self,
        layout: &[FormatField],
        fields: Vec<FormatField>,
    ) -> Result<Box<dyn Decoder>> {
        Ok(match Dialect::plain(self.format) {
            "json" => Box::new(json::JsonDecoder::new(
                fields,
                JsonOptions::parse(self.options)?,
            )?),
            "json-registry" => {
                registry::check_options(self.options, self.format)?;
                let inner = json::JsonDecoder::new(fields, JsonOptions::registry())?;
                Box::new(registry::RegistryDecoder::new(self.registry()?, inner))
            }
            "avro" => {
                let mapping = AvroOptions::parse(self.options)?.mapping;
                Box::new(avro::AvroDecoder::new(layout, &fields, mapping)?)
            }
            "avro-registry" => {
                registry::check_options(self.options, self.format)?;
                let registry = self.registry()?;
                let subject = self.subject;
                Box::new(avro::AvroRegistryDecoder::new(
                    registry, subject, layout, fields,
                )?)
            }
            "avro-confluent" => {
                let (registry, subject) = self.confluent()?;
                Box::new(avro::AvroRegistryDecoder::new(
                    registry, &subject, layout, fields,
                )?)
            }
            "proto-registry" => {
                registry::check_options(self.options, self.format)?;
                let registry = self.registry()?;
                Box::new(proto::ProtoRegistryDecoder::new(registry, layout, fields)?)
            }
            "csv" => {
                let names: Vec<String> = layout.iter().map(|field| field.name.clone()).collect();
                Box::new(csv::CsvDecoder::new(&names, &fields, self.options)?)
            }
            "raw" => Box::new(raw::RawDecoder::new(&fields, self.options)?),
            _ => return Err(self.unknown()),
        })
    }

    /// An encoder of all fields of the part.
    ///
    /// # Errors
    /// `Unsupported` for a format that does not exist or a type that it does not hold; `Invalid` for bad options.
    pub fn encoder(&self, fields: &[FormatField]) -> Result<Box<dyn Encoder>> {
        let Some(dialect) = Dialect::of(self.format) else {
            return self.record_encoder(fields);
        };
        let inner = self.record_encoder(&dialect.envelope(fields))?;
        Ok(Box::new(EnvelopeEncoder::new(dialect, fields, inner)?))
    }

    /// An encoder of records with these fields.
    fn record_encoder(&self, fields: &[FormatField]) -> Result<Box<dyn Encoder>> {
        Ok(match Dialect::plain(self.format) {
            "json" => {
                let options = match Dialect::of(self.format) {
                    Some(_) => {
                        ChangeOptions::parse(self.options, self.format)?.written(self.format)?
                    }
                    None => JsonOptions::parse(self.options)?,
                };
                Box::new(json::JsonEncoder::new(fields.to_vec(), options)?)
            }
            "json-registry" => {
                registry::check_options(self.options, self.format)?;
                let inner = json::JsonEncoder::new(fields.to_vec(), JsonOptions::registry())?;
                self.framed((self.registry()?, self.subject), fields, inner)?
            }
            "avro" => {
                let mapping = AvroOptions::parse(self.options)?.mapping;
                Box::new(avro::AvroEncoder::new(fields.to_vec(), mapping)?)
            }
            "avro-registry" => {
                registry::check_options(self.options, self.format)?;
                let inner = avro::AvroEncoder::new(fields.to_vec(), Mapping::Confluent)?;
                self.framed((self.registry()?, self.subject), fields, inner)?
            }
            "avro-confluent" => {
                let (registry, subject) = self.confluent()?;
                let inner = avro::AvroEncoder::new(fields.to_vec(), Mapping::FlinkLegacy)?;
                self.framed((registry, &subject), fields, inner)?
            }
            "proto-registry" => {
                registry::check_options(self.options, self.format)?;
                let inner = proto::ProtoEncoder::new(fields.to_vec())?;
                self.framed((self.registry()?, self.subject), fields, inner)?
            }
            "csv" => Box::new(csv::CsvEncoder::new(fields.to_vec(), self.options)?),
            "raw" => Box::new(raw::RawEncoder::new(fields, self.options)?),
            _ => return Err(self.unknown()),
        })
    }
}

/// Checks the options of a part that are for its format.
///
/// # Errors
/// `Invalid` for an option or value that does not exist, with the nearest one; `Unsupported` for what has no counterpart.
pub(crate) fn check_options(format: &str, options: &BTreeMap<String, String>) -> Result<()> {
    match format {
        "json" => JsonOptions::parse(options).map(drop),
        "csv" => csv::CsvOptions::parse(options).map(drop),
        "raw" => raw::parse_options(options).map(drop),
        "avro" => AvroOptions::parse(options).map(drop),
        "avro-confluent" | "debezium-avro-confluent" => {
            ConfluentAvroOptions::parse(options, format).map(drop)
        }
        "debezium-json" | "canal-json" | "maxwell-json" | "ogg-json" => {
            ChangeOptions::parse(options, format).map(drop)
        }
        _ => registry::check_options(options, format),
    }
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
