//! What writers and transactions ask of a cluster's client.
//!
//! Place in the flow: [`super::sink`] and [`super::transaction`] decide, and act through these traits; [`super::native`] is librdkafka
//! behind them, `model` a cluster in memory. Invariant: nothing above this seam calls librdkafka to write, sleeps or draws a random
//! number, so that a simulator which drives it is in charge of everything.

use std::fmt::Debug;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::admin::BrokerLimits;
use super::ffi::{Accepted, Event, Extras, Refusal};
use super::port::Route;
use super::service::{PRODUCERS, Rounds};
use crate::connector::sink::EncodedBatch;
use crate::error::Result;
use crate::task::Waker;
use crate::time::SharedClock;

/// A cluster that is written to.
pub(crate) trait Cluster: Debug + Send + Sync {
    /// Waits until the cluster has told the number of a topic's partitions.
    ///
    /// # Errors
    /// `Unavailable` with the address when no broker answers in time; `Invalid` when the topic does not exist.
    fn partitions(&self, topic: &str, clock: &SharedClock) -> Result<u32>;

    /// A producer without transactions.
    ///
    /// # Errors
    /// `Invalid` for settings that cannot be.
    fn producer(&self, waker: Waker) -> Result<Arc<dyn Producer>>;

    /// What a statement's transactions are made with. Nobody is fenced yet.
    ///
    /// # Errors
    /// As [`Self::partitions`].
    fn open(&self, ids: TransactionIds, clock: &SharedClock) -> Result<Box<dyn Session>>;

    /// Has rounds made, each when the one before allows it, until they end. Returns the thread that does, where there is one.
    ///
    /// # Errors
    /// `Unavailable` when the operating system makes no thread.
    fn attend(&self, rounds: Rounds) -> Result<Option<JoinHandle<()>>>;

    /// Waits.
    fn pause(&self, time: Duration);

    /// Waits for a random part of a time, so that twins do not wait alike.
    fn pause_part_of(&self, time: Duration);
}

/// The names of a statement's transactions on a cluster.
#[derive(Debug, Clone)]
pub(crate) struct TransactionIds {
    /// The group of the epoch record, and what transactional ids begin with.
    pub(crate) group: String,
    /// The topic beside whose first partition the epoch record lives.
    pub(crate) topic: String,
    /// How long a transaction may stay open.
    pub(crate) timeout: Duration,
}

/// The partition beside which the epoch record lives.
pub(crate) const RECORD_PARTITION: i32 = 0;

/// What the transactions of a statement are made with.
pub(crate) trait Session: Debug + Send + Sync {
    /// What the brokers allow, as far as they tell.
    fn limits(&self) -> BrokerLimits;

    /// New producers, which wake the waker when there is something to serve.
    ///
    /// # Errors
    /// `Invalid` for settings that cannot be.
    fn producers(&self, waker: &Waker) -> Result<[Arc<dyn Producer>; PRODUCERS]>;

    /// The metadata of the committed group offset; absent when there is none. A commit that is being carried out is waited for.
    ///
    /// # Errors
    /// `Unavailable`, naming `place`, when the cluster does not answer in time.
    fn committed(&self, place: &str, clock: &SharedClock) -> Result<Option<Vec<u8>>>;
}

/// A client that writes.
///
/// Calls with a limit wait that long at most; one that ran out of time may be repeated and goes on where it was.
///
/// # Errors
/// [`Refusal`], in librdkafka's words.
pub(crate) trait Producer: Debug + Send + Sync {
    /// A way into a topic; `mark` comes back with every delivery report.
    ///
    /// # Errors
    /// `Invalid` when the topic has a name that cannot be.
    fn outlet(self: Arc<Self>, topic: &str, mark: usize) -> Result<Box<dyn Outlet>>;

    /// Shows what was reported since the last call, at most `max` events, without waiting.
    fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>));

    /// Has what lingers sent; waits `patience` at most for the wish to be heard.
    fn push(&self, patience: Duration);

    /// Why the client is of no more use, if it is not.
    fn fatal_error(&self) -> Option<(Code, String)>;

    /// Takes the transactional id over: earlier producers are fenced, and what they left open is aborted.
    fn init_transactions(&self, limit: Duration) -> Result<(), Refusal>;

    /// Begins a transaction, without asking the cluster.
    fn begin_transaction(&self) -> Result<(), Refusal>;

    /// Adds the group offset of the epoch record to the open transaction.
    fn send_record(&self, epoch: u64, metadata: &str, limit: Duration) -> Result<(), Refusal>;

    /// Commits the open transaction.
    fn commit_transaction(&self, limit: Duration) -> Result<(), Refusal>;

    /// Aborts the open transaction.
    fn abort_transaction(&self, limit: Duration) -> Result<(), Refusal>;
}

/// A way into one topic of a producer.
pub(crate) trait Outlet: Debug + Send {
    /// Offers records without timestamps and headers to one partition, in order, as many as one call takes.
    ///
    /// # Errors
    /// `Internal` when the client reordered them.
    fn produce(
        &mut self,
        partition: i32,
        records: &EncodedBatch,
        routes: &[Route],
    ) -> Result<Accepted>;

    /// Offers one record with a timestamp or headers.
    ///
    /// # Errors
    /// Why it was not taken.
    fn produce_with(
        &mut self,
        route: Route,
        records: &EncodedBatch,
        extras: &Extras<'_>,
    ) -> Result<(), Code>;
}
