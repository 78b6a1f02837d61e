//! Carrying out merges of chains.
//!
//! Place in the flow: between [`super::compact`], which decides, and [`merge::merge`], which merges; runs in the background beside the
//! job. Invariant: what is merged stays until the manifests that refer to it have gone, so that a failed round costs nothing but time.

use bytes::Bytes;

use crate::checkpoint::entry::KeyGroupDelta;
use crate::checkpoint::store::checkpoints::CheckpointStore;
use crate::checkpoint::store::compact::{Merge, Replacement};
use crate::checkpoint::store::manifest::Manifest;
use crate::checkpoint::store::merge::{self, Scope};
use crate::checkpoint::store::name::CheckpointName;
use crate::checkpoint::store::read::{self, Chain};
use crate::checkpoint::store::segment::{SegmentWriter, Slice, Written};
use crate::error::{Error, Result};

/// A merge and the slices it is of.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    /// What to merge.
    merge: &'a Merge,
    /// The slices.
    slices: &'a [Slice],
}

impl Task<'_> {
    /// Bytes to be read.
    fn len(&self) -> u64 {
        self.slices.iter().map(|slice| slice.len).sum()
    }

    /// Merges the slices, which were read.
    fn merge(&self, slices: &[Bytes]) -> Result<KeyGroupDelta> {
        let slices: Vec<&[u8]> = slices.iter().map(AsRef::as_ref).collect();
        let scope = if self.merge.from == 0 {
            Scope::WithBase
        } else {
            Scope::DeltasOnly
        };
        Ok(KeyGroupDelta {
            key_group: self.merge.key_group,
            entries: merge::merge(&slices, scope)?,
        })
    }

    /// What stands for the slices now.
    fn replacement(&self, by: Option<Slice>) -> Replacement {
        Replacement {
            node: self.merge.node,
            key_group: self.merge.key_group,
            from: self.merge.from,
            replaced: self.slices.to_vec(),
            by,
        }
    }
}

impl CheckpointStore {
    /// Merges slices of a manifest's chains and stores the result; what to put in their place in the next manifest, by
    /// [`Manifest::splice`].
    ///
    /// `at` is an epoch that is not settled yet, such as the next one. In memory are at a time `bytes_max` bytes of slices and as many
    /// merged ones, or those of one chain.
    ///
    /// # Errors
    /// `Corrupt`, naming the object, when a slice is missing or damaged; `Unavailable`; `Internal` when the manifest has no such slices.
    pub fn compact(
        &self,
        manifest: &Manifest,
        merges: &[Merge],
        at: &CheckpointName,
        bytes_max: u64,
    ) -> Result<Vec<Replacement>> {
        let tasks: Result<Vec<Task<'_>>> =
            merges.iter().map(|merge| task(manifest, merge)).collect();
        let tasks = tasks?;
        let mut rest = tasks.as_slice();
        let mut writer = SegmentWriter::default();
        let mut waiting: Vec<Task<'_>> = Vec::new();
        let mut replacements = Vec::with_capacity(merges.len());
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest, bytes_max));
            rest = after;
            for (task, slices) in batch.iter().zip(self.read_slices(batch)?) {
                let entries = task.merge(&slices)?;
                if entries.entries.is_empty() {
                    replacements.push(task.replacement(None));
                } else {
                    writer.push(task.merge.node, entries);
                    waiting.push(*task);
                }
                if writer.len() as u64 >= bytes_max {
                    let written = self.write_merged(at, std::mem::take(&mut writer))?;
                    replacements.extend(replaced(std::mem::take(&mut waiting), written));
                }
            }
        }
        let written = self.write_merged(at, writer)?;
        replacements.extend(replaced(waiting, written));
        Ok(replacements)
    }

    /// Reads the slices of some merges.
    fn read_slices(&self, batch: &[Task<'_>]) -> Result<Vec<Vec<Bytes>>> {
        let chains = (0..).zip(batch).map(|(id, task)| Chain {
            id,
            slices: task.slices,
        });
        let requests = read::requests(chains, &self.transfer);
        let mut slices: Vec<Vec<Bytes>> = batch.iter().map(|_| Vec::new()).collect();
        self.fetch(&requests, &mut |parts| {
            for (part, bytes) in parts {
                if let Some(slices) = slices.get_mut(part.id as usize) {
                    slices.push(bytes);
                }
            }
            Ok(())
        })?;
        Ok(slices)
    }
}

/// The slices of a merge.
fn task<'a>(manifest: &'a Manifest, merge: &'a Merge) -> Result<Task<'a>> {
    let slices = manifest
        .nodes
        .get(&merge.node)
        .and_then(|node| node.chains.get(&merge.key_group))
        .and_then(|chain| chain.get(merge.from..merge.from.checked_add(merge.count)?));
    slices.map(|slices| Task { merge, slices }).ok_or_else(|| {
        let title = manifest.title();
        Error::internal(format!("{title} has no slices for {merge:?}"))
    })
}

/// How many merges are read together: as many as fit, at least one.
fn batch_len(tasks: &[Task<'_>], bytes_max: u64) -> usize {
    let mut bytes = 0_u64;
    let fitting = tasks.iter().take_while(|task| {
        bytes = bytes.saturating_add(task.len());
        bytes <= bytes_max
    });
    fitting.count().max(1)
}

/// Pairs merges with the slices they became, which are in the same order.
fn replaced(tasks: Vec<Task<'_>>, written: Vec<Written>) -> impl Iterator<Item = Replacement> {
    tasks
        .into_iter()
        .zip(written)
        .map(|(task, written)| task.replacement(Some(written.slice)))
}
