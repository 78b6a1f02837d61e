//! The catalog as a service.
//!
//! Place in the flow: the binder reads it, immediate statements change it, jobs ask it for error tables. Invariant: definitions in
//! memory are those in the database; one change happens at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use weir_runtime::connector::kafka::topic_of;
use weir_runtime::error::unknown_name;
use weir_runtime::format::registry::{RegisteredSchema, SchemaRegistry};
use weir_runtime::sql::ast::ResourceKind;
use weir_runtime::sql::catalog::{Catalog, ObjectName, TableDef, ViewDef};
use weir_runtime::sql::resource::Resource;
use weir_runtime::task::{TableSchema, table_schemas};

use super::inferred::{self, PartSchema, TopicFacts};
use super::options::topic_settings;
use super::resources::Resources;
use super::{Topics, error_table};
use crate::error::Result;
use crate::names::{CLUSTER_NAME, ENVIRONMENT_NAME, catalog_name, database_name};
use crate::store::{ObjectKind, Store, StoredObject};

/// A table or a view.
#[derive(Debug, Clone)]
enum Object {
    /// A table, and whether its topic goes with it.
    Table(Arc<TableDef>, bool),
    /// A view.
    View(Arc<ViewDef>),
}

/// Tables and views, kept in the database.
#[derive(Debug)]
pub struct CatalogService {
    /// Where definitions last.
    store: Arc<Store>,
    /// Where topics are.
    topics: Topics,
    /// Where schemas of tables are registered.
    registry: Arc<dyn SchemaRegistry>,
    /// Definitions by name.
    objects: RwLock<BTreeMap<ObjectName, Object>>,
    /// Models and connections.
    resources: Resources,
    /// Held while a definition and its topic change.
    changing: Mutex<()>,
}

