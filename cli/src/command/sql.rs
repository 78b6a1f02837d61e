//! `weir sql`.
//!
//! Place in the flow: splits the text, submits each statement and prints its results as they come. Invariant: statements run in order,
//! each begins only after the one before has started or completed, and the first error ends the command.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};

use crate::args::{Format, Sql};
use crate::client::{Client, phase};
use crate::output;
use crate::split::split;

/// Pause between two looks at a statement that has not started yet.
const POLL: Duration = Duration::from_millis(50);

/// Narrowest and widest column of streamed results, characters.
const WIDTHS: (usize, usize) = (6, 40);

/// Runs the command.
///
/// # Errors
/// The first statement that is refused or fails.
pub(crate) async fn run(args: Sql) -> Result<()> {
    let text = text(&args)?;
    let client = Client::new(&args.server.url)?;
    let mut properties = Map::new();
    for property in &args.properties {
        let (key, value) = property
            .split_once('=')
            .ok_or_else(|| anyhow!("--property \"{property}\" is not like KEY=VALUE"))?;
        properties.insert(key.to_owned(), Value::from(value));
    }
    for statement in split(&text) {
        execute(&client, &statement, &mut properties, args.output.format()).await?;
    }
    Ok(())
}

/// The SQL text.
fn text(args: &Sql) -> Result<String> {
    if let Some(text) = &args.execute {
        return Ok(text.clone());
    }
    if let Some(file) = &args.file {
        return std::fs::read_to_string(file)
            .with_context(|| format!("reading {}", file.display()));
    }
    if std::io::stdin().is_terminal() {
        bail!("no SQL: give it with -e SQL, -f FILE or on standard input");
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("reading standard input")?;
    Ok(text)
}

/// Runs one statement to its start, completion or last result.
async fn execute(
    client: &Client,
    sql: &str,
    properties: &mut Map<String, Value>,
    format: Format,
) -> Result<()> {
    let mut statement = client
        .submit(sql, &Value::Object(properties.clone()))
        .await?;
    let name = statement["name"].as_str().unwrap_or_default().to_owned();
    let mut ticks = tokio::time::interval(POLL);
    let mut told = String::new();
    while phase(&statement) == "PENDING" {
        let detail = statement["status"]["detail"].as_str().unwrap_or_default();
        if !detail.is_empty() && detail != told {
            eprintln!("{name} is PENDING: {detail}");
            detail.clone_into(&mut told);
        }
        ticks.tick().await;
        statement = client.statement(&name).await?;
    }
    if phase(&statement) == "FAILED" {
        bail!(
            "{}",
            statement["status"]["detail"]
                .as_str()
                .unwrap_or("the statement failed")
        );
    }
    remember(sql, properties);
    if statement["status"]["traits"]["schema"]["columns"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        if format == Format::Json {
            let answer = serde_json::json!({ "statement": name, "phase": phase(&statement) });
            output::line(answer);
        } else {
            output::line(format!("{name} {}", phase(&statement)));
        }
        return Ok(());
    }
    let is_foreground = statement["status"]["traits"]["sql_kind"] == "SELECT";
    let printed = tokio::select! {
        printed = print_results(client, &statement, format) => printed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if is_foreground {
        // A foreground statement is of no use without its reader.
        client.delete(&name).await?;
    }
    printed
}

/// Keeps what SET, RESET and USE change, for the statements that follow.
fn remember(sql: &str, properties: &mut Map<String, Value>) {
    let Ok(statements) = weir_runtime::sql::parse(sql) else {
        return;
    };
    let catalog = weir_runtime::sql::catalog::MemoryCatalog::default();
    for statement in &statements {
        match weir_runtime::sql::analyze(
            statement,
            &catalog,
            &weir_runtime::sql::session::Session::default(),
        ) {
            Ok(weir_runtime::sql::Bound::Set { key, value }) => {
                properties.insert(key, Value::from(value));
            }
            Ok(weir_runtime::sql::Bound::Reset { key: Some(key) }) => {
                properties.remove(&key);
            }
            Ok(weir_runtime::sql::Bound::Reset { key: None }) => properties.clear(),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Prints the pages of results as they come.
async fn print_results(client: &Client, statement: &Value, format: Format) -> Result<()> {
    let traits = &statement["status"]["traits"];
    let columns: Vec<String> = traits["schema"]["columns"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| output::cell(column.get("name")))
        .collect();
    let shows_op = traits["is_append_only"] == Value::Bool(false);
    let name = statement["name"].as_str().unwrap_or_default();
    let mut printer = Printer {
        columns,
        shows_op,
        format,
        widths: None,
    };
    let mut next = format!("{}/results", Client::statement_path(name));
    loop {
        let page = client.get(&next).await?;
        let rows = page["results"]["data"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let is_last = page["metadata"]["next"]
            .as_str()
            .unwrap_or_default()
            .is_empty();
        printer.print(rows, is_last);
        if is_last {
            break;
        }
        output::cell(page["metadata"].get("next")).clone_into(&mut next);
    }
    let end = client.statement(name).await?;
    if phase(&end) == "FAILED" {
        bail!(
            "{}",
            end["status"]["detail"]
                .as_str()
                .unwrap_or("the statement failed")
        );
    }
    Ok(())
}

/// Prints result rows.
struct Printer {
    /// Column names.
    columns: Vec<String>,
    /// Whether the kind of change is shown.
    shows_op: bool,
    /// How to print.
    format: Format,
    /// Column widths, once the heading was printed.
    widths: Option<Vec<usize>>,
}

impl Printer {
    /// Prints a page.
    fn print(&mut self, rows: &[Value], is_last: bool) {
        match self.format {
            Format::Json => {
                for row in rows {
                    output::line(self.object(row));
                }
            }
            Format::Csv => {
                if self.widths.is_none() && (is_last || !rows.is_empty()) {
                    self.widths = Some(Vec::new());
                    let headings = self.headings();
                    output::csv_line(headings.iter().map(String::as_str));
                }
                for row in rows {
                    let cells = self.cells(row);
                    output::csv_line(cells.iter().map(String::as_str));
                }
            }
            Format::Table => self.print_table(rows, is_last),
        }
    }

    /// Prints a page as a table: all at once when it is the only one, else with the widths of the first.
    fn print_table(&mut self, rows: &[Value], is_last: bool) {
        let cells: Vec<Vec<String>> = rows.iter().map(|row| self.cells(row)).collect();
        if is_last && self.widths.is_none() {
            output::line(output::table(self.headings(), cells));
            return;
        }
        if rows.is_empty() {
            return;
        }
        let headings = self.headings();
        if self.widths.is_none() {
            let widths = (0..headings.len()).map(|column| {
                let lengths = cells.iter().map(|row| row[column].chars().count());
                lengths
                    .chain([headings[column].chars().count()])
                    .max()
                    .unwrap_or(0)
                    .clamp(WIDTHS.0, WIDTHS.1)
            });
            let widths: Vec<usize> = widths.collect();
            output::line(padded(&headings, &widths));
            output::line(
                widths
                    .iter()
                    .map(|width| "-".repeat(*width))
                    .collect::<Vec<_>>()
                    .join("-+-"),
            );
            self.widths = Some(widths);
        }
        if let Some(widths) = &self.widths {
            for row in &cells {
                output::line(padded(row, widths));
            }
        }
    }

    /// Column headings.
    fn headings(&self) -> Vec<String> {
        let op = self.shows_op.then(|| "op".to_owned());
        op.into_iter().chain(self.columns.iter().cloned()).collect()
    }

    /// The cells of a row.
    fn cells(&self, row: &Value) -> Vec<String> {
        let op = self.shows_op.then(|| op(row).to_owned());
        let values = row["row"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| {
            if value.is_null() {
                "NULL".to_owned()
            } else {
                output::cell(Some(value))
            }
        };
        op.into_iter().chain(values.iter().map(text)).collect()
    }

    /// A row as a JSON object.
    fn object(&self, row: &Value) -> Value {
        let values = row["row"].as_array().cloned().unwrap_or_default();
        let mut object: Map<String, Value> = self.columns.iter().cloned().zip(values).collect();
        if self.shows_op {
            object.insert("op".to_owned(), Value::from(op(row)));
        }
        Value::Object(object)
    }
}

/// The kind of change of a row, with Flink's short name.
fn op(row: &Value) -> &'static str {
    match row["op"].as_u64() {
        Some(1) => "-U",
        Some(2) => "+U",
        Some(3) => "-D",
        Some(_) | None => "+I",
    }
}

/// Cells padded to widths; longer ones keep their length.
fn padded(cells: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    padded.join(" | ").trim_end().to_owned()
}
