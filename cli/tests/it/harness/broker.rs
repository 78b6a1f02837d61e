//! A Kafka broker of a test's own, to be stopped and killed.
//!
//! Place in the flow: beside the broker that all tests of a run share, whose absence would disturb them. Invariant: it listens on
//! loopback, keeps ports and data over its ends, and ends with its handle.

use std::fs;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use super::{KafkaTools, Process, free_port, kept_folder, output, wait_for};

/// How long a start may take: 3 s on an idle machine; the rest is for a loaded one.
const START_SECONDS_MAX: u64 = 90;

/// How long a clean end may take: a second on an idle machine.
const END_SECONDS_MAX: u64 = 60;

/// What the broker logs when it takes requests.
const READY_LINE: &str = "Kafka Server started";

/// The cluster's id: 16 bytes in URL-safe base 64.
const CLUSTER_ID: &str = "V2VpclRlc3RCcm9rZXIwMQ";

/// How a broker ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// As an operator ends it.
    Clean,
    /// With `kill -9`.
    Kill,
}

/// A broker, running or not.
#[derive(Debug)]
pub(crate) struct Broker {
    /// The tools for it.
    pub(crate) tools: KafkaTools,
    /// Its data and its configuration.
    folder: TempDir,
    /// The process; absent while the broker is away.
    process: Option<Process>,
}

impl Broker {
    /// Makes a cluster of one broker and starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn new(tools: &KafkaTools) -> Result<Self> {
        let folder = kept_folder()?;
        let (port, controller) = (free_port()?, free_port()?);
        let properties = folder.path().join("server.properties");
        fs::write(&properties, settings(folder.path(), port, controller))?;
        let mut broker = Self {
            tools: tools.of(format!("127.0.0.1:{port}")),
            folder,
            process: None,
        };
        output(
            broker
                .tools
                .java()
                .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
                .arg(&properties),
        )?;
        broker.start()?;
        Ok(broker)
    }

    /// Starts it and waits until it takes requests.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log = self.folder.path().join("server.log");
        let mut process = Process::start(
            self.tools
                .java()
                .arg("-Dlog4j2.level=INFO")
                .arg("kafka.Kafka")
                .arg(self.folder.path().join("server.properties")),
            &log,
        )?;
        wait_for("the broker to be ready", START_SECONDS_MAX, || {
            process.ensure_running()?;
            Ok(process.log().contains(READY_LINE).then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it, and returns when it is away.
    ///
    /// # Errors
    /// When a clean end takes too long.
    pub(crate) fn end(&mut self, ending: Ending) -> Result<()> {
        match (self.process.take(), ending) {
            (Some(process), Ending::Clean) => process.terminate(END_SECONDS_MAX),
            // Dropping kills and waits.
            (Some(_), Ending::Kill) | (None, _) => Ok(()),
        }
    }
}

/// A node that is its own quorum, with internal topics of one partition.
///
/// # Source
/// Kafka 4.3's documentation of broker settings.
fn settings(folder: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
log.retention.ms=-1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
",
        folder.join("data").display()
    )
}
