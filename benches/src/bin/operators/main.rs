//! The kernels of the streaming operators: rows per CPU-second.
//!
//! Place in the flow: `cargo run --release -p weir-benches --bin operators` makes the figures of `results/operators.md`. Invariant: plan
//! and operators are those of a statement; only exchanges, sources and sinks are left out, and the time it takes to make rows is not
//! counted.

mod cases;
mod flow;
mod rows;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::cases::{CASES, Case};
use crate::flow::Flow;
use crate::rows::Rows;

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the operators.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  operators --case join --runs 5 --json")]
struct Options {
    /// Measure only cases whose name contains this.
    #[arg(long, default_value = "")]
    case: String,
    /// Runs of each case, each from empty state.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Divides the rows of each case, for a profile.
    #[arg(long, default_value_t = 1)]
    divide: usize,
    /// Print JSON, a line per case.
    #[arg(long)]
    json: bool,
}

/// What a case has given.
struct Figures {
    /// Rows per CPU-second of each run, ascending.
    rates: Vec<f64>,
    /// Rows that went in.
    rows_in: usize,
    /// Rows that came out.
    rows_out: usize,
    /// Sum over everything that came out, so that runs can be compared.
    check: u64,
}

impl Figures {
    /// The run in the middle.
    fn median(&self) -> f64 {
        self.rates[self.rates.len() / 2]
    }

    /// The slowest and the fastest run.
    fn spread(&self) -> (f64, f64) {
        (self.rates[0], self.rates[self.rates.len() - 1])
    }
}

/// Runs a case.
fn measure(case: &Case, options: &Options) -> Result<Figures> {
    let mut figures = Figures {
        rates: Vec::new(),
        rows_in: 0,
        rows_out: 0,
        check: 0,
    };
    for run in 0..options.runs {
        let plan = weir_benches::plan(case.sql)?;
        let mut flow = Flow::new(&plan)?;
        let mut rows = Rows::new(case, options.divide);
        while let Some(batch) = rows.next_batch() {
            flow.push(&batch)?;
        }
        flow.end()?;
        let done = flow.done();
        ensure!(
            run == 0 || figures.check == done.check,
            "{}: two runs have different results",
            case.name
        );
        (figures.rows_in, figures.rows_out) = (done.rows_in, done.rows_out);
        figures.check = done.check;
        #[expect(clippy::cast_precision_loss, reason = "figures have three digits")]
        figures.rates.push(done.rows_in as f64 / done.cpu_seconds);
    }
    figures.rates.sort_by(f64::total_cmp);
    Ok(figures)
}

/// Millions.
fn millions(rate: f64) -> f64 {
    rate / 1e6
}

#[expect(clippy::print_stdout, reason = "the figures are its result")]
fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(
        options.runs > 0 && options.divide > 0,
        "--runs and --divide are at least 1"
    );
    if !options.json {
        println!("| Case | Rows in | Rows out | Goal | Median | Slowest to fastest | Ratio |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
    }
    let chosen = CASES
        .iter()
        .filter(|case| case.name.contains(&options.case));
    for case in chosen {
        let figures = measure(case, &options)?;
        let (name, goal) = (case.name, case.goal);
        let (median, (slowest, fastest)) = (figures.median(), figures.spread());
        let (rows_in, rows_out) = (figures.rows_in, figures.rows_out);
        if options.json {
            println!(
                "{{\"case\":\"{name}\",\"rows_in\":{rows_in},\"rows_out\":{rows_out},\"goal\":{goal},\"median\":{median:.0},\
                 \"slowest\":{slowest:.0},\"fastest\":{fastest:.0}}}"
            );
        } else {
            println!(
                "| {name} | {rows_in} | {rows_out} | {} | {:.2} | {:.2} to {:.2} | {:.2} |",
                millions(goal),
                millions(median),
                millions(slowest),
                millions(fastest),
                median / goal
            );
        }
    }
    Ok(())
}
