//! Parsed statements.
//!
//! Place in the flow: [`crate::sql::parser`] makes them, [`crate::sql::binder`] reads them. Queries and expressions are
//! sqlparser's trees; everything that is Flink's own (DDL, types, hints) is here. Invariant: nothing that was written is
//! dropped: what has no place in these trees was refused by the parser.

use std::collections::BTreeMap;

use crate::error::Span;
use crate::plan::ConflictStrategy;
use crate::types::FlinkType;

/// A parsed statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it is.
    pub kind: StatementKind,
    /// Where it stands in the text.
    pub span: Span,
    /// Its text without the closing semicolon.
    pub text: String,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    /// `CREATE TABLE`, also with `AS SELECT`.
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`.
    CreateView {
        /// Its name.
        name: Name,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
        /// Column names, empty when the query's own are used.
        columns: Vec<Ident>,
        /// The query.
        query: Query,
        /// Text of the query.
        query_text: String,
    },
    /// `DROP TABLE`.
    DropTable {
        /// Which.
        name: Name,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `DROP VIEW`.
    DropView {
        /// Which.
        name: Name,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `ALTER VIEW`.
    AlterView {
        /// Which.
        name: Name,
        /// What changes.
        change: AlterView,
    },
    /// `CREATE MODEL`.
    CreateModel(CreateModel),
    /// `CREATE CONNECTION`.
    CreateConnection {
        /// Its name.
        name: Name,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
        /// `COMMENT`.
        comment: Option<String>,
        /// `WITH`.
        options: Vec<TableOption>,
    },
    /// `ALTER MODEL`, `ALTER CONNECTION`.
    AlterResource {
        /// A model or a connection.
        kind: ResourceKind,
        /// Which.
        name: Name,
        /// `IF EXISTS`.
        if_exists: bool,
        /// What changes.
        change: AlterResource,
    },
    /// `DROP MODEL`, `DROP CONNECTION`, `DROP FUNCTION`.
    DropResource {
        /// What.
        kind: ResourceKind,
        /// Which.
        name: Name,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `DESCRIBE MODEL`, `DESCRIBE CONNECTION`, `DESCRIBE FUNCTION [EXTENDED]`.
    DescribeResource {
        /// What.
        kind: ResourceKind,
        /// Which.
        name: Name,
        /// `EXTENDED`.
        extended: bool,
    },
    /// `ALTER TABLE`.
    AlterTable {
        /// Which.
        name: Name,
        /// What changes.
        change: AlterTable,
    },
    /// `INSERT INTO`.
    Insert(Insert),
    /// `EXECUTE STATEMENT SET BEGIN ... END`.
    StatementSet(Vec<Insert>),
    /// A query.
    Query(Query),
    /// `SHOW`.
    Show(Show),
    /// `DESCRIBE`.
    Describe {
        /// Which table or view.
        name: Name,
        /// `EXTENDED`.
        extended: bool,
    },
    /// `EXPLAIN`.
    Explain {
        /// What is shown beside the plan, each once.
        details: Vec<ExplainDetail>,
        /// What is explained.
        statement: Box<Statement>,
    },
    /// `SET`; without an assignment it lists the properties.
    Set(Option<(Literal, Literal)>),
    /// `RESET`; without a key it resets everything.
    Reset(Option<Literal>),
    /// `USE CATALOG`.
    UseCatalog(Ident),
    /// `USE`.
    UseDatabase(Name),
}

/// An identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// Its text, case kept, without quotes.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// A string literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its text, unescaped.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// A name with up to three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Catalog, database and name, as far as they are written.
    pub parts: Vec<Ident>,
}

impl Name {
    /// Where it stands.
    pub fn span(&self) -> Span {
        self.parts
            .iter()
            .fold(Span::default(), |span, part| span.union(part.span))
    }
}

/// A query with the hints of its tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The tree.
    pub body: Box<sqlparser::ast::Query>,
    /// Hints of the whole statement.
    pub hints: Vec<Hint>,
}

/// `/*+ NAME('key' = 'value') */`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What it is about.
    pub kind: HintKind,
    /// The last place of the token before the hint: a table's name, or SELECT.
    pub after: (u32, u32),
    /// Its keys and values.
    pub options: BTreeMap<String, String>,
    /// Where the hint stands.
    pub span: Span,
}

/// What a hint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintKind {
    /// `OPTIONS`, behind a table's name.
    Options,
    /// `STATE_TTL`, behind SELECT.
    StateTtl,
}

impl HintKind {
    /// Where such a hint stands, in words.
    pub fn place(self) -> &'static str {
        match self {
            Self::Options => "a hint OPTIONS follows the name of a table",
            Self::StateTtl => "a hint STATE_TTL follows SELECT",
        }
    }
}

/// A WITH option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOption {
    /// Key.
    pub key: Literal,
    /// Value.
    pub value: Literal,
}

/// `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// Its name.
    pub name: Name,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Columns in order.
    pub columns: Vec<ColumnDef>,
    /// `WATERMARK FOR`.
    pub watermark: Option<WatermarkDef>,
    /// Columns of `PRIMARY KEY`.
    pub primary_key: Vec<Ident>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `DISTRIBUTED`.
    pub distribution: Option<Distribution>,
    /// `WITH`.
    pub options: Vec<TableOption>,
    /// `LIKE`.
    pub like: Option<Like>,
    /// `AS SELECT`.
    pub query: Option<Query>,
}

