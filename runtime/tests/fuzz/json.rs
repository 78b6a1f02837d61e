//! Records of JSON: what the decoder says against what `serde_json` says.
//!
//! Place in the flow: a seed makes a batch of records of one layout, as a topic has, and damages some. Invariant: a record that
//! `serde_json` refuses is a failure, one that it takes with fitting types gives the same values, and no record changes its neighbours.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use serde_json::Value;
use serde_json::value::RawValue;
use weir_runtime::format::json::{JsonDecoder, JsonOptions};
use weir_runtime::format::{Decoder, FormatField};
use weir_runtime::{RowField, TypeKind};

use crate::random::Random;

/// Records of a batch.
const BATCH: u64 = 64;

/// Batches unless more are asked for: some seconds.
const BATCHES: u64 = 4_000;

/// What a column must hold.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    /// NULL.
    Null,
    /// BIGINT and INT.
    Integer(i64),
    /// DOUBLE, by its bits.
    Double(u64),
    /// BOOLEAN.
    Boolean(bool),
    /// STRING.
    Text(String),
    /// ARRAY and ROW.
    Parts(Vec<Cell>),
}

/// What a value of JSON means to a column.
#[derive(Debug, PartialEq)]
enum Meaning {
    /// This cell.
    Is(Cell),
    /// A conversion that `serde_json` does not know: nothing is compared.
    Converted,
}

/// The columns that are read.
fn fields() -> Vec<FormatField> {
    let field = |name: &str, kind: TypeKind| FormatField {
        name: name.to_owned(),
        ty: kind.nullable(),
    };
    let row = vec![
        RowField {
            name: "x".to_owned(),
            ty: TypeKind::string().nullable(),
        },
        RowField {
            name: "y".to_owned(),
            ty: TypeKind::Int.nullable(),
        },
    ];
    vec![
        field("id", TypeKind::BigInt),
        field("name", TypeKind::string()),
        field("price", TypeKind::Double),
        field("flag", TypeKind::Boolean),
        field("tags", TypeKind::Array(Box::new(TypeKind::Int.nullable()))),
        field("place", TypeKind::Row(row)),
    ]
}

/// Names of members: those of the columns, others, and some that look like them.
const NAMES: [&str; 10] = [
    "id", "name", "price", "flag", "tags", "place", "other", "nam", "names", "\\u0069d",
];

/// Texts with everything that a string can have.
const TEXTS: [&str; 14] = [
    "",
    "a",
    "channel-7",
    "\\n\\t\\\"\\\\\\/\\b\\f\\r",
    "\\u0041\\u00e9",
    "\\ud83d\\ude00",
    "é😀\u{7f}",
    "\\ud800",
    "\\udc00\\ud800",
    "\\u12",
    "\\x",
    "a long text that fills more than one vector of bytes",
    "12",
    "true",
];

/// Numbers with everything that a number can have.
const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "7",
    "-1",
    "1.5",
    "-0.25",
    "1e3",
    "1E-7",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "2147483648",
    "123456789012345678901234567890",
    "1e999",
    "0.1e-400",
    "01",
    "1.",
    ".5",
];

/// Appends white space, rarely.
fn space(random: &mut Random, out: &mut String) {
    if random.once_in(8) {
        out.push_str(random.pick(&[" ", "  ", "\t", "\n", "\r\n"]));
    }
}

/// Appends a value, of the type that the member's column has most of the time.
fn value(random: &mut Random, name: &str, depth: usize, out: &mut String) {
    space(random, out);
    let fitting = if random.once_in(40) { "any" } else { name };
    match fitting {
        "id" | "y" => out.push_str(&random.below(1_000_000).to_string()),
        "price" => {
            let price = f64::from_bits(random.bits() >> 2).to_string();
            out.push_str(&price);
        }
        "name" | "x" => text(random, out),
        "flag" => out.push_str(random.pick(&["true", "false", "null"])),
        "tags" => list(random, "y", depth, out),
        "place" => object(random, &["x", "y", "z"], depth, out),
        _ => match random.below(if depth > 4 { 4 } else { 7 }) {
            0 => {
                let limit = if random.once_in(20) {
                    NUMBERS.len()
                } else {
                    13
                };
                out.push_str(NUMBERS[random.below(limit)]);
            }
            1 => text(random, out),
            2 => {
                let words = ["true", "false", "null", "nul", "True"];
                let limit = if random.once_in(20) { words.len() } else { 3 };
                out.push_str(words[random.below(limit)]);
            }
            3 => deep(random, out),
            4 => list(random, "any", depth, out),
            _ => object(random, &NAMES, depth, out),
        },
    }
    space(random, out);
}

