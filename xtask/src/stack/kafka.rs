//! Apache Kafka: one node in `KRaft` mode, broker and controller in one JVM.
//!
//! Place in the flow: started once per run of `test`, after everything is compiled. Invariant: each run begins with an empty data
//! directory, and the node ends with its handle.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Components, packages};
use crate::command::{self, Background, wait_for};

/// The Maven project whose dependencies are the jars; its text is part of this program, so that a change of it is a new set.
const POM: &str = include_str!("../../stack/kafka/pom.xml");

/// Marks a folder of jars as complete, holding the project they were fetched by.
const COMPLETE: &str = "complete.xml";

/// How long the node may take to be ready.
///
/// # Source
/// 2.3 s measured on an idle machine with these flags; the rest is for a loaded one.
const START_LIMIT: Duration = Duration::from_secs(90);

/// What the node logs when it takes requests.
const READY_LINE: &str = "Kafka Server started";

/// Flags of the JVM: a small heap, and only the quick compiler, which halves the CPU time of a start.
const JVM_FLAGS: [&str; 5] = [
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
];

/// The cluster's id: 16 bytes in URL-safe base 64, fixed since a cluster lives for one run.
const CLUSTER_ID: &str = "V2VpclRlc3RDbHVzdGVyMA";

/// A running node; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Kafka {
    /// `127.0.0.1:PORT`.
    pub(crate) bootstrap: String,
    /// The process.
    _process: Background,
}

impl Kafka {
    /// Starts a node on free ports and waits until it takes requests.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the message carries the end of its log.
    pub(crate) fn start(components: &Components) -> Result<Self> {
        let folder = components.run_dir.join("kafka");
        let data = folder.join("data");
        let pid_file = folder.join("kafka.pid");
        let log = folder.join("server.log");
        let (broker, controller) = free_ports()?;
        let java = |class: &str| {
            let mut command = Command::new(&components.java);
            command
                .args(JVM_FLAGS)
                .arg(format!(
                    "-Dlog4j2.configurationFile={}",
                    folder.join("log4j2.properties").display()
                ))
                .arg("-cp")
                .arg(components.kafka_lib.join("*"))
                .arg(class);
            command
        };
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let properties = folder.join("server.properties");
        command::end_leftover(&pid_file, &properties.display().to_string())?;
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("empty {}", data.display()))?;
        }
        fs::write(&properties, server_properties(&data, broker, controller))?;
        fs::write(folder.join("log4j2.properties"), LOG_CONFIGURATION)?;
        command::capture(
            java("kafka.tools.StorageTool")
                .args(["format", "-t", CLUSTER_ID, "-c"])
                .arg(&properties),
        )
        .context("formatting Kafka's data directory")?;

        let process = Background::start(java("kafka.Kafka").arg(&properties), &pid_file, &log)?;
        wait_for("Kafka to be ready", START_LIMIT, || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            process.ensure_running().with_context(|| tail(&text))?;
            Ok(text.contains(READY_LINE).then_some(()))
        })
        .with_context(|| format!("see {}", log.display()))?;
        Ok(Self {
            bootstrap: format!("127.0.0.1:{broker}"),
            _process: process,
        })
    }
}

/// Fetches the jars by their coordinates, unless the same set is there.
///
/// # Errors
/// When Maven is missing and cannot be installed, or fails.
pub(crate) fn fetch(stack: &Path) -> Result<PathBuf> {
    let folder = stack.join("kafka");
    let lib = folder.join("lib");
    let marker = folder.join(COMPLETE);
    if fs::read_to_string(&marker).is_ok_and(|text| text == POM) {
        return Ok(lib);
    }
    println!("fetching Kafka");
    let maven = packages::program("mvn", &["maven"])?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&lib)?;
    let pom = folder.join("pom.xml");
    fs::write(&pom, POM)?;
    command::run(
        Command::new(maven)
            .args(["--batch-mode", "--quiet", "-Dstyle.color=never", "--file"])
            .arg(&pom)
            .arg(format!("-Dmaven.repo.local={}", stack.join("m2").display()))
            .arg("dependency:copy-dependencies")
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", lib.display())),
    )
    .context("fetching Kafka's jars with Maven")?;
    fs::write(&marker, POM)?;
    Ok(lib)
}

/// Two ports that were free a moment ago.
fn free_ports() -> Result<(u16, u16)> {
    let first = TcpListener::bind("127.0.0.1:0")?;
    let second = TcpListener::bind("127.0.0.1:0")?;
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

/// The last lines of a log.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// The node's configuration: one node that is its own quorum, internal topics of one partition each.
fn server_properties(data: &Path, broker: u16, controller: u16) -> String {
    let mut lines: Vec<String> = SINGLE_NODE
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    lines.push(format!("controller.quorum.voters=1@127.0.0.1:{controller}"));
    lines.push(format!(
        "listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}"
    ));
    lines.push(format!(
        "advertised.listeners=PLAINTEXT://127.0.0.1:{broker}"
    ));
    lines.push(format!("log.dirs={}", data.display()));
    lines.push(String::new());
    lines.join("\n")
}

/// Settings that do not depend on ports and folders.
///
/// # Source
/// Kafka 4.3's documentation of broker settings; the small values keep the start short and the memory low.
const SINGLE_NODE: [(&str, &str); 20] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("controller.listener.names", "CONTROLLER"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("auto.create.topics.enable", "false"),
    // Generated records carry old timestamps, which retention by time would delete.
    ("log.retention.ms", "-1"),
    ("num.partitions", "1"),
    ("default.replication.factor", "1"),
    ("min.insync.replicas", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    // The cleaner takes 128 MiB of heap otherwise; compaction is tested, so it looks every second and not every 15.
    ("log.cleaner.dedupe.buffer.size", "16777216"),
    ("log.cleaner.backoff.ms", "1000"),
];

/// Logs to the standard output, which the caller keeps in a file.
const LOG_CONFIGURATION: &str = "\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c)%n%ex
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_listens_on_loopback_only() {
        let text = server_properties(Path::new("data"), 1, 2);
        for line in text.lines().filter(|line| line.contains("listeners=")) {
            assert!(line.contains("127.0.0.1"), "{line}");
            assert!(!line.contains("0.0.0.0"), "{line}");
        }
        assert!(text.contains("controller.quorum.voters=1@127.0.0.1:2"));
    }

    #[test]
    fn versions_are_pinned() {
        assert!(!POM.contains("LATEST") && !POM.contains("<version>["));
    }

    #[test]
    fn the_end_of_a_log_is_kept() {
        let text = (0..20)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join("\n");
        assert!(tail(&text).starts_with("12\n"));
        assert_eq!(tail(""), "");
    }
}
