//! Meter snapshots to Prometheus: pure functions from [`weir_model::meter::Snapshot`] to text.
//!
//! Place in the flow: the server keeps the snapshots of the last minutes in a [`History`] and answers
//! `GET /v2/metrics/cloud/export` with [`confluent::export`] and `GET /metrics` with [`native::export`], in the format that
//! [`TextFormat::negotiate`] finds and with the body that [`encode_body`] makes. Invariant: metric and label names come from
//! [`weir_model::metrics`] only; what is unknown is absent and never zero; no two series of a page are equal.

pub mod confluent;
pub mod native;

mod body;
mod encoder;
mod format;
mod history;
mod tables;

pub use body::{Body, encode_body};
pub use format::TextFormat;
pub use history::History;

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
