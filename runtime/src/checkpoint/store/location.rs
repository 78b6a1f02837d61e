//! Where a store is: a directory or a prefix of a bucket.
//!
//! Place in the flow: from the configuration to [`super::CheckpointStore::open`]. Invariant: a location holds no secret, so it can be
//! printed anywhere.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::error::{Error, Result};

/// The schemes that work, for messages.
const SCHEMES: &str = "a plain path, file://, s3:// (or s3a://), gs://, az:// and abfss:// work";

/// Where objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local directory.
    Local(PathBuf),
    /// A prefix of a bucket.
    Bucket(Bucket),
}

/// A prefix of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Whose it is.
    pub provider: Provider,
    /// The bucket, or Azure's container.
    pub name: String,
    /// Azure's account, when the URL names it (`abfss://container@account.dfs.core.windows.net/`).
    pub account: Option<String>,
    /// Folders below the bucket, without slashes at the ends; may be empty.
    pub prefix: String,
}

/// Who keeps buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Provider {
    /// The scheme it is printed with.
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl Location {
    /// Reads a URL or a plain path.
    ///
    /// # Errors
    /// `Invalid`, naming the schemes that work. Nothing between `://` and `@` is repeated in the message.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::option(format!(
                "the place of checkpoints is empty; {SCHEMES}"
            )));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return match text.split_once(':') {
                Some(("file" | "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss", _)) => {
                    Err(Error::option(format!(
                        "the place of checkpoints {text:?} has no :// after its scheme; {SCHEMES}"
                    )))
                }
                Some(_) | None => Ok(Self::Local(PathBuf::from(text))),
            };
        };
        let provider = match scheme {
            "file" => return local(text),
            "s3" | "s3a" => Provider::S3,
            "gs" => Provider::Gcs,
            "az" | "abfs" | "abfss" => Provider::Azure,
            other => {
                return Err(Error::option(format!(
                    "the place of checkpoints has the unknown scheme {other}://; {SCHEMES}"
                )));
            }
        };
        bucket(provider, text)
    }

    /// The location of a folder below this one.
    ///
    /// # Errors
    /// `Invalid` when the name is not made of letters, digits, `-`, `_` and `.`.
    pub fn join(&self, folder: &str) -> Result<Self> {
        super::name::check_word("folder", folder)?;
        Ok(match self {
            Self::Local(path) => Self::Local(path.join(folder)),
            Self::Bucket(bucket) => {
                let mut bucket = bucket.clone();
                if !bucket.prefix.is_empty() {
                    bucket.prefix.push('/');
                }
                bucket.prefix.push_str(folder);
                Self::Bucket(bucket)
            }
        })
    }

    /// Whether it is a local directory.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Bucket(_) => false,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Bucket(bucket) => {
                write!(f, "{}://{}", bucket.provider.scheme(), bucket.name)?;
                if let Some(account) = &bucket.account {
                    write!(f, "@{account}")?;
                }
                write!(f, "/{}", bucket.prefix)
            }
        }
    }
}

/// Reads a `file://` URL.
fn local(text: &str) -> Result<Location> {
    let path = Url::parse(text)
        .ok()
        .and_then(|url| url.to_file_path().ok())
        .filter(|path| path != Path::new("/"));
    path.map(Location::Local).ok_or_else(|| {
        Error::option(format!(
            "the place of checkpoints {text:?} is no absolute path: write file:///folder"
        ))
    })
}

/// Reads the URL of a bucket.
fn bucket(provider: Provider, text: &str) -> Result<Location> {
    let scheme = provider.scheme();
    let bad =
        |what: &str| Error::option(format!("the place of checkpoints under {scheme}:// {what}"));
    let url = Url::parse(text).map_err(|error| bad(&format!("is no URL: {error}")))?;
    if url.password().is_some() || (provider != Provider::Azure && !url.username().is_empty()) {
        return Err(bad(
            "holds credentials: give them as options or in the environment",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() || url.port().is_some() {
        return Err(bad(
            "has a port, a query or a fragment: give endpoint and keys as options",
        ));
    }
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| bad(&format!("has no bucket: write {scheme}://bucket/folder")))?;
    let (name, account) = if url.username().is_empty() {
        (host.to_owned(), None)
    } else {
        let account = host.split_once('.').map_or(host, |(account, _)| account);
        (url.username().to_owned(), Some(account.to_owned()))
    };
    let prefix = url.path().trim_matches('/').to_owned();
    if let Some(bad_part) = prefix
        .split('/')
        .find(|part| !prefix.is_empty() && super::name::check_word("folder", part).is_err())
    {
        return Err(bad(&format!(
            "has the folder {bad_part:?}: use letters, digits, -, _ and ."
        )));
    }
    Ok(Location::Bucket(Bucket {
        provider,
        name,
        account,
        prefix,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_joined_and_printed() {
        for (text, shown) in [
            ("data/checkpoints", "data/checkpoints/s1"),
            ("/srv/weir", "/srv/weir/s1"),
            ("file:///srv/we%20ir", "/srv/we ir/s1"),
            ("s3://bucket", "s3://bucket/s1"),
            ("s3a://bucket/a/b/", "s3://bucket/a/b/s1"),
            ("gs://bucket/a", "gs://bucket/a/s1"),
            ("az://container/a", "az://container/a/s1"),
            (
                "abfss://container@account.dfs.core.windows.net/a",
                "az://container@account/a/s1",
            ),
        ] {
            let location = Location::parse(text).unwrap().join("s1").unwrap();
            assert_eq!(location.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn bad_locations_say_what_works_and_repeat_no_secret() {
        for text in [
            "",
            "hdfs://name/x",
            "http://host/x",
            "s3:/bucket",
            "s3:///x",
            "file://x",
            "file:///",
            "s3://key:s3cret@bucket/x",
            "gs://s3cret@bucket/x",
            "az://c/x?sig=s3cret",
            "s3://bucket:9000/x",
            "s3://bucket/a b",
            "s3://bucket/a/../b%2F..",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind, crate::error::Kind::Invalid, "{text}");
            assert!(!error.message.contains("s3cret"), "{error}");
        }
        let error = Location::parse("hdfs://name/x").unwrap_err();
        assert!(error.message.contains("s3://"), "{error}");
        assert!(Location::parse("x").unwrap().join("../y").is_err());
    }
}
