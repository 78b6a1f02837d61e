//! Faults that are planted into operators, to see that they are noticed.
//!
//! Place in the flow: the stage of an environment wraps operators with one. Invariant: the wrapped operator works as before; only what
//! goes in or comes out is wrong, and only as the fault says.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use weir_runtime::operator::{Collector, Operator, OperatorContext, StateVisit};
use weir_runtime::plan::{self, Node};
use weir_runtime::{Batch, Result};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Of what an operator with state takes back, one row is forgotten.
    DroppedRetraction,
    /// A window has its end in it.
    WindowEndIncluded,
}

impl Fault {
    /// The operator, with the fault if it can have it.
    pub(crate) fn plant(self, node: &Node, operator: Box<dyn Operator>) -> Box<dyn Operator> {
        let time = match &node.operator {
            plan::Operator::WindowAggregate { window, .. } => Some(window.time),
            _ => None,
        };
        let takes_back = matches!(
            node.operator,
            plan::Operator::GroupAggregate { .. } | plan::Operator::Join { .. }
        );
        match (self, time) {
            (Self::WindowEndIncluded, Some(time)) => Box::new(Faulty {
                operator,
                is_retraction_due: false,
                time: Some(time),
            }),
            (Self::DroppedRetraction, _) if takes_back => Box::new(Faulty {
                operator,
                is_retraction_due: true,
                time: None,
            }),
            _ => operator,
        }
    }
}

/// An operator with a fault.
#[derive(Debug)]
struct Faulty {
    /// The operator.
    operator: Box<dyn Operator>,
    /// Whether the next retraction is forgotten.
    is_retraction_due: bool,
    /// The time column whose values are taken for a millisecond earlier, so that the end of a window falls into it.
    time: Option<usize>,
}

impl Faulty {
    /// What was emitted, without the retraction that is due to be forgotten.
    fn spoil(&mut self, made: &mut Collector, out: &mut Collector) -> Result<()> {
        for batch in made.drain() {
            let retraction = (0..batch.rows).find(|row| batch.kind(*row).is_retraction());
            match retraction.filter(|_| self.is_retraction_due) {
                Some(forgotten) => {
                    self.is_retraction_due = false;
                    let mask: BooleanArray =
                        (0..batch.rows).map(|row| Some(row != forgotten)).collect();
                    out.emit(batch.filter(&mask)?);
                }
                None => out.emit(batch),
            }
        }
        Ok(())
    }
}

/// A batch in which a time is a millisecond earlier.
fn earlier(batch: &Batch, time: usize) -> Batch {
    let mut batch = batch.clone();
    let column = &batch.columns[time];
    if *column.data_type() == DataType::Timestamp(TimeUnit::Millisecond, None) {
        let times = column.as_primitive::<TimestampMillisecondType>();
        let earlier: TimestampMillisecondArray = times.unary(|time_ms| time_ms - 1);
        batch.columns[time] = Arc::new(earlier);
    }
    batch
}

impl Operator for Faulty {
    fn on_batch(
        &mut self,
        input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let earlier = self.time.map(|time| earlier(batch, time));
        let batch = earlier.as_ref().unwrap_or(batch);
        let mut made = Collector::default();
        self.operator.on_batch(input, batch, context, &mut made)?;
        self.spoil(&mut made, out)
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.operator.on_watermark(context)
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let mut made = Collector::default();
        let is_more = self.operator.emit_pending(context, &mut made)?;
        self.spoil(&mut made, out)?;
        Ok(is_more)
    }

    fn output_watermark_ms(&self, input_ms: i64) -> i64 {
        self.operator.output_watermark_ms(input_ms)
    }

    fn next_timer_ms(&self) -> Option<i64> {
        self.operator.next_timer_ms()
    }

    fn on_timer(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.operator.on_timer(context)
    }

    fn has_backlog(&self) -> bool {
        self.operator.has_backlog()
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        self.operator.visit_state(visit);
    }
}