/// `LIKE source [(rules)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Like {
    /// The table that is taken over.
    pub source: Name,
    /// Rules in order, with their places.
    pub rules: Vec<(LikeMode, LikePart, Span)>,
}

/// What a rule of LIKE does with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeMode {
    /// `INCLUDING`: taken, and only one table may have it.
    Including,
    /// `EXCLUDING`: not taken.
    Excluding,
    /// `OVERWRITING`: taken unless the new table has its own.
    Overwriting,
}

/// A part of a table in LIKE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikePart {
    /// Every part without a rule of its own.
    All,
    /// The primary key.
    Constraints,
    /// Buckets.
    Distribution,
    /// Computed columns.
    Generated,
    /// Metadata columns.
    Metadata,
    /// WITH options.
    Options,
    /// Partitions, which no table has.
    Partitions,
    /// The watermark.
    Watermarks,
}

impl LikePart {
    /// Whether `OVERWRITING` may be said of it.
    ///
    /// # Source
    /// Flink: `SqlTableLike`.
    pub fn can_be_overwritten(self) -> bool {
        matches!(
            self,
            Self::Generated | Self::Metadata | Self::Options | Self::Watermarks
        )
    }
}

/// `DISTRIBUTED [BY [HASH](columns)] [INTO n BUCKETS]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Columns, empty without them.
    pub columns: Vec<Ident>,
    /// Number of buckets.
    pub buckets: Option<u32>,
}

/// A column of `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Ident,
    /// Where values come from.
    pub kind: ColumnDefKind,
    /// `COMMENT`.
    pub comment: Option<String>,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnDefKind {
    /// `name type`.
    Physical(FlinkType),
    /// `name type METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        /// Declared type.
        ty: FlinkType,
        /// `FROM`; absent means the column's name.
        key: Option<Literal>,
        /// `VIRTUAL`.
        is_virtual: bool,
    },
    /// `name AS expression`.
    Computed {
        /// The tree.
        expr: Box<sqlparser::ast::Expr>,
        /// Its text.
        text: String,
    },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq)]
pub struct WatermarkDef {
    /// The rowtime column.
    pub column: Ident,
    /// The tree.
    pub expr: Box<sqlparser::ast::Expr>,
    /// Its text.
    pub text: String,
}

/// What `ALTER TABLE` changes.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterTable {
    /// `SET ('key' = 'value')`.
    Set(Vec<TableOption>),
    /// `RESET ('key')`.
    Reset(Vec<Literal>),
    /// `ADD WATERMARK` and `ADD` of columns.
    Add {
        /// New columns.
        columns: Vec<ColumnDef>,
        /// New watermark.
        watermark: Option<WatermarkDef>,
    },
    /// `ADD [CONSTRAINT name] PRIMARY KEY (columns) NOT ENFORCED`.
    AddPrimaryKey(Vec<Ident>),
    /// `DROP PRIMARY KEY` and `DROP CONSTRAINT name`.
    DropPrimaryKey {
        /// The name of the constraint, when it was said.
        constraint: Option<Ident>,
        /// Where it stands.
        span: Span,
    },
    /// `MODIFY WATERMARK`.
    ModifyWatermark(WatermarkDef),
    /// `DROP WATERMARK`.
    DropWatermark(Span),
    /// `DROP column`.
    DropColumns(Vec<Ident>),
}

