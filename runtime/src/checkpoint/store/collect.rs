//! What may be deleted.
//!
//! Place in the flow: [`super::CheckpointStore::collect`] lists and reads, this decides, the store deletes in the order given.
//! Invariant: pure; nothing goes that a manifest which stays refers to, or that a checkpoint in progress may come to refer to.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::checkpoint::store::name::{self, CheckpointName};
use crate::error::{Error, Result};

/// What may be touched at all: earlier runs, and of the running one the epochs that are settled.
///
/// A run that has begun since this one did is left alone: this process may be the one that has been replaced and does not know it yet.
#[derive(Debug, Clone, Copy)]
pub struct Settled<'a> {
    /// The first epoch of the running job that is not settled: from it on, segments may have been written whose manifest has not.
    pub in_progress: &'a CheckpointName,
    /// Runs that were over when this one began.
    pub outlived: &'a BTreeSet<String>,
}

impl Settled<'_> {
    /// Whether what has this name may go, unless something refers to it.
    fn covers(&self, name: &CheckpointName) -> bool {
        if name.run == self.in_progress.run {
            name.epoch < self.in_progress.epoch
        } else {
            self.outlived.contains(&name.run)
        }
    }
}

/// The manifests to delete: those that are settled and not kept.
///
/// # Errors
/// `Corrupt` when one that is to be kept is not there: then nothing can be trusted enough to delete.
pub(super) fn doomed_manifests(
    listed: &[CheckpointName],
    keep: &[CheckpointName],
    settled: Settled<'_>,
) -> Result<Vec<CheckpointName>> {
    let listed: BTreeSet<&CheckpointName> = listed.iter().collect();
    if let Some(missing) = keep.iter().find(|name| !listed.contains(name)) {
        return Err(Error::corrupt(format!(
            "checkpoint {missing}, which is to be kept, is missing"
        )));
    }
    Ok(listed
        .into_iter()
        .filter(|name| !keep.contains(name) && settled.covers(name))
        .cloned()
        .collect())
}

/// The segments to delete: those that are settled and that no manifest refers to any more. Objects whose names are not of a segment
/// are left alone.
pub(super) fn doomed_segments<'a>(
    listed: impl IntoIterator<Item = &'a str>,
    referenced: &BTreeSet<Arc<str>>,
    settled: Settled<'_>,
) -> Vec<&'a str> {
    listed
        .into_iter()
        .filter(|object| {
            !referenced.contains(*object)
                && name::segment_of(object).is_some_and(|name| settled.covers(&name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint of run `b`, which is the running one.
    fn at(epoch: u64) -> CheckpointName {
        CheckpointName::new("b", epoch)
    }

    /// The run before it.
    fn outlived() -> BTreeSet<String> {
        BTreeSet::from(["a".to_owned()])
    }

    #[test]
    fn kept_and_unsettled_manifests_stay() {
        let (old, new) = (CheckpointName::new("a", 90), CheckpointName::new("c", 1));
        let listed = [old.clone(), at(3), at(4), at(5), at(6), new];
        let settled = Settled {
            in_progress: &at(5),
            outlived: &outlived(),
        };
        let doomed = doomed_manifests(&listed, &[at(4)], settled).unwrap();
        assert_eq!(doomed, [old, at(3)]);
        assert!(doomed_manifests(&listed, &[at(9)], settled).is_err());
    }

    #[test]
    fn referenced_and_unsettled_segments_stay() {
        let names = [
            name::segment(&at(3), "0.x"),
            name::segment(&at(4), "0.x"),
            name::segment(&at(5), "merged.x"),
            name::segment(&CheckpointName::new("a", 90), "0.x"),
            name::segment(&CheckpointName::new("a", 7), "0.x"),
            "segments/b/notes.txt".to_owned(),
            name::segment(&CheckpointName::new("c", 1), "0.x"),
        ];
        let referenced = BTreeSet::from([Arc::from(names[0].as_str()), names[4].as_str().into()]);
        let listed = names.iter().map(String::as_str);
        let settled = Settled {
            in_progress: &at(5),
            outlived: &outlived(),
        };
        assert_eq!(
            doomed_segments(listed, &referenced, settled),
            [&names[1], &names[3]]
        );
    }
}
