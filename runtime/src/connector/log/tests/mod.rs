//! Tests of the log through its public interface, and of the files it leaves on disk: what they share.

mod compaction;
mod disk_full;
mod fire;
mod forged;
mod format;
mod journal;
mod source;
mod store;
mod suite;
mod transactions;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::record_batch::{Encoded, Header};
use super::segment_name::SegmentName;
use super::store::Target;
use super::*;
use crate::connector::options::{BoundedMode, ScanOptions, StartupMode};
use crate::connector::partitioner::partition_of;
use crate::connector::sink::{EncodedBatch, Sink, WriterContext};
use crate::connector::source::{
    Poll, Range, RawBatch, ReaderContext, Source, SourceReader, SplitPosition,
};
use crate::error::{Code, Kind};
use crate::task::Waker;
use crate::time::SystemClock;

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp_ms: i64,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Owned {
    fn value(text: &str, timestamp_ms: i64) -> Self {
        Self {
            key: None,
            value: Some(text.into()),
            timestamp_ms,
            headers: Vec::new(),
        }
    }
}

/// Lends records to `use_records`.
fn with_records<T>(owned: &[Owned], use_records: impl FnOnce(&[Record<'_>]) -> T) -> T {
    let headers: Vec<Vec<_>> = owned
        .iter()
        .map(|record| {
            let pairs = record.headers.iter();
            pairs
                .map(|(key, value)| (key.as_slice(), value.as_deref()))
                .collect()
        })
        .collect();
    let records: Vec<_> = owned
        .iter()
        .zip(&headers)
        .map(|(record, headers)| Record {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            timestamp_ms: record.timestamp_ms,
            headers,
        })
        .collect();
    use_records(&records)
}

/// Rows of a raw batch as owned records with their offsets.
fn owned_rows(batch: &RawBatch) -> Vec<(i64, Owned)> {
    let bytes = |range: Range| range.of(&batch.buffer).to_vec();
    (0..batch.rows())
        .map(|row| {
            let headers = batch.headers.get(row).cloned().unwrap_or_default();
            let record = Owned {
                key: batch.key(row).map(<[u8]>::to_vec),
                value: batch.value(row).map(<[u8]>::to_vec),
                timestamp_ms: batch.timestamps_ms[row],
                headers: headers
                    .into_iter()
                    .map(|(key, value)| (bytes(key), value.map(bytes)))
                    .collect(),
            };
            (batch.offsets[row], record)
        })
        .collect()
}

/// Small segments and no fsync, so that tests meet many segments quickly.
fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 2000,
        fsync: FsyncPolicy::Never,
        delete_retention: Duration::from_secs(10),
    }
}

fn open(dir: &TempDir) -> Arc<LogStore> {
    LogStore::open(dir.path(), small(), SystemClock::shared()).unwrap()
}

fn config(partitions: u32) -> TopicConfig {
    TopicConfig {
        partitions,
        retention_ms: None,
        compacted: false,
    }
}

/// Appends one batch of values `prefix0`, `prefix1`, ... and returns its base offset.
fn append(store: &LogStore, partition: u32, prefix: &str, count: usize) -> i64 {
    let records: Vec<_> = (0..count)
        .map(|i| Owned::value(&format!("{prefix}{i}"), 1000))
        .collect();
    with_records(&records, |records| {
        store.append("t", partition, records).unwrap()
    })
}

/// All values of a partition from an offset on, read with small limits.
fn read_all(store: &LogStore, partition: u32, from: i64) -> crate::Result<Vec<(i64, String)>> {
    let mut rows = Vec::new();
    let mut offset = from;
    loop {
        let batch = store.read("t", partition, offset, 500, 7)?;
        let Some(last) = batch.offsets.last() else {
            return Ok(rows);
        };
        offset = last + 1;
        for (offset, record) in owned_rows(&batch) {
            rows.push((offset, String::from_utf8(record.value.unwrap()).unwrap()));
        }
    }
}

/// The segment files of a partition, ascending.
fn segments(dir: &TempDir, partition: u32) -> Vec<PathBuf> {
    let dir = dir.path().join("t").join(partition.to_string());
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

fn scan(startup: StartupMode, bounded: BoundedMode) -> ScanOptions {
    ScanOptions { startup, bounded }
}

fn reader_of(
    source: &LogSource,
    subtask_index: usize,
    parallelism: usize,
    restored: Option<Vec<SplitPosition>>,
) -> (Box<dyn SourceReader>, Waker) {
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
    (reader, waker)
}

/// Polls until nothing comes and returns `(partition, offset, value)` of each row and whether the input has ended.
fn poll_all(reader: &mut dyn SourceReader) -> (Vec<(i32, i64, String)>, bool) {
    let mut rows = Vec::new();
    loop {
        match reader.poll(5).unwrap() {
            Poll::Raw(batch) => {
                assert!(batch.rows() <= 5);
                let partition = reader.splits()[batch.split].partition;
                for (offset, record) in owned_rows(&batch) {
                    let value = String::from_utf8(record.value.unwrap()).unwrap();
                    rows.push((partition, offset, value));
                }
            }
            Poll::SplitFinished { .. } => {}
            Poll::Pending | Poll::Later(_) => return (rows, false),
            Poll::EndOfInput => return (rows, true),
            Poll::Rows { .. } => panic!("a log has undecoded records"),
        }
    }
}

/// An encoded batch of `(key, value)` texts.
fn encoded(rows: &[(Option<&str>, Option<&str>)]) -> EncodedBatch {
    let mut batch = EncodedBatch::default();
    for (key, value) in rows {
        let mut push = |text: &str| {
            let start = u32::try_from(batch.buffer.len()).unwrap();
            batch.buffer.extend_from_slice(text.as_bytes());
            let len = u32::try_from(text.len()).unwrap();
            Range { start, len }
        };
        let key = key.map(&mut push);
        let value = value.map(&mut push);
        batch.keys.push(key);
        batch.values.push(value);
    }
    batch
}
