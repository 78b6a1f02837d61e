//! Schema Registry: the client contract, the framing of records and the JSON formats on top of them.
//!
//! Enters: framed records or rows. Leaves: columns, or framed records. The registry itself is a component passed in: over HTTP
//! ([`HttpRegistry`]) or in process (the server's embedded one).

mod http;
mod json;
mod json_schema;

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

pub use http::{Basic, HttpRegistry};
pub use json::{RegistryJsonDecoder, RegistryJsonEncoder};
pub use json_schema::json_schema_of;

use crate::error::{Error, Result, unknown_name};

/// The first byte of a framed record.
///
/// # Source
/// Confluent wire format: a zero, the schema id in four bytes, highest first, then the payload.
pub const MAGIC: u8 = 0;

/// Bytes before the payload of a framed record.
pub const FRAME_BYTES: usize = 5;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaType {
    /// Apache Avro, what the registry assumes when nothing is said.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

impl SchemaType {
    /// The name in the registry's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The type of a name; absent means Avro.
    pub fn of_name(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("AVRO") => Some(Self::Avro),
            Some("JSON") => Some(Self::Json),
            Some("PROTOBUF") => Some(Self::Protobuf),
            Some(_) => None,
        }
    }
}

/// A schema that has an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredSchema {
    /// Its id.
    pub id: i32,
    /// Its language.
    pub schema_type: SchemaType,
    /// Its text.
    pub schema: String,
}

/// A Schema Registry. Calls may wait for the network, so they must not be made on an asynchronous thread.
pub trait SchemaRegistry: Send + Sync + Debug {
    /// Registers a schema under a subject; the id it has, old or new.
    ///
    /// # Errors
    /// `Invalid` when the registry refuses the schema; `Unavailable` when it does not answer.
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32>;

    /// The schema of an id.
    ///
    /// # Errors
    /// Code `UnknownName` when there is none; `Unavailable` when the registry does not answer.
    fn schema(&self, id: i32) -> Result<RegisteredSchema>;

    /// The newest schema of a subject; absent when there is none.
    ///
    /// # Errors
    /// `Unavailable` when the registry does not answer.
    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>>;
}

/// Checks the `json-registry.*` options of a table.
pub(super) fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    /// Every option of the format.
    ///
    /// # Source
    /// Confluent Cloud, CREATE TABLE.
    const KNOWN: [&str; 4] = [
        "json-registry.schema-context",
        "json-registry.id-encoding",
        "json-registry.subject-names",
        "json-registry.validate-writes",
    ];
    for (key, value) in options
        .iter()
        .filter(|(key, _)| key.starts_with("json-registry."))
    {
        if !KNOWN.contains(&key.as_str()) {
            return Err(unknown_name("option", key, KNOWN));
        }
        let is_default = match key.as_str() {
            "json-registry.schema-context" => value.is_empty() || value == ".",
            "json-registry.id-encoding" => value == "payload",
            "json-registry.validate-writes" => value == "false",
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
