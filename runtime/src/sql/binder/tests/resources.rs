//! Models, connections and functions: versions, options, secrets and what is refused where.

use super::*;

/// A catalog and what statements do to it.
struct Workspace {
    /// The catalog.
    catalog: MemoryCatalog,
}

impl Workspace {
    /// The tables of the tests and a connection.
    fn new() -> Self {
        let mut session = Self { catalog: catalog() };
        session.run("CREATE CONNECTION open COMMENT 'ours' WITH ('type' = 'OPENAI', 'endpoint' = 'https://x', 'api-key' = 'geheim')");
        session
    }

    /// Binds a statement.
    fn bind(&self, sql: &str) -> Result<Bound> {
        let statements = parse(sql)?;
        analyze(&statements[0], &self.catalog, &Session::default())
    }

    /// Carries a statement out.
    fn run(&mut self, sql: &str) -> &'static str {
        match self.bind(sql).unwrap() {
            Bound::ChangeResource {
                sql_kind,
                before,
                after,
            } => {
                self.catalog.change_resource(before.as_ref(), after);
                sql_kind
            }
            Bound::Nothing { sql_kind } => sql_kind,
            other => panic!("{sql}: {other:?}"),
        }
    }

    /// The message of a statement that does not bind.
    fn message(&self, sql: &str) -> String {
        self.bind(sql).unwrap_err().to_string()
    }

    /// The columns and rows of an answer.
    fn answer(&self, sql: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let Bound::Rows { columns, rows, .. } = self.bind(sql).unwrap() else {
            panic!("{sql}");
        };
        let names = columns.into_iter().map(|column| column.name).collect();
        let row = |row: Vec<Option<String>>| {
            row.into_iter()
                .map(|value| value.unwrap_or_else(|| "NULL".to_owned()))
                .collect()
        };
        (names, rows.into_iter().map(row).collect())
    }
}

/// A model over the connection.
const MODEL: &str =
    "CREATE MODEL m INPUT (text STRING) OUTPUT (label STRING, score DOUBLE) COMMENT 'first'
    WITH ('provider' = 'openai', 'task' = 'classification', 'openai.connection' = 'open')";

#[test]
fn a_model_gets_versions_and_loses_them() {
    let mut session = Workspace::new();
    assert_eq!(session.run(MODEL), "CREATE_MODEL");
    session.run(&MODEL.replace("'first'", "'second'"));
    assert_eq!(
        session.run(&MODEL.replace("MODEL m", "MODEL IF NOT EXISTS m")),
        "CREATE_MODEL"
    );
    let (names, versions) = session.answer("DESCRIBE MODEL `m$all`");
    assert_eq!(
        names,
        [
            "Input format",
            "Output format",
            "Model version",
            "isDefault version",
            "Comment"
        ]
    );
    let facts: Vec<[&str; 3]> = versions
        .iter()
        .map(|row| [&*row[2], &*row[3], &*row[4]])
        .collect();
    assert_eq!(facts, [["1", "yes", "first"], ["2", "no", "second"]]);
    assert_eq!(versions[0][0], "(`text` STRING)");
    session.run("ALTER MODEL m SET ('default_version' = '2')");
    assert_eq!(session.answer("DESC MODEL m").1[0][2], "2");
    session.run("ALTER MODEL `m$1` SET ('tag' = 'prod')");
    let create = &session.answer("SHOW CREATE MODEL `m$1`").1[0][0];
    assert!(
        create.contains("'tag' = 'prod'")
            && create.contains("OUTPUT (`label` VARCHAR(2147483647), `score` DOUBLE)"),
        "{create}"
    );
    session.run("ALTER MODEL `m$1` RESET ('tag')");
    // The default version goes and the smallest takes its place.
    session.run("DROP MODEL m");
    assert_eq!(session.answer("DESCRIBE MODEL m").1[0][2], "1");
    session.run("ALTER MODEL m RENAME TO n");
    assert_eq!(
        session.answer("SHOW MODELS LIKE '_'"),
        (vec!["Model Name".to_owned()], vec![vec!["n".to_owned()]])
    );
    session.run("DROP MODEL `n$all`");
    assert_eq!(session.answer("SHOW MODELS").1.len(), 0);
    assert_eq!(session.run("DROP MODEL IF EXISTS n"), "DROP_MODEL");
    assert_eq!(
        session.run("ALTER MODEL IF EXISTS n SET ('a' = 'b')"),
        "ALTER_MODEL"
    );
}

