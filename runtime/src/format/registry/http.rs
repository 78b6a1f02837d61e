//! A Schema Registry over HTTP.
//!
//! Place in the flow: registry formats and the server call it. Invariant: every call ends after a bounded time, and an error names
//! the address but never the password.

use std::fmt;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Request, RequestBuilder};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::format::registry::{RegisteredSchema, SchemaRegistry, SchemaType};

/// Time to connect.
///
/// # Source
/// Guess, unmeasured.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one request in all.
///
/// # Source
/// Guess, unmeasured.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests made before a call gives up.
///
/// # Source
/// Confluent's clients retry three times.
const ATTEMPTS_MAX: u32 = 4;
/// Wait before the second request; doubles with each.
///
/// # Source
/// Guess, unmeasured.
const BACKOFF: Duration = Duration::from_millis(100);
/// Bytes of an answer that are read.
///
/// # Source
/// Guess, unmeasured: far above any schema.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The content type of the API.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// User and password of HTTP basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// User, or API key.
    pub user: String,
    /// Password, or API secret.
    pub password: String,
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic")
            .field("user", &self.user)
            .field("password", &"***")
            .finish()
    }
}

/// A Schema Registry over HTTP or HTTPS.
///
/// Each request runs on a thread of its own, so that a call does not fail inside an asynchronous runtime; it still blocks its caller,
/// so such a runtime should call from a blocking task.
#[derive(Debug)]
pub struct HttpRegistry {
    /// Address without a slash at its end.
    url: String,
    /// Credentials.
    auth: Option<Basic>,
    /// Made by the first request, because making it is not allowed on an asynchronous thread.
    client: OnceLock<Client>,
}

/// An answer: status and body.
type Answer = (StatusCode, Vec<u8>);

/// A schema as the registry answers it.
#[derive(Debug, Deserialize)]
struct SchemaAnswer {
    /// Its id, where the request did not name it.
    id: Option<i32>,
    /// Its language; absent means Avro.
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    /// Its text.
    schema: String,
}

/// The id of a registered schema.
#[derive(Debug, Deserialize)]
struct IdAnswer {
    /// The id.
    id: i32,
}

/// An error as the registry answers it.
#[derive(Debug, Default, Deserialize)]
struct ErrorAnswer {
    /// The registry's number, such as 40403.
    #[serde(default)]
    error_code: i64,
    /// Its text.
    #[serde(default)]
    message: String,
}

