//! Records of Protobuf: what the decoder says of random schemas against what a Protobuf library writes and reads.
//!
//! Place in the flow: a seed makes a schema with the columns that it stands for, and a batch of records of it, and damages some.
//! Invariant: a record that the library wrote decodes to the same values whichever columns are asked for; a damaged record that the
//! library still reads is the same row as what the library writes of it; none changes its neighbours or panics.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use protox::Compiler;
use protox::file::{File, FileResolver};
use weir_runtime::format::json::{JsonEncoder, JsonOptions};
use weir_runtime::format::proto::{ProtoRegistryDecoder, columns_of};
use weir_runtime::format::registry::{RegisteredSchema, SchemaRegistry, SchemaType};
use weir_runtime::format::{Decoded, Decoder, Encoder, FormatField};
use weir_runtime::{Batch, Result};

use crate::random::Random;

/// Records of a batch.
const BATCH: u64 = 32;

/// Batches unless more are asked for: some seconds.
const BATCHES: u64 = 1_000;

/// A registry of one schema.
#[derive(Debug)]
struct One(String);

impl SchemaRegistry for One {
    fn register(&self, _: &str, _: SchemaType, _: &str) -> Result<i32> {
        Ok(1)
    }

    fn schema(&self, id: i32) -> Result<Option<RegisteredSchema>> {
        Ok((id == 1).then(|| RegisteredSchema {
            id,
            schema_type: SchemaType::Protobuf,
            schema: self.0.clone(),
            references: Vec::new(),
        }))
    }

    fn latest(&self, _: &str) -> Result<Option<RegisteredSchema>> {
        Ok(None)
    }

    fn version(&self, _: &str, _: i32) -> Result<Option<RegisteredSchema>> {
        Ok(None)
    }
}

impl FileResolver for One {
    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        File::from_source(name, &self.0)
    }
}

/// The text of a random message.
fn message(random: &mut Random, name: &str, depth: usize) -> String {
    let mut lines = vec![format!("message {name} {{")];
    let mut number = 0;
    for place in 0..=random.below(5) {
        number += 1 + random.below(3);
        let ty = ty(random, &mut lines, place, depth);
        lines.push(match random.below(6) {
            0 => format!("optional {ty} f{place} = {number};"),
            1 | 2 => format!("repeated {ty} f{place} = {number};"),
            3 => format!("map<string, {ty}> f{place} = {number};"),
            4 => {
                let first = format!("{ty} f{place} = {number};");
                number += 1;
                format!("oneof one{place} {{ {first} string g{place} = {number}; }}")
            }
            _ => format!("{ty} f{place} = {number};"),
        });
    }
    lines.push("}\n".to_owned());
    lines.join("\n")
}

/// A random type; that of a message is declared in `lines`.
fn ty(random: &mut Random, lines: &mut Vec<String>, place: usize, depth: usize) -> String {
    const SCALARS: [&str; 13] = [
        "bool", "int32", "sint32", "uint32", "int64", "sint64", "uint64", "fixed32", "sfixed32",
        "fixed64", "string", "bytes", "E",
    ];
    if depth < 3 && random.once_in(4) {
        let name = format!("N{place}");
        lines.push(message(random, &name, depth + 1));
        return name;
    }
    random.pick(&SCALARS).to_owned()
}

/// A random value of a field without label.
fn value(random: &mut Random, kind: &Kind) -> Value {
    let texts = ["", "a", "é😀", "a text of some more bytes"];
    let bits = random.bits() >> random.below(64);
    let [a, b, c, d, ..] = bits.to_le_bytes();
    let low = u32::from_le_bytes([a, b, c, d]);
    match kind {
        Kind::Bool => Value::Bool(random.once_in(2)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(low.cast_signed()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(low),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(bits.cast_signed()),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(bits),
        Kind::Float => Value::F32(1.5),
        Kind::Double => Value::F64(2.5),
        Kind::String => Value::String(random.pick(&texts).to_owned()),
        Kind::Bytes => Value::Bytes(random.pick(&texts).to_owned().into()),
        Kind::Enum(_) => Value::EnumNumber([0, 1, 5, -1][random.below(4)]),
        Kind::Message(message) => Value::Message(record(random, message)),
    }
}

/// A random value of a field.
fn field_value(random: &mut Random, field: &FieldDescriptor) -> Value {
    let kind = field.kind();
    if field.is_map() {
        let Kind::Message(entry) = &kind else {
            panic!("a map without entries");
        };
        let inner = entry.map_entry_value_field().kind();
        let entries: HashMap<MapKey, Value> = (0..random.below(4))
            .map(|_| {
                let key = random.pick(&["", "k", "key"]).to_owned();
                (MapKey::String(key), value(random, &inner))
            })
            .collect();
        return Value::Map(entries);
    }
    if field.is_list() {
        return Value::List((0..random.below(4)).map(|_| value(random, &kind)).collect());
    }
    value(random, &kind)
}

/// A random record of a message.
fn record(random: &mut Random, message: &MessageDescriptor) -> DynamicMessage {
    let mut record = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if !random.once_in(3) {
            record.set_field(&field, field_value(random, &field));
        }
    }
    record
}

/// A message behind its frame.
fn frame(message: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 1, 0], message].concat()
}

