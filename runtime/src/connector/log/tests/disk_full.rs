//! Devices without space, for real: a limit on the size of files, and a small file system.
//!
//! Both need a process of their own, so a test starts its program again with itself as the only test.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::transaction::JOURNAL_FILE;
use super::*;
use crate::checkpoint::commit::{Committer, EpochRecord};
use crate::connector::sink::{SinkWriter, Transactions};

/// The number of the signal that a write above the limit sends.
const SIGXFSZ: u32 = 25;
/// Size of the small file system.
const SMALL_BYTES: u64 = 512 << 10;
/// The exit code of a test program with a failure.
const TEST_FAILED: i32 = 101;

/// Whether this process was started by [`run_alone`].
fn is_alone() -> bool {
    std::env::args().any(|arg| arg == "--exact")
}

/// Runs a test of this file alone, below a shell that runs `prelude` first; absent when there is no such shell or it refuses.
fn run_alone(test: &str, wrapper: &[&str], prelude: &str) -> Option<()> {
    let name = format!("connector::log::tests::disk_full::{test}");
    let dir = TempDir::new().unwrap();
    let script = format!("{prelude}; exec \"$0\" --exact \"$1\" --test-threads=1");
    let mut words = wrapper.iter().copied().chain(["sh", "-c", &script]);
    let output = Command::new(words.next().unwrap())
        .args(words)
        .arg(std::env::current_exe().unwrap())
        .arg(&name)
        .env("TMPDIR", dir.path())
        .output()
        .ok()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_ne!(output.status.code(), Some(TEST_FAILED), "{printed}");
    if !output.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    assert!(printed.contains("1 passed"), "{printed}");
    Some(())
}

/// Large segments, so that the limit is met in the middle of one.
fn large(dir: &Path) -> Arc<LogStore> {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        fsync: FsyncPolicy::Always,
        ..small()
    };
    let store = LogStore::open(dir, options, SystemClock::shared()).unwrap();
    if store.topic("t").is_none() {
        let compacted = TopicConfig {
            compacted: true,
            ..config(1)
        };
        store.create_topic("t", compacted).unwrap();
    }
    store
}

/// A statement's transactions and its writer.
struct Life {
    transactions: Arc<LogTransactions>,
    writer: Box<dyn SinkWriter>,
}

impl Life {
    fn start(store: &Arc<LogStore>) -> Self {
        let transactions = Arc::new(LogTransactions::new(store, "s"));
        transactions.fence().unwrap();
        let sink = LogSink::new(store, "t").unwrap();
        let writer = sink.writer(WriterContext {
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
        });
        Self {
            transactions,
            writer: writer.unwrap(),
        }
    }

    fn begin(&mut self, epoch: u64) {
        self.transactions.begin(epoch).unwrap();
        self.writer.begin_epoch(epoch).unwrap();
    }

    fn write(&mut self, value: &str) -> crate::Result<()> {
        let key = value.split(' ').next_back();
        self.writer.write_records(&encoded(&[(key, Some(value))]))
    }

    fn commit(&self, epoch: u64) -> crate::Result<()> {
        let record = EpochRecord {
            run: "r".into(),
            epoch,
            checkpoint: String::new(),
        };
        self.transactions.commit(epoch, &record)
    }
}

/// A value of about a kilobyte.
fn value(number: usize) -> String {
    format!("{} {number}", "x".repeat(1000))
}

/// All committed values.
fn values(store: &LogStore) -> Vec<String> {
    let rows = read_all(store, 0, 0).unwrap();
    rows.into_iter().map(|(_, value)| value).collect()
}

/// Has plain and transactional appends fail, frees space, and goes on, in the same store and in the next.
fn survive(dir: &Path, occupy: &dyn Fn(), free: &dyn Fn()) {
    let store = large(dir);
    let mut life = Life::start(&store);
    let mut expected = Vec::new();
    for epoch in 1..=3 {
        life.begin(epoch);
        occupy();
        let mut number = 0;
        let error = loop {
            let text = value(number);
            // In turn by a producer and by the statement; both go on after an error.
            let written = if number % 2 == 0 {
                life.write(&text)
            } else {
                with_records(&[Owned::value(&text, 1)], |records| {
                    store.append("t", 0, records)
                })
                .map(drop)
            };
            match written {
                Ok(()) => expected.push(text),
                Err(error) => break error,
            }
            number += 1;
            assert!(number < 1000, "the device is never full");
        };
        assert_eq!((error.kind, error.code), (Kind::Unavailable, Code::Storage));
        assert!(
            error.message.contains("00000000000000000000.log"),
            "{error}"
        );
        let end = store.end_offset("t", 0).unwrap();
        assert_eq!(usize::try_from(end).unwrap(), expected.len());
        let refused = with_records(&[Owned::value(&value(0), 1)], |records| {
            store.append("t", 0, records).unwrap_err()
        });
        assert_eq!(refused.code, Code::Storage);
        // Nothing torn is to be seen, and what was there is still read.
        assert_eq!(
            values(&store).len(),
            usize::try_from(store.stable_offset("t", 0).unwrap()).unwrap()
        );
        free();
        life.write("after").unwrap();
        expected.push("after".into());
        life.commit(epoch).unwrap();
        assert_eq!(values(&store), expected);
    }
    drop((life, store));
    let store = large(dir);
    assert_eq!(values(&store), expected);
    let record = store.committed_record("s").unwrap();
    assert_eq!(record.unwrap().epoch, 3);
}

