//! Encoder and decoder against each other, and the derived schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use proptest::prelude::*;
use serde_json::{Value, json};
use sqlparser::parser::Parser;

use super::*;
use crate::batch::Batch;
use crate::format::json::{JsonDecoder, JsonEncoder, JsonOptions, Maps};
use crate::format::registry::memory::{Memory, frame};
use crate::format::registry::{SchemaRegistry, SchemaType};
use crate::format::{Decoded, Decoder, Encoder, FailureCode, FormatField, PartSpec};
use crate::sql::dialect::FlinkDialect;
use crate::sql::parser::types::parse_type;
use crate::types::{FlinkType, TypeKind};

/// The columns of a declaration such as `a INT NOT NULL, b ROW<c STRING>`.
pub(super) fn columns(declaration: &str) -> Vec<FormatField> {
    // Two brackets are an operator to the bare parser.
    let sql = format!("ROW<{declaration}>").replace('>', "> ");
    let mut parser = Parser::new(&FlinkDialect).try_with_sql(&sql).unwrap();
    let TypeKind::Row(fields) = parse_type(&mut parser).unwrap().kind else {
        panic!("no row");
    };
    let fields = fields.into_iter();
    fields
        .map(|field| FormatField {
            name: field.name,
            ty: field.ty,
        })
        .collect()
}

/// JSON as the tests write it: as Flink does, with maps of any keys.
fn json_options() -> JsonOptions {
    JsonOptions {
        maps: Maps::ObjectsOrEntries,
        ..JsonOptions::default()
    }
}

/// Rows of JSON objects.
pub(super) fn rows_of(fields: &[FormatField], rows: &[Value]) -> Vec<ArrayRef> {
    let texts: Vec<Vec<u8>> = rows.iter().map(|row| row.to_string().into()).collect();
    let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let mut decoder = JsonDecoder::new(fields.to_vec(), json_options()).unwrap();
    let Decoded {
        columns, failures, ..
    } = decoder.decode(&slices).unwrap();
    assert_eq!(failures, []);
    columns
}

/// Encodes rows, one vector a record, without the schema's id.
pub(super) fn encode(
    fields: &[FormatField],
    columns: Vec<ArrayRef>,
    rows: usize,
) -> crate::error::Result<Vec<Vec<u8>>> {
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    let mut encoder = ProtoEncoder::new(fields.to_vec())?;
    encoder.encode(&Batch::inserts(columns, rows), &mut buffer, &mut ends)?;
    let mut start = 0;
    let record = |end: usize| {
        let record = buffer[start..end].to_vec();
        start = end;
        record
    };
    Ok(ends.into_iter().map(record).collect())
}

/// Decodes bodies of the first message of a schema.
pub(super) fn decode(schema: &str, fields: &[FormatField], bodies: &[Vec<u8>]) -> Decoded {
    let registry = Arc::new(Memory::default());
    let id = registry
        .register("t-value", SchemaType::Protobuf, schema)
        .unwrap();
    let records: Vec<Vec<u8>> = bodies.iter().map(|body| frame(id, body)).collect();
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    ProtoRegistryDecoder::new(registry, fields, fields.to_vec())
        .unwrap()
        .decode(&slices)
        .unwrap()
}

/// What a message of a schema is as JSON, or why it is no row. The schema is that of the message's file without its first line.
pub(super) fn row_of(
    schema: &str,
    declaration: &str,
    message: &[u8],
) -> Result<Value, (FailureCode, String)> {
    let fields = columns(declaration);
    let decoded = decode(schema, &fields, &[[&[0], message].concat()]);
    match decoded.failures.into_iter().next() {
        Some(failure) => Err((failure.code, failure.message)),
        None => Ok(json_of(&fields, decoded.columns, 1).remove(0)),
    }
}

/// Rows as JSON.
pub(super) fn json_of(fields: &[FormatField], columns: Vec<ArrayRef>, rows: usize) -> Vec<Value> {
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    JsonEncoder::new(fields.to_vec(), json_options())
        .unwrap()
        .encode(&Batch::inserts(columns, rows), &mut buffer, &mut ends)
        .unwrap();
    let mut start = 0;
    let row = |end: usize| {
        let row = serde_json::from_slice(&buffer[start..end]).unwrap();
        start = end;
        row
    };
    ends.into_iter().map(row).collect()
}

