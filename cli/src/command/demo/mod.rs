//! `weir demo`.
//!
//! Place in the flow: an embedded server, a feeder, a statement set over its topic, a live table, and a report that checks itself.
//! Invariant: no two figures of the report come from one counter: `produced` is the feeder's, `decoded` the source's, `filtered_in` that of
//! a separate scan, `dead_letters` and `window_count_sum` are read from their topics, `late` is the operator's.

mod check;
mod feeder;
mod forecast;
mod live;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use weir_model::meter::{Direction, Job, Snapshot, Statement};
use weir_runtime::connector::kafka::{KafkaOptions, KafkaSink};
use weir_runtime::connector::log::LogSink;
use weir_runtime::connector::sink::{Sink, WriterContext};
use weir_runtime::task::Waker;
use weir_runtime::time::{Clock, SharedClock, SystemClock};
use weir_server::{RunningServer, Server, ServerConfig};

use crate::args::Demo;
use crate::client::{Client, phase};
use crate::output;
use check::Topics;
use feeder::Feeder;

/// The tables of the demo; amounts above a hundred count in the windows. `@` stands for the suffix of their names.
const TABLES: [&str; 4] = [
    "CREATE TABLE orders@ (
       order_id BIGINT NOT NULL, customer_id STRING, product STRING, amount DECIMAL(10, 2), quantity INT, ts TIMESTAMP(3),
       WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
     ) DISTRIBUTED INTO 4 BUCKETS WITH ('value.format' = 'json', 'error-handling.mode' = 'log',
         'error-handling.log.target' = 'error_log@')",
    "CREATE TABLE product_windows@ (window_start TIMESTAMP(3), product STRING, orders BIGINT, revenue DECIMAL(38, 2))
     WITH ('value.format' = 'json')",
    "CREATE TABLE product_totals@ (product STRING, orders BIGINT, revenue DECIMAL(38, 2), PRIMARY KEY (product) NOT ENFORCED)
     WITH ('key.format' = 'json', 'value.format' = 'json')",
    "CREATE TABLE large_orders@ (order_id BIGINT, customer_id STRING, amount DECIMAL(10, 2)) WITH ('value.format' = 'json')",
];

/// Amounts above this many cents count in the windows.
const FILTER_CENTS: i64 = 10_000;

/// The statement of the demo.
const STATEMENT: &str = "EXECUTE STATEMENT SET BEGIN
  INSERT INTO product_windows@
    SELECT window_start, product, COUNT(*), SUM(amount)
    FROM TABLE(TUMBLE(TABLE orders@, DESCRIPTOR(ts), INTERVAL '1' SECOND))
    WHERE amount > 100 GROUP BY window_start, window_end, product;
  INSERT INTO product_totals@ SELECT product, COUNT(*), SUM(amount) FROM orders@ GROUP BY product;
  INSERT INTO large_orders@ SELECT order_id, customer_id, amount FROM orders@ WHERE amount > 900;
END";

/// Time between two looks at a statement that is starting.
const START_LOOK: Duration = Duration::from_millis(50);

/// Time between two looks at the running statement.
const LOOK: Duration = Duration::from_secs(1);

/// Longest wait for the statement to complete after the topic was sealed.
const COMPLETE_MAX: Duration = Duration::from_mins(2);

/// What the demo works with.
struct Stage {
    /// Its options.
    args: Demo,
    /// The embedded server.
    server: RunningServer,
    /// A client of it.
    client: Client,
    /// Where its topics are.
    topics: Topics,
    /// What table names end with: a Kafka cluster may hold the topics of an earlier run.
    suffix: String,
    /// Time.
    clock: SharedClock,
}

