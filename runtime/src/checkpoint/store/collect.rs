//! What may be deleted.
//!
//! Place in the flow: [`super::CheckpointStore::collect`] lists and reads, this decides, the store deletes in the order given.
//! Invariant: pure; nothing goes that a manifest which stays refers to, or that a checkpoint in progress may come to refer to.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::checkpoint::store::name::{self, CheckpointName};
use crate::error::{Error, Result};

/// The manifests to delete: those that are not kept, except of epochs of the running job that are not settled yet.
///
/// `in_progress` is the first such epoch: from it on, segments may have been written whose manifest has not.
///
/// # Errors
/// `Corrupt` when one that is to be kept is not there: then nothing can be trusted enough to delete.
pub(super) fn doomed_manifests(
    listed: &[CheckpointName],
    keep: &[CheckpointName],
    in_progress: &CheckpointName,
) -> Result<Vec<CheckpointName>> {
    let listed: BTreeSet<&CheckpointName> = listed.iter().collect();
    if let Some(missing) = keep.iter().find(|name| !listed.contains(name)) {
        return Err(Error::corrupt(format!(
            "checkpoint {missing}, which is to be kept, is missing"
        )));
    }
    Ok(listed
        .into_iter()
        .filter(|name| !keep.contains(name) && !is_in_progress(name, in_progress))
        .cloned()
        .collect())
}

/// The segments to delete: those that no manifest refers to any more and that no epoch in progress has written. Objects whose names
/// are not of a segment are left alone.
pub(super) fn doomed_segments<'a>(
    listed: impl IntoIterator<Item = &'a str>,
    referenced: &BTreeSet<Arc<str>>,
    in_progress: &CheckpointName,
) -> Vec<&'a str> {
    listed
        .into_iter()
        .filter(|object| {
            !referenced.contains(*object)
                && name::segment_of(object).is_some_and(|name| !is_in_progress(&name, in_progress))
        })
        .collect()
}

/// Whether something was written by an epoch that is not settled.
fn is_in_progress(name: &CheckpointName, in_progress: &CheckpointName) -> bool {
    name.run == in_progress.run && name.epoch >= in_progress.epoch
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint of run `b`, which is the running one.
    fn at(epoch: u64) -> CheckpointName {
        CheckpointName::new("b", epoch)
    }

    #[test]
    fn kept_and_unsettled_manifests_stay() {
        let old = CheckpointName::new("a", 90);
        let listed = [old.clone(), at(3), at(4), at(5), at(6)];
        let doomed = doomed_manifests(&listed, &[at(4)], &at(5)).unwrap();
        assert_eq!(doomed, [old, at(3)]);
        assert!(doomed_manifests(&listed, &[at(9)], &at(5)).is_err());
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
        ];
        let referenced = BTreeSet::from([Arc::from(names[0].as_str()), names[4].as_str().into()]);
        let listed = names.iter().map(String::as_str);
        assert_eq!(
            doomed_segments(listed, &referenced, &at(5)),
            [&names[1], &names[3]]
        );
    }
}
