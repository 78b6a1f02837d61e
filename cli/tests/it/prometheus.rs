//! A real Prometheus scrapes the server, and a Confluent dashboard's expressions are answered.
//!
//! Place in the flow: needs the Prometheus server and promtool. Invariant: expressions are asked as the dashboard has them, with its
//! variables set to "all".

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::harness::{Process, Weir, component, free_port, http_get, url_encoded, wait_for};

/// Every expression of the Flink monitoring dashboard of Confluent's workshop, `$compute_pools` and `$statements` replaced by `.+`.
///
/// # Source
/// `confluentinc/confluent-cloud-flink-workshop`, folder `flink-monitoring`, commit da7b9148.
const DASHBOARD: [&str; 13] = [
    "count (group by (compute_pool_id) (confluent_flink_compute_pool_utilization_current_cfus))",
    r#"confluent_flink_compute_pool_utilization_current_cfus{compute_pool_id=~".+"} / confluent_flink_compute_pool_utilization_cfu_limit{compute_pool_id=~".+"}"#,
    "sum(confluent_flink_compute_pool_utilization_current_cfus)",
    "sum(confluent_flink_compute_pool_utilization_cfu_limit)",
    r#"count by(status) (confluent_flink_statement_status{compute_pool_id=~".+"})"#,
    r#"label_replace(vector(0), "status", "DEGRADED", "", "") unless count(confluent_flink_statement_status{status="DEGRADED", compute_pool_id=~".+"})"#,
    r#"confluent_flink_statement_status{status!~"COMPLETED|FAILED", compute_pool_id=~".+", flink_statement_name=~".+"}"#,
    r#"count by (status) (confluent_flink_statement_status{compute_pool_id=~".+"})"#,
    r#"label_replace(vector(0), "status", "DEGRADED", "", "") unless count(confluent_flink_statement_status{status="DEGRADED", compute_pool_id=~".+"})"#,
    r#"confluent_flink_statement_utilization_current_cfus{compute_pool_id=~".+", flink_statement_name=~".+"}"#,
    r#"confluent_flink_pending_records{compute_pool_id=~".+", flink_statement_name=~".+"}"#,
    r#"confluent_flink_num_records_in{compute_pool_id=~".+", flink_statement_name=~".+"}"#,
    r#"confluent_flink_num_records_out{compute_pool_id=~".+", flink_statement_name=~".+"}"#,
];

/// Statements that keep running: a generator into a topic, and that topic into another one.
const TRAFFIC: &str = "
CREATE TABLE ticks (id BIGINT, price INT) WITH ('connector' = 'datagen', 'rows-per-second' = '200');
CREATE TABLE prices (id BIGINT, price INT);
CREATE TABLE copies (id BIGINT, price INT);
INSERT INTO prices SELECT id, price FROM ticks;
INSERT INTO copies SELECT id, price FROM prices;
";

/// How long expressions may take to be answered: deltas exist after a full minute of the meter, and are then scraped.
const ANSWER_SECONDS_MAX: u64 = 130;

/// A running Prometheus.
struct Prometheus {
    /// `127.0.0.1:PORT`.
    address: String,
    /// The process; it ends with this.
    _process: Process,
}

impl Prometheus {
    /// Starts one that scrapes these targets every second: job name, address and path.
    fn start(program: &str, folder: &Path, targets: &[(&str, &str, &str)]) -> Result<Self> {
        let jobs: String = targets
            .iter()
            .map(|(job, address, path)| scrape_job(job, address, path))
            .collect();
        let config = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n{jobs}"
        );
        let file = folder.join("prometheus.yml");
        fs::write(&file, config)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut process = Process::start(
            Command::new(program)
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.join("tsdb").display()
                ))
                .arg(format!("--web.listen-address={address}")),
            &folder.join("prometheus.log"),
        )?;
        wait_for("Prometheus to be ready", 60, || {
            process.ensure_running()?;
            Ok(http_get(&address, "/-/ready").ok())
        })?;
        Ok(Self {
            address,
            _process: process,
        })
    }

    /// How many series answer an expression.
    fn answers(&self, expression: &str) -> Result<usize> {
        let path = format!("/api/v1/query?query={}", url_encoded(expression));
        let json: Value = serde_json::from_str(&http_get(&self.address, &path)?)?;
        let result = json["data"]["result"]
            .as_array()
            .with_context(|| format!("{expression}: {json}"))?;
        Ok(result.len())
    }
}

