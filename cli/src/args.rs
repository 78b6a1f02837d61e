//! What is typed on the command line.
//!
//! Place in the flow: parsed once in `main`, then handed to one file of `command/` each. Invariant: every option documents its
//! meaning, unit and default here, and help shows examples.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weir_runtime::connector::log::FsyncPolicy;
use weir_runtime::sql::session::parse_duration;

mod registry;
mod statement;

pub(crate) use registry::SchemaRegistry;
pub(crate) use statement::{Export, Import, Resume, Statement, Stop};

/// Serverless-style Flink SQL that knows what it costs.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    about,
    after_help = "Examples:\n  weir demo\n  weir up\n  weir sql -e \"SHOW TABLES\"\n  weir estimate --rate 50000 --record-bytes 512 --class window-aggregate --keys 100000"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server: SQL, compute pools, metrics and the Schema Registry on one address.
    Up(Up),
    /// Run SQL statements against a server.
    Sql(Sql),
    /// List, stop, resume, rescale, export or delete statements; their savepoints and exceptions.
    #[command(subcommand)]
    Statement(Statement),
    /// List or describe compute pools.
    #[command(subcommand)]
    Pool(Pool),
    /// Size a statement from five numbers: cores, memory, CFUs and dollars, with intervals.
    Estimate(Box<Estimate>),
    /// Learn the estimator's costs from a running server's meter.
    Calibrate(Calibrate),
    /// CFU-minutes and cost from the server's ledger.
    Usage(Usage),
    /// A live stream from feeder to bill: windows, updates, dead letters, metering, an estimate.
    Demo(Demo),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  weir completion bash > /etc/bash_completion.d/weir")]
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Where the server is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Server {
    /// Address of the server.
    #[arg(
        long,
        env = "WEIR_URL",
        default_value = "http://127.0.0.1:8088",
        value_name = "URL"
    )]
    pub(crate) url: String,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns.
    Table,
    /// JSON: an array for lists, one object per line for results of SQL.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

/// How output is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Short for `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Output {
    /// The format asked for.
    pub(crate) fn format(self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Options of `weir up`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir up\n  weir up --listen 127.0.0.1:9090 --data-dir /var/lib/weir\n  weir up --kafka 127.0.0.1:9092 --schema-registry http://127.0.0.1:8081\n  weir up --checkpoint-dir s3://bucket/weir --checkpoint-option s3.region=eu-central-1"
)]
pub(crate) struct Up {
    /// Address to listen on. Only loopback addresses are allowed, as there is no access control yet.
    #[arg(long, default_value = "127.0.0.1:8088", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where topics, schemas, statements, checkpoints and the ledger are kept.
    #[arg(long, default_value = "weir-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Bootstrap servers of a Kafka cluster that tables live in, instead of the embedded log.
    #[arg(long, value_name = "BOOTSTRAP")]
    pub(crate) kafka: Option<String>,
    /// When the embedded log is forced to the device: a time after which it happens, always (before a write is acknowledged) or never
    /// (the operating system decides). That much may be lost when the power fails; a killed process loses nothing.
    #[arg(long, value_name = "TIME|always|never", default_value = "1s", value_parser = log_sync, conflicts_with = "kafka")]
    pub(crate) log_sync: FsyncPolicy,
    /// The Schema Registry.
    #[command(flatten)]
    pub(crate) schema_registry: SchemaRegistry,
    /// Where checkpoints and savepoints are kept, instead of the data directory: a path, or a URL of s3, gs, az or abfss.
    #[arg(long, value_name = "URL")]
    pub(crate) checkpoint_dir: Option<String>,
    /// An option of that place, such as s3.endpoint=http://127.0.0.1:9000; may be given more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) checkpoint_option: Vec<(String, String)>,
    /// CFUs that the default compute pool may hold at a time: 50 at first, and kept from then on.
    #[arg(long, value_name = "N")]
    pub(crate) max_cfu: Option<u32>,
    /// State above which a statement is stopped; it can be resumed. There is a warning from 80 % on.
    #[arg(long, value_name = "SIZE", default_value = "500GB", value_parser = size)]
    pub(crate) state_soft_limit: u64,
    /// State above which a statement fails for good.
    #[arg(long, value_name = "SIZE", default_value = "1000GB", value_parser = size)]
    pub(crate) state_hard_limit: u64,
    /// Memory that a CFU may hold before state goes to disk; less when all CFUs together would take more than 70 % of what the machine
    /// or container has.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = slot_size)]
    pub(crate) slot_memory: usize,
}

