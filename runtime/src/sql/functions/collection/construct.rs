//! The constructors `ARRAY[...]`, `MAP[...]` and `ROW(...)`.
//!
//! Place in the flow: rows of the function table. Invariant: the values of an array, and keys and values of a map, were cast to
//! one type.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::DataType;

use super::super::rules::count;
use super::super::{Function, Resolve, call, mismatch};
use super::lists::{Items, Picks};
use super::map::last_of_each;
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::compare::{Identities, Identity};
use crate::sql::expr::Expr;
use crate::sql::typing::{common_type, convert};
use crate::types::{FlinkType, RowField, TypeKind};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("ARRAY", Resolve::Custom(array_type), array).failing(),
        Function::new("MAP", Resolve::Custom(map_type), map).failing(),
        Function::new("ROW", Resolve::Custom(row_type), row),
    ]
}

/// The common type of some expressions.
fn common(name: &str, args: &[&Expr], expected: &str) -> Result<FlinkType> {
    let types: Vec<&FlinkType> = args.iter().map(|arg| &arg.ty).collect();
    common_type(&types).ok_or_else(|| {
        let args: Vec<Expr> = args.iter().map(|arg| (*arg).clone()).collect();
        mismatch(name, &args, expected)
    })
}

/// `ARRAY[a, b]`.
fn array_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=usize::MAX)?;
    let element = common(name, &args.iter().collect::<Vec<_>>(), "values of one type")?;
    let args = args
        .into_iter()
        .map(|arg| convert(arg, &element.kind))
        .collect();
    let kind = TypeKind::Array(Box::new(element));
    Ok(call(name, args, kind.not_null(), span))
}

/// `MAP[k, v, k, v]`.
fn map_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=usize::MAX)?;
    if args.len() % 2 == 1 {
        return Err(Error::type_mismatch("MAP takes pairs of a key and a value"));
    }
    let every_other = |first| args.iter().skip(first).step_by(2).collect::<Vec<_>>();
    let key = common(name, &every_other(0), "keys of one type")?;
    let value = common(name, &every_other(1), "values of one type")?;
    let args = args
        .into_iter()
        .enumerate()
        .map(|(i, arg)| convert(arg, if i % 2 == 0 { &key.kind } else { &value.kind }))
        .collect();
    let kind = TypeKind::Map(Box::new(key), Box::new(value));
    Ok(call(name, args, kind.not_null(), span))
}

/// `ROW(a, b)`: fields are called EXPR$0, EXPR$1 and so on.
fn row_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=usize::MAX)?;
    let fields = args
        .iter()
        .enumerate()
        .map(|(i, arg)| RowField {
            name: format!("EXPR${i}"),
            ty: arg.ty.clone(),
        })
        .collect();
    Ok(call(name, args, TypeKind::Row(fields).not_null(), span))
}

/// All arguments.
fn items<'a>(call: &Call<'a>) -> Result<Vec<Items<'a>>> {
    (0..call.args.len()).map(|i| Items::of(call, i)).collect()
}

/// `ARRAY[a, b]`.
fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let items = items(call)?;
    let mut picks = Picks::default();
    for row in 0..call.rows {
        for (source, item) in items.iter().enumerate() {
            picks.push(source, item.at(row));
        }
        picks.end();
    }
    let sources: Vec<&ArrayRef> = items.iter().map(|item| item.array).collect();
    picks.finish(call, &sources)
}

/// `MAP[k, v]`: the last value of a key that occurs twice wins.
fn map(call: &Call<'_>) -> Result<ArrayRef> {
    let items = items(call)?;
    let (keys, values): (Vec<_>, Vec<_>) = items
        .chunks_exact(2)
        .map(|pair| (&pair[0], &pair[1]))
        .unzip();
    let identities: Vec<Identity<'_>> = keys
        .iter()
        .map(|key| Identity::new(key.array))
        .collect::<Result<_>>()?;
    let (mut key_picks, mut value_picks) = (Picks::default(), Picks::default());
    let mut found = Identities::default();
    for row in 0..call.rows {
        found.clear();
        for (key, identity) in keys.iter().zip(&identities) {
            found.push(identity, key.at(row));
        }
        for pair in last_of_each(&found) {
            key_picks.push(pair, keys[pair].at(row));
            value_picks.push(pair, values[pair].at(row));
        }
        key_picks.end();
        value_picks.end();
    }
    let keys: Vec<&ArrayRef> = keys.iter().map(|key| key.array).collect();
    let values: Vec<&ArrayRef> = values.iter().map(|value| value.array).collect();
    key_picks.finish_map(call, &keys, value_picks.gather(&values)?)
}

/// `ROW(a, b)`.
fn row(call: &Call<'_>) -> Result<ArrayRef> {
    let columns = (0..call.args.len())
        .map(|i| call.column(i))
        .collect::<Result<_>>()?;
    let DataType::Struct(fields) = call.ty.to_arrow()? else {
        return Err(Error::internal("ROW is not a struct"));
    };
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}
