//! The `REGEXP` functions.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: a pattern is compiled once as long as
//! it stays the same, from batch to batch, and one that does not compile gives NULL (FALSE for `REGEXP`).

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;

use super::super::string::change::{Built, MAX_BUILT};
use super::super::string::utf16;
use super::java::JavaRegex;
use crate::error::Result;
use crate::sql::eval::call::Call;

/// Patterns that are kept compiled.
///
/// # Source
/// Guess, unmeasured: a column of patterns has few; Flink keeps 64 per thread and function.
const KEPT_PATTERNS: usize = 64;

/// Compiled patterns, the latest used last; `None` for one that does not compile.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<(String, Option<Arc<JavaRegex>>)>);

impl Patterns {
    /// The compiled pattern.
    fn get(&mut self, pattern: &str) -> Option<Arc<JavaRegex>> {
        if let Some((known, regex)) = self.0.last()
            && known == pattern
        {
            return regex.clone();
        }
        let place = self.0.iter().position(|(known, _)| known == pattern);
        let entry = if let Some(place) = place {
            self.0.remove(place)
        } else {
            if self.0.len() >= KEPT_PATTERNS {
                self.0.remove(0);
            }
            let compiled = JavaRegex::compile(pattern).map(Arc::new);
            (pattern.to_owned(), compiled)
        };
        let regex = entry.1.clone();
        self.0.push(entry);
        regex
    }
}

/// Computes a row from a text and a compiled pattern.
fn with_patterns<T>(call: &Call<'_>, f: impl FnOnce(&mut Patterns) -> T) -> T {
    call.memory.with(Patterns::default, f)
}

/// `REGEXP`: an empty or bad pattern is not found.
pub(super) fn regexp(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    with_patterns(call, |patterns| {
        call.booleans(|i| {
            let Some((s, pattern)) = s.get(i).zip(pattern.get(i)) else {
                return Ok(None);
            };
            if pattern.is_empty() {
                return Ok(Some(false));
            }
            let regex = patterns.get(pattern);
            regex.map_or(Ok(Some(false)), |regex| regex.is_match(s).map(Some))
        })
    })
}

/// `REGEXP_REPLACE`: all occurrences; the replacement is taken as it stands, without groups.
pub(super) fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern, by) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let mut built = Built::new("REGEXP_REPLACE");
    with_patterns(call, |patterns| {
        call.texts(|i| {
            let (Some(s), Some(pattern), Some(by)) = (s.get(i), pattern.get(i), by.get(i)) else {
                return Ok(None);
            };
            let Some(regex) = patterns.get(pattern) else {
                return Ok(None);
            };
            let mut out = String::with_capacity(s.len());
            let mut copied = 0;
            regex.each(s, |_, (start, end)| {
                // Past the bound nothing is kept, the row fails below.
                if out.len() <= MAX_BUILT {
                    out.push_str(s.get(copied..start).unwrap_or_default());
                    out.push_str(by);
                    copied = end;
                }
            })?;
            built.add(out.len())?;
            out.push_str(s.get(copied..).unwrap_or_default());
            Ok(Some(out))
        })
    })
}

/// `REGEXP_EXTRACT`: a group of the first match, the whole match by default; NULL for a group that is not there.
pub(super) fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    let group = call.args.get(2).map(|_| call.long(2)).transpose()?;
    with_patterns(call, |patterns| {
        call.texts(|i| {
            let group = group.as_ref().map_or(Some(0), |group| group.get(i));
            let (Some(s), Some(pattern), Some(group)) = (s.get(i), pattern.get(i), group) else {
                return Ok(None);
            };
            let (Some(regex), Ok(group)) = (patterns.get(pattern), usize::try_from(group)) else {
                return Ok(None);
            };
            let captures = regex.captures(s)?;
            let found = captures.and_then(|captures| captures.get(group));
            Ok(found.map(|found| found.as_str()))
        })
    })
}

/// `REGEXP_EXTRACT_ALL`: a group of every match, the first by default; NULL for a group that the pattern does not have.
pub(super) fn extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    let group = call.args.get(2).map(|_| call.long(2)).transpose()?;
    let mut lists = ListBuilder::new(StringBuilder::new());
    with_patterns(call, |patterns| {
        for i in 0..call.rows {
            let group = group.as_ref().map_or(Some(1), |group| group.get(i));
            let row = s.get(i).zip(pattern.get(i)).zip(group);
            let ready = row.and_then(|((s, pattern), group)| {
                let regex = patterns.get(pattern)?;
                let group = usize::try_from(group).ok()?;
                (group <= regex.groups()).then_some((s, regex, group))
            });
            if let Some((s, regex, group)) = &ready {
                regex.each(s, |captures, _| {
                    let found = captures.get(*group).map(|found| found.as_str());
                    lists.values().append_option(found);
                })?;
            }
            lists.append(ready.is_some());
        }
        let lists = lists.finish();
        Ok(arrow::compute::cast(&lists, &call.ty.to_arrow()?)?)
    })
}

/// Computes an INT from a text and a compiled pattern; NULL when it does not compile.
fn number(call: &Call<'_>, f: fn(&JavaRegex, &str) -> Result<usize>) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    with_patterns(call, |patterns| {
        call.primitives::<Int32Type>(|i| {
            let Some((s, pattern)) = s.get(i).zip(pattern.get(i)) else {
                return Ok(None);
            };
            let Some(regex) = patterns.get(pattern) else {
                return Ok(None);
            };
            Ok(i32::try_from(f(&regex, s)?).ok())
        })
    })
}

/// `REGEXP_COUNT`: how often the pattern matches.
pub(super) fn count(call: &Call<'_>) -> Result<ArrayRef> {
    number(call, |regex, s| {
        let mut count = 0;
        regex.each(s, |_, _| count += 1)?;
        Ok(count)
    })
}

/// `REGEXP_INSTR`: the position of the first match in UTF-16 units from 1, 0 without one.
pub(super) fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    number(call, |regex, s| {
        let found = regex.find(s)?;
        let before = found.and_then(|(start, _)| s.get(..start));
        Ok(before.map_or(0, |before| utf16::length(before) + 1))
    })
}

/// `REGEXP_SUBSTR`: the first match; NULL without one.
pub(super) fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, pattern) = (call.text(0)?, call.text(1)?);
    with_patterns(call, |patterns| {
        call.texts(|i| {
            let Some((s, pattern)) = s.get(i).zip(pattern.get(i)) else {
                return Ok(None);
            };
            let Some(regex) = patterns.get(pattern) else {
                return Ok(None);
            };
            let found = regex.find(s)?;
            Ok(found.and_then(|(start, end)| s.get(start..end)))
        })
    })
}
