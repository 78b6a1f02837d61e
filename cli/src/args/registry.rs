//! Where the Schema Registry is.
//!
//! Place in the flow: options of `weir up`. Invariant: nothing of them that may be secret is printed, neither by help nor by an error.

use std::path::PathBuf;

use clap::Args;
use weir_server::ExternalRegistry;

/// An external Schema Registry.
#[derive(Debug, Args)]
pub(crate) struct SchemaRegistry {
    /// An external Schema Registry, instead of the embedded one. User and password may stand in the address, but others on the machine
    /// see them there: better in the environment.
    #[arg(
        long = "schema-registry",
        value_name = "URL",
        env = "WEIR_SCHEMA_REGISTRY",
        hide_env_values = true
    )]
    url: Option<Hidden>,
    /// User or API key for it.
    #[arg(
        long = "schema-registry-user",
        value_name = "USER",
        env = "WEIR_SCHEMA_REGISTRY_USER",
        requires = "url"
    )]
    user: Option<String>,
    /// Password or API secret for it; better in the environment, as others on the machine see the command line.
    #[arg(
        long = "schema-registry-password",
        value_name = "PASSWORD",
        env = "WEIR_SCHEMA_REGISTRY_PASSWORD",
        hide_env_values = true,
        requires = "user"
    )]
    password: Option<Hidden>,
    /// PEM file of certificate authorities to trust for it, besides those of the machine.
    #[arg(long = "schema-registry-ca", value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
}

impl SchemaRegistry {
    /// How it is reached; nothing for the embedded one.
    pub(crate) fn into_external(self) -> Option<ExternalRegistry> {
        let password = self.password.unwrap_or_default().0;
        Some(ExternalRegistry {
            url: self.url?.0,
            basic: self.user.map(|user| (user, password)),
            ca_file: self.ca_file,
        })
    }
}

/// A text that is never printed.
#[derive(Clone, Default)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::{Cli, Command};

    #[test]
    fn a_registry_is_reached_with_user_and_password() {
        let parse = |arguments: &[&str]| {
            let cli = Cli::try_parse_from(["weir", "up"].iter().chain(arguments))?;
            assert!(!format!("{cli:?}").contains("secret"));
            let Command::Up(up) = cli.command else {
                panic!("up was asked for")
            };
            Ok::<_, clap::Error>(up.schema_registry.into_external())
        };
        let url = ["--schema-registry", "https://me:secret@h"];
        assert!(parse(&[]).unwrap().is_none());
        let external = parse(&url).unwrap().unwrap();
        assert_eq!((external.url.as_str(), external.basic), (url[1], None));
        let user = ["--schema-registry-user", "key"];
        let password = ["--schema-registry-password", "secret"];
        let ca = ["--schema-registry-ca", "ca.pem"];
        let all = [url, user, password, ca].concat();
        let external = parse(&all).unwrap().unwrap();
        assert_eq!(
            external.basic,
            Some(("key".to_owned(), "secret".to_owned()))
        );
        assert_eq!(external.ca_file, Some("ca.pem".into()));
        for wrong in [&user[..], &ca, &[url, password].concat()] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
