//! A plan's operators, one subtask each, called as a slot calls them.
//!
//! Place in the flow: `main` gives it rows in the place of sources. Invariant: a batch and what it makes due is through all operators
//! before the next one comes, and only that is timed.

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, BooleanArray};
use weir_benches::cpu_seconds;
use weir_runtime::batch::{Batch, RowKind};
use weir_runtime::metering::SubtaskMetrics;
use weir_runtime::operator::{Collector, Operator, OperatorContext, snapshot};
use weir_runtime::plan::{ChangelogMode, NodeId, Operator as PlanOperator, StreamPlan};
use weir_runtime::task::make_alone;
use weir_runtime::time::{Clock, SystemClock};

use crate::rows::InputBatch;

/// What went through.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Done {
    /// Rows that went in.
    pub(crate) rows_in: usize,
    /// Rows that came out.
    pub(crate) rows_out: usize,
    /// Sum over everything that came out.
    pub(crate) check: u64,
    /// CPU time of the process meanwhile.
    pub(crate) cpu_seconds: f64,
}

/// Where rows go.
#[derive(Debug, Clone, Copy)]
enum To {
    /// Into an operator, at one of its inputs.
    Stage(usize, usize),
    /// Out.
    Sink,
}

/// An operator and its place.
#[derive(Debug)]
struct Stage {
    /// The operator.
    operator: Box<dyn Operator>,
    /// Whether old rows of updates are left out behind it.
    is_upsert: bool,
    /// Where its rows go.
    to: Vec<To>,
    /// The watermark of each input.
    inputs_ms: Vec<i64>,
    /// The watermark that it has seen.
    watermark_ms: Option<i64>,
    /// Counters.
    metrics: SubtaskMetrics,
}

/// A source.
#[derive(Debug)]
struct Source {
    /// Names of its columns.
    columns: Vec<String>,
    /// Where its rows go.
    to: Vec<To>,
}

/// The operators of a plan.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Sources, in the order of the plan.
    sources: Vec<Source>,
    /// Operators.
    stages: Vec<Stage>,
    /// What went through.
    done: Done,
    /// Rows that came out and are not added up yet, as that is not timed.
    out: Vec<Batch>,
}

impl Flow {
    /// The operators of a plan whose sources have no columns but those of a table.
    pub(crate) fn new(plan: &StreamPlan) -> Result<Self> {
        let operators = make_alone(plan)?;
        let ids: Vec<NodeId> = operators.iter().map(|(id, _)| *id).collect();
        let to = |id: NodeId| -> Vec<To> {
            let consumers = plan.consumers(id);
            let places = consumers.flat_map(|consumer| {
                let stage = ids.iter().position(|id| *id == consumer.id);
                let inputs = consumer.inputs.iter().enumerate();
                let inputs = inputs.filter(|(_, input)| input.node == id);
                let inputs: Vec<usize> = inputs.map(|(index, _)| index).collect();
                inputs
                    .into_iter()
                    .map(move |input| stage.map_or(To::Sink, |stage| To::Stage(stage, input)))
            });
            places.collect()
        };
        let mut sources = Vec::new();
        for node in &plan.nodes {
            if let PlanOperator::TableSourceScan(scan) = &node.operator {
                if scan.projections.is_some() {
                    bail!("a source of a benchmark computes nothing");
                }
                sources.push(Source {
                    columns: scan.read.iter().map(|column| column.name.clone()).collect(),
                    to: to(node.id),
                });
            }
        }
        let stages = operators.into_iter().map(|(id, operator)| {
            let node = plan.node(id).context("a node of the plan")?;
            Ok(Stage {
                operator,
                is_upsert: node.changelog == ChangelogMode::Upsert,
                to: to(id),
                inputs_ms: vec![i64::MIN; node.inputs.len()],
                watermark_ms: None,
                metrics: SubtaskMetrics::default(),
            })
        });
        Ok(Self {
            sources,
            stages: stages.collect::<Result<_>>()?,
            done: Done::default(),
            out: Vec::new(),
        })
    }

    /// Gives a batch to a source, and the watermark behind it.
    pub(crate) fn push(&mut self, batch: &InputBatch) -> Result<()> {
        let source = &self.sources[batch.input];
        let column = |name: &String| -> Result<ArrayRef> {
            Ok(match name.as_str() {
                "k" => ArrayRef::clone(&batch.k),
                "v" => ArrayRef::clone(&batch.v),
                "ts" => ArrayRef::clone(&batch.ts),
                other => bail!("there is no column {other}"),
            })
        };
        let columns = source.columns.iter().map(column);
        let rows = Batch::inserts(columns.collect::<Result<_>>()?, batch.rows);
        let to = source.to.clone();
        self.done.rows_in += batch.rows;
        let before = cpu_seconds();
        self.send(&to, &rows)?;
        self.watermark(&to, batch.watermark_ms)?;
        self.done.cpu_seconds += cpu_seconds() - before;
        self.add_up();
        Ok(())
    }

