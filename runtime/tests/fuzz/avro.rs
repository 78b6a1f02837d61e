//! Records of Avro: what the decoder says of random schemas against what the Avro library writes.
//!
//! Place in the flow: a seed makes a schema with the columns that it stands for, and a batch of records of it, and damages some.
//! Invariant: a record that the library wrote decodes to the same values whichever columns are asked for, and no record, damaged or
//! not, changes its neighbours or panics.

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};
use weir_runtime::format::avro::AvroRegistryDecoder;
use weir_runtime::format::registry::{RegisteredSchema, SchemaRegistry, SchemaType};
use weir_runtime::format::{Decoded, Decoder, FormatField};
use weir_runtime::{Result, RowField, TypeKind};

use crate::random::Random;

/// Records of a batch.
const BATCH: u64 = 32;

/// Batches unless more are asked for: some seconds.
const BATCHES: u64 = 3_000;

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
            schema_type: SchemaType::Avro,
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

/// A schema, the column that it stands for, and a value of it.
struct Typed {
    /// The schema.
    schema: Value,
    /// The type.
    kind: TypeKind,
    /// Makes a value.
    value: Box<dyn Fn(&mut Random) -> Avro>,
}

impl Typed {
    /// A type of a name.
    fn new(schema: Value, kind: TypeKind, value: impl Fn(&mut Random) -> Avro + 'static) -> Self {
        Self {
            schema,
            kind,
            value: Box::new(value),
        }
    }
}

/// A random string.
fn text(random: &mut Random) -> String {
    let texts = [
        "",
        "a",
        "channel-7",
        "é😀",
        "a text that is longer than a byte of length holds, which is sixty-three",
    ];
    random.pick(&texts).to_owned()
}

/// A random type; names of records are made of `name`.
fn typed(random: &mut Random, name: &str, depth: usize) -> Typed {
    match random.below(if depth > 3 { 8 } else { 13 }) {
        nested @ 8.. => nested_type(random, name, depth, nested),
        0 => Typed::new(json!("boolean"), TypeKind::Boolean, |random| {
            Avro::Boolean(random.once_in(2))
        }),
        1 => Typed::new(json!("int"), TypeKind::Int, |random| {
            let [a, b, c, d, ..] = random.bits().to_le_bytes();
            Avro::Int(i32::from_le_bytes([a, b, c, d]) >> random.below(32))
        }),
        2 => Typed::new(json!("long"), TypeKind::BigInt, |random| {
            Avro::Long(random.bits().cast_signed() >> random.below(64))
        }),
        3 => Typed::new(json!("double"), TypeKind::Double, |random| {
            Avro::Double(f64::from_bits(random.bits() >> 2))
        }),
        4 => Typed::new(json!("string"), TypeKind::string(), |random| {
            Avro::String(text(random))
        }),
        5 => Typed::new(json!("bytes"), TypeKind::bytes(), |random| {
            Avro::Bytes(text(random).into_bytes())
        }),
        6 => {
            let schema =
                json!({"type": "enum", "name": format!("E{name}"), "symbols": ["X", "YZ"]});
            Typed::new(schema, TypeKind::string(), |random| {
                let (place, symbol) = [(0, "X"), (1, "YZ")][random.below(2)];
                Avro::Enum(place, symbol.to_owned())
            })
        }
        _ => {
            let schema = json!({"type": "fixed", "name": format!("F{name}"), "size": 3});
            Typed::new(schema, TypeKind::Binary(3), |random| {
                Avro::Fixed(3, random.bits().to_le_bytes()[..3].to_vec())
            })
        }
    }
}

