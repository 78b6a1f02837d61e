//! Objects in a bucket: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//!
//! Place in the flow: implements [`Objects`] over the crate `object_store`, each call waiting on the runtime handed in. Invariant: one
//! call is one attempt, since [`super::retry`] repeats; no message holds a secret.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, RetryConfig,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::checkpoint::store::location::{Bucket, Provider};
use crate::checkpoint::store::objects::{Fault, Object, Objects, PutMode};
use crate::checkpoint::store::options::{Options, TransferOptions};
use crate::error::{Error, Result};

/// Longest part of a store's answer that is repeated in a message: answers may be whole pages.
const REASON_CHARS_MAX: usize = 400;

/// A prefix of a bucket.
pub struct RemoteObjects {
    /// The client.
    store: Arc<dyn ObjectStore>,
    /// Folders below the bucket.
    prefix: String,
    /// Where requests run.
    runtime: Handle,
    /// Sizes of requests.
    transfer: TransferOptions,
    /// Texts that no message may hold.
    secrets: Vec<String>,
}

/// Prints the place only: clients print their credentials.
impl fmt::Debug for RemoteObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteObjects")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A client and the secrets that it was made with.
type Client = (Arc<dyn ObjectStore>, Vec<String>);

impl RemoteObjects {
    /// A client of a bucket. Nothing is sent yet.
    ///
    /// The runtime drives requests from threads of its own, so it must not be a current-thread runtime that nobody is running.
    ///
    /// # Errors
    /// `Invalid` when options and environment do not make a client.
    pub fn new(bucket: &Bucket, options: &Options, runtime: Handle) -> Result<Self> {
        install_tls_provider();
        let client = match bucket.provider {
            Provider::S3 => s3(bucket, options),
            Provider::Gcs => gcs(bucket, options),
            Provider::Azure => azure(bucket, options),
        };
        let (store, mut secrets) = client.map_err(|error| {
            let given = options.s3.secret_key.iter();
            let given: Vec<String> = given.map(|key| key.reveal().to_owned()).collect();
            let reason = reason_of(&error, &given);
            Error::option(format!("checkpoint store {}: {reason}", bucket.name))
        })?;
        secrets.retain(|secret| !secret.is_empty());
        Ok(Self {
            store,
            prefix: bucket.prefix.clone(),
            runtime,
            transfer: options.transfer.clone(),
            secrets,
        })
    }

    /// An object's path in the bucket.
    fn path(&self, name: &str) -> Result<Path, Fault> {
        let path = match (self.prefix.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}/{name}", self.prefix),
        };
        Path::parse(&path).map_err(|error| Fault::Refused(error.to_string()))
    }

    /// Whether an error is worth another try.
    fn fault(&self, error: &object_store::Error) -> Fault {
        use object_store::Error as Store;
        let reason = || reason_of(error, &self.secrets);
        match error {
            Store::NotFound { .. } => Fault::Missing,
            Store::AlreadyExists { .. } | Store::Precondition { .. } => Fault::Exists,
            Store::InvalidPath { .. }
            | Store::NotSupported { .. }
            | Store::NotImplemented { .. }
            | Store::PermissionDenied { .. }
            | Store::Unauthenticated { .. }
            | Store::UnknownConfigurationKey { .. } => Fault::Refused(reason()),
            _ => Fault::Passing(reason()),
        }
    }

    /// Sends a large object in parts, some at a time. The object appears with the last request.
    async fn put_in_parts(&self, path: &Path, parts: &[Bytes]) -> object_store::Result<()> {
        let mut upload = self.store.put_multipart(path).await?;
        let mut under_way = JoinSet::new();
        let mut outcome = Ok(());
        for payload in cut(parts, self.transfer.part_bytes) {
            if under_way.len() >= self.transfer.parallelism {
                outcome = joined(under_way.join_next().await);
                if outcome.is_err() {
                    break;
                }
            }
            under_way.spawn(upload.put_part(payload.into_iter().collect()));
        }
        while outcome.is_ok() && !under_way.is_empty() {
            outcome = joined(under_way.join_next().await);
        }
        under_way.shutdown().await;
        if let Err(error) = outcome {
            if let Err(abort) = upload.abort().await {
                tracing::debug!(%path, %abort, "an upload in parts could not be aborted");
            }
            return Err(error);
        }
        upload.complete().await.map(drop)
    }

    /// Every object below a path, folder by folder.
    async fn list_all(&self, folder: Path) -> object_store::Result<Vec<object_store::ObjectMeta>> {
        let mut found = Vec::new();
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let listed = self.store.list_with_delimiter(Some(&folder)).await?;
            found.extend(listed.objects);
            folders.extend(listed.common_prefixes);
        }
        Ok(found)
    }
}

