//! Tests of the store as a whole, over objects in memory, in a directory, and over ones that fail.
//!
//! Place in the flow: unit tests of this folder; `runtime/tests/it/s3.rs` has the same against a server. Invariant: whatever fails
//! and wherever a crash comes, what a manifest says can be restored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::Objects;
use super::testing::{CountingPause, FaultPlan, FaultyObjects, MemoryObjects};
use super::*;
use crate::checkpoint::commit::EpochRecord;
use crate::checkpoint::entry::{Entry, KeyGroupDelta, Place};
use crate::error::{Kind, Result};

/// The place that entries of these tests are in.
const PLACE: Place = Place {
    table: 0,
    namespace: 0,
};

/// State as a model keeps it: key to value, by node and key group.
type Model = BTreeMap<(u32, u32), BTreeMap<Vec<u8>, Vec<u8>>>;

/// A small statement: its store, its newest manifest, and what its state should be.
struct Statement {
    /// The store.
    store: CheckpointStore,
    /// The newest manifest.
    manifest: Manifest,
    /// The state at the newest manifest.
    model: Model,
}

/// A store over objects.
fn store_over(objects: Arc<dyn Objects>, options: &Options) -> CheckpointStore {
    let components = Components {
        pause: Arc::new(CountingPause::default()),
        token: "t".into(),
    };
    CheckpointStore::over(
        objects,
        &Location::Local("memory".into()),
        options,
        components,
    )
}

impl Statement {
    /// A statement without state.
    fn new(objects: Arc<dyn Objects>) -> Self {
        Self::with_options(objects, &Options::default())
    }

    /// A statement without state, with options.
    fn with_options(objects: Arc<dyn Objects>, options: &Options) -> Self {
        Self {
            store: store_over(objects, options),
            manifest: Manifest {
                statement_uid: "uid".into(),
                statement_name: "totals".into(),
                run: "run".into(),
                ..Manifest::default()
            },
            model: Model::new(),
        }
    }

    /// The segments of the next epoch: in each of two nodes and four key groups, a put and a delete.
    fn deltas(epoch: u64) -> Vec<(u32, KeyGroupDelta)> {
        let mut deltas = Vec::new();
        for (node, key_group) in (1..3).flat_map(|node| (0..4).map(move |kg| (node, kg))) {
            let mut entries = Vec::new();
            let put = format!("key-{}", epoch % 3);
            let gone = format!("key-{}", (epoch + 1) % 3);
            let value = format!("{node}/{key_group}/{epoch}");
            Entry::Put {
                place: PLACE,
                key: put.as_bytes(),
                value: value.as_bytes(),
            }
            .write(&mut entries);
            Entry::Delete {
                place: PLACE,
                key: gone.as_bytes(),
            }
            .write(&mut entries);
            deltas.push((node, KeyGroupDelta { key_group, entries }));
        }
        deltas
    }

    /// Takes the next checkpoint with two subtasks and the given replacements.
    fn checkpoint(&mut self, replacements: &[Replacement]) -> Result<()> {
        let mut next = self.manifest.clone();
        next.epoch += 1;
        for replacement in replacements {
            next.splice(replacement)?;
        }
        let mut model = self.model.clone();
        let mut writers = [SegmentWriter::default(), SegmentWriter::default()];
        for (node, delta) in Self::deltas(next.epoch) {
            apply(&mut model, node, &delta);
            writers[delta.key_group as usize % 2].push(node, delta);
        }
        for (subtask, writer) in (0..).zip(writers) {
            next.append(self.store.write_segment(&next.name(), subtask, writer)?);
        }
        self.store.write_manifest(&next)?;
        self.manifest = next;
        self.model = model;
        Ok(())
    }

    /// The next epoch, which is the first that is not settled.
    fn next(&self) -> CheckpointName {
        CheckpointName::new("run", self.manifest.epoch + 1)
    }

