//! Compaction: what stays, for whom, and after which crash.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::checkpoint::commit::{Committer, EpochRecord};
use crate::connector::options::IsolationLevel;
use crate::connector::sink::Transactions;

/// A compacted topic `t` of one partition.
fn compacted(dir: &TempDir) -> Arc<LogStore> {
    let store = open(dir);
    if store.topic("t").is_none() {
        let config = TopicConfig {
            compacted: true,
            ..config(1)
        };
        store.create_topic("t", config).unwrap();
    }
    store
}

fn pair(key: &str, value: Option<&str>, timestamp_ms: i64) -> Owned {
    Owned {
        key: Some(key.into()),
        value: value.map(Into::into),
        timestamp_ms,
        headers: Vec::new(),
    }
}

fn put(store: &LogStore, records: &[Owned]) -> i64 {
    with_records(records, |records| store.append("t", 0, records).unwrap())
}

/// Ends the active segment with records that have no key and stay.
fn roll(store: &LogStore) {
    for _ in 0..3 {
        put(store, &[Owned::value(&"x".repeat(900), 1)]);
    }
}

/// Everything readers of committed records see, from an offset on.
fn rows(store: &LogStore, from: i64) -> Vec<(i64, Owned)> {
    let mut rows = Vec::new();
    let mut next = from;
    loop {
        let batch = store.read("t", 0, next, 700, 7).unwrap();
        let Some(last) = batch.offsets.last() else {
            return rows;
        };
        next = last + 1;
        rows.extend(owned_rows(&batch));
    }
}

/// The rows with a key.
fn keyed(store: &LogStore) -> Vec<(i64, Owned)> {
    let mut rows = rows(store, 0);
    rows.retain(|(_, record)| record.key.is_some());
    rows
}

/// Offset after the last one that was compacted.
fn compacted_until(dir: &TempDir) -> i64 {
    let names = segments(dir, 0);
    let names = names
        .iter()
        .filter_map(|path| SegmentName::parse(path).unwrap().compacted);
    names
        .map(|compacted| compacted.end_offset)
        .max()
        .unwrap_or(0)
}

#[test]
fn the_newest_record_of_each_key_stays_where_it_was() {
    let dir = TempDir::new().unwrap();
    let store = compacted(&dir);
    let mut expected = BTreeMap::new();
    for i in 0..200_i64 {
        let key = format!("key {}", i % 7);
        let mut record = pair(&key, Some(&format!("value {i}")), i);
        record.headers = vec![(b"h".to_vec(), Some(vec![1])), (b"n".to_vec(), None)];
        let offset = put(&store, std::slice::from_ref(&record));
        expected.insert(key, (offset, record));
    }
    roll(&store);
    let files = segments(&dir, 0).len();
    let before = rows(&store, 0).len();
    assert!(files > 5);
    assert!(store.compact(1000).unwrap() >= files - 1);
    assert!(segments(&dir, 0).len() < 4, "{:?}", segments(&dir, 0));
    let mut expected: Vec<_> = expected.into_values().collect();
    expected.sort_by_key(|(offset, _)| *offset);
    assert_eq!(keyed(&store), expected);
    assert!(rows(&store, 0).len() < before);
    // Nothing is new, so nothing is due.
    assert_eq!(store.compact(1000).unwrap(), 0);
    // A seek into a hole finds what comes next.
    for from in 0..=expected[0].0 {
        assert_eq!(rows(&store, from)[0], expected[0]);
    }
    drop(store);
    let store = compacted(&dir);
    assert_eq!(keyed(&store), expected);
    assert_eq!(store.start_offset("t", 0).unwrap(), 0);
    let found = store.offset_for_timestamp("t", 0, 195).unwrap();
    assert_eq!(found, Some(195));
    assert_eq!(put(&store, &[pair("new", None, 1)]), 203);
}

#[test]
fn deletes_stay_for_a_while_and_then_go() {
    let dir = TempDir::new().unwrap();
    let store = compacted(&dir);
    put(&store, &[pair("a", Some("1"), 1), pair("b", Some("2"), 2)]);
    roll(&store);
    put(&store, &[pair("a", None, 3)]);
    roll(&store);
    assert!(store.compact(1000).unwrap() > 0);
    let kept = [(1, pair("b", Some("2"), 2)), (5, pair("a", None, 3))];
    assert_eq!(keyed(&store), kept);
    // The retention of deletes counts from the first compaction: 10 s.
    assert_eq!(store.compact(10_999).unwrap(), 0);
    drop(store);
    let store = compacted(&dir);
    put(&store, &[pair("c", None, 4)]);
    roll(&store);
    store.compact(10_999).unwrap();
    assert_eq!(keyed(&store)[..2], kept);
    assert!(store.compact(11_000).unwrap() > 0);
    let rows = keyed(&store);
    assert_eq!(rows[0], kept[0]);
    assert!(
        rows[1..]
            .iter()
            .all(|(_, record)| record.key == Some(b"c".to_vec()))
    );
}

