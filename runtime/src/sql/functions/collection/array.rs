//! Functions that look for elements of an array, add, remove or move them.
//!
//! Place in the flow: rows of the function table. Invariant: a NULL array gives NULL; NULL elements are found by a NULL.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;

use super::super::rules::count;
use super::super::{Function, Resolve, any_nullable, call};
use super::lists::{Items, Lists, Picks};
use super::signatures::{array_and_element, common_collection, converted, element_of, strict};
use crate::error::{Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::compare::Identity;
use crate::sql::expr::Expr;
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("ARRAY_APPEND", Resolve::Custom(added_type), |call| {
            add(call, End::Last)
        })
        .failing(),
        Function::new("ARRAY_PREPEND", Resolve::Custom(added_type), |call| {
            add(call, End::First)
        })
        .failing(),
        Function::new("ARRAY_CONTAINS", Resolve::Custom(contains_type), contains),
        Function::new("ARRAY_POSITION", Resolve::Custom(position_type), position),
        Function::new("ARRAY_REMOVE", Resolve::Custom(remove_type), remove),
        Function::new("ARRAY_REVERSE", Resolve::Custom(reverse_type), reverse),
        Function::new("ARRAY_SLICE", Resolve::Custom(slice_type), slice),
        Function::new("ARRAY_CONCAT", Resolve::Custom(concat_type), concat).failing(),
    ]
}

/// An end of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Before the first element.
    First,
    /// Behind the last element.
    Last,
}

/// `ARRAY_APPEND` and `ARRAY_PREPEND`: elements, and for Flink also the array, may be NULL as soon as the new one may.
fn added_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let (element, args) = array_and_element(name, args)?;
    let nullable = element.nullable || any_nullable(&args[1..]);
    let kind = TypeKind::Array(Box::new(element.with_nullable(nullable)));
    Ok(strict(name, args, kind, span))
}

/// A call whose result is NULL exactly when its first argument is.
fn strict_in_array(name: &str, args: Vec<Expr>, kind: TypeKind, span: Span) -> Expr {
    let nullable = any_nullable(&args[..1]);
    call(name, args, kind.nullable().with_nullable(nullable), span)
}

/// `ARRAY_CONTAINS`.
fn contains_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let (_, args) = array_and_element(name, args)?;
    Ok(strict_in_array(name, args, TypeKind::Boolean, span))
}

/// `ARRAY_POSITION`.
fn position_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let (_, args) = array_and_element(name, args)?;
    Ok(strict(name, args, TypeKind::Int, span))
}

/// `ARRAY_REMOVE`.
fn remove_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let (_, args) = array_and_element(name, args)?;
    let kind = args[0].ty.kind.clone();
    Ok(strict_in_array(name, args, kind, span))
}

/// `ARRAY_REVERSE`.
fn reverse_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    element_of(name, &args, 0, "an ARRAY")?;
    let kind = args[0].ty.kind.clone();
    Ok(strict(name, args, kind, span))
}

/// `ARRAY_SLICE`.
fn slice_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    const EXPECTED: &str = "(ARRAY, INT) or (ARRAY, INT, INT)";
    count(name, &args, 2..=3)?;
    element_of(name, &args, 0, EXPECTED)?;
    let kind = args[0].ty.kind.clone();
    let args = converted(name, args, 1, &TypeKind::Int.nullable(), EXPECTED)?;
    Ok(strict(name, args, kind, span))
}

/// `ARRAY_CONCAT`.
fn concat_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=usize::MAX)?;
    let is_array = |kind: &TypeKind| matches!(kind, TypeKind::Array(_));
    let (common, args) = common_collection(name, args, is_array, "arrays of one type")?;
    Ok(strict(name, args, common.kind, span))
}

/// `ARRAY_APPEND` and `ARRAY_PREPEND`.
fn add(call: &Call<'_>, end: End) -> Result<ArrayRef> {
    let (lists, added) = (Lists::of(call, 0)?, Items::of(call, 1)?);
    let mut picks = Picks::default();
    for row in 0..call.rows {
        let Some(elements) = lists.get(row) else {
            picks.end_null();
            continue;
        };
        if end == End::First {
            picks.push(1, added.at(row));
        }
        picks.extend(0, elements);
        if end == End::Last {
            picks.push(1, added.at(row));
        }
        picks.end();
    }
    picks.finish(call, &[lists.values(), added.array])
}

/// Looks for the second argument in the first.
struct Search<'a> {
    /// Where.
    lists: Lists<'a>,
    /// What an element is.
    elements: Identity<'a>,
    /// What is looked for.
    needles: Items<'a>,
    /// What that is.
    needle: Identity<'a>,
}

