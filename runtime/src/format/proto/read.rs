//! Records along a plan into columns.
//!
//! Place in the flow: the decoder calls it for every record. Invariant: the fields of a message are found first and then appended column
//! by column; what was appended before a fault is for the caller to take back.
//!
//! # Source
//! Protocol Buffers, "Encoding": last one wins, merged messages, packed and unpacked elements.

use std::borrow::Cow;

use crate::format::column::{Column, Data, Fault};
use crate::format::proto::found::{Found, Level, NONE, Slot};
use crate::format::proto::plan::{How, Message, Plan, Target, Value};
use crate::format::proto::scalar::{Cell, Scalar, misplaced};
use crate::format::proto::wellknown_read::append_known;
use crate::format::proto::wire::{Input, Raw};
use crate::format::rows::{end_of, last_ones};

/// Appends a record to the columns.
///
/// # Errors
/// A fault with its place; what was appended stays, for the caller to take back.
pub(super) fn append(
    plan: &Plan,
    columns: &mut [Column],
    bytes: &[u8],
    found: &mut Found,
) -> Result<(), Fault> {
    found.clear();
    match plan {
        Plan::Fields(message) => append_message(message, columns, bytes, found),
        Plan::Branch { column, message } => {
            for (place, other) in columns.iter_mut().enumerate() {
                if Some(place) != *column {
                    other.append_null()?;
                }
            }
            match column {
                Some(place) => append_row(message, &mut columns[*place], bytes, found),
                // Nobody asks for it, but it is checked all the same.
                None => append_message(&Message::default(), &mut [], bytes, found),
            }
        }
    }
}

/// Appends a message to the columns of its fields.
fn append_message(
    message: &Message,
    columns: &mut [Column],
    bytes: &[u8],
    found: &mut Found,
) -> Result<(), Fault> {
    let level = found.fill(message, bytes)?;
    let at = At { level, bytes };
    for (target, column) in message.columns.iter().zip(columns) {
        append_target(target, column, at, found).map_err(|fault| fault.within(&target.name))?;
    }
    found.leave(level);
    Ok(())
}

/// The message at hand.
#[derive(Debug, Clone, Copy)]
struct At<'b> {
    /// Its fields.
    level: Level,
    /// Its bytes.
    bytes: &'b [u8],
}

/// Appends what a column gets.
fn append_target(
    target: &Target,
    column: &mut Column,
    at: At<'_>,
    found: &mut Found,
) -> Result<(), Fault> {
    match &target.how {
        How::Single {
            slot,
            value,
            is_zero,
        } => {
            let slot = found.slot(at.level, *slot);
            if slot.first != NONE {
                return append_single(value, column, (slot, at.bytes), found);
            }
            if *is_zero {
                let zero = match value {
                    Value::Scalar(scalar) => scalar.zero(),
                    _ => Cell::Bytes(&[]),
                };
                return append_value(value, column, zero, found);
            }
            column.append_null()
        }
        How::List { slot, element } => {
            let slot = found.slot(at.level, *slot);
            append_list(element, column, (slot, at.bytes), found)?;
            column.valid();
            Ok(())
        }
        How::Map { slot, entry } => {
            let slot = found.slot(at.level, *slot);
            append_map(entry, column, (slot, at.bytes), found)?;
            column.valid();
            Ok(())
        }
        How::Choice(members) => append_choice(members, column, at, found),
        How::Missing => append_missing(column),
    }
}

/// Appends the value of a field that is there.
fn append_single(
    value: &Value,
    column: &mut Column,
    (slot, bytes): (Slot, &[u8]),
    found: &mut Found,
) -> Result<(), Fault> {
    match value {
        Value::Scalar(scalar) => {
            let raw = found.raw(slot.first, bytes);
            let cell = scalar.cell(raw).ok_or_else(misplaced)?;
            append_value(value, column, cell, found)
        }
        Value::Row(_)
        | Value::Inner(_)
        | Value::Decimal
        | Value::Date
        | Value::TimeOfDay
        | Value::Timestamp
        | Value::Refused(_) => {
            let message = found.message(slot, bytes);
            append_value(value, column, Cell::Bytes(&message), found)
        }
    }
}

