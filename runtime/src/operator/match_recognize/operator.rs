//! `MATCH_RECOGNIZE` as an operator.
//!
//! Place in the flow: after a hash exchange by PARTITION BY. Rows wait for the watermark in event time, for the next millisecond in
//! processing time when further columns order them, and are matched as they come otherwise. Invariant: between two calls all matches and
//! their rows are in the table.
//!
//! # Source
//! Flink 2.3: `CepOperator`; golden cases `match/*`.

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;

use super::call::{Active, Call};
use super::partitions::{Partition, Partitions};
use super::program::{Program, RowValues};
use super::rows::Arena;
use super::work::Work;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::order::rows::event_times;
use crate::operator::{Collector, Operator, OperatorContext, StateVisit};
use crate::plan::{Match, TimeDomain};
use crate::state::{
    DueRows, EncodedKeys, KeyCodec, KeyedTable, SortCodec, StateConfig, WaitingRows,
};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the table of rows that wait, and of timers: rows without bytes.
const WAITING_TABLE: u8 = 0;

/// Number of the table of matches.
const MATCHES_TABLE: u8 = 1;

/// What brings rows into order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// The watermark, for times of a column.
    Event(usize),
    /// The machine's clock, a millisecond after the row.
    Machine,
    /// Nothing: they are matched as they come.
    Arrival,
}

/// Finds patterns in rows that follow one another.
#[derive(Debug)]
pub struct MatchRecognize {
    /// What is run.
    program: Program,
    /// What brings rows into order.
    clock: Clock,
    /// Columns of PARTITION BY.
    partition: Vec<usize>,
    /// Encodes keys.
    keys: KeyCodec,
    /// Encodes rows that wait.
    rows: KeyCodec,
    /// Encodes what is kept of rows.
    kept: KeyCodec,
    /// Orders rows of one time.
    sort: Option<SortCodec>,
    /// Rows that wait, and timers.
    waiting: WaitingRows,
    /// Matches by partition.
    matches: KeyedTable<Partitions>,
    /// Key groups of the statement.
    key_groups: u32,
    /// Rows that were not processed yet.
    work: Option<(Work, RowValues)>,
    /// Time up to which rows are due.
    due_ms: EpochMillis,
    /// Time up to which those that are due were taken.
    taken_ms: EpochMillis,
    /// When something is due by the machine's clock.
    timer_ms: Option<EpochMillis>,
    /// Rows that are due, kept for their memory.
    due: DueRows,
}

impl MatchRecognize {
    /// Nothing yet, for rows of some types.
    ///
    /// # Errors
    /// `Unsupported` for keys of types that cannot be one, or a pattern that is too large.
    pub fn new(
        spec: &Match,
        types: &[FlinkType],
        time_zone: &str,
        state: StateConfig,
    ) -> Result<Self> {
        let program = Program::new(spec, time_zone)?;
        let Some((time, further)) = spec.order.split_first() else {
            return Err(Error::internal("a MATCH_RECOGNIZE without an order"));
        };
        let clock = match (spec.domain, further) {
            (TimeDomain::Event, _) => Clock::Event(time.column),
            (TimeDomain::Processing, []) => Clock::Arrival,
            (TimeDomain::Processing, _) => Clock::Machine,
        };
        let sort = (!further.is_empty()).then(|| SortCodec::new(further, types));
        // Matches are forgotten by WITHIN only, as in Flink.
        let state = StateConfig {
            ttl_ms: None,
            ..state
        };
        let by_machine = clock != Clock::Arrival || program.automaton.window_ms().is_some();
        Ok(Self {
            clock,
            partition: spec.partition.clone(),
            keys: KeyCodec::new(spec.partition.iter().map(|column| &types[*column]))?,
            rows: KeyCodec::for_rows(types)?,
            kept: KeyCodec::for_rows(&program.kept_types)?,
            sort: sort.transpose()?,
            key_groups: state.key_groups,
            waiting: WaitingRows::new(WAITING_TABLE, state.clone()),
            matches: KeyedTable::new(
                MATCHES_TABLE,
                Partitions::new(program.automaton.states()),
                state,
            ),
            program,
            work: None,
            due_ms: EpochMillis::MIN,
            taken_ms: EpochMillis::MIN,
            // Rows may be restored; the first look tells.
            timer_ms: (by_machine && spec.domain == TimeDomain::Processing).then_some(0),
            due: DueRows::default(),
        })
    }