/// Every type that a column may have, without nullability.
const SCALARS: [&str; 26] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL(5, 2)",
    "DECIMAL(38, 10)",
    "CHAR(3)",
    "VARCHAR(20)",
    "STRING",
    "BINARY(4)",
    "VARBINARY(9)",
    "BYTES",
    "DATE",
    "TIME(0)",
    "TIME(3)",
    "TIMESTAMP(0)",
    "TIMESTAMP(3)",
    "TIMESTAMP(6)",
    "TIMESTAMP(9)",
    "TIMESTAMP_LTZ(0)",
    "TIMESTAMP_LTZ(3)",
    "TIMESTAMP_LTZ(6)",
    "TIMESTAMP_LTZ(9)",
];

/// Columns of every type, nullable and not, and nested.
fn every_type() -> Vec<FormatField> {
    let mut parts = Vec::new();
    for (place, scalar) in SCALARS.iter().enumerate() {
        parts.push(format!("n{place} {scalar}, r{place} {scalar} NOT NULL"));
    }
    let inner: Vec<String> = SCALARS
        .iter()
        .enumerate()
        .map(|(place, scalar)| {
            let null = if place % 2 == 0 { "" } else { " NOT NULL" };
            format!("f{place} {scalar}{null}")
        })
        .collect();
    let row = format!("ROW<{}>", inner.join(", "));
    for (place, scalar) in SCALARS.iter().enumerate() {
        parts.push(format!("l{place} ARRAY<{scalar} NOT NULL> NOT NULL"));
        parts.push(format!("w{place} ARRAY<{scalar}>"));
    }
    parts.push(format!(
        "`row` {row}, full_row {row} NOT NULL, empty ROW<a INT> NOT NULL,
         `rows` ARRAY<{row} NOT NULL> NOT NULL, null_rows ARRAY<{row}>,
         arrays ARRAY<ARRAY<INT> NOT NULL> NOT NULL, deep ARRAY<ARRAY<ARRAY<STRING NOT NULL>>>,
         tags MAP<STRING, INT>, some_tags MAP<STRING NOT NULL, {row}> NOT NULL, `map` MAP<INT, BIGINT NOT NULL>,
         by_row MAP<ROW<k INT>, ARRAY<INT>> NOT NULL, in_map MAP<STRING, MAP<INT, STRING>>,
         maps ARRAY<MAP<STRING, INT>> NOT NULL, bag MULTISET<STRING>, full_bag MULTISET<INT NOT NULL> NOT NULL,
         nested ROW<list ARRAY<ROW<tags MAP<STRING, BOOLEAN>, list ARRAY<INT NOT NULL> NOT NULL>>> NOT NULL"
    ));
    columns(&parts.join(", "))
}

/// Values of a type as JSON.
fn value_of(ty: &FlinkType) -> BoxedStrategy<Value> {
    let value = not_null(&ty.kind);
    if ty.nullable {
        prop_oneof![1 => Just(Value::Null), 3 => value].boxed()
    } else {
        value
    }
}

/// A date and time with so many fractional digits.
fn timestamp(precision: u8, suffix: &'static str) -> BoxedStrategy<Value> {
    let limit = 10_u64.pow(precision.into());
    (1..9999_u32, 1..=12_u32, 1..=28_u32, 0..86_400_u32, 0..limit)
        .prop_map(move |(year, month, day, second, fraction)| {
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let width = usize::from(precision);
            let fraction = if precision == 0 {
                String::new()
            } else {
                format!(".{fraction:0width$}")
            };
            json!(format!(
                "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}{suffix}"
            ))
        })
        .boxed()
}