#[test]
fn what_is_shown_of_a_model_parses_back() {
    let mut session = Workspace::new();
    session.run(MODEL);
    let before = session.answer("DESCRIBE MODEL m");
    let create = session.answer("SHOW CREATE MODEL m").1.remove(0).remove(0);
    session.run("DROP MODEL m");
    session.run(&create);
    assert_eq!(session.answer("DESCRIBE MODEL m"), before);
}

#[test]
fn wrong_models_are_refused() {
    let mut session = Workspace::new();
    session.run(MODEL);
    for (sql, expected) in [
        (
            "CREATE MODEL x WITH ('task' = 'regression')",
            "option 'provider' is missing",
        ),
        (
            "CREATE MODEL x WITH ('provider' = 'opnai')",
            "did you mean \"openai\"?",
        ),
        (
            "CREATE MODEL x WITH ('provider' = 'openai', 'task' = 'guess')",
            "is not one of classification",
        ),
        (
            "CREATE MODEL x WITH ('provider' = 'openai', 'openai.connection' = 'opn')",
            "unknown connection \"opn\", did you mean \"open\"?",
        ),
        (
            "CREATE MODEL `x$2` WITH ('provider' = 'openai')",
            "leave the version out",
        ),
        (
            "CREATE MODEL x INPUT (a INT, a INT) WITH ('provider' = 'openai')",
            "declared twice",
        ),
        ("CREATE MODEL x INPUT (a INT)", "expected WITH"),
        ("DESCRIBE MODEL `m$7`", "has no version 7, it has 1"),
        ("DESCRIBE MODEL `m$x`", "is not a version of a model"),
        (
            "ALTER MODEL m SET ('default_version' = '3')",
            "is not one of 1",
        ),
        ("ALTER MODEL m RESET ('tsak')", "did you mean \"task\"?"),
        (
            "ALTER MODEL m RESET ('provider')",
            "option 'provider' is missing",
        ),
        ("DROP MODEL n", "unknown model \"n\""),
    ] {
        let message = session.message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
        assert!(message.starts_with("line 1, column "), "{message}");
    }
}

#[test]
fn secrets_of_connections_are_never_shown() {
    let mut session = Workspace::new();
    session.run("ALTER CONNECTION open SET ('api-key' = 'neu-geheim', 'username' = 'u')");
    let (names, rows) = session.answer("DESCRIBE CONNECTION open");
    assert_eq!(names, ["Name", "Type", "Endpoint", "Options", "Comment"]);
    assert_eq!(
        rows,
        [[
            "open",
            "OPENAI",
            "https://x",
            "'username' = 'u', 'api-key' = '******'",
            "ours"
        ]]
    );
    assert_eq!(session.answer("SHOW CONNECTIONS LIKE 'o%'").1, [["open"]]);
    assert_eq!(session.answer("SHOW CONNECTIONS NOT LIKE 'o%'").1.len(), 0);
    let created = session
        .bind("CREATE CONNECTION c WITH ('type' = 'rest', 'endpoint' = 'e', 'token' = 'geheim')");
    assert!(!format!("{created:?}").contains("geheim"));
    session.run("ALTER CONNECTION open RESET ('username')");
    session.run("DROP CONNECTION open");
    assert_eq!(
        session.run("DROP CONNECTION IF EXISTS open"),
        "DROP_CONNECTION"
    );
}