#[test]
fn a_whole_segment_may_become_a_hole() {
    let dir = TempDir::new().unwrap();
    let store = compacted(&dir);
    for i in 0..300 {
        put(&store, &[pair("k", Some(&format!("{i:0>50}")), i)]);
    }
    store.compact(0).unwrap();
    let options = scan(StartupMode::EarliestOffset, BoundedMode::LatestOffset);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, _waker) = reader_of(&source, 0, 1, None);
    let (rows, ended) = poll_all(&mut *reader);
    assert!(ended && rows.len() < 60);
    assert_eq!(rows.last().unwrap().1, 299);
    assert_eq!(reader.positions()[0].offset, 300);
    let compacted_rows = rows.iter().filter(|row| row.1 < compacted_until(&dir));
    assert_eq!(compacted_rows.count(), 1);
    assert!(segments(&dir, 0).len() <= 3);
}

#[test]
fn a_reader_in_the_middle_of_a_file_goes_on() {
    for rows_max in [1, 3, 1000] {
        let dir = TempDir::new().unwrap();
        let store = compacted(&dir);
        for i in 0..300 {
            put(
                &store,
                &[pair(&format!("{}", i % 5), Some(&format!("{i}")), i)],
            );
        }
        let options = scan(StartupMode::EarliestOffset, BoundedMode::LatestOffset);
        let source = LogSource::new(&store, "t", &options).unwrap();
        let readers: Vec<_> = (0..280)
            .step_by(7)
            .map(|offset| {
                let at = SplitPosition {
                    topic: "t".into(),
                    partition: 0,
                    offset,
                };
                let (mut reader, waker) = reader_of(&source, 0, 1, Some(vec![at]));
                let Poll::Raw(first) = reader.poll(rows_max).unwrap() else {
                    panic!("records are there");
                };
                (reader, first, waker)
            })
            .collect();
        assert!(store.compact(0).unwrap() > 5);
        let until = compacted_until(&dir);
        for (mut reader, first, _waker) in readers {
            let mut newest = BTreeMap::new();
            let mut last = -1;
            let mut take = |batch: &RawBatch| {
                for (offset, record) in owned_rows(batch) {
                    assert!(offset > last);
                    last = offset;
                    let value: i64 = String::from_utf8(record.value.unwrap())
                        .unwrap()
                        .parse()
                        .unwrap();
                    assert_eq!(value, offset);
                    newest.insert(record.key.unwrap(), offset);
                }
            };
            take(&first);
            loop {
                match reader.poll(rows_max).unwrap() {
                    Poll::Raw(batch) => take(&batch),
                    Poll::SplitFinished { .. } => {}
                    Poll::EndOfInput => break,
                    other => panic!("{other:?}"),
                }
            }
            // The newest of each key is there, whatever was compacted under the reader.
            assert_eq!(newest.values().copied().max(), Some(299));
            assert_eq!(newest.len(), 5);
            assert!(newest.values().all(|offset| *offset >= 295));
            assert!(until > 200);
        }
    }
}

#[test]
fn a_writer_readers_and_the_cleaner_at_once() {
    const RECORDS: i64 = 3000;
    let dir = TempDir::new().unwrap();
    let store = compacted(&dir);
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let writer = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            for i in 0..RECORDS {
                put(
                    &store,
                    &[pair(&format!("{}", i % 11), Some(&format!("{i}")), i)],
                );
                if i % 100 == 0 {
                    store.run_retention(i).unwrap();
                }
            }
            store.seal("t").unwrap();
        })
    };
    let (mut reader, waker) = reader_of(&source, 0, 1, None);
    let mut newest = BTreeMap::new();
    let mut last = -1;
    loop {
        match reader.poll(5).unwrap() {
            Poll::Raw(batch) => {
                for (offset, record) in owned_rows(&batch) {
                    assert!(offset > last);
                    last = offset;
                    newest.insert(record.key.unwrap(), offset);
                }
            }
            Poll::Pending => waker.park(None),
            Poll::SplitFinished { .. } => {}
            Poll::EndOfInput => break,
            other => panic!("{other:?}"),
        }
    }
    writer.join().unwrap();
    let newest: BTreeSet<_> = newest.into_values().collect();
    assert_eq!(newest, (RECORDS - 11..RECORDS).collect());
}