    /// Merges whatever has two slices or more.
    fn compact(&self) -> Result<Vec<Replacement>> {
        let limits = CompactionLimits {
            chain_slices_max: 2,
            chain_slices_early: 2,
            ..CompactionLimits::default()
        };
        let merges = plan_compaction(&chain_facts(&self.manifest), &limits);
        self.store
            .compact(&self.manifest, &merges, &self.next(), 1 << 10)
    }
}

/// Applies a delta to a model.
fn apply(model: &mut Model, node: u32, delta: &KeyGroupDelta) {
    let state = model.entry((node, delta.key_group)).or_default();
    let mut input = crate::state::codec::Reader::new(&delta.entries);
    while let Some(entry) = Entry::read(&mut input).unwrap() {
        apply_entry(state, entry);
    }
}

/// Applies an entry to the state of a key group.
fn apply_entry(state: &mut BTreeMap<Vec<u8>, Vec<u8>>, entry: Entry<'_>) {
    match entry {
        Entry::Put { key, value, .. } => {
            state.insert(key.to_vec(), value.to_vec());
        }
        Entry::Delete { key, .. } => {
            state.remove(key);
        }
        Entry::Drop { .. } => state.clear(),
    }
}

/// Everything that a manifest holds.
fn load(store: &CheckpointStore, manifest: &Manifest) -> Result<Model> {
    let mut model = Model::new();
    for node in manifest.nodes.keys() {
        store.load(manifest, *node, 0..128, &mut |key_group, entry| {
            apply_entry(model.entry((*node, key_group)).or_default(), entry);
            Ok(())
        })?;
    }
    Ok(model)
}

/// The state that each epoch of [`Statement::checkpoint`] ends with.
fn model_at(epoch: u64) -> Model {
    let mut model = Model::new();
    for epoch in 1..=epoch {
        for (node, delta) in Statement::deltas(epoch) {
            apply(&mut model, node, &delta);
        }
    }
    model
}

/// Asserts that every checkpoint and savepoint in the store can be restored and is right; the newest epoch.
fn assert_restorable(objects: Arc<dyn Objects>) -> u64 {
    let store = store_over(objects, &Options::default());
    let mut manifests: Vec<Manifest> = store
        .list()
        .unwrap()
        .iter()
        .map(|listed| store.read_manifest(&listed.name).unwrap())
        .collect();
    let newest = manifests.last().map_or(0, |manifest| manifest.epoch);
    for name in store.list_savepoints().unwrap() {
        manifests.push(store.read_savepoint(&name).unwrap());
    }
    for manifest in &manifests {
        store.verify(manifest).unwrap();
        assert_eq!(load(&store, manifest).unwrap(), model_at(manifest.epoch));
    }
    newest
}

#[test]
fn state_is_restored_from_any_kept_epoch_and_range() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(LocalObjects::new(dir.path().join("s"), "t".into()));
    let mut statement = Statement::new(objects.clone());
    statement.store.probe().unwrap();
    for _ in 0..5 {
        statement.checkpoint(&[]).unwrap();
    }
    assert_eq!(assert_restorable(objects), 5);
    let mut seen = Vec::new();
    let store = &statement.store;
    store
        .load(&statement.manifest, 2, 1..3, &mut |key_group, _| {
            seen.push(key_group);
            Ok(())
        })
        .unwrap();
    seen.dedup();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [1, 2]);
    store
        .load(&statement.manifest, 9, 0..128, &mut |_, _| {
            panic!("there is no such node")
        })
        .unwrap();
    let listed: Vec<u64> = store.list().unwrap().iter().map(|l| l.name.epoch).collect();
    assert_eq!(listed, [1, 2, 3, 4, 5]);
    store.delete_all().unwrap();
    assert!(!dir.path().join("s").exists());
}

#[test]
fn a_stale_twin_is_fenced_and_harms_nothing() {
    let objects = Arc::new(MemoryObjects::default());
    let mut first = Statement::new(objects.clone());
    first.checkpoint(&[]).unwrap();
    let mut twin = Statement::new(objects.clone());
    twin.manifest.created_at_ms = 1;
    let error = twin.checkpoint(&[]).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    // The same manifest again is no conflict: the answer to the first attempt may have been lost.
    first.store.write_manifest(&first.manifest).unwrap();
    assert_eq!(assert_restorable(objects), 1);
}

