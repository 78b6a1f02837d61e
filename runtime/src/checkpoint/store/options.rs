//! The options of a store.
//!
//! Place in the flow: the configuration's pairs of key and value become [`Options`]; [`super::CheckpointStore::open`] takes them.
//! Invariant: every fault is reported at once, and no secret is ever printed.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};

/// How a store is reached and used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Trying again.
    pub retry: RetryOptions,
    /// Reading and writing.
    pub transfer: TransferOptions,
    /// Amazon S3 and what speaks its protocol.
    pub s3: S3Options,
}

/// How often and how long calls are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOptions {
    /// `retry.attempts-max`: attempts of a call that finds no answer, 1 to 100.
    pub attempts_max: u32,
    /// `retry.damage-attempts-max`: attempts at reading bytes that do not match their checksum, 1 to 100.
    pub damage_attempts_max: u32,
    /// `retry.pause-ms`: the pause after the first failed attempt, 1 to 60,000 ms; each further one is twice as long.
    pub pause_first: Duration,
    /// `retry.pause-ms-max`: the longest pause, up to 600,000 ms.
    pub pause_max: Duration,
}

impl Default for RetryOptions {
    /// Eight attempts leave 3 of a million calls failed when one of five fails, and end after 13 s; six at reading leave 64. The first
    /// pause is `object_store`'s own; the longest is a guess, unmeasured.
    fn default() -> Self {
        Self {
            attempts_max: 8,
            damage_attempts_max: 6,
            pause_first: Duration::from_millis(100),
            pause_max: Duration::from_secs(10),
        }
    }
}

/// Sizes and times of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOptions {
    /// `request.timeout-ms`: longest HTTP request, 100 to 600,000 ms.
    pub request_timeout: Duration,
    /// `request.connect-timeout-ms`: longest wait for a connection, 100 to 600,000 ms.
    pub connect_timeout: Duration,
    /// `write.part-bytes`: objects above it are sent in parts of this size, from 5 MiB on.
    pub part_bytes: usize,
    /// `read.request-bytes`: neighbouring slices are read together up to this size; a larger slice is read alone.
    pub request_bytes: u64,
    /// `read.ahead-bytes`: bytes read and not yet taken in; a slice larger than this is read alone.
    pub ahead_bytes: u64,
    /// `read.parallelism`: requests at a time, reading or writing parts, 1 to 64.
    pub parallelism: usize,
}

impl Default for TransferOptions {
    /// Time-outs are `object_store`'s own; parts and requests of 8 MiB are what AWS recommends for throughput ("Performance design
    /// patterns for Amazon S3": 8 to 16 MiB); four at a time and 64 MiB ahead are guesses, unmeasured.
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            part_bytes: 8 << 20,
            request_bytes: 8 << 20,
            ahead_bytes: 64 << 20,
            parallelism: 4,
        }
    }
}

/// How S3 is reached; what is absent comes from the environment (`AWS_ENDPOINT`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_SESSION_TOKEN`, `AWS_REGION`, instance metadata). Names are Flink's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Options {
    /// `s3.endpoint`: the address of a store other than Amazon's; `http://` is allowed.
    pub endpoint: Option<String>,
    /// `s3.access-key`.
    pub access_key: Option<String>,
    /// `s3.secret-key`.
    pub secret_key: Option<Secret>,
    /// `s3.region`; `us-east-1` when neither this nor the environment names one.
    pub region: Option<String>,
    /// `s3.path-style-access`: the bucket is in the path (true) or in the host's name (false).
    pub path_style_access: Option<bool>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the client that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Every key, for messages.
const KEYS: &str = "retry.attempts-max, retry.damage-attempts-max, retry.pause-ms, retry.pause-ms-max, request.timeout-ms, \
    request.connect-timeout-ms, write.part-bytes, read.request-bytes, read.ahead-bytes, read.parallelism, s3.endpoint, \
    s3.access-key, s3.secret-key, s3.region, s3.path-style-access";

