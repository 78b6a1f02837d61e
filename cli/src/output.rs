//! Everything that is printed on standard output.
//!
//! Place in the flow: commands hand it rows or JSON. Invariant: the only module that prints, so that `--json` prints nothing but JSON;
//! a reader that goes away ends the program quietly.

use std::io::Write;

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::args::Format;

/// Prints a line. A closed pipe ends the program, as it does every filter.
pub(crate) fn line(text: impl std::fmt::Display) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints JSON, indented.
///
/// # Errors
/// When the value cannot be written as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a list of objects: `columns` are `(heading, JSON pointer)`.
///
/// # Errors
/// When a value cannot be written as JSON or CSV.
pub(crate) fn list(items: &[Value], columns: &[(&str, &str)], format: Format) -> Result<()> {
    let cells = |item: &Value| {
        columns
            .iter()
            .map(|(_, pointer)| cell(item.pointer(pointer)))
            .collect()
    };
    match format {
        Format::Json => json(&items)?,
        Format::Csv => {
            csv_line(columns.iter().map(|(heading, _)| *heading));
            for item in items {
                let cells: Vec<String> = cells(item);
                csv_line(cells.iter().map(String::as_str));
            }
        }
        Format::Table => {
            let headings = columns
                .iter()
                .map(|(heading, _)| (*heading).to_owned())
                .collect();
            line(table(headings, items.iter().map(cells)));
        }
    }
    Ok(())
}

/// A table as text.
pub(crate) fn table(headings: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    table
}

/// A value as a cell: strings without quotes, null as nothing.
pub(crate) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Prints a line of comma-separated values, quoted where needed (RFC 4180).
pub(crate) fn csv_line<'a>(cells: impl Iterator<Item = &'a str>) {
    let quoted: Vec<String> = cells
        .map(|cell| {
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.to_owned()
            }
        })
        .collect();
    line(quoted.join(","));
}
