//! A job graph at a parallelism: its subtasks and the queues between them.
//!
//! Place in the flow: the job calls it once, before its slots start. Invariant: this is where connectors, formats and operators
//! meet; nothing here runs after the slots have started.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::meter::Direction;

use crate::checkpoint::entry::Entry;
use crate::checkpoint::store::{CheckpointStore, Manifest, Node};
use crate::connector::results::{Results, ResultsSink};
use crate::connector::sink::{
    Sink, SinkInput, SinkWriter, TransactionOwner, TransactionalSystem, Transactions, WriterContext,
};
use crate::connector::source::{ReaderContext, Source, SplitPosition};
use crate::dlq::{ErrorHandling, Mode, Origin};
use crate::error::{Error, Result};
use crate::graph::key_group::{KEY_GROUPS_DEFAULT, subtask_of};
use crate::graph::{JobGraph, Vertex};
use crate::metering::{OperatorMetrics, SubtaskMetrics};
use crate::operator::snapshot;
use crate::plan::explain::node_name;
use crate::plan::{
    ChangelogMode, Column, Exchange, LateRows, Operator, Scan, SinkSpec, SinkTarget,
};
use crate::sql::binder::changelog_mode;
use crate::sql::catalog::{ObjectName, TableDef};
use crate::state::{FjallSpace, KeyCodec, StateConfig};
use crate::task::alignment::WatermarkAlignment;
use crate::task::dead_letters::DeadLetters;
use crate::task::exchange::Queue;
use crate::task::gate::Gate;
use crate::task::history::{PublishingSinks, damaged_committed};
use crate::task::job::DeliveryGuarantee;
use crate::task::memory::{Held, Relief, SlotMemory, relief};
use crate::task::operators::{self, BoxedOperator, Making, MakingInput, check_executable};
use crate::task::record_decoder::RecordDecoder;
use crate::task::record_writer::RecordWriter;
use crate::task::sink::{SinkTask, Writer};
use crate::task::slot::SlotBudget;
use crate::task::source::{SourceParts, SourceTask};
use crate::task::subtask::{
    Output, Route, SentKinds, StateMemory, Subtask, Transform, TransformParts,
};
use crate::task::values::ValuesReader;
use crate::task::{Environment, JobSpec, Waker};
use crate::types::FlinkType;

/// What a transaction may take beside an interval and a checkpoint.
///
/// # Source
/// Design section 3, "Exactly-once": interval, worst checkpoint and ten seconds.
const COMMIT_MARGIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Subtasks by slot, in the order of the job graph, with their names.
pub(super) type SlotSubtasks = Vec<(String, Box<dyn Subtask>)>;

/// What deployment makes.
#[derive(Debug)]
pub(super) struct Deployment {
    /// Subtasks of each slot.
    pub(super) slots: Vec<SlotSubtasks>,
    /// Memory of each slot.
    pub(super) budgets: Vec<SlotBudget>,
    /// Counters of the operators.
    pub(super) operators: Vec<OperatorMetrics>,
    /// The results of a foreground statement.
    pub(super) results: Option<Arc<Results>>,
}

/// Which deployment of a job it is.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// Deployments before it.
    pub(super) number: u32,
    /// The results of a foreground statement that is deployed again.
    pub(super) results: Option<Arc<Results>>,
}

/// What a job goes on from.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Positions, watermarks and the places of keyed state; nothing for a job that starts from nothing.
    pub(super) manifest: Manifest,
    /// The newest epoch that has a name; the first of the job comes after it.
    pub(super) last_epoch: u64,
    /// Whether rows are seen once, so that no other checkpoint would do.
    pub(super) is_exactly_once: bool,
    /// Where keyed state comes from.
    pub(super) state: StateOrigin,
}

/// Where keyed state comes from.
#[derive(Debug, Default)]
pub(super) enum StateOrigin {
    /// There is none.
    #[default]
    Nothing,
    /// The checkpoint store.
    Store(Arc<CheckpointStore>),
    /// The operators of the slots before, by node id; nothing is read back.
    Operators(HashMap<u32, Vec<BoxedOperator>>),
}

