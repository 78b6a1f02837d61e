//! The adapter between statements and the runtime's jobs: the only file of the server that knows how a job is started, where its
//! checkpoints are and how they are named.
//!
//! Place in the flow: `executor` starts and ends jobs here; `savepoints` and `transfer` reach checkpoints through it. Invariant: a run
//! (uuid) has its checkpoints to itself, and a run that has one of its own never goes back to where it came from.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use weir_model::meter;
use weir_runtime::checkpoint::store::objects::Object;
use weir_runtime::checkpoint::store::{
    CheckpointName, CheckpointStore, Location, Manifest, Options, Owner,
};
use weir_runtime::connector::results::Results;
use weir_runtime::connector::source::SplitPosition;
use weir_runtime::error::{Code, Error, Kind, Result};
use weir_runtime::plan::StreamPlan;
use weir_runtime::task::{self, Environment, Job, JobConfig, JobEvent, JobSpec, StartFrom};

use super::record::RestoreFrom;
use super::transfer::{SavepointObject, SavepointSource, SavepointTarget};

/// What is to run.
#[derive(Debug, Clone)]
pub(super) struct StartSpec {
    /// Statement name.
    pub(super) statement_name: String,
    /// Statement uid.
    pub(super) statement_uid: String,
    /// What to do.
    pub(super) plan: StreamPlan,
    /// Slots.
    pub(super) parallelism: u32,
    /// Where checkpoints are; absent for foreground statements.
    pub(super) checkpoints: Option<Checkpoints>,
    /// Which of them counts.
    pub(super) restore: RestoreFrom,
    /// Settings.
    pub(super) config: JobConfig,
}

/// How a job has ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    /// All input was processed.
    Finished,
    /// On request, after a last checkpoint.
    Stopped {
        /// Next offsets.
        positions: Vec<SplitPosition>,
    },
    /// On request, without one.
    Cancelled,
    /// By an error.
    Failed(Error),
}

/// A completed checkpoint or savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SavepointInfo {
    /// Where it is.
    pub(super) location: String,
    /// Its epoch.
    pub(super) epoch: u64,
    /// Next offsets.
    pub(super) positions: Vec<SplitPosition>,
}

/// A running job.
#[derive(Debug)]
pub(super) struct Running {
    /// The job.
    job: Job,
}

impl Running {
    /// Restores what counts and starts the slots. Waits for the outside world.
    ///
    /// # Errors
    /// Whatever keeps the job from starting.
    pub(super) fn start(
        spec: &StartSpec,
        environment: &Environment,
        on_end: Box<dyn FnOnce(Ended) + Send>,
    ) -> Result<Self> {
        let checkpoints = spec
            .checkpoints
            .as_ref()
            .map(|checkpoints| checkpoints.of_job(&spec.restore))
            .transpose()?;
        let job_spec = JobSpec {
            statement_name: spec.statement_name.clone(),
            statement_uid: spec.statement_uid.clone(),
            plan: spec.plan.clone(),
            parallelism: spec.parallelism as usize,
            checkpoints,
            config: spec.config.clone(),
        };
        let job = Job::start(
            &job_spec,
            environment,
            Box::new(move |event| on_end(event.into())),
        )?;
        Ok(Self { job })
    }

    /// Counters and gauges now.
    pub(super) fn meter(&self) -> meter::Job {
        self.job.meter()
    }

    /// Ends sources at their present ends.
    pub(super) fn drain(&self) {
        self.job.drain();
    }

    /// Takes a last checkpoint and ends.
    pub(super) fn stop(&self) {
        self.job.stop();
    }

    /// Ends at once.
    pub(super) fn cancel(&self) {
        self.job.cancel();
    }

    /// The results of a foreground statement.
    pub(super) fn results(&self) -> Option<Arc<Results>> {
        self.job.results()
    }

    /// Takes a savepoint of what was read up to now, and goes on. Waits.
    ///
    /// # Errors
    /// `Invalid` without checkpoints; `Unavailable` when it cannot be stored, or the job ends before.
    pub(super) fn savepoint(&self, name: &str) -> Result<SavepointInfo> {
        let savepoint = answer(&self.job.savepoint(name))?;
        Ok(SavepointInfo {
            location: name.to_owned(),
            epoch: savepoint.epoch,
            positions: savepoint.positions,
        })
    }

