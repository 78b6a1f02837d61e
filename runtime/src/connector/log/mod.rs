//! The embedded durable topic log: partitioned, append-only, in the process.
//!
//! Enters: records of sinks and of the REST records API. Leaves: the same records as slices of one buffer, in offset order.
//! Invariant: a reader sees whole, checksummed record batches or an error, never a part of one. On disk a topic is
//! `DIR/TOPIC/topic.json` and `DIR/TOPIC/PARTITION/BASE_OFFSET.log`, segment files of Kafka v2 record batches; commits of transactions
//! are lines of `DIR/.transactions`.

mod cleaner;
mod cursor;
mod files;
mod flusher;
mod index;
mod partition;
mod record_batch;
mod scan;
mod segment;
mod segment_name;
mod sink;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod topic;
mod transaction;

pub use partition::LogOptions;
pub use record_batch::Record;
pub use sink::LogSink;
pub use source::LogSource;
pub use store::LogStore;
pub use topic::TopicConfig;
pub use transaction::LogTransactions;

pub use flusher::FsyncPolicy;
