//! Tests of the log through its public interface, and of the files it leaves on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::record_batch::{Encoded, HEADER_BYTES, Header, RecordReader, Wanted};
use super::segment::base_offset_of;
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

/// The checksum bit by bit, as its definition has it.
fn crc32c_plain(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

/// A decoder of one record batch written straight from the format's description.
struct Plain<'a> {
    bytes: &'a [u8],
}

impl Plain<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_at(N);
        self.bytes = rest;
        head.try_into().unwrap()
    }

    fn varint(&mut self) -> i64 {
        let mut value = 0_u64;
        for i in 0.. {
            let [byte] = self.take::<1>();
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                break;
            }
        }
        (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
    }

    fn field(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.varint()).ok()?;
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Some(head.to_vec())
    }

    /// Decodes one batch and moves behind it.
    fn batch(&mut self) -> Vec<(i64, Owned)> {
        let base_offset = i64::from_be_bytes(self.take());
        let length = usize::try_from(i32::from_be_bytes(self.take())).unwrap();
        let rest = self.bytes.split_at(length).1;
        assert_eq!(self.take::<4>(), [0; 4]);
        assert_eq!(self.take::<1>(), [2]);
        let crc = u32::from_be_bytes(self.take());
        assert_eq!(crc, crc32c_plain(&self.bytes[..length - 9]));
        assert_eq!(self.take::<2>(), [0; 2]);
        let last_delta = i32::from_be_bytes(self.take());
        let base_ms = i64::from_be_bytes(self.take());
        let max_ms = i64::from_be_bytes(self.take());
        assert_eq!(self.take::<14>(), [0xff; 14]);
        let count = i32::from_be_bytes(self.take());
        assert_eq!(count, last_delta + 1);
        let records: Vec<_> = (0..count)
            .map(|_| {
                let length = usize::try_from(self.varint()).unwrap();
                let left = self.bytes.len();
                assert_eq!(self.take::<1>(), [0]);
                let timestamp_ms = base_ms.wrapping_add(self.varint());
                let offset = base_offset + self.varint();
                let key = self.field();
                let value = self.field();
                let headers = (0..self.varint())
                    .map(|_| (self.field().unwrap(), self.field()))
                    .collect();
                assert_eq!(left - self.bytes.len(), length);
                let record = Owned {
                    key,
                    value,
                    timestamp_ms,
                    headers,
                };
                (offset, record)
            })
            .collect();
        assert_eq!(
            records.iter().map(|(_, record)| record.timestamp_ms).max(),
            Some(max_ms)
        );
        assert_eq!(self.bytes.len(), rest.len());
        records
    }
}

/// Optional bytes: absent, empty or some.
fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
}

fn record() -> impl Strategy<Value = Owned> {
    let headers = proptest::collection::vec(
        (proptest::collection::vec(any::<u8>(), 0..8), bytes()),
        0..3,
    );
    let timestamp = prop_oneof![any::<i64>(), 1_700_000_000_000..1_700_000_100_000_i64];
    (bytes(), bytes(), timestamp, headers).prop_map(|(key, value, timestamp_ms, headers)| Owned {
        key,
        value,
        timestamp_ms,
        headers,
    })
}

/// Decodes everything with the decoder under test, pausing after `rows_max` records each.
fn decode(bytes: &[u8], rows_max: usize) -> Result<Vec<(i64, Owned)>, &'static str> {
    let mut rows = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header = Header::parse(&bytes[at..])?;
        header.verify(bytes.get(at..at + header.bytes).ok_or("cut off")?)?;
        let mut reader = RecordReader::new(header, at);
        let mut from = header.base_offset;
        while !reader.is_done() {
            let mut out = RawBatch::default();
            let wanted = Wanted {
                from,
                until: i64::MAX,
                rows_max,
            };
            from = reader.decode(bytes, wanted, &mut out)?;
            out.buffer = bytes::Bytes::copy_from_slice(bytes);
            rows.extend(owned_rows(&out));
        }
        at += header.bytes;
    }
    Ok(rows)
}

