//! Comma-separated values, one record a line.
//!
//! Place in the flow: a format of any number of scalar columns. Invariant: fields stand in the order of the columns; values are read by
//! the JSON columns' rules for text, so that both formats agree on numbers and times.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::json::{JsonDecoder, JsonEncoder, JsonOptions, Times};
use crate::format::{Decoded, Decoder, Encoder, Failure, FailureCode, FormatField};
use crate::types::TypeKind;

/// How CSV is read and written, with Flink's option names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// `csv.field-delimiter`.
    pub delimiter: u8,
    /// `csv.quote-character`.
    pub quote: u8,
    /// `csv.null-literal`; without it an empty field of a type other than a string is NULL.
    pub null_literal: Option<String>,
}

impl CsvOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// `Invalid` for a delimiter or quote that is not one ASCII character.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let character = |key: &str, default: u8| match options.get(key).map(String::as_bytes) {
            None => Ok(default),
            Some(b"\\t") => Ok(b'\t'),
            Some([byte]) if byte.is_ascii() => Ok(*byte),
            Some(_) => Err(Error::option(format!(
                "option '{key}' must be one ASCII character"
            ))),
        };
        Ok(Self {
            delimiter: character("csv.field-delimiter", b',')?,
            quote: character("csv.quote-character", b'"')?,
            null_literal: options.get("csv.null-literal").cloned(),
        })
    }
}

/// Refuses nested columns.
fn check(fields: &[FormatField]) -> Result<()> {
    for field in fields {
        if field.ty.to_arrow()?.is_nested() || field.ty.kind == TypeKind::Null {
            return Err(Error::unsupported(format!(
                "format 'csv' for column {} of type {}",
                field.name, field.ty.kind
            )));
        }
    }
    Ok(())
}

/// Decodes CSV lines.
#[derive(Debug)]
pub struct CsvDecoder {
    /// Every column of the part, in order.
    layout: Vec<String>,
    /// Asked fields.
    fields: Vec<FormatField>,
    /// How CSV is read.
    options: CsvOptions,
    /// Reads the values.
    values: JsonDecoder,
}

impl CsvDecoder {
    /// A decoder of the fields of a part whose columns stand in the order of `layout`.
    ///
    /// # Errors
    /// `Unsupported` for nested columns.
    pub fn new(layout: Vec<String>, fields: Vec<FormatField>, options: CsvOptions) -> Result<Self> {
        check(&fields)?;
        let json = JsonOptions {
            times: Times::Sql,
            strict_types: false,
            fail_on_missing_field: false,
        };
        let values = JsonDecoder::new(fields.clone(), json)?;
        Ok(Self {
            layout,
            fields,
            options,
            values,
        })
    }

    /// A line as a JSON object of the asked fields.
    fn object(&self, record: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(self.options.delimiter)
            .quote(self.options.quote)
            .from_reader(record);
        let mut line = csv::StringRecord::new();
        match reader.read_record(&mut line) {
            Ok(true) => {}
            Ok(false) => return Err("the record is empty"),
            Err(_) => return Err("the record is not CSV in UTF-8"),
        }
        if line.len() != self.layout.len() {
            return Err("the record has another number of fields than the table");
        }
        let mut object = serde_json::Map::new();
        for field in &self.fields {
            let position = self.layout.iter().position(|name| *name == field.name);
            let text = position
                .and_then(|position| line.get(position))
                .ok_or("the table lacks a field")?;
            let is_null = match &self.options.null_literal {
                Some(literal) => text == literal,
                None => text.is_empty() && !field.ty.kind.is_character(),
            };
            object.insert(
                field.name.clone(),
                if is_null {
                    serde_json::Value::Null
                } else {
                    text.into()
                },
            );
        }
        serde_json::to_vec(&object).map_err(|_| "the record has no JSON form")
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        let mut failures = Vec::new();
        let mut rows = Vec::new();
        let mut objects = Vec::new();
        for (row, record) in records.iter().enumerate() {
            match self.object(record) {
                Ok(object) => {
                    rows.push(row);
                    objects.push(object);
                }
                Err(message) => {
                    failures.push(Failure {
                        row,
                        code: FailureCode::Malformed,
                        message: message.to_owned(),
                    });
                }
            }
        }
        let mut decoded = self
            .values
            .decode(&objects.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        failures.extend(decoded.failures.drain(..).map(|failure| Failure {
            row: rows[failure.row],
            ..failure
        }));
        failures.sort_by_key(|failure| failure.row);
        Ok(Decoded {
            columns: decoded.columns,
            failures,
        })
    }
}

/// Encodes rows as CSV lines.
#[derive(Debug)]
pub struct CsvEncoder {
    /// Writes single values as objects of one field, and the bytes before such a value.
    values: Vec<(JsonEncoder, usize)>,
    /// How CSV is written.
    options: CsvOptions,
}

impl CsvEncoder {
    /// An encoder of some fields.
    ///
    /// # Errors
    /// `Unsupported` for nested columns.
    pub fn new(fields: &[FormatField], options: CsvOptions) -> Result<Self> {
        check(fields)?;
        let json = JsonOptions {
            times: Times::Sql,
            strict_types: false,
            fail_on_missing_field: false,
        };
        let values = fields
            .iter()
            .map(|field| {
                // A brace, the quoted name, a colon.
                let name = serde_json::to_string(&field.name)
                    .map_err(|error| Error::internal(error.to_string()))?;
                let encoder = JsonEncoder::new(std::slice::from_ref(field), json)?;
                Ok((encoder, name.len() + 2))
            })
            .collect::<Result<_>>()?;
        Ok(Self { values, options })
    }

