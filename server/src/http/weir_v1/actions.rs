//! Actions on statements: `POST /weir/v1/statements/NAME:VERB`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::http::statement_json::statement_json;
use crate::http::{App, json_body};
use crate::statement::ResumeFrom;

/// The verbs, for the message that names them.
const VERBS: &str = "drain, stop, resume, rescale and export";

/// What `stop` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StopBody {
    /// Name of the savepoint that is kept; made up when empty.
    savepoint: Option<String>,
}

/// What `resume` takes; at most one of the three.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ResumeBody {
    /// Name of a savepoint.
    from_savepoint: Option<String>,
    /// Epoch of an older checkpoint.
    from_checkpoint: Option<u64>,
    /// That rows written since that checkpoint are written again.
    accept_duplicates: bool,
    /// Start without state.
    from_nothing: bool,
    /// Where sources begin then, by topic.
    offsets: BTreeMap<String, String>,
}

/// What `rescale` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RescaleBody {
    /// CFUs.
    parallelism: u32,
}

/// What `export` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExportBody {
    /// Name of a savepoint; a new one is taken when absent.
    savepoint: Option<String>,
}

/// Carries an action out.
///
/// # Errors
/// `NotFound` for a verb that there is not; `Invalid` for a body of another form; what the action refuses.
pub(super) fn run(
    app: &App,
    (name, verb): (&str, &str),
    body: &Bytes,
    base: &str,
) -> Result<Value> {
    let statements = &app.statements;
    match verb {
        "drain" => Ok(statement_json(&statements.drain(name)?, base)),
        "stop" => {
            let savepoint = body_or_default::<StopBody>(body)?.savepoint;
            let (record, savepoint) = statements.stop_with_savepoint(name, savepoint)?;
            Ok(json!({ "savepoint": savepoint, "statement": statement_json(&record, base) }))
        }
        "resume" => {
            let from = resume_from(body_or_default(body)?)?;
            Ok(statement_json(&statements.resume(name, &from)?, base))
        }
        "rescale" => {
            let wanted: RescaleBody = json_body(body)?;
            let record = statements.rescale(name, wanted.parallelism)?;
            Ok(statement_json(&record, base))
        }
        "export" => {
            let savepoint = body_or_default::<ExportBody>(body)?.savepoint;
            let manifest = statements.export(name, savepoint.as_deref())?;
            Ok(serde_json::to_value(manifest)?)
        }
        _ => Err(Error::NotFound(format!(
            "statements have no action \"{verb}\", only {VERBS}"
        ))),
    }
}

/// Reads a body that may be empty.
fn body_or_default<T: Default + for<'de> Deserialize<'de>>(body: &Bytes) -> Result<T> {
    if body.is_empty() {
        return Ok(T::default());
    }
    json_body(body)
}

/// Where a statement is to go on.
fn resume_from(body: ResumeBody) -> Result<ResumeFrom> {
    let ways = [
        body.from_savepoint.is_some(),
        body.from_checkpoint.is_some(),
        body.from_nothing,
    ];
    if ways.iter().filter(|is_asked| **is_asked).count() > 1 {
        return Err(Error::Invalid(
            "from_savepoint, from_checkpoint and from_nothing exclude each other".to_owned(),
        ));
    }
    if !body.offsets.is_empty() && !body.from_nothing {
        return Err(Error::Invalid(
            "offsets can be chosen with from_nothing only".to_owned(),
        ));
    }
    Ok(match (body.from_savepoint, body.from_checkpoint) {
        (Some(name), _) => ResumeFrom::Savepoint(name),
        (None, Some(epoch)) => ResumeFrom::Checkpoint {
            epoch,
            accept_duplicates: body.accept_duplicates,
        },
        (None, None) if body.from_nothing => ResumeFrom::Nothing {
            offsets: body.offsets,
        },
        (None, None) => ResumeFrom::Latest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body of `resume`.
    fn resume(json: &Value) -> Result<ResumeFrom> {
        let body = Bytes::from(json.to_string());
        body_or_default(&body).and_then(resume_from)
    }

    #[test]
    fn the_ways_to_resume_exclude_each_other() {
        assert_eq!(resume(&json!({})).unwrap(), ResumeFrom::Latest);
        assert_eq!(
            resume(&json!({ "from_checkpoint": 3, "accept_duplicates": true })).unwrap(),
            ResumeFrom::Checkpoint {
                epoch: 3,
                accept_duplicates: true
            }
        );
        for wrong in [
            json!({ "from_savepoint": "a", "from_nothing": true }),
            json!({ "offsets": { "t": "partition:0,offset:1" } }),
            json!({ "from_somewhere": 1 }),
        ] {
            assert!(resume(&wrong).is_err(), "{wrong}");
        }
    }
}
