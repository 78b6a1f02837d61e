//! How far the clock of windows has come.
//!
//! Place in the flow: operators of windows tell it of watermarks or timers, and ask it which windows are due. Invariant: a window is due
//! once: when its closing time is passed and was not at the watermark before.

use crate::operator::OperatorContext;
use crate::operator::window::zone::Zone;
use crate::plan::TimeDomain;
use crate::time::EpochMillis;

/// How far event time or the machine's clock has come.
#[derive(Debug)]
pub(super) struct Progress {
    /// The clock.
    domain: TimeDomain,
    /// The time zone of windows.
    zone: Zone,
    /// Windows up to this closing time are closed.
    closed_ms: EpochMillis,
    /// Windows up to this closing time were emitted.
    emitted_ms: EpochMillis,
}

impl Progress {
    /// Nothing is closed.
    pub(super) fn new(domain: TimeDomain, zone: Zone) -> Self {
        Self {
            domain,
            zone,
            closed_ms: EpochMillis::MIN,
            emitted_ms: EpochMillis::MIN,
        }
    }

    /// Whether time is event time.
    pub(super) fn is_event_time(&self) -> bool {
        self.domain == TimeDomain::Event
    }

    /// A watermark has come. What was due before has been emitted: before the watermark of a checkpoint that is restored as well.
    pub(super) fn on_watermark(&mut self, context: &OperatorContext<'_>) {
        if self.is_event_time() {
            self.emitted_ms = self.closed_ms;
            let watermark_ms = context.watermark_ms.unwrap_or(EpochMillis::MIN);
            self.closed_ms = self.closed_ms.max(watermark_ms);
        }
    }

    /// The clock has moved on.
    ///
    /// # Source
    /// Flink: a timer for the last millisecond of a window fires once that millisecond is over.
    pub(super) fn on_timer(&mut self, context: &OperatorContext<'_>) {
        if !self.is_event_time() {
            self.closed_ms = context.clock.now_ms().saturating_sub(1);
        }
    }

    /// When the timer of a window with this end is due, in processing time.
    pub(super) fn timer_ms(&self, end_ms: i64) -> Option<EpochMillis> {
        (!self.is_event_time()).then(|| self.zone.closing_watermark(end_ms).saturating_add(1))
    }

    /// Whether time has passed the window with this end.
    pub(super) fn is_closed(&self, end_ms: i64) -> bool {
        self.zone.closing_watermark(end_ms) <= self.closed_ms
    }

    /// Whether a row for the window with this end comes too late. In processing time none does.
    pub(super) fn is_late(&self, end_ms: i64) -> bool {
        self.is_event_time() && self.is_closed(end_ms)
    }

    /// Whether the window with this end was passed before the present watermark.
    pub(super) fn is_emitted(&self, end_ms: i64) -> bool {
        self.zone.closing_watermark(end_ms) <= self.emitted_ms
    }

    /// All that is due has been emitted.
    pub(super) fn emitted(&mut self) {
        self.emitted_ms = self.closed_ms;
    }
}