#[test]
fn of_many_that_write_the_same_epoch_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(LocalObjects::new(dir.path().into(), "t".into()));
    let write = &|created_at_ms| {
        let manifest = Manifest {
            created_at_ms,
            ..Statement::new(objects.clone()).manifest
        };
        store_over(objects.clone(), &Options::default()).write_manifest(&manifest)
    };
    let outcomes: Vec<Result<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|at| scope.spawn(move || write(at))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for outcome in lost {
        assert_eq!(outcome.unwrap_err().kind, Kind::Conflict);
    }
}

#[test]
fn damage_and_loss_are_found_and_named() {
    let objects = Arc::new(MemoryObjects::default());
    let mut statement = Statement::new(objects.clone());
    statement.checkpoint(&[]).unwrap();
    let manifest_name = statement.manifest.name().to_string();
    let segments: Vec<String> = objects
        .names()
        .into_iter()
        .filter(|name| name.starts_with("segments/"))
        .collect();
    assert_eq!(segments.len(), 2);
    let length = |objects: &MemoryObjects, name: &str| objects.read(name, None).unwrap().len();
    for name in &segments {
        for at in 0..length(&objects, name) {
            let copy = Arc::new(objects.snapshot());
            assert!(copy.damage(name, |bytes| bytes[at] ^= 4));
            let store = store_over(copy, &Options::default());
            for outcome in [
                store.verify(&statement.manifest),
                load(&store, &statement.manifest).map(drop),
            ] {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind, Kind::Corrupt, "{error}");
                assert!(error.message.contains(name.as_str()), "{error}");
            }
        }
        let copy = Arc::new(objects.snapshot());
        copy.damage(name, |bytes| {
            bytes.pop();
        });
        let error = store_over(copy.clone(), &Options::default())
            .verify(&statement.manifest)
            .unwrap_err();
        assert!(error.message.contains("long"), "{error}");
        copy.delete(name).unwrap();
        let error = store_over(copy, &Options::default())
            .verify(&statement.manifest)
            .unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt);
        assert!(
            error.message.contains(name.as_str()) && error.message.contains("missing"),
            "{error}"
        );
    }
    for at in 0..length(&objects, &manifest_name) {
        let copy = Arc::new(objects.snapshot());
        copy.damage(&manifest_name, |bytes| bytes[at] ^= 1);
        let store = store_over(copy, &Options::default());
        let error = store.read_manifest(&statement.manifest.name()).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "byte {at}: {error}");
        assert!(error.message.contains(&manifest_name), "{error}");
    }
}

#[test]
fn a_manifest_under_another_name_is_refused() {
    let objects = Arc::new(MemoryObjects::default());
    let mut statement = Statement::new(objects.clone());
    statement.checkpoint(&[]).unwrap();
    let bytes = objects
        .read(&statement.manifest.name().to_string(), None)
        .unwrap();
    let other = CheckpointName::new("run", 7);
    objects
        .put(&other.to_string(), &[bytes], objects::PutMode::Overwrite)
        .unwrap();
    let error = statement.store.read_manifest(&other).unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
    let missing = statement
        .store
        .read_manifest(&CheckpointName::new("run", 8))
        .unwrap_err();
    assert!(missing.message.contains("missing"), "{missing}");
}

/// Of the only run, what comes before an epoch.
fn settled(in_progress: &CheckpointName) -> Settled<'_> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    Settled {
        in_progress,
        outlived: &NONE,
    }
}

