//! Decoder and encoder against the Avro library, and against each other.

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Int8Type, Int32Type};
use proptest::prelude::*;

use super::parse::parse_schema;
use super::*;
use crate::batch::Batch;
use crate::format::FailureCode::{Malformed, TypeMismatch};
use crate::format::{Decoded, Decoder, Encoder, FormatField};
use crate::types::{FlinkType, RowField, TypeKind};

pub(super) fn field(name: &str, ty: FlinkType) -> FormatField {
    FormatField {
        name: name.into(),
        ty,
    }
}

/// Bytes of a value as the library writes them.
pub(super) fn library_bytes(schema: &Schema, value: Value) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    writer.write_value_to_vec(value).unwrap()
}

/// Decodes records of the fields' own schema.
fn decode(fields: &[FormatField], mapping: Mapping, records: &[Vec<u8>]) -> Decoded {
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    AvroDecoder::new(fields, fields, mapping)
        .unwrap()
        .decode(&slices)
        .unwrap()
}

/// Encodes rows, one vector a record.
fn encode(
    fields: &[FormatField],
    mapping: Mapping,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> crate::error::Result<Vec<Vec<u8>>> {
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    AvroEncoder::new(fields.to_vec(), mapping)?.encode(
        &Batch::inserts(columns, rows),
        &mut buffer,
        &mut ends,
    )?;
    let mut start = 0;
    let record = |end: usize| {
        let record = buffer[start..end].to_vec();
        start = end;
        record
    };
    Ok(ends.into_iter().map(record).collect())
}

fn decimal(precision: u8, scale: u8) -> TypeKind {
    TypeKind::Decimal { precision, scale }
}

/// Types without inner types.
fn scalars(mapping: Mapping) -> Vec<TypeKind> {
    let mut kinds = vec![
        TypeKind::Boolean,
        TypeKind::TinyInt,
        TypeKind::SmallInt,
        TypeKind::Int,
        TypeKind::BigInt,
        TypeKind::Float,
        TypeKind::Double,
        decimal(5, 2),
        decimal(38, 10),
        TypeKind::Char(3),
        TypeKind::VarChar(20),
        TypeKind::string(),
        TypeKind::Binary(4),
        TypeKind::VarBinary(9),
        TypeKind::bytes(),
        TypeKind::Date,
        TypeKind::Time(3),
        TypeKind::Time(0),
        TypeKind::Timestamp(3),
        TypeKind::Timestamp(1),
    ];
    if mapping != Mapping::FlinkLegacy {
        kinds.extend([4, 6, 7, 9].map(TypeKind::Timestamp));
        kinds.extend([0, 3, 5, 6, 8, 9].map(TypeKind::TimestampLtz));
    }
    kinds
}

/// Fields of every type, nullable and not, and nested.
fn every_type(mapping: Mapping) -> Vec<FormatField> {
    let kinds = scalars(mapping);
    let mut fields = Vec::new();
    for (place, kind) in kinds.iter().enumerate() {
        fields.push(field(&format!("n{place}"), kind.clone().nullable()));
        fields.push(field(&format!("r{place}"), kind.clone().not_null()));
    }
    let row = TypeKind::Row(
        kinds
            .iter()
            .enumerate()
            .map(|(place, kind)| RowField {
                name: format!("f{place}"),
                ty: FlinkType {
                    kind: kind.clone(),
                    nullable: place % 2 == 0,
                },
            })
            .collect(),
    );
    let boxed = |ty: FlinkType| Box::new(ty);
    let string = || boxed(TypeKind::string().not_null());
    let array = TypeKind::Array(boxed(row.clone().nullable()));
    fields.extend([
        field("row", row.clone().nullable()),
        field("array", array.not_null()),
        field(
            "arrays",
            TypeKind::Array(boxed(
                TypeKind::Array(boxed(TypeKind::Int.nullable())).not_null(),
            ))
            .nullable(),
        ),
        field(
            "map",
            TypeKind::Map(string(), boxed(row.clone().nullable())).nullable(),
        ),
        field("bag", TypeKind::Multiset(string()).not_null()),
    ]);
    if mapping == Mapping::Confluent {
        let key = TypeKind::Row(vec![RowField {
            name: "k".into(),
            ty: TypeKind::Int.nullable(),
        }]);
        fields.extend([
            field(
                "entries",
                TypeKind::Map(boxed(TypeKind::Int.not_null()), boxed(row.nullable())).nullable(),
            ),
            field("bag2", TypeKind::Multiset(boxed(key.not_null())).not_null()),
        ]);
    }
    fields
}

/// Values of a column as the library has them.
fn value_of(ty: &FlinkType, mapping: Mapping) -> BoxedStrategy<Value> {
    let value = not_null(&ty.kind, mapping);
    if ty.nullable {
        prop_oneof![
            1 => Just(Value::Union(0, Box::new(Value::Null))),
            3 => value.prop_map(|value| Value::Union(1, Box::new(value))),
        ]
        .boxed()
    } else {
        value
    }
}

/// Timestamps in the unit of a precision.
fn timestamp(precision: u8, mapping: Mapping, is_local: bool) -> BoxedStrategy<Value> {
    let build: fn(i64) -> Value = match (precision, mapping, is_local) {
        (0..=3, Mapping::FlinkLegacy, _) | (0..=3, _, true) => Value::TimestampMillis,
        (0..=3, _, false) => Value::LocalTimestampMillis,
        (4..=6, _, true) => Value::TimestampMicros,
        (4..=6, _, false) => Value::LocalTimestampMicros,
        (_, _, true) => Value::TimestampNanos,
        (_, _, false) => Value::LocalTimestampNanos,
    };
    any::<i64>().prop_map(build).boxed()
}

/// As [`value_of`], without NULL.
fn not_null(kind: &TypeKind, mapping: Mapping) -> BoxedStrategy<Value> {
    let bytes =
        |lengths: std::ops::RangeInclusive<usize>| prop::collection::vec(any::<u8>(), lengths);
    match kind {
        TypeKind::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        TypeKind::TinyInt => any::<i8>().prop_map(|v| Value::Int(v.into())).boxed(),
        TypeKind::SmallInt => any::<i16>().prop_map(|v| Value::Int(v.into())).boxed(),
        TypeKind::Int => any::<i32>().prop_map(Value::Int).boxed(),
        TypeKind::BigInt => any::<i64>().prop_map(Value::Long).boxed(),
        TypeKind::Float => any::<f32>().prop_map(Value::Float).boxed(),
        TypeKind::Double => any::<f64>().prop_map(Value::Double).boxed(),
        TypeKind::Decimal { precision, .. } => {
            let limit = 10_i128.pow((*precision).into()) - 1;
            let shift = 0..100_u32;
            (-limit..=limit, shift)
                .prop_map(|(v, shift)| Value::Decimal(Decimal::from(minimal(v >> shift))))
                .boxed()
        }
        TypeKind::Char(_) | TypeKind::VarChar(_) => ".{0,6}".prop_map(Value::String).boxed(),
        TypeKind::Binary(n) if mapping == Mapping::Confluent => {
            let n = *n as usize;
            bytes(n..=n).prop_map(move |v| Value::Fixed(n, v)).boxed()
        }
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => bytes(0..=5).prop_map(Value::Bytes).boxed(),
        TypeKind::Date => any::<i32>().prop_map(Value::Date).boxed(),
        TypeKind::Time(_) => (0..86_400_000).prop_map(Value::TimeMillis).boxed(),
        TypeKind::Timestamp(p) => timestamp(*p, mapping, false),
        TypeKind::TimestampLtz(p) => timestamp(*p, mapping, true),
        TypeKind::Array(element) => prop::collection::vec(value_of(element, mapping), 0..3)
            .prop_map(Value::Array)
            .boxed(),
        TypeKind::Map(key, value) => map(key, value, mapping),
        TypeKind::Multiset(element) => map(element, &TypeKind::Int.not_null(), mapping),
        TypeKind::Row(fields) => record(
            fields
                .iter()
                .map(|field| (field.name.clone(), field.ty.clone())),
            mapping,
        ),
        TypeKind::Null
        | TypeKind::Bitmap
        | TypeKind::Variant
        | TypeKind::IntervalYearMonth
        | TypeKind::IntervalDayTime => unreachable!(),
    }
}

/// Maps with keys that are not equal, as a map or as entries.
fn map(key: &FlinkType, value: &FlinkType, mapping: Mapping) -> BoxedStrategy<Value> {
    if key.kind.is_character() {
        return prop::collection::hash_map("[a-z]{0,3}", value_of(value, mapping), 0..3)
            .prop_map(Value::Map)
            .boxed();
    }
    let entry = (value_of(key, mapping), value_of(value, mapping));
    prop::collection::vec(entry, 0..12)
        .prop_map(|entries| {
            let mut kept: Vec<(Value, Value)> = Vec::new();
            for (key, value) in entries {
                if kept.iter().all(|(other, _)| *other != key) {
                    kept.push((key, value));
                }
            }
            let entries = kept.into_iter();
            Value::Array(
                entries
                    .map(|(key, value)| {
                        Value::Record(vec![("key".into(), key), ("value".into(), value)])
                    })
                    .collect(),
            )
        })
        .boxed()
}

/// Records.
fn record(
    fields: impl Iterator<Item = (String, FlinkType)>,
    mapping: Mapping,
) -> BoxedStrategy<Value> {
    let members: Vec<BoxedStrategy<(String, Value)>> = fields
        .map(|(name, ty)| {
            value_of(&ty, mapping)
                .prop_map(move |value| (name.clone(), value))
                .boxed()
        })
        .collect();
    members.prop_map(Value::Record).boxed()
}

/// A number in as few bytes as hold it, one by one.
fn minimal(value: i128) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    while bytes.len() > 1
        && ((bytes[0] == 0 && bytes[1] < 0x80) || (bytes[0] == 0xFF && bytes[1] >= 0x80))
    {
        bytes.remove(0);
    }
    bytes
}

