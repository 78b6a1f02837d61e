//! The Schema Registry over HTTP.
//!
//! Place in the flow: behind the `json-registry` and `avro-registry` formats and schema inference. Invariant: an answer "there is none" is the registry's
//! own, with its error code; any other failure is an error, so that a wrong address never makes dead letters of good records.
//!
//! # Source
//! Confluent, "Schema Registry API Reference".

use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::{Certificate, StatusCode, Url};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::format::registry::{RegisteredSchema, SchemaReference, SchemaRegistry, SchemaType};

/// Time to connect: guess, unmeasured.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a whole request: guess, unmeasured.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses before the second, third and fourth attempt; there is no fifth. Guess, unmeasured.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
];
/// Bytes of an answer that are read; schemas are far smaller. Guess, unmeasured.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Content type of requests and answers.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Error codes that mean that subject, version or schema do not exist, or not any more.
const NOT_FOUND_CODES: [i64; 4] = [40401, 40402, 40403, 40404];

/// A client of a Schema Registry.
///
/// Calls block, and the first makes the HTTP client, so calls belong on threads outside any asynchronous runtime; making and dropping
/// the value is fine anywhere.
pub struct HttpRegistry {
    /// Address, without credentials.
    url: Url,
    /// User and password.
    basic: Option<(String, String)>,
    /// Certificate authorities that are trusted besides those of the machine.
    authorities: Vec<Certificate>,
    /// Made by the first call.
    client: OnceLock<Client>,
}

