//! SQL text to what a statement is and runs.
//!
//! Place in the flow: called once, when a statement is made; a stored plan is never planned again. Changes nothing.

use weir_runtime::error::{Error, Result};
use weir_runtime::plan::advice::{Advice, advise};
use weir_runtime::plan::{Column, StreamPlan};
use weir_runtime::sql::catalog::{Catalog, TableDef};
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, QueryInfo, analyze, parse};
use weir_runtime::types::TypeKind;

use super::properties;
use super::record::{Kind, Rows, Traits};

/// What a statement is and runs.
#[derive(Debug)]
pub(super) struct Prepared {
    /// How it runs.
    pub(super) kind: Kind,
    /// What clients are told.
    pub(super) traits: Traits,
    /// What runs, unless it is immediate.
    pub(super) plan: Option<StreamPlan>,
    /// The answer, when it is known already.
    pub(super) rows: Option<Rows>,
    /// What an immediate statement still has to do.
    pub(super) bound: Option<Bound>,
    /// Slots.
    pub(super) parallelism: u32,
    /// The table that is created before it runs.
    pub(super) creates_table: Option<TableDef>,
    /// What its user may not have meant.
    pub(super) advice: Vec<Advice>,
}

/// Columns of SHOW JOBS.
///
/// # Source
/// Confluent: SHOW JOBS.
const JOBS: [&str; 6] = [
    "Name",
    "Phase",
    "Statement",
    "Compute Pool",
    "Creation Time",
    "Detail",
];

/// Parses and binds one statement; `jobs` are the rows of SHOW JOBS.
///
/// # Errors
/// `Invalid` or `Unsupported` with the place in the SQL text.
pub(super) fn prepare(
    sql: &str,
    session: &Session,
    catalog: &dyn Catalog,
    jobs: &dyn Fn() -> Vec<Vec<Option<String>>>,
) -> Result<Prepared> {
    let mut statements = parse(sql)?;
    let statement = match (statements.pop(), statements.len()) {
        (Some(statement), 0) => statement,
        (Some(_), others) => {
            return Err(Error::validation(format!(
                "{} statements in one: submit them one by one, or use EXECUTE STATEMENT SET BEGIN ... END",
                others + 1
            )));
        }
        (None, _) => return Err(Error::syntax("there is no statement in this text")),
    };
    properties::check(session)?;
    let parallelism = properties::parallelism(session)?;
    let mut prepared = match analyze(&statement, catalog, session)? {
        Bound::Query(plan, info) => Prepared {
            traits: query_traits(&info, Some(info.columns.clone())),
            ..running(Kind::Foreground, plan, 1)
        },
        Bound::Insert(plan, info) => Prepared {
            traits: query_traits(&info, None),
            ..running(Kind::Background, plan, parallelism)
        },
        Bound::Rows {
            sql_kind,
            columns,
            rows,
        } => answered(sql_kind, columns, rows),
        Bound::Set { key, value } => settings("SET", vec![vec![Some(key), Some(value)]]),
        Bound::Reset { key } => settings(
            "RESET",
            key.map(|key| vec![Some(key), None]).into_iter().collect(),
        ),
        bound @ Bound::CreateTable { .. } => to_do("CREATE_TABLE", bound),
        Bound::CreateTableAs {
            table, plan, info, ..
        } => Prepared {
            traits: query_traits(&info, None),
            creates_table: catalog.table(&table.name)?.is_none().then_some(table),
            ..running(Kind::Background, plan, parallelism)
        },
        bound @ Bound::AlterTable { .. } => to_do("ALTER_TABLE", bound),
        bound @ Bound::DropTable { .. } => to_do("DROP_TABLE", bound),
        bound @ Bound::CreateView { .. } => to_do("CREATE_VIEW", bound),
        bound @ Bound::DropView { .. } => to_do("DROP_VIEW", bound),
        bound @ Bound::AlterView { .. } => to_do("ALTER_VIEW", bound),
        bound @ (Bound::ChangeResource { sql_kind, .. } | Bound::Nothing { sql_kind }) => {
            to_do(sql_kind, bound)
        }
        Bound::ShowJobs => {
            let columns = JOBS.iter().map(|name| text_column(name)).collect();
            answered("SHOW_JOBS", columns, jobs())
        }
    };
    if let Some(plan) = &mut prepared.plan {
        prepared.advice = advise(plan, session.state_ttl());
        properties::apply(session, plan, &mut prepared.traits);
    }
    Ok(prepared)
}

/// A statement with a job; its traits are filled in by the caller.
fn running(kind: Kind, plan: StreamPlan, parallelism: u32) -> Prepared {
    Prepared {
        kind,
        traits: immediate_traits("", None),
        plan: Some(plan),
        rows: None,
        bound: None,
        parallelism,
        creates_table: None,
        advice: Vec::new(),
    }
}

/// A statement whose answer is known.
fn answered(sql_kind: &str, columns: Vec<Column>, rows: Vec<Vec<Option<String>>>) -> Prepared {
    Prepared {
        kind: Kind::Immediate,
        traits: immediate_traits(sql_kind, Some(columns)),
        plan: None,
        rows: Some(Rows(rows)),
        bound: None,
        parallelism: 0,
        creates_table: None,
        advice: Vec::new(),
    }
}

/// A statement that still has to do something.
fn to_do(sql_kind: &str, bound: Bound) -> Prepared {
    Prepared {
        bound: Some(bound),
        rows: None,
        ..answered(sql_kind, Vec::new(), Vec::new())
    }
    .without_results()
}

/// A change of the client's session, answered with what the client is to remember.
fn settings(sql_kind: &str, rows: Vec<Vec<Option<String>>>) -> Prepared {
    answered(
        sql_kind,
        vec![text_column("Key"), text_column("Value")],
        rows,
    )
}

/// A column of text.
fn text_column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty: TypeKind::string().nullable(),
    }
}

impl Prepared {
    /// The same without a result schema.
    fn without_results(mut self) -> Self {
        self.traits.columns = None;
        self
    }
}

/// Traits of a statement that ends at once.
fn immediate_traits(sql_kind: &str, columns: Option<Vec<Column>>) -> Traits {
    Traits {
        sql_kind: sql_kind.to_owned(),
        is_bounded: true,
        is_append_only: true,
        upsert_columns: None,
        columns,
    }
}

/// Traits of a query or an insert.
fn query_traits(info: &QueryInfo, columns: Option<Vec<Column>>) -> Traits {
    let sql_kind = match info.sql_kind {
        "STATEMENT_SET" => "EXECUTE_STATEMENT_SET",
        other => other,
    };
    Traits {
        sql_kind: sql_kind.to_owned(),
        is_bounded: info.is_bounded,
        is_append_only: info.is_append_only,
        upsert_columns: info.upsert_columns.clone(),
        columns,
    }
}