impl CatalogService {
    /// The catalog of a database.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn open(
        store: Arc<Store>,
        topics: Topics,
        registry: Arc<dyn SchemaRegistry>,
    ) -> Result<Self> {
        let mut objects = BTreeMap::new();
        for stored in store.objects()? {
            let object = match stored.kind {
                ObjectKind::Table => Object::Table(
                    Arc::new(serde_json::from_str(&stored.definition)?),
                    stored.owns_topic,
                ),
                ObjectKind::View => {
                    Object::View(Arc::new(serde_json::from_str(&stored.definition)?))
                }
            };
            objects.insert(stored.name, object);
        }
        Ok(Self {
            resources: Resources::open(&store)?,
            store,
            topics,
            registry,
            objects: RwLock::new(objects),
            changing: Mutex::default(),
        })
    }

    /// Where topics are.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Adds a table and makes its topic and its error table.
    ///
    /// # Errors
    /// `AlreadyExists` unless `if_not_exists`; whatever keeps the topic from being made.
    pub(crate) fn create_table(&self, table: TableDef, if_not_exists: bool) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = canonical_table(table);
        if self.read().contains_key(&table.name) {
            return exists(&table.name, if_not_exists);
        }
        self.make_error_table(&table)?;
        self.add_table(table)
    }

    /// Adds the table of `CREATE TABLE ... AS SELECT`. An earlier attempt of the same statement may have added it already.
    ///
    /// # Errors
    /// As [`Self::create_table`].
    pub(crate) fn create_filled_table(&self, table: TableDef, is_again: bool) -> Result<()> {
        let is_there = self
            .declared(&table.name)
            .is_some_and(|found| *found == canonical_table(table.clone()));
        if is_again && is_there {
            return Ok(());
        }
        self.create_table(table, false)
    }

    /// Changes a table to a new definition; a table that nobody declared is declared by it.
    ///
    /// # Errors
    /// `Invalid` when there is none of that name; `Storage` when the database refuses.
    pub(crate) fn alter_table(&self, table: TableDef) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = canonical_table(table);
        let found = self.read().get(&table.name).cloned();
        let (before, owns_topic) = match found {
            Some(Object::Table(before, owns_topic)) => (before, owns_topic),
            Some(Object::View(_)) => return Err(self.unknown("table", &table.name)),
            None => match self.inferred(&table.name)? {
                Some(before) => (before, false),
                None => return Err(self.unknown("table", &table.name)),
            },
        };
        self.make_error_table(&table)?;
        self.register_changed_schemas(&before, &table)?;
        self.put_table(table, owns_topic)
    }

    /// Removes a table, and its topic and subjects when the table made them.
    ///
    /// # Errors
    /// `Invalid` when there is none of that name, unless `if_exists`; whatever keeps the topic from being deleted.
    pub(crate) fn drop_table(&self, name: &ObjectName, if_exists: bool) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = canonical(name);
        let found = self.read().get(&name).cloned();
        let Some(Object::Table(table, owns_topic)) = found else {
            return match self.inferred(&name) {
                _ if if_exists => Ok(()),
                Ok(Some(_)) => Err(weir_runtime::Error::unsupported(format!(
                    "DROP TABLE {name}: nobody declared it, it is there because its topic is: delete the topic with Kafka's tools"
                ))
                .into()),
                Ok(None) | Err(_) => Err(self.unknown("table", &name)),
            };
        };
        let topic = topic_of(&table);
        if owns_topic && self.topics.partitions(topic)?.is_some() {
            self.topics.delete(topic)?;
        }
        if owns_topic {
            self.delete_subjects(&table);
        }
        self.store.remove_object(&name)?;
        self.write().remove(&name);
        Ok(())
    }

    /// Deletes the subjects of a table whose topic is gone, so that another table of its name may have other schemas. What cannot be
    /// deleted, because another schema refers to it or the registry is away, is left.
    fn delete_subjects(&self, table: &TableDef) {
        if table.option("connector").unwrap_or("confluent") != "confluent" {
            return;
        }
        for schema in table_schemas(table).unwrap_or_default() {
            if let Err(error) = self.registry.delete_subject(&schema.subject) {
                tracing::warn!(subject = schema.subject, %error, "the subject of a dropped table is left");
            }
        }
    }

    /// Adds a view.
    ///
    /// # Errors
    /// `AlreadyExists` unless `if_not_exists`; `Storage` when the database refuses.
    pub(crate) fn create_view(&self, mut view: ViewDef, if_not_exists: bool) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        view.name = canonical(&view.name);
        if self.read().contains_key(&view.name) {
            return exists(&view.name, if_not_exists);
        }
        self.store.put_object(&StoredObject {
            name: view.name.clone(),
            kind: ObjectKind::View,
            definition: serde_json::to_string(&view)?,
            owns_topic: false,
        })?;
        self.write()
            .insert(view.name.clone(), Object::View(Arc::new(view)));
        Ok(())
    }

    /// Changes a view to a new definition, which may have another name.
    ///
    /// # Errors
    /// `Invalid` when there is none of that name; `AlreadyExists` when the new name is taken; `Storage` when the database refuses.
    pub(crate) fn alter_view(&self, name: &ObjectName, mut view: ViewDef) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = canonical(name);
        view.name = canonical(&view.name);
        let found = self.read().get(&name).cloned();
        if !matches!(found, Some(Object::View(_))) {
            return Err(self.unknown("view", &name));
        }
        if view.name != name && self.read().contains_key(&view.name) {
            return exists(&view.name, false);
        }
        let stored = StoredObject {
            name: view.name.clone(),
            kind: ObjectKind::View,
            definition: serde_json::to_string(&view)?,
            owns_topic: false,
        };
        self.store.rename_object(&name, &stored)?;
        let mut objects = self.write();
        objects.remove(&name);
        objects.insert(view.name.clone(), Object::View(Arc::new(view)));
        Ok(())
    }

    /// Puts a model or connection in the place of another one.
    ///
    /// # Errors
    /// `Invalid` when the other one has changed since, or the name is taken; `Storage` when the database refuses.
    pub(crate) fn change_resource(
        &self,
        before: Option<&Resource>,
        after: Option<Resource>,
    ) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.resources.change(&self.store, before, after)
    }

    /// Removes a view.
    ///
    /// # Errors
    /// `Invalid` when there is none of that name, unless `if_exists`; `Storage` when the database refuses.
    pub(crate) fn drop_view(&self, name: &ObjectName, if_exists: bool) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = canonical(name);
        let found = self.read().get(&name).cloned();
        if !matches!(found, Some(Object::View(_))) {
            return if if_exists {
                Ok(())
            } else {
                Err(self.unknown("view", &name))
            };
        }
        self.store.remove_object(&name)?;
        self.write().remove(&name);
        Ok(())
    }

    /// The error table of that name, made when it is missing.
    ///
    /// # Errors
    /// `Invalid` when the name is taken by a view; whatever keeps the table from being made.
    pub(crate) fn error_table(&self, name: &ObjectName) -> Result<TableDef> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.find_or_make_error_table(name)
    }

    /// Makes the error table that a table asks for.
    fn make_error_table(&self, table: &TableDef) -> Result<()> {
        match error_table::target_of(table)? {
            Some(target) => self.find_or_make_error_table(&target).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The error table of that name, made when it is missing. The caller holds the lock for changes.
    fn find_or_make_error_table(&self, name: &ObjectName) -> Result<TableDef> {
        let name = canonical(name);
        let found = self.read().get(&name).cloned();
        match found {
            Some(Object::Table(table, _)) => Ok((*table).clone()),
            Some(Object::View(_)) => Err(weir_runtime::Error::validation(format!(
                "dead letters cannot be written to {name}, which is a view"
            ))
            .into()),
            None => {
                let table = error_table::definition(name);
                self.add_table(table.clone())?;
                Ok(table)
            }
        }
    }

    /// Makes the topic of a table and stores the table; the topic goes again when the table cannot be stored.
    fn add_table(&self, table: TableDef) -> Result<()> {
        let topic = topic_of(&table).to_owned();
        let is_topic = table.option("connector").unwrap_or("confluent") == "confluent";
        let owns_topic = is_topic
            && self
                .topics
                .create(&topic, topic_settings(&table)?, table.buckets)?;
        let registered = self.register_schemas(&table);
        let added = registered.and_then(|()| self.put_table(table, owns_topic));
        if added.is_err()
            && owns_topic
            && let Err(error) = self.topics.delete(&topic)
        {
            tracing::warn!(topic, %error, "a topic without a table is left");
        }
        added
    }

    /// Registers the schemas of a new table, so that they are there before the first record. A subject with a schema is left as it is:
    /// the table is over records of another program.
    fn register_schemas(&self, table: &TableDef) -> Result<()> {
        for schema in schemas_of(table)? {
            if let Some(found) = self.registry.latest(&schema.subject)? {
                check_language(&schema, &found)?;
            } else {
                self.registry
                    .register(&schema.subject, schema.schema_type, &schema.schema)?;
            }
        }
        Ok(())
    }

    /// Registers the schemas that a change of a table changed.
    fn register_changed_schemas(&self, before: &TableDef, table: &TableDef) -> Result<()> {
        let known = schemas_of(before)?;
        for schema in schemas_of(table)? {
            if !known.contains(&schema) {
                self.registry
                    .register(&schema.subject, schema.schema_type, &schema.schema)?;
            }
        }
        Ok(())
    }

    /// The definition that somebody declared under a name.
    pub(crate) fn declared(&self, name: &ObjectName) -> Option<Arc<TableDef>> {
        match self.read().get(&canonical(name)) {
            Some(Object::Table(table, _)) => Some(Arc::clone(table)),
            Some(Object::View(_)) | None => None,
        }
    }

    /// The table of a topic that nobody declared; absent when there is no topic of that name.
    fn inferred(&self, name: &ObjectName) -> weir_runtime::error::Result<Option<Arc<TableDef>>> {
        let name = canonical(name);
        let is_ours = name.catalog == ENVIRONMENT_NAME && name.database == CLUSTER_NAME;
        if !is_ours || !is_topic_name(&name.name) {
            return Ok(None);
        }
        let Some(partitions) = self.topics.partitions(&name.name)? else {
            return Ok(None);
        };
        let schema = |part: &str| -> weir_runtime::error::Result<Option<PartSchema>> {
            let subject = format!("{}-{part}", name.name);
            let found = self.registry.latest(&subject)?;
            let registry = self.registry.as_ref();
            let schema = found.map(|schema| inferred::part_of(&schema, part, registry));
            schema
                .transpose()
                .map_err(|error| error.context(&format!("subject \"{subject}\"")))
        };
        let facts = TopicFacts {
            partitions,
            is_compacted: self.topics.is_compacted(&name.name)?,
            key: schema("key")?,
            value: schema("value")?,
            name,
        };
        Ok(Some(Arc::new(inferred::infer(facts))))
    }

    /// Stores a table.
    fn put_table(&self, table: TableDef, owns_topic: bool) -> Result<()> {
        self.store.put_object(&StoredObject {
            name: table.name.clone(),
            kind: ObjectKind::Table,
            definition: serde_json::to_string(&table)?,
            owns_topic,
        })?;
        self.write().insert(
            table.name.clone(),
            Object::Table(Arc::new(table), owns_topic),
        );
        Ok(())
    }

    /// An unknown object with the nearest name.
    fn unknown(&self, what: &str, name: &ObjectName) -> crate::Error {
        // Without an answer the name is still unknown; there are only no suggestions.
        let names = self
            .table_names(&name.catalog, &name.database)
            .unwrap_or_default();
        unknown_name(what, &name.name, names.iter().map(String::as_str)).into()
    }

    /// Definitions, for reading.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ObjectName, Object>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Definitions, for writing.
    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ObjectName, Object>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalog for CatalogService {
    fn table(&self, name: &ObjectName) -> weir_runtime::error::Result<Option<Arc<TableDef>>> {
        match self.read().get(&canonical(name)) {
            Some(Object::Table(table, _)) => return Ok(Some(Arc::clone(table))),
            Some(Object::View(_)) => return Ok(None),
            None => {}
        }
        self.inferred(name)
    }

    fn view(&self, name: &ObjectName) -> Option<Arc<ViewDef>> {
        match self.read().get(&canonical(name)) {
            Some(Object::View(view)) => Some(Arc::clone(view)),
            Some(Object::Table(..)) | None => None,
        }
    }

    fn table_names(
        &self,
        catalog: &str,
        database: &str,
    ) -> weir_runtime::error::Result<Vec<String>> {
        let (catalog, database) = (catalog_name(catalog), database_name(database));
        let mut names = BTreeSet::new();
        if catalog == ENVIRONMENT_NAME && database == CLUSTER_NAME {
            names.extend(self.topics.names()?);
        }
        let objects = self.read();
        let declared = objects
            .keys()
            .filter(|name| name.catalog == catalog && name.database == database);
        names.extend(declared.map(|name| name.name.clone()));
        Ok(names.into_iter().collect())
    }

    fn database_names(&self, catalog: &str) -> Vec<String> {
        if catalog_name(catalog) == ENVIRONMENT_NAME {
            vec![CLUSTER_NAME.to_owned()]
        } else {
            Vec::new()
        }
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![ENVIRONMENT_NAME.to_owned()]
    }

    fn resource(&self, kind: ResourceKind, name: &ObjectName) -> Option<Arc<Resource>> {
        self.resources.get(kind, name)
    }

    fn resource_names(&self, kind: ResourceKind, catalog: &str, database: &str) -> Vec<String> {
        let (catalog, database) = (catalog_name(catalog), database_name(database));
        self.resources.names(kind, catalog, database)
    }
}

/// The schemas of a table whose topic is ours; none of other connectors.
fn schemas_of(table: &TableDef) -> Result<Vec<TableSchema>> {
    if table.option("connector").unwrap_or("confluent") != "confluent" {
        return Ok(Vec::new());
    }
    Ok(table_schemas(table)?)
}

/// Refuses a format of another schema language than that of the records that are there.
fn check_language(schema: &TableSchema, found: &RegisteredSchema) -> Result<()> {
    if schema.schema_type == found.schema_type {
        return Ok(());
    }
    let language = found.schema_type.as_str();
    Err(weir_runtime::Error::option(format!(
        "subject \"{}\" has a schema of {language}, and the format of the table writes {}: name the format of {language}, or delete the subject",
        schema.subject,
        schema.schema_type.as_str(),
    ))
    .into())
}

/// Longest name of a topic.
///
/// # Source
/// Apache Kafka, `Topic.MAX_NAME_LENGTH`.
const TOPIC_NAME_MAX: usize = 249;

/// Whether a topic can have that name, so that the cluster need not be asked.
fn is_topic_name(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=TOPIC_NAME_MAX).contains(&name.len()) && name.chars().all(is_legal)
}

/// A name with display names in place of ids.
pub(super) fn canonical(name: &ObjectName) -> ObjectName {
    ObjectName {
        catalog: catalog_name(&name.catalog).to_owned(),
        database: database_name(&name.database).to_owned(),
        name: name.name.clone(),
    }
}

/// A table under its canonical name.
fn canonical_table(mut table: TableDef) -> TableDef {
    table.name = canonical(&table.name);
    table
}

/// The answer to making what is there already.
fn exists(name: &ObjectName, is_fine: bool) -> Result<()> {
    if is_fine {
        return Ok(());
    }
    Err(weir_runtime::Error::exists(format!(
        "{name} exists already: drop it first or say IF NOT EXISTS"
    ))
    .into())
}

#[cfg(test)]
mod tests;
