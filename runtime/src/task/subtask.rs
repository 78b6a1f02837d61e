//! One subtask of one operator, as the slot sees it.
//!
//! Place in the flow: a slot steps its subtasks, downstream first. Invariant: a step never blocks and emits about
//! [`crate::operator::EMIT_ROWS_MAX`] rows at most.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, UInt32Array};

use crate::batch::{Batch, StreamElement};
use crate::checkpoint::SubtaskState;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::error::Result;
use crate::graph::key_group::{KEY_GROUPS_DEFAULT, key_group, subtask_of};
use crate::metering::SubtaskMetrics;
use crate::operator::{Collector, Operator, OperatorContext, snapshot};
use crate::state::KeyCodec;
use crate::task::control::Control;
use crate::task::exchange::Queue;
use crate::task::gate::{Event, Gate};
use crate::task::memory::{Held, Relief};
use crate::time::{Clock, EpochMillis, SharedClock};

/// What a step achieved.
#[derive(Debug)]
pub(super) enum Progress {
    /// Something was done; there may be more.
    Ready,
    /// A part of the snapshot is written; the slot reports it.
    Snapshot(Vec<KeyGroupDelta>),
    /// A checkpoint was joined; the slot reports the state.
    Acknowledge(u64, SubtaskState),
    /// An output, writer or flush must move first; it wakes the slot.
    Blocked,
    /// No input; look again at this monotonic time at the latest.
    Idle(Option<Duration>),
    /// Nothing will ever be done again.
    Finished,
}

/// One subtask of one operator.
pub(super) trait Subtask: Send + Debug {
    /// Does the next piece of work.
    ///
    /// # Errors
    /// Whatever fails the job.
    fn step(&mut self, control: &Control) -> Result<Progress>;

    /// The state at this moment, for subtasks that have finished; of keyed state what has changed since it was asked last.
    ///
    /// # Errors
    /// `Internal` only.
    fn state(&mut self) -> Result<SubtaskState>;

    /// What it holds of the slot's memory; asked after every step.
    fn held(&self) -> Held;

    /// Gives memory back; only asked of subtasks that hold state.
    ///
    /// # Errors
    /// `Unavailable` when the device refuses.
    fn give_way(&mut self, relief: Relief) -> Result<()> {
        let _ = relief;
        Ok(())
    }

    /// The operator with its state, for whoever goes on with it.
    fn into_operator(self: Box<Self>) -> Option<Box<dyn Operator>> {
        None
    }

    /// Counters.
    fn metrics(&self) -> &SubtaskMetrics;
}

/// Where the elements of a subtask go.
#[derive(Debug)]
pub(super) struct Output {
    /// One per consumer.
    routes: Vec<Route>,
    /// Rows that are not sent.
    kinds: SentKinds,
    /// Counters of the subtask.
    metrics: Arc<SubtaskMetrics>,
}

/// Which kinds of change are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SentKinds {
    /// All that the operator makes.
    All,
    /// All but the old rows of updates, which nobody behind needs.
    WithoutUpdateBefore,
}

/// The way to one consumer.
#[derive(Debug)]
pub(super) enum Route {
    /// To the same slot, or everything to one subtask of the consumer: rows go to the first queue, control to all.
    First(Vec<Arc<Queue>>),
    /// To the owner of each row's key group.
    Keyed {
        /// Key columns.
        keys: Vec<usize>,
        /// Encodes keys.
        codec: KeyCodec,
        /// One per subtask of the consumer.
        queues: Vec<Arc<Queue>>,
    },
}

impl Route {
    /// All queues of the route.
    fn queues(&self) -> &[Arc<Queue>] {
        match self {
            Self::First(queues) | Self::Keyed { queues, .. } => queues,
        }
    }
}

impl Output {
    /// An output over routes.
    pub(super) fn new(routes: Vec<Route>, kinds: SentKinds, metrics: Arc<SubtaskMetrics>) -> Self {
        Self {
            routes,
            kinds,
            metrics,
        }
    }

    /// Whether every queue has room.
    pub(super) fn has_room(&self) -> bool {
        self.routes
            .iter()
            .flat_map(Route::queues)
            .all(|queue| queue.has_room())
    }

    /// Sends rows to every consumer.
    pub(super) fn emit(&self, batch: &Batch) -> Result<()> {
        let sent;
        let batch = if self.kinds == SentKinds::WithoutUpdateBefore && batch.kinds.is_some() {
            sent = batch.without_update_before()?;
            &sent
        } else {
            batch
        };
        if batch.rows == 0 {
            return Ok(());
        }
        self.metrics.records_out.add(batch.rows);
        for route in &self.routes {
            match route {
                Route::First(queues) => queues[0].push(StreamElement::Batch(batch.clone())),
                Route::Keyed {
                    keys,
                    codec,
                    queues,
                } => emit_keyed(batch, keys, codec, queues)?,
            }
        }
        Ok(())
    }

