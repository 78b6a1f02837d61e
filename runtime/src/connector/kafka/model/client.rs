//! What librdkafka does with a cluster's brokers, as far as writers and transactions can tell.
//!
//! Place in the flow: [`super::connection`] makes a [`ModelProducer`] for each transactional id; the conductor has it send and has its
//! requests arrive. Invariant: records of a partition are stored in the order in which they were taken, once each, whatever requests
//! and answers are lost.
//!
//! # Source
//! `rdkafka_txnmgr.c` of librdkafka 2.12: which errors are fatal, which can only be aborted, which calls may be repeated.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::broker::{Brokers, Identity, Stored, TopicPartition};
use super::connection::Connection;
use super::request::{Request, Work};
use crate::connector::kafka::cluster::{Outlet, Producer, RECORD_PARTITION, TransactionIds};
use crate::connector::kafka::ffi::{Accepted, Event, Extras, Refusal};
use crate::connector::kafka::port::{Route, outgoing};
use crate::connector::sink::EncodedBatch;
use crate::error::Result;
use crate::task::Waker;

/// Records that a producer holds at most: few, so that writers meet a full queue.
const QUEUE_MAX: usize = 12;

/// Records of one request.
const REQUEST_RECORDS_MAX: u64 = 5;

/// Time between two tries of a call that was refused for now.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What a producer reports.
#[derive(Debug)]
enum Report {
    /// Records are stored.
    Delivered {
        /// The mark they were sent with.
        mark: usize,
        /// How many.
        count: u64,
    },
    /// A record will not be stored.
    Failed {
        /// The mark it was sent with.
        mark: usize,
        /// Where it was to go.
        partition: i32,
        /// Why.
        code: Code,
    },
    /// The producer is of no more use.
    Fatal(Code, String),
    /// Why a transaction has failed.
    Log(String),
}

/// What a producer may do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Initialise.
    New,
    /// Begin a transaction.
    Ready,
    /// Write and end the transaction.
    Open,
    /// Abort the transaction.
    Broken(Code, String),
    /// Nothing.
    Fatal(Code, String),
}

/// Records on their way to one partition.
#[derive(Debug, Default)]
struct Lane {
    /// Records and their marks: first those of the request that is out, if one is.
    records: VecDeque<(Stored, usize)>,
    /// Records of the request that is out, to be repeated unchanged until it is answered.
    requested: usize,
    /// Whether that request is on its way.
    is_out: bool,
    /// Sequence number of the first record.
    sequence: u64,
}

/// What changes of a producer.
#[derive(Debug)]
struct Inner {
    /// What it may do.
    state: State,
    /// As whom it writes.
    identity: Identity,
    /// Partitions that the transaction is known to have.
    joined: BTreeSet<TopicPartition>,
    /// Whether the cluster has heard of the transaction.
    is_known: bool,
    /// Whether the end of the transaction was asked for.
    is_ending: bool,
    /// Records by partition.
    lanes: BTreeMap<TopicPartition, Lane>,
    /// What was not served yet.
    reports: VecDeque<Report>,
}

/// A transactional producer.
#[derive(Debug)]
pub(crate) struct ModelProducer {
    /// Its transactional id.
    id: String,
    /// The names of the statement's transactions.
    ids: TransactionIds,
    /// The process that it is part of.
    connection: Arc<Connection>,
    /// Woken by reports.
    waker: Waker,
    /// What changes.
    inner: Mutex<Inner>,
}

