//! A Schema Registry in memory, for tables whose rows need a format with schemas.
//!
//! Place in the flow: rows are encoded with it, and the jobs of their case read them with it. Invariant: an id is the place of its schema.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_runtime::Result;
use weir_runtime::format::registry::{RegisteredSchema, SchemaRegistry, SchemaType};

/// The schemas of a case.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Schemas with their subjects.
    schemas: Mutex<Vec<(String, RegisteredSchema)>>,
}

impl Registry {
    /// The schemas, which are whole after every statement.
    fn lock(&self) -> MutexGuard<'_, Vec<(String, RegisteredSchema)>> {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SchemaRegistry for Registry {
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32> {
        let mut schemas = self.lock();
        let is_same = |(other, found): &&(String, RegisteredSchema)| {
            other == subject && found.schema_type == schema_type && found.schema == schema
        };
        if let Some((_, found)) = schemas.iter().find(is_same) {
            return Ok(found.id);
        }
        let id = i32::try_from(schemas.len()).unwrap_or(i32::MAX);
        let registered = RegisteredSchema {
            id,
            schema_type,
            schema: schema.to_owned(),
            references: Vec::new(),
        };
        schemas.push((subject.to_owned(), registered));
        Ok(id)
    }

    fn schema(&self, id: i32) -> Result<Option<RegisteredSchema>> {
        let schemas = self.lock();
        let found = schemas.iter().find(|(_, schema)| schema.id == id);
        Ok(found.map(|(_, schema)| schema.clone()))
    }

    fn version(&self, subject: &str, version: i32) -> Result<Option<RegisteredSchema>> {
        let place = version
            .checked_sub(1)
            .and_then(|at| usize::try_from(at).ok());
        let schemas = self.lock();
        let mut versions = schemas.iter().filter(|(other, _)| other == subject);
        let found = place.and_then(|place| versions.nth(place));
        Ok(found.map(|(_, schema)| schema.clone()))
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>> {
        let schemas = self.lock();
        let found = schemas.iter().rev().find(|(other, _)| other == subject);
        Ok(found.map(|(_, schema)| schema.clone()))
    }
}