/// Entries of state that are taken over between two looks at the memory they take (guess, unmeasured).
const LOAD_ENTRIES: usize = 8192;

/// Deploys a job.
#[derive(Debug)]
pub(super) struct Deployer<'a> {
    /// What is to run.
    spec: &'a JobSpec,
    /// The outside.
    environment: &'a Environment,
    /// What the job goes on from.
    restored: Restored,
    /// One per slot.
    wakers: &'a [Waker],
    /// The graph.
    graph: JobGraph,
    /// Column types of each vertex's output.
    types: Vec<Vec<FlinkType>>,
    /// Queues by sending vertex, edge, sending and receiving subtask.
    queues: HashMap<(usize, usize, usize, usize), Arc<Queue>>,
    /// What the subtasks of each vertex share.
    endpoints: Vec<Endpoint>,
    /// Where the dead letters of each vertex go, for sources that log them.
    error_sinks: HashMap<usize, ErrorSink>,
    /// The statement's transactions; absent when rows are written at least once.
    transactions: Option<Transactions>,
    /// Where the state of each slot goes that does not fit into memory; empty when it stays in memory.
    spill_spaces: Vec<Arc<FjallSpace>>,
    /// Memory of each slot.
    memories: Vec<SlotMemory>,
    /// State that was loaded for each slot so far, bytes.
    loaded_bytes: Vec<usize>,
    /// The results of a foreground statement.
    results: Option<Arc<Results>>,
    /// Holds back sources that are ahead of others.
    alignment: Option<Arc<WatermarkAlignment>>,
}

/// Where dead letters go.
#[derive(Debug)]
struct ErrorSink {
    /// The error table.
    table: TableDef,
    /// Its columns.
    columns: Vec<Column>,
    /// Writes it.
    sink: Arc<dyn Sink>,
}

/// What is shared by the subtasks of a vertex.
#[derive(Debug, Clone)]
enum Endpoint {
    /// A table that is read.
    Source(Arc<dyn Source>),
    /// A table that is written.
    Sink(Arc<dyn Sink>),
    /// Anything between.
    None,
}

impl<'a> Deployer<'a> {
    /// A deployer of a job, with the outside world known and nothing of it opened.
    ///
    /// # Errors
    /// `Invalid` or `Unsupported` for tables that cannot be read or written; `Internal` for a plan whose inputs do not stand before
    /// their consumers.
    pub(super) fn new(
        spec: &'a JobSpec,
        environment: &'a Environment,
        wakers: &'a [Waker],
        generation: &Generation,
    ) -> Result<Self> {
        check_executable(&spec.plan)?;
        let graph = JobGraph::from_plan(&spec.plan)?;
        let types = graph
            .vertices
            .iter()
            .map(|vertex| types_of(&vertex.node.schema))
            .collect();
        let memories: Vec<SlotMemory> = wakers
            .iter()
            .map(|waker| {
                environment
                    .memory
                    .register(spec.config.slot_memory_bytes, waker)
            })
            .collect();
        let mut deployer = Self {
            spec,
            environment,
            restored: Restored::default(),
            wakers,
            graph,
            types,
            queues: HashMap::new(),
            endpoints: Vec::new(),
            error_sinks: HashMap::new(),
            transactions: None,
            spill_spaces: spec.config.spill_dir.as_ref().map_or_else(Vec::new, |dir| {
                let spaces = memories.iter().enumerate().map(|(slot, memory)| {
                    let dir = dir.join(format!("{}-{slot}", generation.number));
                    FjallSpace::new(dir, memory.cap_bytes())
                });
                spaces.collect()
            }),
            memories,
            loaded_bytes: vec![0; spec.parallelism],
            results: generation.results.clone(),
            alignment: spec
                .config
                .watermark_drift
                .map(|drift| Arc::new(WatermarkAlignment::new(drift))),
        };
        for index in 0..deployer.graph.vertices.len() {
            let vertex = deployer.graph.vertices[index].clone();
            let endpoint = deployer.endpoint(&vertex)?;
            deployer.endpoints.push(endpoint);
            if let Operator::TableSourceScan(scan) = &vertex.node.operator
                && let Some(error_sink) = deployer.error_sink(&scan.table)?
            {
                deployer.error_sinks.insert(index, error_sink);
            }
        }
        Ok(deployer)
    }

