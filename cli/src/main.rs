//! The `weir` binary.
//!
//! Place in the flow: parses the command line and hands it to one file of `command/`. Invariant: standard output carries results only;
//! errors and progress go to standard error; the exit code is 0, 1 for a failure and 2 for a wrong command line.

mod args;
mod client;
mod command;
mod output;
mod split;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};

/// Measured faster than the system's allocator on batches of decoded strings, and half the CPU of librdkafka's consumer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command.
fn run(command: Command) -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Up(args) => command::up::run(args).await,
            Command::Sql(args) => command::sql::run(args).await,
            Command::Statement(args) => command::statement::run(args).await,
            Command::Pool(args) => command::pool::run(args).await,
            Command::Estimate(args) => command::estimate::run(&args),
            Command::Calibrate(args) => command::calibrate::run(args).await,
            Command::Usage(args) => command::usage::run(args).await,
            Command::Demo(args) => command::demo::run(args).await,
            Command::Completion { shell } => {
                clap_complete::generate(shell, &mut Cli::command(), "weir", &mut std::io::stdout());
                Ok(())
            }
        }
    });
    // Threads that still wait for an unreachable broker must not hold the program.
    runtime.shutdown_background();
    result
}
