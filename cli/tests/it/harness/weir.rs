//! The program under test.
//!
//! Place in the flow: tests start a server and talk to it with the program's own commands. Invariant: only what a user sees is used:
//! commands, their JSON, and HTTP.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Process, free_port, http_get, output, wait_for};

/// A running server.
#[derive(Debug)]
pub(crate) struct Weir {
    /// The process.
    process: Process,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
}

impl Weir {
    /// The program itself, to run any command.
    pub(crate) fn program() -> Command {
        Command::new(env!("CARGO_BIN_EXE_weir"))
    }

    /// Starts a server with its data in a folder and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer within 30 s.
    pub(crate) fn up(folder: &Path, options: &[&str]) -> Result<Self> {
        Self::up_to_crash(folder, options, "")
    }

    /// As [`Self::up`], with a crash point: the server ends there as if killed.
    ///
    /// # Errors
    /// As [`Self::up`].
    pub(crate) fn up_to_crash(folder: &Path, options: &[&str], point: &str) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut process = Process::start(
            Self::program()
                .args(["up", "--listen", &address, "--data-dir"])
                .arg(folder.join("data"))
                .args(options)
                .env("WEIR_CRASH_POINT", point),
            &folder.join("weir.log"),
        )?;
        wait_for("weir up", 30, || {
            process.ensure_running()?;
            Ok(http_get(&address, "/metrics").ok())
        })?;
        Ok(Self { process, address })
    }

    /// Waits until the server has ended by itself, for at most so long.
    pub(crate) fn ends_within(&mut self, seconds_max: u64) -> bool {
        let ended = wait_for("the crash point", seconds_max, || {
            Ok(self.process.ensure_running().is_err().then_some(()))
        });
        ended.is_ok()
    }

    /// A command of the program, told where the server is.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Self::program();
        command
            .args(words)
            .args(["--url", &format!("http://{}", self.address)]);
        command
    }

    /// Runs SQL text and returns what is printed.
    ///
    /// # Errors
    /// When the command fails.
    pub(crate) fn sql(&self, text: &str) -> Result<String> {
        output(&mut self.command(&["sql", "-e", text]))
    }

    /// Runs a listing command, such as `statement list`, and returns its items.
    ///
    /// # Errors
    /// When the command fails or prints no JSON array.
    pub(crate) fn list(&self, what: &str) -> Result<Vec<Value>> {
        let text = output(&mut self.command(&[what, "list", "--format", "json"]))?;
        let json: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        json.as_array()
            .or_else(|| json["data"].as_array())
            .cloned()
            .with_context(|| format!("no array: {text}"))
    }

    /// Name and phase of every statement.
    ///
    /// # Errors
    /// When the listing fails or lacks them.
    pub(crate) fn phases(&self) -> Result<Vec<(String, String)>> {
        self.list("statement")?
            .iter()
            .map(|statement| {
                let name = statement["name"].as_str().context("no name")?;
                let phase = statement["phase"]
                    .as_str()
                    .or_else(|| statement["status"]["phase"].as_str())
                    .context("no phase")?;
                Ok((name.to_owned(), phase.to_owned()))
            })
            .collect()
    }

    /// Waits until every statement is COMPLETED.
    ///
    /// # Errors
    /// When one fails, the server ends, or the time is over.
    pub(crate) fn wait_completed(&mut self, seconds_max: u64) -> Result<()> {
        wait_for("all statements COMPLETED", seconds_max, || {
            self.process.ensure_running()?;
            let phases = self.phases()?;
            if let Some((name, phase)) = phases
                .iter()
                .find(|(_, phase)| ["FAILED", "FAILING", "STOPPED"].contains(&phase.as_str()))
            {
                bail!("statement {name} is {phase}:\n{}", self.process.log());
            }
            Ok(phases
                .iter()
                .all(|(_, phase)| phase == "COMPLETED")
                .then_some(()))
        })
    }

    /// The id of the first compute pool.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn pool_id(&self) -> Result<String> {
        let pools = self.list("pool")?;
        let pool = pools.first().context("no compute pool")?;
        Ok(pool["id"].as_str().context("no id")?.to_owned())
    }

    /// The path that Confluent's metrics are served at, for the first pool.
    ///
    /// # Errors
    /// When there is no pool.
    pub(crate) fn export_path(&self) -> Result<String> {
        Ok(format!(
            "/v2/metrics/cloud/export?resource.compute_pool.id={}",
            self.pool_id()?
        ))
    }
}