/// Least memory of a slot, bytes: below it, the queues between its operators are most of it (guess, unmeasured).
const SLOT_MEMORY_BYTES_MIN: usize = 16 << 20;

/// Least time between two syncs of the log: about what one takes on a fast device, so `always` is better below it.
const LOG_SYNC_MIN: Duration = Duration::from_millis(1);

/// Memory of a slot.
fn slot_size(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?)
        .ok()
        .filter(|bytes| *bytes >= SLOT_MEMORY_BYTES_MIN)
        .ok_or_else(|| "16MiB is the least".to_owned())
}

/// When the log is forced to the device.
fn log_sync(text: &str) -> Result<FsyncPolicy, String> {
    match text {
        "always" => Ok(FsyncPolicy::Always),
        "never" => Ok(FsyncPolicy::Never),
        time => parse_duration(time)
            .filter(|interval| *interval >= LOG_SYNC_MIN)
            .map(FsyncPolicy::Interval)
            .ok_or_else(|| {
                "a time of at least 1ms such as 100ms, always or never is needed".to_owned()
            }),
    }
}

/// A key and a value.
fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "KEY=VALUE is needed, such as s3.region=eu-central-1".to_owned())
}

/// Bytes of a size such as `500GB`, `64 MiB` or `1000`.
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit: u64 = match text[digits..].trim().to_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err("a size such as 500GB or 64MiB is needed".to_owned()),
    };
    let number: Option<u64> = text[..digits].parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "a size such as 500GB or 64MiB is needed".to_owned())
}

/// Options of `weir sql`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir sql -e \"SHOW TABLES\"\n  weir sql -f pipeline.sql\n  weir sql -e \"SELECT * FROM orders\" --format json\n  echo \"DESCRIBE orders\" | weir sql"
)]
pub(crate) struct Sql {
    /// The server.
    #[command(flatten)]
    pub(crate) server: Server,
    /// SQL text: statements separated by semicolons.
    #[arg(short = 'e', long, value_name = "SQL", conflicts_with = "file")]
    pub(crate) execute: Option<String>,
    /// A file of SQL text. Without `-e` and `-f` the text is read from standard input.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub(crate) output: Output,
    /// A property of the statements, such as `parallelism.default=3`. May be given several times.
    #[arg(short, long = "property", value_name = "KEY=VALUE")]
    pub(crate) properties: Vec<String>,
}

/// What to do with compute pools.
#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// List compute pools.
    List {
        /// The server.
        #[command(flatten)]
        server: Server,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// Everything about one compute pool, as JSON.
    Describe {
        /// Its id, `lfcp-...`.
        id: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
}

/// Options of `weir estimate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir estimate --rate 50000 --record-bytes 512 --class window-aggregate --keys 100000 --latency-tier sub-1s\n  weir estimate --rate 50000 --record-bytes 512 --class stateless --preset guide --explain\n  weir estimate --rate 50000 --record-bytes 512 --class group-aggregate --keys 1000000 --profile weir-profile.json --json"
)]
pub(crate) struct Estimate {
    /// Records a second at peak.
    #[arg(long, value_name = "RECORDS_PER_SECOND")]
    pub(crate) rate: f64,
    /// Bytes of an average record.
    #[arg(long, value_name = "BYTES")]
    pub(crate) record_bytes: f64,
    /// What the statement does: stateless, window-aggregate, group-aggregate, rank or join.
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: String,
    /// Distinct keys alive at a time.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub(crate) keys: u64,
    /// How soon results must be there: sub-500ms, sub-1s, sub-5s or relaxed.
    #[arg(long, default_value = "relaxed", value_name = "TIER")]
    pub(crate) latency_tier: String,
    /// A profile that `weir calibrate` has written, instead of the built-in prior.
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub(crate) profile: Option<PathBuf>,
    /// A named set of assumptions: `guide` is the rules of the published sizing guides.
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// Seed of the Monte-Carlo draws: the same seed gives the same figures.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print every formula with its numbers.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `weir calibrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir calibrate --seconds 60 --out weir-profile.json\n  weir estimate --profile weir-profile.json --rate 50000 --record-bytes 512 --class stateless"
)]
pub(crate) struct Calibrate {
    /// The server.
    #[command(flatten)]
    pub(crate) server: Server,
    /// Time between the two readings of the meter, seconds.
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub(crate) seconds: u64,
    /// A profile to go on from, instead of the built-in prior.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Where the profile is written.
    #[arg(long, default_value = "weir-profile.json", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `weir usage`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir usage\n  weir usage --by pool --json")]
pub(crate) struct Usage {
    /// The server.
    #[command(flatten)]
    pub(crate) server: Server,
    /// What one line stands for.
    #[arg(long, value_enum, default_value_t = UsageBy::Statement)]
    pub(crate) by: UsageBy,
    /// How to print.
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What one line of usage stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageBy {
    /// A statement.
    Statement,
    /// A compute pool.
    Pool,
    /// A minute of a statement.
    Minute,
}

impl UsageBy {
    /// The name in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Pool => "pool",
            Self::Minute => "minute",
        }
    }
}

