//! Where the topics of a run are.
//!
//! Place in the flow: the same statements run over Kafka and over the embedded log; what differs is here. Invariant: what is read is
//! everything that is committed, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::statements::{SOURCE_PARTITIONS, Topic};
use crate::harness::{KafkaTools, Weir, http_post, wait_for};

/// Records of one request to the records API: about a megabyte, a sixteenth of what the server takes.
const RECORDS_PER_REQUEST: usize = 4000;

/// How long a full queue is left to drain before another look.
const QUEUE_WAIT: Duration = Duration::from_millis(10);

/// How long a call to the broker may take: seconds for a million queued records; the rest is for a loaded machine.
const CALL_LIMIT: Duration = Duration::from_mins(1);

/// Longest time from a commit to its markers (guess; they take milliseconds on an idle machine).
const MARKERS_SECONDS_MAX: u64 = 60;

/// The error table, and the beginning of its name in a Kafka cluster that several runs share.
const ERRORS: &str = "order_errors";

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Statements read it from its beginning.
    Source,
    /// Rows are appended to it.
    Append,
    /// It has a primary key, and the last row of each key counts.
    Upsert,
}

/// A row as a reader of committed records sees it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Whether it takes the row away.
    pub(crate) is_removal: bool,
    /// The columns; only those of the key when it takes the row away.
    pub(crate) row: Value,
}

/// A dead letter: the statement that read the record, and the record's value.
pub(crate) type DeadLetter = (String, String);

/// Where topics are.
pub(crate) trait Place: Sync {
    /// What `weir up` is told.
    fn options(&self) -> Vec<&str>;

    /// Whether records can be written while the server is down.
    fn outlives_server(&self) -> bool;

    /// Makes topics that must be there before their tables.
    ///
    /// # Errors
    /// When it cannot.
    fn prepare(&self, topics: &[&Topic]) -> Result<()>;

    /// What follows a table's columns; `more` are options that do not depend on the place.
    fn clauses(&self, topic: &Topic, more: &str) -> String;

    /// The error table's name.
    fn errors(&self) -> String;

    /// Appends each line of a file as a record without a key.
    ///
    /// # Errors
    /// When one is not taken.
    fn produce(&self, weir: &Weir, topic: &Topic, lines: &Path) -> Result<()>;

    /// Every committed change of a table, those of one key in their order.
    ///
    /// # Errors
    /// When it cannot be read, or a record is not a row.
    fn read(&self, weir: &Weir, topic: &Topic) -> Result<Vec<Change>>;

    /// Every committed dead letter.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn dead_letters(&self, weir: &Weir) -> Result<Vec<DeadLetter>>;
}

/// Topics of a Kafka cluster, made with Kafka's tools. They are written and read with librdkafka: the console producer takes longer to start
/// than to write, and the console consumer takes a pause for the end.
#[derive(Debug)]
pub(crate) struct Kafka {
    /// The tools.
    tools: KafkaTools,
    /// What the names of the topics end in.
    suffix: String,
}

impl Kafka {
    /// Topics of one run, told from those of others by a word.
    pub(crate) fn new(tools: KafkaTools, run: &str) -> Self {
        Self {
            tools,
            suffix: KafkaTools::topic(run),
        }
    }

    /// A topic's name in the cluster.
    pub(crate) fn name(&self, topic: &Topic) -> String {
        format!("{}-{}", topic.table, self.suffix)
    }

