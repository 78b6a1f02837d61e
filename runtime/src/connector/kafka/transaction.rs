//! The transactions of one statement on one cluster.
//!
//! Place in the flow: the coordinator commits through [`KafkaTransactions`], and the writers of all sinks of the statement on the
//! cluster write through its two producers, which epochs use in turn. Invariant: the epoch record is committed in the transaction of
//! its epoch's rows, as the metadata of a group offset; and of two runs of a statement at most one can commit.
//!
//! # Source
//! Measured under `kill -9` against Kafka 4.3.1; a topic for the records was found wrong, since an open transaction of another
//! statement hides the newest one.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::admin::BrokerLimits;
use super::channel::{Channel, lock};
use super::client::REQUEST_TIMEOUT;
use super::cluster::{Cluster, Session, TransactionIds};
use super::ffi::Refusal;
use super::options::KafkaOptions;
use super::service::{PRODUCERS, Service};
use super::verdict::{Verdict, error_of, judge};
use crate::checkpoint::commit::{Committer, EpochRecord};
use crate::connector::sink::TransactionOwner;
use crate::error::{Error, Kind, Result};
use crate::task::Waker;
use crate::time::SharedClock;

/// How often fencing is tried when a twin that starts at the same time fences back. A guess, unmeasured.
const FENCE_ATTEMPTS: u32 = 8;

/// Longest pause before the second try to fence; each further one is twice as long. Longer than a fence takes, so that one of two
/// twins gets through. Measured: a fence takes 20 to 600 ms.
const FENCE_PAUSE: Duration = Duration::from_millis(500);

/// Pause before a call is repeated that was refused for now; each further one is twice as long. A guess, unmeasured.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Longest such pause. A guess, unmeasured.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a broker that does not tell keeps offsets of a group without members.
///
/// # Source
/// Default of `offsets.retention.minutes` in Apache Kafka.
const RETENTION_DEFAULT: Duration = Duration::from_hours(7 * 24);

/// The transactions of one statement on one cluster, shared by its coordinator and its writers.
pub struct KafkaTransactions {
    /// The cluster's name and settings.
    options: KafkaOptions,
    /// The cluster.
    cluster: Arc<dyn Cluster>,
    /// `_weir_{statement}_{uid}`: the group, and what transactional ids begin with.
    group: String,
    /// How long a transaction may stay open.
    timeout: Duration,
    /// What the brokers allow.
    limits: BrokerLimits,
    /// Time.
    clock: SharedClock,
    /// Makes producers and reads the epoch record.
    session: Box<dyn Session>,
    /// The producers and what is open on them.
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
struct State {
    /// The producers.
    service: Arc<Service>,
    /// Whether the producers were initialised before: that can be done once.
    used: bool,
    /// The open epoch of each producer.
    open: [Option<u64>; PRODUCERS],
}

impl fmt::Debug for KafkaTransactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTransactions")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl KafkaTransactions {
    /// Makes the producers and checks the time-out. Nobody is fenced yet.
    ///
    /// # Errors
    /// `Invalid` when the topic does not exist or the brokers accept no transaction that long; `Unavailable` when none answers.
    pub(super) fn open(
        cluster: &Arc<dyn Cluster>,
        options: &KafkaOptions,
        topic: &str,
        owner: &TransactionOwner,
    ) -> Result<Self> {
        let group = format!("_weir_{}_{}", owner.statement_name, owner.statement_uid);
        let ids = TransactionIds {
            group: group.clone(),
            topic: topic.to_owned(),
            timeout: owner.timeout,
        };
        let session = cluster.open(ids, &owner.clock)?;
        let limits = session.limits();
        if let Some(max) = limits.transaction_timeout_max
            && owner.timeout > max
        {
            return Err(timeout_too_long(options, owner.timeout, Some(max)));
        }
        let service = service(&**cluster, &*session)?;
        Ok(Self {
            options: options.clone(),
            cluster: Arc::clone(cluster),
            group,
            timeout: owner.timeout,
            limits,
            clock: Arc::clone(&owner.clock),
            session,
            state: Mutex::new(State {
                service,
                used: false,
                open: [None; PRODUCERS],
            }),
        })
    }

    /// Which cluster, as whom.
    pub(super) fn identity(&self) -> String {
        self.options.identity()
    }

