//! Topics of a cluster: make, look at, list, delete; and what its brokers allow.
//!
//! Place in the flow: the server calls it for CREATE TABLE, DROP TABLE and SHOW, and transactions ask for limits. It waits, so it is
//! called from threads that
//! may wait, never from a slot. Invariant: every call ends within its bound, and every error names the address.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResourceResult, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{
    Context, REQUEST_TIMEOUT, TopicAnswer, ask_partitions, broker_error, control, refusal,
};
use super::options::{KafkaOptions, Role};
use crate::error::{Error, Result};

/// How often a change of a topic is looked for until every broker that answers shows it. A guess, unmeasured.
const SETTLE_ATTEMPTS: u32 = 100;

/// Pause between two looks. A guess, unmeasured.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// Creates a topic with the cluster's own replication factor, and returns when it can be used.
///
/// # Errors
/// `AlreadyExists` when there is one of that name; `Invalid` for a number of partitions or a setting that the cluster does not
/// accept; `Unavailable` when it does not answer.
pub fn create_topic(
    options: &KafkaOptions,
    name: &str,
    partitions: u32,
    config: &BTreeMap<String, String>,
) -> Result<()> {
    let count = i32::try_from(partitions)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| {
            Error::option(format!(
                "a topic cannot have {partitions} partitions, it needs 1 to {}",
                i32::MAX
            ))
        })?;
    let mut topic = NewTopic::new(name, count, TopicReplication::Fixed(-1));
    for (key, value) in config {
        topic = topic.set(key, value);
    }
    let place = format!("creating topic \"{name}\" at {}", options.bootstrap);
    let admin = admin_client(options)?;
    let answer = block_on(admin.create_topics(&[topic], &limits()));
    outcome(answer, &place)?;
    settle(options, name, &place, |seen| seen == Some(partitions))
}

/// Deletes a topic, and returns when it is gone.
///
/// # Errors
/// `Invalid` when there is none of that name or the cluster refuses; `Unavailable` when it does not answer.
pub fn delete_topic(options: &KafkaOptions, name: &str) -> Result<()> {
    let place = format!("deleting topic \"{name}\" at {}", options.bootstrap);
    let admin = admin_client(options)?;
    let answer = block_on(admin.delete_topics(&[name], &limits()));
    outcome(answer, &place)?;
    settle(options, name, &place, |seen| seen.is_none())
}

/// Number of partitions of a topic; absent when there is none of that name.
///
/// # Errors
/// `Unavailable` with the address when no broker answers; `Invalid` when the cluster refuses.
pub fn topic_partitions(options: &KafkaOptions, name: &str) -> Result<Option<u32>> {
    match ask_partitions(&control(options)?, options, name, REQUEST_TIMEOUT) {
        TopicAnswer::Partitions(count) => Ok(Some(count)),
        TopicAnswer::Unknown => Ok(None),
        TopicAnswer::NoAnswer(reason) => Err(no_answer(options, &reason)),
        TopicAnswer::Refused(error) => Err(error),
    }
}

/// Names of all topics that may be seen, sorted; Kafka's internal ones, which start with two underscores, are left out.
///
/// # Errors
/// `Unavailable` with the address when no broker answers.
pub fn list_topics(options: &KafkaOptions) -> Result<Vec<String>> {
    let metadata = control(options)?
        .fetch_metadata(None, REQUEST_TIMEOUT)
        .map_err(|error| no_answer(options, &error.to_string()))?;
    let mut names: Vec<String> = metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned())
        .filter(|name| !name.starts_with("__"))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Whether a topic keeps the newest record of each key: its `cleanup.policy` has `compact`. Unknown, as hosted clusters may keep it, is
/// not compacted.
///
/// # Errors
/// `Unavailable` with the address when no broker answers.
pub fn is_topic_compacted(options: &KafkaOptions, name: &str) -> Result<bool> {
    let place = format!("settings of topic \"{name}\" at {}", options.bootstrap);
    let admin = admin_client(options)?;
    let asked = [ResourceSpecifier::Topic(name)];
    let answers = block_on(admin.describe_configs(&asked, &limits()))
        .map_err(|error| broker_error(&error, &place))?;
    let policy = |answer: ConfigResourceResult| {
        let resource = answer.ok()?;
        resource.get("cleanup.policy")?.value.clone()
    };
    let mut policies = answers.into_iter().filter_map(policy);
    Ok(policies.any(|policy| policy.split(',').any(|word| word.trim() == "compact")))
}

