//! Rows from expressions, as Confluent's `faker` tables make them.
//!
//! Place in the flow: a source that gives columns, so it needs no format. Invariant: values depend on the table's name, the column's
//! name and the row number alone (and on the wall time for dates), so a restored statement goes on with the rows it would have had.
//!
//! # Source
//! Connector `flink-faker`: `rows-per-second` (10000), `number-of-rows`, `fields.<name>.expression`, `fields.<name>.null-rate`.
//! Expressions are those of Java's Datafaker 2; which word lists stand behind a directive is ours.

mod column;
mod directive;
mod examples;
mod expression;
mod pattern;
mod random;
mod words;

pub use examples::example_tables;

use column::FakerColumn;

use crate::connector::generator::{Column, Generator, Pacing};
use crate::connector::source::{ReaderContext, Source, SourceReader};
use crate::error::Result;
use crate::plan::ReadColumn;
use crate::sql::catalog::TableDef;

/// Rows a second unless the table says otherwise (flink-faker's default).
const ROWS_PER_SECOND_DEFAULT: u64 = 10_000;

/// A table of rows from expressions.
#[derive(Debug)]
pub struct FakerSource {
    /// The table's name, which names the split.
    table: String,
    /// Columns that are read.
    columns: Vec<FakerColumn>,
    /// How many rows, and how fast.
    pacing: Pacing,
}

impl FakerSource {
    /// The source of a table's read columns.
    ///
    /// # Errors
    /// `Invalid` for a column without an expression, for an expression that is not one or does not give values of the column's
    /// type, and for other options that are not allowed; `Unsupported` for types that have no expressions.
    pub fn new(table: &TableDef, read: &[ReadColumn]) -> Result<Self> {
        let columns = read.iter().map(|column| FakerColumn::new(table, column));
        Ok(Self {
            table: table.name.name.clone(),
            columns: columns.collect::<Result<_>>()?,
            pacing: Pacing::parse(table, ROWS_PER_SECOND_DEFAULT)?,
        })
    }
}

impl Source for FakerSource {
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let column = |column: &FakerColumn| Box::new(column.clone()) as Box<dyn Column>;
        Ok(Box::new(Generator::new(
            self.columns.iter().map(column).collect(),
            self.pacing,
            &self.table,
            &context,
        )))
    }

    fn is_bounded(&self) -> bool {
        self.pacing.number_of_rows.is_some()
    }
}

#[cfg(test)]
mod tests;
