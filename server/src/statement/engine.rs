//! The adapter between statements and the runtime's jobs: the only file of the server that knows how a job is started, where its
//! checkpoints are and how they are named.
//!
//! Place in the flow: `executor` starts and ends jobs here; `savepoints` and `transfer` reach checkpoints through it. Invariant: a run
//! (uuid) has its checkpoints to itself, and a run that has one of its own never goes back to where it came from.
//!
//! # Connecting the runtime's own savepoints
//! The present runtime keeps one file per checkpoint of a directory, restores the newest and knows neither runs, savepoints nor live
//! rescaling. Everything under "Emulation" below stands for these until the runtime has them; nothing outside of this file changes
//! when it does:
//! - [`StartSpec`] has the members of the coming `JobSpec` (`run`, `checkpoint_location`, `restore`).
//! - [`Running::savepoint`] becomes `Job::savepoint(name)` and waits on its receiver.
//! - [`Running::rescale`] becomes `Job::rescale(n)` and answers [`Rescaled::Live`].
//! - [`Ended::Stopped`] takes `checkpoint` from the event.
//! - [`Checkpoints`] becomes a thin cover of the checkpoint store: `list`, `retain`, `remove_savepoint`, `source`, `target`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weir_model::meter;
use weir_runtime::checkpoint::Checkpoint;
use weir_runtime::connector::results::Results;
use weir_runtime::connector::source::SplitPosition;
use weir_runtime::error::{Error, Result};
use weir_runtime::plan::StreamPlan;
use weir_runtime::task::{Environment, Job, JobConfig, JobEvent, JobSpec, StartFrom};

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

/// What became of a request for other slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rescaled {
    /// The job has them now.
    #[expect(dead_code, reason = "the present runtime cannot rescale a running job")]
    Live,
    /// The job was asked to stop; it is to be started again with them.
    ByRestart,
}

/// A running job.
#[derive(Debug)]
pub(super) struct Running {
    /// The job.
    job: Job,
    /// Its checkpoints.
    checkpoints: Option<Checkpoints>,
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
        if let Some(checkpoints) = &spec.checkpoints {
            checkpoints.prepare(&spec.restore)?;
        }
        let job_spec = JobSpec {
            statement_name: spec.statement_name.clone(),
            statement_uid: spec.statement_uid.clone(),
            plan: spec.plan.clone(),
            parallelism: spec.parallelism as usize,
            run: spec
                .checkpoints
                .as_ref()
                .map_or_else(String::new, |checkpoints| checkpoints.run.clone()),
            checkpoint_dir: spec.checkpoints.as_ref().map(Checkpoints::run_dir),
            start_from: match spec.restore {
                RestoreFrom::Latest | RestoreFrom::Nothing => StartFrom::Committed,
                RestoreFrom::Savepoint(_) => StartFrom::Savepoint,
                RestoreFrom::Checkpoint { .. } => StartFrom::AcceptDuplicates,
            },
            config: spec.config.clone(),
        };
        let job = Job::start(
            &job_spec,
            environment,
            Box::new(move |event| on_end(event.into())),
        )?;
        Ok(Self {
            job,
            checkpoints: spec.checkpoints.clone(),
        })
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

    /// Takes a savepoint and goes on. Waits.
    ///
    /// # Errors
    /// `Invalid` without checkpoints or before the first; `Unavailable` when it cannot be stored.
    pub(super) fn savepoint(&self, name: &str) -> Result<SavepointInfo> {
        let checkpoints = self.checkpoints.as_ref().ok_or_else(|| {
            Error::validation("a statement without checkpoints has no savepoints")
        })?;
        checkpoints.retain(name)
    }

    /// Asks for other slots. Waits.
    ///
    /// # Errors
    /// Whatever keeps the job from having them; it goes on as it was.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a live rescale, which the runtime does not have yet, can fail"
    )]
    pub(super) fn rescale(&self, _parallelism: u32) -> Result<Rescaled> {
        self.job.stop();
        Ok(Rescaled::ByRestart)
    }
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

