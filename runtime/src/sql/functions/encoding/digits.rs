//! Base64, hexadecimal and binary digits.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: numbers are written as the 64 bits of
//! their two's complement.

use arrow::array::ArrayRef;
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use super::hash::data;
use crate::error::{Error, Result};
use crate::sql::eval::call::Call;

/// Java's basic decoder: padding may be absent and the bits behind the last byte may be anything.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `TO_BASE64`.
pub(super) fn to_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let data = data(call)?;
    call.texts(|i| Ok(data(i).map(|bytes| STANDARD.encode(bytes))))
}

/// `FROM_BASE64`: the bytes are taken as UTF-8.
pub(super) fn from_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let data = data(call)?;
    call.texts(|i| {
        let Some(text) = data(i) else {
            return Ok(None);
        };
        let bytes = LENIENT.decode(text).map_err(|error| {
            Error::arithmetic(format!("FROM_BASE64 of a text that is not base64: {error}"))
        })?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    })
}

/// `HEX` of an integer or of the UTF-8 of a text.
pub(super) fn hex(call: &Call<'_>) -> Result<ArrayRef> {
    if call.types[0].kind.is_integer() {
        let n = call.long(0)?;
        return call.texts(|i| Ok(n.get(i).map(|n| format!("{n:X}"))));
    }
    let s = call.text(0)?;
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16);
    call.texts(|i| {
        let digits = |s: &str| -> String {
            let nibbles = s.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
            nibbles
                .filter_map(digit)
                .map(|digit| digit.to_ascii_uppercase())
                .collect()
        };
        Ok(s.get(i).map(digits))
    })
}

/// `BIN` of an integer.
pub(super) fn binary(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.long(0)?;
    call.texts(|i| Ok(n.get(i).map(|n| format!("{n:b}"))))
}

/// The bytes of hexadecimal digits.
///
/// # Source
/// Flink 2.3: of an odd number of digits the first one only has to be a digit, its byte is 0.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (odd, pairs) = digits.split_at(digits.len() % 2);
    let bytes = pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Some(odd.iter().map(|_| 0).chain(bytes).collect())
}

/// `UNHEX`: NULL for anything but digits.
pub(super) fn unhex(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.bytes(|i| Ok(s.get(i).and_then(bytes_of)))
}