impl ModelProducer {
    /// A producer that has not taken its id over.
    pub(super) fn new(
        id: String,
        ids: TransactionIds,
        connection: Arc<Connection>,
        waker: Waker,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            ids,
            connection,
            waker,
            inner: Mutex::new(Inner {
                state: State::New,
                identity: (0, 0),
                joined: BTreeSet::new(),
                is_known: false,
                is_ending: false,
                lanes: BTreeMap::new(),
                reports: VecDeque::new(),
            }),
        })
    }

    /// What changes.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request for one partition that has none out; absent when there is nothing to send. `choice` says for which and how
    /// much.
    pub(crate) fn send(self: &Arc<Self>, choice: u64) -> Option<Request> {
        let mut inner = self.lock();
        if inner.state != State::Open {
            return None;
        }
        let waiting: Vec<TopicPartition> = inner
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.records.is_empty() && !lane.is_out)
            .map(|(place, _)| place.clone())
            .collect();
        let count = waiting.len() as u64;
        let chosen = usize::try_from(choice.checked_rem(count)?).ok()?;
        let place = waiting[chosen].clone();
        let identity = inner.identity;
        let is_joined = inner.joined.contains(&place);
        inner.is_known = true;
        let lane = inner.lanes.get_mut(&place)?;
        lane.is_out = true;
        let work = if is_joined {
            if lane.requested == 0 {
                let most = 1 + choice / count % REQUEST_RECORDS_MAX;
                lane.requested = lane.records.len().min(usize::try_from(most).unwrap_or(1));
            }
            let records = lane.records.iter().take(lane.requested);
            let records = records.map(|(record, _)| record.clone()).collect();
            Work::Store(lane.sequence, records)
        } else {
            Work::Join
        };
        Some(Request {
            producer: Arc::downgrade(self),
            id: self.id.clone(),
            identity,
            place,
            work,
        })
    }

    /// Takes the answer to a request in; absent when none came, and the request must be repeated.
    pub(super) fn answered(
        &self,
        place: &TopicPartition,
        work: &Work,
        identity: Identity,
        answer: Option<Result<(), Code>>,
    ) {
        let mut inner = self.lock();
        if inner.identity != identity {
            return;
        }
        let Some(lane) = inner.lanes.get_mut(place).filter(|lane| lane.is_out) else {
            return;
        };
        lane.is_out = false;
        match (answer, work) {
            (None | Some(Err(Code::ConcurrentTransactions)), _) => {}
            (Some(Ok(())), Work::Join) => {
                inner.joined.insert(place.clone());
            }
            (Some(Ok(())), Work::Store(..)) => {
                let stored: Vec<usize> = lane
                    .records
                    .drain(..lane.requested)
                    .map(|(_, mark)| mark)
                    .collect();
                lane.requested = 0;
                lane.sequence += stored.len() as u64;
                for mark in stored {
                    inner
                        .reports
                        .push_back(Report::Delivered { mark, count: 1 });
                }
            }
            // What coordinators refuse is fatal, what leaders refuse ends the transaction.
            (Some(Err(Code::ProducerFenced)), Work::Join) => inner.fail(Code::Fenced),
            (Some(Err(code)), Work::Join) => inner.fail(code),
            (Some(Err(code)), Work::Store(..)) => inner.break_off(code),
        }
        drop(inner);
        self.waker.wake();
    }

    /// Makes a call until it is answered for good.
    fn call<T>(
        &self,
        limit: Duration,
        mut ask: impl FnMut(&mut Brokers, Duration) -> Result<T, Code>,
    ) -> Result<T, Refusal> {
        let connection = &self.connection;
        let end = connection.now() + limit;
        loop {
            connection.check()?;
            if let Some(answer) = connection.exchange(&mut ask)? {
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(Code::ConcurrentTransactions) => {}
                    Err(code) => {
                        let code = match code {
                            Code::ProducerFenced | Code::InvalidProducerEpoch => Code::Fenced,
                            other => other,
                        };
                        let mut inner = self.lock();
                        inner.fail(code);
                        drop(inner);
                        self.waker.wake();
                        return Err(fatal(code, "the coordinator refuses"));
                    }
                }
            }
            if connection.now() >= end {
                return Err(timed_out());
            }
            connection.wait(RETRY_PAUSE);
        }
    }

    /// An error when the producer cannot go on.
    fn usable(&self) -> Result<(), Refusal> {
        match &self.lock().state {
            State::New | State::Ready | State::Open => Ok(()),
            State::Broken(code, reason) => Err(Refusal {
                abortable: true,
                ..refusal(*code, reason)
            }),
            State::Fatal(code, reason) => Err(fatal(*code, reason)),
        }
    }

    /// Waits until every record is stored.
    fn drain(&self, limit: Duration) -> Result<(), Refusal> {
        let end = self.connection.now() + limit;
        loop {
            self.connection.check()?;
            self.usable()?;
            if self.lock().held() == 0 {
                return Ok(());
            }
            if self.connection.now() >= end {
                return Err(timed_out());
            }
            self.connection.wait(RETRY_PAUSE);
        }
    }

    /// Ends the open transaction.
    fn end(&self, is_commit: bool, limit: Duration) -> Result<(), Refusal> {
        let (identity, is_known) = {
            let mut inner = self.lock();
            inner.is_ending = true;
            (inner.identity, inner.is_known)
        };
        if is_known {
            self.call(limit, |brokers, _| {
                match brokers.end(&self.id, identity, is_commit) {
                    // An abort whose first request never arrived.
                    Err(Code::InvalidTransactionalState) if !is_commit => Ok(()),
                    other => other,
                }
            })?;
        }
        let mut inner = self.lock();
        inner.state = State::Ready;
        inner.is_ending = false;
        Ok(())
    }
}