#[test]
fn retention_keeps_what_manifests_and_savepoints_refer_to() {
    let objects = Arc::new(MemoryObjects::default());
    let mut statement = Statement::new(objects.clone());
    let mut merged = Vec::new();
    for epoch in 1..=12 {
        statement.checkpoint(&merged).unwrap();
        let store = &statement.store;
        if epoch == 4 {
            store.write_savepoint("four", &statement.manifest).unwrap();
            let taken = store.write_savepoint("four", &Manifest::default());
            assert_eq!(taken.unwrap_err().kind, Kind::Invalid);
        }
        // A merge that was begun an epoch too early for the epoch in progress to protect what it writes.
        merged = statement.compact().unwrap();
        let keep = [statement.manifest.name()];
        let later = CheckpointName::new("run", epoch + 2);
        store.collect(&keep, settled(&later)).unwrap();
        assert_eq!(assert_restorable(objects.clone()), epoch);
    }
    let store = &statement.store;
    assert_eq!(store.list_savepoints().unwrap(), ["four"]);
    assert_eq!(store.read_savepoint("four").unwrap().epoch, 4);
    assert_eq!(
        store.read_savepoint("five").unwrap_err().kind,
        Kind::Invalid
    );
    store.delete_savepoint("four").unwrap();
    store
        .collect(&[statement.manifest.name()], settled(&statement.next()))
        .unwrap();
    let left = objects.names().len();
    assert!(left < 12, "{:?}", objects.names());
}

#[test]
fn nothing_is_deleted_when_a_kept_manifest_cannot_be_read() {
    let objects = Arc::new(MemoryObjects::default());
    let mut statement = Statement::new(objects.clone());
    for _ in 0..3 {
        statement.checkpoint(&[]).unwrap();
    }
    let kept = CheckpointName::new("run", 2);
    objects.damage(&kept.to_string(), |bytes| bytes[20] ^= 1);
    let before = objects.names();
    let outcome = statement.store.collect(&[kept], settled(&statement.next()));
    assert_eq!(outcome.unwrap_err().kind, Kind::Corrupt);
    assert_eq!(objects.names(), before);
}

/// The steps of a life: checkpoints, a savepoint, merges, collections. Fails where the process dies.
fn live(objects: Arc<dyn Objects>) -> Result<()> {
    let options = Options::from_pairs([("read.parallelism", "1")])?;
    let mut statement = Statement::with_options(objects, &options);
    for epoch in 1..=4 {
        let replacements = statement.compact()?;
        statement.checkpoint(&replacements)?;
        let record = EpochRecord {
            run: "run".into(),
            epoch,
            checkpoint: statement.manifest.name().to_string(),
        };
        statement.store.note_committed(&record)?;
        if epoch == 2 {
            statement
                .store
                .write_savepoint("two", &statement.manifest)?;
        }
        let keep = [statement.manifest.name()];
        statement.store.collect(&keep, settled(&statement.next()))?;
    }
    Ok(())
}

#[test]
fn a_crash_between_any_two_steps_leaves_a_restorable_store() {
    let mut newest = 0;
    for calls_max in 0.. {
        let memory = Arc::new(MemoryObjects::default());
        let plan = FaultPlan {
            calls_max: Some(calls_max),
            ..FaultPlan::default()
        };
        let outcome = live(Arc::new(FaultyObjects::new(memory.clone(), plan, 1)));
        let epoch = assert_restorable(memory.clone());
        assert!(epoch >= newest, "epoch {epoch} after {newest}");
        newest = epoch;
        let store = store_over(memory.clone(), &Options::default());
        let noted = store.committed_note().unwrap();
        if let Some(noted) = &noted {
            let name: CheckpointName = noted.checkpoint.parse().unwrap();
            store.read_manifest(&name).unwrap();
        }
        assert!(epoch - noted.map_or(0, |noted| noted.epoch) <= 1);
        // The next process removes the garbage.
        if epoch > 0 {
            let keep = [CheckpointName::new("run", epoch)];
            let next = CheckpointName::new("run", epoch + 100);
            store.collect(&keep, settled(&next)).unwrap();
            assert_eq!(assert_restorable(memory.clone()), epoch);
            let referenced: usize = memory.names().len();
            store.collect(&keep, settled(&next)).unwrap();
            assert_eq!(memory.names().len(), referenced);
        }
        if outcome.is_ok() {
            assert_eq!(newest, 4);
            return;
        }
    }
}

