//! Framed records: the registry, its absence, and what each format takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int32Type;

use super::tests::field;
use super::*;
use crate::batch::Batch;
use crate::error::Result;
use crate::format::FailureCode::{self, UnknownSchema};
use crate::format::registry::memory::{Memory, frame};
use crate::format::registry::{SchemaRegistry, SchemaType};
use crate::format::{Decoded, Decoder, FormatField, PartSpec};
use crate::types::TypeKind;

/// What the format of a name is made from.
fn spec<'a>(
    format: &'a str,
    options: &'a BTreeMap<String, String>,
    layout: &'a [FormatField],
    registry: &Arc<Memory>,
) -> PartSpec<'a> {
    PartSpec {
        format,
        options,
        layout,
        subject: "t-value",
        registry: Some(Arc::clone(registry) as Arc<dyn SchemaRegistry>),
    }
}

#[test]
fn framed_records_are_read_back_and_bad_frames_fail_alone() {
    let fields = [
        field("a", TypeKind::Int.nullable()),
        field("b", TypeKind::TinyInt.not_null()),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(arrow::array::Int32Array::from(vec![Some(1), None])),
        Arc::new(arrow::array::Int8Array::from(vec![5, 6])),
    ];
    for format in ["avro-registry", "avro-confluent"] {
        let registry = Arc::new(Memory::default());
        let options = BTreeMap::new();
        let spec = spec(format, &options, &fields, &registry);
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        let batch = Batch::inserts(columns.clone(), 2);
        let mut encoder = spec.encoder(&fields).unwrap();
        encoder.encode(&batch, &mut buffer, &mut ends).unwrap();
        assert_eq!(buffer, [0, 0, 0, 0, 1, 2, 2, 10, 0, 0, 0, 0, 1, 0, 12]);
        let (subject, schema_type, text) = registry.schemas.lock().unwrap()[0].clone();
        assert_eq!(
            (subject.as_str(), schema_type),
            ("t-value", SchemaType::Avro)
        );
        assert_eq!(text.contains("connect.type"), format == "avro-registry");
        registry.register("j", SchemaType::Json, "{}").unwrap();
        registry.register("x", SchemaType::Avro, "[oops").unwrap();
        let mut decoder = spec.decoder(fields.to_vec(), &[]).unwrap();
        let records: [&[u8]; 7] = [
            &buffer[..ends[0]],
            &[0, 0, 0],
            &[1, 0, 0, 0, 1, 2, 2, 10],
            &frame(2, b"{}"),
            &frame(3, &[2, 2, 10]),
            &frame(1, &[2, 2, 10, 0]),
            &buffer[ends[0]..],
        ];
        let found = decoder.decode(&records).unwrap();
        let codes: Vec<_> = found.failures.iter().map(|f| (f.row, f.code)).collect();
        let unknown = |row| (row, UnknownSchema);
        assert_eq!(
            codes,
            [
                unknown(1),
                unknown(2),
                unknown(3),
                unknown(4),
                (5, FailureCode::Malformed)
            ]
        );
        assert_eq!(found.columns, columns);
    }
}

#[test]
fn schemas_are_asked_for_once_and_an_absent_registry_costs_no_record() {
    let fields = [field("a", TypeKind::Int.nullable())];
    let registry = Arc::new(Memory::default());
    let (options, id) = (BTreeMap::new(), 1);
    let mut decoder = spec("avro-registry", &options, &fields, &registry)
        .decoder(fields.to_vec(), &[])
        .unwrap();
    let record = frame(id, &[2, 8]);
    let decode = |decoder: &mut Box<dyn Decoder>| -> Result<Decoded> {
        decoder.decode(&[record.as_slice(), &record])
    };
    // Unknown ids are asked for again with the next batch.
    assert_eq!(decode(&mut decoder).unwrap().failures.len(), 2);
    registry.is_away.store(true, SeqCst);
    assert!(decode(&mut decoder).is_err());
    registry.is_away.store(false, SeqCst);
    let schema = avro_schema_of(&fields, Mapping::Confluent).unwrap();
    registry
        .register("t-value", SchemaType::Avro, &schema)
        .unwrap();
    let before = registry.questions.load(SeqCst);
    for _ in 0..3 {
        let found = decode(&mut decoder).unwrap();
        assert_eq!(
            found.columns[0].as_primitive::<Int32Type>().values(),
            &[4, 4]
        );
    }
    registry.is_away.store(true, SeqCst);
    assert_eq!(decode(&mut decoder).unwrap().failures.len(), 0);
    assert_eq!(registry.questions.load(SeqCst), before + 1);
}