/// Limits the size of every file this process writes.
fn limit(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: bytes.or(maximum),
        maximum,
    };
    setrlimit(Resource::Fsize, limit).unwrap();
}

/// Whether writes above the limit are errors and do not end the process.
fn ignores_sigxfsz() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (SIGXFSZ - 1) & 1 == 1)
}

#[test]
fn a_file_that_cannot_grow_is_an_error_until_it_can() {
    if !(is_alone() && ignores_sigxfsz()) {
        let test = "a_file_that_cannot_grow_is_an_error_until_it_can";
        return run_alone(test, &[], "trap '' XFSZ").unwrap();
    }
    let dir = TempDir::new().unwrap();
    let segment = dir.path().join("t/0/00000000000000000000.log");
    let occupy = || limit(Some(fs::metadata(&segment).unwrap().len() + 20_500));
    survive(dir.path(), &occupy, &|| limit(None));

    // A commit without room for its line is not there, and can be repeated.
    let store = large(dir.path());
    let mut life = Life::start(&store);
    let committed = values(&store);
    life.begin(4);
    life.write("four").unwrap();
    limit(Some(
        fs::metadata(dir.path().join(JOURNAL_FILE)).unwrap().len() + 10,
    ));
    let error = life.commit(4).unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Unavailable, Code::Storage));
    assert_eq!(values(&store), committed);
    limit(None);
    life.commit(4).unwrap();
    assert_eq!(values(&store).len(), committed.len() + 1);

    // A compaction without room changes nothing, and works later.
    for number in 0..1100 {
        let record = Owned {
            key: Some(vec![u8::try_from(number % 100).unwrap()]),
            ..Owned::value(&value(number), 1)
        };
        with_records(&[record], |records| store.append("t", 0, records).unwrap());
    }
    let before = values(&store);
    let files = segments(&dir, 0);
    limit(Some(5000));
    assert_eq!(store.compact(0).unwrap_err().code, Code::Storage);
    limit(None);
    assert_eq!((values(&store), segments(&dir, 0)), (before, files));
    assert!(store.compact(0).unwrap() > 0);
}

#[test]
fn a_full_file_system_is_an_error_until_there_is_space() {
    let blocks = rustix::fs::statvfs(std::env::temp_dir().as_path()).unwrap();
    let is_small = blocks.f_blocks * blocks.f_frsize <= SMALL_BYTES;
    if !(is_alone() && is_small) {
        let test = "a_full_file_system_is_an_error_until_there_is_space";
        let mount = format!("mount -t tmpfs -o size={SMALL_BYTES} tmpfs \"$TMPDIR\" || exit 77");
        // Where nobody may mount anything, the other test has to do.
        let wrapper = ["unshare", "--user", "--map-root-user", "--mount"];
        run_alone(test, &wrapper, &mount);
        return;
    }
    let dir = TempDir::new().unwrap();
    let ballast = dir.path().join("ballast");
    let log = dir.path().join("log");
    let free = || fs::write(&ballast, "").unwrap();
    let occupy = || {
        free();
        let blocks = rustix::fs::statvfs(dir.path()).unwrap();
        let left = usize::try_from(blocks.f_bavail * blocks.f_frsize).unwrap();
        fs::write(&ballast, vec![1; left - 20_480]).unwrap();
    };
    survive(&log, &occupy, &free);
    // With no space at all the store cannot be opened, and can be later.
    fs::write(&ballast, vec![1; usize::try_from(SMALL_BYTES).unwrap()]).unwrap_err();
    let error = LogStore::open(&log, small(), SystemClock::shared()).unwrap_err();
    assert_eq!(error.code, Code::Storage);
    free();
    assert!(!values(&large(&log)).is_empty());
}
