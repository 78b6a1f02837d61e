//! What the binder knows about tables and views.
//!
//! Place in the flow: the server (or a test) implements [`Catalog`]; the binder resolves names with it and copies what it
//! finds into the plan, so that a running statement never looks a table up again. Invariant: a [`TableDef`] is complete:
//! options are validated, columns typed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ast::ResourceKind;
use super::resource::Resource;
use crate::error::{Result, unknown_name};
use crate::types::FlinkType;

/// A fully qualified name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Catalog: a Confluent environment.
    pub catalog: String,
    /// Database: a Kafka cluster.
    pub database: String,
    /// Table: a topic.
    pub name: String,
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`.`{}`.`{}`", self.catalog, self.database, self.name)
    }
}

/// A table as `CREATE TABLE` declared it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDef {
    /// Its name.
    pub name: ObjectName,
    /// Columns in declared order.
    pub columns: Vec<TableColumn>,
    /// The declared watermark; absent means `SOURCE_WATERMARK()` on `$rowtime` where the connector has timestamps.
    pub watermark: Option<WatermarkDef>,
    /// Columns of the primary key, empty without one.
    pub primary_key: Vec<String>,
    /// `DISTRIBUTED BY` columns, empty without them.
    pub distributed_by: Vec<String>,
    /// `INTO n BUCKETS`.
    pub buckets: Option<u32>,
    /// WITH options.
    pub options: BTreeMap<String, String>,
    /// Table comment.
    pub comment: Option<String>,
}

impl TableDef {
    /// An option's value.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    /// The column of that name.
    ///
    /// # Errors
    /// `Invalid` with the nearest name.
    pub fn column(&self, name: &str) -> Result<&TableColumn> {
        self.columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| {
                unknown_name(
                    "column",
                    name,
                    self.columns.iter().map(|column| column.name.as_str()),
                )
            })
    }

    /// Physical columns in order.
    pub fn physical(&self) -> impl Iterator<Item = &TableColumn> {
        self.columns
            .iter()
            .filter(|column| column.kind == ColumnKind::Physical)
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Name, case kept.
    pub name: String,
    /// Type.
    pub ty: FlinkType,
    /// Where values come from.
    pub kind: ColumnKind,
    /// Column comment.
    pub comment: Option<String>,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnKind {
    /// Stored in key or value.
    Physical,
    /// `name AS expression`: SQL text, bound against the other columns when the table is read.
    Computed(String),
    /// `METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        /// The connector's metadata key.
        key: String,
        /// Read only.
        is_virtual: bool,
    },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkDef {
    /// The rowtime column.
    pub column: String,
    /// SQL text of the expression; `SOURCE_WATERMARK()` for the default strategy.
    pub expression: String,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewDef {
    /// Its name.
    pub name: ObjectName,
    /// Column names, empty when the query's own are used.
    pub columns: Vec<String>,
    /// SQL text of the query.
    pub query: String,
}

/// Name of the system column that holds a record's timestamp.
///
/// # Source
/// Confluent: system columns of tables.
pub const ROWTIME_COLUMN: &str = "$rowtime";

/// The watermark expression that asks for the default strategy.
pub const SOURCE_WATERMARK: &str = "SOURCE_WATERMARK()";

/// Looks names up. Tables that nobody declared are looked up where topics and schemas are, so calls may wait for brokers.
pub trait Catalog: Send + Sync {
    /// The table of that name.
    ///
    /// # Errors
    /// `Unavailable` when what knows it does not answer; `Unsupported` for a topic whose schema is no table.
    fn table(&self, name: &ObjectName) -> Result<Option<Arc<TableDef>>>;

    /// The view of that name.
    fn view(&self, name: &ObjectName) -> Option<Arc<ViewDef>>;

    /// Tables and views of a database, for SHOW and for suggestions.
    ///
    /// # Errors
    /// `Unavailable` when what knows them does not answer.
    fn table_names(&self, catalog: &str, database: &str) -> Result<Vec<String>>;

    /// Databases of a catalog.
    fn database_names(&self, catalog: &str) -> Vec<String>;

    /// Catalogs.
    fn catalog_names(&self) -> Vec<String>;

    /// The model or connection of that name.
    fn resource(&self, kind: ResourceKind, name: &ObjectName) -> Option<Arc<Resource>>;

    /// Models or connections of a database, for SHOW and for suggestions.
    fn resource_names(&self, kind: ResourceKind, catalog: &str, database: &str) -> Vec<String>;
}

/// Tables and views in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryCatalog {
    /// Tables by name.
    tables: BTreeMap<ObjectName, Arc<TableDef>>,
    /// Views by name.
    views: BTreeMap<ObjectName, Arc<ViewDef>>,
    /// Databases by catalog, also those without tables.
    databases: BTreeSet<(String, String)>,
    /// Models and connections.
    resources: Vec<Arc<Resource>>,
}

