//! Flink's logical types and their Arrow storage.
//!
//! Place in the flow: the binder types every expression with [`FlinkType`]; formats, kernels and state read the Arrow
//! type it maps to. Invariant: one logical type has exactly one Arrow type, and nullability is part of the logical type.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The length of `STRING` and `BYTES`.
///
/// # Source
/// Flink: `STRING` is `VARCHAR(2147483647)`.
pub const MAX_LENGTH: u32 = 2_147_483_647;

/// How timestamps with more than six fractional digits are stored.
pub(crate) const NANOSECONDS: DataType = DataType::Decimal128(38, 0);

/// A logical type with its nullability.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FlinkType {
    /// The type without nullability.
    pub kind: TypeKind,
    /// Whether values may be NULL.
    pub nullable: bool,
}

/// A logical type without nullability.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TypeKind {
    /// The type of a bare `NULL`.
    Null,
    /// `BOOLEAN`.
    Boolean,
    /// `TINYINT`, 8 bits.
    TinyInt,
    /// `SMALLINT`, 16 bits.
    SmallInt,
    /// `INT`, 32 bits.
    Int,
    /// `BIGINT`, 64 bits.
    BigInt,
    /// `FLOAT`, 32 bits.
    Float,
    /// `DOUBLE`, 64 bits.
    Double,
    /// `DECIMAL(precision, scale)`, precision 1 to 38.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `CHAR(n)`, characters.
    Char(u32),
    /// `VARCHAR(n)`; `STRING` with [`MAX_LENGTH`].
    VarChar(u32),
    /// `BINARY(n)`, bytes.
    Binary(u32),
    /// `VARBINARY(n)`; `BYTES` with [`MAX_LENGTH`].
    VarBinary(u32),
    /// `DATE`, days since 1970-01-01.
    Date,
    /// `TIME(p)`; milliseconds of the day are kept.
    Time(u8),
    /// `TIMESTAMP(p)` without time zone.
    Timestamp(u8),
    /// `TIMESTAMP_LTZ(p)`, an instant.
    TimestampLtz(u8),
    /// `INTERVAL YEAR TO MONTH`, months.
    IntervalYearMonth,
    /// `INTERVAL DAY TO SECOND(3)`, milliseconds.
    IntervalDayTime,
    /// `ARRAY<t>`.
    Array(Box<FlinkType>),
    /// `MAP<k, v>`.
    Map(Box<FlinkType>, Box<FlinkType>),
    /// `MULTISET<t>`.
    Multiset(Box<FlinkType>),
    /// `ROW<name type, ...>`.
    Row(Vec<RowField>),
    /// `BITMAP`, a set of 32-bit integers.
    Bitmap,
    /// `VARIANT`: a document, kept as its JSON text with ascending keys. Text costs a parse per access and makes equal
    /// documents equal bytes; a binary form pays only once many accesses hit one value.
    Variant,
}

/// A field of a `ROW`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RowField {
    /// Name, case kept.
    pub name: String,
    /// Type.
    pub ty: FlinkType,
}

impl TypeKind {
    /// This type, NULL allowed.
    pub fn nullable(self) -> FlinkType {
        FlinkType {
            kind: self,
            nullable: true,
        }
    }

    /// This type, NULL not allowed.
    pub fn not_null(self) -> FlinkType {
        FlinkType {
            kind: self,
            nullable: false,
        }
    }

    /// This type, NULL allowed or not.
    pub fn with_nullable(&self, nullable: bool) -> FlinkType {
        FlinkType {
            kind: self.clone(),
            nullable,
        }
    }

    /// `STRING`.
    pub fn string() -> Self {
        Self::VarChar(MAX_LENGTH)
    }

    /// `BYTES`.
    pub fn bytes() -> Self {
        Self::VarBinary(MAX_LENGTH)
    }

    /// Whether values are character strings.
    pub fn is_character(&self) -> bool {
        matches!(self, Self::Char(_) | Self::VarChar(_))
    }

    /// Whether values are byte strings.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_) | Self::VarBinary(_))
    }

    /// Whether values are integers.
    pub fn is_integer(&self) -> bool {
        matches!(
            self,
            Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt
        )
    }

    /// Whether values are numbers.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float | Self::Double | Self::Decimal { .. })
    }

    /// Whether the type can be an event-time attribute: `TIMESTAMP(p)` or `TIMESTAMP_LTZ(p)` with p at most 3.
    pub fn is_time_attribute(&self) -> bool {
        matches!(self, Self::Timestamp(p) | Self::TimestampLtz(p) if *p <= 3)
    }
}

impl FlinkType {
    /// The same type with another nullability.
    #[must_use]
    pub fn with_nullable(&self, nullable: bool) -> Self {
        Self {
            kind: self.kind.clone(),
            nullable,
        }
    }

    /// The type without abbreviations, as SHOW CREATE TABLE prints it.
    ///
    /// # Source
    /// Flink: `LogicalType.asSerializableString`.
    pub(crate) fn long_text(&self) -> String {
        let kind = match &self.kind {
            TypeKind::VarChar(n) => format!("VARCHAR({n})"),
            TypeKind::VarBinary(n) => format!("VARBINARY({n})"),
            TypeKind::TimestampLtz(p) => format!("TIMESTAMP({p}) WITH LOCAL TIME ZONE"),
            TypeKind::Array(element) => format!("ARRAY<{}>", element.long_text()),
            TypeKind::Multiset(element) => format!("MULTISET<{}>", element.long_text()),
            TypeKind::Map(key, value) => {
                format!("MAP<{}, {}>", key.long_text(), value.long_text())
            }
            TypeKind::Row(fields) => {
                let field = |field: &RowField| {
                    let name = field.name.replace('`', "``");
                    format!("`{name}` {}", field.ty.long_text())
                };
                let fields: Vec<String> = fields.iter().map(field).collect();
                format!("ROW<{}>", fields.join(", "))
            }
            kind => kind.to_string(),
        };
        if self.nullable || self.kind == TypeKind::Null {
            kind
        } else {
            format!("{kind} NOT NULL")
        }
    }

