//! The checkpoint store against a real S3 server.
//!
//! Place in the flow: the suite `s3` of `cargo xtask test` starts the server and names it in `WEIR_TEST_S3`. Invariant: a store in a
//! bucket keeps every promise that one in a directory keeps, and no message shows a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use tokio::runtime::Runtime;
use weir_runtime::Kind;
use weir_runtime::checkpoint::commit::EpochRecord;
use weir_runtime::checkpoint::entry::{Entry, KeyGroupDelta, Place};
use weir_runtime::checkpoint::store::objects::{Fault, Objects, PutMode};
use weir_runtime::checkpoint::store::testing::{CountingPause, FaultPlan, FaultyObjects};
use weir_runtime::checkpoint::store::{
    Bucket, CheckpointName, CheckpointStore, CompactionLimits, Components, Location, Manifest,
    Options, RemoteObjects, SegmentWriter, Settled, chain_facts, plan_compaction,
};

/// The secret key of these tests, which no message may show.
const SECRET: &str = "s3cret-of-the-tests";

/// A server and a bucket of it.
struct Server {
    /// `http://127.0.0.1:PORT`.
    endpoint: String,
    /// Where requests run.
    runtime: Runtime,
    /// The bucket with a prefix of this test.
    location: Location,
}

/// The server under test with a new prefix, if there is one.
fn server() -> Option<Server> {
    let Some(endpoint) = std::env::var_os("WEIR_TEST_S3") else {
        eprintln!("skipped: WEIR_TEST_S3 is not set");
        return None;
    };
    let endpoint = endpoint.into_string().unwrap();
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "PUT /weir-test HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
    let location = format!("s3://weir-test/tests/{}", uuid::Uuid::new_v4());
    Some(Server {
        endpoint,
        runtime: runtime(),
        location: Location::parse(&location).unwrap(),
    })
}

/// A runtime with threads of its own.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Options of a store at an endpoint.
fn options(endpoint: &str, more: &[(&str, &str)]) -> Options {
    let pairs = [
        ("s3.endpoint", endpoint),
        ("s3.access-key", "access-of-the-tests"),
        ("s3.secret-key", SECRET),
        ("s3.path-style-access", "true"),
        ("s3.region", "eu-central-1"),
        ("retry.pause-ms", "1"),
    ];
    Options::from_pairs(pairs.into_iter().chain(more.iter().copied())).unwrap()
}

impl Server {
    /// A store.
    fn open(&self, more: &[(&str, &str)]) -> CheckpointStore {
        let options = options(&self.endpoint, more);
        CheckpointStore::open(&self.location, &options, self.runtime.handle()).unwrap()
    }

    /// The bucket.
    fn bucket(&self) -> &Bucket {
        match &self.location {
            Location::Bucket(bucket) => bucket,
            Location::Local(_) => panic!("the location is a bucket"),
        }
    }

    /// The objects below a store.
    fn objects(&self) -> RemoteObjects {
        let options = options(&self.endpoint, &[]);
        RemoteObjects::new(self.bucket(), &options, self.runtime.handle().clone()).unwrap()
    }
}

/// The state of one node after some epochs: key group and key to value.
type State = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

/// Stores the deltas of the next epoch of eight key groups, each with a new value for one of three keys.
fn checkpoint(store: &CheckpointStore, manifest: &mut Manifest, state: &mut State) {
    manifest.epoch += 1;
    let mut writer = SegmentWriter::default();
    for key_group in 0..8 {
        let key = format!("key-{}", manifest.epoch % 3).into_bytes();
        let value = format!("{key_group} at {}", manifest.epoch).into_bytes();
        let mut entries = Vec::new();
        Entry::Put {
            place: Place {
                table: 1,
                namespace: 0,
            },
            key: &key,
            value: &value,
        }
        .write(&mut entries);
        writer.push(4, KeyGroupDelta { key_group, entries });
        state.insert((key_group, key), value);
    }
    let written = store.write_segment(&manifest.name(), 0, writer).unwrap();
    manifest.append(written);
    store.write_manifest(manifest).unwrap();
}

