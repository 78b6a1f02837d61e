//! Writes a topic.
//!
//! Place in the flow: `task` hands encoded records to the writer of its subtask. Invariant: nothing waits, records of one
//! partition leave in the order in which they came, and a record is forgotten only when its delivery is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use super::channel::{Channel, Tally};
use super::cluster::Cluster;
use super::native::Native;
use super::options::KafkaOptions;
use super::port::{Port, Route, Served};
use super::service::Service;
use super::transaction::KafkaTransactions;
use crate::batch::Batch;
use crate::connector::partitioner::partition_of;
use crate::connector::sink::{
    EncodedBatch, Sink, SinkInput, SinkWriter, TransactionalSystem, Transactions, WriterContext,
};
use crate::error::{Error, Result};

/// A topic to write.
#[derive(Debug, Clone)]
pub struct KafkaSink {
    /// The cluster's name and settings.
    options: KafkaOptions,
    /// The cluster.
    cluster: Arc<dyn Cluster>,
    /// The topic.
    topic: String,
}

impl KafkaSink {
    /// A sink into one topic. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// `Invalid` for a connect time-out that is not a duration.
    pub fn new(options: KafkaOptions, topic: impl Into<String>) -> Result<Self> {
        let cluster = Arc::new(Native::new(options.clone()));
        Self::over(cluster, options, topic)
    }

    /// As [`Self::new`], over any cluster.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn over(
        cluster: Arc<dyn Cluster>,
        options: KafkaOptions,
        topic: impl Into<String>,
    ) -> Result<Self> {
        options.connect_timeout()?;
        Ok(Self {
            options,
            cluster,
            topic: topic.into(),
        })
    }

    /// How a writer's records leave: through a producer of its own, or through those of the statement.
    fn lane(&self, context: &WriterContext, tally: &Arc<Tally>) -> Result<Lane> {
        let Some(transactions) = &context.transactions else {
            let channel = Channel::new(self.cluster.producer(context.waker.clone())?);
            let port = Port::open(&channel, &self.topic, tally, Served::BySlot)?;
            return Ok(Lane::Own(port));
        };
        let transactions = Arc::clone(&transactions.handle)
            .downcast::<KafkaTransactions>()
            .map_err(|_| {
                Error::internal("a Kafka sink was given the transactions of another system")
            })?;
        if transactions.identity() != self.options.identity() {
            return Err(Error::internal(format!(
                "a sink into {} was given the transactions of {}",
                self.options.identity(),
                transactions.identity()
            )));
        }
        Ok(Lane::Shared(SharedLane {
            ports: Vec::new(),
            current: None,
            service: None,
            transactions,
        }))
    }
}

impl Sink for KafkaSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let partitions = self.cluster.partitions(&self.topic, &context.clock)?;
        let place = format!("topic \"{}\" at {}", self.topic, self.options.bootstrap);
        let tally = Tally::new(place, context.waker.clone());
        Ok(Box::new(Writer {
            lane: self.lane(&context, &tally)?,
            topic: self.topic.clone(),
            tally,
            partitions,
            next_partition: u32::try_from(context.subtask_index).unwrap_or(0) % partitions,
            backlog: None,
            pushed: false,
        }))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Records
    }

    /// The transactions of the cluster. The epoch record lives beside partition 0 of the topic of the sink whose `open` is called,
    /// so the deployer calls that of the first sink of the plan, at every start. Its producer properties are those of all sinks.
    fn transactional(&self) -> Option<TransactionalSystem> {
        let sink = self.clone();
        Some(TransactionalSystem {
            identity: self.options.identity(),
            open: Arc::new(move |owner| {
                let transactions = Arc::new(KafkaTransactions::open(
                    &sink.cluster,
                    &sink.options,
                    &sink.topic,
                    owner,
                )?);
                Ok(Transactions {
                    committer: Arc::clone(&transactions) as _,
                    handle: transactions,
                })
            }),
        })
    }
}

/// What is left of a batch.
#[derive(Debug)]
struct Backlog {
    /// The batch.
    records: EncodedBatch,
    /// Every record's place, sorted.
    routes: Vec<Route>,
    /// The first place whose record was not taken yet.
    next: usize,
}

/// How records leave.
#[derive(Debug)]
enum Lane {
    /// Through a producer of the writer's own, at least once.
    Own(Port),
    /// Through the producers of the statement, in its transactions.
    Shared(SharedLane),
}

/// A writer's ways into the producers of its statement.
#[derive(Debug)]
struct SharedLane {
    /// Of even epochs, of odd epochs; none before the first epoch.
    ports: Vec<Port>,
    /// Which of them the present epoch uses.
    current: Option<usize>,
    /// What serves them, released after them.
    service: Option<Arc<Service>>,
    /// The statement's transactions.
    transactions: Arc<KafkaTransactions>,
}

impl SharedLane {
    /// Turns to the producer of an epoch whose transaction is open.
    fn begin(&mut self, epoch: u64, topic: &str, tally: &Arc<Tally>) -> Result<()> {
        let (service, index) = self.transactions.opened(epoch)?;
        let known = self
            .service
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &service));
        if !known {
            self.ports = service
                .channels()
                .iter()
                .map(|channel| Port::open(channel, topic, tally, Served::ByThread))
                .collect::<Result<_>>()?;
            self.service = Some(service);
        }
        self.current = Some(index);
        Ok(())
    }
}

