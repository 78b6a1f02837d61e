//! The real components that tests run against.
//!
//! Enters: the target directory. Leaves: programs and jars, fetched when missing, and a running Kafka and S3. Invariant: everything fetched
//! stays in the target directory, except system packages that the machine lacks; nothing listens beyond 127.0.0.1.

mod clients;
mod kafka;
mod packages;
mod prometheus;
mod python;
mod s3;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(crate) use kafka::Kafka;
pub(crate) use s3::S3;

/// Where the components are.
#[derive(Debug, Clone)]
pub(crate) struct Components {
    /// The Java launcher.
    pub(crate) java: PathBuf,
    /// The folder with the jars of Kafka and its tools.
    pub(crate) kafka_lib: PathBuf,
    /// The Prometheus server.
    pub(crate) prometheus: PathBuf,
    /// Its checking tool.
    pub(crate) promtool: PathBuf,
    /// The Python that has the S3 server.
    pub(crate) s3_python: PathBuf,
    /// The Python that has Confluent's client.
    pub(crate) clients_python: PathBuf,
    /// Where running components keep their files.
    pub(crate) run_dir: PathBuf,
}

impl fmt::Display for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "java        {}", self.java.display())?;
        writeln!(f, "kafka       {}", self.kafka_lib.display())?;
        writeln!(f, "prometheus  {}", self.prometheus.display())?;
        writeln!(f, "promtool    {}", self.promtool.display())?;
        writeln!(f, "s3          {}", self.s3_python.display())?;
        write!(f, "clients     {}", self.clients_python.display())
    }
}

impl Components {
    /// The environment by which tests find the components.
    pub(crate) fn environment(
        &self,
        kafka: Option<&Kafka>,
        s3: Option<&S3>,
    ) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("WEIR_TEST_KAFKA_LIB", self.kafka_lib.display().to_string()),
            (
                "WEIR_TEST_PROMETHEUS",
                self.prometheus.display().to_string(),
            ),
            ("WEIR_TEST_PROMTOOL", self.promtool.display().to_string()),
            (
                "WEIR_TEST_CLIENTS",
                self.clients_python.display().to_string(),
            ),
        ];
        variables.extend(kafka.map(|kafka| ("WEIR_TEST_KAFKA", kafka.bootstrap.clone())));
        variables.extend(s3.map(|s3| ("WEIR_TEST_S3", s3.endpoint.clone())));
        variables
    }
}

/// Finds or fetches every component.
///
/// # Errors
/// When one cannot be fetched, with what to install by hand.
pub(crate) fn install(target_dir: &Path) -> Result<Components> {
    let stack = target_dir.join("stack");
    let run_dir = stack.join("run");
    fs::create_dir_all(&run_dir).with_context(|| format!("create {}", run_dir.display()))?;
    let java = packages::program("java", &["openjdk-17-jre-headless", "default-jre-headless"])?;
    let kafka_lib = kafka::fetch(&stack)?;
    let (prometheus, promtool) = prometheus::fetch(&stack)?;
    let s3_python = s3::ENVIRONMENT.fetch(&stack)?;
    let clients_python = clients::ENVIRONMENT.fetch(&stack)?;
    Ok(Components {
        java,
        kafka_lib,
        prometheus,
        promtool,
        s3_python,
        clients_python,
        run_dir,
    })
}
