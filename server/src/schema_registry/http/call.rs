//! A request, taken apart.
//!
//! Place in the flow: made for every request before its handler. Invariant: everything in it is bounded; what a client may leave out has
//! the registry's default.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts as _, Path, Query, Request};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use weir_runtime::format::registry::SchemaType;

use super::{not_found, refused};
use crate::schema_registry::store::{
    Deleted, Deletion, Filter, NUMBER_MAX, NewSchema, Normalize, Reference, Refusal, Subject,
    VersionId,
};

/// Largest body, bytes: a schema of 1 MiB whose every letter is escaped. Guess, unmeasured.
const BODY_BYTES_MAX: usize = 8 << 20;

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    /// What the path says.
    place: Place,
    /// What stands behind its question mark.
    query: HashMap<String, String>,
    /// Its body.
    body: Bytes,
}

/// The variable parts of a path.
#[derive(Debug, Deserialize)]
struct Place {
    /// Context, with its dot or without.
    context: Option<String>,
    /// Subject.
    subject: Option<String>,
    /// Version.
    version: Option<String>,
    /// Id.
    id: Option<i64>,
    /// GUID.
    guid: Option<String>,
}

/// A schema in a request.
#[derive(Debug, Deserialize)]
struct SchemaBody {
    /// Text.
    schema: Option<String>,
    /// Language; none means Avro.
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    /// What it refers to.
    references: Option<Vec<Reference>>,
    /// Metadata.
    metadata: Option<Value>,
    /// Rules, which are refused.
    #[serde(rename = "ruleSet")]
    rule_set: Option<Value>,
    /// Id to import it with.
    id: Option<i64>,
    /// Version to give it.
    version: Option<i64>,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let place = Path::<Place>::from_request_parts(&mut parts, state).await;
        let query = Query::<HashMap<String, String>>::from_request_parts(&mut parts, state).await;
        let (Ok(Path(place)), Ok(Query(query))) = (place, query) else {
            return Err(not_found());
        };
        let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
        let body = body.map_err(|_| {
            refused(&Refusal::TooLarge(format!(
                "the request's body did not arrive or has more than {BODY_BYTES_MAX} bytes"
            )))
        })?;
        Ok(Self { place, query, body })
    }
}

impl Call {
    /// The context of the path, if it has one.
    fn context(&self) -> Option<&str> {
        self.place.context.as_deref()
    }

    /// The subject of the path, which schemas belong to.
    pub(super) fn subject(&self) -> Result<Subject, Refusal> {
        let text = self.place.subject.as_deref().unwrap_or_default();
        Subject::named(text, self.context())
    }

    /// The subject, context or registry whose settings the path means.
    pub(super) fn scope(&self) -> Result<Subject, Refusal> {
        match (&self.place.subject, self.context()) {
            (Some(text), context) => Subject::parse(text, context),
            (None, Some(context)) => Subject::parse("", Some(context)),
            (None, None) => Ok(Subject::global()),
        }
    }

    /// The version of the path.
    pub(super) fn version(&self) -> Result<VersionId, Refusal> {
        VersionId::parse(self.place.version.as_deref().unwrap_or_default())
    }

    /// The id of the path, and the context that it counts in: that of the path or of the subject that is asked with it.
    pub(super) fn id(&self) -> Result<(String, i64), Refusal> {
        let id = self.place.id.unwrap_or_default();
        let subject = self.text("subject").unwrap_or_default();
        let subject = Subject::parse(subject, self.context())?;
        Ok((subject.context, id))
    }

    /// The GUID of the path.
    pub(super) fn guid(&self) -> &str {
        self.place.guid.as_deref().unwrap_or_default()
    }

    /// A parameter of the query.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Whether a parameter of the query is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Which versions count.
    pub(super) fn deleted(&self) -> Deleted {
        if self.flag("deletedOnly") {
            Deleted::Only
        } else if self.flag("deleted") {
            Deleted::Included
        } else {
            Deleted::Excluded
        }
    }

    /// How something is deleted.
    pub(super) fn deletion(&self) -> Deletion {
        if self.flag("permanent") {
            Deletion::Permanent
        } else {
            Deletion::Soft
        }
    }

    /// What is asked of a list of so many entries at most.
    pub(super) fn filter(&self, subjects: Subjects, most: i64) -> Result<Filter, Refusal> {
        let number = |name: &str| self.text(name).and_then(|text| text.parse::<i64>().ok());
        let limit = number("limit").filter(|limit| *limit >= 0);
        let (context, prefix) = match (self.text("subjectPrefix"), self.context(), subjects) {
            (Some(prefix), _, _) if prefix.starts_with(":*:") => (None, prefix[3..].to_owned()),
            (None, None, Subjects::OfAllContexts) => (None, String::new()),
            (prefix, context, _) => {
                let subject = Subject::parse(prefix.unwrap_or_default(), context)?;
                (Some(subject.context), subject.name)
            }
        };
        Ok(Filter {
            context,
            prefix,
            deleted: self.deleted(),
            offset: number("offset").unwrap_or(0).max(0),
            limit: limit.unwrap_or(most).min(most),
        })
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The schema of the body.
    pub(super) fn schema(&self) -> Result<NewSchema, Refusal> {
        let body: SchemaBody = serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::InvalidSchema(format!("the request's body: {error}")))?;
        let text = body.schema.filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| Refusal::InvalidSchema("Empty schema".to_owned()))?;
        let language = SchemaType::parse(body.schema_type.as_deref()).ok_or_else(|| {
            let name = body.schema_type.unwrap_or_default();
            Refusal::InvalidSchema(format!(
                "there is no schema type {name:?}; there are AVRO, JSON and PROTOBUF"
            ))
        })?;
        if body.rule_set.is_some_and(|rules| !rules.is_null()) {
            return Err(Refusal::RuleSet);
        }
        let number =
            |number: Option<i64>| number.filter(|number| (1..=NUMBER_MAX).contains(number));
        Ok(NewSchema {
            language,
            text,
            references: body.references.unwrap_or_default(),
            metadata: metadata(body.metadata)?,
            normalize: if self.flag("normalize") {
                Normalize::Yes
            } else {
                Normalize::AsConfigured
            },
            id: number(body.id),
            version: number(body.version),
        })
    }
}

/// Which subjects a list is of unless it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subjects {
    /// Those of all contexts.
    OfAllContexts,
    /// Those of the default one.
    OfDefaultContext,
}

/// Metadata of a request as JSON; empty for none.
fn metadata(given: Option<Value>) -> Result<String, Refusal> {
    let Some(Value::Object(members)) = given.filter(|value| !value.is_null()) else {
        return Ok(String::new());
    };
    for (name, value) in &members {
        if !matches!(name.as_str(), "properties" | "tags" | "sensitive") {
            return Err(Refusal::InvalidSchema(format!(
                "metadata has properties, tags and sensitive, not {name}"
            )));
        }
        let is_fine = value.is_null() || value.is_object() || value.is_array();
        if !is_fine {
            return Err(Refusal::InvalidSchema(format!("metadata.{name}: {value}")));
        }
    }
    let kept: serde_json::Map<_, _> = members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    Ok(if kept.is_empty() {
        String::new()
    } else {
        Value::Object(kept).to_string()
    })
}
