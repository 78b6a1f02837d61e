//! Topics, appends, reads and retention.

use super::*;

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
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), names.len() + 2);
    store.delete_topic("a/b").unwrap();
    assert_eq!(store.topic("a/b"), None);
    assert_eq!(
        store.delete_topic("a/b").unwrap_err().code,
        Code::UnknownName
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), names.len() + 1);
    store.create_topic("a/b", config(3)).unwrap();
    assert_eq!(store.topic("a/b"), Some(config(3)));
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
fn the_sink_partitions_as_kafka_does_and_marks_retractions() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(3)).unwrap();
    let sink = LogSink::new(&store, "t").unwrap();
    let mut writer = sink
        .writer(WriterContext {
            publishes: false,
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

#[test]
fn a_segment_is_durable_before_the_next_one_begins() {
    let dir = TempDir::new().unwrap();
    let options = LogOptions {
        fsync: FsyncPolicy::Interval(Duration::from_hours(1)),
        ..small()
    };
    let store = LogStore::open(dir.path(), options, SystemClock::shared()).unwrap();
    store.create_topic("t", config(1)).unwrap();
    let topic = store.find("t").unwrap();
    append(&store, 0, "a", 10);
    let first = &topic.partitions()[0].segments()[0];
    first.set_sync_hook(|| Err(std::io::ErrorKind::Other.into()));
    let records = [Owned::value(&"x".repeat(2000), 1)];
    let refused = with_records(&records, |records| store.append("t", 0, records));
    assert_eq!(refused.unwrap_err().code, Code::Storage);
    assert_eq!(segments(&dir, 0).len(), 1);
    assert_eq!(read_all(&store, 0, 0).unwrap().len(), 10);
    assert_eq!(store.flush("t").unwrap_err().code, Code::Storage);
}

#[test]
fn what_an_earlier_process_wrote_is_synced_by_the_next_flush() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    append(&store, 0, "a", 10);
    drop(store);
    let options = LogOptions {
        fsync: FsyncPolicy::Interval(Duration::from_hours(1)),
        ..small()
    };
    let store = LogStore::open(dir.path(), options, SystemClock::shared()).unwrap();
    let topic = store.find("t").unwrap();
    let segment = &topic.partitions()[0].segments()[0];
    segment.set_sync_hook(|| Err(std::io::ErrorKind::Other.into()));
    assert_eq!(store.flush("t").unwrap_err().code, Code::Storage);
}
