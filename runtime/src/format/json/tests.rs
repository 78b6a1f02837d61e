//! The decoder against `serde_json`, and both directions against each other.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::batch::Batch;
use crate::format::FailureCode::{self, Malformed, NullValue, TypeMismatch};
use crate::format::{Decoded, Decoder, Encoder, FormatField};
use crate::types::{FlinkType, RowField, TypeKind};

/// Lenient options with SQL times.
const LENIENT: JsonOptions = JsonOptions {
    times: Times::Sql,
    strict_types: false,
    fail_on_missing_field: false,
};

/// A field.
fn field(name: &str, ty: FlinkType) -> FormatField {
    FormatField {
        name: name.into(),
        ty,
    }
}

/// Decodes texts.
fn decode(fields: Vec<FormatField>, options: JsonOptions, texts: &[&str]) -> Decoded {
    let records: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    JsonDecoder::new(fields, options)
        .unwrap()
        .decode(&records)
        .unwrap()
}

/// The codes of the failures by row.
fn codes(decoded: &Decoded) -> Vec<(usize, FailureCode)> {
    decoded
        .failures
        .iter()
        .map(|failure| (failure.row, failure.code))
        .collect()
}

#[test]
fn records_that_fail_leave_nothing_behind() {
    let fields = vec![
        field("id", TypeKind::BigInt.not_null()),
        field("name", TypeKind::string().nullable()),
        field(
            "amount",
            TypeKind::Decimal {
                precision: 10,
                scale: 2,
            }
            .nullable(),
        ),
        field("ts", TypeKind::Timestamp(3).nullable()),
    ];
    let decoded = decode(
        fields,
        LENIENT,
        &[
            r#"{"id":1,"name":"a","amount":1.005,"ts":"1970-01-01 00:00:01.5"}"#,
            r#"{"id":2,"name":"lost","amount":"a lot"}"#,
            r#"{"id":3,"na"#,
            r#"{"name":"no id"}"#,
            r#" { "amount" : 3e1 , "id" : 4 , "extra" : {"x":[1,{}]} , "id" : 5 } "#,
            r#"{"id":6,"ts":"yesterday"}"#,
            r#"{"id":7} x"#,
            "[]",
            r#"{"id":"8","name":9,"amount":null}"#,
        ],
    );
    assert_eq!(
        codes(&decoded),
        [
            (1, TypeMismatch),
            (2, Malformed),
            (3, NullValue),
            (5, TypeMismatch),
            (6, Malformed),
            (7, Malformed)
        ]
    );
    assert_eq!(
        decoded.columns[0].as_primitive::<Int64Type>().values(),
        &[1, 5, 8]
    );
    let names: Vec<_> = decoded.columns[1].as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("a"), None, Some("9")]);
    let amounts: Vec<_> = decoded.columns[2]
        .as_primitive::<Decimal128Type>()
        .iter()
        .collect();
    assert_eq!(amounts, [Some(101), Some(3000), None]);
    let times: Vec<_> = decoded.columns[3]
        .as_primitive::<TimestampMillisecondType>()
        .iter()
        .collect();
    assert_eq!(times, [Some(1500), None, None]);
    assert_eq!(
        decoded.failures[0].message,
        "field \"amount\": the value has another type than the column"
    );
}

#[test]
fn strict_types_refuse_what_lenient_ones_convert() {
    let fields = || {
        vec![
            field("i", TypeKind::Int.nullable()),
            field("s", TypeKind::string().nullable()),
        ]
    };
    let texts = [
        r#"{"i":"1"}"#,
        r#"{"i":1.5}"#,
        r#"{"s":1}"#,
        r#"{"i":3000000000}"#,
        r#"{"s":{"a": [1, 2]}}"#,
    ];
    let strict = decode(fields(), JsonOptions::registry(), &texts);
    assert_eq!(strict.failures.len(), 5);
    let lenient = decode(fields(), LENIENT, &texts);
    assert_eq!(codes(&lenient), [(3, FailureCode::TypeMismatch)]);
    let ints: Vec<_> = lenient.columns[0]
        .as_primitive::<Int32Type>()
        .iter()
        .collect();
    assert_eq!(ints, [Some(1), Some(1), None, None]);
    assert_eq!(
        lenient.columns[1].as_string::<i32>().value(3),
        r#"{"a":[1,2]}"#
    );
}