#[test]
fn wrong_connections_are_refused_without_their_secrets() {
    let session = Workspace::new();
    for (sql, expected) in [
        (
            "CREATE CONNECTION c WITH ('endpoint' = 'e')",
            "option 'type' is missing",
        ),
        (
            "CREATE CONNECTION c WITH ('type' = 'rest')",
            "option 'endpoint' is missing",
        ),
        (
            "CREATE CONNECTION c WITH ('type' = 'soap', 'endpoint' = 'e')",
            "is not one of a2a",
        ),
        (
            "CREATE CONNECTION c WITH ('type' = 'rest', 'endpoint' = 'e', 'ap-key' = 'geheim')",
            "did you mean \"api-key\"?",
        ),
        (
            "CREATE CONNECTION c WITH ('type' = 'rest', 'endpoint' = 'e', 'token' = '******')",
            "write the secret itself",
        ),
        (
            "CREATE CONNECTION open WITH ('type' = 'rest', 'endpoint' = 'e')",
            "exists already",
        ),
        (
            "ALTER CONNECTION open SET ('endpoint' = 'other')",
            "cannot be changed",
        ),
        ("DROP CONNECTION opn", "did you mean \"open\"?"),
        ("SHOW CREATE CONNECTION open", "use DESCRIBE CONNECTION"),
    ] {
        let message = session.message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
        assert!(!message.contains("geheim"), "{message}");
    }
    let long = format!(
        "CREATE CONNECTION c WITH ('type' = 'rest', 'endpoint' = 'e', 'token' = '{}')",
        "x".repeat(4001)
    );
    assert!(session.message(&long).contains("longer than 4000 bytes"));
}

#[test]
fn functions_of_the_system_are_described_and_others_refused() {
    let session = Workspace::new();
    let (names, facts) = session.answer("DESCRIBE FUNCTION EXTENDED upper");
    assert_eq!(names, ["info name", "info value"]);
    assert!(facts.contains(&vec!["is system function".to_owned(), "true".to_owned()]));
    assert!(facts.contains(&vec!["is deterministic".to_owned(), "true".to_owned()]));
    assert_eq!(session.answer("DESCRIBE FUNCTION UUID").1.len(), 2);
    assert_eq!(session.answer("SHOW FUNCTIONS LIKE 'UPP%'").1, [["UPPER"]]);
    assert_eq!(
        session.answer("SHOW ALL FUNCTIONS ILIKE 'upp%'").1,
        [["UPPER"]]
    );
    assert_eq!(
        session.answer("SHOW USER FUNCTIONS"),
        (vec!["function name".to_owned()], vec![])
    );
    for (sql, expected) in [
        (
            "CREATE FUNCTION f AS 'a.B' USING JAR 'confluent-artifact://cfa-1'",
            "write the expression into a view",
        ),
        (
            "CREATE TEMPORARY FUNCTION f AS 'a.B'",
            "leave TEMPORARY out",
        ),
        ("DESCRIBE FUNCTION uper", "did you mean \"UPPER\"?"),
        ("DROP FUNCTION upper", "cannot be dropped"),
        ("DROP FUNCTION f", "unknown user function \"f\""),
    ] {
        let message = session.message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
    assert!(matches!(
        session.bind("DROP FUNCTION IF EXISTS f").unwrap(),
        Bound::Nothing {
            sql_kind: "DROP_FUNCTION"
        }
    ));
}

#[test]
fn a_call_of_a_model_is_bound_against_one_of_its_versions() {
    let mut session = Workspace::new();
    session.run(MODEL);
    let sql = "SELECT o.order_id, p.label, p.score FROM orders AS o, LATERAL TABLE(ML_PREDICT('m', o.product_id)) AS p";
    let Bound::Query(plan, info) = session.bind(sql).unwrap() else {
        panic!("not a query");
    };
    let types: Vec<String> = info
        .columns
        .iter()
        .map(|column| column.ty.to_string())
        .collect();
    assert_eq!(types, ["STRING NOT NULL", "STRING", "DOUBLE"]);
    assert!(
        nodes(&plan)
            .iter()
            .any(|node| node.starts_with("StreamCorrelate"))
    );
    for (call, expected) in [
        ("ML_PREDICT('m')", "takes 1 columns, not 0"),
        ("ML_PREDICT('m', o.price)", "column `text`"),
        ("ML_PREDICT('x', o.product_id)", "unknown model \"x\""),
        ("ML_PREDICT(1, o.product_id)", "is the name of a model"),
        ("ML_PREDICT('m$all', o.product_id)", "names one version"),
    ] {
        let message = session.message(&format!(
            "SELECT 1 FROM orders AS o, LATERAL TABLE({call}) AS p"
        ));
        assert!(message.contains(expected), "{call}: {message}");
    }
}
