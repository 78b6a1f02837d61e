//! Transactions over topics and partitions of one store.
//!
//! Enters: a statement's wish to write an epoch whole. Leaves: for readers, which batches count; on disk, the journal. Invariant: a
//! transaction is committed exactly if its line is in the journal, and everything else that carries an id of an earlier process is aborted.

mod committer;
mod coordinator;
mod id;
mod journal;
mod table;

pub use committer::LogTransactions;
pub(super) use coordinator::{Coordinator, Transaction};
pub(super) use id::TransactionId;
#[cfg(test)]
pub(super) use journal::JOURNAL_FILE;
