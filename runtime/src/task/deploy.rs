//! A job graph at a parallelism: its subtasks and the queues between them.
//!
//! Place in the flow: the job calls it once, before its slots start. Invariant: this is where connectors, formats and operators
//! meet; nothing here runs after the slots have started.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::meter::Direction;

use crate::checkpoint::Checkpoint;
use crate::connector::results::{Results, ResultsSink};
use crate::connector::sink::{Sink, SinkInput, WriterContext};
use crate::connector::source::{ReaderContext, Source, SplitPosition};
use crate::dlq::{ErrorHandling, Origin};
use crate::error::{Error, Result};
use crate::graph::key_group::{KEY_GROUPS_DEFAULT, range_of};
use crate::graph::{JobGraph, Vertex};
use crate::metering::{OperatorMetrics, SubtaskMetrics};
use crate::operator::calc::Calc;
use crate::operator::group_aggregate::GroupAggregate;
use crate::operator::join::regular::{self, RegularJoin};
use crate::operator::snapshot;
use crate::operator::union::Union;
use crate::operator::window::aggregate::{Spec, WindowAggregate};
use crate::operator::window::assigner::Assigner;
use crate::operator::window::table_function::WindowTableFunction;
use crate::plan::explain::node_name;
use crate::plan::{
    ChangelogMode, Column, Exchange, JoinKind, Operator, Scan, SinkSpec, SinkTarget,
};
use crate::sql::catalog::{ObjectName, TableDef};
use crate::state::{KeyCodec, StateConfig};
use crate::task::dead_letters::DeadLetters;
use crate::task::exchange::Queue;
use crate::task::gate::Gate;
use crate::task::record_decoder::RecordDecoder;
use crate::task::record_writer::RecordWriter;
use crate::task::sink::{SinkTask, Writer};
use crate::task::source::{SourceParts, SourceTask};
use crate::task::subtask::{Output, Route, Subtask, Transform, TransformParts};
use crate::task::values::ValuesReader;
use crate::task::{Environment, JobSpec, Waker};
use crate::types::FlinkType;

/// Subtasks by slot, in the order of the job graph, with their names.
pub(super) type SlotSubtasks = Vec<(String, Box<dyn Subtask>)>;

/// What deployment makes.
#[derive(Debug)]
pub(super) struct Deployment {
    /// Subtasks of each slot.
    pub(super) slots: Vec<SlotSubtasks>,
    /// Counters of the operators.
    pub(super) operators: Vec<OperatorMetrics>,
    /// The results of a foreground statement.
    pub(super) results: Option<Arc<Results>>,
}

/// Deploys a job.
#[derive(Debug)]
pub(super) struct Deployer<'a> {
    /// What is to run.
    spec: &'a JobSpec,
    /// The outside.
    environment: &'a Environment,
    /// The restored checkpoint.
    restored: Option<&'a Checkpoint>,
    /// One per slot.
    wakers: &'a [Waker],
    /// The graph.
    graph: JobGraph,
    /// Column types of each vertex's output.
    types: Vec<Vec<FlinkType>>,
    /// Queues by sending vertex, edge, sending and receiving subtask.
    queues: HashMap<(usize, usize, usize, usize), Arc<Queue>>,
    /// The results of a foreground statement.
    results: Option<Arc<Results>>,
}

/// What is shared by the subtasks of a vertex.
enum Endpoint {
    /// A table that is read.
    Source(Arc<dyn Source>),
    /// A table that is written.
    Sink(Arc<dyn Sink>),
    /// Anything between.
    None,
}

impl<'a> Deployer<'a> {
    /// A deployer of a job.
    ///
    /// # Errors
    /// `Internal` for a plan whose inputs do not stand before their consumers.
    pub(super) fn new(
        spec: &'a JobSpec,
        environment: &'a Environment,
        restored: Option<&'a Checkpoint>,
        wakers: &'a [Waker],
    ) -> Result<Self> {
        let graph = JobGraph::from_plan(&spec.plan)?;
        let types = graph
            .vertices
            .iter()
            .map(|vertex| types_of(&vertex.node.schema))
            .collect();
        Ok(Self {
            spec,
            environment,
            restored,
            wakers,
            graph,
            types,
            queues: HashMap::new(),
            results: None,
        })
    }

