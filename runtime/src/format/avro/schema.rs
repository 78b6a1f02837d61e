//! The Avro schema of a table's key or value.
//!
//! Place in the flow: the encoder writes by it and registers it once per subject; records without a frame are read by it. Invariant:
//! equal fields give the same text, so that registering again finds the schema that is there, and no name is defined twice.
//!
//! # Source
//! Confluent Cloud for Apache Flink, "Data type mappings": Avro; Flink 2.3, "Avro Format": data type mapping.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::format::FormatField;
use crate::format::avro::Mapping;
use crate::format::rows::check_name;
use crate::types::{FlinkType, MAX_LENGTH, RowField, TypeKind};

/// The version of the `flink.*` properties.
const FLINK_VERSION: &str = "1";

/// The namespace of derived names.
const NAMESPACE: &str = "org.apache.flink.avro.generated";

/// The name of the outer record; names of inner ones begin with it.
const RECORD: &str = "record";

/// The namespace and name of an entry of a map that is written as an array.
const MAP_ENTRY: (&str, &str) = ("io.confluent.connect.avro", "MapEntry");

/// The Avro schema of fields, as text.
///
/// # Errors
/// `Unsupported` for types without a form; `Invalid` for names that Avro does not take.
pub fn avro_schema_of(fields: &[FormatField], mapping: Mapping) -> Result<String> {
    let members = fields.iter().map(|field| (field.name.as_str(), &field.ty));
    let mut deriver = Deriver {
        mapping,
        defined: BTreeMap::new(),
    };
    Ok(deriver.record(members, RECORD)?.to_string())
}

/// Derives a schema.
#[derive(Debug)]
struct Deriver {
    /// How types map.
    mapping: Mapping,
    /// Fields or size of each full name that was defined so far.
    defined: BTreeMap<String, Value>,
}

impl Deriver {
    /// The schema of a type, with NULL where it is allowed. `name` is what a record in it would be called.
    fn nullable(&mut self, ty: &FlinkType, name: &str) -> Result<Value> {
        let schema = self.not_null(&ty.kind, name)?;
        Ok(if ty.nullable {
            json!(["null", schema])
        } else {
            schema
        })
    }

