//! The embedded Schema Registry.
//!
//! Enters: schemas of statements in process and of clients over HTTP. Leaves: ids that never change. Schemas live in a database of their
//! own, so that they can be carried to another server. `language` reads schemas, `compatibility` compares them, `store` keeps them, `http`
//! answers clients, `embedded` answers statements.

mod compatibility;
mod embedded;
mod http;
mod language;
mod store;

pub use http::router;
pub use store::SchemaStore;