    /// Opens the outside world and makes every subtask.
    ///
    /// # Errors
    /// Whatever keeps the job from starting.
    pub(super) fn deploy(mut self) -> Result<Deployment> {
        self.connect();
        let mut slots: Vec<SlotSubtasks> = (0..self.spec.parallelism).map(|_| Vec::new()).collect();
        let mut operators = Vec::new();
        for index in 0..self.graph.vertices.len() {
            let vertex = self.graph.vertices[index].clone();
            let name = node_name(&vertex.node);
            let endpoint = self.endpoint(&vertex)?;
            let metrics: Vec<Arc<SubtaskMetrics>> = slots.iter().map(|_| Arc::default()).collect();
            for (subtask, slot) in slots.iter_mut().enumerate() {
                let place = Place {
                    vertex: index,
                    subtask,
                };
                let made = self
                    .subtask(place, &vertex, &endpoint, metrics[subtask].clone())
                    .map_err(|error| {
                        error.context(&format!("operator {name}, subtask {subtask}"))
                    })?;
                slot.push((name.clone(), made));
            }
            operators.push(OperatorMetrics {
                id: vertex.node.id.0,
                name,
                table: table_of(&vertex.node.operator),
                subtasks: metrics,
            });
        }
        Ok(Deployment {
            slots,
            operators,
            results: self.results,
        })
    }

    /// Makes the queues of every edge: one inside each slot for a forward edge, else one for each pair of subtasks.
    fn connect(&mut self) {
        for (from, vertex) in self.graph.vertices.iter().enumerate() {
            for (edge, output) in vertex.outputs.iter().enumerate() {
                for (sender, sender_waker) in self.wakers.iter().enumerate() {
                    for (receiver, receiver_waker) in self.wakers.iter().enumerate() {
                        if output.exchange == Exchange::Forward && sender != receiver {
                            continue;
                        }
                        let capacity = self.spec.config.exchange_queue_bytes;
                        let queue =
                            Queue::new(capacity, sender_waker, receiver_waker, sender == receiver);
                        self.queues.insert((from, edge, sender, receiver), queue);
                    }
                }
            }
        }
    }

    /// Opens what the subtasks of a vertex share.
    fn endpoint(&mut self, vertex: &Vertex) -> Result<Endpoint> {
        Ok(match &vertex.node.operator {
            Operator::TableSourceScan(scan) => {
                Endpoint::Source(self.environment.source(&scan.table, &scan.read)?)
            }
            Operator::Sink(SinkSpec {
                target: SinkTarget::Table(table),
                columns,
                ..
            }) => Endpoint::Sink(self.environment.sink(
                table,
                columns,
                &self.spec.plan.time_zone,
            )?),
            Operator::Sink(SinkSpec {
                target: SinkTarget::Results,
                ..
            }) => {
                let results = Results::new(self.spec.config.results_rows_max);
                self.results = Some(results.clone());
                Endpoint::Sink(Arc::new(ResultsSink::new(results)))
            }
            _ => Endpoint::None,
        })
    }