/// What a manifest holds.
fn load(store: &CheckpointStore, manifest: &Manifest) -> State {
    let mut state = State::new();
    let loaded = store.load(manifest, 4, 0..128, &mut |key_group, entry| {
        if let Entry::Put { key, value, .. } = entry {
            state.insert((key_group, key.to_vec()), value.to_vec());
        }
        Ok(())
    });
    loaded.unwrap();
    state
}

/// A manifest before the first epoch.
fn manifest() -> Manifest {
    Manifest {
        statement_uid: "uid".into(),
        statement_name: "totals".into(),
        run: "run".into(),
        ..Manifest::default()
    }
}

/// Of the only run, what comes before an epoch.
fn settled(in_progress: &CheckpointName) -> Settled<'_> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    Settled {
        in_progress,
        outlived: &NONE,
    }
}

/// Takes checkpoints, merges, collects and restores.
fn live(store: &CheckpointStore) {
    let (mut manifest, mut state) = (manifest(), State::new());
    for _ in 0..10 {
        let next = CheckpointName::new("run", manifest.epoch + 1);
        let merges = plan_compaction(&chain_facts(&manifest), &CompactionLimits::default());
        for replacement in store.compact(&manifest, &merges, &next, 1 << 20).unwrap() {
            manifest.splice(&replacement).unwrap();
        }
        checkpoint(store, &mut manifest, &mut state);
        let next = CheckpointName::new("run", manifest.epoch + 1);
        store.collect(&[manifest.name()], settled(&next)).unwrap();
    }
    let longest = chain_facts(&manifest);
    let longest = longest.iter().map(|chain| chain.slice_bytes.len()).max();
    assert!(longest <= Some(8));
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 1);
    let stored = store.read_manifest(&listed[0].name).unwrap();
    assert_eq!(stored, manifest);
    store.verify(&stored).unwrap();
    assert_eq!(load(store, &stored), state);
}

#[test]
fn a_life_of_checkpoints_savepoints_and_notes() {
    let Some(server) = server() else { return };
    let store = server.open(&[]);
    live(&store);
    let name = store.list().unwrap()[0].name.clone();
    let manifest = store.read_manifest(&name).unwrap();
    store.write_savepoint("before", &manifest).unwrap();
    let record = EpochRecord {
        run: "run".into(),
        epoch: manifest.epoch,
        checkpoint: name.to_string(),
    };
    store.note_committed(&record).unwrap();
    assert_eq!(store.committed_note().unwrap(), Some(record));
    // The checkpoint goes, the savepoint keeps its segments.
    let mut later = manifest.clone();
    later.epoch += 1;
    later.nodes.clear();
    store.write_manifest(&later).unwrap();
    let next = CheckpointName::new("run", later.epoch + 1);
    let collected = store.collect(&[later.name()], settled(&next)).unwrap();
    assert_eq!((collected.manifest_count, collected.segment_count), (1, 0));
    assert_eq!(store.list_savepoints().unwrap(), ["before"]);
    let savepoint = store.read_savepoint("before").unwrap();
    store.verify(&savepoint).unwrap();
    store.delete_all().unwrap();
    assert_eq!(server.objects().list("").unwrap(), []);
}

#[test]
fn a_stale_twin_is_fenced() {
    let Some(server) = server() else { return };
    let store = server.open(&[]);
    let (mut first, mut state) = (manifest(), State::new());
    checkpoint(&store, &mut first, &mut state);
    let twin = server.open(&[]);
    let mut twin_manifest = manifest();
    twin_manifest.epoch = 1;
    twin_manifest.created_at_ms = 1;
    let error = twin.write_manifest(&twin_manifest).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    store.write_manifest(&first).unwrap();
    assert_eq!(load(&store, &first), state);
    // The server itself refuses, not only our comparison afterwards.
    let objects = server.objects();
    let parts = [bytes::Bytes::from_static(b"x")];
    let again = objects.put(&first.name().to_string(), &parts, PutMode::IfAbsent);
    assert_eq!(again, Err(Fault::Exists));
}

