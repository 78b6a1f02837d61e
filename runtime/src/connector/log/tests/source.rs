//! Readers of a topic: starts, ends, positions, wake-ups.

use super::*;

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
    let target = Target {
        topic: &topic,
        partition: 0,
        transaction: None,
    };
    assert!(store.append_rows(target, &batch, &[0]).is_err());
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
