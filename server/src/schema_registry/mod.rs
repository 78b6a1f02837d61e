//! The embedded Schema Registry.
//!
//! Enters: schemas of statements in process and of clients over HTTP. Leaves: ids that never change. Schemas live in a database of their
//! own, so that they can be carried to another server. Compatibility levels are stored and not yet checked.

mod http;
mod store;

pub use http::router;
pub use store::SchemaStore;