    /// One subtask of a vertex.
    fn subtask(
        &self,
        place: Place,
        vertex: &Vertex,
        endpoint: &Endpoint,
        metrics: Arc<SubtaskMetrics>,
    ) -> Result<Box<dyn Subtask>> {
        let epoch = self.restored.map_or(0, |checkpoint| checkpoint.epoch);
        match (&vertex.node.operator, endpoint) {
            (Operator::TableSourceScan(scan), Endpoint::Source(source)) => Ok(Box::new(
                SourceTask::new(self.source(place, scan, &**source, metrics)?, epoch)?,
            )),
            (Operator::Values { rows }, _) => {
                let reader = ValuesReader::new(
                    rows,
                    &self.reader_context(place),
                    &self.spec.plan.time_zone,
                )?;
                let parts = SourceParts {
                    table: "values".to_owned(),
                    projections: None,
                    watermark: None,
                    time_zone: &self.spec.plan.time_zone,
                    reader: Box::new(reader),
                    decoder: None,
                    dead_letters: DeadLetters::Fail,
                    output: self.output(place, vertex, &metrics)?,
                    idle_timeout: self.spec.config.idle_timeout,
                    restored: &[],
                    clock: self.environment.clock.clone(),
                    metrics,
                };
                Ok(Box::new(SourceTask::new(parts, epoch)?))
            }
            (Operator::Sink(spec), Endpoint::Sink(sink)) => {
                let writer = self.writer(place, spec, &**sink)?;
                Ok(Box::new(SinkTask::new(
                    self.gate(place, vertex),
                    writer,
                    &spec.columns,
                    metrics,
                    epoch,
                )))
            }
            (operator, _) => {
                let mut operator = self.operator(operator, vertex)?;
                let watermark_ms = self.restore(place, &mut *operator)?;
                let parts = TransformParts {
                    gate: self.gate(place, vertex),
                    operator,
                    output: self.output(place, vertex, &metrics)?,
                    clock: self.environment.clock.clone(),
                    metrics,
                };
                Ok(Box::new(Transform::new(parts, epoch, watermark_ms)?))
            }
        }
    }