/// Runs the command.
///
/// # Errors
/// What keeps a part from starting, or a figure of the report that does not agree with the others.
pub(crate) async fn run(args: Demo) -> Result<()> {
    let temporary = std::env::temp_dir().join(format!("weir-demo-{}", std::process::id()));
    let data_dir = args.data_dir.clone().unwrap_or_else(|| temporary.clone());
    let config = ServerConfig {
        kafka: args.kafka.clone(),
        ..ServerConfig::embedded(data_dir)
    };
    let server = Server::start(config).await?;
    let client = Client::new(&format!("http://{}", server.local_addr()))?;
    let topics = match (&args.kafka, server.log()) {
        (Some(bootstrap), _) => Topics::Kafka(bootstrap.clone()),
        (None, Some(log)) => Topics::Log(log),
        (None, None) => bail!("the server has neither an embedded log nor a Kafka cluster"),
    };
    let stage = Stage {
        args,
        server,
        client,
        suffix: match topics {
            Topics::Log(_) => String::new(),
            Topics::Kafka(_) => format!("_{}", SystemClock.now_ms()),
        },
        topics,
        clock: SystemClock::shared(),
    };
    let result = stage.play().await;
    if result.is_ok() && stage.args.keep {
        eprintln!(
            "the server goes on at http://{} until Ctrl-C",
            stage.server.local_addr()
        );
        super::up::signal().await?;
    }
    let cleaned = if stage.args.keep {
        Ok(())
    } else {
        stage.clean_up().await
    };
    let is_temporary = stage.args.data_dir.is_none();
    stage.server.shutdown().await;
    if is_temporary {
        std::fs::remove_dir_all(&temporary)
            .with_context(|| format!("removing {}", temporary.display()))?;
    }
    result.and(cleaned)
}

impl Stage {
    /// Creates, feeds, waits, reports and checks.
    async fn play(&self) -> Result<()> {
        for table in TABLES {
            self.start(table).await?;
        }
        let name = self.start(STATEMENT).await?;
        let produced = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let feeding = self.feed(&produced, &stop)?;
        let earlier = self.watch(&name, &produced, &feeding).await;
        stop.store(earlier.is_err(), Ordering::Relaxed);
        let produced = feeding
            .join()
            .map_err(|_| anyhow!("the feeder panicked"))??;
        let earlier = earlier?;
        self.end_input(&name).await?;
        let later = self.completed(&name).await?;
        let report = self.report(&name, produced, &earlier, &later).await?;
        if self.args.json {
            output::json(&report)?;
        } else {
            Self::print(&report);
        }
        verify(&report)
    }

    /// Submits a statement under this run's table names and waits until it has started; its name.
    async fn start(&self, sql: &str) -> Result<String> {
        let sql = sql.replace('@', &self.suffix);
        let mut statement = self.client.submit(&sql, &json!({})).await?;
        let name = output::cell(statement.get("name"));
        let mut ticks = tokio::time::interval(START_LOOK);
        while phase(&statement) == "PENDING" {
            ticks.tick().await;
            statement = self.client.statement(&name).await?;
        }
        if phase(&statement) == "FAILED" {
            bail!("{}", output::cell(statement.pointer("/status/detail")));
        }
        Ok(name)
    }

    /// The topic of a table of this run.
    fn topic(&self, table: &str) -> String {
        format!("{table}{}", self.suffix)
    }

    /// Drops this run's tables from a Kafka cluster, which outlives the demo.
    async fn clean_up(&self) -> Result<()> {
        if matches!(self.topics, Topics::Kafka(_)) {
            for table in [
                "orders",
                "product_windows",
                "product_totals",
                "large_orders",
                "error_log",
            ] {
                self.start(&format!("DROP TABLE {table}@")).await?;
            }
        }
        Ok(())
    }

