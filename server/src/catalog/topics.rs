//! Where topics are: in the embedded log or in Kafka.
//!
//! Place in the flow: the catalog makes and deletes topics here. It waits for brokers, so it is called from threads that may.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_runtime::connector::kafka::{KafkaOptions, admin};
use weir_runtime::connector::log::{LogStore, TopicConfig};
use weir_runtime::error::{Error, Result};

use super::options::TopicSettings;

/// Where topics are.
#[derive(Debug, Clone)]
pub enum Topics {
    /// In the embedded log.
    Log(Arc<LogStore>),
    /// In a Kafka cluster.
    Kafka(KafkaOptions),
}

impl Topics {
    /// Makes a topic unless there is one; whether it was made.
    ///
    /// # Errors
    /// `Invalid` when the topic cannot be as asked, or is there with another number of partitions than the table names;
    /// `Unavailable` with the address when no broker answers.
    pub(super) fn create(
        &self,
        name: &str,
        settings: TopicSettings,
        buckets: Option<u32>,
    ) -> Result<bool> {
        if let Some(found) = self.partitions(name)? {
            return match buckets {
                Some(wanted) if wanted != found => Err(Error::exists(format!(
                    "topic \"{name}\" exists already with {found} partitions, not {wanted}: leave out INTO {wanted} BUCKETS to use it as it is"
                ))),
                _ => Ok(false),
            };
        }
        match self {
            Self::Log(log) => log.create_topic(
                name,
                TopicConfig {
                    partitions: settings.partitions,
                    retention_ms: settings.retention_ms,
                    compacted: settings.compacted,
                },
            )?,
            Self::Kafka(options) => {
                admin::create_topic(options, name, settings.partitions, &kafka_config(settings))?;
            }
        }
        Ok(true)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// `Invalid` when there is none; `Unavailable` with the address when no broker answers.
    pub(super) fn delete(&self, name: &str) -> Result<()> {
        match self {
            Self::Log(log) => log.delete_topic(name),
            Self::Kafka(options) => admin::delete_topic(options, name),
        }
    }

    /// Partitions of a topic; absent when there is none of that name.
    ///
    /// # Errors
    /// `Unavailable` with the address when no broker answers.
    pub(super) fn partitions(&self, name: &str) -> Result<Option<u32>> {
        match self {
            Self::Log(log) => Ok(log.topic(name).map(|topic| topic.partitions)),
            Self::Kafka(options) => admin::topic_partitions(options, name),
        }
    }

    /// Names of all topics, sorted, without internal ones.
    ///
    /// # Errors
    /// `Unavailable` with the address when no broker answers.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        match self {
            Self::Log(log) => Ok(log.topics()),
            Self::Kafka(options) => admin::list_topics(options),
        }
    }

    /// Whether a topic keeps the newest record of each key.
    ///
    /// # Errors
    /// `Unavailable` with the address when no broker answers.
    pub(super) fn is_compacted(&self, name: &str) -> Result<bool> {
        match self {
            Self::Log(log) => Ok(log.topic(name).is_some_and(|topic| topic.compacted)),
            Self::Kafka(options) => admin::is_topic_compacted(options, name),
        }
    }

    /// The embedded log, when topics are there.
    pub fn log(&self) -> Option<&Arc<LogStore>> {
        match self {
            Self::Log(log) => Some(log),
            Self::Kafka(_) => None,
        }
    }
}

/// Topic configuration with Kafka's names.
fn kafka_config(settings: TopicSettings) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    if settings.compacted {
        config.insert("cleanup.policy".to_owned(), "compact".to_owned());
    }
    if let Some(retention_ms) = settings.retention_ms {
        config.insert("retention.ms".to_owned(), retention_ms.to_string());
    }
    config
}