    /// Opens the transactions that all sinks of the statement share; absent when it has no sink with transactions, keeps no
    /// checkpoints, or asks for at-least-once delivery.
    ///
    /// # Errors
    /// `Invalid` when sinks are in several systems, since no commit spans them; what the system returns.
    pub(super) fn open_transactions(&self) -> Result<Option<Transactions>> {
        let is_exactly_once = self.spec.config.delivery == DeliveryGuarantee::ExactlyOnce;
        if self.spec.checkpoints.is_none() || !is_exactly_once {
            return Ok(None);
        }
        let mut systems: Vec<TransactionalSystem> = Vec::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if let Endpoint::Sink(sink) = endpoint {
                systems.extend(sink.transactional());
            }
            if let Some(error_sink) = self.error_sinks.get(&index) {
                systems.extend(error_sink.sink.transactional());
            }
        }
        let Some(first) = systems.first() else {
            return Ok(None);
        };
        if let Some(other) = systems
            .iter()
            .find(|system| system.identity != first.identity)
        {
            return Err(Error::option(format!(
                "the statement writes to {} and to {}, and no commit spans both: write to one of them, or set 'execution.checkpointing.mode' to 'AT_LEAST_ONCE'",
                first.identity, other.identity
            )));
        }
        let config = &self.spec.config;
        let opened = (first.open)(&TransactionOwner {
            statement_name: self.spec.statement_name.clone(),
            statement_uid: self.spec.statement_uid.clone(),
            timeout: config.checkpoint_interval + config.checkpoint_timeout + COMMIT_MARGIN,
            clock: self.environment.clock.clone(),
        })?;
        Ok(Some(opened))
    }

    /// The sinks that show what they have prepared once a checkpoint is durable.
    pub(super) fn publishing_sinks(&self) -> PublishingSinks {
        let sinks = self.graph.vertices.iter().zip(&self.endpoints);
        sinks
            .filter_map(|(vertex, endpoint)| match endpoint {
                Endpoint::Sink(sink) if sink.publishes() => Some((vertex.node.id.0, sink.clone())),
                Endpoint::Sink(_) | Endpoint::Source(_) | Endpoint::None => None,
            })
            .collect()
    }

    /// What the job reads.
    pub(super) fn sources(&self) -> Vec<Arc<dyn Source>> {
        let sources = self.endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Source(source) => Some(Arc::clone(source)),
            Endpoint::Sink(_) | Endpoint::None => None,
        });
        sources.collect()
    }

    /// Makes every subtask, writing in the statement's transactions if it has any.
    ///
    /// # Errors
    /// Whatever keeps the job from starting.
    pub(super) fn deploy(
        mut self,
        transactions: Option<Transactions>,
        restored: Restored,
    ) -> Result<Deployment> {
        self.transactions = transactions;
        self.restored = restored;
        self.connect();
        let mut slots: Vec<SlotSubtasks> = (0..self.spec.parallelism).map(|_| Vec::new()).collect();
        let mut operators = Vec::new();
        for index in 0..self.graph.vertices.len() {
            let vertex = self.graph.vertices[index].clone();
            let name = node_name(&vertex.node);
            let endpoint = self.endpoints[index].clone();
            let metrics: Vec<Arc<SubtaskMetrics>> = slots.iter().map(|_| Arc::default()).collect();
            let mut transforms = self
                .transforms(index, &vertex)
                .map_err(|error| error.context(&format!("operator {name}")))?
                .into_iter();
            for (subtask, slot) in slots.iter_mut().enumerate() {
                let place = Place {
                    vertex: index,
                    subtask,
                };
                let made = self
                    .subtask(
                        (place, transforms.next()),
                        &vertex,
                        &endpoint,
                        metrics[subtask].clone(),
                    )
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
        let slots_count = self.spec.parallelism;
        let mut spill_spaces = self.spill_spaces.into_iter();
        let budgets = self.memories.into_iter().map(|memory| SlotBudget {
            memory,
            spill: spill_spaces.next(),
            held: Vec::new(),
            slots_count,
        });
        Ok(Deployment {
            slots,
            budgets: budgets.collect(),
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
                let make = || Results::new(self.spec.config.results_rows_max);
                let results = self.results.get_or_insert_with(make).clone();
                Endpoint::Sink(Arc::new(ResultsSink::new(results)))
            }
            _ => Endpoint::None,
        })
    }

    /// One subtask of a vertex.
    fn subtask(
        &self,
        (place, transform): (Place, Option<BoxedOperator>),
        vertex: &Vertex,
        endpoint: &Endpoint,
        metrics: Arc<SubtaskMetrics>,
    ) -> Result<Box<dyn Subtask>> {
        let epoch = self.restored.last_epoch;
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
                    late: LateRows::default(),
                    time_zone: &self.spec.plan.time_zone,
                    reader: Box::new(reader),
                    decoder: None,
                    dead_letters: DeadLetters::Fail,
                    output: self.output(place, vertex, &metrics)?,
                    idle_timeout: self.spec.config.idle_timeout,
                    alignment: None,
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
                    spec,
                    metrics,
                    epoch,
                )))
            }
            _ => {
                let operator =
                    transform.ok_or_else(|| Error::internal("an operator was not made"))?;
                let node = &self.graph.vertices[place.vertex].node;
                let ttl = self.spec.config.state_ttl;
                let expires =
                    (0..node.inputs.len()).any(|input| node.state_ttl_ms(input, ttl).is_some());
                let watermark_ms = self.node(place).and_then(|node| node.watermark_ms);
                let parts = TransformParts {
                    gate: self.gate(place, vertex),
                    operator,
                    output: self.output(place, vertex, &metrics)?,
                    memory: StateMemory {
                        part_bytes: self.memories[place.subtask].snapshot_part_bytes(),
                        expires,
                    },
                    clock: self.environment.clock.clone(),
                    metrics,
                };
                Ok(Box::new(Transform::new(parts, epoch, watermark_ms)?))
            }
        }
    }

    /// What is restored of a vertex.
    fn node(&self, place: Place) -> Option<&Node> {
        let id = self.graph.vertices[place.vertex].node.id.0;
        self.restored.manifest.nodes.get(&id)
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
        let gives_rows = matches!(scan.table.option("connector"), Some("datagen" | "faker"))
            || self
                .environment
                .staged_source(&scan.table, &scan.read)
                .is_some();
        let decoder = (!gives_rows)
            .then(|| {
                // What its records say, whether or not all of it is read.
                let changelog = changelog_mode(&scan.table)?;
                RecordDecoder::new(scan, changelog, self.environment.registry.as_ref())
            })
            .transpose()?;
        let restored = self.node(place);
        Ok(SourceParts {
            table: dotted(&scan.table.name),
            projections: scan.projections.as_deref(),
            watermark: scan.watermark.as_ref(),
            late: scan.late,
            time_zone: &self.spec.plan.time_zone,
            reader: source.reader(self.reader_context(place))?,
            decoder,
            dead_letters: self.dead_letters(place, &scan.table)?,
            output: self.output(place, vertex, &metrics)?,
            idle_timeout: self.spec.config.idle_timeout,
            alignment: self.alignment.as_ref(),
            restored: restored
                .map(|state| state.splits.as_slice())
                .unwrap_or_default(),
            clock: self.environment.clock.clone(),
            metrics,
        })
    }

    /// Where the dead letters of a table go, when it logs them.
    fn error_sink(&self, table: &TableDef) -> Result<Option<ErrorSink>> {
        let handling = ErrorHandling::parse(table)?;
        if handling.mode != Mode::Log {
            return Ok(None);
        }
        let name = ObjectName {
            name: handling.target,
            ..table.name.clone()
        };
        let table = (self.environment.error_tables)(&name)?;
        let columns: Vec<Column> = table
            .columns
            .iter()
            .map(|column| Column {
                name: column.name.clone(),
                ty: column.ty.clone(),
            })
            .collect();
        let sink = self
            .environment
            .sink(&table, &columns, &self.spec.plan.time_zone)?;
        Ok(Some(ErrorSink {
            table,
            columns,
            sink,
        }))
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
        DeadLetters::new(&handling, origin, |_| {
            let error_sink = self
                .error_sinks
                .get(&place.vertex)
                .ok_or_else(|| Error::internal("the error table was not opened"))?;
            let registry = self.environment.registry.as_ref();
            RecordWriter::new(
                &error_sink.table,
                &error_sink.columns,
                ChangelogMode::Append,
                registry,
                self.open_writer(place, &*error_sink.sink)?,
            )
        })
    }

    /// Opens a writer whose first records belong to the epoch after the restored one.
    fn open_writer(&self, place: Place, sink: &dyn Sink) -> Result<Box<dyn SinkWriter>> {
        let mut writer = sink.writer(self.writer_context(place, sink))?;
        writer.begin_epoch(self.restored.last_epoch + 1)?;
        Ok(writer)
    }

    /// The writer of a sink subtask.
    fn writer(&self, place: Place, spec: &SinkSpec, sink: &dyn Sink) -> Result<Writer> {
        let writer = self.open_writer(place, sink)?;
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
    fn operator(&self, place: Place, vertex: &Vertex) -> Result<BoxedOperator> {
        let inputs = vertex.inputs.iter().enumerate().map(|(input, from)| {
            let state = self.state_config(place, input);
            MakingInput {
                types: &self.types[*from],
                node: &self.graph.vertices[*from].node,
                state,
            }
        });
        let making = Making {
            inputs: inputs.collect(),
            time_zone: &self.spec.plan.time_zone,
        };
        let operator = operators::make(&vertex.node.operator, &making)?;
        Ok(match &self.environment.stage {
            Some(stage) if cfg!(debug_assertions) => stage.operator(&vertex.node, operator),
            Some(_) | None => operator,
        })
    }

    /// What the tables of an operator's subtask for one of its inputs are opened with.
    fn state_config(&self, place: Place, input: usize) -> StateConfig {
        let node = &self.graph.vertices[place.vertex].node;
        let spill = self.spill_spaces.get(place.subtask).cloned();
        StateConfig {
            name: format!("node-{}", node.id.0),
            key_groups: KEY_GROUPS_DEFAULT,
            ttl_ms: node.state_ttl_ms(input, self.spec.config.state_ttl),
            spill: spill.map(|space| space as _),
        }
    }

    /// The operators of a vertex between source and sink, one per subtask, with the state that each owns.
    fn transforms(&mut self, index: usize, vertex: &Vertex) -> Result<Vec<BoxedOperator>> {
        if matches!(
            vertex.node.operator,
            Operator::TableSourceScan(_) | Operator::Values { .. } | Operator::Sink(_)
        ) {
            return Ok(Vec::new());
        }
        let places = (0..self.spec.parallelism).map(|subtask| Place {
            vertex: index,
            subtask,
        });
        let mut operators: Vec<BoxedOperator> = places
            .map(|place| self.operator(place, vertex))
            .collect::<Result<_>>()?;
        let id = vertex.node.id.0;
        let mut entries = vec![0_usize; operators.len()];
        let limits: Vec<usize> = self
            .memories
            .iter()
            .zip(&self.loaded_bytes)
            .map(|(memory, loaded_bytes)| memory.cap_bytes().saturating_sub(*loaded_bytes))
            .collect();
        let owner_of = owners(vertex, operators.len());
        let mut load = |key_group: u32, entry: Entry<'_>| -> Result<()> {
            let owner = owner_of(key_group);
            let operator = &mut *operators[owner];
            snapshot::load(operator, key_group, &entry)?;
            entries[owner] += 1;
            if entries[owner].is_multiple_of(LOAD_ENTRIES) {
                keep_within(operator, limits[owner])?;
            }
            Ok(())
        };
        match &mut self.restored.state {
            StateOrigin::Nothing => {}
            StateOrigin::Store(store) => {
                let manifest = &self.restored.manifest;
                store
                    .load(manifest, id, 0..KEY_GROUPS_DEFAULT, &mut load)
                    .map_err(|error| {
                        if self.restored.is_exactly_once {
                            damaged_committed(manifest.epoch, error)
                        } else {
                            error
                        }
                    })?;
            }
            StateOrigin::Operators(before) => {
                let mut handed = Vec::new();
                for mut operator in before.remove(&id).unwrap_or_default() {
                    handed.extend(snapshot::hand_over(&mut *operator));
                    // Tables that are partly on disk.
                    snapshot::export(&mut *operator, &mut |key_group, entry| {
                        load(key_group, *entry)
                    })?;
                }
                for (subtask, operator) in operators.iter_mut().enumerate() {
                    let owns = |key_group| owner_of(key_group) == subtask;
                    for keys in &handed {
                        snapshot::take_over(&mut **operator, keys, &owns)?;
                    }
                    keep_within(&mut **operator, limits[subtask])?;
                }
            }
        }
        for (loaded_bytes, operator) in self.loaded_bytes.iter_mut().zip(&mut operators) {
            *loaded_bytes += snapshot::measure(&mut **operator).bytes;
        }
        Ok(operators)
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
        let kinds = match vertex.node.changelog {
            ChangelogMode::Upsert => SentKinds::WithoutUpdateBefore,
            ChangelogMode::Append | ChangelogMode::Retract => SentKinds::All,
        };
        Ok(Output::new(routes, kinds, metrics.clone()))
    }

    /// What a reader is opened with.
    fn reader_context(&self, place: Place) -> ReaderContext {
        let positions = |node: &Node| -> Vec<SplitPosition> {
            node.splits
                .iter()
                .map(|split| split.position.clone())
                .collect()
        };
        ReaderContext {
            subtask_index: place.subtask,
            parallelism: self.spec.parallelism,
            restored: self.node(place).map(positions),
            waker: self.wakers[place.subtask].clone(),
            clock: self.environment.clock.clone(),
        }
    }

    /// What a writer is opened with.
    fn writer_context(&self, place: Place, sink: &dyn Sink) -> WriterContext {
        WriterContext {
            subtask_index: place.subtask,
            parallelism: self.spec.parallelism,
            statement_uid: self.spec.statement_uid.clone(),
            transactions: sink.transactional().and_then(|_| self.transactions.clone()),
            publishes: self.restored.is_exactly_once && sink.publishes(),
            waker: self.wakers[place.subtask].clone(),
            clock: self.environment.clock.clone(),
        }
    }
}

/// Which subtask of a vertex owns a key group. Rows of a single exchange all go to subtask 0, whatever their key.
fn owners(vertex: &Vertex, subtasks: usize) -> impl Fn(u32) -> usize {
    let mut inputs = vertex.node.inputs.iter();
    let is_single = inputs.any(|input| input.exchange == Exchange::Single);
    move |key_group| {
        if is_single {
            0
        } else {
            subtask_of(key_group, subtasks, KEY_GROUPS_DEFAULT)
        }
    }
}

/// Makes an operator that is being loaded give way when it takes more memory than is left for it.
fn keep_within(operator: &mut dyn crate::operator::Operator, limit_bytes: usize) -> Result<()> {
    let size = snapshot::measure(operator);
    let held = Held {
        bytes: size.bytes,
        state_bytes: size.bytes,
        growth_bytes: size.growth_bytes,
    };
    match relief(&[held], 0, limit_bytes) {
        Some((_, Relief::MakeRoom)) => snapshot::make_room(operator),
        Some((_, Relief::Shrink { limit_bytes })) => snapshot::shrink(operator, limit_bytes),
        None => Ok(()),
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
        _ => None,
    }
}
