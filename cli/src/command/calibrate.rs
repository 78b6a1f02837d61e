//! `weir calibrate`.
//!
//! Place in the flow: two readings of a server's meter, the estimator's calibration, a profile file. Invariant: what is refused is said,
//! with its reason.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weir_estimator::{Observation, calibrate};
use weir_model::meter::{Operator, Snapshot, Statement};
use weir_model::workload::StatementClass;

use crate::args::Calibrate;
use crate::client::Client;
use crate::output;

/// Runs the command.
///
/// # Errors
/// What the server refuses, a server on which nothing runs, a file that cannot be written.
pub(crate) async fn run(args: Calibrate) -> Result<()> {
    let prior = super::estimate::profile(args.profile.as_deref(), None)?;
    let client = Client::new(&args.server.url)?;
    let earlier = meter(&client).await?;
    if !args.json {
        eprintln!("reading the meter again in {} s", args.seconds);
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(args.seconds.max(1)));
    ticks.tick().await;
    ticks.tick().await;
    let later = meter(&client).await?;
    let interval_ms =
        u64::try_from(later.at_ms - earlier.at_ms).context("the server's clock went back")?;
    let observations: Vec<Observation> = later
        .statements
        .iter()
        .filter_map(|statement| {
            let before = earlier
                .statements
                .iter()
                .find(|before| before.uid == statement.uid)?;
            Observation::between(before, statement, interval_ms, class_of(statement))
        })
        .collect();
    if observations.is_empty() {
        bail!(
            "no statement ran during these {} s; start one and feed it",
            args.seconds
        );
    }
    let calibration = calibrate(&observations, &prior);
    std::fs::write(
        &args.out,
        serde_json::to_string_pretty(&calibration.profile)?,
    )
    .with_context(|| format!("writing {}", args.out.display()))?;
    if args.json {
        return output::json(&json!({
            "profile": args.out,
            "used": calibration.used,
            "refused": calibration.refused,
        }));
    }
    for (observation, reason) in &calibration.refused {
        eprintln!("refused: {} records: {reason}", observation.records);
    }
    output::line(format!(
        "{} statement(s) learnt from, profile written to {}",
        calibration.used.len(),
        args.out.display()
    ));
    Ok(())
}

/// A reading of the meter.
async fn meter(client: &Client) -> Result<Snapshot> {
    Ok(serde_json::from_value(client.get("/weir/v1/meter").await?)?)
}

/// The class of a running statement, by its costliest operator.
pub(crate) fn class_of(statement: &Statement) -> StatementClass {
    let has = |name: &str| {
        statement
            .operators()
            .iter()
            .any(|operator: &Operator| operator.name.contains(name))
    };
    if has("Join") {
        StatementClass::Join
    } else if has("Rank") || has("Deduplicate") {
        StatementClass::Rank
    } else if has("GroupAggregate") {
        StatementClass::GroupAggregate
    } else if has("WindowAggregate") {
        StatementClass::WindowAggregate
    } else {
        StatementClass::Stateless
    }
}
