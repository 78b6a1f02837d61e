//! Counters of what runs.
//!
//! Enters: increments by slot threads, once per batch. Leaves: [`weir_model::meter::Job`]. Knows nothing of Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use weir_model::meter;

use crate::format::FailureCode;

/// A cumulative counter written by one thread and read by any.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, amount: usize) {
        self.0.fetch_add(amount as u64, Ordering::Relaxed);
    }

    /// Adds what another one has counted.
    fn add_all(&self, other: &Self) {
        self.0.fetch_add(other.get(), Ordering::Relaxed);
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Raises the value to at least `value`.
    pub fn raise(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// A watermark gauge: absent until set.
#[derive(Debug)]
pub struct WatermarkGauge(AtomicI64);

impl Default for WatermarkGauge {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl WatermarkGauge {
    /// Sets it.
    pub fn set(&self, watermark_ms: i64) {
        self.0.store(watermark_ms, Ordering::Relaxed);
    }

    /// The watermark; absent before the first and after the end of input.
    pub fn get(&self) -> Option<i64> {
        let value = self.0.load(Ordering::Relaxed);
        (value != i64::MIN && value != i64::MAX).then_some(value)
    }
}

/// Counters of one subtask of one operator.
#[derive(Debug, Default)]
pub struct SubtaskMetrics {
    /// Rows received.
    pub records_in: Counter,
    /// Rows emitted.
    pub records_out: Counter,
    /// Rows that came after their window had closed.
    pub late_records: Counter,
    /// Nanoseconds spent inside the operator.
    pub busy_ns: Counter,
    /// Bytes of state.
    pub state_bytes: Counter,
    /// Keys of state.
    pub state_keys: Counter,
    /// Watermark received.
    pub input_watermark: WatermarkGauge,
    /// Watermark emitted.
    pub output_watermark: WatermarkGauge,
    /// Traffic with a table, for sources and sinks.
    pub table: TableMetrics,
}

/// Counters of the traffic of one subtask with one table.
#[derive(Debug, Default)]
pub struct TableMetrics {
    /// Records decoded or written.
    pub records: Counter,
    /// Bytes of keys and values.
    pub bytes: Counter,
    /// Records that failed to decode, by reason.
    pub errors: [Counter; FailureCode::ALL.len()],
    /// Records handed to the error table.
    pub dead_letters: Counter,
    /// Largest lateness seen, milliseconds.
    pub max_lateness_ms: Counter,
    /// Splits as the source last saw them.
    pub splits: Mutex<Vec<meter::Split>>,
}

/// Counters of one slot.
#[derive(Debug, Default)]
pub struct SlotMetrics {
    /// Thread CPU time.
    pub cpu_ns: Counter,
    /// Wall time working.
    pub busy_ns: Counter,
    /// Wall time without input.
    pub idle_ns: Counter,
    /// Wall time waiting for outputs.
    pub backpressured_ns: Counter,
    /// Memory held, bytes.
    pub memory_bytes: Counter,
    /// Memory that may be held, bytes; 0 before the first step.
    pub memory_cap_bytes: Counter,
    /// Whether the thread has ended.
    pub ended: AtomicBool,
}

/// What the meter says of one operator: fixed facts and one entry per subtask.
#[derive(Debug)]
pub struct OperatorMetrics {
    /// Node id in the plan.
    pub id: u32,
    /// Name as EXPLAIN prints it.
    pub name: String,
    /// The table it reads or writes: name and direction.
    pub table: Option<(String, meter::Direction)>,
    /// Subtasks.
    pub subtasks: Vec<std::sync::Arc<SubtaskMetrics>>,
}

/// The meter of a job.
#[derive(Debug, Default)]
pub struct JobMetrics {
    /// Operators in plan order.
    pub operators: Vec<OperatorMetrics>,
    /// Slots.
    pub slots: Vec<std::sync::Arc<SlotMetrics>>,
    /// Checkpoints.
    pub checkpoints: Mutex<meter::Checkpoints>,
}

impl JobMetrics {
    /// Counters and gauges now.
    pub fn read(&self) -> meter::Job {
        let splits: Vec<meter::Split> = self.operators.iter().flat_map(splits_of).collect();
        meter::Job {
            slots: (0..)
                .zip(&self.slots)
                .map(|(subtask, slot)| read_slot(subtask, slot))
                .collect(),
            operators: self.operators.iter().map(read_operator).collect(),
            tables: read_tables(&self.operators),
            splits,
            checkpoints: self.checkpoints(),
        }
    }
}

impl JobMetrics {
    /// Checkpoints so far.
    pub fn checkpoints(&self) -> meter::Checkpoints {
        self.checkpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes what is said of checkpoints.
    pub fn change_checkpoints(&self, change: impl FnOnce(&mut meter::Checkpoints)) {
        change(
            &mut self
                .checkpoints
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Rows that operators and tables have taken in, which grows whenever sources move.
    pub fn records_moved(&self) -> u64 {
        let subtasks = self
            .operators
            .iter()
            .flat_map(|operator| &operator.subtasks);
        subtasks
            .map(|subtask| subtask.table.records.get() + subtask.records_in.get())
            .sum()
    }

    /// Takes over the counters of slots that these go on for, so that nothing that was counted gets lost.
    pub fn go_on_from(&self, before: &Self) {
        for (operator, before) in self.operators.iter().zip(&before.operators) {
            for subtask in &before.subtasks {
                if let Some(first) = operator.subtasks.first() {
                    first.go_on_from(subtask);
                }
            }
        }
        for (index, before) in before.slots.iter().enumerate() {
            if let Some(slot) = self.slots.get(index).or_else(|| self.slots.first()) {
                for (counter, before) in [
                    (&slot.cpu_ns, &before.cpu_ns),
                    (&slot.busy_ns, &before.busy_ns),
                    (&slot.idle_ns, &before.idle_ns),
                    (&slot.backpressured_ns, &before.backpressured_ns),
                ] {
                    counter.add_all(before);
                }
            }
        }
    }
}

impl SubtaskMetrics {
    /// Takes over the counters of another subtask; gauges are its own.
    fn go_on_from(&self, before: &Self) {
        for (counter, before) in [
            (&self.records_in, &before.records_in),
            (&self.records_out, &before.records_out),
            (&self.late_records, &before.late_records),
            (&self.busy_ns, &before.busy_ns),
            (&self.table.records, &before.table.records),
            (&self.table.bytes, &before.table.bytes),
            (&self.table.dead_letters, &before.table.dead_letters),
        ] {
            counter.add_all(before);
        }
        for (errors, before) in self.table.errors.iter().zip(&before.table.errors) {
            errors.add_all(before);
        }
        let lateness_ms = before.table.max_lateness_ms.get();
        self.table.max_lateness_ms.raise(lateness_ms);
    }
}

/// The splits of one operator.
fn splits_of(operator: &OperatorMetrics) -> Vec<meter::Split> {
    let lists = operator
        .subtasks
        .iter()
        .map(|subtask| &subtask.table.splits);
    lists
        .flat_map(|list| list.lock().unwrap_or_else(PoisonError::into_inner).clone())
        .collect()
}

/// Reads a slot.
fn read_slot(subtask: u32, slot: &SlotMetrics) -> meter::Slot {
    meter::Slot {
        subtask,
        cpu_ns: slot.cpu_ns.get(),
        busy_ns: slot.busy_ns.get(),
        idle_ns: slot.idle_ns.get(),
        backpressured_ns: slot.backpressured_ns.get(),
        memory_bytes: slot.memory_bytes.get(),
        memory_cap_bytes: Some(slot.memory_cap_bytes.get()).filter(|bytes| *bytes > 0),
    }
}

/// Reads an operator, summed over its subtasks; watermarks are minima.
fn read_operator(operator: &OperatorMetrics) -> meter::Operator {
    let sum = |counter: fn(&SubtaskMetrics) -> &Counter| -> u64 {
        operator
            .subtasks
            .iter()
            .map(|subtask| counter(subtask).get())
            .sum()
    };
    let watermark = |gauge: fn(&SubtaskMetrics) -> &WatermarkGauge| {
        operator
            .subtasks
            .iter()
            .filter_map(|subtask| gauge(subtask).get())
            .min()
    };
    meter::Operator {
        id: operator.id,
        name: operator.name.clone(),
        parallelism: u32::try_from(operator.subtasks.len()).unwrap_or(u32::MAX),
        records_in_total: sum(|m| &m.records_in),
        records_out_total: sum(|m| &m.records_out),
        late_records_total: sum(|m| &m.late_records),
        busy_ns: sum(|m| &m.busy_ns),
        state_bytes: sum(|m| &m.state_bytes),
        state_keys: sum(|m| &m.state_keys),
        input_watermark_ms: watermark(|m| &m.input_watermark),
        output_watermark_ms: watermark(|m| &m.output_watermark),
    }
}

/// Traffic by table and direction, operators of one table summed.
fn read_tables(operators: &[OperatorMetrics]) -> Vec<meter::Table> {
    let mut tables: BTreeMap<(String, bool), meter::Table> = BTreeMap::new();
    for operator in operators {
        let Some((name, direction)) = &operator.table else {
            continue;
        };
        let is_written = *direction == meter::Direction::Written;
        let table = tables
            .entry((name.clone(), is_written))
            .or_insert_with(|| meter::Table {
                name: name.clone(),
                direction: *direction,
                max_lateness_ms: (!is_written).then_some(0),
                ..meter::Table::default()
            });
        for subtask in &operator.subtasks {
            add_traffic(table, subtask, is_written);
        }
        if !is_written {
            let pending: Option<u64> = splits_of(operator)
                .iter()
                .map(|split| split.pending_records)
                .sum();
            table.pending_records =
                pending.map(|pending| pending + table.pending_records.unwrap_or(0));
        }
    }
    tables.into_values().collect()
}

/// Adds the traffic of one subtask.
fn add_traffic(table: &mut meter::Table, subtask: &SubtaskMetrics, is_written: bool) {
    let traffic = &subtask.table;
    table.records_total += traffic.records.get();
    table.bytes_total += traffic.bytes.get();
    table.dead_letters_total += traffic.dead_letters.get();
    for (code, counter) in FailureCode::ALL.iter().zip(&traffic.errors) {
        let total = counter.get();
        if total > 0 {
            match table
                .errors
                .iter_mut()
                .find(|error| error.reason == code.reason())
            {
                Some(error) => error.total += total,
                None => table.errors.push(meter::ErrorCount {
                    reason: code.reason().to_owned(),
                    total,
                }),
            }
        }
    }
    let gauge = if is_written {
        &subtask.input_watermark
    } else {
        &subtask.output_watermark
    };
    table.watermark_ms = match (table.watermark_ms, gauge.get()) {
        (Some(known), Some(new)) => Some(known.min(new)),
        (known, new) => known.or(new),
    };
    if let Some(lateness) = &mut table.max_lateness_ms {
        *lateness = (*lateness).max(traffic.max_lateness_ms.get());
    }
}