proptest! {
    #[test]
    fn both_decoders_give_what_was_encoded(
        records in proptest::collection::vec(record(), 1..60),
        base_offset in 0..i64::from(u32::MAX),
        rows_max in 1..20_usize,
    ) {
        let mut encoded = Encoded::default();
        with_records(&records, |records| encoded.extend(records.iter().copied())).unwrap();
        encoded.set_base_offset(base_offset);
        let expected: Vec<_> = (base_offset..).zip(records).collect();
        let mut plain = Plain { bytes: &encoded.buffer };
        let mut by_plain = Vec::new();
        while !plain.bytes.is_empty() {
            by_plain.extend(plain.batch());
        }
        prop_assert_eq!(&by_plain, &expected);
        prop_assert_eq!(&decode(&encoded.buffer, rows_max).unwrap(), &expected);
    }

    #[test]
    fn arbitrary_records_with_a_right_checksum_never_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        count in 1..40_i32,
    ) {
        let mut encoded = Encoded::default();
        encoded.extend(std::iter::once(Record::default())).unwrap();
        let mut bytes = encoded.buffer;
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&body);
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        if let Ok(rows) = decode(&bytes, 1000) {
            prop_assert_eq!(i32::try_from(rows.len()).unwrap(), count);
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error(at in 0..200_usize, bit in 0..8_u32) {
        let mut encoded = Encoded::default();
        let value = Owned::value(&"v".repeat(132), 7);
        with_records(&[value], |records| encoded.extend(records.iter().copied())).unwrap();
        let mut bytes = encoded.buffer;
        let at = at % bytes.len();
        // The base offset is not covered by the checksum; the reader compares it with the offset it expects.
        prop_assume!(at >= 8);
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes, 1000).is_err());
    }
}

/// The bytes were computed by hand from the format's description, with a checksum of another implementation.
#[test]
fn a_batch_has_the_bytes_of_the_specification() {
    assert_eq!(crc32c_plain(b"123456789"), 0xe306_9283);
    let expected = concat!(
        "000000000000002900000056000000000259d700aa",
        "0000000000020000018bcfe568000000018bcfe568c8ffffffffffffffffffffffffffff00000003",
        "18000000026b0a68656c6c6f00",
        "1c000902010004046f700203026e01",
        "100090030402640100",
    );
    let base_ms = 1_700_000_000_000;
    let records = [
        Owned {
            key: Some(b"k".to_vec()),
            ..Owned::value("hello", base_ms)
        },
        Owned {
            headers: vec![(b"op".to_vec(), Some(vec![3])), (b"n".to_vec(), None)],
            ..Owned::value("", base_ms - 5)
        },
        Owned {
            key: Some(b"d".to_vec()),
            value: None,
            timestamp_ms: base_ms + 200,
            headers: Vec::new(),
        },
    ];
    let mut encoded = Encoded::default();
    with_records(&records, |records| encoded.extend(records.iter().copied())).unwrap();
    encoded.set_base_offset(41);
    let bytes: Vec<u8> = (0..expected.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&expected[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(encoded.buffer, bytes);
}

#[test]
fn records_come_back_in_order_over_many_segments_and_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(2)).unwrap();
    let mut expected = Vec::new();
    for batch in 0..40 {
        let base = append(&store, 0, &format!("{batch}-"), 10);
        assert_eq!(base, batch * 10);
        expected.extend((0..10).map(|i| (base + i, format!("{batch}-{i}"))));
    }
    assert!(segments(&dir, 0).len() > 3);
    assert_eq!(read_all(&store, 0, 0).unwrap(), expected);
    assert_eq!(read_all(&store, 0, 123).unwrap(), expected[123..]);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.end_offset("t", 0).unwrap(), 400);
    assert_eq!(store.end_offset("t", 1).unwrap(), 0);
    for from in [0, 1, 9, 10, 57, 399, 400] {
        let expected = &expected[usize::try_from(from).unwrap()..];
        assert_eq!(read_all(&store, 0, from).unwrap(), expected);
    }
    assert_eq!(append(&store, 0, "next", 1), 400);
    let error = store.read("t", 0, 402, 1000, 10).unwrap_err();
    assert!(
        error.message.contains("402") && error.message.contains("401"),
        "{error}"
    );
}

