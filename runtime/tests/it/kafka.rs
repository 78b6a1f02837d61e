//! The Kafka connector against a real Apache Kafka, whose address is in `WEIR_TEST_KAFKA`.
//!
//! Place in the flow: each test makes topics of its own and deletes them. Invariant: every wait is bounded by [`PATIENCE`] and
//! ends by a condition, never by the clock alone.

mod pause;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use weir_runtime::Kind;
use weir_runtime::connector::kafka::{KafkaOptions, KafkaSink, KafkaSource, admin};
use weir_runtime::connector::options::{BoundedMode, ScanOptions, StartupMode};
use weir_runtime::connector::partitioner::partition_of;
use weir_runtime::connector::sink::{EncodedBatch, Sink as _, SinkWriter, WriterContext};
use weir_runtime::connector::source::{
    Poll, Range, ReaderContext, Source as _, SourceReader, SplitPosition, TimestampType,
};
use weir_runtime::task::Waker;
use weir_runtime::time::{Clock as _, SystemClock};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// Reads from the earliest offset to the present end.
const WHOLE: ScanOptions = ScanOptions {
    startup: StartupMode::EarliestOffset,
    bounded: BoundedMode::LatestOffset,
};

/// The broker under test, if there is one.
fn broker() -> Option<KafkaOptions> {
    let Some(address) = std::env::var_os("WEIR_TEST_KAFKA") else {
        eprintln!("skipped: WEIR_TEST_KAFKA is not set");
        return None;
    };
    Some(KafkaOptions::new(address.into_string().unwrap()))
}

/// A topic that is deleted at the end.
struct Topic {
    /// Its cluster.
    options: KafkaOptions,
    /// Its name.
    name: String,
}

impl Topic {
    /// Makes a topic with a name of its own.
    fn create(options: &KafkaOptions, partitions: u32, config: &[(&str, &str)]) -> Self {
        let name = format!("weir-test-{}", uuid::Uuid::new_v4());
        let config: BTreeMap<String, String> = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        admin::create_topic(options, &name, partitions, &config).unwrap();
        Self {
            options: options.clone(),
            name,
        }
    }

    /// A source of the whole topic as it is now.
    fn source(&self, scan: ScanOptions) -> KafkaSource {
        KafkaSource::new(self.options.clone(), &self.name, scan).unwrap()
    }

    /// Opens a writer.
    fn writer(&self) -> (Box<dyn SinkWriter>, Waker) {
        writer(&self.options, &self.name).unwrap()
    }

    /// Writes records and waits until they are safe.
    fn write(&self, records: &[Written]) {
        let (mut writer, waker) = self.writer();
        writer.write_records(&encode(records)).unwrap();
        settle(writer.as_mut(), &waker).unwrap();
    }

    /// Everything that there is to read, by one reader.
    fn read(&self, scan: ScanOptions) -> Vec<Seen> {
        let mut open = Open::new(&self.source(scan), 0, 1, None);
        let seen = open.read_to_end();
        for split in open.reader.splits() {
            assert_eq!(split.pending_records, Some(0));
        }
        seen
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        if let Err(error) = admin::delete_topic(&self.options, &self.name) {
            eprintln!("{error}");
        }
    }
}

