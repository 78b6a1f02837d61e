//! The columns of an Avro schema.
//!
//! Place in the flow: `columns_of_schema` asks it. Invariant: a schema that the decoder does not read has no columns; annotations that the
//! Avro library forgets are read from the text itself.
//!
//! # Source
//! Apache Avro 1.12 specification, "Schemas" and "Logical Types"; Confluent Cloud for Apache Flink, "Data type mappings": Avro.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::format::avro::check_schema;
use crate::format::inference::{
    Bounds, FLINK_LENGTHS, binary, characters, decimal, map, number, small, text,
};
use crate::format::registry::ReferencedSchema;
use crate::types::{FlinkType, RowField, TypeKind};

/// The columns of a schema: the fields of a record, one for each branch of a union, or the only one of other types.
///
/// # Errors
/// As `columns_of_schema`.
pub(super) fn columns_of(
    schema: &str,
    references: &[ReferencedSchema],
    only: &str,
) -> Result<Vec<FormatField>> {
    check_schema(schema, references)
        .map_err(|why| Error::validation(format!("the Avro schema: {why}")))?;
    let mut walk = Walk {
        named: BTreeMap::new(),
        around: Vec::new(),
        bounds: Bounds::new(),
    };
    for reference in references {
        let schema = json_of(&reference.schema.schema);
        walk.declare(&schema, "")?;
    }
    let schema = json_of(schema);
    walk.declare(&schema, "")?;
    let ty = walk.ty(&schema, "")?;
    Ok(match ty.kind {
        // A union of several types is a ROW of them too.
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

/// A schema as JSON; a type alone may stand without quotes.
fn json_of(schema: &str) -> Value {
    serde_json::from_str(schema).unwrap_or_else(|_| schema.trim().into())
}

/// The full name of a type, and the namespace of what is in it.
fn full_name(name: &str, namespace: Option<&str>, around: &str) -> (String, String) {
    if let Some((space, _)) = name.rsplit_once('.') {
        return (name.to_owned(), space.to_owned());
    }
    let space = namespace.unwrap_or(around);
    let full = if space.is_empty() {
        name.to_owned()
    } else {
        format!("{space}.{name}")
    };
    (full, space.to_owned())
}

/// A walk through a schema.
struct Walk {
    /// Definitions by full name, with the namespace around them.
    named: BTreeMap<String, (Value, String)>,
    /// Full names of the records around the type at hand.
    around: Vec<String>,
    /// How far it is.
    bounds: Bounds,
}

impl Walk {
    /// Notes the definitions in a schema.
    fn declare(&mut self, schema: &Value, around: &str) -> Result<()> {
        self.bounds.enter()?;
        match schema {
            Value::Array(branches) => {
                for branch in branches {
                    self.declare(branch, around)?;
                }
            }
            Value::Object(_) => {
                let mut space = around.to_owned();
                if let Some(name) = text(schema, "name") {
                    let full;
                    (full, space) = full_name(name, text(schema, "namespace"), around);
                    self.named
                        .entry(full)
                        .or_insert_with(|| (schema.clone(), around.to_owned()));
                }
                for key in ["type", "items", "values"] {
                    if let Some(inner) = schema.get(key) {
                        self.declare(inner, &space)?;
                    }
                }
                let fields = schema.get("fields").and_then(Value::as_array);
                for field in fields.into_iter().flatten() {
                    if let Some(inner) = field.get("type") {
                        self.declare(inner, &space)?;
                    }
                }
            }
            _ => {}
        }
        self.bounds.leave();
        Ok(())
    }

    /// The type of a schema.
    fn ty(&mut self, schema: &Value, around: &str) -> Result<FlinkType> {
        self.bounds.enter()?;
        let ty = match schema {
            Value::String(name) => self.by_name(name, schema, around)?.not_null(),
            Value::Array(branches) => self.union(branches, around)?,
            Value::Object(_) => match schema.get("type") {
                Some(Value::String(name)) => self.by_name(name, schema, around)?.not_null(),
                Some(inner) => self.ty(inner, around)?,
                None => return Err(Error::validation("an Avro schema without a type")),
            },
            _ => return Err(Error::validation("an Avro schema that is none")),
        };
        self.bounds.leave();
        Ok(ty)
    }

    /// The type of a union: the one branch that is not null, or a ROW of all.
    fn union(&mut self, branches: &[Value], around: &str) -> Result<FlinkType> {
        let is_null = |branch: &&Value| {
            branch.as_str() == Some("null") || text(branch, "type") == Some("null")
        };
        let others: Vec<&Value> = branches.iter().filter(|b| !is_null(b)).collect();
        let is_nullable = others.len() < branches.len();
        match others.as_slice() {
            [] => Err(Error::unsupported("an Avro union of null alone")),
            [only] => {
                let ty = self.ty(only, around)?;
                Ok(ty.with_nullable(ty.nullable || is_nullable))
            }
            several => {
                let fields = several.iter().map(|branch| {
                    Ok(RowField {
                        name: branch_name(branch).to_owned(),
                        ty: self.ty(branch, around)?.with_nullable(true),
                    })
                });
                let kind = TypeKind::Row(fields.collect::<Result<_>>()?);
                Ok(kind.nullable().with_nullable(is_nullable))
            }
        }
    }

    /// The type of a name, with the annotations of the schema that it stands in.
    fn by_name(&mut self, name: &str, schema: &Value, around: &str) -> Result<TypeKind> {
        let logical = text(schema, "logicalType").unwrap_or_default();
        Ok(match (name, logical) {
            ("boolean", _) => TypeKind::Boolean,
            ("int", "date") => TypeKind::Date,
            ("int", "time-millis") => TypeKind::Time(small(schema, "flink.precision", 3).min(3)),
            ("int", _) => match text(schema, "connect.type") {
                Some("int8") => TypeKind::TinyInt,
                Some("int16") => TypeKind::SmallInt,
                _ => TypeKind::Int,
            },
            ("long", logical) => instant(schema, logical),
            ("float", _) => TypeKind::Float,
            ("double", _) => TypeKind::Double,
            ("bytes" | "fixed", "decimal") => {
                decimal(small(schema, "precision", 38), small(schema, "scale", 0))
            }
            ("bytes", _) => binary(schema),
            ("string", _) => characters(schema, FLINK_LENGTHS),
            ("fixed", "uuid") | ("enum", _) => TypeKind::string(),
            ("fixed", _) => TypeKind::Binary(number(schema, "size").unwrap_or(1).max(1)),
            ("array", _) => self.array(schema, around)?,
            ("map", _) => {
                let values = schema.get("values").unwrap_or(&Value::Null);
                let value = self.ty(values, around)?;
                map(schema, &TypeKind::string().not_null(), value)
            }
            ("record" | "error", _) => TypeKind::Row(self.record(schema, around)?),
            ("null", _) => return Err(Error::unsupported("an Avro type null")),
            (name, _) => {
                let (full, _) = full_name(name, None, around);
                let found = self.named.get(&full).or_else(|| self.named.get(name));
                let (schema, around) = found.cloned().ok_or_else(|| {
                    Error::validation(format!("the Avro schema: there is no type {full}"))
                })?;
                let ty = self.ty(&schema, &around)?;
                ty.kind
            }
        })
    }

    /// The type of an array, which may be one of entries of a map.
    fn array(&mut self, schema: &Value, around: &str) -> Result<TypeKind> {
        let items = schema.get("items").unwrap_or(&Value::Null);
        let is_entry = ["name", "connect.internal.type"]
            .into_iter()
            .any(|key| text(items, key).is_some_and(|name| name.ends_with("MapEntry")));
        let element = self.ty(items, around)?;
        if let (true, TypeKind::Row(fields)) = (is_entry, &element.kind)
            && let [key, value] = fields.as_slice()
        {
            return Ok(map(schema, &key.ty, value.ty.clone()));
        }
        Ok(TypeKind::Array(Box::new(element)))
    }

    /// The fields of a record.
    fn record(&mut self, schema: &Value, around: &str) -> Result<Vec<RowField>> {
        let name = text(schema, "name").unwrap_or_default();
        let (full, space) = full_name(name, text(schema, "namespace"), around);
        if self.around.contains(&full) {
            return Err(Error::unsupported(format!(
                "record {full} holds itself; columns have no such type"
            )));
        }
        self.around.push(full);
        let fields = schema.get("fields").and_then(Value::as_array);
        let fields = fields.into_iter().flatten().map(|field| {
            let name = text(field, "name").unwrap_or_default();
            let inner = field.get("type").unwrap_or(&Value::Null);
            let ty = self
                .ty(inner, &space)
                .map_err(|error| error.context(&format!("field {name}")))?;
            Ok(RowField {
                name: name.to_owned(),
                ty,
            })
        });
        let fields = fields.collect::<Result<_>>()?;
        self.around.pop();
        Ok(fields)
    }
}

/// The column of a branch of a union: the name of its type, without the namespace, as the decoder finds it.
fn branch_name(branch: &Value) -> &str {
    let name = match branch {
        Value::String(name) => name,
        _ => text(branch, "name")
            .or_else(|| text(branch, "type"))
            .unwrap_or_default(),
    };
    name.rsplit('.').next().unwrap_or(name)
}

/// The type of a `long`.
fn instant(schema: &Value, logical: &str) -> TypeKind {
    let precise = |default| small(schema, "flink.precision", default).min(9);
    match logical {
        "timestamp-millis" => TypeKind::TimestampLtz(precise(3)),
        "timestamp-micros" => TypeKind::TimestampLtz(precise(6)),
        "timestamp-nanos" => TypeKind::TimestampLtz(precise(9)),
        "local-timestamp-millis" => TypeKind::Timestamp(precise(3)),
        "local-timestamp-micros" => TypeKind::Timestamp(precise(6)),
        "local-timestamp-nanos" => TypeKind::Timestamp(precise(9)),
        _ => TypeKind::BigInt,
    }
}