    /// Sends what an operator has collected.
    pub(super) fn emit_all(&self, collector: &mut Collector) -> Result<()> {
        collector.drain().try_for_each(|batch| self.emit(&batch))
    }

    /// Sends a control element to every subtask of every consumer.
    pub(super) fn broadcast(&self, element: &StreamElement) {
        if let StreamElement::Watermark(watermark_ms) = element {
            self.metrics.output_watermark.set(*watermark_ms);
        }
        for queue in self.routes.iter().flat_map(Route::queues) {
            queue.push(element.clone());
        }
    }
}

/// Sends each row to the owner of its key group.
fn emit_keyed(
    batch: &Batch,
    keys: &[usize],
    codec: &KeyCodec,
    queues: &[Arc<Queue>],
) -> Result<()> {
    if let [queue] = queues {
        queue.push(StreamElement::Batch(batch.clone()));
        return Ok(());
    }
    let columns: Vec<&ArrayRef> = keys.iter().map(|key| &batch.columns[*key]).collect();
    let encoded = codec.encode(&columns, batch.rows)?;
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); queues.len()];
    for (row, hash) in (0u32..).zip(&encoded.hashes) {
        let group = key_group(*hash, KEY_GROUPS_DEFAULT);
        rows[subtask_of(group, queues.len(), KEY_GROUPS_DEFAULT)].push(row);
    }
    for (queue, rows) in queues.iter().zip(rows) {
        if !rows.is_empty() {
            queue.push(StreamElement::Batch(batch.take(&UInt32Array::from(rows))?));
        }
    }
    Ok(())
}

/// A subtask of an operator between source and sink.
#[derive(Debug)]
pub(super) struct Transform {
    /// Input.
    gate: Gate,
    /// What is done.
    operator: Box<dyn Operator>,
    /// Output.
    output: Output,
    /// How its state is kept small.
    memory: StateMemory,
    /// Size of its state after the last batch.
    size: snapshot::Size,
    /// What the operator emits in one step.
    collector: Collector,
    /// The watermark seen.
    watermark_ms: Option<EpochMillis>,
    /// What the operator is in the middle of emitting.
    emitting: Option<Emitting>,
    /// The newest epoch joined.
    epoch: u64,
    /// The snapshot of that epoch, while it is written.
    snapshot: Option<Snapshot>,
    /// Whether the end was sent.
    is_finished: bool,
    /// Time.
    clock: SharedClock,
    /// Counters.
    metrics: Arc<SubtaskMetrics>,
}

/// What an operator is in the middle of emitting; nothing else passes before it is through.
#[derive(Debug)]
enum Emitting {
    /// The rest of what a batch or timer makes.
    Backlog,
    /// What a watermark or the end of input made due.
    Due {
        /// What follows it.
        then: StreamElement,
    },
}

/// A snapshot that is being written.
#[derive(Debug, Clone, Copy)]
struct Snapshot {
    /// The watermark seen before the barrier.
    watermark_ms: Option<EpochMillis>,
}

/// Keys of each table that are written to the snapshot between two batches: with batches of some thousand rows, a snapshot takes a
/// small share of a busy slot (measured in `benches/results`).
const SNAPSHOT_KEYS: usize = 8192;

/// Keys of each table that are copied from the slots before between two batches; none while a snapshot is waited for (measured in
/// `benches/results`).
const TAKE_OVER_KEYS: usize = 4096;

/// How the state of an operator is kept small.
#[derive(Debug, Clone, Copy)]
pub(super) struct StateMemory {
    /// Bytes of a snapshot that are handed out at once.
    pub(super) part_bytes: usize,
    /// Whether keys expire.
    pub(super) expires: bool,
}

/// What a transform is made of.
#[derive(Debug)]
pub(super) struct TransformParts {
    /// Input.
    pub(super) gate: Gate,
    /// What is done.
    pub(super) operator: Box<dyn Operator>,
    /// Output.
    pub(super) output: Output,
    /// How its state is kept small.
    pub(super) memory: StateMemory,
    /// Time.
    pub(super) clock: SharedClock,
    /// Counters.
    pub(super) metrics: Arc<SubtaskMetrics>,
}

