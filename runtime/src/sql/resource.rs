//! What the catalog knows besides tables and views: models and connections.
//!
//! Place in the flow: CREATE MODEL and CREATE CONNECTION make them, ML functions name them. Invariant: a secret is never in the text of
//! a `Debug`, of SHOW or of DESCRIBE.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ast::ResourceKind;
use super::catalog::ObjectName;
use crate::plan::Column;

/// A model with its versions; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDef {
    /// Its name.
    pub name: ObjectName,
    /// Versions by number.
    pub versions: BTreeMap<u32, ModelVersion>,
    /// The version that the bare name means; one of them.
    pub default_version: u32,
}

impl ModelDef {
    /// The version that the bare name means.
    pub fn default(&self) -> Option<&ModelVersion> {
        self.versions.get(&self.default_version)
    }
}

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Columns of `INPUT`.
    pub inputs: Vec<Column>,
    /// Columns of `OUTPUT`.
    pub outputs: Vec<Column>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `WITH`.
    pub options: BTreeMap<String, String>,
}

/// How a service outside is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionDef {
    /// Its name.
    pub name: ObjectName,
    /// What kind of service, such as `openai`.
    pub service: String,
    /// Where it is.
    pub endpoint: String,
    /// What else is no secret.
    pub options: BTreeMap<String, String>,
    /// What is.
    pub secrets: BTreeMap<String, Secret>,
    /// `COMMENT`.
    pub comment: Option<String>,
}

/// A secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A model or a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// A model.
    Model(ModelDef),
    /// A connection.
    Connection(ConnectionDef),
}

impl Resource {
    /// Whether it is a model or a connection.
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Model(_) => ResourceKind::Model,
            Self::Connection(_) => ResourceKind::Connection,
        }
    }

    /// Its name.
    pub fn name(&self) -> &ObjectName {
        match self {
            Self::Model(model) => &model.name,
            Self::Connection(connection) => &connection.name,
        }
    }

    /// Its name, to be changed.
    pub fn name_mut(&mut self) -> &mut ObjectName {
        match self {
            Self::Model(model) => &mut model.name,
            Self::Connection(connection) => &mut connection.name,
        }
    }
}