/// A random type that holds others.
fn nested_type(random: &mut Random, name: &str, depth: usize, which: usize) -> Typed {
    match which {
        8 => {
            let inner = typed(random, &format!("{name}a"), depth + 1);
            let kind = TypeKind::Array(Box::new(inner.kind.nullable()));
            let schema = json!({"type": "array", "items": inner.schema});
            Typed::new(schema, kind, move |random| {
                Avro::Array(
                    (0..random.below(4))
                        .map(|_| (inner.value)(random))
                        .collect(),
                )
            })
        }
        9 => {
            let inner = typed(random, &format!("{name}m"), depth + 1);
            let key = TypeKind::string().not_null();
            let kind = TypeKind::Map(Box::new(key), Box::new(inner.kind.nullable()));
            let schema = json!({"type": "map", "values": inner.schema});
            Typed::new(schema, kind, move |random| {
                let entry = |_| (text(random), (inner.value)(random));
                Avro::Map((0..3).map(entry).collect())
            })
        }
        10 => {
            let inner = typed(random, &format!("{name}u"), depth + 1);
            if inner.schema.is_array() {
                return inner;
            }
            let schema = json!([inner.schema, "null"]);
            Typed::new(schema, inner.kind, move |random| {
                if random.once_in(3) {
                    Avro::Union(1, Box::new(Avro::Null))
                } else {
                    Avro::Union(0, Box::new((inner.value)(random)))
                }
            })
        }
        _ => {
            let (schema, fields, value) = record(random, name, depth + 1);
            Typed::new(schema, TypeKind::Row(fields), value)
        }
    }
}

/// A schema of a record, its fields as columns, and what makes its values.
type Record = (Value, Vec<RowField>, Box<dyn Fn(&mut Random) -> Avro>);

/// A random record, with fields that no column stands for.
fn record(random: &mut Random, name: &str, depth: usize) -> Record {
    let members: Vec<(String, Typed, bool)> = (0..random.below(5))
        .map(|place| {
            let inner = typed(random, &format!("{name}{place}"), depth);
            (format!("f{place}"), inner, random.once_in(4))
        })
        .collect();
    let fields: Vec<Value> = members
        .iter()
        .map(|(name, inner, _)| json!({"name": name, "type": inner.schema}))
        .collect();
    let schema = json!({"type": "record", "name": format!("R{name}"), "fields": fields});
    let columns = members
        .iter()
        .filter(|(_, _, is_hidden)| !is_hidden)
        .map(|(name, inner, _)| RowField {
            name: name.clone(),
            ty: inner.kind.clone().nullable(),
        })
        .collect();
    let value = move |random: &mut Random| {
        let member =
            |(name, inner, _): &(String, Typed, bool)| (name.clone(), (inner.value)(random));
        Avro::Record(members.iter().map(member).collect())
    };
    (schema, columns, Box::new(value))
}

/// Decodes records as the asked fields.
fn decode(schema: &str, asked: &[FormatField], records: &[Vec<u8>]) -> Decoded {
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let registry = Arc::new(One(schema.to_owned()));
    let layout = ["a", "b"].map(|name| FormatField {
        name: name.to_owned(),
        ty: TypeKind::Int.nullable(),
    });
    let mut decoder =
        AvroRegistryDecoder::new(registry, "s", &layout, asked.to_vec()).expect("columns");
    decoder.decode(&slices).expect("a registry that answers")
}

/// One batch.
fn check(seed: u64) {
    let random = &mut Random::new(seed);
    let (schema, columns, value) = record(random, "", 0);
    let text = schema.to_string();
    let parsed = Schema::parse_str(&text).expect("a schema");
    let writer = GenericDatumWriter::builder(&parsed)
        .build()
        .expect("a schema");
    let mut good = Vec::new();
    for _ in 0..BATCH {
        let mut record = vec![0, 0, 0, 0, 1];
        record.extend(writer.write_value_to_vec(value(random)).expect("a value"));
        good.push(record);
    }
    let columns: Vec<FormatField> = columns
        .into_iter()
        .map(|RowField { name, ty }| FormatField { name, ty })
        .collect();
    let whole = decode(&text, &columns, &good);
    assert_eq!(whole.failures, [], "seed {seed}: {text}");
    for (place, column) in columns.iter().enumerate() {
        let part = decode(&text, std::slice::from_ref(column), &good);
        assert_eq!(
            &part.columns[0], &whole.columns[place],
            "seed {seed}: {text}"
        );
    }
    assert_eq!(
        decode(&text, &[], &good).failures,
        [],
        "seed {seed}: {text}"
    );

    let mut records = good;
    for record in &mut records {
        if random.once_in(2) {
            random.damage(record);
        }
    }
    let together = decode(&text, &columns, &records);
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
    let alone = decode(&text, &columns, &kept);
    assert_eq!(alone.failures, [], "seed {seed}: {text}");
    assert_eq!(alone.columns, together.columns, "seed {seed}: {text}");
}

#[test]
fn avro_of_any_schema_is_read_or_refused() {
    for seed in crate::seeds(BATCHES, BATCH) {
        check(seed);
    }
}
