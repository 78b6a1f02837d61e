//! A Schema Registry for tests.
//!
//! Place in the flow: tests of formats put it behind the trait. Invariant: as the real one, it gives one id to one text of a subject.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::error::{Error, Result};
use crate::format::registry::{RegisteredSchema, SchemaReference, SchemaRegistry, SchemaType};

/// A registry that remembers what was registered, and can be away.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Subjects, languages and texts; the ids are their places from 1.
    pub(crate) schemas: Mutex<Vec<(String, SchemaType, String)>>,
    /// References by id.
    references: Mutex<BTreeMap<i32, Vec<SchemaReference>>>,
    /// Whether it does not answer.
    pub(crate) is_away: AtomicBool,
    /// Questions so far.
    pub(crate) questions: AtomicUsize,
}

impl Memory {
    /// Says what a schema refers to.
    pub(crate) fn refer(&self, id: i32, references: Vec<SchemaReference>) {
        self.references.lock().unwrap().insert(id, references);
    }

    /// Counts a question, which may fail.
    fn ask(&self) -> Result<()> {
        self.questions.fetch_add(1, SeqCst);
        if self.is_away.load(SeqCst) {
            return Err(Error::unavailable("away"));
        }
        Ok(())
    }

    /// The schema of a place.
    fn at(&self, place: usize) -> Option<RegisteredSchema> {
        let id = i32::try_from(place + 1).unwrap();
        let references = self.references.lock().unwrap().get(&id).cloned();
        let schemas = self.schemas.lock().unwrap();
        schemas
            .get(place)
            .map(|(_, schema_type, schema)| RegisteredSchema {
                id,
                schema_type: *schema_type,
                schema: schema.clone(),
                references: references.unwrap_or_default(),
            })
    }

    /// Places of the schemas of a subject.
    fn places(&self, subject: &str) -> Vec<usize> {
        let schemas = self.schemas.lock().unwrap();
        (0..schemas.len())
            .filter(|place| schemas[*place].0 == subject)
            .collect()
    }
}

impl SchemaRegistry for Memory {
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32> {
        self.ask()?;
        let mut schemas = self.schemas.lock().unwrap();
        let new = (subject.to_owned(), schema_type, schema.to_owned());
        let place = schemas.iter().position(|there| *there == new);
        let place = place.unwrap_or_else(|| {
            schemas.push(new);
            schemas.len() - 1
        });
        Ok(i32::try_from(place + 1).unwrap())
    }

    fn schema(&self, id: i32) -> Result<Option<RegisteredSchema>> {
        self.ask()?;
        let place = usize::try_from(id - 1).ok();
        Ok(place.and_then(|place| self.at(place)))
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>> {
        self.ask()?;
        let place = self.places(subject).last().copied();
        Ok(place.and_then(|place| self.at(place)))
    }

    fn version(&self, subject: &str, version: i32) -> Result<Option<RegisteredSchema>> {
        self.ask()?;
        let before = usize::try_from(version - 1).ok();
        let place = before.and_then(|before| self.places(subject).get(before).copied());
        Ok(place.and_then(|place| self.at(place)))
    }
}

/// A record behind the frame of its schema.
pub(crate) fn frame(id: i32, body: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(id.to_be_bytes());
    framed.extend(body);
    framed
}
