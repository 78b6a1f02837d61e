//! Topics whose end is not after their last record: an abort marker, and compaction.
//!
//! Place in the flow: written with librdkafka, since the console producer has neither transactions nor timestamps. Invariant: what a
//! statement must read is what a plain consumer reads.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::harness::{KafkaTools, Weir, http_get, wait_for};

/// How long a call to the broker may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long a bounded statement over a few records may take.
const BOUNDED_SECONDS_MAX: u64 = 30;

/// How long the broker's cleaner may take for a topic of a thousand records.
///
/// # Source
/// `cargo xtask` lets the cleaner look every second; the rest is for a loaded machine.
const COMPACTION_SECONDS_MAX: u64 = 60;

/// Time of the first record, epoch milliseconds: 2024-01-01 00:00:00 UTC.
const FIRST_MS: i64 = 1_704_067_200_000;

/// A producer, transactional when an id is given.
fn producer(kafka: &KafkaTools, transactional_id: Option<&str>) -> Result<BaseProducer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.bootstrap);
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
    }
    Ok(config.create()?)
}

/// Writes records with these keys, one number each, from a time on, and waits until they are in the log.
fn write(
    producer: &BaseProducer,
    topic: &str,
    keys: impl Iterator<Item = u64>,
    at_ms: i64,
) -> Result<()> {
    for key in keys {
        let key_text = format!("{{\"k\":{key}}}");
        let value = format!("{{\"k\":{key},\"v\":{}}}", key * 2);
        producer
            .send(
                BaseRecord::to(topic)
                    .key(&key_text)
                    .payload(&value)
                    .timestamp(at_ms),
            )
            .map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(CALL_LIMIT)?;
    Ok(())
}

/// How many records a read-committed consumer finds in partition 0 of a topic.
fn readable(kafka: &KafkaTools, topic: &str) -> Result<u64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap)
        .set("group.id", "readable")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;
    let mut count = 0;
    loop {
        match consumer.poll(CALL_LIMIT) {
            Some(Ok(_)) => count += 1,
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(count),
            Some(Err(error)) => return Err(error.into()),
            None => bail!("{topic}: no end within {} s", CALL_LIMIT.as_secs()),
        }
    }
}

/// Reads a topic with a bounded statement and with an unbounded one, and checks count, end and pending records of both.
fn check_reads(kafka: &KafkaTools, topic: &str, expected: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut weir = Weir::up(folder.path(), &["--kafka", &kafka.bootstrap])?;
    let bounded = format!("{topic}-bounded");
    let unbounded = format!("{topic}-unbounded");
    kafka.create_topic(&bounded, 1, &[])?;
    kafka.create_topic(&unbounded, 1, &[])?;
    let table = |name: &str, topic: &str, more: &str| {
        format!(
            "CREATE TABLE {name} (k BIGINT, v BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}', \
             'properties.bootstrap.servers' = '{}', 'format' = 'json'{more});\n",
            kafka.bootstrap
        )
    };
    let start = ", 'scan.startup.mode' = 'earliest-offset'";
    let end = ", 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";
    weir.sql(
        &[
            table("bounded_source", topic, end),
            table("bounded_sink", &bounded, ""),
            "INSERT INTO bounded_sink SELECT k, v FROM bounded_source;".to_owned(),
        ]
        .concat(),
    )?;
    weir.wait_completed(BOUNDED_SECONDS_MAX)?;
    let written = readable(kafka, &bounded)?;
    ensure!(
        written == expected,
        "{topic}: the bounded read gave {written} records instead of {expected}"
    );

    weir.sql(
        &[
            table("endless_source", topic, start),
            table("endless_sink", &unbounded, ""),
            "INSERT INTO endless_sink SELECT k, v FROM endless_source;".to_owned(),
        ]
        .concat(),
    )?;
    wait_for("the unbounded read", BOUNDED_SECONDS_MAX, || {
        Ok((readable(kafka, &unbounded)? == expected).then_some(()))
    })?;
    let export = weir.export_path()?;
    wait_for("pending records 0", BOUNDED_SECONDS_MAX, || {
        let text = http_get(&weir.address, &export)?;
        Ok((pending_records(&text, "endless_source")? == Some(0.0)).then_some(()))
    })
}

/// The pending records of a table in the text of the export endpoint; absent when there is no such series.
fn pending_records(text: &str, table: &str) -> Result<Option<f64>> {
    let Some(line) = text
        .lines()
        .find(|line| line.starts_with("confluent_flink_pending_records{") && line.contains(table))
    else {
        return Ok(None);
    };
    let (_, rest) = line.rsplit_once('}').context("no end of labels")?;
    let value = rest.split_whitespace().next().context("no value")?;
    Ok(Some(value.parse()?))
}

#[test]
fn a_topic_that_ends_in_an_abort_marker_ends() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let topic = &KafkaTools::topic("aborted");
    kafka.create_topic(topic, 1, &[])?;
    let producer = producer(&kafka, Some(topic))?;
    producer.init_transactions(CALL_LIMIT)?;
    producer.begin_transaction()?;
    write(&producer, topic, 0..100, FIRST_MS)?;
    producer.commit_transaction(CALL_LIMIT)?;
    producer.begin_transaction()?;
    write(&producer, topic, 100..150, FIRST_MS)?;
    producer.abort_transaction(CALL_LIMIT)?;

    // 100 records, a commit marker, 50 records and an abort marker.
    assert_eq!(kafka.end_offsets(topic)?, 152);
    assert_eq!(readable(&kafka, topic)?, 100);
    check_reads(&kafka, topic, 100)
}

#[test]
fn a_compacted_topic_ends() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let topic = &KafkaTools::topic("compacted");
    kafka.create_topic(
        topic,
        1,
        &[
            "cleanup.policy=compact",
            "min.cleanable.dirty.ratio=0.01",
            "segment.ms=1000",
        ],
    )?;
    let producer = producer(&kafka, None)?;
    // The broker closes a segment when a record's time is past it, and only closed segments are compacted.
    write(&producer, topic, (0..1000).map(|n| n % 10), FIRST_MS)?;
    write(&producer, topic, 0..10, FIRST_MS + 10_000)?;
    write(&producer, topic, 0..1, FIRST_MS + 20_000)?;
    assert_eq!(kafka.end_offsets(topic)?, 1011);
    let left = wait_for("compaction", COMPACTION_SECONDS_MAX, || {
        let count = readable(&kafka, topic)?;
        Ok((count < 1011).then_some(count))
    })?;
    ensure!(left >= 10, "every key is there: {left}");
    check_reads(&kafka, topic, left)
}

#[test]
fn pending_records_are_read_from_the_text() -> Result<()> {
    let text =
        "confluent_flink_pending_records{a=\"b\",table_name=\"x.y.t\",} 12.0 1700000000000\n";
    assert_eq!(pending_records(text, "t")?, Some(12.0));
    assert_eq!(pending_records(text, "other")?, None);
    Ok(())
}
