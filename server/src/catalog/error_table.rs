//! The table that dead letters are written to.
//!
//! Place in the flow: made when a table asks for `error-handling.mode` = `log`, and by a job that finds it missing. Invariant: its
//! columns are the ones that jobs write.

use std::collections::BTreeMap;

use weir_runtime::dlq::{ErrorHandling, Mode, error_log_columns};
use weir_runtime::error::Result;
use weir_runtime::sql::catalog::{ObjectName, TableDef};

/// The error table that a table asks for, beside it; absent unless its failures are logged.
///
/// # Errors
/// `Invalid` for a mode that does not exist.
pub(super) fn target_of(table: &TableDef) -> Result<Option<ObjectName>> {
    let handling = ErrorHandling::parse(table)?;
    Ok((handling.mode == Mode::Log).then(|| ObjectName {
        name: handling.target,
        ..table.name.clone()
    }))
}

/// The definition of an error table.
///
/// # Source
/// Confluent's generated schema; the value format is plain JSON, which every tool reads, where Confluent's is Avro.
pub(super) fn definition(name: ObjectName) -> TableDef {
    let options = [("connector", "confluent"), ("value.format", "json")];
    TableDef {
        name,
        columns: error_log_columns(),
        watermark: None,
        primary_key: Vec::new(),
        distributed_by: Vec::new(),
        buckets: None,
        options: options
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>(),
        comment: Some("records that could not be decoded".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name in the local database.
    fn name(name: &str) -> ObjectName {
        ObjectName {
            catalog: "default".into(),
            database: "cluster_0".into(),
            name: name.into(),
        }
    }

    #[test]
    fn the_target_is_beside_the_table() {
        let mut table = definition(name("orders"));
        assert_eq!(target_of(&table).unwrap(), None);
        let set = |table: &mut TableDef, key: &str, value: &str| {
            table.options.insert(key.to_owned(), value.to_owned());
        };
        set(&mut table, "error-handling.mode", "log");
        assert_eq!(target_of(&table).unwrap(), Some(name("error_log")));
        set(&mut table, "error-handling.log.target", "dead");
        assert_eq!(target_of(&table).unwrap(), Some(name("dead")));
        set(&mut table, "error-handling.mode", "forget");
        assert!(target_of(&table).is_err());
    }
}
