//! Random rows, as Flink's `datagen` makes them.
//!
//! Place in the flow: a source that gives columns, so it needs no format. Invariant: the same row number gives the same values, so a
//! restored statement goes on with the rows it would have had.
//!
//! # Source
//! Flink 2.x connector `datagen`: `rows-per-second` (10000), `number-of-rows`, `fields.<name>.kind` (random, sequence), `.min`,
//! `.max`, `.max-past`, `.length` (100), `.start`, `.end`, `.null-rate`.

mod column;

use crate::connector::generator::{Column, Generator, Pacing};
use crate::connector::source::{ReaderContext, Source, SourceReader};
use crate::error::Result;
use crate::plan::ReadColumn;
use crate::sql::catalog::TableDef;

/// Rows a second unless the table says otherwise (Flink's default).
const ROWS_PER_SECOND_DEFAULT: u64 = 10_000;

/// A table of random rows.
#[derive(Debug)]
pub struct DatagenSource {
    /// The table.
    table: TableDef,
    /// Columns that are read.
    read: Vec<ReadColumn>,
    /// How many rows, and how fast.
    pacing: Pacing,
}

impl DatagenSource {
    /// The source of a table's read columns.
    ///
    /// # Errors
    /// `Invalid` for options that are not allowed; `Unsupported` for types that cannot be generated.
    pub fn new(table: &TableDef, read: &[ReadColumn]) -> Result<Self> {
        let mut pacing = Pacing::parse(table, ROWS_PER_SECOND_DEFAULT)?;
        for column in read {
            if let Some(rows) = column::DatagenColumn::new(table, column)?.rows_max() {
                // A sequence that ends, ends the table.
                pacing.number_of_rows =
                    Some(pacing.number_of_rows.map_or(rows, |known| known.min(rows)));
            }
        }
        Ok(Self {
            table: table.clone(),
            read: read.to_vec(),
            pacing,
        })
    }
}

impl Source for DatagenSource {
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let column =
            |read| Ok(Box::new(column::DatagenColumn::new(&self.table, read)?) as Box<dyn Column>);
        let columns = self.read.iter().map(column).collect::<Result<_>>()?;
        Ok(Box::new(Generator::new(
            columns,
            self.pacing,
            &self.table.name.name,
            &context,
        )))
    }

    fn is_bounded(&self) -> bool {
        self.pacing.number_of_rows.is_some()
    }
}
