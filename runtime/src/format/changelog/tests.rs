//! Envelopes of each program, read and written.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringArray};
use proptest::prelude::*;

use crate::batch::{Batch, RowKind};
use crate::format::FailureCode::{self, Malformed, NullValue, TypeMismatch};
use crate::format::registry::SchemaRegistry;
use crate::format::registry::memory::Memory;
use crate::format::{Decoded, FormatField, PartSpec};
use crate::types::{FlinkType, TypeKind};

/// Every format of changes.
const FORMATS: [&str; 8] = [
    "debezium-json",
    "canal-json",
    "maxwell-json",
    "ogg-json",
    "debezium-avro-confluent",
    "json-debezium-registry",
    "avro-debezium-registry",
    "proto-debezium-registry",
];

/// A field.
fn field(name: &str, ty: FlinkType) -> FormatField {
    FormatField {
        name: name.to_owned(),
        ty,
    }
}

/// `id INT NOT NULL, name STRING, weight INT`.
fn fields() -> Vec<FormatField> {
    vec![
        field("id", TypeKind::Int.not_null()),
        field("name", TypeKind::string().nullable()),
        field("weight", TypeKind::Int.nullable()),
    ]
}

/// Options of a format, without its name.
fn options(format: &str, options: &[(&str, &str)]) -> BTreeMap<String, String> {
    let named = |(name, value): &(&str, &str)| (format!("{format}.{name}"), (*value).to_owned());
    options.iter().map(named).collect()
}

/// Decodes records.
fn decode(
    format: &str,
    own: &[(&str, &str)],
    (fields, metadata): (&[FormatField], &[&str]),
    records: &[&str],
) -> Decoded {
    let own = options(format, own);
    let spec = PartSpec {
        format,
        options: &own,
        layout: fields,
        subject: "t-value",
        registry: None,
    };
    let metadata: Vec<String> = metadata.iter().map(|key| (*key).to_owned()).collect();
    let mut decoder = spec.decoder(fields.to_vec(), &metadata).unwrap();
    let records: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
    decoder.decode(&records).unwrap()
}

/// The rows of what was decoded: record, kind and values.
fn rows(decoded: &Decoded) -> Vec<String> {
    let changes = decoded.changes.as_ref().unwrap();
    let formats = arrow::util::display::FormatOptions::new().with_null("NULL");
    let columns: Vec<_> = decoded
        .columns
        .iter()
        .map(|column| {
            assert_eq!(column.len(), changes.kinds.len());
            arrow::util::display::ArrayFormatter::try_new(column, &formats).unwrap()
        })
        .collect();
    let rows = changes.kinds.iter().zip(&changes.records).enumerate();
    rows.map(|(row, (kind, record))| {
        let values: Vec<String> = columns
            .iter()
            .map(|column| column.value(row).to_string())
            .collect();
        format!("{record} {}({})", kind.short_name(), values.join(", "))
    })
    .collect()
}

/// Records and reasons of failures.
fn failures(decoded: &Decoded) -> Vec<(usize, FailureCode)> {
    let failures = decoded.failures.iter();
    failures
        .map(|failure| (failure.row, failure.code))
        .collect()
}

#[test]
fn debezium_reads_each_operation() {
    let records = [
        r#"{"before":null,"after":{"id":1,"name":"nut","weight":5},"op":"c","ts_ms":1}"#,
        r#"{"before":null,"after":{"name":"bolt","id":2},"op":"r","source":{"db":"shop"}}"#,
        r#"{"op":"u","after":{"id":1,"name":"nut","weight":6},"before":{"id":1,"name":"nut","weight":5}}"#,
        r#"{"before":{"id":2,"name":"bolt","weight":null},"after":null,"op":"d"}"#,
        "",
    ];
    let found = decode("debezium-json", &[], (&fields(), &[]), &records);
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    assert_eq!(
        rows(&found),
        [
            "0 +I(1, nut, 5)",
            "1 +I(2, bolt, NULL)",
            "2 -U(1, nut, 5)",
            "2 +U(1, nut, 6)",
            "3 -D(2, bolt, NULL)",
        ]
    );
    // Only what is asked for is read, and rows are counted without any column.
    let weight = [fields().remove(2)];
    let found = decode("debezium-json", &[], (&weight, &[]), &records);
    assert_eq!(rows(&found)[2..4], ["2 -U(5)", "2 +U(6)"]);
    let found = decode("debezium-json", &[], (&[], &[]), &records);
    assert!(found.columns.is_empty());
    assert_eq!(rows(&found).len(), 5);
}