#[test]
fn a_batch_larger_than_a_chunk_and_a_record_that_is_too_large() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    let large = Owned::value(&"x".repeat(2 << 20), 5);
    let records = [Owned::value("a", 5), large.clone(), Owned::value("b", 5)];
    with_records(&records, |records| store.append("t", 0, records).unwrap());
    let mut rows = Vec::new();
    while rows.len() < 3 {
        let batch = store
            .read("t", 0, i64::try_from(rows.len()).unwrap(), 100, 10)
            .unwrap();
        assert!(batch.rows() > 0);
        rows.extend(owned_rows(&batch).into_iter().map(|(_, record)| record));
    }
    assert_eq!(rows, records);
    let huge = Owned::value(&"x".repeat(super::record_batch::RECORD_BYTES_MAX + 1), 5);
    let error = with_records(&[Owned::value("c", 5), huge], |records| {
        store.append("t", 0, records).unwrap_err()
    });
    assert_eq!(error.kind, Kind::Data);
    assert_eq!(store.end_offset("t", 0).unwrap(), 3);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_the_log_goes_on() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    append(&store, 0, "kept", 3);
    let path = segments(&dir, 0).pop().unwrap();
    let kept = fs::metadata(&path).unwrap().len();
    append(&store, 0, "torn", 3);
    drop(store);
    let whole = fs::read(&path).unwrap();
    for cut in usize::try_from(kept).unwrap()..whole.len() {
        for zeros in [0, 100] {
            let mut bytes = whole[..cut].to_vec();
            bytes.resize(cut + zeros, 0);
            fs::write(&path, &bytes).unwrap();
            let store = open(&dir);
            let end = store.end_offset("t", 0).unwrap();
            // The last bytes of the last record may be zeros themselves, and are then not lost.
            assert!(
                end == 3 || (zeros > 0 && bytes.starts_with(&whole)),
                "cut at {cut}"
            );
            assert_eq!(append(&store, 0, "new", 1), end);
            let rows = read_all(&store, 0, 0).unwrap();
            assert_eq!(i64::try_from(rows.len()).unwrap(), end + 1);
            assert_eq!(rows[2].1, "kept2");
            assert_eq!(rows.last().unwrap().1, "new0");
        }
    }
}

#[test]
fn a_flipped_byte_is_an_error_that_names_the_file_and_the_rest_stays_readable() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    for batch in 0..40 {
        append(&store, 0, &format!("{batch}-"), 10);
    }
    let paths = segments(&dir, 0);
    drop(store);
    for path in [&paths[1], paths.last().unwrap()] {
        let good = fs::read(path).unwrap();
        let first = Header::parse(&good).unwrap();
        for at in 0..first.bytes {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            fs::write(path, &bytes).unwrap();
            let store = open(&dir);
            assert_eq!(store.end_offset("t", 0).unwrap(), 400, "byte {at}");
            let error = read_all(&store, 0, 0).unwrap_err();
            assert_eq!(error.code, Code::Corrupt, "byte {at}: {error}");
            assert!(error.message.contains(path.to_str().unwrap()));
            assert!(error.message.contains("at byte 0"), "{error}");
            let behind = if path == paths.last().unwrap() {
                first.next_offset
            } else {
                base_offset_of(&paths[2]).unwrap()
            };
            let rows = read_all(&store, 0, behind).unwrap();
            assert_eq!(i64::try_from(rows.len()).unwrap(), 400 - behind);
            let before = store.read("t", 0, 0, 1 << 20, 10).unwrap();
            assert_eq!(before.rows(), 10);
        }
        fs::write(path, &good).unwrap();
    }
}

