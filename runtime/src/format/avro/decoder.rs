//! Avro records without a frame to columns.
//!
//! Place in the flow: `task` hands it the values or keys of a batch. Invariant: every record was written with the schema that is derived
//! from the table's columns; a failed record leaves nothing in the columns.

use crate::error::{Error, Result};
use crate::format::avro::parse::parse_with;
use crate::format::avro::plan::Plan;
use crate::format::avro::{Mapping, avro_schema_of, read};
use crate::format::rows::{Rows, asked, check_size};
use crate::format::{Decoded, Decoder, FormatField};

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
        let schema = parse_with(&text, &[])
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