#[test]
fn bad_envelopes_fail_alone() {
    let records = [
        r#"{"before":null,"after":{"id":1,"name":"nut"},"op":"u"}"#,
        r#"{"before":null,"after":{"id":1,"name":"nut"},"op":"d"}"#,
        r#"{"before":null,"after":null,"op":"c"}"#,
        r#"{"after":{"id":1},"op":"x"}"#,
        r#"{"after":{"id":1}}"#,
        r#"{"after":{"id":"one"},"op":"c"}"#,
        r#"{"before":{"id":1},"after":{"id":null},"op":"u"}"#,
        r#"{"before":7,"after":{"id":1},"op":"u"}"#,
        r#"{"after":{"id":1},"op":"c""#,
        "[]",
        r#"{"after":{"id":2},"op":"c"}"#,
    ];
    let found = decode("debezium-json", &[], (&fields(), &[]), &records);
    assert_eq!(rows(&found), ["10 +I(2, NULL, NULL)"]);
    let codes = [
        (0, NullValue),
        (1, NullValue),
        (2, NullValue),
        (3, Malformed),
        (4, Malformed),
        (5, TypeMismatch),
        (6, NullValue),
        (7, TypeMismatch),
        (8, Malformed),
        (9, Malformed),
    ];
    assert_eq!(failures(&found), codes);
    assert!(found.failures[0].message.contains("REPLICA IDENTITY"));
    assert!(
        found.failures[3]
            .message
            .contains("field \"op\": unknown operation")
    );
    assert!(found.failures[6].message.starts_with("field \"after.id\""));
}

#[test]
fn ignored_parse_errors_are_nulls_or_nothing() {
    let records = [
        r#"{"after":{"id":1,"name":"nut","weight":"heavy"},"op":"c"}"#,
        r#"{"after":{"id":"one","name":"nut"},"op":"c"}"#,
        r#"{"after":{"id":1},"op":"x"}"#,
        "no JSON",
        r#"{"before":null,"after":{"id":3},"op":"u"}"#,
        r#"{"before":{"id":3},"op":"d"}"#,
    ];
    let own = [("ignore-parse-errors", "true")];
    let found = decode("debezium-json", &own, (&fields(), &[]), &records);
    assert!(found.failures.is_empty());
    assert_eq!(rows(&found), ["0 +I(1, nut, NULL)", "5 -D(3, NULL, NULL)"]);
}

