//! Keywords that bound numbers, lengths and counts.
//!
//! Place in the flow: called for pairs of schemas that both take numbers, strings, objects or arrays. Invariant: a bound may move only so
//! that more values pass.

use serde_json::Value;

use super::{Found, Pair, tell};

/// The side that a bound is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Nothing above.
    Upper,
    /// Nothing below.
    Lower,
}

/// A keyword that holds a bound: its name, the kinds for a new and for a tighter one, its side.
type Bound = (&'static str, &'static str, &'static str, Side);

/// Bounds of numbers.
const NUMBER: [Bound; 4] = [
    ("maximum", "MAXIMUM_ADDED", "MAXIMUM_DECREASED", Side::Upper),
    ("minimum", "MINIMUM_ADDED", "MINIMUM_INCREASED", Side::Lower),
    (
        "exclusiveMaximum",
        "EXCLUSIVE_MAXIMUM_ADDED",
        "EXCLUSIVE_MAXIMUM_DECREASED",
        Side::Upper,
    ),
    (
        "exclusiveMinimum",
        "EXCLUSIVE_MINIMUM_ADDED",
        "EXCLUSIVE_MINIMUM_INCREASED",
        Side::Lower,
    ),
];

/// Bounds of character strings.
const STRING: [Bound; 2] = [
    (
        "maxLength",
        "MAX_LENGTH_ADDED",
        "MAX_LENGTH_DECREASED",
        Side::Upper,
    ),
    (
        "minLength",
        "MIN_LENGTH_ADDED",
        "MIN_LENGTH_INCREASED",
        Side::Lower,
    ),
];

/// Bounds of objects.
const OBJECT: [Bound; 2] = [
    (
        "maxProperties",
        "MAX_PROPERTIES_ADDED",
        "MAX_PROPERTIES_DECREASED",
        Side::Upper,
    ),
    (
        "minProperties",
        "MIN_PROPERTIES_ADDED",
        "MIN_PROPERTIES_INCREASED",
        Side::Lower,
    ),
];

/// Bounds of arrays.
const ARRAY: [Bound; 4] = [
    (
        "maxItems",
        "MAX_ITEMS_ADDED",
        "MAX_ITEMS_DECREASED",
        Side::Upper,
    ),
    (
        "minItems",
        "MIN_ITEMS_ADDED",
        "MIN_ITEMS_INCREASED",
        Side::Lower,
    ),
    (
        "maxContains",
        "MAX_CONTAINS_ADDED",
        "MAX_CONTAINS_DECREASED",
        Side::Upper,
    ),
    (
        "minContains",
        "MIN_CONTAINS_ADDED",
        "MIN_CONTAINS_INCREASED",
        Side::Lower,
    ),
];

/// Compares what bounds numbers.
pub(super) fn check_number(pair: Pair<'_>, path: &str, found: &mut Found) {
    check_all(&NUMBER, pair, path, found);
    let (original, update) = pair.values("multipleOf");
    let numbers = (
        original.and_then(Value::as_f64),
        update.and_then(Value::as_f64),
    );
    let kind = match numbers {
        (_, None) => return,
        (None, Some(_)) => "MULTIPLE_OF_ADDED",
        (Some(original), Some(update)) if is_multiple(original, update) => return,
        (Some(original), Some(update)) if is_multiple(update, original) => "MULTIPLE_OF_EXPANDED",
        (Some(_), Some(_)) => "MULTIPLE_OF_CHANGED",
    };
    let what = "the writer's numbers need not be multiples of the reader's".to_owned();
    tell(found, kind, &format!("{path}/multipleOf"), what);
}

/// Compares what bounds character strings.
pub(super) fn check_string(pair: Pair<'_>, path: &str, found: &mut Found) {
    check_all(&STRING, pair, path, found);
    let kind = match pair.values("pattern") {
        (_, None) => return,
        (None, Some(_)) => "PATTERN_ADDED",
        (Some(original), Some(update)) if original == update => return,
        (Some(_), Some(_)) => "PATTERN_CHANGED",
    };
    let what = "the writer's texts need not match the reader's pattern".to_owned();
    tell(found, kind, &format!("{path}/pattern"), what);
}

/// Compares what bounds objects.
pub(super) fn check_object(pair: Pair<'_>, path: &str, found: &mut Found) {
    check_all(&OBJECT, pair, path, found);
}

/// Compares what bounds arrays.
pub(super) fn check_array(pair: Pair<'_>, path: &str, found: &mut Found) {
    check_all(&ARRAY, pair, path, found);
    if let (original, Some(Value::Bool(true))) = pair.values("uniqueItems")
        && original != Some(&Value::Bool(true))
    {
        let what = "the writer lets elements repeat".to_owned();
        tell(
            found,
            "UNIQUE_ITEMS_ADDED",
            &format!("{path}/uniqueItems"),
            what,
        );
    }
}

/// Compares bounds.
fn check_all(bounds: &[Bound], pair: Pair<'_>, path: &str, found: &mut Found) {
    for (keyword, added, tightened, side) in bounds {
        let kind = match pair.values(keyword) {
            // Before draft 6, a true value made the bound beside it exclusive.
            (_, None | Some(Value::Bool(false)))
            | (Some(Value::Bool(true)), Some(Value::Bool(true))) => continue,
            (original, Some(update)) => match (original.and_then(Value::as_f64), update.as_f64()) {
                (Some(original), Some(update)) => {
                    let is_tighter = match side {
                        Side::Upper => update < original,
                        Side::Lower => update > original,
                    };
                    if !is_tighter {
                        continue;
                    }
                    tightened
                }
                _ => added,
            },
        };
        let what = format!("the writer lets values through beyond the reader's {keyword}");
        tell(found, kind, &format!("{path}/{keyword}"), what);
    }
}

/// Whether a number is a whole multiple of another; exact for whole numbers and for decimals that divide without a remainder.
fn is_multiple(number: f64, of: f64) -> bool {
    (number / of).fract() == 0.0
}
