//! Schema Registry: client, framing and JSON Schemas.
//!
//! Enters: records framed with a schema id. Leaves: what the inner format makes of the rest. The registry behind the trait is the
//! embedded one of the server or an external one over HTTP.

mod http;
mod json_schema;
#[cfg(test)]
pub(crate) mod memory;
mod references;

pub use http::HttpRegistry;
pub use json_schema::json_schema_of;
pub use references::{ReferencedSchema, referenced_schemas};

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use crate::batch::Batch;
use crate::error::{Error, Result, unknown_name};
use crate::format::{Decoded, Decoder, Encoder, Failure, FailureCode};

/// The first byte of every framed record.
///
/// # Source
/// Confluent wire format, version 0: this byte, then the schema id as four bytes, big-endian.
const MAGIC: u8 = 0;

/// Bytes of the frame.
const FRAME_BYTES: usize = 5;

/// Ids remembered by a decoder, unknown ones included; beyond, all are forgotten and asked for again (a bound against bad input).
const IDS_MAX: usize = 10_000;

/// The language of a schema, with the registry's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaType {
    /// `AVRO`.
    Avro,
    /// `JSON`.
    Json,
    /// `PROTOBUF`.
    Protobuf,
}

impl SchemaType {
    /// The registry's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The language of that name; no name means Avro, as in the registry's API.
    pub fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("AVRO") => Some(Self::Avro),
            Some("JSON") => Some(Self::Json),
            Some("PROTOBUF") => Some(Self::Protobuf),
            Some(_) => None,
        }
    }
}

/// A schema of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its id.
    pub id: i32,
    /// Its language.
    pub schema_type: SchemaType,
    /// Its text.
    pub schema: String,
    /// The schemas that its text refers to.
    pub references: Vec<SchemaReference>,
}

/// A reference of a schema to another one, as in the registry's API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SchemaReference {
    /// What the text calls it: the full name of a type in Avro, the path of an import in Protobuf, an address in JSON Schema.
    pub name: String,
    /// Its subject.
    pub subject: String,
    /// Its version, from 1.
    pub version: i32,
}

/// A Schema Registry. Calls block, so they must not be made on an asynchronous thread.
pub trait SchemaRegistry: Send + Sync + Debug {
    /// Registers a schema under a subject; the id, also when it was there already. May wait.
    ///
    /// # Errors
    /// `Unavailable` with the address when it does not answer; `Invalid` when it refuses the schema.
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32>;

    /// The schema of an id; absent when there is none. May wait.
    ///
    /// # Errors
    /// `Unavailable` with the address when it does not answer.
    fn schema(&self, id: i32) -> Result<Option<RegisteredSchema>>;

    /// The latest schema of a subject; absent when there is none. May wait.
    ///
    /// # Errors
    /// `Unavailable` with the address when it does not answer.
    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>>;

    /// A version of a subject, also one that was deleted since, as schemas may refer to it; absent when there is none. May wait.
    ///
    /// # Errors
    /// `Unavailable` with the address when it does not answer.
    fn version(&self, subject: &str, version: i32) -> Result<Option<RegisteredSchema>>;

    /// Deletes a subject of a table that is dropped, softly: ids stay. A subject that is not there is fine, and so is a registry that keeps
    /// what it has, which it does unless it says otherwise. May wait.
    ///
    /// # Errors
    /// `Unavailable` with the address when it does not answer; `Invalid` when it refuses.
    fn delete_subject(&self, _subject: &str) -> Result<()> {
        Ok(())
    }
}

/// The schema id of a record and what is behind its frame, or what is wrong with the frame.
pub(super) fn split_frame(record: &[u8]) -> std::result::Result<(i32, &[u8]), String> {
    let Some(([magic, id @ ..], rest)) = record.split_first_chunk::<FRAME_BYTES>() else {
        return Err("the record is shorter than the frame of a schema id".to_owned());
    };
    if *magic != MAGIC {
        return Err(format!(
            "the record begins with byte {magic} and not with a schema id"
        ));
    }
    Ok((i32::from_be_bytes(*id), rest))
}

/// Decodes framed records.
#[derive(Debug)]
pub struct RegistryDecoder<D> {
    /// Knows the ids.
    registry: Arc<dyn SchemaRegistry>,
    /// Whether each id that was seen is that of a JSON Schema.
    known: HashMap<i32, bool, foldhash::fast::RandomState>,
    /// Decodes what follows the frame.
    inner: D,
}

impl<D: Decoder> RegistryDecoder<D> {
    /// A decoder around `inner`.
    pub fn new(registry: Arc<dyn SchemaRegistry>, inner: D) -> Self {
        Self {
            registry,
            known: HashMap::default(),
            inner,
        }
    }

    /// The record behind its frame, or what is wrong with the frame.
    fn unframe<'a>(&mut self, record: &'a [u8]) -> Result<Result<&'a [u8], String>> {
        let (id, rest) = match split_frame(record) {
            Ok(framed) => framed,
            Err(message) => return Ok(Err(message)),
        };
        let is_known = if let Some(known) = self.known.get(&id) {
            *known
        } else {
            let schema = self.registry.schema(id)?;
            if self.known.len() >= IDS_MAX {
                self.known.clear();
            }
            let is_json = schema.is_some_and(|schema| schema.schema_type == SchemaType::Json);
            self.known.insert(id, is_json);
            is_json
        };
        Ok(if is_known {
            Ok(rest)
        } else {
            Err(format!(
                "schema id {id} is not that of a JSON Schema in the registry"
            ))
        })
    }
}

