//! Kernels that change or build strings.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: a result past [`MAX_BUILT`] is an
//! error of the record and never reserved in memory.

use std::collections::HashMap;

use arrow::array::ArrayRef;

use super::utf16;
use crate::error::{Error, Result};
use crate::sql::eval::call::Call;

/// Longest string that padding, repetition and replacement build, in bytes.
///
/// # Source
/// Guess, unmeasured: far above any field, far below what would exhaust memory in one batch.
pub(in crate::sql::functions) const MAX_BUILT: usize = 1 << 24;

/// Most bytes that they build in one batch.
///
/// # Source
/// Guess, unmeasured: batches of real records stay far below.
const MAX_BUILT_BATCH: usize = 1 << 28;

/// Counts what a function builds in a batch.
#[derive(Debug)]
pub(in crate::sql::functions) struct Built {
    /// The function, for messages.
    function: &'static str,
    /// Bytes so far.
    bytes: usize,
}

impl Built {
    /// Nothing yet.
    pub(in crate::sql::functions) fn new(function: &'static str) -> Self {
        Self { function, bytes: 0 }
    }

    /// Refuses a length that no field has.
    ///
    /// # Errors
    /// `Data` for a string or a batch that is too long.
    pub(in crate::sql::functions) fn add(&mut self, length: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(length);
        if length <= MAX_BUILT && self.bytes <= MAX_BUILT_BATCH {
            return Ok(());
        }
        Err(Error::arithmetic(format!(
            "{} would build a string of {length} bytes, more than {MAX_BUILT} bytes, or than {MAX_BUILT_BATCH} bytes in a batch",
            self.function
        )))
    }
}

/// Applies a function of one string.
pub(super) fn map(call: &Call<'_>, f: fn(&str) -> String) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.texts(|i| Ok(s.get(i).map(f)))
}

/// The first letter of each word in upper case, the others in lower case. Only ASCII letters and digits make words; every other character
/// stays as it is and ends one.
///
/// # Source
/// Flink 2.3 takes Calcite's `SqlFunctions.initcap`; edge cases in `golden/scalar/strings`.
pub(super) fn initcap(s: &str) -> String {
    let mut inside = false;
    s.chars()
        .map(|c| {
            let first = !std::mem::replace(&mut inside, c.is_ascii_alphanumeric());
            if first {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// All strings one after the other.
pub(super) fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let parts: Vec<_> = (0..call.args.len())
        .map(|i| call.text(i))
        .collect::<Result<_>>()?;
    call.texts(|i| {
        Ok(parts
            .iter()
            .map(|part| part.get(i))
            .collect::<Option<String>>())
    })
}

/// The strings that are not NULL with a separator between them.
pub(super) fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separator = call.text(0)?;
    let parts: Vec<_> = (1..call.args.len())
        .map(|i| call.text(i))
        .collect::<Result<_>>()?;
    call.texts(|i| {
        let present: Vec<&str> = parts.iter().filter_map(|part| part.get(i)).collect();
        Ok(separator.get(i).map(|separator| present.join(separator)))
    })
}

/// `REPLACE`: an empty pattern is found before, between and behind all characters.
pub(super) fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let mut built = Built::new("REPLACE");
    call.texts(|i| {
        let (Some(s), Some(from), Some(to)) = (s.get(i), from.get(i), to.get(i)) else {
            return Ok(None);
        };
        if to.len() > from.len() {
            let found = s.matches(from).count();
            let added = found.saturating_mul(to.len());
            built.add(s.len().saturating_add(added))?;
        }
        Ok(Some(s.replace(from, to)))
    })
}

/// `REPEAT`: no times below one.
pub(super) fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, times) = (call.text(0)?, call.int(1)?);
    let mut built = Built::new("REPEAT");
    call.texts(|i| {
        let Some((s, times)) = s.get(i).zip(times.get(i)) else {
            return Ok(None);
        };
        let times = usize::try_from(times).unwrap_or(0);
        if s.is_empty() {
            return Ok(Some(String::new()));
        }
        built.add(s.len().saturating_mul(times))?;
        Ok(Some(s.repeat(times)))
    })
}

/// An end of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The beginning.
    Left,
    /// The end.
    Right,
    /// Both.
    Both,
}

/// Removes characters of a set at the ends.
fn strip<'a>(s: &'a str, set: &str, side: Side) -> &'a str {
    let inside = |c: char| set.contains(c);
    match side {
        Side::Left => s.trim_start_matches(inside),
        Side::Right => s.trim_end_matches(inside),
        Side::Both => s.trim_matches(inside),
    }
}

