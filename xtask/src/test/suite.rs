//! The suites and how one is run.
//!
//! Place in the flow: `test` runs them one after the other. Invariant: every test binary belongs to exactly one suite, except those
//! named `it`, whose modules are dealt out by name; a module without a suite of its own runs with `golden`.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::build::TestBinary;
use super::summary::{Counts, is_passed_test};
use super::{Selection, components};
use crate::command;
use crate::stack::{Components, Kafka, S3};
use crate::timing::Stopwatch;
use crate::workspace::{Workspace, cargo};

/// The target of every crate whose tests use real components, in modules named after them.
const REAL: &str = "it";

/// Targets that spend a fixed time on random input.
const FUZZ_TARGETS: [&str; 2] = ["fuzz", "simulation"];

/// The target that compares results of random queries with those of an interpreter, for a fixed time.
const DIFFERENTIAL: &str = "differential";

/// How far past its budget a suite runs on before it is killed: its result is a failure in either case, but the rest of its tests
/// still says more than a hang does.
const KILL_FACTOR: u32 = 2;

/// A suite.
#[derive(Debug)]
pub(crate) struct Suite {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it covers.
    pub(crate) what: &'static str,
    /// How long it may take, components included.
    ///
    /// # Source
    /// CI's shares of 45 minutes on 2 cores; unit and golden share six.
    pub(crate) budget: Duration,
    /// Which tests belong to it.
    tests: Tests,
}

/// Which tests belong to a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tests {
    /// Unit tests of libraries and programs, and examples in documentation.
    Unit,
    /// Integration tests that no other suite takes.
    Golden,
    /// One module of every binary for real components.
    Module(&'static str, Needs),
    /// Integration binaries with random input.
    Fuzz,
    /// Integration binaries with random queries.
    Differential,
}

/// What must run beside the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Kafka, started before and stopped with the run.
    Kafka,
    /// Programs that the tests start themselves.
    Programs,
    /// The S3 server, started before and stopped with the run.
    S3,
}

/// Every suite, in the order they run.
pub(crate) static ALL: [Suite; 8] = [
    Suite {
        name: "unit",
        what: "unit tests and examples in documentation",
        budget: Duration::from_mins(3),
        tests: Tests::Unit,
    },
    Suite {
        name: "golden",
        what: "integration tests of the crates, and of the program by itself",
        budget: Duration::from_mins(4),
        tests: Tests::Golden,
    },
    Suite {
        name: "kafka",
        what: "the program with a real Apache Kafka",
        budget: Duration::from_mins(12),
        tests: Tests::Module("kafka::", Needs::Kafka),
    },
    Suite {
        name: "prometheus",
        what: "the program with a real Prometheus",
        budget: Duration::from_mins(1),
        tests: Tests::Module("prometheus::", Needs::Programs),
    },
    Suite {
        name: "clients",
        what: "clients of others against the program",
        budget: Duration::from_mins(1),
        tests: Tests::Module("clients::", Needs::Kafka),
    },
    Suite {
        name: "s3",
        what: "checkpoints in a real S3 server",
        budget: Duration::from_mins(1),
        tests: Tests::Module("s3::", Needs::S3),
    },
    Suite {
        name: "fuzz",
        what: "random input and simulation, for a fixed time",
        budget: Duration::from_mins(1),
        tests: Tests::Fuzz,
    },
    Suite {
        name: "differential",
        what: "random queries against a naive interpreter, for a fixed time",
        budget: Duration::from_secs(150),
        tests: Tests::Differential,
    },
];

/// Runs suites and keeps what they share.
pub(crate) struct Runner<'a> {
    /// Every test binary.
    binaries: &'a [TestBinary],
    /// The workspace.
    workspace: &'a Workspace,
    /// What is to run.
    selection: &'a Selection,
    /// Where the components are, once a suite needed them.
    components: Option<Components>,
    /// The one Kafka of this run, once a suite needed it.
    kafka: Option<Kafka>,
    /// The one S3 server of this run, once a suite needed it.
    s3: Option<S3>,
}

impl<'a> Runner<'a> {
    /// Nothing is fetched or started yet.
    pub(crate) fn new(
        workspace: &'a Workspace,
        binaries: &'a [TestBinary],
        selection: &'a Selection,
    ) -> Self {
        Self {
            binaries,
            workspace,
            selection,
            components: None,
            kafka: None,
            s3: None,
        }
    }