#[test]
fn a_crash_at_any_step_leaves_the_old_files_or_the_new_one() {
    let dir = TempDir::new().unwrap();
    let store = compacted(&dir);
    for i in 0..150 {
        put(
            &store,
            &[pair(&format!("{}", i % 3), Some(&format!("{i}")), i)],
        );
    }
    let before: Vec<_> = segments(&dir, 0)
        .into_iter()
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    let all = rows(&store, 0);
    store.compact(0).unwrap();
    let after = rows(&store, 0);
    let new: Vec<_> = segments(&dir, 0);
    let new = new
        .iter()
        .filter(|path| path.to_str().unwrap().contains('-'));
    let new: Vec<_> = new
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    drop(store);
    // The new file under its first name, whole and cut, beside the old ones.
    for cut in [0, 10, new[0].1.len()] {
        for (path, bytes) in &before {
            fs::write(path, bytes).unwrap();
        }
        for (path, bytes) in &new {
            fs::remove_file(path).ok();
            fs::write(
                path.with_extension("log.cleaning"),
                &bytes[..cut.min(bytes.len())],
            )
            .unwrap();
        }
        let store = compacted(&dir);
        assert_eq!(rows(&store, 0), all);
        assert_eq!(segments(&dir, 0).len(), before.len());
    }
    // The new file has its name, and any number of old ones is still there.
    for left in 0..before.len() {
        for (path, bytes) in before.iter().skip(left).chain(&new) {
            fs::write(path, bytes).unwrap();
        }
        let store = compacted(&dir);
        assert_eq!(rows(&store, 0), after);
        drop(store);
    }
}

#[test]
fn a_damaged_segment_is_not_compacted_away() {
    let dir = TempDir::new().unwrap();
    let store = compacted(&dir);
    for i in 0..150 {
        put(
            &store,
            &[pair(&format!("{}", i % 3), Some(&format!("{i}")), i)],
        );
    }
    let path = segments(&dir, 0)[1].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let files = segments(&dir, 0);
    let error = store.compact(0).unwrap_err();
    assert_eq!(error.code, Code::Corrupt);
    assert!(error.message.contains(path.to_str().unwrap()), "{error}");
    assert_eq!(segments(&dir, 0), files);
}

#[test]
fn transactions_whose_records_are_gone_are_forgotten() {
    let dir = TempDir::new().unwrap();
    for _ in 0..3 {
        let store = compacted(&dir);
        let life = Arc::new(LogTransactions::new(&store, "s"));
        life.fence().unwrap();
        for epoch in 1..=20 {
            write_in(&store, &life, epoch, "k", "v");
            if epoch % 2 == 0 {
                commit(&life, epoch);
            } else {
                life.fence().unwrap();
            }
        }
    }
    let store = compacted(&dir);
    let before = rows(&store, 0);
    assert_eq!(before.len(), 30);
    let round = |store: &LogStore| cleaner::Round {
        topics: vec![store.find("t").unwrap()],
        shared: store.shared(),
        now_ms: 0,
    };
    round(&store).prune().unwrap();
    assert_eq!(rows(&store, 0), before);
    let entries = store.transactions().entries();
    roll(&store);
    store.compact(0).unwrap();
    round(&store).prune().unwrap();
    let after = rows(&store, 0);
    assert_eq!(after.len(), 4);
    assert!(store.transactions().entries() < entries);
    drop(store);
    let store = compacted(&dir);
    assert_eq!(rows(&store, 0), after);
    assert_eq!(store.committed_record("s").unwrap().unwrap().epoch, 20);
}

/// Begins an epoch and writes a row in it.
fn write_in(
    store: &Arc<LogStore>,
    life: &Arc<LogTransactions>,
    epoch: u64,
    key: &str,
    value: &str,
) {
    life.begin(epoch).unwrap();
    let sink = LogSink::new(store, "t").unwrap();
    let mut writer = sink
        .writer(WriterContext {
            publishes: false,
            subtask_index: 0,
            parallelism: 1,
            statement_uid: "s".into(),
            transactions: Some(Transactions {
                committer: Arc::clone(life) as _,
                handle: Arc::clone(life) as _,
            }),
            waker: Waker::default(),
            clock: SystemClock::shared(),
        })
        .unwrap();
    writer.begin_epoch(epoch).unwrap();
    let value = (value != "delete").then_some(value);
    writer
        .write_records(&encoded(&[(Some(key), value)]))
        .unwrap();
}

fn commit(life: &LogTransactions, epoch: u64) {
    let record = EpochRecord {
        run: "r".into(),
        epoch,
        checkpoint: String::new(),
    };
    life.commit(epoch, &record).unwrap();
}

