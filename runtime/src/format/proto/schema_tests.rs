//! Schemas that others registered: references, evolution, several messages, and the columns that they stand for.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::tests::{columns, json_of, row_of};
use super::*;
use crate::format::registry::memory::{Memory, frame};
use crate::format::registry::{
    ReferencedSchema, RegisteredSchema, SchemaReference, SchemaRegistry, SchemaType,
};
use crate::format::{Decoded, Decoder, FailureCode, FormatField};

/// A decoder of all fields of a part.
fn decoder(registry: &Arc<Memory>, fields: &[FormatField]) -> ProtoRegistryDecoder {
    let registry = Arc::clone(registry) as Arc<dyn SchemaRegistry>;
    ProtoRegistryDecoder::new(registry, fields, fields.to_vec()).unwrap()
}

/// Registers a schema.
fn register(registry: &Memory, subject: &str, schema: &str) -> i32 {
    registry
        .register(subject, SchemaType::Protobuf, schema)
        .unwrap()
}

/// The rows of records as JSON; all must be good.
fn rows(
    decoder: &mut ProtoRegistryDecoder,
    fields: &[FormatField],
    records: &[&[u8]],
) -> Vec<Value> {
    let Decoded {
        columns, failures, ..
    } = decoder.decode(records).unwrap();
    assert_eq!(failures, []);
    json_of(fields, columns, records.len())
}

/// Columns as a declaration.
fn declared(schema: &str) -> Result<Vec<String>, String> {
    let found = columns_of(schema, &[]).map_err(|error| error.message)?;
    let text = |field: &FormatField| format!("{} {}", field.name, field.ty);
    Ok(found.iter().map(text).collect())
}

#[test]
fn fields_are_matched_by_name_whatever_their_numbers() {
    let registry = Arc::new(Memory::default());
    let old = register(
        &registry,
        "t-value",
        "syntax = \"proto3\"; message M { int32 id = 1; string gone = 2; string name = 3; }",
    );
    let new = register(
        &registry,
        "t-value",
        "syntax = \"proto3\"; message M { string name = 1; optional double added = 2; int32 id = 7; N n = 8; } message N {}",
    );
    let fields = columns(
        "id INT NOT NULL, name STRING, added DOUBLE, n ROW<later INT>, later BIGINT NOT NULL, tags ARRAY<INT> NOT NULL",
    );
    let mut decoder = decoder(&registry, &fields);
    let first = frame(old, &[0, 0x08, 1, 0x12, 1, b'x', 0x1A, 1, b'a']);
    let second = frame(new, &[0, 0x0A, 1, b'b', 0x38, 2, 0x42, 0]);
    let expected = [
        json!({"id": 1, "name": "a", "added": null, "n": null, "later": 0, "tags": []}),
        json!({"id": 2, "name": "b", "added": null, "n": {"later": null}, "later": 0, "tags": []}),
    ];
    assert_eq!(rows(&mut decoder, &fields, &[&first, &second]), expected);
    // What Protobuf has no zero for is NULL, which the column has to take.
    let fields = columns("at DATE NOT NULL");
    let failures = self::decoder(&registry, &fields)
        .decode(&[&first])
        .unwrap()
        .failures;
    assert_eq!(failures[0].code, FailureCode::NullValue);
}

