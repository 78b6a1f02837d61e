//! Decoder and encoder against `serde_json`, and against each other.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMicrosecondType, TimestampMillisecondType,
};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::batch::Batch;
use crate::format::FailureCode::{self, Malformed, NullValue, TypeMismatch};
use crate::format::{Decoded, Decoder, Encoder, FormatField};
use crate::types::{FlinkType, RowField, TypeKind};

fn field(name: &str, ty: FlinkType) -> FormatField {
    FormatField {
        name: name.into(),
        ty,
    }
}

fn decode(fields: &[FormatField], options: &JsonOptions, records: &[&[u8]]) -> Decoded {
    JsonDecoder::new(fields.to_vec(), options.clone())
        .unwrap()
        .decode(records)
        .unwrap()
}

/// Decodes one record of one field; the failure's code and message when it fails.
fn one(
    kind: TypeKind,
    options: &JsonOptions,
    record: &str,
) -> Result<arrow::array::ArrayRef, (FailureCode, String)> {
    let mut decoded = decode(
        &[field("a", kind.nullable())],
        options,
        &[record.as_bytes()],
    );
    match decoded.failures.pop() {
        Some(failure) => Err((failure.code, failure.message)),
        None => Ok(decoded.columns.remove(0)),
    }
}

fn lenient() -> JsonOptions {
    JsonOptions::default()
}

fn bid() -> Vec<FormatField> {
    vec![
        field("auction", TypeKind::BigInt.not_null()),
        field("channel", TypeKind::string().nullable()),
        field("price", TypeKind::Int.nullable()),
    ]
}

