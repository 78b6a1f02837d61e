//! Avro records without a frame to columns.
//!
//! Place in the flow: `task` hands it the values or keys of a batch. Invariant: every record was written with the schema that is derived
//! from the table's columns; a failed record leaves nothing in the columns.

use crate::error::{Error, Result};
use crate::format::avro::parse::parse_schema;
use crate::format::avro::plan::Plan;
use crate::format::avro::{Mapping, avro_schema_of, read};
use crate::format::column::{Column, Fault};
use crate::format::{Decoded, Decoder, Failure, FormatField};

/// Bytes of one batch of records; beyond, 32-bit offsets of strings could overflow.
///
/// # Source
/// Arrow's `Utf8` offsets hold `2^31 - 1`; a quarter is kept as a margin for what is longer than its bytes, symbols and defaults.
const BATCH_BYTES_MAX: usize = 1 << 29;

/// Decodes Avro records of the table's own schema into the asked fields.
#[derive(Debug)]
pub struct AvroDecoder {
    /// Along which records are read.
    plan: Plan,
    /// Values of the asked fields.
    rows: Rows,
}

impl AvroDecoder {
    /// A decoder of the asked fields of records that hold all fields of the part, `layout`.
    ///
    /// # Errors
    /// `Unsupported` for types that Avro has no form for; `Invalid` for names that it does not take.
    pub fn new(layout: &[FormatField], fields: &[FormatField], mapping: Mapping) -> Result<Self> {
        let text = avro_schema_of(layout, mapping)?;
        let schema = parse_schema(&text)
            .map_err(|error| Error::internal(format!("the derived Avro schema: {error}")))?;
        let plan = Plan::new(&schema, None, &asked(fields), None)
            .map_err(|error| Error::internal(format!("the derived Avro schema: {error}")))?;
        Ok(Self {
            plan,
            rows: Rows::new(fields)?,
        })
    }
}

impl Decoder for AvroDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        check_size(records)?;
        for (row, record) in records.iter().enumerate() {
            // As in Flink, what follows the record is of no interest: a table may leave out the last fields.
            self.rows.append(row, |columns| {
                read::append(&self.plan, columns, record).map(|_| ())
            });
        }
        self.rows.finish()
    }
}

/// Names and types of fields.
pub(super) fn asked(fields: &[FormatField]) -> Vec<(&str, &crate::types::FlinkType)> {
    fields
        .iter()
        .map(|field| (field.name.as_str(), &field.ty))
        .collect()
}

/// Refuses batches whose strings could be too long for a column.
///
/// # Errors
/// `Unsupported`.
pub(super) fn check_size(records: &[&[u8]]) -> Result<()> {
    let bytes: usize = records.iter().map(|record| record.len()).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::unsupported(format!(
            "a batch of {bytes} bytes of Avro, more than {BATCH_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// The rows of a batch under construction.
#[derive(Debug)]
pub(super) struct Rows {
    /// Values of the asked fields.
    columns: Vec<Column>,
    /// Records that decoded.
    count: usize,
    /// Records that did not.
    failures: Vec<Failure>,
}

impl Rows {
    /// No rows of the asked fields.
    pub(super) fn new(fields: &[FormatField]) -> Result<Self> {
        Ok(Self {
            columns: Column::of_fields(fields)?,
            count: 0,
            failures: Vec::new(),
        })
    }

    /// Adds what `append` appends, or nothing and the failure.
    pub(super) fn append(
        &mut self,
        row: usize,
        append: impl FnOnce(&mut [Column]) -> std::result::Result<(), Fault>,
    ) {
        match append(&mut self.columns) {
            Ok(()) => self.count += 1,
            Err(fault) => {
                for column in &mut self.columns {
                    column.truncate(self.count);
                }
                self.failures.push(Failure {
                    row,
                    code: fault.code,
                    message: fault.text(),
                });
            }
        }
    }

    /// Takes the batch out.
    pub(super) fn finish(&mut self) -> Result<Decoded> {
        self.count = 0;
        let failures = std::mem::take(&mut self.failures);
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

    /// Drops a batch that cannot be finished.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.failures.clear();
        for column in &mut self.columns {
            column.truncate(0);
        }
    }
}
