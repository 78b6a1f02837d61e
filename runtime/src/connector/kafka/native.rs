//! A cluster through librdkafka.
//!
//! Place in the flow: implements [`super::cluster`] for everything but tests. Invariant: it translates and waits, and decides nothing.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{self, BrokerLimits};
use super::client::{self, Context, REQUEST_TIMEOUT};
use super::cluster::{Cluster, Outlet, Producer, RECORD_PARTITION, Session, TransactionIds};
use super::ffi::{self, Accepted, Event, Extras, Refusal};
use super::options::{KafkaOptions, Role};
use super::port::{Route, outgoing};
use super::service::{PRODUCERS, Rounds};
use super::verdict::refusal_of;
use crate::connector::sink::EncodedBatch;
use crate::error::{Error, Result};
use crate::task::Waker;
use crate::time::SharedClock;

/// Shortest and longest transaction time-out of librdkafka.
const TIMEOUT_MS: std::ops::RangeInclusive<u128> = 1_000..=i32::MAX as u128;

/// The name of the thread that makes rounds, as far as the operating system shows it.
const THREAD_NAME: &str = "weir-kafka-acks";

/// A cluster through librdkafka.
#[derive(Debug, Clone)]
pub(super) struct Native {
    /// Address and properties.
    options: KafkaOptions,
}

impl Native {
    /// A cluster of which nothing is asked yet.
    pub(super) fn new(options: KafkaOptions) -> Self {
        Self { options }
    }
}

impl Cluster for Native {
    fn partitions(&self, topic: &str, clock: &SharedClock) -> Result<u32> {
        // A producer would create a missing topic when it asks for it, so another client asks.
        let control = client::control(&self.options)?;
        client::connect(&control, &self.options, topic, clock)
    }

    fn producer(&self, waker: Waker) -> Result<Arc<dyn Producer>> {
        let handle = client::create(&self.options, Role::Producer)?;
        Ok(Arc::new(NativeProducer {
            producer: Arc::new(ffi::Producer::new(handle, waker)?),
            record: None,
        }))
    }

    fn open(&self, ids: TransactionIds, clock: &SharedClock) -> Result<Box<dyn Session>> {
        let control: BaseConsumer<Context> =
            client::create_with(&self.options, Role::Record, &[("group.id", &ids.group)])?;
        client::connect(&control, &self.options, &ids.topic, clock)?;
        Ok(Box::new(NativeSession {
            options: self.options.clone(),
            record: Arc::new(Record { ids, control }),
        }))
    }

    fn attend(&self, mut rounds: Rounds) -> Result<Option<JoinHandle<()>>> {
        thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || {
                while let Some(wait) = rounds.round() {
                    rounds.waker().park(wait.limit);
                }
            })
            .map(Some)
            .map_err(|error| Error::unavailable(format!("no thread for kafka: {error}")))
    }

    fn pause(&self, time: Duration) {
        thread::park_timeout(time);
    }

    fn pause_part_of(&self, time: Duration) {
        thread::park_timeout(part_of(time));
    }
}

/// A random part of a time.
fn part_of(time: Duration) -> Duration {
    let random = u32::from_le_bytes(
        uuid::Uuid::new_v4().into_bytes()[..4]
            .try_into()
            .unwrap_or_default(),
    );
    time.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Where the epoch record lives.
struct Record {
    /// The names of the statement's transactions.
    ids: TransactionIds,
    /// Reads it.
    control: BaseConsumer<Context>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}

impl Record {
    /// A list of the record's group offset.
    fn offset(&self, epoch: u64, metadata: &str) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(1);
        // The number is for people who list the group; only the metadata counts.
        let offset = Offset::Offset(i64::try_from(epoch).unwrap_or(i64::MAX));
        list.add_partition_offset(&self.ids.topic, RECORD_PARTITION, offset)?;
        if let Some(mut entry) = list.find_partition(&self.ids.topic, RECORD_PARTITION) {
            entry.set_metadata(metadata);
        }
        Ok(list)
    }

    /// Adds the record to the open transaction of a producer.
    fn send(
        &self,
        producer: &BaseProducer<Context>,
        offset: &TopicPartitionList,
        limit: Duration,
    ) -> KafkaResult<()> {
        let group = self.control.group_metadata().ok_or_else(|| {
            KafkaError::ClientCreation("the control consumer has no group".into())
        })?;
        producer.send_offsets_to_transaction(offset, &group, limit)
    }
}

/// What the transactions of a statement are made with.
#[derive(Debug)]
struct NativeSession {
    /// The cluster.
    options: KafkaOptions,
    /// Where the epoch record lives.
    record: Arc<Record>,
}

impl Session for NativeSession {
    fn limits(&self) -> BrokerLimits {
        admin::broker_limits(&self.options, &self.record.ids.topic)
    }

