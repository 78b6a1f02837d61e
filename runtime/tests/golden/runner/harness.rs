//! The command line: that of the standard test harness as far as cargo and xtask use it, and `--update`.
//!
//! Place in the flow: the binary's main. Invariant: a case is a test of its own, with the name of its folder.
#![expect(
    clippy::print_stdout,
    reason = "a test harness reports on the standard output"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Result;
use super::case::{self, Case, Oracle};
use super::compare::{Order, difference, fold};
use super::output::{self, Mode, normal};
use super::script::Script;
use super::ways::Way;
use super::world::End;

/// A verdict and the oracle of its case.
type Judged = (Verdict, Option<Oracle>);

/// Cases at once: more than cores, since a job waits for its threads most of the time (guess, unmeasured).
const THREADS_DEFAULT: usize = 6;

/// The seed of the way with faults unless `--seed` gives one.
const SEED_DEFAULT: u64 = 1;

/// What the command line asks for.
#[derive(Debug, Default)]
struct Arguments {
    /// Only names that contain, or with `exact` are, one of these; all when empty.
    filters: Vec<String>,
    /// Names that contain one of these are left out.
    skipped: Vec<String>,
    /// Whether filters are whole names.
    exact: bool,
    /// Only list the names.
    list: bool,
    /// Rewrite expected files.
    update: bool,
    /// Cases at once.
    threads: Option<usize>,
    /// Seed of the way with faults.
    seed: Option<u64>,
}

/// How a case went.
#[derive(Debug)]
enum Verdict {
    /// As expected in every way.
    Passed,
    /// Not run, for this reason.
    Pending(String),
    /// Why it failed.
    Failed(String),
}

/// Runs what the arguments select.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            println!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Known since the build: the cases are beside this file.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let cases = match case::list(&root) {
        Ok(cases) => cases,
        Err(error) => {
            println!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut cases: Vec<(String, PathBuf)> = cases;
    cases.retain(|(name, _)| is_selected(name, &arguments));
    if arguments.list {
        for (name, _) in &cases {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", cases.len());
    let verdicts = run_all(&cases, &arguments);
    summary(&cases, &verdicts)
}

/// Reads the command line.
fn parse(words: &[String]) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| rest.next().cloned())
                .ok_or_else(|| format!("option {name} needs a value"))
        };
        match name {
            "--list" => arguments.list = true,
            "--exact" => arguments.exact = true,
            "--update" => arguments.update = true,
            "--skip" => arguments.skipped.push(value()?),
            "--test-threads" => {
                arguments.threads = Some(value()?.parse().map_err(|_| "not a number")?);
            }
            "--seed" => arguments.seed = Some(value()?.parse().map_err(|_| "not a number")?),
            "--format" | "--color" => drop(value()?),
            "--nocapture" | "--no-capture" | "--quiet" | "-q" | "--show-output" => {}
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            _ => arguments.filters.push(word.clone()),
        }
    }
    Ok(arguments)
}

/// Whether a case is to be run.
fn is_selected(name: &str, arguments: &Arguments) -> bool {
    let fits = |filter: &String| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter.as_str())
        }
    };
    (arguments.filters.is_empty() || arguments.filters.iter().any(fits))
        && !arguments
            .skipped
            .iter()
            .any(|skipped| name.contains(skipped.as_str()))
}

/// Runs the cases in threads; verdicts in the order of the cases.
fn run_all(cases: &[(String, PathBuf)], arguments: &Arguments) -> Vec<(Verdict, Option<Oracle>)> {
    let next = AtomicUsize::new(0);
    let verdicts: Mutex<Vec<Option<Judged>>> = Mutex::new(cases.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(THREADS_DEFAULT).max(1) {
            scope.spawn(|| {
                while let Some((name, dir)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let index = cases.iter().position(|(other, _)| other == name);
                    let outcome = std::panic::catch_unwind(|| run_case(name, dir, arguments))
                        .unwrap_or_else(|_| {
                            (Verdict::Failed("the runner panicked".to_owned()), None)
                        });
                    let line = match &outcome.0 {
                        Verdict::Passed => "ok".to_owned(),
                        Verdict::Pending(what) => format!("ignored, pending: {what}"),
                        Verdict::Failed(_) => "FAILED".to_owned(),
                    };
                    println!("test {name} ... {line}");
                    let mut verdicts = lock(&verdicts);
                    if let Some(verdict) = index.and_then(|index| verdicts.get_mut(index)) {
                        *verdict = Some(outcome);
                    }
                }
            });
        }
    });
    let verdicts = verdicts
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing = || (Verdict::Failed("was not run".to_owned()), None);
    verdicts
        .into_iter()
        .map(|verdict| verdict.unwrap_or_else(missing))
        .collect()
}