impl Transform {
    /// A transform, with its keyed state restored already and the watermark of the restored epoch.
    pub(super) fn new(
        parts: TransformParts,
        epoch: u64,
        watermark_ms: Option<EpochMillis>,
    ) -> Result<Self> {
        let TransformParts {
            gate,
            operator,
            output,
            memory,
            clock,
            metrics,
        } = parts;
        let mut transform = Self {
            gate,
            operator,
            output,
            memory,
            size: snapshot::Size::default(),
            collector: Collector::default(),
            watermark_ms,
            emitting: None,
            epoch,
            snapshot: None,
            is_finished: false,
            clock,
            metrics,
        };
        if watermark_ms.is_some() {
            let context = context(
                &*transform.clock,
                transform.watermark_ms,
                &transform.metrics,
            );
            transform.operator.on_watermark(&context)?;
        }
        transform.measure_state();
        Ok(transform)
    }

    /// Exports the size of the state.
    fn measure_state(&mut self) {
        self.size = snapshot::measure(&mut *self.operator);
        self.metrics.state_bytes.set(self.size.bytes as u64);
        self.metrics.state_keys.set(self.size.keys as u64);
    }

    /// Emits a part of what is left, then what was held back behind it.
    fn emit_pending(&mut self, emitting: Emitting) -> Result<Progress> {
        let context = context(&*self.clock, self.watermark_ms, &self.metrics);
        let has_more = self.operator.emit_pending(&context, &mut self.collector)?;
        self.output.emit_all(&mut self.collector)?;
        if has_more {
            self.emitting = Some(emitting);
            return Ok(Progress::Ready);
        }
        if let Emitting::Due { then } = emitting {
            self.is_finished = matches!(then, StreamElement::EndOfInput);
            self.output.broadcast(&then);
        }
        self.measure_state();
        Ok(Progress::Ready)
    }

    /// Lets the operator know that event time has advanced; what is due is emitted by the next steps.
    fn advance(&mut self, watermark_ms: EpochMillis, then: StreamElement) -> Result<Progress> {
        self.watermark_ms = Some(watermark_ms);
        self.metrics.input_watermark.set(watermark_ms);
        let context = context(&*self.clock, self.watermark_ms, &self.metrics);
        self.operator.on_watermark(&context)?;
        self.emit_pending(Emitting::Due { then })
    }

    /// Writes a bit of the snapshot, and hands out what is written when it is complete or enough for a part of its own.
    fn write_snapshot(&mut self, snapshot: Snapshot) -> Result<Option<Progress>> {
        if snapshot::write_frozen(&mut *self.operator, SNAPSHOT_KEYS)? {
            return Ok(Some(Progress::Acknowledge(
                self.epoch,
                SubtaskState {
                    watermark_ms: snapshot.watermark_ms,
                    key_groups: snapshot::take(&mut *self.operator),
                    ..SubtaskState::default()
                },
            )));
        }
        self.snapshot = Some(snapshot);
        if snapshot::written_bytes(&mut *self.operator) < self.memory.part_bytes {
            return Ok(None);
        }
        let key_groups = snapshot::take(&mut *self.operator);
        Ok(Some(Progress::Snapshot(key_groups)))
    }

    /// Does the next piece of the operator's own work.
    fn work(&mut self, control: &Control) -> Result<Progress> {
        if self.size.begun_bytes >= self.memory.part_bytes {
            return Ok(self.hand_out_begun(control));
        }
        if !self.output.has_room() {
            return if self.emitting.is_none() {
                self.spare_time(Progress::Blocked)
            } else {
                Ok(Progress::Blocked)
            };
        }
        if let Some(emitting) = self.emitting.take() {
            return self.emit_pending(emitting);
        }
        let timer_ms = self.operator.next_timer_ms();
        let wait_ms = timer_ms.map(|timer_ms| timer_ms.saturating_sub(self.clock.now_ms()));
        if wait_ms.is_some_and(|wait_ms| wait_ms <= 0) {
            let context = context(&*self.clock, self.watermark_ms, &self.metrics);
            self.operator.on_timer(&context)?;
            return self.emit_pending(Emitting::Backlog);
        }
        if let Some(event) = self.gate.poll() {
            return self.react(event);
        }
        let wait = wait_ms.and_then(|wait_ms| u64::try_from(wait_ms).ok());
        let until = wait.map(|ms| self.clock.monotonic() + Duration::from_millis(ms));
        self.spare_time(Progress::Idle(until))
    }

    /// Copies some of the keys that the slots before have handed over; whether there were any to be copied.
    fn take_over_some(&mut self) -> Result<bool> {
        let takes_over = self.size.handed_keys > 0 && self.snapshot.is_none();
        if takes_over {
            snapshot::take_over_some(&mut *self.operator, TAKE_OVER_KEYS)?;
        }
        Ok(takes_over)
    }

    /// Copies such keys while there is nothing else to do.
    fn spare_time(&mut self, without: Progress) -> Result<Progress> {
        if !self.take_over_some()? {
            return Ok(without);
        }
        self.measure_state();
        Ok(Progress::Ready)
    }

