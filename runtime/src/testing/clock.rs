//! Time that passes only when a test says so.
//!
//! Place in the flow: in the place of [`crate::time::SystemClock`]. Invariant: it never goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Clock, EpochMillis};

/// Where simulated time begins: 2025-01-01T00:00:00Z, since some formats have no time before 1970.
const BEGIN_MS: EpochMillis = 1_735_689_600_000;

/// Time that passes only when a test says so.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    /// Microseconds since the beginning.
    passed_us: AtomicU64,
}

impl SimulatedClock {
    /// A clock at the beginning.
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.passed_us.fetch_add(time, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> EpochMillis {
        let passed_ms = self.monotonic().as_millis();
        BEGIN_MS + EpochMillis::try_from(passed_ms).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.passed_us.load(Ordering::SeqCst))
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}