    /// A consumer that commits nothing.
    fn consumer(&self, topic: &str, isolation: &str) -> Result<BaseConsumer> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &self.tools.bootstrap)
            .set("group.id", topic)
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?;
        Ok(consumer)
    }

    /// Waits until no transaction is open on a topic. A commit is answered when the coordinator has noted it; its markers follow, and
    /// until then readers of committed records see the end before it.
    fn await_stable(&self, topic: &str, committed: &BaseConsumer, partitions: usize) -> Result<()> {
        let all = self.consumer(topic, "read_uncommitted")?;
        let what = format!("the transactions on {topic} to end");
        wait_for(&what, MARKERS_SECONDS_MAX, || {
            for partition in 0..i32::try_from(partitions)? {
                let (_, stable) = committed.fetch_watermarks(topic, partition, CALL_LIMIT)?;
                let (_, end) = all.fetch_watermarks(topic, partition, CALL_LIMIT)?;
                if stable < end {
                    eprintln!("{topic}-{partition}: stable up to {stable} of {end}");
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// Key and value of every committed record of a topic; `null` for those that are absent.
    fn records(&self, topic: &str) -> Result<Vec<(String, String)>> {
        let consumer = self.consumer(topic, "read_committed")?;
        let metadata = consumer.fetch_metadata(Some(topic), CALL_LIMIT)?;
        let partitions = metadata.topics().first().context("no metadata")?;
        let mut assigned = TopicPartitionList::new();
        for partition in partitions.partitions() {
            assigned.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
        self.await_stable(topic, &consumer, assigned.count())?;
        consumer.assign(&assigned)?;
        let mut ends = BTreeSet::new();
        let mut records = Vec::new();
        while ends.len() < assigned.count() {
            let polled = consumer.poll(CALL_LIMIT).context("the broker is silent")?;
            match polled {
                Ok(message) => {
                    let part =
                        |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or(b"null").to_vec());
                    records.push((part(message.key())?, part(message.payload())?));
                }
                Err(KafkaError::PartitionEOF(partition)) => drop(ends.insert(partition)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(records)
    }
}

impl Place for Kafka {
    fn options(&self) -> Vec<&str> {
        vec!["--kafka", &self.tools.bootstrap]
    }

    fn outlives_server(&self) -> bool {
        true
    }

    fn prepare(&self, topics: &[&Topic]) -> Result<()> {
        // Each call is a JVM, most of whose time is its start.
        thread::scope(|scope| {
            let calls: Vec<_> = topics
                .iter()
                .map(|topic| {
                    let name = self.name(topic);
                    scope.spawn(move || self.tools.create_topic(&name, topic.partitions, &[]))
                })
                .collect();
            calls
                .into_iter()
                .try_for_each(|call| call.join().unwrap_or_else(|_| bail!("a call panicked")))
        })
    }

    fn clauses(&self, topic: &Topic, more: &str) -> String {
        let formats = match topic.role {
            Role::Source | Role::Append => "'connector' = 'kafka', 'format' = 'json'",
            Role::Upsert => {
                "'connector' = 'upsert-kafka', 'key.format' = 'json', 'value.format' = 'json'"
            }
        };
        format!(
            "WITH ('topic' = '{}', 'properties.bootstrap.servers' = '{}', {formats}{more})",
            self.name(topic),
            self.tools.bootstrap
        )
    }

    fn errors(&self) -> String {
        format!("{ERRORS}-{}", self.suffix)
    }

    fn produce(&self, _weir: &Weir, topic: &Topic, lines: &Path) -> Result<()> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.tools.bootstrap)
            .set("enable.idempotence", "true")
            .set("sticky.partitioning.linger.ms", "0")
            .create()?;
        let name = self.name(topic);
        for line in fs::read_to_string(lines)?.lines() {
            let mut record = BaseRecord::<(), str>::to(&name).payload(line);
            while let Err((error, refused)) = producer.send(record) {
                ensure!(
                    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull),
                    "{error}"
                );
                record = refused;
                producer.poll(QUEUE_WAIT);
            }
        }
        producer.flush(CALL_LIMIT)?;
        Ok(())
    }

    fn read(&self, _weir: &Weir, topic: &Topic) -> Result<Vec<Change>> {
        let records = self.records(&self.name(topic))?;
        records
            .iter()
            .map(|(key, value)| change(topic.role, key, value))
            .collect()
    }

    fn dead_letters(&self, _weir: &Weir) -> Result<Vec<DeadLetter>> {
        let records = self.records(&self.errors())?;
        records
            .iter()
            .map(|(_, text)| {
                let row: Value = serde_json::from_str(text).with_context(|| text.clone())?;
                let statement = row["statement_name"].as_str().context("no statement")?;
                let value = row["source_record"]["value"]
                    .as_str()
                    .context("no value of the source record")?;
                let value = String::from_utf8(STANDARD.decode(value)?)?;
                Ok((statement.to_owned(), value))
            })
            .collect()
    }
}

/// What a record of Kafka says; the value of a tombstone is `null`.
fn change(role: Role, key: &str, value: &str) -> Result<Change> {
    if role == Role::Append {
        let row = serde_json::from_str(value).with_context(|| value.to_owned())?;
        return Ok(Change {
            is_removal: false,
            row,
        });
    }
    let key: Value = serde_json::from_str(key).with_context(|| key.to_owned())?;
    if value == "null" {
        return Ok(Change {
            is_removal: true,
            row: key,
        });
    }
    let row: Value = serde_json::from_str(value).with_context(|| value.to_owned())?;
    for (name, part) in key.as_object().context("a key that is no object")? {
        ensure!(row[name] == *part, "key and value disagree: {key}, {row}");
    }
    Ok(Change {
        is_removal: false,
        row,
    })
}

/// Topics of the embedded log, written through the records API and read with SQL.
#[derive(Debug)]
pub(crate) struct EmbeddedLog;

/// A value of text, as the records API takes it.
pub(crate) fn text(value: &str) -> Value {
    json!({ "type": "STRING", "data": value })
}

/// A value of bytes, as the records API takes it.
pub(crate) fn binary(value: &[u8]) -> Value {
    json!({ "type": "BINARY", "data": STANDARD.encode(value) })
}

impl EmbeddedLog {
    /// Appends values as records without a key, to the partitions of a source in turn.
    ///
    /// # Errors
    /// When one is not taken.
    pub(crate) fn append(
        weir: &Weir,
        topic: &str,
        values: impl Iterator<Item = Value>,
    ) -> Result<()> {
        let records: Vec<String> = values
            .zip((0..SOURCE_PARTITIONS).cycle())
            .map(|(value, partition)| {
                json!({ "partition_id": partition, "value": value }).to_string()
            })
            .collect();
        let path = format!("/kafka/v3/clusters/local/topics/{topic}/records");
        for part in records.chunks(RECORDS_PER_REQUEST) {
            http_post(&weir.address, &path, &part.join("\n"))?;
        }
        Ok(())
    }

    /// What a query gives of the records that are there now, one by one.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub(crate) fn select(weir: &Weir, columns: &str, table: &str) -> Result<Vec<Value>> {
        weir.query(&format!(
            "SELECT {columns} FROM {table} \
             /*+ OPTIONS('scan.bounded.mode' = 'latest-offset', 'changelog.mode' = 'append') */"
        ))
    }
}

impl Place for EmbeddedLog {
    fn options(&self) -> Vec<&str> {
        Vec::new()
    }

    fn outlives_server(&self) -> bool {
        false
    }

    fn prepare(&self, _topics: &[&Topic]) -> Result<()> {
        // Tables make their topics.
        Ok(())
    }

    fn clauses(&self, topic: &Topic, more: &str) -> String {
        let formats = match topic.role {
            Role::Source | Role::Append => "'value.format' = 'json'",
            Role::Upsert => "'key.format' = 'json', 'value.format' = 'json'",
        };
        let partitions = topic.partitions;
        format!("DISTRIBUTED INTO {partitions} BUCKETS WITH ({formats}{more})")
    }

    fn errors(&self) -> String {
        ERRORS.to_owned()
    }

    fn produce(&self, weir: &Weir, topic: &Topic, lines: &Path) -> Result<()> {
        let lines = fs::read_to_string(lines)?;
        Self::append(weir, topic.table, lines.lines().map(text))
    }

    fn read(&self, weir: &Weir, topic: &Topic) -> Result<Vec<Change>> {
        let rows = Self::select(weir, "*", topic.table)?.into_iter();
        // No row of these statements is ever taken away.
        let written = rows.map(|row| Change {
            is_removal: false,
            row,
        });
        Ok(written.collect())
    }

    fn dead_letters(&self, weir: &Weir) -> Result<Vec<DeadLetter>> {
        let columns = "statement_name, CAST(source_record.`value` AS STRING) AS letter";
        Self::select(weir, columns, ERRORS)?
            .iter()
            .map(|row| {
                let column = |name: &str| row[name].as_str().map(str::to_owned);
                column("statement_name")
                    .zip(column("letter"))
                    .with_context(|| row.to_string())
            })
            .collect()
    }
}
