//! JSON objects to columns.
//!
//! Place in the flow: one per source subtask and part of a record. Invariant: a key that stands where the record before had it costs one
//! comparison; anything else takes the exact way; a record that fails leaves no value behind.

use std::borrow::Cow;

use crate::error::Result;
use crate::format::json::JsonOptions;
use crate::format::json::column::{Column, Fault};
use crate::format::json::scanner::Scanner;
use crate::format::{Decoded, Decoder, Failure, FailureCode, FormatField};

/// Keys remembered of the record before; what stands beyond them is looked up.
const LAYOUT_KEYS_MAX: usize = 256;

/// Decodes JSON objects into the asked fields.
#[derive(Debug)]
pub struct JsonDecoder {
    /// Asked fields.
    fields: Vec<FormatField>,
    /// Their columns.
    columns: Vec<Column>,
    /// Keys of the record before, in its order.
    layout: Vec<Key>,
    /// How JSON is read.
    options: JsonOptions,
}

/// A key that was seen.
#[derive(Debug, Clone)]
struct Key {
    /// The key with its quotes and colon, as it stood in the text.
    text: Vec<u8>,
    /// The asked field of that name.
    field: Option<usize>,
}

/// A fault and the field it is in.
type FieldFault = (Option<usize>, Fault);

/// A fault of the text itself.
fn malformed(message: &'static str) -> FieldFault {
    (None, (FailureCode::Malformed, message))
}

impl JsonDecoder {
    /// A decoder of some fields.
    ///
    /// # Errors
    /// `Unsupported` for types that JSON does not hold.
    pub fn new(fields: Vec<FormatField>, options: JsonOptions) -> Result<Self> {
        for field in &fields {
            field
                .ty
                .to_arrow()
                .map_err(|error| error.context(&format!("field {}", field.name)))?;
        }
        let columns = fields
            .iter()
            .map(|field| Column::new(&field.ty, options))
            .collect();
        Ok(Self {
            fields,
            columns,
            layout: Vec::new(),
            options,
        })
    }

    /// Appends the fields of one record as row `row`.
    fn record(&mut self, record: &[u8], row: usize) -> Result<(), FieldFault> {
        if simdutf8::basic::from_utf8(record).is_err() {
            return Err(malformed("the record is not UTF-8"));
        }
        let mut scanner = Scanner::new(record);
        if !scanner.eat(b'{') {
            return Err(malformed("the record is not an object"));
        }
        if !scanner.eat(b'}') {
            let mut position = 0;
            loop {
                let field = self.key(&mut scanner, position)?;
                position += 1;
                match field {
                    Some(field) => self.value(&mut scanner, field, row)?,
                    None => scanner.skip().map_err(malformed)?,
                }
                if scanner.eat(b'}') {
                    break;
                }
                if !scanner.eat(b',') {
                    return Err(malformed("a comma was expected"));
                }
            }
        }
        if !scanner.is_at_end() {
            return Err(malformed("something follows the object"));
        }
        self.fill_missing(row)
    }

    /// Moves over a key and its colon; the asked field of that name.
    #[inline]
    fn key(
        &mut self,
        scanner: &mut Scanner<'_>,
        position: usize,
    ) -> Result<Option<usize>, FieldFault> {
        if let Some(key) = self.layout.get(position) {
            if scanner.eat_exactly(&key.text) {
                return Ok(key.field);
            }
            scanner.white();
            if scanner.eat_exactly(&key.text) {
                return Ok(key.field);
            }
        }
        scanner.white();
        let start = scanner.position();
        let name: Cow<'_, [u8]> = scanner.string().map_err(malformed)?;
        if !scanner.eat(b':') {
            return Err(malformed("a colon was expected"));
        }
        let field = self
            .fields
            .iter()
            .position(|field| field.name.as_bytes() == &*name);
        if position < LAYOUT_KEYS_MAX {
            let key = Key {
                text: scanner.since(start).to_vec(),
                field,
            };
            match self.layout.get_mut(position) {
                Some(slot) => *slot = key,
                None => self.layout.push(key),
            }
        }
        Ok(field)
    }

    /// Appends a value; of a key that stands twice the last value counts.
    #[inline]
    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        field: usize,
        row: usize,
    ) -> Result<(), FieldFault> {
        let column = &mut self.columns[field];
        if column.len() > row {
            column.truncate(row);
        }
        column.push(scanner).map_err(|fault| (Some(field), fault))
    }

    /// Appends NULL to the fields that the record lacks.
    fn fill_missing(&mut self, row: usize) -> Result<(), FieldFault> {
        for (field, column) in self.columns.iter_mut().enumerate() {
            if column.len() > row {
                continue;
            }
            if !column.is_nullable() {
                return Err((
                    Some(field),
                    (
                        FailureCode::NullValue,
                        "the field is missing and the column is NOT NULL",
                    ),
                ));
            }
            if self.options.fail_on_missing_field {
                return Err((
                    Some(field),
                    (FailureCode::NullValue, "the field is missing"),
                ));
            }
            column.push_null();
        }
        Ok(())
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        let mut failures = Vec::new();
        let mut rows = 0;
        for (index, record) in records.iter().enumerate() {
            match self.record(record, rows) {
                Ok(()) => rows += 1,
                Err((field, (code, message))) => {
                    self.columns
                        .iter_mut()
                        .for_each(|column| column.truncate(rows));
                    let message = match field {
                        Some(field) => format!("field \"{}\": {message}", self.fields[field].name),
                        None => message.to_owned(),
                    };
                    failures.push(Failure {
                        row: index,
                        code,
                        message,
                    });
                }
            }
        }
        let columns = self
            .columns
            .iter_mut()
            .map(Column::finish)
            .collect::<Result<_>>()?;
        Ok(Decoded { columns, failures })
    }
}
