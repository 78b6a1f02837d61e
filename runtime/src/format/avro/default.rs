//! Defaults of fields as bytes.
//!
//! Place in the flow: `plan` turns the default of a field that a record lacks into the bytes that the record would have had.
//! Invariant: what it writes reads back by the same schema; a default that does not fit its schema is none.
//!
//! # Source
//! Apache Avro 1.12 specification, "Schema Record": field default values.

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, NamesRef, UuidSchema};
use serde_json::Value;

use crate::format::avro::encoder::{write_bytes, write_long};

/// Values that a default may hold, its inner ones included: guess, unmeasured.
const VALUES_MAX: usize = 10_000;

/// Depth of a default; a record may hold itself.
///
/// # Source
/// `serde_json` stops at 128, and one level of a default is at least one of its schema.
const DEPTH_MAX: usize = 128;

/// The bytes of a default; `None` when it does not fit its schema.
pub(super) fn encode(schema: &Schema, names: &NamesRef<'_>, default: &Value) -> Option<Vec<u8>> {
    let mut encoder = Encoder {
        names,
        out: Vec::new(),
        values_left: VALUES_MAX,
        depth_left: DEPTH_MAX,
    };
    encoder.value(schema, default)?;
    Some(encoder.out)
}

/// Encodes a default.
struct Encoder<'a> {
    /// Types by name.
    names: &'a NamesRef<'a>,
    /// The bytes.
    out: Vec<u8>,
    /// Values that may still come.
    values_left: usize,
    /// Levels that may still come.
    depth_left: usize,
}

impl Encoder<'_> {
    /// Appends a value; `None` when it does not fit.
    fn value(&mut self, schema: &Schema, default: &Value) -> Option<()> {
        self.values_left = self.values_left.checked_sub(1)?;
        let out = &mut self.out;
        match schema {
            Schema::Null => default.is_null().then_some(())?,
            Schema::Boolean => out.push(u8::from(default.as_bool()?)),
            Schema::Int | Schema::Date | Schema::TimeMillis => {
                write_long(out, i32::try_from(default.as_i64()?).ok()?.into());
            }
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => write_long(out, default.as_i64()?),
            Schema::Float => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a default of type float has the precision of one"
                )]
                let value = default.as_f64()? as f32;
                out.extend_from_slice(&value.to_le_bytes());
            }
            Schema::Double => out.extend_from_slice(&default.as_f64()?.to_le_bytes()),
            Schema::String | Schema::Uuid(UuidSchema::String) => {
                write_bytes(out, default.as_str()?.as_bytes());
            }
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => {
                write_bytes(out, &latin(default)?);
            }
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => write_fixed(out, fixed.size, default)?,
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => write_bytes(out, &latin(default)?),
                InnerDecimalSchema::Fixed(fixed) => write_fixed(out, fixed.size, default)?,
            },
            Schema::Enum(symbols) => {
                let symbol = default.as_str()?;
                let place = symbols.symbols.iter().position(|other| other == symbol)?;
                write_long(out, i64::try_from(place).ok()?);
            }
            Schema::Array(_)
            | Schema::Map(_)
            | Schema::Record(_)
            | Schema::Union(_)
            | Schema::Ref { .. } => {
                self.depth_left = self.depth_left.checked_sub(1)?;
                self.nested(schema, default)?;
                self.depth_left += 1;
            }
        }
        Some(())
    }

    /// As [`Self::value`], of what holds other values.
    fn nested(&mut self, schema: &Schema, default: &Value) -> Option<()> {
        match schema {
            Schema::Array(array) => {
                let elements = default.as_array()?;
                for element in elements {
                    write_long(&mut self.out, 1);
                    self.value(&array.items, element)?;
                }
                write_long(&mut self.out, 0);
            }
            Schema::Map(map) => {
                let entries = default.as_object()?;
                for (key, value) in entries {
                    write_long(&mut self.out, 1);
                    write_bytes(&mut self.out, key.as_bytes());
                    self.value(&map.types, value)?;
                }
                write_long(&mut self.out, 0);
            }
            Schema::Record(record) => {
                let members = default.as_object()?;
                for field in &record.fields {
                    let value = members.get(&field.name).or(field.default.as_ref())?;
                    self.value(&field.schema, value)?;
                }
            }
            Schema::Union(union) => {
                // By the specification the default is of the first branch; newer writers take any.
                let (start, depth_left) = (self.out.len(), self.depth_left);
                let is_taken = (0_i64..).zip(union.variants()).any(|(place, branch)| {
                    self.out.truncate(start);
                    self.depth_left = depth_left;
                    write_long(&mut self.out, place);
                    self.value(branch, default).is_some()
                });
                is_taken.then_some(())?;
            }
            Schema::Ref { name } => self.value(self.names.get(name).copied()?, default)?,
            _ => return None,
        }
        Some(())
    }
}

/// Appends a `fixed`.
fn write_fixed(out: &mut Vec<u8>, size: usize, default: &Value) -> Option<()> {
    let bytes = latin(default)?;
    out.extend_from_slice(&bytes);
    (bytes.len() == size).then_some(())
}

/// The bytes of a default, one a character.
fn latin(default: &Value) -> Option<Vec<u8>> {
    let characters = default.as_str()?.chars();
    characters
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}
