//! Numbers of transactions.
//!
//! Place in the flow: every batch of a transaction carries one. Invariant: no number is given out twice in the life of a store, since
//! each process that opens it has a generation of its own, which is durable before its first number.

use crate::error::{Error, Result};

/// Bits that count within a generation: 34 billion transactions of one process. The other 28 allow an open per second for 8 years.
const COUNTER_BITS: u32 = 35;
/// The highest generation.
pub(super) const GENERATION_MAX: u32 = (1 << (63 - COUNTER_BITS)) - 1;

/// The number of a transaction, which is never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::connector::log) struct TransactionId(i64);

impl TransactionId {
    /// The number of the transaction `counter` of a generation; counters begin at 1.
    ///
    /// # Errors
    /// `Internal` when the generation has given out all of its numbers.
    pub(super) fn new(generation: u32, counter: u64) -> Result<Self> {
        if counter >> COUNTER_BITS != 0 || generation > GENERATION_MAX {
            return Err(Error::internal(
                "the log has given out all numbers of transactions; restart the server",
            ));
        }
        Ok(Self(
            (u64::from(generation) << COUNTER_BITS | counter).cast_signed(),
        ))
    }

    /// The number in a batch, which was checked not to be negative.
    pub(in crate::connector::log) fn from_i64(id: i64) -> Self {
        Self(id)
    }

    /// The number as batches have it.
    pub(in crate::connector::log) fn to_i64(self) -> i64 {
        self.0
    }

    /// Which process gave it out.
    pub(in crate::connector::log) fn generation(self) -> u32 {
        u32::try_from(self.0.cast_unsigned() >> COUNTER_BITS).unwrap_or(u32::MAX)
    }

    /// Which of its process it is.
    pub(super) fn counter(self) -> u64 {
        self.0.cast_unsigned() & ((1 << COUNTER_BITS) - 1)
    }
}
