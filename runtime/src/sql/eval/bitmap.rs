//! BITMAP values: bytes in the portable format of Roaring bitmaps.
//!
//! Place in the flow: the bitmap functions and the text of values. Invariant: stored bytes are those of the smallest form, so
//! that equal bitmaps have equal bytes.

use std::fmt::Write;

use roaring::RoaringBitmap;

use crate::error::{Error, Result};

/// Length from which a text ends with dots.
///
/// # Source
/// Java's `RoaringBitmap.toString`.
const MAX_TEXT_BYTES: usize = 0x80000;

/// Reads a bitmap.
///
/// # Errors
/// `Data` for bytes that are no bitmap.
pub(crate) fn read(bytes: &[u8]) -> Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(bytes).map_err(|_| {
        Error::arithmetic(format!(
            "{} bytes are not a bitmap in the portable Roaring format",
            bytes.len()
        ))
    })
}

/// The bytes of a bitmap, which are the same for the same integers whatever they came from.
///
/// # Errors
/// `Internal`: memory takes all bytes.
pub(crate) fn write(mut bitmap: RoaringBitmap) -> Result<Vec<u8>> {
    // Runs that are as long as what they stand for would stay where they are.
    bitmap.remove_run_compression();
    bitmap.optimize();
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap
        .serialize_into(&mut bytes)
        .map_err(|error| Error::internal(format!("a bitmap is not written: {error}")))?;
    Ok(bytes)
}

/// The text of a bitmap: its integers without sign, ascending; a long one ends with dots.
pub(crate) fn text(bitmap: &RoaringBitmap) -> String {
    let mut text = "{".to_owned();
    for (index, value) in bitmap.iter().enumerate() {
        if index > 0 {
            text.push(',');
            if text.len() > MAX_TEXT_BYTES {
                text.push_str("...");
                break;
            }
        }
        // Writing to a String cannot fail.
        write!(text, "{value}").unwrap_or_default();
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_portable_format() {
        // The cookie of a bitmap without runs, one container, its key and cardinality - 1, its offset and two values.
        let expected = [
            0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 1, 0, 9, 0,
        ];
        let bytes = super::write(RoaringBitmap::from_iter([9_u32, 1])).unwrap();
        assert_eq!(bytes, expected);
        assert_eq!(super::text(&read(&bytes).unwrap()), "{1,9}");
        // The cookie of one container with runs, which of them have, key and cardinality - 1, and one run from 0 of 100 values.
        let run = super::write((0..100).collect()).unwrap();
        assert_eq!(run, [0x3b, 0x30, 0, 0, 1, 0, 0, 99, 0, 1, 0, 0, 0, 99, 0]);
    }

    #[test]
    fn wrong_bytes_are_refused() {
        let bytes = super::write(RoaringBitmap::from_iter([9_u32, 1])).unwrap();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
        assert!(read(&[0xff; 64]).is_err());
    }

    #[test]
    fn long_texts_end_with_dots() {
        let text = super::text(&(0..100_000).collect());
        assert!(text.starts_with("{0,1,2,") && text.ends_with(",...}"));
        assert!(text.len() < MAX_TEXT_BYTES + 16);
        assert_eq!(
            super::text(&RoaringBitmap::from_iter([u32::MAX])),
            "{4294967295}"
        );
    }
}
