//! Opening a client: reaching a broker, finding a topic, asking for offsets, and what errors mean.
//!
//! Place in the flow: source, sink and `admin` open through it, before a slot starts. Invariant: every wait is bounded, and
//! every error names the address or the topic.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::options::{KafkaOptions, Role};
use crate::error::{Error, Kind, Result};
use crate::time::SharedClock;

/// Longest wait for one answer of a cluster that is reachable. A guess, unmeasured.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// First wait for a broker; each further one is twice as long. A guess, unmeasured.
const FIRST_ATTEMPT: Duration = Duration::from_secs(1);

/// Pause after a first attempt that was refused at once; each further one is twice as long. A guess, unmeasured.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between two attempts, so that a returning broker is found soon. A guess, unmeasured.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Shortest time to listen for the reason of a failure, which is reported beside it. A guess, unmeasured.
const LISTEN_MIN: Duration = Duration::from_millis(50);

/// How often a topic that the cluster does not know is asked for again: a topic made a moment ago may not have reached every
/// broker. A guess, unmeasured.
const UNKNOWN_TOPIC_ATTEMPTS: u32 = 4;

/// Remembers why brokers are not reached. Once a source or a sink polls the events itself, they do not come here.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The bootstrap servers of the client.
    servers: String,
    /// The last error the client reported: what it is, and librdkafka's words for it.
    last_error: Mutex<Option<(Code, String)>>,
}

impl Context {
    /// Comma-separated `host:port` list that the client began with.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// The last error, taken out.
    fn take_error(&self) -> Option<(Code, String)> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        log_line(level as i32, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // "All brokers down" follows the error that says why, and says less.
        if code != Code::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: Self::DeliveryOpaque) {}
}

/// Passes a line of librdkafka on; its levels are syslog's, 4 is a warning.
pub(super) fn log_line(level: i32, text: &str) {
    if level <= 4 {
        tracing::debug!(text, "librdkafka");
    } else {
        tracing::trace!(text, "librdkafka");
    }
}

/// Makes a client without waiting for anything.
///
/// # Errors
/// `Invalid` when librdkafka refuses the combination of properties.
pub(super) fn create<T: FromClientConfigAndContext<Context>>(
    options: &KafkaOptions,
    role: Role,
) -> Result<T> {
    create_with(options, role, &[])
}

/// As [`create`], with properties that go before all others.
///
/// # Errors
/// As [`create`].
pub(super) fn create_with<T: FromClientConfigAndContext<Context>>(
    options: &KafkaOptions,
    role: Role,
    forced: &[(&str, &str)],
) -> Result<T> {
    let mut config = options.client_config(role);
    for (key, value) in forced {
        config.set(*key, *value);
    }
    config
        .create_with_context(Context {
            servers: options.bootstrap.clone(),
            ..Context::default()
        })
        .map_err(|error| match error {
            KafkaError::ClientConfig(_, _, key, _) => Error::option(format!(
                "option 'properties.{key}' has a name or a value that librdkafka does not accept"
            )),
            KafkaError::ClientCreation(reason) => Error::option(format!(
                "no Kafka client for {}: {reason}",
                options.bootstrap
            )),
            other => Error::internal(format!("no Kafka client: {other}")),
        })
}

/// A client that asks and does not read.
///
/// # Errors
/// As [`create`].
pub(super) fn control(options: &KafkaOptions) -> Result<BaseConsumer<Context>> {
    create(options, Role::Control)
}

/// What one question for a topic's partitions was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopicAnswer {
    /// The topic has so many partitions.
    Partitions(u32),
    /// There is no such topic.
    Unknown,
    /// Nobody answered, or not for good.
    NoAnswer(String),
    /// The cluster refuses, for good.
    Refused(Error),
}

/// Asks for a topic's partitions once.
pub(super) fn ask_partitions(
    client: &BaseConsumer<Context>,
    options: &KafkaOptions,
    topic: &str,
    timeout: Duration,
) -> TopicAnswer {
    match client.fetch_metadata(Some(topic), timeout) {
        Ok(metadata) => {
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
                return TopicAnswer::Unknown;
            };
            match found.error().map(Code::from) {
                None => TopicAnswer::Partitions(
                    u32::try_from(found.partitions().len()).unwrap_or(u32::MAX),
                ),
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => TopicAnswer::Unknown,
                Some(code) => answer_of(code, options, topic),
            }
        }
        Err(error) => match error.rdkafka_error_code() {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => TopicAnswer::Unknown,
            Some(code) => answer_of(code, options, topic),
            None => TopicAnswer::NoAnswer(error.to_string()),
        },
    }
}

/// What an error code says about asking again.
fn answer_of(code: Code, options: &KafkaOptions, topic: &str) -> TopicAnswer {
    if is_passing(code) {
        return TopicAnswer::NoAnswer(code.to_string());
    }
    TopicAnswer::Refused(refusal(
        code,
        &format!("topic \"{topic}\" at {}", options.bootstrap),
    ))
}

