//! Time as a component: the wall clock, the monotonic clock and the CPU clock of the calling thread.
//!
//! Place in the flow: whoever needs time is handed a [`Clock`]. Invariant: this is the only module of the crate that
//! reads a clock, so that a simulator can replace it.

use std::sync::Arc;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z: event time or wall time.
pub type EpochMillis = i64;

/// A source of time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time.
    fn now_ms(&self) -> EpochMillis;

    /// Time since an arbitrary fixed point; never goes back.
    fn monotonic(&self) -> Duration;

    /// CPU time used by the calling thread.
    fn thread_cpu(&self) -> Duration;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// A shared system clock.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }

    /// Reads one clock of the operating system.
    fn read(clock: rustix::time::ClockId) -> Duration {
        let time = rustix::time::clock_gettime(clock);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or_default(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        )
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> EpochMillis {
        i64::try_from(Self::read(rustix::time::ClockId::Realtime).as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        Self::read(rustix::time::ClockId::Monotonic)
    }

    fn thread_cpu(&self) -> Duration {
        Self::read(rustix::time::ClockId::ThreadCPUTime)
    }
}
