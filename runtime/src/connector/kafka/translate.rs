//! From the property names of Kafka's Java client to librdkafka's.
//!
//! Place in the flow: [`super::KafkaOptions::from_table`] runs every `properties.*` option through it. Invariant: a property
//! either keeps its meaning or is refused with librdkafka's own name for it; none is dropped that would change what is read
//! or written.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Properties of the Java client that mean nothing here: serializers are the formats' work, and batches have their own bound.
const MEANINGLESS: [&str; 5] = [
    "key.deserializer",
    "value.deserializer",
    "key.serializer",
    "value.serializer",
    "max.poll.records",
];

/// Java names and librdkafka's name of the same thing.
const RENAMED: [(&str, &str); 4] = [
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
];

/// Properties that a statement may not set, and why.
const REFUSED: [(&str, &str); 9] = [
    ("plugin.library.paths", "statements may not load libraries"),
    ("ssl.engine.location", "statements may not load libraries"),
    ("ssl.providers", "statements may not load libraries"),
    ("sasl.kerberos.kinit.cmd", "statements may not run commands"),
    (
        "transactional.id",
        "the engine chooses transactional ids itself",
    ),
    (
        "interceptor.classes",
        "Java classes cannot be loaded, leave it out",
    ),
    (
        "partitioner.class",
        "Java classes cannot be loaded: keyed records go where Kafka's default partitioner puts them",
    ),
    (
        "sasl.login.callback.handler.class",
        "Java classes cannot be loaded, use 'properties.sasl.oauthbearer.method' = 'oidc' and 'properties.sasl.oauthbearer.*'",
    ),
    (
        "ssl.truststore.password",
        "librdkafka reads PEM files, set 'properties.ssl.ca.location' instead",
    ),
];

/// Translates what the user wrote after `properties.`.
///
/// # Errors
/// `Invalid` for a property that statements may not set or that has no counterpart.
pub(super) fn to_librdkafka(
    mut written: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    for (key, why) in REFUSED {
        if written.contains_key(key) {
            return Err(Error::option(format!("option 'properties.{key}': {why}")));
        }
    }
    for key in MEANINGLESS {
        written.remove(key);
    }
    for (java, own) in RENAMED {
        if let Some(value) = written.remove(java) {
            written.insert(own.to_owned(), value);
        }
    }
    stores(&mut written)?;
    if let Some(jaas) = written.remove("sasl.jaas.config") {
        let (username, password) = jaas_login(&jaas)?;
        written.insert("sasl.username".to_owned(), username);
        written.insert("sasl.password".to_owned(), password);
    }
    if let Some(bytes) = written.remove("buffer.memory") {
        let kbytes = bytes.parse::<u64>().map_err(|_| {
            Error::option(format!(
                "option 'properties.buffer.memory': \"{bytes}\" is not a number of bytes"
            ))
        })? / 1024;
        written.insert(
            "queue.buffering.max.kbytes".to_owned(),
            kbytes.max(1).to_string(),
        );
    }
    replace_value(&mut written, "auto.offset.reset", "none", "error");
    replace_value(
        &mut written,
        "ssl.endpoint.identification.algorithm",
        "",
        "none",
    );
    Ok(written)
}

/// Replaces one value of one property.
fn replace_value(written: &mut BTreeMap<String, String>, key: &str, from: &str, to: &str) {
    if let Some(value) = written.get_mut(key)
        && value == from
    {
        to.clone_into(value);
    }
}

/// Translates trust and key stores: PEM files and PKCS#12 are understood, Java's own format is not.
fn stores(written: &mut BTreeMap<String, String>) -> Result<()> {
    let trust_type = written.remove("ssl.truststore.type");
    if let Some(location) = written.remove("ssl.truststore.location") {
        if !is_pem(trust_type.as_deref(), &location) {
            return Err(Error::option(
                "option 'properties.ssl.truststore.location': librdkafka reads PEM files only, set 'properties.ssl.ca.location'",
            ));
        }
        written.insert("ssl.ca.location".to_owned(), location);
    }
    let key_type = written.remove("ssl.keystore.type");
    let Some(location) = written.get("ssl.keystore.location").cloned() else {
        return Ok(());
    };
    if is_pem(key_type.as_deref(), &location) {
        written.remove("ssl.keystore.location");
        written.insert("ssl.certificate.location".to_owned(), location.clone());
        written.insert("ssl.key.location".to_owned(), location);
        return Ok(());
    }
    let pkcs12 = match key_type.as_deref() {
        Some(named) => named.eq_ignore_ascii_case("PKCS12"),
        None => has_extension(&location, &["p12", "pfx"]),
    };
    if pkcs12 {
        Ok(())
    } else {
        Err(Error::option(
            "option 'properties.ssl.keystore.location': librdkafka reads PKCS#12 and PEM, not JKS, set 'properties.ssl.certificate.location' and 'properties.ssl.key.location'",
        ))
    }
}

/// Whether a store is a PEM file, by its named type or else by its extension.
fn is_pem(named: Option<&str>, location: &str) -> bool {
    match named {
        Some(named) => named.eq_ignore_ascii_case("PEM"),
        None => has_extension(location, &["pem", "crt", "cer"]),
    }
}

