//! What a test puts in the place of the outside world.
//!
//! Place in the flow: an [`crate::task::Environment`] with a stage asks it before any connector. Invariant: a server has none.

use std::fmt::Debug;
use std::sync::Arc;

use crate::connector::sink::Sink;
use crate::connector::source::Source;
use crate::operator::Operator;
use crate::plan::{Node, ReadColumn};
use crate::sql::catalog::TableDef;

/// What a test puts in the place of the outside world.
pub trait Stage: Send + Sync + Debug {
    /// What reads a table, as rows of the columns asked for; absent when its connector does.
    fn source(&self, table: &TableDef, read: &[ReadColumn]) -> Option<Arc<dyn Source>>;

    /// What writes a table, as rows; absent when its connector does.
    fn sink(&self, table: &TableDef) -> Option<Arc<dyn Sink>> {
        let _ = table;
        None
    }

    /// An operator in the place of one that was made: with a planted fault, to see that tests notice. Programs without debug assertions
    /// never ask.
    fn operator(&self, node: &Node, operator: Box<dyn Operator>) -> Box<dyn Operator> {
        let _ = node;
        operator
    }
}
