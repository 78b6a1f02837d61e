//! Bytes as they are.
//!
//! Place in the flow: a format of exactly one column. Invariant: as Flink's `raw`: strings are UTF-8, numbers big-endian.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Int8Array, Int16Array, Int32Array, Int64Array, StringArray,
};
use arrow::datatypes::{Int8Type, Int16Type, Int32Type, Int64Type};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::{Decoded, Decoder, Encoder, Failure, FailureCode, FormatField};
use crate::types::TypeKind;

/// How the one column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// UTF-8.
    Text,
    /// As it is.
    Bytes,
    /// Big-endian, of so many bytes.
    Integer(usize),
}

/// Reads and writes one column as raw bytes.
#[derive(Debug)]
pub struct Raw {
    /// How the column is stored; absent when no column is asked for.
    kind: Option<Kind>,
}

impl Raw {
    /// A raw format of at most one field.
    ///
    /// # Errors
    /// `Invalid` for more than one field; `Unsupported` for types without a raw form here.
    pub fn new(fields: &[FormatField]) -> Result<Self> {
        let kind = match fields {
            [] => None,
            [field] => Some(match &field.ty.kind {
                TypeKind::Char(_) | TypeKind::VarChar(_) => Kind::Text,
                TypeKind::Binary(_) | TypeKind::VarBinary(_) => Kind::Bytes,
                TypeKind::TinyInt => Kind::Integer(1),
                TypeKind::SmallInt => Kind::Integer(2),
                TypeKind::Int => Kind::Integer(4),
                TypeKind::BigInt => Kind::Integer(8),
                other => {
                    return Err(Error::unsupported(format!(
                        "format 'raw' for column {} of type {other}",
                        field.name
                    )));
                }
            }),
            _ => return Err(Error::option("format 'raw' takes exactly one column")),
        };
        Ok(Self { kind })
    }
}

/// A big-endian integer of the width of `bytes`.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) {
        -1
    } else {
        0
    };
    bytes
        .iter()
        .fold(sign, |value, byte| (value << 8) | i64::from(*byte))
}

impl Decoder for Raw {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        let Some(kind) = self.kind else {
            return Ok(Decoded::default());
        };
        let mut failures = Vec::new();
        let mut rows = Vec::with_capacity(records.len());
        for (row, record) in records.iter().enumerate() {
            let fault = match kind {
                Kind::Text if std::str::from_utf8(record).is_err() => {
                    Some((FailureCode::Malformed, "the record is not UTF-8"))
                }
                Kind::Integer(width) if record.len() != width => Some((
                    FailureCode::TypeMismatch,
                    "the record has another length than the number",
                )),
                Kind::Text | Kind::Bytes | Kind::Integer(_) => None,
            };
            match fault {
                Some((code, message)) => failures.push(Failure {
                    row,
                    code,
                    message: message.to_owned(),
                }),
                None => rows.push(*record),
            }
        }
        let integers = || rows.iter().map(|record| integer(record));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the length of the record was checked"
        )]
        let column: ArrayRef = match kind {
            Kind::Text => {
                let texts = rows
                    .iter()
                    .map(|record| std::str::from_utf8(record).unwrap_or_default());
                Arc::new(StringArray::from_iter_values(texts))
            }
            Kind::Bytes => Arc::new(BinaryArray::from_iter_values(rows)),
            Kind::Integer(1) => Arc::new(Int8Array::from_iter_values(
                integers().map(|value| value as i8),
            )),
            Kind::Integer(2) => Arc::new(Int16Array::from_iter_values(
                integers().map(|value| value as i16),
            )),
            Kind::Integer(4) => Arc::new(Int32Array::from_iter_values(
                integers().map(|value| value as i32),
            )),
            Kind::Integer(_) => Arc::new(Int64Array::from_iter_values(integers())),
        };
        Ok(Decoded {
            columns: vec![column],
            failures,
        })
    }
}

impl Encoder for Raw {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        for row in 0..batch.rows {
            if let (Some(kind), Some(column)) = (self.kind, batch.columns.first())
                && column.is_valid(row)
            {
                match kind {
                    Kind::Text => {
                        buffer.extend_from_slice(column.as_string::<i32>().value(row).as_bytes());
                    }
                    Kind::Bytes => buffer.extend_from_slice(column.as_binary::<i32>().value(row)),
                    Kind::Integer(1) => {
                        buffer.extend(column.as_primitive::<Int8Type>().value(row).to_be_bytes());
                    }
                    Kind::Integer(2) => {
                        buffer.extend(column.as_primitive::<Int16Type>().value(row).to_be_bytes());
                    }
                    Kind::Integer(4) => {
                        buffer.extend(column.as_primitive::<Int32Type>().value(row).to_be_bytes());
                    }
                    Kind::Integer(_) => {
                        buffer.extend(column.as_primitive::<Int64Type>().value(row).to_be_bytes());
                    }
                }
            }
            ends.push(buffer.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_big_endian_and_lengths_are_checked() {
        let field = FormatField {
            name: "i".into(),
            ty: TypeKind::Int.nullable(),
        };
        let mut raw = Raw::new(&[field]).unwrap();
        let decoded = raw
            .decode(&[&[0, 0, 1, 2], &[1], &[0xff, 0xff, 0xff, 0xfe]])
            .unwrap();
        assert_eq!(
            decoded.columns[0].as_primitive::<Int32Type>().values(),
            &[258, -2]
        );
        assert_eq!(decoded.failures.len(), 1);
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        raw.encode(&Batch::inserts(decoded.columns, 2), &mut buffer, &mut ends)
            .unwrap();
        assert_eq!(
            (buffer, ends),
            (vec![0, 0, 1, 2, 0xff, 0xff, 0xff, 0xfe], vec![4, 8])
        );
    }
}