/// Rows of fields.
fn rows_of(fields: &[FormatField], mapping: Mapping) -> BoxedStrategy<Vec<Value>> {
    let fields = fields
        .iter()
        .map(|field| (field.name.clone(), field.ty.clone()));
    prop::collection::vec(record(fields, mapping), 1..4).boxed()
}

const MAPPINGS: [Mapping; 3] = [Mapping::Confluent, Mapping::Flink, Mapping::FlinkLegacy];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_type_reads_and_writes_as_the_library_does(
        (mapping, rows) in prop::sample::select(&MAPPINGS)
            .prop_flat_map(|mapping| (Just(mapping), rows_of(&every_type(mapping), mapping))),
    ) {
        let fields = every_type(mapping);
        let schema = parse_schema(&avro_schema_of(&fields, mapping).unwrap()).unwrap();
        let records: Vec<Vec<u8>> = rows.iter().map(|row| library_bytes(&schema, row.clone())).collect();
        let decoded = decode(&fields, mapping, &records);
        prop_assert_eq!(&decoded.failures, &[]);
        let encoded = encode(&fields, mapping, decoded.columns, rows.len()).unwrap();
        prop_assert_eq!(&encoded, &records);
    }

    #[test]
    fn a_projection_is_what_the_whole_has(
        rows in rows_of(&every_type(Mapping::Confluent), Mapping::Confluent),
        asked in prop::sample::subsequence((0..every_type(Mapping::Confluent).len()).collect::<Vec<_>>(), 0..5),
    ) {
        let mapping = Mapping::Confluent;
        let fields = every_type(mapping);
        let schema = parse_schema(&avro_schema_of(&fields, mapping).unwrap()).unwrap();
        let records: Vec<Vec<u8>> = rows.into_iter().map(|row| library_bytes(&schema, row)).collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let whole = decode(&fields, mapping, &records);
        let some: Vec<FormatField> = asked.iter().map(|place| fields[*place].clone()).collect();
        let part = AvroDecoder::new(&fields, &some, mapping).unwrap().decode(&slices).unwrap();
        prop_assert_eq!(&part.failures, &[]);
        for (place, column) in asked.iter().zip(&part.columns) {
            prop_assert_eq!(column, &whole.columns[*place]);
        }
    }

    #[test]
    fn damaged_records_fail_alone_and_never_panic(
        rows in rows_of(&every_type(Mapping::Confluent), Mapping::Confluent),
        noise in prop::collection::vec(any::<u8>(), 0..40),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mapping = Mapping::Confluent;
        let fields = every_type(mapping);
        let schema = parse_schema(&avro_schema_of(&fields, mapping).unwrap()).unwrap();
        let good: Vec<Vec<u8>> = rows.into_iter().map(|row| library_bytes(&schema, row)).collect();
        let mut changed = good[0].clone();
        let place = place.index(changed.len());
        changed[place] = byte;
        let cut = good[0][..place].to_vec();
        let mut records = Vec::new();
        for record in &good {
            records.extend([changed.clone(), record.clone(), noise.clone(), cut.clone()]);
        }
        let decoded = decode(&fields, mapping, &records);
        let failed: Vec<usize> = decoded.failures.iter().map(|failure| failure.row).collect();
        prop_assert!(failed.is_sorted());
        prop_assert!(good.iter().enumerate().all(|(row, _)| !failed.contains(&(4 * row + 1))));
        prop_assert!(good.iter().enumerate().all(|(row, _)| failed.contains(&(4 * row + 3))));
        let kept: Vec<Vec<u8>> = records
            .iter()
            .enumerate()
            .filter(|(row, _)| !failed.contains(row))
            .map(|(_, record)| record.clone())
            .collect();
        prop_assert_eq!(&decode(&fields, mapping, &kept).columns, &decoded.columns);
    }
}

