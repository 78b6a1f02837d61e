//! Records that Confluent's serializer for Python wrote, and records that Python's `protobuf` reads.
//!
//! Place in the flow: the bytes were made with `confluent-kafka` 2.16.0 and `protobuf` 7.36.2, without the frame of the id. Invariant:
//! they never change; a change of the code that needs other bytes is wrong.

use std::sync::Arc;

use serde_json::{Value, json};

use super::tests::{columns, encode, json_of, rows_of};
use super::*;
use crate::format::Decoder;
use crate::format::registry::memory::{Memory, frame};
use crate::format::registry::{SchemaRegistry, SchemaType};

/// What Python's classes were made from.
const SCHEMA: &str = r#"syntax = "proto3";
package shop;

import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/type/date.proto";
import "google/type/timeofday.proto";
import "confluent/type/decimal.proto";

message Order {
  int64 id = 1;
  optional string note = 2;
  Status status = 3;
  repeated sint32 deltas = 4;
  repeated string tags = 5;
  map<string, double> prices = 6;
  map<int32, Line> lines = 7;
  google.protobuf.Timestamp at = 8;
  google.protobuf.StringValue nick = 9;
  google.type.Date day = 10;
  google.type.TimeOfDay time = 11;
  confluent.type.Decimal total = 12;
  oneof payment {
    string card = 13;
    Line gift = 14;
  }
  repeated Line rest = 15;
  uint64 big = 16;
  fixed32 small = 17;
  bytes raw = 18;
  float ratio = 19;
  bool paid = 20;
  repeated bool flags = 2000;
  enum Status { NEW = 0; PAID = 1; }
  message Line { string sku = 1; optional int32 count = 2; }
}
message Refund { int64 id = 1; Order.Line line = 2; }
"#;

/// The columns of an order.
const ORDER: &str = "id BIGINT NOT NULL, note STRING, status STRING, deltas ARRAY<INT NOT NULL>, tags ARRAY<STRING>,
    prices MAP<STRING, DOUBLE>, `lines` MAP<INT, ROW<sku STRING, `count` INT>>, `at` TIMESTAMP_LTZ(9), nick STRING, `day` DATE,
    `time` TIME(3), total DECIMAL(10, 2), payment ROW<card STRING, gift ROW<sku STRING>>,
    rest ARRAY<ROW<sku STRING, `count` INT>>, big BIGINT, small BIGINT, raw BYTES, ratio FLOAT, paid BOOLEAN, flags ARRAY<BOOLEAN>";

/// Bytes of hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The row that a record of Python is, as JSON.
fn python(declaration: &str, digits: &str) -> Value {
    let registry = Arc::new(Memory::default());
    let id = registry
        .register("t-value", SchemaType::Protobuf, SCHEMA)
        .unwrap();
    let fields = columns(declaration);
    let mut decoder = ProtoRegistryDecoder::new(registry, &fields, fields.clone()).unwrap();
    let found = decoder.decode(&[&frame(id, &bytes(digits))]).unwrap();
    assert_eq!(found.failures, []);
    json_of(&fields, found.columns, 1).remove(0)
}

#[test]
fn records_of_python_are_read() {
    let full = "00080712001801220301d8042a002a02c3a9320c0a01781100000000000004403a1008fdffffffffffffffff0112030a016c\
                420d08ffffffffffffffffff0110054a00520708e80f1002181d5a0b0817103b183a20c09fab0362080a02cfc71005180272030a01677a\
                050a016110007a008001818080808080808080018d01ffffffff92010200ff9d010000c03fa00101827d020100";
    let expected = json!({
        "id": 7, "note": "", "status": "PAID", "deltas": [-1, 300], "tags": ["", "é"], "prices": {"x": 2.5},
        "lines": [{"key": -3, "value": {"sku": "l", "count": null}}], "at": "1969-12-31 23:59:59.000000005Z", "nick": "",
        "day": "2024-02-29", "time": "23:59:58.007", "total": -123.45, "payment": {"card": null, "gift": {"sku": "g"}},
        "rest": [{"sku": "a", "count": 0}, {"sku": "", "count": null}], "big": i64::MIN + 1, "small": 4_294_967_295_i64,
        "raw": "AP8=", "ratio": 1.5, "paid": true, "flags": [true, false],
    });
    assert_eq!(python(ORDER, full), expected);
    let empty = json!({
        "id": 0, "note": null, "status": "NEW", "deltas": [], "tags": [], "prices": {}, "lines": [], "at": null, "nick": null,
        "day": null, "time": null, "total": null, "payment": null, "rest": [], "big": 0, "small": 0, "raw": "", "ratio": 0.0,
        "paid": false, "flags": [],
    });
    assert_eq!(python(ORDER, "00"), empty);
    assert_eq!(
        python("status STRING, payment ROW<card STRING>", "0018096a0163"),
        json!({"status": "UNKNOWN_ENUM_VALUE_Status_9", "payment": {"card": "c"}})
    );
    // A message in a message behind two maps, and the second message of the file.
    assert_eq!(
        python("sku STRING, `count` INT", "0400040a01731003"),
        json!({"sku": "s", "count": 3})
    );
    assert_eq!(
        python("id BIGINT, line ROW<sku STRING>", "0202080412030a0172"),
        json!({"id": 4, "line": {"sku": "r"}})
    );
}

#[test]
fn records_are_those_that_python_writes() {
    let fields = columns(
        "id BIGINT NOT NULL, note STRING, tiny TINYINT, price DECIMAL(7, 2), fixed CHAR(3) NOT NULL, raw BYTES, `day` DATE,
         `time` TIME(3), `at` TIMESTAMP(3) NOT NULL, instant TIMESTAMP_LTZ(9), ratio DOUBLE, paid BOOLEAN NOT NULL,
         sizes ARRAY<INT NOT NULL> NOT NULL, tags ARRAY<STRING>, props MAP<STRING, INT> NOT NULL, bag MULTISET<STRING>,
         who ROW<name STRING NOT NULL, home ROW<zip INT>>, grid ARRAY<ARRAY<BIGINT NOT NULL> NOT NULL> NOT NULL",
    );
    let row = json!({
        "id": -7, "note": "", "tiny": -8, "price": "-1.5", "fixed": "abc", "raw": "AP8=", "day": "2024-02-29",
        "time": "23:59:58.007", "at": "1969-12-31 23:59:59.250", "instant": "2024-01-01 00:00:00.000000001Z", "ratio": -0.0,
        "paid": true, "sizes": [0, 300, -1], "tags": ["x", null, ""], "props": {"k": 0, "n": null}, "bag": {"b": 2},
        "who": {"name": "", "home": {"zip": 0}}, "grid": [[1, 2], []],
    });
    let columns = rows_of(&fields, &[row]);
    let record = encode(&fields, columns, 1).unwrap().remove(0);
    assert_eq!(record, bytes(PYTHON_ROW));
}

/// The row that Python wrote with the schema that is derived from the columns.
const PYTHON_ROW: &str = "0008f9ffffffffffffffff01120018f8ffffffffffffffff0122080a02ff6a100718022a03616263320200ff3a0708e80f10\
    02181d420b0817103b183a20c09fab034a1008ffffffffffffffffff011080e59a775208088081c8ac061001590000000000\
    00008060016a0d00ac02ffffffffffffffffff01720b0a030a01780a000a020a007a050a016b10007a030a016e8201070a05\
    0a016210028a0104120208009201040a020102920100";
