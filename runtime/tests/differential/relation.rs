//! Queries as a tree of the generator's own.
//!
//! Place in the flow: the generator makes one, `print` writes it as SQL, `evaluate` computes it, `shrink` makes it smaller. Invariant: a
//! node refers to the columns of its inputs by number, and every column has a type.

use std::collections::BTreeSet;

use crate::expression::Expression;
use crate::tables::TABLES;
use crate::value::Type;

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Relation {
    /// A table.
    Scan(usize),
    /// Rows for which a condition is true.
    Filter(Box<Relation>, Expression),
    /// Other columns.
    Project(Box<Relation>, Vec<Expression>),
    /// A join.
    Join(Box<Join>),
    /// Rows for which a subquery has rows, or none.
    Semi(Box<Semi>),
    /// The rows of two inputs.
    SetOperation(SetOperation, Box<[Relation; 2]>),
    /// Different rows.
    Distinct(Box<Relation>),
    /// Groups.
    Aggregate(Box<Aggregation>),
    /// First rows of groups.
    TopN(Box<TopN>),
    /// The first or last row of groups by event time.
    Deduplicate(Box<Deduplication>),
    /// Groups of windows.
    Window(Box<WindowAggregation>),
    /// Rows with aggregates over rows before them.
    Over(Box<Over>),
    /// Rows with the windows that they are in.
    Windowed(Box<Windowed>),
    /// Rows with the version of a table at their time.
    Temporal(Box<TemporalJoin>),
    /// Each row with each of these values: `UNNEST` of an array.
    Unnest(Box<Relation>, Vec<Expression>),
}

/// A join.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Join {
    /// Which rows it keeps.
    pub(crate) kind: JoinKind,
    /// Left and right.
    pub(crate) inputs: [Relation; 2],
    /// What holds for rows that match, over the columns of both.
    pub(crate) condition: Expression,
    /// What holds for them beside it.
    pub(crate) meeting: Meeting,
}

/// Which rows of two inputs may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// All.
    Any,
    /// Those with times so far from each other: `left + low <= right <= left + high`.
    Interval(Interval),
    /// Those of the same window: its columns, the right ones counted in their own input.
    Window([WindowColumns; 2]),
}

/// The columns of a window: start and end.
pub(crate) type WindowColumns = (usize, usize);

/// How far times may be from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    /// The time columns, the right one counted in its own input.
    pub(crate) times: [usize; 2],
    /// Least distance, seconds.
    pub(crate) low_s: i64,
    /// Largest distance, seconds.
    pub(crate) high_s: i64,
}

/// Which rows a join keeps beside those that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    /// None.
    Inner,
    /// Of the left input.
    Left,
    /// Of the right input.
    Right,
    /// Of both.
    Full,
}

/// A join with the versions of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TemporalJoin {
    /// Whether rows without a version are kept.
    pub(crate) is_left: bool,
    /// The rows, and the versions: a table with a primary key, or the last row of each key.
    pub(crate) inputs: [Relation; 2],
    /// The time columns, the right one counted in its own input.
    pub(crate) times: [usize; 2],
    /// Columns that are equal, the right ones counted in their own input; all of the key of the versions are among them.
    pub(crate) keys: Vec<(usize, usize)>,
    /// What else holds for a row and its version.
    pub(crate) residual: Option<Expression>,
}

/// Rows for which a subquery has rows, or none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Semi {
    /// The rows.
    pub(crate) input: Relation,
    /// The subquery.
    pub(crate) subquery: Relation,
    /// What connects them.
    pub(crate) form: SemiForm,
    /// Whether rows for which there are none are kept.
    pub(crate) is_negated: bool,
    /// The windows that must be the same, those of the subquery counted in it.
    pub(crate) windows: Option<[WindowColumns; 2]>,
}

/// What connects a row with a subquery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SemiForm {
    /// `IN`: the first column of the subquery equals the expression.
    In(Expression),
    /// `EXISTS`: a condition over the columns of both.
    Exists(Expression),
}

/// Rows of two inputs of the same types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetOperation {
    /// Which.
    pub(crate) operator: SetOperator,
    /// Whether equal rows are counted.
    pub(crate) is_all: bool,
}

