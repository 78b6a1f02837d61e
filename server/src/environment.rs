//! The environment that jobs run in: the one place where it is put together.

use std::path::Path;
use std::sync::Arc;

use weir_runtime::connector::kafka::KafkaOptions;
use weir_runtime::connector::log::{LogOptions, LogStore};
use weir_runtime::sql::catalog::ObjectName;
use weir_runtime::task::Environment;
use weir_runtime::time::SharedClock;

use crate::catalog::{CatalogService, Topics};
use crate::config::ServerConfig;
use crate::error::{Error, Result};

/// Where the topics of a server are.
///
/// # Errors
/// `Storage` when the log's directory is in use or cannot be written.
pub(crate) fn open_topics(config: &ServerConfig, clock: &SharedClock) -> Result<Topics> {
    if let Some(bootstrap) = &config.kafka {
        return Ok(Topics::Kafka(KafkaOptions::new(bootstrap.clone())));
    }
    let dir = log_dir(&config.data_dir);
    Ok(Topics::Log(LogStore::open(
        &dir,
        LogOptions::default(),
        Arc::clone(clock),
    )?))
}

/// The environment of every job.
pub(crate) fn build(
    config: &ServerConfig,
    clock: &SharedClock,
    catalog: &Arc<CatalogService>,
) -> Environment {
    let tables = Arc::clone(catalog);
    let error_tables = move |name: &ObjectName| {
        tables.error_table(name).map_err(|error| match error {
            Error::Runtime(error) => error,
            other => weir_runtime::Error::unavailable(other.to_string()),
        })
    };
    Environment {
        clock: Arc::clone(clock),
        log: catalog.topics().log().cloned(),
        kafka: config.kafka.clone(),
        registry: None,
        error_tables: Arc::new(error_tables),
    }
}

/// Directory of the embedded log.
fn log_dir(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("log")
}
