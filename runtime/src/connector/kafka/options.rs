//! What a table's WITH options say about its Kafka cluster.
//!
//! Place in the flow: made once per table, handed to [`super::KafkaSource`], [`super::KafkaSink`] and [`super::admin`].
//! Invariant: every property is a valid librdkafka property, and no value of one is ever printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::translate;
use crate::error::{Error, Result};
use crate::sql::catalog::TableDef;

/// How long opening waits for a broker, as a Flink duration such as `30 s`.
pub(super) const CONNECT_TIMEOUT: &str = "weir.kafka.connect-timeout";

/// Default of [`CONNECT_TIMEOUT`]: longer than a broker's restart takes. A guess, unmeasured.
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Longest accepted [`CONNECT_TIMEOUT`], so that opening always ends. A guess, unmeasured.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_hours(1);

/// Properties that only say something to a consumer.
const CONSUMER_ONLY: [&str; 8] = [
    "isolation.level",
    "group.id",
    "group.instance.id",
    "auto.offset.reset",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.queue.backoff.ms",
    "enable.partition.eof",
];

/// Properties that only say something to a producer.
const PRODUCER_ONLY: [&str; 6] = [
    "compression.type",
    "linger.ms",
    "batch.size",
    "acks",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
];

/// Defaults of a consumer.
///
/// # Source
/// Measured: with this small queue the batch consume costs less than half of librdkafka's defaults per record, since the
/// records stay in the processor's cache, and a fetch follows at once when the queue has drained.
const CONSUMER_DEFAULTS: [(&str, &str); 5] = [
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.queue.backoff.ms", "2"),
    ("isolation.level", "read_committed"),
    ("auto.offset.reset", "error"),
];

/// What a consumer must have: positions belong to checkpoints, and ends are told by events.
const CONSUMER_FORCED: [(&str, &str); 3] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
];

/// What the reader of the epoch record must have: a record that is being committed is waited for, whatever sources may read.
const RECORD_FORCED: [(&str, &str); 3] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("isolation.level", "read_committed"),
];

/// Properties that say as whom a client comes, none of them a secret.
const PRINCIPAL: [&str; 5] = [
    "sasl.username",
    "sasl.oauthbearer.client.id",
    "sasl.kerberos.principal",
    "ssl.certificate.location",
    "ssl.keystore.location",
];

/// Defaults of a producer.
///
/// # Source
/// Measured: a queue of 20,000 messages costs half of what 1,000,000 cost per record. The bytes bound memory and the linger is
/// a quarter of the engine's flush target; both are guesses, unmeasured.
const PRODUCER_DEFAULTS: [(&str, &str); 3] = [
    ("queue.buffering.max.messages", "20000"),
    ("queue.buffering.max.kbytes", "32768"),
    ("linger.ms", "5"),
];

/// What a producer must have: nothing lost, nothing doubled or reordered by its own retries.
const PRODUCER_FORCED: [(&str, &str); 2] = [("enable.idempotence", "true"), ("acks", "all")];

/// Reconnects at most this many milliseconds apart, so that a returning broker is found soon. A guess, unmeasured.
const RECONNECT_BACKOFF_MS_MAX: &str = "2000";

/// Metadata is asked for at least this often, in milliseconds.
///
/// # Source
/// A broker that is stopped in order says first that its partitions have no leader. librdkafka 2.12 then sometimes learns who leads
/// them only with the next regular refresh, after 5 minutes unless told otherwise, and reads nothing meanwhile (measured: 1 of about 12
/// restarts of a broker with four readers; rust-rdkafka issue 597).
const METADATA_REFRESH_MS: &str = "10000";

/// Clients that read or write say so often, in milliseconds, which brokers they know. A statement whose client has forgotten them
/// stands still for that long and until the metadata is asked for; five seconds are a guess.
///
/// # Source
/// `ffi::bootstrap`.
const STATISTICS_MS: &str = "5000";

/// Which side of librdkafka a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads records.
    Consumer,
    /// Asks for metadata, offsets of a group and administration.
    Control,
    /// Asks for the epoch record, in a group that the engine names.
    Record,
    /// Writes records.
    Producer,
}

