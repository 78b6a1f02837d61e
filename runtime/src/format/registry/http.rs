//! A Schema Registry over HTTP.
//!
//! Place in the flow: `--schema-registry URL`. Invariant: requests are bounded in time and number; credentials appear in no message.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::format::registry::{RegisteredSchema, SchemaRegistry, SchemaType};

/// Longest wait for one answer (guess, unmeasured).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses before the second and later tries: together about six seconds.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// A registry at a URL. It blocks, so it belongs on slot threads and blocking pools, never on a thread that serves others.
pub struct HttpRegistry {
    /// Does the requests.
    client: Client,
    /// Without a slash at the end.
    url: String,
    /// User and password.
    credentials: Option<(String, String)>,
}

impl std::fmt::Debug for HttpRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRegistry")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl HttpRegistry {
    /// A registry at `url`, with basic authentication if given. Nothing is asked yet.
    ///
    /// # Errors
    /// `Invalid` for a URL that is not http or https.
    pub fn new(url: &str, credentials: Option<(String, String)>) -> Result<Self> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::option(format!(
                "Schema Registry URL \"{url}\" does not begin with http:// or https://"
            )));
        }
        // Another part of the process may have chosen the provider already; it is the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().timeout(TIMEOUT).build();
        let client = client.map_err(|error| Error::internal(format!("HTTP client: {error}")))?;
        Ok(Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            credentials,
        })
    }

    /// Sends a request until it is answered; absent for "not found".
    fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Option<Value>> {
        let mut last = String::new();
        for attempt in 0..=PAUSES.len() {
            if attempt > 0 {
                std::thread::park_timeout(PAUSES[attempt - 1]);
            }
            let mut builder = request();
            if let Some((user, password)) = &self.credentials {
                builder = builder.basic_auth(user, Some(password));
            }
            match builder.send() {
                Ok(response) => match self.answer(response)? {
                    Answer::Found(value) => return Ok(Some(value)),
                    Answer::NotFound => return Ok(None),
                    Answer::Busy(status) => last = status,
                },
                Err(error) => last = error.without_url().to_string(),
            }
        }
        Err(Error::unavailable(format!(
            "the Schema Registry at {} does not answer: {last}",
            self.url
        )))
    }

    /// What an answer means.
    fn answer(&self, response: reqwest::blocking::Response) -> Result<Answer> {
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Answer::Busy(status.to_string()));
        }
        if status == StatusCode::NOT_FOUND {
            return Ok(Answer::NotFound);
        }
        let body: Value = response.json().unwrap_or_default();
        if status.is_success() {
            return Ok(Answer::Found(body));
        }
        let message = body["message"].as_str().unwrap_or_default();
        Err(Error::validation(format!(
            "the Schema Registry at {} answered {status}: {message}",
            self.url
        )))
    }
}

/// What an answer means.
enum Answer {
    /// The body.
    Found(Value),
    /// There is no such thing.
    NotFound,
    /// Worth another try.
    Busy(String),
}

impl SchemaRegistry for HttpRegistry {
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32> {
        let mut url = reqwest::Url::parse(&self.url)
            .map_err(|error| Error::option(format!("{}: {error}", self.url)))?;
        url.path_segments_mut()
            .map_err(|()| Error::option(format!("{} cannot be a base", self.url)))?
            .pop_if_empty()
            .extend(["subjects", subject, "versions"]);
        let body = json!({ "schema": schema, "schemaType": schema_type.as_str() });
        let answer = self.send(|| self.client.post(url.clone()).json(&body))?;
        let id = answer
            .as_ref()
            .and_then(|answer| answer["id"].as_i64())
            .and_then(|id| i32::try_from(id).ok());
        id.ok_or_else(|| {
            Error::unavailable(format!(
                "the Schema Registry at {} gave no id for {subject}",
                self.url
            ))
        })
    }

    fn schema(&self, id: i32) -> Result<Option<RegisteredSchema>> {
        let answer = self.send(|| self.client.get(format!("{}/schemas/ids/{id}", self.url)))?;
        Ok(answer.and_then(|answer| {
            let schema_type = SchemaType::parse(answer["schemaType"].as_str())?;
            let schema = answer["schema"].as_str()?.to_owned();
            Some(RegisteredSchema {
                id,
                schema_type,
                schema,
            })
        }))
    }
}
