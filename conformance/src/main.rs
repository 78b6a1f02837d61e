//! `weir-conformance`: runs cases whose results were verified on a real Flink, and writes what Weir says.
//!
//! Place in the flow: `cargo xtask conformance` builds and starts it; a scorer compares the results. Invariant: it calls only what the
//! runtime makes public, so that what is scored is what users get.
#![expect(
    clippy::print_stderr,
    reason = "this program reports its progress on the standard error"
)]

mod case;
mod execute;
mod expression;
mod registry;
mod rows;
#[cfg(test)]
mod tests;
mod value;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use serde_json::{Value, json};
use weir_runtime::{Error, Kind};

/// Stack of a thread that runs cases, bytes: some expressions nest hundreds of levels deep. A guess, unmeasured.
const STACK_BYTES: usize = 64 << 20;

/// Runs cases and writes one JSON object a line: what came out, or an error.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  cargo xtask conformance --expressions expressions.jsonl --out results.jsonl
  cargo xtask conformance --cases cases.jsonl --out results.jsonl")]
struct Arguments {
    /// Cases of statements over tables, one JSON object a line
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "expressions",
        conflicts_with = "expressions"
    )]
    cases: Option<PathBuf>,
    /// Checks of expressions, one JSON object a line
    #[arg(long, value_name = "FILE")]
    expressions: Option<PathBuf>,
    /// Where results go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Cases at once; more than cores, since a case waits for its job most of the time
    #[arg(long, value_name = "N", default_value_t = 6)]
    jobs: usize,
    /// Only cases whose id contains this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let in_directory = |case: &Value| {
        let file = arguments.cases.as_deref();
        case::run(case, file.and_then(Path::parent).unwrap_or(Path::new("")))
    };
    let (file, run): (_, &Run<'_>) = match (&arguments.cases, &arguments.expressions) {
        (Some(file), _) => (file, &in_directory),
        (None, Some(file)) => (file, &expression::run),
        (None, None) => return Err(anyhow!("neither --cases nor --expressions")),
    };
    let mut cases = lines(file)?;
    if let Some(filter) = &arguments.filter {
        cases.retain(|case| id(case).contains(filter.as_str()));
    }
    let results = run_all(&cases, arguments.jobs, run)?;
    let mut out = fs::File::create(&arguments.out)
        .with_context(|| format!("create {}", arguments.out.display()))?;
    for result in &results {
        writeln!(out, "{result}")?;
    }
    summarize(&results);
    eprintln!("{}", arguments.out.display());
    Ok(())
}

/// What a case becomes.
type Run<'a> = dyn Fn(&Value) -> Result<Value, Error> + Sync + 'a;

/// Prints how many cases came to what, and why the others did not.
fn summarize(results: &[Value]) {
    let errors = results.iter().filter_map(|result| result["error"].as_str());
    let (unsupported, failed): (Vec<&str>, Vec<&str>) =
        errors.partition(|error| error.starts_with(UNSUPPORTED));
    eprintln!(
        "{} cases: {} with a result, {} unsupported, {} with an error",
        results.len(),
        results.len() - unsupported.len() - failed.len(),
        unsupported.len(),
        failed.len(),
    );
    for (what, errors) in [("unsupported", unsupported), ("error", failed)] {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for error in errors {
            let error = error.strip_prefix(UNSUPPORTED).unwrap_or(error);
            *reasons.entry(reason(error)).or_default() += 1;
        }
        let mut reasons: Vec<(&str, usize)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (reason, count) in reasons.iter().take(REASONS_MAX) {
            eprintln!("{count:6}  {what}: {reason}");
        }
    }
}

/// Most reasons that are printed of a kind: more are not read. A guess.
const REASONS_MAX: usize = 30;

/// An error without its place in the text or the plan.
fn reason(error: &str) -> &str {
    let is_place = |text: &str| text.starts_with("line ") || text.starts_with("operator ");
    match error.split_once(": ") {
        Some((place, message)) if is_place(place) => message,
        _ => error,
    }
}

/// What the text of an error begins with when the case needs what Weir does not have.
const UNSUPPORTED: &str = "UNSUPPORTED: ";

/// The objects of a file, one a line.
fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let objects = text.lines().enumerate().map(|(number, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}: line {}", path.display(), number + 1))
    });
    objects.collect()
}

/// The id of a case.
fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap_or("")
}

/// Runs cases in threads; the results in the order of the cases.
fn run_all(cases: &[Value], jobs: usize, run: &Run<'_>) -> Result<Vec<Value>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else {
                return done;
            };
            done.push((index, result(case, run)));
        }
    };
    let mut results: Vec<(usize, Value)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1))
            .map(|_| {
                std::thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, work)
            })
            .collect::<std::io::Result<_>>()?;
        let done = threads.into_iter().map(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("a thread that runs cases has panicked"))
        });
        anyhow::Ok(done.collect::<Result<Vec<_>>>()?.concat())
    })?;
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// The result of a case, whatever becomes of it.
fn result(case: &Value, run: &Run<'_>) -> Value {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(case)));
    let mut object = match outcome {
        Ok(Ok(object)) => object,
        Ok(Err(error)) => json!({ "error": error_text(&error) }),
        Err(_) => json!({ "error": "PANIC" }),
    };
    object["id"] = case["id"].clone();
    object
}

/// An error as the results have it.
fn error_text(error: &Error) -> String {
    match error.kind {
        Kind::Unsupported => format!("{UNSUPPORTED}{error}"),
        _ => error.to_string(),
    }
}
