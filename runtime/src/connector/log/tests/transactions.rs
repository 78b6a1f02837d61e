//! Transactions: what readers see, what survives, who is shut out.

use super::transaction::JOURNAL_FILE;
use super::*;
use crate::checkpoint::commit::{Committer, EpochRecord};
use crate::connector::options::IsolationLevel;
use crate::connector::sink::{SinkWriter, TransactionOwner, Transactions};

/// One life of a statement that writes into topics `t` and `u`.
pub(super) struct Life {
    transactions: Transactions,
    writers: Vec<Box<dyn SinkWriter>>,
}

impl Life {
    /// Opens and fences.
    pub(super) fn start(store: &Arc<LogStore>, uid: &str) -> Self {
        let sink = LogSink::new(store, "t").unwrap();
        let owner = TransactionOwner {
            statement_name: "name".into(),
            statement_uid: uid.into(),
            timeout: Duration::from_secs(1),
            clock: SystemClock::shared(),
        };
        let transactions = (sink.transactional().unwrap().open)(&owner).unwrap();
        transactions.committer.fence().unwrap();
        let writers = ["t", "u"].map(|topic| writer_of(store, topic, Some(transactions.clone())));
        Self {
            transactions,
            writers: writers.into(),
        }
    }

    pub(super) fn committer(&self) -> &dyn Committer {
        &*self.transactions.committer
    }

    /// Begins an epoch and writes a value into both topics.
    pub(super) fn write(&mut self, epoch: u64, value: &str) {
        self.committer().begin(epoch).unwrap();
        for writer in &mut self.writers {
            writer.begin_epoch(epoch).unwrap();
            writer
                .write_records(&encoded(&[(Some("k"), Some(value))]))
                .unwrap();
            assert!(writer.flush().unwrap());
        }
    }

    pub(super) fn commit(&self, epoch: u64) -> crate::Result<()> {
        self.committer().commit(epoch, &record_of(epoch))
    }
}

pub(super) fn record_of(epoch: u64) -> EpochRecord {
    EpochRecord {
        run: "r".into(),
        epoch,
        checkpoint: format!("chk-{epoch}"),
    }
}

fn writer_of(
    store: &Arc<LogStore>,
    topic: &str,
    transactions: Option<Transactions>,
) -> Box<dyn SinkWriter> {
    let sink = LogSink::new(store, topic).unwrap();
    sink.writer(WriterContext {
        publishes: false,
        subtask_index: 0,
        parallelism: 1,
        statement_uid: "s".into(),
        transactions,
        waker: Waker::default(),
        clock: SystemClock::shared(),
    })
    .unwrap()
}

/// A store with the topics.
pub(super) fn store_in(dir: &Path) -> Arc<LogStore> {
    let store = LogStore::open(dir, small(), SystemClock::shared()).unwrap();
    for topic in ["t", "u"] {
        if store.topic(topic).is_none() {
            store.create_topic(topic, config(2)).unwrap();
        }
    }
    store
}

/// What readers of an isolation level see of a topic, by partition and offset.
fn seen(store: &Arc<LogStore>, topic: &str, isolation: IsolationLevel) -> Vec<String> {
    let options = scan(StartupMode::EarliestOffset, BoundedMode::LatestOffset);
    let source = LogSource::with_isolation(store, topic, &options, isolation).unwrap();
    let (mut reader, _waker) = reader_of(&source, 0, 1, None);
    let (rows, ended) = poll_all(&mut *reader);
    assert!(ended);
    rows.into_iter().map(|(_, _, value)| value).collect()
}

/// What is committed in both topics, which is the same.
pub(super) fn committed(store: &Arc<LogStore>) -> Vec<String> {
    let values = seen(store, "t", IsolationLevel::ReadCommitted);
    assert_eq!(seen(store, "u", IsolationLevel::ReadCommitted), values);
    values
}

/// Copies a store's files as they are: first the journal, since rows are written before their commit.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort_by_key(|path| !path.ends_with(JOURNAL_FILE));
    for path in entries {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_commit_shows_all_topics_and_the_record_at_once() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut life = Life::start(&store, "s");
    life.write(1, "a");
    assert_eq!(committed(&store), [""; 0]);
    assert_eq!(seen(&store, "t", IsolationLevel::ReadUncommitted), ["a"]);
    assert_eq!(life.committer().committed().unwrap(), None);
    life.write(2, "b");
    life.commit(1).unwrap();
    assert_eq!(committed(&store), ["a"]);
    assert_eq!(store.committed_record("s").unwrap(), Some(record_of(1)));
    // Called again, as after an answer that was lost.
    life.commit(1).unwrap();
    assert_eq!(life.commit(3).unwrap_err().kind, Kind::Internal);
    life.commit(2).unwrap();
    assert_eq!(committed(&store), ["a", "b"]);
    assert_eq!(life.committer().record_retention(), None);
    assert_eq!(store.committed_record("other").unwrap(), None);
    drop((life, store));
    let store = store_in(dir.path());
    assert_eq!(committed(&store), ["a", "b"]);
    assert_eq!(store.committed_record("s").unwrap(), Some(record_of(2)));
    store.forget_owner("s").unwrap();
    assert_eq!(store.committed_record("s").unwrap(), None);
    drop(store);
    let store = store_in(dir.path());
    assert_eq!(store.committed_record("s").unwrap(), None);
    assert_eq!(committed(&store), ["a", "b"]);
}