#[test]
fn a_schema_that_is_no_record_stands_for_the_only_column() {
    let registry = Arc::new(Memory::default());
    registry
        .register("t-key", SchemaType::Avro, "\"string\"")
        .unwrap();
    let record = frame(1, b"\x04hi");
    let one = [field("key", TypeKind::string().not_null())];
    let mut decoder =
        AvroRegistryDecoder::new(registry.clone(), "t-key", &one, one.to_vec()).unwrap();
    let found = decoder.decode(&[&record]).unwrap();
    assert_eq!(found.columns[0].as_string::<i32>().value(0), "hi");
    let two = [one[0].clone(), field("b", TypeKind::Int.nullable())];
    let mut decoder = AvroRegistryDecoder::new(registry, "t-key", &two, one.to_vec()).unwrap();
    let failures = decoder.decode(&[&record]).unwrap().failures;
    assert_eq!(failures[0].code, UnknownSchema);
}

#[test]
fn the_types_of_a_union_stand_for_columns() {
    let registry = Arc::new(Memory::default());
    let schema = r#"["null", "int", {"type": "record", "name": "User", "namespace": "a.b", "fields": [
        {"name": "name", "type": "string"}]}]"#;
    registry.register("t", SchemaType::Avro, schema).unwrap();
    let user = TypeKind::Row(vec![crate::types::RowField {
        name: "name".into(),
        ty: TypeKind::string().not_null(),
    }]);
    let columns = [
        field("int", TypeKind::Int.nullable()),
        field("User", user.nullable()),
    ];
    let records = [frame(1, &[2, 8]), frame(1, b"\x04\x02x"), frame(1, &[0])];
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let read = |asked: &[FormatField]| {
        AvroRegistryDecoder::new(registry.clone(), "t", &columns, asked.to_vec())
            .unwrap()
            .decode(&records)
            .unwrap()
    };
    let found = read(&columns);
    assert_eq!(found.failures, []);
    let ints: Vec<_> = found.columns[0]
        .as_primitive::<Int32Type>()
        .iter()
        .collect();
    assert_eq!(ints, [Some(4), None, None]);
    let users = found.columns[1].as_struct();
    let valid: Vec<bool> = (0..3)
        .map(|row| arrow::array::Array::is_valid(users, row))
        .collect();
    assert_eq!(valid, [false, true, false]);
    assert_eq!(users.column(0).as_string::<i32>().value(1), "x");
    assert_eq!(&read(&columns[1..]).columns[0], &found.columns[1]);
    let other = [field("other", TypeKind::Int.nullable())];
    assert_eq!(read(&other).failures.len(), 3);
}

#[test]
fn options_are_honoured_or_refused() {
    let check = |format: &str, pairs: &[(&str, &str)]| {
        let options = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let fields = [field("a", TypeKind::Timestamp(6).nullable())];
        spec(format, &options, &fields, &Arc::new(Memory::default()))
            .decoder(fields.to_vec(), &[])
            .map(|_| ())
            .map_err(|error| error.message)
    };
    check("avro", &[("avro.timestamp_mapping.legacy", "false")]).unwrap();
    check(
        "avro",
        &[
            ("avro.timestamp_mapping.legacy", "false"),
            ("avro.encoding", "binary"),
        ],
    )
    .unwrap();
    assert!(
        check("avro", &[])
            .unwrap_err()
            .contains("avro.timestamp_mapping.legacy")
    );
    for pair in [
        ("avro.encoding", "json"),
        ("avro.codec", "snappy"),
        ("avro.codecs", "x"),
        ("avro.timestamp_mapping.legacy", "maybe"),
    ] {
        assert!(
            check("avro", &[pair]).unwrap_err().contains(pair.0),
            "{pair:?}"
        );
    }
    check("avro-registry", &[("avro-registry.id-encoding", "payload")]).unwrap();
    for pair in [
        ("avro-registry.id-encoding", "header"),
        ("avro-registry.schema-id", "1"),
    ] {
        assert!(
            check("avro-registry", &[pair])
                .unwrap_err()
                .contains(pair.0),
            "{pair:?}"
        );
    }
    check(
        "avro-confluent",
        &[("avro-confluent.url", "http://localhost:8081")],
    )
    .unwrap();
    for pair in [
        ("avro-confluent.url", "localhost"),
        ("avro-confluent.basic-auth.user-info", "me"),
        ("avro-confluent.ssl.keystore.location", "x"),
        ("avro-confluent.subjects", "x"),
    ] {
        assert!(check("avro-confluent", &[pair]).is_err(), "{pair:?}");
    }
}