    /// The parts of a table's source subtask.
    fn source<'b>(
        &'b self,
        place: Place,
        scan: &'b Scan,
        source: &dyn Source,
        metrics: Arc<SubtaskMetrics>,
    ) -> Result<SourceParts<'b>> {
        let vertex = &self.graph.vertices[place.vertex];
        let is_generator = matches!(scan.table.option("connector"), Some("datagen" | "faker"));
        let decoder = (!is_generator)
            .then(|| RecordDecoder::new(scan, self.environment.registry.as_ref()))
            .transpose()?;
        let restored = self
            .restored
            .and_then(|checkpoint| checkpoint.nodes.get(&vertex.node.id.0));
        Ok(SourceParts {
            table: dotted(&scan.table.name),
            projections: scan.projections.as_deref(),
            watermark: scan.watermark.as_ref(),
            time_zone: &self.spec.plan.time_zone,
            reader: source.reader(self.reader_context(place))?,
            decoder,
            dead_letters: self.dead_letters(place, &scan.table)?,
            output: self.output(place, vertex, &metrics)?,
            idle_timeout: self.spec.config.idle_timeout,
            restored: restored
                .map(|state| state.splits.as_slice())
                .unwrap_or_default(),
            clock: self.environment.clock.clone(),
            metrics,
        })
    }

    /// What a table wants done with records that do not decode.
    fn dead_letters(&self, place: Place, table: &TableDef) -> Result<DeadLetters> {
        let handling = ErrorHandling::parse(table)?;
        let origin = Origin {
            statement_name: self.spec.statement_name.clone(),
            catalog: table.name.catalog.clone(),
            database: table.name.database.clone(),
            table: table.name.name.clone(),
        };
        DeadLetters::new(&handling, origin, |target| {
            let name = ObjectName {
                name: target.to_owned(),
                ..table.name.clone()
            };
            let error_table = (self.environment.error_tables)(&name)?;
            let columns: Vec<Column> = error_table
                .columns
                .iter()
                .map(|column| Column {
                    name: column.name.clone(),
                    ty: column.ty.clone(),
                })
                .collect();
            let sink = self
                .environment
                .sink(&error_table, &columns, &self.spec.plan.time_zone)?;
            let writer = sink.writer(self.writer_context(place))?;
            let registry = self.environment.registry.as_ref();
            RecordWriter::new(
                &error_table,
                &columns,
                ChangelogMode::Append,
                registry,
                writer,
            )
        })
    }

    /// The writer of a sink subtask.
    fn writer(&self, place: Place, spec: &SinkSpec, sink: &dyn Sink) -> Result<Writer> {
        let writer = sink.writer(self.writer_context(place))?;
        match (&spec.target, sink.input()) {
            (SinkTarget::Table(table), SinkInput::Records) => {
                let registry = self.environment.registry.as_ref();
                let writer =
                    RecordWriter::new(table, &spec.columns, spec.changelog, registry, writer)?;
                Ok(Writer::Records(Box::new(writer)))
            }
            (SinkTarget::Table(_) | SinkTarget::Results, SinkInput::Rows) => {
                Ok(Writer::Rows(writer))
            }
            (SinkTarget::Results, SinkInput::Records) => Err(Error::internal("results take rows")),
        }
    }

    /// The operator of a vertex between source and sink.
    fn operator(
        &self,
        operator: &Operator,
        vertex: &Vertex,
    ) -> Result<Box<dyn crate::operator::Operator>> {
        let input = vertex
            .inputs
            .first()
            .copied()
            .ok_or_else(|| Error::internal("an operator without input"))?;
        let types = &self.types[input];
        let retracts = self.graph.vertices[input].node.changelog != ChangelogMode::Append;
        let state = StateConfig::in_memory("operator", KEY_GROUPS_DEFAULT);
        let assigner = |window: &crate::plan::Window| Assigner::new(window, &types[window.time]);
        Ok(match operator {
            Operator::Calc {
                condition,
                projections,
            } => Box::new(Calc::new(
                condition.as_ref(),
                projections,
                &self.spec.plan.time_zone,
            )?),
            Operator::Union => Box::new(Union),
            Operator::WindowTableFunction(window) => {
                Box::new(WindowTableFunction::new(assigner(window)?))
            }
            Operator::WindowAggregate {
                window,
                keys,
                aggregates,
                properties,
            } => {
                let spec = Spec {
                    keys: keys.clone(),
                    calls: aggregates.clone(),
                    properties: properties.clone(),
                    input: types.clone(),
                };
                if retracts {
                    return Err(Error::unsupported(
                        "a window aggregation over an updating input",
                    ));
                }
                Box::new(WindowAggregate::new(assigner(window)?, spec, state)?)
            }
            Operator::GroupAggregate { keys, aggregates } => Box::new(GroupAggregate::new(
                keys,
                aggregates,
                (types, retracts),
                state,
            )?),
            Operator::Join {
                kind: JoinKind::Inner,
                left_keys,
                right_keys,
                residual,
            } => {
                let [left, right] = vertex.inputs.as_slice() else {
                    return Err(Error::internal("a join of other than two inputs"));
                };
                let spec = regular::Spec {
                    keys: [left_keys, right_keys],
                    types: [&self.types[*left], &self.types[*right]],
                    residual: residual.as_ref(),
                };
                Box::new(RegularJoin::new(&spec, &self.spec.plan.time_zone, &state)?)
            }
            Operator::TableSourceScan(_) | Operator::Values { .. } | Operator::Sink(_) => {
                return Err(Error::internal("a source or sink is not a transformation"));
            }
        })
    }

    /// Gives an operator the key groups that its subtask owns; the watermark it had seen.
    fn restore(
        &self,
        place: Place,
        operator: &mut dyn crate::operator::Operator,
    ) -> Result<Option<i64>> {
        let id = self.graph.vertices[place.vertex].node.id.0;
        let Some(state) = self
            .restored
            .and_then(|checkpoint| checkpoint.nodes.get(&id))
        else {
            return Ok(None);
        };
        let owned = self.owned(place);
        for key_group in state
            .key_groups
            .iter()
            .filter(|state| owned.contains(&state.key_group))
        {
            snapshot::load_all(operator, key_group)?;
        }
        Ok(state.watermark_ms)
    }

    /// The key groups that a subtask owns. Rows of a single exchange all go to subtask 0, whatever their key.
    fn owned(&self, place: Place) -> std::ops::Range<u32> {
        let inputs = &self.graph.vertices[place.vertex].node.inputs;
        let is_single = inputs
            .iter()
            .any(|input| input.exchange == Exchange::Single);
        match (is_single, place.subtask) {
            (true, 0) => 0..KEY_GROUPS_DEFAULT,
            (true, _) => 0..0,
            (false, subtask) => range_of(subtask, self.spec.parallelism, KEY_GROUPS_DEFAULT),
        }
    }

    /// The input of a subtask.
    fn gate(&self, place: Place, vertex: &Vertex) -> Gate {
        let mut channels = Vec::new();
        for (from, sender) in self
            .graph
            .vertices
            .iter()
            .enumerate()
            .filter(|(from, _)| vertex.inputs.contains(from))
        {
            for (edge, output) in sender
                .outputs
                .iter()
                .enumerate()
                .filter(|(_, output)| output.to == place.vertex)
            {
                for subtask in 0..self.spec.parallelism {
                    if let Some(queue) = self.queues.get(&(from, edge, subtask, place.subtask)) {
                        channels.push((output.input, queue.clone()));
                    }
                }
            }
        }
        Gate::new(channels)
    }

    /// The output of a subtask.
    fn output(
        &self,
        place: Place,
        vertex: &Vertex,
        metrics: &Arc<SubtaskMetrics>,
    ) -> Result<Output> {
        let mut routes = Vec::new();
        for (edge, output) in vertex.outputs.iter().enumerate() {
            let receivers = 0..self.spec.parallelism;
            let queues = receivers
                .filter_map(|receiver| {
                    self.queues
                        .get(&(place.vertex, edge, place.subtask, receiver))
                        .cloned()
                })
                .collect();
            routes.push(match &output.exchange {
                Exchange::Forward | Exchange::Single => Route::First(queues),
                Exchange::Hash(keys) => {
                    let types = &self.types[place.vertex];
                    let codec = KeyCodec::new(keys.iter().map(|key| &types[*key]))?;
                    Route::Keyed {
                        keys: keys.clone(),
                        codec,
                        queues,
                    }
                }
            });
        }
        Ok(Output::new(routes, metrics.clone()))
    }

    /// What a reader is opened with.
    fn reader_context(&self, place: Place) -> ReaderContext {
        let id = self.graph.vertices[place.vertex].node.id.0;
        let state = self
            .restored
            .and_then(|checkpoint| checkpoint.nodes.get(&id));
        let positions = |state: &crate::checkpoint::NodeState| -> Vec<SplitPosition> {
            state
                .splits
                .iter()
                .map(|split| split.position.clone())
                .collect()
        };
        ReaderContext {
            subtask_index: place.subtask,
            parallelism: self.spec.parallelism,
            restored: state.map(positions),
            waker: self.wakers[place.subtask].clone(),
            clock: self.environment.clock.clone(),
        }
    }

    /// What a writer is opened with.
    fn writer_context(&self, place: Place) -> WriterContext {
        WriterContext {
            subtask_index: place.subtask,
            parallelism: self.spec.parallelism,
            statement_uid: self.spec.statement_uid.clone(),
            transactions: None,
            waker: self.wakers[place.subtask].clone(),
            clock: self.environment.clock.clone(),
        }
    }
}

