//! The cluster, and the way of one process to it.
//!
//! Place in the flow: sinks and committers of a process have a [`Connection`] in the place of librdkafka; the conductor has requests
//! arrive and time pass through [`ModelCluster`]. Invariant: a process that was killed changes nothing any more, except by requests
//! that were on their way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::broker::Brokers;
use super::client::ModelProducer;
use super::request::Request;
use super::{Conductor, Fate, ModelSource};
use crate::connector::kafka::KafkaSink;
use crate::connector::kafka::admin::BrokerLimits;
use crate::connector::kafka::cluster::{
    Cluster, Producer, RECORD_PARTITION, Session, TransactionIds,
};
use crate::connector::kafka::ffi::Refusal;
use crate::connector::kafka::options::KafkaOptions;
use crate::connector::kafka::service::{PRODUCERS, Rounds};
use crate::connector::sink::Sink;
use crate::connector::source::Source;
use crate::error::{Error, Result};
use crate::fault::{self, Fault};
use crate::task::Waker;
use crate::time::SharedClock;

/// The longest transaction that the brokers accept, which is Kafka's default.
const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_mins(15);

/// How long a process waits for an answer about group offsets before it gives up: the connect time-out's default.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two such questions.
const ASK_PAUSE: Duration = Duration::from_millis(100);

/// Locks, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cluster, and what is on its way to it.
#[derive(Debug)]
pub(crate) struct ModelCluster {
    /// The brokers.
    brokers: Mutex<Brokers>,
    /// Requests that nobody waits for.
    requests: Mutex<Vec<Request>>,
    /// How long group offsets are kept.
    retention: Duration,
    /// Time.
    clock: SharedClock,
}

impl ModelCluster {
    /// A cluster without topics.
    pub(crate) fn new(retention: Duration, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            brokers: Mutex::default(),
            requests: Mutex::default(),
            retention,
            clock,
        })
    }

    /// The brokers.
    pub(crate) fn brokers(&self) -> MutexGuard<'_, Brokers> {
        lock(&self.brokers)
    }

    /// Does one thing that clusters do by themselves: a request arrives, an end of a transaction becomes known somewhere. False when
    /// there is nothing to do.
    pub(crate) fn act(&self, conductor: &dyn Conductor) -> bool {
        let now = self.clock.monotonic();
        self.brokers().time_out(now);
        self.brokers().forget_offsets(self.retention, now);
        let ending = self.brokers().ending();
        let request_count = lock(&self.requests).len();
        let choices = (ending.len() + request_count) as u64;
        if choices == 0 {
            return false;
        }
        let chosen = usize::try_from(conductor.below(choices)).unwrap_or_default();
        if let Some(id) = ending.get(chosen) {
            self.brokers().tell_end(id, conductor.below(u64::MAX), now);
            return true;
        }
        let request = lock(&self.requests).swap_remove(chosen - ending.len());
        request.arrive(&self.brokers, conductor.fate(), now);
        true
    }
}

/// The way of one process to the cluster.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The cluster.
    cluster: Arc<ModelCluster>,
    /// Who decides what happens.
    conductor: Arc<dyn Conductor>,
    /// Whether the process was killed.
    is_dead: AtomicBool,
    /// Its producers.
    producers: Mutex<Vec<Weak<ModelProducer>>>,
    /// What its thread does, and when it was to do it again at the latest.
    rounds: Mutex<Vec<(Rounds, Option<Duration>)>>,
    /// Its readers: what each may take, and whom to wake for it.
    readers: Mutex<Vec<Weak<Credit>>>,
}

/// What a reader has fetched and not taken.
#[derive(Debug)]
pub(super) struct Credit {
    /// Records.
    pub(super) records: Mutex<usize>,
    /// Woken when there are more.
    pub(super) waker: Waker,
}

