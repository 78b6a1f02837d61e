//! Slots and what they run.
//!
//! Enters: a [`crate::plan::StreamPlan`] and an [`Environment`]. Leaves: a running [`Job`]. The only folder that wires
//! connectors, formats and operators together.

mod alignment;
mod control;
mod dead_letters;
mod deploy;
mod environment;
mod exchange;
mod gate;
mod history;
mod job;
mod late;
mod layout;
mod memory;
mod operators;
mod record_changes;
mod record_decoder;
mod record_writer;
mod runner;
mod schemas;
#[cfg(test)]
mod simulation;
mod sink;
mod slot;
mod source;
mod stepped;
mod subtask;
mod supervisor;
mod values;
mod waker;
mod watermark;

pub use control::Savepoint;
pub use environment::{Environment, ErrorTables};
pub use history::plan_hash;
pub use job::{
    Checkpoints, DeliveryGuarantee, Job, JobConfig, JobEvent, JobSpec, SLOT_MEMORY_BYTES, StartFrom,
};
pub use memory::{HostFacts, MemoryAccountant, host_memory_bytes};
pub use operators::check_executable;
#[doc(hidden)]
pub use operators::make_alone;
pub use schemas::{TableSchema, table_schemas};
#[doc(hidden)]
pub use stepped::SteppedJob;
pub use waker::{Waker, WakerSet};
pub use watermark::IdleTimeout;
