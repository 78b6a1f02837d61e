//! CTAS, models, connections and functions, with topics in the server's own log.
//!
//! Place in the flow: the commands of a user. Invariant: what was created is there after `kill -9`, and a secret is printed nowhere.

use anyhow::{Result, ensure};

use crate::harness::Weir;
use crate::statements::tables_are_created_and_filled;

/// What no command may print and no log may hold.
const SECRET: &str = "geheim-4711";

#[test]
fn tables_are_created_by_the_statement_that_fills_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weir = Weir::up(folder.path(), &[])?;
    tables_are_created_and_filled(&weir, "ctas_")
}

#[test]
fn models_and_connections_survive_a_kill_and_tell_no_secret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut weir = Weir::up(folder.path(), &[])?;
    let create = format!(
        "CREATE CONNECTION c WITH ('type' = 'openai', 'endpoint' = 'https://x', 'api-key' = '{SECRET}')"
    );
    let mut printed = weir.sql(&create)?;
    printed += &weir.sql(
        "CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING)
           WITH ('provider' = 'openai', 'task' = 'classification', 'openai.connection' = 'c')",
    )?;
    weir.kill()?;
    let log = weir.log();
    let weir = Weir::up(folder.path(), &[])?;
    for show in [
        "SHOW CONNECTIONS",
        "DESCRIBE CONNECTION c",
        "SHOW CREATE MODEL m",
        "DESCRIBE MODEL `m$all`",
        "SHOW JOBS",
    ] {
        printed += &weir.sql(show)?;
    }
    printed += &weir.run(&["statement", "list", "--format", "json"])?;
    ensure!(printed.contains("'api-key' = '******'"), "{printed}");
    ensure!(printed.contains("CREATE MODEL"), "{printed}");
    ensure!(!printed.contains(SECRET), "{printed}");
    ensure!(
        !log.contains(SECRET) && !weir.log().contains(SECRET),
        "{log}"
    );
    let models = weir.query("SHOW MODELS")?;
    ensure!(
        models.len() == 1 && models[0]["Model Name"] == "m",
        "{models:?}"
    );
    Ok(())
}

#[test]
fn functions_are_listed_described_and_refused_with_a_way_out() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weir = Weir::up(folder.path(), &[])?;
    let found = weir.query("SHOW FUNCTIONS LIKE 'REGEXP%'")?;
    ensure!(found.len() > 3, "{found:?}");
    ensure!(weir.query("SHOW USER FUNCTIONS")?.is_empty());
    let facts = weir.query("DESCRIBE FUNCTION EXTENDED upper")?;
    ensure!(facts[0]["info name"] == "is system function", "{facts:?}");
    let refused = weir.sql("CREATE FUNCTION f AS 'a.B' USING JAR 'confluent-artifact://x'");
    let message = refused
        .err()
        .map_or_else(String::new, |error| error.to_string());
    ensure!(
        message.contains("write the expression into a view"),
        "{message}"
    );
    Ok(())
}
