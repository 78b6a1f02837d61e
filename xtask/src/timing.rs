//! Time as this program measures it, and the report of parts against their budgets.
//!
//! Place in the flow: `check` and `test` time each part with a [`Stopwatch`] and print a line per [`Part`]. Invariant: a part over its
//! budget is a failure even when all it did was right.

use std::time::{Duration, Instant};

/// Measures one part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    /// When it was started.
    started: Instant,
}

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where this program reads a clock"
        )]
        let started = Instant::now();
        Self { started }
    }

    /// Time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}

/// The result of one part.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: String,
    /// How long it took.
    pub(crate) took: Duration,
    /// How long it may take; absent when only the sum is limited.
    pub(crate) budget: Option<Duration>,
    /// What it found out, for the reader.
    pub(crate) note: String,
    /// Whether what it did was right.
    pub(crate) ok: bool,
}

impl Part {
    /// Whether it took longer than it may.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.budget.is_some_and(|budget| self.took > budget)
    }

    /// Whether it was right and in time.
    pub(crate) fn passed(&self) -> bool {
        self.ok && !self.is_over_budget()
    }

    /// One line of the closing table.
    pub(crate) fn line(&self) -> String {
        let verdict = if !self.ok {
            "FAILED"
        } else if self.is_over_budget() {
            "OVER BUDGET"
        } else {
            "ok"
        };
        let budget = self
            .budget
            .map_or_else(String::new, |budget| format!(" of {} s", budget.as_secs()));
        format!(
            "{:<12} {:>7.1} s{budget:<9}  {verdict:<11}  {}",
            self.name,
            self.took.as_secs_f64(),
            self.note
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part that took so many seconds of a budget of ten.
    fn part(seconds: u64) -> Part {
        Part {
            name: "unit".into(),
            took: Duration::from_secs(seconds),
            budget: Some(Duration::from_secs(10)),
            note: String::new(),
            ok: true,
        }
    }

    #[test]
    fn a_part_over_budget_has_not_passed() {
        assert!(part(10).passed());
        assert!(!part(11).passed());
        assert!(part(11).line().contains("OVER BUDGET"));
    }
}