#[test]
fn large_segments_are_sent_in_parts_and_read_in_ranges() {
    let Some(server) = server() else { return };
    let store = server.open(&[
        ("write.part-bytes", "5242880"),
        ("read.request-bytes", "1048576"),
        ("read.ahead-bytes", "4194304"),
    ]);
    let mut manifest = manifest();
    manifest.epoch = 1;
    let mut writer = SegmentWriter::default();
    let value = vec![7; 100_000];
    for key_group in 0..128 {
        let mut entries = Vec::new();
        Entry::Put {
            place: Place {
                table: 0,
                namespace: 3,
            },
            key: b"k",
            value: &value,
        }
        .write(&mut entries);
        writer.push(4, KeyGroupDelta { key_group, entries });
    }
    assert!(writer.len() > 12_000_000);
    manifest.append(store.write_segment(&manifest.name(), 0, writer).unwrap());
    store.write_manifest(&manifest).unwrap();
    store.verify(&manifest).unwrap();
    assert_eq!(load(&store, &manifest).len(), 128);
    let mut seen = Vec::new();
    let half = store.load(&manifest, 4, 60..70, &mut |key_group, _| {
        seen.push(key_group);
        Ok(())
    });
    half.unwrap();
    assert_eq!(seen, (60..70).collect::<Vec<_>>());
}

#[test]
fn a_server_that_fails_one_call_of_five_is_enough() {
    let Some(server) = server() else { return };
    let plan = FaultPlan {
        failing: 0.2,
        unanswered: 0.1,
        truncated: 0.1,
        flipped: 0.1,
        ..FaultPlan::default()
    };
    let faulty = Arc::new(FaultyObjects::new(Arc::new(server.objects()), plan, 5));
    let components = Components {
        pause: Arc::new(CountingPause::default()),
        token: "t".into(),
    };
    let more = [
        ("retry.attempts-max", "20"),
        ("retry.damage-attempts-max", "20"),
    ];
    let options = options(&server.endpoint, &more);
    let store = CheckpointStore::over(faulty.clone(), &server.location, &options, components);
    live(&store);
    assert!(faulty.fault_count() > 20);
}

#[test]
fn damaged_and_missing_objects_are_named() {
    let Some(server) = server() else { return };
    let store = server.open(&[]);
    let (mut manifest, mut state) = (manifest(), State::new());
    checkpoint(&store, &mut manifest, &mut state);
    let segment = manifest.segments().pop_first().unwrap();
    let objects = server.objects();
    let mut bytes = objects.read(&segment, None).unwrap().to_vec();
    bytes.pop();
    for damaged in [Some(bytes.clone()), Some(vec![0; bytes.len() + 1]), None] {
        match damaged {
            Some(bytes) => objects.put(&segment, &[bytes.into()], PutMode::Overwrite),
            None => objects.delete(&segment),
        }
        .unwrap();
        let error = store.verify(&manifest).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{error}");
        assert!(error.message.contains(&*segment), "{error}");
    }
}

/// Asserts that a store cannot be opened; the message.
fn refused(location: &str, endpoint: &str, more: &[(&str, &str)]) -> String {
    let runtime = runtime();
    let location = Location::parse(location).unwrap();
    let options = options(endpoint, more);
    let error = CheckpointStore::open(&location, &options, runtime.handle()).unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.message.contains(&location.to_string()), "{error}");
    assert!(!error.message.contains(SECRET), "{error}");
    error.message
}

#[test]
fn a_bucket_that_is_not_there_is_an_error_at_the_start() {
    let Some(server) = server() else { return };
    let message = refused("s3://no-such-bucket/x", &server.endpoint, &[]);
    assert!(
        message.contains("NoSuchBucket") || message.contains("no such"),
        "{message}"
    );
    let store = server.open(&[]);
    assert!(!format!("{store:?}").contains(SECRET));
}

#[test]
fn a_server_that_does_not_listen_or_answer_is_an_error_at_the_start() {
    if server().is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let short = [("request.timeout-ms", "100"), ("retry.attempts-max", "2")];
    let message = refused("s3://weir-test/x", &silent, &short);
    assert!(message.contains("after 2 attempts"), "{message}");
    drop(listener);
    refused("s3://weir-test/x", &silent, &short);
}
