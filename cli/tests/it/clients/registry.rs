//! Records with a schema id, to and from Confluent's serializers, by way of the embedded Schema Registry.
//!
//! Place in the flow: Python writes readings, the program copies them from topic to topic, Python reads them. Invariant: what is read is
//! what was written, value for value, though the schemas are of two makers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{KafkaTools, Weir, component};

/// How long the statement over four records may take: a second or two on an idle machine.
const COPY_SECONDS_MAX: u64 = 60;

/// The readings, as the script takes and gives them.
const READINGS: &str = include_str!("readings.json");

/// What the program must make of them, nested values as casts to STRING print them.
fn expected() -> [Value; 4] {
    let row = |id: &str, rest: [Value; 6]| {
        let [label, price, taken, colour, place, more] = rest;
        json!({"id": id, "label": label, "price": price, "taken": taken, "colour": colour, "place": place, "more": more})
    };
    let text = |text: &str| json!(text);
    [
        row(
            "-9223372036854775808",
            [
                text(""),
                text("-0.05"),
                text("1969-12-31 23:59:59.999"),
                text("GREEN"),
                text("(NULL, -1)"),
                text("[] {=-2147483648}"),
            ],
        ),
        row(
            "1",
            [
                text("first \"é\" \\ 漢"),
                text("1234567890.12"),
                text("2024-02-29 12:00:00.123"),
                text("GREEN"),
                text("(Bergen, 5003)"),
                text("[a, b] {x=7}"),
            ],
        ),
        row(
            "2",
            [
                Value::Null,
                text("0.00"),
                text("1970-01-01 00:00:00.000"),
                text("RED"),
                Value::Null,
                text("[] {}"),
            ],
        ),
        row(
            "9007199254740993",
            [
                text("last"),
                text("-9999999999.99"),
                text("9999-12-31 23:59:59.999"),
                text("RED"),
                text("(, 2147483647)"),
                text("[😀] {y=0}"),
            ],
        ),
    ]
}

/// The columns of both tables.
const COLUMNS: &str = "(
  id BIGINT NOT NULL, label STRING, price DECIMAL(12, 2) NOT NULL, taken TIMESTAMP_LTZ(3) NOT NULL, colour STRING NOT NULL,
  place ROW<city STRING, zip INT NOT NULL>, tags ARRAY<STRING NOT NULL> NOT NULL, counts MAP<STRING NOT NULL, INT NOT NULL> NOT NULL
)";

/// Statements are bounded by what is there when they start.
const BOUNDED: &str =
    "SET 'sql.tables.scan.bounded.mode' = 'latest-offset'; SET 'sql.local-time-zone' = 'UTC';";

/// Confluent's Python client.
struct Client {
    /// Its interpreter.
    python: PathBuf,
    /// The cluster.
    bootstrap: String,
    /// The registry, which is the program's.
    registry: String,
}

impl Client {
    /// Runs the script: what it prints.
    fn run(&self, words: &[&str], input: &str) -> Result<String> {
        let [command, format, rest @ ..] = words else {
            anyhow::bail!("no command and format");
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients/round_trip.py");
        let mut child = Command::new(&self.python)
            .arg(script)
            .args([
                command,
                format,
                self.bootstrap.as_str(),
                self.registry.as_str(),
            ])
            .args(rest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.python.display()))?;
        child
            .stdin
            .take()
            .context("no standard input")?
            .write_all(input.as_bytes())?;
        let ended = child.wait_with_output()?;
        ensure!(
            ended.status.success(),
            "round_trip.py {words:?}: {}",
            ended.status
        );
        Ok(String::from_utf8(ended.stdout)?)
    }
}

/// Rows or readings by id.
fn by_id(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| row["id"].to_string());
    rows
}

/// What the program knows of the client's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Its topic and its schema.
    Inferred,
    /// A table that is declared over it.
    Declared,
}

/// Sends the readings through the program in a format of the script's and one of the tables'.
fn round_trip(script_format: &str, table_format: &str, source: Source) -> Result<()> {
    let (Some(kafka), Some(python)) = (KafkaTools::find()?, component("WEIR_TEST_CLIENTS")?) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let mut weir = Weir::up(folder.path(), &["--kafka", &kafka.bootstrap])?;
    let client = Client {
        python: python.into(),
        bootstrap: kafka.bootstrap.clone(),
        registry: format!("http://{}", weir.address),
    };
    let topics =
        ["readings", "copies"].map(|name| KafkaTools::topic(&format!("{name}-{script_format}")));
    let [readings, copies] = &topics;
    kafka.create_topic(readings, 2, &[])?;
    client.run(&["write", script_format, readings], READINGS)?;
    let declared = match source {
        Source::Inferred => &topics[1..],
        Source::Declared => &topics[..],
    };
    for topic in declared {
        weir.sql(&format!(
            "CREATE TABLE `{topic}` {COLUMNS} WITH ('value.format' = '{table_format}');"
        ))?;
    }
    let printed = weir.query(&format!(
        "{BOUNDED} SELECT id, label, price, CAST(CAST(taken AS TIMESTAMP_LTZ(3)) AS STRING) AS taken, colour, CAST(place AS STRING) AS place,
           CAST(tags AS STRING) || ' ' || CAST(counts AS STRING) AS more FROM `{readings}`;"
    ))?;
    let rows = printed
        .into_iter()
        .filter(|row| row.get("id").is_some())
        .collect();
    assert_eq!(by_id(rows), expected(), "what the program read");
    weir.sql(&format!(
        "{BOUNDED} INSERT INTO `{copies}`
           SELECT id, label, price, CAST(taken AS TIMESTAMP_LTZ(3)), colour, place, tags, counts FROM `{readings}`;"
    ))?;
    weir.wait_completed(COPY_SECONDS_MAX)?;
    let printed = client.run(&["read", script_format, copies, "4"], "")?;
    let written: Vec<Value> = serde_json::from_str(READINGS)?;
    let read: Vec<Value> = serde_json::from_str(&printed)?;
    assert_eq!(by_id(read), by_id(written), "what Confluent's client read");
    Ok(())
}

#[test]
fn avro_goes_to_and_from_confluents_serializers() -> Result<()> {
    round_trip("avro", "avro-registry", Source::Inferred)
}

#[test]
fn json_goes_to_and_from_confluents_serializers() -> Result<()> {
    round_trip("json", "json-registry", Source::Declared)
}

#[test]
fn protobuf_goes_to_and_from_confluents_serializers() -> Result<()> {
    round_trip("protobuf", "proto-registry", Source::Inferred)
}
