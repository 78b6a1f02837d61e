//! Decoding records of JSON: rows per CPU-second.
//!
//! Place in the flow: `cargo run --release -p weir-benches --bin decode` makes the figures of `results/decode.md`. Invariant: one thread
//! decodes batches that are there already, so that nothing but the decoder is measured.

use anyhow::{Result, ensure};
use clap::Parser;
use weir_benches::cpu_seconds;
use weir_runtime::TypeKind;
use weir_runtime::format::json::{JsonDecoder, JsonOptions};
use weir_runtime::format::{Decoder, FormatField};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the JSON decoder.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  decode --rows 20000000")]
struct Options {
    /// Rows of each case.
    #[arg(long, default_value_t = 8_000_000)]
    rows: u64,
    /// Measure only cases whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
}

/// Records of a batch: as many as a source hands on at once.
const BATCH: usize = 1_024;

/// Different batches: more than a cache holds would measure memory, fewer the branch predictor.
const BATCHES: usize = 16;

/// Rounds of a case, of which the best counts: other programs on the machine can only make one slower.
const ROUNDS: u64 = 16;

/// A case: its name, the order of the members, how many of a hundred records have escapes, and the columns that are read.
struct Case {
    /// Name.
    name: &'static str,
    /// How many places the members are turned by, different from record to record when absent.
    turned: Option<usize>,
    /// Records of a hundred whose texts have an escape.
    escapes: u64,
    /// Columns read, the first ones.
    columns: usize,
}

/// Cases and what is aimed at, million rows per CPU-second.
const CASES: [(Case, f64); 4] = [
    (
        Case {
            name: "matching order",
            turned: Some(0),
            escapes: 0,
            columns: 7,
        },
        10.0,
    ),
    (
        Case {
            name: "members in another order in each record",
            turned: None,
            escapes: 0,
            columns: 7,
        },
        5.0,
    ),
    (
        Case {
            name: "escapes in a tenth of the records",
            turned: Some(0),
            escapes: 10,
            columns: 7,
        },
        8.0,
    ),
    (
        Case {
            name: "2 of 7 columns read",
            turned: Some(0),
            escapes: 0,
            columns: 2,
        },
        12.0,
    ),
];

/// The columns: those of a bid.
fn fields() -> Vec<FormatField> {
    let field = |name: &str, kind: TypeKind| FormatField {
        name: name.to_owned(),
        ty: kind.nullable(),
    };
    vec![
        field("auction", TypeKind::BigInt),
        field("bidder", TypeKind::BigInt),
        field("price", TypeKind::BigInt),
        field("channel", TypeKind::string()),
        field("url", TypeKind::string()),
        field("date_time", TypeKind::Timestamp(3)),
        field("extra", TypeKind::string()),
    ]
}

/// The record of a number: about 160 bytes.
fn record(number: u64, case: &Case) -> Vec<u8> {
    let has_escape = number % 100 < case.escapes;
    let extra = if has_escape {
        "a\\nb\\u00e9"
    } else {
        "abcdefgh"
    };
    let mut members = [
        format!("\"auction\":{}", 1000 + number % 977),
        format!("\"bidder\":{}", 1_000_000 + number % 7919),
        format!("\"price\":{}", number * 37 % 100_003),
        format!("\"channel\":\"channel-{}\"", number % 100),
        format!("\"url\":\"https://e.com/i/{}\"", number % 10_007),
        format!(
            "\"date_time\":\"2024-02-29 12:{:02}:{:02}.{:03}\"",
            number / 60 % 60,
            number % 60,
            number % 1000
        ),
        format!("\"extra\":\"{extra}\""),
    ];
    let turned = case
        .turned
        .unwrap_or(usize::try_from(number % 7).unwrap_or(0));
    members.rotate_left(turned);
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// Million rows per CPU-second in the best round, and bytes of a record.
fn measure(case: &Case, rows: u64) -> Result<(f64, usize)> {
    let records: Vec<Vec<u8>> = (0..(BATCH * BATCHES) as u64)
        .map(|number| record(number, case))
        .collect();
    let batches: Vec<Vec<&[u8]>> = records
        .chunks(BATCH)
        .map(|batch| batch.iter().map(Vec::as_slice).collect())
        .collect();
    let bytes = records.iter().map(Vec::len).sum::<usize>() / records.len();
    let chosen = fields()[..case.columns].to_vec();
    let mut reader = JsonDecoder::new(chosen, JsonOptions::default())?;
    // The first round learns the layout.
    for batch in &batches {
        ensure!(
            reader.decode(batch)?.failures.is_empty(),
            "a record is refused"
        );
    }
    let mut best: f64 = 0.0;
    for _ in 0..ROUNDS {
        let mut decoded = 0;
        let before = cpu_seconds();
        for batch in batches.iter().cycle() {
            decoded += reader.decode(batch)?.columns[0].len() as u64;
            if decoded >= rows / ROUNDS {
                break;
            }
        }
        let seconds = cpu_seconds() - before;
        #[expect(clippy::cast_precision_loss, reason = "figures have three digits")]
        let rate = decoded as f64 / seconds / 1e6;
        best = best.max(rate);
    }
    Ok((best, bytes))
}

#[expect(clippy::print_stdout, reason = "the figures are its result")]
fn main() -> Result<()> {
    let options = Options::parse();
    println!("| What | Bytes | Million rows per CPU-second | Aim |\n| --- | --- | --- | --- |");
    let chosen = CASES
        .iter()
        .filter(|(case, _)| case.name.contains(&options.filter));
    for (case, aim) in chosen {
        let (rate, bytes) = measure(case, options.rows)?;
        println!("| {} | {bytes} | {rate:.2} | {aim} |", case.name);
    }
    Ok(())
}