#[test]
fn a_store_that_often_fails_still_works() {
    for seed in 0..8 {
        let memory = Arc::new(MemoryObjects::default());
        let plan = FaultPlan {
            failing: 0.2,
            unanswered: 0.1,
            truncated: 0.1,
            flipped: 0.1,
            ..FaultPlan::default()
        };
        let faulty = Arc::new(FaultyObjects::new(memory.clone(), plan, seed));
        let options = Options::from_pairs([
            ("read.parallelism", "1"),
            ("retry.attempts-max", "20"),
            ("retry.damage-attempts-max", "20"),
        ])
        .unwrap();
        let mut statement = Statement::with_options(faulty.clone(), &options);
        statement.store.probe().unwrap();
        for _ in 0..6 {
            let replacements = statement.compact().unwrap();
            statement.checkpoint(&replacements).unwrap();
            let keep = [statement.manifest.name()];
            statement
                .store
                .collect(&keep, settled(&statement.next()))
                .unwrap();
        }
        statement.store.verify(&statement.manifest).unwrap();
        let loaded = load(&statement.store, &statement.manifest).unwrap();
        assert_eq!(loaded, statement.model, "seed {seed}");
        assert!(faulty.fault_count() > 10, "seed {seed}");
        assert_eq!(assert_restorable(memory), 6);
    }
}

#[test]
fn a_store_that_cannot_be_used_is_found_at_the_start() {
    let plans = [
        FaultPlan {
            is_read_only: true,
            ..FaultPlan::default()
        },
        FaultPlan {
            is_full: true,
            ..FaultPlan::default()
        },
        FaultPlan {
            failing: 1.0,
            ..FaultPlan::default()
        },
        FaultPlan {
            flipped: 1.0,
            ..FaultPlan::default()
        },
    ];
    for plan in plans {
        let faulty = FaultyObjects::new(Arc::new(MemoryObjects::default()), plan, 1);
        let faulty = Arc::new(faulty);
        let error = store_over(faulty.clone(), &Options::default())
            .probe()
            .unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.message.contains("memory"), "{error}");
        assert!(faulty.call_count() <= 8, "attempts are bounded");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let location = Location::Local(file.path().join("below-a-file"));
    let options = Options::from_pairs([("retry.pause-ms", "1")]).unwrap();
    let error = CheckpointStore::open(&location, &options, runtime.handle()).unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    let shown = location.to_string();
    assert!(error.message.contains(&shown), "{error}");
}

#[test]
fn a_full_disk_fails_the_checkpoint_and_leaves_the_one_before() {
    let memory = Arc::new(MemoryObjects::default());
    let faulty = Arc::new(FaultyObjects::new(memory.clone(), FaultPlan::default(), 1));
    let mut statement = Statement::new(faulty.clone());
    statement.checkpoint(&[]).unwrap();
    faulty.set_plan(FaultPlan {
        is_full: true,
        ..FaultPlan::default()
    });
    let error = statement.checkpoint(&[]).unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("no space left"), "{error}");
    faulty.set_plan(FaultPlan::default());
    statement.checkpoint(&[]).unwrap();
    assert_eq!(assert_restorable(memory), 2);
}

#[test]
fn the_note_of_what_is_committed_does_not_go_back() {
    let store = store_over(Arc::new(MemoryObjects::default()), &Options::default());
    let record = |run: &str, epoch| EpochRecord {
        run: run.into(),
        epoch,
        checkpoint: CheckpointName::new(run, epoch).to_string(),
    };
    assert_eq!(store.committed_note().unwrap(), None);
    store.note_committed(&record("a", 5)).unwrap();
    store.note_committed(&record("a", 5)).unwrap();
    let stale = store.note_committed(&record("a", 4)).unwrap_err();
    assert_eq!(stale.kind, Kind::Conflict);
    store.note_committed(&record("b", 1)).unwrap();
    assert_eq!(store.committed_note().unwrap(), Some(record("b", 1)));
}
