//! `cargo xtask golden`: rewrites expected rows, and compares them with a real Flink.
//!
//! Place in the flow: whoever adds or changes a case runs it by hand; `cargo xtask test` runs the cases themselves. Invariant: expected
//! rows change only here, and only when asked for.

use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::{Workspace, cargo};

/// Rewrites the expected rows of the cases whose name contains one of `filters`, of all without any, then runs them.
///
/// # Errors
/// When a case fails even so.
pub(crate) fn update(filters: &[&str]) -> Result<()> {
    let arguments = ["test", "--locked", "--package", "weir-runtime"];
    command::run(
        Command::new(cargo())
            .args(arguments)
            .args(["--test", "golden", "--", "--update"])
            .args(filters),
    )
}

/// Compares cases with a running Flink; `arguments` are those of `flink.py`.
///
/// # Errors
/// When there is no Python, or a case differs.
pub(crate) fn flink(arguments: &[&str]) -> Result<()> {
    let workspace = Workspace::load()?;
    let python = command::find_program("python3").context("no python3 in the search path")?;
    let script = workspace.root.join("runtime/tests/golden/flink.py");
    command::run(Command::new(python).arg(script).args(arguments))
}
