//! What a server is started with.
//!
//! Place in the flow: the binary fills [`ServerConfig`], [`crate::Server::start`] reads it. Invariant: a server that is not
//! protected listens on the loopback interface only.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_runtime::connector::log::FsyncPolicy;
use weir_runtime::task::JobConfig;

use crate::error::{Error, Result};
use crate::statement::StateLimits;

/// The port of `weir up`: unassigned, beside the 8081 to 8083 of Flink, Schema Registry and Connect (own choice).
pub const DEFAULT_PORT: u16 = 8088;

/// Largest `max_cfu` of the default pool.
///
/// # Source
/// Confluent: default compute pools have a limit of 50 CFU.
pub const DEFAULT_MAX_CFU: u32 = 50;

/// Where a Schema Registry is and how it is reached.
#[derive(Clone, Default)]
pub struct ExternalRegistry {
    /// Address; user and password may stand in it.
    pub url: String,
    /// User and password of basic authentication, before those in the address.
    pub basic: Option<(String, String)>,
    /// PEM file of certificate authorities that are trusted besides those of the machine.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for ExternalRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("ExternalRegistry")
            .field("url", &"***")
            .field("basic", &self.basic.as_ref().map(|_| "***"))
            .field("ca_file", &self.ca_file)
            .finish()
    }
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where every API is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Bootstrap servers of the Kafka cluster that topics live in; absent means the embedded log.
    pub kafka: Option<String>,
    /// When the embedded log is forced to the device.
    pub log_sync: FsyncPolicy,
    /// An external Schema Registry; absent means the embedded one.
    pub schema_registry: Option<ExternalRegistry>,
    /// New cap of the default pool; absent keeps the stored one, which is [`DEFAULT_MAX_CFU`] at first.
    pub max_cfu: Option<u32>,
    /// Where checkpoints are kept, a path or URL (`s3://`, `gs://`, `az://`); absent means below the data directory.
    pub checkpoint_dir: Option<String>,
    /// How that place is reached, as keys and values.
    pub checkpoint_options: Vec<(String, String)>,
    /// Settings of every job.
    pub job: JobConfig,
    /// Limits of each statement's state; Confluent's by default.
    pub state_limits: StateLimits,
}

impl ServerConfig {
    /// A server on a free loopback port, everything embedded.
    pub fn embedded(data_dir: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir,
            kafka: None,
            log_sync: FsyncPolicy::default(),
            schema_registry: None,
            max_cfu: None,
            checkpoint_dir: None,
            checkpoint_options: Vec::new(),
            job: JobConfig::default(),
            state_limits: StateLimits::default(),
        }
    }

    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// `Start` for an address other machines can reach, since there is neither TLS nor a key to protect it, and for a pool of
    /// no CFU.
    pub fn validate(&self) -> Result<()> {
        if !self.listen.ip().is_loopback() {
            return Err(Error::Start(format!(
                "cannot listen on {}: other machines would reach it without TLS and API keys, which this version does not have; \
                 listen on 127.0.0.1 and put a protecting proxy before it",
                self.listen
            )));
        }
        if self.max_cfu == Some(0) {
            return Err(Error::Start(
                "a compute pool needs at least 1 CFU: raise --max-cfu".to_owned(),
            ));
        }
        self.state_limits.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served_without_protection() {
        let mut config = ServerConfig::embedded(PathBuf::from("data"));
        assert!(config.validate().is_ok());
        config.listen = SocketAddr::from(([0, 0, 0, 0], 8088));
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:8088"), "{error}");
        assert!(error.contains("TLS"), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = ServerConfig::embedded(PathBuf::from("data"));
        config.schema_registry = Some(ExternalRegistry {
            url: "http://me:secret@h".to_owned(),
            basic: Some(("me".to_owned(), "secret".to_owned())),
            ca_file: None,
        });
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn an_empty_pool_is_refused() {
        let mut config = ServerConfig::embedded(PathBuf::from("data"));
        config.max_cfu = Some(0);
        assert!(config.validate().is_err());
    }
}
