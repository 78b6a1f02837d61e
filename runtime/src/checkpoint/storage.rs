//! Checkpoints as files of a local directory.
//!
//! Place in the flow: the coordinator thread stores, a starting job restores. Invariant: a file has its final name only once its
//! bytes are durable, and the newest but one is kept, so that a crash at any moment leaves one that can be read.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Kind, Result};

/// Checkpoints kept: the newest, and the one before it in case the newest is damaged.
const RETAINED_COUNT: usize = 2;

/// The file of an epoch.
fn path_of(dir: &Path, epoch: u64) -> PathBuf {
    dir.join(format!("chk-{epoch:020}"))
}

/// Epochs stored in a directory, newest first.
fn epochs(dir: &Path) -> Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::storage(format!(
                "checkpoint directory {}: {error}",
                dir.display()
            )));
        }
    };
    let mut epochs: Vec<u64> = Vec::new();
    for entry in entries {
        if let Some(epoch) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix("chk-")?.parse().ok())
        {
            epochs.push(epoch);
        }
    }
    epochs.sort_unstable_by(|a, b| b.cmp(a));
    Ok(epochs)
}

/// Stores a checkpoint durably and removes those that are not kept any more; the bytes stored.
///
/// # Errors
/// `Unavailable` naming the file when the directory cannot be written.
pub fn store(dir: &Path, checkpoint: &Checkpoint) -> Result<u64> {
    let bytes = checkpoint.encode()?;
    let path = path_of(dir, checkpoint.epoch);
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(dir)?;
        let partial = dir.join("partial");
        let mut file = File::create(&partial)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| Error::storage(format!("checkpoint {}: {error}", path.display())))?;
    for epoch in epochs(dir)?.into_iter().skip(RETAINED_COUNT) {
        if let Err(error) = fs::remove_file(path_of(dir, epoch)) {
            tracing::warn!(epoch, %error, "an old checkpoint could not be removed");
        }
    }
    Ok(bytes.len() as u64)
}

/// The newest checkpoint of a plan that can be read; damaged newer ones are named in the log and passed over, which is right
/// under at-least-once delivery.
///
/// # Errors
/// `Invalid` when the newest one belongs to another plan; `Corrupt` when there are checkpoints and none can be read;
/// `Unavailable` when the directory cannot be read.
pub fn restore(dir: &Path, plan_hash: u64) -> Result<Option<Checkpoint>> {
    let mut damaged = None;
    for epoch in epochs(dir)? {
        let path = path_of(dir, epoch);
        let bytes = fs::read(&path)
            .map_err(|error| Error::storage(format!("checkpoint {}: {error}", path.display())))?;
        match Checkpoint::decode(&bytes) {
            Ok(checkpoint) if checkpoint.plan_hash == plan_hash => return Ok(Some(checkpoint)),
            Ok(_) => {
                return Err(Error::validation(format!(
                    "checkpoint {} belongs to another plan; use the directory of this statement or an empty one",
                    path.display()
                )));
            }
            Err(error) if error.kind == Kind::Corrupt => {
                tracing::warn!(path = %path.display(), %error, "a damaged checkpoint was passed over");
                damaged = Some(error.context(&path.display().to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    damaged.map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_readable_checkpoint_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        for epoch in 1..=3 {
            store(
                dir.path(),
                &Checkpoint {
                    epoch,
                    plan_hash: 5,
                    ..Checkpoint::default()
                },
            )
            .unwrap();
        }
        assert_eq!(epochs(dir.path()).unwrap(), [3, 2]);
        assert_eq!(restore(dir.path(), 5).unwrap().unwrap().epoch, 3);
        fs::write(path_of(dir.path(), 3), b"damaged").unwrap();
        assert_eq!(restore(dir.path(), 5).unwrap().unwrap().epoch, 2);
        assert_eq!(restore(dir.path(), 6).unwrap_err().kind, Kind::Invalid);
        fs::write(path_of(dir.path(), 2), b"damaged").unwrap();
        assert_eq!(restore(dir.path(), 5).unwrap_err().kind, Kind::Corrupt);
        assert_eq!(restore(&dir.path().join("missing"), 5).unwrap(), None);
    }
}
