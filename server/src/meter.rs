//! The meter: a snapshot every few seconds, and the text of both metric surfaces.
//!
//! Place in the flow: the server's housekeeping ticks it, scrapers read it. Invariant: one-minute deltas are differences to the
//! history, everything else is of the moment of the scrape.

use std::sync::{Arc, Mutex, PoisonError};

use weir_metrics_exporter::native::{Limits, Process, SelfMetrics};
use weir_metrics_exporter::{History, TextFormat, confluent, native};
use weir_model::cfu::{CfuPrice, MINUTE_MS};
use weir_model::meter::{INTERVAL_SECONDS, Snapshot};

use crate::statement::Statements;

/// Milliseconds between two snapshots.
const INTERVAL_MS: i64 = INTERVAL_SECONDS.cast_signed() * 1000;

/// Snapshots that are kept: two minutes at [`INTERVAL_SECONDS`], of which one-minute deltas need one.
const SNAPSHOTS_KEPT: usize = 25;

/// How far from a minute a delta may be: three intervals, since a machine under load ticks late.
const TOLERANCE_MS: u64 = 3 * INTERVAL_SECONDS * 1000;

/// Which metrics are asked for.
#[derive(Debug)]
pub(crate) enum Surface {
    /// Confluent's, narrowed by the query.
    Confluent(confluent::Filter),
    /// Weir's own.
    Native,
}

/// Snapshots of the last minutes, and what the process says of itself.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The snapshots.
    history: Mutex<History>,
    /// What does not change, and the count of series that were left out.
    own: SelfMetrics,
}

impl Meter {
    /// An empty meter of a process that started at this epoch millisecond.
    pub(crate) fn new(started_at_ms: i64) -> Self {
        Self {
            history: Mutex::new(History::new(SNAPSHOTS_KEPT)),
            own: SelfMetrics {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                price: CfuPrice::default(),
                process: Process {
                    started_at_ms: Some(started_at_ms),
                    ..Process::default()
                },
                ..SelfMetrics::default()
            },
        }
    }

    /// Takes a snapshot into the history.
    pub(crate) fn tick(&self, statements: &Statements) {
        let snapshot = statements.snapshot();
        self.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(snapshot);
    }

    /// The text of a surface and its content type.
    pub(crate) fn text(
        &self,
        statements: &Statements,
        surface: &Surface,
        accept: Option<&str>,
    ) -> (&'static str, String) {
        let format = TextFormat::negotiate(accept);
        let latest = statements.snapshot();
        let text = match surface {
            Surface::Confluent(filter) => {
                let earlier = self.minute_before(latest.at_ms);
                confluent::export(&latest, earlier.as_deref(), filter, format, None)
            }
            Surface::Native => {
                let mut own = self.own.clone();
                own.process = process(own.process);
                native::export_with(&latest, &own, Limits::default(), format)
            }
        };
        (format.content_type(), text)
    }

    /// The snapshot nearest to a minute before; absent when the meter is too young or did not tick for long.
    fn minute_before(&self, at_ms: i64) -> Option<Arc<Snapshot>> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted_ms = at_ms - MINUTE_MS.cast_signed();
        history
            .before(wanted_ms + INTERVAL_MS / 2)
            .filter(|found| found.at_ms.abs_diff(wanted_ms) <= TOLERANCE_MS)
    }
}

/// The process now; what the system does not tell stays absent.
fn process(known: Process) -> Process {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(cpu.tv_sec).ok();
    let nanos = u64::try_from(cpu.tv_nsec).unwrap_or_default();
    Process {
        cpu_ns: seconds.map(|seconds| seconds * 1_000_000_000 + nanos),
        resident_bytes: std::fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| resident_bytes(&status)),
        open_fds: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| files.count() as u64),
        ..known
    }
}

/// Resident memory in Linux's description of a process.
///
/// # Source
/// `proc_pid_status(5)`: `VmRSS:     123 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_its_line() {
        let status = "Name:\tweir\nVmPeak:\t   99 kB\nVmRSS:\t    1234 kB\nThreads:\t2\n";
        assert_eq!(resident_bytes(status), Some(1234 * 1024));
        assert_eq!(resident_bytes("Name:\tweir\n"), None);
    }
}