#[test]
fn two_stores_cannot_share_a_directory() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let error = LogStore::open(dir.path(), small(), SystemClock::shared()).unwrap_err();
    assert_eq!(error.code, Code::Storage);
    assert!(
        error.message.contains(dir.path().to_str().unwrap()),
        "{error}"
    );
    drop(store);
    open(&dir);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = LogStore::open(&file.join("x"), small(), SystemClock::shared()).unwrap_err();
    assert!(error.message.contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn topics_are_created_listed_and_deleted_whole() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let names = ["../../etc", ".hidden", "a/b", "größe %41", "plain-1_x.y"];
    for name in names {
        let config = TopicConfig {
            retention_ms: Some(5),
            compacted: name.len() == 3,
            partitions: 1,
        };
        store.create_topic(name, config).unwrap();
        assert_eq!(
            store.create_topic(name, config).unwrap_err().code,
            Code::AlreadyExists
        );
    }
    for name in ["", &"x".repeat(300)] {
        assert_eq!(
            store.create_topic(name, config(1)).unwrap_err().kind,
            Kind::Invalid
        );
    }
    assert_eq!(
        store.create_topic("t", config(0)).unwrap_err().kind,
        Kind::Invalid
    );
    drop(store);
    // What a crash in the middle of a creation and of a deletion leaves.
    fs::create_dir_all(dir.path().join(".creating-x/0")).unwrap();
    fs::create_dir_all(dir.path().join(".deleted-y/0")).unwrap();
    let store = open(&dir);
    assert_eq!(store.topics(), names);
    assert!(store.topic("a/b").unwrap().compacted);
    assert_eq!(store.topic(".hidden").unwrap().retention_ms, Some(5));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), names.len() + 1);
    store.delete_topic("a/b").unwrap();
    assert_eq!(store.topic("a/b"), None);
    assert_eq!(
        store.delete_topic("a/b").unwrap_err().code,
        Code::UnknownName
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), names.len());
    store.create_topic("a/b", config(3)).unwrap();
    assert_eq!(store.topic("a/b"), Some(config(3)));
}

#[test]
fn a_failed_append_leaves_nothing_and_later_ones_work() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    append(&store, 0, "a", 3);
    let path = segments(&dir, 0).pop().unwrap();
    let aside = dir.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    // A device that is always full and cannot be truncated either.
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let error = with_records(&[Owned::value("lost", 1)], |records| {
        store.append("t", 0, records).unwrap_err()
    });
    assert_eq!(error.code, Code::Storage);
    assert!(error.message.contains(path.to_str().unwrap()), "{error}");
    assert_eq!(store.end_offset("t", 0).unwrap(), 3);
    fs::remove_file(&path).unwrap();
    // The part that was written before the device was full.
    let mut bytes = fs::read(&aside).unwrap();
    bytes.extend_from_slice(&[7; 5000]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(append(&store, 0, "b", 1), 3);
    assert!(fs::metadata(&path).unwrap().len() < 5000);
    drop(store);
    let rows = read_all(&open(&dir), 0, 0).unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[3].1, "b0");
}

#[test]
fn every_policy_keeps_what_was_appended() {
    let policies = [
        FsyncPolicy::Never,
        FsyncPolicy::Interval(Duration::from_millis(1)),
        FsyncPolicy::Interval(Duration::from_hours(1)),
        FsyncPolicy::Always,
    ];
    for fsync in policies {
        let dir = TempDir::new().unwrap();
        let options = LogOptions { fsync, ..small() };
        let store = LogStore::open(dir.path(), options, SystemClock::shared()).unwrap();
        store.create_topic("t", config(1)).unwrap();
        for _ in 0..30 {
            append(&store, 0, "a", 10);
        }
        store.flush("t").unwrap();
        drop(store);
        let store = LogStore::open(dir.path(), options, SystemClock::shared()).unwrap();
        assert_eq!(read_all(&store, 0, 0).unwrap().len(), 300);
    }
}