    /// Goes on with other slots. Waits.
    ///
    /// # Errors
    /// Whatever keeps the job from having them.
    pub(super) fn rescale(&self, parallelism: u32) -> Result<()> {
        answer(&self.job.rescale(parallelism as usize))
    }
}

/// The answer of a job.
fn answer<T>(answer: &Receiver<Result<T>>) -> Result<T> {
    let ended = || Error::unavailable("the statement has ended meanwhile");
    answer.recv().map_err(|_| ended())?
}

impl From<JobEvent> for Ended {
    fn from(event: JobEvent) -> Self {
        match event {
            JobEvent::Finished => Self::Finished,
            JobEvent::Stopped { positions } => Self::Stopped { positions },
            JobEvent::Cancelled => Self::Cancelled,
            JobEvent::Failed(error) => Self::Failed(error),
        }
    }
}

/// Where the checkpoints of all statements are, each in a folder of its own.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointPlace {
    /// The folder of all statements.
    pub(crate) location: Location,
    /// How it is reached.
    pub(crate) options: Arc<Options>,
    /// What remote stores run on.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The checkpoints and savepoints of a statement.
#[derive(Debug, Clone)]
pub(super) struct Checkpoints {
    /// Where they are.
    place: CheckpointPlace,
    /// Uid of the statement, which is the name of its folder.
    uid: String,
    /// The present run.
    run: String,
}

impl Checkpoints {
    /// Those of a statement in its present run.
    pub(super) fn new(place: CheckpointPlace, uid: &str, run: &str) -> Self {
        Self {
            place,
            uid: uid.to_owned(),
            run: run.to_owned(),
        }
    }

    /// The store, without a try whether it answers.
    fn store(&self) -> Result<CheckpointStore> {
        let location = self.place.location.join(&self.uid)?;
        CheckpointStore::connect(&location, &self.place.options, &self.place.runtime)
    }

    /// What a job is started with.
    ///
    /// # Errors
    /// `Unavailable`, naming the place, when it cannot be used.
    fn of_job(&self, restore: &RestoreFrom) -> Result<task::Checkpoints> {
        let store = self.store()?;
        store.probe()?;
        Ok(task::Checkpoints {
            store: Arc::new(store),
            run: self.run.clone(),
            start_from: match restore {
                RestoreFrom::Latest | RestoreFrom::Nothing => StartFrom::Committed,
                RestoreFrom::Savepoint(name) => StartFrom::Savepoint(name.clone()),
                RestoreFrom::Checkpoint { epoch, .. } => StartFrom::Checkpoint(*epoch),
            },
        })
    }

    /// Checkpoints of the present run, newest first; damaged ones are left out.
    ///
    /// # Errors
    /// `Unavailable` naming the place that cannot be read.
    pub(super) fn list(&self) -> Result<Vec<SavepointInfo>> {
        let store = self.store()?;
        let mut found = Vec::new();
        for name in self.names(&store)? {
            match store.read_manifest(&name) {
                Ok(manifest) => found.push(info_of(&name.to_string(), &manifest)),
                Err(error) => tracing::warn!(%error, "a checkpoint is not listed"),
            }
        }
        Ok(found)
    }

    /// Checkpoints of the present run, newest first, whether they can be read or not.
    fn names(&self, store: &CheckpointStore) -> Result<Vec<CheckpointName>> {
        let names = store.list()?.into_iter().map(|listed| listed.name);
        let mut names: Vec<CheckpointName> = names.filter(|name| name.run == self.run).collect();
        names.reverse();
        Ok(names)
    }

    /// Keeps the newest complete checkpoint of the present run as a savepoint, for a statement that does not run. The same name again
    /// is the same savepoint.
    ///
    /// # Errors
    /// `Invalid` when there is no checkpoint; `Corrupt` when it is damaged; `Unavailable` when it cannot be stored.
    pub(super) fn retain(&self, name: &str) -> Result<SavepointInfo> {
        let store = self.store()?;
        // A newer one that was stored and never committed is not what the statement would go on from.
        let note = store.committed_note()?.filter(|note| note.run == self.run);
        let newest = match note {
            Some(note) => Some(CheckpointName::new(note.run, note.epoch)),
            None => self.names(&store)?.into_iter().next(),
        };
        let newest = newest.ok_or_else(|| {
            Error::validation(
                "there is no checkpoint to keep yet: the first one follows the first records read",
            )
        })?;
        let manifest = store.read_manifest(&newest)?;
        match store.write_savepoint(name, &manifest) {
            Err(error) if error.code == Code::AlreadyExists => {
                let present = store.read_savepoint(name)?;
                if present.nodes != manifest.nodes {
                    return Err(error);
                }
            }
            written => drop(written?),
        }
        Ok(info_of(name, &manifest))
    }

