//! Writing to Kafka in transactions.
//!
//! Place in the flow: the suite of all committers, and what only Kafka can show. Invariant: every statement has a name of its own, and
//! what it leaves open is aborted by the broker.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Barrier, Mutex};

use weir_runtime::connector::sink::{TransactionOwner, Transactions};
use weir_runtime::testing::committer::committer_suite;
use weir_runtime::testing::{Harness, Owner, Run, Seen as Committed};

use super::*;

/// Kafka as the suite sees it.
#[derive(Debug)]
struct Broker {
    /// The cluster.
    options: KafkaOptions,
    /// Topics to delete at the end.
    topics: Mutex<Vec<String>>,
}

impl Broker {
    /// The broker under test, if there is one.
    fn find() -> Option<Self> {
        broker().map(|options| Self {
            options,
            topics: Mutex::new(Vec::new()),
        })
    }

    /// Opens the transactions of a statement, and no more.
    fn open(&self, owner: &Owner, topic: &str) -> weir_runtime::Result<Transactions> {
        let sink = KafkaSink::new(self.options.clone(), topic)?;
        (sink.transactional().unwrap().open)(&TransactionOwner {
            statement_name: owner.name.clone(),
            statement_uid: owner.uid.clone(),
            timeout: owner.timeout,
            clock: SystemClock::shared(),
        })
    }

    /// Values of one key, in order.
    fn values_of(&self, topic: &str, key: &str) -> Vec<u64> {
        self.committed(topic)
            .unwrap()
            .into_iter()
            .filter(|seen| seen.key == key)
            .map(|seen| seen.value.parse().unwrap())
            .collect()
    }
}

impl Harness for Broker {
    fn create_topic(&self) -> weir_runtime::Result<String> {
        let name = format!("weir-test-{}", uuid::Uuid::new_v4());
        admin::create_topic(&self.options, &name, 3, &BTreeMap::new())?;
        self.topics.lock().unwrap().push(name.clone());
        Ok(name)
    }

    fn sink(
        &self,
        topic: &str,
    ) -> weir_runtime::Result<Box<dyn weir_runtime::connector::sink::Sink>> {
        Ok(Box::new(KafkaSink::new(self.options.clone(), topic)?))
    }

    fn committed(&self, topic: &str) -> weir_runtime::Result<Vec<Committed>> {
        let source = KafkaSource::new(self.options.clone(), topic, WHOLE)?;
        let seen = Open::new(&source, 0, 1, None).read_to_end();
        Ok(seen
            .into_iter()
            .map(|seen| Committed {
                key: seen.key.unwrap_or_default(),
                value: seen.value.unwrap_or_default(),
            })
            .collect())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for topic in self.topics.lock().unwrap().iter() {
            if let Err(error) = admin::delete_topic(&self.options, topic) {
                eprintln!("{error}");
            }
        }
    }
}

/// What a record of an epoch is like.
const VALUE: &str = "value";

#[test]
fn the_committer_suite_passes() {
    let Some(broker) = Broker::find() else { return };
    committer_suite(&broker).unwrap();
}

#[test]
fn a_foreign_open_transaction_hides_no_record() {
    let Some(broker) = Broker::find() else { return };
    let (owner, topic) = (Owner::unique(), broker.create_topic().unwrap());
    let foreign = transaction(&broker.options, &topic, 0..3);
    let mut run = Run::start(&broker, &owner, &[&topic]).unwrap();
    run.epoch(&broker, 1, &[("a", VALUE)]).unwrap();
    let record = run.record(1);
    drop(run);
    let again = Run::fence(&broker, &owner, &topic).unwrap();
    assert_eq!(again.committer().committed().unwrap(), Some(record));
    foreign.abort_transaction(PATIENCE).unwrap();
}

#[test]
fn statements_do_not_see_each_other() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.create_topic().unwrap();
    let mut one = Run::start(&broker, &Owner::unique(), &[&topic]).unwrap();
    let mut other = Run::start(&broker, &Owner::unique(), &[&topic]).unwrap();
    one.epoch(&broker, 1, &[("a", VALUE)]).unwrap();
    assert_eq!(other.committer().committed().unwrap(), None);
    other.epoch(&broker, 1, &[("a", VALUE)]).unwrap();
    one.epoch(&broker, 2, &[("a", VALUE)]).unwrap();
    let recorded = one.committer().committed().unwrap();
    assert_eq!(recorded, Some(one.record(2)));
}