#[test]
fn retention_deletes_whole_old_segments() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let config = TopicConfig {
        partitions: 1,
        retention_ms: Some(1000),
        compacted: false,
    };
    store.create_topic("t", config).unwrap();
    for second in 0..60 {
        let records = vec![Owned::value(&"x".repeat(50), second * 1000); 5];
        with_records(&records, |records| store.append("t", 0, records).unwrap());
    }
    drop(store);
    let store = open(&dir);
    assert_eq!(
        store.offset_for_timestamp("t", 0, 29_001).unwrap(),
        Some(150)
    );
    assert_eq!(
        store.offset_for_timestamp("t", 0, 30_000).unwrap(),
        Some(150)
    );
    assert_eq!(store.offset_for_timestamp("t", 0, -5).unwrap(), Some(0));
    assert_eq!(store.offset_for_timestamp("t", 0, 59_001).unwrap(), None);
    let files = segments(&dir, 0).len();
    let deleted = store.run_retention(31_000).unwrap();
    assert!(deleted > 3);
    assert_eq!(segments(&dir, 0).len(), files - deleted);
    let start = store.start_offset("t", 0).unwrap();
    assert!(start > 100 && start <= 150, "{start}");
    let first = read_all(&store, 0, 0).unwrap()[0].0;
    assert_eq!(first, start);
    // The newest segment goes too when it is old, and offsets go on.
    store.run_retention(1_000_000).unwrap();
    assert_eq!(store.start_offset("t", 0).unwrap(), 300);
    drop(store);
    let store = open(&dir);
    assert_eq!(read_all(&store, 0, 0).unwrap(), []);
    assert_eq!(append(&store, 0, "a", 1), 300);
}

#[test]
fn a_reader_that_retention_overtakes_continues_at_the_start() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let config = TopicConfig {
        partitions: 1,
        retention_ms: Some(0),
        compacted: false,
    };
    store.create_topic("t", config).unwrap();
    for _ in 0..40 {
        append(&store, 0, "old", 10);
    }
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, _waker) = reader_of(&source, 0, 1, None);
    assert!(matches!(reader.poll(3).unwrap(), Poll::Raw(_)));
    store.run_retention(1_000_000).unwrap();
    append(&store, 0, "new", 2);
    let (rows, _) = poll_all(&mut *reader);
    let expected = [(0, 400, "new0".to_owned()), (0, 401, "new1".to_owned())];
    assert_eq!(rows[rows.len() - 2..], expected);
    assert_eq!(reader.splits()[0].pending_records, Some(0));
}

#[test]
fn a_bounded_reader_that_retention_overtakes_still_ends() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let config = TopicConfig {
        partitions: 1,
        retention_ms: Some(0),
        compacted: false,
    };
    store.create_topic("t", config).unwrap();
    append(&store, 0, "old", 10);
    let options = scan(StartupMode::EarliestOffset, BoundedMode::LatestOffset);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, _waker) = reader_of(&source, 0, 1, None);
    append(&store, 0, "old", 1);
    store.run_retention(1_000_000).unwrap();
    assert_eq!(poll_all(&mut *reader), (vec![], true));
}

#[test]
fn readers_and_writers_of_a_deleted_topic_get_an_error() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    append(&store, 0, "a", 10);
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, waker) = reader_of(&source, 0, 1, None);
    let topic = store.find("t").unwrap();
    store.delete_topic("t").unwrap();
    waker.park(None);
    let error = reader.poll(1).unwrap_err();
    assert!(error.message.contains("\"t\" was deleted"), "{error}");
    let batch = encoded(&[(None, Some("v"))]);
    assert!(store.append_rows(&topic, 0, &batch, &[0]).is_err());
    store.create_topic("t", config(1)).unwrap();
    assert_eq!(append(&store, 0, "b", 1), 0);
}