    /// Deletes a savepoint; one that is gone already is no error.
    ///
    /// # Errors
    /// `Unavailable` naming what cannot be removed.
    pub(super) fn remove_savepoint(&self, name: &str) -> Result<()> {
        self.store()?.delete_savepoint(name)
    }

    /// Deletes everything of the statement.
    ///
    /// # Errors
    /// `Unavailable` naming what cannot be removed.
    pub(super) fn remove_all(&self) -> Result<()> {
        self.store()?.delete_all()
    }

    /// The objects of a savepoint, for an export.
    ///
    /// # Errors
    /// `Invalid` when there is none of that name; `Unavailable`.
    pub(super) fn source(&self, name: &str) -> Result<Box<dyn SavepointSource>> {
        let store = self.store()?;
        let objects = store.savepoint_objects(name)?;
        Ok(Box::new(StoredSavepoint { store, objects }))
    }

    /// Where the objects of an imported savepoint go.
    ///
    /// # Errors
    /// `Invalid` for settings that cannot work.
    pub(super) fn target(
        &self,
        name: &str,
        (statement_name, plan): (&str, &StreamPlan),
    ) -> Result<Box<dyn SavepointTarget>> {
        Ok(Box::new(ImportedSavepoint {
            store: self.store()?,
            name: name.to_owned(),
            statement_uid: self.uid.clone(),
            statement_name: statement_name.to_owned(),
            plan_hash: task::plan_hash(plan)?,
            manifest: Mutex::new(None),
        }))
    }
}

/// What is said of a checkpoint or savepoint.
fn info_of(location: &str, manifest: &Manifest) -> SavepointInfo {
    let splits = manifest.nodes.values().flat_map(|node| &node.splits);
    SavepointInfo {
        location: location.to_owned(),
        epoch: manifest.epoch,
        positions: splits.map(|split| split.position.clone()).collect(),
    }
}

/// A savepoint in a checkpoint store.
#[derive(Debug)]
struct StoredSavepoint {
    /// The store.
    store: CheckpointStore,
    /// Its objects.
    objects: Vec<Object>,
}

impl SavepointSource for StoredSavepoint {
    fn objects(&self) -> Result<Vec<SavepointObject>> {
        let objects = self.objects.iter().map(|object| SavepointObject {
            name: object.name.clone(),
            bytes: object.len,
        });
        Ok(objects.collect())
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> Result<Bytes> {
        let object = self.objects.iter().find(|object| object.name == name);
        let object =
            object.ok_or_else(|| Error::unknown(format!("the savepoint has no object {name}")))?;
        self.store.read_object(object, offset, bytes_max as u64)
    }
}

/// A savepoint that is being imported.
#[derive(Debug)]
struct ImportedSavepoint {
    /// The store.
    store: CheckpointStore,
    /// Its name.
    name: String,
    /// Whose it becomes.
    statement_uid: String,
    /// What that statement is called.
    statement_name: String,
    /// Hash of its plan.
    plan_hash: u64,
    /// Its manifest, once it has come.
    manifest: Mutex<Option<Manifest>>,
}

impl SavepointTarget for ImportedSavepoint {
    fn put(&self, name: &str, file: &Path) -> Result<()> {
        let bytes = std::fs::read(file)
            .map_err(|error| Error::storage(format!("{}: {error}", file.display())))?;
        // Everything that is no manifest says so itself.
        match Manifest::decode(&bytes) {
            Ok(manifest) => {
                let mut place = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
                *place = Some(manifest);
                Ok(())
            }
            Err(error) if error.kind == Kind::Unsupported => Err(error),
            Err(_) => self.store.put_segment(name, bytes.into()),
        }
    }

