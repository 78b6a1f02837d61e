//! JSON documents inside SQL values.
//!
//! Enters: the text of a document, a path, or columns. Leaves: parsed documents, the part that a path selects, and text as
//! Flink prints it. `parse` and `path` read, `encode` writes columns, `value` is what lies between. Nothing here knows of
//! SQL's clauses, those are in [`crate::sql::functions`].

mod budget;
pub(crate) mod encode;
mod filter;
pub(crate) mod number;
mod parse;
mod path;
mod path_text;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use parse::{Duplicates, parse};
pub(crate) use path::{Mode, PathSpec};
pub(crate) use value::{Json, sort_keys};
