//! Functions over maps.
//!
//! Place in the flow: rows of the function table. Invariant: a map has a key once; where it came twice, the last value counts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::datatypes::DataType;
use hashbrown::HashSet;

use super::super::rules::count;
use super::super::{Function, Resolve, mismatch};
use super::lists::{Lists, Maps, Picks};
use super::signatures::{common_collection, element_of, entry_of, strict};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::compare::{Identities, Identity};
use crate::sql::expr::Expr;
use crate::types::{RowField, TypeKind};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("MAP_KEYS", Resolve::Custom(keys_type), |call| {
            part(call, |maps| Arc::clone(maps.keys()))
        }),
        Function::new("MAP_VALUES", Resolve::Custom(values_type), |call| {
            part(call, |maps| Arc::clone(maps.values()))
        }),
        Function::new("MAP_ENTRIES", Resolve::Custom(entries_type), entries),
        Function::new(
            "MAP_FROM_ARRAYS",
            Resolve::Custom(from_arrays_type),
            from_arrays,
        )
        .failing(),
        Function::new("MAP_UNION", Resolve::Custom(union_type), union).failing(),
    ]
}

/// `MAP_KEYS`.
fn keys_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let (key, _) = entry_of(name, &args, "a MAP")?;
    Ok(strict(name, args, TypeKind::Array(Box::new(key)), span))
}

/// `MAP_VALUES`.
fn values_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let (_, value) = entry_of(name, &args, "a MAP")?;
    Ok(strict(name, args, TypeKind::Array(Box::new(value)), span))
}

/// `MAP_ENTRIES`: an array of rows of `key` and `value`.
fn entries_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let (key, value) = entry_of(name, &args, "a MAP")?;
    let field = |name: &str, ty| RowField {
        name: name.to_owned(),
        ty,
    };
    let row = TypeKind::Row(vec![field("key", key), field("value", value)]);
    let kind = TypeKind::Array(Box::new(row.nullable()));
    Ok(strict(name, args, kind, span))
}

/// `MAP_FROM_ARRAYS`.
fn from_arrays_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    const EXPECTED: &str = "an ARRAY of keys and an ARRAY of values";
    count(name, &args, 2..=2)?;
    let key = element_of(name, &args, 0, EXPECTED)?;
    let value = element_of(name, &args, 1, EXPECTED)?;
    let kind = TypeKind::Map(Box::new(key), Box::new(value));
    Ok(strict(name, args, kind, span))
}

/// `MAP_UNION`.
fn union_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    const EXPECTED: &str = "maps of one type";
    if args.is_empty() {
        return Err(mismatch(name, &args, EXPECTED));
    }
    let is_map = |kind: &TypeKind| matches!(kind, TypeKind::Map(..));
    let (common, args) = common_collection(name, args, is_map, EXPECTED)?;
    Ok(strict(name, args, common.kind, span))
}

/// Which of some keys are the last ones of their value, in their order.
pub(super) fn last_of_each(keys: &Identities) -> Vec<usize> {
    let all: Vec<Option<&[u8]>> = keys.iter().collect();
    let mut seen = HashSet::new();
    let mut kept: Vec<usize> = (0..all.len())
        .rev()
        // What equals nothing is a key of its own.
        .filter(|index| all[*index].is_none_or(|key| seen.insert(key)))
        .collect();
    kept.reverse();
    kept
}

/// An argument's maps as arrays of keys or of values.
fn part(call: &Call<'_>, values: fn(&Maps<'_>) -> ArrayRef) -> Result<ArrayRef> {
    let maps = Maps::of(call, 0)?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        match maps.get(row) {
            Some(entries) => {
                picks.extend(0, entries);
                picks.end();
            }
            None => picks.end_null(),
        }
    }
    picks.finish(call, &[&values(&maps)])
}

/// `MAP_ENTRIES`.
fn entries(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(field) = call.ty.to_arrow()? else {
        return Err(Error::internal("MAP_ENTRIES is not an array"));
    };
    let DataType::Struct(fields) = field.data_type().clone() else {
        return Err(Error::internal("MAP_ENTRIES has no rows"));
    };
    let column = call.column(0)?;
    let maps = column.as_any().downcast_ref::<MapArray>();
    let maps = maps.ok_or_else(|| Error::internal("MAP_ENTRIES of another type"))?;
    let columns = vec![Arc::clone(maps.keys()), Arc::clone(maps.values())];
    let rows = StructArray::try_new(fields, columns, None)?;
    Ok(Arc::new(ListArray::try_new(
        field,
        maps.offsets().clone(),
        Arc::new(rows),
        maps.nulls().cloned(),
    )?))
}

/// `MAP_FROM_ARRAYS`.
fn from_arrays(call: &Call<'_>) -> Result<ArrayRef> {
    let (keys, values) = (Lists::of(call, 0)?, Lists::of(call, 1)?);
    let identity = Identity::new(keys.values())?;
    let (mut key_picks, mut value_picks) = (Picks::default(), Picks::default());
    let mut found = Identities::default();
    for row in 0..call.rows {
        let (Some(from), Some(to)) = (keys.get(row), values.get(row)) else {
            key_picks.end_null();
            value_picks.end_null();
            continue;
        };
        if from.len() != to.len() {
            return Err(Error::arithmetic(format!(
                "MAP_FROM_ARRAYS takes arrays of one length, not of {} keys and {} values",
                from.len(),
                to.len()
            )));
        }
        found.clear();
        for key in from.clone() {
            found.push(&identity, key);
        }
        for index in last_of_each(&found) {
            key_picks.push(0, from.start + index);
            value_picks.push(0, to.start + index);
        }
        key_picks.end();
        value_picks.end();
    }
    let values = value_picks.gather(&[values.values()])?;
    key_picks.finish_map(call, &[keys.values()], values)
}

/// `MAP_UNION`: later maps win.
fn union(call: &Call<'_>) -> Result<ArrayRef> {
    let maps: Vec<Maps<'_>> = (0..call.args.len())
        .map(|i| Maps::of(call, i))
        .collect::<Result<_>>()?;
    let identities: Vec<Identity<'_>> = maps
        .iter()
        .map(|map| Identity::new(map.keys()))
        .collect::<Result<_>>()?;
    let mut picks = Picks::default();
    let mut found = Identities::default();
    for row in 0..call.rows {
        let entries: Option<Vec<_>> = maps.iter().map(|map| map.get(row)).collect();
        let Some(entries) = entries else {
            picks.end_null();
            continue;
        };
        found.clear();
        let mut places = Vec::new();
        for (source, entries) in entries.into_iter().enumerate() {
            for entry in entries {
                found.push(&identities[source], entry);
                places.push((source, entry));
            }
        }
        for index in last_of_each(&found) {
            let (source, entry) = places[index];
            picks.push(source, entry);
        }
        picks.end();
    }
    let keys: Vec<&ArrayRef> = maps.iter().map(Maps::keys).collect();
    let values: Vec<&ArrayRef> = maps.iter().map(Maps::values).collect();
    let values = picks.gather(&values)?;
    picks.finish_map(call, &keys, values)
}