/// Decodes one record of one field, given the bytes of the field.
fn one(ty: FlinkType, bytes: &[u8]) -> Result<ArrayRef, (crate::format::FailureCode, String)> {
    let fields = [field("a", ty)];
    let mut decoded = decode(&fields, Mapping::Confluent, &[bytes.to_vec()]);
    match decoded.failures.pop() {
        Some(failure) => Err((failure.code, failure.message)),
        None => Ok(decoded.columns.remove(0)),
    }
}

#[test]
fn limits_of_each_type_are_kept() {
    let ok = |kind: TypeKind, bytes: &[u8]| one(kind.not_null(), bytes).unwrap();
    let fault = |kind: TypeKind, bytes: &[u8]| one(kind.not_null(), bytes).unwrap_err();
    // -128 and -129.
    assert_eq!(
        ok(TypeKind::TinyInt, &[0xFF, 1])
            .as_primitive::<Int8Type>()
            .value(0),
        -128
    );
    assert_eq!(
        fault(TypeKind::TinyInt, &[0x81, 2]),
        (
            TypeMismatch,
            "field \"a\": -129 is out of the range of a TINYINT".to_owned()
        )
    );
    assert_eq!(
        fault(TypeKind::Int, &[0x80, 0x80, 0x80, 0x80, 0x10]).0,
        TypeMismatch
    );
    assert_eq!(fault(TypeKind::Time(3), &[1]).0, TypeMismatch);
    let mut longest = vec![0xFF; 9];
    longest.push(1);
    ok(TypeKind::BigInt, &longest);
    longest[9] = 2;
    assert_eq!(fault(TypeKind::BigInt, &longest).0, Malformed);
    longest[9] = 0x81;
    longest.push(0);
    assert_eq!(fault(TypeKind::BigInt, &longest).0, Malformed);
    // A decimal of 100 in DECIMAL(2, 0), of no bytes, and of more bytes than needed.
    assert_eq!(fault(decimal(2, 0), &[2, 100]).0, TypeMismatch);
    assert_eq!(fault(decimal(2, 0), &[0]).0, Malformed);
    let mut wide = vec![40];
    wide.extend([0xFF; 19]);
    wide.push(0xFE);
    assert_eq!(
        ok(decimal(2, 0), &wide)
            .as_primitive::<Decimal128Type>()
            .value(0),
        -2
    );
    wide[5] = 0x7F;
    assert_eq!(fault(decimal(38, 0), &wide).0, TypeMismatch);
    assert_eq!(fault(TypeKind::Boolean, &[2]).0, Malformed);
    assert_eq!(fault(TypeKind::string(), &[2, 0xFF]).0, Malformed);
    // Lengths below zero, and beyond the record.
    assert_eq!(fault(TypeKind::bytes(), &[1]).0, Malformed);
    assert_eq!(
        fault(TypeKind::bytes(), &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).0,
        Malformed
    );
    assert_eq!(
        one(TypeKind::Int.nullable(), &[4]).unwrap_err().0,
        Malformed
    );
}

