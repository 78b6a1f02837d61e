//! Compatibility levels, modes, contexts and what the registry says about itself.
//!
//! Place in the flow: between requests and the store. Invariant: a setting that has no effect here is refused, unless it is at its
//! default, so that nobody relies on it.

use serde_json::{Map, Value, json};

use super::call::Call;
use crate::schema_registry::compatibility::Level;
use crate::schema_registry::store::{Config, Force, Mode, Refusal, SchemaStore};

/// Fields of a configuration that Confluent's registry knows and this one has no use for.
const UNSUPPORTED: [&str; 10] = [
    "alias",
    "validateFields",
    "validateNames",
    "validateRules",
    "compatibilityPolicy",
    "compatibilityGroup",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
];

/// A configuration as JSON, the level under a name.
fn config_json(config: Config, name: &str) -> Value {
    let mut members = Map::new();
    if let Some(level) = config.level {
        members.insert(name.to_owned(), Value::from(level.as_str()));
    }
    if let Some(normalize) = config.normalize {
        members.insert("normalize".to_owned(), Value::from(normalize));
    }
    Value::Object(members)
}

/// `GET /config`.
pub(super) fn global_config(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    Ok(config_json(
        store.config(&call.scope()?)?,
        "compatibilityLevel",
    ))
}

/// `GET /config/{subject}`.
pub(super) fn config(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let subject = call.scope()?;
    if call.flag("defaultToGlobal") {
        return global_config(store, call);
    }
    let own = store.own_config(&subject)?;
    let own = own.ok_or_else(|| Refusal::NoSubjectLevel(subject.qualified()))?;
    Ok(config_json(own, "compatibilityLevel"))
}

/// `PUT /config` and `PUT /config/{subject}`.
pub(super) fn set_config(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let body = call.json().map_err(|_| Refusal::Level)?;
    for name in UNSUPPORTED {
        if !matches!(body[name], Value::Null | Value::Bool(false)) {
            return Err(Refusal::NotPermitted(format!(
                "This registry does not support {name} in a configuration; leave it out"
            )));
        }
    }
    let normalize = match &body["normalize"] {
        Value::Null => None,
        Value::Bool(normalize) => Some(*normalize),
        other => {
            return Err(Refusal::NotPermitted(format!(
                "normalize is true or false, not {other}"
            )));
        }
    };
    let level = match &body["compatibility"] {
        Value::Null => None,
        Value::String(name) => Some(Level::parse(name).ok_or(Refusal::Level)?),
        _ => return Err(Refusal::Level),
    };
    if level.is_none() && normalize.is_none() {
        return Err(Refusal::Level);
    }
    let config = Config { level, normalize };
    store.set_config(&call.scope()?, config)?;
    Ok(config_json(config, "compatibility"))
}

/// `DELETE /config` and `DELETE /config/{subject}`.
pub(super) fn delete_config(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    Ok(config_json(
        store.delete_config(&call.scope()?)?,
        "compatibilityLevel",
    ))
}

/// A mode as JSON.
fn mode_json(mode: Mode) -> Value {
    json!({ "mode": mode.as_str() })
}

/// `GET /mode`.
pub(super) fn global_mode(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    Ok(mode_json(store.mode(&call.scope()?)?))
}

/// `GET /mode/{subject}`.
pub(super) fn mode(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let subject = call.scope()?;
    if call.flag("defaultToGlobal") {
        return global_mode(store, call);
    }
    let own = store.own_mode(&subject)?;
    Ok(mode_json(own.ok_or_else(|| {
        Refusal::NoSubjectMode(subject.qualified())
    })?))
}

/// `PUT /mode` and `PUT /mode/{subject}`.
pub(super) fn set_mode(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    let body = call.json().map_err(|_| Refusal::Mode)?;
    let mode = body["mode"].as_str().and_then(Mode::parse);
    let mode = mode.ok_or(Refusal::Mode)?;
    let force = if call.flag("force") {
        Force::Yes
    } else {
        Force::No
    };
    store.set_mode(&call.scope()?, mode, force)?;
    Ok(mode_json(mode))
}

/// `DELETE /mode` and `DELETE /mode/{subject}`.
pub(super) fn delete_mode(store: &SchemaStore, call: &Call) -> Result<Value, Refusal> {
    Ok(mode_json(store.delete_mode(&call.scope()?)?))
}

/// `GET /contexts`.
pub(super) fn contexts(store: &SchemaStore, _: &Call) -> Result<Value, Refusal> {
    Ok(json!(store.contexts()?))
}

/// `GET /schemas/types`.
pub(super) fn types() -> Value {
    json!(["JSON", "PROTOBUF", "AVRO"])
}

/// `GET /`.
pub(super) fn root() -> Value {
    json!({})
}

/// `GET /v1/metadata/id`.
pub(super) fn cluster() -> Value {
    let clusters = json!({ "kafka-cluster": "weir", "schema-registry-cluster": "schema-registry" });
    json!({ "id": "", "scope": { "path": [], "clusters": clusters } })
}

/// `GET /v1/metadata/version`.
pub(super) fn build() -> Value {
    json!({ "version": env!("CARGO_PKG_VERSION"), "commitId": "" })
}