    /// The schema of a type without NULL.
    fn not_null(&mut self, kind: &TypeKind, name: &str) -> Result<Value> {
        let is_confluent = self.mapping == Mapping::Confluent;
        Ok(match kind {
            TypeKind::Boolean => "boolean".into(),
            TypeKind::TinyInt if is_confluent => json!({"type": "int", "connect.type": "int8"}),
            TypeKind::SmallInt if is_confluent => json!({"type": "int", "connect.type": "int16"}),
            TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int => "int".into(),
            TypeKind::BigInt => "long".into(),
            TypeKind::Float => "float".into(),
            TypeKind::Double => "double".into(),
            TypeKind::Decimal { precision, scale } => json!({
                "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale,
            }),
            TypeKind::Char(n) if is_confluent => json!({
                "type": "string", "flink.maxLength": n, "flink.minLength": n, "flink.version": FLINK_VERSION,
            }),
            TypeKind::VarChar(n) if is_confluent && *n != MAX_LENGTH => {
                json!({"type": "string", "flink.maxLength": n, "flink.version": FLINK_VERSION})
            }
            TypeKind::Char(_) | TypeKind::VarChar(_) => "string".into(),
            TypeKind::Binary(n) if is_confluent => {
                self.define(NAMESPACE, name, "fixed", [("size", Value::from(*n))])
            }
            TypeKind::VarBinary(n) if is_confluent && *n != MAX_LENGTH => {
                json!({"type": "bytes", "flink.maxLength": n, "flink.version": FLINK_VERSION})
            }
            TypeKind::Binary(_) | TypeKind::VarBinary(_) => "bytes".into(),
            TypeKind::Date => json!({"type": "int", "logicalType": "date"}),
            TypeKind::Time(p) if *p <= 3 => self.precise("int", "time-millis", *p, 3),
            TypeKind::Timestamp(p) => {
                let (unit, default) = unit(*p);
                match self.mapping {
                    Mapping::Confluent | Mapping::Flink => {
                        self.precise("long", &format!("local-timestamp-{unit}"), *p, default)
                    }
                    Mapping::FlinkLegacy if *p <= 3 => {
                        json!({"type": "long", "logicalType": "timestamp-millis"})
                    }
                    Mapping::FlinkLegacy => return Err(legacy(kind)),
                }
            }
            TypeKind::TimestampLtz(_) if self.mapping == Mapping::FlinkLegacy => {
                return Err(legacy(kind));
            }
            TypeKind::TimestampLtz(p) => {
                let (unit, default) = unit(*p);
                self.precise("long", &format!("timestamp-{unit}"), *p, default)
            }
            TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) => {
                self.nested(kind, name)?
            }
            TypeKind::Null
            | TypeKind::Bitmap
            | TypeKind::Variant
            | TypeKind::Time(_)
            | TypeKind::IntervalYearMonth
            | TypeKind::IntervalDayTime => {
                return Err(Error::unsupported(format!("Avro has no form for {kind}")));
            }
        })
    }

    /// As [`Self::not_null`], of a type that holds others.
    fn nested(&mut self, kind: &TypeKind, name: &str) -> Result<Value> {
        match kind {
            TypeKind::Array(element) => {
                Ok(json!({"type": "array", "items": self.nullable(element, name)?}))
            }
            TypeKind::Map(key, value) => Ok(Value::Object(self.map(key, value, name)?)),
            TypeKind::Multiset(element) => {
                let mut schema = self.map(element, &TypeKind::Int.not_null(), name)?;
                if self.mapping == Mapping::Confluent {
                    schema.insert("flink.type".to_owned(), "multiset".into());
                    schema.insert("flink.version".to_owned(), FLINK_VERSION.into());
                }
                Ok(Value::Object(schema))
            }
            TypeKind::Row(fields) => self.record(fields.iter().map(member), name),
            other => Err(Error::internal(format!("{other} holds no other types"))),
        }
    }

    /// The schema of a record with members.
    fn record<'a>(
        &mut self,
        members: impl Iterator<Item = (&'a str, &'a FlinkType)>,
        name: &str,
    ) -> Result<Value> {
        let fields = members
            .map(|(field, ty)| {
                check_name(field, "Avro")?;
                let schema = self
                    .nullable(ty, &format!("{name}_{field}"))
                    .map_err(|error| error.context(&format!("field {field}")))?;
                Ok(if ty.nullable {
                    json!({"name": field, "type": schema, "default": null})
                } else {
                    json!({"name": field, "type": schema})
                })
            })
            .collect::<Result<Vec<Value>>>()?;
        Ok(self.define(NAMESPACE, name, "record", [("fields", fields.into())]))
    }

    /// The schema of a map: a map where keys are strings, else an array of entries.
    fn map(
        &mut self,
        key: &FlinkType,
        value: &FlinkType,
        name: &str,
    ) -> Result<Map<String, Value>> {
        let mut schema = Map::new();
        if key.kind.is_character() {
            schema.insert("type".to_owned(), "map".into());
            schema.insert("values".to_owned(), self.nullable(value, name)?);
            return Ok(schema);
        }
        if self.mapping != Mapping::Confluent {
            return Err(Error::unsupported(format!(
                "Avro maps have character strings as keys, not {key}"
            )));
        }
        let fields = json!([
            {"name": "key", "type": self.nullable(&key.with_nullable(false), &format!("{name}_key"))?},
            {"name": "value", "type": self.nullable(value, &format!("{name}_value"))?},
        ]);
        let mut entry = self.define(MAP_ENTRY.0, MAP_ENTRY.1, "record", [("fields", fields)]);
        if let Some(entry) = entry.as_object_mut()
            && entry.get("name").is_some_and(|given| given != MAP_ENTRY.1)
        {
            // What Connect calls entries of another name by.
            entry.insert("connect.internal.type".to_owned(), MAP_ENTRY.1.into());
        }
        schema.insert("type".to_owned(), "array".into());
        schema.insert("items".to_owned(), entry);
        Ok(schema)
    }

    /// The definition of a named type, or its name where the same is defined already. A name that is taken by another definition
    /// gets a number behind it, since Avro has no second meaning for a name.
    fn define(
        &mut self,
        namespace: &str,
        name: &str,
        kind: &str,
        [(property, value)]: [(&str, Value); 1],
    ) -> Value {
        let mut given = name.to_owned();
        let mut number = 1_usize;
        loop {
            let full = format!("{namespace}.{given}");
            match self.defined.get(&full) {
                Some(there) if *there == value => return full.into(),
                Some(_) => {
                    number += 1;
                    given = format!("{name}_{number}");
                }
                None => {
                    self.defined.insert(full, value.clone());
                    return json!({"type": kind, "name": given, "namespace": namespace, property: value});
                }
            }
        }
    }

    /// A logical type, with the precision where it is not the one that the type stands for.
    fn precise(&self, base: &str, logical: &str, precision: u8, default: u8) -> Value {
        if self.mapping == Mapping::Confluent && precision != default {
            json!({
                "type": base, "logicalType": logical,
                "flink.precision": precision, "flink.version": FLINK_VERSION,
            })
        } else {
            json!({"type": base, "logicalType": logical})
        }
    }
}

/// The unit of a timestamp and the precision that it stands for.
fn unit(precision: u8) -> (&'static str, u8) {
    match precision {
        0..=3 => ("millis", 3),
        4..=6 => ("micros", 6),
        _ => ("nanos", 9),
    }
}

/// A field as a member.
fn member(field: &RowField) -> (&str, &FlinkType) {
    (&field.name, &field.ty)
}

/// The error for timestamps that Flink's default mapping has no form for.
fn legacy(kind: &TypeKind) -> Error {
    Error::unsupported(format!(
        "Avro has no form for {kind} with 'avro.timestamp_mapping.legacy' = 'true', the default; \
         it takes TIMESTAMP with at most 3 digits, and 'false' all timestamps"
    ))
}