    /// Runs a suite.
    ///
    /// # Errors
    /// When a component cannot be fetched or started, or the suite was killed at its limit.
    pub(crate) fn run(&mut self, suite: &Suite) -> Result<Counts> {
        let plan = self.filtered(plan(suite.tests, self.binaries))?;
        if plan.is_empty() && suite.tests != Tests::Unit {
            println!("no tests");
            return Ok(Counts::default());
        }
        if let Tests::Module(_, needs) = suite.tests {
            self.prepare(needs)?;
        }
        let limit = suite.budget.mul_f64(self.selection.slack) * KILL_FACTOR;
        let watch = Stopwatch::start();
        let mut counts = Counts::default();
        for run in &plan {
            let name = format!("{} {}", run.binary.package, run.binary.target);
            let rest = limit.saturating_sub(watch.elapsed());
            counts += run_tests(&name, &mut self.command(run), rest);
        }
        if suite.tests == Tests::Unit {
            let rest = limit.saturating_sub(watch.elapsed());
            counts += run_tests("documentation", &mut self.doc_command(), rest);
        }
        Ok(counts)
    }

    /// Fetches and starts what a suite needs.
    fn prepare(&mut self, needs: Needs) -> Result<()> {
        if self.components.is_none() {
            let found = components(self.workspace)?;
            println!("{found}");
            self.components = Some(found);
        }
        if needs == Needs::Kafka
            && self.kafka.is_none()
            && let Some(components) = &self.components
        {
            let watch = Stopwatch::start();
            let kafka = Kafka::start(components)?;
            println!(
                "kafka on {} after {:.1} s",
                kafka.bootstrap,
                watch.elapsed().as_secs_f64()
            );
            self.kafka = Some(kafka);
        }
        if needs == Needs::S3
            && self.s3.is_none()
            && let Some(components) = &self.components
        {
            let s3 = S3::start(components)?;
            println!("s3 on {}", s3.endpoint);
            self.s3 = Some(s3);
        }
        Ok(())
    }

    /// A test binary with its arguments and environment.
    fn command(&self, run: &Run) -> Command {
        let mut command = Command::new(&run.binary.path);
        command
            .args(&run.arguments)
            .current_dir(&run.binary.directory)
            .env("CARGO_MANIFEST_DIR", &run.binary.directory)
            .env("WEIR_TEST_REQUIRED", "1");
        if let Some(components) = &self.components {
            command.envs(components.environment(self.kafka.as_ref(), self.s3.as_ref()));
        }
        command
    }

    /// The examples in documentation, which only cargo can run.
    fn doc_command(&self) -> Command {
        let mut command = Command::new(cargo());
        command
            .args(["test", "--workspace", "--locked", "--doc", "--quiet"])
            .args(["--profile", &self.selection.profile, "--"])
            .args(&self.selection.filter);
        command
    }

    /// The runs in which something is selected. A test binary takes several names as alternatives, so a filter on top of a module
    /// is applied here, to the list that the binary gives.
    fn filtered(&self, runs: Vec<Run<'a>>) -> Result<Vec<Run<'a>>> {
        let mut kept = Vec::new();
        for mut run in runs {
            let mut command = self.command(&run);
            let listed = command::capture(command.args(["--list", "--format", "terse"]))?;
            let mut names = listed
                .lines()
                .filter_map(|line| line.strip_suffix(": test"))
                .peekable();
            if let Some(filter) = &self.selection.filter {
                run.arguments
                    .retain(|argument| argument.starts_with("--test-threads"));
                run.arguments.push("--exact".to_owned());
                let before = run.arguments.len();
                run.arguments.extend(
                    names
                        .filter(|name| name.contains(filter.as_str()))
                        .map(str::to_owned),
                );
                if run.arguments.len() > before {
                    kept.push(run);
                }
            } else if names.peek().is_some() {
                kept.push(run);
            }
        }
        Ok(kept)
    }
}

/// A test binary and what is to run of it.
#[derive(Debug)]
struct Run<'a> {
    /// The binary.
    binary: &'a TestBinary,
    /// Its arguments.
    arguments: Vec<String>,
}