/// Appends a string.
fn text(random: &mut Random, out: &mut String) {
    out.push('"');
    for _ in 0..random.below(3) {
        // Broken ones would make nearly every record a failure.
        let limit = if random.once_in(20) { TEXTS.len() } else { 7 };
        out.push_str(TEXTS[random.below(limit)]);
    }
    out.push('"');
}

/// Appends an array.
fn list(random: &mut Random, element: &str, depth: usize, out: &mut String) {
    out.push('[');
    for at in 0..random.below(4) {
        if at > 0 {
            out.push(',');
        }
        value(random, element, depth + 1, out);
    }
    out.push(']');
}

/// Appends an object with some of these members, in any order and more than once.
fn object(random: &mut Random, names: &[&str], depth: usize, out: &mut String) {
    out.push('{');
    for at in 0..random.below(5) {
        if at > 0 {
            out.push(',');
        }
        let name = random.pick(names);
        member(random, name, depth, out);
    }
    out.push('}');
}

/// Appends a member.
fn member(random: &mut Random, name: &str, depth: usize, out: &mut String) {
    space(random, out);
    out.push('"');
    out.push_str(name);
    out.push('"');
    space(random, out);
    out.push(':');
    value(random, name, depth + 1, out);
}

/// Appends arrays in arrays, rarely more than are allowed.
fn deep(random: &mut Random, out: &mut String) {
    let depth = if random.once_in(50) {
        100 + random.below(60)
    } else {
        random.below(8)
    };
    out.push_str(&"[".repeat(depth));
    out.push_str(&"]".repeat(depth));
}

/// The records of a seed: members in one order, which some records do not keep.
fn batch(random: &mut Random) -> Vec<Vec<u8>> {
    let mut layout: Vec<&str> = NAMES.to_vec();
    for at in (1..layout.len()).rev() {
        layout.swap(at, random.below(at + 1));
    }
    layout.truncate(3 + random.below(8));
    (0..BATCH)
        .map(|_| {
            let mut layout = layout.clone();
            if random.once_in(6) {
                let (a, b) = (random.below(layout.len()), random.below(layout.len()));
                layout.swap(a, b);
            }
            if random.once_in(6) {
                layout.remove(random.below(layout.len()));
            }
            let mut out = String::from("{");
            for (at, name) in layout.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                member(random, name, 0, &mut out);
            }
            out.push('}');
            let mut bytes = out.into_bytes();
            if random.once_in(8) {
                random.damage(&mut bytes);
            }
            bytes
        })
        .collect()
}

/// What a value means to a column.
fn meaning(value: Option<&Value>, kind: &TypeKind) -> Meaning {
    let all = |parts: Vec<Meaning>| {
        let mut cells = Vec::new();
        for part in parts {
            match part {
                Meaning::Is(cell) => cells.push(cell),
                Meaning::Converted => return Meaning::Converted,
            }
        }
        Meaning::Is(Cell::Parts(cells))
    };
    match (kind, value) {
        (_, None | Some(Value::Null)) => Meaning::Is(Cell::Null),
        (TypeKind::BigInt, Some(Value::Number(number))) => match number.as_i64() {
            Some(number) => Meaning::Is(Cell::Integer(number)),
            None => Meaning::Converted,
        },
        (TypeKind::Int, Some(Value::Number(number))) => {
            match number
                .as_i64()
                .filter(|number| i32::try_from(*number).is_ok())
            {
                Some(number) => Meaning::Is(Cell::Integer(number)),
                None => Meaning::Converted,
            }
        }
        (TypeKind::Double, Some(Value::Number(number))) => match number.as_f64() {
            Some(number) => Meaning::Is(Cell::Double(number.to_bits())),
            None => Meaning::Converted,
        },
        (TypeKind::Boolean, Some(Value::Bool(flag))) => Meaning::Is(Cell::Boolean(*flag)),
        (TypeKind::VarChar(_), Some(Value::String(text))) => Meaning::Is(Cell::Text(text.clone())),
        (TypeKind::Array(element), Some(Value::Array(values))) => {
            let parts = values
                .iter()
                .map(|value| meaning(Some(value), &element.kind));
            all(parts.collect())
        }
        (TypeKind::Row(fields), Some(Value::Object(members))) => {
            let parts = fields
                .iter()
                .map(|field| meaning(members.get(&field.name), &field.ty.kind));
            all(parts.collect())
        }
        _ => Meaning::Converted,
    }
}

