//! The functions of the system: SHOW FUNCTIONS and DESCRIBE FUNCTION.
//!
//! Place in the flow: answers from the function tables. Invariant: what is listed can be called by that name.

use super::Bound;
use super::aggregate_call::grouped_names;
use super::call::CURRENT_DATABASE;
use super::show::rows;
use crate::error::{Result, unknown_name};
use crate::sql::ast::Name;
use crate::sql::functions::{self, Volatility};

/// Functions that have a name, and aggregates, sorted.
pub(super) fn names() -> Vec<String> {
    let is_name =
        |name: &&str| name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.contains(' ');
    let mut found: Vec<&str> = functions::names()
        .into_iter()
        .filter(is_name)
        .chain(grouped_names())
        .chain([CURRENT_DATABASE])
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(str::to_owned).collect()
}

/// Whether the system has a function of that name, which is in upper case.
pub(super) fn is_builtin(name: &str) -> bool {
    functions::is_function(name)
        || grouped_names().any(|own| own == name)
        || name == CURRENT_DATABASE
}

/// Answers `DESCRIBE FUNCTION [EXTENDED]`.
///
/// # Errors
/// `Invalid` for an unknown name, with the nearest one.
///
/// # Source
/// Flink: DESCRIBE FUNCTION; what it says of functions of the system.
pub(super) fn describe(name: &Name, extended: bool) -> Result<Bound> {
    let own = name.parts.last().map(|part| part.value.to_uppercase());
    let own = own.unwrap_or_default();
    if name.parts.len() > 1 || !is_builtin(&own) {
        let names = names();
        let written: Vec<&str> = name.parts.iter().map(|part| part.value.as_str()).collect();
        let names = names.iter().map(String::as_str);
        return Err(unknown_name("function", &written.join("."), names).with_span(name.span()));
    }
    let mut facts = vec![("is system function", "true"), ("is temporary", "false")];
    if extended {
        let is_aggregate = grouped_names().any(|known| known == own);
        let is_fixed = functions::volatility(&own) == Volatility::Immutable;
        let truth = |is: bool| if is { "true" } else { "false" };
        facts.push(("kind", if is_aggregate { "AGGREGATE" } else { "SCALAR" }));
        facts.push(("requirements", "[]"));
        facts.push(("is deterministic", truth(is_fixed)));
        facts.push((
            "supports constant folding",
            truth(is_fixed && !is_aggregate),
        ));
    }
    let row = |(name, value): (&str, &str)| vec![Some(name.to_owned()), Some(value.to_owned())];
    Ok(rows(
        "DESCRIBE_FUNCTION",
        &["info name", "info value"],
        facts.into_iter().map(row).collect(),
    ))
}