/// Waits until a broker has told a topic's number of partitions, with exponential back-off, for the connect time-out.
///
/// # Errors
/// `Unavailable` with the address when no broker answers in time; `Invalid` when the topic does not exist or the cluster
/// refuses.
pub(super) fn connect(
    client: &BaseConsumer<Context>,
    options: &KafkaOptions,
    topic: &str,
    clock: &SharedClock,
) -> Result<u32> {
    let limit = options.connect_timeout()?;
    let end = clock.monotonic() + limit;
    let (mut attempt, mut pause) = (FIRST_ATTEMPT, FIRST_PAUSE);
    let mut unknown = 0;
    let mut heard = None;
    loop {
        let left = end.saturating_sub(clock.monotonic());
        let reason = match ask_partitions(client, options, topic, attempt.min(left)) {
            TopicAnswer::Partitions(0) => "the topic has no partitions yet".to_owned(),
            TopicAnswer::Partitions(count) => return Ok(count),
            TopicAnswer::Refused(error) => return Err(error),
            TopicAnswer::Unknown => {
                unknown += 1;
                if unknown == UNKNOWN_TOPIC_ATTEMPTS {
                    return Err(unknown_topic(options, topic));
                }
                "the topic is unknown".to_owned()
            }
            TopicAnswer::NoAnswer(reason) => reason,
        };
        let left = end.saturating_sub(clock.monotonic());
        listen(client, pause.min(left).max(LISTEN_MIN), clock);
        if let Some((code, text)) = client.client().context().take_error() {
            if matches!(code, Code::Authentication | Code::SaslAuthenticationFailed) {
                return Err(refusal(code, &format!("{}: {text}", options.bootstrap)));
            }
            heard = Some(text);
        }
        if clock.monotonic() >= end {
            return Err(Error::unavailable(format!(
                "kafka broker {} does not answer within {} ms: {}",
                options.bootstrap,
                limit.as_millis(),
                heard.unwrap_or(reason)
            )));
        }
        tracing::debug!(address = options.bootstrap, reason, "waiting for kafka");
        (attempt, pause) = (attempt * 2, (pause * 2).min(PAUSE_MAX));
    }
}

/// Repeats a question while the answer is `Unavailable`, with exponential back-off, for the connect time-out.
///
/// # Errors
/// The last answer's, or the first one that waiting does not mend.
pub(super) fn patiently<T>(
    client: &BaseConsumer<Context>,
    options: &KafkaOptions,
    topic: &str,
    clock: &SharedClock,
    mut ask: impl FnMut() -> Result<T>,
) -> Result<T> {
    let end = clock.monotonic() + options.connect_timeout()?;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match ask() {
            Err(error) if error.kind == Kind::Unavailable => error,
            answer => return answer,
        };
        let left = end.saturating_sub(clock.monotonic());
        if left.is_zero() {
            return Err(error);
        }
        tracing::debug!(%error, "asking kafka again");
        listen(client, pause.min(left), clock);
        pause = (pause * 2).min(PAUSE_MAX);
        // The client answers from what it knows of leaders; whatever this says, it knows more afterwards.
        drop(client.fetch_metadata(Some(topic), FIRST_ATTEMPT.min(left)));
    }
}

/// Lets a client report errors for a while.
fn listen(client: &BaseConsumer<Context>, pause: Duration, clock: &SharedClock) {
    let end = clock.monotonic() + pause;
    loop {
        let left = end.saturating_sub(clock.monotonic());
        // Nothing is being fetched: whatever comes is an error, and the context has noted it.
        drop(client.poll(left));
        if left.is_zero() {
            return;
        }
    }
}

/// The error for a topic that does not exist.
pub(super) fn unknown_topic(options: &KafkaOptions, topic: &str) -> Error {
    Error::unknown(format!(
        "unknown Kafka topic \"{topic}\" at {}",
        options.bootstrap
    ))
}

/// Where in each partition a question points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// The oldest record that is kept.
    Beginning,
    /// Behind the last record that may be read: under `read_committed` the last stable offset.
    End,
    /// The first record at or after this epoch millisecond; the end when there is none.
    Timestamp(i64),
}

/// Offsets of these partitions, in their order, with one request per broker.
///
/// # Errors
/// `Unavailable` when a broker does not answer in time; `Invalid` when it refuses.
pub(super) fn offsets(
    client: &BaseConsumer<Context>,
    options: &KafkaOptions,
    topic: &str,
    partitions: &[i32],
    at: At,
) -> Result<Vec<i64>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let found = ask_offsets(client, options, topic, partitions, at)?;
    if !found.contains(&None) {
        return Ok(found.into_iter().flatten().collect());
    }
    // No record is that young: those partitions are read from, or to, their ends.
    let ends = ask_offsets(client, options, topic, partitions, At::End)?;
    found
        .into_iter()
        .zip(ends)
        .map(|(offset, end)| {
            offset.or(end).ok_or_else(|| {
                Error::unavailable(format!(
                    "kafka at {} tells no end of topic \"{topic}\"",
                    options.bootstrap
                ))
            })
        })
        .collect()
}