#[test]
fn a_seal_ends_unbounded_readers_and_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(2)).unwrap();
    append(&store, 0, "a", 12);
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    assert!(!source.is_bounded());
    let (mut reader, waker) = reader_of(&source, 0, 1, None);
    let (rows, ended) = poll_all(&mut *reader);
    assert_eq!((rows.len(), ended), (12, false));
    store.seal("t").unwrap();
    waker.park(None);
    assert_eq!(poll_all(&mut *reader), (vec![], true));
    let refused = with_records(&[Owned::value("x", 1)], |records| {
        store.append("t", 1, records).unwrap_err()
    });
    assert_eq!(refused.kind, Kind::Invalid);
    assert!(LogSink::new(&store, "t").is_err());
    drop((source, reader, store));
    let store = open(&dir);
    assert!(store.is_sealed("t").unwrap());
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, _waker) = reader_of(&source, 0, 1, None);
    let (rows, ended) = poll_all(&mut *reader);
    assert_eq!((rows.len(), ended), (12, true));
}

#[test]
fn three_subtasks_read_every_partition_once_and_restore_where_they_were() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(7)).unwrap();
    for partition in 0..7 {
        append(&store, partition, &format!("{partition}-"), 11);
    }
    let options = scan(StartupMode::EarliestOffset, BoundedMode::LatestOffset);
    let source = LogSource::new(&store, "t", &options).unwrap();
    assert!(source.is_bounded());
    append(&store, 0, "after the end", 4);
    let mut seen = Vec::new();
    let mut positions = Vec::new();
    for subtask in 0..3 {
        let (mut reader, _waker) = reader_of(&source, subtask, 3, None);
        for _ in 0..3 {
            let Poll::Raw(batch) = reader.poll(4).unwrap() else {
                panic!("records are there");
            };
            let split = &reader.splits()[batch.split];
            let pending = u64::try_from(11 - batch.offsets.last().unwrap() - 1).unwrap();
            assert_eq!(split.pending_records, Some(pending));
            seen.extend(
                batch
                    .offsets
                    .iter()
                    .map(|offset| (split.partition, *offset)),
            );
        }
        positions.extend(reader.positions());
    }
    for subtask in 0..2 {
        let (mut reader, _waker) = reader_of(&source, subtask, 2, Some(positions.clone()));
        let (rows, ended) = poll_all(&mut *reader);
        assert!(ended);
        assert!(
            reader
                .splits()
                .iter()
                .all(|split| split.pending_records == Some(0))
        );
        seen.extend(
            rows.into_iter()
                .map(|(partition, offset, _)| (partition, offset)),
        );
    }
    seen.sort_unstable();
    let expected: Vec<_> = (0..7).flat_map(|p| (0..11).map(move |o| (p, o))).collect();
    assert_eq!(seen, expected);
    let (mut reader, _waker) = reader_of(&source, 7, 8, None);
    assert_eq!(poll_all(&mut *reader), (vec![], true));
    let beyond = SplitPosition {
        topic: "t".into(),
        partition: 1,
        offset: 99,
    };
    let context = ReaderContext {
        subtask_index: 0,
        parallelism: 1,
        restored: Some(vec![beyond]),
        waker: Waker::default(),
        clock: SystemClock::shared(),
    };
    assert_eq!(source.reader(context).unwrap_err().kind, Kind::Invalid);
}