#[test]
fn debezium_reads_schemas_and_metadata() {
    let record = r#"{"schema":{"type":"struct", "n":1},"payload":{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u","ts_ms":1704067200123,"source":{"ts_ms":1704067200001,"db":"shop","schema":"public","table":"parts","lsn":42,"x":null}}}"#;
    let own = [("schema-include", "true")];
    let keys = [
        "schema",
        "ingestion-timestamp",
        "source.timestamp",
        "source.database",
        "source.schema",
        "source.table",
        "source.properties",
    ];
    let id = [fields().remove(0)];
    let found = decode(
        "debezium-json",
        &own,
        (&id, &keys),
        &[record, r#"{"op":"c"}"#],
    );
    let rest = r#"(1, {"type":"struct","n":1}, 2024-01-01T00:00:00.123, 2024-01-01T00:00:00.001, shop, public, parts, {ts_ms: 1704067200001, db: shop, schema: public, table: parts, lsn: 42, x: NULL})"#;
    assert_eq!(rows(&found), [format!("0 -U{rest}"), format!("0 +U{rest}")]);
    assert_eq!(failures(&found), [(1, Malformed)]);
    assert!(found.failures[0].message.contains("schema-include"));
    // Without a source its metadata is NULL.
    let record = r#"{"after":{"id":1},"op":"c"}"#;
    let found = decode("debezium-json", &[], (&id, &keys[..4]), &[record]);
    assert_eq!(rows(&found), ["0 +I(1, NULL, NULL, NULL, NULL)"]);
}

#[test]
fn canal_reads_several_rows_and_fills_old_ones_up() {
    let records = [
        r#"{"data":[{"id":"1","name":"nut","weight":"5"},{"id":"2","name":"bolt","weight":null}],"old":null,"type":"INSERT","isDdl":false,"database":"shop","table":"parts"}"#,
        r#"{"data":[{"id":"1","name":"nut","weight":"6"},{"id":"2","name":"bolt","weight":"6"}],"old":[{"weight":"5"},{"weight":null}],"type":"UPDATE"}"#,
        r#"{"data":[{"id":"2","name":"bolt","weight":"6"}],"old":null,"type":"DELETE"}"#,
        r#"{"data":null,"old":null,"type":"CREATE","isDdl":true,"sql":"CREATE TABLE parts (id INT)"}"#,
        r#"{"data":null,"type":"ALTER","isDdl":true}"#,
        r#"{"data":null,"type":"ALTER","isDdl":false}"#,
        r#"{"data":[{"id":"1"},{"id":"2"}],"old":[{"id":"0"}],"type":"UPDATE"}"#,
        r#"{"data":{"id":"1"},"type":"INSERT"}"#,
    ];
    let found = decode("canal-json", &[], (&fields(), &[]), &records);
    assert_eq!(
        rows(&found),
        [
            "0 +I(1, nut, 5)",
            "0 +I(2, bolt, NULL)",
            "1 -U(1, nut, 5)",
            "1 +U(1, nut, 6)",
            "1 -U(2, bolt, NULL)",
            "1 +U(2, bolt, 6)",
            "2 -D(2, bolt, 6)",
        ]
    );
    assert_eq!(
        failures(&found),
        [(5, Malformed), (6, TypeMismatch), (7, TypeMismatch)]
    );
}

#[test]
fn a_field_that_one_old_row_has_was_null_where_another_lacks_it() {
    // As Flink reads it: a field counts as changed in all rows of a record when any old row has it.
    let record = r#"{"data":[{"id":1,"name":"a","weight":1},{"id":2,"name":"b","weight":2}],"old":[{"name":"x"},{"weight":9}],"type":"UPDATE"}"#;
    let found = decode("canal-json", &[], (&fields(), &[]), &[record]);
    assert_eq!(
        rows(&found),
        [
            "0 -U(1, x, NULL)",
            "0 +U(1, a, 1)",
            "0 -U(2, NULL, 9)",
            "0 +U(2, b, 2)",
        ]
    );
}

#[test]
fn canal_reads_the_asked_databases_and_tables_and_metadata() {
    let record = |database: &str, table: &str| {
        format!(
            r#"{{"data":[{{"id":1}}],"type":"INSERT","database":"{database}","table":"{table}","sqlType":{{"id":4}},"pkNames":["id"],"ts":1704067200000,"es":1704067199000}}"#
        )
    };
    let records = [
        record("shop", "parts"),
        record("shops", "parts"),
        record("shop", "parts_old"),
        record("shop", "part_17"),
        r#"{"data":[{"id":1}],"type":"INSERT"}"#.to_owned(),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let own = [
        ("database.include", "shop"),
        ("table.include", r"parts|part_\d+"),
    ];
    let id = [fields().remove(0)];
    let keys = [
        "database",
        "table",
        "sql-type",
        "pk-names",
        "ingestion-timestamp",
        "event-timestamp",
    ];
    let found = decode("canal-json", &own, (&id, &keys), &records);
    let rest = "{id: 4}, [id], 2024-01-01T00:00:00, 2023-12-31T23:59:59)";
    assert_eq!(
        rows(&found),
        [
            format!("0 +I(1, shop, parts, {rest}"),
            format!("3 +I(1, shop, part_17, {rest}"),
        ]
    );
    assert_eq!(failures(&found), [(4, Malformed)]);
}

#[test]
fn maxwell_and_ogg_read_each_operation() {
    let records = [
        r#"{"database":"shop","table":"parts","type":"insert","ts":1596684883,"data":{"id":1,"name":"nut","weight":5},"primary_key_columns":["id"]}"#,
        r#"{"type":"update","data":{"id":1,"name":"nut","weight":null},"old":{"weight":5}}"#,
        r#"{"type":"delete","data":{"id":1,"name":"nut","weight":null}}"#,
        r#"{"type":"update","data":{"id":1}}"#,
        r#"{"type":"bootstrap-insert","data":{"id":1}}"#,
    ];
    let found = decode(
        "maxwell-json",
        &[],
        (&fields(), &["primary-key-columns"]),
        &records,
    );
    assert_eq!(
        rows(&found),
        [
            "0 +I(1, nut, 5, [id])",
            "1 -U(1, nut, 5, NULL)",
            "1 +U(1, nut, NULL, NULL)",
            "2 -D(1, nut, NULL, NULL)",
        ]
    );
    assert_eq!(failures(&found), [(3, NullValue), (4, Malformed)]);
    let records = [
        r#"{"table":"SHOP.PARTS","op_type":"I","op_ts":"2020-05-13 15:40:06.000001","current_ts":"2020-05-13 15:40:07","primary_keys":["id"],"after":{"id":1,"name":"nut"}}"#,
        r#"{"op_type":"U","before":{"id":1,"name":"nut"},"after":{"id":1,"name":"bolt"}}"#,
        r#"{"op_type":"D","before":{"id":1,"name":"bolt"}}"#,
        r#"{"op_type":"U","after":{"id":1,"name":"bolt"}}"#,
        r#"{"op_type":"T"}"#,
    ];
    let keys = [
        "table",
        "primary-keys",
        "event-timestamp",
        "ingestion-timestamp",
    ];
    let found = decode("ogg-json", &[], (&fields()[..2], &keys), &records);
    assert_eq!(
        rows(&found),
        [
            "0 +I(1, nut, SHOP.PARTS, [id], 2020-05-13T15:40:06.000001, 2020-05-13T15:40:07)",
            "1 -U(1, nut, NULL, NULL, NULL, NULL)",
            "1 +U(1, bolt, NULL, NULL, NULL, NULL)",
            "2 -D(1, bolt, NULL, NULL, NULL, NULL)",
        ]
    );
    assert_eq!(failures(&found), [(3, NullValue), (4, Malformed)]);
}

/// A batch of one row of each kind.
fn one_of_each() -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 1, 1, 1])),
        Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, None])),
        Arc::new(Int32Array::from(vec![Some(5), Some(5), None, None])),
    ];
    let kinds = [
        RowKind::Insert,
        RowKind::UpdateBefore,
        RowKind::UpdateAfter,
        RowKind::Delete,
    ];
    Batch {
        kinds: Some(kinds.into()),
        ..Batch::inserts(columns, 4)
    }
}

