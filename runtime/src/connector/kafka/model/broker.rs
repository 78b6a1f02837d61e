//! What the brokers of a cluster keep: partitions, transactional ids, group offsets.
//!
//! Place in the flow: below the model's clients. Invariant: each call is one step of one broker; what a real cluster does later by
//! itself (markers, time-outs, retention) are calls of their own.
//!
//! # Source
//! Apache Kafka 4.3, `TransactionCoordinator`, `ProducerStateManager` and `GroupMetadataManager`; transactions of version 1, which is
//! what librdkafka 2.12 speaks, with the verification of KIP-890 that keeps late records out of ended transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

/// A partition of a topic.
pub(crate) type TopicPartition = (String, i32);

/// A producer as brokers know it: its id and its epoch.
pub(crate) type Identity = (i64, i16);

/// A record that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Key; absent is null.
    pub(crate) key: Option<Vec<u8>>,
    /// Value; absent is null.
    pub(crate) value: Option<Vec<u8>>,
}

/// What has an offset.
#[derive(Debug)]
enum Entry {
    /// A record, in a transaction of a producer or in none.
    Record(Option<i64>, Stored),
    /// The end of a producer's transaction.
    Marker {
        /// Whose.
        producer: i64,
        /// Whether it is committed.
        is_commit: bool,
    },
}

/// One partition.
#[derive(Debug, Default)]
struct Partition {
    /// Records and markers by offset.
    log: Vec<Entry>,
    /// First offset of each open transaction, by producer.
    open: BTreeMap<i64, usize>,
    /// Epoch and next sequence number of each producer.
    producers: BTreeMap<i64, (i16, u64)>,
}

/// What a transaction is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// None was begun.
    Empty,
    /// It is open.
    Ongoing,
    /// Its end is decided and not everywhere known.
    Prepared {
        /// How it ends.
        is_commit: bool,
    },
    /// It has ended.
    Complete {
        /// How it ended.
        is_commit: bool,
    },
}

/// A transactional id.
#[derive(Debug)]
struct Transactional {
    /// Its producer.
    identity: Identity,
    /// How long a transaction may stay open.
    timeout: Duration,
    /// What its transaction is doing.
    status: Status,
    /// When the open transaction began.
    began_at: Duration,
    /// Partitions of the transaction that know no end of it yet.
    partitions: BTreeSet<TopicPartition>,
    /// Groups of the transaction.
    groups: BTreeSet<String>,
}

/// A committed group offset.
#[derive(Debug, Clone)]
struct GroupOffset {
    /// The text beside it.
    metadata: String,
    /// When it was committed.
    committed_at: Duration,
}

/// The brokers of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    /// Topics.
    topics: BTreeMap<String, Vec<Partition>>,
    /// Transactional ids.
    transactional: BTreeMap<String, Transactional>,
    /// Offsets by group and partition.
    offsets: BTreeMap<(String, TopicPartition), GroupOffset>,
    /// Offsets of transactions that have not ended, by group, partition and producer.
    pending: BTreeMap<(String, TopicPartition, i64), String>,
    /// Producers made.
    producer_count: i64,
    /// Transactions that were open for too long.
    timed_out_count: u64,
}

impl Brokers {
    /// Makes an empty topic; one of that name stays.
    pub(crate) fn create_topic(&mut self, name: &str, partitions: usize) {
        self.topics
            .entry(name.to_owned())
            .or_insert_with(|| (0..partitions).map(|_| Partition::default()).collect());
    }

    /// Partitions of a topic.
    pub(crate) fn partitions(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(Vec::len)
    }

    /// Writes a record outside of transactions.
    pub(crate) fn append(&mut self, topic: &str, partition: i32, record: Stored) {
        if let Some(partition) = self.partition(&(topic.to_owned(), partition)) {
            partition.log.push(Entry::Record(None, record));
        }
    }

    /// A partition.
    fn partition(&mut self, (topic, partition): &TopicPartition) -> Option<&mut Partition> {
        let index = usize::try_from(*partition).ok()?;
        self.topics.get_mut(topic)?.get_mut(index)
    }