    /// What writes an epoch: the producers, and which of them.
    ///
    /// # Errors
    /// `Internal` when the epoch's transaction is not open.
    pub(super) fn opened(&self, epoch: u64) -> Result<(Arc<Service>, usize)> {
        let index = index_of(epoch);
        let state = lock(&self.state);
        if state.open[index] == Some(epoch) {
            Ok((Arc::clone(&state.service), index))
        } else {
            Err(Error::internal(format!(
                "{}: epoch {epoch} is written before its transaction is begun",
                self.group
            )))
        }
    }

    /// What is being done, for messages.
    fn place(&self, doing: &str) -> String {
        format!("{} at {}: {doing}", self.group, self.options.bootstrap)
    }

    /// Producers that were not initialised yet; after a first time new ones, since one that was fenced is of no more use.
    fn fresh(&self) -> Result<Arc<Service>> {
        let mut state = lock(&self.state);
        state.open = [None; PRODUCERS];
        if state.used {
            state.service = service(&*self.cluster, &*self.session)?;
        }
        state.used = true;
        Ok(Arc::clone(&state.service))
    }

    /// Initialises both producers, one after the other, and makes sure that the first one is still ours.
    ///
    /// Whoever initialises the first producer last gets past that check, so that of twins that start at the same time at least one
    /// goes on.
    fn take_over(&self) -> Result<()> {
        let service = self.fresh()?;
        for channel in service.channels() {
            self.insist(|limit| channel.producer().init_transactions(limit))
                .map_err(|refusal| self.init_error(&refusal))?;
        }
        let first = service.channels()[0].producer();
        let doing = "making sure that no twin has taken over";
        let failed = |refusal: Refusal| error_of(&refusal, &self.place(doing));
        self.insist(|_| first.begin_transaction()).map_err(failed)?;
        self.insist(|limit| first.send_record(0, "", limit))
            .map_err(failed)?;
        self.insist(|limit| first.abort_transaction(limit))
            .map_err(failed)
    }

    /// Why a producer could not be initialised.
    fn init_error(&self, refusal: &Refusal) -> Error {
        if refusal.code == Code::InvalidTransactionTimeout {
            return timeout_too_long(
                &self.options,
                self.timeout,
                self.limits.transaction_timeout_max,
            );
        }
        error_of(refusal, &self.place("shutting out earlier runs"))
    }

