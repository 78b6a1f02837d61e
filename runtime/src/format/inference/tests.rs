//! Schemas of every language, and the columns that they stand for.

use super::*;
use crate::format::avro::{Mapping, avro_schema_of};
use crate::format::registry::json_schema_of;
use crate::types::RowField;

/// Columns as a declaration.
fn declared(schema_type: SchemaType, schema: &str) -> Result<Vec<String>, String> {
    let schema = RegisteredSchema {
        id: 1,
        schema_type,
        schema: schema.to_owned(),
        references: Vec::new(),
    };
    let found = columns_of_schema(&schema, &[], "key").map_err(|error| error.message)?;
    let text = |field: &FormatField| format!("{} {}", field.name, field.ty);
    Ok(found.iter().map(text).collect())
}

/// Columns of many types, all of which have a form in Avro and JSON Schema.
fn many() -> Vec<FormatField> {
    let string = || Box::new(TypeKind::string().not_null());
    let row = TypeKind::Row(vec![
        RowField {
            name: "x".to_owned(),
            ty: TypeKind::Int.nullable(),
        },
        RowField {
            name: "y".to_owned(),
            ty: TypeKind::Timestamp(2).not_null(),
        },
    ]);
    let kinds = [
        TypeKind::Boolean,
        TypeKind::TinyInt,
        TypeKind::SmallInt,
        TypeKind::Int,
        TypeKind::BigInt,
        TypeKind::Float,
        TypeKind::Double,
        decimal(7, 3),
        TypeKind::Char(3),
        TypeKind::VarChar(9),
        TypeKind::string(),
        TypeKind::Binary(4),
        TypeKind::VarBinary(8),
        TypeKind::bytes(),
        TypeKind::Date,
        TypeKind::Time(0),
        TypeKind::Timestamp(3),
        TypeKind::Timestamp(1),
        TypeKind::TimestampLtz(6),
        TypeKind::Array(Box::new(row.clone().nullable())),
        TypeKind::Map(string(), Box::new(row.clone().not_null())),
        TypeKind::Map(Box::new(TypeKind::Int.not_null()), string()),
        TypeKind::Multiset(string()),
        row,
    ];
    let field = |(place, kind): (usize, TypeKind)| FormatField {
        name: format!("c{place}"),
        ty: FlinkType {
            kind,
            nullable: place % 2 == 0,
        },
    };
    kinds.into_iter().enumerate().map(field).collect()
}

#[test]
fn what_was_derived_from_columns_stands_for_them() {
    let fields = many();
    let expected: Vec<String> = fields
        .iter()
        .map(|field| format!("{} {}", field.name, field.ty))
        .collect();
    let avro = avro_schema_of(&fields, Mapping::Confluent).unwrap();
    assert_eq!(declared(SchemaType::Avro, &avro).unwrap(), expected);
    let json = json_schema_of(&fields).unwrap();
    assert_eq!(declared(SchemaType::Json, &json).unwrap(), expected);
}

#[test]
fn avro_unions_enums_and_names_are_columns() {
    let schema = r#"{"type": "record", "name": "R", "namespace": "a.b", "fields": [
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X"]}},
        {"name": "again", "type": ["null", "E"]},
        {"name": "u", "type": ["int", "string", {"type": "record", "name": "N", "fields": [{"name": "x", "type": "a.b.E"}]}]},
        {"name": "v", "type": ["null", "N", "long"]},
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "micros", "type": {"type": "long", "logicalType": "time-micros"}}
    ]}"#;
    assert_eq!(
        declared(SchemaType::Avro, schema).unwrap(),
        [
            "e STRING NOT NULL",
            "again STRING",
            "u ROW<`int` INT, `string` STRING, `N` ROW<`x` STRING NOT NULL>> NOT NULL",
            "v ROW<`N` ROW<`x` STRING NOT NULL>, `long` BIGINT>",
            "uuid STRING NOT NULL",
            "micros BIGINT NOT NULL",
        ]
    );
    for (schema, expected) in [
        ("\"int\"", ["key INT NOT NULL"].as_slice()),
        ("string", &["key STRING NOT NULL"]),
        (r#"["null", "long"]"#, &["key BIGINT"]),
        (r#"["int", "string"]"#, &["int INT", "string STRING"]),
    ] {
        assert_eq!(declared(SchemaType::Avro, schema).unwrap(), expected);
    }
}

#[test]
fn json_schemas_of_others_are_columns() {
    let schema = r##"{"type": "object", "required": ["id", "of"], "properties": {
        "id": {"type": "integer"},
        "price": {"type": "number"},
        "kind": {"enum": ["A", "B"]},
        "note": {"type": ["string", "null"]},
        "of": {"$ref": "#/$defs/part"},
        "both": {"allOf": [{"$ref": "#/$defs/part"}, {"type": "object", "properties": {"y": {"type": "boolean"}}}]},
        "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "list": {"type": "array", "items": {"type": "string", "maxLength": 5}}
    }, "$defs": {"part": {"properties": {"x": {"type": "integer"}}}}}"##;
    let mut found = declared(SchemaType::Json, schema).unwrap();
    found.sort();
    assert_eq!(
        found,
        [
            "both ROW<`x` BIGINT, `y` BOOLEAN>",
            "either ROW<`connect_union_field_0` STRING, `connect_union_field_1` BIGINT>",
            "id BIGINT NOT NULL",
            "kind STRING",
            "list ARRAY<VARCHAR(5) NOT NULL>",
            "note STRING",
            "of ROW<`x` BIGINT> NOT NULL",
            "price DOUBLE",
        ]
    );
    assert_eq!(
        declared(SchemaType::Json, r#"{"type": "string"}"#).unwrap(),
        ["key STRING NOT NULL"]
    );
}

#[test]
fn protobuf_is_among_the_languages() {
    let schema = "syntax = \"proto3\"; message M { int32 a = 1; }";
    assert_eq!(
        declared(SchemaType::Protobuf, schema).unwrap(),
        ["a INT NOT NULL"]
    );
}

#[test]
fn what_has_no_columns_is_refused() {
    let deep =
        r#"{"type": "array", "items": "#.repeat(70) + r#"{"type": "string"}"# + &"}".repeat(70);
    for (schema_type, schema, part) in [
        (SchemaType::Avro, "{", "the Avro schema"),
        (SchemaType::Avro, r#""Lost""#, "the Avro schema"),
        (
            SchemaType::Avro,
            r#"{"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]}"#,
            "record R holds itself",
        ),
        (SchemaType::Json, "[", "the JSON Schema"),
        (SchemaType::Json, "{}", "without a type"),
        (SchemaType::Json, r#"{"type": "array"}"#, "items"),
        (SchemaType::Json, r#"{"$ref": "other.json"}"#, "other.json"),
        (
            SchemaType::Json,
            r##"{"properties": {"a": {"$ref": "#"}}}"##,
            "64 levels",
        ),
        (SchemaType::Json, deep.as_str(), "64 levels"),
        (SchemaType::Protobuf, "", "no message"),
    ] {
        let error = declared(schema_type, schema).unwrap_err();
        assert!(error.contains(part), "{schema}: {error}");
    }
}
