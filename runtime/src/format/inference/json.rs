//! The columns of a JSON Schema.
//!
//! Place in the flow: `columns_of_schema` asks it. Invariant: columns stand in the order that the schema says, else in that of its text;
//! what a schema leaves open is an error and not a guess.
//!
//! # Source
//! JSON Schema, draft 7 and 2020-12; Confluent Cloud for Apache Flink, "Data type mappings": JSON Schema.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::format::inference::{Bounds, binary, characters, decimal, map, small, text};
use crate::types::{FlinkType, RowField, TypeKind};

/// Names of JSON Schema's annotations of lengths.
const LENGTHS: [&str; 2] = ["minLength", "maxLength"];

/// The columns of a schema: the properties of an object, or the only one of other types.
///
/// # Errors
/// As `columns_of_schema`.
pub(super) fn columns_of(schema: &str, only: &str) -> Result<Vec<FormatField>> {
    let root: Value = serde_json::from_str(schema)
        .map_err(|error| Error::validation(format!("the JSON Schema: {error}")))?;
    let mut walk = Walk {
        root: &root,
        bounds: Bounds::new(),
    };
    let ty = walk.ty(&root)?;
    Ok(match ty.kind {
        TypeKind::Row(fields) => fields
            .into_iter()
            .map(|RowField { name, ty }| FormatField { name, ty })
            .collect(),
        _ => vec![FormatField {
            name: only.to_owned(),
            ty,
        }],
    })
}

/// A walk through a schema.
struct Walk<'a> {
    /// The whole schema, which references are looked up in.
    root: &'a Value,
    /// How far it is.
    bounds: Bounds,
}