#[test]
fn a_time_out_above_the_brokers_maximum_is_refused_with_both_numbers() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.create_topic().unwrap();
    let mut owner = Owner::unique();
    // Above what any broker of these tests is started with.
    owner.timeout = Duration::from_hours(100);
    let error = broker.open(&owner, &topic).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    for part in [
        "360000000",
        "transaction.max.timeout.ms",
        "transaction.timeout.ms",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
    owner.timeout = Duration::from_mins(1);
    let transactions = broker.open(&owner, &topic).unwrap();
    let kept = transactions.committer.record_retention().unwrap();
    assert!(kept >= Duration::from_hours(1), "{kept:?}");
}

#[test]
fn a_transaction_that_timed_out_conflicts() {
    let Some(broker) = Broker::find() else { return };
    let topic = broker.create_topic().unwrap();
    let mut owner = Owner::unique();
    owner.timeout = Duration::from_secs(1);
    let mut run = Run::start(&broker, &owner, &[&topic]).unwrap();
    run.begin(1).unwrap();
    run.write(&broker, 0, &[("a", "0")]).unwrap();
    run.flush(&broker).unwrap();
    // An unbounded reader is shown what follows the open transaction as soon as the broker has aborted it.
    KafkaSink::new(broker.options.clone(), &topic).unwrap();
    let (mut writer, waker) = writer(&broker.options, &topic).unwrap();
    let plain = Written {
        key: Some("a".to_owned()),
        value: Some("1".to_owned()),
        ..Written::default()
    };
    writer.write_records(&encode(&[plain])).unwrap();
    settle(writer.as_mut(), &waker).unwrap();
    let scan = ScanOptions {
        startup: StartupMode::EarliestOffset,
        bounded: BoundedMode::Unbounded,
    };
    let source = KafkaSource::new(broker.options.clone(), &topic, scan).unwrap();
    let (seen, _) = Open::new(&source, 0, 1, None).until(10, |seen| !seen.is_empty());
    assert_eq!(values(&seen), ["1"]);

    let error = run.commit(1).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    assert!(error.message.contains("1000 ms"), "{error}");
    assert_eq!(run.committer().committed().unwrap(), None);
    // The next start finds nothing and goes on.
    let mut again = Run::start(&broker, &owner, &[&topic]).unwrap();
    again.epoch(&broker, 1, &[("a", "2")]).unwrap();
    assert_eq!(broker.values_of(&topic, "a"), [1, 2]);
}

#[test]
fn metadata_that_is_no_record_is_corrupt() {
    let Some(broker) = Broker::find() else { return };
    let (owner, topic) = (Owner::unique(), broker.create_topic().unwrap());
    let run = Run::fence(&broker, &owner, &topic).unwrap();
    let stranger: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker.options.bootstrap)
        .set("group.id", format!("_weir_{}_{}", owner.name, owner.uid))
        .create()
        .unwrap();
    for metadata in ["", "{}"] {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Offset(5))
            .unwrap();
        list.find_partition(&topic, 0)
            .unwrap()
            .set_metadata(metadata);
        stranger.commit(&list, CommitMode::Sync).unwrap();
        let error = run.committer().committed().unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{error}");
    }
}

#[test]
fn an_epoch_begins_only_when_the_one_before_is_acknowledged() {
    let Some(mut broker) = Broker::find() else {
        return;
    };
    // Nothing leaves by itself within the test.
    let linger = ("linger.ms".to_owned(), "50000".to_owned());
    broker.options.properties.extend([linger]);
    let (owner, topic) = (Owner::unique(), broker.create_topic().unwrap());
    let mut run = Run::start(&broker, &owner, &[&topic]).unwrap();
    let unbegun = run.writer(0).unwrap().begin_epoch(1).unwrap_err();
    assert_eq!(unbegun.kind, Kind::Internal, "{unbegun}");
    run.begin(1).unwrap();
    run.write(&broker, 0, &[("a", "1")]).unwrap();
    run.committer().begin(2).unwrap();
    let error = run.writer(0).unwrap().begin_epoch(2).unwrap_err();
    assert_eq!(error.kind, Kind::Internal, "{error}");
    let begin = SystemClock.monotonic();
    run.flush(&broker).unwrap();
    let took = SystemClock.monotonic().saturating_sub(begin);
    assert!(
        took < Duration::from_secs(40),
        "a flush waits for the linger"
    );
    run.writer(0).unwrap().begin_epoch(2).unwrap();
    run.commit(1).unwrap();
}

