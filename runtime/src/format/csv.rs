//! Comma-separated values: one line per record.
//!
//! Place in the flow: flat records without field names. Invariant: fields are known by their position among all columns of the part; a line with another number of fields is malformed; what is encoded decodes to the same values.
//!
//! # Source
//! Flink 2.3, "CSV Format".

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use base64::Engine;

use crate::batch::Batch;
use crate::error::{Error, Result, unknown_name};
use crate::format::column::{Column, Fault};
use crate::format::text::{self, TimestampFormat};
use crate::format::{Decoded, Decoder, Encoder, Failure, FailureCode, FormatField, flag};
use crate::types::TypeKind;

/// Bytes of one batch of lines.
///
/// # Source
/// Arrow's `Utf8` offsets hold `2^31 - 1`; decoded strings are at most as long as their line.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// How lines are read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CsvOptions {
    /// Between two fields.
    delimiter: u8,
    /// Around fields that hold special characters; absent when nothing is quoted.
    quote: Option<u8>,
    /// Before a character that is to be taken as it is.
    escape: Option<u8>,
    /// The text of NULL.
    null_literal: Option<String>,
    /// Whether tiny decimals are written with an exponent.
    plain_decimals: bool,
}

impl CsvOptions {
    /// Reads the `csv.*` options of a table.
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        /// Every option of the format.
        const KNOWN: [&str; 9] = [
            "csv.field-delimiter",
            "csv.disable-quote-character",
            "csv.quote-character",
            "csv.allow-comments",
            "csv.ignore-parse-errors",
            "csv.array-element-delimiter",
            "csv.escape-character",
            "csv.null-literal",
            "csv.write-bigdecimal-in-scientific-notation",
        ];
        for key in options.keys().filter(|key| key.starts_with("csv.")) {
            if !KNOWN.contains(&key.as_str()) {
                return Err(unknown_name("option", key, KNOWN));
            }
        }
        if flag(options, "csv.ignore-parse-errors")? {
            return Err(Error::unsupported(
                "option 'csv.ignore-parse-errors': set 'error-handling.mode' to 'ignore' or 'log' instead",
            ));
        }
        if flag(options, "csv.allow-comments")? {
            return Err(Error::unsupported("option 'csv.allow-comments'"));
        }
        let scientific = "csv.write-bigdecimal-in-scientific-notation";
        let quote = if flag(options, "csv.disable-quote-character")? {
            None
        } else {
            Some(character(options, "csv.quote-character")?.unwrap_or(b'"'))
        };
        let parsed = Self {
            delimiter: character(options, "csv.field-delimiter")?.unwrap_or(b','),
            quote,
            escape: character(options, "csv.escape-character")?,
            null_literal: options.get("csv.null-literal").cloned(),
            plain_decimals: options.contains_key(scientific) && !flag(options, scientific)?,
        };
        if parsed.quote == Some(parsed.delimiter) || parsed.escape == Some(parsed.delimiter) {
            return Err(Error::option(
                "option 'csv.field-delimiter': it is also the quote or escape character",
            ));
        }
        Ok(parsed)
    }
}

/// An option of one ASCII character; `\t` stands for a tab.
fn character(options: &BTreeMap<String, String>, key: &str) -> Result<Option<u8>> {
    match options.get(key).map(String::as_str) {
        None => Ok(None),
        Some("\\t") => Ok(Some(b'\t')),
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(Some(*byte)),
            _ => Err(Error::option(format!(
                "option '{key}': \"{text}\" is not one ASCII character"
            ))),
        },
    }
}

/// Refuses types that a field has no form for.
fn check_types(fields: &[FormatField]) -> Result<()> {
    for field in fields {
        let is_nested = matches!(
            field.ty.kind,
            TypeKind::Array(_)
                | TypeKind::Map(_, _)
                | TypeKind::Multiset(_)
                | TypeKind::Row(_)
                | TypeKind::Bitmap
                | TypeKind::Variant
                | TypeKind::Null
        );
        if is_nested {
            return Err(Error::unsupported(format!(
                "format 'csv': column {} of type {}",
                field.name, field.ty
            )));
        }
    }
    Ok(())
}