/// The checkpoints and savepoints of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoints {
    /// Directory of the statement.
    root: PathBuf,
    /// The present run; empty for statements of before there were runs.
    run: String,
}

impl Checkpoints {
    /// Those of a statement in its present run.
    pub(super) fn new(root: PathBuf, run: &str) -> Self {
        Self {
            root,
            run: run.to_owned(),
        }
    }

    /// Checkpoints of the present run, newest first; damaged ones are left out.
    ///
    /// # Errors
    /// `Unavailable` naming the directory that cannot be read.
    pub(super) fn list(&self) -> Result<Vec<SavepointInfo>> {
        let mut found = Vec::new();
        for (_, path) in files(&self.run_dir())? {
            match read(&path) {
                Ok(info) => found.push(info),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a checkpoint is not listed");
                }
            }
        }
        Ok(found)
    }

    /// Keeps the newest checkpoint of the present run as a savepoint. The same name again is the same savepoint anew.
    ///
    /// # Errors
    /// `Invalid` when there is no checkpoint; `Corrupt` when it is damaged; `Unavailable` when it cannot be copied.
    pub(super) fn retain(&self, name: &str) -> Result<SavepointInfo> {
        let newest = files(&self.run_dir())?.into_iter().next();
        let (_, path) = newest.ok_or_else(|| {
            Error::validation(
                "there is no checkpoint to keep yet: the first one follows the first records read",
            )
        })?;
        let dir = self.savepoint_dir(name);
        let copied = copy_into(&path, &dir)?;
        Ok(SavepointInfo {
            location: dir.display().to_string(),
            ..read(&copied)?
        })
    }

    /// Deletes the files of a savepoint; one that is gone already is no error.
    ///
    /// # Errors
    /// `Unavailable` naming what cannot be removed.
    pub(super) fn remove_savepoint(location: &str) -> Result<()> {
        remove_dir(Path::new(location))
    }

    /// Deletes checkpoints of earlier runs, once the present one has its own.
    ///
    /// # Errors
    /// `Unavailable` naming what cannot be removed.
    pub(super) fn forget_other_runs(&self) -> Result<()> {
        let kept = [self.run_dir(), self.root.join(SAVEPOINTS)];
        for path in entries(&self.root)? {
            if path.is_dir() && !kept.contains(&path) {
                remove_dir(&path)?;
            }
        }
        Ok(())
    }

    /// Deletes everything of the statement.
    ///
    /// # Errors
    /// `Unavailable` naming what cannot be removed.
    pub(super) fn remove_all(&self) -> Result<()> {
        remove_dir(&self.root)
    }

    /// The objects of a savepoint, for an export.
    pub(super) fn source(location: &str) -> Box<dyn SavepointSource> {
        Box::new(DirectorySource {
            dir: PathBuf::from(location),
        })
    }

    /// Where the objects of an imported savepoint go.
    pub(super) fn target(&self, name: &str) -> Box<dyn SavepointTarget> {
        Box::new(DirectoryTarget {
            dir: self.savepoint_dir(name),
        })
    }

    /// Directory of a savepoint.
    fn savepoint_dir(&self, name: &str) -> PathBuf {
        self.root.join(SAVEPOINTS).join(name)
    }

    /// Directory of the present run.
    fn run_dir(&self) -> PathBuf {
        if self.run.is_empty() {
            self.root.clone()
        } else {
            self.root.join(&self.run)
        }
    }

    /// Emulation: puts the directory of the run into the state from which restoring the newest file is what was asked for. Doing it
    /// again changes nothing.
    ///
    /// # Errors
    /// `Invalid` when the checkpoint or savepoint is not there; `Unavailable` when it cannot be copied.
    fn prepare(&self, restore: &RestoreFrom) -> Result<()> {
        let dir = self.run_dir();
        let present = files(&dir)?;
        match restore {
            RestoreFrom::Savepoint(location) if present.is_empty() => {
                let stored = files(Path::new(location))?.into_iter().next();
                let (_, path) = stored.ok_or_else(|| {
                    Error::validation(format!("there is no savepoint at {location}"))
                })?;
                copy_into(&path, &dir).map(drop)
            }
            RestoreFrom::Checkpoint { epoch, .. } => {
                if !present.iter().any(|(found, _)| found == epoch) {
                    let known: Vec<String> =
                        present.iter().map(|(epoch, _)| epoch.to_string()).collect();
                    return Err(Error::validation(format!(
                        "there is no checkpoint of epoch {epoch}; there are: {}",
                        known.join(", ")
                    )));
                }
                for (_, path) in present.iter().filter(|(found, _)| found > epoch) {
                    std::fs::remove_file(path).map_err(|error| refused(path, &error))?;
                }
                Ok(())
            }
            RestoreFrom::Latest if !present.is_empty() => {
                if let Err(error) = self.forget_other_runs() {
                    tracing::warn!(%error, "checkpoints of an earlier run are left behind");
                }
                Ok(())
            }
            RestoreFrom::Savepoint(_) | RestoreFrom::Latest | RestoreFrom::Nothing => Ok(()),
        }
    }
}

