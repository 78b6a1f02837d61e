//! Writes a topic.
//!
//! Place in the flow: `task` hands encoded records to the writer of its subtask. Invariant: nothing waits, records of one
//! partition leave in the order in which they came, and a record is forgotten only when its delivery is acknowledged.

use rdkafka::types::RDKafkaErrorCode as Code;

use super::client;
use super::ffi::{Accepted, Event, Extras, Outgoing, Producer};
use super::options::{KafkaOptions, Role};
use crate::batch::Batch;
use crate::connector::partitioner::partition_of;
use crate::connector::sink::{EncodedBatch, Sink, SinkInput, SinkWriter, WriterContext};
use crate::error::{Error, Result};

/// Events served per call: above the records that may be outstanding, so that no delivery report is left behind without a
/// wake-up.
const EVENTS_MAX: usize = 100_000;

/// A topic to write.
#[derive(Debug, Clone)]
pub struct KafkaSink {
    /// The cluster.
    options: KafkaOptions,
    /// The topic.
    topic: String,
}

impl KafkaSink {
    /// A sink into one topic. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// `Invalid` for a connect time-out that is not a duration.
    pub fn new(options: KafkaOptions, topic: impl Into<String>) -> Result<Self> {
        options.connect_timeout()?;
        Ok(Self {
            options,
            topic: topic.into(),
        })
    }
}

impl Sink for KafkaSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        // A producer would create a missing topic when it asks for it, so another client asks.
        let control = client::control(&self.options)?;
        let partitions = client::connect(&control, &self.options, &self.topic, &context.clock)?;
        drop(control);
        let handle = client::create(&self.options, Role::Producer)?;
        Ok(Box::new(Writer {
            producer: Producer::new(handle, &self.topic, context.waker)?,
            place: format!("topic \"{}\" at {}", self.topic, self.options.bootstrap),
            partitions,
            next_partition: u32::try_from(context.subtask_index).unwrap_or(0) % partitions,
            backlog: None,
            outstanding: 0,
            flushing: false,
            failure: None,
        }))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Records
    }
}

/// A record's place: its partition, then its row. Sorted, the records of a partition stand together and keep their order.
type Route = (i32, usize);

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

/// Writes for one subtask. Whether records belong to a transaction is the producer's matter and not seen here.
#[derive(Debug)]
struct Writer {
    /// The client.
    producer: Producer,
    /// Topic and address, for messages.
    place: String,
    /// Partitions of the topic when the writer was opened.
    partitions: u32,
    /// Where the next unkeyed records go.
    next_partition: u32,
    /// The rest of a batch that did not fit into librdkafka's queue: at most one batch, since none is taken meanwhile.
    backlog: Option<Backlog>,
    /// Records taken by librdkafka and not acknowledged.
    outstanding: u64,
    /// Whether librdkafka was asked to send what lingers since the last write.
    flushing: bool,
    /// Why the statement must fail.
    failure: Option<Error>,
}

impl Writer {
    /// Counts deliveries and notes failures.
    fn serve_events(&mut self) {
        let (outstanding, failure, place) = (&mut self.outstanding, &mut self.failure, &self.place);
        self.producer.serve(EVENTS_MAX, &mut |event| match event {
            Event::Delivered { count } => *outstanding = outstanding.saturating_sub(count),
            Event::DeliveryFailed { partition, code } => {
                *outstanding = outstanding.saturating_sub(1);
                failure.get_or_insert_with(|| {
                    client::refusal(
                        code,
                        &format!("{place} partition {partition}: record not delivered"),
                    )
                });
            }
            Event::Failed {
                code,
                fatal: true,
                reason,
            } => {
                failure.get_or_insert_with(|| client::refusal(code, &format!("{place}: {reason}")));
            }
            Event::Failed { reason, .. } => tracing::debug!(place, reason, "kafka producer"),
            Event::Log { level, text } => client::log_line(level, text),
        });
    }

    /// The failure, if there is one.
    fn check(&self) -> Result<()> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Chooses a partition for each record: keyed ones by Kafka's own hash, the others of a batch together.
    fn route(&mut self, records: &EncodedBatch) -> Vec<Route> {
        let unkeyed = self.next_partition;
        self.next_partition = (self.next_partition + 1) % self.partitions;
        let mut routes: Vec<Route> = records
            .keys
            .iter()
            .map(|key| match key {
                Some(key) => partition_of(key.of(&records.buffer), self.partitions),
                None => unkeyed,
            })
            .enumerate()
            .map(|(row, partition)| (i32::try_from(partition).unwrap_or(0), row))
            .collect();
        routes.sort_unstable();
        routes
    }

