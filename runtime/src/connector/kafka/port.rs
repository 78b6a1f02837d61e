//! One writer's way into a topic of one producer.
//!
//! Place in the flow: [`super::sink`] routes records to partitions and hands them to a [`Port`], which counts them. Invariant:
//! records of one partition leave in the order in which they came, and nothing is offered that is not counted before.

use std::ffi::CString;
use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::channel::{Channel, Tally};
use super::cluster::Outlet;
use super::ffi::{Accepted, Extras, OFFER_MAX, Outgoing};
use crate::connector::sink::EncodedBatch;
use crate::error::{Error, Result};

/// A record's place: its partition, then its row. Sorted, the records of a partition stand together and keep their order.
pub(crate) type Route = (i32, usize);

/// Who serves the events of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// The writer's slot, which the channel's queue wakes.
    BySlot,
    /// A thread, which wakes the slot when it must be.
    ByThread,
}

/// Sends a writer's records through one channel.
#[derive(Debug)]
pub(super) struct Port {
    /// The topic in the channel's producer.
    outlet: Box<dyn Outlet>,
    /// What the writer's records are marked with.
    mark: usize,
    /// The writer's tally.
    tally: Arc<Tally>,
    /// Who serves the channel.
    served: Served,
    /// The channel.
    channel: Arc<Channel>,
}

impl Port {
    /// Opens a topic in a channel.
    ///
    /// # Errors
    /// `Invalid` when the topic has a name that cannot be.
    pub(super) fn open(
        channel: &Arc<Channel>,
        topic: &str,
        tally: &Arc<Tally>,
        served: Served,
    ) -> Result<Self> {
        let mark = channel.add(Arc::clone(tally));
        let outlet = Arc::clone(channel.producer())
            .outlet(topic, mark)
            .inspect_err(|_| channel.remove(mark))?;
        Ok(Self {
            outlet,
            mark,
            tally: Arc::clone(tally),
            served,
            channel: Arc::clone(channel),
        })
    }

    /// The channel.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Hands records to librdkafka from one place on. Returns the first place that it has no room for.
    ///
    /// # Errors
    /// Why a record was refused for good.
    pub(super) fn send(
        &mut self,
        records: &EncodedBatch,
        routes: &[Route],
        from: usize,
    ) -> Result<usize> {
        let mut next = from;
        // A slot that serves its own channel is woken by its queue and need not ask.
        let mut asked = self.served == Served::BySlot;
        while next < routes.len() {
            let accepted = self.offer(records, &routes[next..])?;
            next += accepted.count;
            match accepted.refused {
                None => {}
                Some(Code::QueueFull) if asked => break,
                Some(Code::QueueFull) => {
                    self.tally.want_room();
                    asked = true;
                }
                Some(code) => {
                    let doing = format!("partition {}: record not taken", routes[next].0);
                    return Err(self.channel.error(code, self.tally.place(), &doing));
                }
            }
        }
        Ok(next)
    }

    /// Offers the records of the first place's partition, as many as one call takes.
    fn offer(&mut self, records: &EncodedBatch, routes: &[Route]) -> Result<Accepted> {
        let (partition, row) = routes[0];
        let plain = records.timestamps_ms.is_empty()
            && records.ops.is_empty()
            && records.headers.is_empty();
        let offered = if plain { OFFER_MAX } else { 1 };
        // Counted before librdkafka has them, since they may be acknowledged before the call returns.
        self.tally.add(offered);
        let accepted = if plain {
            let count = routes.partition_point(|route| route.0 == partition);
            let routes = &routes[..count.min(OFFER_MAX)];
            self.outlet.produce(partition, records, routes)?
        } else {
            let extras = extras(records, row).map_err(|error| {
                self.tally.take(1);
                error.context(self.tally.place())
            })?;
            let refused = self.outlet.produce_with(routes[0], records, &extras).err();
            Accepted {
                count: usize::from(refused.is_none()),
                refused,
            }
        };
        self.tally.take((offered - accepted.count) as u64);
        Ok(accepted)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.channel.remove(self.mark);
    }
}

/// A record of a batch.
pub(super) fn outgoing(records: &EncodedBatch, row: usize) -> Outgoing<'_> {
    Outgoing {
        key: records.keys[row].map(|key| key.of(&records.buffer)),
        value: records.values[row].map(|value| value.of(&records.buffer)),
    }
}

/// Timestamp and headers of a record.
///
/// # Errors
/// `Data` for a timestamp that Kafka cannot store: librdkafka takes 0 as "now", and Kafka has none before 1970; and for the name of a
/// header that librdkafka cannot take.
fn extras(records: &EncodedBatch, row: usize) -> Result<Extras<'_>> {
    let timestamp_ms = records.timestamps_ms.get(row).copied();
    if let Some(timestamp_ms) = timestamp_ms
        && timestamp_ms <= 0
    {
        return Err(Error::arithmetic(format!(
            "a record's timestamp of {timestamp_ms} ms since 1970 cannot be written, it must be above 0"
        )));
    }
    let own = records.headers.get(row).into_iter().flatten();
    let headers = own.map(|(name, value)| {
        let name = CString::new(name.of(&records.buffer)).map_err(|_| {
            Error::arithmetic("the name of a header with a zero byte cannot be written")
        })?;
        Ok((name, value.of(&records.buffer)))
    });
    Ok(Extras {
        timestamp_ms,
        op: records.ops.get(row).copied().filter(|op| *op != 0),
        headers: headers.collect::<Result<_>>()?,
    })
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
        assert_eq!(
            extras(&records, 0).unwrap().op,
            None,
            "inserts have no header"
        );
        let extras = extras(&records, 2).unwrap();
        assert_eq!((extras.timestamp_ms, extras.op), (None, Some(2)));
    }
}