/// How the rows of two inputs are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOperator {
    /// Those of any.
    Union,
    /// Those of both.
    Intersect,
    /// Those of the first that the second does not have.
    Except,
}

/// Groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aggregation {
    /// The rows.
    pub(crate) input: Relation,
    /// What they are grouped by, and what is computed.
    pub(crate) groups: Groups,
    /// What must be true of a group, over the output.
    pub(crate) having: Option<Expression>,
}

/// What rows are grouped by, and what is computed of groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Groups {
    /// Key columns.
    pub(crate) keys: Vec<usize>,
    /// Grouping sets, of places in `keys`; empty means one of all.
    pub(crate) sets: Vec<Vec<usize>>,
    /// What is computed.
    pub(crate) aggregates: Vec<Aggregate>,
}

/// Something computed of a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aggregate {
    /// What.
    pub(crate) function: Function,
    /// Of which column; in [`Function::Grouping`] of which key.
    pub(crate) argument: usize,
    /// Whether of different values only.
    pub(crate) is_distinct: bool,
    /// Of which rows.
    pub(crate) filter: Option<Expression>,
}

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// `COUNT(*)`.
    CountRows,
    /// `COUNT`.
    Count,
    /// `SUM`.
    Sum,
    /// `MIN`.
    Min,
    /// `MAX`.
    Max,
    /// `AVG`.
    Average,
    /// `GROUPING`: whether the key is left out of the grouping set.
    Grouping,
    /// `FIRST_VALUE`, of rows in order.
    First,
    /// `LAST_VALUE`, of rows in order.
    Last,
    /// `LISTAGG`, of rows in order.
    List,
    /// `LAG`: the value so many rows back.
    Lag(usize),
}

/// First rows of groups by `ROW_NUMBER`: Flink refuses `RANK` and `DENSE_RANK` over streams.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TopN {
    /// The rows.
    pub(crate) input: Relation,
    /// Key columns.
    pub(crate) partition: Vec<usize>,
    /// Their order.
    pub(crate) order: Vec<Order>,
    /// First and last number that is kept.
    pub(crate) range: (i64, i64),
    /// Whether the number is a column.
    pub(crate) has_number: bool,
}

/// A column that rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// The column.
    pub(crate) column: usize,
    /// Whether large ones come first.
    pub(crate) is_descending: bool,
    /// Whether NULLs come first; absent leaves it to the default, in which NULL is smaller than everything.
    pub(crate) nulls_first: Option<bool>,
}

/// The first or last row of groups by event time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deduplication {
    /// The rows.
    pub(crate) input: Relation,
    /// Key columns.
    pub(crate) keys: Vec<usize>,
    /// The time column.
    pub(crate) time: usize,
    /// Whether the last row is kept.
    pub(crate) keeps_last: bool,
}

/// Groups of windows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WindowAggregation {
    /// The rows.
    pub(crate) input: Relation,
    /// The time column.
    pub(crate) time: usize,
    /// The windows.
    pub(crate) windows: Windows,
    /// The groups in each of them.
    pub(crate) groups: Groups,
    /// Whether the window's time is a column behind its ends, in event time.
    pub(crate) has_time: bool,
}

/// Windows of event time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Windows {
    /// One behind the other, of that size.
    Tumble(i64),
    /// Beginning after each slide, so many slides long.
    Hop(i64, i64),
    /// Growing by a step up to so many of them.
    Cumulate(i64, i64),
    /// As long as no gap is larger; of the keys.
    Session(i64),
}

/// Rows with the windows that they are in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Windowed {
    /// The rows.
    pub(crate) input: Relation,
    /// The time column.
    pub(crate) time: usize,
    /// The windows.
    pub(crate) windows: Windows,
    /// Key columns of sessions.
    pub(crate) keys: Vec<usize>,
    /// Whether the window's time is a column behind its ends, in event time in the place of the time column.
    pub(crate) has_time: bool,
}

/// Rows with aggregates over rows before them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Over {
    /// The rows.
    pub(crate) input: Relation,
    /// Key columns.
    pub(crate) partition: Vec<usize>,
    /// What orders rows: the time column, or any other one.
    pub(crate) order: Order,
    /// The rows that count.
    pub(crate) frame: Frame,
    /// What is computed.
    pub(crate) aggregates: Vec<Aggregate>,
}