/// As [`value_of`], without NULL. Zeros are frequent, since they may be left out.
fn not_null(kind: &TypeKind) -> BoxedStrategy<Value> {
    fn number<T: Into<i64>>(values: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Value> {
        let some = values.prop_map(|value| json!(value.into()));
        prop_oneof![1 => Just(json!(0)), 3 => some].boxed()
    }
    match kind {
        TypeKind::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        TypeKind::TinyInt => number(any::<i8>()),
        TypeKind::SmallInt => number(any::<i16>()),
        TypeKind::Int => number(any::<i32>()),
        TypeKind::BigInt => number(any::<i64>()),
        TypeKind::Float => (-1000..1000_i32)
            .prop_map(|n| json!(f64::from(n) / 8.0))
            .boxed(),
        TypeKind::Double => prop_oneof![Just(-0.0), Just(0.0), -1e9..1e9]
            .prop_map(|n: f64| json!(n))
            .boxed(),
        TypeKind::Decimal { .. } => (-99_999..99_999_i64)
            .prop_map(|n| json!(format!("{}.{:02}", n / 100, n.abs() % 100)))
            .boxed(),
        TypeKind::Char(_) | TypeKind::VarChar(_) => "[a-zé]{0,3}".prop_map(Value::String).boxed(),
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            prop_oneof![Just("AAECAw=="), Just(""), Just("/w==")]
                .prop_map(|text| json!(text))
                .boxed()
        }
        TypeKind::Date => (1..9999_u32, 1..=12_u32, 1..=28_u32)
            .prop_map(|(y, m, d)| json!(format!("{y:04}-{m:02}-{d:02}")))
            .boxed(),
        TypeKind::Time(_) => (0..86_400_u32)
            .prop_map(|s| json!(format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)))
            .boxed(),
        TypeKind::Timestamp(p) => timestamp(*p, ""),
        TypeKind::TimestampLtz(p) => timestamp(*p, "Z"),
        TypeKind::Array(element) => prop::collection::vec(value_of(element), 0..3)
            .prop_map(Value::Array)
            .boxed(),
        TypeKind::Map(key, value) => map(key, value_of(value)),
        TypeKind::Multiset(element) => map(element, number(1..9_i32)),
        TypeKind::Row(fields) => {
            let pairs = fields.iter().map(|f| (f.name.clone(), f.ty.clone()));
            record(pairs.collect())
        }
        other => panic!("{other}"),
    }
}

/// Maps whose keys are not equal.
fn map(key: &FlinkType, value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let is_object = key.kind.is_character();
    let key = value_of(&key.with_nullable(false));
    prop::collection::vec((key, value), 0..12)
        .prop_map(move |entries| {
            let entries: BTreeMap<String, (Value, Value)> = entries
                .into_iter()
                .map(|(key, value)| (key.to_string(), (key, value)))
                .collect();
            let entries = entries.into_values();
            if is_object {
                let text = |key: Value| key.as_str().unwrap().to_owned();
                Value::Object(entries.map(|(key, value)| (text(key), value)).collect())
            } else {
                entries
                    .map(|(key, value)| json!({"key": key, "value": value}))
                    .collect()
            }
        })
        .boxed()
}

/// Objects.
fn record(fields: Vec<(String, FlinkType)>) -> BoxedStrategy<Value> {
    let members: Vec<BoxedStrategy<(String, Value)>> = fields
        .into_iter()
        .map(|(name, ty)| {
            value_of(&ty)
                .prop_map(move |value| (name.clone(), value))
                .boxed()
        })
        .collect();
    members
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed()
}

#[test]
fn rows_of_every_type_are_read_back() {
    let fields = every_type();
    let schema = proto_schema_of(&fields).unwrap();
    let pairs = fields.iter().map(|f| (f.name.clone(), f.ty.clone()));
    let rows = prop::collection::vec(record(pairs.collect()), 1..4);
    let registry = Arc::new(Memory::default());
    let id = registry
        .register("t-value", SchemaType::Protobuf, &schema)
        .unwrap();
    let decoder = |asked: &[FormatField]| {
        let registry = Arc::clone(&registry) as Arc<dyn SchemaRegistry>;
        ProtoRegistryDecoder::new(registry, &fields, asked.to_vec()).unwrap()
    };
    let all = std::cell::RefCell::new(decoder(&fields));
    proptest!(ProptestConfig::with_cases(24), |(rows in rows, place in 0..fields.len())| {
        let columns = rows_of(&fields, &rows);
        let bodies = encode(&fields, columns.clone(), rows.len()).unwrap();
        let records: Vec<Vec<u8>> = bodies.iter().map(|body| frame(id, body)).collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let whole = all.borrow_mut().decode(&slices).unwrap();
        prop_assert_eq!(whole.failures, []);
        for ((field, found), sent) in fields.iter().zip(&whole.columns).zip(&columns) {
            prop_assert_eq!(found, sent, "{}", field.name);
        }
        // A column alone is the same as among the others.
        let part = decoder(&fields[place..=place]).decode(&slices).unwrap();
        prop_assert_eq!(part.failures, []);
        prop_assert_eq!(&part.columns[0], &columns[place], "{}", fields[place].name);
    });
}