/// A record to write.
#[derive(Debug, Clone, Default)]
struct Written {
    /// Key.
    key: Option<String>,
    /// Value.
    value: Option<String>,
    /// Timestamp.
    timestamp_ms: Option<i64>,
    /// Value of the `op` header.
    op: Option<u8>,
    /// Value of a header of its own, by the name `own`.
    own: Option<String>,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Partition.
    partition: i32,
    /// Offset.
    offset: i64,
    /// Key.
    key: Option<String>,
    /// Value.
    value: Option<String>,
    /// Timestamp.
    timestamp_ms: i64,
    /// Headers.
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Keyed records `0..count` with eleven keys.
fn keyed(count: usize) -> Vec<Written> {
    (0..count)
        .map(|i| Written {
            key: Some(format!("key-{}", i % 11)),
            value: Some(i.to_string()),
            ..Written::default()
        })
        .collect()
}

/// Values of what was read.
fn values(seen: &[Seen]) -> Vec<&str> {
    seen.iter()
        .filter_map(|record| record.value.as_deref())
        .collect()
}

/// Lays records into one buffer.
fn encode(records: &[Written]) -> EncodedBatch {
    let mut batch = EncodedBatch::default();
    for record in records {
        let mut append = |text: &Option<String>| {
            text.as_ref().map(|text| {
                let range = Range {
                    start: u32::try_from(batch.buffer.len()).unwrap(),
                    len: u32::try_from(text.len()).unwrap(),
                };
                batch.buffer.extend_from_slice(text.as_bytes());
                range
            })
        };
        let (key, value) = (append(&record.key), append(&record.value));
        let own = record.own.is_some().then_some("own".to_owned());
        let header = append(&own).zip(append(&record.own));
        batch.keys.push(key);
        batch.values.push(value);
        batch.timestamps_ms.extend(record.timestamp_ms);
        batch.ops.extend(record.op);
        batch.headers.push(header.into_iter().collect());
    }
    // Headers of their own cost a call for each record, so that most tests go without.
    if batch.headers.iter().all(Vec::is_empty) {
        batch.headers.clear();
    }
    batch
}

/// Opens the writer of the only subtask.
fn writer(
    options: &KafkaOptions,
    topic: &str,
) -> weir_runtime::Result<(Box<dyn SinkWriter>, Waker)> {
    let waker = Waker::default();
    let writer = KafkaSink::new(options.clone(), topic)?.writer(WriterContext {
        publishes: false,
        subtask_index: 0,
        parallelism: 1,
        statement_uid: "test".to_owned(),
        transactions: None,
        waker: waker.clone(),
        clock: SystemClock::shared(),
    })?;
    Ok((writer, waker))
}

/// Flushes until everything is safe; woken, not polling.
fn settle(writer: &mut dyn SinkWriter, waker: &Waker) -> weir_runtime::Result<()> {
    let end = SystemClock.monotonic() + PATIENCE;
    while !writer.flush()? {
        assert!(
            SystemClock.monotonic() < end,
            "no flush within {PATIENCE:?}"
        );
        waker.park(Some(PATIENCE));
    }
    Ok(())
}

/// An open reader.
struct Open {
    /// The reader.
    reader: Box<dyn SourceReader>,
    /// Woken by it.
    waker: Waker,
    /// Timestamp types it has shown.
    kinds: BTreeSet<&'static str>,
}

impl Open {
    /// Opens the reader of one subtask.
    fn new(
        source: &KafkaSource,
        subtask_index: usize,
        parallelism: usize,
        restored: Option<Vec<SplitPosition>>,
    ) -> Self {
        let waker = Waker::default();
        let reader = source
            .reader(ReaderContext {
                subtask_index,
                parallelism,
                restored,
                waker: waker.clone(),
                clock: SystemClock::shared(),
            })
            .unwrap();
        Self {
            reader,
            waker,
            kinds: BTreeSet::new(),
        }
    }

