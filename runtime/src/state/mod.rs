//! Keyed state: what operators remember per key.
//!
//! Enters: key columns and values. Leaves: dense group ids, snapshots by key group. State lives in typed columns indexed by
//! group id; nothing is kept per key but its encoding and its slot in those columns.

pub mod codec;
pub mod group_table;
pub mod key;

pub use group_table::GroupTable;
pub use key::{EncodedKeys, KeyCodec};