    /// Encodes the keys of a batch.
    fn encode_keys(&self, batch: &Batch) -> Result<EncodedKeys> {
        let columns: Vec<&ArrayRef> = self
            .partition
            .iter()
            .map(|column| &batch.columns[*column])
            .collect();
        self.keys.encode(&columns, batch.rows)
    }

    /// Keeps rows until they are due, but for those that are late.
    fn wait(&mut self, batch: &Batch, context: &OperatorContext<'_>) -> Result<()> {
        let mut times_ms = match self.clock {
            Clock::Event(column) => event_times(&batch.columns[column])?,
            Clock::Machine | Clock::Arrival => vec![context.clock.now_ms(); batch.rows],
        };
        let seen_ms = match self.clock {
            Clock::Event(_) => context.watermark_ms.unwrap_or(EpochMillis::MIN),
            Clock::Machine | Clock::Arrival => EpochMillis::MIN,
        };
        let late = times_ms.iter().filter(|time_ms| **time_ms <= seen_ms);
        let late = late.count();
        let mut in_time = None;
        if late > 0 {
            context.metrics.late_records.add(late);
            let mask: BooleanArray = times_ms
                .iter()
                .map(|time_ms| Some(*time_ms > seen_ms))
                .collect();
            times_ms.retain(|time_ms| *time_ms > seen_ms);
            in_time = Some(batch.filter(&mask)?);
        }
        let batch = in_time.as_ref().unwrap_or(batch);
        if let (Clock::Machine, Some(first_ms)) = (self.clock, times_ms.first()) {
            self.wake(*first_ms);
        }
        let keys = self.encode_keys(batch)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.rows.encode_rows(&columns, batch.rows)?;
        self.waiting.add(&keys, &times_ms, &rows)
    }

    /// Notes that something is due once a time is over by the machine's clock.
    fn wake(&mut self, time_ms: EpochMillis) {
        let next_ms = time_ms.saturating_add(1);
        self.timer_ms = Some(self.timer_ms.map_or(next_ms, |other| other.min(next_ms)));
    }

