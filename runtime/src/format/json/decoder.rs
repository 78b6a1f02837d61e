//! JSON records to columns: predicted where possible, exact always.
//!
//! Place in the flow: `task` hands it the values or keys of a batch. Invariant: a record decodes to the same values or the same
//! failure whether its layout was predicted or not; a failed record leaves nothing in the columns.

use crate::error::{Error, Result};
use crate::format::column::{Column, Data, Fault, Names};
use crate::format::json::convert;
use crate::format::json::scan;
use crate::format::json::{JsonOptions, Maps};
use crate::format::{Decoded, Decoder, Failure, FormatField};
use crate::types::{FlinkType, TypeKind};

/// Bytes of one batch of records; beyond, 32-bit offsets of strings could overflow.
///
/// # Source
/// Arrow's `Utf8` offsets hold `2^31 - 1`; decoded strings are at most as long as their JSON, a quarter is kept as a margin.
const BATCH_BYTES_MAX: usize = 1 << 29;

/// Bytes of fixed text in a layout that is remembered: guess, unmeasured.
const LAYOUT_BYTES_MAX: usize = 64 * 1024;

/// Decodes JSON objects into the asked fields.
#[derive(Debug)]
pub struct JsonDecoder {
    /// Names of the asked fields.
    names: Names,
    /// Their values.
    columns: Vec<Column>,
    /// How JSON is read.
    options: JsonOptions,
    /// How the last record looked that was not predicted.
    layout: Layout,
}

/// The fixed text of a record with holes for its values.
#[derive(Debug, Default)]
struct Layout {
    /// Text before each value and behind the last: braces, keys, colons, commas and white space.
    text: Vec<u8>,
    /// Values in order.
    holes: Vec<Hole>,
    /// Columns that no value belongs to.
    missing: Vec<usize>,
    /// Whether there is anything to predict with.
    is_known: bool,
}

/// A value of a record.
#[derive(Debug, Clone, Copy)]
struct Hole {
    /// End of the fixed text before it.
    text_end: usize,
    /// Where it goes; absent when it is not asked for.
    column: Option<usize>,
}

impl JsonDecoder {
    /// A decoder of the asked fields.
    ///
    /// # Errors
    /// `Unsupported` for types that JSON has no form for.
    pub fn new(fields: Vec<FormatField>, options: JsonOptions) -> Result<Self> {
        for field in &fields {
            check_type(&field.ty, &options)
                .map_err(|error| error.context(&format!("field {}", field.name)))?;
        }
        let columns = Column::of_fields(&fields)?;
        Ok(Self {
            names: Names::new(fields.into_iter().map(|field| field.name)),
            columns,
            options,
            layout: Layout::default(),
        })
    }

    /// Decodes a record whatever it looks like.
    fn exact(&mut self, record: &[u8]) -> Result<(), Fault> {
        let at = convert::find_root(&mut self.names, record)?;
        convert::append_members(&self.names, &mut self.columns, record, &self.options)?;
        self.layout.learn(&self.names, record, at);
        Ok(())
    }

    /// Decodes a record that looks like the last one; `false` when it does not, with values possibly appended.
    fn predicted(&mut self, record: &[u8]) -> bool {
        let layout = &self.layout;
        let mut text_start = 0;
        let mut at = 0;
        for hole in &layout.holes {
            let text = &layout.text[text_start..hole.text_end];
            if !record[at..].starts_with(text) {
                return false;
            }
            at += text.len();
            text_start = hole.text_end;
            let end = match hole.column {
                Some(column) => {
                    append_expected(&mut self.columns[column], record, at, &self.options)
                }
                None => scan::skip_value(record, at, 1).ok(),
            };
            match end {
                Some(end) => at = end,
                None => return false,
            }
        }
        if record[at..] != layout.text[text_start..] {
            return false;
        }
        // Last, because a record that does not match is checked by the exact way.
        if simdutf8::basic::from_utf8(record).is_err() {
            return false;
        }
        layout
            .missing
            .iter()
            .all(|column| self.columns[*column].append_null().is_ok())
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        check_size(records)?;
        let mut failures = Vec::new();
        let mut rows = 0;
        for (row, record) in records.iter().enumerate() {
            if self.layout.is_known {
                if self.predicted(record) {
                    rows += 1;
                    continue;
                }
                self.take_back(rows);
            }
            match self.exact(record) {
                Ok(()) => rows += 1,
                Err(fault) => {
                    self.take_back(rows);
                    failures.push(Failure {
                        row,
                        code: fault.code,
                        message: fault.text(),
                    });
                }
            }
        }
        let columns = self
            .columns
            .iter_mut()
            .map(Column::finish)
            .collect::<Result<_>>()?;
        Ok(Decoded {
            columns,
            failures,
            changes: None,
        })
    }
}

impl JsonDecoder {
    /// Drops what was appended behind the first `rows` records.
    fn take_back(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.truncate(rows);
        }
    }
}

