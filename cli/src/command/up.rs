//! `weir up`.
//!
//! Place in the flow: starts the server and waits for a signal. Invariant: a first SIGINT or SIGTERM stops every statement with a last
//! checkpoint, so that the next start goes on there; a second one ends at once.

use anyhow::{Context, Result};
use weir_runtime::task::JobConfig;
use weir_server::statement::StateLimits;
use weir_server::{Server, ServerConfig};

use crate::args::Up;

/// Runs the command.
///
/// # Errors
/// What keeps the server from starting: a port in use, a directory that cannot be written.
pub(crate) async fn run(args: Up) -> Result<()> {
    let config = ServerConfig {
        listen: args.listen,
        kafka: args.kafka,
        log_sync: args.log_sync,
        schema_registry: args.schema_registry.into_external(),
        max_cfu: args.max_cfu,
        checkpoint_dir: args.checkpoint_dir,
        checkpoint_options: args.checkpoint_option,
        job: JobConfig {
            slot_memory_bytes: args.slot_memory,
            ..JobConfig::default()
        },
        state_limits: StateLimits {
            soft_bytes: args.state_soft_limit,
            hard_bytes: args.state_hard_limit,
            ..StateLimits::default()
        },
        ..ServerConfig::embedded(args.data_dir.clone())
    };
    let server = Server::start(config).await?;
    eprintln!(
        "weir listens on http://{}, data in {}",
        server.local_addr(),
        args.data_dir.display()
    );
    signal().await?;
    eprintln!("stopping: statements take a last checkpoint; press Ctrl-C again to end at once");
    tokio::select! {
        () = server.shutdown() => {}
        second = signal() => second?,
    }
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// When the signals cannot be listened to.
pub(crate) async fn signal() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("listening to SIGTERM")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("listening to SIGINT"),
        _ = terminate.recv() => Ok(()),
    }
}
