//! One generated column of `datagen`.
//!
//! Place in the flow: called by the shared generator with row numbers. Invariant: values depend on the table's name, the column's
//! name and the row number alone (and on the wall time for timestamps).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
    StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::DataType;
use xxhash_rust::xxh3::xxh3_64;

use crate::connector::generator::{Column, random, uniform, unit};
use crate::error::{Error, Result};
use crate::plan::ReadColumn;
use crate::sql::catalog::TableDef;
use crate::types::{FlinkType, TypeKind};

/// Nanoseconds of a millisecond.
const NANOS_OF_MILLI: i128 = 1_000_000;

/// Length of strings unless the table says otherwise (Flink's default).
const LENGTH_DEFAULT: usize = 100;

/// Longest string that may be asked for, bytes: one mebibyte, a bound against typing errors.
const LENGTH_MAX: usize = 1 << 20;

/// Hexadecimal digits, of which Flink makes its random strings.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// One generated column.
#[derive(Debug)]
pub(super) struct DatagenColumn {
    /// Type of the values.
    ty: FlinkType,
    /// How values are chosen.
    kind: Kind,
    /// Share of NULLs.
    null_rate: f64,
    /// Makes values of different columns differ.
    seed: u64,
}

/// How values are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// `start` plus the row number, up to `end`.
    Sequence {
        /// First value.
        start: i64,
        /// Last value.
        end: i64,
    },
    /// Uniform integers or scaled decimals between both, inclusive.
    Integer {
        /// Least value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Uniform floats.
    Float {
        /// Least value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// Random hexadecimal digits.
    Text {
        /// Characters.
        length: usize,
    },
    /// True or false.
    Boolean,
    /// Wall time, less at most this.
    Time {
        /// Milliseconds.
        past_ms_max: i64,
    },
}

/// Parses an option of a field.
fn option<T: std::str::FromStr>(table: &TableDef, field: &str, name: &str) -> Result<Option<T>> {
    let key = format!("fields.{field}.{name}");
    let parse = |text: &str| {
        text.parse::<T>().map_err(|_| {
            Error::option(format!(
                "option '{key}': \"{text}\" is not a value of the field's type"
            ))
        })
    };
    table.option(&key).map(parse).transpose()
}

impl DatagenColumn {
    /// The generator of a column.
    ///
    /// # Errors
    /// `Invalid` for options that are not allowed; `Unsupported` for types that cannot be generated.
    pub(super) fn new(table: &TableDef, read: &ReadColumn) -> Result<Self> {
        let name = read.name.as_str();
        let kind = match table
            .option(&format!("fields.{name}.kind"))
            .unwrap_or("random")
        {
            "random" => random_kind(table, read)?,
            "sequence" => {
                let missing = |end: &str| {
                    Error::option(format!(
                        "option 'fields.{name}.{end}' is needed by kind 'sequence'"
                    ))
                };
                Kind::Sequence {
                    start: option(table, name, "start")?.ok_or_else(|| missing("start"))?,
                    end: option(table, name, "end")?.ok_or_else(|| missing("end"))?,
                }
            }
            other => {
                return Err(Error::option(format!(
                    "option 'fields.{name}.kind': \"{other}\" is not one of random, sequence"
                )));
            }
        };
        let null_rate = option(table, name, "null-rate")?.unwrap_or(0.0);
        let seed = xxh3_64(format!("{}\0{name}", table.name.name).as_bytes());
        Ok(Self {
            ty: read.ty.clone(),
            kind,
            null_rate,
            seed,
        })
    }

    /// Rows after which the column ends; absent when it does not.
    pub(super) fn rows_max(&self) -> Option<u64> {
        match self.kind {
            Kind::Sequence { start, end } => {
                Some(u64::try_from(end.saturating_sub(start).saturating_add(1)).unwrap_or(0))
            }
            Kind::Integer { .. }
            | Kind::Float { .. }
            | Kind::Text { .. }
            | Kind::Boolean
            | Kind::Time { .. } => None,
        }
    }

    /// Integers of the rows.
    fn integers(&self, rows: &[u64], now_ms: i64) -> Vec<i64> {
        let value = |row: &u64| match self.kind {
            Kind::Sequence { start, .. } => start.wrapping_add(row.cast_signed()),
            Kind::Integer { min, max } => uniform(random(self.seed, *row), min, max),
            Kind::Time { past_ms_max } => now_ms - uniform(random(self.seed, *row), 0, past_ms_max),
            Kind::Float { .. } | Kind::Text { .. } | Kind::Boolean => 0,
        };
        rows.iter().map(value).collect()
    }

    /// Texts of the rows.
    fn texts(&self, rows: &[u64], length: usize) -> Vec<String> {
        let text = |row: &u64| {
            let digit =
                |i: usize| char::from(HEX[(random(self.seed ^ *row, i as u64) & 15) as usize]);
            (0..length).map(digit).collect()
        };
        rows.iter().map(text).collect()
    }
}

/// How random values of a column are chosen.
fn random_kind(table: &TableDef, read: &ReadColumn) -> Result<Kind> {
    let name = read.name.as_str();
    let integer = |min: i64, max: i64| -> Result<Kind> {
        let min = option(table, name, "min")?.unwrap_or(min);
        let max = option(table, name, "max")?.unwrap_or(max);
        if min > max {
            return Err(Error::option(format!(
                "option 'fields.{name}.min': {min} is above 'max' {max}"
            )));
        }
        Ok(Kind::Integer { min, max })
    };
    Ok(match &read.ty.kind {
        TypeKind::TinyInt => integer(i64::from(i8::MIN), i64::from(i8::MAX))?,
        TypeKind::SmallInt => integer(i64::from(i16::MIN), i64::from(i16::MAX))?,
        TypeKind::Int => integer(i64::from(i32::MIN), i64::from(i32::MAX))?,
        TypeKind::BigInt => integer(i64::MIN, i64::MAX)?,
        TypeKind::Decimal { precision, scale } => {
            let digits = u32::from(precision - scale).min(18 - u32::from(*scale).min(18));
            integer(0, 10i64.pow(digits) - 1)?
        }
        TypeKind::Float | TypeKind::Double => Kind::Float {
            min: option(table, name, "min")?.unwrap_or(0.0),
            max: option(table, name, "max")?.unwrap_or(1.0),
        },
        TypeKind::Char(n) | TypeKind::VarChar(n) | TypeKind::Binary(n) | TypeKind::VarBinary(n) => {
            let length = option(table, name, "length")?.unwrap_or(LENGTH_DEFAULT.min(*n as usize));
            if length > LENGTH_MAX || length > *n as usize {
                return Err(Error::option(format!(
                    "option 'fields.{name}.length': {length} is more than the type holds"
                )));
            }
            Kind::Text { length }
        }
        TypeKind::Boolean => Kind::Boolean,
        TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => {
            let past = table
                .option(&format!("fields.{name}.max-past"))
                .unwrap_or("0");
            Kind::Time {
                past_ms_max: parse_duration_ms(name, past)?,
            }
        }
        other => {
            return Err(Error::unsupported(format!(
                "column {name}: datagen of {other}"
            )));
        }
    })
}

/// Milliseconds of `10 s`, `5min` or a bare number of milliseconds.
fn parse_duration_ms(name: &str, text: &str) -> Result<i64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "" | "ms" | "milli" | "millisecond" | "milliseconds" => Some(1),
        "s" | "sec" | "second" | "seconds" => Some(1000),
        "m" | "min" | "minute" | "minutes" => Some(60_000),
        "h" | "hour" | "hours" => Some(3_600_000),
        "d" | "day" | "days" => Some(86_400_000),
        _ => None,
    };
    let duration = number
        .parse::<i64>()
        .ok()
        .zip(unit_ms)
        .and_then(|(number, unit)| number.checked_mul(unit));
    duration.ok_or_else(|| {
        Error::option(format!(
            "option 'fields.{name}.max-past': \"{text}\" is not a duration like 10 s"
        ))
    })
}

