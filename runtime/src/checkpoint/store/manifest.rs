//! Manifests: what belongs to a checkpoint, without the state itself.
//!
//! Place in the flow: built from the subtasks' answers and the slices of their segments; a start reads one and loads what it names.
//! Invariant: pure; bytes with any flipped bit, or cut short, are refused; so are those of another statement, plan or format version.
//!
//! Layout, little-endian: `WEIRMANI`, format version (4 bytes), header length (8), header as JSON, CRC-32C of everything before (4).
//! Every version keeps the first two and the last of these.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checkpoint::SplitState;
use crate::checkpoint::store::compact::Replacement;
use crate::checkpoint::store::name::{self, CheckpointName};
use crate::checkpoint::store::segment::{Slice, Written};
use crate::error::{Error, Result};
use crate::time::EpochMillis;

/// First bytes of every manifest, whatever its version.
const MAGIC: &[u8; 8] = b"WEIRMANI";

/// The version that this build writes, and the only one it reads. Version 1 is the whole-state file that came before.
pub const FORMAT_VERSION: u32 = 2;

/// Bytes of the checksum.
const CRC_BYTES: usize = 4;

/// A checkpoint or savepoint of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Uid of the statement.
    pub statement_uid: String,
    /// Its name, for messages.
    pub statement_name: String,
    /// The statement's life, new with every start from a savepoint.
    pub run: String,
    /// The epoch.
    pub epoch: u64,
    /// Wall time when it was taken.
    pub created_at_ms: EpochMillis,
    /// xxh3-64 of the stored plan: state belongs to one plan.
    pub plan_hash: u64,
    /// What it was taken for.
    pub purpose: Purpose,
    /// By node id of the plan.
    pub nodes: BTreeMap<u32, Node>,
}

/// What a manifest was taken for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Recovery; removed when later ones are committed.
    #[default]
    Checkpoint,
    /// Kept until somebody deletes it.
    Savepoint {
        /// Its name.
        name: String,
    },
}

/// The state of one operator, over all its subtasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Splits of a source.
    pub splits: Vec<SplitState>,
    /// The least watermark of its subtasks.
    pub watermark_ms: Option<EpochMillis>,
    /// What a sink has prepared and commits once the epoch is committed, such as names of files.
    pub prepared: Vec<String>,
    /// The slices of each key group, oldest first.
    pub chains: BTreeMap<u32, Vec<Slice>>,
}

/// Whose a manifest must be to be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Uid of the statement.
    pub statement_uid: &'a str,
    /// xxh3-64 of its stored plan.
    pub plan_hash: u64,
}

/// The header of the stored form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// As in [`Manifest`], and so are the next.
    statement_uid: String,
    /// See there.
    statement_name: String,
    /// See there.
    run: String,
    /// See there.
    epoch: u64,
    /// See there.
    created_at_ms: EpochMillis,
    /// See there.
    plan_hash: u64,
    /// See there.
    purpose: Purpose,
    /// Every segment that a slice is in, sorted.
    segments: Vec<Arc<str>>,
    /// Operators by id, ascending.
    nodes: Vec<NodeHeader>,
}

/// A slice in the header: index of the segment, offset, length, checksum.
type SliceHeader = (usize, u64, u64, u32);

/// An operator in the header.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeHeader {
    /// Node id.
    id: u32,
    /// As in [`Node`], and so are the next.
    splits: Vec<SplitState>,
    /// See there.
    watermark_ms: Option<EpochMillis>,
    /// See there.
    prepared: Vec<String>,
    /// Key group and its slices, oldest first.
    chains: Vec<(u32, Vec<SliceHeader>)>,
}

impl Manifest {
    /// Its name as a checkpoint.
    pub fn name(&self) -> CheckpointName {
        CheckpointName::new(self.run.clone(), self.epoch)
    }

    /// What messages call it.
    pub fn title(&self) -> String {
        match &self.purpose {
            Purpose::Checkpoint => format!("checkpoint {}", self.name()),
            Purpose::Savepoint { name } => format!("savepoint {name}"),
        }
    }

    /// Every segment that it refers to.
    pub fn segments(&self) -> BTreeSet<Arc<str>> {
        self.slices().map(|slice| slice.segment.clone()).collect()
    }

