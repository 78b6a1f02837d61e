//! Cases as folders of golden cases.
//!
//! Place in the flow: with `WEIR_TEST_DIFFERENTIAL_GOLDEN=DIR` every case is written there, so that `golden/flink.py DIR/*` compares the
//! interpreter with a real Flink. Invariant: the expected rows are those of the interpreter.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value as Json, json};
use weir_runtime::RowKind;

use crate::case::Case;
use crate::tables::{Content, Definition, TABLES};
use crate::value::{Row, Type, Value, timestamp};

/// Writes a case.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(folder: &Path, case: &Case, expected: &[Vec<Row>]) -> io::Result<()> {
    fs::create_dir_all(folder.join("input"))?;
    fs::create_dir_all(folder.join("expected"))?;
    let mut script = String::new();
    for table in case.tables() {
        let definition = &TABLES[table];
        // An upsert table is given with the old rows, which Flink's files need.
        let mode = if definition.is_append() {
            "append"
        } else {
            "retract"
        };
        let declared = definition.sql().replace(
            "'connector' = 'blackhole'",
            &format!("'changelog.mode' = '{mode}'"),
        );
        writeln!(script, "{declared};").map_err(io::Error::other)?;
        let input = format!("input/{}.jsonl", definition.name);
        fs::write(
            folder.join(input),
            input_lines(definition, &case.contents[table]),
        )?;
    }
    for (number, (output, expected)) in case.outputs.iter().zip(expected).enumerate() {
        // Flink's files take no primary key: all rows are compared.
        let table = format!("results{number}");
        let columns = output.query.columns();
        let names = (0..columns.len()).map(|index| format!("c{index}"));
        let names: Vec<String> = names.collect();
        let fields = names.iter().map(String::as_str);
        let fields: Vec<(&str, Type)> = fields.zip(columns.iter().map(|c| c.ty)).collect();
        let declared: Vec<String> = fields
            .iter()
            .map(|(name, ty)| format!("{name} {}", declared_type(*ty)))
            .collect();
        let (declared, query) = (declared.join(", "), output.sql());
        write!(
            script,
            "CREATE TABLE {table} ({declared}) WITH ('changelog.mode' = 'retract');\nINSERT INTO {table} {query};\n"
        )
        .map_err(io::Error::other)?;
        let rows = expected
            .iter()
            .map(|row| format!("{}\n", object(&fields, row)));
        let rows: String = rows.collect();
        fs::write(folder.join(format!("expected/{table}.jsonl")), rows)?;
    }
    fs::write(folder.join("query.sql"), script)?;
    let case = "why = \"A random query\"\noracle = \"by hand\"\n";
    fs::write(folder.join("case.toml"), case)
}

/// The widest type of a kind.
fn declared_type(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "BOOLEAN",
        Type::Int => "BIGINT",
        Type::Text => "STRING",
        Type::Time => "TIMESTAMP(3)",
    }
}

/// The records of a table.
fn input_lines(table: &Definition, content: &Content) -> String {
    let fields = table.columns.iter().map(|(name, _, ty)| (*name, *ty));
    let fields: Vec<(&str, Type)> = fields.collect();
    let with_old_rows = Definition {
        mode: if table.is_append() {
            "append"
        } else {
            "retract"
        },
        ..*table
    };
    let mut lines = String::new();
    for (_, kind, row) in content.changelog(&with_old_rows) {
        let mut line = json!({ "row": object(&fields, &row), "partition": 0 });
        if kind != RowKind::Insert {
            line["kind"] = kind.short_name().into();
        }
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines
}

/// A row as a JSON object.
fn object(fields: &[(&str, Type)], row: &Row) -> Json {
    let fields = fields.iter().zip(row).map(|((name, ty), value)| {
        let value = match (value, ty) {
            (Value::Null, _) => Json::Null,
            (Value::Bool(value), _) => (*value).into(),
            // Flink leaves out zeros at the end of a fraction.
            (Value::Int(ms), Type::Time) => {
                let text = timestamp(*ms);
                text.trim_end_matches('0').trim_end_matches('.').into()
            }
            (Value::Int(value), _) => (*value).into(),
            (Value::Text(text), _) => text.as_ref().into(),
        };
        ((*name).to_owned(), value)
    });
    Json::Object(fields.collect::<Map<_, _>>())
}