    /// The text of one column's values; absent for NULL.
    fn texts(
        (encoder, head_bytes): &mut (JsonEncoder, usize),
        column: &ArrayRef,
    ) -> Result<Vec<Option<String>>> {
        let rows = column.len();
        let (mut buffer, mut ends) = (Vec::new(), Vec::with_capacity(rows));
        let head_bytes = *head_bytes;
        encoder.encode(
            &Batch::inserts(vec![column.clone()], rows),
            &mut buffer,
            &mut ends,
        )?;
        let mut start = 0;
        let mut texts = Vec::with_capacity(rows);
        for end in ends {
            // The object is `{"name":value}`: the value's own text keeps every digit of a decimal.
            let value = &buffer[start + head_bytes..end - 1];
            start = end;
            texts.push(match value {
                b"null" => None,
                [b'"', ..] => Some(
                    serde_json::from_slice(value)
                        .map_err(|error| Error::internal(error.to_string()))?,
                ),
                other => Some(String::from_utf8_lossy(other).into_owned()),
            });
        }
        Ok(texts)
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let columns = self
            .values
            .iter_mut()
            .zip(&batch.columns)
            .map(|(encoder, column)| Self::texts(encoder, column))
            .collect::<Result<Vec<_>>>()?;
        let null = self.options.null_literal.clone().unwrap_or_default();
        for row in 0..batch.rows {
            let mut writer = csv::WriterBuilder::new()
                .delimiter(self.options.delimiter)
                .quote(self.options.quote)
                .from_writer(Vec::new());
            let cells = columns
                .iter()
                .map(|column| column[row].as_ref().unwrap_or(&null));
            writer
                .write_record(cells)
                .map_err(|error| Error::internal(error.to_string()))?;
            let line = writer
                .into_inner()
                .map_err(|error| Error::internal(error.to_string()))?;
            buffer.extend_from_slice(line.trim_ascii_end());
            ends.push(buffer.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_written() {
        let fields = vec![
            FormatField {
                name: "id".into(),
                ty: TypeKind::BigInt.nullable(),
            },
            FormatField {
                name: "name".into(),
                ty: TypeKind::string().nullable(),
            },
            FormatField {
                name: "price".into(),
                ty: TypeKind::Decimal {
                    precision: 10,
                    scale: 2,
                }
                .nullable(),
            },
        ];
        let options = CsvOptions::parse(&BTreeMap::new()).unwrap();
        let layout = fields.iter().map(|field| field.name.clone()).collect();
        let mut lines = CsvDecoder::new(layout, fields.clone(), options.clone()).unwrap();
        let decoded = lines
            .decode(&[b"1,\"a,b\",2.50", b"x,y,z", b",,", b"1,2"])
            .unwrap();
        let failed: Vec<usize> = decoded.failures.iter().map(|failure| failure.row).collect();
        assert_eq!(failed, [1, 3]);
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        let batch = Batch::inserts(decoded.columns, 2);
        CsvEncoder::new(&fields, options)
            .unwrap()
            .encode(&batch, &mut buffer, &mut ends)
            .unwrap();
        assert_eq!(&buffer[..ends[0]], b"1,\"a,b\",2.50");
        assert_eq!(&buffer[ends[0]..], b",,");
    }
}