#[test]
fn read_committed_stops_at_the_oldest_open_transaction_and_is_woken() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut first = Life::start(&store, "first");
    let mut second = Life::start(&store, "second");
    let partition = partition_of(b"k", 2);
    let plain = || {
        let record = [Owned::value("plain", 7)];
        with_records(&record, |records| {
            store.append("t", partition, records).unwrap()
        })
    };
    plain();
    first.write(1, "one");
    plain();
    second.write(1, "two");
    plain();
    assert_eq!(store.end_offset("t", partition).unwrap(), 5);
    assert_eq!(store.stable_offset("t", partition).unwrap(), 1);
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, waker) = reader_of(&source, 0, 1, None);
    let mut values = || -> Vec<String> {
        let (rows, ended) = poll_all(&mut *reader);
        assert!(!ended);
        assert!(
            reader
                .splits()
                .iter()
                .all(|split| split.pending_records == Some(0))
        );
        rows.into_iter().map(|row| row.2).collect()
    };
    assert_eq!(values(), ["plain"]);
    waker.wake();
    waker.park(None);
    // The younger one first: the older one still keeps readers back.
    second.commit(1).unwrap();
    waker.park(None);
    assert_eq!(values(), [""; 0]);
    assert_eq!(store.stable_offset("t", partition).unwrap(), 1);
    // An abort lets them go on too, and its rows are left out.
    first.committer().fence().unwrap();
    waker.park(None);
    assert_eq!(values(), ["plain", "two", "plain"]);
    assert_eq!(store.stable_offset("t", partition).unwrap(), 5);
    let all = ["plain", "one", "plain", "two", "plain"];
    assert_eq!(seen(&store, "t", IsolationLevel::ReadUncommitted), all);
    // The store's own reads are of committed records, also by time.
    let batch = store.read("t", partition, 0, 1 << 20, 10).unwrap();
    assert_eq!(batch.offsets, [0, 2, 3, 4]);
    let found = store.offset_for_timestamp("t", partition, 8).unwrap();
    assert_eq!(found, Some(3));
}

#[test]
fn a_sealed_or_drained_topic_waits_for_open_transactions() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut life = Life::start(&store, "s");
    life.write(1, "a");
    let options = scan(StartupMode::EarliestOffset, BoundedMode::Unbounded);
    let source = LogSource::new(&store, "t", &options).unwrap();
    let (mut reader, _waker) = reader_of(&source, 0, 1, None);
    let (mut drained, _waker) = reader_of(&source, 0, 1, None);
    drained.drain().unwrap();
    assert_eq!(poll_all(&mut *drained), (vec![], true));
    store.seal("t").unwrap();
    assert_eq!(poll_all(&mut *reader), (vec![], false));
    life.commit(1).unwrap();
    let (rows, ended) = poll_all(&mut *reader);
    assert_eq!((rows.len(), ended), (1, true));
}

#[test]
fn a_younger_run_shuts_the_older_one_out() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut old = Life::start(&store, "s");
    old.write(1, "kept");
    old.commit(1).unwrap();
    old.write(2, "lost");
    let mut other = Life::start(&store, "other");
    other.write(1, "other");
    let mut new = Life::start(&store, "s");
    assert_eq!(new.committer().committed().unwrap(), Some(record_of(1)));
    let batch = encoded(&[(Some("k"), Some("late"))]);
    old.writers[0].write_records(&batch).unwrap();
    for _ in 0..2 {
        let error = old.writers[0].flush().unwrap_err();
        assert_eq!((error.kind, error.code), (Kind::Conflict, Code::Fenced));
        assert!(error.message.contains("statement s"), "{error}");
    }
    assert_eq!(
        old.writers[0].write_records(&batch).unwrap_err().kind,
        Kind::Conflict
    );
    assert_eq!(old.commit(2).unwrap_err().kind, Kind::Conflict);
    assert_eq!(old.committer().begin(3).unwrap_err().kind, Kind::Conflict);
    new.write(2, "again");
    new.commit(2).unwrap();
    other.commit(1).unwrap();
    assert_eq!(committed(&store), ["kept", "other", "again"]);
    store.forget_owner("s").unwrap();
    assert_eq!(new.committer().begin(3).unwrap_err().kind, Kind::Conflict);
    assert_eq!(store.committed_record("s").unwrap(), None);
}