/// Whether a path ends with one of these extensions, case ignored.
fn has_extension(location: &str, extensions: &[&str]) -> bool {
    std::path::Path::new(location)
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| {
            extensions
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        })
}

/// User name and password of a JAAS line for PLAIN or SCRAM.
///
/// # Errors
/// `Invalid`, without the line's text, when another login module is named or a part is missing.
fn jaas_login(jaas: &str) -> Result<(String, String)> {
    let module = jaas.split_whitespace().next().unwrap_or_default();
    let class = module.rsplit('.').next().unwrap_or_default();
    if !matches!(class, "PlainLoginModule" | "ScramLoginModule") {
        return Err(Error::option(
            "option 'properties.sasl.jaas.config': only PlainLoginModule and ScramLoginModule are understood, set librdkafka's own 'properties.sasl.username', 'properties.sasl.password', 'properties.sasl.oauthbearer.*' or 'properties.sasl.kerberos.*'",
        ));
    }
    let part = |key: &str| {
        jaas_value(jaas, key).ok_or_else(|| {
            Error::option(format!(
                "option 'properties.sasl.jaas.config' has no {key}=\"...\", set 'properties.sasl.{key}'"
            ))
        })
    };
    Ok((part("username")?, part("password")?))
}

/// The quoted value of `key="..."` or `key='...'`, backslash escapes resolved.
fn jaas_value(jaas: &str, key: &str) -> Option<String> {
    let mut rest = jaas;
    loop {
        let at = rest.find(key)?;
        let before = rest[..at].chars().next_back();
        let after = rest[at + key.len()..].trim_start();
        rest = &rest[at + key.len()..];
        if before.is_some_and(|c| !c.is_whitespace()) {
            continue;
        }
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
            continue;
        };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let mut text = String::new();
        let mut characters = value[1..].chars();
        loop {
            match characters.next()? {
                '\\' => text.push(characters.next()?),
                c if c == quote => return Some(text),
                c => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Translates pairs.
    fn translate(pairs: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
        to_librdkafka(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn jaas_of_plain_and_scram_becomes_user_and_password() {
        for module in [
            "org.apache.kafka.common.security.plain.PlainLoginModule",
            "org.apache.kafka.common.security.scram.ScramLoginModule",
        ] {
            let line = format!(r#"{module} required username="us=er" password="p\"a;ss";"#);
            let own = translate(&[("sasl.jaas.config", &line)]).unwrap();
            assert_eq!(own["sasl.username"], "us=er");
            assert_eq!(own["sasl.password"], "p\"a;ss");
            assert!(!own.contains_key("sasl.jaas.config"));
        }
    }

    #[test]
    fn other_login_modules_are_refused_without_their_secret() {
        let line = r#"org.x.OAuthBearerLoginModule required clientSecret="s3cret";"#;
        let error = translate(&[("sasl.jaas.config", line)]).unwrap_err();
        assert!(error.message.contains("sasl.username"), "{error}");
        assert!(!error.message.contains("s3cret"), "{error}");
        let error = translate(&[(
            "sasl.jaas.config",
            "PlainLoginModule required username=\"u\";",
        )])
        .unwrap_err();
        assert!(error.message.contains("password"), "{error}");
    }

    #[test]
    fn java_names_and_values_are_renamed() {
        let own = translate(&[
            ("fetch.max.wait.ms", "100"),
            ("auto.offset.reset", "none"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("buffer.memory", "1048576"),
            ("key.deserializer", "org.x.Y"),
            ("security.protocol", "SASL_SSL"),
        ])
        .unwrap();
        assert_eq!(own["fetch.wait.max.ms"], "100");
        assert_eq!(own["auto.offset.reset"], "error");
        assert_eq!(own["ssl.endpoint.identification.algorithm"], "none");
        assert_eq!(own["queue.buffering.max.kbytes"], "1024");
        assert_eq!(own["security.protocol"], "SASL_SSL");
        assert!(!own.contains_key("key.deserializer"));
    }

    #[test]
    fn stores_are_translated_or_refused() {
        let pem = translate(&[("ssl.truststore.location", "/x/ca.pem")]).unwrap();
        assert_eq!(pem["ssl.ca.location"], "/x/ca.pem");
        let p12 = translate(&[("ssl.keystore.location", "/x/key.p12")]).unwrap();
        assert_eq!(p12["ssl.keystore.location"], "/x/key.p12");
        let pem_key = translate(&[
            ("ssl.keystore.location", "/x/key"),
            ("ssl.keystore.type", "PEM"),
        ])
        .unwrap();
        assert_eq!(pem_key["ssl.key.location"], "/x/key");
        for key in ["ssl.truststore.location", "ssl.keystore.location"] {
            assert!(translate(&[(key, "/x/store.jks")]).is_err(), "{key}");
        }
    }

    #[test]
    fn dangerous_properties_are_refused() {
        for (key, _) in REFUSED {
            let error = translate(&[(key, "x")]).unwrap_err();
            assert!(error.message.contains(key), "{error}");
        }
    }
}