/// A cell of a column.
fn cell(array: &dyn Array, row: usize, kind: &TypeKind) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match kind {
        TypeKind::BigInt => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
        TypeKind::Int => Cell::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        TypeKind::Double => Cell::Double(array.as_primitive::<Float64Type>().value(row).to_bits()),
        TypeKind::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        TypeKind::VarChar(_) => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        TypeKind::Array(element) => {
            let values = array.as_list::<i32>().value(row);
            Cell::Parts(
                (0..values.len())
                    .map(|at| cell(&values, at, &element.kind))
                    .collect(),
            )
        }
        TypeKind::Row(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            Cell::Parts(
                columns
                    .map(|(column, field)| cell(column, row, &field.ty.kind))
                    .collect(),
            )
        }
        other => panic!("no column of {other}"),
    }
}

/// Compares a batch; how many records were decoded, and how many were refused.
fn compare(seed: u64, fields: &[FormatField], options: &JsonOptions) -> (u64, u64) {
    let records = batch(&mut Random::new(seed));
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut reader =
        JsonDecoder::new(fields.to_vec(), options.clone()).expect("every type has a decoder");
    let decoded = reader.decode(&slices).expect("no registry is asked");
    let mut failures = decoded.failures.iter().peekable();
    let (mut row, mut refused) = (0, 0);
    for (at, record) in records.iter().enumerate() {
        let failure = failures.next_if(|failure| failure.row == at);
        let here = || {
            format!(
                "seed {seed}, record {at}: {}",
                String::from_utf8_lossy(record)
            )
        };
        let read: Result<Value, _> = serde_json::from_slice(record);
        let object = match &read {
            Ok(Value::Object(members)) => Some(members),
            // A number that no float holds is no error of syntax, and of no interest where it is not read.
            Err(error) if error.to_string().contains("number out of range") => {
                row += usize::from(failure.is_none());
                continue;
            }
            Ok(_) | Err(_) => None,
        };
        let Some(members) = object else {
            assert!(failure.is_some(), "{}: decoded, but {read:?}", here());
            refused += 1;
            continue;
        };
        let meanings: Vec<Meaning> = fields
            .iter()
            .map(|field| meaning(members.get(&field.name), &field.ty.kind))
            .collect();
        if let Some(failure) = failure {
            assert!(
                meanings.contains(&Meaning::Converted),
                "{}: {}",
                here(),
                failure.message
            );
            continue;
        }
        let texts: BTreeMap<String, &RawValue> =
            serde_json::from_slice(record).expect("it was read before");
        for ((column, field), meaning) in decoded.columns.iter().zip(fields).zip(&meanings) {
            // serde_json may be off by the last bit, which Rust's own parser is not.
            let exact = texts
                .get(&field.name)
                .and_then(|text| text.get().parse::<f64>().ok());
            let exact = exact.map(|double| Meaning::Is(Cell::Double(double.to_bits())));
            let is_double = matches!(meaning, Meaning::Is(Cell::Double(_)));
            if let Meaning::Is(expected) = exact.as_ref().filter(|_| is_double).unwrap_or(meaning) {
                let found = cell(column, row, &field.ty.kind);
                assert_eq!(found, *expected, "{}: field {}", here(), field.name);
            }
        }
        row += 1;
    }
    assert!(
        decoded.columns.iter().all(|column| column.len() == row),
        "seed {seed}"
    );
    (row as u64, refused)
}

#[test]
fn records_are_read_as_serde_json_reads_them() {
    let fields = fields();
    for options in [JsonOptions::default(), JsonOptions::registry()] {
        let (mut decoded, mut refused) = (0, 0);
        let seeds = crate::seeds(BATCHES, 2 * BATCH);
        let batches = seeds.end - seeds.start;
        for seed in seeds {
            // Some of the columns, so that others are skipped.
            let chosen: Vec<FormatField> = fields
                .iter()
                .enumerate()
                .filter(|(at, _)| seed % 4 != 1 || seed >> (at + 2) & 1 == 0)
                .map(|(_, field)| field.clone())
                .collect();
            let outcome = compare(seed, &chosen, &options);
            decoded += outcome.0;
            refused += outcome.1;
        }
        assert!(decoded > batches * BATCH / 3, "{decoded} decoded");
        assert!(refused > batches * BATCH / 50, "{refused} refused");
    }
}