/// Emulation: directory of savepoints beside those of runs.
const SAVEPOINTS: &str = "savepoints";

/// Emulation: what the names of checkpoint files begin with; the epoch follows with 20 digits.
const PREFIX: &str = "chk-";

/// Emulation: the objects of a savepoint in a local directory.
#[derive(Debug)]
struct DirectorySource {
    /// The directory.
    dir: PathBuf,
}

impl SavepointSource for DirectorySource {
    fn objects(&self) -> Result<Vec<SavepointObject>> {
        let mut objects = Vec::new();
        for path in entries(&self.dir)? {
            let metadata = path.metadata().map_err(|error| refused(&path, &error))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            objects.push(SavepointObject {
                name: name.into_owned(),
                bytes: metadata.len(),
            });
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> Result<Bytes> {
        use std::io::{Read, Seek, SeekFrom};
        let path = self.dir.join(name);
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = std::fs::File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(bytes_max as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Ok(read().map_err(|error| refused(&path, &error))?.into())
    }
}

/// Emulation: a local directory that becomes a savepoint.
#[derive(Debug)]
struct DirectoryTarget {
    /// The directory.
    dir: PathBuf,
}

impl SavepointTarget for DirectoryTarget {
    fn put(&self, name: &str, file: &Path) -> Result<()> {
        let path = self.dir.join(name);
        let parent = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(parent).map_err(|error| refused(parent, &error))?;
        std::fs::copy(file, &path).map_err(|error| refused(&path, &error))?;
        sync(&path)
    }

    fn finish(&self) -> Result<String> {
        sync(&self.dir)?;
        Ok(self.dir.display().to_string())
    }
}

/// Emulation: checkpoint files of a directory with their epochs, newest first; none when it does not exist.
fn files(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found: Vec<(u64, PathBuf)> = entries(dir)?
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            Some((name.strip_prefix(PREFIX)?.parse().ok()?, path))
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    Ok(found)
}

/// What a checkpoint file holds.
fn read(path: &Path) -> Result<SavepointInfo> {
    let bytes = std::fs::read(path).map_err(|error| refused(path, &error))?;
    let checkpoint = Checkpoint::decode(&bytes)?;
    let splits = checkpoint.nodes.values().flat_map(|node| &node.splits);
    Ok(SavepointInfo {
        location: path.display().to_string(),
        epoch: checkpoint.epoch,
        positions: splits.map(|split| split.position.clone()).collect(),
    })
}

/// Copies a file into a directory that holds nothing else afterwards, durably and under its final name only when it is whole.
fn copy_into(file: &Path, dir: &Path) -> Result<PathBuf> {
    let copy = || -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(dir)?;
        let partial = dir.join("partial");
        std::fs::copy(file, &partial)?;
        std::fs::File::open(&partial)?.sync_all()?;
        let target = dir.join(file.file_name().unwrap_or_default());
        std::fs::rename(&partial, &target)?;
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path != target {
                std::fs::remove_file(path)?;
            }
        }
        std::fs::File::open(dir)?.sync_all()?;
        Ok(target)
    };
    copy().map_err(|error| refused(dir, &error))
}

/// What is in a directory; nothing when it does not exist.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let listed = match std::fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(refused(dir, &error)),
    };
    listed
        .map(|entry| Ok(entry.map_err(|error| refused(dir, &error))?.path()))
        .collect()
}