/// Encodes rows as lines.
fn encode(format: &str, own: &[(&str, &str)], batch: &Batch) -> Vec<String> {
    let (own, fields) = (options(format, own), fields());
    let spec = PartSpec {
        format,
        options: &own,
        layout: &fields,
        subject: "t-value",
        registry: None,
    };
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    let mut encoder = spec.encoder(&fields).unwrap();
    encoder.encode(batch, &mut buffer, &mut ends).unwrap();
    let mut start = 0;
    let lines = ends.into_iter().map(|end| {
        let line = String::from_utf8(buffer[start..end].to_vec()).unwrap();
        start = end;
        line
    });
    lines.collect()
}

#[test]
fn sinks_write_inserts_and_deletes() {
    let batch = one_of_each();
    assert_eq!(
        encode("debezium-json", &[], &batch),
        [
            r#"{"before":null,"after":{"id":1,"name":"a","weight":5},"op":"c"}"#,
            r#"{"before":{"id":1,"name":"a","weight":5},"after":null,"op":"d"}"#,
            r#"{"before":null,"after":{"id":1,"name":null,"weight":null},"op":"c"}"#,
            r#"{"before":{"id":1,"name":null,"weight":null},"after":null,"op":"d"}"#,
        ]
    );
    let omit = [("encode.ignore-null-fields", "true")];
    assert_eq!(
        encode("debezium-json", &omit, &batch)[2],
        r#"{"after":{"id":1},"op":"c"}"#
    );
    assert_eq!(
        encode("canal-json", &[], &batch)[..2],
        [
            r#"{"data":[{"id":1,"name":"a","weight":5}],"type":"INSERT"}"#,
            r#"{"data":[{"id":1,"name":"a","weight":5}],"type":"DELETE"}"#,
        ]
    );
    assert_eq!(
        encode("maxwell-json", &[], &batch)[2..],
        [
            r#"{"data":{"id":1,"name":null,"weight":null},"type":"insert"}"#,
            r#"{"data":{"id":1,"name":null,"weight":null},"type":"delete"}"#,
        ]
    );
    assert_eq!(
        encode("ogg-json", &[], &batch)[..2],
        [
            r#"{"before":null,"after":{"id":1,"name":"a","weight":5},"op_type":"I"}"#,
            r#"{"before":{"id":1,"name":"a","weight":5},"after":null,"op_type":"D"}"#,
        ]
    );
}