impl<'a> Search<'a> {
    /// Reads the arguments.
    fn new(call: &Call<'a>) -> Result<Self> {
        let (lists, needles) = (Lists::of(call, 0)?, Items::of(call, 1)?);
        Ok(Self {
            elements: Identity::new(lists.values())?,
            needle: Identity::new(needles.array)?,
            lists,
            needles,
        })
    }

    /// Which elements of a row are the one looked for; `None` for a NULL array.
    fn matches(&self, row: usize) -> Option<impl Iterator<Item = (usize, bool)>> {
        let elements = self.lists.get(row)?;
        let (mut wanted, mut bytes) = (Vec::new(), Vec::new());
        let sound = self.needle.write(self.needles.at(row), &mut wanted);
        Some(elements.map(move |element| {
            bytes.clear();
            let equal = self.elements.write(element, &mut bytes) && sound && bytes == wanted;
            (element, equal)
        }))
    }
}

/// `ARRAY_CONTAINS`.
fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let search = Search::new(call)?;
    call.booleans(|row| {
        Ok(search
            .matches(row)
            .map(|mut found| found.any(|(_, hit)| hit)))
    })
}

/// `ARRAY_POSITION`: from 1, or 0 when there is none.
fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let search = Search::new(call)?;
    call.primitives::<Int32Type>(|row| {
        if search.needles.is_null(row) {
            return Ok(None);
        }
        let place = search.matches(row).map(|mut found| {
            let index = found.position(|(_, hit)| hit);
            index.map_or(0, |index| index + 1)
        });
        Ok(place.and_then(|place| i32::try_from(place).ok()))
    })
}

/// `ARRAY_REMOVE`.
fn remove(call: &Call<'_>) -> Result<ArrayRef> {
    let search = Search::new(call)?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        match search.matches(row) {
            Some(found) => {
                picks.extend(0, found.filter(|(_, hit)| !hit).map(|(element, _)| element));
                picks.end();
            }
            None => picks.end_null(),
        }
    }
    picks.finish(call, &[search.lists.values()])
}

/// `ARRAY_REVERSE`.
fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::of(call, 0)?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        match lists.get(row) {
            Some(elements) => {
                picks.extend(0, elements.rev());
                picks.end();
            }
            None => picks.end_null(),
        }
    }
    picks.finish(call, &[lists.values()])
}

/// `ARRAY_SLICE`.
fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let (lists, start) = (Lists::of(call, 0)?, call.int(1)?);
    let end = if call.args.len() > 2 {
        Some(call.int(2)?)
    } else {
        None
    };
    let mut picks = Picks::default();
    for row in 0..call.rows {
        let last = match &end {
            Some(end) => end.get(row).map(Some),
            None => Some(None),
        };
        let (Some(elements), Some(first), Some(last)) = (lists.get(row), start.get(row), last)
        else {
            picks.end_null();
            continue;
        };
        picks.extend(0, part(elements, first, last));
        picks.end();
    }
    picks.finish(call, &[lists.values()])
}

/// The elements from one place to another, both included; negative places count from the end, 0 is the first.
fn part(elements: Range<usize>, first: i32, last: Option<i32>) -> Range<usize> {
    let size = i64::try_from(elements.len()).unwrap_or(i64::MAX);
    let place = |index: i32| {
        let index = i64::from(index);
        if index < 0 { index + size + 1 } else { index }
    };
    let first = place(first).max(1);
    let last = match last.map(place) {
        // A place just before the array counts as its first.
        Some(0) => 1,
        Some(last) => last,
        None => size,
    };
    let last = last.min(size);
    let (Ok(skipped), Ok(end)) = (usize::try_from(first - 1), usize::try_from(last)) else {
        return 0..0;
    };
    if end <= skipped {
        return 0..0;
    }
    elements.start + skipped..elements.start + end
}

/// `ARRAY_CONCAT`: NULL as soon as one array is.
fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let lists: Vec<Lists<'_>> = (0..call.args.len())
        .map(|i| Lists::of(call, i))
        .collect::<Result<_>>()?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        let parts: Option<Vec<_>> = lists.iter().map(|list| list.get(row)).collect();
        let Some(parts) = parts else {
            picks.end_null();
            continue;
        };
        for (source, elements) in parts.into_iter().enumerate() {
            picks.extend(source, elements);
        }
        picks.end();
    }
    let values: Vec<&ArrayRef> = lists.iter().map(Lists::values).collect();
    picks.finish(call, &values)
}