    /// Every slice.
    pub(super) fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.nodes
            .values()
            .flat_map(|node| node.chains.values().flatten())
    }

    /// Bytes of state that it refers to.
    pub fn state_bytes(&self) -> u64 {
        self.slices().map(|slice| slice.len).sum()
    }

    /// Refuses a manifest that is not the owner's.
    ///
    /// # Errors
    /// `Invalid`, saying what differs.
    pub fn ensure_owner(&self, owner: Owner<'_>) -> Result<()> {
        let title = self.title();
        if self.statement_uid != owner.statement_uid {
            return Err(Error::validation(format!(
                "{title} belongs to statement {} (uid {}) and not to uid {}; use the folder of this statement or an empty one",
                self.statement_name, self.statement_uid, owner.statement_uid
            )));
        }
        if self.plan_hash != owner.plan_hash {
            return Err(Error::validation(format!(
                "{title} of statement {} was taken with another plan ({:016x} and not {:016x}): its state does not fit",
                self.statement_name, self.plan_hash, owner.plan_hash
            )));
        }
        Ok(())
    }

    /// Adds slices of an epoch to the ends of their chains, in order.
    pub fn append(&mut self, written: impl IntoIterator<Item = Written>) {
        for written in written {
            let node = self.nodes.entry(written.node).or_default();
            node.chains
                .entry(written.key_group)
                .or_default()
                .push(written.slice);
        }
    }

    /// Puts a merged slice in the place of those it was made of.
    ///
    /// # Errors
    /// `Internal` when the chain does not hold them there: the replacement was made for another line of checkpoints.
    pub fn splice(&mut self, replacement: &Replacement) -> Result<()> {
        let stale = || {
            Error::internal(format!(
                "merged state of node {} key group {} does not fit {}",
                replacement.node,
                replacement.key_group,
                self.name()
            ))
        };
        let end = replacement.from + replacement.replaced.len();
        let fits = self
            .nodes
            .get(&replacement.node)
            .and_then(|node| node.chains.get(&replacement.key_group))
            .and_then(|chain| chain.get(replacement.from..end))
            .is_some_and(|found| found == replacement.replaced);
        if !fits {
            return Err(stale());
        }
        if let Some(node) = self.nodes.get_mut(&replacement.node)
            && let Some(chain) = node.chains.get_mut(&replacement.key_group)
        {
            chain.splice(replacement.from..end, replacement.by.clone());
            if chain.is_empty() {
                node.chains.remove(&replacement.key_group);
            }
        }
        Ok(())
    }

    /// The stored form; equal manifests have equal bytes.
    ///
    /// # Errors
    /// `Internal` when the header cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let header = serde_json::to_vec(&self.header())
            .map_err(|error| Error::internal(error.to_string()))?;
        let mut bytes = Vec::with_capacity(header.len() + 24);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// The header, with segments numbered.
    fn header(&self) -> Header {
        let segments: Vec<Arc<str>> = self.segments().into_iter().collect();
        let indices: BTreeMap<&str, usize> = segments
            .iter()
            .enumerate()
            .map(|(index, segment)| (segment.as_ref(), index))
            .collect();
        let number = |slice: &Slice| {
            let index = indices.get(slice.segment.as_ref()).copied();
            (
                index.unwrap_or(usize::MAX),
                slice.offset,
                slice.len,
                slice.crc,
            )
        };
        let node_header = |(id, node): (&u32, &Node)| NodeHeader {
            id: *id,
            splits: node.splits.clone(),
            watermark_ms: node.watermark_ms,
            prepared: node.prepared.clone(),
            chains: node
                .chains
                .iter()
                .map(|(key_group, chain)| (*key_group, chain.iter().map(number).collect()))
                .collect(),
        };
        let nodes = self.nodes.iter().map(node_header).collect();
        Header {
            statement_uid: self.statement_uid.clone(),
            statement_name: self.statement_name.clone(),
            run: self.run.clone(),
            epoch: self.epoch,
            created_at_ms: self.created_at_ms,
            plan_hash: self.plan_hash,
            purpose: self.purpose.clone(),
            segments,
            nodes,
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Corrupt` when checksum, magic, a length or an index does not fit; `Unsupported` when the bytes are whole and of another
    /// format version.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| Error::corrupt(format!("manifest: {what}"));
        let (body, crc) = bytes
            .split_last_chunk::<CRC_BYTES>()
            .ok_or_else(|| damaged("too short"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged("the checksum does not match"));
        }
        let rest = body
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("the first bytes are not those of a manifest"))?;
        let (version, rest) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| damaged("too short"))?;
        let version = u32::from_le_bytes(*version);
        if version != FORMAT_VERSION {
            return Err(Error::unsupported(format!(
                "manifest of format version {version}; this build reads version {FORMAT_VERSION}: start it with the build that wrote it"
            )));
        }
        let (length, header) = rest
            .split_first_chunk::<8>()
            .ok_or_else(|| damaged("too short"))?;
        if u64::from_le_bytes(*length) != header.len() as u64 {
            return Err(damaged("the length of the header does not match"));
        }
        let header: Header =
            serde_json::from_slice(header).map_err(|error| damaged(&error.to_string()))?;
        header.into_manifest()
    }
}

impl Header {
    /// The manifest, once every index and name was found good.
    fn into_manifest(self) -> Result<Manifest> {
        let damaged = |what: String| Error::corrupt(format!("manifest: {what}"));
        name::check_word("run", &self.run).map_err(|error| damaged(error.message))?;
        if let Some(segment) = self
            .segments
            .iter()
            .find(|segment| name::segment_of(segment).is_none())
        {
            return Err(damaged(format!("{segment:?} is no name of a segment")));
        }
        let mut nodes = BTreeMap::new();
        for node in self.nodes {
            let mut chains = BTreeMap::new();
            for (key_group, slices) in node.chains {
                let slices: Option<Vec<Slice>> = slices
                    .into_iter()
                    .map(|(segment, offset, len, crc)| {
                        offset.checked_add(len)?;
                        Some(Slice {
                            segment: self.segments.get(segment)?.clone(),
                            offset,
                            len,
                            crc,
                        })
                    })
                    .collect();
                let slices = slices.ok_or_else(|| {
                    damaged(format!(
                        "a slice of node {} key group {key_group} is nowhere",
                        node.id
                    ))
                })?;
                chains.insert(key_group, slices);
            }
            let known = nodes.insert(
                node.id,
                Node {
                    splits: node.splits,
                    watermark_ms: node.watermark_ms,
                    prepared: node.prepared,
                    chains,
                },
            );
            if known.is_some() {
                return Err(damaged(format!("node {} is there twice", node.id)));
            }
        }
        Ok(Manifest {
            statement_uid: self.statement_uid,
            statement_name: self.statement_name,
            run: self.run,
            epoch: self.epoch,
            created_at_ms: self.created_at_ms,
            plan_hash: self.plan_hash,
            purpose: self.purpose,
            nodes,
        })
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