    /// Hands out what the next snapshot begins with: keys that have changed and left memory. While it cannot, no more of them may
    /// come; the supervisor wakes the slot.
    fn hand_out_begun(&mut self, control: &Control) -> Progress {
        if self.snapshot.is_some() || !control.takes_begun(self.epoch) {
            return Progress::Blocked;
        }
        let key_groups = snapshot::take_begun(&mut *self.operator);
        self.measure_state();
        Progress::Snapshot(key_groups)
    }

    /// Reacts to an event of the gate.
    fn react(&mut self, event: Event) -> Result<Progress> {
        match event {
            Event::Batch(input, batch) => {
                self.metrics.records_in.add(batch.rows);
                if self.memory.expires {
                    snapshot::expire(&mut *self.operator, self.clock.now_ms())?;
                }
                let context = context(&*self.clock, self.watermark_ms, &self.metrics);
                self.operator
                    .on_batch(input, &batch, &context, &mut self.collector)?;
                self.output.emit_all(&mut self.collector)?;
                self.take_over_some()?;
                self.measure_state();
                if self.operator.has_backlog() {
                    self.emitting = Some(Emitting::Backlog);
                }
            }
            Event::Watermark(watermark_ms) => {
                let output_ms = self.operator.output_watermark_ms(watermark_ms);
                return self.advance(watermark_ms, StreamElement::Watermark(output_ms));
            }
            Event::Barrier(epoch) => {
                self.epoch = epoch;
                snapshot::freeze(&mut *self.operator);
                self.snapshot = Some(Snapshot {
                    watermark_ms: self.watermark_ms,
                });
                self.output.broadcast(&StreamElement::Barrier(epoch));
            }
            Event::Idle => self.output.broadcast(&StreamElement::Idle),
            Event::Active => self.output.broadcast(&StreamElement::Active),
            Event::EndOfInput => return self.advance(EpochMillis::MAX, StreamElement::EndOfInput),
        }
        Ok(Progress::Ready)
    }
}

/// What an operator may use.
fn context<'a>(
    clock: &'a dyn Clock,
    watermark_ms: Option<EpochMillis>,
    metrics: &'a SubtaskMetrics,
) -> OperatorContext<'a> {
    OperatorContext {
        clock,
        watermark_ms,
        metrics,
    }
}

/// The acknowledgement of a finished subtask, when an epoch was asked for that it has not joined.
pub(super) fn acknowledge_finished(
    subtask: &mut dyn Subtask,
    epoch: &mut u64,
    control: &Control,
) -> Result<Progress> {
    let requested = control.epoch();
    if requested <= *epoch {
        return Ok(Progress::Finished);
    }
    *epoch = requested;
    Ok(Progress::Acknowledge(requested, subtask.state()?))
}

impl Subtask for Transform {
    fn step(&mut self, control: &Control) -> Result<Progress> {
        if control.takes_snapshots()
            && let Some(snapshot) = self.snapshot.take()
        {
            if let Some(progress) = self.write_snapshot(snapshot)? {
                return Ok(progress);
            }
            if self.is_finished {
                return Ok(Progress::Ready);
            }
            // The rest of the snapshot is work to do.
            return match self.work(control)? {
                Progress::Blocked | Progress::Idle(_) => Ok(Progress::Ready),
                progress => Ok(progress),
            };
        }
        if self.is_finished && self.snapshot.is_none() {
            let mut epoch = self.epoch;
            let progress = acknowledge_finished(self, &mut epoch, control);
            self.epoch = epoch;
            return progress;
        }
        if self.is_finished {
            return Ok(Progress::Blocked);
        }
        self.work(control)
    }

    fn state(&mut self) -> Result<SubtaskState> {
        Ok(SubtaskState {
            watermark_ms: self.watermark_ms,
            key_groups: snapshot::take_now(&mut *self.operator)?,
            ..SubtaskState::default()
        })
    }

    fn held(&self) -> Held {
        // What is being emitted is looked up by id, so ids must not change.
        let moves = self.emitting.is_none();
        Held {
            bytes: self.size.bytes + self.gate.memory_bytes(),
            state_bytes: if moves { self.size.bytes } else { 0 },
            growth_bytes: if moves { self.size.growth_bytes } else { 0 },
        }
    }

    fn give_way(&mut self, relief: Relief) -> Result<()> {
        match relief {
            Relief::MakeRoom => snapshot::make_room(&mut *self.operator)?,
            Relief::Shrink { limit_bytes } => snapshot::shrink(&mut *self.operator, limit_bytes)?,
        }
        self.measure_state();
        Ok(())
    }

    fn into_operator(self: Box<Self>) -> Option<Box<dyn Operator>> {
        Some(self.operator)
    }

    fn metrics(&self) -> &SubtaskMetrics {
        &self.metrics
    }
}
