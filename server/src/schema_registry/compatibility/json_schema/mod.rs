//! Whether a JSON Schema takes every value that another one takes.
//!
//! Place in the flow: registrations and compatibility requests. Invariant: each keyword narrows what a schema takes, so a schema whose
//! every keyword narrows no more than its counterpart takes at least as much; what cannot be shown so is incompatible.
//!
//! # Source
//! Confluent, "JSON Schema Compatibility Rules": open, closed and partially open content models. Differences are told in
//! `docs/guide/schema-registry.md`.

mod array;
mod bounds;
mod combined;
mod object;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::{Budget, Incompatibility, TooComplex, tell};
use crate::schema_registry::language::json::{JsonSchema, Node, TYPES};

/// What stands in the way of reading what `original` let through with `update`.
///
/// # Errors
/// [`TooComplex`] for schemas beyond the bounds.
pub(crate) fn check(
    update: &JsonSchema,
    original: &JsonSchema,
) -> Result<Vec<Incompatibility>, TooComplex> {
    let mut checker = Checker {
        original,
        update,
        assumed: HashSet::new(),
        trail: Vec::new(),
        budget: Budget::new(),
    };
    let mut found = Vec::new();
    let pair = Pair {
        original: Part::of(original.root()),
        update: Part::of(update.root()),
    };
    checker.compare(pair, "#", &mut found)?;
    Ok(found)
}

/// What was found so far.
type Found = Vec<Incompatibility>;

/// A schema, or what stands beside its `$ref`.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    /// The schema.
    node: Node<'a>,
    /// Whether its `$ref` is left out.
    is_beside_ref: bool,
}

impl<'a> Part<'a> {
    /// A whole schema.
    fn of(node: Node<'a>) -> Self {
        Self {
            node,
            is_beside_ref: false,
        }
    }

    /// The target of its `$ref`, if it has one that counts.
    fn reference(self) -> Option<&'a str> {
        let target = self.node.get("$ref").filter(|_| !self.is_beside_ref)?;
        target.as_str()
    }

    /// What tells it from other parts.
    fn key(self) -> (usize, bool) {
        (
            std::ptr::from_ref(self.node.value) as usize,
            self.is_beside_ref,
        )
    }
}

/// Two schemas that are compared.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    /// Wrote.
    original: Part<'a>,
    /// Reads.
    update: Part<'a>,
}

impl<'a> Pair<'a> {
    /// Two schemas within these.
    fn inner(original: Node<'a>, update: Node<'a>) -> Self {
        Self {
            original: Part::of(original),
            update: Part::of(update),
        }
    }

    /// The values of a keyword in both.
    fn values(self, keyword: &str) -> (Option<&'a Value>, Option<&'a Value>) {
        (
            self.original.node.get(keyword),
            self.update.node.get(keyword),
        )
    }
}

/// A pair, for the set of those that fit.
type Key = ((usize, bool), (usize, bool));

/// A check that is under way.
#[derive(Debug)]
struct Checker<'a> {
    /// Wrote.
    original: &'a JsonSchema,
    /// Reads.
    update: &'a JsonSchema,
    /// Pairs that fit, or are being compared further up and so fit unless that fails.
    assumed: HashSet<Key>,
    /// The same pairs in the order in which they came in.
    trail: Vec<Key>,
    /// What is left of steps and levels.
    budget: Budget,
}

impl<'a> Checker<'a> {
    /// Compares two schemas.
    fn compare(&mut self, pair: Pair<'a>, path: &str, found: &mut Found) -> Result<(), TooComplex> {
        let key = (pair.original.key(), pair.update.key());
        if self.assumed.contains(&key) {
            return Ok(());
        }
        self.budget.enter()?;
        let before = (self.trail.len(), found.len());
        self.assumed.insert(key);
        self.trail.push(key);
        self.through_refs(pair, path, found)?;
        if found.len() > before.1 {
            // What was found to fit on the way may only have done so because this pair was taken to fit.
            for key in self.trail.drain(before.0..) {
                self.assumed.remove(&key);
            }
        }
        self.budget.leave();
        Ok(())
    }

    /// Whether two schemas fit.
    fn fits(&mut self, pair: Pair<'a>) -> Result<bool, TooComplex> {
        let mut found = Vec::new();
        self.compare(pair, "", &mut found)?;
        Ok(found.is_empty())
    }