#[test]
fn nested_numbers_lose_no_digit_and_floats_round_once() {
    let decimal = TypeKind::Decimal {
        precision: 38,
        scale: 2,
    };
    let fields = vec![
        field(
            "a",
            TypeKind::Array(Box::new(decimal.nullable())).nullable(),
        ),
        field(
            "s",
            TypeKind::Array(Box::new(TypeKind::string().nullable())).nullable(),
        ),
        field("f", TypeKind::Float.nullable()),
    ];
    // The double next to this number lies exactly between two floats; rounding it again gives the wrong one.
    let text = r#"{"a":[123456789012345678901234567890.12, null],"s":[1.10, {"b" : [1e2, "x"]}],"f":1.00000017881393432617187499}"#;
    let decoded = decode(
        fields,
        JsonOptions::parse(&BTreeMap::new()).unwrap(),
        &[text],
    );
    assert_eq!(codes(&decoded), []);
    let elements = decoded.columns[0].as_list::<i32>().value(0);
    let elements = elements.as_primitive::<arrow::datatypes::Decimal128Type>();
    assert_eq!(
        elements.value(0),
        12_345_678_901_234_567_890_123_456_789_012
    );
    assert!(elements.is_null(1));
    let texts = decoded.columns[1].as_list::<i32>().value(0);
    let texts: Vec<_> = texts.as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("1.10"), Some(r#"{"b":[1e2,"x"]}"#)]);
    let floats = decoded.columns[2].as_primitive::<arrow::datatypes::Float32Type>();
    assert_eq!(
        floats.value(0).to_bits(),
        "1.00000017881393432617187499"
            .parse::<f32>()
            .unwrap()
            .to_bits()
    );
}

#[test]
fn escapes_and_surrogates() {
    let decoded = decode(
        vec![field("s", TypeKind::string().nullable())],
        LENIENT,
        &[
            r#"{"s":"\u0041\n\"\\\/\ud83d\ude00é"}"#,
            r#"{"s":"\ud83d"}"#,
            "{\"s\":\"\u{1}\"}",
            r#"{"\u0073":"x"}"#,
        ],
    );
    assert_eq!(
        codes(&decoded),
        [(1, FailureCode::Malformed), (2, FailureCode::Malformed)]
    );
    assert_eq!(
        decoded.columns[0].as_string::<i32>().value(0),
        "A\n\"\\/😀é"
    );
    assert_eq!(decoded.columns[0].as_string::<i32>().value(1), "x");
}

/// A nullable field of every type, named `f0`, `f1` and so on.
fn every_type() -> Vec<FormatField> {
    let row = TypeKind::Row(vec![
        RowField {
            name: "x".into(),
            ty: TypeKind::Int.nullable(),
        },
        RowField {
            name: "t".into(),
            ty: TypeKind::TimestampLtz(6).nullable(),
        },
    ]);
    let types = [
        TypeKind::Boolean,
        TypeKind::TinyInt,
        TypeKind::SmallInt,
        TypeKind::Int,
        TypeKind::BigInt,
        TypeKind::Float,
        TypeKind::Double,
        TypeKind::Decimal {
            precision: 20,
            scale: 4,
        },
        TypeKind::string(),
        TypeKind::bytes(),
        TypeKind::Date,
        TypeKind::Time(3),
        TypeKind::Timestamp(3),
        TypeKind::TimestampLtz(3),
        TypeKind::Array(Box::new(TypeKind::string().nullable())),
        TypeKind::Map(
            Box::new(TypeKind::string().not_null()),
            Box::new(TypeKind::Double.nullable()),
        ),
        row,
    ];
    types
        .into_iter()
        .enumerate()
        .map(|(i, kind)| field(&format!("f{i}"), kind.nullable()))
        .collect()
}

#[test]
fn every_type_is_read_back_as_it_was_written() {
    let fields = every_type();
    let text = r#"{"f0":true,"f1":-128,"f2":32767,"f3":-5,"f4":9223372036854775807,"f5":1.5,"f6":-1e-7,"f7":-0.0001,"f8":"a\"b\u0007","f9":"/wA=","f10":"2024-02-29","f11":"23:59:59.5","f12":"1969-12-31 23:59:59.999","f13":"2024-01-01 00:00:00Z","f14":["x",null],"f15":{"k":1.5,"l":null},"f16":{"x":null,"t":"2024-01-01 00:00:00.000001Z"}}"#;
    let decoded = decode(fields.clone(), LENIENT, &[text, "{}"]);
    assert_eq!(decoded.failures, []);
    for options in [
        LENIENT,
        JsonOptions {
            times: Times::Iso8601,
            ..LENIENT
        },
        JsonOptions::registry(),
    ] {
        let mut buffer = Vec::new();
        let mut ends = Vec::new();
        let batch = Batch::inserts(decoded.columns.clone(), 2);
        JsonEncoder::new(&fields, options)
            .unwrap()
            .encode(&batch, &mut buffer, &mut ends)
            .unwrap();
        if options == LENIENT {
            let written: Value = serde_json::from_slice(&buffer[..ends[0]]).unwrap();
            assert_eq!(written, serde_json::from_str::<Value>(text).unwrap());
        }
        let records = [&buffer[..ends[0]], &buffer[ends[0]..ends[1]]];
        let again = JsonDecoder::new(fields.clone(), options)
            .unwrap()
            .decode(&records)
            .unwrap();
        assert_eq!(again.failures, []);
        for ((before, after), field) in decoded.columns.iter().zip(&again.columns).zip(&fields) {
            assert_eq!(before, after, "{}", field.name);
        }
    }
}

/// JSON values of every kind, not too deep.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-e]{1,2}", inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever bytes come, the decoder takes exactly the objects that serde_json takes.
    #[test]
    fn the_same_texts_are_json(value in json(), cut in any::<prop::sample::Index>(), noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let mut text = serde_json::to_vec(&serde_json::json!({ "a": value, "b": 1 })).unwrap();
        for (at, byte) in noise {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if text.len().is_multiple_of(3) {
            text.truncate(cut.index(text.len()) + 1);
        }
        let expected = std::str::from_utf8(&text).is_ok() && serde_json::from_slice::<serde_json::Map<String, Value>>(&text).is_ok();
        let mut decoder = JsonDecoder::new(Vec::new(), LENIENT).unwrap();
        let decoded = decoder.decode(&[&text]).unwrap();
        // serde_json refuses numbers that no double holds; they are numbers all the same.
        let is_huge = String::from_utf8_lossy(&text).contains(['e', 'E']);
        prop_assert!(decoded.failures.is_empty() == expected || is_huge, "{}", String::from_utf8_lossy(&text));
    }

    /// Strings, integers and floats have serde_json's values, whatever the order and number of keys.
    #[test]
    fn values_are_serde_jsons(records in prop::collection::vec((any::<Option<i64>>(), ".{0,20}", any::<i32>(), any::<bool>(), any::<bool>()), 1..8)) {
        let fields = vec![
            field("l", TypeKind::BigInt.nullable()),
            field("s", TypeKind::string().nullable()),
            field("d", TypeKind::Double.nullable()),
        ];
        let texts: Vec<String> = records.iter().map(|(long, text, number, swaps, has_extra)| {
            let mut parts = vec![
                format!("\"l\":{}", serde_json::to_string(long).unwrap()),
                format!("\"s\":{}", serde_json::to_string(text).unwrap()),
                format!("\"d\":{}", f64::from(*number) / 3.0),
            ];
            if *has_extra {
                parts.push("\"zz\":[{\"l\":1}]".to_owned());
            }
            if *swaps {
                parts.reverse();
            }
            format!("{{{}}}", parts.join(","))
        }).collect();
        let decoded = decode(fields, LENIENT, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(&decoded.failures, &[]);
        for (row, (long, text, number, _, _)) in records.iter().enumerate() {
            let longs: &ArrayRef = &decoded.columns[0];
            prop_assert_eq!(longs.is_valid(row).then(|| longs.as_primitive::<Int64Type>().value(row)), *long);
            prop_assert_eq!(decoded.columns[1].as_string::<i32>().value(row), text);
            prop_assert_eq!(decoded.columns[2].as_primitive::<Float64Type>().value(row).to_bits(), (f64::from(*number) / 3.0).to_bits());
        }
    }
}
