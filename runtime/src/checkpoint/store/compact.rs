//! Which chains are shortened, and how far.
//!
//! Place in the flow: after a checkpoint, [`plan_compaction`] looks at its chains, [`super::CheckpointStore::compact`] merges, and the
//! next manifest takes the replacements. Invariant: pure; a chain that is merged in time never has more slices than the limit.

use std::collections::BTreeMap;

use crate::checkpoint::store::manifest::Manifest;
use crate::checkpoint::store::segment::Slice;

/// When chains are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionLimits {
    /// Most slices of a chain, including the one that the next epoch adds.
    pub chain_slices_max: usize,
    /// Slices from which on a chain may be merged before it must.
    pub chain_slices_early: usize,
    /// Bytes read in a round by merges that need not be done yet. Those that must be done are done whatever they read.
    pub round_bytes_max: u64,
}

impl Default for CompactionLimits {
    /// Eight slices: design section 3, "Checkpoints". The early limit spreads the merges of key groups that change in every epoch over
    /// three rounds; 256 MiB a round is about a second of CPU (measurements in `docs/formats/checkpoint-v2.md`).
    fn default() -> Self {
        Self {
            chain_slices_max: 8,
            chain_slices_early: 5,
            round_bytes_max: 256 << 20,
        }
    }
}

/// A chain as the decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFacts {
    /// Node id of the plan.
    pub node: u32,
    /// Key group.
    pub key_group: u32,
    /// Bytes of each slice, oldest first.
    pub slice_bytes: Vec<u64>,
}

/// Some neighbouring slices of a chain that become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Merge {
    /// Node id of the plan.
    pub node: u32,
    /// Key group.
    pub key_group: u32,
    /// The first slice: 0 with the base, 1 without.
    pub from: usize,
    /// How many.
    pub count: usize,
}

/// A merged slice and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Node id of the plan.
    pub node: u32,
    /// Key group.
    pub key_group: u32,
    /// Position of the first replaced slice in the chain.
    pub from: usize,
    /// The slices that go.
    pub replaced: Vec<Slice>,
    /// What comes; absent when nothing is left of the key group.
    pub by: Option<Slice>,
}

/// What [`plan_compaction`] needs to know of a checkpoint.
pub fn chain_facts(manifest: &Manifest) -> Vec<ChainFacts> {
    let facts = |node: u32, chains: &BTreeMap<u32, Vec<Slice>>| -> Vec<ChainFacts> {
        let chains = chains.iter();
        chains
            .map(|(key_group, chain)| ChainFacts {
                node,
                key_group: *key_group,
                slice_bytes: chain.iter().map(|slice| slice.len).collect(),
            })
            .collect()
    };
    let nodes = manifest.nodes.iter();
    nodes
        .flat_map(|(id, node)| facts(*id, &node.chains))
        .collect()
}

/// Decides which chains are merged before the next checkpoint.
///
/// A chain that the next epoch would bring past the limit is always merged. Longer ones come first among the rest, for as long as
/// the round has bytes left. The deltas are merged without the base when together they are smaller than half of it: that reads and
/// writes less, and leaves two slices.
pub fn plan_compaction(chains: &[ChainFacts], limits: &CompactionLimits) -> Vec<Merge> {
    let mut candidates: Vec<&ChainFacts> = chains
        .iter()
        .filter(|chain| chain.slice_bytes.len() >= limits.chain_slices_early.max(2))
        .collect();
    candidates.sort_by_key(|chain| std::cmp::Reverse(chain.slice_bytes.len()));
    let mut read_bytes = 0_u64;
    let mut merges = Vec::new();
    for chain in candidates {
        let merge = merge_of(chain);
        let bytes: u64 = chain.slice_bytes.iter().skip(merge.from).sum();
        let must = chain.slice_bytes.len() >= limits.chain_slices_max;
        if must || read_bytes.saturating_add(bytes) <= limits.round_bytes_max {
            read_bytes = read_bytes.saturating_add(bytes);
            merges.push(merge);
        }
    }
    merges
}

/// How a chain of two slices or more is merged. One of two is merged whole: without its base there would be nothing to gain.
fn merge_of(chain: &ChainFacts) -> Merge {
    let (base, deltas) = chain.slice_bytes.split_first().unwrap_or((&0, &[]));
    let delta_bytes: u64 = deltas.iter().sum();
    let from = usize::from(deltas.len() > 1 && delta_bytes < base / 2);
    Merge {
        node: chain.node,
        key_group: chain.key_group,
        from,
        count: chain.slice_bytes.len() - from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A chain of node 1.
    fn chain(key_group: u32, slice_bytes: &[u64]) -> ChainFacts {
        ChainFacts {
            node: 1,
            key_group,
            slice_bytes: slice_bytes.to_vec(),
        }
    }

    #[test]
    fn small_deltas_are_merged_without_their_base() {
        let limits = CompactionLimits::default();
        let small = chain(0, &[1000, 10, 10, 10, 10, 10, 10, 10]);
        let large = chain(1, &[100, 10, 10, 10, 10, 10, 10, 10]);
        let short = chain(2, &[100, 10, 10, 10]);
        let merges = plan_compaction(&[small, large, short], &limits);
        let seen: Vec<_> = merges
            .iter()
            .map(|merge| (merge.key_group, merge.from, merge.count))
            .collect();
        assert_eq!(seen, [(0, 1, 7), (1, 0, 8)]);
    }

    #[test]
    fn a_round_is_bounded_except_for_what_must_be_done() {
        let limits = CompactionLimits {
            round_bytes_max: 100,
            ..CompactionLimits::default()
        };
        let long = chain(0, &[30; 8]);
        let early: Vec<_> = (1..5).map(|key_group| chain(key_group, &[4; 5])).collect();
        let merges = plan_compaction(&[early.clone(), vec![long]].concat(), &limits);
        assert_eq!(merges.len(), 1, "240 bytes are over the bound already");
        assert_eq!(plan_compaction(&early, &limits).len(), 4);
        let tight = CompactionLimits {
            round_bytes_max: 45,
            ..limits
        };
        assert_eq!(plan_compaction(&early, &tight).len(), 2);
    }

    proptest! {
        /// Epoch after epoch, with the replacements of one round in the manifest of the next.
        #[test]
        fn chains_never_pass_the_limit(
            sizes in prop::collection::vec(prop::collection::vec(0_u64..2000, 1..20), 1..60),
            round_bytes_max in 0_u64..20_000,
        ) {
            let limits = CompactionLimits { round_bytes_max, ..CompactionLimits::default() };
            let mut chains: Vec<ChainFacts> = (0..20).map(|key_group| chain(key_group, &[])).collect();
            for epoch in sizes {
                let merges = plan_compaction(&chains, &limits);
                for merge in &merges {
                    let bytes = &mut chains[merge.key_group as usize].slice_bytes;
                    let merged = bytes[merge.from..merge.from + merge.count].iter().sum();
                    bytes.splice(merge.from..merge.from + merge.count, [merged]);
                }
                for (key_group, bytes) in epoch.iter().enumerate() {
                    chains[key_group].slice_bytes.push(*bytes);
                    prop_assert!(chains[key_group].slice_bytes.len() <= limits.chain_slices_max);
                }
            }
        }
    }
}