    /// Reads until `enough` or the end; woken, not polling.
    fn until(&mut self, rows_max: usize, enough: impl Fn(&[Seen]) -> bool) -> (Vec<Seen>, bool) {
        let end = SystemClock.monotonic() + PATIENCE;
        let mut seen = Vec::new();
        while !enough(&seen) {
            assert!(
                SystemClock.monotonic() < end,
                "not enough within {PATIENCE:?}, positions {:?}",
                self.reader.positions()
            );
            match self.reader.poll(rows_max).unwrap() {
                Poll::Raw(batch) => {
                    assert!(batch.rows() <= rows_max);
                    self.kinds.insert(batch.timestamp_type.name());
                    let partition = self.reader.splits()[batch.split].partition;
                    let text = |bytes: Option<&[u8]>| {
                        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
                    };
                    seen.extend((0..batch.rows()).map(|row| {
                        Seen {
                            partition,
                            offset: batch.offsets[row],
                            key: text(batch.key(row)),
                            value: text(batch.value(row)),
                            timestamp_ms: batch.timestamps_ms[row],
                            headers: batch
                                .headers
                                .get(row)
                                .into_iter()
                                .flatten()
                                .map(|(name, value)| {
                                    (
                                        text(Some(name.of(&batch.buffer))).unwrap(),
                                        value.map(|value| value.of(&batch.buffer).to_vec()),
                                    )
                                })
                                .collect(),
                        }
                    }));
                }
                Poll::Rows { .. } => panic!("a topic has no decoded rows"),
                Poll::SplitFinished { .. } => {}
                Poll::Pending | Poll::Later(_) => self.waker.park(Some(PATIENCE)),
                Poll::EndOfInput => return (seen, true),
            }
        }
        (seen, false)
    }

    /// Reads to the end of input.
    fn read_to_end(&mut self) -> Vec<Seen> {
        let (seen, ended) = self.until(500, |_| false);
        assert!(ended);
        seen
    }
}

/// A transactional producer with a transaction of these values in partition 0, sent and not ended.
fn transaction(
    options: &KafkaOptions,
    topic: &str,
    values: std::ops::Range<usize>,
) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &options.bootstrap)
        .set("transactional.id", uuid::Uuid::new_v4().to_string())
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    for value in values {
        let (key, value) = (format!("key-{}", value % 3), value.to_string());
        let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    producer
}

#[test]
fn what_is_written_is_read_once_and_in_order_by_three_subtasks() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 7, &[]);
    topic.write(&keyed(5_000));
    let source = topic.source(WHOLE);
    assert!(source.is_bounded());
    let mut all = Vec::new();
    for subtask in 0..3 {
        let mut open = Open::new(&source, subtask, 3, None);
        let mine: Vec<_> = open
            .reader
            .splits()
            .iter()
            .map(|split| split.partition)
            .collect();
        assert!(
            mine.iter()
                .all(|partition| partition % 3 == i32::try_from(subtask).unwrap())
        );
        let seen = open.read_to_end();
        assert_eq!(
            open.kinds,
            BTreeSet::from(["CreateTime"])
                .into_iter()
                .filter(|_| !seen.is_empty())
                .collect()
        );
        all.extend(seen);
    }
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for record in &all {
        let key = record.key.clone().unwrap();
        let expected = partition_of(key.as_bytes(), 7);
        assert_eq!(record.partition, i32::try_from(expected).unwrap());
        offsets
            .entry(record.partition)
            .or_default()
            .push(record.offset);
        by_key
            .entry(key)
            .or_default()
            .push(record.value.as_ref().unwrap().parse().unwrap());
    }
    assert_eq!(all.len(), 5_000);
    for offsets in offsets.values() {
        assert!(
            offsets
                .iter()
                .copied()
                .eq(0..i64::try_from(offsets.len()).unwrap())
        );
    }
    for numbers in by_key.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[test]
fn more_subtasks_than_partitions_end_at_once() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 1, &[]);
    let mut open = Open::new(&topic.source(WHOLE), 1, 2, None);
    assert!(open.read_to_end().is_empty());
    assert!(open.reader.splits().is_empty());
}

#[test]
fn a_topic_that_ends_in_an_abort_marker_ends() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 1, &[]);
    topic.write(&keyed(10));
    let producer = transaction(&options, &topic.name, 10..15);
    producer.abort_transaction(PATIENCE).unwrap();
    let seen = topic.read(WHOLE);
    assert_eq!(seen.len(), 10);
    let mut dirty = options.clone();
    dirty
        .properties
        .insert("isolation.level".to_owned(), "read_uncommitted".to_owned());
    let dirty = KafkaSource::new(dirty, &topic.name, WHOLE).unwrap();
    let mut open = Open::new(&dirty, 0, 1, None);
    assert_eq!(open.read_to_end().len(), 15);
    assert_eq!(open.reader.splits()[0].pending_records, Some(0));
    assert_eq!(open.reader.positions()[0].offset, 16);
}