    /// The Arrow type of values.
    ///
    /// # Units
    /// TIMESTAMP(p) and `TIMESTAMP_LTZ(p)` are milliseconds for p <= 3, microseconds for p <= 6, without an Arrow time zone, and
    /// above nanoseconds as `Decimal128(38, 0)`, since 64 bits of them end in the year 2262; TIME is milliseconds;
    /// BITMAP is bytes in the portable format of Roaring bitmaps; intervals are months (`Int32`) and milliseconds (`Int64`).
    ///
    /// # Errors
    /// None today; a type without storage would be `Unsupported`.
    pub fn to_arrow(&self) -> Result<DataType> {
        Ok(match &self.kind {
            TypeKind::Null => DataType::Null,
            TypeKind::Boolean => DataType::Boolean,
            TypeKind::TinyInt => DataType::Int8,
            TypeKind::SmallInt => DataType::Int16,
            TypeKind::Int | TypeKind::IntervalYearMonth => DataType::Int32,
            TypeKind::BigInt | TypeKind::IntervalDayTime => DataType::Int64,
            TypeKind::Float => DataType::Float32,
            TypeKind::Double => DataType::Float64,
            TypeKind::Decimal { precision, scale } => {
                DataType::Decimal128(*precision, scale.cast_signed())
            }
            TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::Variant => DataType::Utf8,
            TypeKind::Binary(_) | TypeKind::VarBinary(_) | TypeKind::Bitmap => DataType::Binary,
            TypeKind::Date => DataType::Date32,
            TypeKind::Time(_) => DataType::Time32(TimeUnit::Millisecond),
            TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => match p {
                0..=3 => DataType::Timestamp(TimeUnit::Millisecond, None),
                4..=6 => DataType::Timestamp(TimeUnit::Microsecond, None),
                _ => NANOSECONDS,
            },
            TypeKind::Array(element) => {
                DataType::List(Arc::new(Field::new("element", element.to_arrow()?, true)))
            }
            TypeKind::Map(key, value) => map_type(key.to_arrow()?, value.to_arrow()?),
            TypeKind::Multiset(element) => map_type(element.to_arrow()?, DataType::Int32),
            TypeKind::Row(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|field| Ok(Field::new(&field.name, field.ty.to_arrow()?, true)))
                    .collect::<Result<Fields>>()?,
            ),
        })
    }
}

/// The Arrow map with the entry names used everywhere.
fn map_type(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", key, false),
        Field::new("value", value, true),
    ]);
    DataType::Map(
        Arc::new(Field::new("entries", DataType::Struct(entries), false)),
        false,
    )
}

impl fmt::Display for TypeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => write!(f, "NULL"),
            Self::Boolean => write!(f, "BOOLEAN"),
            Self::TinyInt => write!(f, "TINYINT"),
            Self::SmallInt => write!(f, "SMALLINT"),
            Self::Int => write!(f, "INT"),
            Self::BigInt => write!(f, "BIGINT"),
            Self::Float => write!(f, "FLOAT"),
            Self::Double => write!(f, "DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            Self::Char(n) => write!(f, "CHAR({n})"),
            Self::VarChar(MAX_LENGTH) => write!(f, "STRING"),
            Self::VarChar(n) => write!(f, "VARCHAR({n})"),
            Self::Binary(n) => write!(f, "BINARY({n})"),
            Self::VarBinary(MAX_LENGTH) => write!(f, "BYTES"),
            Self::VarBinary(n) => write!(f, "VARBINARY({n})"),
            Self::Date => write!(f, "DATE"),
            Self::Time(p) => write!(f, "TIME({p})"),
            Self::Timestamp(p) => write!(f, "TIMESTAMP({p})"),
            Self::TimestampLtz(p) => write!(f, "TIMESTAMP_LTZ({p})"),
            Self::IntervalYearMonth => write!(f, "INTERVAL YEAR(2) TO MONTH"),
            Self::IntervalDayTime => write!(f, "INTERVAL DAY(2) TO SECOND(3)"),
            Self::Bitmap => write!(f, "BITMAP"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Multiset(element) => write!(f, "MULTISET<{element}>"),
            Self::Variant => write!(f, "VARIANT"),
            Self::Row(fields) => {
                write!(f, "ROW<")?;
                for (i, field) in fields.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(f, "{separator}`{}` {}", field.name, field.ty)?;
                }
                write!(f, ">")
            }
        }
    }
}

impl fmt::Display for FlinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.nullable || self.kind == TypeKind::Null {
            ""
        } else {
            " NOT NULL"
        };
        write!(f, "{}{suffix}", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_flink_prints_them() {
        let row = TypeKind::Row(vec![
            RowField {
                name: "a".into(),
                ty: TypeKind::Int.not_null(),
            },
            RowField {
                name: "b".into(),
                ty: TypeKind::string().nullable(),
            },
        ]);
        assert_eq!(
            row.nullable().to_string(),
            "ROW<`a` INT NOT NULL, `b` STRING>"
        );
        assert_eq!(
            TypeKind::Decimal {
                precision: 10,
                scale: 2
            }
            .not_null()
            .to_string(),
            "DECIMAL(10, 2) NOT NULL"
        );
        assert_eq!(
            TypeKind::TimestampLtz(3).nullable().to_string(),
            "TIMESTAMP_LTZ(3)"
        );
    }
}