/// Rows that count for a row: it and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// So many before.
    Rows(usize),
    /// All before.
    AllRows,
    /// Those of so many seconds before, and those of the same time.
    Range(i64),
    /// All of times before, and those of the same time; or of values.
    AllRange,
    /// All before, for functions that take no frame.
    Past,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its type.
    pub(crate) ty: Type,
    /// Whether it is event time, with watermarks.
    pub(crate) is_event_time: bool,
}

impl Column {
    /// A column in event time.
    fn event_time() -> Self {
        Self {
            ty: Type::Time,
            is_event_time: true,
        }
    }

    /// A column that is no event time.
    pub(crate) fn plain(ty: Type) -> Self {
        Self {
            ty,
            is_event_time: false,
        }
    }
}

impl Relation {
    /// The columns.
    pub(crate) fn columns(&self) -> Vec<Column> {
        match self {
            Self::Scan(table) => {
                let definition = &TABLES[*table];
                let time = definition.time.map(|(time, _)| time);
                let columns = definition.columns.iter().enumerate();
                let columns = columns.map(|(index, (_, _, ty))| Column {
                    ty: *ty,
                    is_event_time: time == Some(index),
                });
                columns.collect()
            }
            Self::Filter(input, _) | Self::Distinct(input) => input.columns(),
            Self::Project(input, expressions) => {
                let columns = input.columns();
                let column = |expression| column_of(expression, &columns);
                expressions.iter().map(column).collect()
            }
            Self::Join(join) => {
                let [left, right] = &join.inputs;
                let columns = [left.columns(), right.columns()].concat();
                match join.meeting {
                    Meeting::Any | Meeting::Interval(_) => columns,
                    Meeting::Window(_) => demoted(&columns),
                }
            }
            Self::Semi(semi) if semi.windows.is_some() => demoted(&semi.input.columns()),
            Self::Semi(semi) => semi.input.columns(),
            Self::SetOperation(_, inputs) => inputs[0].columns(),
            Self::Aggregate(aggregation) => {
                let columns = aggregation.input.columns();
                let (keys, aggregates) = aggregation.groups.columns(&columns);
                [keys, aggregates].concat()
            }
            Self::TopN(top) => {
                let mut columns = demoted(&top.input.columns());
                columns.extend(top.has_number.then(|| Column::plain(Type::Int)));
                columns
            }
            Self::Deduplicate(deduplication) => demoted(&deduplication.input.columns()),
            Self::Window(window) => window.columns(),
            Self::Over(over) => {
                let columns = over.input.columns();
                let aggregates = over.aggregates.iter();
                let aggregates: Vec<Column> = aggregates
                    .map(|aggregate| aggregate.column(&columns))
                    .collect();
                [columns, aggregates].concat()
            }
            Self::Unnest(input, items) => {
                let mut columns = input.columns();
                let items = items.iter();
                let ty = items.map(|item| column_of(item, &columns).ty).next();
                columns.push(Column::plain(ty.unwrap_or(Type::Int)));
                columns
            }
            Self::Temporal(join) => {
                let [left, right] = &join.inputs;
                [left.columns(), demoted(&right.columns())].concat()
            }
            Self::Windowed(windowed) => windowed.columns(),
        }
    }