impl Connection {
    /// A process's way to a cluster.
    pub(crate) fn new(cluster: Arc<ModelCluster>, conductor: Arc<dyn Conductor>) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            conductor,
            is_dead: AtomicBool::new(false),
            producers: Mutex::default(),
            rounds: Mutex::default(),
            readers: Mutex::default(),
        })
    }

    /// The sink into a topic.
    ///
    /// # Errors
    /// As [`KafkaSink::new`].
    pub(crate) fn sink(
        self: &Arc<Self>,
        options: KafkaOptions,
        topic: &str,
    ) -> Result<Arc<dyn Sink>> {
        let reached = Reached(Arc::clone(self));
        Ok(Arc::new(KafkaSink::over(
            Arc::new(reached),
            options,
            topic,
        )?))
    }

    /// The source of a topic, up to its present end.
    pub(crate) fn source(self: &Arc<Self>, topic: &str) -> Arc<dyn Source> {
        Arc::new(ModelSource::new(Arc::clone(self), topic))
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> &ModelCluster {
        &self.cluster
    }

    /// A number below `end`.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.conductor.below(end)
    }

    /// Monotonic time.
    pub(super) fn now(&self) -> Duration {
        self.cluster.clock.monotonic()
    }

    /// Lets time pass.
    pub(super) fn wait(&self, time: Duration) {
        self.conductor.wait(time);
    }

    /// Kills the process: nothing that it holds does anything any more.
    pub(crate) fn kill(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        lock(&self.rounds).clear();
    }

    /// Whether the process was killed.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// An error once the process was killed.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if !self.is_dead() {
            return Ok(());
        }
        Err(Refusal {
            code: Code::BrokerDestroy,
            reason: "the process is dead".to_owned(),
            fatal: true,
            retriable: false,
            abortable: false,
        })
    }

    /// Makes a request and waits for its answer; absent when none comes.
    pub(super) fn exchange<T>(
        &self,
        ask: &mut impl FnMut(&mut Brokers, Duration) -> T,
    ) -> Result<Option<T>, Refusal> {
        self.conductor.meanwhile();
        self.check()?;
        let fate = self.conductor.fate();
        if fate == Fate::Lost {
            return Ok(None);
        }
        let now = self.now();
        let answer = ask(&mut self.cluster.brokers(), now);
        self.conductor.meanwhile();
        self.check()?;
        Ok((fate == Fate::Answered).then_some(answer))
    }

    /// Does one thing that the client library's threads do: sends a request, fetches, makes a round. False when there is nothing to
    /// do.
    pub(crate) fn act(&self) -> bool {
        if self.is_dead() {
            return false;
        }
        let conductor = &*self.conductor;
        match conductor.below(3) {
            0 => self.send(conductor) || self.make_round() || self.fetch(conductor),
            1 => self.make_round() || self.send(conductor) || self.fetch(conductor),
            _ => self.fetch(conductor) || self.send(conductor) || self.make_round(),
        }
    }

    /// Sends a request of one of the producers.
    fn send(&self, conductor: &dyn Conductor) -> bool {
        let producers: Vec<Arc<ModelProducer>> = {
            let mut producers = lock(&self.producers);
            producers.retain(|producer| producer.strong_count() > 0);
            producers.iter().filter_map(Weak::upgrade).collect()
        };
        let first = conductor.below(producers.len().max(1) as u64);
        let first = usize::try_from(first).unwrap_or_default();
        let (behind, before) = producers.split_at(first);
        let request = before
            .iter()
            .chain(behind)
            .find_map(|producer| producer.send(conductor.below(u64::MAX)));
        let Some(request) = request else {
            return false;
        };
        lock(&self.cluster.requests).push(request);
        true
    }

    /// Gives one of the readers something to read.
    fn fetch(&self, conductor: &dyn Conductor) -> bool {
        let readers: Vec<Arc<Credit>> = {
            let mut readers = lock(&self.readers);
            readers.retain(|reader| reader.strong_count() > 0);
            readers.iter().filter_map(Weak::upgrade).collect()
        };
        let hungry: Vec<_> = readers
            .iter()
            .filter(|credit| *lock(&credit.records) == 0)
            .collect();
        if hungry.is_empty() {
            return false;
        }
        let chosen = conductor.below(hungry.len() as u64);
        let credit = hungry[usize::try_from(chosen).unwrap_or_default()];
        // A few polls' worth.
        let records = 1 + conductor.below(6);
        *lock(&credit.records) = usize::try_from(records).unwrap_or(1);
        credit.waker.wake();
        true
    }

    /// Makes a round that is due.
    fn make_round(&self) -> bool {
        let now = self.now();
        let mut rounds = lock(&self.rounds);
        let due = rounds.iter_mut().position(|(rounds, at)| {
            let is_woken = rounds.waker().take();
            is_woken || at.is_some_and(|at| at <= now)
        });
        let Some(due) = due else {
            return false;
        };
        match rounds[due].0.round() {
            Some(wait) => rounds[due].1 = wait.limit.map(|limit| now + limit),
            None => drop(rounds.swap_remove(due)),
        }
        true
    }

    /// When the next round is due at the latest.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        lock(&self.rounds).iter().filter_map(|(_, at)| *at).min()
    }

    /// A reader's credit.
    pub(super) fn credit(&self, waker: Waker) -> Arc<Credit> {
        let credit = Arc::new(Credit {
            records: Mutex::new(0),
            waker,
        });
        lock(&self.readers).push(Arc::downgrade(&credit));
        credit
    }
}

