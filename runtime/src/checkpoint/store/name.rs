//! The names of a store's objects.
//!
//! Place in the flow: every reader and writer of this folder takes names from here. Invariant: a name is made and read in one place,
//! and no name that comes from outside leaves the store's folder.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The folder of checkpoint manifests.
pub(super) const CHECKPOINTS: &str = "chk";

/// The folder of segments.
pub(super) const SEGMENTS: &str = "segments";

/// The folder of savepoints.
pub(super) const SAVEPOINTS: &str = "savepoints";

/// The statement's own note of what is committed.
pub(super) const COMMITTED: &str = "committed";

/// What ends the name of a checkpoint's manifest.
const MANIFEST_SUFFIX: &str = ".manifest";

/// The last part of the name of a savepoint's manifest.
const SAVEPOINT_MANIFEST: &str = "manifest";

/// Longest run, savepoint or folder.
///
/// # Source
/// File names may have 255 bytes on common file systems; the rest is for what is added to it.
const WORD_LEN_MAX: usize = 200;

/// A checkpoint of a statement: the same pair is never written twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointName {
    /// The statement's life, new with every start from a savepoint.
    pub run: String,
    /// The epoch.
    pub epoch: u64,
}

impl CheckpointName {
    /// The name of an epoch of a run.
    pub fn new(run: impl Into<String>, epoch: u64) -> Self {
        Self {
            run: run.into(),
            epoch,
        }
    }

    /// Refuses a run that is no part of a file name.
    ///
    /// # Errors
    /// `Invalid`.
    pub(super) fn check(&self) -> Result<()> {
        check_word("run", &self.run)
    }
}

/// The name of the manifest object, as it stands in an epoch record.
impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{CHECKPOINTS}/{}/{:020}{MANIFEST_SUFFIX}",
            self.run, self.epoch
        )
    }
}

impl FromStr for CheckpointName {
    type Err = Error;

    /// Reads the name of a manifest object.
    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let (run, file) = text
                .strip_prefix(CHECKPOINTS)?
                .strip_prefix('/')?
                .split_once('/')?;
            let epoch = read_epoch(file.strip_suffix(MANIFEST_SUFFIX)?)?;
            check_word("run", run).ok()?;
            Some(Self::new(run, epoch))
        };
        read().ok_or_else(|| Error::corrupt(format!("{text:?} names no checkpoint")))
    }
}

/// The name of a savepoint's manifest.
///
/// # Errors
/// `Invalid` when the name is no part of a file name.
pub(super) fn savepoint(name: &str) -> Result<String> {
    check_word("savepoint", name)?;
    Ok(format!("{SAVEPOINTS}/{name}/{SAVEPOINT_MANIFEST}"))
}

/// The savepoint whose manifest has this name.
pub(super) fn savepoint_of(object: &str) -> Option<&str> {
    let (name, file) = object
        .strip_prefix(SAVEPOINTS)?
        .strip_prefix('/')?
        .split_once('/')?;
    (file == SAVEPOINT_MANIFEST && check_word("savepoint", name).is_ok()).then_some(name)
}

/// The name of a segment: `suffix` says who wrote it and makes it unique.
pub(super) fn segment(name: &CheckpointName, suffix: &str) -> String {
    format!("{SEGMENTS}/{}/{:020}-{suffix}", name.run, name.epoch)
}

/// The run and epoch that a segment was written in; absent when the name is no segment's.
pub(super) fn segment_of(object: &str) -> Option<CheckpointName> {
    let (run, file) = object
        .strip_prefix(SEGMENTS)?
        .strip_prefix('/')?
        .split_once('/')?;
    let (epoch, suffix) = file.split_once('-')?;
    check_word("run", run).ok()?;
    check_word("segment", suffix).ok()?;
    Some(CheckpointName::new(run, read_epoch(epoch)?))
}

/// Reads an epoch of exactly twenty digits.
fn read_epoch(digits: &str) -> Option<u64> {
    let is_plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

/// Refuses what is no part of a file name.
///
/// # Errors
/// `Invalid`, naming `what`.
pub(super) fn check_word(what: &str, word: &str) -> Result<()> {
    let is_plain = !word.is_empty()
        && word.len() <= WORD_LEN_MAX
        && word.bytes().any(|byte| byte != b'.')
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if is_plain {
        return Ok(());
    }
    Err(Error::option(format!(
        "{what} {word:?}: use 1 to {WORD_LEN_MAX} letters, digits, -, _ and ., and not only dots"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let name = CheckpointName::new("run-1", 42);
        let text = name.to_string();
        assert_eq!(text, "chk/run-1/00000000000000000042.manifest");
        assert_eq!(text.parse::<CheckpointName>().unwrap(), name);
        let object = segment(&name, "3.ab-0");
        assert_eq!(object, "segments/run-1/00000000000000000042-3.ab-0");
        assert_eq!(segment_of(&object), Some(name));
        assert_eq!(savepoint_of(&savepoint("before").unwrap()), Some("before"));
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "chk/run/42.manifest",
            "chk/../00000000000000000042.manifest",
            "chk/a/b/00000000000000000042.manifest",
            "chk/run/00000000000000000042",
            "chk/run/99999999999999999999.manifest",
            "segments/run/00000000000000000042-x",
        ] {
            assert!(text.parse::<CheckpointName>().is_err(), "{text}");
        }
        assert_eq!(segment_of("segments/run/42-x"), None);
        assert_eq!(segment_of("segments/run/00000000000000000042"), None);
        for word in ["", ".", "..", "a/b", "a\\b", "ä", &"x".repeat(201)] {
            assert!(savepoint(word).is_err(), "{word}");
        }
    }
}