/// What the brokers of a cluster allow; absent is what they do not tell, as hosted clusters may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BrokerLimits {
    /// Longest transaction time-out that they accept.
    pub(crate) transaction_timeout_max: Option<Duration>,
    /// How long offsets of a group without members are kept.
    pub(crate) offsets_retention: Option<Duration>,
}

/// Asks one broker for its limits, of which all of a cluster should have the same. Never fails: a refusal leaves them unknown. The topic
/// exists, and asking for one is asking for less than all.
pub(super) fn broker_limits(options: &KafkaOptions, topic: &str) -> BrokerLimits {
    match ask_broker_limits(options, topic) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::debug!(%error, "kafka tells no limits");
            BrokerLimits::default()
        }
    }
}

/// As [`broker_limits`].
fn ask_broker_limits(options: &KafkaOptions, topic: &str) -> Result<BrokerLimits> {
    let place = format!("limits of the brokers at {}", options.bootstrap);
    let admin = admin_client(options)?;
    let metadata = admin
        .inner()
        .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
        .map_err(|error| broker_error(&error, &place))?;
    let Some(broker) = metadata.brokers().first() else {
        return Err(no_answer(options, "the cluster names no broker"));
    };
    let asked = [ResourceSpecifier::Broker(broker.id())];
    let answers = block_on(admin.describe_configs(&asked, &limits()))
        .map_err(|error| broker_error(&error, &place))?;
    let mut found = BrokerLimits::default();
    for answer in answers {
        let resource = answer.map_err(|code| refusal(code, &place))?;
        let number =
            |name: &str| -> Option<u64> { resource.get(name)?.value.as_deref()?.parse().ok() };
        found.transaction_timeout_max =
            number("transaction.max.timeout.ms").map(Duration::from_millis);
        found.offsets_retention = number("offsets.retention.minutes")
            .and_then(|minutes| minutes.checked_mul(60))
            .map(Duration::from_secs);
    }
    Ok(found)
}

/// The error for a cluster that does not answer.
fn no_answer(options: &KafkaOptions, reason: &str) -> Error {
    Error::unavailable(format!(
        "kafka broker {} does not answer: {reason}",
        options.bootstrap
    ))
}

/// A client for changes.
fn admin_client(options: &KafkaOptions) -> Result<AdminClient<Context>> {
    super::client::create(options, Role::Control)
}

/// Bounds of one change.
fn limits() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT))
}

/// The outcome of a change of one topic.
fn outcome(answer: KafkaResult<Vec<Result<String, (String, Code)>>>, place: &str) -> Result<()> {
    let topics = answer.map_err(|error| broker_error(&error, place))?;
    for topic in topics {
        topic.map_err(|(_, code)| refusal(code, place))?;
    }
    Ok(())
}

/// Waits until the cluster shows what was changed.
fn settle(
    options: &KafkaOptions,
    name: &str,
    place: &str,
    is_there: impl Fn(Option<u32>) -> bool,
) -> Result<()> {
    let client = control(options)?;
    for _ in 0..SETTLE_ATTEMPTS {
        match ask_partitions(&client, options, name, REQUEST_TIMEOUT) {
            TopicAnswer::Partitions(count) if is_there(Some(count)) => return Ok(()),
            TopicAnswer::Unknown if is_there(None) => return Ok(()),
            TopicAnswer::NoAnswer(reason) => return Err(no_answer(options, &reason)),
            TopicAnswer::Refused(error) => return Err(error),
            TopicAnswer::Partitions(_) | TopicAnswer::Unknown => thread::park_timeout(SETTLE_PAUSE),
        }
    }
    Err(Error::unavailable(format!(
        "kafka: {place}: the cluster does not show the change yet"
    )))
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, which may belong to any runtime or none. librdkafka bounds the wait.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_needs_a_partition() {
        let error = create_topic(&KafkaOptions::new("a:1"), "t", 0, &BTreeMap::new()).unwrap_err();
        assert!(error.message.contains("0 partitions"), "{error}");
    }

    #[test]
    fn waiting_for_a_future_ends_when_another_thread_is_done() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || sender.send(7));
        assert_eq!(block_on(receiver), Ok(7));
        thread.join().unwrap().unwrap();
    }
}