/// Options of `weir demo`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  weir demo\n  weir demo --seconds 20 --json\n  weir demo --kafka 127.0.0.1:9092 --keep"
)]
pub(crate) struct Demo {
    /// How long the feeder runs, seconds.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) seconds: u64,
    /// Records a second that the feeder produces.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) rate: u64,
    /// Print one JSON object at the end and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Use a Kafka cluster instead of the embedded log.
    #[arg(long, value_name = "BOOTSTRAP")]
    pub(crate) kafka: Option<String>,
    /// Leave the server running at the end, until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where data is kept; a temporary directory otherwise.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_decimal_or_binary() {
        for (text, bytes) in [("7", 7), ("500GB", 500_000_000_000), ("2 MiB", 2 << 20)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "GB",
            "1 XB",
            "-1",
            "99999999999999999999",
            "20000000000GB",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_log_is_synced_after_a_time_always_or_never() {
        let parse = |arguments: &[&str]| {
            Cli::try_parse_from(["weir", "up"].iter().chain(arguments)).map(|cli| {
                match cli.command {
                    Command::Up(up) => up.log_sync,
                    other => panic!("{other:?} is not up"),
                }
            })
        };
        let every = |millis| FsyncPolicy::Interval(Duration::from_millis(millis));
        assert_eq!(parse(&[]).unwrap(), FsyncPolicy::default());
        for (text, policy) in [
            ("always", FsyncPolicy::Always),
            ("never", FsyncPolicy::Never),
            ("100ms", every(100)),
            ("2 s", every(2000)),
        ] {
            assert_eq!(parse(&["--log-sync", text]).unwrap(), policy, "{text}");
        }
        for wrong in ["", "0s", "10us", "sometimes", "Always", "-1s"] {
            assert!(parse(&["--log-sync", wrong]).is_err(), "{wrong}");
        }
        assert!(parse(&["--kafka", "k:9092"]).is_ok());
        assert!(parse(&["--kafka", "k:9092", "--log-sync", "always"]).is_err());
    }

    #[test]
    fn the_ways_to_resume_exclude_each_other() {
        let parse = |arguments: &[&str]| {
            let all = ["weir", "statement", "resume", "copy"];
            Cli::try_parse_from(all.iter().chain(arguments))
        };
        assert!(parse(&[]).is_ok());
        assert!(parse(&["--from-checkpoint", "3", "--accept-duplicates"]).is_ok());
        assert!(parse(&["--from-nothing", "--offsets", "t=partition:0,offset:1"]).is_ok());
        for wrong in [
            &["--from-checkpoint", "3"][..],
            &["--accept-duplicates"],
            &["--from-nothing", "--from-savepoint", "s"],
            &["--offsets", "t=partition:0,offset:1"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn json_is_short_for_the_format() {
        let cli = Cli::try_parse_from(["weir", "usage", "--json"]).unwrap();
        let Command::Usage(usage) = cli.command else {
            panic!("usage was asked for")
        };
        assert_eq!(usage.output.format(), Format::Json);
        assert!(Cli::try_parse_from(["weir", "usage", "--json", "--format", "csv"]).is_err());
    }
}