#[test]
fn an_open_transaction_bounds_a_committed_read() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 1, &[]);
    topic.write(&keyed(10));
    let producer = transaction(&options, &topic.name, 10..15);
    topic.write(&keyed(7));
    assert_eq!(topic.read(WHOLE).len(), 10);

    let unbounded = ScanOptions {
        startup: StartupMode::EarliestOffset,
        bounded: BoundedMode::Unbounded,
    };
    let mut open = Open::new(&topic.source(unbounded), 0, 1, None);
    let (seen, _) = open.until(500, |seen| seen.len() == 10);
    assert_eq!(seen.len(), 10);
    producer.commit_transaction(PATIENCE).unwrap();
    let (seen, _) = open.until(500, |seen| seen.len() == 12);
    assert_eq!(seen[0].value.as_deref(), Some("10"));
    assert_eq!(topic.read(WHOLE).len(), 22);
}

#[test]
fn a_compacted_topic_with_holes_ends_with_nothing_pending() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(
        &options,
        1,
        &[
            ("cleanup.policy", "compact"),
            ("segment.ms", "100"),
            ("min.cleanable.dirty.ratio", "0.001"),
            ("max.compaction.lag.ms", "100"),
            ("delete.retention.ms", "0"),
        ],
    );
    let end = SystemClock.monotonic() + PATIENCE;
    let mut written = 0;
    // Compaction runs when the broker finds time; each round rolls a segment and reads the whole topic to its end.
    loop {
        transaction(&options, &topic.name, 0..50)
            .commit_transaction(PATIENCE)
            .unwrap();
        written += 50;
        topic.write(&[Written {
            key: Some("key-0".to_owned()),
            ..Written::default()
        }]);
        written += 1;
        let seen = topic.read(WHOLE);
        assert!(seen.is_sorted_by_key(|record| record.offset));
        assert_eq!(seen.last().unwrap().value, None);
        if seen.len() < written {
            break;
        }
        assert!(
            SystemClock.monotonic() < end,
            "no compaction within {PATIENCE:?}"
        );
    }
}

#[test]
fn headers_timestamps_and_nulls_survive() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 2, &[]);
    let records: Vec<_> = (0..30)
        .map(|i| Written {
            key: (i % 3 > 0).then(|| format!("key-{i}")),
            value: (i % 5 > 0).then(|| if i == 7 { String::new() } else { i.to_string() }),
            timestamp_ms: Some(1_700_000_000_000 + i),
            op: Some(u8::try_from(i % 4).unwrap()),
            own: (i % 2 > 0).then(|| format!("own-{i}")),
        })
        .collect();
    topic.write(&records);
    let mut seen = topic.read(WHOLE);
    seen.sort_by_key(|record| record.timestamp_ms);
    assert_eq!(seen.len(), records.len());
    for (record, written) in seen.iter().zip(&records) {
        assert_eq!(record.key, written.key);
        assert_eq!(record.value, written.value);
        assert_eq!(Some(record.timestamp_ms), written.timestamp_ms);
        let own = written
            .own
            .clone()
            .map(|own| ("own".to_owned(), Some(own.into_bytes())));
        // An insert needs no header.
        let op = written.op.filter(|op| *op > 0);
        let op = op.map(|op| ("op".to_owned(), Some(vec![op])));
        let headers: Vec<_> = own.into_iter().chain(op).collect();
        assert_eq!(record.headers, headers);
    }

    let appended = Topic::create(&options, 1, &[("message.timestamp.type", "LogAppendTime")]);
    appended.write(&keyed(3));
    let mut open = Open::new(&appended.source(WHOLE), 0, 1, None);
    assert_eq!(open.read_to_end().len(), 3);
    assert_eq!(
        open.kinds,
        BTreeSet::from([TimestampType::LogAppendTime.name()])
    );
}

