//! The stored form of a checkpoint.
//!
//! Place in the flow: between the coordinator's states and [`super::storage`]. Invariant: bytes with any single flipped bit, or cut
//! short, are refused; a checkpoint of another plan is refused.
//!
//! Layout, little-endian: `WEIRCHK1`, header length (8 bytes), header as JSON, key-group states back to back in header order,
//! CRC-32C of everything before (4 bytes).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::entry::KeyGroupDelta;
use crate::checkpoint::{SplitState, SubtaskState};
use crate::error::{Error, Result};
use crate::time::EpochMillis;

/// First bytes of every checkpoint: name and version of the layout.
const MAGIC: &[u8; 8] = b"WEIRCHK1";

/// Bytes of magic and header length.
const PREFIX_BYTES: usize = 16;

/// Bytes of the checksum.
const CRC_BYTES: usize = 4;

/// The state of a whole statement at one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The epoch.
    pub epoch: u64,
    /// xxh3-64 of the stored plan: a checkpoint belongs to one plan.
    pub plan_hash: u64,
    /// By node id of the plan.
    pub nodes: BTreeMap<u32, NodeState>,
}

/// The state of one operator, over all its subtasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeState {
    /// Splits of a source.
    pub splits: Vec<SplitState>,
    /// The least watermark of its subtasks.
    pub watermark_ms: Option<EpochMillis>,
    /// Keyed state by key group.
    pub key_groups: Vec<KeyGroupDelta>,
}

/// The header of the stored form.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The epoch.
    epoch: u64,
    /// Hash of the plan.
    plan_hash: u64,
    /// Operators.
    nodes: Vec<NodeHeader>,
}

/// An operator in the header.
#[derive(Debug, Serialize, Deserialize)]
struct NodeHeader {
    /// Node id.
    id: u32,
    /// Splits of a source.
    splits: Vec<SplitState>,
    /// The least watermark of its subtasks.
    watermark_ms: Option<EpochMillis>,
    /// Key group and bytes of each key-group state.
    key_groups: Vec<(u32, u64)>,
}

impl NodeState {
    /// Adds the state of one subtask. A subtask without a watermark holds the operator's back.
    pub fn add(&mut self, state: SubtaskState, is_first: bool) {
        self.splits.extend(state.splits);
        self.watermark_ms = match (self.watermark_ms, state.watermark_ms) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (_, new) if is_first => new,
            (_, _) => None,
        };
        self.key_groups.extend(state.key_groups);
    }
}

impl Checkpoint {
    /// The stored form.
    ///
    /// # Errors
    /// `Internal` when the header cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let nodes = self.nodes.iter().map(|(id, node)| NodeHeader {
            id: *id,
            splits: node.splits.clone(),
            watermark_ms: node.watermark_ms,
            key_groups: node
                .key_groups
                .iter()
                .map(|state| (state.key_group, state.entries.len() as u64))
                .collect(),
        });
        let header = Header {
            epoch: self.epoch,
            plan_hash: self.plan_hash,
            nodes: nodes.collect(),
        };
        let header =
            serde_json::to_vec(&header).map_err(|error| Error::internal(error.to_string()))?;
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        for state in self.nodes.values().flat_map(|node| &node.key_groups) {
            bytes.extend_from_slice(&state.entries);
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Corrupt` when the checksum, the magic or a length does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| Error::corrupt(format!("checkpoint: {what}"));
        let (body, crc) = bytes
            .split_last_chunk::<CRC_BYTES>()
            .ok_or_else(|| damaged("too short"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged("the checksum does not match"));
        }
        let rest = body
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("not of a version that this build reads"))?;
        let (length, rest) = rest
            .split_first_chunk::<8>()
            .ok_or_else(|| damaged("too short"))?;
        let length =
            usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged("header too long"))?;
        let (header, mut rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| damaged("header too long"))?;
        let header: Header =
            serde_json::from_slice(header).map_err(|error| damaged(&error.to_string()))?;
        let mut nodes = BTreeMap::new();
        for node in header.nodes {
            let mut key_groups = Vec::with_capacity(node.key_groups.len());
            for (key_group, length) in node.key_groups {
                let length = usize::try_from(length).map_err(|_| damaged("state too long"))?;
                let (state, after) = rest
                    .split_at_checked(length)
                    .ok_or_else(|| damaged("state too long"))?;
                key_groups.push(KeyGroupDelta {
                    key_group,
                    entries: state.to_vec(),
                });
                rest = after;
            }
            nodes.insert(
                node.id,
                NodeState {
                    splits: node.splits,
                    watermark_ms: node.watermark_ms,
                    key_groups,
                },
            );
        }
        Ok(Self {
            epoch: header.epoch,
            plan_hash: header.plan_hash,
            nodes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::source::SplitPosition;

    /// A checkpoint with every kind of content.
    fn example() -> Checkpoint {
        let position = SplitPosition {
            topic: "orders".into(),
            partition: 3,
            offset: 42,
        };
        let source = NodeState {
            splits: vec![SplitState {
                position,
                watermark_ms: Some(7),
            }],
            watermark_ms: None,
            key_groups: Vec::new(),
        };
        let key_groups = vec![
            KeyGroupDelta {
                key_group: 0,
                entries: vec![1, 2, 3],
            },
            KeyGroupDelta {
                key_group: 127,
                entries: vec![9; 40],
            },
        ];
        let aggregate = NodeState {
            splits: Vec::new(),
            watermark_ms: Some(-5),
            key_groups,
        };
        Checkpoint {
            epoch: 12,
            plan_hash: 99,
            nodes: BTreeMap::from([(1, source), (3, aggregate)]),
        }
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let checkpoint = example();
        assert_eq!(
            Checkpoint::decode(&checkpoint.encode().unwrap()).unwrap(),
            checkpoint
        );
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let bytes = example().encode().unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(Checkpoint::decode(&flipped).is_err(), "byte {at}");
            assert!(Checkpoint::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
