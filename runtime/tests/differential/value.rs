//! Values and rows of the interpreter.
//!
//! Place in the flow: tables are made of them, the interpreter computes with them, results are read into them. Invariant: nothing of the
//! runtime is used to compute or compare.

use std::fmt;
use std::sync::Arc;

/// A value. A point in time is the number of its milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Value {
    /// NULL, before all others.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number or a point in time.
    Int(i64),
    /// A text.
    Text(Arc<str>),
}

/// A row.
pub(crate) type Row = Vec<Value>;

/// The types that the generator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Type {
    /// `BOOLEAN`.
    Bool,
    /// `INT` or `BIGINT`: what is computed fits into both.
    Int,
    /// `STRING`.
    Text,
    /// `TIMESTAMP(3)`.
    Time,
}

impl Value {
    /// A text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Whether it is NULL.
    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// A truth value of three.
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Null | Self::Int(_) | Self::Text(_) => None,
        }
    }

    /// A number; 0 for everything else.
    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            Self::Null | Self::Bool(_) | Self::Text(_) => 0,
        }
    }
}

impl From<Option<bool>> for Value {
    fn from(truth: Option<bool>) -> Self {
        truth.map_or(Self::Null, Self::Bool)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "'{value}'"),
        }
    }
}

/// A row for people.
pub(crate) fn show(row: &Row) -> String {
    let values: Vec<String> = row.iter().map(Value::to_string).collect();
    format!("({})", values.join(", "))
}

/// A point in time as an SQL literal shows it.
pub(crate) fn timestamp(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // The civil calendar from days, as Howard Hinnant describes it.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (in_day / 1000, in_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}")
}