#[test]
fn twins_that_start_together_leave_one_that_works() {
    let Some(broker) = Broker::find() else { return };
    for _ in 0..3 {
        let (owner, topic) = (Owner::unique(), broker.create_topic().unwrap());
        let twins: Vec<_> = (0..3)
            .map(|_| broker.open(&owner, &topic).unwrap())
            .collect();
        let together = Barrier::new(twins.len());
        std::thread::scope(|scope| {
            for twin in &twins {
                scope.spawn(|| {
                    together.wait();
                    twin.committer.fence().unwrap();
                });
            }
        });
        let record = |epoch| weir_runtime::checkpoint::commit::EpochRecord {
            run: "twin".to_owned(),
            epoch,
            checkpoint: "c".to_owned(),
        };
        let outcomes: Vec<_> = twins
            .iter()
            .map(|twin| {
                (1..=2).try_for_each(|epoch| {
                    twin.committer.begin(epoch)?;
                    twin.committer.commit(epoch, &record(epoch))
                })
            })
            .collect();
        let works = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(works, 1, "{outcomes:?}");
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind, Kind::Conflict, "{error}");
        }
    }
}

/// One slot of [`slots_share_the_producers`]: a writer of rows and one of dead letters.
struct Lane {
    /// The writers.
    writers: [Box<dyn SinkWriter>; 2],
    /// Their slot.
    waker: Waker,
    /// Which slot.
    index: usize,
}

impl Lane {
    /// Opens the writers.
    fn open(broker: &Broker, transactions: &Transactions, topics: [&str; 2], index: usize) -> Self {
        let waker = Waker::default();
        let writers = topics.map(|topic| {
            let context = WriterContext {
                publishes: false,
                subtask_index: index,
                parallelism: 2,
                statement_uid: "shared".to_owned(),
                transactions: Some(transactions.clone()),
                waker: waker.clone(),
                clock: SystemClock::shared(),
            };
            broker.sink(topic).unwrap().writer(context).unwrap()
        });
        Self {
            writers,
            waker,
            index,
        }
    }

    /// Writes an epoch: batches of one key each, every third one a dead letter; then flushes. Woken, not polling.
    fn epoch(&mut self, epoch: u64, batches: u64) {
        for writer in &mut self.writers {
            writer.begin_epoch(epoch).unwrap();
        }
        for batch in 0..batches {
            let records: Vec<_> = (0..20)
                .map(|record| Written {
                    key: Some(format!("key-{}", self.index)),
                    value: Some(((epoch * batches + batch) * 20 + record).to_string()),
                    ..Written::default()
                })
                .collect();
            let writer = &mut self.writers[usize::from(batch % 3 == 0)];
            while !writer.ready() {
                self.waker.park(Some(PATIENCE));
            }
            writer.write_records(&encode(&records)).unwrap();
        }
        for writer in &mut self.writers {
            settle(writer.as_mut(), &self.waker).unwrap();
        }
    }
}

