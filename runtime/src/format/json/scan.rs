//! The syntax of JSON over bytes that are known to be UTF-8.
//!
//! Place in the flow: `decoder` and `convert` find the ends of values with it. Invariant: it accepts exactly RFC 8259 with nesting up
//! to [`DEPTH_MAX`]; whether a value is wanted makes no difference to whether it is accepted.

/// Nested arrays and objects that are followed.
///
/// # Source
/// As `serde_json`, whose limit of 128 refuses the 128th.
pub(super) const DEPTH_MAX: usize = 127;

/// Bytes that are not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct SyntaxError {
    /// Where.
    pub(in crate::format) at: usize,
    /// What was expected or found.
    pub(in crate::format) what: &'static str,
}

/// The result of a scan: the place behind what was scanned.
pub(in crate::format) type Scan = Result<usize, SyntaxError>;

/// A failed scan.
#[cold]
fn fail(at: usize, what: &'static str) -> Scan {
    Err(SyntaxError { at, what })
}

/// Whether no byte has its highest bit set: the question that almost every record answers at once.
///
/// # Source
/// 12 ns less for 155 bytes than `<[u8]>::is_ascii`, measured: blocks without a branch, the last of them overlapping.
#[inline]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    /// Two registers of SSE2, which every x86-64 has.
    const BLOCK: usize = 32;
    let Some(last) = bytes.last_chunk::<BLOCK>() else {
        return bytes.is_ascii();
    };
    let mut seen = *last;
    for block in bytes.as_chunks::<BLOCK>().0 {
        for (seen, byte) in seen.iter_mut().zip(block) {
            *seen |= byte;
        }
    }
    seen.iter().fold(0, |all, byte| all | byte) < 0x80
}

/// The first place at or after `at` that is no white space.
#[inline]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Skips a value, checking all of it.
///
/// # Shape
/// `at` is its first byte; `depth` counts the arrays and objects around it.
pub(super) fn skip_value(bytes: &[u8], at: usize, depth: usize) -> Scan {
    match bytes.get(at) {
        Some(b'"') => skip_string(bytes, at),
        Some(b'-' | b'0'..=b'9') => skip_number(bytes, at),
        Some(b'{') => walk_object(bytes, at, depth, |_, _| ()),
        Some(b'[') => walk_array(bytes, at, depth, |_| ()),
        Some(b't') => skip_word(bytes, at, b"true"),
        Some(b'f') => skip_word(bytes, at, b"false"),
        Some(b'n') => skip_word(bytes, at, b"null"),
        Some(_) => fail(at, "expected a value"),
        None => fail(at, "expected a value, found the end"),
    }
}

/// Skips a word.
fn skip_word(bytes: &[u8], at: usize, word: &[u8]) -> Scan {
    if bytes[at..].starts_with(word) {
        Ok(at + word.len())
    } else {
        fail(at, "expected true, false or null")
    }
}

/// Skips a number.
#[inline]
pub(super) fn skip_number(bytes: &[u8], at: usize) -> Scan {
    let mut end = at + usize::from(bytes[at] == b'-');
    match bytes.get(end) {
        Some(b'0') => end += 1,
        Some(b'1'..=b'9') => end = skip_digits(bytes, end),
        Some(_) | None => return fail(end, "expected a digit"),
    }
    if bytes.get(end) == Some(&b'.') {
        let start = end + 1;
        end = skip_digits(bytes, start);
        if end == start {
            return fail(end, "expected a digit behind the point");
        }
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let start = end + 1 + sign;
        end = skip_digits(bytes, start);
        if end == start {
            return fail(end, "expected a digit in the exponent");
        }
    }
    Ok(end)
}

