//! Functions on character strings.
//!
//! Place in the flow: rows of the function table. Invariant: positions count characters (code points) from 1, and any NULL
//! argument gives NULL, `CONCAT_WS`'s strings apart.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::Int32Type;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Function, Output, Param, Resolve};
use crate::error::Result;
use crate::sql::eval::call::Call;

/// One character string.
const TEXT: &[&[Param]] = &[&[Param::Text]];
/// Two character strings.
const TEXT_2: &[&[Param]] = &[&[Param::Text, Param::Text]];
/// Three character strings.
const TEXT_3: &[&[Param]] = &[&[Param::Text, Param::Text, Param::Text]];
/// One or two character strings.
const TEXT_1_2: &[&[Param]] = &[&[Param::Text], &[Param::Text, Param::Text]];
/// A character string and a number.
const TEXT_INT: &[&[Param]] = &[&[Param::Text, Param::Int]];
/// A character string, a start and perhaps a length.
const SLICE: &[&[Param]] = &[
    &[Param::Text, Param::Int],
    &[Param::Text, Param::Int, Param::Int],
];
/// A character string, a length and a filling.
const PAD: &[&[Param]] = &[&[Param::Text, Param::Int, Param::Text]];
/// Any number of character strings.
const TEXTS: &[&[Param]] = &[&[Param::Texts]];

/// Longest result that padding and repetition build, in characters.
///
/// # Source
/// Guess, unmeasured: far above any field, far below what would exhaust memory in one batch.
const MAX_BUILT: usize = 1 << 24;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let mut all = cases();
    all.extend(positions());
    all.extend(pieces());
    all
}

/// A function of one text to text.
const fn plain(name: &'static str, kernel: super::Kernel) -> Function {
    Function::new(name, Resolve::Signature(TEXT, Output::Text), kernel)
}

