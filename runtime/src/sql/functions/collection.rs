//! ARRAY, MAP and ROW: constructors, element access and size.
//!
//! Place in the flow: rows of the function table. Invariant: an element that does not exist is NULL, never an error.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, ListArray, MapArray, StructArray, UInt32Array, make_comparator,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::DataType;

use super::json::{item_of_variant, variant_item_type};
use super::rules::count;
use super::{Function, Resolve, call, mismatch};
use crate::error::{Error, Result, Span, unknown_name};
use crate::sql::eval::call::Call;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::typing::{common_type, convert};
use crate::types::{FlinkType, RowField, TypeKind};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("ARRAY", Resolve::Custom(array_type), array),
        Function::new("MAP", Resolve::Custom(map_type), map),
        Function::new("ROW", Resolve::Custom(row_type), row),
        Function::new("FIELD", Resolve::Custom(field_type), field),
        Function::new("ITEM", Resolve::Custom(item_type), item),
        Function::new("CARDINALITY", Resolve::Custom(size_type), size),
        Function::new("ELEMENT", Resolve::Custom(element_type), element).failing(),
    ]
}

/// The common type of some expressions.
fn common(name: &str, args: &[&Expr]) -> Result<FlinkType> {
    let types: Vec<&FlinkType> = args.iter().map(|arg| &arg.ty).collect();
    common_type(&types).ok_or_else(|| {
        let args: Vec<Expr> = args.iter().map(|arg| (*arg).clone()).collect();
        mismatch(name, &args, "values of one type")
    })
}

/// ARRAY[a, b].
fn array_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=usize::MAX)?;
    let element = common(name, &args.iter().collect::<Vec<_>>())?;
    let args = args
        .into_iter()
        .map(|arg| convert(arg, &element.kind))
        .collect();
    Ok(call(
        name,
        args,
        TypeKind::Array(Box::new(element)).not_null(),
        span,
    ))
}

/// MAP[k, v, k, v].
fn map_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=usize::MAX)?;
    if args.len() % 2 == 1 {
        return Err(Error::type_mismatch("MAP takes pairs of a key and a value"));
    }
    let key = common(name, &args.iter().step_by(2).collect::<Vec<_>>())?;
    let value = common(name, &args.iter().skip(1).step_by(2).collect::<Vec<_>>())?;
    let args = args
        .into_iter()
        .enumerate()
        .map(|(i, arg)| convert(arg, if i % 2 == 0 { &key.kind } else { &value.kind }))
        .collect();
    Ok(call(
        name,
        args,
        TypeKind::Map(Box::new(key), Box::new(value)).not_null(),
        span,
    ))
}

/// ROW(a, b): fields are called EXPR$0, EXPR$1 and so on.
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

/// The name in a literal second argument.
fn literal_name(args: &[Expr]) -> Option<&str> {
    match args.get(1).map(|arg| &arg.kind) {
        Some(ExprKind::Literal(Literal::String(name))) => Some(name),
        _ => None,
    }
}

/// The field of a row by name.
fn field_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let (Some(TypeKind::Row(fields)), Some(wanted)) =
        (args.first().map(|row| &row.ty.kind), literal_name(&args))
    else {
        return Err(mismatch(name, &args, "a ROW and the name of a field"));
    };
    let found = fields.iter().find(|field| field.name == wanted);
    let Some(found) = found else {
        let names = fields.iter().map(|field| field.name.as_str());
        return Err(unknown_name("field", wanted, names));
    };
    let ty = found
        .ty
        .with_nullable(found.ty.nullable || args[0].ty.nullable);
    Ok(call("FIELD", args, ty, span))
}

/// `a[b]`: an array's element from 1, a map's value by key, a row's field by literal name.
fn item_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let (container, index) = (&args[0].ty, &args[1]);
    let (ty, index_kind) = match &container.kind {
        TypeKind::Array(element) if index.ty.kind.is_integer() => {
            (element.with_nullable(true), TypeKind::Int)
        }
        TypeKind::Map(key, value) if common_type(&[key, &index.ty]).is_some() => {
            (value.with_nullable(true), key.kind.clone())
        }
        TypeKind::Row(_) => return field_type(name, args, span),
        TypeKind::Variant => return variant_item_type(name, args, span),
        _ => {
            return Err(mismatch(
                name,
                &args,
                "an ARRAY and INT, or a MAP and a key",
            ));
        }
    };
    let mut args = args;
    if let Some(index) = args.pop() {
        args.push(convert(index, &index_kind));
    }
    Ok(call(name, args, ty, span))
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
    let TypeKind::Array(element) = &args[0].ty.kind else {
        return Err(mismatch(name, &args, "an ARRAY"));
    };
    let ty = element.with_nullable(true);
    Ok(call(name, args, ty, span))
}

/// All arguments row by row: row 0 of each, then row 1 of each.
fn interleaved(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let refs: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let indices: Vec<(usize, usize)> = (0..rows)
        .flat_map(|row| (0..columns.len()).map(move |column| (column, row)))
        .collect();
    Ok(interleave(&refs, &indices)?)
}

