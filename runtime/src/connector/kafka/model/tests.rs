//! The suite of all committers on the model, and what the model says of itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::checkpoint::store::testing::next_random;
use crate::connector::kafka::options::KafkaOptions;
use crate::connector::sink::Sink;
use crate::error::{Kind, Result};
use crate::fault::{Fault, plant};
use crate::task::Waker;
use crate::testing::committer::{CASES, committer_suite};
use crate::testing::{Harness, Owner, Run, Seen, SimulatedClock};
use crate::time::SharedClock;

/// Runs of the suite with faults of their own: enough that each case meets each fault at many places.
const SEEDS: u64 = 100;

/// A cluster and what happens to it.
#[derive(Debug)]
struct World {
    /// Time.
    clock: Arc<SimulatedClock>,
    /// The cluster.
    cluster: Arc<ModelCluster>,
    /// State of the random numbers.
    random: AtomicU64,
    /// How many of a hundred requests are lost, and how many answers.
    lost: u64,
    /// Processes.
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Topics made.
    topic_count: AtomicU64,
}

impl World {
    /// A world where this percentage of requests and of answers is lost.
    fn new(seed: u64, lost: u64) -> Arc<Self> {
        let clock = SimulatedClock::shared();
        Arc::new(Self {
            cluster: ModelCluster::new(Duration::from_hours(24), clock.clone()),
            clock,
            random: AtomicU64::new(seed),
            lost,
            connections: Mutex::default(),
            topic_count: AtomicU64::new(0),
        })
    }

    /// Does one thing; false when there is nothing to do.
    fn act(&self) -> bool {
        let connections = self.connections.lock().unwrap().clone();
        let cluster_first = self.below(2) == 0;
        (cluster_first && self.cluster.act(self))
            || connections.iter().any(|connection| connection.act())
            || self.cluster.act(self)
    }
}

impl Conductor for World {
    fn meanwhile(&self) {
        for _ in 0..self.below(4) {
            self.act();
        }
    }

    fn wait(&self, time: Duration) {
        for _ in 0..20 {
            self.act();
        }
        self.clock.advance(time);
    }

    fn fate(&self) -> Fate {
        match self.below(100) {
            chance if chance < self.lost => Fate::Lost,
            chance if chance < 2 * self.lost => Fate::Unanswered,
            _ => Fate::Answered,
        }
    }

    fn below(&self, end: u64) -> u64 {
        next_random(&self.random) % end
    }
}

/// The world as the suite sees it.
#[derive(Debug)]
struct Suite(Arc<World>);

impl Suite {
    /// A process of its own.
    fn connection(&self) -> Arc<Connection> {
        let Self(world) = self;
        let connection = Connection::new(Arc::clone(&world.cluster), Arc::clone(world) as _);
        let mut connections = world.connections.lock().unwrap();
        connections.push(Arc::clone(&connection));
        connection
    }
}

/// A sink of a run: the suite asks for boxed ones.
#[derive(Debug)]
struct Boxed(Arc<dyn Sink>);

impl Sink for Boxed {
    fn writer(
        &self,
        context: crate::connector::sink::WriterContext,
    ) -> Result<Box<dyn crate::connector::sink::SinkWriter>> {
        self.0.writer(context)
    }

    fn input(&self) -> crate::connector::sink::SinkInput {
        self.0.input()
    }

    fn transactional(&self) -> Option<crate::connector::sink::TransactionalSystem> {
        self.0.transactional()
    }
}

impl Harness for Suite {
    fn create_topic(&self) -> Result<String> {
        let number = self.0.topic_count.fetch_add(1, Ordering::SeqCst);
        let name = format!("topic-{number}");
        self.0.cluster.brokers().create_topic(&name, 3);
        Ok(name)
    }

    fn sink(&self, topic: &str) -> Result<Box<dyn Sink>> {
        let sink = self
            .connection()
            .sink(KafkaOptions::new("model:9092"), topic)?;
        Ok(Box::new(Boxed(sink)))
    }

    fn committed(&self, topic: &str) -> Result<Vec<Seen>> {
        let Self(world) = self;
        while world.cluster.act(&**world) {}
        let mut seen = Vec::new();
        for partition in 0..3 {
            let (records, _) = world.cluster.brokers().committed(topic, partition, 0);
            let text = |bytes: Option<Vec<u8>>| {
                String::from_utf8(bytes.unwrap_or_default()).expect("the suite writes text")
            };
            seen.extend(records.into_iter().map(|(_, record)| Seen {
                key: text(record.key),
                value: text(record.value),
            }));
        }
        Ok(seen)
    }

