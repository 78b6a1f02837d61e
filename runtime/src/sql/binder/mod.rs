//! Parsed statements to bound statements and plans.
//!
//! Enters: a parsed statement, the catalog, the session. Leaves: a [`Bound`] statement, whose queries are a [`StreamPlan`].
//! The clauses of a query are bound in the order in which SQL evaluates them, each from a relation to a relation; pruning
//! comes last. Invariant: a statement that binds can be run exactly; everything else is refused with its place.

mod aggregate;
mod aggregate_call;
mod aggregate_node;
mod call;
mod column;
mod connections;
mod constraint;
mod correlate;
mod ddl_text;
mod expression;
mod from;
mod group_window;
mod grouping_sets;
mod information_schema;
mod insert;
mod interval;
mod join;
mod join_keys;
mod join_node;
mod like;
mod literal;
mod match_recognize;
mod metadata;
mod ml_function;
mod models;
mod names;
mod normalize_filter;
mod options;
mod order;
mod over;
mod overlaps;
mod pattern;
mod pattern_expr;
mod process_function;
mod prune;
mod query;
mod rank;
mod relation;
mod resources;
mod reuse;
mod scan;
mod select_items;
mod set_ops;
mod show;
mod show_functions;
mod state_ttl;
mod subquery;
mod subquery_join;
mod table;
mod table_checks;
mod table_format;
mod temporal;
mod traits;
mod window_tvf;

#[cfg(test)]
mod tests;

use self::query::QueryBinder;
pub use self::scan::changelog_mode;
use crate::error::{Error, Result, unknown_name};
use crate::plan::advice::advise;
use crate::plan::explain::explain_with;
use crate::plan::{Column, StreamPlan};
use crate::sql::ast::{
    AlterView, CreateTable, ExplainDetail, Ident, Name, Query, Statement, StatementKind,
};
use crate::sql::catalog::{Catalog, ObjectName, TableDef, ViewDef};
use crate::sql::resource::Resource;
use crate::sql::session::{Session, check_key, check_property};
use crate::sql::stack::with_deep_stack;

/// What a statement asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// `CREATE TABLE`.
    CreateTable {
        /// Complete definition, options validated.
        table: TableDef,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
    },
    /// `CREATE TABLE ... AS SELECT`: create the table, then run the plan.
    CreateTableAs {
        /// Complete definition.
        table: TableDef,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
        /// Writes the query's rows into the table.
        plan: StreamPlan,
        /// Facts about the query.
        info: QueryInfo,
    },
    /// `ALTER TABLE`: the definition as it is to be.
    AlterTable {
        /// New definition.
        table: TableDef,
    },
    /// `DROP TABLE`.
    DropTable {
        /// Which.
        name: ObjectName,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `CREATE VIEW`.
    CreateView {
        /// Definition.
        view: ViewDef,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
    },
    /// `DROP VIEW`.
    DropView {
        /// Which.
        name: ObjectName,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `ALTER VIEW`: the definition as it is to be.
    AlterView {
        /// The name it has now.
        name: ObjectName,
        /// New definition, with its name.
        view: ViewDef,
    },
    /// CREATE, ALTER or DROP of a model or connection.
    ChangeResource {
        /// Kind for `traits.sql_kind`.
        sql_kind: &'static str,
        /// The definition that goes, as it was when this was bound.
        before: Option<Resource>,
        /// The definition that comes.
        after: Option<Resource>,
    },
    /// A statement that has nothing to do: `DROP FUNCTION IF EXISTS`.
    Nothing {
        /// Kind for `traits.sql_kind`.
        sql_kind: &'static str,
    },
    /// `SHOW JOBS`: only the server knows its statements.
    ShowJobs,
    /// A foreground query; the plan ends in a results sink.
    Query(StreamPlan, QueryInfo),
    /// `INSERT INTO` or `EXECUTE STATEMENT SET`.
    Insert(StreamPlan, QueryInfo),
    /// `SHOW`, `DESCRIBE`, `EXPLAIN`: an answer that is known already.
    Rows {
        /// Kind for `traits.sql_kind`: `SHOW_TABLES`, `DESCRIBE`, `EXPLAIN`, ...
        sql_kind: &'static str,
        /// Columns.
        columns: Vec<Column>,
        /// Rows of text; NULL is `None`.
        rows: Vec<Vec<Option<String>>>,
    },
    /// `SET 'key' = 'value'`, also what `USE` and `USE CATALOG` become.
    Set {
        /// Key.
        key: String,
        /// Value.
        value: String,
    },
    /// `RESET 'key'`, or everything.
    Reset {
        /// Key; absent for all.
        key: Option<String>,
    },
}

/// Facts about a query that clients ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryInfo {
    /// `SELECT`, `INSERT_INTO`, `STATEMENT_SET` or `CREATE_TABLE_AS`.
    pub sql_kind: &'static str,
    /// Columns of a foreground query; empty otherwise.
    pub columns: Vec<Column>,
    /// Whether every source ends by itself.
    pub is_bounded: bool,
    /// Whether only inserts are emitted.
    pub is_append_only: bool,
    /// Columns that identify a result row.
    pub upsert_columns: Option<Vec<usize>>,
}

