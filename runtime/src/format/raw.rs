//! Bytes as they are: one column, the whole key or value.
//!
//! Place in the flow: keys without a schema, and records that are not structured. Invariant: what is encoded decodes to the same
//! value.
//!
//! # Source
//! Flink 2.3, "Raw Format": numbers are big-endian by default, booleans one byte.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use crate::batch::Batch;
use crate::error::{Error, Result, unknown_name};
use crate::format::column::{Column, Data, Fault};
use crate::format::{Decoded, Decoder, Encoder, Failure, FailureCode, FormatField};
use crate::types::TypeKind;

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endianness {
    /// Highest byte first.
    Big,
    /// Lowest byte first.
    Little,
}

/// Reads the `raw.*` options.
pub(super) fn parse_options(options: &BTreeMap<String, String>) -> Result<Endianness> {
    /// Every option of the format.
    const KNOWN: [&str; 2] = ["raw.charset", "raw.endianness"];
    for key in options.keys().filter(|key| key.starts_with("raw.")) {
        if !KNOWN.contains(&key.as_str()) {
            return Err(unknown_name("option", key, KNOWN));
        }
    }
    let charset = options.get("raw.charset").map_or("UTF-8", String::as_str);
    if !charset.eq_ignore_ascii_case("UTF-8") {
        return Err(Error::unsupported(format!(
            "option 'raw.charset': \"{charset}\", only UTF-8 is read"
        )));
    }
    match options
        .get("raw.endianness")
        .map_or("big-endian", String::as_str)
    {
        "big-endian" => Ok(Endianness::Big),
        "little-endian" => Ok(Endianness::Little),
        other => Err(Error::option(format!(
            "option 'raw.endianness': \"{other}\" is not one of big-endian, little-endian"
        ))),
    }
}

/// Reads the options and checks the fields.
fn check(fields: &[FormatField], options: &BTreeMap<String, String>) -> Result<Endianness> {
    let endianness = parse_options(options)?;
    if fields.len() > 1 {
        return Err(Error::validation(format!(
            "format 'raw' has exactly one column, not {}",
            fields.len()
        )));
    }
    for field in fields {
        let is_raw = field.ty.kind.is_character()
            || field.ty.kind.is_binary()
            || field.ty.kind.is_integer()
            || matches!(
                field.ty.kind,
                TypeKind::Boolean | TypeKind::Float | TypeKind::Double
            );
        if !is_raw {
            return Err(Error::validation(format!(
                "format 'raw' has no form for column {} of type {}",
                field.name, field.ty
            )));
        }
    }
    Ok(endianness)
}

/// Decodes whole keys or values.
#[derive(Debug)]
pub struct RawDecoder {
    /// The column, when it is asked for.
    column: Option<Column>,
    /// Byte order of numbers.
    endianness: Endianness,
}

impl RawDecoder {
    /// A decoder of at most one field.
    ///
    /// # Errors
    /// `Invalid` for more fields, other types or bad options.
    pub fn new(fields: &[FormatField], options: &BTreeMap<String, String>) -> Result<Self> {
        let endianness = check(fields, options)?;
        let column = fields
            .first()
            .map(|field| Column::new(&field.ty))
            .transpose()?;
        Ok(Self { column, endianness })
    }
}

/// The bytes of a number, highest first.
fn number<const N: usize>(record: &[u8], endianness: Endianness) -> Result<[u8; N], Fault> {
    let mut bytes: [u8; N] = record.try_into().map_err(|_| {
        Fault::new(
            FailureCode::Malformed,
            format!("expected {N} bytes, found {}", record.len()),
        )
    })?;
    if endianness == Endianness::Little {
        bytes.reverse();
    }
    Ok(bytes)
}

/// Appends a record to its column.
fn append(column: &mut Column, record: &[u8], endianness: Endianness) -> Result<(), Fault> {
    match &mut column.data {
        Data::Boolean(values) => values.append(number::<1>(record, endianness)? != [0]),
        Data::Int8(values) => values.push(i8::from_be_bytes(number(record, endianness)?)),
        Data::Int16(values) => values.push(i16::from_be_bytes(number(record, endianness)?)),
        Data::Int32(values) => values.push(i32::from_be_bytes(number(record, endianness)?)),
        Data::Int64(values) => values.push(i64::from_be_bytes(number(record, endianness)?)),
        Data::Float32(values) => values.push(f32::from_be_bytes(number(record, endianness)?)),
        Data::Float64(values) => values.push(f64::from_be_bytes(number(record, endianness)?)),
        Data::Utf8(values) => {
            if simdutf8::basic::from_utf8(record).is_err() {
                return Err(Fault::new(
                    FailureCode::Malformed,
                    "bytes that are not UTF-8",
                ));
            }
            values.push(record);
        }
        Data::Binary(values) => values.push(record),
        Data::Decimal { .. }
        | Data::Date(_)
        | Data::Time(_)
        | Data::Timestamp { .. }
        | Data::Nanos { .. }
        | Data::List { .. }
        | Data::Map { .. }
        | Data::Row { .. } => return Err(Fault::mismatch("a type without a raw form")),
    }
    column.valid();
    Ok(())
}

