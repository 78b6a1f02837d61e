//! What holds for every plan.
//!
//! Place in the flow: the last step of planning. Invariant: a plan that passes names only columns that are there, with the types that
//! they have, so that operators need not look.

use super::{Exchange, Node, Operator, Reads, Shape, StreamPlan};
use crate::error::{Error, Result};
use crate::sql::expr::{Expr, ExprKind};
use crate::types::FlinkType;

impl StreamPlan {
    /// Checks that every column that is named is there and has the type that it is read with.
    ///
    /// # Errors
    /// `Internal`, naming the node.
    pub fn check(&self) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            let wrong = |what: &str| {
                Err(Error::internal(format!(
                    "{}: {what}",
                    super::explain::node_name(node)
                )))
            };
            let inputs: Option<Vec<&Node>> = node
                .inputs
                .iter()
                .map(|input| self.nodes[..index].iter().find(|n| n.id == input.node))
                .collect();
            let Some(inputs) = inputs else {
                return wrong("an input does not stand before it");
            };
            if let Err(what) = check_node(node, &inputs) {
                return wrong(&what);
            }
        }
        Ok(())
    }
}

/// What is wrong with a node.
fn check_node(node: &Node, inputs: &[&Node]) -> Result<(), String> {
    let types: Vec<Vec<&FlinkType>> = inputs
        .iter()
        .map(|input| input.schema.iter().map(|column| &column.ty).collect())
        .collect();
    for (input, types) in node.inputs.iter().zip(&types) {
        if let Exchange::Hash(keys) = &input.exchange
            && keys.iter().any(|key| *key >= types.len())
        {
            return Err("an exchange by a column that is not there".to_owned());
        }
    }
    let beside: Vec<&FlinkType> = match types.as_slice() {
        [only] => only
            .iter()
            .copied()
            .chain(node.schema.iter().skip(only.len()).map(|column| &column.ty))
            .collect(),
        _ => types.concat(),
    };
    if !matches!(
        node.operator,
        Operator::TableSourceScan(_) | Operator::Values { .. }
    ) {
        for (reads, column) in node.operator.reads() {
            let width = match reads {
                Reads::Input(index) => types.get(index).map_or(0, Vec::len),
                Reads::Joined => beside.len(),
            };
            if column >= width {
                return Err(format!("column {column} of {width} is read"));
            }
        }
        let mut wrong = None;
        node.operator
            .visit_exprs(&mut |expr| wrong = wrong.take().or_else(|| mistyped(expr, &beside)));
        if let Some(what) = wrong {
            return Err(what);
        }
    }
    check_schema(node, &types)
}

/// What is wrong with the columns that a node emits.
fn check_schema(node: &Node, types: &[Vec<&FlinkType>]) -> Result<(), String> {
    let own: Vec<&FlinkType> = node.schema.iter().map(|column| &column.ty).collect();
    let same = |a: &[&FlinkType], b: &[&FlinkType]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.kind == b.kind)
    };
    let fits = match (&node.operator, node.operator.shape()) {
        (Operator::Calc { projections, .. }, _) => {
            let computed: Vec<&FlinkType> = projections.iter().map(|expr| &expr.ty).collect();
            same(&own, &computed)
        }
        (Operator::Union, _) => types.iter().all(|input| same(&own, input)),
        (_, Shape::Joins) => same(&own, &types.concat()),
        (_, Shape::Appends) => {
            own.len() >= types[0].len() && same(&own[..types[0].len()], &types[0])
        }
        (_, Shape::Makes | Shape::Projects) => true,
    };
    let keys_fit = node
        .upsert_key
        .iter()
        .flatten()
        .chain(&node.rowtime)
        .all(|column| *column < own.len());
    if !fits {
        return Err("its columns are not those of its inputs".to_owned());
    }
    if !keys_fit {
        return Err("its key or rowtime is not among its columns".to_owned());
    }
    Ok(())
}

/// What is wrong with the columns of an expression.
fn mistyped(expr: &Expr, types: &[&FlinkType]) -> Option<String> {
    if let ExprKind::Column { depth, index } = expr.kind {
        let index = index as usize;
        if depth > 0 {
            return Some("a column of an enclosing query is read".to_owned());
        }
        let ty = types.get(index)?;
        return (ty.kind != expr.ty.kind)
            .then(|| format!("column {index} is {ty}, and read as {}", expr.ty));
    }
    expr.children()
        .into_iter()
        .find_map(|child| mistyped(child, types))
}