#[test]
fn unknown_options_and_written_schemas_are_refused() {
    let error = |format: &str, own: &[(&str, &str)], writes: bool| {
        let (own, fields) = (options(format, own), fields());
        let spec = PartSpec {
            format,
            options: &own,
            layout: &fields,
            subject: "t-value",
            registry: None,
        };
        let failed = if writes {
            spec.encoder(&fields).err()
        } else {
            spec.decoder(fields.clone(), &[]).err()
        };
        failed.unwrap().message
    };
    assert_eq!(
        error("debezium-json", &[("schema-includes", "true")], false),
        "unknown option \"debezium-json.schema-includes\", did you mean \"debezium-json.schema-include\"?"
    );
    assert!(error("ogg-json", &[("schema-include", "true")], false).starts_with("unknown option"));
    assert!(error("canal-json", &[("table.include", "(")], false).contains("regular expression"));
    assert!(
        error("maxwell-json", &[("timestamp-format.standard", "x")], false)
            .contains("is not one of SQL, ISO-8601")
    );
    assert!(error("debezium-json", &[("schema-include", "true")], true).contains("only read"));
    assert!(error("avro-debezium-registry", &[], false).contains("Schema Registry"));
}

#[test]
fn avro_envelopes_of_others_fail_and_are_read_alike() {
    let registry = Arc::new(Memory::default());
    // As Debezium writes: the row is a type of its own that is named in both places, and there is more beside.
    let schema = r#"{"type":"record","name":"Envelope","namespace":"shop","fields":[
        {"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"name","type":["null","string"],"default":null}]}],"default":null},
        {"name":"after","type":["null","Value"],"default":null},
        {"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"db","type":"string"}]}},
        {"name":"op","type":"string"},
        {"name":"ts_ms","type":["null","long"],"default":null}]}"#;
    let id = registry
        .register("t-value", crate::format::registry::SchemaType::Avro, schema)
        .unwrap();
    let row = |id: u8, name: &str| {
        let mut bytes = vec![2, id * 2, 2, u8::try_from(name.len() * 2).unwrap()];
        bytes.extend_from_slice(name.as_bytes());
        bytes
    };
    let record = |before: &[u8], after: &[u8], op: &str| {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(after);
        bytes.extend_from_slice(&[4, b's', b'h', u8::try_from(op.len() * 2).unwrap()]);
        bytes.extend_from_slice(op.as_bytes());
        bytes.push(0);
        bytes
    };
    let records = [
        record(&[0], &row(1, "a"), "c"),
        record(&[0], &row(1, "b"), "u"),
        record(&row(1, "a"), &row(1, "b"), "u"),
        Vec::new(),
        vec![9; 8],
        record(&row(1, "b"), &[0], "t"),
        record(&row(1, "b"), &[0], "d"),
    ];
    let own = BTreeMap::new();
    let all = fields();
    let spec = PartSpec {
        format: "debezium-avro-confluent",
        options: &own,
        layout: &all,
        subject: "t-value",
        registry: Some(registry),
    };
    let mut decoder = spec.decoder(all[..2].to_vec(), &[]).unwrap();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let found = decoder.decode(&records).unwrap();
    assert_eq!(
        rows(&found),
        ["0 +I(1, a)", "2 -U(1, a)", "2 +U(1, b)", "6 -D(1, b)"]
    );
    assert_eq!(
        failures(&found),
        [
            (1, NullValue),
            (4, FailureCode::UnknownSchema),
            (5, Malformed)
        ]
    );
}