/// `INSERT INTO`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The sink.
    pub table: Name,
    /// Column list, empty without one.
    pub columns: Vec<Ident>,
    /// What is written.
    pub query: Query,
    /// `ON CONFLICT DO ...`, and where it stands.
    pub on_conflict: Option<(ConflictStrategy, Span)>,
    /// Where the statement stands.
    pub span: Span,
}

/// What is neither a table nor a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// A model.
    Model,
    /// A connection.
    Connection,
    /// A function.
    Function,
}

impl ResourceKind {
    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Connection => "connection",
            Self::Function => "function",
        }
    }
}

/// `CREATE MODEL`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateModel {
    /// Its name.
    pub name: Name,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Columns of `INPUT`.
    pub inputs: Vec<(Ident, FlinkType)>,
    /// Columns of `OUTPUT`.
    pub outputs: Vec<(Ident, FlinkType)>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `WITH`.
    pub options: Vec<TableOption>,
}

/// What `ALTER MODEL` and `ALTER CONNECTION` change.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterResource {
    /// `RENAME TO name`.
    Rename(Name),
    /// `SET ('key' = 'value')`.
    Set(Vec<TableOption>),
    /// `RESET ('key')`.
    Reset(Vec<Literal>),
}

/// What `ALTER VIEW` changes.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterView {
    /// `RENAME TO name`.
    Rename(Name),
    /// `AS query`.
    As {
        /// The query.
        query: Query,
        /// Its text.
        text: String,
    },
}

/// What EXPLAIN shows beside the plan.
///
/// # Source
/// Flink 2.3: EXPLAIN, `ExplainDetail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainDetail {
    /// `ESTIMATED_COST`.
    EstimatedCost,
    /// `CHANGELOG_MODE`.
    ChangelogMode,
    /// `PLAN_ADVICE`.
    PlanAdvice,
    /// `JSON_EXECUTION_PLAN`.
    JsonExecutionPlan,
}

impl ExplainDetail {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::EstimatedCost,
        Self::ChangelogMode,
        Self::PlanAdvice,
        Self::JsonExecutionPlan,
    ];

    /// Its keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::EstimatedCost => "ESTIMATED_COST",
            Self::ChangelogMode => "CHANGELOG_MODE",
            Self::PlanAdvice => "PLAN_ADVICE",
            Self::JsonExecutionPlan => "JSON_EXECUTION_PLAN",
        }
    }
}

/// What `SHOW` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// Names of a kind.
    List(Listed, Listing),
    /// `JOBS`.
    Jobs,
    /// `CURRENT CATALOG`.
    CurrentCatalog,
    /// `CURRENT DATABASE`.
    CurrentDatabase,
    /// `CREATE TABLE name`.
    CreateTable(Name),
    /// `CREATE VIEW name`.
    CreateView(Name),
    /// `CREATE MODEL name`.
    CreateModel(Name),
}

/// What `SHOW` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// `CATALOGS`.
    Catalogs,
    /// `DATABASES`.
    Databases,
    /// `TABLES`.
    Tables,
    /// `VIEWS`.
    Views,
    /// `[ALL] FUNCTIONS`.
    Functions,
    /// `USER FUNCTIONS`.
    UserFunctions,
    /// `MODELS`.
    Models,
    /// `CONNECTIONS`.
    Connections,
}

/// Which of them: `[FROM name] [[NOT] LIKE pattern]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The catalog, or the database in its catalog.
    pub from: Option<Name>,
    /// What names look like.
    pub pattern: Option<Pattern>,
}

/// `[NOT] { LIKE | ILIKE } pattern`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The pattern, with `%` and `_`.
    pub text: String,
    /// `NOT`.
    pub is_negated: bool,
    /// `ILIKE`.
    pub ignores_case: bool,
}