    fn finish(&self) -> Result<String> {
        let manifest = self
            .manifest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| Error::validation("the savepoint has no manifest"))?;
        let owner = Owner {
            statement_uid: &self.statement_uid,
            plan_hash: self.plan_hash,
        };
        self.store
            .adopt_savepoint(&self.name, manifest, (owner, &self.statement_name))?;
        Ok(self.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan without operators.
    fn plan() -> StreamPlan {
        StreamPlan {
            version: weir_runtime::plan::PLAN_VERSION,
            nodes: Vec::new(),
            time_zone: "UTC".to_owned(),
        }
    }

    /// A store in a directory, with checkpoints of these epochs.
    fn with_epochs(root: &Path, run: &str, epochs: &[u64]) -> Checkpoints {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let place = CheckpointPlace {
            location: Location::Local(root.to_owned()),
            options: Arc::default(),
            runtime: runtime.handle().clone(),
        };
        let checkpoints = Checkpoints::new(place, "uid", run);
        let store = checkpoints.store().unwrap();
        for epoch in epochs {
            let mut writer = weir_runtime::checkpoint::store::SegmentWriter::default();
            let delta = weir_runtime::checkpoint::entry::KeyGroupDelta {
                key_group: 3,
                entries: vec![2, 0, 1, 0, 0, 0, 7],
            };
            writer.push(1, delta);
            let mut manifest = Manifest {
                statement_uid: "uid".to_owned(),
                run: run.to_owned(),
                epoch: *epoch,
                plan_hash: task::plan_hash(&plan()).unwrap(),
                ..Manifest::default()
            };
            let written = store.write_segment(&manifest.name(), 0, writer).unwrap();
            manifest.append(written);
            store.write_manifest(&manifest).unwrap();
        }
        checkpoints
    }

    /// Epochs of the present run.
    fn epochs(checkpoints: &Checkpoints) -> Vec<u64> {
        let list = checkpoints.list().unwrap();
        list.iter().map(|info| info.epoch).collect()
    }

    #[test]
    fn the_newest_checkpoint_of_the_run_is_kept_and_the_same_name_is_the_same_savepoint() {
        let dir = tempfile::tempdir().unwrap();
        with_epochs(dir.path(), "other", &[9]);
        let checkpoints = with_epochs(dir.path(), "run", &[3, 4]);
        assert_eq!(epochs(&checkpoints), [4, 3]);
        let kept = checkpoints.retain("s").unwrap();
        assert_eq!((kept.location.as_str(), kept.epoch), ("s", 4));
        assert_eq!(checkpoints.retain("s").unwrap(), kept);
        with_epochs(dir.path(), "run", &[5]);
        assert!(checkpoints.retain("s").is_err(), "another one of that name");
        checkpoints.remove_savepoint("s").unwrap();
        checkpoints.remove_savepoint("s").unwrap();
        checkpoints.remove_all().unwrap();
        assert!(checkpoints.retain("s").is_err(), "nothing is left");
    }

    #[test]
    fn a_savepoint_is_copied_to_another_statement_with_the_same_plan() {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan());
        let from = with_epochs(&dir.path().join("a"), "run", &[9]);
        from.retain("s").unwrap();
        let source = from.source("s").unwrap();
        let to = Checkpoints {
            uid: "other".to_owned(),
            ..with_epochs(&dir.path().join("b"), "run", &[])
        };
        let copy = |plan: &StreamPlan| {
            let target = to.target("s", ("name", plan)).unwrap();
            for object in source.objects().unwrap() {
                let bytes = source.read(&object.name, 0, usize::MAX).unwrap();
                assert_eq!(bytes.len() as u64, object.bytes);
                let staged = dir.path().join("staged");
                std::fs::write(&staged, &bytes).unwrap();
                target.put(&object.name, &staged).unwrap();
            }
            target.finish()
        };
        let other_plan = StreamPlan {
            time_zone: "Asia/Tokyo".to_owned(),
            ..plan.clone()
        };
        assert!(
            copy(&other_plan).is_err(),
            "state does not fit another plan"
        );
        assert_eq!(copy(&plan).unwrap(), "s");
        let savepoint = to.store().unwrap().read_savepoint("s").unwrap();
        assert_eq!(
            (savepoint.statement_uid.as_str(), savepoint.epoch),
            ("other", 9)
        );
        to.store().unwrap().verify(&savepoint).unwrap();
    }
}