    /// Makes a call again while it is refused only for now, for the connect time-out, which outlasts the restart of a broker. The
    /// call is told how long it may take.
    fn insist(&self, mut call: impl FnMut(Duration) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let limit = self.options.connect_timeout().unwrap_or(REQUEST_TIMEOUT);
        let end = self.clock.monotonic() + limit;
        let mut pause = RETRY_PAUSE;
        loop {
            let left = end.saturating_sub(self.clock.monotonic());
            let refusal = match call(left.min(REQUEST_TIMEOUT)) {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            let left = end.saturating_sub(self.clock.monotonic());
            if judge(&refusal) != Verdict::Retry || left.is_zero() {
                return Err(refusal);
            }
            tracing::debug!(group = self.group, ?refusal, "asking kafka again");
            self.cluster.pause(pause.min(left));
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// The producer of an open epoch that no older one goes before.
    fn oldest(&self, epoch: u64) -> Result<Arc<Channel>> {
        let (service, index) = self.opened(epoch)?;
        let older = lock(&self.state)
            .open
            .iter()
            .flatten()
            .any(|open| *open < epoch);
        if older {
            return Err(Error::internal(format!(
                "{}: epoch {epoch} is committed before the one before it",
                self.group
            )));
        }
        Ok(Arc::clone(&service.channels()[index]))
    }

    /// Ends a transaction that cannot be committed, and says why.
    fn give_up(&self, channel: &Channel, refusal: &Refusal, epoch: u64) -> Error {
        let error = error_of(refusal, &self.place(&format!("committing epoch {epoch}")));
        match judge(refusal) {
            Verdict::Retry | Verdict::Fail => {}
            Verdict::Abort => {
                if let Err(refusal) = channel.producer().abort_transaction(REQUEST_TIMEOUT) {
                    let after = error_of(&refusal, &self.place("aborting"));
                    if after.kind == Kind::Conflict {
                        return self.explained(after);
                    }
                    tracing::warn!(error = %after, "the transaction stays open until its time-out");
                }
            }
        }
        self.explained(error)
    }

    /// Adds to a conflict what else it may be: the broker tells neither apart.
    fn explained(&self, error: Error) -> Error {
        if error.kind != Kind::Conflict {
            return error;
        }
        let context = format!(
            "another run of the statement has taken over, or the transaction was open for longer than its time-out of {} ms",
            self.timeout.as_millis()
        );
        error.context(&context)
    }
}

impl Committer for KafkaTransactions {
    fn fence(&self) -> Result<()> {
        let mut pause = FENCE_PAUSE;
        for _ in 1..FENCE_ATTEMPTS {
            match self.take_over() {
                Err(error) if error.kind == Kind::Conflict => {
                    tracing::info!(%error, "a twin starts at the same time, trying again");
                    self.cluster.pause_part_of(pause);
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        self.take_over()
    }

    fn committed(&self) -> Result<Option<EpochRecord>> {
        let place = self.place("reading the epoch record");
        let Some(text) = self.session.committed(&place, &self.clock)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&text);
        EpochRecord::from_text(&text)
            .map(Some)
            .map_err(|error| error.context(&place))
    }

    fn begin(&self, epoch: u64) -> Result<()> {
        let index = index_of(epoch);
        let mut state = lock(&self.state);
        if let Some(open) = state.open[index] {
            return Err(Error::internal(format!(
                "{}: epoch {epoch} is begun while epoch {open} is open",
                self.group
            )));
        }
        state.service.channels()[index]
            .producer()
            .begin_transaction()
            .map_err(|refusal| {
                let doing = self.place(&format!("beginning epoch {epoch}"));
                self.explained(error_of(&refusal, &doing))
            })?;
        state.open[index] = Some(epoch);
        Ok(())
    }

    fn commit(&self, epoch: u64, record: &EpochRecord) -> Result<()> {
        let channel = self.oldest(epoch)?;
        let text = record.to_text()?;
        let producer = channel.producer();
        self.insist(|limit| producer.send_record(epoch, &text, limit))
            .and_then(|()| self.insist(|limit| producer.commit_transaction(limit)))
            .map_err(|refusal| self.give_up(&channel, &refusal, epoch))?;
        lock(&self.state).open[index_of(epoch)] = None;
        Ok(())
    }

    fn record_retention(&self) -> Option<Duration> {
        Some(self.limits.offsets_retention.unwrap_or(RETENTION_DEFAULT))
    }
}

/// Which producer an epoch uses.
fn index_of(epoch: u64) -> usize {
    usize::from(!epoch.is_multiple_of(PRODUCERS as u64))
}

/// New producers, and what serves them.
fn service(cluster: &dyn Cluster, session: &dyn Session) -> Result<Arc<Service>> {
    let waker = Waker::default();
    let channels = session.producers(&waker)?.map(Channel::new);
    Service::start(cluster, channels, waker)
}

/// The error for a time-out above the brokers' maximum.
fn timeout_too_long(options: &KafkaOptions, timeout: Duration, max: Option<Duration>) -> Error {
    let max = max.map_or_else(
        || "that of the brokers".to_owned(),
        |max| format!("{} ms", max.as_millis()),
    );
    Error::option(format!(
        "kafka at {}: transaction.timeout.ms of {} (checkpoint interval, longest checkpoint and a margin) is above the brokers' transaction.max.timeout.ms of {max}: raise the latter, or lower 'execution.checkpointing.interval' or the checkpoint time-out",
        options.bootstrap,
        timeout.as_millis(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_take_turns() {
        assert_eq!([4, 5, 6].map(index_of), [0, 1, 0]);
    }

    #[test]
    fn a_time_out_that_brokers_refuse_is_told_with_both_numbers() {
        let options = KafkaOptions::new("a:1");
        let long = Duration::from_hours(2);
        let error = timeout_too_long(&options, long, Some(Duration::from_mins(15)));
        assert_eq!(error.kind, Kind::Invalid);
        for part in ["a:1", "7200000", "900000", "transaction.max.timeout.ms"] {
            assert!(error.message.contains(part), "{error}");
        }
        let unknown = timeout_too_long(&options, long, None);
        assert!(unknown.message.contains("7200000"), "{unknown}");
    }
}
