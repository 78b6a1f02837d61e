//! `cargo xtask conformance`: runs case files against the runtime.
//!
//! Place in the flow: by hand, with case files from elsewhere; a scorer compares what is written. Invariant: the files are arguments, so
//! that nothing of the workspace needs them.

use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::workspace::cargo;

/// Builds the runner and starts it with these arguments.
///
/// # Errors
/// When it does not build, or cannot read or write the files.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let options = [
        "run",
        "--locked",
        "--quiet",
        "--package",
        "weir-conformance",
        "--",
    ];
    command::run(Command::new(cargo()).args(options).args(arguments))
}