/// Functions that map a whole string.
fn cases() -> Vec<Function> {
    let text = |signature| Resolve::Signature(signature, Output::Text);
    vec![
        plain("UPPER", |call| map(call, str::to_uppercase)),
        plain("LOWER", |call| map(call, str::to_lowercase)),
        plain("INITCAP", |call| map(call, initcap)),
        plain("REVERSE", |call| map(call, |s| s.chars().rev().collect())),
        Function::new("||", text(TEXTS), concat),
        Function::new("CONCAT", text(TEXTS), concat),
        Function::new(
            "CONCAT_WS",
            text(&[&[Param::Text, Param::Texts]]),
            concat_ws,
        ),
        Function::new("REPLACE", text(TEXT_3), |call| {
            let (s, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
            call.texts(|i| {
                let args = (s.get(i), from.get(i), to.get(i));
                let (Some(s), Some(from), Some(to)) = args else {
                    return Ok(None);
                };
                Ok(Some(if from.is_empty() {
                    s.to_owned()
                } else {
                    s.replace(from, to)
                }))
            })
        }),
        Function::new("REPEAT", text(TEXT_INT), |call| {
            sized(call, |s, n| {
                let n = usize::try_from(n).unwrap_or(0);
                Some(s.repeat(n.min(MAX_BUILT / s.len().max(1))))
            })
        }),
        Function::new("LTRIM", text(TEXT_1_2), |call| trim(call, Side::Left)),
        Function::new("RTRIM", text(TEXT_1_2), |call| trim(call, Side::Right)),
        Function::new("BTRIM", text(TEXT_1_2), |call| trim(call, Side::Both)),
        Function::new(
            "TRIM",
            text(&[&[Param::Text], &[Param::Text, Param::Text, Param::Text]]),
            trim_mode,
        ),
        Function::new(
            "TO_BASE64",
            Resolve::Signature(&[&[Param::Text], &[Param::Bytes]], Output::Text),
            to_base64,
        ),
        Function::new(
            "FROM_BASE64",
            Resolve::Signature(TEXT, Output::MaybeText),
            |call| {
                let s = call.text(0)?;
                call.texts(|i| {
                    let bytes = s.get(i).and_then(|s| STANDARD.decode(s).ok());
                    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
                })
            },
        ),
    ]
}

/// Functions that return a position or number.
fn positions() -> Vec<Function> {
    let int = |signature| Resolve::Signature(signature, Output::Int);
    vec![
        Function::new("CHAR_LENGTH", int(TEXT), length),
        Function::new("CHARACTER_LENGTH", int(TEXT), length),
        Function::new("POSITION", int(TEXT_2), |call| locate(call, 0, 1)),
        Function::new("INSTR", int(TEXT_2), |call| locate(call, 1, 0)),
        Function::new(
            "LOCATE",
            int(&[
                &[Param::Text, Param::Text],
                &[Param::Text, Param::Text, Param::Int],
            ]),
            |call| locate(call, 0, 1),
        ),
        Function::new("ASCII", int(TEXT), |call| {
            let s = call.text(0)?;
            call.primitives::<Int32Type>(|i| {
                let byte = s.get(i).map(|s| s.as_bytes().first().copied().unwrap_or(0));
                Ok(byte.map(|byte| i32::from(byte.cast_signed())))
            })
        }),
        Function::new(
            "CHR",
            Resolve::Signature(&[&[Param::Long]], Output::Text),
            |call| {
                let n = call.long(0)?;
                call.texts(|i| {
                    // Flink takes the lowest byte as a Latin-1 character; a negative number gives the empty string.
                    Ok(n.get(i).map(|n| match u8::try_from(n & 0xFF) {
                        Ok(byte) if n >= 0 => char::from(byte).to_string(),
                        _ => String::new(),
                    }))
                })
            },
        ),
    ]
}

/// Functions that return a part of a string or a padded one.
fn pieces() -> Vec<Function> {
    let text = |signature| Resolve::Signature(signature, Output::Text);
    let maybe = |signature| Resolve::Signature(signature, Output::MaybeText);
    vec![
        Function::new("SUBSTRING", text(SLICE), substring),
        Function::new("SUBSTR", text(SLICE), substring),
        Function::new("LEFT", text(TEXT_INT), |call| {
            sized(call, |s, n| {
                Some(s.chars().take(usize::try_from(n).unwrap_or(0)).collect())
            })
        }),
        Function::new("RIGHT", text(TEXT_INT), |call| {
            sized(call, |s, n| {
                let skip = s
                    .chars()
                    .count()
                    .saturating_sub(usize::try_from(n).unwrap_or(0));
                Some(s.chars().skip(skip).collect())
            })
        }),
        Function::new("LPAD", maybe(PAD), |call| pad(call, Side::Left)),
        Function::new("RPAD", maybe(PAD), |call| pad(call, Side::Right)),
        Function::new(
            "SPLIT_INDEX",
            maybe(&[&[Param::Text, Param::Text, Param::Int]]),
            |call| {
                let (s, by, n) = (call.text(0)?, call.text(1)?, call.int(2)?);
                call.texts(|i| {
                    let args = (s.get(i), by.get(i), n.get(i));
                    let (Some(s), Some(by), Some(n)) = args else {
                        return Ok(None);
                    };
                    let Ok(n) = usize::try_from(n) else {
                        return Ok(None);
                    };
                    Ok(if by.is_empty() {
                        s.split_whitespace().nth(n)
                    } else {
                        s.split(by).nth(n)
                    })
                })
            },
        ),
        Function::new(
            "OVERLAY",
            text(&[
                &[Param::Text, Param::Text, Param::Int],
                &[Param::Text, Param::Text, Param::Int, Param::Int],
            ]),
            overlay,
        ),
    ]
}

/// Applies a function of one string.
fn map(call: &Call<'_>, f: fn(&str) -> String) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.texts(|i| Ok(s.get(i).map(f)))
}

/// Applies a function of a string and a number.
fn sized(call: &Call<'_>, f: fn(&str, i32) -> Option<String>) -> Result<ArrayRef> {
    let (s, n) = (call.text(0)?, call.int(1)?);
    call.texts(|i| Ok(s.get(i).zip(n.get(i)).and_then(|(s, n)| f(s, n))))
}

/// The first letter of each word in upper case, the others in lower case. Only ASCII letters and digits make words; every other character
/// stays as it is and ends one.
///
/// # Source
/// Flink 2.3 takes Calcite's `SqlFunctions.initcap`; edge cases in `golden/scalar/strings`.
fn initcap(s: &str) -> String {
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
fn concat(call: &Call<'_>) -> Result<ArrayRef> {
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
fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separator = call.text(0)?;
    let parts: Vec<_> = (1..call.args.len())
        .map(|i| call.text(i))
        .collect::<Result<_>>()?;
    call.texts(|i| {
        let present: Vec<&str> = parts.iter().filter_map(|part| part.get(i)).collect();
        Ok(separator.get(i).map(|separator| present.join(separator)))
    })
}

/// Characters of a string.
fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.primitives::<Int32Type>(|i| Ok(s.get(i).map(|s| int(s.chars().count()))))
}

/// A count as INT.
fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The position of one argument in another, from 1; 0 when it is not there.
fn locate(call: &Call<'_>, needle: usize, hay: usize) -> Result<ArrayRef> {
    let (needle, hay) = (call.text(needle)?, call.text(hay)?);
    let start = if call.args.len() > 2 {
        Some(call.int(2)?)
    } else {
        None
    };
    call.primitives::<Int32Type>(|i| {
        let Some((needle, hay)) = needle.get(i).zip(hay.get(i)) else {
            return Ok(None);
        };
        let skip = match &start {
            None => 0,
            Some(start) => match start.get(i) {
                None => return Ok(None),
                Some(start) => usize::try_from(start).unwrap_or(0).saturating_sub(1),
            },
        };
        let Some(from) = hay
            .char_indices()
            .map(|(at, _)| at)
            .chain([hay.len()])
            .nth(skip)
        else {
            return Ok(Some(0));
        };
        let found = hay[from..].find(needle);
        Ok(Some(found.map_or(0, |at| {
            int(skip + hay[from..from + at].chars().count() + 1)
        })))
    })
}

/// SUBSTRING: a negative start counts from the end, a negative length gives NULL.
fn substring(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, start) = (call.text(0)?, call.int(1)?);
    let length = if call.args.len() > 2 {
        Some(call.int(2)?)
    } else {
        None
    };
    call.texts(|i| {
        let Some((s, start)) = s.get(i).zip(start.get(i)) else {
            return Ok(None);
        };
        let length = match &length {
            None => i32::MAX,
            Some(length) => match length.get(i) {
                Some(length) if length >= 0 => length,
                _ => return Ok(None),
            },
        };
        Ok(Some(slice(s, start, length)))
    })
}