    /// The inputs, subqueries included.
    pub(crate) fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Scan(_) => Vec::new(),
            Self::Filter(input, _)
            | Self::Distinct(input)
            | Self::Project(input, _)
            | Self::Unnest(input, _) => vec![input],
            Self::Join(join) => join.inputs.iter().collect(),
            Self::Semi(semi) => vec![&semi.input, &semi.subquery],
            Self::SetOperation(_, inputs) => inputs.iter().collect(),
            Self::Aggregate(aggregation) => vec![&aggregation.input],
            Self::TopN(top) => vec![&top.input],
            Self::Deduplicate(deduplication) => vec![&deduplication.input],
            Self::Window(window) => vec![&window.input],
            Self::Over(over) => vec![&over.input],
            Self::Windowed(windowed) => vec![&windowed.input],
            Self::Temporal(join) => join.inputs.iter().collect(),
        }
    }

    /// The inputs, to be changed.
    pub(crate) fn inputs_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Scan(_) => Vec::new(),
            Self::Filter(input, _)
            | Self::Distinct(input)
            | Self::Project(input, _)
            | Self::Unnest(input, _) => vec![input],
            Self::Join(join) => join.inputs.iter_mut().collect(),
            Self::Semi(semi) => vec![&mut semi.input, &mut semi.subquery],
            Self::SetOperation(_, inputs) => inputs.iter_mut().collect(),
            Self::Aggregate(aggregation) => vec![&mut aggregation.input],
            Self::TopN(top) => vec![&mut top.input],
            Self::Deduplicate(deduplication) => vec![&mut deduplication.input],
            Self::Window(window) => vec![&mut window.input],
            Self::Over(over) => vec![&mut over.input],
            Self::Windowed(windowed) => vec![&mut windowed.input],
            Self::Temporal(join) => join.inputs.iter_mut().collect(),
        }
    }

    /// The tables that are read.
    pub(crate) fn tables(&self) -> BTreeSet<usize> {
        match self {
            Self::Scan(table) => BTreeSet::from([*table]),
            _ => self.inputs().into_iter().flat_map(Self::tables).collect(),
        }
    }
}

/// The columns of windows: their ends, and their time if there is such a column.
fn window_columns(time: Option<Column>) -> impl Iterator<Item = Column> {
    let ends = [Column::plain(Type::Time); 2];
    ends.into_iter().chain(time)
}

impl WindowAggregation {
    /// The columns.
    fn columns(&self) -> Vec<Column> {
        let (keys, aggregates) = self.groups.columns(&self.input.columns());
        let keys = keys.into_iter();
        keys.chain(window_columns(self.has_time.then(Column::event_time)))
            .chain(aggregates)
            .collect()
    }
}

impl Windowed {
    /// The columns.
    fn columns(&self) -> Vec<Column> {
        let mut columns = self.input.columns();
        if !self.keeps_time() {
            columns = demoted(&columns);
        }
        columns.extend(window_columns(self.has_time.then(Column::event_time)));
        columns
    }

    /// Whether the time column stays in event time. Rows of sessions come when the session has ended, late for their own times.
    pub(crate) fn keeps_time(&self) -> bool {
        !self.has_time && !matches!(self.windows, Windows::Session(_))
    }
}

/// Columns without event time.
pub(crate) fn demoted(columns: &[Column]) -> Vec<Column> {
    let plain = |column: &Column| Column::plain(column.ty);
    columns.iter().map(plain).collect()
}

/// The column that an expression over columns is.
pub(crate) fn column_of(expression: &Expression, columns: &[Column]) -> Column {
    let ty = |expression: &Expression| column_of(expression, columns).ty;
    match expression {
        Expression::Column(index) => columns[*index],
        Expression::Demoted(index) => Column::plain(columns[*index].ty),
        Expression::Literal(_, ty) => Column::plain(*ty),
        Expression::Arithmetic(..) => Column::plain(Type::Int),
        Expression::Concat(_) => Column::plain(Type::Text),
        Expression::Compare(..)
        | Expression::Same(..)
        | Expression::And(_)
        | Expression::Or(_)
        | Expression::Not(_)
        | Expression::Is(..)
        | Expression::InList(..) => Column::plain(Type::Bool),
        Expression::Case(_, otherwise) => Column::plain(ty(otherwise)),
        Expression::Coalesce(choices) => Column::plain(choices.first().map_or(Type::Int, ty)),
    }
}

impl Groups {
    /// The columns of keys and of aggregates.
    fn columns(&self, input: &[Column]) -> (Vec<Column>, Vec<Column>) {
        let keys = self.keys.iter().map(|key| Column::plain(input[*key].ty));
        let aggregates = self.aggregates.iter();
        (
            keys.collect(),
            aggregates
                .map(|aggregate| aggregate.column(input))
                .collect(),
        )
    }
}

impl Aggregate {
    /// The column that it makes.
    fn column(&self, input: &[Column]) -> Column {
        Column::plain(match self.function {
            Function::Min | Function::Max | Function::First | Function::Last | Function::Lag(_) => {
                input[self.argument].ty
            }
            Function::List => Type::Text,
            Function::CountRows
            | Function::Count
            | Function::Sum
            | Function::Average
            | Function::Grouping => Type::Int,
        })
    }
}
