//! What a job needs from the outside, and which connector a table is.
//!
//! Place in the flow: the server builds one [`Environment`]; deployment asks it for sources and sinks. Invariant: the only place
//! that knows connectors by name.

use std::sync::Arc;

use crate::connector::blackhole::BlackholeSink;
use crate::connector::datagen::DatagenSource;
use crate::connector::faker::FakerSource;
use crate::connector::filesystem::{FilesystemSink, FilesystemSource};
#[cfg(test)]
use crate::connector::kafka::model::Connection;
use crate::connector::kafka::{KafkaOptions, KafkaSink, KafkaSource};
use crate::connector::log::{LogSink, LogSource, LogStore};
use crate::connector::options::{IsolationLevel, ScanOptions};
use crate::connector::print::PrintSink;
use crate::connector::sink::Sink;
use crate::connector::source::Source;
use crate::error::{Error, Result};
use crate::format::registry::SchemaRegistry;
use crate::plan::{Column, ReadColumn};
use crate::sql::catalog::{ObjectName, TableDef};
use crate::task::memory::MemoryAccountant;
use crate::task::record_writer::topic_of;
use crate::testing::Stage;
use crate::time::SharedClock;

/// Finds the table that dead letters are written to, creating it when it is missing.
pub type ErrorTables = Arc<dyn Fn(&ObjectName) -> Result<TableDef> + Send + Sync>;

/// What a job needs from the outside: clocks, logs, brokers and registries.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: SharedClock,
    /// The embedded log, which `confluent` tables live in unless [`Self::kafka`] is set.
    pub log: Option<Arc<LogStore>>,
    /// Bootstrap servers of the Kafka cluster that `confluent` tables live in.
    pub kafka: Option<String>,
    /// The Schema Registry of registry formats.
    pub registry: Option<Arc<dyn SchemaRegistry>>,
    /// Error tables by name.
    pub error_tables: ErrorTables,
    /// Memory of all slots of the process.
    pub memory: Arc<MemoryAccountant>,
    /// What a test puts in the place of connectors.
    #[doc(hidden)]
    pub stage: Option<Arc<dyn Stage>>,
    /// A model that all Kafka tables live in.
    #[cfg(test)]
    pub(crate) model: Option<Arc<Connection>>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("kafka", &self.kafka)
            .finish_non_exhaustive()
    }
}

/// Where the records of a table are.
enum Topic<'a> {
    /// In the embedded log.
    Log(&'a Arc<LogStore>),
    /// In Kafka.
    Kafka(KafkaOptions),
}

impl Environment {
    /// An environment with nothing but a model of Kafka, in which one table takes all dead letters.
    #[cfg(test)]
    pub(crate) fn over_model(
        clock: SharedClock,
        model: Arc<Connection>,
        error_table: TableDef,
    ) -> Self {
        Self {
            clock,
            log: None,
            kafka: None,
            registry: None,
            error_tables: Arc::new(move |_| Ok(error_table.clone())),
            memory: MemoryAccountant::of_this_machine(),
            stage: None,
            model: Some(model),
        }
    }

    /// Where the records of a topic-like table are; absent for other connectors.
    fn topic(&self, table: &TableDef, connector: &str) -> Result<Option<Topic<'_>>> {
        match (connector, &self.kafka, &self.log) {
            ("confluent", None, Some(log)) => Ok(Some(Topic::Log(log))),
            ("confluent", None, None) => Err(Error::option(format!(
                "table {} needs a Kafka cluster: there is no embedded log here",
                table.name
            ))),
            ("confluent" | "kafka" | "upsert-kafka", kafka, _) => Ok(Some(Topic::Kafka(
                KafkaOptions::from_table(table, kafka.as_deref())?,
            ))),
            _ => Ok(None),
        }
    }

    /// What a test has put in the place of a table's connector; its readers give rows.
    pub(super) fn staged_source(
        &self,
        table: &TableDef,
        read: &[ReadColumn],
    ) -> Option<Arc<dyn Source>> {
        self.stage.as_ref()?.source(table, read)
    }

    /// The source of a table.
    ///
    /// # Errors
    /// `Invalid` for options of the connector; `Unsupported` for one that cannot be read.
    pub(super) fn source(&self, table: &TableDef, read: &[ReadColumn]) -> Result<Arc<dyn Source>> {
        if let Some(source) = self.staged_source(table, read) {
            return Ok(source);
        }
        let connector = connector_of(table);
        match self.topic(table, connector)? {
            Some(Topic::Log(log)) => {
                return Ok(Arc::new(LogSource::with_isolation(
                    log,
                    topic_of(table),
                    &ScanOptions::parse(table)?,
                    IsolationLevel::parse(table)?,
                )?));
            }
            Some(Topic::Kafka(options)) => {
                let topic = topic_of(table);
                #[cfg(test)]
                if let Some(model) = &self.model {
                    return Ok(model.source(topic));
                }
                let scan = ScanOptions::parse(table)?;
                return Ok(Arc::new(KafkaSource::new(options, topic, scan)?));
            }
            None => {}
        }
        match connector {
            "datagen" => Ok(Arc::new(DatagenSource::new(table, read)?)),
            "faker" => Ok(Arc::new(FakerSource::new(table, read)?)),
            "filesystem" => Ok(Arc::new(FilesystemSource::new(table)?)),
            other => Err(Error::unsupported(format!(
                "reading table {}: connector '{other}' is a sink only",
                table.name
            ))),
        }
    }

    /// The sink of a table whose rows have these columns.
    ///
    /// # Errors
    /// `Invalid` for options of the connector; `Unsupported` for one that cannot be written.
    pub(super) fn sink(
        &self,
        table: &TableDef,
        columns: &[Column],
        time_zone: &str,
    ) -> Result<Arc<dyn Sink>> {
        if let Some(sink) = self.stage.as_ref().and_then(|stage| stage.sink(table)) {
            return Ok(sink);
        }
        let connector = connector_of(table);
        match self.topic(table, connector)? {
            Some(Topic::Log(log)) => {
                return Ok(Arc::new(LogSink::new(log, topic_of(table))?));
            }
            Some(Topic::Kafka(options)) => {
                let topic = topic_of(table);
                #[cfg(test)]
                if let Some(model) = &self.model {
                    return model.sink(options, topic);
                }
                return Ok(Arc::new(KafkaSink::new(options, topic)?));
            }
            None => {}
        }
        match connector {
            "blackhole" => Ok(Arc::new(BlackholeSink::new())),
            "filesystem" => Ok(Arc::new(FilesystemSink::new(table)?)),
            "print" => {
                let types = columns.iter().map(|column| column.ty.clone()).collect();
                Ok(Arc::new(PrintSink::new(types, time_zone)))
            }
            other => Err(Error::unsupported(format!(
                "writing table {}: connector '{other}' is a source only",
                table.name
            ))),
        }
    }
}

/// The connector of a table.
pub(super) fn connector_of(table: &TableDef) -> &str {
    table.option("connector").unwrap_or("confluent")
}