/// Appends a value.
fn append_value(
    value: &Value,
    column: &mut Column,
    cell: Cell<'_>,
    found: &mut Found,
) -> Result<(), Fault> {
    match (value, cell) {
        (Value::Scalar(scalar), cell) => scalar.append(cell, &mut column.data)?,
        (Value::Refused(why), _) => return Err(Fault::mismatch(why.as_ref())),
        (Value::Row(message), Cell::Bytes(bytes)) => {
            return append_row(message, column, bytes, found);
        }
        (Value::Inner(message), Cell::Bytes(bytes)) => {
            return append_inner(message, column, bytes, found);
        }
        (
            Value::Decimal | Value::Date | Value::TimeOfDay | Value::Timestamp,
            Cell::Bytes(bytes),
        ) => append_known(value, &mut column.data, bytes)?,
        (_, Cell::Bits(_)) => return Err(misplaced()),
    }
    column.valid();
    Ok(())
}

/// Appends a message to a ROW.
fn append_row(
    message: &Message,
    column: &mut Column,
    bytes: &[u8],
    found: &mut Found,
) -> Result<(), Fault> {
    let Data::Row { children, .. } = &mut column.data else {
        return Err(misplaced());
    };
    append_message(message, children, bytes, found)?;
    column.valid();
    Ok(())
}

/// Appends the only field of a message as the message's own value.
fn append_inner(
    message: &Message,
    column: &mut Column,
    bytes: &[u8],
    found: &mut Found,
) -> Result<(), Fault> {
    let level = found.fill(message, bytes)?;
    for target in &message.columns {
        append_target(target, column, At { level, bytes }, found)?;
    }
    found.leave(level);
    Ok(())
}

/// Appends the elements of a field, without the note that they are there.
fn append_list(
    element: &Value,
    column: &mut Column,
    (slot, bytes): (Slot, &[u8]),
    found: &mut Found,
) -> Result<(), Fault> {
    let Data::List {
        offsets,
        element: elements,
    } = &mut column.data
    else {
        return Err(misplaced());
    };
    let (mut at, mut count) = (slot.first, 0_usize);
    while at != NONE {
        let raw = found.raw(at, bytes);
        at = found.next(at);
        let mut append = |cell: Cell<'_>| {
            let place = count;
            count += 1;
            append_value(element, elements, cell, found)
                .map_err(|fault| fault.within(&format!("[{place}]")))
        };
        match (element, raw) {
            (Value::Scalar(scalar), raw) => each_cell(scalar, raw, append)?,
            (_, Raw::Bytes(message)) => append(Cell::Bytes(message))?,
            (_, _) => append(Cell::Bytes(&[]))?,
        }
    }
    offsets.push(end_of(elements)?);
    Ok(())
}

