//! Functions on dates, times and timestamps.
//!
//! Place in the flow: rows of the function table. Invariant: everything is computed on local times; instants pass
//! through the session time zone on the way in and out.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Time32MillisecondType};

use super::Function;
use crate::error::Result;
use crate::sql::eval::call::Value;
use crate::sql::eval::datetime::{self, DAY_US, MICROS, Moment};
use crate::sql::eval::zone::Zone;
use crate::types::TypeKind;

mod clock;
mod difference;
mod instant;
mod part;
mod text;
mod unit;

#[cfg(test)]
mod tests;

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let mut all = clock::functions();
    all.extend(part::functions());
    all.extend(difference::functions());
    all.extend(text::functions());
    all.push(instant::function());
    all
}

/// The local time of a time of any type.
fn local_time(value: &Value, kind: &TypeKind, row: usize, zone: &Zone) -> Result<Option<Moment>> {
    let array = value.array();
    let row = if value.is_scalar() { 0 } else { row };
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(match kind {
        TypeKind::Date => {
            let days = array.as_primitive_opt::<Date32Type>();
            days.map(|days| (i64::from(days.value(row)) * DAY_US).into())
        }
        TypeKind::Time(_) => {
            let times = array.as_primitive_opt::<Time32MillisecondType>();
            times.map(|times| (i64::from(times.value(row)) * MICROS).into())
        }
        TypeKind::TimestampLtz(_) => datetime::moment_at(array.as_ref(), row)?
            .map(|instant| datetime::to_local(instant, zone)),
        _ => datetime::moment_at(array.as_ref(), row)?,
    })
}

/// The whole microseconds of a local time.
fn local_micros(value: &Value, kind: &TypeKind, row: usize, zone: &Zone) -> Result<Option<i64>> {
    Ok(local_time(value, kind, row, zone)?.map(|local| local.micros))
}

/// Whether the type is a date or timestamp.
fn is_dated(kind: &TypeKind) -> bool {
    matches!(
        kind,
        TypeKind::Date | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)
    )
}

/// Whether the type is a date, a timestamp or a time of day.
fn is_point(kind: &TypeKind) -> bool {
    is_dated(kind) || matches!(kind, TypeKind::Time(_))
}
