//! Arrays: elements by position, and all others.
//!
//! Place in the flow: called for pairs of schemas that both take arrays. Invariant: elements beyond those with a schema of their own are
//! what `items`, `additionalItems` or nothing says, whichever the draft.

use serde_json::Value;

use super::object::{Rest, RestKeyword};
use super::{Checker, Found, Pair, TooComplex, bounds, takes_all, tell};
use crate::schema_registry::language::json::Node;

/// The content of arrays.
#[derive(Debug)]
struct Content<'a> {
    /// Elements by position.
    positions: Vec<Node<'a>>,
    /// All others.
    rest: Rest<'a>,
}

impl<'a> Content<'a> {
    /// The content that a schema describes.
    fn of(node: Node<'a>) -> Self {
        let nodes = |values: &'a Vec<Value>| values.iter().map(|value| node.inner(value)).collect();
        match (node.get("prefixItems"), node.get("items")) {
            (Some(Value::Array(values)), _) => Self {
                positions: nodes(values),
                rest: Rest::of(node.schema("items")),
            },
            (_, Some(Value::Array(values))) => Self {
                positions: nodes(values),
                rest: Rest::of(node.schema("additionalItems")),
            },
            _ => Self {
                positions: Vec::new(),
                rest: Rest::of(node.schema("items")),
            },
        }
    }
}

/// Compares arrays.
pub(super) fn check<'a>(
    checker: &mut Checker<'a>,
    pair: Pair<'a>,
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    let (original, update) = (
        Content::of(pair.original.node),
        Content::of(pair.update.node),
    );
    for index in 0..original.positions.len().max(update.positions.len()) {
        let path = format!("{path}/items/{index}");
        match (original.positions.get(index), update.positions.get(index)) {
            (Some(before), Some(after)) => {
                checker.compare(Pair::inner(*before, *after), &path, found)?;
            }
            (None, Some(node)) => check_added(checker, original.rest, *node, &path, found)?,
            (Some(node), None) => check_removed(checker, update.rest, *node, &path, found)?,
            (None, None) => {}
        }
    }
    let rest = RestKeyword {
        path: format!("{path}/items"),
        removed: "ADDITIONAL_ITEMS_REMOVED",
        narrowed: "ADDITIONAL_ITEMS_NARROWED",
    };
    rest.check(checker, (original.rest, update.rest), found)?;
    bounds::check_array(pair, path, found);
    checker.check_schema(pair, "contains", path, found)?;
    checker.check_schema(pair, "unevaluatedItems", path, found)
}

/// Compares an element that only the reader has a schema for.
fn check_added<'a>(
    checker: &mut Checker<'a>,
    rest: Rest<'a>,
    node: Node<'a>,
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    let (kind, is_covered) = match rest {
        Rest::Open => ("ITEM_ADDED_TO_OPEN_CONTENT_MODEL", takes_all(node)),
        Rest::Closed => return Ok(()),
        Rest::Schema(before) => (
            "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
            checker.fits(Pair::inner(before, node))?,
        ),
    };
    if !is_covered {
        let what = "the writer lets an element through that the reader does not take".to_owned();
        tell(found, kind, path, what);
    }
    Ok(())
}

/// Compares an element that only the writer has a schema for.
fn check_removed<'a>(
    checker: &mut Checker<'a>,
    rest: Rest<'a>,
    node: Node<'a>,
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    let (kind, is_covered) = match rest {
        Rest::Open => return Ok(()),
        Rest::Closed => (
            "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL",
            node.value == &Value::Bool(false),
        ),
        Rest::Schema(after) => (
            "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
            checker.fits(Pair::inner(node, after))?,
        ),
    };
    if !is_covered {
        let what = "the reader does not take the writer's element".to_owned();
        tell(found, kind, path, what);
    }
    Ok(())
}