impl MemoryCatalog {
    /// A catalog without anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a database, and its catalog if need be.
    pub fn add_database(&mut self, catalog: impl Into<String>, database: impl Into<String>) {
        self.databases.insert((catalog.into(), database.into()));
    }

    /// Adds or replaces a table.
    pub fn put_table(&mut self, table: TableDef) {
        self.add_database(table.name.catalog.clone(), table.name.database.clone());
        self.tables.insert(table.name.clone(), Arc::new(table));
    }

    /// Adds or replaces a view.
    pub fn put_view(&mut self, view: ViewDef) {
        self.add_database(view.name.catalog.clone(), view.name.database.clone());
        self.views.insert(view.name.clone(), Arc::new(view));
    }

    /// Puts a model or connection in the place of another one, as a statement wants it.
    pub fn change_resource(&mut self, before: Option<&Resource>, after: Option<Resource>) {
        self.resources
            .retain(|resource| Some(resource.as_ref()) != before);
        self.resources.extend(after.map(Arc::new));
    }

    /// Removes a table and says whether it was there.
    pub fn remove_table(&mut self, name: &ObjectName) -> bool {
        self.tables.remove(name).is_some()
    }

    /// Removes a view and says whether it was there.
    pub fn remove_view(&mut self, name: &ObjectName) -> bool {
        self.views.remove(name).is_some()
    }
}

impl Catalog for MemoryCatalog {
    fn table(&self, name: &ObjectName) -> Result<Option<Arc<TableDef>>> {
        Ok(self.tables.get(name).cloned())
    }

    fn view(&self, name: &ObjectName) -> Option<Arc<ViewDef>> {
        self.views.get(name).cloned()
    }

    fn table_names(&self, catalog: &str, database: &str) -> Result<Vec<String>> {
        let names: BTreeSet<&String> = self
            .tables
            .keys()
            .chain(self.views.keys())
            .filter(|name| name.catalog == catalog && name.database == database)
            .map(|name| &name.name)
            .collect();
        Ok(names.into_iter().cloned().collect())
    }

    fn database_names(&self, catalog: &str) -> Vec<String> {
        self.databases
            .iter()
            .filter(|(of, _)| of == catalog)
            .map(|(_, database)| database.clone())
            .collect()
    }

    fn catalog_names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.databases.iter().map(|(catalog, _)| catalog).collect();
        names.into_iter().cloned().collect()
    }

    fn resource(&self, kind: ResourceKind, name: &ObjectName) -> Option<Arc<Resource>> {
        let is_it = |resource: &&Arc<Resource>| resource.kind() == kind && resource.name() == name;
        self.resources.iter().find(is_it).cloned()
    }

    fn resource_names(&self, kind: ResourceKind, catalog: &str, database: &str) -> Vec<String> {
        let is_there = |resource: &&Arc<Resource>| {
            let name = resource.name();
            resource.kind() == kind && name.catalog == catalog && name.database == database
        };
        let found = self.resources.iter().filter(is_there);
        let names: BTreeSet<&String> = found.map(|resource| &resource.name().name).collect();
        names.into_iter().cloned().collect()
    }
}
