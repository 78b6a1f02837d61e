//! The program under test.
//!
//! Place in the flow: tests start a server and talk to it with the program's own commands. Invariant: only what a user sees is used:
//! commands, their JSON, and HTTP.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Process, free_port, http_get, output, wait_for};

/// How long a start may take: half a second on an idle machine, in an unoptimised build; the rest is for a loaded one.
const START_SECONDS_MAX: u64 = 30;

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
    /// When it ends or does not answer within [`START_SECONDS_MAX`].
    pub(crate) fn up(folder: &Path, options: &[&str]) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        Self::up_at(&address, folder, options)
    }

    /// As [`Self::up`], at an address.
    ///
    /// # Errors
    /// As [`Self::up`].
    pub(crate) fn up_at(address: &str, folder: &Path, options: &[&str]) -> Result<Self> {
        let mut weir = Self::start(address, folder, options, "")?;
        wait_for("weir up", START_SECONDS_MAX, || {
            weir.process.ensure_running()?;
            Ok(http_get(&weir.address, "/metrics").ok())
        })?;
        Ok(weir)
    }

    /// Starts a server that ends at a crash point as if killed, perhaps before it answers.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn up_to_crash(folder: &Path, options: &[&str], point: &str) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        Self::start(&address, folder, options, point)
    }

    /// Starts a server.
    fn start(address: &str, folder: &Path, options: &[&str], crash_point: &str) -> Result<Self> {
        let process = Process::start(
            Self::program()
                .args(["up", "--listen", address, "--data-dir"])
                .arg(folder.join("data"))
                .args(options)
                .env("WEIR_CRASH_POINT", crash_point),
            &folder.join("weir.log"),
        )?;
        Ok(Self {
            process,
            address: address.to_owned(),
        })
    }

    /// Ends the server with `kill -9`.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the server has come to its crash point; false when it has not in time.
    ///
    /// # Errors
    /// When it ended for another reason.
    pub(crate) fn crashes_within(mut self, seconds_max: u64) -> Result<bool> {
        let ended = wait_for("the crash point", seconds_max, || {
            Ok(self.process.ensure_running().is_err().then_some(()))
        });
        let log = self.log();
        let crashed = log.contains("crash point");
        ensure!(crashed || ended.is_err(), "the server ended:\n{log}");
        Ok(crashed)
    }

    /// A command of the program, told where the server is.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Self::program();
        command
            .args(words)
            .args(["--url", &format!("http://{}", self.address)]);
        command
    }

    /// Runs any command and returns what is printed.
    ///
    /// # Errors
    /// When the command fails.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        output(&mut self.command(words))
    }

    /// Runs SQL text and returns what is printed.
    ///
    /// # Errors
    /// When the command fails.
    pub(crate) fn sql(&self, text: &str) -> Result<String> {
        output(&mut self.command(&["sql", "-e", text]))
    }

    /// Runs a query and returns its rows.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub(crate) fn query(&self, text: &str) -> Result<Vec<Value>> {
        let printed = output(&mut self.command(&["sql", "--format", "json", "-e", text]))?;
        printed
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
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

    /// The meter of every statement now.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) fn meter(&self) -> Result<Value> {
        let text = http_get(&self.address, "/weir/v1/meter")?;
        serde_json::from_str(&text).context(text)
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