    /// Takes a transactional id over.
    ///
    /// # Errors
    /// `ConcurrentTransactions` while an earlier transaction is being ended, which this sees to.
    pub(crate) fn init(&mut self, id: &str, timeout: Duration) -> Result<Identity, Code> {
        let Some(known) = self.transactional.get_mut(id) else {
            self.producer_count += 1;
            let identity = (self.producer_count, 0);
            let new = Transactional {
                identity,
                timeout,
                status: Status::Empty,
                began_at: Duration::ZERO,
                partitions: BTreeSet::new(),
                groups: BTreeSet::new(),
            };
            self.transactional.insert(id.to_owned(), new);
            return Ok(identity);
        };
        match known.status {
            Status::Ongoing => {
                known.abandon();
                Err(Code::ConcurrentTransactions)
            }
            Status::Prepared { .. } => Err(Code::ConcurrentTransactions),
            Status::Empty | Status::Complete { .. } => {
                known.identity.1 += 1;
                known.timeout = timeout;
                known.status = Status::Empty;
                Ok(known.identity)
            }
        }
    }

    /// The transactional id, if the producer is the present one.
    fn present(&mut self, id: &str, identity: Identity) -> Result<&mut Transactional, Code> {
        let known = self.transactional.get_mut(id);
        let known = known.ok_or(Code::InvalidProducerIdMapping)?;
        if known.identity == identity {
            Ok(known)
        } else {
            Err(Code::ProducerFenced)
        }
    }

    /// Whether a producer is the present one of its id.
    ///
    /// # Errors
    /// `ProducerFenced` when it is not.
    pub(crate) fn check(&mut self, id: &str, identity: Identity) -> Result<(), Code> {
        self.present(id, identity).map(drop)
    }

    /// Makes a transaction known that something is about to be added to.
    fn join(
        &mut self,
        id: &str,
        identity: Identity,
        now: Duration,
    ) -> Result<&mut Transactional, Code> {
        let known = self.present(id, identity)?;
        match known.status {
            Status::Ongoing => {}
            Status::Prepared { .. } => return Err(Code::ConcurrentTransactions),
            Status::Empty | Status::Complete { .. } => {
                known.status = Status::Ongoing;
                known.began_at = now;
                known.partitions.clear();
                known.groups.clear();
            }
        }
        Ok(known)
    }

    /// Adds a partition to the open transaction, and begins one if there is none.
    ///
    /// # Errors
    /// `ProducerFenced`; `ConcurrentTransactions` while the one before is being ended.
    pub(crate) fn add_partition(
        &mut self,
        id: &str,
        identity: Identity,
        partition: &TopicPartition,
        now: Duration,
    ) -> Result<(), Code> {
        let known = self.join(id, identity, now)?;
        known.partitions.insert(partition.clone());
        Ok(())
    }

    /// As [`Self::add_partition`], for the offsets of a group.
    ///
    /// # Errors
    /// As [`Self::add_partition`].
    pub(crate) fn add_group(
        &mut self,
        id: &str,
        identity: Identity,
        group: &str,
        now: Duration,
    ) -> Result<(), Code> {
        let known = self.join(id, identity, now)?;
        known.groups.insert(group.to_owned());
        Ok(())
    }