impl HttpRegistry {
    /// A client of the registry at an address such as `http://127.0.0.1:8081`. Does not connect.
    ///
    /// # Errors
    /// `Invalid` when the address is not an HTTP URL or holds credentials.
    pub fn new(url: &str, auth: Option<Basic>) -> Result<Self> {
        let parsed = reqwest::Url::parse(url)
            .ok()
            .filter(|parsed| matches!(parsed.scheme(), "http" | "https"));
        let Some(parsed) = parsed else {
            return Err(Error::option(
                "schema registry: the address is not an http or https URL",
            ));
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Error::option(
                "schema registry: credentials belong in their own options, not in the address",
            ));
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            auth,
            client: OnceLock::new(),
        })
    }

    /// The HTTP client.
    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // An error means that a provider is installed already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| self.unreachable(&error))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// An error of the transport, with its causes.
    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut message = format!("schema registry at {} does not answer", self.url);
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Error::unavailable(message)
    }

    /// Sends a request, again while the registry is not there.
    fn send(&self, build: impl Fn(&Client) -> RequestBuilder + Sync) -> Result<Answer> {
        std::thread::scope(|scope| {
            let sender = std::thread::Builder::new()
                .name("schema-registry".to_owned())
                .spawn_scoped(scope, || self.send_here(&build))
                .map_err(|error| Error::unavailable(format!("schema registry client: {error}")))?;
            sender
                .join()
                .unwrap_or_else(|_| Err(Error::internal("the schema registry client panicked")))
        })
    }

    /// As [`Self::send`], on this thread.
    fn send_here(&self, build: &impl Fn(&Client) -> RequestBuilder) -> Result<Answer> {
        let client = self.client()?;
        let mut attempt = 1;
        loop {
            let request = build(client).header(reqwest::header::ACCEPT, CONTENT_TYPE);
            let request = match &self.auth {
                Some(auth) => request.basic_auth(&auth.user, Some(&auth.password)),
                None => request,
            };
            let request = request.build().map_err(|error| self.unreachable(&error))?;
            let outcome = self.execute(client, request);
            let is_passing = match &outcome {
                Ok((status, _)) => {
                    status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
                }
                Err(_) => true,
            };
            if !is_passing || attempt == ATTEMPTS_MAX {
                return outcome;
            }
            std::thread::sleep(BACKOFF * 2_u32.pow(attempt - 1));
            attempt += 1;
        }
    }

    /// Makes one request.
    fn execute(&self, client: &Client, request: Request) -> Result<Answer> {
        let response = client
            .execute(request)
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        response
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut body)
            .map_err(|error| {
                Error::unavailable(format!("schema registry at {}: {error}", self.url))
            })?;
        Ok((status, body))
    }

    /// The error that an answer stands for.
    fn refusal(&self, what: &str, (status, body): &Answer) -> Error {
        let answer: ErrorAnswer = serde_json::from_slice(body).unwrap_or_default();
        let message = format!(
            "schema registry at {}: {what}: status {}, error {}: {}",
            self.url,
            status.as_u16(),
            answer.error_code,
            answer.message
        );
        if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS {
            Error::unavailable(message)
        } else if *status == StatusCode::NOT_FOUND {
            Error::unknown(message)
        } else {
            Error::validation(message)
        }
    }

    /// Reads the body of an answer.
    fn parse<T: serde::de::DeserializeOwned>(&self, what: &str, answer: &Answer) -> Result<T> {
        if !answer.0.is_success() {
            return Err(self.refusal(what, answer));
        }
        serde_json::from_slice(&answer.1).map_err(|error| {
            Error::unavailable(format!(
                "schema registry at {}: {what}: an answer that is not understood: {error}",
                self.url
            ))
        })
    }

    /// A schema from its answer.
    fn registered(&self, answer: SchemaAnswer, id: Option<i32>) -> Result<RegisteredSchema> {
        let schema_type = SchemaType::of_name(answer.schema_type.as_deref());
        match (id.or(answer.id), schema_type) {
            (Some(id), Some(schema_type)) => Ok(RegisteredSchema {
                id,
                schema_type,
                schema: answer.schema,
            }),
            _ => Err(Error::unavailable(format!(
                "schema registry at {}: an answer without id or with an unknown schema type",
                self.url
            ))),
        }
    }
}

impl SchemaRegistry for HttpRegistry {
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32> {
        let url = format!("{}/subjects/{}/versions", self.url, encode(subject));
        let body = serde_json::json!({"schema": schema, "schemaType": schema_type.name()});
        let body = body.to_string();
        let answer = self.send(|client| {
            client
                .post(&url)
                .header(reqwest::header::CONTENT_TYPE, CONTENT_TYPE)
                .body(body.clone())
        })?;
        let what = format!("registering a schema under {subject}");
        Ok(self.parse::<IdAnswer>(&what, &answer)?.id)
    }

    fn schema(&self, id: i32) -> Result<RegisteredSchema> {
        let url = format!("{}/schemas/ids/{id}", self.url);
        let answer = self.send(|client| client.get(&url))?;
        let schema = self.parse(&format!("schema {id}"), &answer)?;
        self.registered(schema, Some(id))
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>> {
        let url = format!("{}/subjects/{}/versions/latest", self.url, encode(subject));
        let answer = self.send(|client| client.get(&url))?;
        if answer.0 == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let schema = self.parse(&format!("newest schema of {subject}"), &answer)?;
        self.registered(schema, None).map(Some)
    }
}

/// A part of a path, with what is not a letter, digit or mark percent-encoded.
fn encode(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn addresses_are_checked_and_passwords_are_not_shown() {
        assert!(HttpRegistry::new("localhost:8081", None).is_err());
        assert!(HttpRegistry::new("ftp://localhost", None).is_err());
        assert!(HttpRegistry::new("http://user:secret@localhost", None).is_err());
        let auth = Basic {
            user: "me".into(),
            password: "secret".into(),
        };
        let registry = HttpRegistry::new("http://localhost:8081/", Some(auth)).unwrap();
        assert_eq!(registry.url, "http://localhost:8081");
        assert!(!format!("{registry:?}").contains("secret"));
    }

    #[test]
    fn a_registry_that_is_not_there_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = HttpRegistry::new(&url, None)
            .unwrap()
            .schema(1)
            .unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.message.contains(&url), "{error}");
    }

    #[test]
    fn subjects_are_percent_encoded() {
        assert_eq!(encode("a b/c-value.1_~é"), "a%20b%2Fc-value.1_~%C3%A9");
    }
}