impl Options {
    /// Reads pairs of key and value. Flink's older spelling with dots (`s3.path.style.access`) is understood too.
    ///
    /// # Errors
    /// `Invalid`, naming every unknown key and every value out of range.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut options = Self::default();
        let faults: Vec<String> = pairs
            .into_iter()
            .filter_map(|(key, value)| options.set(key, value).err())
            .collect();
        if faults.is_empty() {
            Ok(options)
        } else {
            Err(Error::option(format!(
                "checkpoint store: {}",
                faults.join("; ")
            )))
        }
    }

    /// Sets one option; what is wrong with it.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let (retry, transfer) = (&mut self.retry, &mut self.transfer);
        match key {
            "retry.attempts-max" => retry.attempts_max = number(key, value, 1, 100)?,
            "retry.damage-attempts-max" => {
                retry.damage_attempts_max = number(key, value, 1, 100)?;
            }
            "retry.pause-ms" => retry.pause_first = millis(key, value, 1, 60_000)?,
            "retry.pause-ms-max" => retry.pause_max = millis(key, value, 1, 600_000)?,
            "request.timeout-ms" => {
                transfer.request_timeout = millis(key, value, 100, 600_000)?;
            }
            "request.connect-timeout-ms" => {
                transfer.connect_timeout = millis(key, value, 100, 600_000)?;
            }
            "write.part-bytes" => transfer.part_bytes = number(key, value, 5 << 20, 1 << 30)?,
            "read.request-bytes" => transfer.request_bytes = number(key, value, 1 << 10, 1 << 30)?,
            "read.ahead-bytes" => transfer.ahead_bytes = number(key, value, 1 << 10, 1 << 40)?,
            "read.parallelism" => transfer.parallelism = number(key, value, 1, 64)?,
            _ => self.s3.set(key, value)?,
        }
        Ok(())
    }
}

impl S3Options {
    /// Sets one option; what is wrong with it.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "s3.endpoint" => self.endpoint = Some(value.to_owned()),
            "s3.access-key" | "s3.access.key" => self.access_key = Some(value.to_owned()),
            "s3.secret-key" | "s3.secret.key" => self.secret_key = Some(Secret::new(value)),
            "s3.region" => self.region = Some(value.to_owned()),
            "s3.path-style-access" | "s3.path.style.access" => {
                let is_path_style = value
                    .parse()
                    .map_err(|_| format!("{key}: {value:?} is neither true nor false"))?;
                self.path_style_access = Some(is_path_style);
            }
            _ => return Err(format!("unknown option {key:?}; there are {KEYS}")),
        }
        Ok(())
    }
}

/// Reads a number within a range.
fn number<T: TryFrom<u64>>(key: &str, value: &str, min: u64, max: u64) -> Result<T, String> {
    value
        .parse::<u64>()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{key}: {value:?} is no number from {min} to {max}"))
}

/// Reads a number of milliseconds within a range.
fn millis(key: &str, value: &str, min: u64, max: u64) -> Result<Duration, String> {
    number(key, value, min, max).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_every_fault_is_named() {
        let options = Options::from_pairs([
            ("s3.path.style.access", "true"),
            ("s3.secret-key", "s3cret"),
            ("retry.pause-ms", "5"),
            ("read.parallelism", "2"),
        ])
        .unwrap();
        assert_eq!(options.s3.path_style_access, Some(true));
        assert_eq!(options.retry.pause_first, Duration::from_millis(5));
        assert_eq!(options.transfer.parallelism, 2);
        let error = Options::from_pairs([
            ("s3.path-style-access", "maybe"),
            ("read.parallelism", "0"),
            ("s3.endpont", "x"),
        ])
        .unwrap_err();
        for part in ["maybe", "read.parallelism", "s3.endpont", "s3.endpoint"] {
            assert!(error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let options = Options::from_pairs([("s3.secret-key", "s3cret")]).unwrap();
        assert!(!format!("{options:?}").contains("s3cret"));
        let secret = options.s3.secret_key.unwrap();
        assert_eq!(format!("{secret} {}", secret.reveal()), "*** s3cret");
    }
}