impl Inner {
    /// Records that are not stored.
    fn held(&self) -> usize {
        self.lanes.values().map(|lane| lane.records.len()).sum()
    }

    /// The producer is of no more use.
    fn fail(&mut self, code: Code) {
        if matches!(self.state, State::Fatal(..)) {
            return;
        }
        let reason = format!("fatal error {code}");
        self.state = State::Fatal(code, reason.clone());
        self.reports.push_back(Report::Fatal(code, reason));
        self.purge(Code::PurgeQueue);
    }

    /// The transaction can only be aborted.
    fn break_off(&mut self, code: Code) {
        if self.state != State::Open {
            return;
        }
        let name = match code {
            Code::InvalidProducerEpoch => "INVALID_PRODUCER_EPOCH",
            _ => "INVALID_TXN_STATE",
        };
        let reason = format!("current transaction failed ({name}, requires epoch bump)");
        self.reports.push_back(Report::Log(reason.clone()));
        self.state = State::Broken(code, reason);
        self.purge(Code::PurgeQueue);
    }

    /// Gives up every record.
    fn purge(&mut self, code: Code) {
        for ((_, partition), lane) in &mut self.lanes {
            lane.requested = 0;
            lane.is_out = false;
            let failed = lane.records.drain(..).map(|(_, mark)| Report::Failed {
                mark,
                partition: *partition,
                code,
            });
            self.reports.extend(failed);
        }
    }
}

impl Producer for ModelProducer {
    fn outlet(self: Arc<Self>, topic: &str, mark: usize) -> Result<Box<dyn Outlet>> {
        Ok(Box::new(ModelOutlet {
            topic: topic.to_owned(),
            mark,
            producer: self,
        }))
    }

    fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        for _ in 0..max {
            // The lock is not held while the report is taken in.
            let Some(report) = self.lock().reports.pop_front() else {
                return;
            };
            match &report {
                Report::Delivered { mark, count } => visit(Event::Delivered {
                    mark: *mark,
                    count: *count,
                }),
                Report::Failed {
                    mark,
                    partition,
                    code,
                } => visit(Event::DeliveryFailed {
                    mark: *mark,
                    partition: *partition,
                    code: *code,
                }),
                Report::Fatal(code, reason) => visit(Event::Failed {
                    code: *code,
                    fatal: true,
                    reason,
                }),
                Report::Log(text) => visit(Event::Log {
                    level: 3,
                    facility: "TXNERR",
                    text,
                }),
            }
        }
    }

    /// Nothing: when what lingers is sent is the conductor's choice anyway.
    fn push(&self, _patience: Duration) {}

    fn fatal_error(&self) -> Option<(Code, String)> {
        match &self.lock().state {
            State::Fatal(code, reason) => Some((*code, reason.clone())),
            State::New | State::Ready | State::Open | State::Broken(..) => None,
        }
    }

    fn init_transactions(&self, limit: Duration) -> Result<(), Refusal> {
        let identity = self.call(limit, |brokers, _| brokers.init(&self.id, self.ids.timeout))?;
        let mut inner = self.lock();
        inner.identity = identity;
        inner.state = State::Ready;
        Ok(())
    }

    fn begin_transaction(&self) -> Result<(), Refusal> {
        self.connection.check()?;
        self.usable()?;
        let mut inner = self.lock();
        if inner.state != State::Ready {
            return Err(refusal(Code::State, "a transaction is open"));
        }
        inner.state = State::Open;
        inner.joined.clear();
        inner.is_known = false;
        Ok(())
    }

    fn send_record(&self, epoch: u64, metadata: &str, limit: Duration) -> Result<(), Refusal> {
        let _ = epoch;
        self.usable()?;
        let TransactionIds { group, topic, .. } = &self.ids;
        let place = (topic.clone(), RECORD_PARTITION);
        let identity = {
            let mut inner = self.lock();
            inner.is_known = true;
            inner.identity
        };
        self.call(limit, |brokers, now| {
            brokers.add_group(&self.id, identity, group, now)
        })?;
        self.call(limit, |brokers, _| {
            brokers.commit_offset(&self.id, identity, (group, &place), metadata)
        })
    }

    fn commit_transaction(&self, limit: Duration) -> Result<(), Refusal> {
        // What was asked before may be under way: it is asked again and nothing else.
        if !self.lock().is_ending {
            self.drain(limit)?;
        }
        self.end(true, limit)
    }

    fn abort_transaction(&self, limit: Duration) -> Result<(), Refusal> {
        self.connection.check()?;
        let state = self.lock().state.clone();
        match state {
            State::Fatal(code, reason) => return Err(fatal(code, &reason)),
            // The producer must take its id over again, which a younger one has: librdkafka asks, and is told.
            State::Broken(..) => {
                let identity = self.lock().identity;
                let known = self.call(limit, |brokers, _| brokers.check(&self.id, identity));
                known?;
            }
            State::New | State::Ready | State::Open => {}
        }
        self.lock().purge(Code::PurgeQueue);
        self.waker.wake();
        self.end(false, limit)
    }
}

/// A refusal that says nothing about what can be done.
fn refusal(code: Code, reason: &str) -> Refusal {
    Refusal {
        code,
        reason: reason.to_owned(),
        fatal: false,
        retriable: false,
        abortable: false,
    }
}

/// A refusal after which the client is of no more use.
fn fatal(code: Code, reason: &str) -> Refusal {
    Refusal {
        fatal: true,
        ..refusal(code, reason)
    }
}

/// The refusal of a call that ran out of time.
fn timed_out() -> Refusal {
    Refusal {
        retriable: true,
        ..refusal(Code::OperationTimedOut, "timed out")
    }
}

/// A way into one topic of a producer.
#[derive(Debug)]
struct ModelOutlet {
    /// The topic.
    topic: String,
    /// Comes back with every report.
    mark: usize,
    /// The producer.
    producer: Arc<ModelProducer>,
}

impl Outlet for ModelOutlet {
    fn produce(
        &mut self,
        partition: i32,
        records: &EncodedBatch,
        routes: &[Route],
    ) -> Result<Accepted> {
        let mut inner = self.producer.lock();
        if inner.state != State::Open || inner.is_ending {
            return Ok(Accepted {
                count: 0,
                refused: Some(match &inner.state {
                    State::Fatal(..) => Code::Fatal,
                    State::New | State::Ready | State::Open | State::Broken(..) => Code::State,
                }),
            });
        }
        let room = QUEUE_MAX.saturating_sub(inner.held());
        let count = routes.len().min(room);
        let place = (self.topic.clone(), partition);
        let lane = inner.lanes.entry(place).or_default();
        for (_, row) in &routes[..count] {
            let record = outgoing(records, *row);
            let stored = Stored {
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
            };
            lane.records.push_back((stored, self.mark));
        }
        Ok(Accepted {
            count,
            refused: (count < routes.len()).then_some(Code::QueueFull),
        })
    }

    fn produce_with(
        &mut self,
        route: Route,
        records: &EncodedBatch,
        _extras: &Extras<'_>,
    ) -> Result<(), Code> {
        let accepted = self.produce(route.0, records, &[route]);
        match accepted.map(|accepted| accepted.refused) {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(code),
            Err(_) => Err(Code::Fail),
        }
    }
}
