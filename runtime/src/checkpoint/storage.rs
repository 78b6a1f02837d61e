//! Checkpoints as files of a local directory.
//!
//! Place in the flow: the coordinator thread stores, a starting job restores. Invariant: a file has its final name only once its
//! bytes are durable, and the newest but one is kept, so that a crash at any moment leaves one that can be read.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::checkpoint::commit::EpochRecord;
use crate::error::{Error, Kind, Result};
use crate::time::EpochMillis;

/// Checkpoints kept: the newest, and the one before it in case the newest is damaged.
const RETAINED_COUNT: usize = 2;

/// The file with the note of the committed epoch.
const NOTE: &str = "committed";

/// The name of an epoch's file, which is the name of its checkpoint.
pub fn name_of(epoch: u64) -> String {
    format!("chk-{epoch:020}")
}

/// The file of an epoch.
fn path_of(dir: &Path, epoch: u64) -> PathBuf {
    dir.join(name_of(epoch))
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
    replace(dir, &name_of(checkpoint.epoch), &bytes)
        .map_err(|error| Error::storage(format!("checkpoint {}: {error}", path.display())))?;
    for epoch in epochs(dir)?.into_iter().skip(RETAINED_COUNT) {
        if let Err(error) = fs::remove_file(path_of(dir, epoch)) {
            tracing::warn!(epoch, %error, "an old checkpoint could not be removed");
        }
    }
    Ok(bytes.len() as u64)
}

/// Epochs stored in a directory with the wall time at which each was written, epoch milliseconds, newest epoch first.
///
/// # Errors
/// `Unavailable` naming the directory.
pub fn list(dir: &Path) -> Result<Vec<(u64, EpochMillis)>> {
    let written_ms = |epoch: u64| -> std::io::Result<EpochMillis> {
        let modified = fs::metadata(path_of(dir, epoch))?.modified()?;
        let since = modified
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    };
    epochs(dir)?
        .into_iter()
        .map(|epoch| {
            let written_ms = written_ms(epoch).map_err(|error| {
                Error::storage(format!(
                    "checkpoint {}: {error}",
                    path_of(dir, epoch).display()
                ))
            })?;
            Ok((epoch, written_ms))
        })
        .collect()
}

/// The checkpoint of an epoch.
///
/// # Errors
/// `Invalid` when it belongs to another plan; `Corrupt` naming the file when it is damaged; `Unavailable` when it cannot be read.
pub fn read(dir: &Path, epoch: u64, plan_hash: u64) -> Result<Checkpoint> {
    let path = path_of(dir, epoch);
    let bytes = fs::read(&path)
        .map_err(|error| Error::storage(format!("checkpoint {}: {error}", path.display())))?;
    let checkpoint =
        Checkpoint::decode(&bytes).map_err(|error| error.context(&path.display().to_string()))?;
    if checkpoint.plan_hash != plan_hash {
        return Err(Error::validation(format!(
            "checkpoint {} belongs to another plan; use the directory of this statement or an empty one",
            path.display()
        )));
    }
    Ok(checkpoint)
}

/// The newest checkpoint of a plan that can be read; damaged newer ones are named in the log and passed over, which is right
/// under at-least-once delivery.
///
/// # Errors
/// `Invalid` when the newest one belongs to another plan; `Corrupt` when there are checkpoints and none can be read;
/// `Unavailable` when the directory cannot be read.
pub fn newest(dir: &Path, plan_hash: u64) -> Result<Option<Checkpoint>> {
    let mut damaged = None;
    for epoch in epochs(dir)? {
        match read(dir, epoch, plan_hash) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(error) if error.kind == Kind::Corrupt => {
                tracing::warn!(%error, "a damaged checkpoint was passed over");
                damaged = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    damaged.map_or(Ok(None), Err)
}

/// Removes checkpoints after an epoch: what was not committed is written anew.
///
/// # Errors
/// `Unavailable` naming the file.
pub fn forget_after(dir: &Path, epoch: u64) -> Result<()> {
    for later in epochs(dir)?.into_iter().filter(|later| *later > epoch) {
        let path = path_of(dir, later);
        fs::remove_file(&path)
            .map_err(|error| Error::storage(format!("checkpoint {}: {error}", path.display())))?;
    }
    Ok(())
}

/// Notes durably which epoch is known to be committed.
///
/// # Errors
/// `Unavailable` naming the directory.
pub fn note_committed(dir: &Path, record: &EpochRecord) -> Result<()> {
    let text = record.to_text()?;
    let sum = crc32c::crc32c(text.as_bytes());
    replace(dir, NOTE, format!("{sum:08x} {text}").as_bytes())
        .map_err(|error| Error::storage(format!("note of {}: {error}", dir.display())))
}

/// The epoch noted as committed. A damaged note is no note.
///
/// # Errors
/// `Unavailable` naming the directory.
pub fn committed_note(dir: &Path) -> Result<Option<EpochRecord>> {
    let text = match fs::read_to_string(dir.join(NOTE)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::storage(format!(
                "note of {}: {error}",
                dir.display()
            )));
        }
    };
    let record = text.split_once(' ').and_then(|(sum, text)| {
        let is_whole = u32::from_str_radix(sum, 16).ok()? == crc32c::crc32c(text.as_bytes());
        is_whole
            .then(|| EpochRecord::from_text(text).ok())
            .flatten()
    });
    if record.is_none() {
        tracing::warn!(directory = %dir.display(), "the note of the committed epoch is damaged");
    }
    Ok(record)
}

/// Replaces a file of the directory as a whole and durably.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let partial = dir.join("partial");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, dir.join(name))?;
    File::open(dir)?.sync_all()
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
        assert_eq!(newest(dir.path(), 5).unwrap().unwrap().epoch, 3);
        fs::write(path_of(dir.path(), 3), b"damaged").unwrap();
        assert_eq!(newest(dir.path(), 5).unwrap().unwrap().epoch, 2);
        assert_eq!(newest(dir.path(), 6).unwrap_err().kind, Kind::Invalid);
        fs::write(path_of(dir.path(), 2), b"damaged").unwrap();
        assert_eq!(newest(dir.path(), 5).unwrap_err().kind, Kind::Corrupt);
        assert_eq!(newest(&dir.path().join("missing"), 5).unwrap(), None);
        forget_after(dir.path(), 2).unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_note_is_read_back_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(committed_note(dir.path()).unwrap(), None);
        let record = EpochRecord {
            run: "r".to_owned(),
            epoch: 7,
            checkpoint: name_of(7),
        };
        note_committed(dir.path(), &record).unwrap();
        assert_eq!(committed_note(dir.path()).unwrap(), Some(record));
        let mut bytes = fs::read(dir.path().join(NOTE)).unwrap();
        bytes[12] ^= 1;
        fs::write(dir.path().join(NOTE), bytes).unwrap();
        assert_eq!(committed_note(dir.path()).unwrap(), None);
    }
}
