//! Kafka's own command line tools.
//!
//! Place in the flow: tests make topics, write and read with them, so that no code of ours stands on both sides of a comparison.
//! Invariant: reading takes everything that is committed, so that a surplus is seen too.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{component, output};

/// How long the console consumer waits for another record before it ends: many times what a broker of this machine takes. Five seconds
/// were too short once, with a load of twelve on two cores.
const CONSUME_IDLE_MS: &str = "10000";

/// The tools, for one cluster.
#[derive(Debug, Clone)]
pub(crate) struct KafkaTools {
    /// `127.0.0.1:PORT`.
    pub(crate) bootstrap: String,
    /// The folder with the jars.
    lib: String,
}

impl KafkaTools {
    /// The cluster of this run, if there is one.
    ///
    /// # Errors
    /// When there should be one.
    pub(crate) fn find() -> Result<Option<Self>> {
        let (Some(bootstrap), Some(lib)) = (
            component("WEIR_TEST_KAFKA")?,
            component("WEIR_TEST_KAFKA_LIB")?,
        ) else {
            return Ok(None);
        };
        Ok(Some(Self { bootstrap, lib }))
    }

    /// The same tools, for another cluster.
    pub(crate) fn of(&self, bootstrap: String) -> Self {
        Self {
            bootstrap,
            lib: self.lib.clone(),
        }
    }

    /// A JVM with the tools' classes.
    pub(super) fn java(&self) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(["-Dlog4j2.level=ERROR", "-cp"])
            .arg(format!("{}/*", self.lib));
        command
    }

    /// A topic's name in this run, since a broker may serve several runs.
    pub(crate) fn topic(name: &str) -> String {
        format!("{name}-{}", std::process::id())
    }

    /// A tool by its class.
    fn tool(&self, class: &str) -> Command {
        let mut command = self.java();
        command
            .arg(format!("org.apache.kafka.tools.{class}"))
            .args(["--bootstrap-server", &self.bootstrap]);
        command
    }

    /// Makes a topic; `settings` are `name=value`.
    ///
    /// # Errors
    /// When it is there already.
    pub(crate) fn create_topic(
        &self,
        topic: &str,
        partitions: u32,
        settings: &[&str],
    ) -> Result<()> {
        let mut command = self.tool("TopicCommand");
        command.args(["--create", "--topic", topic, "--partitions"]);
        command.arg(partitions.to_string());
        for setting in settings {
            command.args(["--config", setting]);
        }
        output(&mut command).map(drop)
    }

    /// Writes each line of a file as a record without a key.
    ///
    /// # Errors
    /// When the tool fails.
    pub(crate) fn produce_lines(&self, topic: &str, file: &Path) -> Result<()> {
        let status = self
            .tool("ConsoleProducer")
            .args(["--topic", topic])
            .stdin(File::open(file)?)
            .stdout(Stdio::null())
            .status()
            .context("cannot start java")?;
        if !status.success() {
            bail!("console producer: {status}");
        }
        Ok(())
    }

    /// How many offsets a topic has, over all partitions.
    ///
    /// # Errors
    /// When the tool fails or prints something else.
    pub(crate) fn end_offsets(&self, topic: &str) -> Result<u64> {
        let text = output(self.tool("GetOffsetShell").args(["--topic", topic]))?;
        text.lines()
            .map(|line| {
                // `topic:partition:offset`
                let (_, offset) = line.rsplit_once(':').context("a line without an offset")?;
                offset.parse::<u64>().with_context(|| line.to_owned())
            })
            .sum()
    }

    /// Reads the committed records of a topic from its beginning: key and value of each, `null` when absent. Ends when nothing more
    /// comes for [`CONSUME_IDLE_MS`], since offsets do not tell how many records there are: transactions have markers.
    ///
    /// # Errors
    /// When the tool fails.
    pub(crate) fn consume(&self, topic: &str) -> Result<Vec<(String, String)>> {
        let text = output(
            self.tool("consumer.ConsoleConsumer")
                .args(["--topic", topic, "--from-beginning"])
                .args(["--isolation-level", "read_committed"])
                .args(["--timeout-ms", CONSUME_IDLE_MS])
                .args(["--formatter-property", "print.key=true"])
                .args(["--formatter-property", "key.separator=|"]),
        )?;
        // Beside records, each with a separator, the tool prints that its time was over.
        let pairs = text.lines().filter_map(|line| line.split_once('|'));
        Ok(pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect())
    }
}
