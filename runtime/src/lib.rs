//! Weir's streaming engine: SQL in, records out.
//!
//! Data flows through the folders in this order: `sql -> plan -> graph -> connector (source) -> format (decode) ->
//! operator -> state -> format (encode) -> connector (sink)`, with `task`, `checkpoint`, `metering` and `dlq` around them.
//! Invariant: `connector`, `format` and `operator` never import one another; only `task` wires them.

pub mod batch;
pub mod checkpoint;
pub mod connector;
mod crash;
pub mod dlq;
pub mod error;
mod fault;
pub mod format;
pub mod graph;
pub mod metering;
pub mod operator;
pub mod plan;
pub mod sql;
pub mod state;
pub mod task;
#[doc(hidden)]
pub mod testing;
pub mod time;
pub mod types;

pub use batch::{Batch, RowKind, RowKinds, StreamElement};
pub use error::{Error, Kind, Result};
pub use types::{FlinkType, RowField, TypeKind};
