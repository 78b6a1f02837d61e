//! `weir estimate`.
//!
//! Place in the flow: five numbers in, the estimator's pure functions, a report out. Needs no server. Invariant: the same numbers, profile
//! and seed print the same figures.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use weir_estimator::{EstimateOptions, LatencyTier, Profile, Workload, explain, to_markdown};
use weir_model::workload::StatementClass;

use crate::args::Estimate;
use crate::output;

/// Monte-Carlo draws of an estimate: the third digit of a P95 stays the same from seed to seed.
pub(crate) const DRAWS: u32 = 10_000;

/// Runs the command.
///
/// # Errors
/// Numbers out of range, an unknown class, tier or preset, a profile that cannot be read.
pub(crate) fn run(args: &Estimate) -> Result<()> {
    let class = StatementClass::parse(&args.class).ok_or_else(|| {
        let classes = StatementClass::ALL.map(StatementClass::as_str).join(", ");
        anyhow!("--class \"{}\" is not one of {classes}", args.class)
    })?;
    let tier: LatencyTier = args.latency_tier.parse()?;
    let workload = Workload::new(args.rate, args.record_bytes, class, args.keys, tier);
    workload.validate()?;
    let profile = profile(args.profile.as_deref(), args.preset.as_deref())?;
    if args.explain {
        let steps = explain(&workload, &profile);
        if args.json {
            return output::json(&steps);
        }
        let headings = ["Step", "Formula", "Value", "Unit", "Source"]
            .map(str::to_owned)
            .to_vec();
        let rows = steps.iter().map(|step| {
            vec![
                step.name.to_owned(),
                step.formula.clone(),
                format!("{:.6}", step.value),
                step.unit.to_owned(),
                step.source.clone(),
            ]
        });
        output::line(output::table(headings, rows));
        return Ok(());
    }
    let options = EstimateOptions {
        seed: args.seed,
        draws: DRAWS,
    };
    let estimate = weir_estimator::estimate(&workload, &profile, options)?;
    if args.json {
        return output::json(&estimate);
    }
    output::line(to_markdown(&estimate));
    Ok(())
}

/// The profile asked for.
///
/// # Errors
/// An unknown preset, or a file that cannot be read as a profile.
pub(crate) fn profile(file: Option<&Path>, preset: Option<&str>) -> Result<Profile> {
    match (file, preset) {
        (Some(file), _) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("reading {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| {
                format!("{} is not a profile of \"weir calibrate\"", file.display())
            })
        }
        (None, None | Some("weir")) => Ok(Profile::weir_prior()),
        (None, Some("guide")) => Ok(Profile::guide()),
        (None, Some(other)) => bail!("--preset \"{other}\" is not one of weir, guide"),
    }
}
