//! `cargo xtask check`: everything about the workspace that can be judged without running it.
//!
//! Enters: the working tree. Leaves: a line per step with its seconds, and whether all passed. Cheap steps come first; a failed
//! step does not keep the others from running.

mod crates;
mod deny;
mod errors;
mod sources;
mod spdx;

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command;
use crate::timing::{Part, Stopwatch};
use crate::workspace::{Workspace, cargo};

/// What all steps together may take.
///
/// # Source
/// CI's share for `check`: 10 of 45 minutes on 2 cores, on a clean clone.
const BUDGET: Duration = Duration::from_mins(10);

/// Problems that a step found: the workspace passes without any.
pub(crate) type Problems = Vec<String>;

/// The steps, in the order they run.
const STEPS: [&str; 6] = ["fmt", "crates", "sources", "errors", "clippy", "doc"];

/// Runs every step, or the one named; true when all passed in time.
pub(crate) fn run(only: Option<&str>, slack: f64) -> Result<bool> {
    if let Some(step) = only
        && !STEPS.contains(&step)
    {
        bail!("unknown step \"{step}\"; there are {}", STEPS.join(", "));
    }
    let workspace = Workspace::load()?;
    let total = Stopwatch::start();
    let mut parts = Vec::new();
    for step in STEPS
        .into_iter()
        .filter(|step| only.is_none_or(|only| only == *step))
    {
        println!("== check {step}");
        let watch = Stopwatch::start();
        let problems =
            run_step(step, &workspace).unwrap_or_else(|error| vec![format!("{error:#}")]);
        for problem in &problems {
            println!("{problem}");
        }
        parts.push(Part {
            name: step.to_owned(),
            took: watch.elapsed(),
            budget: None,
            note: match problems.len() {
                0 => String::new(),
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            },
            ok: problems.is_empty(),
        });
    }
    let ok = parts.iter().all(Part::passed);
    parts.push(Part {
        name: "check".to_owned(),
        took: total.elapsed(),
        budget: Some(BUDGET.mul_f64(slack)),
        note: String::new(),
        ok,
    });
    println!();
    for part in &parts {
        println!("{}", part.line());
    }
    Ok(parts.iter().all(Part::passed))
}

/// Runs one step.
fn run_step(step: &str, workspace: &Workspace) -> Result<Problems> {
    match step {
        "fmt" => cargo_step(&["fmt", "--all", "--check"], &[]),
        "crates" => crates::check(workspace),
        "sources" => sources::check(&workspace.root),
        "errors" => errors::check(&workspace.root),
        // The profile is the tests' own, so that build scripts (OpenSSL, librdkafka, SQLite) are compiled once for both.
        "clippy" => cargo_step(
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--profile",
                "ci",
                "--locked",
                "--",
                "-D",
                "warnings",
            ],
            &[],
        ),
        "doc" => cargo_step(
            &[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--profile",
                "ci",
                "--locked",
            ],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
        other => bail!("step {other} has no code"),
    }
}

/// A step that is a run of cargo.
fn cargo_step(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Problems> {
    command::run(
        Command::new(cargo())
            .args(arguments)
            .envs(environment.iter().copied()),
    )?;
    Ok(Problems::new())
}
