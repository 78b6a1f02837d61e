//! `cargo xtask`: the one way to check and to test the workspace.
//!
//! Place in the flow: CI and contributors run it; it runs cargo, the test binaries and the real components. Invariant: it
//! depends on no crate of the workspace, so that it builds in seconds and still works when the product does not compile.
#![expect(
    clippy::print_stdout,
    reason = "this program reports its progress on the standard output"
)]

mod check;
mod command;
mod conformance;
mod golden;
mod stack;
mod test;
mod timing;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What `cargo xtask help` prints.
const HELP: &str = "\
cargo xtask <COMMAND>

Commands:
  check                    fmt, clippy, doc, licences, crate edges, file headers, error pages
      --only STEP          run one step: fmt, crates, sources, errors, clippy, doc
  test                     builds everything once, then runs every suite with the real components
      --suite NAME         run one suite: unit, golden, kafka, prometheus, clients, s3, fuzz
      --filter TEXT        run only tests whose name contains TEXT
      --profile NAME       build with this profile instead of ci, for instance dev
  golden --update [NAME..] rewrite the expected rows of golden cases whose name contains one of these, or of all
  golden --flink [ARG..]   compare golden cases with a running Flink; the arguments are those of runtime/tests/golden/flink.py
  conformance ARG..        run cases verified on Flink and write what Weir says; --help shows the arguments
  stack fetch              fetch what the tests need (JRE, Kafka, Prometheus, an S3 server, Confluent's Python client) and print where it is
  stack up                 start Kafka and S3 and print the environment of the tests, until the input ends (Ctrl-D)
  help                     print this text

Options of check and test:
  --slack FACTOR           multiply every budget, for a machine that does other work (default 1)

Both commands print the seconds of each part and fail when a part takes longer than its budget.
Build output and fetched components live in the target directory; everything listens on 127.0.0.1.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command of the arguments; true when everything passed.
fn run(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(true)
        }
        ["check", options @ ..] => {
            let options = Options::parse(options, &["--only", "--slack"])?;
            check::run(options.get("--only"), options.slack()?)
        }
        ["test", options @ ..] => {
            let options =
                Options::parse(options, &["--suite", "--filter", "--profile", "--slack"])?;
            test::run(&test::Selection {
                suite: options.get("--suite").map(str::to_owned),
                filter: options.get("--filter").map(str::to_owned),
                profile: options.get("--profile").unwrap_or("ci").to_owned(),
                slack: options.slack()?,
            })
        }
        ["conformance", arguments @ ..] => conformance::run(arguments).map(|()| true),
        ["golden", "--update", filters @ ..] => golden::update(filters).map(|()| true),
        ["golden", "--flink", arguments @ ..] => golden::flink(arguments).map(|()| true),
        ["stack", "fetch"] => {
            let workspace = workspace::Workspace::load()?;
            let components = stack::install(&workspace.target_dir)?;
            println!("{components}");
            Ok(true)
        }
        ["stack", "up"] => {
            let workspace = workspace::Workspace::load()?;
            let components = stack::install(&workspace.target_dir)?;
            let kafka = stack::Kafka::start(&components)?;
            let s3 = stack::S3::start(&components)?;
            for (name, value) in components.environment(Some(&kafka), Some(&s3)) {
                println!("export {name}='{value}'");
            }
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
            Ok(true)
        }
        [other, ..] => bail!("unknown command \"{other}\"\n\n{HELP}"),
    }
}

/// Options of a command: `--name value` pairs.
struct Options<'a> {
    /// Name and value, in order.
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    /// Reads pairs; only the names in `known` are allowed.
    fn parse(words: &[&'a str], known: &[&str]) -> Result<Self> {
        let mut pairs = Vec::new();
        let mut rest = words.iter();
        while let Some(name) = rest.next() {
            if !known.contains(name) {
                bail!(
                    "unknown option \"{name}\"; this command takes {}",
                    known.join(", ")
                );
            }
            let Some(value) = rest.next() else {
                bail!("option {name} needs a value");
            };
            pairs.push((*name, *value));
        }
        Ok(Self { pairs })
    }

    /// The last value of an option.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.pairs
            .iter()
            .rfind(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    /// The factor that budgets are multiplied by.
    fn slack(&self) -> Result<f64> {
        let Some(text) = self.get("--slack") else {
            return Ok(1.0);
        };
        match text.parse::<f64>() {
            Ok(factor) if factor >= 1.0 && factor.is_finite() => Ok(factor),
            _ => bail!("option --slack: \"{text}\" is not a number from 1 on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_unknown_ones_are_named() {
        let options = Options::parse(
            &["--suite", "kafka", "--slack", "2"],
            &["--suite", "--slack"],
        )
        .unwrap();
        assert_eq!(options.get("--suite"), Some("kafka"));
        assert!((options.slack().unwrap() - 2.0).abs() < f64::EPSILON);
        assert!(Options::parse(&["--suit", "kafka"], &["--suite"]).is_err());
        assert!(Options::parse(&["--suite"], &["--suite"]).is_err());
    }

    #[test]
    fn slack_cannot_tighten_or_lift_a_budget() {
        for bad in ["0.5", "inf", "NaN", "much"] {
            let options = Options::parse(&["--slack", bad], &["--slack"]).unwrap();
            assert!(options.slack().is_err(), "{bad}");
        }
    }
}
