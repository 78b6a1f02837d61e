//! Golden cases: SQL and records in files, run four ways against one expected result.
//!
//! Place in the flow: `cargo xtask test` runs it with the suite `golden`; `runtime/tests/golden/README.md` describes the files.
//! Invariant: a case is data, so adding one needs no Rust.

#[path = "golden/runner/mod.rs"]
mod runner;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    runner::main(&arguments)
}
