//! The languages of schemas.
//!
//! Enters: texts. Leaves: parsed schemas, the texts that identify them, and what stands between two of them.

pub(crate) mod avro;
pub(crate) mod json;
pub(crate) mod protobuf;

use weir_runtime::format::registry::SchemaType;

use super::compatibility::{self, Incompatibility, TooComplex};
use avro::AvroSchema;
use json::JsonSchema;
use protobuf::ProtobufSchema;

/// A schema that was read.
#[derive(Debug, Clone)]
pub(crate) enum Parsed {
    /// `AVRO`.
    Avro(AvroSchema),
    /// `JSON`.
    Json(JsonSchema),
    /// `PROTOBUF`; large, so apart.
    Protobuf(Box<ProtobufSchema>),
}

impl Parsed {
    /// Reads a schema; `references` are names and texts of all that it refers to, those that are referred to first.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(
        language: SchemaType,
        text: &str,
        references: &[(String, String)],
    ) -> Result<Self, String> {
        Ok(match language {
            SchemaType::Avro => Self::Avro(AvroSchema::parse(text, references)?),
            SchemaType::Json => Self::Json(JsonSchema::parse(text, references)?),
            SchemaType::Protobuf => {
                Self::Protobuf(Box::new(ProtobufSchema::parse(text, references)?))
            }
        })
    }

    /// The text that clients are given.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Avro(schema) => schema.canonical(),
            Self::Json(schema) => schema.canonical(),
            Self::Protobuf(schema) => schema.text().to_owned(),
        }
    }

    /// As [`Self::text`], normalized. Protobuf texts stay: comments would be lost.
    pub(crate) fn normalized_text(&self) -> String {
        match self {
            Self::Avro(schema) => schema.normalized(),
            Self::Json(schema) => schema.normalized(),
            Self::Protobuf(schema) => schema.text().to_owned(),
        }
    }

    /// What is the same for schemas that differ in white space only.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Avro(schema) => schema.canonical(),
            Self::Json(schema) => schema.canonical(),
            Self::Protobuf(schema) => schema.canonical(),
        }
    }

    /// What is the same for schemas that are the same once normalized.
    pub(crate) fn normal_identity(&self) -> String {
        match self {
            Self::Avro(schema) => schema.normalized(),
            Self::Json(schema) => schema.normalized(),
            Self::Protobuf(schema) => schema.normalized(),
        }
    }

    /// The text in a form that clients ask for; the usual one for forms that the language does not have.
    pub(crate) fn formatted(&self, format: &str) -> String {
        match (self, format) {
            (Self::Avro(schema), "resolved") => schema.resolved(),
            (Self::Protobuf(schema), "serialized") => schema.serialized(),
            (Self::Avro(_) | Self::Json(_) | Self::Protobuf(_), _) => self.text(),
        }
    }

    /// What stands in the way of reading with this schema what `writer` wrote; `None` for another language.
    ///
    /// # Errors
    /// [`TooComplex`] for schemas beyond the bounds.
    pub(crate) fn reads(&self, writer: &Self) -> Result<Option<Vec<Incompatibility>>, TooComplex> {
        Ok(Some(match (self, writer) {
            (Self::Avro(reader), Self::Avro(writer)) => compatibility::avro::check(reader, writer)?,
            (Self::Json(reader), Self::Json(writer)) => {
                compatibility::json_schema::check(reader, writer)?
            }
            (Self::Protobuf(reader), Self::Protobuf(writer)) => {
                compatibility::protobuf::check(reader, writer)?
            }
            (Self::Avro(_) | Self::Json(_) | Self::Protobuf(_), _) => return Ok(None),
        }))
    }
}
