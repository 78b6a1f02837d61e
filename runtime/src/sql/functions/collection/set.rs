//! Arrays as sets: `ARRAY_DISTINCT`, `ARRAY_UNION`, `ARRAY_EXCEPT` and `ARRAY_INTERSECT`.
//!
//! Place in the flow: rows of the function table. Invariant: each element occurs once in a result, where it occurred first.

use arrow::array::ArrayRef;
use hashbrown::HashSet;

use super::super::rules::count;
use super::super::{Function, Resolve};
use super::lists::{Lists, Picks};
use super::signatures::{common_collection, element_of, strict};
use crate::error::{Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::compare::{Identities, Identity};
use crate::sql::expr::Expr;
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("ARRAY_DISTINCT", Resolve::Custom(distinct_type), |call| {
            combine(call, Keep::All)
        }),
        Function::new("ARRAY_UNION", Resolve::Custom(pair_type), |call| {
            combine(call, Keep::All)
        })
        .failing(),
        Function::new("ARRAY_EXCEPT", Resolve::Custom(pair_type), |call| {
            combine(call, Keep::OnlyInFirst)
        }),
        Function::new("ARRAY_INTERSECT", Resolve::Custom(pair_type), |call| {
            combine(call, Keep::InBoth)
        }),
    ]
}

/// Which elements a result has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Those of any array.
    All,
    /// Those of the first array that the second has not.
    OnlyInFirst,
    /// Those of the first array that the second has too.
    InBoth,
}

/// `ARRAY_DISTINCT`.
fn distinct_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    element_of(name, &args, 0, "an ARRAY")?;
    let kind = args[0].ty.kind.clone();
    Ok(strict(name, args, kind, span))
}

/// Two arrays of one type.
fn pair_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let is_array = |kind: &TypeKind| matches!(kind, TypeKind::Array(_));
    let (common, args) = common_collection(name, args, is_array, "two arrays of one type")?;
    Ok(strict(name, args, common.kind, span))
}

/// All functions of this file.
fn combine(call: &Call<'_>, keep: Keep) -> Result<ArrayRef> {
    let lists: Vec<Lists<'_>> = (0..call.args.len())
        .map(|i| Lists::of(call, i))
        .collect::<Result<_>>()?;
    let identities: Vec<Identity<'_>> = lists
        .iter()
        .map(|list| Identity::new(list.values()))
        .collect::<Result<_>>()?;
    let mut picks = Picks::default();
    let mut keys = Identities::default();
    for row in 0..call.rows {
        let elements: Option<Vec<_>> = lists.iter().map(|list| list.get(row)).collect();
        let Some(elements) = elements else {
            picks.end_null();
            continue;
        };
        keys.clear();
        let mut places = Vec::new();
        for (source, elements) in elements.into_iter().enumerate() {
            for entry in elements {
                keys.push(&identities[source], entry);
                places.push((source, entry));
            }
        }
        choose(&keys, &places, keep, &mut picks);
        picks.end();
    }
    let values: Vec<&ArrayRef> = lists.iter().map(Lists::values).collect();
    picks.finish(call, &values)
}

/// Picks the elements of one row: of places in the arrays and what is there.
fn choose(keys: &Identities, places: &[(usize, usize)], keep: Keep, picks: &mut Picks) {
    let second: HashSet<&[u8]> = if keep == Keep::All {
        HashSet::new()
    } else {
        let keyed = keys.iter().zip(places);
        keyed
            .filter(|(_, (source, _))| *source > 0)
            .filter_map(|(key, _)| key)
            .collect()
    };
    let mut seen = HashSet::new();
    for (key, (source, entry)) in keys.iter().zip(places) {
        if keep != Keep::All && *source > 0 {
            break;
        }
        // What equals nothing, not even itself, is always new and in no other array.
        let is_new = key.is_none_or(|key| seen.insert(key));
        let in_second = key.is_some_and(|key| second.contains(key));
        let wanted = match keep {
            Keep::All => true,
            Keep::OnlyInFirst => !in_second,
            Keep::InBoth => in_second,
        };
        if is_new && wanted {
            picks.push(*source, *entry);
        }
    }
}
