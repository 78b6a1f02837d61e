//! Savepoints and checkpoints of a statement, and resuming from them.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::args::{Output, Resume};
use crate::client::Client;
use crate::output;

/// The path of a statement's savepoints.
pub(super) fn path(name: &str) -> String {
    format!("/weir/v1/statements/{name}/savepoints")
}

/// Takes a savepoint.
pub(super) async fn take(
    client: &Client,
    name: &str,
    savepoint: Option<String>,
    json: bool,
) -> Result<()> {
    let body = json!({ "name": savepoint });
    let taken = client
        .request(Method::POST, &path(name), Some(body))
        .await?;
    if json {
        return output::json(&taken);
    }
    output::line(format!(
        "savepoint {} of {name} at epoch {}",
        output::cell(taken.get("name")),
        output::cell(taken.get("epoch"))
    ));
    Ok(())
}

/// Stops a statement with a savepoint.
pub(super) async fn stop(client: &Client, name: &str, savepoint: &str, json: bool) -> Result<()> {
    let body = json!({ "savepoint": savepoint });
    let answer = client.act(name, "stop", body).await?;
    if json {
        return output::json(&answer);
    }
    let savepoint = output::cell(answer.get("savepoint"));
    output::line(format!("{name} stops and leaves savepoint {savepoint}"));
    Ok(())
}

/// Lists savepoints.
pub(super) async fn list(client: &Client, name: &str, output: Output) -> Result<()> {
    let columns = [
        ("Name", "/name"),
        ("Epoch", "/epoch"),
        ("Created", "/created_at"),
        ("Offsets", "/offsets"),
        ("Location", "/location"),
    ];
    let found = client.pages(&path(name)).await?;
    output::list(&found, &columns, output.format())
}

/// Lists checkpoints.
pub(super) async fn checkpoints(client: &Client, name: &str, output: Output) -> Result<()> {
    let path = format!("/weir/v1/statements/{name}/checkpoints");
    let found = client.pages(&path).await?;
    let columns = [("Epoch", "/epoch"), ("Offsets", "/offsets")];
    output::list(&found, &columns, output.format())
}

/// Deletes a savepoint.
pub(super) async fn delete(client: &Client, name: &str, savepoint: &str) -> Result<()> {
    let path = format!("{}/{savepoint}", path(name));
    client.request(Method::DELETE, &path, None).await?;
    output::line(format!("savepoint {savepoint} of {name} is deleted"));
    Ok(())
}

/// Resumes a statement.
pub(super) async fn resume(args: Resume) -> Result<()> {
    let client = Client::new(&args.server.url)?;
    let body = body_of(&args)?;
    let resumed = client.act(&args.name, "resume", body).await?;
    if args.json {
        return output::json(&resumed);
    }
    output::line(format!("{} resumes", args.name));
    Ok(())
}

/// What the API is asked for.
fn body_of(args: &Resume) -> Result<Value> {
    let mut body = json!({});
    if let Some(savepoint) = &args.from_savepoint {
        body["from_savepoint"] = json!(savepoint);
    }
    if let Some(epoch) = args.from_checkpoint {
        body["from_checkpoint"] = json!(epoch);
        body["accept_duplicates"] = json!(args.accept_duplicates);
    }
    if args.from_nothing {
        body["from_nothing"] = json!(true);
        let mut offsets = json!({});
        for pair in &args.offsets {
            let (topic, text) = pair.split_once('=').with_context(|| {
                format!("--offsets \"{pair}\" is not like \"orders=partition:0,offset:42\"")
            })?;
            offsets[topic] = json!(text);
        }
        body["offsets"] = offsets;
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, Statement};

    /// The request of a command line.
    fn request(arguments: &[&str]) -> Value {
        let all = ["weir", "statement", "resume", "copy"];
        let cli = Cli::try_parse_from(all.iter().chain(arguments)).unwrap();
        let Command::Statement(Statement::Resume(args)) = cli.command else {
            panic!("resume was asked for")
        };
        body_of(&args).unwrap()
    }

    #[test]
    fn flags_become_the_request() {
        assert_eq!(request(&[]), json!({}));
        assert_eq!(
            request(&["--from-checkpoint", "3", "--accept-duplicates"]),
            json!({ "from_checkpoint": 3, "accept_duplicates": true })
        );
        let chosen = "t=partition:0,offset:1;partition:1,offset:2";
        assert_eq!(
            request(&["--from-nothing", "--offsets", chosen]),
            json!({ "from_nothing": true, "offsets": { "t": "partition:0,offset:1;partition:1,offset:2" } })
        );
    }
}