/// The cluster as a process reaches it.
#[derive(Debug, Clone)]
struct Reached(Arc<Connection>);

impl Cluster for Reached {
    fn partitions(&self, topic: &str, _clock: &SharedClock) -> Result<u32> {
        let Self(connection) = self;
        connection.conductor.meanwhile();
        let partitions = connection.cluster.brokers().partitions(topic);
        partitions
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| Error::unknown(format!("unknown Kafka topic \"{topic}\" at the model")))
    }

    fn producer(&self, _waker: Waker) -> Result<Arc<dyn Producer>> {
        Err(Error::internal(
            "the model has no producers without transactions",
        ))
    }

    fn open(&self, ids: TransactionIds, clock: &SharedClock) -> Result<Box<dyn Session>> {
        self.partitions(&ids.topic, clock)?;
        Ok(Box::new(ModelSession {
            ids,
            connection: Arc::clone(&self.0),
        }))
    }

    fn attend(&self, rounds: Rounds) -> Result<Option<JoinHandle<()>>> {
        lock(&self.0.rounds).push((rounds, None));
        Ok(None)
    }

    fn pause(&self, time: Duration) {
        self.0.wait(time);
    }

    fn pause_part_of(&self, time: Duration) {
        let most = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let part = self.0.conductor.below(most.max(1));
        self.0.wait(Duration::from_millis(part));
    }
}

/// What a statement's transactions are made with.
#[derive(Debug)]
struct ModelSession {
    /// Their names.
    ids: TransactionIds,
    /// The process.
    connection: Arc<Connection>,
}

impl Session for ModelSession {
    fn limits(&self) -> BrokerLimits {
        BrokerLimits {
            transaction_timeout_max: Some(TRANSACTION_TIMEOUT_MAX),
            offsets_retention: Some(self.connection.cluster.retention),
        }
    }

    fn producers(&self, waker: &Waker) -> Result<[Arc<dyn Producer>; PRODUCERS]> {
        let producers = [0, 1].map(|index| {
            let connection = Arc::clone(&self.connection);
            let id = if fault::is_planted(Fault::NoFence) {
                // One that no other run has.
                format!("{}_{}_{index}", self.ids.group, connection.below(u64::MAX))
            } else {
                format!("{}_{index}", self.ids.group)
            };
            ModelProducer::new(id, self.ids.clone(), connection, waker.clone())
        });
        let known = producers.iter().map(Arc::downgrade);
        lock(&self.connection.producers).extend(known);
        Ok(producers.map(|producer| producer as _))
    }

    fn committed(&self, place: &str, _clock: &SharedClock) -> Result<Option<Vec<u8>>> {
        let connection = &self.connection;
        let end = connection.now() + PATIENCE;
        let partition = (self.ids.topic.clone(), RECORD_PARTITION);
        loop {
            let answer = connection
                .exchange(&mut |brokers, _| brokers.offset(&self.ids.group, &partition))
                .map_err(|refusal| Error::unavailable(format!("{place}: {}", refusal.reason)))?;
            if let Some(Ok(metadata)) = answer {
                return Ok(metadata.map(String::into_bytes));
            }
            if connection.now() >= end {
                return Err(Error::unavailable(format!("{place}: no answer")));
            }
            connection.wait(ASK_PAUSE);
        }
    }
}
