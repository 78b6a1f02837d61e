//! Requests that nobody waits for: they arrive when the conductor says so.
//!
//! Place in the flow: [`super::client`] makes them, the cluster keeps them until they arrive. Invariant: a request arrives once at most,
//! also after its process was killed.

use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use super::Fate;
use super::broker::{Brokers, Identity, Stored, TopicPartition};
use super::client::ModelProducer;

/// A request that needs no caller who waits for it.
#[derive(Debug)]
pub(crate) struct Request {
    /// Whose it is.
    pub(super) producer: Weak<ModelProducer>,
    /// The transactional id.
    pub(super) id: String,
    /// As whom it was sent.
    pub(super) identity: Identity,
    /// Where records go.
    pub(super) place: TopicPartition,
    /// What is to be done.
    pub(super) work: Work,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Work {
    /// The partition is added to the transaction.
    Join,
    /// Records are stored, the first of them with this sequence number.
    Store(u64, Vec<Stored>),
}

impl Request {
    /// Has a broker carry it out, as fate has it.
    pub(crate) fn arrive(self, brokers: &Mutex<Brokers>, fate: Fate, now: Duration) {
        let mut outcome = None;
        if fate != Fate::Lost {
            let mut brokers = brokers.lock().unwrap_or_else(PoisonError::into_inner);
            outcome = Some(match &self.work {
                Work::Join => brokers.add_partition(&self.id, self.identity, &self.place, now),
                Work::Store(sequence, records) => {
                    let records = (*sequence, records.as_slice());
                    brokers.produce(&self.id, self.identity, &self.place, records)
                }
            });
        }
        if let Some(producer) = self.producer.upgrade() {
            let answered = outcome.filter(|_| fate == Fate::Answered);
            producer.answered(&self.place, &self.work, self.identity, answered);
        }
    }
}
