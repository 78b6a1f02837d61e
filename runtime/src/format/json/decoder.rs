//! JSON records to columns: quick where possible, exact always.
//!
//! Place in the flow: `task` hands it the values or keys of a batch. Invariant: a record decodes to the same values whether it was read
//! quickly or exactly, and only the exact way refuses it; a failed record leaves nothing in the columns.

use crate::error::{Error, Result};
use crate::format::column::{Column, Fault, Names};
use crate::format::json::layout::{Layout, Surprise};
use crate::format::json::{JsonOptions, Maps, MissingField};
use crate::format::json::{convert, quick, scan};
use crate::format::{Decoded, Decoder, Failure, FormatField};
use crate::types::{FlinkType, TypeKind};

/// Bytes of one batch of records; beyond, 32-bit offsets of strings could overflow.
///
/// # Source
/// Arrow's `Utf8` offsets hold `2^31 - 1`; decoded strings are at most as long as their JSON, a quarter is kept as a margin.
const BATCH_BYTES_MAX: usize = 1 << 29;

/// Decodes JSON objects into the asked fields.
#[derive(Debug)]
pub struct JsonDecoder {
    /// Names of the asked fields.
    names: Names,
    /// Their values.
    columns: Vec<Column>,
    /// How JSON is read.
    options: JsonOptions,
    /// How records look.
    layout: Layout,
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
        convert::find_root(&mut self.names, record)?;
        convert::append_members(&self.names, &mut self.columns, record, &self.options)
    }

    /// Decodes a record in one go, behind `rows` others; `false` when it must be read exactly, with values possibly appended.
    fn quick(&mut self, record: &[u8], rows: usize) -> bool {
        if !scan::is_ascii(record) && simdutf8::basic::from_utf8(record).is_err() {
            return false;
        }
        let (mut at, mut hole, mut filled) = (0, 0, 0);
        loop {
            let member = if let Some(member) = self.layout.expected(hole, record, at) {
                hole += 1;
                member
            } else if at > 0 && record[at..] == *b"}" {
                break;
            } else {
                match self.layout.surprise(hole, record, at, &self.names) {
                    Some(Surprise::Member(member, next)) => {
                        hole = next;
                        member
                    }
                    Some(Surprise::End) => break,
                    None => return false,
                }
            };
            let end = if let Some(column) = member.column {
                let column = &mut self.columns[column];
                // Of a key given twice only the last value counts.
                if column.len() != rows {
                    return false;
                }
                filled += 1;
                quick::append(column, record, member.value, &self.options)
            } else {
                quick::skip(record, member.value)
            };
            let Some(end) = end else {
                return false;
            };
            at = end;
        }
        filled == self.columns.len() || self.fill(rows)
    }

    /// Appends NULL to the columns without a value behind `rows` others; `false` when one does not take it.
    fn fill(&mut self, rows: usize) -> bool {
        self.options.missing_field == MissingField::Null
            && self
                .columns
                .iter_mut()
                .filter(|column| column.len() == rows)
                .all(|column| column.append_null().is_ok())
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        check_size(records)?;
        let mut failures = Vec::new();
        let mut rows = 0;
        for (row, record) in records.iter().enumerate() {
            if self.quick(record, rows) {
                self.layout.keep_up(record, &self.names);
                rows += 1;
                continue;
            }
            self.take_back(rows);
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
