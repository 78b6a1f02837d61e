//! Keyed state: what operators remember per key.
//!
//! Enters: key columns and values. Leaves: dense group ids, snapshots by key group. State lives in typed columns indexed by
//! group id; nothing is kept per key but its encoding and its slot in those columns.

mod backend;
mod chunk_keys;
pub mod codec;
pub mod column;
mod delta;
pub mod group_table;
mod handed;
pub mod key;
mod keyed;
pub mod ordered;
mod slices;
pub mod sort_key;
mod table;
pub mod waiting;

pub use backend::{FjallSpace, SpillBatch, SpillSpace, StateBackend, Visit};
pub use chunk_keys::{ChunkKeys, put_chunk_key};
pub use delta::Deltas;
pub use group_table::{GroupTable, NOT_HELD};
pub use handed::HandedOver;
pub use key::{EncodedKeys, KeyCodec};
pub use keyed::{ExportVisit, StateConfig, Values};
pub use ordered::{Head, OrderedRows, PartitionKey};
pub use slices::{MakeValues, Slice, Slices};
pub use sort_key::SortCodec;
pub use table::{KeyedTable, StateTable};
pub use waiting::bucket;
pub use waiting::{DueRows, WaitingRows};