#[test]
fn counts_of_elements_are_bounded_by_the_record() {
    let ints = TypeKind::Array(Box::new(TypeKind::Int.not_null()));
    // Blocks of 2 with their bytes, and of 1.
    let array = one(ints.clone().not_null(), &[3, 4, 2, 4, 2, 6, 0]).unwrap();
    let values = array.as_list::<i32>().value(0);
    assert_eq!(values.as_primitive::<Int32Type>().values(), &[1, 2, 3]);
    let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
    assert_eq!(
        one(ints.clone().not_null(), &huge).unwrap_err().0,
        Malformed
    );
    let lowest = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0];
    assert_eq!(one(ints.not_null(), &lowest).unwrap_err().0, Malformed);
    let empty = TypeKind::Array(Box::new(TypeKind::Row(vec![]).not_null()));
    assert_eq!(
        one(empty.clone().not_null(), &[0x80, 0x10, 0])
            .unwrap()
            .as_list::<i32>()
            .value(0)
            .len(),
        1024
    );
    assert_eq!(
        one(empty.not_null(), &[0x80, 0x80, 0x80, 1, 0])
            .unwrap_err()
            .0,
        Malformed
    );
}

#[test]
fn of_equal_keys_the_last_counts() {
    let int = || Box::new(TypeKind::Int.nullable());
    let strings = TypeKind::Map(Box::new(TypeKind::string().not_null()), int());
    // a: 1, b: NULL, a: 2.
    let bytes = [6, 2, b'a', 2, 2, 2, b'b', 0, 2, b'a', 2, 4, 0];
    let map = one(strings.not_null(), &bytes).unwrap();
    let map = map.as_map();
    let keys: Vec<_> = map.keys().as_string::<i32>().iter().flatten().collect();
    assert_eq!(keys, ["b", "a"]);
    assert!(map.values().is_null(0));
    assert_eq!(map.values().as_primitive::<Int32Type>().value(1), 2);
    let many = TypeKind::Map(Box::new(TypeKind::Int.not_null()), int());
    let mut bytes = vec![24];
    for entry in 0..12 {
        bytes.extend([2 * (entry % 10), 2, 2 * entry]);
    }
    bytes.push(0);
    let map = one(many.not_null(), &bytes).unwrap();
    assert_eq!(
        map.as_map().keys().as_primitive::<Int32Type>().values(),
        &[2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    );
    assert_eq!(
        map.as_map().values().as_primitive::<Int32Type>().values(),
        &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    );
}

#[test]
fn what_follows_a_bare_record_is_of_no_interest() {
    assert_eq!(
        one(TypeKind::Int.not_null(), &[2, 7, 7])
            .unwrap()
            .as_primitive::<Int32Type>()
            .values(),
        &[1]
    );
}

#[test]
fn what_avro_cannot_hold_is_an_error() {
    let ints: ArrayRef = std::sync::Arc::new(arrow::array::Int32Array::from(vec![None, Some(1)]));
    let fields = [field("a", TypeKind::Int.not_null())];
    let error = encode(&fields, Mapping::Confluent, vec![ints], 2).unwrap_err();
    assert!(error.message.contains("field a: NULL"), "{error}");
    let bytes: ArrayRef = std::sync::Arc::new(arrow::array::BinaryArray::from_vec(vec![b"ab"]));
    let fields = [field("a", TypeKind::Binary(3).not_null())];
    let error = encode(&fields, Mapping::Confluent, vec![bytes.clone()], 1).unwrap_err();
    assert!(error.message.contains("BINARY(3)"), "{error}");
    encode(&fields, Mapping::Flink, vec![bytes], 1).unwrap();
    let nanos = arrow::array::Decimal128Array::from(vec![i128::from(i64::MAX) + 1])
        .with_data_type(crate::types::NANOSECONDS);
    let fields = [field("a", TypeKind::Timestamp(9).not_null())];
    let error = encode(&fields, Mapping::Flink, vec![std::sync::Arc::new(nanos)], 1).unwrap_err();
    assert!(error.message.contains("2262"), "{error}");
    for kind in [
        TypeKind::IntervalDayTime,
        TypeKind::IntervalYearMonth,
        TypeKind::Time(6),
    ] {
        let fields = [field("a", kind.nullable())];
        let error = avro_schema_of(&fields, Mapping::Confluent).unwrap_err();
        assert!(
            error.message.starts_with("field a: Avro has no form"),
            "{error}"
        );
    }
    for kind in [TypeKind::Timestamp(6), TypeKind::TimestampLtz(3)] {
        let fields = [field("a", kind.nullable())];
        assert!(avro_schema_of(&fields, Mapping::FlinkLegacy).is_err());
        avro_schema_of(&fields, Mapping::Flink).unwrap();
    }
    let named = [field("a-b", TypeKind::Int.nullable())];
    assert!(AvroEncoder::new(named.to_vec(), Mapping::Flink).is_err());
}
