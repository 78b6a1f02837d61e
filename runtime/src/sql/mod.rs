//! SQL text to bound expressions and plans.
//!
//! Enters: Flink SQL text, a [`catalog::Catalog`] and a [`session::Session`]. Leaves: a bound statement, whose queries are a
//! [`crate::plan::StreamPlan`]. Every bound expression is `{kind, type, span}` and the binder inserts every cast.

pub mod ast;
pub mod binder;
pub mod catalog;
pub mod dialect;
pub mod eval;
pub mod expr;
pub mod functions;
pub mod parser;
mod redact;
pub mod resource;
pub mod session;
mod stack;
pub mod text;
pub mod typing;

pub use binder::{Bound, QueryInfo, analyze};
pub use parser::parse;
pub use redact::{Redacted, redacted};
