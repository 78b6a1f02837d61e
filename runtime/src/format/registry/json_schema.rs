//! JSON Schemas of Flink types.
//!
//! Place in the flow: registered by the encoder with its first record. Invariant: the mapping is Confluent's, so that its clients read the
//! types back.
//!
//! # Source
//! Confluent's documentation of data type mappings (September 2025): `connect.type`, `flink.*` parameters, decimals as Connect's
//! `Decimal`.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::types::{FlinkType, MAX_LENGTH, RowField, TypeKind};

/// The JSON Schema of an object with these fields.
///
/// # Errors
/// `Unsupported` for types without a JSON Schema.
pub fn json_schema_of(fields: &[FormatField]) -> Result<String> {
    let fields: Vec<RowField> = fields
        .iter()
        .map(|field| RowField {
            name: field.name.clone(),
            ty: field.ty.clone(),
        })
        .collect();
    let mut schema = object(&fields)?;
    schema.insert("title".to_owned(), Value::from("Record"));
    schema.insert("additionalProperties".to_owned(), Value::from(false));
    Ok(Value::Object(schema).to_string())
}

/// An object schema.
fn object(fields: &[RowField]) -> Result<Map<String, Value>> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let mut property = of(&field.ty)?;
        property["connect.index"] = Value::from(index);
        properties.insert(field.name.clone(), property);
        if !field.ty.nullable {
            required.push(Value::from(field.name.as_str()));
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    Ok(schema)
}

/// The schema of a type; NULL allowed means one of null and the type.
fn of(ty: &FlinkType) -> Result<Value> {
    let number = |connect: &str| json!({ "type": "number", "connect.type": connect });
    let titled = |connect: &str, title: &str| json!({ "type": "number", "connect.type": connect, "title": title });
    let schema = match &ty.kind {
        TypeKind::Boolean => json!({ "type": "boolean" }),
        TypeKind::TinyInt => number("int8"),
        TypeKind::SmallInt => number("int16"),
        TypeKind::Int => number("int32"),
        TypeKind::BigInt => number("int64"),
        TypeKind::Float => number("float32"),
        TypeKind::Double => number("float64"),
        TypeKind::Decimal { precision, scale } => json!({
            "type": "number", "connect.type": "bytes", "title": "org.apache.kafka.connect.data.Decimal",
            "connect.parameters": { "scale": scale.to_string(), "connect.decimal.precision": precision.to_string() },
        }),
        TypeKind::Char(n) => json!({ "type": "string", "minLength": n, "maxLength": n }),
        TypeKind::VarChar(MAX_LENGTH) => json!({ "type": "string" }),
        TypeKind::VarChar(n) => json!({ "type": "string", "maxLength": n }),
        TypeKind::Binary(n) => {
            json!({ "type": "string", "connect.type": "bytes", "flink.minLength": n, "flink.maxLength": n })
        }
        TypeKind::VarBinary(MAX_LENGTH) => json!({ "type": "string", "connect.type": "bytes" }),
        TypeKind::VarBinary(n) => {
            json!({ "type": "string", "connect.type": "bytes", "flink.maxLength": n })
        }
        TypeKind::Date => titled("int32", "org.apache.kafka.connect.data.Date"),
        TypeKind::Time(_) => titled("int32", "org.apache.kafka.connect.data.Time"),
        TypeKind::Timestamp(p) => json!({
            "type": "number", "connect.type": "int64", "flink.version": "1", "flink.precision": p, "flink.type": "timestamp",
        }),
        TypeKind::TimestampLtz(p) => json!({
            "type": "number", "connect.type": "int64", "title": "org.apache.kafka.connect.data.Timestamp",
            "flink.version": "1", "flink.precision": p,
        }),
        TypeKind::Array(element) => json!({ "type": "array", "items": of(element)? }),
        TypeKind::Map(key, value) if key.kind.is_character() => {
            json!({ "type": "object", "connect.type": "map", "additionalProperties": of(value)? })
        }
        TypeKind::Multiset(element) if element.kind.is_character() => json!({
            "type": "object", "connect.type": "map", "flink.type": "multiset", "flink.version": "1",
            "additionalProperties": number("int32"),
        }),
        TypeKind::Row(fields) => Value::Object(object(fields)?),
        other => return Err(Error::unsupported(format!("{other} in a JSON Schema"))),
    };
    Ok(if ty.nullable {
        json!({ "oneOf": [{ "type": "null" }, schema] })
    } else {
        schema
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nullability_and_types_are_in_the_schema() {
        let fields = [
            FormatField {
                name: "id".into(),
                ty: TypeKind::BigInt.not_null(),
            },
            FormatField {
                name: "name".into(),
                ty: TypeKind::string().nullable(),
            },
        ];
        let schema: Value = serde_json::from_str(&json_schema_of(&fields).unwrap()).unwrap();
        assert_eq!(schema["required"], json!(["id"]));
        assert_eq!(schema["properties"]["id"]["connect.type"], "int64");
        assert_eq!(schema["properties"]["name"]["oneOf"][0]["type"], "null");
    }
}
