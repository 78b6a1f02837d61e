//! Access to parts of a collection and its size: `a[i]`, `m[k]`, `r.field`, CARDINALITY and ELEMENT.
//!
//! Place in the flow: rows of the function table. Invariant: an element that does not exist is NULL, never an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, ListArray, MapArray, StructArray, UInt32Array};
use arrow::compute::take;

use super::super::json::{item_of_variant, variant_item_type};
use super::super::rules::count;
use super::super::{Function, Resolve, call, mismatch};
use super::lists::{Items, Lists, Maps};
use super::signatures::element_of;
use crate::error::{Error, Result, Span, unknown_name};
use crate::sql::eval::call::Call;
use crate::sql::eval::compare::Identity;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::typing::{common_type, convert};
use crate::types::{FlinkType, TypeKind};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("FIELD", Resolve::Custom(field_type), field),
        Function::new("ITEM", Resolve::Custom(item_type), item),
        Function::new("CARDINALITY", Resolve::Custom(size_type), size),
        Function::new("ELEMENT", Resolve::Custom(element_type), element).failing(),
    ]
}

/// The field of a row that a constant names or, from 1, counts.
fn wanted<'a>(row: &'a FlinkType, selector: &Expr) -> Option<Result<(&'a str, &'a FlinkType)>> {
    let TypeKind::Row(fields) = &row.kind else {
        return None;
    };
    let (found, named) = match &selector.kind {
        ExprKind::Literal(Literal::String(name)) => (
            fields.iter().find(|field| field.name == *name),
            name.clone(),
        ),
        ExprKind::Literal(Literal::Integer(place)) => {
            let index = usize::try_from(*place).ok()?.checked_sub(1);
            (index.and_then(|index| fields.get(index)), place.to_string())
        }
        _ => return None,
    };
    let known = fields.iter().map(|field| field.name.as_str());
    Some(
        found
            .map(|field| (field.name.as_str(), &field.ty))
            .ok_or_else(|| unknown_name("field", &named, known)),
    )
}

/// The field of a row by name.
fn field_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let found = match args.as_slice() {
        [row, selector] => wanted(&row.ty, selector),
        _ => None,
    };
    let Some(found) = found else {
        return Err(mismatch(name, &args, "a ROW and the name of a field"));
    };
    let (field, ty) = found?;
    let ty = ty.with_nullable(ty.nullable || args[0].ty.nullable);
    let selector = Expr::literal(
        Literal::String(field.to_owned()),
        TypeKind::string().not_null(),
    );
    let mut args = args;
    args[1] = selector;
    Ok(call("FIELD", args, ty, span))
}

/// `a[b]`: an array's element from 1, a map's value by key, a row's field by constant name or place.
fn item_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    const EXPECTED: &str = "an ARRAY and INT, a MAP and a key, or a ROW and the name of a field";
    count(name, &args, 2..=2)?;
    let [container, index] =
        <[Expr; 2]>::try_from(args).map_err(|_| Error::internal("two operands were counted"))?;
    match &container.ty.kind {
        TypeKind::Array(element) if index.ty.kind.is_integer() => {
            if let ExprKind::Literal(Literal::Integer(place @ ..=0)) = index.kind {
                return Err(Error::validation(format!(
                    "elements of an array are counted from 1, not from {place}"
                )));
            }
            let ty = element.with_nullable(true);
            let index = convert(index, &TypeKind::BigInt);
            Ok(call(name, vec![container, index], ty, span))
        }
        TypeKind::Map(key, value) => {
            let Some(common) = common_type(&[key, &index.ty]) else {
                return Err(mismatch(name, &[container, index], EXPECTED));
            };
            let ty = value.with_nullable(true);
            let keyed = TypeKind::Map(Box::new(common.clone()), value.clone());
            let args = vec![convert(container, &keyed), convert(index, &common.kind)];
            Ok(call(name, args, ty, span))
        }
        TypeKind::Variant => variant_item_type(name, vec![container, index], span),
        TypeKind::Row(_) => field_type(name, vec![container, index], span),
        _ => Err(mismatch(name, &[container, index], EXPECTED)),
    }
}

