//! `weir statement`.
//!
//! Place in the flow: Confluent's `sql/v1` API where it has what is needed, Weir's own for the rest. Invariant: JSON output is what the
//! API gives, with name and phase at the top of lists.

mod savepoint;
mod transfer;

use anyhow::Result;
use serde_json::{Value, json};

use crate::args::{Output, Statement, Stop};
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
        Statement::Stop(args) => stop(args).await,
        Statement::Resume(args) => savepoint::resume(args).await,
        Statement::Rescale {
            name,
            parallelism,
            json,
            server,
        } => {
            let client = Client::new(&server.url)?;
            let body = json!({ "parallelism": parallelism });
            client.act(&name, "rescale", body).await?;
            let what = format!("gets {parallelism} CFU");
            done(&client, &name, &what, json).await
        }
        Statement::Savepoint {
            name,
            savepoint,
            json,
            server,
        } => savepoint::take(&Client::new(&server.url)?, &name, savepoint, json).await,
        Statement::Savepoints {
            name,
            server,
            output,
        } => savepoint::list(&Client::new(&server.url)?, &name, output).await,
        Statement::Checkpoints {
            name,
            server,
            output,
        } => savepoint::checkpoints(&Client::new(&server.url)?, &name, output).await,
        Statement::DeleteSavepoint {
            name,
            savepoint,
            server,
        } => savepoint::delete(&Client::new(&server.url)?, &name, &savepoint).await,
        Statement::Export(args) => transfer::export(args).await,
        Statement::Import(args) => transfer::import(args).await,
        Statement::Delete { name, server } => {
            Client::new(&server.url)?.delete(&name).await?;
            output::line(format!("{name} is deleted"));
            Ok(())
        }
        Statement::Exceptions {
            name,
            server,
            output,
        } => exceptions(&Client::new(&server.url)?, &name, output).await,
    }
}

/// Stops a statement in one of three ways.
async fn stop(args: Stop) -> Result<()> {
    let client = Client::new(&args.server.url)?;
    if let Some(savepoint) = args.savepoint {
        return savepoint::stop(&client, &args.name, &savepoint, args.json).await;
    }
    if args.drain {
        client.drain(&args.name).await?;
    } else {
        client.set_stopped(&args.name, true).await?;
    }
    let what = if args.drain { "drains" } else { "stops" };
    done(&client, &args.name, what, args.json).await
}

/// Lists the latest exceptions.
async fn exceptions(client: &Client, name: &str, output: Output) -> Result<()> {
    let path = format!("{}/exceptions", Client::statement_path(name));
    let exceptions = client.pages(&path).await?;
    let columns = [
        ("Time", "/timestamp"),
        ("Class", "/class"),
        ("Code", "/code"),
        ("Message", "/message"),
    ];
    output::list(&exceptions, &columns, output.format())
}

/// Says what was done, or shows the statement as JSON.
async fn done(client: &Client, name: &str, what: &str, json: bool) -> Result<()> {
    if json {
        return output::json(&client.statement(name).await?);
    }
    output::line(format!("{name} {what}"));
    Ok(())
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
