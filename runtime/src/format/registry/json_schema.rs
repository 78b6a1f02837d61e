//! The JSON Schema of a table's key or value.
//!
//! Place in the flow: the encoder registers it once per subject. Invariant: equal fields give the same text, so that registering
//! again finds the schema that is there.
//!
//! # Source
//! Confluent Cloud for Apache Flink, "Data type mappings": JSON Schema.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::types::{FlinkType, MAX_LENGTH, RowField, TypeKind};

/// The version of the `flink.*` annotations.
const FLINK_VERSION: &str = "1";

/// The JSON Schema of fields, as text.
///
/// # Errors
/// `Unsupported` for types without a form.
pub fn json_schema_of(fields: &[FormatField]) -> Result<String> {
    let members = fields.iter().map(|field| (field.name.as_str(), &field.ty));
    let mut schema = object(members)?;
    schema.insert("title".to_owned(), "Record".into());
    schema.insert("additionalProperties".to_owned(), false.into());
    Ok(Value::Object(schema).to_string())
}

/// The schema of an object with members.
fn object<'a>(
    members: impl Iterator<Item = (&'a str, &'a FlinkType)>,
) -> Result<Map<String, Value>> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (index, (name, ty)) in members.enumerate() {
        let mut property = nullable(ty).map_err(|error| error.context(&format!("field {name}")))?;
        property.insert("connect.index".to_owned(), index.into());
        properties.insert(name.to_owned(), Value::Object(property));
        if !ty.nullable {
            required.push(Value::from(name));
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    Ok(schema)
}

/// The schema of a type, with NULL where it is allowed.
fn nullable(ty: &FlinkType) -> Result<Map<String, Value>> {
    let schema = not_null(&ty.kind)?;
    if !ty.nullable {
        return Ok(schema);
    }
    let either = json!([{"type": "null"}, Value::Object(schema)]);
    Ok(Map::from_iter([("oneOf".to_owned(), either)]))
}

/// The schema of a type without NULL.
fn not_null(kind: &TypeKind) -> Result<Map<String, Value>> {
    let connect = |name: &str| format!("org.apache.kafka.connect.data.{name}");
    let value = match kind {
        TypeKind::Boolean => json!({"type": "boolean"}),
        TypeKind::TinyInt => number("int8"),
        TypeKind::SmallInt => number("int16"),
        TypeKind::Int => number("int32"),
        TypeKind::BigInt => number("int64"),
        TypeKind::Float => number("float32"),
        TypeKind::Double => number("float64"),
        TypeKind::Decimal { precision, scale } => json!({
            "type": "number", "connect.type": "bytes", "title": connect("Decimal"),
            "connect.parameters": {"scale": scale.to_string(), "connect.decimal.precision": precision.to_string()},
        }),
        TypeKind::Char(n) => json!({"type": "string", "minLength": n, "maxLength": n}),
        TypeKind::VarChar(MAX_LENGTH) => json!({"type": "string"}),
        TypeKind::VarChar(n) => json!({"type": "string", "maxLength": n}),
        TypeKind::Binary(n) => json!({
            "type": "string", "connect.type": "bytes",
            "flink.minLength": n, "flink.maxLength": n, "flink.version": FLINK_VERSION,
        }),
        TypeKind::VarBinary(MAX_LENGTH) => json!({"type": "string", "connect.type": "bytes"}),
        TypeKind::VarBinary(n) => json!({
            "type": "string", "connect.type": "bytes",
            "flink.maxLength": n, "flink.version": FLINK_VERSION,
        }),
        TypeKind::Date => {
            json!({"type": "number", "connect.type": "int32", "title": connect("Date")})
        }
        TypeKind::Time(p) => json!({
            "type": "number", "connect.type": "int32", "title": connect("Time"),
            "flink.precision": p, "flink.version": FLINK_VERSION,
        }),
        TypeKind::Timestamp(p) => json!({
            "type": "number", "connect.type": "int64", "title": connect("Timestamp"),
            "flink.precision": p, "flink.type": "timestamp", "flink.version": FLINK_VERSION,
        }),
        TypeKind::TimestampLtz(p) => json!({
            "type": "number", "connect.type": "int64", "title": connect("Timestamp"),
            "flink.precision": p, "flink.version": FLINK_VERSION,
        }),
        TypeKind::Array(element) => {
            json!({"type": "array", "items": Value::Object(nullable(element)?)})
        }
        TypeKind::Map(key, value) => Value::Object(map(key, value)?),
        TypeKind::Multiset(element) => {
            let mut schema = map(element, &TypeKind::Int.not_null())?;
            schema.insert("flink.type".to_owned(), "multiset".into());
            schema.insert("flink.version".to_owned(), FLINK_VERSION.into());
            Value::Object(schema)
        }
        TypeKind::Row(fields) => Value::Object(object(fields.iter().map(member))?),
        TypeKind::Null
        | TypeKind::IntervalYearMonth
        | TypeKind::IntervalDayTime
        | TypeKind::Bitmap
        | TypeKind::Variant => {
            return Err(Error::unsupported(format!(
                "JSON Schema has no form for {kind}"
            )));
        }
    };
    match value {
        Value::Object(schema) => Ok(schema),
        _ => Err(Error::internal("a schema that is no object")),
    }
}

/// A field as a member.
fn member(field: &RowField) -> (&str, &FlinkType) {
    (&field.name, &field.ty)
}

/// The schema of a number.
fn number(connect_type: &str) -> Value {
    json!({"type": "number", "connect.type": connect_type})
}

/// The schema of a map: an object where keys are strings, else an array of entries.
fn map(key: &FlinkType, value: &FlinkType) -> Result<Map<String, Value>> {
    let mut schema = Map::new();
    schema.insert("connect.type".to_owned(), "map".into());
    if key.kind.is_character() {
        schema.insert("type".to_owned(), "object".into());
        schema.insert(
            "additionalProperties".to_owned(),
            Value::Object(nullable(value)?),
        );
    } else {
        let entry = object([("key", key), ("value", value)].into_iter())?;
        schema.insert("type".to_owned(), "array".into());
        schema.insert("items".to_owned(), Value::Object(entry));
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, ty: FlinkType) -> FormatField {
        FormatField {
            name: name.into(),
            ty,
        }
    }

    #[test]
    fn fields_have_the_documented_annotations() {
        let schema = json_schema_of(&[
            field("id", TypeKind::BigInt.not_null()),
            field("name", TypeKind::VarChar(20).nullable()),
            field("at", TypeKind::Timestamp(3).not_null()),
            field(
                "tags",
                TypeKind::Map(
                    Box::new(TypeKind::string().not_null()),
                    Box::new(TypeKind::Int.nullable()),
                )
                .not_null(),
            ),
        ])
        .unwrap();
        let expected = json!({
            "title": "Record",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "id": {"type": "number", "connect.type": "int64", "connect.index": 0},
                "name": {"oneOf": [{"type": "null"}, {"type": "string", "maxLength": 20}], "connect.index": 1},
                "at": {
                    "type": "number", "connect.type": "int64", "connect.index": 2,
                    "title": "org.apache.kafka.connect.data.Timestamp",
                    "flink.precision": 3, "flink.type": "timestamp", "flink.version": "1",
                },
                "tags": {
                    "type": "object", "connect.type": "map", "connect.index": 3,
                    "additionalProperties": {"oneOf": [{"type": "null"}, {"type": "number", "connect.type": "int32"}]},
                },
            },
            "required": ["id", "at", "tags"],
        });
        assert_eq!(serde_json::from_str::<Value>(&schema).unwrap(), expected);
    }

    #[test]
    fn intervals_are_refused_with_the_field_named() {
        let error =
            json_schema_of(&[field("i", TypeKind::IntervalDayTime.nullable())]).unwrap_err();
        assert!(error.message.starts_with("field i: "), "{error}");
    }
}