/// CARDINALITY.
fn size_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let fits = matches!(
        args[0].ty.kind,
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_)
    );
    if !fits {
        return Err(mismatch(name, &args, "an ARRAY, MAP or MULTISET"));
    }
    let ty = TypeKind::Int.nullable().with_nullable(args[0].ty.nullable);
    Ok(call(name, args, ty, span))
}

/// ELEMENT.
fn element_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let element = element_of(name, &args, 0, "an ARRAY")?;
    Ok(call(name, args, element.with_nullable(true), span))
}

/// The field of a row.
fn field(call: &Call<'_>) -> Result<ArrayRef> {
    let rows = call.column(0)?;
    let row = rows.as_any().downcast_ref::<StructArray>();
    let row = row.ok_or_else(|| Error::internal("FIELD of another type"))?;
    let name = call.text(1)?.get(0).unwrap_or_default();
    let column = row
        .column_by_name(name)
        .ok_or_else(|| Error::internal(format!("the row has no field {name}")))?;
    if row.null_count() == 0 {
        return Ok(Arc::clone(column));
    }
    let indices: UInt32Array = (0..row.len())
        .map(|i| row.is_valid(i).then(|| u32::try_from(i).ok()).flatten())
        .collect();
    Ok(take(column, &indices, None)?)
}

/// `a[b]`.
fn item(call: &Call<'_>) -> Result<ArrayRef> {
    if call.types[0].kind == TypeKind::Variant {
        return item_of_variant(call);
    }
    if let TypeKind::Map(..) = call.types.first().map_or(&TypeKind::Null, |ty| &ty.kind) {
        return map_value(call);
    }
    let (lists, index) = (Lists::of(call, 0)?, call.long(1)?);
    let indices: UInt32Array = (0..call.rows)
        .map(|row| {
            let place = usize::try_from(index.get(row)?).ok()?.checked_sub(1)?;
            let found = lists.get(row)?.nth(place)?;
            u32::try_from(found).ok()
        })
        .collect();
    Ok(take(lists.values(), &indices, None)?)
}

/// The value of a key.
fn map_value(call: &Call<'_>) -> Result<ArrayRef> {
    let (maps, wanted) = (Maps::of(call, 0)?, Items::of(call, 1)?);
    let (keys, needle) = (Identity::new(maps.keys())?, Identity::new(wanted.array)?);
    let (mut bytes, mut searched) = (Vec::new(), Vec::new());
    let indices: UInt32Array = (0..call.rows)
        .map(|row| {
            let mut entries = maps.get(row)?;
            searched.clear();
            if wanted.is_null(row) || !needle.write(wanted.at(row), &mut searched) {
                return None;
            }
            let found = entries.find(|entry| {
                bytes.clear();
                keys.write(*entry, &mut bytes) && bytes == searched
            })?;
            u32::try_from(found).ok()
        })
        .collect();
    Ok(take(maps.values(), &indices, None)?)
}

/// Entries of the row's collection.
fn lengths(array: &ArrayRef) -> Result<Int32Array> {
    let offsets = if let Some(list) = array.as_any().downcast_ref::<ListArray>() {
        list.value_offsets()
    } else if let Some(map) = array.as_any().downcast_ref::<MapArray>() {
        map.value_offsets()
    } else {
        return Err(Error::internal("CARDINALITY of another type"));
    };
    Ok((0..array.len())
        .map(|i| array.is_valid(i).then(|| offsets[i + 1] - offsets[i]))
        .collect())
}

/// CARDINALITY.
fn size(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(lengths(&call.column(0)?)?))
}

/// ELEMENT: the only element; more than one is an error.
fn element(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = Lists::of(call, 0)?;
    let indices = (0..call.rows).map(|row| {
        let Some(mut elements) = lists.get(row) else {
            return Ok(None);
        };
        if elements.len() > 1 {
            return Err(Error::arithmetic(
                "ELEMENT of an array with more than one element",
            ));
        }
        Ok(elements.next().and_then(|found| u32::try_from(found).ok()))
    });
    let indices: UInt32Array = indices.collect::<Result<_>>()?;
    Ok(take(lists.values(), &indices, None)?)
}
