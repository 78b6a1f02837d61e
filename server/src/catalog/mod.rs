//! Tables and views, the topics behind them, models and connections.
//!
//! Enters: definitions the binder has checked. Leaves: the same definitions to the binder, topics in the embedded log or in Kafka.
//! Invariant: a table is in the catalog only when its topic is there, a topic is deleted only by the table that made it, and a topic that no
//! definition names is a table too.

mod error_table;
mod inferred;
mod options;
mod resources;
mod service;
mod topics;

pub use service::CatalogService;
pub use topics::Topics;
