//! The fixed names of the local installation and the rules for chosen ones.
//!
//! Place in the flow: catalog, statements and APIs use them. Invariant: an environment and a cluster go by id and by display
//! name everywhere, and both mean the same.

/// Id of the one environment.
pub const ENVIRONMENT_ID: &str = "env-local";
/// Display name of the one environment: the catalog.
pub const ENVIRONMENT_NAME: &str = "default";
/// Id of the one Kafka cluster.
pub const CLUSTER_ID: &str = "lkc-local";
/// Display name of the one Kafka cluster: the database.
pub const CLUSTER_NAME: &str = "cluster_0";
/// Id of the pool that statements without one run in.
pub const DEFAULT_POOL_ID: &str = "lfcp-local";
/// Id of the one organization.
pub const ORGANIZATION_ID: &str = "00000000-0000-0000-0000-000000000001";
/// Principal of callers, who are not told apart on loopback.
pub const PRINCIPAL: &str = "u-local";
/// Cloud that pools and clusters claim to be in; clients insist on a known value.
pub const CLOUD: &str = "AWS";
/// Region that pools and clusters claim to be in.
pub const REGION: &str = "local";

/// Most characters of a statement's name.
///
/// # Source
/// Confluent's description of `sql/v1`.
const STATEMENT_NAME_MAX: usize = 100;

/// Whether a statement may have this name: lower-case letters, digits, inner hyphens, parts joined by dots.
pub fn is_statement_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= STATEMENT_NAME_MAX && name.split('.').all(is_part)
}

/// The catalog that an id or a display name means.
pub fn catalog_name(name: &str) -> &str {
    if name == ENVIRONMENT_ID {
        ENVIRONMENT_NAME
    } else {
        name
    }
}

/// The database that an id or a display name means.
pub fn database_name(name: &str) -> &str {
    if name == CLUSTER_ID {
        CLUSTER_NAME
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_names_follow_the_documented_pattern() {
        for name in ["a", "my-stmt", "a.b-c.9", &"x".repeat(100)] {
            assert!(is_statement_name(name), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a..b", "a_b", "a.", &"x".repeat(101)] {
            assert!(!is_statement_name(name), "{name}");
        }
    }
}