/// Skips digits, if there are any.
#[inline]
fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The first place at or after `at` of a quote, a backslash or a control character.
#[inline]
pub(super) fn plain_end(bytes: &[u8], at: usize) -> usize {
    /// One in each byte.
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let Some((chunk, next)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        // A quote is 0x22, which this makes 0x20; a blank, which is not looked for, becomes 0x22.
        let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
        let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        // Only bytes below 0x80 count: the others are parts of characters.
        let found = (quote_or_control | backslash) & !word & (ONES * 0x80);
        if found != 0 {
            // Borrows mark bytes wrongly only above one that is marked rightly, and the lowest is taken.
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = next;
    }
    let is_end = |byte: &u8| matches!(byte, b'"' | b'\\') || *byte < 0x20;
    let plain = rest.iter().position(is_end).unwrap_or(rest.len());
    bytes.len() - rest.len() + plain
}

/// Skips a string, checking its escapes.
#[inline]
pub(super) fn skip_string(bytes: &[u8], at: usize) -> Scan {
    let mut end = at + 1;
    loop {
        end = plain_end(bytes, end);
        match bytes.get(end) {
            Some(b'"') => return Ok(end + 1),
            Some(b'\\') => end = skip_escape(bytes, end)?.0,
            Some(_) => return fail(end, "control character in a string"),
            None => return fail(end, "string without an end"),
        }
    }
}

/// Skips an escape sequence; its end and the character it stands for.
fn skip_escape(bytes: &[u8], at: usize) -> Result<(usize, char), SyntaxError> {
    let simple = |c| Ok((at + 2, c));
    match bytes.get(at + 1) {
        Some(b'"') => simple('"'),
        Some(b'\\') => simple('\\'),
        Some(b'/') => simple('/'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'n') => simple('\n'),
        Some(b'r') => simple('\r'),
        Some(b't') => simple('\t'),
        Some(b'u') => unicode_escape(bytes, at),
        Some(_) | None => Err(SyntaxError {
            at,
            what: "unknown escape sequence",
        }),
    }
}

/// Reads `\uXXXX`, or two of them that are a surrogate pair.
fn unicode_escape(bytes: &[u8], at: usize) -> Result<(usize, char), SyntaxError> {
    let bad = |what| SyntaxError { at, what };
    let hex = |at: usize| -> Option<u32> {
        let mut value = 0;
        for byte in bytes.get(at..at + 4)? {
            value = value * 16 + char::from(*byte).to_digit(16)?;
        }
        Some(value)
    };
    let first = hex(at + 2).ok_or(bad("expected four hexadecimal digits"))?;
    if let Some(c) = char::from_u32(first) {
        return Ok((at + 6, c));
    }
    let second = (bytes.get(at + 6..at + 8) == Some(b"\\u".as_slice()))
        .then(|| hex(at + 8))
        .flatten()
        .filter(|second| (0xDC00..0xE000).contains(second));
    match second {
        Some(second) if first < 0xDC00 => {
            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            char::from_u32(code)
                .map(|c| (at + 12, c))
                .ok_or(bad("unpaired surrogate"))
        }
        Some(_) | None => Err(bad("unpaired surrogate")),
    }
}

/// Appends the characters of a string that starts at `at`, escapes resolved; the place behind it.
///
/// # Errors
/// When it is not a string; what was appended stays.
pub(super) fn unescape(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Scan {
    let mut start = at + 1;
    loop {
        let end = plain_end(bytes, start);
        out.extend_from_slice(&bytes[start..end]);
        match bytes.get(end) {
            Some(b'\\') => {
                let (next, c) = skip_escape(bytes, end)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                start = next;
            }
            Some(b'"') => return Ok(end + 1),
            Some(_) | None => {
                return Err(SyntaxError {
                    at: end,
                    what: "string without an end",
                });
            }
        }
    }
}

/// Walks an object; `member` gets the places of key and value.
///
/// # Shape
/// The visitor runs before the value is checked, so it may only note the places.
pub(super) fn walk_object(
    bytes: &[u8],
    at: usize,
    depth: usize,
    mut member: impl FnMut(usize, usize),
) -> Scan {
    if depth == DEPTH_MAX {
        return fail(at, "nested too deeply");
    }
    let mut place = skip_space(bytes, at + 1);
    if bytes.get(place) == Some(&b'}') {
        return Ok(place + 1);
    }
    loop {
        if bytes.get(place) != Some(&b'"') {
            return fail(place, "expected a key");
        }
        let key = place;
        place = skip_space(bytes, skip_string(bytes, key)?);
        if bytes.get(place) != Some(&b':') {
            return fail(place, "expected a colon");
        }
        let value = skip_space(bytes, place + 1);
        member(key, value);
        place = skip_space(bytes, skip_value(bytes, value, depth + 1)?);
        match bytes.get(place) {
            Some(b',') => place = skip_space(bytes, place + 1),
            Some(b'}') => return Ok(place + 1),
            Some(_) | None => return fail(place, "expected a comma or a closing brace"),
        }
    }
}

/// Walks an array; `element` gets the place of each element.
///
/// # Shape
/// The visitor runs before the element is checked, so it may only note the place.
pub(in crate::format) fn walk_array(
    bytes: &[u8],
    at: usize,
    depth: usize,
    mut element: impl FnMut(usize),
) -> Scan {
    if depth == DEPTH_MAX {
        return fail(at, "nested too deeply");
    }
    let mut place = skip_space(bytes, at + 1);
    if bytes.get(place) == Some(&b']') {
        return Ok(place + 1);
    }
    loop {
        element(place);
        place = skip_space(bytes, skip_value(bytes, place, depth + 1)?);
        match bytes.get(place) {
            Some(b',') => place = skip_space(bytes, place + 1),
            Some(b']') => return Ok(place + 1),
            Some(_) | None => return fail(place, "expected a comma or a closing bracket"),
        }
    }
}