/// Makes a file or directory durable.
fn sync(path: &Path) -> Result<()> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| refused(path, &error))
}

/// Removes a directory; one that is gone already is no error.
fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(refused(dir, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A path that refuses.
fn refused(path: &Path, error: &std::io::Error) -> Error {
    Error::storage(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use weir_runtime::checkpoint::storage;

    use super::*;

    /// Checkpoints of a run with these epochs.
    fn with_epochs(root: &Path, run: &str, epochs: &[u64]) -> Checkpoints {
        let checkpoints = Checkpoints::new(root.to_owned(), run);
        for epoch in epochs {
            let checkpoint = Checkpoint {
                epoch: *epoch,
                ..Checkpoint::default()
            };
            storage::store(&checkpoints.run_dir(), &checkpoint).unwrap();
        }
        checkpoints
    }

    /// Epochs of the present run.
    fn epochs(checkpoints: &Checkpoints) -> Vec<u64> {
        let list = checkpoints.list().unwrap();
        list.iter().map(|info| info.epoch).collect()
    }

    #[test]
    fn a_new_run_begins_with_its_savepoint_and_never_goes_back_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = with_epochs(dir.path(), "first", &[3, 4]);
        let kept = first.retain("before").unwrap();
        assert_eq!(kept.epoch, 4);
        let restore = RestoreFrom::Savepoint(kept.location.clone());
        let second = Checkpoints::new(dir.path().to_owned(), "second");
        second.prepare(&restore).unwrap();
        assert_eq!(epochs(&second), [4]);
        with_epochs(dir.path(), "second", &[5]);
        second.prepare(&restore).unwrap();
        assert_eq!(epochs(&second), [5, 4], "its own checkpoint counts");
        second.forget_other_runs().unwrap();
        assert!(epochs(&first).is_empty());
        assert_eq!(epochs(&second), [5, 4]);
        Checkpoints::remove_savepoint(&kept.location).unwrap();
        Checkpoints::remove_savepoint(&kept.location).unwrap();
        let third = Checkpoints::new(dir.path().to_owned(), "third");
        assert!(third.prepare(&restore).is_err(), "the savepoint is gone");
    }

    #[test]
    fn an_older_checkpoint_counts_when_it_was_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = with_epochs(dir.path(), "run", &[6, 7]);
        let from = |epoch| RestoreFrom::Checkpoint {
            epoch,
            accept_duplicates: true,
        };
        let error = checkpoints.prepare(&from(5)).unwrap_err();
        assert!(error.message.contains("7, 6"), "{error}");
        checkpoints.prepare(&from(6)).unwrap();
        checkpoints.prepare(&from(6)).unwrap();
        assert_eq!(epochs(&checkpoints), [6]);
    }

    #[test]
    fn nothing_to_keep_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let none = Checkpoints::new(dir.path().to_owned(), "run");
        assert!(none.retain("s").is_err());
        none.remove_all().unwrap();
    }

    #[test]
    fn objects_are_copied_through_the_two_traits() {
        let dir = tempfile::tempdir().unwrap();
        let from = with_epochs(&dir.path().join("a"), "run", &[9]);
        let source = Checkpoints::source(&from.retain("s").unwrap().location);
        let to = Checkpoints::new(dir.path().join("b"), "run");
        let target = to.target("s");
        for object in source.objects().unwrap() {
            let bytes = source.read(&object.name, 0, usize::MAX).unwrap();
            assert_eq!(bytes.len() as u64, object.bytes);
            let staged = dir.path().join("staged");
            std::fs::write(&staged, &bytes).unwrap();
            target.put(&object.name, &staged).unwrap();
        }
        to.prepare(&RestoreFrom::Savepoint(target.finish().unwrap()))
            .unwrap();
        assert_eq!(epochs(&to), [9]);
    }
}
