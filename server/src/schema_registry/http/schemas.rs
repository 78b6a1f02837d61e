//! Subjects, versions, schemas and their comparison.
//!
//! Place in the flow: between requests and the store. Invariant: Avro is not named in answers, as in Confluent's registry.

use serde_json::{Value, json};

use super::call::{Call, Subjects};
use crate::schema_registry::store::{Newest, Refusal, Schema, SchemaStore, Version, Versions};

/// Entries of a list of subjects at most, and unless asked for fewer (the default of Confluent's registry).
const SUBJECTS_MAX: i64 = 20_000;

/// Entries of a list of schemas at most, and unless asked for fewer (the default of Confluent's registry).
const SCHEMAS_MAX: i64 = 1_000;

/// A schema as JSON.
fn schema_json(schema: &Schema) -> Value {
    let mut json = json!({ "schema": schema.text, "guid": schema.guid });
    if schema.language != "AVRO" {
        json["schemaType"] = Value::from(schema.language.as_str());
    }
    if !schema.references.is_empty() {
        json["references"] = json!(schema.references);
    }
    if let Ok(metadata) = serde_json::from_str::<Value>(&schema.metadata) {
        json["metadata"] = metadata;
    }
    json
}

/// A version as JSON.
fn version_json(version: &Version) -> Value {
    let mut json = schema_json(&version.schema);
    json["subject"] = Value::from(version.subject.qualified());
    json["version"] = Value::from(version.number);
    json["id"] = Value::from(version.schema.id);
    if version.is_deleted {
        json["deleted"] = Value::from(true);
    }
    json
}

/// A schema with its text in the form that is asked for.
fn formatted(store: &SchemaStore, call: &Call, mut schema: Schema) -> Result<Schema, Refusal> {
    if let Some(format) = call.text("format").filter(|format| !format.is_empty()) {
        schema.text = store.parsed(&schema)?.formatted(format);
    }
    Ok(schema)
}

/// The text of a schema; a schema that is no JSON is a JSON string.
fn raw(schema: &Schema) -> Value {
    serde_json::from_str(&schema.text).unwrap_or_else(|_| Value::from(schema.text.as_str()))
}

/// `GET /subjects`.
pub(super) fn subjects(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let filter = call.filter(Subjects::OfAllContexts, SUBJECTS_MAX)?;
    Ok(json!(store.subjects(&filter)?))
}

/// `GET /schemas`.
pub(super) fn list(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let filter = call.filter(Subjects::OfDefaultContext, SCHEMAS_MAX)?;
    let newest = if call.flag("latestOnly") {
        Newest::Only
    } else {
        Newest::All
    };
    Ok(store
        .list(&filter, newest)?
        .iter()
        .map(version_json)
        .collect())
}

/// `POST /subjects/{subject}`.
pub(super) fn lookup(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let found = store.find(&call.subject()?, &call.schema()?, call.deleted())?;
    Ok(version_json(&found))
}

/// `DELETE /subjects/{subject}`.
pub(super) fn delete_subject(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    Ok(json!(
        store.delete_subject(&call.subject()?, call.deletion())?
    ))
}

/// `GET /subjects/{subject}/versions`.
pub(super) fn versions(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    Ok(json!(store.versions(&call.subject()?, call.deleted())?))
}

/// `POST /subjects/{subject}/versions`. The text is left out: Python's client would keep it in place of the form that it asks for.
pub(super) fn register(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let added = store.add(&call.subject()?, &call.schema()?)?;
    Ok(json!({
        "subject": added.subject.qualified(),
        "version": added.number,
        "id": added.schema.id,
        "guid": added.schema.guid,
    }))
}

/// `GET /subjects/{subject}/versions/{version}`.
pub(super) fn version(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let mut found = store.version(&call.subject()?, call.version()?, call.deleted())?;
    found.schema = formatted(store, call, found.schema)?;
    Ok(version_json(&found))
}

/// `GET /subjects/{subject}/versions/{version}/schema`.
pub(super) fn version_schema(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let found = store.version(&call.subject()?, call.version()?, call.deleted())?;
    Ok(raw(&formatted(store, call, found.schema)?))
}

/// `GET /subjects/{subject}/versions/{version}/referencedby`.
pub(super) fn referenced_by(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    Ok(json!(
        store.referenced_by(&call.subject()?, call.version()?)?
    ))
}

/// `DELETE /subjects/{subject}/versions/{version}`.
pub(super) fn delete_version(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let deleted = store.delete_version(&call.subject()?, call.version()?, call.deletion())?;
    Ok(json!(deleted))
}

/// `GET /schemas/ids/{id}`.
pub(super) fn schema(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let (context, id) = call.id()?;
    let schema = store.by_id(&context, id)?;
    Ok(schema_json(&formatted(store, call, schema)?))
}

/// `GET /schemas/ids/{id}/schema`.
pub(super) fn schema_text(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let (context, id) = call.id()?;
    let schema = store.by_id(&context, id)?;
    Ok(raw(&formatted(store, call, schema)?))
}

/// `GET /schemas/ids/{id}/versions`.
pub(super) fn schema_versions(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let (context, id) = call.id()?;
    let uses = store.uses(&context, id, call.deleted())?;
    Ok(uses
        .iter()
        .map(|one| json!({ "subject": one.subject.qualified(), "version": one.number }))
        .collect())
}

/// `GET /schemas/ids/{id}/subjects`.
pub(super) fn schema_subjects(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let (context, id) = call.id()?;
    let uses = store.uses(&context, id, call.deleted())?;
    let mut names: Vec<String> = uses.iter().map(|one| one.subject.qualified()).collect();
    names.dedup();
    Ok(json!(names))
}

/// `GET /schemas/guids/{guid}`.
pub(super) fn schema_of_guid(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let schema = store.by_guid(call.guid())?;
    Ok(schema_json(&formatted(store, call, schema)?))
}

/// `GET /schemas/guids/{guid}/ids`.
pub(super) fn ids_of_guid(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let schema = store.by_guid(call.guid())?;
    Ok(json!([{ "context": schema.context, "id": schema.id }]))
}

/// `POST /compatibility/subjects/{subject}/versions/{version}`.
pub(super) fn compare(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    compared(store, call, Versions::One(call.version()?))
}

/// `POST /compatibility/subjects/{subject}/versions`.
pub(super) fn compare_all(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    compared(store, call, Versions::AsConfigured)
}

/// Compares a schema with versions.
fn compared(store: &SchemaStore, call: &Call, versions: Versions) -> Result<Value, Refusal> {
    let messages = store.compare(&call.subject()?, &call.schema()?, versions)?;
    let mut json = json!({ "is_compatible": messages.is_empty() });
    if call.flag("verbose") {
        json["messages"] = json!(messages);
    }
    Ok(json)
}