#[test]
fn scans_start_and_end_where_the_options_say() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(2)).unwrap();
    let records: Vec<_> = (0..20).map(|i| Owned::value("v", i * 10)).collect();
    for partition in 0..2 {
        with_records(&records, |records| {
            store.append("t", partition, records).unwrap()
        });
    }
    let offsets = |startup, bounded| {
        let source = LogSource::new(&store, "t", &scan(startup, bounded)).unwrap();
        let (mut reader, _waker) = reader_of(&source, 0, 1, None);
        let (rows, _) = poll_all(&mut *reader);
        let of = |p| rows.iter().filter(move |row| row.0 == p).map(|row| row.1);
        let bounds = |p| (of(p).min(), of(p).max());
        (bounds(0), bounds(1))
    };
    let all = (Some(0), Some(19));
    let none = (None, None);
    let earliest = StartupMode::EarliestOffset;
    assert_eq!(
        offsets(earliest.clone(), BoundedMode::Unbounded),
        (all, all)
    );
    assert_eq!(
        offsets(StartupMode::LatestOffset, BoundedMode::Unbounded),
        (none, none)
    );
    let late = (Some(13), Some(19));
    assert_eq!(
        offsets(StartupMode::Timestamp(121), BoundedMode::Unbounded),
        (late, late)
    );
    let early = (Some(0), Some(4));
    assert_eq!(
        offsets(earliest.clone(), BoundedMode::Timestamp(50)),
        (early, early)
    );
    assert_eq!(
        offsets(earliest.clone(), BoundedMode::Timestamp(9999)),
        (all, all)
    );
    let specific = StartupMode::SpecificOffsets(BTreeMap::from([(1, 17)]));
    assert_eq!(
        offsets(specific, BoundedMode::LatestOffset),
        (all, (Some(17), Some(19)))
    );
    let refused = |startup| {
        let options = scan(startup, BoundedMode::Unbounded);
        LogSource::new(&store, "t", &options).unwrap_err().kind
    };
    assert_eq!(refused(StartupMode::GroupOffsets), Kind::Unsupported);
    for (partition, offset) in [(2, 0), (-1, 0), (0, 21)] {
        let offsets = BTreeMap::from([(partition, offset)]);
        assert_eq!(
            refused(StartupMode::SpecificOffsets(offsets)),
            Kind::Invalid
        );
    }
    let options = scan(earliest, BoundedMode::Unbounded);
    let error = LogSource::new(&store, "tt", &options).unwrap_err();
    assert!(error.message.contains("did you mean \"t\""), "{error}");
}

#[test]
fn drain_ends_a_reader_at_the_present_end() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    append(&store, 0, "a", 8);
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, _waker) = reader_of(&source, 0, 1, None);
    reader.drain().unwrap();
    append(&store, 0, "later", 8);
    let (rows, ended) = poll_all(&mut *reader);
    assert_eq!((rows.len(), ended), (8, true));
    assert_eq!(reader.positions()[0].offset, 8);
}

#[test]
fn a_reader_keeps_up_with_a_concurrent_writer_and_is_woken() {
    const BATCHES: usize = 300;
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(2)).unwrap();
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, waker) = reader_of(&source, 0, 1, None);
    let writer = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            for batch in 0..BATCHES {
                let partition = u32::try_from(batch % 2).unwrap();
                append(&store, partition, &format!("{batch}-"), 1 + batch % 17);
            }
            store.seal("t").unwrap();
        })
    };
    let mut next = [0_i64; 2];
    let mut rows = 0;
    loop {
        match reader.poll(9).unwrap() {
            Poll::Raw(batch) => {
                for offset in &batch.offsets {
                    assert_eq!(*offset, next[batch.split]);
                    next[batch.split] += 1;
                }
                rows += batch.rows();
            }
            Poll::Pending | Poll::Later(_) => waker.park(None),
            Poll::SplitFinished { .. } => {}
            Poll::EndOfInput => break,
            Poll::Rows { .. } => panic!("a log has undecoded records"),
        }
    }
    writer.join().unwrap();
    assert_eq!(
        rows,
        (0..BATCHES).map(|batch| 1 + batch % 17).sum::<usize>()
    );
}