/// Cuts and joins bytes into payloads of exactly this length, except the last: some stores want all parts of an upload alike.
fn cut(parts: &[Bytes], payload_bytes: usize) -> Vec<Vec<Bytes>> {
    let mut payloads = Vec::new();
    let mut payload = Vec::new();
    let mut missing = payload_bytes;
    for part in parts {
        let mut part = part.clone();
        while !part.is_empty() {
            let head = part.split_to(part.len().min(missing));
            missing -= head.len();
            payload.push(head);
            if missing == 0 {
                payloads.push(std::mem::take(&mut payload));
                missing = payload_bytes;
            }
        }
    }
    if !payload.is_empty() {
        payloads.push(payload);
    }
    payloads
}

/// The outcome of a part.
fn joined(
    part: Option<Result<object_store::Result<()>, tokio::task::JoinError>>,
) -> object_store::Result<()> {
    part.map_or(Ok(()), |joined| joined?)
}

/// Makes ring the TLS provider of the process, unless it has one: the HTTP client of `object_store` asks for it.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only when another thread was faster, and then there is a provider all the same.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
    }
}

/// An error with its causes, without secrets and not too long.
fn reason_of(error: &object_store::Error, secrets: &[String]) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    scrub(&text, secrets)
}

/// Hides secrets, and what follows a question mark in a URL, where Azure keeps signatures; one line, shortened.
fn scrub(text: &str, secrets: &[String]) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    let words: Vec<String> = text
        .split(' ')
        .map(|word| match word.split_once('?') {
            Some((address, _)) if address.contains("://") => format!("{address}?***"),
            Some(_) | None => word.to_owned(),
        })
        .collect();
    words.join(" ").chars().take(REASON_CHARS_MAX).collect()
}

/// Time-outs of requests. `http://` is allowed only where the user wrote it.
fn client_options(options: &Options, endpoint: Option<&str>) -> ClientOptions {
    ClientOptions::new()
        .with_timeout(options.transfer.request_timeout)
        .with_connect_timeout(options.transfer.connect_timeout)
        .with_allow_http(endpoint.is_some_and(|address| address.starts_with("http://")))
}

/// One attempt a call: [`super::retry`] repeats, with pauses that a simulator can skip.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

/// A client of S3.
fn s3(bucket: &Bucket, options: &Options) -> object_store::Result<Client> {
    let s3 = &options.s3;
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&bucket.name)
        .with_retry(no_retries());
    if let Some(key) = &s3.access_key {
        builder = builder.with_access_key_id(key);
    }
    if let Some(key) = &s3.secret_key {
        builder = builder.with_secret_access_key(key.reveal());
    }
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    if let Some(is_path_style) = s3.path_style_access {
        builder = builder.with_virtual_hosted_style_request(!is_path_style);
    }
    let from_environment = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let endpoint = s3.endpoint.clone().or(from_environment);
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(match (s3.path_style_access, endpoint.split_once("://")) {
            // With the bucket in the host's name the client wants the whole host.
            (Some(false), Some((scheme, host))) => format!("{scheme}://{}.{host}", bucket.name),
            (Some(_) | None, _) => endpoint.clone(),
        });
    }
    let keys = [AmazonS3ConfigKey::SecretAccessKey, AmazonS3ConfigKey::Token];
    let secrets = keys.iter().filter_map(|key| builder.get_config_value(key));
    let secrets = secrets.collect();
    let client = client_options(options, endpoint.as_deref());
    let store = builder.with_client_options(client).build()?;
    Ok((Arc::new(store), secrets))
}