    /// Starts the feeder's thread.
    fn feed(
        &self,
        produced: &Arc<AtomicU64>,
        stop: &Arc<AtomicBool>,
    ) -> Result<std::thread::JoinHandle<Result<u64>>> {
        let sink: Box<dyn Sink> = match &self.topics {
            Topics::Log(log) => Box::new(LogSink::new(log, &self.topic("orders"))?),
            Topics::Kafka(bootstrap) => Box::new(KafkaSink::new(
                KafkaOptions::new(bootstrap),
                self.topic("orders"),
            )?),
        };
        let waker = Waker::default();
        let context = WriterContext {
            publishes: false,
            subtask_index: 0,
            parallelism: 1,
            statement_uid: "demo-feeder".to_owned(),
            transactions: None,
            waker: waker.clone(),
            clock: self.clock.clone(),
        };
        let feeder = Feeder {
            writer: sink.writer(context)?,
            waker,
            clock: self.clock.clone(),
            rate: self.args.rate,
            duration: Duration::from_secs(self.args.seconds),
            produced: produced.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new().name("weir-feeder".to_owned());
        Ok(thread.spawn(move || feeder.run())?)
    }

    /// Shows the live table until the feeder has ended; an early reading of the meter.
    async fn watch(
        &self,
        name: &str,
        produced: &AtomicU64,
        feeding: &std::thread::JoinHandle<Result<u64>>,
    ) -> Result<(i64, Statement)> {
        let is_live = !self.args.json && std::io::stderr().is_terminal();
        let mut live = live::Live::default();
        let mut earlier = None;
        let mut ticks = tokio::time::interval(LOOK);
        ticks.tick().await;
        for second in 1.. {
            ticks.tick().await;
            let (at_ms, statement) = self.meter(name).await?;
            if let Some(job) = &statement.job {
                if is_live && second % 20 == 1 {
                    eprintln!("{}", live::HEADING);
                }
                if is_live {
                    eprintln!(
                        "{}",
                        live.line(second, produced.load(Ordering::Relaxed), job, at_ms)
                    );
                }
                if job.tables.iter().any(|table| table.records_total > 0) && earlier.is_none() {
                    earlier = Some((at_ms, statement.clone()));
                }
            }
            if statement.phase.is_terminal() {
                bail!(
                    "statement {name} is {} while it should run: {}",
                    statement.phase,
                    self.detail(name).await
                );
            }
            if feeding.is_finished() {
                break;
            }
        }
        earlier.ok_or_else(|| {
            anyhow!("statement {name} has not read anything; feed it longer with --seconds")
        })
    }

    /// Ends the input: a sealed topic of the embedded log ends by itself; of a Kafka topic the present end is taken.
    async fn end_input(&self, name: &str) -> Result<()> {
        match &self.topics {
            Topics::Log(log) => Ok(log.seal(&self.topic("orders"))?),
            Topics::Kafka(_) => self.client.drain(name).await,
        }
    }

    /// Waits until the statement has completed; its last reading of the meter.
    async fn completed(&self, name: &str) -> Result<(i64, Statement)> {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let started = self.clock.monotonic();
        loop {
            ticks.tick().await;
            let (at_ms, statement) = self.meter(name).await?;
            match statement.phase {
                weir_model::statement::Phase::Completed => return Ok((at_ms, statement)),
                other if other.is_terminal() => {
                    bail!("statement {name} is {other}: {}", self.detail(name).await)
                }
                other if self.clock.monotonic().saturating_sub(started) > COMPLETE_MAX => {
                    bail!(
                        "statement {name} is still {other} {COMPLETE_MAX:?} after the end of its input"
                    );
                }
                _ => {}
            }
        }
    }

    /// The statement in the meter, and when.
    async fn meter(&self, name: &str) -> Result<(i64, Statement)> {
        let snapshot: Snapshot = serde_json::from_value(self.client.get("/weir/v1/meter").await?)?;
        let statement = snapshot
            .statements
            .into_iter()
            .find(|statement| statement.name == name);
        Ok((
            snapshot.at_ms,
            statement.with_context(|| format!("the meter does not know statement {name}"))?,
        ))
    }

    /// Why a statement is in its phase.
    async fn detail(&self, name: &str) -> String {
        let statement = self.client.statement(name).await.unwrap_or_default();
        output::cell(statement.pointer("/status/detail"))
    }

    /// The report.
    async fn report(
        &self,
        name: &str,
        produced: u64,
        earlier: &(i64, Statement),
        later: &(i64, Statement),
    ) -> Result<Value> {
        let topics = self.topics.clone();
        let clock = self.clock.clone();
        let suffix = self.suffix.clone();
        let read =
            tokio::task::spawn_blocking(move || Read::all(&topics, &suffix, &clock)).await??;
        let job = later
            .1
            .job
            .as_ref()
            .context("the meter forgot the statement's last run")?;
        let decoded = records(job);
        let usage = self.client.get("/weir/v1/usage?by=minute").await?;
        let minutes = usage["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|minute| minute["statement"] == name);
        let ledger_sum: f64 = minutes
            .filter_map(|minute| minute["cfu_minutes"].as_f64())
            .sum();
        let billed = weir_model::cfu::CfuMillis(later.1.cfu_millis_total);
        let forecast = forecast::forecast(earlier, later, decoded, read.order_bytes)?;
        Ok(json!({
            "produced": produced,
            "decoded": decoded,
            "dead_letters": read.dead_letters,
            "filtered_in": read.filtered_in,
            "window_count_sum": read.window_count_sum,
            "late": job.operators.iter().map(|operator| operator.late_records_total).sum::<u64>(),
            "cfu_minutes": billed.minutes(),
            "ledger_cfu_minutes": ledger_sum,
            "cost": weir_model::cfu::CfuPrice::default().cost(billed).as_f64(),
            "cpu_seconds": forecast.cpu_seconds,
            "records_per_cpu_second": forecast.records_per_cpu_second,
            "estimate": forecast.estimate,
        }))
    }

    /// Prints the report for a person.
    fn print(report: &Value) {
        let rows = [
            ("records in (feeder)", "/produced"),
            ("decoded (source)", "/decoded"),
            ("dead letters (error table)", "/dead_letters"),
            ("rows that pass the filter (separate scan)", "/filtered_in"),
            ("rows in windows (sink topic)", "/window_count_sum"),
            ("late rows (operator)", "/late"),
            ("CFU-minutes (ledger)", "/cfu_minutes"),
            ("cost, US$", "/cost"),
            ("records per CPU-second", "/records_per_cpu_second"),
        ];
        let rows = rows
            .iter()
            .map(|(name, pointer)| vec![(*name).to_owned(), output::cell(report.pointer(pointer))]);
        output::line(output::table(
            vec!["What".to_owned(), "Figure".to_owned()],
            rows,
        ));
        output::line("\nTen times this load, calibrated by this run:");
        output::line(forecast::summary(&report["estimate"]));
    }
}

/// What the topics hold.
#[derive(Debug, Default)]
struct Read {
    /// Records in the error table.
    dead_letters: u64,
    /// Orders whose amount passes the filter.
    filtered_in: u64,
    /// Rows counted by the windows.
    window_count_sum: u64,
    /// Bytes of all orders.
    order_bytes: u64,
}

impl Read {
    /// Reads every topic of the demo.
    fn all(topics: &Topics, suffix: &str, clock: &SharedClock) -> Result<Self> {
        let mut read = Self::default();
        topics.scan(&format!("error_log{suffix}"), clock, |_| {
            read.dead_letters += 1;
        })?;
        topics.scan(&format!("orders{suffix}"), clock, |value| {
            read.order_bytes += value.len() as u64;
            read.filtered_in +=
                u64::from(check::parse_order(value).is_some_and(|(_, cents)| cents > FILTER_CENTS));
        })?;
        let mut failure = None;
        let mut sum = 0;
        topics.scan(
            &format!("product_windows{suffix}"),
            clock,
            |value| match check::number(value, "orders") {
                Ok(count) => sum += count,
                Err(error) => failure = Some(error),
            },
        )?;
        read.window_count_sum = sum;
        failure.map_or(Ok(read), Err)
    }
}

/// Records that the sources of a job have decoded.
fn records(job: &Job) -> u64 {
    let reads = job
        .tables
        .iter()
        .filter(|table| table.direction == Direction::Read);
    reads.map(|table| table.records_total).sum()
}

/// Checks that the figures of the report agree.
fn verify(report: &Value) -> Result<()> {
    let get = |name: &str| {
        report[name]
            .as_u64()
            .with_context(|| format!("the report lacks {name}"))
    };
    let (produced, decoded, dead_letters) =
        (get("produced")?, get("decoded")?, get("dead_letters")?);
    if produced != decoded + dead_letters {
        bail!(
            "{produced} records were produced, but {decoded} decoded and {dead_letters} are dead letters"
        );
    }
    let (filtered_in, counted, late) =
        (get("filtered_in")?, get("window_count_sum")?, get("late")?);
    if filtered_in != counted + late {
        bail!(
            "{filtered_in} rows pass the filter, but windows counted {counted} and {late} were late"
        );
    }
    let minutes = |name: &str| {
        report[name]
            .as_f64()
            .with_context(|| format!("the report lacks {name}"))
    };
    let (billed, ledger) = (minutes("cfu_minutes")?, minutes("ledger_cfu_minutes")?);
    if (billed - ledger).abs() > 1e-9 {
        bail!("{billed} CFU-minutes are billed, but the ledger's minutes sum to {ledger}");
    }
    if dead_letters == 0 {
        bail!("no record was malformed; feed longer with --seconds");
    }
    Ok(())
}
