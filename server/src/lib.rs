//! Weir's control plane: catalog, statements, pools, ledger and the HTTP APIs over them.
//!
//! Enters: requests of clients. Leaves: jobs of the runtime, rows of the ledger, snapshots of the meter. Everything that lasts is
//! in `DATA_DIR`. Invariant: what the database says about a statement is what happens to it, also after `kill -9`.

pub mod catalog;
pub mod config;
mod environment;
pub mod error;
pub mod http;
pub mod ledger;
mod meter;
pub mod names;
pub mod pool;
pub mod schema_registry;

mod server;
pub mod statement;
mod store;
pub mod time;

pub use config::{ExternalRegistry, ServerConfig};
pub use error::{Error, Result};
pub use server::{RunningServer, Server};