    /// Compares what stands behind `$ref`s, together with what stands beside them.
    fn through_refs(
        &mut self,
        pair: Pair<'a>,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        if let Some(target) = pair.update.reference() {
            let Ok(node) = self.update.target(pair.update.node, target) else {
                unresolved(target, path, found);
                return Ok(());
            };
            let update = Part::of(node);
            self.compare(Pair { update, ..pair }, path, found)?;
            if has_assertions(pair.update.node) {
                let update = Part {
                    is_beside_ref: true,
                    ..pair.update
                };
                self.compare(Pair { update, ..pair }, path, found)?;
            }
            return Ok(());
        }
        if let Some(target) = pair.original.reference() {
            let Ok(node) = self.original.target(pair.original.node, target) else {
                unresolved(target, path, found);
                return Ok(());
            };
            let beside = Part {
                is_beside_ref: true,
                ..pair.original
            };
            let is_beside_enough = has_assertions(pair.original.node)
                && self.fits(Pair {
                    original: beside,
                    ..pair
                })?;
            if is_beside_enough {
                return Ok(());
            }
            let original = Part::of(node);
            return self.compare(Pair { original, ..pair }, path, found);
        }
        self.keywords(pair, path, found)
    }

    /// Compares two schemas without `$ref`, keyword by keyword.
    fn keywords(
        &mut self,
        pair: Pair<'a>,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        if takes_all(pair.update.node) || pair.original.node.value == &Value::Bool(false) {
            return Ok(());
        }
        if pair.update.node.value == &Value::Bool(false) {
            let what = "the reader takes no value".to_owned();
            tell(found, "TYPE_CHANGED", path, what);
            return Ok(());
        }
        let before = found.len();
        self.each_keyword(pair, path, found)?;
        if found.len() > before && combined::fits_by_branches(self, pair)? {
            found.truncate(before);
        }
        Ok(())
    }

    /// As [`Self::keywords`], where both are objects or the original takes everything.
    fn each_keyword(
        &mut self,
        pair: Pair<'a>,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let types = (types(pair.original.node), types(pair.update.node));
        if !check_types(&types.0, &types.1, path, found) {
            return Ok(());
        }
        check_values(pair, path, found);
        let takes = |name: &str| types.0.iter().any(|ty| is_a(ty, name)) && types.1.contains(name);
        if takes("number") || takes("integer") {
            bounds::check_number(pair, path, found);
        }
        if takes("string") {
            bounds::check_string(pair, path, found);
        }
        if takes("object") {
            object::check(self, pair, path, found)?;
        }
        if takes("array") {
            array::check(self, pair, path, found)?;
        }
        combined::check(self, pair, path, found)?;
        self.check_not(pair, path, found)?;
        check_condition(pair, path, found);
        Ok(())
    }

    /// Compares `not`, which turns the direction round.
    fn check_not(
        &mut self,
        pair: Pair<'a>,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let Some(update) = pair.update.node.schema("not") else {
            return Ok(());
        };
        let is_narrowed = match pair.original.node.schema("not") {
            // The direction turns round, and with it whose references count: a check of its own.
            Some(original) => {
                self.budget.enter()?;
                let mut reversed = Checker {
                    original: self.update,
                    update: self.original,
                    assumed: HashSet::new(),
                    trail: Vec::new(),
                    budget: Budget {
                        steps: self.budget.steps,
                        depth: self.budget.depth,
                    },
                };
                let fits = reversed.fits(Pair::inner(update, original));
                self.budget.steps = reversed.budget.steps;
                self.budget.leave();
                fits?
            }
            None => false,
        };
        if !is_narrowed {
            let what = "the reader excludes values that the writer lets through".to_owned();
            tell(found, "NOT_TYPE_EXTENDED", &format!("{path}/not"), what);
        }
        Ok(())
    }

    /// Compares the schemas of a keyword, where none means that all is taken.
    fn check_schema(
        &mut self,
        pair: Pair<'a>,
        keyword: &str,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let Some(update) = pair.update.node.schema(keyword) else {
            return Ok(());
        };
        let original = pair.original.node;
        let original = original
            .schema(keyword)
            .unwrap_or_else(|| original.inner(&Value::Bool(true)));
        self.compare(
            Pair::inner(original, update),
            &format!("{path}/{keyword}"),
            found,
        )
    }
}

/// A `$ref` whose target went missing.
fn unresolved(target: &str, path: &str, found: &mut Found) {
    let what = format!("$ref {target} points at nothing");
    tell(found, "TYPE_CHANGED", path, what);
}

/// Whether a schema narrows anything beside its `$ref`.
fn has_assertions(node: Node<'_>) -> bool {
    let members = node.value.as_object();
    members.is_some_and(|members| members.keys().any(|key| is_assertion(key)))
}

/// Whether a schema takes every value.
fn takes_all(node: Node<'_>) -> bool {
    match node.value {
        Value::Bool(takes) => *takes,
        Value::Object(members) => members
            .keys()
            .all(|key| !is_assertion(key) && key != "$ref"),
        _ => false,
    }
}