    /// Makes both producers and connects them: librdkafka looks for a coordinator at once when it knows a broker, and every 500 ms
    /// when it does not.
    fn producers(&self, waker: &Waker) -> Result<[Arc<dyn Producer>; PRODUCERS]> {
        let ids = &self.record.ids;
        let timeout_ms = ids
            .timeout
            .as_millis()
            .clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end())
            .to_string();
        let producer = |index: usize| -> Result<NativeProducer> {
            let id = format!("{}_{index}", ids.group);
            let forced = [
                ("transactional.id", id.as_str()),
                ("transaction.timeout.ms", &timeout_ms),
            ];
            let handle: BaseProducer<Context> =
                client::create_with(&self.options, Role::Producer, &forced)?;
            Ok(NativeProducer {
                producer: Arc::new(ffi::Producer::new(handle, waker.clone())?),
                record: Some(Arc::clone(&self.record)),
            })
        };
        let producers = [producer(0)?, producer(1)?];
        for producer in &producers {
            // Whatever this says, initialising waits for a broker and says it better.
            drop(
                producer
                    .client()
                    .client()
                    .fetch_metadata(Some(&ids.topic), REQUEST_TIMEOUT),
            );
        }
        Ok(producers.map(|producer| Arc::new(producer) as _))
    }

    fn committed(&self, place: &str, clock: &SharedClock) -> Result<Option<Vec<u8>>> {
        let Record { ids, control } = &*self.record;
        let ask = || {
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition(&ids.topic, RECORD_PARTITION);
            control
                .committed_offsets(list, REQUEST_TIMEOUT)
                .and_then(|list| {
                    list.elements()
                        .iter()
                        .try_for_each(TopicPartitionListElem::error)?;
                    Ok(list)
                })
                .map_err(|error| client::broker_error(&error, place))
        };
        let list = client::patiently(control, &self.options, &ids.topic, clock, ask)?;
        let known = list
            .elements()
            .first()
            .is_some_and(|element| matches!(element.offset(), Offset::Offset(_)));
        Ok(ffi::first_metadata(&list).filter(|_| known))
    }
}

/// A librdkafka producer.
#[derive(Debug)]
struct NativeProducer {
    /// The producer.
    producer: Arc<ffi::Producer>,
    /// Where the epoch record lives; absent without transactions.
    record: Option<Arc<Record>>,
}

impl NativeProducer {
    /// The safe client.
    fn client(&self) -> &BaseProducer<Context> {
        self.producer.client()
    }
}

impl Producer for NativeProducer {
    fn outlet(self: Arc<Self>, topic: &str, mark: usize) -> Result<Box<dyn Outlet>> {
        let outlet = ffi::Outlet::new(Arc::clone(&self.producer), topic, mark)?;
        Ok(Box::new(outlet))
    }

    fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        self.producer.serve(max, visit);
    }

    fn push(&self, patience: Duration) {
        self.producer.push(patience);
    }

    fn fatal_error(&self) -> Option<(Code, String)> {
        self.client().client().fatal_error()
    }

    fn init_transactions(&self, limit: Duration) -> Result<(), Refusal> {
        self.client()
            .init_transactions(limit)
            .map_err(|error| refusal_of(&error))
    }

    fn begin_transaction(&self) -> Result<(), Refusal> {
        self.client()
            .begin_transaction()
            .map_err(|error| refusal_of(&error))
    }

    fn send_record(&self, epoch: u64, metadata: &str, limit: Duration) -> Result<(), Refusal> {
        let missing =
            || KafkaError::ClientCreation("a producer without transactions has no record".into());
        let send = || {
            let record = self.record.as_ref().ok_or_else(missing)?;
            record.send(self.client(), &record.offset(epoch, metadata)?, limit)
        };
        send().map_err(|error| refusal_of(&error))
    }

    fn commit_transaction(&self, limit: Duration) -> Result<(), Refusal> {
        self.producer.commit(limit)
    }

    fn abort_transaction(&self, limit: Duration) -> Result<(), Refusal> {
        self.client()
            .abort_transaction(limit)
            .map_err(|error| refusal_of(&error))
    }
}

impl Outlet for ffi::Outlet {
    fn produce(
        &mut self,
        partition: i32,
        records: &EncodedBatch,
        routes: &[Route],
    ) -> Result<Accepted> {
        let rows = routes.iter().map(|(_, row)| outgoing(records, *row));
        Self::produce(self, partition, rows)
    }

    fn produce_with(
        &mut self,
        (partition, row): Route,
        records: &EncodedBatch,
        extras: &Extras<'_>,
    ) -> Result<(), Code> {
        Self::produce_with(self, partition, outgoing(records, row), extras)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second: any time will do.
    const TIME: Duration = Duration::from_secs(1);

    #[test]
    fn twins_do_not_wait_alike() {
        let parts: Vec<_> = (0..20).map(|_| part_of(TIME)).collect();
        assert!(parts.iter().all(|part| *part <= TIME));
        assert!(parts.iter().any(|part| *part != parts[0]));
    }
}