#[test]
fn a_record_says_which_message_it_is_of() {
    let registry = Arc::new(Memory::default());
    let schema = "syntax = \"proto3\"; message A { int32 x = 1; map<string, int32> m = 2; message B { int32 x = 2; \
                  message C { int32 x = 3; } } } message D { int32 x = 4; }";
    let id = register(&registry, "t-value", schema);
    let fields = columns("x INT");
    let mut decoder = decoder(&registry, &fields);
    let records = [
        frame(id, &[0, 0x08, 1]),
        frame(id, &[2, 0, 0x08, 2]),
        frame(id, &[4, 0, 0, 0x10, 3]),
        frame(id, &[6, 0, 0, 0, 0x18, 4]),
        frame(id, &[2, 2, 0x20, 5]),
    ];
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let expected: Vec<Value> = (1..=5).map(|x| json!({"x": x})).collect();
    assert_eq!(rows(&mut decoder, &fields, &slices), expected);
    // A map's hidden message has a place in what Python writes, whose schemas are descriptors.
    let parsed = super::parse::parse(schema, &[]).unwrap();
    let file = parsed.message(&[0]).unwrap().parent_file();
    let descriptor = register(
        &registry,
        "python-value",
        &STANDARD.encode(file.encode_to_vec()),
    );
    let hidden = frame(descriptor, &[4, 0, 2, 0x10, 3]);
    let behind = frame(id, &[4, 0, 2, 0x10, 3]);
    assert_eq!(
        rows(&mut decoder, &fields, &[&hidden, &behind]),
        [json!({"x": 3}), json!({"x": 3})]
    );
    let bad = [
        frame(descriptor, &[4, 0, 0, 0x10, 3]),
        frame(id, &[]),
        frame(id, &[2]),
        frame(id, &[2, 4]),
        frame(id, &[4, 0, 4]),
        frame(id, &[4, 2, 0]),
        frame(id, &[1, 0]),
        frame(id, &[200, 1, 0]),
        frame(
            id,
            &[2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        ),
        frame(9, &[0]),
        frame(register(&registry, "j", "message {"), &[0]),
        frame(
            registry.register("a", SchemaType::Avro, "\"int\"").unwrap(),
            &[0],
        ),
        vec![0, 0],
    ];
    let slices: Vec<&[u8]> = bad.iter().map(Vec::as_slice).collect();
    let failures = decoder.decode(&slices).unwrap().failures;
    assert_eq!(failures.len(), bad.len());
    for failure in failures {
        assert_eq!(failure.code, FailureCode::UnknownSchema, "{failure:?}");
    }
}

#[test]
fn each_of_several_messages_has_a_column() {
    let registry = Arc::new(Memory::default());
    let schema = "syntax = \"proto3\"; message Purchase { string item = 1; int32 id = 2; } \
                  message View { string url = 1; bool special = 2; }";
    let id = register(&registry, "t-value", schema);
    let fields = columns_of(schema, &[]).unwrap();
    let text: Vec<String> = fields
        .iter()
        .map(|f| format!("{} {}", f.name, f.ty))
        .collect();
    assert_eq!(
        text,
        [
            "Purchase ROW<`item` STRING NOT NULL, `id` INT NOT NULL>",
            "View ROW<`url` STRING NOT NULL, `special` BOOLEAN NOT NULL>",
        ]
    );
    let purchase = frame(id, &[0, 0x0A, 1, b'x', 0x10, 3]);
    let view = frame(id, &[2, 2, 0x0A, 1, b'u', 0x10, 1]);
    assert_eq!(
        rows(
            &mut decoder(&registry, &fields),
            &fields,
            &[&purchase, &view]
        ),
        [
            json!({"Purchase": {"item": "x", "id": 3}, "View": null}),
            json!({"Purchase": null, "View": {"url": "u", "special": true}}),
        ]
    );
    // Only one is asked for; records of the other are checked all the same.
    let only = &fields[1..];
    let mut decoder = ProtoRegistryDecoder::new(registry, &fields, only.to_vec()).unwrap();
    let broken = frame(id, &[0, 0x0A]);
    let found = decoder.decode(&[&purchase, &broken, &view]).unwrap();
    assert_eq!(found.failures.len(), 1);
    assert_eq!(found.failures[0].row, 1);
    assert_eq!(
        json_of(only, found.columns, 2),
        [
            json!({"View": null}),
            json!({"View": {"url": "u", "special": true}})
        ]
    );
}

#[test]
fn messages_of_other_schemas_are_read() {
    let reference = |name: &str, subject: &str| SchemaReference {
        name: name.to_owned(),
        subject: subject.to_owned(),
        version: 1,
    };
    let registry = Arc::new(Memory::default());
    let city = "syntax = \"proto3\"; package geo; message City { string name = 1; }";
    let address = "syntax = \"proto3\"; package geo; import \"geo/city.proto\"; message Address { City city = 2; }";
    let order = "syntax = \"proto3\"; import \"address.proto\"; import \"google/type/date.proto\"; \
                 message Order { geo.Address to = 1; google.type.Date on = 2; }";
    register(&registry, "city", city);
    let id = register(&registry, "address", address);
    registry.refer(id, vec![reference("geo/city.proto", "city")]);
    let id = register(&registry, "t-value", order);
    registry.refer(id, vec![reference("address.proto", "address")]);
    let fields = columns("`to` ROW<city ROW<name STRING>>, `on` DATE");
    let record = frame(
        id,
        b"\0\x0A\x08\x12\x06\x0A\x04Oslo\x12\x07\x08\xE8\x0F\x10\x03\x18\x01",
    );
    assert_eq!(
        rows(&mut decoder(&registry, &fields), &fields, &[&record]),
        [json!({"to": {"city": {"name": "Oslo"}}, "on": "2024-03-01"})]
    );
    registry.refer(id, vec![reference("address.proto", "nowhere")]);
    let failures = decoder(&registry, &fields)
        .decode(&[&record])
        .unwrap()
        .failures;
    assert!(
        failures[0].message.contains("subject nowhere"),
        "{failures:?}"
    );
    registry.refer(id, vec![]);
    let failures = decoder(&registry, &fields)
        .decode(&[&record])
        .unwrap()
        .failures;
    assert!(
        failures[0].message.contains("address.proto"),
        "{failures:?}"
    );

    let referenced = |name: &str, schema: &str| ReferencedSchema {
        name: name.to_owned(),
        schema: RegisteredSchema {
            id: 1,
            schema_type: SchemaType::Protobuf,
            schema: schema.to_owned(),
            references: Vec::new(),
        },
    };
    let both = [
        referenced("geo/city.proto", city),
        referenced("address.proto", address),
    ];
    let found = columns_of(order, &both).unwrap();
    assert_eq!(
        found[0].ty.to_string(),
        "ROW<`city` ROW<`name` STRING NOT NULL>>"
    );
}

#[test]
fn descriptors_in_base64_are_read_with_their_annotations() {
    let schema = "syntax = \"proto3\"; import \"confluent/meta.proto\"; message M { int32 a = 1 \
                  [(confluent.field_meta) = { params: [{ key: \"connect.type\", value: \"int8\" }] }]; }";
    let parsed = super::parse::parse(schema, &[]).unwrap();
    let message = parsed.message(&[0]).unwrap();
    let bytes = message.parent_file().encode_to_vec();
    let text = STANDARD.encode(bytes);
    assert_eq!(declared(&text).unwrap(), ["a TINYINT NOT NULL"]);
    assert_eq!(
        row_of(&text, "a TINYINT", &[0x08, 5]).unwrap(),
        json!({"a": 5})
    );
}

#[test]
fn annotations_are_found_in_confluents_own_package_too() {
    let schema = "syntax = \"proto3\"; package io.confluent.protobuf.generated; import \"confluent/meta.proto\"; \
                  message Row { string a = 1 [(confluent.field_meta) = { params: [{ value: \"3\", key: \"flink.maxLength\" }, \
                  { key: \"flink.minLength\", value: \"3\" }] }]; }";
    assert_eq!(declared(schema).unwrap(), ["a CHAR(3) NOT NULL"]);
}

#[test]
fn schemas_stand_for_columns() {
    let schema = "syntax = \"proto3\"; import \"confluent/meta.proto\"; import \"google/protobuf/wrappers.proto\"; \
        import \"google/protobuf/timestamp.proto\"; import \"google/type/date.proto\"; import \"google/type/timeofday.proto\"; \
        import \"confluent/type/decimal.proto\"; \
        message M { bool a = 1; optional int32 b = 2; uint32 c = 3; fixed64 d = 4; float e = 5; string f = 6; bytes g = 7; \
        E h = 8; repeated E i = 9; map<string, double> j = 10; N k = 11; repeated N l = 12; \
        google.protobuf.Int64Value m = 13; repeated google.protobuf.StringValue n = 14; google.protobuf.Timestamp o = 15; \
        google.type.Date p = 16; google.type.TimeOfDay q = 17; confluent.type.Decimal r = 18; \
        oneof s { int32 t = 19; N u = 20; } enum E { X = 0; } message N { int32 x = 1; } }";
    assert_eq!(
        declared(schema).unwrap(),
        [
            "a BOOLEAN NOT NULL",
            "b INT",
            "c BIGINT NOT NULL",
            "d BIGINT NOT NULL",
            "e FLOAT NOT NULL",
            "f STRING NOT NULL",
            "g BYTES NOT NULL",
            "h STRING NOT NULL",
            "i ARRAY<STRING NOT NULL> NOT NULL",
            "j MAP<STRING NOT NULL, DOUBLE NOT NULL> NOT NULL",
            "k ROW<`x` INT NOT NULL>",
            "l ARRAY<ROW<`x` INT NOT NULL> NOT NULL> NOT NULL",
            "m BIGINT",
            "n ARRAY<STRING> NOT NULL",
            "o TIMESTAMP_LTZ(9)",
            "p DATE",
            "q TIME(3)",
            "r DECIMAL(10, 0)",
            "s ROW<`t` INT, `u` ROW<`x` INT NOT NULL>>",
        ]
    );
    // Messages that others hold are no columns of their own.
    let nested =
        "syntax = \"proto3\"; message Inner { int32 x = 1; } message Outer { Inner i = 1; }";
    assert_eq!(declared(nested).unwrap(), ["i ROW<`x` INT NOT NULL>"]);
    let proto2 = "syntax = \"proto2\"; message M { required int32 a = 1; optional int32 b = 2; }";
    assert_eq!(declared(proto2).unwrap(), ["a INT NOT NULL", "b INT"]);
}

#[test]
fn what_has_no_columns_is_refused() {
    let wide: Vec<String> = (0..12)
        .map(|level| {
            let field = |n| format!("M{} f{n} = {n};", level + 1);
            let fields: Vec<String> = (1..=4).map(field).collect();
            format!("message M{level} {{ {} }} ", fields.concat())
        })
        .collect();
    let wide = wide.concat();
    let wide = format!("syntax = \"proto3\"; {wide} message M12 {{ int32 x = 1; }}");
    let brackets = format!(
        "syntax = \"proto3\"; option a = {{{}",
        "a {".repeat(100_000)
    );
    for (schema, part) in [
        ("", "has no message"),
        ("syntax = \"proto3\"; message M { Lost l = 1; }", "Lost"),
        ("syntax = \"proto3\"; import \"lost.proto\";", "lost.proto"),
        (
            "syntax = \"proto3\"; message M { int32 a = 1; int32 b = 1; }",
            "1",
        ),
        (
            "syntax = \"proto3\"; message M { M m = 1; }",
            "message M holds itself",
        ),
        (
            "syntax = \"proto3\"; import \"google/protobuf/struct.proto\"; message M { google.protobuf.Struct s = 1; }",
            "holds itself",
        ),
        (
            "syntax = \"proto2\"; message M { optional group G = 1 {} }",
            "groups",
        ),
        (wide.as_str(), "more than 10000 fields"),
        (brackets.as_str(), "100 levels of brackets"),
    ] {
        let error = declared(schema).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
