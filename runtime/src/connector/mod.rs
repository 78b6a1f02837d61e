//! The outside world: sources and sinks of records.
//!
//! Enters: a table definition. Leaves: [`source::Source`] and [`sink::Sink`] factories whose readers and writers are driven by
//! slot threads and never block. A connector moves bytes; formats turn them into columns.

pub mod blackhole;
pub mod datagen;
pub mod faker;
pub mod filesystem;
mod generator;
pub mod kafka;
pub mod log;
pub mod options;
pub mod partitioner;
pub mod print;
pub mod results;
pub mod sink;
pub mod source;

/// Name of the header that says the kind of change of a record in a retract table; inserts have none.
///
/// # Source
/// Confluent, changelog modes.
pub const OP_HEADER: &[u8] = b"op";