/// Hands on an element, or each of packed ones.
fn each_cell(
    scalar: &Scalar,
    raw: Raw<'_>,
    mut each: impl FnMut(Cell<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if let Raw::Bytes(packed) = raw {
        let mut input = Input::new(packed);
        while !input.is_empty() {
            let Some(raw) = scalar.unpack(&mut input)? else {
                break;
            };
            if let Some(cell) = scalar.cell(raw) {
                each(cell)?;
            }
        }
        if input.is_empty() && !packed.is_empty() {
            return Ok(());
        }
    }
    // An element of its own: an unknown symbol is as if it were not there.
    scalar.cell(raw).map_or(Ok(()), each)
}

/// Appends the entries of a field, without the note that they are there; of equal keys the last counts.
fn append_map(
    entry: &Message,
    column: &mut Column,
    (slot, bytes): (Slot, &[u8]),
    found: &mut Found,
) -> Result<(), Fault> {
    let Data::Map {
        offsets,
        key,
        value,
    } = &mut column.data
    else {
        return Err(misplaced());
    };
    let [key_of, value_of] = entry.columns.as_slice() else {
        return Err(misplaced());
    };
    let mut keys = Vec::new();
    let mut entries = Vec::new();
    let mut at = slot.first;
    while at != NONE {
        if let Raw::Bytes(bytes) = found.raw(at, bytes) {
            keys.push(key_cell(entry, bytes, found)?);
            entries.push(bytes);
        }
        at = found.next(at);
    }
    let is_last = last_ones(&keys);
    for (place, bytes) in entries.into_iter().enumerate() {
        if is_last.as_ref().is_some_and(|is_last| !is_last[place]) {
            continue;
        }
        let level = found.fill(entry, bytes)?;
        for (target, column) in [(key_of, &mut *key), (value_of, &mut *value)] {
            append_target(target, column, At { level, bytes }, found)
                .map_err(|fault| fault.within(&target.name))?;
        }
        found.leave(level);
    }
    offsets.push(end_of(key)?);
    Ok(())
}

/// What tells the key of an entry from others.
fn key_cell<'b>(
    entry: &Message,
    bytes: &'b [u8],
    found: &mut Found,
) -> Result<Cow<'b, [u8]>, Fault> {
    let level = found.fill(entry, bytes)?;
    let key = match entry.columns.first().map(|target| &target.how) {
        Some(How::Single { slot, value, .. }) => {
            let slot = found.slot(level, *slot);
            match value {
                Value::Scalar(scalar) => {
                    let raw = (slot.first != NONE).then(|| found.raw(slot.first, bytes));
                    let cell = raw.and_then(|raw| scalar.cell(raw));
                    match cell.unwrap_or_else(|| scalar.zero()) {
                        Cell::Bits(bits) => Cow::Owned(bits.to_le_bytes().to_vec()),
                        Cell::Bytes(bytes) => Cow::Borrowed(bytes),
                    }
                }
                _ if slot.first == NONE => Cow::Borrowed([].as_slice()),
                _ => found.message(slot, bytes),
            }
        }
        _ => Cow::Borrowed([].as_slice()),
    };
    found.leave(level);
    Ok(key)
}

/// Appends a oneof to a ROW that has a field for each of it; NULL when none is set.
fn append_choice(
    members: &[Target],
    column: &mut Column,
    at: At<'_>,
    found: &mut Found,
) -> Result<(), Fault> {
    let is_set = |target: &Target| match &target.how {
        How::Single { slot, .. } => found.slot(at.level, *slot).first != NONE,
        How::List { .. } | How::Map { .. } | How::Choice(_) | How::Missing => false,
    };
    if column.nullable && !members.iter().any(is_set) {
        return column.append_null();
    }
    let Data::Row { children, .. } = &mut column.data else {
        return Err(misplaced());
    };
    for (target, child) in members.iter().zip(children) {
        append_target(target, child, at, found).map_err(|fault| fault.within(&target.name))?;
    }
    column.valid();
    Ok(())
}

/// Appends what a column gets that the schema of the record does not have: NULL, or where the column takes none the value that Protobuf
/// has for absent fields.
fn append_missing(column: &mut Column) -> Result<(), Fault> {
    if !column.nullable {
        match &column.data {
            Data::Boolean(_)
            | Data::Int8(_)
            | Data::Int16(_)
            | Data::Int32(_)
            | Data::Int64(_)
            | Data::Float32(_)
            | Data::Float64(_)
            | Data::Utf8(_)
            | Data::Binary(_)
            | Data::List { .. }
            | Data::Map { .. } => {
                column.append_zero();
                return Ok(());
            }
            Data::Decimal { .. }
            | Data::Date(_)
            | Data::Time(_)
            | Data::Timestamp { .. }
            | Data::Nanos { .. }
            | Data::Row { .. } => {}
        }
    }
    column.append_null()
}