    /// Stores records of an open transaction; those that are there already are not stored again.
    ///
    /// # Errors
    /// `InvalidProducerEpoch` when the producer is not the present one; `InvalidTransactionalState` when the partition is not part of
    /// its transaction; `OutOfOrderSequenceNumber`.
    pub(crate) fn produce(
        &mut self,
        id: &str,
        (producer, epoch): Identity,
        place: &TopicPartition,
        (sequence, records): (u64, &[Stored]),
    ) -> Result<(), Code> {
        let known = self
            .present(id, (producer, epoch))
            .map_err(|_| Code::InvalidProducerEpoch)?;
        if known.status != Status::Ongoing || !known.partitions.contains(place) {
            return Err(Code::InvalidTransactionalState);
        }
        let partition = self.partition(place).ok_or(Code::UnknownTopicOrPartition)?;
        let (known_epoch, next) = partition.producers.entry(producer).or_default();
        if epoch < *known_epoch {
            return Err(Code::InvalidProducerEpoch);
        }
        if epoch > *known_epoch {
            (*known_epoch, *next) = (epoch, 0);
        }
        if sequence < *next {
            return Ok(());
        }
        if sequence > *next {
            return Err(Code::OutOfOrderSequenceNumber);
        }
        *next += records.len() as u64;
        let first = partition.log.len();
        partition.open.entry(producer).or_insert(first);
        let stored = records.iter().cloned();
        partition
            .log
            .extend(stored.map(|record| Entry::Record(Some(producer), record)));
        Ok(())
    }

    /// Stores the offset of a group in an open transaction.
    ///
    /// # Errors
    /// As [`Self::produce`].
    pub(crate) fn commit_offset(
        &mut self,
        id: &str,
        identity: Identity,
        (group, place): (&str, &TopicPartition),
        metadata: &str,
    ) -> Result<(), Code> {
        let known = self.present(id, identity)?;
        if known.status != Status::Ongoing || !known.groups.contains(group) {
            return Err(Code::InvalidTransactionalState);
        }
        let key = (group.to_owned(), place.clone(), identity.0);
        self.pending.insert(key, metadata.to_owned());
        Ok(())
    }

    /// Decides how the open transaction ends.
    ///
    /// # Errors
    /// `ProducerFenced`; `ConcurrentTransactions` while it is being ended that way; `InvalidTransactionalState` when there is none, or
    /// when it has ended the other way.
    pub(crate) fn end(
        &mut self,
        id: &str,
        identity: Identity,
        is_commit: bool,
    ) -> Result<(), Code> {
        let known = self.present(id, identity)?;
        match known.status {
            Status::Ongoing => {
                known.status = Status::Prepared { is_commit };
                Ok(())
            }
            Status::Prepared { is_commit: other } if other == is_commit => {
                Err(Code::ConcurrentTransactions)
            }
            Status::Complete { is_commit: other } if other == is_commit => Ok(()),
            Status::Empty | Status::Prepared { .. } | Status::Complete { .. } => {
                Err(Code::InvalidTransactionalState)
            }
        }
    }

