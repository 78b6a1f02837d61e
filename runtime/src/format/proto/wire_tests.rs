//! Records of schemas that others wrote, byte by byte.

use serde_json::{Value, json};

use super::tests::row_of;
use crate::format::FailureCode::{self, Malformed, NullValue, TypeMismatch};

/// The row of a message of fields that a proto3 message is declared with.
fn row(body: &str, declaration: &str, message: &[u8]) -> Result<Value, (FailureCode, String)> {
    let schema = format!("syntax = \"proto3\"; message M {{ {body} }}");
    row_of(&schema, declaration, message)
}

/// As [`row`], of a message that is in order.
fn good(body: &str, declaration: &str, message: &[u8]) -> Value {
    row(body, declaration, message).unwrap()
}

/// A field of bytes.
fn bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    field.extend(bytes);
    field
}

#[test]
fn every_number_is_read() {
    let body = "bool a = 1; int32 b = 2; sint32 c = 3; uint32 d = 4; fixed32 e = 5; sfixed32 f = 6; \
                int64 g = 7; sint64 h = 8; uint64 i = 9; fixed64 j = 10; sfixed64 k = 11; float l = 12; double m = 13;";
    let declaration = "a BOOLEAN, b INT, c INT, d BIGINT, e BIGINT, f INT, g BIGINT, h BIGINT, i BIGINT, j BIGINT, \
                       k BIGINT, l FLOAT, m DOUBLE";
    let mut message = vec![0x08, 7];
    message.extend([
        0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
    ]);
    message.extend([0x18, 3]);
    message.extend([0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    message.extend([0x2D, 0xFF, 0xFF, 0xFF, 0xFF]);
    message.extend([0x35, 0xFE, 0xFF, 0xFF, 0xFF]);
    message.extend([0x38, 0xAC, 2]);
    message.extend([0x40, 0xAB, 2]);
    // Numbers without a sign keep their bits, as in Java.
    message.extend([
        0x48, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
    ]);
    message.extend([0x51, 1, 0, 0, 0, 0, 0, 0, 0x80]);
    message.extend([0x59, 0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    message.extend([0x65, 0, 0, 0xC0, 0x3F]);
    message.extend([0x69, 0, 0, 0, 0, 0, 0, 4, 0x40]);
    let expected = json!({
        "a": true, "b": -1, "c": -2, "d": 4_294_967_295_i64, "e": 4_294_967_295_i64, "f": -2, "g": 300, "h": -150,
        "i": -1, "j": i64::MIN + 1, "k": -3, "l": 1.5, "m": 2.5,
    });
    assert_eq!(good(body, declaration, &message), expected);
    let zeros = json!({
        "a": false, "b": 0, "c": 0, "d": 0, "e": 0, "f": 0, "g": 0, "h": 0, "i": 0, "j": 0, "k": 0, "l": 0.0, "m": 0.0,
    });
    assert_eq!(good(body, declaration, &[]), zeros);
}

#[test]
fn narrow_columns_take_what_fits() {
    let body = "int32 a = 1; float b = 2;";
    assert_eq!(
        good(
            body,
            "a TINYINT, b DOUBLE",
            &[0x08, 100, 0x15, 0, 0, 0, 0x3F]
        ),
        json!({"a": 100, "b": 0.5})
    );
    let (code, message) = row(body, "a TINYINT", &[0x08, 0x80, 1]).unwrap_err();
    assert_eq!(code, TypeMismatch);
    assert!(message.contains("field \"a\": 128"), "{message}");
    // An int32 of more bits is cut to its lower half, as every implementation does.
    let long = [0x08, 0x81, 0x80, 0x80, 0x80, 0x70];
    assert_eq!(good(body, "a INT", &long), json!({"a": 1}));
    for (declaration, part) in [
        ("a STRING", "int32 is no STRING"),
        ("a ARRAY<INT>", "int32 is no ARRAY"),
        ("b FLOAT, a BOOLEAN", "int32 is no BOOLEAN"),
    ] {
        let (code, message) = row(body, declaration, &[0x08, 1]).unwrap_err();
        assert_eq!(code, TypeMismatch);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_last_of_a_field_counts_and_unknown_ones_are_passed_over() {
    let body = "int32 a = 1; string b = 3; reserved 7; message N {}";
    let mut message = vec![0x08, 1];
    message.extend(bytes(3, b"old"));
    // Unknown: a varint, four and eight bytes, bytes, a group with a group.
    message.extend([
        0x38, 0x80, 1, 0x3D, 1, 2, 3, 4, 0x39, 1, 2, 3, 4, 5, 6, 7, 8,
    ]);
    message.extend(bytes(7, b"unknown"));
    message.extend([0x3B, 0x08, 9, 0x43, 0x44, 0x3C]);
    // Of another wire type: as unknown.
    message.extend([0x1D, 9, 9, 9, 9]);
    message.extend(bytes(1, b"x"));
    message.extend([0x08, 2]);
    message.extend(bytes(3, b"new"));
    assert_eq!(
        good(body, "a INT, b STRING", &message),
        json!({"a": 2, "b": "new"})
    );
}

#[test]
fn presence_is_null_or_zero() {
    let body = "int32 a = 1; optional int32 b = 2; N c = 3; repeated int32 d = 4; map<string, int32> e = 5; \
                oneof f { int32 g = 6; } message N { int32 x = 1; }";
    let declaration = "a INT, b INT, c ROW<x INT>, d ARRAY<INT>, e MAP<STRING, INT>, f ROW<g INT>";
    assert_eq!(
        good(body, declaration, &[]),
        json!({"a": 0, "b": null, "c": null, "d": [], "e": {}, "f": null})
    );
    assert_eq!(
        good(body, declaration, &[0x10, 0, 0x1A, 0, 0x30, 0]),
        json!({"a": 0, "b": 0, "c": {"x": 0}, "d": [], "e": {}, "f": {"g": 0}})
    );
    let (code, message) = row(body, "b INT NOT NULL", &[]).unwrap_err();
    assert_eq!(code, NullValue);
    assert!(message.contains("field \"b\""), "{message}");
}

#[test]
fn parts_of_a_message_are_one() {
    let body = "N n = 1; message N { int32 a = 1; repeated int32 b = 2; O o = 3; } message O { int32 x = 1; int32 y = 2; }";
    let declaration = "n ROW<a INT, b ARRAY<INT>, o ROW<x INT, y INT>>";
    let mut message = bytes(
        1,
        &[[0x08, 1, 0x10, 5].as_slice(), &bytes(3, &[0x08, 7])].concat(),
    );
    message.extend(bytes(
        1,
        &[[0x08, 2, 0x12, 2, 6, 7].as_slice(), &bytes(3, &[0x10, 8])].concat(),
    ));
    assert_eq!(
        good(body, declaration, &message),
        json!({"n": {"a": 2, "b": [5, 6, 7], "o": {"x": 7, "y": 8}}})
    );
}

#[test]
fn elements_may_be_packed_or_not() {
    let body = "repeated sint32 a = 1; repeated double b = 2 [packed = false]; repeated string c = 3; repeated E d = 4; \
                repeated fixed32 e = 5; enum E { X = 0; Y = 1; }";
    let declaration =
        "a ARRAY<INT>, b ARRAY<DOUBLE>, c ARRAY<STRING>, d ARRAY<STRING>, e ARRAY<BIGINT>";
    let mut message = vec![0x0A, 2, 2, 4, 0x08, 6, 0x0A, 0, 0x0A, 1, 8];
    message.extend([0x11, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F]);
    message.extend(bytes(2, &[0, 0, 0, 0, 0, 0, 0, 0x40]));
    message.extend([bytes(3, b""), bytes(3, b"hi")].concat());
    message.extend(bytes(4, &[0, 1, 5]));
    message.extend([0x20, 1]);
    message.extend(bytes(5, &[1, 0, 0, 0, 2, 0, 0, 0]));
    assert_eq!(
        good(body, declaration, &message),
        json!({
            "a": [1, 2, 3, 4], "b": [1.0, 2.0], "c": ["", "hi"], "d": ["X", "Y", "UNKNOWN_ENUM_VALUE_E_5", "Y"],
            "e": [1, 2],
        })
    );
    let (code, message) = row(body, "e ARRAY<BIGINT>", &bytes(5, &[1, 0, 0])).unwrap_err();
    assert_eq!(code, Malformed);
    assert!(
        message.starts_with("field \"e\": not Protobuf"),
        "{message}"
    );
}

#[test]
fn of_a_oneof_the_last_counts() {
    let body =
        "oneof one { int32 a = 1; string b = 2; N c = 3; } message N { int32 x = 1; int32 y = 2; }";
    let declaration = "one ROW<a INT, b STRING, c ROW<x INT, y INT>>";
    let a = [0x08, 5];
    let b = bytes(2, b"hi");
    let c = bytes(3, &[0x08, 1]);
    let more = bytes(3, &[0x10, 2]);
    for (message, expected) in [
        (vec![], json!(null)),
        (a.to_vec(), json!({"a": 5, "b": null, "c": null})),
        (
            [&a, b.as_slice()].concat(),
            json!({"a": null, "b": "hi", "c": null}),
        ),
        (
            [c.as_slice(), &more].concat(),
            json!({"a": null, "b": null, "c": {"x": 1, "y": 2}}),
        ),
        // What was set before another one is forgotten.
        (
            [c.as_slice(), &b, &more].concat(),
            json!({"a": null, "b": null, "c": {"x": 0, "y": 2}}),
        ),
    ] {
        assert_eq!(good(body, declaration, &message), json!({"one": expected}));
    }
    // One that nobody asks for makes the asked one absent all the same.
    let message = [&a, b.as_slice()].concat();
    assert_eq!(good(body, "one ROW<a INT>", &message), json!({"one": null}));
    assert_eq!(good(body, "a INT", &message), json!({"a": null}));
    assert_eq!(
        good(body, "one ROW<a INT> NOT NULL", &message),
        json!({"one": {"a": null}})
    );
}

#[test]
fn of_equal_keys_the_last_counts() {
    let body = "map<string, int32> a = 1; map<int32, N> b = 2; map<bool, string> c = 3; message N { int32 x = 1; }";
    let declaration = "a MAP<STRING, INT>, b MAP<INT, ROW<x INT>>, c MAP<BOOLEAN, STRING>";
    let entry = |key: &[u8], value: &[u8]| [key, value].concat();
    let mut message = bytes(1, &entry(&bytes(1, b"k"), &[0x10, 1]));
    message.extend(bytes(1, &entry(&[0x10, 9], &[])));
    message.extend(bytes(1, &entry(&[0x10, 2], &bytes(1, b"k"))));
    // 7, and 7 in more bytes; a value that is not there is an empty message.
    message.extend(bytes(2, &entry(&[0x08, 7], &bytes(2, &[0x08, 1]))));
    message.extend(bytes(2, &[0x08, 0x87, 0]));
    message.extend(bytes(3, &entry(&[0x08, 1], &bytes(2, b"yes"))));
    message.extend(bytes(3, &entry(&[0x08, 2], &bytes(2, b"still"))));
    message.extend(bytes(3, &[]));
    assert_eq!(
        good(body, declaration, &message),
        json!({
            "a": {"": 9, "k": 2},
            "b": [{"key": 7, "value": {"x": 0}}],
            "c": [{"key": true, "value": "still"}, {"key": false, "value": ""}],
        })
    );
    assert_eq!(good(body, "c MULTISET<BOOLEAN>", &[]), json!({"c": []}));
}

#[test]
fn wrappers_hold_what_may_be_null() {
    let schema = |body: &str| {
        format!(
            "syntax = \"proto3\"; import \"google/protobuf/wrappers.proto\"; message M {{ {body} }}"
        )
    };
    let schema = schema(
        "google.protobuf.Int32Value a = 1; google.protobuf.StringValue b = 2; repeated google.protobuf.BoolValue c = 3;",
    );
    let declaration = "a INT, b STRING, c ARRAY<BOOLEAN>";
    let mut message = bytes(1, &[]);
    message.extend(bytes(3, &[0x08, 1]));
    message.extend(bytes(3, &[]));
    assert_eq!(
        row_of(&schema, declaration, &message).unwrap(),
        json!({"a": 0, "b": null, "c": [true, false]})
    );
    assert_eq!(
        row_of(&schema, "a ROW<`value` INT>", &bytes(1, &[0x08, 5])).unwrap(),
        json!({"a": {"value": 5}})
    );
}

#[test]
fn known_messages_are_dates_times_and_decimals() {
    let schema = "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; import \"google/type/date.proto\"; \
                  import \"google/type/timeofday.proto\"; import \"confluent/type/decimal.proto\"; \
                  message M { google.protobuf.Timestamp a = 1; google.type.Date b = 2; google.type.TimeOfDay c = 3; \
                  confluent.type.Decimal d = 4; google.type.Date e = 5; }";
    let declaration = "a TIMESTAMP(9), b DATE, c TIME(3), d DECIMAL(5, 1), e ROW<`year` INT>";
    let mut message = bytes(
        1,
        &[
            // -1 second and 5 nanoseconds.
            0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0x10, 5,
        ],
    );
    message.extend(bytes(2, &[0x08, 0xE8, 0x0F, 0x10, 2, 0x18, 29]));
    message.extend(bytes(
        3,
        &[0x08, 23, 0x10, 59, 0x18, 58, 0x20, 0x80, 0xDA, 0xC4, 9],
    ));
    message.extend(bytes(4, &[0x0A, 2, 0xFF, 0x6A, 0x10, 3, 0x18, 2]));
    message.extend(bytes(5, &[0x08, 7]));
    assert_eq!(
        row_of(schema, declaration, &message).unwrap(),
        json!({
            "a": "1969-12-31 23:59:59.000000005", "b": "2024-02-29", "c": "23:59:58.02", "d": -1.5, "e": {"year": 7},
        })
    );
    // Nothing is the epoch and midnight, but no date and no decimal.
    assert_eq!(
        row_of(
            schema,
            "a TIMESTAMP_LTZ(3), c TIME",
            &[bytes(1, &[]), bytes(3, &[])].concat()
        )
        .unwrap(),
        json!({"a": "1970-01-01 00:00:00Z", "c": "00:00:00"})
    );
    let huge = [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
    for (declaration, message, part) in [
        ("b DATE", bytes(2, &[]), "there is no date 0-0-0"),
        (
            "b DATE",
            bytes(2, &[0x08, 1, 0x10, 2, 0x18, 30]),
            "no date 1-2-30",
        ),
        ("c TIME", bytes(3, &[0x08, 24]), "no time of the day 24:0:0"),
        ("c TIME", bytes(3, &huge), "no time of the day -1:0:0"),
        ("a TIMESTAMP(3)", bytes(1, &huge), "out of the range"),
        (
            "a TIMESTAMP(3)",
            bytes(1, &[0x10, 0x80, 0x94, 0xEB, 0xDC, 3]),
            "1000000000 are no nanoseconds",
        ),
        ("d DECIMAL(5, 1)", bytes(4, &[]), "a decimal of no bytes"),
        (
            "d DECIMAL(2, 1)",
            bytes(4, &[0x0A, 1, 100]),
            "out of the range",
        ),
    ] {
        let (_, text) = row_of(schema, declaration, &message).unwrap_err();
        assert!(text.contains(part), "{declaration}: {text}");
    }
    // 5 with the scale -2.
    let hundreds = bytes(
        4,
        &[
            0x0A, 1, 5, 0x18, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
        ],
    );
    assert_eq!(
        row_of(schema, "d DECIMAL(5, 1)", &hundreds).unwrap(),
        json!({"d": 500.0})
    );
}

#[test]
fn proto2_has_presence_closed_enums_and_groups() {
    let schema = "syntax = \"proto2\"; message M { required int32 a = 1; optional int32 b = 2 [default = 7]; \
                  optional E c = 3; repeated E d = 4; optional group G = 5 { optional int32 x = 1; } optional int32 f = 6; \
                  repeated int32 h = 7; enum E { X = 3; Y = 4; } }";
    let declaration = "a INT, b INT, c STRING, d ARRAY<STRING>, f INT, h ARRAY<INT>";
    // A symbol that is not known is as if it were not there, and so is the group.
    let message = [
        0x08, 1, 0x18, 4, 0x18, 9, 0x20, 3, 0x20, 9, 0x2B, 0x08, 1, 0x2C, 0x30, 2, 0x38, 1, 0x3A,
        1, 2,
    ];
    assert_eq!(
        row_of(schema, declaration, &message).unwrap(),
        json!({"a": 1, "b": null, "c": "Y", "d": ["X"], "f": 2, "h": [1, 2]})
    );
    let (code, text) = row_of(schema, "g ROW<x INT>", &message).unwrap_err();
    assert_eq!(code, TypeMismatch);
    assert!(text.contains("a group, which is not supported"), "{text}");
    let (code, _) = row_of(schema, "a INT NOT NULL", &[]).unwrap_err();
    assert_eq!(code, NullValue);
}

#[test]
fn damaged_records_are_malformed() {
    let body = "int32 a = 1; string b = 2; N n = 3; message N { string s = 1; }";
    let declaration = "a INT, b STRING, n ROW<s STRING>";
    for message in [
        [0x08].as_slice(),
        &[0x08, 0x80],
        &[0x12, 5, b'x'],
        &[0x12, 2, 0xC3, 0x28],
        &bytes(3, &[0x0A, 9]),
        &bytes(3, &bytes(1, &[0xFF])),
        &[0x0C],
        &[0x0F],
        &[0x00, 0x00],
        &[0x3B, 0x08, 1],
        &[
            0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2,
        ],
        &[
            0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
        ],
    ] {
        let (code, _) = row(body, declaration, message).unwrap_err();
        assert_eq!(code, Malformed, "{message:?}");
    }
    // What nobody asks for is not looked into.
    let message = bytes(3, &[0xFF]);
    assert_eq!(good(body, "a INT", &message), json!({"a": 0}));
}