/// Binds a statement.
///
/// # Errors
/// `Invalid` or `Unsupported` with the place in the SQL text.
pub fn analyze(statement: &Statement, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
    with_deep_stack(|| analyze_kind(statement, catalog, session))
        .map_err(|error| error.with_span(statement.span))
}

/// Binds a statement by its kind.
fn analyze_kind(statement: &Statement, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
    let binder = || QueryBinder::new(catalog, session);
    Ok(match &statement.kind {
        StatementKind::CreateTable(_)
        | StatementKind::CreateView { .. }
        | StatementKind::DropTable { .. }
        | StatementKind::DropView { .. }
        | StatementKind::AlterTable { .. }
        | StatementKind::AlterView { .. } => return analyze_ddl(statement, catalog, session),
        StatementKind::CreateModel(_)
        | StatementKind::CreateConnection { .. }
        | StatementKind::AlterResource { .. }
        | StatementKind::DropResource { .. }
        | StatementKind::DescribeResource { .. } => {
            return resources::bind(&statement.kind, catalog, session);
        }
        StatementKind::Insert(insert) => {
            let mut binder = binder();
            binder.insert(insert)?;
            let (plan, info) = binder.written("INSERT_INTO")?;
            Bound::Insert(plan, info)
        }
        StatementKind::StatementSet(inserts) => {
            let mut binder = binder();
            for insert in inserts {
                binder
                    .insert(insert)
                    .map_err(|error| error.with_span(insert.span))?;
            }
            let (plan, info) = binder.written("STATEMENT_SET")?;
            Bound::Insert(plan, info)
        }
        StatementKind::Query(query) => {
            let mut binder = binder();
            let relation = binder.bind(query)?;
            let (plan, info) = binder.results(relation)?;
            Bound::Query(plan, info)
        }
        StatementKind::Show(what) => show::show(what, catalog, session)?,
        StatementKind::Describe { name, extended } => {
            show::describe(name, *extended, catalog, session)?
        }
        StatementKind::Explain { details, statement } => {
            explain_statement((details, statement), catalog, session)?
        }
        StatementKind::Set(_)
        | StatementKind::Reset(_)
        | StatementKind::UseCatalog(_)
        | StatementKind::UseDatabase(_) => {
            return analyze_session(statement, catalog, session);
        }
    })
}

/// Binds the statements that create, alter and drop tables and views.
fn analyze_ddl(statement: &Statement, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
    Ok(match &statement.kind {
        StatementKind::CreateTable(create) => return create_table(create, catalog, session),
        StatementKind::CreateView {
            name,
            if_not_exists,
            columns,
            query,
            query_text,
        } => {
            let columns: Vec<String> = columns.iter().map(|ident| ident.value.clone()).collect();
            check_view(query, &columns, QueryBinder::new(catalog, session))
                .map_err(|error| error.with_span(name.span()))?;
            let view = ViewDef {
                name: names::full_name(name, session),
                columns,
                query: query_text.clone(),
            };
            Bound::CreateView {
                view,
                if_not_exists: *if_not_exists,
            }
        }
        StatementKind::DropTable { name, if_exists } => {
            if !if_exists {
                names::table(name, catalog, session)?;
            }
            Bound::DropTable {
                name: names::full_name(name, session),
                if_exists: *if_exists,
            }
        }
        StatementKind::DropView { name, if_exists } => {
            if !if_exists {
                names::view(name, catalog, session)?;
            }
            Bound::DropView {
                name: names::full_name(name, session),
                if_exists: *if_exists,
            }
        }
        StatementKind::AlterTable { name, change } => Bound::AlterTable {
            table: table::alter(name, change, catalog, session)?,
        },
        StatementKind::AlterView { name, change } => alter_view(name, change, catalog, session)?,
        _ => return Err(Error::internal("not a statement about a table or view")),
    })
}

