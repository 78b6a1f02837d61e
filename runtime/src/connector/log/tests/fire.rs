//! Torn tails, damaged bytes, devices that refuse, processes that end.

use std::collections::BTreeSet;

use super::transaction::JOURNAL_FILE;
use super::*;
use crate::checkpoint::commit::{Committer, EpochRecord};
use crate::connector::sink::Transactions;

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
                SegmentName::parse(&paths[2]).unwrap().base_offset
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

/// Rows of the only partition that can be read, and how often reading failed before it went on at a later offset.
fn readable(store: &LogStore) -> (Vec<(i64, Owned)>, usize) {
    let end = store.end_offset("t", 0).unwrap();
    let (mut rows, mut next, mut failures) = (Vec::new(), 0, 0);
    while next < end {
        match store.read("t", 0, next, 600, 3) {
            Ok(batch) => {
                let Some(last) = batch.offsets.last() else {
                    break;
                };
                next = last + 1;
                rows.extend(owned_rows(&batch));
            }
            Err(error) => {
                assert_eq!(error.code, Code::Corrupt, "{error}");
                failures += 1;
                next += 1;
            }
        }
    }
    (rows, failures)
}

/// A store whose topic has plain, committed, aborted and compacted batches.
fn mixed() -> TempDir {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let compacted = TopicConfig {
        compacted: true,
        ..config(1)
    };
    store.create_topic("t", compacted).unwrap();
    let transactions = Arc::new(LogTransactions::new(&store, "s"));
    let sink = LogSink::new(&store, "t").unwrap();
    let mut writer = sink
        .writer(WriterContext {
            publishes: false,
            subtask_index: 0,
            parallelism: 1,
            statement_uid: "s".into(),
            transactions: Some(Transactions {
                committer: Arc::clone(&transactions) as _,
                handle: Arc::clone(&transactions) as _,
            }),
            waker: Waker::default(),
            clock: SystemClock::shared(),
        })
        .unwrap();
    for epoch in 1..=40_u64 {
        if epoch % 4 == 1 {
            transactions.fence().unwrap();
        }
        transactions.begin(epoch).unwrap();
        writer.begin_epoch(epoch).unwrap();
        let (key, value) = (format!("key {}", epoch % 7), format!("row {epoch}"));
        let rows = [
            (Some(key.as_str()), Some(value.as_str())),
            (Some("d"), None),
        ];
        writer.write_records(&encoded(&rows)).unwrap();
        if epoch % 4 != 0 {
            let record = EpochRecord {
                run: "r".into(),
                epoch,
                checkpoint: String::new(),
            };
            transactions.commit(epoch, &record).unwrap();
        }
        let plain = [Owned::value(&format!("plain {epoch}"), 7)];
        with_records(&plain, |records| store.append("t", 0, records).unwrap());
        if epoch == 20 {
            assert!(store.compact(5).unwrap() > 0);
        }
    }
    dir
}

#[test]
fn no_flipped_bit_makes_a_wrong_or_an_aborted_record_visible() {
    let dir = mixed();
    let good: BTreeMap<_, _> = readable(&open(&dir)).0.into_iter().collect();
    let paths = segments(&dir, 0);
    assert!(paths.len() >= 3, "{paths:?}");
    let journal = fs::read(dir.path().join(JOURNAL_FILE)).unwrap();
    let mut bounds: Vec<_> = paths
        .iter()
        .map(|path| SegmentName::parse(path).unwrap().base_offset)
        .collect();
    bounds.push(i64::MAX);
    // The first one is compacted, the last one is checked at the start, the one between is neither.
    for number in [0, 1, paths.len() - 1] {
        let path = &paths[number];
        let whole = fs::read(path).unwrap();
        let elsewhere = |offset: &&i64| !(bounds[number]..bounds[number + 1]).contains(*offset);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << ((at + number) % 8);
            fs::write(path, &bytes).unwrap();
            // Each start writes the journal anew, and what is torn off is gone.
            fs::write(dir.path().join(JOURNAL_FILE), &journal).unwrap();
            let (rows, failures) = readable(&open(&dir));
            let place = format!("byte {at} of {}", path.display());
            for (offset, row) in &rows {
                assert_eq!(good.get(offset), Some(row), "{place}");
            }
            let torn = fs::metadata(path).unwrap().len() < whole.len() as u64;
            assert!(torn || failures > 0, "{place} went unnoticed");
            let seen: BTreeSet<_> = rows.into_iter().map(|row| row.0).collect();
            assert!(
                good.keys()
                    .filter(elsewhere)
                    .all(|offset| seen.contains(offset)),
                "{place}"
            );
        }
        fs::write(path, &whole).unwrap();
    }
}