/// Decodes records as the asked fields.
fn decode(
    schema: &str,
    layout: &[FormatField],
    asked: &[FormatField],
    records: &[Vec<u8>],
) -> Decoded {
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let registry = Arc::new(One(schema.to_owned()));
    let mut decoder = ProtoRegistryDecoder::new(registry, layout, asked.to_vec()).expect("columns");
    decoder.decode(&slices).expect("a registry that answers")
}

/// A row as JSON, in which entries of maps have no order.
fn json_of(fields: &[FormatField], decoded: Decoded) -> serde_json::Value {
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    let mut encoder =
        JsonEncoder::new(fields.to_vec(), JsonOptions::default()).expect("JSON has every type");
    encoder
        .encode(&Batch::inserts(decoded.columns, 1), &mut buffer, &mut ends)
        .expect("JSON has every value");
    serde_json::from_slice(&buffer).expect("JSON")
}

/// Whether a message or one in it has a map.
fn has_map(message: &MessageDescriptor) -> bool {
    let is_one =
        |field: FieldDescriptor| field.is_map() || field.kind().as_message().is_some_and(has_map);
    message.fields().any(is_one)
}

/// What the library says of a damaged record is what the decoder says.
fn check_damaged(schema: &str, fields: &[FormatField], message: &MessageDescriptor, record: &[u8]) {
    let Some(body) = record.strip_prefix(&[0, 0, 0, 0, 1, 0]) else {
        return;
    };
    // The library takes entries of maps whatever their wire type says.
    if has_map(message) {
        return;
    }
    let Ok(read) = DynamicMessage::decode(message.clone(), body) else {
        return;
    };
    let found = decode(schema, fields, fields, &[record.to_vec()]);
    assert_eq!(found.failures, [], "{schema}{body:?}");
    let again = decode(schema, fields, fields, &[frame(&read.encode_to_vec())]);
    assert_eq!(again.failures, [], "{schema}{body:?}");
    assert_eq!(
        json_of(fields, found),
        json_of(fields, again),
        "{schema}{body:?}"
    );
}

/// One batch.
fn check(seed: u64) {
    let random = &mut Random::new(seed);
    let text = message(random, "M", 0);
    let schema = format!("syntax = \"proto3\";\nenum E {{ X = 0; YZ = 1; }}\n{text}");
    let mut compiler = Compiler::with_file_resolver(One(schema.clone()));
    compiler.open_file("m.proto").expect("a schema");
    let pool = compiler.descriptor_pool();
    let message = pool.get_message_by_name("M").expect("its message");
    let fields = columns_of(&schema, &[]).expect("columns");
    let mut records: Vec<Vec<u8>> = (0..BATCH)
        .map(|_| frame(&record(random, &message).encode_to_vec()))
        .collect();
    let whole = decode(&schema, &fields, &fields, &records);
    assert_eq!(whole.failures, [], "seed {seed}: {schema}");
    for (place, column) in fields.iter().enumerate() {
        let part = decode(&schema, &fields, std::slice::from_ref(column), &records);
        assert_eq!(
            &part.columns[0], &whole.columns[place],
            "seed {seed}: {schema}"
        );
    }
    for record in &mut records {
        if random.once_in(2) {
            random.damage(record);
            check_damaged(&schema, &fields, &message, record);
        }
    }
    let together = decode(&schema, &fields, &fields, &records);
    let failed: Vec<usize> = together
        .failures
        .iter()
        .map(|failure| failure.row)
        .collect();
    let kept = records.iter().enumerate();
    let kept: Vec<Vec<u8>> = kept
        .filter(|(row, _)| !failed.contains(row))
        .map(|(_, record)| record.clone())
        .collect();
    let alone = decode(&schema, &fields, &fields, &kept);
    assert_eq!(alone.failures, [], "seed {seed}: {schema}");
    assert_eq!(alone.columns, together.columns, "seed {seed}: {schema}");
}

#[test]
fn protobuf_of_any_schema_is_read_or_refused() {
    for seed in crate::seeds(BATCHES, BATCH) {
        check(seed);
    }
}