/// The binaries of a suite, each with the arguments that select its tests.
fn plan(tests: Tests, binaries: &[TestBinary]) -> Vec<Run<'_>> {
    let is_real = |binary: &TestBinary| binary.is_integration && binary.target == REAL;
    let is_fuzz = |binary: &TestBinary| {
        binary.is_integration && FUZZ_TARGETS.contains(&binary.target.as_str())
    };
    let is_differential =
        |binary: &TestBinary| binary.is_integration && binary.target == DIFFERENTIAL;
    binaries
        .iter()
        .filter_map(|binary| {
            let arguments = match tests {
                Tests::Unit => (!binary.is_integration).then(Vec::new),
                Tests::Golden if is_real(binary) => Some(other_modules()),
                Tests::Golden if is_fuzz(binary) || is_differential(binary) => None,
                Tests::Golden => binary.is_integration.then(Vec::new),
                // One at a time: each of them keeps a broker, a server and a client busy.
                Tests::Module(module, _) => {
                    is_real(binary).then(|| vec![module, "--test-threads=1"])
                }
                Tests::Fuzz => is_fuzz(binary).then(Vec::new),
                Tests::Differential => is_differential(binary).then(Vec::new),
            };
            Some(Run {
                binary,
                arguments: arguments?.into_iter().map(str::to_owned).collect(),
            })
        })
        .collect()
}

/// Arguments that leave out the modules with a suite of their own.
fn other_modules() -> Vec<&'static str> {
    ALL.iter()
        .filter_map(|suite| match suite.tests {
            Tests::Module(module, _) => Some(["--skip", module]),
            Tests::Unit | Tests::Golden | Tests::Fuzz | Tests::Differential => None,
        })
        .flatten()
        .collect()
}

/// Runs tests, prints all but the passed ones, and counts; whatever else goes wrong counts as one failure.
fn run_tests(name: &str, command: &mut Command, limit: Duration) -> Counts {
    let mut counts = Counts::default();
    let ended = command::stream(command, limit, |line| {
        counts.add_line(line);
        if !is_passed_test(line) && !line.is_empty() {
            println!("{line}");
        }
    });
    match ended {
        Ok(status) if status.success() || counts.failed > 0 => {}
        Ok(status) => {
            println!("{name} ended with {status} and no failed test");
            counts += Counts::one_failed();
        }
        Err(error) => {
            println!("{error:#}");
            counts += Counts::one_failed();
        }
    }
    println!("{name}: {counts}");
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary of that name.
    fn binary(package: &str, target: &str, is_integration: bool) -> TestBinary {
        TestBinary {
            package: package.into(),
            target: target.into(),
            is_integration,
            path: "x".into(),
            directory: ".".into(),
        }
    }

    #[test]
    fn every_binary_has_one_suite_and_modules_are_dealt_out() {
        let binaries = [
            binary("weir-runtime", "weir_runtime", false),
            binary("weir-runtime", "golden", true),
            binary("weir-runtime", "fuzz", true),
            binary("weir-runtime", "differential", true),
            binary("weir-runtime", "it", true),
            binary("weir", "it", true),
        ];
        let names = |tests| -> Vec<String> {
            plan(tests, &binaries)
                .into_iter()
                .map(|run| format!("{} {}", run.binary.target, run.arguments.join(" ")))
                .collect()
        };
        assert_eq!(names(Tests::Unit), ["weir_runtime "]);
        assert_eq!(
            names(Tests::Golden),
            [
                "golden ",
                "it --skip kafka:: --skip prometheus:: --skip clients:: --skip s3::",
                "it --skip kafka:: --skip prometheus:: --skip clients:: --skip s3::"
            ]
        );
        assert_eq!(
            names(Tests::Module("kafka::", Needs::Kafka)),
            ["it kafka:: --test-threads=1", "it kafka:: --test-threads=1"]
        );
        assert_eq!(names(Tests::Fuzz), ["fuzz "]);
        assert_eq!(names(Tests::Differential), ["differential "]);
    }

    #[test]
    fn budgets_stay_below_the_sum_of_ci() {
        let sum: Duration = ALL.iter().map(|suite| suite.budget).sum();
        assert!(sum + super::super::BUILD_BUDGET <= Duration::from_mins(40));
    }
}
