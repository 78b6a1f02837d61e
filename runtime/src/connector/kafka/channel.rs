//! One producer and those who write through it.
//!
//! Place in the flow: a [`Channel`] is served by the slot that owns it or, when the writers of a statement share it, by
//! [`super::service`]; each delivery is counted off the [`Tally`] of the writer it came from. Invariant: a record is counted before
//! librdkafka has it and counted off once, so that a tally of zero means that everything is acknowledged or has failed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::types::RDKafkaErrorCode as Code;

use super::client;
use super::cluster::Producer;
use super::ffi::Event;
use crate::error::{Error, Kind};
use crate::task::Waker;

/// Events served per call: above the records that may be outstanding, so that no delivery report is left behind without a
/// wake-up.
const EVENTS_MAX: usize = 100_000;

/// What librdkafka calls log lines that say why a transaction has failed.
const TRANSACTION_ERROR: &str = "TXNERR";

/// Codes by the names that stand in such lines; there is no other way to learn why records of a transaction were purged.
///
/// # Source
/// `rd_kafka_txn_set_abortable_error0` of librdkafka 2.12.1; the codes are those that are told apart from "try again".
const NAMED_CODES: [(&str, Code); 8] = [
    ("(INVALID_PRODUCER_EPOCH", Code::InvalidProducerEpoch),
    ("(PRODUCER_FENCED", Code::ProducerFenced),
    ("(_FENCED", Code::Fenced),
    (
        "(TOPIC_AUTHORIZATION_FAILED",
        Code::TopicAuthorizationFailed,
    ),
    (
        "(GROUP_AUTHORIZATION_FAILED",
        Code::GroupAuthorizationFailed,
    ),
    (
        "(CLUSTER_AUTHORIZATION_FAILED",
        Code::ClusterAuthorizationFailed,
    ),
    (
        "(TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        Code::TransactionalIdAuthorizationFailed,
    ),
    ("(UNKNOWN_TOPIC_OR_PARTITION", Code::UnknownTopicOrPartition),
];

/// What one writer has outstanding and waits for.
#[derive(Debug)]
pub(super) struct Tally {
    /// Topic and address, for messages.
    place: String,
    /// The writer's slot.
    waker: Waker,
    /// Records that librdkafka has and that are not acknowledged.
    outstanding: AtomicU64,
    /// Whether the slot waits for `outstanding` to be zero.
    wants_zero: AtomicBool,
    /// Whether the slot waits for room in the producer's queue, which other writers may have filled.
    wants_room: AtomicBool,
    /// Why the statement must fail.
    failure: Mutex<Option<Error>>,
}

impl Tally {
    /// The tally of a writer; `place` is topic and address.
    pub(super) fn new(place: String, waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            place,
            waker,
            outstanding: AtomicU64::new(0),
            wants_zero: AtomicBool::new(false),
            wants_room: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    /// Topic and address.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Counts records that are about to be offered to librdkafka.
    pub(super) fn add(&self, count: usize) {
        self.outstanding.fetch_add(count as u64, SeqCst);
    }

    /// Counts off records that are acknowledged, have failed or were not taken.
    pub(super) fn take(&self, count: u64) {
        self.outstanding.fetch_sub(count, SeqCst);
    }

    /// Records that librdkafka has and that are not acknowledged.
    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding.load(SeqCst)
    }

    /// Whether everything is acknowledged or has failed. When not, the slot is woken once it is.
    pub(super) fn is_zero(&self) -> bool {
        self.wants_zero.store(true, SeqCst);
        let zero = self.outstanding.load(SeqCst) == 0;
        if zero {
            self.wants_zero.store(false, SeqCst);
        }
        zero
    }

    /// Takes back that the slot waits for zero: it writes on.
    pub(super) fn want_more(&self) {
        self.wants_zero.store(false, SeqCst);
    }

    /// Asks to be woken when there may be room. Said before the last try, since room that comes after it must not be missed.
    pub(super) fn want_room(&self) {
        self.wants_room.store(true, SeqCst);
    }

    /// The failure, if there is one.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.failure).clone()
    }

    /// Notes a failure and wakes the slot. The first one stays, unless a later one says that another run has taken over.
    pub(super) fn fail(&self, error: Error) {
        let mut failure = lock(&self.failure);
        let replaces = failure
            .as_ref()
            .is_none_or(|first| first.kind != Kind::Conflict && error.kind == Kind::Conflict);
        if replaces {
            *failure = Some(error);
            drop(failure);
            self.waker.wake();
        }
    }

    /// Wakes the slot when what it waits for has come.
    fn wake_if_served(&self) {
        let zero = self.outstanding.load(SeqCst) == 0 && self.wants_zero.swap(false, SeqCst);
        if self.wants_room.swap(false, SeqCst) || zero {
            self.waker.wake();
        }
    }
}

/// A producer, and the tallies that its reports go to.
#[derive(Debug)]
pub(super) struct Channel {
    /// The producer.
    producer: Arc<dyn Producer>,
    /// Tallies of open writers, by the mark of their records.
    tallies: Mutex<BTreeMap<usize, Arc<Tally>>>,
    /// The next mark; none is used twice, so that late reports of a closed writer go nowhere.
    next_mark: AtomicUsize,
    /// Why the open transaction has failed, as far as librdkafka has said.
    trouble: Mutex<Option<(Code, String)>>,
}

