//! What the simulated processes run: a count and a sum per key, from one topic into another, and dead letters into a third.
//!
//! Place in the flow: the world writes the input, processes deploy the plan, the world compares the output. Invariant: a key's input is in
//! one partition and a batch has a key once, so that the changes of a key are the same in every run, whatever the parallelism.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::store::testing::FaultyObjects;
use crate::checkpoint::store::{
    CheckpointStore, CompactionLimits, Components, Location, Options, TransferOptions,
};
use crate::connector::kafka::model::{Brokers, Stored};
use crate::dlq::error_log_columns;
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Column, Exchange, Input, LateRows, Node,
    NodeId, Operator, PLAN_VERSION, ReadColumn, Scan, SinkSpec, SinkTarget, StreamPlan,
};
use crate::sql::catalog::{ColumnKind, ObjectName, TableColumn, TableDef};
use crate::task::job::{Checkpoints, JobConfig, JobSpec, StartFrom};
use crate::types::TypeKind;

/// The topic that is read.
const INPUT: &str = "input";

/// The topic that is written.
const OUTPUT: &str = "output";

/// The topic of what does not decode.
const ERRORS: &str = "error_log";

/// Of so many records one does not decode.
const POISON: u64 = 7;

/// Longest checkpoint. With the interval and ten seconds it is how long a transaction may be open, which sleeps exceed.
pub(super) const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(20);

/// The changes of every key, in order.
pub(super) type Changes = BTreeMap<String, Vec<String>>;

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Records in the input.
    pub(super) records: u64,
    /// Their keys.
    pub(super) keys: u64,
    /// Partitions of the input.
    pub(super) input_partitions: u64,
    /// Partitions of the output.
    pub(super) output_partitions: usize,
}

impl Size {
    /// Makes both topics and writes the input.
    pub(super) fn write(self, brokers: &mut Brokers) {
        let partitions = usize::try_from(self.input_partitions).unwrap_or(1);
        brokers.create_topic(INPUT, partitions);
        brokers.create_topic(OUTPUT, self.output_partitions);
        brokers.create_topic(ERRORS, self.output_partitions);
        for number in 0..self.records {
            let key = number % self.keys;
            let partition = i32::try_from(key % self.input_partitions).unwrap_or_default();
            let record = Stored {
                key: Some(key.to_string().into_bytes()),
                value: Some(if is_poison(number) {
                    b"poison".to_vec()
                } else {
                    format!("{{\"k\":{key},\"v\":{number}}}").into_bytes()
                }),
            };
            brokers.append(INPUT, partition, record);
        }
    }

    /// What must come out.
    pub(super) fn expected(self) -> Changes {
        let mut changes = Changes::new();
        let mut sums: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut offsets: BTreeMap<u64, u64> = BTreeMap::new();
        for number in 0..self.records {
            let key = number % self.keys;
            let partition = key % self.input_partitions;
            let offset = offsets.entry(partition).or_default();
            *offset += 1;
            if is_poison(number) {
                let place = format!("\"partition\":{partition},\"offset\":{}", *offset - 1);
                changes.entry(place).or_default().push(ERRORS.to_owned());
                continue;
            }
            let (count, sum) = sums.entry(key).or_default();
            *count += 1;
            *sum += number;
            changes
                .entry(format!("{{\"k\":{key}}}"))
                .or_default()
                .push(format!("{{\"k\":{key},\"c\":{count},\"s\":{sum}}}"));
        }
        changes
    }

    /// What has come out.
    pub(super) fn found(self, brokers: &Brokers) -> Changes {
        let mut changes = Changes::new();
        let text = |bytes: Option<Vec<u8>>| {
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        for partition in 0..self.output_partitions {
            let (records, _) = brokers.committed(OUTPUT, partition, 0);
            for (_, record) in records {
                changes
                    .entry(text(record.key))
                    .or_default()
                    .push(text(record.value));
            }
            let (letters, _) = brokers.committed(ERRORS, partition, 0);
            for (_, letter) in letters {
                changes
                    .entry(place_of(&text(letter.value)))
                    .or_default()
                    .push(ERRORS.to_owned());
            }
        }
        changes
    }
}

/// Whether a record does not decode.
fn is_poison(number: u64) -> bool {
    number % POISON == POISON - 1
}

/// Where the record of a dead letter was, which names it.
fn place_of(letter: &str) -> String {
    let place = letter.split_once("\"partition\":").and_then(|(_, rest)| {
        let (place, _) = rest.split_once(",\"timestamp\"")?;
        Some(format!("\"partition\":{place}"))
    });
    place.unwrap_or_else(|| letter.to_owned())
}

/// The table of what does not decode.
pub(super) fn error_table() -> TableDef {
    TableDef {
        columns: error_log_columns(),
        ..table(ERRORS, &[], &[("connector", "kafka")])
    }
}

/// A table of columns that are all `BIGINT`.
fn table(topic: &str, columns: &[&str], options: &[(&str, &str)]) -> TableDef {
    let columns = columns.iter().map(|name| TableColumn {
        name: (*name).to_owned(),
        ty: TypeKind::BigInt.nullable(),
        kind: ColumnKind::Physical,
        comment: None,
    });
    let common = [
        ("properties.bootstrap.servers", "model:9092"),
        ("topic", topic),
        ("value.format", "json"),
    ];
    TableDef {
        name: ObjectName {
            catalog: "default".to_owned(),
            database: "cluster_0".to_owned(),
            name: topic.to_owned(),
        },
        columns: columns.collect(),
        watermark: None,
        primary_key: Vec::new(),
        distributed_by: Vec::new(),
        buckets: None,
        options: common
            .iter()
            .chain(options)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        comment: None,
    }
}

/// Columns of a schema.
fn schema(names: &[&str]) -> Vec<Column> {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        ty: TypeKind::BigInt.nullable(),
    };
    names.iter().map(column).collect()
}

