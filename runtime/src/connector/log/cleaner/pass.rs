//! One compaction of a partition, from its start to as far as the keys fit.
//!
//! Place in the flow: the cleaner's thread asks each partition of a compacted topic. Invariant: files are exchanged one by one, ascending,
//! so that a delete outlives everything that it deletes.

use std::fs::remove_file;
use std::io::ErrorKind;

use super::keys::Keys;
use super::plan::{Facts, first_dirty};
use super::rewrite::{Rule, read_committed, rewrite};
use crate::connector::log::files::lock;
use crate::connector::log::partition::{Closed, Partition};
use crate::error::{Error, Result};

/// Compacts the closed segments of a partition if that is due; returns how many files went.
///
/// # Errors
/// `Corrupt` naming file and place; `Storage` naming the file; `Unavailable` when stopped. What was compacted before stays so.
pub(in crate::connector::log) fn compact(
    partition: &Partition,
    now_ms: i64,
    stopped: &dyn Fn() -> bool,
) -> Result<usize> {
    let _one_at_a_time = lock(&partition.cleaner);
    let mut segments = partition.stable_segments();
    let facts = segments.iter().map(facts_of).collect::<Result<Vec<_>>>()?;
    let Some(first_dirty) = first_dirty(&facts, now_ms) else {
        return Ok(0);
    };
    let mut keys = Keys::new();
    let mut taken = first_dirty;
    for closed in &segments[first_dirty..] {
        if keys.is_full() {
            break;
        }
        read_committed(partition, closed, |batch| {
            batch
                .keys()
                .for_each(|(offset, key)| keys.note(key, offset));
            if stopped() {
                return Err(Error::unavailable("the log is being closed"));
            }
            Ok(())
        })?;
        taken += 1;
    }
    segments.truncate(taken);
    // Whatever the policy: a value that a power failure may take must not have taken the place of one that it would have left.
    segments
        .iter()
        .try_for_each(|closed| closed.segment.sync_always())?;
    let retention = partition.options().delete_retention.as_millis();
    let rule = Rule {
        keys: &keys,
        now_ms,
        delete_horizon_ms: now_ms.saturating_add(i64::try_from(retention).unwrap_or(i64::MAX)),
    };
    let mut gone = 0;
    let mut rest = segments.as_slice();
    while !rest.is_empty() {
        let rewritten = rewrite(partition, rest, rule, stopped)?;
        let (group, behind) = rest.split_at(rewritten.segments);
        rest = behind;
        if let Some(new) = rewritten.new {
            partition.exchange(group, new);
            gone += group.len();
            group.iter().for_each(delete);
        }
    }
    Ok(gone)
}

/// What is known of a segment.
fn facts_of(closed: &Closed) -> Result<Facts> {
    let segment = &closed.segment;
    Ok(Facts {
        bytes: segment.size(),
        round: segment.round,
        delete_horizon_ms: if segment.round > 0 {
            segment.delete_horizon_ms()?
        } else {
            None
        },
    })
}

/// Deletes the file of a segment that was compacted into another one. What cannot be deleted is at the next start.
fn delete(old: &Closed) {
    let path = &old.segment.path;
    match remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), %error, "cannot delete a compacted segment");
        }
        Ok(()) | Err(_) => {}
    }
}
