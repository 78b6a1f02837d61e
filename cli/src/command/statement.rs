//! `weir statement`.
//!
//! Place in the flow: Confluent's `sql/v1` API, and Weir's own drain. Invariant: JSON output is what the API gives, with name and phase at
//! the top.

use anyhow::Result;
use serde_json::{Value, json};

use crate::args::Statement;
use crate::client::{Client, phase};
use crate::output;

/// Columns of the list.
const COLUMNS: [(&str, &str); 6] = [
    ("Name", "/name"),
    ("Phase", "/phase"),
    ("Kind", "/sql_kind"),
    ("Created", "/created_at"),
    ("Statement", "/statement"),
    ("Detail", "/detail"),
];

/// Longest SQL text shown in a table, characters; `describe` shows all of it.
const STATEMENT_CHARS_MAX: usize = 60;

/// Runs the command.
///
/// # Errors
/// What the server refuses.
pub(crate) async fn run(command: Statement) -> Result<()> {
    match command {
        Statement::List { server, output } => {
            let statements = Client::new(&server.url)?.statements().await?;
            let items: Vec<Value> = statements.iter().map(summary).collect();
            output::list(&items, &COLUMNS, output.format())
        }
        Statement::Describe { name, server } => {
            output::json(&Client::new(&server.url)?.statement(&name).await?)
        }
        Statement::Stop {
            name,
            drain,
            server,
        } => {
            let client = Client::new(&server.url)?;
            if drain {
                client.drain(&name).await?;
            } else {
                client.set_stopped(&name, true).await?;
            }
            output::line(format!("{name} {}", if drain { "drains" } else { "stops" }));
            Ok(())
        }
        Statement::Resume { name, server } => {
            Client::new(&server.url)?.set_stopped(&name, false).await?;
            output::line(format!("{name} resumes"));
            Ok(())
        }
        Statement::Delete { name, server } => {
            Client::new(&server.url)?.delete(&name).await?;
            output::line(format!("{name} is deleted"));
            Ok(())
        }
        Statement::Exceptions {
            name,
            server,
            output,
        } => {
            let path = format!("{}/exceptions", Client::statement_path(&name));
            let exceptions = Client::new(&server.url)?.pages(&path).await?;
            let columns = [
                ("Time", "/timestamp"),
                ("Name", "/name"),
                ("Message", "/message"),
            ];
            output::list(&exceptions, &columns, output.format())
        }
    }
}

/// What the list shows of a statement.
fn summary(statement: &Value) -> Value {
    let text = statement["spec"]["statement"].as_str().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut short = words.join(" ");
    if let Some((end, _)) = short.char_indices().nth(STATEMENT_CHARS_MAX) {
        short.truncate(end);
        short.push('…');
    }
    json!({
        "name": statement["name"],
        "phase": phase(statement),
        "sql_kind": statement["status"]["traits"]["sql_kind"],
        "compute_pool_id": statement["spec"]["compute_pool_id"],
        "created_at": statement["metadata"]["created_at"],
        "statement": short,
        "detail": statement["status"]["detail"],
    })
}