#[test]
fn the_schema_of_every_type_stands_for_the_same_columns() {
    let fields = every_type();
    let mut found = columns_of(&proto_schema_of(&fields).unwrap(), &[]).unwrap();
    // A message is there or not, whatever the schema says: `full_row` and others come back as they may be absent.
    let expected: Vec<String> = fields.iter().map(|f| relaxed(f).to_string()).collect();
    for field in &mut found {
        *field = FormatField {
            name: field.name.clone(),
            ty: relaxed(field),
        };
    }
    let types: Vec<String> = found.iter().map(|f| f.ty.to_string()).collect();
    assert_eq!(types, expected);
    let names =
        |fields: &[FormatField]| -> Vec<String> { fields.iter().map(|f| f.name.clone()).collect() };
    assert_eq!(names(&found), names(&fields));
}

/// The type with nullable messages, wherever they are a field; keys are never NULL.
fn relaxed(field: &FormatField) -> FlinkType {
    fn inner(ty: &FlinkType, is_field: bool) -> FlinkType {
        let is_message = matches!(
            ty.kind,
            TypeKind::Row(_)
                | TypeKind::Decimal { .. }
                | TypeKind::Date
                | TypeKind::Time(_)
                | TypeKind::Timestamp(_)
                | TypeKind::TimestampLtz(_)
        );
        let kind = match &ty.kind {
            TypeKind::Array(element) => TypeKind::Array(Box::new(inner(element, false))),
            TypeKind::Map(key, value) => TypeKind::Map(
                Box::new(inner(&key.with_nullable(false), false)),
                Box::new(inner(value, true)),
            ),
            TypeKind::Multiset(element) => {
                TypeKind::Multiset(Box::new(inner(&element.with_nullable(false), false)))
            }
            TypeKind::Row(fields) => TypeKind::Row(
                fields
                    .iter()
                    .map(|field| crate::types::RowField {
                        name: field.name.clone(),
                        ty: inner(&field.ty, true),
                    })
                    .collect(),
            ),
            other => other.clone(),
        };
        FlinkType {
            kind,
            nullable: ty.nullable || (is_field && is_message),
        }
    }
    inner(&field.ty, true)
}

#[test]
fn the_derived_schema_is_confluents() {
    let fields = columns(
        "id BIGINT NOT NULL, name VARCHAR(20), small TINYINT, at TIMESTAMP(3) NOT NULL, price DECIMAL(10, 2),
         tags ARRAY<STRING>, sizes ARRAY<INT NOT NULL> NOT NULL, props MAP<STRING, INT> NOT NULL, who ROW<age INT>",
    );
    let expected = r#"syntax = "proto3";

import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/protobuf/timestamp.proto";

message Row {
  int64 id = 1;
  optional string name = 2 [(confluent.field_meta) = {
    params: [
      { key: "flink.maxLength", value: "20" },
      { key: "flink.version", value: "1" }
    ]
  }];
  optional int32 small = 3 [(confluent.field_meta) = {
    params: [
      { key: "connect.type", value: "int8" }
    ]
  }];
  .google.protobuf.Timestamp at = 4 [(confluent.field_meta) = {
    params: [
      { key: "flink.precision", value: "3" },
      { key: "flink.type", value: "timestamp" },
      { key: "flink.version", value: "1" }
    ]
  }];
  optional .confluent.type.Decimal price = 5 [(confluent.field_meta) = {
    params: [
      { key: "precision", value: "10" },
      { key: "scale", value: "2" }
    ]
  }];
  optional .Row.tagsRepeatedWrapper tags = 6 [(confluent.field_meta) = {
    params: [
      { key: "flink.wrapped", value: "true" },
      { key: "flink.version", value: "1" }
    ]
  }];
  repeated int32 sizes = 7;
  repeated .Row.PropsEntry props = 8;
  optional .Row.who_Row who = 9;

  message tagsRepeatedWrapper {
    repeated .Row.tagsRepeatedWrapper.valueElementWrapper value = 1 [(confluent.field_meta) = {
      params: [
        { key: "flink.wrapped", value: "true" },
        { key: "flink.version", value: "1" }
      ]
    }];

    message valueElementWrapper {
      optional string value = 1;
    }
  }

  message PropsEntry {
    string key = 1;
    optional int32 value = 2;
  }

  message who_Row {
    optional int32 age = 1;
  }
}
"#;
    assert_eq!(proto_schema_of(&fields).unwrap(), expected);
}

