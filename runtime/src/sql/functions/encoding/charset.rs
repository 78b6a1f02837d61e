//! `ENCODE` and `DECODE` with the charsets that every Java has.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: what a charset cannot hold becomes `?`,
//! what is no character in it becomes U+FFFD, and an unknown charset is an error.

use arrow::array::{ArrayRef, BinaryArray};

use crate::error::{Error, Result};
use crate::sql::eval::call::Call;

/// A charset of Java's `StandardCharsets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    /// Seven bits.
    Ascii,
    /// ISO-8859-1.
    Latin1,
    /// UTF-8.
    Utf8,
    /// UTF-16, big end first.
    Utf16Be,
    /// UTF-16, little end first.
    Utf16Le,
    /// UTF-16 with a byte order mark.
    Utf16,
}

impl Charset {
    /// The charset of a name, with the aliases of Java.
    fn parse(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "US-ASCII" | "ASCII" | "ASCII7" | "ISO646-US" | "ISO_646.IRV:1991" | "646"
            | "CP367" | "IBM367" | "US" | "DEFAULT" => Self::Ascii,
            "ISO-8859-1" | "ISO8859_1" | "ISO_8859-1" | "ISO_8859_1" | "ISO8859-1" | "LATIN1"
            | "L1" | "CP819" | "IBM819" | "IBM-819" | "819" | "8859_1" | "ISO-IR-100" => {
                Self::Latin1
            }
            "UTF-8" | "UTF8" | "UNICODE-1-1-UTF-8" => Self::Utf8,
            "UTF-16BE" | "UTF_16BE" | "ISO-10646-UCS-2" | "X-UTF-16BE" | "UNICODEBIGUNMARKED" => {
                Self::Utf16Be
            }
            "UTF-16LE" | "UTF_16LE" | "X-UTF-16LE" | "UNICODELITTLEUNMARKED" => Self::Utf16Le,
            "UTF-16" | "UTF_16" | "UNICODE" | "UNICODEBIG" => Self::Utf16,
            _ => {
                return Err(Error::arithmetic(format!(
                    "unsupported charset \"{name}\": US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE and UTF-16 are known"
                )));
            }
        })
    }

    /// The bytes of a text.
    fn encode(self, text: &str) -> Vec<u8> {
        let big = || text.encode_utf16().flat_map(u16::to_be_bytes);
        let small = |max: u32| {
            let byte = move |c: char| {
                u8::try_from(u32::from(c))
                    .ok()
                    .filter(|b| u32::from(*b) <= max)
            };
            text.chars().map(move |c| byte(c).unwrap_or(b'?')).collect()
        };
        match self {
            Self::Ascii => small(0x7F),
            Self::Latin1 => small(0xFF),
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16Be => big().collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16 if text.is_empty() => Vec::new(),
            Self::Utf16 => [0xFE, 0xFF].into_iter().chain(big()).collect(),
        }
    }

    /// The text of bytes.
    fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Ascii => bytes
                .iter()
                .map(|byte| {
                    if byte.is_ascii() {
                        char::from(*byte)
                    } else {
                        char::REPLACEMENT_CHARACTER
                    }
                })
                .collect(),
            Self::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Utf16Be => utf16(bytes, u16::from_be_bytes),
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes),
            Self::Utf16 => match bytes {
                [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
                [0xFE, 0xFF, rest @ ..] | rest => utf16(rest, u16::from_be_bytes),
            },
        }
    }
}

/// Decodes UTF-16; half a unit at the end is no character.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let pairs = bytes.chunks_exact(2);
    let rest = (!pairs.remainder().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
    let units = pairs.filter_map(|pair| <[u8; 2]>::try_from(pair).ok().map(unit));
    char::decode_utf16(units)
        .map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
        .chain(rest)
        .collect()
}

/// `ENCODE(text, charset)`.
pub(super) fn encode(call: &Call<'_>) -> Result<ArrayRef> {
    let (s, charset) = (call.text(0)?, call.text(1)?);
    call.bytes(|i| match s.get(i).zip(charset.get(i)) {
        None => Ok(None),
        Some((s, charset)) => Ok(Some(Charset::parse(charset)?.encode(s))),
    })
}

/// `DECODE(bytes, charset)`.
pub(super) fn decode(call: &Call<'_>) -> Result<ArrayRef> {
    let (bytes, charset) = (call.arg::<BinaryArray>(0)?, call.text(1)?);
    call.texts(|i| match bytes.get(i).zip(charset.get(i)) {
        None => Ok(None),
        Some((bytes, charset)) => Ok(Some(Charset::parse(charset)?.decode(bytes))),
    })
}