#[test]
fn any_layout_gives_the_same_rows() {
    let records: Vec<&[u8]> = vec![
        br#"{"auction":1,"bidder":9,"price":10,"channel":"a"}"#,
        br#"{"auction":2,"bidder":-9.5e3,"price":20,"channel":"b"}"#,
        br#"{"auction":3,"bidder":{"x":[1,{"y":"}"}]},"price":null,"channel":"c\n\u00e9\ud83d\ude00"}"#,
        br#"{"channel":"d","price":40,"auction":4}"#,
        br#" { "auction" : 5 , "channel" : "e" } "#,
        br#" { "auction" : 6 , "channel" : "f" } "#,
        br#"{"auction":0,"auction":7,"price":"x","price":70,"channel":"g"}"#,
        br#"{"auction":0,"auction":8,"price":"x","price":80,"channel":"h"}"#,
        br#"{"\u0061uction":9}"#,
    ];
    let decoded = decode(&bid(), &lenient(), &records);
    assert_eq!(decoded.failures, []);
    let auctions = decoded.columns[0].as_primitive::<Int64Type>();
    assert_eq!(auctions.values(), &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let channels: Vec<_> = decoded.columns[1].as_string::<i32>().iter().collect();
    assert_eq!(
        channels,
        [
            Some("a"),
            Some("b"),
            Some("c\né😀"),
            Some("d"),
            Some("e"),
            Some("f"),
            Some("g"),
            Some("h"),
            None
        ]
    );
    let prices: Vec<_> = decoded.columns[2]
        .as_primitive::<Int32Type>()
        .iter()
        .collect();
    assert_eq!(
        prices,
        [
            Some(10),
            Some(20),
            None,
            Some(40),
            None,
            None,
            Some(70),
            Some(80),
            None
        ]
    );
}

#[test]
fn a_failed_record_leaves_nothing_behind() {
    let good: &[u8] = br#"{"auction":1,"channel":"a","price":1}"#;
    let records: Vec<&[u8]> = vec![
        good,
        br#"{"auction":2,"channel":"bb","price":"x"}"#,
        good,
        br#"{"auction":2,"channel":"bb"#,
        good,
        br#"{"auction":null,"channel":"bb","price":1}"#,
        br#"{"auction":2,"channel":"bb","price":3000000000}"#,
        br#"{"auction":2,"channel":"bb","price":1}x"#,
        br#"{"auction":02,"channel":"bb","price":1}"#,
        b"{\"auction\":2,\"channel\":\"b\xffb\",\"price\":1}",
        b"{\"auction\":2,\"channel\":\"b\nb\",\"price\":1}",
        br"[1]",
        br"",
        good,
    ];
    let decoded = decode(&bid(), &lenient(), &records);
    assert_eq!(
        decoded.columns[0].as_primitive::<Int64Type>().values(),
        &[1; 4]
    );
    assert!(
        decoded.columns[1]
            .as_string::<i32>()
            .iter()
            .all(|text| text == Some("a"))
    );
    assert_eq!(
        decoded.columns[2].as_primitive::<Int32Type>().values(),
        &[1; 4]
    );
    let codes: Vec<_> = decoded
        .failures
        .iter()
        .map(|failure| (failure.row, failure.code))
        .collect();
    assert_eq!(
        codes,
        [
            (1, TypeMismatch),
            (3, Malformed),
            (5, NullValue),
            (6, TypeMismatch),
            (7, Malformed),
            (8, Malformed),
            (9, Malformed),
            (10, Malformed),
            (11, Malformed),
            (12, Malformed),
        ]
    );
    assert_eq!(
        decoded.failures[0].message,
        "field \"price\": \"x\" is not an INT"
    );
}

#[test]
fn no_fields_still_check_the_syntax() {
    let decoded = decode(
        &[],
        &lenient(),
        &[b"{}", b"{\"a\":1}", b"{\"a\":1", b"{\"a\":2}"],
    );
    assert!(decoded.columns.is_empty());
    assert_eq!(decoded.failures.len(), 1);
    assert_eq!(decoded.failures[0].row, 2);
}

#[test]
fn scalars_read_leniently_as_flink_reads_them() {
    let ok =
        |kind: TypeKind, json: &str| one(kind, &lenient(), &format!("{{\"a\":{json}}}")).unwrap();
    assert_eq!(
        ok(TypeKind::Int, "\" 12 \"")
            .as_primitive::<Int32Type>()
            .value(0),
        12
    );
    assert_eq!(
        ok(TypeKind::Int, "-1.9")
            .as_primitive::<Int32Type>()
            .value(0),
        -1
    );
    assert_eq!(
        ok(TypeKind::BigInt, "9223372036854775807")
            .as_primitive::<Int64Type>()
            .value(0),
        i64::MAX
    );
    assert_eq!(
        ok(TypeKind::Double, "\"1.5e3\"")
            .as_primitive::<Float64Type>()
            .values(),
        &[1500.0]
    );
    assert_eq!(
        ok(TypeKind::string(), "1.10").as_string::<i32>().value(0),
        "1.10"
    );
    assert_eq!(
        ok(TypeKind::string(), "true").as_string::<i32>().value(0),
        "true"
    );
    assert_eq!(
        ok(TypeKind::string(), "{\"b\" : [ 1 , \"\\u0041 \\n\" ]}")
            .as_string::<i32>()
            .value(0),
        "{\"b\":[1,\"A \\n\"]}"
    );
    assert!(ok(TypeKind::Boolean, "\"TRUE\"").as_boolean().value(0));
    assert_eq!(
        ok(TypeKind::bytes(), "\"AP8=\"")
            .as_binary::<i32>()
            .value(0),
        [0, 255]
    );
}

#[test]
fn decimals_and_times_read_as_flink_reads_them() {
    let ok =
        |kind: TypeKind, json: &str| one(kind, &lenient(), &format!("{{\"a\":{json}}}")).unwrap();
    let decimal = |json| {
        let kind = TypeKind::Decimal {
            precision: 10,
            scale: 2,
        };
        ok(kind, json).as_primitive::<Decimal128Type>().value(0)
    };
    assert_eq!(decimal("1.005"), 101);
    assert_eq!(decimal("\"12\""), 1200);
    assert_eq!(
        ok(TypeKind::Date, "\"1970-01-02\"")
            .as_primitive::<Date32Type>()
            .value(0),
        1
    );
    assert_eq!(
        ok(TypeKind::Time(3), "\"00:00:01.5\"")
            .as_primitive::<Time32MillisecondType>()
            .value(0),
        1500
    );
    assert_eq!(
        ok(TypeKind::Timestamp(6), "\"1970-01-01 00:00:00.000001\"")
            .as_primitive::<TimestampMicrosecondType>()
            .value(0),
        1
    );
    for (text, nanos) in [
        ("1970-01-01 00:00:00.000000001Z", 1),
        ("1970-01-01 00:00:00.12345678Z", 123_456_780),
        ("1969-12-31 23:59:59.999999999Z", -1),
        ("1970-01-01 00:00:01Z", 1_000_000_000),
    ] {
        let column = ok(TypeKind::TimestampLtz(9), &format!("\"{text}\""));
        assert_eq!(column.as_primitive::<Decimal128Type>().value(0), nanos);
    }
    assert_eq!(
        ok(TypeKind::TimestampLtz(3), "\"1970-01-01 00:00:00.001Z\"")
            .as_primitive::<TimestampMillisecondType>()
            .value(0),
        1
    );
}

#[test]
fn scalars_out_of_range_or_of_no_form_are_refused() {
    let code = |kind: TypeKind, json: &str| {
        one(kind, &lenient(), &format!("{{\"a\":{json}}}"))
            .unwrap_err()
            .0
    };
    for (kind, json) in [
        (TypeKind::TinyInt, "128"),
        (TypeKind::TinyInt, "1.0"),
        (TypeKind::BigInt, "9223372036854775808"),
        (TypeKind::BigInt, "1e30"),
        (TypeKind::Int, "true"),
        (TypeKind::Int, "{}"),
        (TypeKind::Double, "1e400"),
        (TypeKind::Float, "1e39"),
        (
            TypeKind::Decimal {
                precision: 3,
                scale: 1,
            },
            "100",
        ),
        (TypeKind::Date, "\"2024-02-30\""),
        (TypeKind::Timestamp(3), "\"2024-01-01T00:00:00\""),
        (TypeKind::Timestamp(3), "1700000000000"),
        (TypeKind::bytes(), "\"%\""),
        (TypeKind::Array(Box::new(TypeKind::Int.nullable())), "{}"),
    ] {
        assert_eq!(
            code(kind.clone(), json),
            FailureCode::TypeMismatch,
            "{kind} from {json}"
        );
    }
}

#[test]
fn strict_typing_takes_only_the_written_type() {
    let options = JsonOptions::registry();
    let run = |kind: TypeKind, json: &str| one(kind, &options, &format!("{{\"a\":{json}}}"));
    for (kind, json) in [
        (TypeKind::Int, "\"1\""),
        (TypeKind::Int, "1.5"),
        (TypeKind::string(), "1"),
        (TypeKind::Boolean, "\"true\""),
        (TypeKind::Timestamp(3), "\"2024-01-01 00:00:00\""),
        (TypeKind::Double, "\"NaN\""),
    ] {
        assert_eq!(run(kind, json).unwrap_err().0, FailureCode::TypeMismatch);
    }
    assert_eq!(
        run(TypeKind::Int, "\"1\"").unwrap_err().1,
        "field \"a\": expected a number, found a string"
    );
    let timestamps = run(TypeKind::Timestamp(6), "5").unwrap();
    assert_eq!(
        timestamps
            .as_primitive::<TimestampMicrosecondType>()
            .value(0),
        5000
    );
    assert_eq!(
        run(TypeKind::Date, "19000")
            .unwrap()
            .as_primitive::<Date32Type>()
            .value(0),
        19_000
    );
}

#[test]
fn missing_fields_fail_when_asked_to() {
    let options = JsonOptions::parse(&BTreeMap::from([(
        "json.fail-on-missing-field".to_owned(),
        "true".to_owned(),
    )]))
    .unwrap();
    let (code, message) = one(TypeKind::Int, &options, "{}").unwrap_err();
    assert_eq!(
        (code, message.as_str()),
        (FailureCode::NullValue, "field \"a\": is missing")
    );
    assert!(one(TypeKind::Int, &options, "{\"a\":null}").is_ok());
}

#[test]
fn options_are_checked() {
    let parse = |key: &str, value: &str| {
        JsonOptions::parse(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    };
    assert!(
        parse("json.ignore-parse-errors", "true")
            .unwrap_err()
            .message
            .contains("error-handling.mode")
    );
    assert!(parse("json.timestamp-format.standard", "RFC").is_err());
    assert!(
        parse("json.fail-on-missing-fields", "true")
            .unwrap_err()
            .message
            .contains("did you mean")
    );
    assert!(parse("json.fail-on-missing-field", "yes").is_err());
    assert!(parse("connector", "kafka").is_ok());
    let map = TypeKind::Map(
        Box::new(TypeKind::Int.not_null()),
        Box::new(TypeKind::Int.nullable()),
    );
    assert!(JsonDecoder::new(vec![field("m", map.clone().nullable())], lenient()).is_err());
    assert!(JsonDecoder::new(vec![field("m", map.nullable())], JsonOptions::registry()).is_ok());
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{{\"b\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let run = |depth| one(TypeKind::Int, &lenient(), &nested(depth));
    assert!(run(126).is_ok());
    assert_eq!(run(127).unwrap_err().0, FailureCode::Malformed);
    assert_eq!(run(1_000_000).unwrap_err().0, FailureCode::Malformed);
}

/// A column of every type that JSON holds.
fn every_type(keys: &TypeKind) -> Vec<FormatField> {
    let row = TypeKind::Row(vec![
        RowField {
            name: "x".into(),
            ty: TypeKind::Int.nullable(),
        },
        RowField {
            name: "y \"é".into(),
            ty: TypeKind::Array(Box::new(TypeKind::string().nullable())).nullable(),
        },
    ]);
    let kinds = vec![
        TypeKind::Boolean,
        TypeKind::TinyInt,
        TypeKind::SmallInt,
        TypeKind::Int,
        TypeKind::BigInt,
        TypeKind::Float,
        TypeKind::Double,
        TypeKind::Decimal {
            precision: 38,
            scale: 10,
        },
        TypeKind::string(),
        TypeKind::bytes(),
        TypeKind::Date,
        TypeKind::Time(3),
        TypeKind::Timestamp(3),
        TypeKind::Timestamp(9),
        TypeKind::TimestampLtz(3),
        TypeKind::TimestampLtz(8),
        TypeKind::Array(Box::new(row.clone().nullable())),
        TypeKind::Map(
            Box::new(keys.clone().not_null()),
            Box::new(row.clone().nullable()),
        ),
        TypeKind::Multiset(Box::new(keys.clone().not_null())),
        row,
    ];
    kinds
        .into_iter()
        .enumerate()
        .map(|(position, kind)| field(&format!("f{position}"), kind.nullable()))
        .collect()
}

/// Arbitrary JSON for a type as the encoder would write it in Flink's text forms, or null.
fn value_of(ty: FlinkType) -> BoxedStrategy<Value> {
    let some: BoxedStrategy<Value> = match ty.kind {
        TypeKind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        TypeKind::TinyInt => any::<i8>().prop_map(Value::from).boxed(),
        TypeKind::SmallInt | TypeKind::Decimal { .. } => any::<i16>().prop_map(Value::from).boxed(),
        TypeKind::Int => any::<i32>().prop_map(Value::from).boxed(),
        TypeKind::BigInt => any::<i64>().prop_map(Value::from).boxed(),
        // `serde_json` does not read every double exactly; those that it does are enough here.
        TypeKind::Float | TypeKind::Double => any::<i16>()
            .prop_map(|n| Value::from(f64::from(n) / 8.0))
            .boxed(),
        TypeKind::VarChar(_) => any::<String>().prop_map(Value::from).boxed(),
        TypeKind::VarBinary(_) => prop::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| {
                Value::from(base64::Engine::encode(
                    &base64::engine::general_purpose::STANDARD,
                    bytes,
                ))
            })
            .boxed(),
        TypeKind::Date => (1_u8..29)
            .prop_map(|day| Value::from(format!("2024-02-{day:02}")))
            .boxed(),
        TypeKind::Time(_) => (0_u8..60)
            .prop_map(|s| Value::from(format!("23:59:{s:02}.001")))
            .boxed(),
        TypeKind::Timestamp(_) => (0_u8..60)
            .prop_map(|s| Value::from(format!("1969-12-31 23:59:{s:02}.5")))
            .boxed(),
        TypeKind::TimestampLtz(_) => (0_u8..60)
            .prop_map(|s| Value::from(format!("2024-12-31 23:59:{s:02}Z")))
            .boxed(),
        TypeKind::Array(element) => prop::collection::vec(value_of(*element), 0..4)
            .prop_map(Value::from)
            .boxed(),
        TypeKind::Map(_, value) => prop::collection::vec((any::<String>(), value_of(*value)), 0..4)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
            .boxed(),
        TypeKind::Multiset(_) => prop::collection::vec((any::<String>(), any::<i32>()), 0..4)
            .prop_map(|entries| {
                Value::Object(
                    entries
                        .into_iter()
                        .map(|(key, count)| (key, count.into()))
                        .collect(),
                )
            })
            .boxed(),
        TypeKind::Row(fields) => object_of(
            fields
                .into_iter()
                .map(|member| (member.name, member.ty))
                .collect(),
        ),
        other => unreachable!("{other} is not in the test"),
    };
    prop_oneof![1 => Just(Value::Null), 6 => some].boxed()
}

fn object_of(members: Vec<(String, FlinkType)>) -> BoxedStrategy<Value> {
    let names: Vec<String> = members.iter().map(|(name, _)| name.clone()).collect();
    let values: Vec<_> = members.into_iter().map(|(_, ty)| value_of(ty)).collect();
    values
        .prop_map(move |values| Value::Object(names.iter().cloned().zip(values).collect()))
        .boxed()
}

fn encode(
    fields: &[FormatField],
    options: &JsonOptions,
    decoded: &Decoded,
    rows: usize,
) -> Vec<Vec<u8>> {
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    JsonEncoder::new(fields.to_vec(), options.clone())
        .unwrap()
        .encode(
            &Batch::inserts(decoded.columns.clone(), rows),
            &mut buffer,
            &mut ends,
        )
        .unwrap();
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let record = buffer[start..end].to_vec();
            start = end;
            record
        })
        .collect()
}

/// Numbers as `f64`, so that `1` equals `1.0`.
fn normalized(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::from(number.as_f64()),
        Value::Number(number) => number.as_i64().map_or_else(
            || value.clone(),
            |n| {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "both sides are compared the same way"
                )]
                Value::from(n as f64)
            },
        ),
        Value::Array(values) => values.iter().map(normalized).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone(), normalized(value)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// JSON text in odd spellings: spaces, escapes, duplicates, exotic numbers and plain damage.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("fals".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        "-?[0-9.eE+-]{0,5}",
        "\"(\\\\[\"\\\\/bfnrtu]|\\\\u[dD][89abc][0-9a-f]{2}|\\\\u00[0-9a-f]{2}|[a-z \u{e9}\u{1f600}]|\t){0,6}\"",
    ];
    let value = scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(" ,\n"))),
            prop::collection::vec(("[ab]|\\\\u0061", inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("\"{key}\" : {value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    let object = prop::collection::vec(("a|b|\\\\u0061|c", value), 0..5).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    });
    (
        object,
        prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
    )
        .prop_map(|(mut text, damage)| {
            if let Some((place, byte)) = damage {
                let place = place.index(text.len());
                text[place] = byte;
            }
            text
        })
}

/// What `serde_json` makes of a record: an object, another value, or nothing.
fn oracle(record: &[u8]) -> Option<Value> {
    serde_json::from_slice(record).ok()
}

/// Whether a refusal of `serde_json` is about the range of a number, which is no matter of syntax.
fn is_range(record: &[u8]) -> bool {
    serde_json::from_slice::<Value>(record)
        .is_err_and(|error| error.to_string().starts_with("number out of range"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_same_bytes_are_accepted_as_by_serde_json(records in prop::collection::vec(any_text(), 1..6)) {
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let fields = [field("a", TypeKind::string().nullable())];
        let decoded = decode(&fields, &lenient(), &slices);
        let texts = decoded.columns[0].as_string::<i32>();
        let mut failures = decoded.failures.iter().peekable();
        let mut position = 0;
        for (row, record) in slices.iter().enumerate() {
            let failure = failures.next_if(|failure| failure.row == row);
            match (oracle(record), failure) {
                (Some(Value::Object(members)), None) => {
                    let value = members.get("a").unwrap_or(&Value::Null);
                    match value {
                        Value::Null => prop_assert!(texts.is_null(position)),
                        Value::String(text) => prop_assert_eq!(texts.value(position), text),
                        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                            let read: Value = serde_json::from_str(texts.value(position)).unwrap();
                            prop_assert_eq!(&read, value);
                        }
                    }
                    position += 1;
                }
                (Some(Value::Object(_)), Some(failure)) => {
                    prop_assert!(false, "refused {:?}: {}", String::from_utf8_lossy(record), failure.message);
                }
                (_, Some(failure)) => prop_assert_eq!(failure.code, FailureCode::Malformed),
                (Some(other), None) => prop_assert!(false, "accepted {other}"),
                (None, None) => {
                    prop_assert!(is_range(record), "accepted {:?}", String::from_utf8_lossy(record));
                    position += 1;
                }
            }
        }
        prop_assert_eq!(texts.len(), position);
    }

    #[test]
    fn prediction_changes_nothing(
        records in prop::collection::vec(prop_oneof![
            any_text(),
            (any::<i64>(), "[a-z\\\\\"]{0,3}", any::<bool>()).prop_map(|(n, text, flag)| {
                format!("{{\"a\":{n},\"c\":\"{text}\",\"b\":{flag}}}").into_bytes()
            }),
            // The beginning of a record and the end of another, which mostly are no record together.
            ("\\{(\"[abcx]\":(1|true|null|\"\")[,}{]?){1,3}", "[,{]\"[abcx]\":(2|false|null)\\}")
                .prop_map(|(start, end)| format!("{start}{end}").into_bytes()),
        ], 1..12),
    ) {
        let fields = [
            field("b", TypeKind::Boolean.nullable()),
            field("a", TypeKind::BigInt.not_null()),
            field("c", TypeKind::string().nullable()),
        ];
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let together = decode(&fields, &lenient(), &slices);
        let mut rows = 0;
        let mut failures = together.failures.iter().peekable();
        for (row, record) in slices.iter().enumerate() {
            let alone = decode(&fields, &lenient(), &[record]);
            if let Some(failure) = failures.next_if(|failure| failure.row == row) {
                prop_assert_eq!(alone.failures.len(), 1);
                prop_assert_eq!(&alone.failures[0].message, &failure.message);
                prop_assert_eq!(alone.failures[0].code, failure.code);
            } else {
                prop_assert!(alone.failures.is_empty());
                for (one, all) in alone.columns.iter().zip(&together.columns) {
                    prop_assert_eq!(one, &all.slice(rows, 1));
                }
                rows += 1;
            }
        }
        prop_assert_eq!(together.columns[0].len(), rows);
    }
}

#[test]
fn what_begins_a_record_is_not_expected_within_it() {
    let fields = [field("a", TypeKind::BigInt.nullable())];
    let records: [&[u8]; 4] = [
        b"{\"a\":1}",
        b"{\"x\":null{\"a\":2}",
        b"{\"x\":null,\"a\":3}",
        b"{\"x\":{\"a\":4}}",
    ];
    let decoded = decode(&fields, &lenient(), &records);
    let rows: Vec<usize> = decoded.failures.iter().map(|failure| failure.row).collect();
    assert_eq!(rows, [1]);
    assert_eq!(decoded.columns[0].len(), 3);
    assert_eq!(decoded.columns[0].null_count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_type_reads_back(
        values in prop::collection::vec(
            object_of(every_type(&TypeKind::string()).into_iter().map(|field| (field.name, field.ty)).collect())
                .prop_filter("rows", |value| !value.is_null()),
            1..4,
        ),
    ) {
        let fields = every_type(&TypeKind::string());
        let records: Vec<Vec<u8>> = values.iter().map(|value| value.to_string().into_bytes()).collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let decoded = decode(&fields, &lenient(), &slices);
        prop_assert_eq!(&decoded.failures, &[]);
        let encoded = encode(&fields, &lenient(), &decoded, values.len());
        for (value, record) in values.iter().zip(&encoded) {
            let written: Value = serde_json::from_slice(record).unwrap();
            prop_assert_eq!(normalized(&written), normalized(value));
        }
        let slices: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(&decode(&fields, &lenient(), &slices).columns, &decoded.columns);

        // The same rows through the registry's form, where maps keyed by strings and all other types exist, too.
        let registry = JsonOptions::registry();
        let framed = encode(&fields, &registry, &decoded, values.len());
        let slices: Vec<&[u8]> = framed.iter().map(Vec::as_slice).collect();
        let again = decode(&fields, &registry, &slices);
        prop_assert_eq!(&again.failures, &[]);
        prop_assert_eq!(&again.columns, &decoded.columns);
    }
}

#[test]
fn maps_with_other_keys_are_entries_in_the_registry_form() {
    let map = TypeKind::Map(
        Box::new(TypeKind::Int.not_null()),
        Box::new(TypeKind::string().nullable()),
    );
    let fields = [field("m", map.nullable())];
    let registry = JsonOptions::registry();
    let record = br#"{"m":[{"key":1,"value":"a"},{"value":null,"key":2},{"key":1,"value":"b"}]}"#;
    let decoded = decode(&fields, &registry, &[record]);
    assert_eq!(decoded.failures, []);
    let encoded = encode(&fields, &registry, &decoded, 1);
    assert_eq!(
        String::from_utf8_lossy(&encoded[0]),
        r#"{"m":[{"key":1,"value":"b"},{"key":2,"value":null}]}"#
    );
}

#[test]
fn what_json_cannot_hold_is_an_error_and_null_fields_can_be_left_out() {
    let fields = [
        field("d", TypeKind::Double.nullable()),
        field("t", TypeKind::Timestamp(6).nullable()),
    ];
    let columns: Vec<arrow::array::ArrayRef> = vec![
        std::sync::Arc::new(arrow::array::Float64Array::from(vec![Some(f64::NAN), None])),
        std::sync::Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![
            None,
            Some(1_000_001),
        ])),
    ];
    let run = |options: &JsonOptions, row: usize| {
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        let columns = columns.iter().map(|column| column.slice(row, 1)).collect();
        JsonEncoder::new(fields.to_vec(), options.clone())
            .unwrap()
            .encode(&Batch::inserts(columns, 1), &mut buffer, &mut ends)
            .map(|()| String::from_utf8(buffer).unwrap())
    };
    assert_eq!(run(&lenient(), 0).unwrap(), r#"{"d":"NaN","t":null}"#);
    assert!(run(&JsonOptions::registry(), 0).is_err());
    assert!(
        run(&JsonOptions::registry(), 1)
            .unwrap_err()
            .message
            .contains("precision 3")
    );
    let omit = JsonOptions {
        null_fields: NullFields::Omit,
        timestamp_format: TimestampFormat::Iso8601,
        ..lenient()
    };
    assert_eq!(
        run(&omit, 1).unwrap(),
        r#"{"t":"1970-01-01T00:00:01.000001"}"#
    );
}

#[test]
fn nested_numbers_lose_no_digit_and_floats_round_once() {
    let decimal = TypeKind::Decimal {
        precision: 38,
        scale: 2,
    };
    let array = |kind: TypeKind| TypeKind::Array(Box::new(kind.nullable())).nullable();
    let fields = [
        field("a", array(decimal)),
        field("s", array(TypeKind::string())),
        field("f", TypeKind::Float.nullable()),
    ];
    // The double next to this number lies exactly between two floats; rounding it again gives the wrong one.
    let text = br#"{"a":[123456789012345678901234567890.12, null],"s":[1.10, {"b" : [1e2, "x"]}],"f":1.00000017881393432617187499}"#;
    let decoded = decode(&fields, &lenient(), &[text]);
    assert_eq!(decoded.failures, []);
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
    let nearest: f32 = "1.00000017881393432617187499".parse().unwrap();
    assert_eq!(floats.value(0).to_bits(), nearest.to_bits());
}
