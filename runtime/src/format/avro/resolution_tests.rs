//! Schemas: what is derived, and records of other schemas than the table's own.

use std::sync::{Arc, Mutex};

use apache_avro::types::Value;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMicrosecondType, TimestampMillisecondType,
};
use serde_json::json;

use super::parse::parse_schema;
use super::tests::{field, library_bytes};
use super::*;
use crate::error::{Error, Result};
use crate::format::FailureCode::{self, NullValue, TypeMismatch};
use crate::format::registry::{RegisteredSchema, SchemaRegistry, SchemaType};
use crate::format::{Decoder, FormatField};
use crate::types::{RowField, TypeKind};

/// A registry that remembers what was registered, and can be away.
#[derive(Debug, Default)]
pub(in crate::format) struct Memory {
    /// Subjects, languages and texts; the ids are their places from 1.
    pub(in crate::format) schemas: Mutex<Vec<(String, SchemaType, String)>>,
    /// Whether it does not answer.
    pub(in crate::format) is_away: std::sync::atomic::AtomicBool,
    /// Questions so far.
    pub(in crate::format) questions: std::sync::atomic::AtomicUsize,
}

impl Memory {
    fn ask(&self) -> Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        self.questions.fetch_add(1, SeqCst);
        if self.is_away.load(SeqCst) {
            return Err(Error::unavailable("away"));
        }
        Ok(())
    }

    fn at(&self, place: usize) -> Option<RegisteredSchema> {
        let schemas = self.schemas.lock().unwrap();
        schemas
            .get(place)
            .map(|(_, schema_type, schema)| RegisteredSchema {
                id: i32::try_from(place + 1).unwrap(),
                schema_type: *schema_type,
                schema: schema.clone(),
            })
    }
}

impl SchemaRegistry for Memory {
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32> {
        self.ask()?;
        let mut schemas = self.schemas.lock().unwrap();
        let new = (subject.to_owned(), schema_type, schema.to_owned());
        let place = schemas.iter().position(|there| *there == new);
        let place = place.unwrap_or_else(|| {
            schemas.push(new);
            schemas.len() - 1
        });
        Ok(i32::try_from(place + 1).unwrap())
    }

    fn schema(&self, id: i32) -> Result<Option<RegisteredSchema>> {
        self.ask()?;
        Ok(usize::try_from(id - 1)
            .ok()
            .and_then(|place| self.at(place)))
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>> {
        self.ask()?;
        let place = {
            let schemas = self.schemas.lock().unwrap();
            schemas.iter().rposition(|(there, _, _)| there == subject)
        };
        Ok(place.and_then(|place| self.at(place)))
    }
}

/// A record behind the frame of its schema.
pub(super) fn frame(id: i32, body: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(id.to_be_bytes());
    framed.extend(body);
    framed
}

/// A record schema of fields.
fn record_schema(fields: &serde_json::Value) -> String {
    json!({"type": "record", "name": "R", "namespace": "test", "fields": fields}).to_string()
}

/// Decodes a record of one schema, with another one as the latest of the subject.
fn resolve(
    writer: &str,
    latest: Option<&str>,
    fields: &[FormatField],
    value: Value,
) -> std::result::Result<Vec<ArrayRef>, (FailureCode, String)> {
    let registry = Arc::new(Memory::default());
    registry.register("s", SchemaType::Avro, writer).unwrap();
    if let Some(latest) = latest {
        registry.register("s", SchemaType::Avro, latest).unwrap();
    }
    let record = frame(1, &library_bytes(&parse_schema(writer).unwrap(), value));
    let mut decoder = AvroRegistryDecoder::new(registry, "s", fields, fields.to_vec()).unwrap();
    let mut found = decoder.decode(&[&record]).unwrap();
    match found.failures.pop() {
        Some(failure) => Err((failure.code, failure.message)),
        None => Ok(found.columns),
    }
}

/// Reads a value of a schema as a column.
fn column(
    schema: &serde_json::Value,
    kind: TypeKind,
    value: Value,
) -> std::result::Result<ArrayRef, (FailureCode, String)> {
    let writer = record_schema(&json!([{"name": "a", "type": schema}]));
    let fields = [field("a", kind.nullable())];
    let value = Value::Record(vec![("a".into(), value)]);
    resolve(&writer, None, &fields, value).map(|mut columns| columns.remove(0))
}

fn row(fields: &[(&str, TypeKind)]) -> TypeKind {
    let fields = fields.iter().map(|(name, kind)| RowField {
        name: (*name).into(),
        ty: kind.clone().nullable(),
    });
    TypeKind::Row(fields.collect())
}

#[test]
fn schemas_have_the_documented_properties() {
    let boxed = |kind: TypeKind| Box::new(kind.not_null());
    let inner = row(&[("b", TypeKind::Binary(2))]);
    let schema = avro_schema_of(
        &[
            field("id", TypeKind::BigInt.not_null()),
            field("tiny", TypeKind::TinyInt.nullable()),
            field("name", TypeKind::VarChar(20).not_null()),
            field("code", TypeKind::Char(3).not_null()),
            field("at", TypeKind::Timestamp(2).not_null()),
            field("seen", TypeKind::TimestampLtz(6).not_null()),
            field(
                "sum",
                TypeKind::Decimal {
                    precision: 6,
                    scale: 3,
                }
                .not_null(),
            ),
            field("inner", inner.clone().nullable()),
            field(
                "by",
                TypeKind::Map(boxed(TypeKind::Int), boxed(TypeKind::bytes())).not_null(),
            ),
            field(
                "bag",
                TypeKind::Multiset(boxed(TypeKind::string())).not_null(),
            ),
        ],
        Mapping::Confluent,
    )
    .unwrap();
    let namespace = "org.apache.flink.avro.generated";
    let expected = json!({
        "type": "record", "name": "record", "namespace": namespace,
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "tiny", "type": ["null", {"type": "int", "connect.type": "int8"}], "default": null},
            {"name": "name", "type": {"type": "string", "flink.maxLength": 20, "flink.version": "1"}},
            {"name": "code", "type": {"type": "string", "flink.maxLength": 3, "flink.minLength": 3, "flink.version": "1"}},
            {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-millis", "flink.precision": 2, "flink.version": "1"}},
            {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "sum", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 3}},
            {"name": "inner", "type": ["null", {
                "type": "record", "name": "record_inner", "namespace": namespace,
                "fields": [{"name": "b", "default": null, "type": ["null", {
                    "type": "fixed", "name": "record_inner_b", "namespace": namespace, "size": 2,
                }]}],
            }], "default": null},
            {"name": "by", "type": {"type": "array", "items": {
                "type": "record", "name": "MapEntry", "namespace": "io.confluent.connect.avro",
                "fields": [{"name": "key", "type": "int"}, {"name": "value", "type": "bytes"}],
            }}},
            {"name": "bag", "type": {"type": "map", "values": "int", "flink.type": "multiset", "flink.version": "1"}},
        ],
    });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&schema).unwrap(),
        expected
    );
}