    /// Ids of transactions whose end is not everywhere known.
    pub(crate) fn ending(&self) -> Vec<String> {
        let ending = self.transactional.iter();
        ending
            .filter(|(_, known)| matches!(known.status, Status::Prepared { .. }))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Lets one more partition or group know how a transaction ends; `choice` says which.
    pub(crate) fn tell_end(&mut self, id: &str, choice: u64, now: Duration) {
        let Some(known) = self.transactional.get_mut(id) else {
            return;
        };
        let Status::Prepared { is_commit } = known.status else {
            return;
        };
        let identity = known.identity;
        let count = known.partitions.len() + known.groups.len();
        let chosen = usize::try_from(choice % (count.max(1) as u64)).unwrap_or_default();
        let place = known.partitions.iter().nth(chosen).cloned();
        let group = chosen
            .checked_sub(known.partitions.len())
            .and_then(|chosen| known.groups.iter().nth(chosen).cloned());
        if let Some(place) = &place {
            known.partitions.remove(place);
        }
        if let Some(group) = &group {
            known.groups.remove(group);
        }
        if known.partitions.is_empty() && known.groups.is_empty() {
            known.status = Status::Complete { is_commit };
        }
        if let Some(place) = place {
            self.mark(&place, identity, is_commit);
        }
        if let Some(group) = group {
            self.settle(&group, identity.0, is_commit, now);
        }
    }

    /// Writes a marker.
    fn mark(&mut self, place: &TopicPartition, (producer, epoch): Identity, is_commit: bool) {
        let Some(partition) = self.partition(place) else {
            return;
        };
        let (known_epoch, next) = partition.producers.entry(producer).or_default();
        if epoch > *known_epoch {
            (*known_epoch, *next) = (epoch, 0);
        }
        partition.open.remove(&producer);
        partition.log.push(Entry::Marker {
            producer,
            is_commit,
        });
    }

    /// Commits or forgets the offsets of a group that a transaction holds.
    fn settle(&mut self, group: &str, producer: i64, is_commit: bool, now: Duration) {
        let of_transaction: Vec<_> = self
            .pending
            .keys()
            .filter(|(of, _, by)| of == group && *by == producer)
            .cloned()
            .collect();
        for key in of_transaction {
            if let Some(metadata) = self.pending.remove(&key)
                && is_commit
            {
                let offset = GroupOffset {
                    metadata,
                    committed_at: now,
                };
                self.offsets.insert((key.0, key.1), offset);
            }
        }
    }

    /// The text beside a group's committed offset.
    ///
    /// # Errors
    /// `UnstableOffsetCommit` while a transaction holds a newer one.
    pub(crate) fn offset(
        &self,
        group: &str,
        place: &TopicPartition,
    ) -> Result<Option<String>, Code> {
        let is_pending = self
            .pending
            .keys()
            .any(|(of, at, _)| of == group && at == place);
        if is_pending {
            return Err(Code::UnstableOffsetCommit);
        }
        let key = (group.to_owned(), place.clone());
        Ok(self.offsets.get(&key).map(|known| known.metadata.clone()))
    }

    /// Aborts transactions that have been open for too long.
    pub(crate) fn time_out(&mut self, now: Duration) {
        for known in self.transactional.values_mut() {
            let open = now.saturating_sub(known.began_at);
            if known.status == Status::Ongoing && open > known.timeout {
                known.abandon();
                self.timed_out_count += 1;
            }
        }
    }

    /// Transactions that were open for too long.
    pub(crate) fn timed_out_count(&self) -> u64 {
        self.timed_out_count
    }

    /// Forgets offsets that were committed too long ago.
    pub(crate) fn forget_offsets(&mut self, retention: Duration, now: Duration) {
        self.offsets
            .retain(|_, offset| now.saturating_sub(offset.committed_at) < retention);
    }

    /// What a read-committed reader sees from an offset on: records with their offsets, and where it goes on.
    pub(crate) fn committed(
        &self,
        topic: &str,
        partition: usize,
        from: usize,
    ) -> (Vec<(usize, Stored)>, usize) {
        let Some(partition) = self.topics.get(topic).and_then(|all| all.get(partition)) else {
            return (Vec::new(), from);
        };
        let stable = partition.open.values().min().copied();
        let stable = stable.unwrap_or(partition.log.len());
        let entries = partition.log.iter().enumerate().take(stable).skip(from);
        let seen = entries.filter_map(|(offset, entry)| match entry {
            Entry::Record(producer, record) => producer
                .is_none_or(|producer| partition.is_committed(producer, offset))
                .then(|| (offset, record.clone())),
            Entry::Marker { .. } => None,
        });
        (seen.collect(), stable.max(from))
    }

    /// The offset behind the last record or marker of a partition.
    pub(crate) fn end_of(&self, topic: &str, partition: usize) -> usize {
        let partitions = self.topics.get(topic);
        partitions
            .and_then(|all| all.get(partition))
            .map_or(0, |partition| partition.log.len())
    }
}

impl Partition {
    /// Whether a producer's transaction that an offset belongs to was committed.
    fn is_committed(&self, of: i64, offset: usize) -> bool {
        let ends = self.log[offset..].iter().find_map(|entry| match entry {
            Entry::Marker {
                producer,
                is_commit,
            } if *producer == of => Some(*is_commit),
            Entry::Marker { .. } | Entry::Record(..) => None,
        });
        ends.unwrap_or(false)
    }
}

impl Transactional {
    /// Aborts the open transaction over its producer's head, which is fenced.
    fn abandon(&mut self) {
        self.identity.1 += 1;
        self.status = Status::Prepared { is_commit: false };
    }
}