impl std::fmt::Debug for HttpRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRegistry")
            .field("url", &self.url.as_str())
            .field("basic", &self.basic.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

/// A schema as the registry answers it.
#[derive(Deserialize)]
struct SchemaAnswer {
    /// Its id, absent where it was asked for.
    id: Option<i32>,
    /// Its language, absent for Avro.
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    /// Its text.
    schema: String,
    /// What it refers to; registries without references leave it out.
    #[serde(default)]
    references: Option<Vec<SchemaReference>>,
}

/// The answer to a registration.
#[derive(Deserialize)]
struct IdAnswer {
    /// The schema's id.
    id: i32,
}

/// An error as the registry answers it.
#[derive(Deserialize)]
struct ErrorAnswer {
    /// Its code.
    error_code: i64,
    /// What is wrong.
    message: String,
}

/// What became of one attempt.
enum Attempt {
    /// The body of an answer.
    Done(Vec<u8>),
    /// The registry says that there is none.
    Absent,
    /// Another attempt may succeed.
    Retry(Error),
}

impl HttpRegistry {
    /// A client of the registry at `url`; user and password may also stand in the address, where what an address has a meaning for is
    /// written as `%` and two digits.
    ///
    /// # Errors
    /// `Invalid` for an address that is not `http` or `https`, or has more than a path.
    pub fn new(url: &str, basic: Option<(String, String)>) -> Result<Self> {
        // The address itself is left out of the messages, because it may hold a password.
        let mut url = Url::parse(url).map_err(|error| {
            Error::option(format!("the address of the Schema Registry: {error}"))
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(Error::option(
                "the address of the Schema Registry must begin with http:// or https://",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            // What stands there may be a key, so it is not told.
            return Err(Error::option(
                "the address of the Schema Registry must end with its path: leave out what follows ? or #",
            ));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let in_url = (!url.username().is_empty()).then(|| {
            let password = url.password().unwrap_or_default();
            (decoded(url.username()), decoded(password))
        });
        let is_stripped = url.set_username("").is_ok() && url.set_password(None).is_ok();
        if !is_stripped {
            return Err(Error::option(
                "the address of the Schema Registry has no host",
            ));
        }
        Ok(Self {
            url,
            basic: basic.or(in_url),
            authorities: Vec::new(),
            client: OnceLock::new(),
        })
    }

    /// Trusts the certificate authorities of a PEM file too.
    ///
    /// # Errors
    /// `Invalid` when there are none in it.
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self> {
        let authorities = Certificate::from_pem_bundle(pem).unwrap_or_default();
        if authorities.is_empty() {
            return Err(Error::option(
                "the certificate authorities of the Schema Registry: there is no PEM certificate in the file",
            ));
        }
        self.authorities = authorities;
        Ok(self)
    }

    /// The HTTP client.
    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails only when another thread was faster, and then there is a provider all the same.
            rustls::crypto::ring::default_provider()
                .install_default()
                .ok();
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .tls_certs_merge(self.authorities.iter().cloned())
            .build()
            .map_err(|error| self.unavailable(&causes(&error)))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// An address below the registry's, each segment escaped.
    fn address(&self, segments: &[&str]) -> Result<Url> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| Error::option("the address of the Schema Registry has no path"))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    /// Sends a request until it is answered, with pauses; `None` when the registry says that there is none.
    fn send(&self, request: impl Fn(&Client) -> RequestBuilder) -> Result<Option<Vec<u8>>> {
        let client = self.client()?;
        let mut pauses = PAUSES.iter();
        loop {
            let mut request = request(client).header("accept", CONTENT_TYPE);
            if let Some((user, password)) = &self.basic {
                request = request.basic_auth(user, Some(password));
            }
            let attempt = match request.send() {
                Ok(response) => self.read(response)?,
                Err(error) => Attempt::Retry(self.unavailable(&causes(&error.without_url()))),
            };
            match attempt {
                Attempt::Done(body) => return Ok(Some(body)),
                Attempt::Absent => return Ok(None),
                Attempt::Retry(error) => match pauses.next() {
                    Some(pause) => std::thread::sleep(*pause),
                    None => return Err(error),
                },
            }
        }
    }

    /// Reads an answer.
    fn read(&self, response: Response) -> Result<Attempt> {
        let status = response.status();
        let mut body = Vec::new();
        if let Err(error) = response.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body) {
            return Ok(Attempt::Retry(self.unavailable(&error.to_string())));
        }
        if u64::try_from(body.len()).is_ok_and(|bytes| bytes > ANSWER_BYTES_MAX) {
            return Err(
                self.unavailable(&format!("an answer of more than {ANSWER_BYTES_MAX} bytes"))
            );
        }
        if status.is_success() {
            return Ok(Attempt::Done(body));
        }
        let answer: Option<ErrorAnswer> = serde_json::from_slice(&body).ok();
        let is_absent = answer
            .as_ref()
            .is_some_and(|answer| NOT_FOUND_CODES.contains(&answer.error_code));
        if status == StatusCode::NOT_FOUND && is_absent {
            return Ok(Attempt::Absent);
        }
        let what = answer.map_or_else(
            || format!("answered {status}"),
            |answer| format!("answered {}: {}", answer.error_code, answer.message),
        );
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Attempt::Retry(self.unavailable(&what)));
        }
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::option(format!(
                "Schema Registry at {} {what}; check its user and password",
                self.url
            )),
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                Error::validation(format!("Schema Registry at {} {what}", self.url))
            }
            _ => self.unavailable(&what),
        })
    }

    /// Reads the body of an answer.
    fn parse<T: serde::de::DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body)
            .map_err(|error| self.unavailable(&format!("answered what is no schema: {error}")))
    }

    /// Reads the schema of an answer, whose id is `asked` where the answer does not say it.
    fn schema_of(&self, body: &[u8], asked: i32) -> Result<RegisteredSchema> {
        let answer: SchemaAnswer = self.parse(body)?;
        let schema_type = SchemaType::parse(answer.schema_type.as_deref())
            .ok_or_else(|| self.unavailable("answered an unknown schema type"))?;
        Ok(RegisteredSchema {
            id: answer.id.unwrap_or(asked),
            schema_type,
            schema: answer.schema,
            references: answer.references.unwrap_or_default(),
        })
    }

    /// The registry does not answer as it should.
    fn unavailable(&self, what: &str) -> Error {
        Error::unavailable(format!("Schema Registry at {}: {what}", self.url))
    }
}