/// Which subtask of which vertex.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Vertex in the job graph.
    vertex: usize,
    /// Subtask, which is also the slot.
    subtask: usize,
}

/// Types of columns.
fn types_of(schema: &[Column]) -> Vec<FlinkType> {
    schema.iter().map(|column| column.ty.clone()).collect()
}

/// `catalog.database.table`, as the meter names tables.
fn dotted(name: &ObjectName) -> String {
    format!("{}.{}.{}", name.catalog, name.database, name.name)
}

/// The table that an operator reads or writes.
fn table_of(operator: &Operator) -> Option<(String, Direction)> {
    match operator {
        Operator::TableSourceScan(scan) => Some((dotted(&scan.table.name), Direction::Read)),
        Operator::Sink(SinkSpec {
            target: SinkTarget::Table(table),
            ..
        }) => Some((dotted(&table.name), Direction::Written)),
        Operator::Sink(SinkSpec {
            target: SinkTarget::Results,
            ..
        }) => Some((String::new(), Direction::Written)),
        Operator::Values { .. }
        | Operator::Calc { .. }
        | Operator::Union
        | Operator::Join { .. }
        | Operator::WindowTableFunction(_)
        | Operator::WindowAggregate { .. }
        | Operator::GroupAggregate { .. } => None,
    }
}