impl Lane {
    /// Where records go now.
    fn port(&mut self) -> Result<&mut Port> {
        match self {
            Self::Own(port) => Ok(port),
            Self::Shared(lane) => lane
                .current
                .and_then(|index| lane.ports.get_mut(index))
                .ok_or_else(|| Error::internal("a Kafka writer writes before its first epoch")),
        }
    }

    /// Has what lingers sent.
    fn push(&self) {
        match self {
            // A slot may not wait for librdkafka's threads to hear of it: what lingers leaves with its linger at the latest.
            Self::Own(port) => port.channel().producer().push(Duration::ZERO),
            Self::Shared(lane) => {
                if let Some(service) = &lane.service {
                    service.push();
                }
            }
        }
    }
}

/// Writes for one subtask.
#[derive(Debug)]
struct Writer {
    /// How records leave.
    lane: Lane,
    /// The topic.
    topic: String,
    /// What is outstanding.
    tally: Arc<Tally>,
    /// Partitions of the topic when the writer was opened.
    partitions: u32,
    /// Where the next unkeyed records go.
    next_partition: u32,
    /// The rest of a batch that did not fit into librdkafka's queue: at most one batch, since none is taken meanwhile.
    backlog: Option<Backlog>,
    /// Whether librdkafka was asked to send what lingers since the last write.
    pushed: bool,
}

impl Writer {
    /// Counts deliveries and notes failures, where no thread does.
    fn serve_events(&mut self) {
        match &self.lane {
            Lane::Own(port) => port.channel().serve(),
            Lane::Shared(_) => {}
        }
    }

    /// The failure, if there is one.
    fn check(&self) -> Result<()> {
        self.tally.failure().map_or(Ok(()), Err)
    }

    /// Chooses a partition for each record: keyed ones by Kafka's own hash, the others of a batch together.
    fn route(&mut self, records: &EncodedBatch) -> Vec<Route> {
        let unkeyed = self.next_partition;
        self.next_partition = (self.next_partition + 1) % self.partitions;
        let mut routes: Vec<Route> = (0..records.rows())
            .map(|row| {
                let partition = match records.routed_by(row) {
                    Some(bytes) => partition_of(bytes, self.partitions),
                    None => unkeyed,
                };
                (i32::try_from(partition).unwrap_or(0), row)
            })
            .collect();
        routes.sort_unstable();
        routes
    }

    /// Hands records over and keeps those for which there is no room.
    fn send(&mut self, mut backlog: Backlog) -> Result<()> {
        let sent = self
            .lane
            .port()?
            .send(&backlog.records, &backlog.routes, backlog.next);
        backlog.next = sent.inspect_err(|error| self.tally.fail(error.clone()))?;
        if backlog.next < backlog.routes.len() {
            self.backlog = Some(backlog);
        }
        Ok(())
    }

    /// Sends what was kept, as far as there is room.
    fn send_backlog(&mut self) -> Result<()> {
        match self.backlog.take() {
            Some(backlog) => self.send(backlog),
            None => Ok(()),
        }
    }
}

impl SinkWriter for Writer {
    fn write_rows(&mut self, _batch: &Batch) -> Result<()> {
        Err(Error::internal("a Kafka writer takes encoded records"))
    }

    fn write_records(&mut self, records: &EncodedBatch) -> Result<()> {
        self.serve_events();
        self.check()?;
        self.send_backlog()?;
        if self.backlog.is_some() {
            return Err(Error::internal(
                "a Kafka writer was given a batch while it was not ready",
            ));
        }
        self.pushed = false;
        self.tally.want_more();
        let routes = self.route(records);
        let next = self.lane.port()?.send(records, &routes, 0);
        let next = next.inspect_err(|error| self.tally.fail(error.clone()))?;
        if next < routes.len() {
            self.backlog = Some(Backlog {
                records: records.clone(),
                routes,
                next,
            });
        }
        Ok(())
    }

    fn ready(&mut self) -> bool {
        self.serve_events();
        let failed = self.tally.failure().is_some();
        // A failed writer is ready, so that the next call tells the failure.
        failed || self.send_backlog().is_err() || self.backlog.is_none()
    }

    fn begin_epoch(&mut self, epoch: u64) -> Result<()> {
        let Lane::Shared(lane) = &mut self.lane else {
            return Ok(());
        };
        // Records of one key would otherwise leave through both producers at once, and change places.
        if self.backlog.is_some() || self.tally.outstanding() > 0 {
            return Err(Error::internal(format!(
                "{}: epoch {epoch} begins while {} records of the epoch before are not acknowledged",
                self.tally.place(),
                self.tally.outstanding()
            )));
        }
        lane.begin(epoch, &self.topic, &self.tally)
    }

    fn flush(&mut self) -> Result<bool> {
        self.serve_events();
        self.check()?;
        self.send_backlog()?;
        if self.backlog.is_some() {
            return Ok(false);
        }
        if self.tally.is_zero() {
            // The last record may have failed just now; its failure was noted before it was counted off.
            self.check()?;
            return Ok(true);
        }
        if !self.pushed {
            self.pushed = true;
            self.lane.push();
        }
        Ok(false)
    }
}