/// A node after the one before it.
fn node(id: u32, operator: Operator, exchange: Option<Exchange>, names: &[&str]) -> Node {
    let inputs = exchange.map(|exchange| Input {
        node: NodeId(id - 1),
        exchange,
    });
    Node {
        id: NodeId(id),
        operator,
        inputs: inputs.into_iter().collect(),
        schema: schema(names),
        changelog: match id {
            1 => ChangelogMode::Append,
            2 => ChangelogMode::Retract,
            _ => ChangelogMode::Upsert,
        },
        upsert_key: None,
        rowtime: None,
        state_ttls_ms: Vec::new(),
    }
}

/// `INSERT INTO output SELECT k, COUNT(*) AS c, SUM(v) AS s FROM input GROUP BY k`.
fn plan() -> StreamPlan {
    let read = |name: &str| ReadColumn {
        name: name.to_owned(),
        ty: TypeKind::BigInt.nullable(),
        metadata: None,
    };
    let call = |function, argument| AggregateCall {
        function,
        argument,
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty: TypeKind::BigInt.nullable(),
    };
    let scan = Scan {
        table: table(
            INPUT,
            &["k", "v"],
            &[("connector", "kafka"), ("error-handling.mode", "log")],
        ),
        read: vec![read("k"), read("v")],
        projections: None,
        watermark: None,
        late: LateRows::default(),
    };
    let mut target = table(
        OUTPUT,
        &["k", "c", "s"],
        &[("connector", "upsert-kafka"), ("key.format", "json")],
    );
    target.primary_key = vec!["k".to_owned()];
    let sink = SinkSpec {
        target: SinkTarget::Table(target),
        columns: schema(&["k", "c", "s"]),
        primary_key: vec![0],
        changelog: ChangelogMode::Upsert,
        upsert_materialize: false,
        on_conflict: None,
    };
    let aggregate = Operator::GroupAggregate {
        keys: vec![0],
        aggregates: vec![
            call(AggregateFunction::Count, None),
            call(AggregateFunction::Sum, Some(1)),
        ],
    };
    StreamPlan {
        version: PLAN_VERSION,
        nodes: vec![
            node(1, Operator::TableSourceScan(scan), None, &["k", "v"]),
            node(
                2,
                aggregate,
                Some(Exchange::Hash(vec![0])),
                &["k", "c", "s"],
            ),
            node(
                3,
                Operator::Sink(sink),
                Some(Exchange::Forward),
                &["k", "c", "s"],
            ),
        ],
        time_zone: "UTC".to_owned(),
    }
}

/// The job of a process.
pub(super) fn spec(
    parallelism: usize,
    interval: Duration,
    objects: Arc<FaultyObjects>,
    components: Components,
) -> JobSpec {
    let options = Options {
        transfer: TransferOptions {
            // On the calling thread.
            parallelism: 1,
            ..TransferOptions::default()
        },
        ..Options::default()
    };
    let location = Location::parse("s3://simulated/statement").expect("a fixed text");
    let store = CheckpointStore::over(objects, &location, &options, components);
    JobSpec {
        statement_name: "simulated".to_owned(),
        statement_uid: "uid".to_owned(),
        plan: plan(),
        parallelism,
        checkpoints: Some(Checkpoints {
            store: Arc::new(store),
            run: "run".to_owned(),
            start_from: StartFrom::Committed,
        }),
        config: JobConfig {
            checkpoint_interval: interval,
            checkpoint_timeout: CHECKPOINT_TIMEOUT,
            tolerable_failed_checkpoints: 2,
            // Few, so that merges happen in runs that are as short as these.
            compaction: CompactionLimits {
                chain_slices_max: 3,
                chain_slices_early: 2,
                ..CompactionLimits::default()
            },
            // Some batches, so that queues fill up.
            exchange_queue_bytes: 1_000,
            ..JobConfig::default()
        },
    }
}