#[test]
fn calls_in_a_wrong_order_are_bugs_of_the_caller() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let unfenced = LogTransactions::new(&store, "s");
    assert_eq!(unfenced.begin(1).unwrap_err().kind, Kind::Internal);
    let mut life = Life::start(&store, "s");
    let batch = encoded(&[(None, Some("v"))]);
    let error = life.writers[0].write_records(&batch).unwrap_err();
    assert_eq!(error.kind, Kind::Internal);
    assert_eq!(
        life.writers[0].begin_epoch(1).unwrap_err().kind,
        Kind::Internal
    );
    life.write(4, "a");
    life.write(5, "b");
    for epoch in [3, 5, 6] {
        assert_eq!(
            life.committer().begin(epoch).unwrap_err().kind,
            Kind::Internal
        );
        assert_eq!(life.commit(epoch).unwrap_err().kind, Kind::Internal);
    }
    let elsewhere = TempDir::new().unwrap();
    let other = store_in(elsewhere.path());
    let sink = LogSink::new(&other, "t").unwrap();
    let context = WriterContext {
        publishes: false,
        subtask_index: 0,
        parallelism: 1,
        statement_uid: "s".into(),
        transactions: Some(life.transactions.clone()),
        waker: Waker::default(),
        clock: SystemClock::shared(),
    };
    assert_eq!(sink.writer(context).unwrap_err().kind, Kind::Internal);
    let identity = |store| {
        let sink = LogSink::new(store, "u").unwrap();
        sink.transactional().unwrap().identity
    };
    assert_ne!(identity(&store), identity(&other));
    assert!(identity(&store).ends_with(store.dir().to_str().unwrap()));
}

#[test]
fn what_was_open_when_a_process_ended_is_aborted_and_numbers_are_new() {
    let dir = TempDir::new().unwrap();
    let mut expected = Vec::new();
    for round in 0..4_u64 {
        let store = store_in(dir.path());
        assert_eq!(committed(&store), expected);
        let mut life = Life::start(&store, "s");
        // Numbers of an earlier process would bring its rows to light.
        for epoch in 1..=2 {
            life.write(epoch, &format!("{round}-{epoch}"));
            life.commit(epoch).unwrap();
            expected.push(format!("{round}-{epoch}"));
        }
        life.write(3, "open");
        life.write(4, "open too");
        let copy = TempDir::new().unwrap();
        copy_dir(dir.path(), copy.path());
        let copied = store_in(copy.path());
        assert_eq!(committed(&copied), expected);
        assert_eq!(copied.committed_record("s").unwrap(), Some(record_of(2)));
        let mut life = Life::start(&copied, "s");
        life.write(3, "in the copy");
        life.commit(3).unwrap();
        assert_eq!(committed(&copied).last().unwrap(), "in the copy");
    }
}

#[test]
fn a_process_that_ends_at_any_moment_shows_whole_epochs() {
    const EPOCHS: u64 = 150;
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let writer = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            let mut life = Life::start(&store, "s");
            for epoch in 1..=EPOCHS {
                life.write(epoch, &epoch.to_string());
                if epoch > 1 {
                    life.commit(epoch - 1).unwrap();
                }
            }
            life.commit(EPOCHS).unwrap();
        })
    };
    let mut newest = 0;
    while newest < EPOCHS {
        newest = store
            .committed_record("s")
            .unwrap()
            .map_or(0, |record| record.epoch);
        let left = TempDir::new().unwrap();
        copy_dir(dir.path(), left.path());
        let left = store_in(left.path());
        let record = left.committed_record("s").unwrap();
        let epoch = record.map_or(0, |record| record.epoch);
        assert!(epoch >= newest);
        let expected: Vec<_> = (1..=epoch).map(|epoch| epoch.to_string()).collect();
        assert_eq!(committed(&left), expected);
    }
    writer.join().unwrap();
}

#[test]
fn what_a_run_leaves_open_is_aborted_when_nobody_holds_it_any_more() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut life = Life::start(&store, "s");
    life.write(1, "a");
    life.write(2, "b");
    let partition = partition_of(b"k", 2);
    assert_eq!(store.stable_offset("t", partition).unwrap(), 0);
    let writer = life.writers.pop();
    drop(life);
    assert_eq!(store.stable_offset("t", partition).unwrap(), 0);
    drop(writer);
    assert_eq!(store.stable_offset("t", partition).unwrap(), 2);
    // An older run takes nothing from a younger one.
    let old = Life::start(&store, "s");
    old.committer().begin(1).unwrap();
    let mut new = Life::start(&store, "s");
    new.write(1, "c");
    drop(old);
    new.commit(1).unwrap();
    assert_eq!(committed(&store), ["c"]);
}