/// One entry of the configuration; a query of the path becomes a parameter.
fn scrape_job(job: &str, address: &str, path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parameter = query
        .split_once('=')
        .map_or_else(String::new, |(name, value)| {
            format!("    params:\n      '{name}': ['{value}']\n")
        });
    format!(
        "  - job_name: '{job}'\n    metrics_path: '{path}'\n    static_configs:\n      - targets: ['{address}']\n{parameter}"
    )
}

/// Hands text to `promtool check metrics`: its exit code and what it says.
fn promtool_check(promtool: &str, folder: &Path, text: &str) -> Result<(Option<i32>, String)> {
    let file = folder.join("metrics.txt");
    fs::write(&file, text)?;
    let output = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(fs::File::open(&file)?)
        .stdout(Stdio::piped())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[test]
fn prometheus_scrapes_and_is_asked() -> Result<()> {
    let (Some(program), Some(promtool)) = (
        component("WEIR_TEST_PROMETHEUS")?,
        component("WEIR_TEST_PROMTOOL")?,
    ) else {
        return Ok(());
    };
    // The harness itself: Prometheus scrapes its own metrics, and promtool tells good text from bad.
    let folder = tempfile::tempdir()?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let prometheus = Prometheus::start(&program, folder.path(), &[("none", &address, "/metrics")])?;
    wait_for("the first scrape", 30, || {
        Ok((prometheus.answers("up{job=\"none\"} == 0")? == 1).then_some(()))
    })?;
    let text = http_get(&prometheus.address, "/metrics")?;
    let (code, said) = promtool_check(&promtool, folder.path(), &text)?;
    ensure!(code != Some(1), "promtool cannot read good text: {said}");
    let (code, said) = promtool_check(&promtool, folder.path(), "a{b=} 1\n")?;
    ensure!(code == Some(1), "promtool reads bad text: {said}");
    Ok(())
}

#[test]
fn every_expression_of_the_workshop_dashboard_is_answered() -> Result<()> {
    let Some(program) = component("WEIR_TEST_PROMETHEUS")? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let weir = Weir::up(folder.path(), &[])?;
    weir.sql(TRAFFIC)?;
    let export = weir.export_path()?;
    let prometheus = Prometheus::start(
        &program,
        folder.path(),
        &[
            ("Confluent Cloud", &weir.address, &export),
            ("weir", &weir.address, "/metrics"),
        ],
    )?;
    let mut silent: Vec<&str> = DASHBOARD.to_vec();
    let answered = wait_for("an answer to every expression", ANSWER_SECONDS_MAX, || {
        let mut rest = Vec::new();
        for expression in &silent {
            if prometheus.answers(expression)? == 0 {
                rest.push(*expression);
            }
        }
        silent = rest;
        Ok(silent.is_empty().then_some(()))
    });
    if answered.is_err() {
        bail!("no answer within {ANSWER_SECONDS_MAX} s: {silent:#?}");
    }
    wait_for("both targets to be scraped", ANSWER_SECONDS_MAX, || {
        Ok((prometheus.answers("up == 1")? == 2).then_some(()))
    })?;
    Ok(())
}

#[test]
fn promtool_accepts_both_endpoints() -> Result<()> {
    let Some(promtool) = component("WEIR_TEST_PROMTOOL")? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let weir = Weir::up(folder.path(), &[])?;
    weir.sql(TRAFFIC)?;
    let export = weir.export_path()?;
    let text = wait_for("metrics of the statements", ANSWER_SECONDS_MAX, || {
        let text = http_get(&weir.address, &export)?;
        Ok(text
            .contains("confluent_flink_num_records_out{")
            .then_some(text))
    })?;
    // Confluent's names count in milliseconds, which promtool advises against and which are the contract; nothing else may be said.
    let (code, said) = promtool_check(&promtool, folder.path(), &text)?;
    ensure!(
        code == Some(0) || said.lines().all(|line| line.contains("_milliseconds")),
        "export endpoint: {said}"
    );
    let native = http_get(&weir.address, "/metrics")?;
    let (code, said) = promtool_check(&promtool, folder.path(), &native)?;
    ensure!(code == Some(0), "native endpoint: {said}");
    Ok(())
}