/// The characters from `start` on.
fn slice(s: &str, start: i32, length: i32) -> &str {
    let take = usize::try_from(length).unwrap_or(0);
    let (skip, take) = match start {
        0 | 1 => (0, take),
        2.. => (usize::try_from(start).unwrap_or(1) - 1, take),
        _ => {
            let back = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
            match s.chars().count().checked_sub(back) {
                Some(skip) => (skip, take),
                None => return "",
            }
        }
    };
    let mut bounds = s.char_indices().map(|(at, _)| at).chain([s.len()]);
    let Some(from) = bounds.nth(skip) else {
        return "";
    };
    if take == 0 {
        return "";
    }
    let to = bounds.nth(take - 1).unwrap_or(s.len());
    &s[from..to]
}

/// An end of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
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
fn trim(call: &Call<'_>, side: Side) -> Result<ArrayRef> {
    let s = call.text(0)?;
    let set = if call.args.len() > 1 {
        Some(call.text(1)?)
    } else {
        None
    };
    call.texts(|i| {
        let set = set.as_ref().map_or(Some(" "), |set| set.get(i));
        Ok(s.get(i).zip(set).map(|(s, set)| strip(s, set, side)))
    })
}

/// `TRIM(mode, characters, string)` or `TRIM(string)`.
fn trim_mode(call: &Call<'_>) -> Result<ArrayRef> {
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
fn pad(call: &Call<'_>, side: Side) -> Result<ArrayRef> {
    let (s, length, filling) = (call.text(0)?, call.int(1)?, call.text(2)?);
    call.texts(|i| {
        let args = (s.get(i), length.get(i), filling.get(i));
        let (Some(s), Some(length), Some(filling)) = args else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        if filling.is_empty() {
            return Ok(None);
        }
        let length = length.min(MAX_BUILT);
        let missing = length.saturating_sub(s.chars().count());
        let fill = filling.chars().cycle().take(missing);
        let kept = s.chars().take(length);
        Ok(Some(if side == Side::Left {
            fill.chain(kept).collect::<String>()
        } else {
            kept.chain(fill).collect()
        }))
    })
}

/// OVERLAY: replaces characters from a position on.
fn overlay(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, by, start) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let length = if call.args.len() > 3 {
        Some(call.int(3)?)
    } else {
        None
    };
    call.texts(|i| {
        let args = (s.get(i), by.get(i), start.get(i));
        let (Some(s), Some(by), Some(start)) = args else {
            return Ok(None);
        };
        let length = match &length {
            None => int(by.chars().count()),
            Some(length) => match length.get(i) {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let characters = int(s.chars().count());
        // Flink leaves the string alone when the position is outside of it.
        if start <= 0 || start > characters {
            return Ok(Some(s.to_owned()));
        }
        let head = slice(s, 1, start - 1);
        let rest = start.saturating_add(length);
        let tail = if length < 0 || rest > characters {
            ""
        } else {
            slice(s, rest, i32::MAX)
        };
        Ok(Some(format!("{head}{by}{tail}")))
    })
}

/// Base64 of bytes or of the UTF-8 of a string.
fn to_base64(call: &Call<'_>) -> Result<ArrayRef> {
    if call.types[0].kind.is_binary() {
        let bytes = call.arg::<BinaryArray>(0)?;
        return call.texts(|i| Ok(bytes.get(i).map(|bytes| STANDARD.encode(bytes))));
    }
    let s = call.text(0)?;
    let encoded = call.texts(|i| Ok(s.get(i).map(|s| STANDARD.encode(s))))?;
    Ok(Arc::clone(&encoded))
}