    /// Processes rows until about as many matches were found as one call emits.
    fn process(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<()> {
        let Some((mut work, values)) = self.work.take() else {
            return Ok(());
        };
        let mut active = self.open(&work)?;
        let mut call = Call::new(&self.program, &self.kept, &values, context.eval())?;
        call.run(&mut work, &mut active)?;
        let found = call.found_keys.iter().map(|key| work.keys.key(*key));
        let mut columns = self.keys.decode(found)?;
        let rows = call.found_keys.len();
        columns.extend(call.measures()?);
        out.emit(Batch::inserts(columns, rows));
        self.close(active, &work, &values)?;
        if (0..work.ends.len()).any(|key| work.is_left(key)) {
            self.work = Some((work, values));
        }
        Ok(())
    }

    /// Takes the partitions that have rows left out of the state.
    fn open(&mut self, work: &Work) -> Result<Vec<Active>> {
        let mut active = Vec::new();
        let is_left = |key: &usize| work.is_left(*key);
        for key in (0..work.ends.len()).filter(is_left) {
            let key_group = key_group(work.keys.hashes[key], self.key_groups);
            let (id, _) = self.matches.upsert_in(work.keys.key(key), key_group, 0)?;
            let known = self.matches.values_mut().take(id);
            let partition = known.unwrap_or_else(|| {
                Box::new(Partition {
                    matching: self.program.automaton.matching(),
                    first_row: 0,
                    rows: std::collections::VecDeque::new(),
                    timer_ms: None,
                })
            });
            active.push(Active::new(key, id, partition));
        }
        Ok(active)
    }

    /// Puts partitions back, without the rows that no match has.
    fn close(&mut self, active: Vec<Active>, work: &Work, values: &RowValues) -> Result<()> {
        let (mut kept, mut owners) = (Vec::new(), Vec::new());
        let mut timers = (EncodedKeys::default(), Vec::new());
        let mut left = Vec::with_capacity(active.len());
        for mut one in active {
            if one.partition.matching.is_idle() {
                self.matches.remove(one.id)?;
                continue;
            }
            let partition = &mut one.partition;
            let first_row = partition.matching.first_row();
            let first_row = first_row.unwrap_or(partition.first_row);
            let gone = first_row.saturating_sub(partition.first_row);
            let gone = usize::try_from(gone).unwrap_or(usize::MAX);
            let known = partition.rows.len();
            partition.rows.drain(..gone.min(known));
            for place in &one.places[gone.max(known)..] {
                if let Some(row) = Arena::input_row(*place) {
                    kept.push(row);
                    owners.push(left.len());
                }
            }
            partition.first_row = first_row;
            let expiry_ms = self.program.automaton.expiry_ms(&partition.matching);
            if partition.timer_ms.is_none()
                && let Some(expiry_ms) = expiry_ms
            {
                partition.timer_ms = Some(expiry_ms);
                timers.0.bytes.extend_from_slice(work.keys.key(one.key));
                timers.0.ends.push(timers.0.bytes.len());
                timers.0.hashes.push(work.keys.hashes[one.key]);
                timers.1.push(expiry_ms);
            }
            left.push((one.id, one.partition));
        }
        self.keep_rows(&kept, &values.kept, |place, row| {
            left[owners[place]].1.rows.push_back(row);
        })?;
        let partitions = self.matches.values_mut();
        for (id, partition) in left {
            partitions.put(id, partition);
        }
        self.set_timers(&timers.0, &timers.1)
    }

    /// Encodes some rows of the input.
    fn keep_rows(
        &self,
        rows: &[u32],
        columns: &[ArrayRef],
        mut keep: impl FnMut(usize, Box<[u8]>),
    ) -> Result<()> {
        let rows = UInt32Array::from_iter_values(rows.iter().copied());
        let columns: Vec<ArrayRef> = columns
            .iter()
            .map(|column| Ok(take(column, &rows, None)?))
            .collect::<Result<_>>()?;
        let encoded = self
            .kept
            .encode_rows(&columns.iter().collect::<Vec<_>>(), rows.len())?;
        for place in 0..rows.len() {
            keep(place, encoded.key(place).into());
        }
        Ok(())
    }

    /// Sets timers.
    fn set_timers(&mut self, keys: &EncodedKeys, times_ms: &[EpochMillis]) -> Result<()> {
        let Some(first_ms) = times_ms.iter().copied().min() else {
            return Ok(());
        };
        let rows = EncodedKeys {
            ends: vec![0; times_ms.len()],
            ..EncodedKeys::default()
        };
        self.waiting.add(keys, times_ms, &rows)?;
        if !matches!(self.clock, Clock::Event(_)) {
            self.wake(first_ms);
        }
        // One that is due already is taken next.
        self.taken_ms = self.taken_ms.min(first_ms.saturating_sub(1));
        Ok(())
    }

    /// Takes the next rows that are due.
    fn take_due(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        // All rows of a time have to come at once, as further columns may order them.
        let until_ms = self.waiting.next_due_ms(self.due_ms);
        self.taken_ms = until_ms.unwrap_or(self.due_ms);
        let Some(until_ms) = until_ms else {
            return Ok(());
        };
        self.waiting.due(until_ms, usize::MAX, &mut self.due)?;
        let (work, batch) = Work::of_due(&self.due, &self.rows, self.sort.as_ref())?;
        let values = self.program.values(&batch, &context.eval())?;
        self.work = Some((work, values));
        Ok(())
    }
}

impl Operator for MatchRecognize {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        if self.clock != Clock::Arrival {
            return self.wait(batch, context);
        }
        while self.work.is_some() {
            self.process(context, out)?;
        }
        let work = Work::of_batch(&self.encode_keys(batch)?, context.clock.now_ms());
        let values = self.program.values(batch, &context.eval())?;
        self.work = Some((work, values));
        self.process(context, out)?;
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        self.work.is_some()
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        if let (Clock::Event(_), Some(watermark_ms)) = (self.clock, context.watermark_ms) {
            self.due_ms = self.due_ms.max(watermark_ms);
            self.taken_ms = EpochMillis::MIN;
        }
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        if self.work.is_none() && self.taken_ms < self.due_ms {
            self.take_due(context)?;
        }
        self.process(context, out)?;
        if self.work.is_some() || self.taken_ms < self.due_ms {
            return Ok(true);
        }
        if !matches!(self.clock, Clock::Event(_)) {
            let first_ms = self.waiting.first_ms()?;
            self.timer_ms = first_ms.map(|first_ms| first_ms.saturating_add(1));
        }
        Ok(false)
    }

    fn next_timer_ms(&self) -> Option<EpochMillis> {
        self.timer_ms
    }

    fn on_timer(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        if !matches!(self.clock, Clock::Event(_)) {
            let now_ms = context.clock.now_ms();
            self.due_ms = self.due_ms.max(now_ms.saturating_sub(1));
            self.taken_ms = EpochMillis::MIN;
        }
        Ok(())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(self.waiting.table());
        visit(&mut self.matches);
    }
}

#[cfg(test)]
mod tests;