#[test]
fn flinks_schemas_have_no_properties_of_their_own() {
    let plain = avro_schema_of(
        &[
            field("tiny", TypeKind::TinyInt.not_null()),
            field("name", TypeKind::VarChar(20).not_null()),
            field("at", TypeKind::Timestamp(3).nullable()),
            field("b", TypeKind::Binary(2).not_null()),
        ],
        Mapping::FlinkLegacy,
    )
    .unwrap();
    let expected = json!([
        {"name": "tiny", "type": "int"},
        {"name": "name", "type": "string"},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null},
        {"name": "b", "type": "bytes"},
    ]);
    let plain: serde_json::Value = serde_json::from_str(&plain).unwrap();
    assert_eq!(plain["fields"], expected);
}

#[test]
fn no_name_is_defined_twice() {
    let map = |kind: TypeKind| {
        TypeKind::Map(
            Box::new(TypeKind::Int.not_null()),
            Box::new(kind.not_null()),
        )
        .not_null()
    };
    let fields = [
        field("a", map(TypeKind::Int)),
        field("b", map(TypeKind::Int)),
        field("c", map(TypeKind::BigInt)),
        field("d", row(&[("e", row(&[("x", TypeKind::Int)]))]).not_null()),
        field("d_e", row(&[("y", TypeKind::Int)]).not_null()),
    ];
    let text = avro_schema_of(&fields, Mapping::Confluent).unwrap();
    parse_schema(&text).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let items = |place: usize| &schema["fields"][place]["type"]["items"];
    assert_eq!(items(1), "io.confluent.connect.avro.MapEntry");
    assert_eq!(items(2)["name"], "MapEntry_2");
    assert_eq!(items(2)["connect.internal.type"], "MapEntry");
    assert_eq!(schema["fields"][4]["type"]["name"], "record_d_e_2");
}

