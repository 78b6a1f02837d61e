//! Protobuf: messages framed with the id of their schema and their place in it.
//!
//! Enters: Protobuf bytes or rows. Leaves: columns, or Protobuf bytes. `schema` derives the schema that a table writes, `columns` the columns
//! that a schema stands for, `parse` reads texts with what `wellknown` brings along, `meta` reads annotations; `plan` compiles a message
//! against the asked columns, `read` walks a record along a plan with `found`, `scalar` and `wellknown_read`, `framed` drives it, `encoder`
//! writes; `wire` is the bytes.

mod columns;
mod encoder;
mod found;
mod framed;
#[cfg(test)]
mod interop_tests;
mod meta;
mod parse;
mod plan;
mod read;
mod scalar;
mod schema;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
mod wellknown;
mod wellknown_read;
mod wire;
#[cfg(test)]
mod wire_tests;

pub use columns::columns_of;
pub use encoder::ProtoEncoder;
pub use framed::ProtoRegistryDecoder;
pub use schema::proto_schema_of;
pub use wellknown::known_file;