    /// Hands records to librdkafka from one place on. Returns the first place that it has no room for.
    fn send(&mut self, records: &EncodedBatch, routes: &[Route], from: usize) -> Result<usize> {
        let plain = records.timestamps_ms.is_empty() && records.ops.is_empty();
        let mut next = from;
        while let Some((partition, row)) = routes.get(next).copied() {
            let accepted = if plain {
                let rows = routes[next..]
                    .iter()
                    .take_while(|route| route.0 == partition)
                    .map(|(_, row)| outgoing(records, *row));
                self.producer.produce(partition, rows)?
            } else {
                self.send_one(records, partition, row)?
            };
            next += accepted.count;
            self.outstanding += accepted.count as u64;
            match accepted.refused {
                None => {}
                Some(Code::QueueFull) => break,
                Some(code) => {
                    let error = client::refusal(
                        code,
                        &format!("{} partition {partition}: record not taken", self.place),
                    );
                    self.failure = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(next)
    }

    /// Hands over one record that has a timestamp or a header.
    fn send_one(&mut self, records: &EncodedBatch, partition: i32, row: usize) -> Result<Accepted> {
        let extras = extras(records, row).map_err(|error| error.context(&self.place))?;
        let record = outgoing(records, row);
        let refused = self.producer.produce_with(partition, record, extras).err();
        Ok(Accepted {
            count: usize::from(refused.is_none()),
            refused,
        })
    }

    /// Sends what was kept, as far as there is room.
    fn send_backlog(&mut self) -> Result<()> {
        if let Some(mut backlog) = self.backlog.take() {
            backlog.next = self.send(&backlog.records, &backlog.routes, backlog.next)?;
            if backlog.next < backlog.routes.len() {
                self.backlog = Some(backlog);
            }
        }
        Ok(())
    }
}

/// A record of a batch.
fn outgoing(records: &EncodedBatch, row: usize) -> Outgoing<'_> {
    Outgoing {
        key: records.keys[row].map(|key| key.of(&records.buffer)),
        value: records.values[row].map(|value| value.of(&records.buffer)),
    }
}

/// Timestamp and header of a record.
///
/// # Errors
/// `Data` for a timestamp that Kafka cannot store: librdkafka takes 0 as "now", and Kafka has none before 1970.
fn extras(records: &EncodedBatch, row: usize) -> Result<Extras> {
    let timestamp_ms = records.timestamps_ms.get(row).copied();
    if let Some(timestamp_ms) = timestamp_ms
        && timestamp_ms <= 0
    {
        return Err(Error::arithmetic(format!(
            "a record's timestamp of {timestamp_ms} ms since 1970 cannot be written, it must be above 0"
        )));
    }
    Ok(Extras {
        timestamp_ms,
        op: records.ops.get(row).copied(),
    })
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
        self.flushing = false;
        let routes = self.route(records);
        let next = self.send(records, &routes, 0)?;
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
        if self.failure.is_none()
            && let Err(error) = self.send_backlog()
        {
            self.failure = Some(error);
        }
        // A failed writer is ready, so that the next call tells the failure.
        self.backlog.is_none() || self.failure.is_some()
    }

    fn flush(&mut self) -> Result<bool> {
        self.serve_events();
        self.check()?;
        self.send_backlog()?;
        if self.backlog.is_none() && self.outstanding == 0 {
            return Ok(true);
        }
        if self.backlog.is_none() && !self.flushing {
            self.flushing = true;
            self.producer.kick();
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::source::Range;
    use crate::error::Kind;

    #[test]
    fn timestamps_that_kafka_cannot_store_are_refused() {
        let mut records = EncodedBatch {
            values: vec![None::<Range>; 3],
            keys: vec![None; 3],
            timestamps_ms: vec![1, 0, -5],
            ..EncodedBatch::default()
        };
        assert_eq!(extras(&records, 0).unwrap().timestamp_ms, Some(1));
        for row in 1..3 {
            assert_eq!(extras(&records, row).unwrap_err().kind, Kind::Data);
        }
        records.timestamps_ms.clear();
        records.ops = vec![0, 1, 2];
        let extras = extras(&records, 2).unwrap();
        assert_eq!((extras.timestamp_ms, extras.op), (None, Some(2)));
    }
}