/// Address and librdkafka properties of a cluster.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct KafkaOptions {
    /// Comma-separated `host:port` list.
    pub bootstrap: String,
    /// librdkafka properties by their own names, and `weir.kafka.connect-timeout`.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("bootstrap", &self.bootstrap)
            .field("properties", &Names(&self.properties))
            .finish()
    }
}

/// Prints the names of properties and hides every value, since a value may hold a secret under any name.
struct Names<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.keys().map(|key| (key, format_args!("***"))))
            .finish()
    }
}

/// The topic of a table: its `topic` option, else its name.
pub fn topic_of(table: &TableDef) -> &str {
    table.option("topic").unwrap_or(&table.name.name)
}

impl KafkaOptions {
    /// Options with nothing but an address.
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            properties: BTreeMap::new(),
        }
    }

    /// Reads `properties.*`, `kafka.consumer.isolation-level`, `kafka.producer.compression.type` and
    /// `weir.kafka.connect-timeout`; `default_bootstrap` is used without `properties.bootstrap.servers`.
    ///
    /// # Errors
    /// `Invalid` when there is no address, for a property that librdkafka does not know or accept, and for a Java-only one
    /// that cannot be translated: the message names librdkafka's own.
    pub fn from_table(table: &TableDef, default_bootstrap: Option<&str>) -> Result<Self> {
        let mut written = BTreeMap::new();
        for (key, value) in &table.options {
            if let Some(property) = key.strip_prefix("properties.") {
                written.insert(property.to_owned(), value.clone());
            }
        }
        let bootstrap = ["bootstrap.servers", "metadata.broker.list"]
            .iter()
            .find_map(|key| written.remove(*key))
            .or_else(|| default_bootstrap.map(str::to_owned))
            .filter(|address| !address.trim().is_empty())
            .ok_or_else(|| {
                Error::option(format!(
                    "table {} names no Kafka cluster: set 'properties.bootstrap.servers' = 'HOST:PORT'",
                    table.name
                ))
            })?;
        let mut properties = translate::to_librdkafka(written)?;
        if let Some(level) = table.option("kafka.consumer.isolation-level") {
            properties.insert("isolation.level".to_owned(), isolation_level(level)?);
        }
        if let Some(codec) = table.option("kafka.producer.compression.type") {
            properties.insert("compression.type".to_owned(), compression(codec)?);
        }
        if let Some(timeout) = table.option(CONNECT_TIMEOUT) {
            properties.insert(CONNECT_TIMEOUT.to_owned(), timeout.to_owned());
        }
        let options = Self {
            bootstrap,
            properties,
        };
        options.connect_timeout()?;
        for role in [Role::Consumer, Role::Producer] {
            options
                .client_config(role)
                .create_native_config()
                .map_err(|error| refused(&error))?;
        }
        Ok(options)
    }

    /// How long opening waits for a broker.
    ///
    /// # Errors
    /// `Invalid` when the option is not a duration from 1 ms to an hour.
    pub(super) fn connect_timeout(&self) -> Result<Duration> {
        let Some(text) = self.properties.get(CONNECT_TIMEOUT) else {
            return Ok(CONNECT_TIMEOUT_DEFAULT);
        };
        duration(text)
            .filter(|value| !value.is_zero() && *value <= CONNECT_TIMEOUT_MAX)
            .ok_or_else(|| {
                Error::option(format!(
                    "option '{CONNECT_TIMEOUT}': \"{text}\" is not a duration such as \"30 s\", at most 1 h"
                ))
            })
    }

    /// The configuration of a librdkafka handle: defaults, what the user wrote, then what must be.
    pub(super) fn client_config(&self, role: Role) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Warning);
        config.set("reconnect.backoff.max.ms", RECONNECT_BACKOFF_MS_MAX);
        config.set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS);
        let (defaults, forced, foreign): (&[_], &[_], &[_]) = match role {
            Role::Consumer => (&CONSUMER_DEFAULTS, &CONSUMER_FORCED, &PRODUCER_ONLY),
            Role::Control => (&[], &CONSUMER_FORCED[..2], &PRODUCER_ONLY),
            Role::Record => (&[], &RECORD_FORCED, &PRODUCER_ONLY),
            Role::Producer => (&PRODUCER_DEFAULTS, &PRODUCER_FORCED, &CONSUMER_ONLY),
        };
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            if key != CONNECT_TIMEOUT && !foreign.contains(&key.as_str()) {
                config.set(key, value);
            }
        }
        for (key, value) in forced {
            config.set(*key, *value);
        }
        if matches!(role, Role::Consumer | Role::Record) {
            // The group only says where group-offsets starts: the reading handle joins and commits to none, and the epoch record
            // has a group of its own.
            config.remove("group.id").remove("group.instance.id");
        }
        if matches!(role, Role::Consumer | Role::Producer) {
            // The others live for a call or two, and nobody takes their statistics.
            config.set("statistics.interval.ms", STATISTICS_MS);
        }
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// What tells clusters apart, and principals on them: addresses in order, protocol and principal. No secret is part of it.
    pub(super) fn identity(&self) -> String {
        let mut addresses: Vec<&str> = self.bootstrap.split(',').map(str::trim).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let mut identity = format!("kafka {}", addresses.join(","));
        if let Some(protocol) = self.properties.get("security.protocol") {
            identity.push(' ');
            identity.push_str(&protocol.to_uppercase());
        }
        for name in PRINCIPAL {
            if let Some(principal) = self.properties.get(name) {
                identity.push_str(" as ");
                identity.push_str(principal);
            }
        }
        identity
    }

    /// The consumer group whose committed offsets `group-offsets` starts at.
    pub(super) fn group_id(&self) -> Option<&str> {
        self.properties.get("group.id").map(String::as_str)
    }
}