#[test]
fn fields_are_found_by_name_and_the_rest_is_skipped() {
    let writer = record_schema(&json!([
        {"name": "new", "type": {"type": "map", "values": {"type": "array", "items": "string"}}},
        {"name": "b", "type": "string"},
        {"name": "next", "type": ["null", "R"]},
        {"name": "a", "type": "int"},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 3}},
        {"name": "again", "type": "F"},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
        {"name": "z", "type": "double"},
    ]));
    let record = |next: Value| {
        let strings = Value::Array(vec![Value::String("x".into()); 2]);
        Value::Record(vec![
            ("new".into(), Value::Map([("k".to_owned(), strings)].into())),
            ("b".into(), Value::String("text".into())),
            ("next".into(), next),
            ("a".into(), Value::Int(7)),
            ("f".into(), Value::Fixed(3, vec![1, 2, 3])),
            ("again".into(), Value::Fixed(3, vec![4, 5, 6])),
            ("e".into(), Value::Enum(1, "Y".into())),
            ("z".into(), Value::Double(0.5)),
        ])
    };
    let inner = record(Value::Union(0, Box::new(Value::Null)));
    let value = record(Value::Union(1, Box::new(inner)));
    let fields = [
        field("z", TypeKind::Double.not_null()),
        field("a", TypeKind::BigInt.not_null()),
        field("gone", TypeKind::string().nullable()),
        field("again", TypeKind::bytes().not_null()),
        field("b", TypeKind::string().not_null()),
        field("e", TypeKind::Char(1).not_null()),
    ];
    let columns = resolve(&writer, None, &fields, value.clone()).unwrap();
    assert_eq!(columns[0].as_primitive::<Float64Type>().values(), &[0.5]);
    assert_eq!(columns[1].as_primitive::<Int64Type>().value(0), 7);
    assert!(columns[2].is_null(0));
    assert_eq!(columns[3].as_binary::<i32>().value(0), [4, 5, 6]);
    assert_eq!(columns[4].as_string::<i32>().value(0), "text");
    assert_eq!(columns[5].as_string::<i32>().value(0), "Y");
    // A type that holds itself, as far as the table goes.
    let fields = [field(
        "next",
        row(&[("a", TypeKind::Int), ("next", row(&[]))]).nullable(),
    )];
    let columns = resolve(&writer, None, &fields, value.clone()).unwrap();
    let next = columns[0].as_struct();
    assert_eq!(next.column(0).as_primitive::<Int32Type>().value(0), 7);
    assert!(next.column(1).is_null(0));
    let fields = [field("gone", TypeKind::string().not_null())];
    assert_eq!(
        resolve(&writer, None, &fields, value).unwrap_err().0,
        NullValue
    );
}

/// A schema, and a later one with other names and fields that have defaults.
fn old_and_latest() -> (String, String) {
    let writer = record_schema(&json!([
        {"name": "old", "type": "int"},
        {"name": "w", "aliases": ["before"], "type": "int"},
        {"name": "inner", "type": {"type": "record", "name": "I", "fields": [{"name": "p", "type": "int"}]}},
    ]));
    let latest = record_schema(&json!([
        {"name": "now", "aliases": ["old"], "type": "int"},
        {"name": "s", "type": "string", "default": "none"},
        {"name": "u", "type": ["long", "null"], "default": 5},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "default": "\u{1}\u{0}"},
        {"name": "l", "type": {"type": "array", "items": "int"}, "default": [1, 2]},
        {"name": "m", "type": {"type": "map", "values": "boolean"}, "default": {"k": true}},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}, "default": "Y"},
        {"name": "inner", "type": ["null", {"type": "record", "name": "I", "fields": [
            {"name": "q", "aliases": ["p"], "type": "int"},
            {"name": "r", "type": "double", "default": 1.5},
        ]}], "default": null},
    ]));
    (writer, latest)
}