/// Decodes lines into the asked columns of the part.
#[derive(Debug)]
pub struct CsvDecoder {
    /// Names of all columns of the part in order, and which of the asked ones each is.
    layout: Vec<(String, Option<usize>)>,
    /// Values of the asked columns.
    columns: Vec<Column>,
    /// How lines are read.
    options: CsvOptions,
    /// The fields of the line at hand, one behind the other.
    line: Line,
}

/// The fields of a line.
#[derive(Debug, Default)]
struct Line {
    /// Texts, one behind the other.
    text: Vec<u8>,
    /// Their ends.
    ends: Vec<usize>,
}

impl CsvDecoder {
    /// A decoder of the asked fields among all columns of the part.
    ///
    /// # Errors
    /// `Invalid` for bad options; `Unsupported` for nested types; `Internal` for a field that is not in the layout.
    pub fn new(
        layout: &[String],
        fields: &[FormatField],
        options: &BTreeMap<String, String>,
    ) -> Result<Self> {
        check_types(fields)?;
        if let Some(field) = fields.iter().find(|field| !layout.contains(&field.name)) {
            return Err(Error::internal(format!(
                "field {} is not a column of its part",
                field.name
            )));
        }
        let columns = Column::of_fields(fields)?;
        let layout = layout.iter().map(|name| {
            let asked = fields.iter().position(|field| field.name == *name);
            (name.clone(), asked)
        });
        Ok(Self {
            layout: layout.collect(),
            columns,
            options: CsvOptions::parse(options)?,
            line: Line::default(),
        })
    }

    /// Appends the values of a line.
    fn append(&mut self, record: &[u8]) -> Result<(), Fault> {
        if simdutf8::basic::from_utf8(record).is_err() {
            return Err(malformed("bytes that are not UTF-8"));
        }
        self.line.split(record, &self.options)?;
        if self.line.ends.len() != self.layout.len() {
            return Err(malformed(&format!(
                "expected {} fields, found {}",
                self.layout.len(),
                self.line.ends.len()
            )));
        }
        let mut start = 0;
        for ((name, asked), end) in self.layout.iter().zip(&self.line.ends) {
            let field = &self.line.text[start..*end];
            start = *end;
            let Some(asked) = asked else {
                continue;
            };
            let column = &mut self.columns[*asked];
            let field =
                std::str::from_utf8(field).map_err(|_| malformed("bytes that are not UTF-8"))?;
            let outcome = if self.options.null_literal.as_deref() == Some(field) {
                column.append_null()
            } else {
                text::append(column, field, TimestampFormat::Sql)
            };
            outcome.map_err(|fault| fault.within(name))?;
        }
        Ok(())
    }
}

/// A line that is not of the format.
fn malformed(message: &str) -> Fault {
    Fault::new(FailureCode::Malformed, format!("not CSV: {message}"))
}

impl Line {
    /// Splits a line into fields, quotes and escapes resolved.
    fn split(&mut self, record: &[u8], options: &CsvOptions) -> Result<(), Fault> {
        self.text.clear();
        self.ends.clear();
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        let mut at = 0;
        loop {
            at = if options.quote.is_some() && record.get(at).copied() == options.quote {
                self.quoted(record, at + 1, options)?
            } else {
                self.bare(record, at, options)?
            };
            self.ends.push(self.text.len());
            match record.get(at) {
                None => return Ok(()),
                Some(byte) if *byte == options.delimiter => at += 1,
                Some(_) => return Err(malformed("text behind a closing quote")),
            }
        }
    }

    /// Reads a field without quotes; the place of what ends it.
    fn bare(&mut self, record: &[u8], mut at: usize, options: &CsvOptions) -> Result<usize, Fault> {
        while let Some(byte) = record.get(at).copied() {
            if byte == options.delimiter {
                break;
            }
            if matches!(byte, b'\r' | b'\n') {
                return Err(malformed("more than one line"));
            }
            at += self.take(record, at, options)?;
        }
        Ok(at)
    }