/// The message for a property that librdkafka refuses, without its value.
fn refused(error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => Error::option(format!(
            "option 'properties.{key}' has a name or a value that librdkafka does not accept"
        )),
        _ => Error::option("the Kafka properties are not accepted by librdkafka"),
    }
}

/// Confluent's spelling of an isolation level in librdkafka's.
fn isolation_level(level: &str) -> Result<String> {
    match level {
        "read-committed" => Ok("read_committed".to_owned()),
        "read-uncommitted" => Ok("read_uncommitted".to_owned()),
        other => Err(Error::option(format!(
            "option 'kafka.consumer.isolation-level': \"{other}\" is not one of read-committed, read-uncommitted"
        ))),
    }
}

/// A compression codec that librdkafka knows.
fn compression(codec: &str) -> Result<String> {
    match codec {
        "none" | "gzip" | "snappy" | "lz4" | "zstd" => Ok(codec.to_owned()),
        other => Err(Error::option(format!(
            "option 'kafka.producer.compression.type': \"{other}\" is not one of none, gzip, snappy, lz4, zstd"
        ))),
    }
}

/// Reads a duration as Flink writes it: a number and `ms`, `s`, `min` or `h`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::ObjectName;

    /// A table with these options.
    fn table(options: &[(&str, &str)]) -> TableDef {
        TableDef {
            name: ObjectName {
                catalog: "c".into(),
                database: "d".into(),
                name: "orders".into(),
            },
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            distributed_by: Vec::new(),
            buckets: None,
            options: options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            comment: None,
        }
    }

    #[test]
    fn topic_is_the_option_or_the_table_name() {
        assert_eq!(topic_of(&table(&[])), "orders");
        assert_eq!(topic_of(&table(&[("topic", "t")])), "t");
    }

    #[test]
    fn own_address_wins_over_the_default() {
        let own = table(&[("properties.bootstrap.servers", "a:1")]);
        let options = KafkaOptions::from_table(&own, Some("b:2")).unwrap();
        assert_eq!(options.bootstrap, "a:1");
        let none = KafkaOptions::from_table(&table(&[]), Some("b:2")).unwrap();
        assert_eq!(none.bootstrap, "b:2");
        let error = KafkaOptions::from_table(&table(&[]), None).unwrap_err();
        assert!(
            error.message.contains("properties.bootstrap.servers"),
            "{error}"
        );
    }

    #[test]
    fn roles_get_their_own_settings_and_the_user_may_not_break_them() {
        let options = KafkaOptions::from_table(
            &table(&[
                ("properties.group.id", "g"),
                ("properties.acks", "1"),
                ("properties.queued.min.messages", "7"),
                ("kafka.consumer.isolation-level", "read-uncommitted"),
                ("kafka.producer.compression.type", "lz4"),
            ]),
            Some("b:2"),
        )
        .unwrap();
        let consumer = options.client_config(Role::Consumer);
        assert_eq!(consumer.get("isolation.level"), Some("read_uncommitted"));
        assert_eq!(consumer.get("queued.min.messages"), Some("7"));
        assert_eq!(consumer.get("group.id"), None);
        assert_eq!(consumer.get("compression.type"), None);
        assert_eq!(consumer.get("enable.partition.eof"), Some("true"));
        let producer = options.client_config(Role::Producer);
        assert_eq!(producer.get("acks"), Some("all"));
        assert_eq!(producer.get("compression.type"), Some("lz4"));
        assert_eq!(producer.get("isolation.level"), None);
        assert_eq!(
            options.client_config(Role::Control).get("group.id"),
            Some("g")
        );
    }

    #[test]
    fn secrets_are_never_printed() {
        let options = KafkaOptions::from_table(
            &table(&[
                ("properties.sasl.username", "alice"),
                ("properties.sasl.password", "hunter2"),
            ]),
            Some("b:2"),
        )
        .unwrap();
        let printed = format!("{options:?}");
        assert!(printed.contains("sasl.password"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
        let error = KafkaOptions::from_table(
            &table(&[("properties.security.protocol", "hunter2")]),
            Some("b:2"),
        )
        .unwrap_err();
        assert!(error.message.contains("security.protocol"), "{error}");
        assert!(!error.message.contains("hunter2"), "{error}");
    }

    #[test]
    fn identity_tells_clusters_and_principals_apart_without_secrets() {
        let identity = |bootstrap: &str, own: &[(&str, &str)]| {
            KafkaOptions::from_table(&table(own), Some(bootstrap))
                .unwrap()
                .identity()
        };
        assert_eq!(identity("b:2, a:1", &[]), identity("a:1,b:2", &[]));
        let alice = [
            ("properties.security.protocol", "SASL_SSL"),
            ("properties.sasl.mechanism", "PLAIN"),
            ("properties.sasl.username", "alice"),
            ("properties.sasl.password", "hunter2"),
        ];
        assert_eq!(identity("a:1", &alice), "kafka a:1 SASL_SSL as alice");
        assert_ne!(identity("a:1", &alice), identity("a:1", &[]));
        let tuned = [("properties.linger.ms", "7")];
        assert_eq!(identity("a:1", &tuned), identity("a:1", &[]));
    }

    #[test]
    fn the_epoch_record_is_read_committed_and_outside_the_users_group() {
        let options = KafkaOptions::from_table(
            &table(&[
                ("properties.group.id", "g"),
                ("properties.group.instance.id", "i"),
                ("properties.isolation.level", "read_uncommitted"),
            ]),
            Some("b:2"),
        )
        .unwrap();
        let record = options.client_config(Role::Record);
        assert_eq!(record.get("group.id"), None);
        assert_eq!(record.get("group.instance.id"), None);
        assert_eq!(record.get("isolation.level"), Some("read_committed"));
        let source = options.client_config(Role::Consumer);
        assert_eq!(source.get("isolation.level"), Some("read_uncommitted"));
    }

    #[test]
    fn bad_values_are_refused_with_their_names() {
        for (key, value) in [
            ("kafka.consumer.isolation-level", "dirty"),
            ("kafka.producer.compression.type", "rar"),
            (CONNECT_TIMEOUT, "soon"),
            (CONNECT_TIMEOUT, "0 s"),
            ("properties.no.such.property", "1"),
        ] {
            let error = KafkaOptions::from_table(&table(&[(key, value)]), Some("b:2")).unwrap_err();
            assert!(error.message.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn durations_are_read_as_flink_writes_them() {
        assert_eq!(duration("30 s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2 min"), Some(Duration::from_mins(2)));
        assert_eq!(duration("30"), None);
        assert_eq!(duration("s"), None);
        assert_eq!(duration("99999999999999999999 s"), None);
    }
}