impl Decoder for RawDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        let Some(column) = &mut self.column else {
            return Ok(Decoded::default());
        };
        let bytes: usize = records.iter().map(|record| record.len()).sum();
        if i32::try_from(bytes).is_err() {
            return Err(Error::unsupported(format!("a batch of {bytes} bytes")));
        }
        let mut failures = Vec::new();
        for (row, record) in records.iter().enumerate() {
            let rows = column.len();
            if let Err(fault) = append(column, record, self.endianness) {
                column.truncate(rows);
                failures.push(Failure {
                    row,
                    code: fault.code,
                    message: fault.text(),
                });
            }
        }
        Ok(Decoded {
            columns: vec![column.finish()?],
            failures,
            changes: None,
        })
    }
}

/// Encodes whole keys or values.
#[derive(Debug)]
pub struct RawEncoder {
    /// Type of the column.
    kind: TypeKind,
    /// Byte order of numbers.
    endianness: Endianness,
}

impl RawEncoder {
    /// An encoder of exactly one field.
    ///
    /// # Errors
    /// `Invalid` for another number of fields, other types or bad options.
    pub fn new(fields: &[FormatField], options: &BTreeMap<String, String>) -> Result<Self> {
        let endianness = check(fields, options)?;
        match fields {
            [field] => Ok(Self {
                kind: field.ty.kind.clone(),
                endianness,
            }),
            _ => Err(Error::validation(
                "format 'raw' has exactly one column, not 0",
            )),
        }
    }

    /// Writes the bytes of a number, given highest first.
    fn write<const N: usize>(&self, buffer: &mut Vec<u8>, mut bytes: [u8; N]) {
        if self.endianness == Endianness::Little {
            bytes.reverse();
        }
        buffer.extend_from_slice(&bytes);
    }
}

impl Encoder for RawEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let column = batch
            .columns
            .first()
            .ok_or_else(|| Error::internal("a batch lacks the column of its format"))?;
        if column.null_count() > 0 {
            return Err(Error::deserialization(
                "format 'raw' has no form for NULL; filter NULLs or use COALESCE",
            ));
        }
        for row in 0..batch.rows {
            match &self.kind {
                TypeKind::Boolean => {
                    self.write(buffer, [u8::from(column.as_boolean().value(row))]);
                }
                TypeKind::TinyInt => self.write(
                    buffer,
                    column.as_primitive::<Int8Type>().value(row).to_be_bytes(),
                ),
                TypeKind::SmallInt => self.write(
                    buffer,
                    column.as_primitive::<Int16Type>().value(row).to_be_bytes(),
                ),
                TypeKind::Int => self.write(
                    buffer,
                    column.as_primitive::<Int32Type>().value(row).to_be_bytes(),
                ),
                TypeKind::BigInt => self.write(
                    buffer,
                    column.as_primitive::<Int64Type>().value(row).to_be_bytes(),
                ),
                TypeKind::Float => self.write(
                    buffer,
                    column
                        .as_primitive::<Float32Type>()
                        .value(row)
                        .to_be_bytes(),
                ),
                TypeKind::Double => self.write(
                    buffer,
                    column
                        .as_primitive::<Float64Type>()
                        .value(row)
                        .to_be_bytes(),
                ),
                kind if kind.is_character() => {
                    buffer.extend_from_slice(column.as_string::<i32>().value(row).as_bytes());
                }
                _ => buffer.extend_from_slice(column.as_binary::<i32>().value(row)),
            }
            ends.push(buffer.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: TypeKind) -> Vec<FormatField> {
        vec![FormatField {
            name: "value".into(),
            ty: kind.nullable(),
        }]
    }

    fn options(endianness: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("raw.endianness".to_owned(), endianness.to_owned())])
    }

    #[test]
    fn numbers_keep_their_byte_order() {
        for (endianness, record) in [
            ("big-endian", [0, 0, 1, 2]),
            ("little-endian", [2, 1, 0, 0]),
        ] {
            let options = options(endianness);
            let mut decoder = RawDecoder::new(&field(TypeKind::Int), &options).unwrap();
            let rows = decoder.decode(&[&record, &[1]]).unwrap();
            assert_eq!(rows.columns[0].as_primitive::<Int32Type>().values(), &[258]);
            assert_eq!(rows.failures.len(), 1);
            assert_eq!(rows.failures[0].row, 1);
            assert_eq!(rows.failures[0].message, "expected 4 bytes, found 1");
            let mut encoder = RawEncoder::new(&field(TypeKind::Int), &options).unwrap();
            let (mut buffer, mut ends) = (Vec::new(), Vec::new());
            encoder
                .encode(&Batch::inserts(rows.columns, 1), &mut buffer, &mut ends)
                .unwrap();
            assert_eq!((buffer, ends), (record.to_vec(), vec![4]));
        }
    }

    #[test]
    fn strings_must_be_utf8_and_null_has_no_form() {
        let none = BTreeMap::new();
        let mut decoder = RawDecoder::new(&field(TypeKind::string()), &none).unwrap();
        let rows = decoder.decode(&["é".as_bytes(), b"\xff", b""]).unwrap();
        assert_eq!(
            rows.columns[0]
                .as_string::<i32>()
                .iter()
                .collect::<Vec<_>>(),
            [Some("é"), Some("")]
        );
        assert_eq!(rows.failures[0].code, FailureCode::Malformed);
        let mut encoder = RawEncoder::new(&field(TypeKind::bytes()), &none).unwrap();
        let nulls = arrow::array::new_null_array(&arrow::datatypes::DataType::Binary, 1);
        let error = encoder
            .encode(
                &Batch::inserts(vec![nulls], 1),
                &mut Vec::new(),
                &mut Vec::new(),
            )
            .unwrap_err();
        assert!(error.message.contains("NULL"));
    }
}
