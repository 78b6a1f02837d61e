//! Java's strings: sequences of UTF-16 units.
//!
//! Place in the flow: functions that Flink computes on `java.lang.String` cut and count here. Invariant: half of a surrogate
//! pair becomes `?`, as when Java writes it as UTF-8.

/// The UTF-16 units of a text.
pub(in crate::sql::functions) fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// The text of UTF-16 units.
pub(in crate::sql::functions) fn text(units: &[u16]) -> String {
    char::decode_utf16(units.iter().copied())
        .map(|decoded| decoded.unwrap_or('?'))
        .collect()
}

/// The number of UTF-16 units.
pub(in crate::sql::functions) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// `String.hashCode`.
pub(in crate::sql::functions) fn hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// `Character.isWhitespace`: blanks that break, not the no-break ones.
pub(in crate::sql::functions) fn is_blank(c: char) -> bool {
    matches!(c, '\u{1C}'..='\u{1F}')
        || (c.is_whitespace() && !matches!(c, '\u{85}' | '\u{A0}' | '\u{2007}' | '\u{202F}'))
}
