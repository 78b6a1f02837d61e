//! Values as text and as JSON, the way Flink and Confluent's results print them.

use arrow::array::{Array, ArrayRef};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::types::FlinkType;

/// A value as Confluent's statement results carry it: scalars are JSON strings, NULL is null, nested values are arrays.
///
/// # Errors
/// `Internal` when the array is not of the type.
pub fn to_result_json(
    array: &ArrayRef,
    row: usize,
    ty: &FlinkType,
    time_zone: &str,
) -> Result<Value> {
    let _ = (array, row, time_zone);
    Err(Error::unsupported(format!("text of {ty}")))
}

/// A value as Flink's `Row.toString` prints it; absent for NULL.
///
/// # Errors
/// `Internal` when the array is not of the type.
pub fn to_text(
    array: &ArrayRef,
    row: usize,
    ty: &FlinkType,
    time_zone: &str,
) -> Result<Option<String>> {
    let _ = (ty, time_zone);
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(arrow::util::display::array_value_to_string(
        array, row,
    )?))
}
