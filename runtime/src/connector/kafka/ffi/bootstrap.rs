//! A way back for clients that have forgotten every broker.
//!
//! Place in the flow: the queue of a client that reads or writes looks at each of its statistics here. Invariant: servers are only
//! added to a client that knows no broker, where librdkafka itself never asks anyone again.
//!
//! # Source
//! librdkafka 2.10 forgets brokers that an answer to a metadata request does not name. A broker that has just started and is not in
//! service yet answers with topics and no brokers at all, and librdkafka 2.12 then forgets its bootstrap servers too (issue 5301 of
//! librdkafka). Seen with Kafka 4.2.1: a reader that stood still after one of about 40 restarts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CString;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use serde::Deserialize;

use crate::connector::kafka::client::Context;
use crate::error::{Error, Result};

/// A client and where it began.
pub(super) struct Bootstrap {
    /// The client.
    client: *mut sys::rd_kafka_t,
    /// Comma-separated `host:port` list.
    servers: CString,
}

impl Bootstrap {
    /// Of a client that outlives this.
    ///
    /// # Errors
    /// `Invalid` when the list has a zero byte.
    pub(super) fn of_consumer(client: &BaseConsumer<Context>) -> Result<Self> {
        Self::new(client.client().native_ptr(), client.context())
    }

    /// As [`Self::of_consumer`].
    ///
    /// # Errors
    /// As [`Self::of_consumer`].
    pub(super) fn of_producer(client: &BaseProducer<Context>) -> Result<Self> {
        Self::new(client.client().native_ptr(), client.client().context())
    }

    /// A client and its servers.
    fn new(client: *mut sys::rd_kafka_t, context: &Context) -> Result<Self> {
        let servers = CString::new(context.servers())
            .map_err(|_| Error::option("'properties.bootstrap.servers' has a zero byte"))?;
        Ok(Self { client, servers })
    }

    /// Adds the servers again when the client's statistics name no broker that it could ask.
    pub(super) fn restore(&self, statistics: &str) {
        if knows_brokers(statistics) {
            return;
        }
        tracing::warn!(
            servers = %self.servers.to_string_lossy(),
            "the Kafka client knows no broker any more, it begins again with its bootstrap servers"
        );
        // SAFETY: the client is alive, and the list is a C string that librdkafka copies.
        unsafe { sys::rd_kafka_brokers_add(self.client, self.servers.as_ptr()) };
    }
}

/// What is read of a client's statistics.
#[derive(Deserialize)]
struct Statistics<'a> {
    /// Brokers by name.
    #[serde(borrow)]
    brokers: BTreeMap<Cow<'a, str>, Broker<'a>>,
}

/// A broker.
#[derive(Deserialize)]
struct Broker<'a> {
    /// How the client knows it: `configured`, `learned`, `internal` or `logical`.
    #[serde(borrow)]
    source: Cow<'a, str>,
}

/// Whether statistics name a broker with an address of its own; true for those that cannot be read.
fn knows_brokers(statistics: &str) -> bool {
    let Ok(statistics) = serde_json::from_str::<Statistics<'_>>(statistics) else {
        return true;
    };
    let mut sources = statistics.brokers.values().map(|broker| &broker.source);
    sources.any(|source| source == "configured" || source == "learned")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use rdkafka::ClientContext;
    use rdkafka::config::ClientConfig;
    use rdkafka::producer::{DeliveryResult, ProducerContext};

    use super::*;

    /// Keeps the newest statistics.
    #[derive(Default)]
    struct Newest(Mutex<String>);

    impl ClientContext for Newest {
        fn stats_raw(&self, statistics: &[u8]) {
            *self.0.lock().unwrap() = String::from_utf8_lossy(statistics).into_owned();
        }
    }

    impl ProducerContext for Newest {
        type DeliveryOpaque = ();

        fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
    }

    #[test]
    fn statistics_of_a_client_name_its_bootstrap_server() {
        let client: BaseProducer<Newest> = ClientConfig::new()
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("statistics.interval.ms", "10")
            .create_with_context(Newest::default())
            .unwrap();
        let newest = || client.client().context().0.lock().unwrap().clone();
        for _ in 0..1000 {
            client.poll(Duration::from_millis(10));
            if !newest().is_empty() {
                break;
            }
        }
        let newest = newest();
        let statistics: Statistics<'_> = serde_json::from_str(&newest).unwrap();
        assert_eq!(
            statistics.brokers["127.0.0.1:1/bootstrap"].source,
            "configured"
        );
    }

    #[test]
    fn a_coordinator_without_an_address_is_no_broker() {
        let broker = |source: &str| {
            format!(
                r#"{{"name":"c","brokers":{{"b:1/1":{{"name":"b:1/1","source":"{source}"}}}}}}"#
            )
        };
        assert!(knows_brokers(&broker("learned")) && knows_brokers(&broker("configured")));
        assert!(!knows_brokers(&broker("logical")) && !knows_brokers(r#"{"brokers":{ }}"#));
        assert!(knows_brokers("no JSON"));
    }
}