/// Offset, key and value.
type Row = (i64, Vec<u8>, Option<Vec<u8>>);

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    /// A row without a transaction.
    Put(u8, bool),
    /// A transaction of one row that is committed or aborted.
    Transaction(u8, bool),
    /// A compaction, after so many milliseconds.
    Compact(i64),
    /// The process ends and another one opens the store.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..6_u8, proptest::bool::weighted(0.2)).prop_map(|(key, delete)| Step::Put(key, delete)),
        4 => (0..6_u8, any::<bool>()).prop_map(|(key, commit)| Step::Transaction(key, commit)),
        2 => (0..8000_i64).prop_map(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(80))]

    #[test]
    fn compaction_equals_a_model(steps in proptest::collection::vec(step(), 1..250)) {
        let dir = TempDir::new().unwrap();
        let mut store = compacted(&dir);
        let mut life = Arc::new(LogTransactions::new(&store, "s"));
        life.fence().unwrap();
        let mut model: Vec<Row> = Vec::new();
        let (mut now_ms, mut epoch) = (0, 0);
        for (number, step) in steps.into_iter().enumerate() {
            let value = format!("{number:0>60}");
            match step {
                Step::Put(key, delete) => {
                    let key = key.to_string();
                    let value = (!delete).then_some(value.as_str());
                    let offset = put(&store, &[pair(&key, value, 1)]);
                    model.push((offset, key.into(), value.map(Into::into)));
                }
                Step::Transaction(key, committed) => {
                    epoch += 1;
                    let offset = store.end_offset("t", 0).unwrap();
                    write_in(&store, &life, epoch, &key.to_string(), &value);
                    if committed {
                        commit(&life, epoch);
                        model.push((offset, key.to_string().into(), Some(value.into())));
                    } else {
                        life.fence().unwrap();
                    }
                }
                Step::Compact(after_ms) => {
                    now_ms += after_ms;
                    store.compact(now_ms).unwrap();
                }
                Step::Reopen => {
                    drop(life);
                    drop(store);
                    store = compacted(&dir);
                    life = Arc::new(LogTransactions::new(&store, "s"));
                    life.fence().unwrap();
                }
            }
        }
        now_ms += 1;
        store.compact(now_ms).unwrap();
        let seen: Vec<_> = rows(&store, 0)
            .into_iter()
            .map(|(offset, record)| (offset, record.key.unwrap(), record.value))
            .collect();
        // What is there was written so, in this order.
        let all: BTreeSet<_> = model.iter().cloned().collect();
        prop_assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
        prop_assert!(seen.iter().all(|row| all.contains(row)));
        // Behind the compacted part everything is there.
        let until = compacted_until(&dir);
        let behind = |rows: &[Row]| {
            let rows = rows.iter().filter(|row| row.0 >= until);
            rows.cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(behind(&seen), behind(&model));
        // In it, the newest of each key, unless it is a delete, which may be gone; and each key once.
        let newest: BTreeMap<_, _> = model
            .iter()
            .filter(|row| row.0 < until)
            .map(|row| (row.1.clone(), row.clone()))
            .collect();
        let kept: Vec<_> = seen.iter().filter(|row| row.0 < until).collect();
        prop_assert!(kept.iter().all(|row| newest.get(&row.1) == Some(*row)));
        prop_assert!(
            newest
                .values()
                .filter(|row| row.2.is_some())
                .all(|row| kept.contains(&row))
        );
        // Readers of everything see what is left of aborted rows too, and no offset twice.
        let options = scan(StartupMode::EarliestOffset, BoundedMode::LatestOffset);
        let source =
            LogSource::with_isolation(&store, "t", &options, IsolationLevel::ReadUncommitted).unwrap();
        let (mut reader, _waker) = reader_of(&source, 0, 1, None);
        let mut offsets = Vec::new();
        while let Poll::Raw(batch) = reader.poll(10).unwrap() {
            offsets.extend(batch.offsets);
        }
        prop_assert!(offsets.is_sorted_by(|a, b| a < b));
        prop_assert!(offsets.len() >= seen.len());
    }
}

#[test]
fn nothing_is_exchanged_before_all_of_the_pass_is_durable() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let compacted = TopicConfig {
        compacted: true,
        ..config(1)
    };
    store.create_topic("t", compacted).unwrap();
    for number in 0..200 {
        let record = Owned {
            key: Some(b"k".to_vec()),
            ..Owned::value(&format!("{}{number}", "x".repeat(50)), 1)
        };
        with_records(&[record], |records| store.append("t", 0, records).unwrap());
    }
    let before = segments(&dir, 0);
    let partition_segments = store.find("t").unwrap().partitions()[0].segments();
    // The last closed one, with the newest values of the pass.
    let newest = &partition_segments[partition_segments.len() - 2];
    newest.set_sync_hook(|| Err(std::io::ErrorKind::Other.into()));
    assert_eq!(store.compact(1000).unwrap_err().code, Code::Storage);
    assert_eq!(segments(&dir, 0), before);
}