impl<D: Decoder> Decoder for RegistryDecoder<D> {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        // What was unknown in the last batch may have been registered since.
        self.known.retain(|_, is_known| *is_known);
        let mut failures = Vec::new();
        let mut rows = Vec::with_capacity(records.len());
        let mut bodies = Vec::with_capacity(records.len());
        for (row, record) in records.iter().enumerate() {
            match self.unframe(record)? {
                Ok(body) => {
                    rows.push(row);
                    bodies.push(body);
                }
                Err(message) => failures.push(Failure {
                    row,
                    code: FailureCode::UnknownSchema,
                    message,
                }),
            }
        }
        let mut decoded = self.inner.decode(&bodies)?;
        failures.extend(decoded.failures.drain(..).map(|failure| Failure {
            row: rows[failure.row],
            ..failure
        }));
        failures.sort_by_key(|failure| failure.row);
        if let Some(changes) = &mut decoded.changes {
            for record in &mut changes.records {
                *record = rows[*record];
            }
        }
        Ok(Decoded {
            failures,
            ..decoded
        })
    }
}

/// Checks the options of a table that begin with the name of a registry format.
///
/// # Errors
/// `Invalid` for an option that does not exist; `Unsupported` for a value other than the default.
pub(super) fn check_options(options: &BTreeMap<String, String>, format: &str) -> Result<()> {
    /// Every option of the format.
    ///
    /// # Source
    /// Confluent Cloud, CREATE TABLE.
    const KNOWN: [&str; 5] = [
        "schema-context",
        "id-encoding",
        "subject-name",
        "subject-names",
        "validate-writes",
    ];
    let own = options.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(format)?.strip_prefix('.')?;
        Some((key, name, value))
    });
    for (key, name, value) in own {
        if !KNOWN.contains(&name) {
            let known = KNOWN.map(|name| format!("{format}.{name}"));
            return Err(unknown_name(
                "option",
                key,
                known.iter().map(String::as_str),
            ));
        }
        let is_default = match name {
            "schema-context" => value.is_empty() || value == ".",
            "id-encoding" => value == "payload",
            "validate-writes" => value == "false",
            _ => false,
        };
        if !is_default {
            return Err(Error::unsupported(format!(
                "option '{key}' with the value \"{value}\"; leave it out"
            )));
        }
    }
    Ok(())
}

/// Encodes framed records.
#[derive(Debug)]
pub struct RegistryEncoder<E> {
    /// Gives the id.
    registry: Arc<dyn SchemaRegistry>,
    /// Subject that the schema is registered under.
    subject: String,
    /// The schema's language.
    schema_type: SchemaType,
    /// The schema.
    schema: String,
    /// The schema's id, once it was registered.
    id: Option<i32>,
    /// Encodes what follows the frame.
    inner: E,
}

impl<E: Encoder> RegistryEncoder<E> {
    /// An encoder around `inner` that registers `schema` with its first record.
    pub fn new(
        registry: Arc<dyn SchemaRegistry>,
        subject: &str,
        (schema_type, schema): (SchemaType, String),
        inner: E,
    ) -> Self {
        Self {
            registry,
            subject: subject.to_owned(),
            schema_type,
            schema,
            id: None,
            inner,
        }
    }
}

impl<E: Encoder> Encoder for RegistryEncoder<E> {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let id = match self.id {
            Some(id) => id,
            None => *self.id.insert(self.registry.register(
                &self.subject,
                self.schema_type,
                &self.schema,
            )?),
        };
        let (mut bodies, mut body_ends) = (Vec::new(), Vec::with_capacity(batch.rows));
        self.inner.encode(batch, &mut bodies, &mut body_ends)?;
        let mut start = 0;
        for end in body_ends {
            buffer.push(MAGIC);
            buffer.extend_from_slice(&id.to_be_bytes());
            buffer.extend_from_slice(&bodies[start..end]);
            ends.push(buffer.len());
            start = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FormatField;
    use crate::format::json::{JsonDecoder, JsonEncoder, JsonOptions};
    use crate::format::registry::memory::Memory;
    use crate::types::TypeKind;

    #[test]
    fn framed_records_are_read_back_and_unknown_ids_fail() {
        let registry = Arc::new(Memory::default());
        let fields = vec![FormatField {
            name: "a".into(),
            ty: TypeKind::Int.nullable(),
        }];
        let ints = arrow::array::Int32Array::from(vec![Some(1), None]);
        let batch = Batch::inserts(vec![Arc::new(ints)], 2);
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        let inner = JsonEncoder::new(fields.clone(), JsonOptions::registry()).unwrap();
        let schema = json_schema_of(&fields).unwrap();
        let schema = (SchemaType::Json, schema);
        RegistryEncoder::new(registry.clone(), "t-value", schema, inner)
            .encode(&batch, &mut buffer, &mut ends)
            .unwrap();
        assert_eq!(&buffer[..FRAME_BYTES], [0, 0, 0, 0, 1]);
        let inner = JsonDecoder::new(fields, JsonOptions::registry()).unwrap();
        let mut framed = RegistryDecoder::new(registry, inner);
        let records: [&[u8]; 4] = [
            &buffer[..ends[0]],
            b"\x00\x00\x00\x00\x09{}",
            b"{}",
            &buffer[ends[0]..],
        ];
        let decoded = framed.decode(&records).unwrap();
        let codes: Vec<_> = decoded
            .failures
            .iter()
            .map(|failure| (failure.row, failure.code))
            .collect();
        assert_eq!(
            codes,
            [
                (1, FailureCode::UnknownSchema),
                (2, FailureCode::UnknownSchema)
            ]
        );
        assert_eq!(&decoded.columns[0], &batch.columns[0]);
    }
}