impl Walk<'_> {
    /// The type of a schema.
    fn ty(&mut self, schema: &Value) -> Result<FlinkType> {
        self.bounds.enter()?;
        let ty = self.any(schema)?;
        self.bounds.leave();
        Ok(ty)
    }

    /// As [`Self::ty`].
    fn any(&mut self, schema: &Value) -> Result<FlinkType> {
        if let Some(reference) = text(schema, "$ref") {
            let inner = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            let inner = inner.cloned().ok_or_else(|| {
                Error::unsupported(format!("a reference to \"{reference}\" outside the schema"))
            })?;
            return self.ty(&inner);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(branches)) = schema.get(key) {
                return self.union(branches);
            }
        }
        if let Some(Value::Array(parts)) = schema.get("allOf") {
            return self.all(schema, parts);
        }
        match schema.get("type") {
            Some(Value::String(name)) => Ok(self.named(name, schema)?.not_null()),
            Some(Value::Array(names)) => {
                let branches: Vec<Value> = names
                    .iter()
                    .map(|name| {
                        let mut branch = schema.as_object().cloned().unwrap_or_default();
                        branch.insert("type".to_owned(), name.clone());
                        Value::Object(branch)
                    })
                    .collect();
                self.union(&branches)
            }
            _ if schema.get("enum").is_some() || schema.get("const").is_some() => {
                Ok(TypeKind::string().not_null())
            }
            _ if schema.get("properties").is_some() => Ok(self.named("object", schema)?.not_null()),
            _ => Err(Error::unsupported(
                "a JSON Schema without a type; columns need one",
            )),
        }
    }

    /// The type of one of several schemas: the one that is not null, or a ROW of all.
    fn union(&mut self, branches: &[Value]) -> Result<FlinkType> {
        let is_null = |branch: &&Value| text(branch, "type") == Some("null");
        let others: Vec<&Value> = branches.iter().filter(|b| !is_null(b)).collect();
        let is_nullable = others.len() < branches.len();
        match others.as_slice() {
            [] => Err(Error::unsupported("a JSON Schema of null alone")),
            [only] => {
                let ty = self.ty(only)?;
                Ok(ty.with_nullable(ty.nullable || is_nullable))
            }
            several => {
                let fields = several.iter().enumerate().map(|(place, branch)| {
                    Ok(RowField {
                        name: format!("connect_union_field_{place}"),
                        ty: self.ty(branch)?.with_nullable(true),
                    })
                });
                let kind = TypeKind::Row(fields.collect::<Result<_>>()?);
                Ok(kind.not_null().with_nullable(is_nullable))
            }
        }
    }

    /// The type of an object of all parts: their properties together.
    fn all(&mut self, schema: &Value, parts: &[Value]) -> Result<FlinkType> {
        let mut fields = Vec::new();
        if schema.get("properties").is_some() {
            fields.extend(self.object(schema)?);
        }
        for part in parts {
            match self.ty(part)?.kind {
                TypeKind::Row(more) => fields.extend(more),
                other if parts.len() == 1 => return Ok(other.not_null()),
                other => {
                    return Err(Error::unsupported(format!(
                        "\"allOf\" of {other} and others; only objects go together"
                    )));
                }
            }
        }
        Ok(TypeKind::Row(fields).not_null())
    }

    /// The type of a name, with the annotations of its schema.
    fn named(&mut self, name: &str, schema: &Value) -> Result<TypeKind> {
        let connect = text(schema, "connect.type").unwrap_or_default();
        Ok(match name {
            "boolean" => TypeKind::Boolean,
            "integer" | "number" => numeric(name, connect, schema),
            "string" if connect == "bytes" => binary(schema),
            "string" if schema.get("enum").is_some() => TypeKind::string(),
            "string" => characters(schema, LENGTHS),
            "array" => {
                let items = schema.get("items").filter(|items| items.is_object());
                let items = items
                    .ok_or_else(|| Error::unsupported("an array without the type of its items"))?;
                let element = self.ty(items)?;
                match element.kind {
                    TypeKind::Row(fields) if connect == "map" => {
                        let part = |name: &str| fields.iter().find(|field| field.name == name);
                        let (Some(key), Some(value)) = (part("key"), part("value")) else {
                            return Err(Error::unsupported("a map without key or value"));
                        };
                        map(schema, &key.ty, value.ty.clone())
                    }
                    kind => TypeKind::Array(Box::new(FlinkType { kind, ..element })),
                }
            }
            "object" => match schema.get("additionalProperties") {
                Some(values @ Value::Object(_)) if schema.get("properties").is_none() => {
                    let value = self.ty(values)?;
                    map(schema, &TypeKind::string().not_null(), value)
                }
                _ => TypeKind::Row(self.object(schema)?),
            },
            other => {
                return Err(Error::unsupported(format!(
                    "the JSON Schema type \"{other}\""
                )));
            }
        })
    }

    /// The properties of an object; those that it does not require allow NULL.
    fn object(&mut self, schema: &Value) -> Result<Vec<RowField>> {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut properties: Vec<(&String, &Value)> = properties.unwrap_or(&none).iter().collect();
        let index = |schema: &Value| schema.get("connect.index").and_then(Value::as_u64);
        properties.sort_by_key(|(_, property)| index(property).unwrap_or(u64::MAX));
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        let fields = properties.into_iter().map(|(name, property)| {
            let ty = self
                .ty(property)
                .map_err(|error| error.context(&format!("field {name}")))?;
            Ok(RowField {
                name: name.clone(),
                ty: ty.with_nullable(ty.nullable || !is_required(name)),
            })
        });
        fields.collect()
    }
}

/// The type of a number.
fn numeric(name: &str, connect: &str, schema: &Value) -> TypeKind {
    let title = text(schema, "title").unwrap_or_default();
    let logical = title.strip_prefix("org.apache.kafka.connect.data.");
    let precision = small(schema, "flink.precision", 3);
    match (logical, connect) {
        (Some("Decimal"), _) => {
            let parameter = |key: &str, default: u8| {
                let parameters = schema.get("connect.parameters")?;
                let value = text(parameters, key).unwrap_or_default();
                Some(value.parse().unwrap_or(default))
            };
            decimal(
                parameter("connect.decimal.precision", 10).unwrap_or(10),
                parameter("scale", 0).unwrap_or(0),
            )
        }
        (Some("Date"), _) => TypeKind::Date,
        (Some("Time"), _) => TypeKind::Time(precision.min(3)),
        (Some("Timestamp"), _) if text(schema, "flink.type") == Some("timestamp") => {
            TypeKind::Timestamp(precision.min(9))
        }
        (Some("Timestamp"), _) => TypeKind::TimestampLtz(precision.min(9)),
        (_, "int8") => TypeKind::TinyInt,
        (_, "int16") => TypeKind::SmallInt,
        (_, "int32") => TypeKind::Int,
        (_, "int64") => TypeKind::BigInt,
        (_, "float32") => TypeKind::Float,
        (_, "float64") => TypeKind::Double,
        _ if name == "integer" => TypeKind::BigInt,
        _ => TypeKind::Double,
    }
}