    /// Ends the input.
    pub(crate) fn end(&mut self) -> Result<()> {
        let before = cpu_seconds();
        for source in 0..self.sources.len() {
            let to = self.sources[source].to.clone();
            self.watermark(&to, i64::MAX)?;
        }
        self.done.cpu_seconds += cpu_seconds() - before;
        self.add_up();
        Ok(())
    }

    /// What went through.
    pub(crate) fn done(&self) -> Done {
        self.done
    }

    /// Adds up what has come out.
    fn add_up(&mut self) {
        for batch in self.out.drain(..) {
            self.done.rows_out += batch.rows;
            for column in &batch.columns {
                let data = column.to_data();
                let words = data.buffers().first();
                let words = words.map_or(&[] as &[u64], |buffer| buffer.typed_data());
                let values = words.iter().skip(data.offset()).take(batch.rows);
                for (row, value) in values.enumerate() {
                    let value = if column.is_null(row) { 1 } else { *value };
                    let check = self.done.check;
                    self.done.check = if batch.kind(row).is_retraction() {
                        check.wrapping_sub(value)
                    } else {
                        check.wrapping_add(value)
                    };
                }
            }
        }
    }

    /// Sends rows on.
    fn send(&mut self, to: &[To], batch: &Batch) -> Result<()> {
        for to in to {
            match *to {
                To::Sink => self.out.push(batch.clone()),
                To::Stage(stage, input) => self.work(stage, input, batch)?,
            }
        }
        Ok(())
    }

    /// Gives a batch to an operator.
    fn work(&mut self, stage: usize, input: usize, batch: &Batch) -> Result<()> {
        let mut collector = Collector::default();
        let at = &mut self.stages[stage];
        at.metrics.records_in.add(batch.rows);
        let (operator, context) = at.parts();
        operator.on_batch(input, batch, &context, &mut collector)?;
        let has_backlog = at.operator.has_backlog();
        self.emit(stage, &mut collector)?;
        if has_backlog {
            self.drain(stage)?;
        }
        Ok(())
    }

    /// Lets an operator emit all that is due.
    fn drain(&mut self, stage: usize) -> Result<()> {
        loop {
            let mut collector = Collector::default();
            let at = &mut self.stages[stage];
            let (operator, context) = at.parts();
            let has_more = operator.emit_pending(&context, &mut collector)?;
            self.emit(stage, &mut collector)?;
            if !has_more {
                return Ok(());
            }
        }
    }

    /// Sends on what an operator has emitted.
    fn emit(&mut self, stage: usize, collector: &mut Collector) -> Result<()> {
        let at = &mut self.stages[stage];
        // As the subtask does after each batch.
        let size = snapshot::measure(&mut *at.operator);
        at.metrics.state_bytes.set(size.bytes as u64);
        let (to, is_upsert) = (at.to.clone(), at.is_upsert);
        for batch in collector.drain() {
            let sent = match &batch.kinds {
                Some(kinds) if is_upsert => {
                    let is_sent = |kind: &RowKind| Some(*kind != RowKind::UpdateBefore);
                    batch.filter(&kinds.iter().map(is_sent).collect::<BooleanArray>())?
                }
                _ => batch,
            };
            self.send(&to, &sent)?;
        }
        Ok(())
    }

    /// Advances event time.
    fn watermark(&mut self, to: &[To], watermark_ms: i64) -> Result<()> {
        for to in to {
            let To::Stage(stage, input) = *to else {
                continue;
            };
            let at = &mut self.stages[stage];
            at.inputs_ms[input] = watermark_ms;
            let least_ms = at.inputs_ms.iter().copied().min().unwrap_or(i64::MIN);
            if least_ms == i64::MIN || at.watermark_ms.is_some_and(|seen_ms| seen_ms >= least_ms) {
                continue;
            }
            at.watermark_ms = Some(least_ms);
            let output_ms = if least_ms == i64::MAX {
                least_ms
            } else {
                at.operator.output_watermark_ms(least_ms)
            };
            let (operator, context) = at.parts();
            operator.on_watermark(&context)?;
            let to = at.to.clone();
            self.drain(stage)?;
            self.watermark(&to, output_ms)?;
        }
        Ok(())
    }
}

impl Stage {
    /// The operator and what it may use.
    fn parts(&mut self) -> (&mut dyn Operator, OperatorContext<'_>) {
        let context = OperatorContext {
            clock: &SystemClock as &dyn Clock,
            watermark_ms: self.watermark_ms,
            metrics: &self.metrics,
        };
        (&mut *self.operator, context)
    }
}
