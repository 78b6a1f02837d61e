//! Times as bytes, and columns of times as milliseconds.
//!
//! Place in the flow: joins in time order rows by them. Invariant: the bytes are in the order of the times.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use crate::error::{Error, Result};
use crate::time::EpochMillis;

/// Bytes of a time.
pub(super) const TIME_BYTES: usize = size_of::<EpochMillis>();

/// A time as bytes that are in the order of times.
pub(super) fn sort_key(time_ms: EpochMillis) -> [u8; TIME_BYTES] {
    (time_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time that a sort key begins with.
pub(super) fn time_of(sort: &[u8]) -> EpochMillis {
    let bytes = sort.first_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// The times of a column as milliseconds.
///
/// # Errors
/// `Internal` for a column of another type.
pub(super) fn times_ms(column: &ArrayRef) -> Result<PrimitiveArray<Int64Type>> {
    let per_ms = match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1000,
        other => return Err(Error::internal(format!("a time attribute of type {other}"))),
    };
    let longs = column
        .to_data()
        .into_builder()
        .data_type(DataType::Int64)
        .build()?;
    let longs = arrow::array::make_array(longs);
    let longs = longs.as_primitive::<Int64Type>();
    Ok(match per_ms {
        1 => longs.clone(),
        per_ms => longs.unary(|value| value.div_euclid(per_ms)),
    })
}