#[test]
fn subscriptions_do_not_pile_up() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    let waker = Waker::default();
    for _ in 0..1000 {
        store.subscribe("t", &waker).unwrap();
        store.subscribe("t", &Waker::default()).unwrap();
    }
    let topic = store.find("t").unwrap();
    assert!(topic.wakers.lock().unwrap().len() <= 2);
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

#[test]
fn the_sink_partitions_as_kafka_does_and_marks_retractions() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(3)).unwrap();
    let sink = LogSink::new(&store, "t").unwrap();
    let mut writer = sink
        .writer(WriterContext {
            subtask_index: 0,
            parallelism: 1,
            statement_uid: "s".into(),
            transactions: None,
            waker: Waker::default(),
            clock: SystemClock::shared(),
        })
        .unwrap();
    let keys: Vec<String> = (0..30).map(|i| format!("key-{i}")).collect();
    let rows: Vec<_> = keys.iter().map(|key| (Some(key.as_str()), None)).collect();
    let mut batch = encoded(&rows);
    batch.ops = (0..30).map(|i| i % 4).collect();
    batch.timestamps_ms = (0..30).collect();
    writer.write_records(&batch).unwrap();
    assert!(writer.ready() && writer.flush().unwrap());
    let mut count = 0;
    for partition in 0..3 {
        let batch = store.read("t", partition, 0, 1 << 20, 1000).unwrap();
        for (_, record) in owned_rows(&batch) {
            let key = record.key.unwrap();
            assert_eq!(partition_of(&key, 3), partition);
            assert_eq!(record.value, None);
            let op = u8::try_from(record.timestamp_ms % 4).unwrap();
            let expected = (op > 0).then(|| (b"op".to_vec(), Some(vec![op])));
            assert_eq!(record.headers, Vec::from_iter(expected));
            count += 1;
        }
    }
    assert_eq!(count, 30);
    let ends = || [0, 1, 2].map(|partition| store.end_offset("t", partition).unwrap());
    let before = ends();
    for _ in 0..6 {
        writer
            .write_records(&encoded(&[(None, Some("v"))]))
            .unwrap();
    }
    assert_eq!(ends(), before.map(|end| end + 2));
    let mut bad = encoded(&[(None, Some("v"))]);
    bad.ops = vec![4];
    assert_eq!(writer.write_records(&bad).unwrap_err().kind, Kind::Internal);
    let now_ms = SystemClock::shared().now_ms();
    let last = store.read("t", 0, ends()[0] - 1, 1000, 1).unwrap();
    assert!((now_ms - last.timestamps_ms[0]).abs() < 600_000);
}

/// Copies the files of topic `t` as they are at this moment, which is what a killed process leaves.
fn copy_as_left(from: &TempDir) -> TempDir {
    let to = TempDir::new().unwrap();
    let partition = to.path().join("t").join("0");
    fs::create_dir_all(&partition).unwrap();
    let meta = Path::new("t").join("topic.json");
    fs::copy(from.path().join(&meta), to.path().join(&meta)).unwrap();
    for path in segments(from, 0) {
        fs::copy(&path, partition.join(path.file_name().unwrap())).unwrap();
    }
    to
}

#[test]
fn a_process_that_ends_at_any_moment_loses_nothing_acknowledged() {
    const BATCHES: i64 = 400;
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    let writer = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            for _ in 0..BATCHES {
                append(&store, 0, "r", 10);
            }
        })
    };
    let mut acknowledged = 0;
    while acknowledged < BATCHES * 10 {
        acknowledged = store.end_offset("t", 0).unwrap();
        let left = copy_as_left(&dir);
        let rows = read_all(&open(&left), 0, 0).unwrap();
        assert!(i64::try_from(rows.len()).unwrap() >= acknowledged);
        for (expected, (offset, value)) in (0..).zip(&rows) {
            assert_eq!(*offset, expected);
            assert_eq!(*value, format!("r{}", expected % 10));
        }
    }
    writer.join().unwrap();
}