/// The verdicts, which are whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Prints failures and counts.
fn summary(cases: &[(String, PathBuf)], verdicts: &[(Verdict, Option<Oracle>)]) -> ExitCode {
    let (mut passed, mut pending, mut failed) = (0, 0, 0);
    for ((name, dir), (verdict, _)) in cases.iter().zip(verdicts) {
        match verdict {
            Verdict::Passed => passed += 1,
            Verdict::Pending(_) => pending += 1,
            Verdict::Failed(why) => {
                failed += 1;
                println!("\n---- {name} ----\n{why}");
                println!("case: {}", dir.display());
                println!("again: cargo xtask test --suite golden --filter {name}");
            }
        }
    }
    let by_flink = verdicts
        .iter()
        .filter(|(_, oracle)| *oracle == Some(Oracle::Flink))
        .count();
    println!(
        "\n{by_flink} of {} cases were compared with Flink",
        cases.len()
    );
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {pending} ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one case.
fn run_case(name: &str, dir: &Path, arguments: &Arguments) -> (Verdict, Option<Oracle>) {
    let case = match Case::load(name, dir) {
        Ok(case) => case,
        Err(error) => return (Verdict::Failed(error), None),
    };
    let oracle = Some(case.settings.oracle);
    if let Some(what) = &case.settings.pending {
        return (Verdict::Pending(what.clone()), oracle);
    }
    let verdict = match judge(&case, arguments) {
        Ok(()) => Verdict::Passed,
        Err(why) => Verdict::Failed(format!("{why}\nwhy: {}", case.settings.why.trim())),
    };
    (verdict, oracle)
}

/// Runs a case in every way.
fn judge(case: &Case, arguments: &Arguments) -> Result<()> {
    let script = match Script::bind(&case.sql) {
        Ok(script) if script.plans.is_empty() => {
            return Err("query.sql has no INSERT INTO".to_owned());
        }
        Ok(script) => script,
        Err(error) => return check_end(case, &End::Failed(error)),
    };
    let seed = arguments.seed.unwrap_or(SEED_DEFAULT);
    if arguments.update && case.settings.error.is_none() {
        update(case, &script, seed)?;
    }
    for way in Way::ALL {
        if !case.settings.skip.contains_key(&way) {
            judge_way(case, &script, way, seed)
                .map_err(|why| format!("{} (--seed {seed}): {why}", way.describe()))?;
        }
    }
    Ok(())
}

/// Runs a case in one way.
fn judge_way(case: &Case, script: &Script, way: Way, seed: u64) -> Result<()> {
    let (end, world) = way.run(case, script, seed)?;
    check_end(case, &end)?;
    if case.settings.error.is_some() {
        return Ok(());
    }
    let tables = output::read(script, &world.log)?;
    let mut names = case.expected_names()?.into_iter();
    if let Some(unknown) = names.find(|name| !tables.contains_key(name)) {
        return Err(format!(
            "expected/{unknown}.jsonl is for a table that nothing writes"
        ));
    }
    for (table, written) in &tables {
        let expected = case.expected(table)?;
        let expected: Result<Vec<String>> = expected.iter().map(|line| normal(line)).collect();
        let expected = expected.map_err(|error| format!("expected/{table}.jsonl: {error}"))?;
        let order = if case.settings.sort || written.mode != Mode::Append {
            Order::Any
        } else {
            Order::Kept
        };
        let found = difference(&expected, written, order)
            .map_err(|error| format!("table {table}: {error}"))?;
        if let Some(text) = found {
            return Err(format!("table {table}: {text}"));
        }
    }
    Ok(())
}

/// Rewrites the expected rows with those of the first way.
fn update(case: &Case, script: &Script, seed: u64) -> Result<()> {
    let (end, world) = Way::Single.run(case, script, seed)?;
    check_end(case, &end)?;
    for (table, written) in &output::read(script, &world.log)? {
        rewrite(case, table, fold(written)?)?;
    }
    Ok(())
}

/// Compares how the statements ended with what the case expects.
fn check_end(case: &Case, end: &End) -> Result<()> {
    match (&case.settings.error, end) {
        (None, End::Done) => Ok(()),
        (None, End::Failed(error)) => Err(format!("a statement failed: {error}")),
        (Some(text), End::Done) => Err(format!("no error, expected \"{text}\"")),
        (Some(text), End::Failed(error)) => {
            let message = error.to_string();
            if message.contains(text.as_str()) {
                Ok(())
            } else {
                Err(format!("expected the error \"{text}\", got \"{message}\""))
            }
        }
    }
}

/// Writes the expected rows of a table.
fn rewrite(case: &Case, table: &str, mut rows: Vec<String>) -> Result<()> {
    let path = case.expected_path(table);
    if case.settings.sort {
        rows.sort();
    }
    // The last line ends with a line feed too; no rows are an empty file.
    rows.push(String::new());
    let text = rows.join("\n");
    let folder = case.dir.join("expected");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| format!("write {}: {error}", path.display()))
}