/// LTRIM, RTRIM, BTRIM; the set is a blank by default.
pub(super) fn trim(call: &Call<'_>, side: Side) -> Result<ArrayRef> {
    let s = call.text(0)?;
    let set = call.args.get(1).map(|_| call.text(1)).transpose()?;
    call.texts(|i| {
        let set = set.as_ref().map_or(Some(" "), |set| set.get(i));
        Ok(s.get(i).zip(set).map(|(s, set)| strip(s, set, side)))
    })
}

/// `TRIM(mode, characters, string)` or `TRIM(string)`.
pub(super) fn trim_mode(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args.len() == 1 {
        return trim(call, Side::Both);
    }
    let (mode, set, s) = (call.text(0)?, call.text(1)?, call.text(2)?);
    call.texts(|i| {
        let side = match mode.get(i) {
            Some("LEADING") => Side::Left,
            Some("TRAILING") => Side::Right,
            _ => Side::Both,
        };
        Ok(s.get(i).zip(set.get(i)).map(|(s, set)| strip(s, set, side)))
    })
}

/// LPAD and RPAD: NULL for a negative length or an empty filling.
pub(super) fn pad(call: &Call<'_>, side: Side) -> Result<ArrayRef> {
    let (s, length, filling) = (call.text(0)?, call.int(1)?, call.text(2)?);
    let mut built = Built::new("padding");
    call.texts(|i| {
        let (Some(s), Some(length), Some(filling)) = (s.get(i), length.get(i), filling.get(i))
        else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        if filling.is_empty() {
            return Ok(None);
        }
        built.add(length)?;
        let missing = length.saturating_sub(utf16::length(s));
        let fill = utf16::units(filling).into_iter().cycle().take(missing);
        let kept = s.encode_utf16().take(length);
        let units: Vec<u16> = if side == Side::Left {
            fill.chain(kept).collect()
        } else {
            kept.chain(fill).collect()
        };
        Ok(Some(utf16::text(&units)))
    })
}

/// OVERLAY: replaces UTF-16 units from a position on; a position outside of the string leaves it alone.
pub(super) fn overlay(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, by, start) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let length = call.args.get(3).map(|_| call.int(3)).transpose()?;
    call.texts(|i| {
        let (Some(s), Some(by), Some(start)) = (s.get(i), by.get(i), start.get(i)) else {
            return Ok(None);
        };
        let length = match &length {
            None => Some(i64::from(super::int(utf16::length(by)))),
            Some(length) => length.get(i).map(i64::from),
        };
        let Some(length) = length else {
            return Ok(None);
        };
        let units = utf16::units(s);
        let head = usize::try_from(start)
            .ok()
            .and_then(|start| start.checked_sub(1));
        let Some(head) = head.filter(|head| *head < units.len()) else {
            return Ok(Some(s.to_owned()));
        };
        let tail = usize::try_from(length)
            .ok()
            .filter(|length| *length > 0)
            .and_then(|length| units.get(head.saturating_add(length)..))
            .unwrap_or_default();
        let head = units.get(..head).unwrap_or_default();
        let by = utf16::units(by);
        Ok(Some(utf16::text(&[head, &by, tail].concat())))
    })
}

/// The last two arguments of TRANSLATE and what becomes of each character.
type Translation<'a> = (&'a str, &'a str, HashMap<char, Option<char>>);

/// TRANSLATE: each character of the second argument becomes the one at its place in the third, or nothing.
///
/// A string that is not to be changed at all (NULL or empty second argument) stays; the third argument NULL is empty.
pub(super) fn translate(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let mut known: Option<Translation<'_>> = None;
    call.texts(|i| {
        let Some(s) = s.get(i) else {
            return Ok(None);
        };
        let (from, to) = (from.get(i).unwrap_or(""), to.get(i).unwrap_or(""));
        if from.is_empty() {
            return Ok(Some(s.to_owned()));
        }
        if known
            .as_ref()
            .is_none_or(|(a, b, _)| *a != from || *b != to)
        {
            let mut targets = to.chars();
            let mut map = HashMap::new();
            for c in from.chars() {
                let target = targets.next();
                map.entry(c).or_insert(target);
            }
            known = Some((from, to, map));
        }
        let map = known.as_ref().map(|(_, _, map)| map);
        let changed = s.chars().filter_map(|c| {
            let target = map.and_then(|map| map.get(&c));
            target.copied().unwrap_or(Some(c))
        });
        Ok(Some(changed.collect()))
    })
}
