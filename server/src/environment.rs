//! The environment that jobs run in: the one place where it is put together.

use std::path::Path;
use std::sync::Arc;

use weir_runtime::connector::kafka::KafkaOptions;
use weir_runtime::connector::log::{LogOptions, LogStore};
use weir_runtime::format::registry::{HttpRegistry, SchemaRegistry};
use weir_runtime::sql::catalog::ObjectName;
use weir_runtime::task::{Environment, MemoryAccountant};
use weir_runtime::time::SharedClock;

use crate::catalog::{CatalogService, Topics};
use crate::config::{ExternalRegistry, ServerConfig};
use crate::error::{Error, Result};
use crate::schema_registry::{self, SchemaStore};

/// Where the topics of a server are.
///
/// # Errors
/// `Storage` when the log's directory is in use or cannot be written.
pub(crate) fn open_topics(config: &ServerConfig, clock: &SharedClock) -> Result<Topics> {
    if let Some(bootstrap) = &config.kafka {
        return Ok(Topics::Kafka(KafkaOptions::new(bootstrap.clone())));
    }
    let dir = log_dir(&config.data_dir);
    let options = LogOptions {
        fsync: config.log_sync,
        ..LogOptions::default()
    };
    Ok(Topics::Log(LogStore::open(
        &dir,
        options,
        Arc::clone(clock),
    )?))
}

/// The Schema Registry of a server, and the API of the embedded one.
///
/// # Errors
/// `Storage` when the embedded one cannot be opened; `Runtime` for a URL that is none.
pub(crate) fn open_registry(
    config: &ServerConfig,
) -> Result<(Arc<dyn SchemaRegistry>, axum::Router)> {
    if let Some(external) = &config.schema_registry {
        return Ok((Arc::new(connect(external)?), axum::Router::new()));
    }
    let store = Arc::new(SchemaStore::open(&config.data_dir).map_err(Error::Storage)?);
    let api = schema_registry::router(Arc::clone(&store));
    Ok((store, api))
}

/// A client of an external Schema Registry. Whether it answers is found out when the first statement needs it.
fn connect(external: &ExternalRegistry) -> Result<HttpRegistry> {
    let registry = HttpRegistry::new(&external.url, external.basic.clone())?;
    let Some(path) = &external.ca_file else {
        return Ok(registry);
    };
    let pem = std::fs::read(path).map_err(|error| {
        Error::Start(format!(
            "cannot read the certificate authorities of the Schema Registry, \"{}\": {error}",
            path.display()
        ))
    })?;
    Ok(registry.trusting(&pem)?)
}

/// The environment of every job.
pub(crate) fn build(
    config: &ServerConfig,
    clock: &SharedClock,
    catalog: &Arc<CatalogService>,
    registry: Arc<dyn SchemaRegistry>,
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
        registry: Some(registry),
        error_tables: Arc::new(error_tables),
        memory: MemoryAccountant::of_this_machine(),
        stage: None,
    }
}

/// Directory of the embedded log.
fn log_dir(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("log")
}

#[cfg(test)]
mod tests {
    use weir_runtime::connector::log::FsyncPolicy;
    use weir_runtime::time::SystemClock;

    use super::*;

    #[test]
    fn the_log_is_opened_with_the_policy_of_the_server() {
        let dir = tempfile::TempDir::new().unwrap();
        for log_sync in [
            FsyncPolicy::Always,
            FsyncPolicy::Never,
            FsyncPolicy::default(),
        ] {
            let config = ServerConfig {
                log_sync,
                ..ServerConfig::embedded(dir.path().to_owned())
            };
            let topics = open_topics(&config, &SystemClock::shared()).unwrap();
            assert_eq!(topics.log().unwrap().fsync_policy(), log_sync);
        }
    }
}