/// Asks once; absent where no record answers the question.
fn ask_offsets(
    client: &BaseConsumer<Context>,
    options: &KafkaOptions,
    topic: &str,
    partitions: &[i32],
    at: At,
) -> Result<Vec<Option<i64>>> {
    let asked = match at {
        At::Beginning => Offset::Beginning,
        At::End => Offset::End,
        At::Timestamp(millis) => Offset::Offset(millis),
    };
    let place = || format!("offsets of topic \"{topic}\" at {}", options.bootstrap);
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, *partition, asked)
            .map_err(|error| Error::internal(format!("{}: {error}", place())))?;
    }
    let answer = client
        .offsets_for_times(list, REQUEST_TIMEOUT)
        .map_err(|error| offset_error(&error, &place(), partitions[0]))?;
    partitions
        .iter()
        .map(|partition| {
            let Some(element) = answer.find_partition(topic, *partition) else {
                return Err(Error::unavailable(format!(
                    "{}: no answer for partition {partition}",
                    place()
                )));
            };
            element
                .error()
                .map_err(|error| offset_error(&error, &place(), *partition))?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        })
        .collect()
}

/// The error for an offset that was not told. The partition is known to exist, so an unknown one is one without a leader now.
fn offset_error(error: &KafkaError, place: &str, partition: i32) -> Error {
    match error.rdkafka_error_code() {
        Some(Code::UnknownPartition | Code::UnknownTopicOrPartition) => Error::unavailable(
            format!("kafka: {place}: partition {partition} has no leader now"),
        ),
        _ => broker_error(error, &format!("{place}: partition {partition}")),
    }
}

/// Committed offsets of the group of the options, in the order of the partitions; absent where the group has none.
///
/// # Errors
/// `Invalid` without a group; `Unavailable` when its coordinator does not answer in time.
pub(super) fn group_offsets(
    options: &KafkaOptions,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<Option<i64>>> {
    let Some(group) = options.group_id() else {
        return Err(Error::option(
            "'scan.startup.mode' = 'group-offsets' needs 'properties.group.id'",
        ));
    };
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let client = control(options)?;
    let place = format!("offsets of group \"{group}\" at {}", options.bootstrap);
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let answer = client
        .committed_offsets(list, REQUEST_TIMEOUT)
        .map_err(|error| broker_error(&error, &place))?;
    Ok(partitions
        .iter()
        .map(|partition| {
            match answer
                .find_partition(topic, *partition)
                .map(|element| element.offset())
            {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            }
        })
        .collect())
}

/// An error of the crate as ours.
pub(super) fn broker_error(error: &KafkaError, place: &str) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => refusal(code, place),
        None => Error::unavailable(format!("kafka: {place}: {error}")),
    }
}

/// An error code as an error: what configuration must mend is `Invalid`, a younger run of the statement is `Conflict`, everything
/// else may pass.
pub(super) fn refusal(code: Code, place: &str) -> Error {
    let message = format!("kafka: {place}: {code}");
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::InvalidTransactionTimeout
        | Code::OffsetMetadataTooLarge
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation => Error::option(message),
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Error::option(format!(
            "{message}: the offset to read does not exist (any more), set 'properties.auto.offset.reset' to earliest or latest to go on elsewhere"
        )),
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Error::fenced(message),
        Code::TopicAlreadyExists => Error::exists(message),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Error::unknown(message)
        }
        _ => Error::unavailable(message),
    }
}

/// Whether librdkafka retries by itself, so that waiting is all there is to do.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::Interrupted
            | Code::NodeUpdate
            | Code::InProgress
            | Code::Retry
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::PreferredLeaderNotAvailable
            | Code::OffsetNotAvailable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_the_reader_can_do() {
        assert!(is_passing(Code::BrokerTransportFailure));
        assert!(!is_passing(Code::TopicAuthorizationFailed));
        assert_eq!(
            refusal(Code::TopicAuthorizationFailed, "topic \"t\"").kind,
            Kind::Invalid
        );
        assert_eq!(
            refusal(Code::OperationTimedOut, "topic \"t\"").kind,
            Kind::Unavailable
        );
        assert_eq!(
            refusal(Code::InvalidProducerEpoch, "topic \"t\"").kind,
            Kind::Conflict
        );
        assert!(
            refusal(Code::UnknownTopicOrPartition, "topic \"t\"")
                .message
                .contains("topic \"t\"")
        );
    }
}