/// Keywords that narrow objects.
const OBJECT_KEYWORDS: [&str; 11] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "required",
    "maxProperties",
    "minProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
];

/// Keywords that narrow arrays.
const ARRAY_KEYWORDS: [&str; 10] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "maxContains",
    "minContains",
    "maxItems",
    "minItems",
    "uniqueItems",
];

/// Keywords that narrow character strings.
const STRING_KEYWORDS: [&str; 3] = ["maxLength", "minLength", "pattern"];

/// Keywords that narrow numbers.
const NUMBER_KEYWORDS: [&str; 5] = [
    "maximum",
    "minimum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "multipleOf",
];

/// Keywords that narrow values of any type.
const OTHER_KEYWORDS: [&str; 8] = [
    "type", "enum", "const", "allOf", "anyOf", "oneOf", "not", "if",
];

/// Whether a keyword narrows what a schema takes.
fn is_assertion(keyword: &str) -> bool {
    [
        OBJECT_KEYWORDS.as_slice(),
        &ARRAY_KEYWORDS,
        &STRING_KEYWORDS,
        &NUMBER_KEYWORDS,
        &OTHER_KEYWORDS,
    ]
    .iter()
    .any(|keywords| keywords.contains(&keyword))
}

/// The types that a schema takes. Without `type`, keywords of one type stand for it, as in Confluent's registry.
fn types(node: Node<'_>) -> BTreeSet<&str> {
    match node.get("type") {
        Some(Value::String(name)) => return BTreeSet::from([name.as_str()]),
        Some(Value::Array(names)) => return names.iter().filter_map(Value::as_str).collect(),
        _ => {}
    }
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| node.get(keyword).is_some());
    let families = [
        ("object", has(&OBJECT_KEYWORDS)),
        ("array", has(&ARRAY_KEYWORDS)),
        ("string", has(&STRING_KEYWORDS)),
        ("number", has(&NUMBER_KEYWORDS)),
    ];
    let mut implied = families.iter().filter(|(_, is_there)| *is_there);
    match (implied.next(), implied.next()) {
        (Some((name, _)), None) => BTreeSet::from([*name]),
        _ => BTreeSet::from(TYPES),
    }
}

/// Whether every value of a type is one of another.
fn is_a(ty: &str, other: &str) -> bool {
    ty == other || (ty == "integer" && other == "number")
}

/// Compares types; whether the reader has all of the writer's.
fn check_types(
    original: &BTreeSet<&str>,
    update: &BTreeSet<&str>,
    path: &str,
    found: &mut Found,
) -> bool {
    let lacks = |ty: &&&str| !update.iter().any(|other| is_a(ty, other));
    let missing: Vec<&str> = original.iter().filter(lacks).copied().collect();
    if missing.is_empty() {
        return true;
    }
    let kind = match (original.len(), update.len()) {
        (1, 1) if original.contains("number") && update.contains("integer") => "TYPE_NARROWED",
        (1, 1) => "TYPE_CHANGED",
        _ => "SUM_TYPE_NARROWED",
    };
    let what = format!("the reader takes no {}", missing.join(", no "));
    tell(found, kind, path, what);
    false
}

/// Compares `enum` and `const`.
fn check_values(pair: Pair<'_>, path: &str, found: &mut Found) {
    let values = |node: Node<'_>| -> Option<Vec<Value>> {
        match (node.get("enum"), node.get("const")) {
            (_, Some(value)) => Some(vec![value.clone()]),
            (Some(Value::Array(values)), None) => Some(values.clone()),
            _ => None,
        }
    };
    let Some(update) = values(pair.update.node) else {
        return;
    };
    let original = values(pair.original.node);
    // Texts of values, as lists may be long.
    let texts =
        |values: &[Value]| -> HashSet<String> { values.iter().map(ToString::to_string).collect() };
    let update = texts(&update);
    let kind = match original.map(|values| texts(&values)) {
        Some(original) if original.is_subset(&update) => return,
        Some(original) if !update.is_subset(&original) => "ENUM_ARRAY_CHANGED",
        Some(_) | None => "ENUM_ARRAY_NARROWED",
    };
    let what = "the reader lists fewer values than the writer lets through".to_owned();
    tell(found, kind, &format!("{path}/enum"), what);
}

/// Compares `if`, `then` and `else`: as they stand, since what they take together is not worked out.
fn check_condition(pair: Pair<'_>, path: &str, found: &mut Found) {
    let parts = ["if", "then", "else"].map(|keyword| pair.values(keyword));
    if parts[0].1.is_some() && parts.iter().any(|(original, update)| original != update) {
        let what = "the reader's condition is not the writer's".to_owned();
        tell(found, "COMBINED_TYPE_CHANGED", &format!("{path}/if"), what);
    }
}