/// Unscaled decimals at a scale, from whole numbers.
fn scaled(values: Vec<i64>, scale: u8, seed: u64, rows: &[u64]) -> Vec<i128> {
    let unit = 10i128.pow(u32::from(scale));
    let fraction = |row: &u64| i128::from(random(seed ^ 1, *row)) % unit;
    values
        .into_iter()
        .zip(rows)
        .map(|(value, row)| i128::from(value) * unit + fraction(row))
        .collect()
}

impl Column for DatagenColumn {
    fn generate(&mut self, rows: &[u64], now_ms: i64) -> Result<ArrayRef> {
        let target = self.ty.to_arrow()?;
        let array: ArrayRef = match (self.kind, &target) {
            (Kind::Boolean, _) => {
                let value = |row: &u64| Some(random(self.seed, *row) & 1 == 1);
                Arc::new(rows.iter().map(value).collect::<BooleanArray>())
            }
            (Kind::Float { min, max }, DataType::Float32) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a FLOAT column takes the nearest float"
                )]
                let value = |row: &u64| (min + unit(random(self.seed, *row)) * (max - min)) as f32;
                Arc::new(Float32Array::from_iter_values(rows.iter().map(value)))
            }
            (Kind::Float { min, max }, _) => {
                let value = |row: &u64| min + unit(random(self.seed, *row)) * (max - min);
                Arc::new(Float64Array::from_iter_values(rows.iter().map(value)))
            }
            (Kind::Text { length }, DataType::Binary) => {
                let texts = self.texts(rows, length);
                Arc::new(BinaryArray::from_iter_values(
                    texts.iter().map(String::as_bytes),
                ))
            }
            (Kind::Text { length }, _) => {
                Arc::new(StringArray::from_iter_values(self.texts(rows, length)))
            }
            (Kind::Time { .. }, DataType::Decimal128(..)) => {
                let millis = self.integers(rows, now_ms).into_iter();
                let nanos = millis.map(|millis| i128::from(millis) * NANOS_OF_MILLI);
                Arc::new(Decimal128Array::from_iter_values(nanos).with_data_type(target))
            }
            (Kind::Time { .. }, _) => {
                let millis = TimestampMillisecondArray::from(self.integers(rows, now_ms));
                arrow::compute::cast(&millis, &target)?
            }
            (_, DataType::Utf8) => Arc::new(StringArray::from_iter_values(
                self.integers(rows, now_ms).iter().map(i64::to_string),
            )),
            (_, DataType::Decimal128(precision, scale)) => {
                let scale = scale.cast_unsigned();
                let values = scaled(self.integers(rows, now_ms), scale, self.seed, rows);
                Arc::new(
                    Decimal128Array::from(values)
                        .with_precision_and_scale(*precision, scale.cast_signed())?,
                )
            }
            (_, _) => {
                arrow::compute::cast(&Int64Array::from(self.integers(rows, now_ms)), &target)?
            }
        };
        if self.null_rate <= 0.0 {
            return Ok(array);
        }
        let is_null = |row: &u64| Some(unit(random(self.seed ^ 2, *row)) < self.null_rate);
        let nulls: BooleanArray = rows.iter().map(is_null).collect();
        Ok(arrow::compute::nullif(&array, &nulls)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_flinks_units() {
        assert_eq!(parse_duration_ms("f", "10 s").unwrap(), 10_000);
        assert_eq!(parse_duration_ms("f", "5min").unwrap(), 300_000);
        assert_eq!(parse_duration_ms("f", "250").unwrap(), 250);
        assert!(parse_duration_ms("f", "soon").is_err());
    }
}
