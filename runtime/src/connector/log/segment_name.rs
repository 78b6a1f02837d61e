//! Names of segment files, and which files of a directory count.
//!
//! Place in the flow: a partition asks for its files when it is opened; the cleaner names what it writes. Invariant: a compacted file
//! counts from the moment it has its name, and then the files it was made of do not, whether they are still there or not.
//!
//! # Source
//! `docs/formats/log.md`, "Segments".

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use super::files::storage;
use crate::error::Result;

/// The end of a name that a compacted file has until it is whole.
pub(super) const UNFINISHED: &str = ".cleaning";

/// The name of a segment file: `BASE.log`, or `BASE-END-ROUND.log` after a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentName {
    /// First offset covered.
    pub(super) base_offset: i64,
    /// Present after a compaction.
    pub(super) compacted: Option<Compacted>,
}

/// What a compaction adds to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compacted {
    /// Offset after the last one covered.
    pub(super) end_offset: i64,
    /// How often its records were compacted at most, from 1.
    pub(super) round: u32,
}

impl SegmentName {
    /// The name of a segment that was never compacted.
    pub(super) fn plain(base_offset: i64) -> Self {
        Self {
            base_offset,
            compacted: None,
        }
    }

    /// The name as text: offsets with 20 digits, as Kafka's.
    pub(super) fn text(self) -> String {
        let base = self.base_offset;
        match self.compacted {
            None => format!("{base:020}.log"),
            Some(Compacted { end_offset, round }) => {
                format!("{base:020}-{end_offset:020}-{round:010}.log")
            }
        }
    }

    /// The inverse of [`SegmentName::text`]; absent for every other file.
    pub(super) fn parse(path: &Path) -> Option<Self> {
        let text = path.file_name()?.to_str()?;
        let mut parts = text.strip_suffix(".log")?.split('-');
        let base_offset = parts.next()?.parse().ok()?;
        let compacted = match parts.next() {
            None => None,
            Some(end) => Some(Compacted {
                end_offset: end.parse().ok()?,
                round: parts.next()?.parse().ok()?,
            }),
        };
        let name = Self {
            base_offset,
            compacted,
        };
        (name.text() == text).then_some(name)
    }

    /// How often its records were compacted at most.
    pub(super) fn round(self) -> u32 {
        self.compacted.map_or(0, |compacted| compacted.round)
    }
}

/// The segment files of a directory that count, ascending, with their sizes. Deletes what a compaction left half-done.
///
/// # Errors
/// `Storage` naming the path.
pub(super) fn current(dir: &Path) -> Result<Vec<(SegmentName, u64)>> {
    let mut files: Vec<(SegmentName, PathBuf)> = Vec::new();
    let entries = std::fs::read_dir(dir).map_err(|error| storage("read", dir, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| storage("read", dir, &error))?.path();
        if let Some(name) = SegmentName::parse(&path) {
            files.push((name, path));
        } else if path.to_string_lossy().ends_with(UNFINISHED) {
            std::fs::remove_file(&path).map_err(|error| storage("delete", &path, &error))?;
        }
    }
    // Compactions take in whole files, so what begins first and has most rounds covers all it overlaps with.
    files.sort_unstable_by_key(|(name, _)| (name.base_offset, Reverse(name.round())));
    let mut kept: Vec<(SegmentName, u64)> = Vec::new();
    let mut cover = Compacted {
        end_offset: i64::MIN,
        round: 0,
    };
    for (name, path) in files {
        if name.base_offset < cover.end_offset && name.round() < cover.round {
            tracing::debug!(file = %path.display(), "deleted a segment that was compacted into another one");
            std::fs::remove_file(&path).map_err(|error| storage("delete", &path, &error))?;
            continue;
        }
        let size = std::fs::metadata(&path)
            .map_err(|error| storage("read", &path, &error))?
            .len();
        cover = name.compacted.unwrap_or(cover);
        kept.push((name, size));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let names = [
            SegmentName::plain(0),
            SegmentName::plain(i64::MAX),
            SegmentName {
                base_offset: 17,
                compacted: Some(Compacted {
                    end_offset: i64::MAX,
                    round: u32::MAX,
                }),
            },
        ];
        for name in names {
            assert_eq!(SegmentName::parse(Path::new(&name.text())), Some(name));
        }
        let others = [
            "17.log",
            "00000000000000000017",
            "0000000000000000001x.log",
            "00000000000000000017-00000000000000000018.log",
            "00000000000000000017-00000000000000000018-0000000001-1.log",
            "-0000000000000000017.log",
            "topic.json",
        ];
        for other in others {
            assert_eq!(SegmentName::parse(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn what_was_compacted_into_another_file_does_not_count() {
        let dir = tempfile::TempDir::new().unwrap();
        let compacted = |base_offset, end_offset, round| SegmentName {
            base_offset,
            compacted: Some(Compacted { end_offset, round }),
        };
        let kept = [
            compacted(0, 30, 2),
            compacted(30, 50, 1),
            SegmentName::plain(50),
            SegmentName::plain(60),
        ];
        let gone = [
            SegmentName::plain(0),
            compacted(0, 20, 1),
            SegmentName::plain(10),
            compacted(20, 30, 1),
            SegmentName::plain(30),
            SegmentName::plain(40),
        ];
        for name in kept.iter().chain(&gone) {
            std::fs::write(dir.path().join(name.text()), "x").unwrap();
        }
        let unfinished = format!("{}{UNFINISHED}", compacted(0, 60, 3).text());
        std::fs::write(dir.path().join(unfinished), "x").unwrap();
        assert_eq!(current(dir.path()).unwrap(), kept.map(|name| (name, 1)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), kept.len());
    }
}
