//! `cargo xtask test`: builds everything once, then runs the suites with the real components.
//!
//! Enters: the working tree. Leaves: a line per suite with its seconds and a last line `N passed, N failed`. Invariant: nothing is
//! compiled while a component runs, so that time limits measure the product and not the compiler.

mod build;
mod suite;
mod summary;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::stack;
use crate::timing::{Part, Stopwatch};
use crate::workspace::Workspace;
use suite::{Runner, Suite};
use summary::Counts;

/// What is to run.
#[derive(Debug)]
pub(crate) struct Selection {
    /// One suite; all when absent.
    pub(crate) suite: Option<String>,
    /// Only tests whose name contains it.
    pub(crate) filter: Option<String>,
    /// Cargo's profile.
    pub(crate) profile: String,
    /// Factor on every budget.
    pub(crate) slack: f64,
}

/// Budget of the build: every test binary and the program, from nothing.
///
/// # Source
/// CI's share: 14 of 45 minutes on 2 cores.
const BUILD_BUDGET: Duration = Duration::from_mins(14);

/// Runs what is selected; true when every test passed and every part kept its budget.
pub(crate) fn run(selection: &Selection) -> Result<bool> {
    let suites = select(selection.suite.as_deref())?;
    let workspace = Workspace::load()?;
    let mut parts = Vec::new();

    println!("== build");
    let watch = Stopwatch::start();
    let binaries = build::test_binaries(&workspace, &selection.profile)?;
    parts.push(Part {
        name: "build".to_owned(),
        took: watch.elapsed(),
        budget: Some(BUILD_BUDGET.mul_f64(selection.slack)),
        note: format!("{} test binaries", binaries.len()),
        ok: true,
    });

    let mut runner = Runner::new(&workspace, &binaries, selection);
    let mut sum = Counts::default();
    for suite in suites {
        println!("== {} ({})", suite.name, suite.what);
        let watch = Stopwatch::start();
        let counts = runner.run(suite).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Counts::one_failed()
        });
        parts.push(Part {
            name: suite.name.to_owned(),
            took: watch.elapsed(),
            budget: Some(suite.budget.mul_f64(selection.slack)),
            note: counts.to_string(),
            ok: counts.failed == 0,
        });
        sum += counts;
    }
    drop(runner);

    println!();
    for part in &parts {
        println!("{}", part.line());
    }
    println!("{sum}");
    Ok(parts.iter().all(Part::passed))
}

/// The suite of that name, or all of them.
fn select(name: Option<&str>) -> Result<Vec<&'static Suite>> {
    let Some(name) = name else {
        return Ok(suite::ALL.iter().collect());
    };
    let found: Vec<_> = suite::ALL
        .iter()
        .filter(|suite| suite.name == name)
        .collect();
    if found.is_empty() {
        let names: Vec<_> = suite::ALL.iter().map(|suite| suite.name).collect();
        bail!("unknown suite \"{name}\"; there are {}", names.join(", "));
    }
    Ok(found)
}

/// Fetches the components, for suites that need them.
fn components(workspace: &Workspace) -> Result<stack::Components> {
    stack::install(&workspace.target_dir)
}
