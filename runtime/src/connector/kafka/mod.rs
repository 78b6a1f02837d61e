//! Apache Kafka through librdkafka.
//!
//! Enters: [`KafkaOptions`] of a table's WITH options, a topic. Leaves: [`KafkaSource`] and [`KafkaSink`], whose readers and
//! writers never block, [`KafkaTransactions`] that all sinks of a statement share, and [`admin`] calls with bounded time-outs.
//! Invariant: `ffi` is the only module of the crate with unsafe code, and no secret of the options is ever printed.

pub mod admin;
mod channel;
mod client;
mod cluster;
mod fetched;
mod ffi;
#[cfg(test)]
pub(crate) mod model;
mod native;
mod options;
mod port;
mod service;
mod sink;
mod source;
mod split;
mod transaction;
mod translate;
mod verdict;

pub use options::{KafkaOptions, topic_of};
pub use sink::KafkaSink;
pub use source::KafkaSource;
pub use transaction::KafkaTransactions;
