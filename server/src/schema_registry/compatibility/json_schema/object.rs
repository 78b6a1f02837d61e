//! Objects: properties, required ones, and what else they may hold.
//!
//! Place in the flow: called for pairs of schemas that both take objects. Invariant: a property that one schema does not name is what its
//! content model says: anything (open), nothing (closed), or what a pattern or `additionalProperties` says (partially open).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Checker, Found, Pair, TooComplex, bounds, takes_all, tell};
use crate::schema_registry::language::json::{Node, regex};

/// What properties without a schema of their own may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rest<'a> {
    /// Anything.
    Open,
    /// There are none.
    Closed,
    /// What the schema takes.
    Schema(Node<'a>),
}

impl<'a> Rest<'a> {
    /// What a keyword says.
    pub(super) fn of(schema: Option<Node<'a>>) -> Self {
        match schema {
            None => Self::Open,
            Some(node) if takes_all(node) => Self::Open,
            Some(node) if node.value == &Value::Bool(false) => Self::Closed,
            Some(node) => Self::Schema(node),
        }
    }
}

/// The content of objects.
#[derive(Debug)]
struct Content<'a> {
    /// Properties by name.
    properties: BTreeMap<&'a str, Node<'a>>,
    /// Properties by pattern.
    patterns: BTreeMap<&'a str, Node<'a>>,
    /// The same patterns, to be matched. They were checked when the schema was registered; one that fails all the same takes no part.
    matchers: Vec<(fancy_regex::Regex, Node<'a>)>,
    /// Names that must be there.
    required: BTreeSet<&'a str>,
    /// All other properties.
    rest: Rest<'a>,
}

impl<'a> Content<'a> {
    /// The content that a schema describes.
    fn of(node: Node<'a>) -> Self {
        let required = match node.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => BTreeSet::new(),
        };
        let patterns = schemas(node, "patternProperties");
        let matchers = patterns
            .iter()
            .filter_map(|(pattern, node)| Some((regex(pattern).ok()?, *node)))
            .collect();
        Self {
            properties: schemas(node, "properties"),
            patterns,
            matchers,
            required,
            rest: Rest::of(node.schema("additionalProperties")),
        }
    }

    /// What a property may hold that has no schema of its own.
    fn unnamed(&self, name: &str) -> Rest<'a> {
        let mut matchers = self.matchers.iter();
        matchers
            .find(|(pattern, _)| pattern.is_match(name).unwrap_or(false))
            .map_or(self.rest, |(_, node)| Rest::Schema(*node))
    }

    /// Whether unnamed properties may hold anything.
    fn is_open(&self) -> bool {
        self.patterns.is_empty() && matches!(self.rest, Rest::Open)
    }
}