    /// Reads a field behind its opening quote; the place behind the closing one.
    fn quoted(
        &mut self,
        record: &[u8],
        mut at: usize,
        options: &CsvOptions,
    ) -> Result<usize, Fault> {
        let quote = options.quote.unwrap_or_default();
        loop {
            match record.get(at).copied() {
                None => return Err(malformed("a quote is not closed")),
                Some(byte) if byte == quote && record.get(at + 1) == Some(&quote) => {
                    self.text.push(quote);
                    at += 2;
                }
                Some(byte) if byte == quote => return Ok(at + 1),
                Some(_) => at += self.take(record, at, options)?,
            }
        }
    }

    /// Takes a character, escaped or not; the bytes it took.
    fn take(&mut self, record: &[u8], at: usize, options: &CsvOptions) -> Result<usize, Fault> {
        if options.escape == Some(record[at]) {
            let escaped = record
                .get(at + 1)
                .ok_or_else(|| malformed("an escape character at the end"))?;
            self.text.push(*escaped);
            return Ok(2);
        }
        self.text.push(record[at]);
        Ok(1)
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        let bytes: usize = records.iter().map(|record| record.len()).sum();
        if bytes > BATCH_BYTES_MAX {
            return Err(Error::unsupported(format!(
                "a batch of {bytes} bytes of CSV"
            )));
        }
        let mut failures = Vec::new();
        let mut rows = 0;
        for (row, record) in records.iter().enumerate() {
            match self.append(record) {
                Ok(()) => rows += 1,
                Err(fault) => {
                    for column in &mut self.columns {
                        column.truncate(rows);
                    }
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

/// Encodes rows as lines without a line end.
#[derive(Debug)]
pub struct CsvEncoder {
    /// Columns in order.
    fields: Vec<FormatField>,
    /// How lines are written.
    options: CsvOptions,
    /// The field at hand, before quoting.
    scratch: Vec<u8>,
}

impl CsvEncoder {
    /// An encoder of the fields, in order.
    ///
    /// # Errors
    /// `Invalid` for bad options; `Unsupported` for nested types.
    pub fn new(fields: Vec<FormatField>, options: &BTreeMap<String, String>) -> Result<Self> {
        check_types(&fields)?;
        Ok(Self {
            fields,
            options: CsvOptions::parse(options)?,
            scratch: Vec::new(),
        })
    }

    /// Writes the field in `scratch`, quoted where needed.
    fn write_field(&mut self, is_null: bool, buffer: &mut Vec<u8>) -> Result<()> {
        let CsvOptions {
            delimiter,
            quote,
            escape,
            null_literal,
            ..
        } = &self.options;
        if !is_null && null_literal.as_deref().map(str::as_bytes) == Some(self.scratch.as_slice()) {
            return Err(Error::deserialization(format!(
                "a value equals the text of NULL, {}",
                text::excerpt(&String::from_utf8_lossy(&self.scratch))
            )));
        }
        let is_special = |byte: &u8| {
            *byte == *delimiter
                || Some(*byte) == *quote
                || Some(*byte) == *escape
                || matches!(byte, b'\r' | b'\n')
        };
        if !self.scratch.iter().any(is_special) {
            buffer.extend_from_slice(&self.scratch);
            return Ok(());
        }
        let Some(quote) = *quote else {
            return Err(Error::deserialization(
                "a value holds a delimiter or line end, and quotes are disabled",
            ));
        };
        buffer.push(quote);
        for byte in &self.scratch {
            if *byte == quote {
                buffer.push(quote);
            } else if Some(*byte) == *escape {
                buffer.push(*byte);
            }
            buffer.push(*byte);
        }
        buffer.push(quote);
        Ok(())
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        if batch.columns.len() != self.fields.len() {
            return Err(Error::internal("a batch has other columns than its format"));
        }
        for row in 0..batch.rows {
            for position in 0..self.fields.len() {
                if position > 0 {
                    buffer.push(self.options.delimiter);
                }
                self.scratch.clear();
                let array = &batch.columns[position];
                let is_null = array.is_null(row);
                if is_null {
                    let literal = self.options.null_literal.as_deref().unwrap_or_default();
                    self.scratch.extend_from_slice(literal.as_bytes());
                } else {
                    let kind = &self.fields[position].ty.kind;
                    write_value(
                        &mut self.scratch,
                        array,
                        row,
                        kind,
                        self.options.plain_decimals,
                    )?;
                }
                self.write_field(is_null, buffer)?;
            }
            ends.push(buffer.len());
        }
        Ok(())
    }
}

/// Writes the text of a value that is not NULL.
fn write_value(
    out: &mut Vec<u8>,
    array: &ArrayRef,
    row: usize,
    kind: &TypeKind,
    plain_decimals: bool,
) -> Result<()> {
    match kind {
        TypeKind::Boolean => {
            let word: &[u8] = if array.as_boolean().value(row) {
                b"true"
            } else {
                b"false"
            };
            out.extend_from_slice(word);
        }
        TypeKind::TinyInt => {
            text::write_integer(out, array.as_primitive::<Int8Type>().value(row).into());
        }
        TypeKind::SmallInt => {
            text::write_integer(out, array.as_primitive::<Int16Type>().value(row).into());
        }
        TypeKind::Int | TypeKind::IntervalYearMonth => {
            text::write_integer(out, array.as_primitive::<Int32Type>().value(row).into());
        }
        TypeKind::BigInt | TypeKind::IntervalDayTime => {
            text::write_integer(out, array.as_primitive::<Int64Type>().value(row));
        }
        TypeKind::Float => text::write_float(out, array.as_primitive::<Float32Type>().value(row)),
        TypeKind::Double => text::write_double(out, array.as_primitive::<Float64Type>().value(row)),
        TypeKind::Decimal { scale, .. } => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            text::write_decimal(out, value, *scale, plain_decimals);
        }
        TypeKind::Char(_) | TypeKind::VarChar(_) => {
            out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes());
        }
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            let encoded = base64::engine::general_purpose::STANDARD
                .encode(array.as_binary::<i32>().value(row));
            out.extend_from_slice(encoded.as_bytes());
        }
        TypeKind::Date => {
            text::write_date(out, array.as_primitive::<Date32Type>().value(row).into());
        }
        TypeKind::Time(_) => {
            let millis = array.as_primitive::<Time32MillisecondType>().value(row);
            text::write_time(out, i64::from(millis) * 1000);
        }
        TypeKind::Timestamp(7..) | TypeKind::TimestampLtz(7..) => {
            let nanos = array.as_primitive::<Decimal128Type>().value(row);
            let local = matches!(kind, TypeKind::TimestampLtz(_));
            text::write_nanos(out, nanos, TimestampFormat::Sql, local);
        }
        TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => {
            let is_micros = *p > 3;
            let value = if is_micros {
                array.as_primitive::<TimestampMicrosecondType>().value(row)
            } else {
                array.as_primitive::<TimestampMillisecondType>().value(row)
            };
            let micros = text::to_micros(value, is_micros)
                .ok_or_else(|| Error::arithmetic(format!("timestamp {value} has no text form")))?;
            let local = matches!(kind, TypeKind::TimestampLtz(_));
            text::write_timestamp(out, micros, TimestampFormat::Sql, local);
        }
        TypeKind::Null
        | TypeKind::Array(_)
        | TypeKind::Map(_, _)
        | TypeKind::Multiset(_)
        | TypeKind::Row(_)
        | TypeKind::Bitmap
        | TypeKind::Variant => {
            return Err(Error::internal("a nested column in a CSV format"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(kinds: &[TypeKind]) -> Vec<FormatField> {
        kinds
            .iter()
            .enumerate()
            .map(|(position, kind)| FormatField {
                name: format!("f{position}"),
                ty: kind.clone().nullable(),
            })
            .collect()
    }

    fn layout(fields: &[FormatField]) -> Vec<String> {
        fields.iter().map(|field| field.name.clone()).collect()
    }

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn lines_decode_and_odd_ones_fail_alone() {
        let fields = fields(&[TypeKind::Int, TypeKind::string(), TypeKind::Timestamp(3)]);
        let options = options(&[("csv.null-literal", "NULL"), ("csv.field-delimiter", ";")]);
        let mut decoder = CsvDecoder::new(&layout(&fields), &fields, &options).unwrap();
        let records: [&[u8]; 7] = [
            b"1;\"a;\"\"b\"\"\";2024-01-01 00:00:00.5\n",
            b"x;a;2024-01-01 00:00:00",
            b"1;a",
            b"1;\"a;NULL",
            b"1;\"a\"b;NULL",
            b"1;\xff;NULL",
            b" 7 ;;NULL\r\n",
        ];
        let rows = decoder.decode(&records).unwrap();
        assert_eq!(
            rows.columns[0].as_primitive::<Int32Type>().values(),
            &[1, 7]
        );
        let texts: Vec<_> = rows.columns[1].as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("a;\"b\""), Some("")]);
        assert!(rows.columns[2].is_null(1));
        let failures: Vec<_> = rows
            .failures
            .iter()
            .map(|failure| (failure.row, failure.code))
            .collect();
        let malformed = FailureCode::Malformed;
        assert_eq!(
            failures,
            [
                (1, FailureCode::TypeMismatch),
                (2, malformed),
                (3, malformed),
                (4, malformed),
                (5, malformed)
            ]
        );
        assert_eq!(
            rows.failures[0].message,
            "field \"f0\": \"x\" is not an INT"
        );
    }

    #[test]
    fn only_asked_columns_are_read() {
        let all = fields(&[TypeKind::Int, TypeKind::string(), TypeKind::BigInt]);
        let asked = [all[2].clone(), all[1].clone()];
        let mut decoder = CsvDecoder::new(&layout(&all), &asked, &BTreeMap::new()).unwrap();
        let rows = decoder.decode(&[b"x,a,3", b"1,a"]).unwrap();
        assert_eq!(rows.columns[0].as_primitive::<Int64Type>().values(), &[3]);
        assert_eq!(rows.columns[1].as_string::<i32>().value(0), "a");
        assert_eq!(rows.failures.len(), 1);
    }

    #[test]
    fn options_that_lose_rows_point_to_error_handling() {
        let error = CsvDecoder::new(&[], &[], &options(&[("csv.ignore-parse-errors", "true")]))
            .unwrap_err();
        assert!(error.message.contains("error-handling.mode"));
        let error =
            CsvDecoder::new(&[], &[], &options(&[("csv.field-delimeter", ";")])).unwrap_err();
        assert!(error.message.contains("csv.field-delimiter"));
        assert!(CsvDecoder::new(&[], &[], &options(&[("csv.field-delimiter", "ab")])).is_err());
    }

    proptest! {
        #[test]
        fn rows_read_back(texts in prop::collection::vec("[a-c,\"\\\\\r\n é]{0,8}", 1..5), number: i64, escape: bool) {
            let fields = fields(&[TypeKind::string(), TypeKind::BigInt]);
            let options = if escape { options(&[("csv.escape-character", "\\")]) } else { BTreeMap::new() };
            let count = texts.len();
            let columns: Vec<ArrayRef> = vec![
                std::sync::Arc::new(arrow::array::StringArray::from(texts.clone())),
                std::sync::Arc::new(arrow::array::Int64Array::from(vec![number; count])),
            ];
            let (mut buffer, mut ends) = (Vec::new(), Vec::new());
            CsvEncoder::new(fields.clone(), &options).unwrap()
                .encode(&Batch::inserts(columns.clone(), count), &mut buffer, &mut ends).unwrap();
            let mut start = 0;
            let records: Vec<&[u8]> = ends.iter().map(|end| {
                let record = &buffer[start..*end];
                start = *end;
                record
            }).collect();
            let rows = CsvDecoder::new(&layout(&fields), &fields, &options).unwrap().decode(&records).unwrap();
            prop_assert!(rows.failures.is_empty(), "{:?}", rows.failures);
            prop_assert_eq!(&rows.columns, &columns);
        }
    }
}
