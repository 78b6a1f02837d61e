//! `weir usage`.
//!
//! Place in the flow: the server's ledger, and nothing else. Invariant: fractions are kept; only printing rounds.

use anyhow::Result;

use crate::args::{Format, Usage, UsageBy};
use crate::client::Client;
use crate::output;

/// Runs the command.
///
/// # Errors
/// What the server refuses.
pub(crate) async fn run(args: Usage) -> Result<()> {
    let usage = Client::new(&args.server.url)?
        .get(&format!("/weir/v1/usage?by={}", args.by.as_str()))
        .await?;
    if args.output.format() == Format::Json {
        return output::json(&usage);
    }
    let subject = match args.by {
        UsageBy::Statement => {
            [("Statement", "/statement"), ("Compute pool", "/pool_id")].as_slice()
        }
        UsageBy::Pool => [("Compute pool", "/pool_id")].as_slice(),
        UsageBy::Minute => [("Minute", "/minute"), ("Statement", "/statement")].as_slice(),
    };
    let amounts = [("CFU-minutes", "/cfu_minutes"), ("Cost (USD)", "/cost")];
    let columns: Vec<(&str, &str)> = subject.iter().copied().chain(amounts).collect();
    let rows = usage["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    output::list(rows, &columns, args.output.format())?;
    if args.output.format() == Format::Table {
        let minutes = usage["total"]["cfu_minutes"].as_f64().unwrap_or(0.0);
        let cost = usage["total"]["cost"].as_f64().unwrap_or(0.0);
        output::line(format!("{minutes:.3} CFU-minutes, ${cost:.4}"));
    }
    Ok(())
}