/// How often each row is there after changes.
fn table(kinds: &[RowKind], columns: &[ArrayRef]) -> BTreeMap<String, i32> {
    let decoded = Decoded {
        columns: columns.to_vec(),
        failures: Vec::new(),
        changes: Some(crate::format::Changes {
            kinds: kinds.to_vec(),
            records: vec![0; kinds.len()],
        }),
    };
    let mut table = BTreeMap::new();
    for (row, kind) in rows(&decoded).into_iter().zip(kinds) {
        let (_, values) = row.split_once('(').unwrap();
        let count = table.entry(values.to_owned()).or_insert(0);
        *count += if kind.is_retraction() { -1 } else { 1 };
    }
    table.retain(|_, count| *count != 0);
    table
}

/// A random change: kind and row.
fn change() -> impl Strategy<Value = (u8, i32, Option<String>, Option<i32>)> {
    (
        0..4_u8,
        0..5_i32,
        proptest::option::of("[a-c\"\\\\\u{e9}{}]{0,3}"),
        proptest::option::of(-2..3_i32),
    )
}

proptest! {
    #[test]
    fn what_a_sink_writes_its_source_reads_as_the_same_table(
        changes in proptest::collection::vec(change(), 0..40),
        format in proptest::sample::select(FORMATS.to_vec()),
    ) {
        let kinds: Vec<RowKind> = changes.iter().map(|change| match change.0 {
            0 => RowKind::Insert,
            1 => RowKind::UpdateBefore,
            2 => RowKind::UpdateAfter,
            _ => RowKind::Delete,
        }).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(changes.iter().map(|change| Some(change.1)).collect::<Int32Array>()),
            Arc::new(changes.iter().map(|change| change.2.clone()).collect::<StringArray>()),
            Arc::new(changes.iter().map(|change| change.3).collect::<Int32Array>()),
        ];
        let batch = Batch {
            kinds: Some(kinds.clone().into()),
            ..Batch::inserts(columns.clone(), kinds.len())
        };
        let (own, fields) = (BTreeMap::new(), fields());
        let spec = PartSpec {
            format,
            options: &own,
            layout: &fields,
            subject: "t-value",
            registry: Some(Arc::new(Memory::default())),
        };
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        spec.encoder(&fields).unwrap().encode(&batch, &mut buffer, &mut ends).unwrap();
        let mut start = 0;
        let records: Vec<&[u8]> = ends.iter().map(|end| {
            let record = &buffer[start..*end];
            start = *end;
            record
        }).collect();
        let found = spec.decoder(fields.clone(), &[]).unwrap().decode(&records).unwrap();
        prop_assert!(found.failures.is_empty(), "{:?}", found.failures);
        let changes = found.changes.unwrap();
        prop_assert_eq!(changes.records, (0..kinds.len()).collect::<Vec<_>>());
        prop_assert_eq!(table(&changes.kinds, &found.columns), table(&kinds, &columns));
    }
}