/// ARRAY[a, b].
fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let columns: Vec<ArrayRef> = (0..call.args.len())
        .map(|i| call.column(i))
        .collect::<Result<_>>()?;
    let DataType::List(field) = call.ty.to_arrow()? else {
        return Err(Error::internal("ARRAY is not a list"));
    };
    let values = interleaved(&columns, call.rows)?;
    let offsets = OffsetBuffer::from_repeated_length(columns.len(), call.rows);
    Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
}

/// MAP[k, v]: the last value of a key that occurs twice wins.
fn map(call: &Call<'_>) -> Result<ArrayRef> {
    let columns: Vec<ArrayRef> = (0..call.args.len())
        .map(|i| call.column(i))
        .collect::<Result<_>>()?;
    let DataType::Map(field, sorted) = call.ty.to_arrow()? else {
        return Err(Error::internal("MAP is not a map"));
    };
    let DataType::Struct(fields) = field.data_type() else {
        return Err(Error::internal("entries are not a struct"));
    };
    let keys: Vec<ArrayRef> = columns.iter().step_by(2).cloned().collect();
    let values: Vec<ArrayRef> = columns.iter().skip(1).step_by(2).cloned().collect();
    let pairs = keys.len();
    let mut later = Vec::new();
    for i in 0..pairs {
        for j in i + 1..pairs {
            let same = make_comparator(keys[i].as_ref(), keys[j].as_ref(), SortOptions::default())?;
            later.push((i, same, j));
        }
    }
    let (mut picked, mut lengths) = (Vec::new(), Vec::with_capacity(call.rows));
    for row in 0..call.rows {
        let before = picked.len();
        for i in 0..pairs {
            let replaced = later
                .iter()
                .any(|(first, same, _)| *first == i && same(row, row).is_eq());
            if !replaced {
                picked.push(u32::try_from(row * pairs + i).unwrap_or(u32::MAX));
            }
        }
        lengths.push(picked.len() - before);
    }
    let picked = UInt32Array::from(picked);
    let keys = take(&interleaved(&keys, call.rows)?, &picked, None)?;
    let values = take(&interleaved(&values, call.rows)?, &picked, None)?;
    let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)
        .map_err(|_| Error::arithmetic("a key of MAP is NULL"))?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(&field),
        offsets,
        entries,
        None,
        sorted,
    )?))
}

/// ROW(a, b).
fn row(call: &Call<'_>) -> Result<ArrayRef> {
    let columns = (0..call.args.len())
        .map(|i| call.column(i))
        .collect::<Result<_>>()?;
    let DataType::Struct(fields) = call.ty.to_arrow()? else {
        return Err(Error::internal("ROW is not a struct"));
    };
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
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
    let indices: UInt32Array = (0..row.len())
        .map(|i| {
            row.is_valid(i)
                .then(|| u32::try_from(i).unwrap_or(u32::MAX))
        })
        .collect();
    Ok(take(column, &indices, None)?)
}

/// `a[b]`.
fn item(call: &Call<'_>) -> Result<ArrayRef> {
    if call.types[0].kind == TypeKind::Variant {
        return item_of_variant(call);
    }
    let container = call.column(0)?;
    if let Some(list) = container.as_any().downcast_ref::<ListArray>() {
        let index = call.int(1)?;
        let indices: UInt32Array = (0..call.rows)
            .map(|i| {
                let wanted = usize::try_from(index.get(i)?).ok()?.checked_sub(1)?;
                let (start, length) = (list.value_offsets()[i], list.value_length(i));
                let inside = list.is_valid(i) && wanted < usize::try_from(length).ok()?;
                inside.then_some(u32::try_from(start).ok()? + u32::try_from(wanted).ok()?)
            })
            .collect();
        return Ok(take(list.values(), &indices, None)?);
    }
    let map = container.as_any().downcast_ref::<MapArray>();
    let map = map.ok_or_else(|| Error::internal("ITEM of another type"))?;
    let keys = call.column(1)?;
    let same = make_comparator(map.keys().as_ref(), keys.as_ref(), SortOptions::default())?;
    let indices: UInt32Array = (0..call.rows)
        .map(|i| {
            if map.is_null(i) || keys.is_null(i) {
                return None;
            }
            let start = usize::try_from(map.value_offsets()[i]).ok()?;
            let end = usize::try_from(map.value_offsets()[i + 1]).ok()?;
            let found = (start..end).find(|entry| same(*entry, i).is_eq())?;
            u32::try_from(found).ok()
        })
        .collect();
    Ok(take(map.values(), &indices, None)?)
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
    let array = call.column(0)?;
    let sizes = lengths(&array)?;
    if sizes.iter().flatten().any(|length| length > 1) {
        return Err(Error::arithmetic(
            "ELEMENT of an array with more than one element",
        ));
    }
    let list = array.as_any().downcast_ref::<ListArray>();
    let list = list.ok_or_else(|| Error::internal("ELEMENT of another type"))?;
    let indices: UInt32Array = (0..call.rows)
        .map(|i| {
            let present = list.is_valid(i) && list.value_length(i) == 1;
            present
                .then(|| u32::try_from(list.value_offsets()[i]).ok())
                .flatten()
        })
        .collect();
    Ok(take(list.values(), &indices, None)?)
}
