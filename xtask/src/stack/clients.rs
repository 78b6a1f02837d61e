//! Clients of others: Confluent's Python client of Kafka and Schema Registry.
//!
//! Place in the flow: fetched with the other components; tests run their scripts with its interpreter. Invariant: as published, nothing
//! of it is changed.

use super::python::Environment;

/// The environment that has them.
pub(super) const ENVIRONMENT: Environment = Environment {
    folder: "clients",
    what: "Confluent's Python client",
    requirements: include_str!("../../stack/clients/requirements.txt"),
};

#[test]
fn versions_are_pinned() {
    ENVIRONMENT.assert_pinned("confluent-kafka");
}
