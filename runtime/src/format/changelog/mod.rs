//! Formats whose records are changes of rows: the envelopes of Debezium, Canal, Maxwell and Oracle `GoldenGate`.
//!
//! Enters: envelopes, or rows with their kinds. Leaves: rows with their kinds, none, one or several of a record, or envelopes.
//! `dialect` has the words of each program, `options` what a table says about them, `metadata` what else a record tells. `json` reads
//! envelopes in JSON; `envelope` takes what another decoder makes of them, for formats with schemas; `encoder` puts rows into
//! envelopes for any other encoder.

mod dialect;
mod encoder;
mod envelope;
mod json;
mod metadata;
mod options;
#[cfg(test)]
mod tests;

pub use dialect::Dialect;
pub use encoder::EnvelopeEncoder;
pub use envelope::EnvelopeDecoder;
pub use json::JsonChangeDecoder;
pub(crate) use metadata::{Readable, readable};
pub use options::ChangeOptions;
