//! Columns to encodings, row by row in memory and column by column in time.
//!
//! Place in the flow: [`super::KeyCodec`] encodes with it. Invariant: the bytes of a row are those of its columns one behind the other.
//!
//! First the columns say how long each row is, then each column writes its part of all rows: a loop per column, which knows its type, in the
//! place of a choice per value. Nested values are as long as they turn out to be, so rows with one are written one by one.

use super::{Column, EncodedKeys, Nullable};

/// Bytes of the length in front of a text or byte string.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Encodes rows.
pub(super) fn all(columns: &[Nullable<'_>], rows: usize) -> EncodedKeys {
    let is_nested = |column: &Nullable<'_>| matches!(column.column, Column::Nested(_));
    if columns.iter().any(is_nested) {
        return one_by_one(columns, rows);
    }
    // Where the next column of each row begins: at first the length of the row.
    let mut at = vec![0; rows];
    for column in columns {
        column.add_lengths(&mut at);
    }
    let mut ends = Vec::with_capacity(rows);
    let mut end = 0;
    for at in &mut at {
        end += std::mem::replace(at, end);
        ends.push(end);
    }
    let mut bytes = vec![0; end];
    for column in columns {
        column.write(&mut at, &mut bytes);
    }
    EncodedKeys {
        bytes,
        ends,
        hashes: Vec::new(),
    }
}

/// Encodes rows one by one.
fn one_by_one(columns: &[Nullable<'_>], rows: usize) -> EncodedKeys {
    let mut keys = EncodedKeys::default();
    keys.ends.reserve(rows);
    for row in 0..rows {
        for column in columns {
            column.append(row, &mut keys.bytes);
        }
        keys.ends.push(keys.bytes.len());
    }
    keys
}

impl Nullable<'_> {
    /// Whether a value is there.
    fn is_valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    /// Appends the encoding of one value.
    pub(super) fn append(&self, row: usize, bytes: &mut Vec<u8>) {
        if self.is_valid(row) {
            bytes.push(1);
            self.column.append(row, bytes);
        } else {
            bytes.push(0);
        }
    }

    /// Adds how long its values are to the lengths of rows.
    fn add_lengths(&self, lengths: &mut [usize]) {
        let length_of = |row: usize| match self.column.width() {
            Some(width) => width,
            None => LENGTH_BYTES + self.column.text(row).len(),
        };
        for (row, length) in lengths.iter_mut().enumerate() {
            *length += 1;
            if self.is_valid(row) {
                *length += length_of(row);
            }
        }
    }

    /// Writes its values where they begin in each row, and moves that on.
    fn write(&self, at: &mut [usize], bytes: &mut [u8]) {
        match &self.column {
            Column::Boolean(array) => {
                self.write_fixed(at, bytes, |row| [u8::from(array.value(row))]);
            }
            Column::Fixed { values, width } => match width {
                1 => self.write_values::<1>(values, at, bytes),
                2 => self.write_values::<2>(values, at, bytes),
                4 => self.write_values::<4>(values, at, bytes),
                8 => self.write_values::<8>(values, at, bytes),
                _ => self.write_values::<16>(values, at, bytes),
            },
            Column::Float32(array) => {
                self.write_fixed(at, bytes, |row| float32(array.value(row)));
            }
            Column::Float64(array) => {
                self.write_fixed(at, bytes, |row| float64(array.value(row)));
            }
            Column::Utf8(_) | Column::Binary(_) => self.write_texts(at, bytes),
            Column::Nested(_) => {}
        }
    }

    /// Writes values of a width that lie back to back.
    fn write_values<const WIDTH: usize>(&self, values: &[u8], at: &mut [usize], bytes: &mut [u8]) {
        let (values, _) = values.as_chunks::<WIDTH>();
        self.write_fixed(at, bytes, |row| values[row]);
    }

    /// Writes values of a width.
    fn write_fixed<const WIDTH: usize>(
        &self,
        at: &mut [usize],
        bytes: &mut [u8],
        value: impl Fn(usize) -> [u8; WIDTH],
    ) {
        for (row, at) in at.iter_mut().enumerate() {
            if !self.is_valid(row) {
                *at += 1;
                continue;
            }
            let place = &mut bytes[*at..=*at + WIDTH];
            place[0] = 1;
            place[1..].copy_from_slice(&value(row));
            *at += 1 + WIDTH;
        }
    }

    /// Writes texts or byte strings.
    fn write_texts(&self, at: &mut [usize], bytes: &mut [u8]) {
        for (row, at) in at.iter_mut().enumerate() {
            if !self.is_valid(row) {
                *at += 1;
                continue;
            }
            let text = self.column.text(row);
            let (head, rest) = bytes[*at..].split_at_mut(1 + LENGTH_BYTES);
            head[0] = 1;
            head[1..].copy_from_slice(&length(text));
            rest[..text.len()].copy_from_slice(text);
            *at += 1 + LENGTH_BYTES + text.len();
        }
    }
}

impl Column<'_> {
    /// Bytes of a value that is not NULL; absent when that differs.
    fn width(&self) -> Option<usize> {
        match self {
            Self::Boolean(_) => Some(1),
            Self::Fixed { width, .. } => Some(*width),
            Self::Float32(_) => Some(size_of::<f32>()),
            Self::Float64(_) => Some(size_of::<f64>()),
            Self::Utf8(_) | Self::Binary(_) | Self::Nested(_) => None,
        }
    }

    /// A text or byte string.
    fn text(&self, row: usize) -> &[u8] {
        match self {
            Self::Utf8(array) => array.value(row).as_bytes(),
            Self::Binary(array) => array.value(row),
            Self::Boolean(_)
            | Self::Fixed { .. }
            | Self::Float32(_)
            | Self::Float64(_)
            | Self::Nested(_) => &[],
        }
    }

    /// Appends the encoding of one value that is not NULL.
    pub(super) fn append(&self, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Self::Boolean(array) => bytes.push(u8::from(array.value(row))),
            Self::Fixed { values, width } => {
                bytes.extend_from_slice(&values[row * width..(row + 1) * width]);
            }
            Self::Float32(array) => bytes.extend_from_slice(&float32(array.value(row))),
            Self::Float64(array) => bytes.extend_from_slice(&float64(array.value(row))),
            Self::Utf8(_) | Self::Binary(_) => {
                let text = self.text(row);
                bytes.extend_from_slice(&length(text));
                bytes.extend_from_slice(text);
            }
            Self::Nested(nested) => nested.append(row, bytes),
        }
    }
}

/// A float of one NaN.
fn float32(value: f32) -> [u8; 4] {
    let value = if value.is_nan() { f32::NAN } else { value };
    value.to_bits().to_le_bytes()
}

/// As [`float32`].
fn float64(value: f64) -> [u8; 8] {
    let value = if value.is_nan() { f64::NAN } else { value };
    value.to_bits().to_le_bytes()
}

/// The stored length of a text.
fn length(text: &[u8]) -> [u8; LENGTH_BYTES] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes()
}