/// A client of Google Cloud Storage; credentials come from the environment.
fn gcs(bucket: &Bucket, options: &Options) -> object_store::Result<Client> {
    let builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&bucket.name)
        .with_retry(no_retries())
        .with_client_options(client_options(options, None));
    Ok((Arc::new(builder.build()?), Vec::new()))
}

/// A client of Azure Blob Storage; credentials come from the environment.
fn azure(bucket: &Bucket, options: &Options) -> object_store::Result<Client> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&bucket.name)
        .with_retry(no_retries())
        .with_client_options(client_options(options, None));
    if let Some(account) = &bucket.account {
        builder = builder.with_account(account);
    }
    let keys = [
        AzureConfigKey::AccessKey,
        AzureConfigKey::ClientSecret,
        AzureConfigKey::SasKey,
        AzureConfigKey::Token,
    ];
    let secrets = keys.iter().filter_map(|key| builder.get_config_value(key));
    let secrets = secrets.collect();
    Ok((Arc::new(builder.build()?), secrets))
}

impl Objects for RemoteObjects {
    fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), Fault> {
        let path = self.path(name)?;
        let len: usize = parts.iter().map(Bytes::len).sum();
        let put = async {
            let payload: PutPayload = parts.iter().cloned().collect();
            match mode {
                PutMode::Overwrite if len > self.transfer.part_bytes => {
                    self.put_in_parts(&path, parts).await
                }
                PutMode::Overwrite => self.store.put(&path, payload).await.map(drop),
                PutMode::IfAbsent => {
                    let options = PutOptions::from(object_store::PutMode::Create);
                    self.store.put_opts(&path, payload, options).await.map(drop)
                }
            }
        };
        self.runtime
            .block_on(put)
            .map_err(|error| self.fault(&error))
    }

    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Fault> {
        let path = self.path(name)?;
        let read = async {
            let options = GetOptions {
                range: range.map(Into::into),
                ..GetOptions::default()
            };
            self.store.get_opts(&path, options).await?.bytes().await
        };
        self.runtime
            .block_on(read)
            .map_err(|error| self.fault(&error))
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, Fault> {
        let path = self.path(folder)?;
        let listed = self
            .runtime
            .block_on(self.list_all(path))
            .map_err(|error| self.fault(&error))?;
        let objects = listed.into_iter().filter_map(|meta| {
            let whole = meta.location.as_ref();
            let name = match self.prefix.as_str() {
                "" => whole,
                prefix => whole.strip_prefix(prefix)?.strip_prefix('/')?,
            };
            Some(Object {
                name: name.to_owned(),
                len: meta.size,
                modified_ms: meta.last_modified.timestamp_millis(),
            })
        });
        Ok(objects.collect())
    }

    fn delete(&self, name: &str) -> Result<(), Fault> {
        let path = self.path(name)?;
        match self.runtime.block_on(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_alike() {
        let parts = [&b"abc"[..], b"", b"defghij", b"k"].map(Bytes::from_static);
        let cut = |bytes| -> Vec<Vec<u8>> {
            let payloads = super::cut(&parts, bytes).into_iter();
            payloads.map(|payload| payload.concat()).collect()
        };
        assert_eq!(cut(4), [&b"abcd"[..], b"efgh", b"ijk"]);
        assert_eq!(cut(11), [b"abcdefghijk"]);
        assert_eq!(cut(100), [b"abcdefghijk"]);
    }

    #[test]
    fn messages_hold_no_secret_and_end() {
        let text = format!(
            "no\n answer from https://a.blob.core.windows.net/x?sig=abc: key s3cret {}",
            "y".repeat(1000)
        );
        let shown = scrub(&text, &["s3cret".to_owned()]);
        assert!(
            shown.starts_with("no answer from https://a.blob.core.windows.net/x?*** key *** y")
        );
        assert_eq!(shown.chars().count(), REASON_CHARS_MAX);
    }
}