#[test]
fn aliases_and_defaults_are_those_of_the_latest_schema() {
    let (writer, latest) = old_and_latest();
    let fields = [
        field("now", TypeKind::Int.not_null()),
        field("before", TypeKind::Int.not_null()),
        field("s", TypeKind::string().nullable()),
        field("u", TypeKind::BigInt.not_null()),
        field(
            "d",
            TypeKind::Decimal {
                precision: 6,
                scale: 3,
            }
            .not_null(),
        ),
        field(
            "l",
            TypeKind::Array(Box::new(TypeKind::BigInt.not_null())).not_null(),
        ),
        field(
            "m",
            TypeKind::Map(
                Box::new(TypeKind::string().not_null()),
                Box::new(TypeKind::Boolean.nullable()),
            )
            .nullable(),
        ),
        field("e", TypeKind::string().not_null()),
        field(
            "inner",
            row(&[("q", TypeKind::Int), ("r", TypeKind::Double)]).nullable(),
        ),
        field("nowhere", TypeKind::Int.nullable()),
    ];
    let inner = Value::Record(vec![("p".into(), Value::Int(3))]);
    let value = Value::Record(vec![
        ("old".into(), Value::Int(1)),
        ("w".into(), Value::Int(2)),
        ("inner".into(), inner),
    ]);
    let columns = resolve(&writer, Some(&latest), &fields, value.clone()).unwrap();
    assert_eq!(columns[0].as_primitive::<Int32Type>().value(0), 1);
    assert_eq!(columns[1].as_primitive::<Int32Type>().value(0), 2);
    assert_eq!(columns[2].as_string::<i32>().value(0), "none");
    assert_eq!(columns[3].as_primitive::<Int64Type>().value(0), 5);
    // 256 hundredths.
    assert_eq!(columns[4].as_primitive::<Decimal128Type>().value(0), 2560);
    let list = columns[5].as_list::<i32>().value(0);
    assert_eq!(list.as_primitive::<Int64Type>().values(), &[1, 2]);
    assert!(columns[6].as_map().values().as_boolean().value(0));
    assert_eq!(columns[7].as_string::<i32>().value(0), "Y");
    let inner = columns[8].as_struct();
    assert_eq!(inner.column(0).as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(
        inner.column(1).as_primitive::<Float64Type>().values(),
        &[1.5]
    );
    assert!(columns[9].is_null(0));
    let message = resolve(&writer, None, &fields, value).unwrap_err();
    assert_eq!(message.0, NullValue);
    assert!(
        message.1.starts_with("field \"now\": is null or missing"),
        "{message:?}"
    );
}

#[test]
fn a_default_that_holds_itself_is_none() {
    let writer = record_schema(&json!([]));
    let latest = record_schema(&json!([
        {"name": "x", "type": "R", "default": {}},
        {"name": "y", "type": "R", "default": {}},
    ]));
    let fields = [field("x", row(&[("x", row(&[]))]).nullable())];
    let columns = resolve(&writer, Some(&latest), &fields, Value::Record(vec![])).unwrap();
    assert!(columns[0].is_null(0));
}

#[test]
fn numbers_and_strings_are_promoted() {
    let int = column(&json!("int"), TypeKind::Double, Value::Int(-3)).unwrap();
    assert_eq!(int.as_primitive::<Float64Type>().values(), &[-3.0]);
    let float = column(&json!("float"), TypeKind::Double, Value::Float(0.5)).unwrap();
    assert_eq!(float.as_primitive::<Float64Type>().values(), &[0.5]);
    let long = column(&json!("int"), TypeKind::BigInt, Value::Int(9)).unwrap();
    assert_eq!(long.as_primitive::<Int64Type>().value(0), 9);
    let text = column(
        &json!("bytes"),
        TypeKind::string(),
        Value::Bytes(b"ab".into()),
    )
    .unwrap();
    assert_eq!(text.as_string::<i32>().value(0), "ab");
    let bytes = column(
        &json!("string"),
        TypeKind::bytes(),
        Value::String("ab".into()),
    )
    .unwrap();
    assert_eq!(bytes.as_binary::<i32>().value(0), b"ab");
    for (schema, kind, value) in [
        ("long", TypeKind::Int, Value::Long(1)),
        ("double", TypeKind::Float, Value::Double(1.0)),
        ("string", TypeKind::Int, Value::String("1".into())),
        ("int", TypeKind::string(), Value::Int(1)),
    ] {
        let fault = column(&json!(schema), kind.clone(), value).unwrap_err();
        let message = format!("field \"a\": {schema} is no {kind}");
        assert_eq!(fault, (TypeMismatch, message));
    }
    // A union fails for the branch that does not fit alone.
    let union = json!(["null", "string", "int"]);
    let branch = |place, value| column(&union, TypeKind::Int, Value::Union(place, Box::new(value)));
    assert!(branch(0, Value::Null).unwrap().is_null(0));
    assert_eq!(
        branch(1, Value::String("x".into())).unwrap_err().0,
        TypeMismatch
    );
    assert_eq!(
        branch(2, Value::Int(4))
            .unwrap()
            .as_primitive::<Int32Type>()
            .value(0),
        4
    );
}

#[test]
fn logical_types_become_the_documented_types() {
    let micros = json!({"type": "long", "logicalType": "time-micros"});
    let value = || Value::TimeMicros(1_500_999);
    let raw = column(&micros, TypeKind::BigInt, value()).unwrap();
    assert_eq!(raw.as_primitive::<Int64Type>().value(0), 1_500_999);
    let time = column(&micros, TypeKind::Time(3), value()).unwrap();
    assert_eq!(time.as_primitive::<Time32MillisecondType>().value(0), 1_500);
    let id = "936da01f-9abd-4d9d-80c7-02af85c822a8";
    let uuid = || apache_avro::Uuid::parse_str(id).unwrap();
    let text = json!({"type": "string", "logicalType": "uuid"});
    let array = column(&text, TypeKind::string(), Value::Uuid(uuid())).unwrap();
    assert_eq!(array.as_string::<i32>().value(0), id);
    let fixed = json!({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"});
    let array = column(&fixed, TypeKind::string(), Value::Uuid(uuid())).unwrap();
    assert_eq!(array.as_string::<i32>().value(0), id);
    let duration = json!({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"});
    let value = apache_avro::Duration::from([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    let array = column(&duration, TypeKind::Binary(12), Value::Duration(value)).unwrap();
    assert_eq!(array.as_binary::<i32>().value(0)[4], 2);
    let date = column(&json!("int"), TypeKind::Date, Value::Int(-1)).unwrap();
    assert_eq!(date.as_primitive::<Date32Type>().value(0), -1);
    // A `fixed` decimal of -1.005 in more and in fewer digits.
    let fixed = json!({"type": "fixed", "name": "N", "size": 5, "logicalType": "decimal", "precision": 9, "scale": 3});
    let value = || Value::Decimal(apache_avro::Decimal::from(vec![0xFC, 0x13]));
    for (scale, unscaled) in [(5, -100_500), (3, -1005), (2, -101), (0, -1)] {
        let kind = TypeKind::Decimal {
            precision: 9,
            scale,
        };
        let array = column(&fixed, kind, value()).unwrap();
        assert_eq!(array.as_primitive::<Decimal128Type>().value(0), unscaled);
    }
    let bytes = column(&fixed, TypeKind::bytes(), value()).unwrap();
    assert_eq!(
        bytes.as_binary::<i32>().value(0),
        [0xFF, 0xFF, 0xFF, 0xFC, 0x13]
    );
}

#[test]
fn timestamps_are_converted_to_the_unit_of_the_column() {
    let schema = |logical: &str| json!({"type": "long", "logicalType": logical});
    let millis = |logical: &str, value: Value| {
        let array = column(&schema(logical), TypeKind::Timestamp(3), value).unwrap();
        array.as_primitive::<TimestampMillisecondType>().value(0)
    };
    assert_eq!(millis("timestamp-millis", Value::TimestampMillis(-1)), -1);
    assert_eq!(millis("timestamp-micros", Value::TimestampMicros(-1)), -1);
    assert_eq!(
        millis(
            "local-timestamp-nanos",
            Value::LocalTimestampNanos(1_999_999)
        ),
        1
    );
    let micros = |schema: serde_json::Value, value: Value| {
        let array = column(&schema, TypeKind::TimestampLtz(6), value)?;
        Ok(array.as_primitive::<TimestampMicrosecondType>().value(0))
    };
    assert_eq!(
        micros(schema("timestamp-millis"), Value::TimestampMillis(-2)),
        Ok(-2000)
    );
    assert_eq!(micros(json!("long"), Value::Long(-2)), Ok(-2));
    let largest = Value::TimestampMillis(i64::MAX);
    let fault: (FailureCode, String) = micros(schema("timestamp-millis"), largest).unwrap_err();
    assert_eq!(fault.0, TypeMismatch);
    let largest = Value::LocalTimestampMillis(i64::MAX);
    let array = column(
        &schema("local-timestamp-millis"),
        TypeKind::Timestamp(9),
        largest,
    )
    .unwrap();
    assert_eq!(
        array.as_primitive::<Decimal128Type>().value(0),
        i128::from(i64::MAX) * 1_000_000
    );
}

#[test]
fn a_union_of_several_types_is_a_row_of_them() {
    let user =
        json!({"type": "record", "name": "User", "fields": [{"name": "f0", "type": "long"}]});
    let union = json!(["null", "long", "string", user]);
    let kind = row(&[
        ("string", TypeKind::string()),
        ("User", row(&[("f0", TypeKind::BigInt)])),
    ]);
    let read =
        |place, value| column(&union, kind.clone(), Value::Union(place, Box::new(value))).unwrap();
    let text = read(2, Value::String("x".into()));
    assert_eq!(text.as_struct().column(0).as_string::<i32>().value(0), "x");
    assert!(text.as_struct().column(1).is_null(0));
    let other = read(1, Value::Long(1));
    assert!(other.as_struct().column(0).is_null(0) && other.as_struct().column(1).is_null(0));
    let record = read(3, Value::Record(vec![("f0".into(), Value::Long(4))]));
    let user = record.as_struct().column(1).as_struct();
    assert_eq!(user.column(0).as_primitive::<Int64Type>().value(0), 4);
}
