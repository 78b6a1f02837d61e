//! One generated column of `faker`.
//!
//! Place in the flow: called by the shared generator with row numbers. Invariant: an expression whose values do not fit the column is
//! refused when the source is made, as far as a sample shows it, and later fails the statement: it never becomes NULL.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, StringBuilder, TimestampMillisecondArray,
};
use arrow::compute::{CastOptions, cast, cast_with_options, nullif};
use arrow::datatypes::DataType;
use xxhash_rust::xxh3::xxh3_64;

use super::expression::Expression;
use super::random::RowRandom;
use crate::connector::generator::{Column, random, unit};
use crate::error::{Error, Result};
use crate::plan::ReadColumn;
use crate::sql::catalog::TableDef;
use crate::types::{FlinkType, TypeKind};

/// Rows tried when a column is made: enough to meet most values of short option lists (guess, unmeasured).
const SAMPLE_ROWS: u64 = 64;

/// Seed of the choice of NULLs, so that it does not hang together with the values.
const NULL_SEED: u64 = 2;

/// One generated column.
#[derive(Debug, Clone)]
pub(super) struct FakerColumn {
    /// Name, for errors.
    name: String,
    /// Type of the values.
    ty: FlinkType,
    /// What values are.
    values: Values,
    /// Share of NULLs.
    null_rate: f64,
    /// Makes values of different columns differ.
    seed: u64,
}

/// What values are.
#[derive(Debug, Clone)]
enum Values {
    /// Those of an expression.
    Expression(Expression),
    /// The wall time: the rows' timestamp.
    WallTime,
}

impl FakerColumn {
    /// The generator of a column.
    ///
    /// # Errors
    /// `Invalid` for options that are not allowed or do not fit the type; `Unsupported` for types without expressions.
    pub(super) fn new(table: &TableDef, read: &ReadColumn) -> Result<Self> {
        let name = read.name.as_str();
        let mut column = Self {
            name: name.to_owned(),
            ty: read.ty.clone(),
            values: Values::WallTime,
            null_rate: 0.0,
            seed: xxh3_64(format!("{}\0{name}", table.name.name).as_bytes()),
        };
        match read.metadata.as_deref() {
            Some("timestamp") => return Ok(column),
            Some(key) => {
                return Err(Error::unsupported(format!(
                    "column {name}: faker tables have no metadata '{key}', only 'timestamp'"
                )));
            }
            None => {}
        }
        check_type(name, &read.ty)?;
        let key = format!("fields.{name}.expression");
        let text = table.option(&key).ok_or_else(|| {
            Error::option(format!(
                "option '{key}' is missing: every column of a faker table needs an expression"
            ))
        })?;
        let expression =
            Expression::parse(text).map_err(|error| error.context(&format!("option '{key}'")))?;
        column.values = Values::Expression(expression);
        column.null_rate = null_rate(table, read)?;
        column.generate(&(0..SAMPLE_ROWS).collect::<Vec<_>>(), 0)?;
        Ok(column)
    }

    /// Values as text.
    fn texts(
        &self,
        expression: &Expression,
        rows: &[u64],
        now_ms: i64,
    ) -> arrow::array::StringArray {
        let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * 16);
        let mut text = String::new();
        for row in rows {
            text.clear();
            let mut random = RowRandom::new(self.seed, *row);
            expression.evaluate(&mut random, now_ms, &mut text);
            fit(&self.ty.kind, &mut text);
            builder.append_value(&text);
        }
        builder.finish()
    }
}

/// Refuses types without expressions.
fn check_type(name: &str, ty: &FlinkType) -> Result<()> {
    match ty.kind {
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
        | TypeKind::VarBinary(_)
        | TypeKind::Date
        | TypeKind::Time(_)
        | TypeKind::Timestamp(_)
        | TypeKind::TimestampLtz(_) => Ok(()),
        TypeKind::Null
        | TypeKind::Binary(_)
        | TypeKind::IntervalYearMonth
        | TypeKind::IntervalDayTime
        | TypeKind::Array(_)
        | TypeKind::Map(..)
        | TypeKind::Multiset(_)
        | TypeKind::Row(_)
        | TypeKind::Bitmap
        | TypeKind::Variant => Err(Error::unsupported(format!("column {name}: faker of {ty}"))),
    }
}

/// Reads `fields.<name>.null-rate`.
fn null_rate(table: &TableDef, read: &ReadColumn) -> Result<f64> {
    let key = format!("fields.{}.null-rate", read.name);
    let Some(text) = table.option(&key) else {
        return Ok(0.0);
    };
    let rate = text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
    let rate = rate.ok_or_else(|| {
        Error::option(format!(
            "option '{key}': \"{text}\" is not a share from 0 to 1"
        ))
    })?;
    if rate > 0.0 && !read.ty.nullable {
        return Err(Error::option(format!(
            "option '{key}': column {} is NOT NULL",
            read.name
        )));
    }
    Ok(rate)
}

/// Brings text into the form that the type's cast takes, as Flink casts strings.
fn fit(kind: &TypeKind, text: &mut String) {
    match kind {
        TypeKind::VarChar(n) | TypeKind::Char(n) => {
            let n = *n as usize;
            // Fewer bytes than characters allowed means nothing to cut, without counting.
            if text.len() > n
                && let Some((end, _)) = text.char_indices().nth(n)
            {
                text.truncate(end);
            }
            if let TypeKind::Char(_) = kind {
                let missing = n.saturating_sub(text.chars().count());
                text.extend(std::iter::repeat_n(' ', missing));
            }
        }
        // A moment's date, so that Date.past fills a DATE.
        TypeKind::Date => {
            if let Some(end) = text.find([' ', 'T']) {
                text.truncate(end);
            }
        }
        // And its time of day.
        TypeKind::Time(_) => {
            if let Some(start) = text.find([' ', 'T']) {
                text.drain(..=start);
            }
        }
        _ => {}
    }
}

impl Column for FakerColumn {
    fn generate(&mut self, rows: &[u64], now_ms: i64) -> Result<ArrayRef> {
        let target = self.ty.to_arrow()?;
        let expression = match &self.values {
            Values::Expression(expression) => expression,
            Values::WallTime => {
                let times = TimestampMillisecondArray::from_value(now_ms, rows.len());
                return Ok(cast(&times, &target)?);
            }
        };
        let texts = self.texts(expression, rows, now_ms);
        let array: ArrayRef = match (&target, &self.ty.kind) {
            (DataType::Utf8, _) => Arc::new(texts),
            (DataType::Binary, TypeKind::VarBinary(n)) => {
                let bytes = |row: usize| {
                    let bytes = texts.value(row).as_bytes();
                    &bytes[..bytes.len().min(*n as usize)]
                };
                Arc::new(BinaryArray::from_iter_values((0..texts.len()).map(bytes)))
            }
            _ => {
                let options = CastOptions {
                    safe: false,
                    ..CastOptions::default()
                };
                cast_with_options(&texts, &target, &options).map_err(|error| {
                    Error::option(format!(
                        "option 'fields.{}.expression' gives values that are not {}: {error}",
                        self.name, self.ty.kind
                    ))
                })?
            }
        };
        if self.null_rate <= 0.0 {
            return Ok(array);
        }
        let is_null = |row: &u64| Some(unit(random(self.seed ^ NULL_SEED, *row)) < self.null_rate);
        let nulls: BooleanArray = rows.iter().map(is_null).collect();
        Ok(nullif(&array, &nulls)?)
    }
}
