//! What sinks enforce, as the session asks for it.
//!
//! Place in the flow: in front of the sinks of INSERT. Invariant: without properties there is no node, and a sink fails on NULL where
//! none may be.

use super::query::QueryBinder;
use super::relation::{Draft, forward};
use crate::error::{Error, Result};
use crate::operator::constraint;
use crate::plan::{
    Column, ConstraintEnforcer, NestedEnforcer, NodeId, NotNullEnforcer, Operator,
    TypeLengthEnforcer,
};

/// Property with what happens to NULL.
const NOT_NULL: &str = "table.exec.sink.not-null-enforcer";

/// Property with what happens to values of another length.
const TYPE_LENGTH: &str = "table.exec.sink.type-length-enforcer";

/// Property with where is looked.
const NESTED: &str = "table.exec.sink.nested-constraint-enforcer";

impl QueryBinder<'_> {
    /// The node behind which rows keep what the columns of a sink promise: the same one when the sink itself sees to it.
    ///
    /// # Errors
    /// `Invalid` for properties that Flink does not take together.
    pub(super) fn constrained(&mut self, node: NodeId, columns: &[Column]) -> Result<NodeId> {
        let spec = self.enforcer(columns)?;
        let has_more = spec.not_null == NotNullEnforcer::Drop
            || spec.type_length != TypeLengthEnforcer::Ignore
            || spec.nested != NestedEnforcer::Ignore;
        if !has_more || !constraint::ConstraintEnforcer::new(&spec).has_checks() {
            return Ok(node);
        }
        let draft = Draft {
            inputs: vec![forward(node)],
            schema: columns.to_vec(),
            changelog: self.builder.node(node).changelog,
            traits: self.builder.traits_of(node).clone(),
            operator: Operator::ConstraintEnforcer(spec),
        };
        Ok(self.builder.add(draft))
    }

    /// What the session asks for.
    fn enforcer(&self, columns: &[Column]) -> Result<ConstraintEnforcer> {
        let is = |key: &str, value: &str| {
            let set = self.session.get(key);
            set.is_some_and(|set| set.eq_ignore_ascii_case(value))
        };
        let spec = ConstraintEnforcer {
            columns: columns.to_vec(),
            not_null: if is(NOT_NULL, "drop") {
                NotNullEnforcer::Drop
            } else {
                NotNullEnforcer::Error
            },
            type_length: if is(TYPE_LENGTH, "trim_pad") {
                TypeLengthEnforcer::TrimPad
            } else if is(TYPE_LENGTH, "error") {
                TypeLengthEnforcer::Error
            } else {
                TypeLengthEnforcer::Ignore
            },
            nested: if is(NESTED, "rows") {
                NestedEnforcer::Rows
            } else if is(NESTED, "rows_and_collections") {
                NestedEnforcer::RowsAndCollections
            } else {
                NestedEnforcer::Ignore
            },
        };
        if spec.type_length == TypeLengthEnforcer::TrimPad
            && spec.nested == NestedEnforcer::RowsAndCollections
        {
            return Err(Error::option(format!(
                "'{TYPE_LENGTH}' = 'trim_pad' is not supported with '{NESTED}' = 'rows_and_collections': set the one to 'error' or the other to 'rows'"
            )));
        }
        Ok(spec)
    }
}
