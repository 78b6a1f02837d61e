//! Which column types take which Avro types.
//!
//! Place in the flow: `plan` asks it for values without inner values, and for their names. Invariant: a logical type is taken as what it
//! means, and as the type under it.
//!
//! # Source
//! Apache Avro 1.12 specification, "Schema Resolution" and "Logical Types"; Confluent Cloud for Apache Flink, "Data type mappings":
//! Avro.

use apache_avro::Schema;
use apache_avro::schema::{FixedSchema, InnerDecimalSchema, UuidSchema};

use crate::format::avro::plan::{Number, Read, Unit};
use crate::types::TypeKind;

/// The name of a type without its namespace; of a logical type, that of the type under it.
pub(super) fn short_name(schema: &Schema) -> &str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "int",
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => "bytes",
        Schema::String | Schema::Uuid(UuidSchema::String) => "string",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(record) => record.name.name(),
        Schema::Enum(symbols) => symbols.name.name(),
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            fixed.name.name()
        }
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => "bytes",
            InnerDecimalSchema::Fixed(fixed) => fixed.name.name(),
        },
        Schema::Ref { name } => name.name(),
    }
}

/// What a schema is, for messages.
pub(super) fn describe(schema: &Schema) -> String {
    let logical = match schema {
        Schema::Record(_) => return format!("record {}", short_name(schema)),
        Schema::Enum(_) => return format!("enum {}", short_name(schema)),
        Schema::Fixed(FixedSchema { size, .. }) => return format!("fixed of {size} bytes"),
        Schema::Decimal(_) => "decimal",
        Schema::BigDecimal => "big-decimal",
        Schema::Uuid(_) => "uuid",
        Schema::Date => "date",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::TimestampMillis => "timestamp-millis",
        Schema::TimestampMicros => "timestamp-micros",
        Schema::TimestampNanos => "timestamp-nanos",
        Schema::LocalTimestampMillis => "local-timestamp-millis",
        Schema::LocalTimestampMicros => "local-timestamp-micros",
        Schema::LocalTimestampNanos => "local-timestamp-nanos",
        Schema::Duration(_) => "duration",
        _ => return short_name(schema).to_owned(),
    };
    logical.to_owned()
}

/// How a value without inner values is appended; `None` when the column does not take it.
pub(super) fn scalar(writer: &Schema, kind: &TypeKind) -> Option<Read> {
    match kind {
        TypeKind::Boolean => matches!(writer, Schema::Boolean).then_some(Read::Boolean),
        TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int => {
            (short_name(writer) == "int").then_some(Read::Integer)
        }
        TypeKind::BigInt => matches!(short_name(writer), "int" | "long").then_some(Read::Integer),
        TypeKind::Float | TypeKind::Double => match writer {
            Schema::Int | Schema::Long => Some(Read::Number(Number::Integer)),
            Schema::Float => Some(Read::Number(Number::Float)),
            Schema::Double if *kind == TypeKind::Double => Some(Read::Number(Number::Double)),
            _ => None,
        },
        TypeKind::Decimal { scale, .. } => match writer {
            Schema::Bytes => Some(Read::Decimal {
                size: None,
                scale: usize::from(*scale),
            }),
            Schema::Decimal(decimal) => Some(Read::Decimal {
                size: match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                },
                scale: decimal.scale,
            }),
            _ => None,
        },
        TypeKind::Char(_) | TypeKind::VarChar(_) => match writer {
            Schema::String | Schema::Bytes | Schema::Uuid(UuidSchema::String) => Some(Read::Text),
            Schema::Uuid(UuidSchema::Fixed(fixed)) if fixed.size == 16 => Some(Read::Uuid),
            Schema::Enum(symbols) => {
                let symbols = symbols.symbols.iter();
                Some(Read::Enum(
                    symbols.map(|symbol| symbol.as_str().into()).collect(),
                ))
            }
            _ => None,
        },
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => binary(writer),
        TypeKind::Date => matches!(writer, Schema::Int | Schema::Date).then_some(Read::Integer),
        TypeKind::Time(_) => match writer {
            Schema::Int | Schema::TimeMillis => Some(Read::Time(Unit::Millis)),
            Schema::TimeMicros => Some(Read::Time(Unit::Micros)),
            _ => None,
        },
        TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => {
            timestamp_unit(writer, *p).map(Read::Timestamp)
        }
        TypeKind::Null
        | TypeKind::Bitmap
        | TypeKind::Variant
        | TypeKind::IntervalYearMonth
        | TypeKind::IntervalDayTime
        | TypeKind::Array(_)
        | TypeKind::Map(..)
        | TypeKind::Multiset(_)
        | TypeKind::Row(_) => None,
    }
}

/// How bytes are appended.
fn binary(writer: &Schema) -> Option<Read> {
    match writer {
        Schema::Bytes | Schema::String | Schema::Uuid(UuidSchema::Bytes | UuidSchema::String) => {
            Some(Read::Binary)
        }
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            Some(Read::Fixed(fixed.size))
        }
        Schema::Decimal(decimal) => Some(match &decimal.inner {
            InnerDecimalSchema::Bytes => Read::Binary,
            InnerDecimalSchema::Fixed(fixed) => Read::Fixed(fixed.size),
        }),
        _ => None,
    }
}

/// The unit of a timestamp: that of the schema, or for a plain `long` the one that the column would be written in.
fn timestamp_unit(writer: &Schema, precision: u8) -> Option<Unit> {
    match writer {
        Schema::TimestampMillis | Schema::LocalTimestampMillis => Some(Unit::Millis),
        Schema::TimestampMicros | Schema::LocalTimestampMicros => Some(Unit::Micros),
        Schema::TimestampNanos | Schema::LocalTimestampNanos => Some(Unit::Nanos),
        Schema::Long => Some(match precision {
            0..=3 => Unit::Millis,
            4..=6 => Unit::Micros,
            _ => Unit::Nanos,
        }),
        _ => None,
    }
}