/// Binds the statements that change the session.
fn analyze_session(
    statement: &Statement,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    Ok(match &statement.kind {
        StatementKind::Set(None) => {
            let row =
                |(key, value): (&String, &String)| vec![Some(key.clone()), Some(value.clone())];
            show::rows(
                "SET",
                &["Key", "Value"],
                session.properties.iter().map(row).collect(),
            )
        }
        StatementKind::Set(Some((key, value))) => {
            check_key(&key.value).map_err(|error| error.with_span(key.span))?;
            check_property(&key.value, &value.value)
                .map_err(|error| error.with_span(value.span))?;
            Bound::Set {
                key: key.value.clone(),
                value: value.value.clone(),
            }
        }
        StatementKind::Reset(key) => {
            if let Some(key) = key {
                check_key(&key.value).map_err(|error| error.with_span(key.span))?;
            }
            Bound::Reset {
                key: key.as_ref().map(|key| key.value.clone()),
            }
        }
        StatementKind::UseCatalog(ident) => {
            known("catalog", &ident.value, &catalog.catalog_names())
                .map_err(|error| error.with_span(ident.span))?;
            Bound::Set {
                key: "sql.current-catalog".to_owned(),
                value: ident.value.clone(),
            }
        }
        StatementKind::UseDatabase(name) => {
            let [ident] = name.parts.as_slice() else {
                return Err(
                    Error::unsupported("USE catalog.database: write USE CATALOG first")
                        .with_span(name.span()),
                );
            };
            known(
                "database",
                &ident.value,
                &catalog.database_names(session.current_catalog()),
            )
            .map_err(|error| error.with_span(ident.span))?;
            Bound::Set {
                key: "sql.current-database".to_owned(),
                value: ident.value.clone(),
            }
        }
        _ => return Err(Error::internal("not a statement of the session")),
    })
}

/// Refuses a name that is not among the known ones, if any are known.
fn known(what: &str, name: &str, valid: &[String]) -> Result<()> {
    if valid.is_empty() || valid.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(unknown_name(what, name, valid.iter().map(String::as_str)))
}

/// Binds `CREATE TABLE`, also with `AS SELECT`.
fn create_table(create: &CreateTable, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
    let if_not_exists = create.if_not_exists;
    let Some(query) = &create.query else {
        let table = table::create(create, None, catalog, session)?;
        return Ok(Bound::CreateTable {
            table,
            if_not_exists,
        });
    };
    let mut binder = QueryBinder::new(catalog, session);
    let relation = binder.bind(query)?;
    let span = create.name.span();
    let mut table = table::create(create, Some(&relation), catalog, session)?;
    let columns: Vec<Ident> = relation
        .fields
        .iter()
        .filter(|field| !field.hidden)
        .map(|field| Ident {
            value: field.name.clone(),
            span,
        })
        .collect();
    // A table that may be there already is filled as it is.
    if let Some(existing) = catalog.table(&table.name)? {
        if !if_not_exists {
            return Err(Error::exists(format!(
                "{} exists already: drop it first, INSERT INTO it or say IF NOT EXISTS",
                table.name
            ))
            .with_span(span));
        }
        table = TableDef::clone(&existing);
    }
    binder
        .insert_into(&table, (&columns, None), relation)
        .map_err(|error| error.with_span(span))?;
    let (plan, info) = binder.written("CREATE_TABLE_AS")?;
    Ok(Bound::CreateTableAs {
        table,
        if_not_exists,
        plan,
        info,
    })
}

/// Binds `ALTER VIEW`.
fn alter_view(
    name: &Name,
    change: &AlterView,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let view = names::view(name, catalog, session)?;
    let changed = match change {
        AlterView::Rename(to) => {
            let to_name = names::full_name(to, session);
            if catalog.table(&to_name)?.is_some() || catalog.view(&to_name).is_some() {
                let message = format!("{to_name} exists already: choose another name");
                return Err(Error::exists(message).with_span(to.span()));
            }
            ViewDef {
                name: to_name,
                ..ViewDef::clone(&view)
            }
        }
        AlterView::As { query, text } => {
            check_view(query, &[], QueryBinder::new(catalog, session))?;
            ViewDef {
                name: view.name.clone(),
                columns: Vec::new(),
                query: text.clone(),
            }
        }
    };
    Ok(Bound::AlterView {
        name: view.name.clone(),
        view: changed,
    })
}

/// Checks that a view's query binds and has as many columns as the view.
fn check_view(query: &Query, columns: &[String], mut binder: QueryBinder<'_>) -> Result<()> {
    let mut relation = binder.bind(query)?;
    if columns.is_empty() {
        Ok(())
    } else {
        from::rename(&mut relation, columns)
    }
}

/// Binds what EXPLAIN explains and prints its plan.
fn explain_statement(
    (details, statement): (&[ExplainDetail], &Statement),
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let text = match analyze(statement, catalog, session)? {
        Bound::Query(plan, _) | Bound::Insert(plan, _) | Bound::CreateTableAs { plan, .. } => {
            let advice = advise(&plan, session.state_ttl());
            explain_with(&plan, &advice, details)
        }
        _ => return Err(Error::unsupported("EXPLAIN of a statement without a query")),
    };
    Ok(show::rows("EXPLAIN", &["result"], vec![vec![Some(text)]]))
}