#[test]
fn null_is_left_out_and_zero_where_there_is_no_null() {
    let fields = columns(
        "a INT, b INT NOT NULL, c STRING NOT NULL, d ARRAY<INT NOT NULL> NOT NULL, e ROW<x INT> NOT NULL",
    );
    let body = |row: Value| {
        let columns = rows_of(&fields, &[row]);
        encode(&fields, columns, 1).unwrap().remove(0)
    };
    assert_eq!(
        body(json!({"a": null, "b": 0, "c": "", "d": [], "e": {}})),
        [0, 0x2A, 0]
    );
    assert_eq!(
        body(json!({"a": 0, "b": -1, "c": "x", "d": [0, 300], "e": {"x": 0}})),
        [
            0, 0x08, 0, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0x1A, 1,
            b'x', 0x22, 3, 0, 0xAC, 2, 0x2A, 2, 0x08, 0
        ]
    );
}

#[test]
fn what_protobuf_cannot_hold_is_an_error() {
    let ints: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![None, Some(1)]));
    let error = encode(&columns("a INT NOT NULL"), vec![ints], 2).unwrap_err();
    assert!(error.message.contains("field a: NULL"), "{error}");
    let days: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![i32::MAX]));
    let error = encode(&columns("a DATE"), vec![days], 1).unwrap_err();
    assert!(error.message.contains("field a: a date"), "{error}");
    for kind in [
        TypeKind::IntervalDayTime,
        TypeKind::IntervalYearMonth,
        TypeKind::Time(6),
    ] {
        let fields = [FormatField {
            name: "a".to_owned(),
            ty: kind.nullable(),
        }];
        let error = proto_schema_of(&fields).unwrap_err();
        assert!(
            error.message.starts_with("field a: Protobuf has no form"),
            "{error}"
        );
    }
    let error = ProtoEncoder::new(columns("`a-b` INT")).unwrap_err();
    assert!(error.message.contains("names in Protobuf"), "{error}");
    let mut deep = TypeKind::Int.nullable();
    for _ in 0..40 {
        deep = TypeKind::Array(Box::new(deep)).nullable();
    }
    let deep = FormatField {
        name: "a".to_owned(),
        ty: deep,
    };
    let error = ProtoEncoder::new(vec![deep]).unwrap_err();
    assert!(
        error.message.contains("Protobuf schema of the columns"),
        "{error}"
    );
}

#[test]
fn names_that_meet_are_kept_apart() {
    let fields = columns(
        "a ROW<x INT>, a_Row INT, TagsEntry INT, tags MAP<STRING, INT> NOT NULL, `message` INT",
    );
    let row = json!({"a": {"x": 1}, "a_Row": 2, "TagsEntry": 3, "tags": {"k": 4}, "message": 5});
    let sent = rows_of(&fields, &[row]);
    let bodies = encode(&fields, sent.clone(), 1).unwrap();
    let decoded = decode(&proto_schema_of(&fields).unwrap(), &fields, &bodies);
    assert_eq!(decoded.failures, []);
    assert_eq!(decoded.columns, sent);
}

#[test]
fn the_format_registers_its_schema_and_frames_its_records() {
    let registry = Arc::new(Memory::default());
    let fields = columns("a INT");
    let options = BTreeMap::new();
    let spec = PartSpec {
        format: "proto-registry",
        options: &options,
        layout: &fields,
        subject: "t-value",
        registry: Some(Arc::clone(&registry) as Arc<dyn SchemaRegistry>),
    };
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    let sent = rows_of(&fields, &[json!({"a": 5})]);
    let mut encoder = spec.encoder(&fields).unwrap();
    let batch = Batch::inserts(sent.clone(), 1);
    encoder.encode(&batch, &mut buffer, &mut ends).unwrap();
    assert_eq!(buffer, [0, 0, 0, 0, 1, 0, 0x08, 5]);
    let (subject, schema_type, text) = registry.schemas.lock().unwrap()[0].clone();
    assert_eq!(
        (subject.as_str(), schema_type),
        ("t-value", SchemaType::Protobuf)
    );
    assert_eq!(text, proto_schema_of(&fields).unwrap());
    let mut decoder = spec.decoder(fields.clone(), &[]).unwrap();
    assert_eq!(decoder.decode(&[&buffer]).unwrap().columns, sent);
    let bad = BTreeMap::from([("proto-registry.id-encoding".to_owned(), "header".to_owned())]);
    let spec = PartSpec {
        options: &bad,
        ..spec
    };
    assert!(spec.decoder(fields.clone(), &[]).is_err());
    assert!(spec.encoder(&fields).is_err());
}