/// An error with its causes, which HTTP errors leave out of their own text.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl SchemaRegistry for HttpRegistry {
    fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32> {
        let address = self.address(&["subjects", subject, "versions"])?;
        let body = match schema_type {
            SchemaType::Avro => serde_json::json!({"schema": schema}),
            SchemaType::Json | SchemaType::Protobuf => {
                serde_json::json!({"schema": schema, "schemaType": schema_type.as_str()})
            }
        }
        .to_string();
        let answer = self.send(|client| {
            client
                .post(address.clone())
                .header("content-type", CONTENT_TYPE)
                .body(body.clone())
        });
        let answer = answer.map_err(|error| error.context(&format!("subject {subject}")))?;
        let answer = answer.ok_or_else(|| {
            self.unavailable(&format!("answered that subject {subject} does not exist"))
        })?;
        Ok(self.parse::<IdAnswer>(&answer)?.id)
    }

    fn schema(&self, id: i32) -> Result<Option<RegisteredSchema>> {
        let address = self.address(&["schemas", "ids", &id.to_string()])?;
        let Some(body) = self.send(|client| client.get(address.clone()))? else {
            return Ok(None);
        };
        self.schema_of(&body, id).map(Some)
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>> {
        let address = self.address(&["subjects", subject, "versions", "latest"])?;
        let answer = self.send(|client| client.get(address.clone()));
        let answer = answer.map_err(|error| error.context(&format!("subject {subject}")))?;
        answer.map(|body| self.schema_of(&body, 0)).transpose()
    }

    fn version(&self, subject: &str, version: i32) -> Result<Option<RegisteredSchema>> {
        let mut address = self.address(&["subjects", subject, "versions", &version.to_string()])?;
        address.set_query(Some("deleted=true"));
        let answer = self.send(|client| client.get(address.clone()));
        let answer = answer
            .map_err(|error| error.context(&format!("subject {subject} version {version}")))?;
        answer.map(|body| self.schema_of(&body, 0)).transpose()
    }

    fn delete_subject(&self, subject: &str) -> Result<()> {
        let address = self.address(&["subjects", subject])?;
        let answer = self.send(|client| client.delete(address.clone()));
        answer
            .map(drop)
            .map_err(|error| error.context(&format!("subject {subject}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::error::{Code, Kind};

    /// Answers as many connections as there are answers; the requests come back.
    fn serve(
        answers: Vec<(&'static str, &'static str)>,
    ) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://me:secret@{}/base/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert_ne!(reader.read_line(&mut head).unwrap(), 0);
                }
                let lower = head.to_lowercase();
                let length = lower
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.lines().next())
                    .map_or(0, |length| length.parse::<usize>().unwrap());
                let mut request_body = vec![0; length];
                reader.read_exact(&mut request_body).unwrap();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
                requests.push(head + &String::from_utf8(request_body).unwrap());
            }
            requests
        });
        (url, server)
    }

    #[test]
    fn a_busy_registry_is_asked_again_and_the_subject_is_escaped() {
        let (url, server) = serve(vec![
            ("503 Busy", ""),
            ("200 OK", "{\"id\":7}"),
            ("200 OK", "{\"schema\":\"{}\",\"schemaType\":\"JSON\"}"),
            (
                "200 OK",
                "{\"subject\":\"a\",\"version\":2,\"id\":9,\"schema\":\"int\"}",
            ),
            (
                "404 Not Found",
                "{\"error_code\":40401,\"message\":\"Subject not found\"}",
            ),
            (
                "200 OK",
                "{\"id\":3,\"schema\":\"{}\",\"references\":[{\"name\":\"n\",\"subject\":\"s\",\"version\":4}]}",
            ),
            (
                "404 Not Found",
                "{\"error_code\":40402,\"message\":\"Version not found\"}",
            ),
            ("200 OK", "[1]"),
            (
                "404 Not Found",
                "{\"error_code\":40404,\"message\":\"Subject was soft deleted\"}",
            ),
        ]);
        let registry = HttpRegistry::new(&url, None).unwrap();
        assert!(!format!("{registry:?}").contains("secret"));
        let id = registry.register("a/b c-value", SchemaType::Json, "{}");
        assert_eq!(id, Ok(7));
        let schema = registry.schema(7).unwrap().unwrap();
        assert_eq!((schema.id, schema.schema_type), (7, SchemaType::Json));
        let latest = registry.latest("a").unwrap().unwrap();
        assert_eq!((latest.id, latest.schema_type), (9, SchemaType::Avro));
        assert_eq!(registry.latest("b"), Ok(None));
        let version = registry.version("a b", 2).unwrap().unwrap();
        let reference = SchemaReference {
            name: "n".to_owned(),
            subject: "s".to_owned(),
            version: 4,
        };
        assert_eq!((version.id, version.references), (3, vec![reference]));
        assert_eq!(registry.version("a b", 3), Ok(None));
        assert_eq!(registry.delete_subject("c/d"), Ok(()));
        assert_eq!(registry.delete_subject("e"), Ok(()));
        let requests = server.join().unwrap();
        assert!(requests[1].starts_with("POST /base/subjects/a%2Fb%20c-value/versions "));
        assert!(requests[1].contains("Basic bWU6c2VjcmV0"));
        assert!(requests[1].ends_with("{\"schema\":\"{}\",\"schemaType\":\"JSON\"}"));
        assert!(requests[2].starts_with("GET /base/schemas/ids/7 "));
        assert!(requests[3].starts_with("GET /base/subjects/a/versions/latest "));
        assert!(requests[5].starts_with("GET /base/subjects/a%20b/versions/2?deleted=true "));
        assert!(requests[7].starts_with("DELETE /base/subjects/c%2Fd "));
    }

    #[test]
    fn only_the_registry_itself_says_that_a_schema_is_unknown() {
        let (url, server) = serve(vec![
            (
                "404 Not Found",
                "{\"error_code\":40403,\"message\":\"Schema not found\"}",
            ),
            ("404 Not Found", "<html>some other server</html>"),
            ("401 Unauthorized", "{}"),
            ("200 OK", "<html>a login page</html>"),
        ]);
        let registry = HttpRegistry::new(&url, None).unwrap();
        assert_eq!(registry.schema(1), Ok(None));
        let error = registry.schema(1).unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.message.contains("http://127.0.0.1"), "{error}");
        assert!(!error.message.contains("secret"), "{error}");
        assert_eq!(registry.schema(1).unwrap_err().code, Code::InvalidOption);
        assert_eq!(registry.schema(1).unwrap_err().kind, Kind::Unavailable);
        assert_eq!(server.join().unwrap().len(), 4);
    }

    #[test]
    fn addresses_are_checked() {
        for url in [
            "localhost:8081",
            "ftp://h",
            "",
            "data:x",
            "http://h/?key=secret",
            "http://h#secret",
        ] {
            let error = HttpRegistry::new(url, None).unwrap_err();
            assert_eq!(error.code, Code::InvalidOption);
            assert!(!error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn credentials_are_taken_out_of_the_address_and_decoded() {
        let basic = |url: &str, given: Option<(String, String)>| {
            let registry = HttpRegistry::new(url, given).unwrap();
            let told = format!("{registry:?} {}", registry.unavailable("x"));
            assert!(!told.contains("p@ss") && !told.contains("p%40ss"), "{told}");
            registry.basic
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(basic("http://h:8081", None), None);
        assert_eq!(
            basic("https://us%3Aer:p%40ss%2F@h/base", None),
            pair("us:er", "p@ss/")
        );
        assert_eq!(basic("https://key@h", None), pair("key", ""));
        let given = pair("other", "p@ss");
        assert_eq!(basic("https://key:p@h", given.clone()), given);
    }

    #[test]
    fn certificate_authorities_are_checked() {
        for pem in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let registry = HttpRegistry::new("https://h", None).unwrap();
            let error = registry.trusting(pem.as_bytes()).unwrap_err();
            assert_eq!(error.code, Code::InvalidOption, "{pem}");
        }
    }

    #[tokio::test]
    async fn the_client_may_be_made_and_dropped_in_an_asynchronous_runtime() {
        drop(HttpRegistry::new("http://127.0.0.1:1", None).unwrap());
    }
}