#[test]
fn startup_and_bounded_modes_choose_the_records() {
    let Some(mut options) = broker() else { return };
    let group = format!("weir-test-{}", uuid::Uuid::new_v4());
    options
        .properties
        .insert("group.id".to_owned(), group.clone());
    let topic = Topic::create(&options, 2, &[]);
    let stamp = |i: i64| Written {
        value: Some(i.to_string()),
        timestamp_ms: Some(1_700_000_000_000 + i * 1_000),
        ..Written::default()
    };
    let (mut writer, waker) = topic.writer();
    for half in [0..10, 10..20] {
        let batch: Vec<_> = half.map(stamp).collect();
        writer.write_records(&encode(&batch)).unwrap();
    }
    settle(writer.as_mut(), &waker).unwrap();
    drop(writer);

    let scan = |startup, bounded| ScanOptions { startup, bounded };
    let count = |startup, bounded| topic.read(scan(startup, bounded)).len();
    let latest = BoundedMode::LatestOffset;
    assert_eq!(count(StartupMode::LatestOffset, latest.clone()), 0);
    let named =
        |pairs: &[(i32, i64)]| StartupMode::SpecificOffsets(pairs.iter().copied().collect());
    assert_eq!(count(named(&[(0, 4)]), latest.clone()), 16);
    assert_eq!(count(named(&[(0, 99), (1, 10)]), latest.clone()), 0);

    let at = |seconds: i64| 1_700_000_000_000 + seconds * 1_000;
    assert_eq!(count(StartupMode::Timestamp(at(7)), latest.clone()), 13);
    assert_eq!(count(StartupMode::Timestamp(at(99)), latest.clone()), 0);
    let between = topic.read(scan(
        StartupMode::Timestamp(at(3)),
        BoundedMode::Timestamp(at(12)),
    ));
    let mut read: Vec<i64> = values(&between)
        .iter()
        .map(|v| v.parse().unwrap())
        .collect();
    read.sort_unstable();
    assert_eq!(read, (3..12).collect::<Vec<_>>());

    let from_group = scan(StartupMode::GroupOffsets, latest);
    let source = topic.source(from_group.clone());
    let error = source
        .reader(ReaderContext {
            subtask_index: 0,
            parallelism: 1,
            restored: None,
            waker: Waker::default(),
            clock: SystemClock::shared(),
        })
        .unwrap_err();
    assert!(error.message.contains("auto.offset.reset"), "{error}");
    let committer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &options.bootstrap)
        .set("group.id", &group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in [(0, 3), (1, 8)] {
        list.add_partition_offset(&topic.name, partition, Offset::Offset(offset))
            .unwrap();
    }
    committer.commit(&list, CommitMode::Sync).unwrap();
    assert_eq!(topic.read(from_group).len(), 9);
}

#[test]
fn an_offset_out_of_range_is_an_error_unless_it_may_be_reset() {
    let Some(mut options) = broker() else { return };
    let topic = Topic::create(&options, 1, &[]);
    topic.write(&keyed(20));
    let scan = ScanOptions {
        startup: StartupMode::SpecificOffsets(BTreeMap::from([(0, 99)])),
        bounded: BoundedMode::Unbounded,
    };
    let mut open = Open::new(&topic.source(scan.clone()), 0, 1, None);
    let end = SystemClock.monotonic() + PATIENCE;
    let error = loop {
        assert!(
            SystemClock.monotonic() < end,
            "no error within {PATIENCE:?}"
        );
        match open.reader.poll(100) {
            Ok(answer) => assert!(matches!(answer, Poll::Pending), "{answer:?}"),
            Err(error) => break error,
        }
        open.waker.park(Some(PATIENCE));
    };
    assert!(error.message.contains("auto.offset.reset"), "{error}");
    assert!(error.message.contains("partition 0"), "{error}");

    options
        .properties
        .insert("auto.offset.reset".to_owned(), "earliest".to_owned());
    let source = KafkaSource::new(options, &topic.name, scan).unwrap();
    let mut open = Open::new(&source, 0, 1, None);
    assert_eq!(open.until(100, |seen| seen.len() == 20).0.len(), 20);
    assert_eq!(open.reader.positions()[0].offset, 20);
}