#[test]
fn slots_share_the_producers() {
    const EPOCHS: u64 = 6;
    const BATCHES: u64 = 60;
    let Some(mut broker) = Broker::find() else {
        return;
    };
    // One writer fills the queue of all.
    let small = ("queue.buffering.max.messages".to_owned(), "15".to_owned());
    broker.options.properties.extend([small]);
    let topics = [
        broker.create_topic().unwrap(),
        broker.create_topic().unwrap(),
    ];
    let names = [topics[0].as_str(), topics[1].as_str()];
    let transactions = broker.open(&Owner::unique(), names[0]).unwrap();
    let committer = &transactions.committer;
    committer.fence().unwrap();
    let mut lanes = [0, 1].map(|index| Lane::open(&broker, &transactions, names, index));
    for epoch in 1..=EPOCHS {
        committer.begin(epoch).unwrap();
        std::thread::scope(|scope| {
            for lane in &mut lanes {
                scope.spawn(move || lane.epoch(epoch, BATCHES));
            }
            // The epoch before is committed while this one is written.
            if epoch > 1 {
                let record = weir_runtime::checkpoint::commit::EpochRecord {
                    run: "shared".to_owned(),
                    epoch: epoch - 1,
                    checkpoint: "c".to_owned(),
                };
                committer.commit(epoch - 1, &record).unwrap();
            }
        });
    }
    drop(lanes);
    drop(transactions);
    let per_epoch = [BATCHES - BATCHES / 3, BATCHES / 3].map(|batches| batches * 20);
    for (topic, per_epoch) in topics.iter().zip(per_epoch) {
        // The last epoch was not committed, and the statement is dead: the others are read all the same.
        for key in ["key-0", "key-1"] {
            let values = broker.values_of(topic, key);
            assert_eq!(values.len() as u64, per_epoch * (EPOCHS - 1), "{key}");
            assert!(values.is_sorted_by(|a, b| a < b), "{key}: {values:?}");
        }
    }
}

#[test]
fn a_refused_record_fails_its_writer_and_its_transaction() {
    let Some(broker) = Broker::find() else { return };
    let topic = Topic::create(&broker.options, 1, &[("max.message.bytes", "2000")]);
    let other = broker.create_topic().unwrap();
    let mut run = Run::start(&broker, &Owner::unique(), &[&topic.name, &other]).unwrap();
    run.begin(1).unwrap();
    run.write(&broker, 1, &[("a", "1")]).unwrap();
    run.write(&broker, 0, &[("a", &"x".repeat(5_000))]).unwrap();
    let error = run.flush(&broker).unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.message.contains(&topic.name), "{error}");
    let error = run.commit(1).unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    drop(run);
    assert!(broker.committed(&other).unwrap().is_empty());
}
/// Names the topic and the statement to the process that is to be killed.
const VICTIM: &str = "WEIR_TEST_KAFKA_VICTIM";

/// What the process says after each step of an epoch.
const STEP: &str = "step";

/// Records of an epoch of the process.
const VICTIM_RECORDS: u64 = 20;

/// The process that [`a_killed_process_loses_and_doubles_nothing`] kills; by itself this does nothing.
#[test]
#[expect(clippy::print_stdout, reason = "the killer counts the lines")]
fn victim() {
    let Some(broker) = Broker::find() else { return };
    let Some(named) = std::env::var_os(VICTIM) else {
        return;
    };
    let named = named.into_string().unwrap();
    let (topic, uid) = named.split_once(' ').unwrap();
    let mut owner = Owner::unique();
    uid.clone_into(&mut owner.uid);
    let mut run = Run::start(&broker, &owner, &[topic]).unwrap();
    let committed = run.committer().committed().unwrap();
    let first = committed.map_or(0, |record| record.epoch) + 1;
    for epoch in first.. {
        run.begin(epoch).unwrap();
        for value in (epoch - 1) * VICTIM_RECORDS..epoch * VICTIM_RECORDS {
            run.write(&broker, 0, &[("a", &value.to_string())]).unwrap();
        }
        println!("{STEP}");
        if epoch > first {
            run.commit(epoch - 1).unwrap();
        }
        println!("{STEP}");
        run.flush(&broker).unwrap();
        println!("{STEP}");
    }
}

#[test]
fn a_killed_process_loses_and_doubles_nothing() {
    const KILLS: usize = 12;
    let Some(broker) = Broker::find() else { return };
    let (owner, topic) = (Owner::unique(), broker.create_topic().unwrap());
    for kill in 0..KILLS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kafka::transactions::victim", "--nocapture"])
            .env(VICTIM, format!("{topic} {}", owner.uid))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed while it takes the step after the one it has told, another one each time.
        let steps = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter(|line| line == STEP)
            .take(5 + kill)
            .count();
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(steps, 5 + kill, "the process ended by itself");
    }
    let run = Run::fence(&broker, &owner, &topic).unwrap();
    let epoch = run.committer().committed().unwrap().unwrap().epoch;
    assert!(epoch >= KILLS as u64, "{epoch}");
    let values = broker.values_of(&topic, "a");
    assert!(
        values.iter().copied().eq(0..epoch * VICTIM_RECORDS),
        "{values:?}"
    );
}