impl Layout {
    /// Remembers how a record looks that decoded.
    fn learn(&mut self, names: &Names, record: &[u8], at: usize) {
        self.text.clear();
        self.holes.clear();
        self.missing.clear();
        self.is_known = false;
        let mut last_end = 0;
        let mut is_kept = true;
        let mut guess = 0;
        // Both vectors are bounded by the record; the limit keeps one odd record from being remembered.
        let walked = scan::walk_object(record, at, 0, |key, value| {
            let Ok(end) = scan::skip_value(record, value, 1) else {
                is_kept = false;
                return;
            };
            self.text.extend_from_slice(&record[last_end..value]);
            last_end = end;
            let position = convert::member_position(names, record, key, guess);
            guess = position.map_or(guess, |position| position + 1);
            // Of a key given twice only the last value counts.
            let column = position.filter(|position| names.places[*position] == Some(value));
            self.holes.push(Hole {
                text_end: self.text.len(),
                column,
            });
        });
        self.text.extend_from_slice(&record[last_end..]);
        let unplaced = names.places.iter().enumerate();
        self.missing.extend(
            unplaced
                .filter(|(_, place)| place.is_none())
                .map(|(column, _)| column),
        );
        self.is_known = is_kept && walked.is_ok() && self.text.len() <= LAYOUT_BYTES_MAX;
    }
}

/// Appends a value if it looks as the column expects; the place behind it, or `None` with the column possibly changed.
#[inline]
fn append_expected(
    column: &mut Column,
    record: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Option<usize> {
    let first = *record.get(at)?;
    let end = match (&mut column.data, first) {
        (Data::Int64(values), b'-' | b'0'..=b'9') => {
            let (value, end) = integer(record, at)?;
            values.push(value);
            end
        }
        (Data::Utf8(values), b'"') => {
            let end = scan::plain_end(record, at + 1);
            if record.get(end) != Some(&b'"') {
                return None;
            }
            values.push(&record[at + 1..end]);
            end + 1
        }
        (Data::Int32(values), b'-' | b'0'..=b'9') => {
            let (value, end) = integer(record, at)?;
            values.push(i32::try_from(value).ok()?);
            end
        }
        (Data::Boolean(values), b't') if record[at..].starts_with(b"true") => {
            values.append(true);
            at + 4
        }
        (Data::Boolean(values), b'f') if record[at..].starts_with(b"false") => {
            values.append(false);
            at + 5
        }
        (_, _) => {
            let end = scan::skip_value(record, at, 1).ok()?;
            convert::append(column, record, at, options).ok()?;
            return Some(end);
        }
    };
    column.valid();
    Some(end)
}

/// An integer of at most 18 digits and the place behind it.
#[inline]
fn integer(record: &[u8], at: usize) -> Option<(i64, usize)> {
    /// Digits that cannot overflow 64 bits.
    const DIGITS_MAX: usize = 18;
    let negative = record[at] == b'-';
    let start = at + usize::from(negative);
    let mut end = start;
    let mut value: i64 = 0;
    while let Some(byte @ b'0'..=b'9') = record.get(end) {
        if end - start == DIGITS_MAX {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
        end += 1;
    }
    let has_leading_zero = end - start > 1 && record[start] == b'0';
    // A point or exponent behind the digits is no part of the layout, so the record is then read exactly.
    if end == start || has_leading_zero {
        return None;
    }
    Some((if negative { -value } else { value }, end))
}

/// Refuses batches whose strings could be too long for a column.
///
/// # Errors
/// `Unsupported`.
pub(in crate::format) fn check_size(records: &[&[u8]]) -> Result<()> {
    let bytes: usize = records.iter().map(|record| record.len()).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::unsupported(format!(
            "a batch of {bytes} bytes of JSON, more than {BATCH_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// Refuses types that JSON has no form for.
pub(in crate::format) fn check_type(ty: &FlinkType, options: &JsonOptions) -> Result<()> {
    match &ty.kind {
        TypeKind::Array(element) => check_type(element, options),
        TypeKind::Map(key, value) => {
            check_key(key, options)?;
            check_type(key, options)?;
            check_type(value, options)
        }
        TypeKind::Multiset(element) => {
            check_key(element, options)?;
            check_type(element, options)
        }
        TypeKind::Row(fields) => fields
            .iter()
            .try_for_each(|field| check_type(&field.ty, options)),
        TypeKind::Null | TypeKind::Bitmap | TypeKind::Variant => Err(Error::unsupported(format!(
            "JSON has no column of type {}",
            ty.kind
        ))),
        TypeKind::Boolean
        | TypeKind::TinyInt
        | TypeKind::SmallInt
        | TypeKind::Int
        | TypeKind::BigInt
        | TypeKind::Float
        | TypeKind::Double
        | TypeKind::Decimal { .. }
        | TypeKind::Char(_)
        | TypeKind::VarChar(_)
        | TypeKind::Binary(_)
        | TypeKind::VarBinary(_)
        | TypeKind::Date
        | TypeKind::Time(_)
        | TypeKind::Timestamp(_)
        | TypeKind::TimestampLtz(_)
        | TypeKind::IntervalYearMonth
        | TypeKind::IntervalDayTime => Ok(()),
    }
}

/// Refuses keys that an object cannot have.
fn check_key(key: &FlinkType, options: &JsonOptions) -> Result<()> {
    if key.kind.is_character() || options.maps == Maps::ObjectsOrEntries {
        Ok(())
    } else {
        Err(Error::unsupported(format!(
            "JSON objects have character strings as keys, not {key}"
        )))
    }
}
