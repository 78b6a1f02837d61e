//! The columns that a registered schema stands for.
//!
//! Enters: a schema of the registry with those that it refers to. Leaves: columns, as tables that nobody declared have them. Invariant: a
//! column allows NULL exactly where records of the schema may lack its value.
//!
//! # Source
//! Confluent Cloud for Apache Flink, "Inferred tables" and "Data type mappings".

mod avro;
mod json;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::format::proto;
use crate::format::registry::{ReferencedSchema, RegisteredSchema, SchemaType};
use crate::types::{FlinkType, MAX_LENGTH, TypeKind};

/// Types that a schema may stand for in all: types may hold others that hold others, many times over. Guess, unmeasured.
const TYPES_MAX: usize = 10_000;

/// How deep types may stand in one another. Guess, unmeasured.
const DEPTH_MAX: usize = 64;

/// The columns of a schema; `only` is the name of the column of a schema that has no fields.
///
/// # Errors
/// `Invalid` for a text that is no schema; `Unsupported` for a type that columns do not have, with its field.
pub fn columns_of_schema(
    schema: &RegisteredSchema,
    references: &[ReferencedSchema],
    only: &str,
) -> Result<Vec<FormatField>> {
    match schema.schema_type {
        SchemaType::Avro => avro::columns_of(&schema.schema, references, only),
        SchemaType::Json => json::columns_of(&schema.schema, only),
        SchemaType::Protobuf => proto::columns_of(&schema.schema, references),
    }
}

/// How much of a schema was walked through.
#[derive(Debug)]
struct Bounds {
    /// Types that may still come.
    types_left: usize,
    /// Levels around the type at hand.
    depth: usize,
}

impl Bounds {
    /// Nothing so far.
    fn new() -> Self {
        Self {
            types_left: TYPES_MAX,
            depth: 0,
        }
    }

    /// Goes to a type in another one.
    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        self.types_left = self.types_left.checked_sub(1).ok_or_else(|| {
            Error::unsupported(format!("a schema of more than {TYPES_MAX} types"))
        })?;
        if self.depth > DEPTH_MAX {
            return Err(Error::unsupported(format!(
                "a schema of more than {DEPTH_MAX} levels"
            )));
        }
        Ok(())
    }

    /// Goes back.
    fn leave(&mut self) {
        self.depth -= 1;
    }
}

/// A whole number of a schema.
fn number(schema: &Value, key: &str) -> Option<u32> {
    schema
        .get(key)?
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
}

/// A small whole number of a schema.
fn small(schema: &Value, key: &str, default: u8) -> u8 {
    number(schema, key)
        .and_then(|number| u8::try_from(number).ok())
        .unwrap_or(default)
}

/// A text of a schema.
fn text<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema.get(key)?.as_str()
}

/// The shortest and longest value that a schema says, by the names of its annotations; at least one of a type of one length.
fn lengths(schema: &Value, [min, max]: [&str; 2]) -> (Option<u32>, u32) {
    let longest = number(schema, max).filter(|n| (1..=MAX_LENGTH).contains(n));
    let exact = longest.filter(|longest| number(schema, min) == Some(*longest));
    (exact, longest.unwrap_or(MAX_LENGTH))
}

/// CHAR, VARCHAR or STRING.
fn characters(schema: &Value, names: [&str; 2]) -> TypeKind {
    match lengths(schema, names) {
        (Some(exact), _) => TypeKind::Char(exact),
        (None, longest) => TypeKind::VarChar(longest),
    }
}

/// BINARY, VARBINARY or BYTES.
fn binary(schema: &Value) -> TypeKind {
    match lengths(schema, FLINK_LENGTHS) {
        (Some(exact), _) => TypeKind::Binary(exact),
        (None, longest) => TypeKind::VarBinary(longest),
    }
}

/// DECIMAL of a precision and scale that it may have.
fn decimal(precision: u8, scale: u8) -> TypeKind {
    let precision = precision.clamp(1, 38);
    let scale = scale.min(precision);
    TypeKind::Decimal { precision, scale }
}

/// MAP, or MULTISET where the schema says so. Keys are never NULL.
fn map(schema: &Value, key: &FlinkType, value: FlinkType) -> TypeKind {
    let key = Box::new(key.with_nullable(false));
    let is_multiset = text(schema, "flink.type") == Some("multiset");
    if is_multiset && value.kind == TypeKind::Int {
        TypeKind::Multiset(key)
    } else {
        TypeKind::Map(key, Box::new(value))
    }
}

/// Names of Flink's annotations of lengths.
const FLINK_LENGTHS: [&str; 2] = ["flink.minLength", "flink.maxLength"];
