//! Kernels that return a part of a string.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: characters are code points, and
//! places outside of the string give the empty string or NULL, never an error.

use arrow::array::ArrayRef;

use super::utf16;
use crate::error::Result;
use crate::sql::eval::call::Call;

/// SUBSTRING: a negative start counts from the end, a negative length gives NULL.
pub(super) fn substring(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, start) = (call.text(0)?, call.int(1)?);
    let length = call.args.get(2).map(|_| call.int(2)).transpose()?;
    call.texts(|i| {
        let length = length
            .as_ref()
            .map_or(Some(i32::MAX), |length| length.get(i));
        let (Some(s), Some(start), Some(length)) = (s.get(i), start.get(i), length) else {
            return Ok(None);
        };
        Ok((length >= 0).then(|| part(s, start, length)))
    })
}

/// The characters from `start` on.
fn part(s: &str, start: i32, length: i32) -> &str {
    let take = usize::try_from(length).unwrap_or(0);
    let skip = match start {
        0 => 0,
        1.. => usize::try_from(start).unwrap_or(1) - 1,
        _ => {
            let back = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
            match s.chars().count().checked_sub(back) {
                Some(skip) => skip,
                None => return "",
            }
        }
    };
    let mut bounds = s.char_indices().map(|(at, _)| at).chain([s.len()]);
    let Some(from) = bounds.nth(skip).filter(|_| take > 0) else {
        return "";
    };
    let to = bounds.nth(take - 1).unwrap_or(s.len());
    s.get(from..to).unwrap_or_default()
}

/// `LEFT`.
pub(super) fn left(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, n) = (call.text(0)?, call.int(1)?);
    call.texts(|i| Ok(s.get(i).zip(n.get(i)).map(|(s, n)| part(s, 1, n))))
}

/// `RIGHT`.
pub(super) fn right(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, n) = (call.text(0)?, call.int(1)?);
    call.texts(|i| {
        let both = s.get(i).zip(n.get(i));
        Ok(both.map(|(s, n)| match usize::try_from(n) {
            Err(_) | Ok(0) => "",
            Ok(kept) if kept >= s.chars().count() => s,
            Ok(_) => part(s, -n, i32::MAX),
        }))
    })
}

/// `SPLIT_INDEX`: the part at an index from 0. The separator is a string, blanks when it is empty, or the code of a character
/// up to 255; an empty string has no parts.
pub(super) fn split_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, index) = (call.text(0)?, call.int(2)?);
    if call.types[1].kind.is_integer() {
        let code = call.int(1)?;
        return call.texts(|i| {
            let (Some(s), Some(code), Some(index)) = (s.get(i), code.get(i), index.get(i)) else {
                return Ok(None);
            };
            let separator = u8::try_from(code).ok().filter(|code| *code > 0);
            let index = usize::try_from(index).ok().filter(|_| !s.is_empty());
            let both = separator.zip(index);
            Ok(both.and_then(|(code, index)| s.split(char::from(code)).nth(index)))
        });
    }
    let separator = call.text(1)?;
    call.texts(|i| {
        let (Some(s), Some(separator), Some(index)) = (s.get(i), separator.get(i), index.get(i))
        else {
            return Ok(None);
        };
        let Some(index) = usize::try_from(index).ok().filter(|_| !s.is_empty()) else {
            return Ok(None);
        };
        Ok(if separator.is_empty() {
            s.split(utf16::is_blank).nth(index)
        } else {
            s.split(separator).nth(index)
        })
    })
}
