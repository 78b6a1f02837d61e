//! Avro: binary records, bare or framed with the id of their schema.
//!
//! Enters: Avro bytes or rows. Leaves: columns, or Avro bytes. `schema` derives the schema that a table writes, `plan` compiles the
//! schema that a record was written with against the asked columns, `scalar` and `default` help it, `parse` reads texts, `read` walks a record along a
//! plan, `decoder` and `framed` drive it, `encoder` writes.

mod decimal;
mod decoder;
mod default;
mod encoder;
mod framed;
#[cfg(test)]
mod framed_tests;
mod options;
mod parse;
mod plan;
mod read;
#[cfg(test)]
pub(super) mod resolution_tests;
mod scalar;
mod schema;
#[cfg(test)]
mod tests;

pub use decoder::AvroDecoder;
pub use encoder::AvroEncoder;
pub use framed::AvroRegistryDecoder;
pub use options::{AvroOptions, ConfluentAvroOptions};
pub use schema::avro_schema_of;

/// How column types map to Avro types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// Confluent's, with `connect.*` and `flink.*` properties: `avro-registry`.
    Confluent,
    /// Flink's: `avro` with `avro.timestamp_mapping.legacy` switched off.
    Flink,
    /// Flink's default, in which TIMESTAMP is written as an instant of milliseconds: `avro` and `avro-confluent`.
    FlinkLegacy,
}
