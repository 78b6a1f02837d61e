//! Kernels that look for a string in another.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: positions count code points from 1,
//! 0 is "not there", and the empty string is found at once.

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;

use super::int;
use crate::error::{Error, Result};
use crate::sql::eval::call::Call;

/// The position of `needle` at or behind `skip` characters.
fn index_of(hay: &str, needle: &str, skip: usize) -> i32 {
    if needle.is_empty() {
        return 1;
    }
    let mut places = hay.char_indices().map(|(at, _)| at).chain([hay.len()]);
    let found = places
        .nth(skip)
        .and_then(|from| hay.get(from..))
        .and_then(|rest| rest.find(needle).and_then(|at| rest.get(..at)));
    found.map_or(0, |before| int(skip + before.chars().count() + 1))
}

/// `POSITION(needle IN hay [FROM start])` and `LOCATE(needle, hay[, start])`.
pub(super) fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let (needle, hay) = (call.text(0)?, call.text(1)?);
    let start = call.args.get(2).map(|_| call.int(2)).transpose()?;
    call.primitives::<Int32Type>(|i| {
        let start = start.as_ref().map_or(Some(1), |start| start.get(i));
        let (Some(needle), Some(hay), Some(start)) = (needle.get(i), hay.get(i), start) else {
            return Ok(None);
        };
        Ok(Some(index_of(hay, needle, skipped(start))))
    })
}

/// Characters before a position; positions before the first are the first.
fn skipped(position: i32) -> usize {
    usize::try_from(position).unwrap_or(0).saturating_sub(1)
}

/// `INSTR(hay, needle[, start[, occurrence]])`: a negative start searches from the end.
pub(super) fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    let (hay, needle) = (call.text(0)?, call.text(1)?);
    let start = call.args.get(2).map(|_| call.int(2)).transpose()?;
    let nth = call.args.get(3).map(|_| call.int(3)).transpose()?;
    call.primitives::<Int32Type>(|i| {
        let start = start.as_ref().map_or(Some(1), |start| start.get(i));
        let nth = nth.as_ref().map_or(Some(1), |nth| nth.get(i));
        let (Some(hay), Some(needle), Some(start), Some(nth)) =
            (hay.get(i), needle.get(i), start, nth)
        else {
            return Ok(None);
        };
        if nth <= 0 {
            return Err(Error::arithmetic(format!(
                "the occurrence that INSTR looks for must be positive, not {nth}"
            )));
        }
        Ok(Some(occurrence(hay, needle, start, nth)))
    })
}

/// The position of an occurrence; overlapping ones count.
fn occurrence(hay: &str, needle: &str, start: i32, nth: i32) -> i32 {
    if start < 0 {
        let reversed = |text: &str| text.chars().rev().collect::<String>();
        let from = start.checked_neg().unwrap_or(i32::MAX);
        let found = occurrence(&reversed(hay), &reversed(needle), from, nth);
        if found == 0 {
            return 0;
        }
        let ends = int(hay.chars().count()).saturating_add(2);
        return ends - found - int(needle.chars().count());
    }
    if start == 0 {
        return 0;
    }
    if needle.is_empty() {
        return 1;
    }
    let mut found = 0;
    let mut skip = skipped(start);
    for _ in 0..nth {
        found = index_of(hay, needle, skip);
        if found == 0 {
            return 0;
        }
        skip = usize::try_from(found).unwrap_or(0);
    }
    found
}