impl Channel {
    /// A channel without writers.
    pub(super) fn new(producer: Arc<dyn Producer>) -> Arc<Self> {
        Arc::new(Self {
            producer,
            tallies: Mutex::new(BTreeMap::new()),
            next_mark: AtomicUsize::new(1),
            trouble: Mutex::new(None),
        })
    }

    /// The producer.
    pub(super) fn producer(&self) -> &Arc<dyn Producer> {
        &self.producer
    }

    /// Adds a writer. Returns the mark that its records must have.
    pub(super) fn add(&self, tally: Arc<Tally>) -> usize {
        let mark = self.next_mark.fetch_add(1, SeqCst);
        lock(&self.tallies).insert(mark, tally);
        mark
    }

    /// Forgets a writer.
    pub(super) fn remove(&self, mark: usize) {
        lock(&self.tallies).remove(&mark);
    }

    /// Counts deliveries and notes failures.
    pub(super) fn serve(&self) {
        self.producer
            .serve(EVENTS_MAX, &mut |event| self.apply(&event));
    }

    /// Whether a writer waits for its deliveries.
    pub(super) fn is_waited_for(&self) -> bool {
        lock(&self.tallies)
            .values()
            .any(|tally| tally.wants_zero.load(SeqCst) && tally.outstanding() > 0)
    }

    /// Wakes the slots whose writers were served.
    pub(super) fn wake_served(&self) {
        for tally in lock(&self.tallies).values() {
            tally.wake_if_served();
        }
    }

    /// Puts one report where it belongs.
    fn apply(&self, event: &Event<'_>) {
        match *event {
            Event::Delivered { mark, count } => {
                if let Some(tally) = lock(&self.tallies).get(&mark) {
                    tally.take(count);
                }
            }
            Event::DeliveryFailed {
                mark,
                partition,
                code,
            } => {
                if let Some(tally) = lock(&self.tallies).get(&mark) {
                    let doing = format!("partition {partition}: record not delivered");
                    // The failure first: who reads a zero must see it.
                    tally.fail(self.error(code, &tally.place, &doing));
                    tally.take(1);
                }
            }
            Event::Failed {
                code,
                fatal: true,
                reason,
            } => {
                for tally in lock(&self.tallies).values() {
                    tally.fail(self.error(code, &tally.place, reason));
                }
            }
            Event::Failed { reason, .. } => tracing::debug!(reason, "kafka producer"),
            Event::Log {
                level,
                facility,
                text,
            } => {
                client::log_line(level, text);
                if facility == TRANSACTION_ERROR {
                    *lock(&self.trouble) = Some((named_code(text), text.to_owned()));
                }
            }
        }
    }

    /// What a code means for a writer: some only say that something has happened before, which is told instead.
    pub(super) fn error(&self, code: Code, place: &str, doing: &str) -> Error {
        let follows = matches!(
            code,
            Code::PurgeQueue | Code::PurgeInflight | Code::Fatal | Code::State
        );
        match self.cause().filter(|_| follows) {
            Some((cause, reason)) => client::refusal(cause, &format!("{place} {doing}: {reason}")),
            None => client::refusal(code, &format!("{place} {doing}")),
        }
    }

    /// Why the producer is of no more use, or else why its open transaction has failed.
    fn cause(&self) -> Option<(Code, String)> {
        self.producer
            .fatal_error()
            .or_else(|| lock(&self.trouble).clone())
    }
}

/// The code that a log line names; one that says nothing when there is none that matters.
fn named_code(line: &str) -> Code {
    NAMED_CODES
        .iter()
        .find(|(name, _)| line.contains(name))
        .map_or(Code::PurgeQueue, |(_, code)| *code)
}

/// Locks what no thread leaves half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Whether the waker was woken.
    fn is_woken(waker: &Waker) -> bool {
        let shared = waker.clone();
        std::thread::scope(|scope| {
            let parked = scope.spawn(move || shared.park(Some(Duration::from_secs(5))));
            std::thread::yield_now();
            parked.join().is_ok()
        })
    }

    #[test]
    fn a_slot_is_woken_for_what_it_waits_for() {
        let waker = Waker::default();
        let tally = Tally::new("topic \"t\"".to_owned(), waker.clone());
        tally.add(3);
        assert!(!tally.is_zero());
        tally.take(2);
        tally.wake_if_served();
        assert!(tally.wants_zero.load(SeqCst), "woken too early");
        tally.take(1);
        tally.wake_if_served();
        assert!(!tally.wants_zero.load(SeqCst));
        assert!(is_woken(&waker));
        tally.want_room();
        tally.wake_if_served();
        assert!(is_woken(&waker));
        assert!(tally.is_zero());
    }

    #[test]
    fn the_first_failure_stays_unless_another_run_has_taken_over() {
        let tally = Tally::new(String::new(), Waker::default());
        tally.fail(Error::unavailable("first"));
        tally.fail(Error::unavailable("second"));
        assert_eq!(tally.failure().unwrap().message, "first");
        tally.fail(Error::fenced("taken over"));
        tally.fail(Error::unavailable("third"));
        tally.fail(Error::fenced("again"));
        assert_eq!(tally.failure().unwrap().message, "taken over");
    }

    #[test]
    fn log_lines_tell_why_a_transaction_failed() {
        let line = "Current transaction failed in state InTransaction: x (INVALID_PRODUCER_EPOCH, requires epoch bump)";
        assert_eq!(named_code(line), Code::InvalidProducerEpoch);
        assert_eq!(named_code("something else"), Code::PurgeQueue);
    }
}