#[test]
fn restored_positions_continue_without_loss_or_repetition() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 3, &[]);
    topic.write(&keyed(3_000));
    let source = topic.source(WHOLE);
    let mut first = Open::new(&source, 0, 1, None);
    let (mut seen, ended) = first.until(7, |seen| seen.len() > 1_000);
    assert!(!ended);
    let positions = first.reader.positions();
    drop(first);
    for subtask in 0..2 {
        seen.extend(Open::new(&source, subtask, 2, Some(positions.clone())).read_to_end());
    }
    let unique: BTreeSet<_> = seen
        .iter()
        .map(|record| (record.partition, record.offset))
        .collect();
    assert_eq!((seen.len(), unique.len()), (3_000, 3_000));
}

#[test]
fn a_waiting_reader_is_woken_and_a_drained_one_ends() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 2, &[]);
    topic.write(&keyed(100));
    let source = topic.source(ScanOptions {
        startup: StartupMode::EarliestOffset,
        bounded: BoundedMode::Unbounded,
    });
    assert!(!source.is_bounded());
    let mut open = Open::new(&source, 0, 1, None);
    assert_eq!(open.until(500, |seen| seen.len() == 100).0.len(), 100);
    // The reader is parked, and only its waker can end the wait.
    std::thread::scope(|scope| {
        let woken = scope.spawn(|| open.until(500, |seen| seen.len() == 50).0.len());
        topic.write(&keyed(50));
        assert_eq!(woken.join().unwrap(), 50);
    });
    topic.write(&keyed(25));
    open.reader.drain().unwrap();
    topic.write(&keyed(10));
    assert_eq!(open.read_to_end().len(), 25);
    for split in open.reader.splits() {
        assert_eq!(split.pending_records, Some(0));
    }
}

#[test]
fn pending_records_count_the_backlog() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 1, &[]);
    topic.write(&keyed(1_000));
    let mut open = Open::new(&topic.source(WHOLE), 0, 1, None);
    assert_eq!(open.reader.splits()[0].pending_records, Some(1_000));
    let (seen, _) = open.until(100, |seen| seen.len() >= 100);
    let left = open.reader.splits()[0].pending_records.unwrap();
    assert_eq!(seen.len() as u64 + left, 1_000);
}

#[test]
fn a_full_queue_keeps_the_order() {
    let Some(mut options) = broker() else { return };
    options
        .properties
        .insert("queue.buffering.max.messages".to_owned(), "10".to_owned());
    let topic = Topic::create(&options, 3, &[]);
    for stamped in [false, true] {
        let mut records = keyed(3_000);
        for record in &mut records {
            record.timestamp_ms = stamped.then_some(1_700_000_000_000);
        }
        let (mut writer, waker) = topic.writer();
        let mut refused = 0;
        for batch in records.chunks(100) {
            while !writer.ready() {
                refused += 1;
                waker.park(Some(PATIENCE));
            }
            writer.write_records(&encode(batch)).unwrap();
        }
        settle(writer.as_mut(), &waker).unwrap();
        assert!(refused > 0);
    }
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for record in topic.read(WHOLE) {
        by_key
            .entry(record.key.unwrap())
            .or_default()
            .push(record.value.unwrap().parse().unwrap());
    }
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 6_000);
    for (key, numbers) in by_key {
        let (first, second) = numbers.split_at(numbers.len() / 2);
        assert!(
            first.is_sorted() && second.is_sorted(),
            "{key}: {numbers:?}"
        );
    }
}