#[test]
fn a_deleted_topic_does_not_stop_a_commit() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut life = Life::start(&store, "s");
    life.write(1, "a");
    store.delete_topic("u").unwrap();
    life.commit(1).unwrap();
    assert_eq!(seen(&store, "t", IsolationLevel::ReadCommitted), ["a"]);
}

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    /// The statement begins its next epoch and writes a row in it, or writes another one.
    Write(usize),
    /// The statement goes on to the next epoch.
    Advance(usize),
    /// The statement commits its oldest epoch.
    Commit(usize),
    /// The statement is started anew.
    Restart(usize),
    /// A row without a transaction.
    Plain,
    /// The process ends and another one opens the store.
    Reopen,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Write),
        2 => (0..3_usize).prop_map(Step::Advance),
        3 => (0..3_usize).prop_map(Step::Commit),
        1 => (0..3_usize).prop_map(Step::Restart),
        2 => Just(Step::Plain),
        1 => Just(Step::Reopen),
    ]
}

/// Value, statement and epoch while it is not decided, and whether it counts.
type Row = (String, Option<(usize, u64)>, bool);

/// Rows of topic `t`, partition 0, in order, and what is known of them.
#[derive(Debug, Default)]
struct Model {
    /// In order.
    rows: Vec<Row>,
    /// Open epochs of each statement.
    open: [Vec<u64>; 3],
    /// Newest epoch of each statement.
    newest: [u64; 3],
}

impl Model {
    fn decide(&mut self, owner: usize, epoch: Option<u64>, counts: bool) {
        for (_, open, committed) in &mut self.rows {
            if open.is_some_and(|(by, of)| by == owner && epoch.is_none_or(|epoch| epoch == of)) {
                *open = None;
                *committed = counts;
            }
        }
        self.open[owner].retain(|open| epoch.is_some_and(|epoch| *open != epoch));
    }

    fn visible(&self) -> Vec<&str> {
        self.rows
            .iter()
            .take_while(|(_, open, _)| open.is_none())
            .filter(|(_, _, committed)| *committed)
            .map(|(value, _, _)| value.as_str())
            .collect()
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(60))]

    #[test]
    fn readers_see_what_a_model_of_transactions_says(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let dir = TempDir::new().unwrap();
        let mut store = open(&dir);
        store.create_topic("t", config(1)).unwrap();
        let start = |store: &Arc<LogStore>, owner: usize| {
            let life = Arc::new(LogTransactions::new(store, &format!("s{owner}")));
            life.fence().unwrap();
            let transactions = Transactions {
                committer: Arc::clone(&life) as _,
                handle: life,
            };
            let writer = writer_of(store, "t", Some(transactions.clone()));
            (transactions.committer, writer)
        };
        let mut lives = [0, 1, 2].map(|owner| start(&store, owner));
        let mut model = Model::default();
        for (number, step) in steps.into_iter().enumerate() {
            let value = format!("row {number}");
            match step {
                Step::Write(owner) | Step::Advance(owner) => {
                    let full = model.open[owner].len() == 2;
                    if model.open[owner].is_empty() || (matches!(step, Step::Advance(_)) && !full) {
                        model.newest[owner] += 1;
                        let epoch = model.newest[owner];
                        lives[owner].0.begin(epoch).unwrap();
                        lives[owner].1.begin_epoch(epoch).unwrap();
                        model.open[owner].push(epoch);
                    }
                    let epoch = *model.open[owner].last().unwrap();
                    lives[owner].1.write_records(&encoded(&[(None, Some(&value))])).unwrap();
                    model.rows.push((value, Some((owner, epoch)), false));
                }
                Step::Commit(owner) => {
                    if let Some(epoch) = model.open[owner].first().copied() {
                        lives[owner].0.commit(epoch, &record_of(epoch)).unwrap();
                        model.decide(owner, Some(epoch), true);
                    }
                }
                Step::Restart(owner) => {
                    lives[owner] = start(&store, owner);
                    model.decide(owner, None, false);
                }
                Step::Plain => {
                    let record = [Owned::value(&value, 5)];
                    with_records(&record, |records| store.append("t", 0, records).unwrap());
                    model.rows.push((value, None, true));
                }
                Step::Reopen => {
                    drop(lives);
                    drop(store);
                    store = open(&dir);
                    for owner in 0..3 {
                        model.decide(owner, None, false);
                    }
                    lives = [0, 1, 2].map(|owner| start(&store, owner));
                }
            }
            let expected = model.visible();
            proptest::prop_assert_eq!(&seen(&store, "t", IsolationLevel::ReadCommitted), &expected);
            let all: Vec<_> = model.rows.iter().map(|row| row.0.as_str()).collect();
            proptest::prop_assert_eq!(&seen(&store, "t", IsolationLevel::ReadUncommitted), &all);
        }
    }
}