/// The schemas of a keyword by name.
fn schemas<'a>(node: Node<'a>, keyword: &str) -> BTreeMap<&'a str, Node<'a>> {
    match node.get(keyword) {
        Some(Value::Object(members)) => members
            .iter()
            .map(|(name, value)| (name.as_str(), node.inner(value)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Compares objects.
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
    check_required(checker, (&original, &update), path, found);
    for (name, node) in &update.properties {
        let path = format!("{path}/properties/{name}");
        match original.properties.get(name) {
            Some(before) => checker.compare(Pair::inner(*before, *node), &path, found)?,
            None => check_added(checker, (&original, &update), (name, *node), &path, found)?,
        }
    }
    for (name, node) in &original.properties {
        if !update.properties.contains_key(name) {
            let path = format!("{path}/properties/{name}");
            check_removed(checker, &update, (name, *node), &path, found)?;
        }
    }
    check_patterns(checker, &original, &update, path, found)?;
    let rest = RestKeyword {
        path: format!("{path}/additionalProperties"),
        removed: "ADDITIONAL_PROPERTIES_REMOVED",
        narrowed: "ADDITIONAL_PROPERTIES_NARROWED",
    };
    rest.check(checker, (original.rest, update.rest), found)?;
    check_dependencies(checker, pair, path, found)?;
    bounds::check_object(pair, path, found);
    checker.check_schema(pair, "propertyNames", path, found)?;
    checker.check_schema(pair, "unevaluatedProperties", path, found)
}

/// Compares what must be there.
fn check_required(
    checker: &Checker<'_>,
    (original, update): (&Content<'_>, &Content<'_>),
    path: &str,
    found: &mut Found,
) {
    for name in update.required.difference(&original.required) {
        let is_default = update
            .properties
            .get(name)
            .is_some_and(|node| has_default(checker, *node));
        // What comes in with its property is told there, unless anything goes as that property.
        let is_told = !original.properties.contains_key(name)
            && update
                .properties
                .get(name)
                .is_some_and(|node| !original.is_open() || !takes_all(*node));
        if !is_default && !is_told {
            let what = format!("the reader requires {name}, the writer does not");
            let path = format!("{path}/required/{name}");
            tell(found, "REQUIRED_ATTRIBUTE_ADDED", &path, what);
        }
    }
}

/// Whether the reader has a value for a property that is absent.
fn has_default(checker: &Checker<'_>, node: Node<'_>) -> bool {
    let resolved = checker.update.resolve(node);
    node.get("default").is_some() || resolved.is_ok_and(|node| node.get("default").is_some())
}

/// Compares a property that only the reader names.
fn check_added<'a>(
    checker: &mut Checker<'a>,
    (original, update): (&Content<'a>, &Content<'a>),
    (name, node): (&str, Node<'a>),
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    if original.is_open() {
        if !takes_all(node) {
            let what = format!(
                "the writer's content model is open, so its {name} may hold what the reader does not take; \
                 close the model with additionalProperties: false first"
            );
            tell(found, "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", path, what);
        }
        return Ok(());
    }
    let is_covered = match original.unnamed(name) {
        Rest::Open => takes_all(node),
        Rest::Closed => true,
        Rest::Schema(before) => checker.fits(Pair::inner(before, node))?,
    };
    if !is_covered {
        let kind = "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
        let what = format!("the writer lets a {name} through that the reader does not take");
        tell(found, kind, path, what);
    }
    if update.required.contains(name) && !has_default(checker, node) {
        let kind = "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL";
        let what = format!("the reader requires {name}, which has no default and no writer has");
        tell(found, kind, path, what);
    }
    Ok(())
}

/// Compares a property that only the writer names.
fn check_removed<'a>(
    checker: &mut Checker<'a>,
    update: &Content<'a>,
    (name, node): (&str, Node<'a>),
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    let (kind, is_covered) = match update.unnamed(name) {
        Rest::Open => return Ok(()),
        Rest::Closed => (
            "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL",
            node.value == &Value::Bool(false),
        ),
        Rest::Schema(after) => (
            "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
            checker.fits(Pair::inner(node, after))?,
        ),
    };
    if !is_covered {
        let what = format!("the reader has no {name} and does not take the writer's as another");
        tell(found, kind, path, what);
    }
    Ok(())
}

/// Compares properties by pattern.
fn check_patterns<'a>(
    checker: &mut Checker<'a>,
    original: &Content<'a>,
    update: &Content<'a>,
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    for (pattern, node) in &update.patterns {
        let path = format!("{path}/patternProperties/{pattern}");
        let is_taken = match (original.patterns.get(pattern), original.rest) {
            (Some(before), _) => {
                checker.compare(Pair::inner(*before, *node), &path, found)?;
                true
            }
            (None, Rest::Closed) => original.patterns.is_empty(),
            (None, Rest::Open) => takes_all(*node),
            (None, Rest::Schema(before)) => {
                original.patterns.is_empty() && checker.fits(Pair::inner(before, *node))?
            }
        };
        if !is_taken {
            let what = "the writer lets properties of that pattern through".to_owned();
            tell(found, "ADDITIONAL_PROPERTIES_NARROWED", &path, what);
        }
    }
    for (pattern, node) in &original.patterns {
        let is_taken = update.patterns.contains_key(pattern)
            || match update.rest {
                Rest::Open => true,
                Rest::Closed => node.value == &Value::Bool(false),
                Rest::Schema(after) => checker.fits(Pair::inner(*node, after))?,
            };
        if !is_taken {
            let what = "the reader does not take properties of that pattern".to_owned();
            let path = format!("{path}/patternProperties/{pattern}");
            tell(found, "ADDITIONAL_PROPERTIES_REMOVED", &path, what);
        }
    }
    Ok(())
}

/// A keyword for all that has no schema of its own.
#[derive(Debug)]
pub(super) struct RestKeyword {
    /// Where it stands.
    pub(super) path: String,
    /// The kind where the reader takes none.
    pub(super) removed: &'static str,
    /// The kind where it takes less.
    pub(super) narrowed: &'static str,
}

impl RestKeyword {
    /// Compares it.
    pub(super) fn check<'a>(
        &self,
        checker: &mut Checker<'a>,
        (original, update): (Rest<'a>, Rest<'a>),
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let kind = match (original, update) {
            (_, Rest::Open) | (Rest::Closed, _) => return Ok(()),
            (Rest::Schema(before), Rest::Schema(after)) => {
                return checker.compare(Pair::inner(before, after), &self.path, found);
            }
            (Rest::Open | Rest::Schema(_), Rest::Closed) => self.removed,
            (Rest::Open, Rest::Schema(_)) => self.narrowed,
        };
        let what = "the writer lets more through than the reader takes".to_owned();
        tell(found, kind, &self.path, what);
        Ok(())
    }
}

/// Compares what must be there or hold beside a property.
fn check_dependencies<'a>(
    checker: &mut Checker<'a>,
    pair: Pair<'a>,
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    let path = format!("{path}/dependencies");
    let (original, update) = (
        Dependencies::of(pair.original.node),
        Dependencies::of(pair.update.node),
    );
    for (name, names) in &update.names {
        let kind = match original.names.get(name) {
            None => "DEPENDENCY_ARRAY_ADDED",
            Some(before) if names.is_subset(before) => continue,
            Some(before) if before.is_subset(names) => "DEPENDENCY_ARRAY_EXTENDED",
            Some(_) => "DEPENDENCY_ARRAY_CHANGED",
        };
        let what = format!("the reader requires more beside {name} than the writer");
        tell(found, kind, &format!("{path}/{name}"), what);
    }
    for (name, node) in &update.schemas {
        let path = format!("{path}/{name}");
        if let Some(before) = original.schemas.get(name) {
            checker.compare(Pair::inner(*before, *node), &path, found)?;
        } else {
            let what = format!("the reader has a schema for objects with {name}, the writer none");
            tell(found, "DEPENDENCY_SCHEMA_ADDED", &path, what);
        }
    }
    Ok(())
}

/// What depends on properties.
#[derive(Debug)]
struct Dependencies<'a> {
    /// Names that must be there too.
    names: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// What the object must then be.
    schemas: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Dependencies<'a> {
    /// Those of a schema, whichever draft names them.
    fn of(node: Node<'a>) -> Self {
        let mut all = schemas(node, "dependencies");
        all.extend(schemas(node, "dependentRequired"));
        let mut dependencies = Self {
            names: BTreeMap::new(),
            schemas: schemas(node, "dependentSchemas"),
        };
        for (name, node) in all {
            match node.value {
                Value::Array(names) => {
                    let names = names.iter().filter_map(Value::as_str).collect();
                    dependencies.names.insert(name, names);
                }
                _ => {
                    dependencies.schemas.insert(name, node);
                }
            }
        }
        dependencies
    }
}