    fn wait(&self, waker: &Waker) {
        while !waker.take() {
            if !self.0.act() {
                self.0.clock.advance(Duration::from_millis(1));
            }
        }
    }

    fn clock(&self) -> SharedClock {
        self.0.clock.clone()
    }
}

#[test]
fn the_committer_suite_passes() {
    committer_suite(&Suite(World::new(1, 0))).unwrap();
}

#[test]
fn the_committer_suite_passes_when_requests_and_answers_are_lost() {
    for seed in 0..SEEDS {
        for (name, case) in CASES {
            let suite = Suite(World::new(seed, 1 + seed % 20));
            case(&suite).unwrap_or_else(|error| panic!("seed {seed}, {name}: {error}"));
        }
    }
}

#[test]
fn the_committer_suite_notices_a_start_that_fences_nobody() {
    plant(Some(Fault::NoFence));
    let outcome = committer_suite(&Suite(World::new(1, 0)));
    plant(None);
    assert!(outcome.is_err());
}

#[test]
fn a_transaction_that_timed_out_conflicts() {
    let suite = Suite(World::new(2, 0));
    let (mut owner, topic) = (Owner::unique(), suite.create_topic().unwrap());
    owner.timeout = Duration::from_secs(1);
    let mut run = Run::start(&suite, &owner, &[&topic]).unwrap();
    run.begin(1).unwrap();
    run.write(&suite, 0, &[("a", "0")]).unwrap();
    run.flush(&suite).unwrap();
    suite.0.clock.advance(Duration::from_secs(2));
    suite.0.act();
    let error = run.commit(1).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    assert_eq!(run.committer().committed().unwrap(), None);
    let mut again = Run::start(&suite, &owner, &[&topic]).unwrap();
    again.epoch(&suite, 1, &[("a", "2")]).unwrap();
    let seen = suite.committed(&topic).unwrap();
    assert_eq!(seen.len(), 1);
}

#[test]
fn a_foreign_open_transaction_hides_what_follows_it_and_no_record() {
    let suite = Suite(World::new(3, 0));
    let topic = suite.create_topic().unwrap();
    let (foreign, owner) = (Owner::unique(), Owner::unique());
    let mut holder = Run::start(&suite, &foreign, &[&topic]).unwrap();
    holder.begin(1).unwrap();
    holder.write(&suite, 0, &[("a", "open")]).unwrap();
    holder.flush(&suite).unwrap();
    let mut run = Run::start(&suite, &owner, &[&topic]).unwrap();
    run.epoch(&suite, 1, &[("a", "behind")]).unwrap();
    assert!(suite.committed(&topic).unwrap().is_empty());
    let record = run.record(1);
    let again = Run::fence(&suite, &owner, &topic).unwrap();
    assert_eq!(again.committer().committed().unwrap(), Some(record));
}

#[test]
fn records_of_epochs_are_forgotten_after_their_retention() {
    let suite = Suite(World::new(4, 0));
    let (owner, topic) = (Owner::unique(), suite.create_topic().unwrap());
    let mut run = Run::start(&suite, &owner, &[&topic]).unwrap();
    run.epoch(&suite, 1, &[("a", "1")]).unwrap();
    suite.committed(&topic).unwrap();
    let kept = run.committer().record_retention().unwrap();
    assert!(run.committer().committed().unwrap().is_some());
    suite.0.clock.advance(kept);
    suite.0.act();
    assert_eq!(run.committer().committed().unwrap(), None);
}

#[test]
fn markers_take_offsets() {
    let suite = Suite(World::new(5, 0));
    let (owner, topic) = (Owner::unique(), suite.create_topic().unwrap());
    let mut run = Run::start(&suite, &owner, &[&topic]).unwrap();
    run.epoch(&suite, 1, &[("a", "1"), ("a", "2")]).unwrap();
    run.epoch(&suite, 2, &[("a", "3")]).unwrap();
    suite.committed(&topic).unwrap();
    let ends: BTreeMap<usize, usize> = (0..3)
        .map(|partition| {
            (
                partition,
                suite.0.cluster.brokers().end_of(&topic, partition),
            )
        })
        .collect();
    assert_eq!(ends.values().sum::<usize>(), 3 + 2, "{ends:?}");
}