#[test]
fn a_record_that_is_refused_fails_the_writer_by_name() {
    let Some(mut options) = broker() else { return };
    let topic = Topic::create(&options, 1, &[("max.message.bytes", "2000")]);
    let large = [Written {
        value: Some("x".repeat(5_000)),
        ..Written::default()
    }];
    // Refused by the broker, after the record was taken.
    let (mut writer, waker) = topic.writer();
    writer.write_records(&encode(&large)).unwrap();
    let error = settle(writer.as_mut(), &waker).unwrap_err();
    assert!(error.message.contains(&topic.name), "{error}");
    assert!(error.message.contains("partition 0"), "{error}");
    assert!(writer.ready());
    assert_eq!(writer.write_records(&encode(&keyed(1))).unwrap_err(), error);
    // Refused by the client, at once.
    options
        .properties
        .insert("message.max.bytes".to_owned(), "2000".to_owned());
    let (mut writer, _) = self::writer(&options, &topic.name).unwrap();
    let error = writer.write_records(&encode(&large)).unwrap_err();
    assert!(error.message.contains(&topic.name), "{error}");
}

#[test]
fn unkeyed_batches_go_round_the_partitions() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 3, &[]);
    let (mut writer, waker) = topic.writer();
    let unkeyed = encode(&vec![
        Written {
            value: Some("v".to_owned()),
            ..Written::default()
        };
        10
    ]);
    for _ in 0..3 {
        writer.write_records(&unkeyed).unwrap();
    }
    settle(writer.as_mut(), &waker).unwrap();
    let mut counts = BTreeMap::new();
    for record in topic.read(WHOLE) {
        *counts.entry(record.partition).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(0, 10), (1, 10), (2, 10)]));
}

#[test]
fn topics_are_made_listed_and_deleted() {
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 5, &[]);
    let name = topic.name.clone();
    assert_eq!(admin::topic_partitions(&options, &name).unwrap(), Some(5));
    assert!(admin::list_topics(&options).unwrap().contains(&name));
    let again = admin::create_topic(&options, &name, 5, &BTreeMap::new()).unwrap_err();
    assert_eq!(again.code, weir_runtime::error::Code::AlreadyExists);
    let bad = BTreeMap::from([("no.such.setting".to_owned(), "1".to_owned())]);
    let error = admin::create_topic(&options, "weir-test-bad", 1, &bad).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    drop(topic);
    assert_eq!(admin::topic_partitions(&options, &name).unwrap(), None);
    let gone = admin::delete_topic(&options, &name).unwrap_err();
    assert_eq!(gone.kind, Kind::Invalid, "{gone}");
}

#[test]
fn an_unknown_topic_is_named() {
    let Some(options) = broker() else { return };
    let source = KafkaSource::new(options.clone(), "weir-test-missing", WHOLE).unwrap();
    let error = source
        .reader(ReaderContext {
            subtask_index: 0,
            parallelism: 1,
            restored: None,
            waker: Waker::default(),
            clock: SystemClock::shared(),
        })
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("\"weir-test-missing\""), "{error}");
    let error = writer(&options, "weir-test-missing").unwrap_err();
    assert!(error.message.contains("\"weir-test-missing\""), "{error}");
    assert_eq!(
        admin::topic_partitions(&options, "weir-test-missing").unwrap(),
        None
    );
}

#[test]
fn an_unreachable_broker_is_named() {
    // Port 1 is not a broker's on any machine.
    let mut options = KafkaOptions::new("127.0.0.1:1");
    options
        .properties
        .insert("weir.kafka.connect-timeout".to_owned(), "700 ms".to_owned());
    let begin = SystemClock.monotonic();
    let error = writer(&options, "t").unwrap_err();
    let took = SystemClock.monotonic().saturating_sub(begin);
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("127.0.0.1:1"), "{error}");
    assert!(error.message.contains("700 ms"), "{error}");
    assert!(error.message.contains("refused"), "{error}");
}
