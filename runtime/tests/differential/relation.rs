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
    /// How far the right time may be from the left one: `left + low <= right <= left + high`; absent in regular joins.
    pub(crate) interval: Option<Interval>,
}

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
}

/// What connects a row with a subquery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SemiForm {
    /// `IN`: the only column of the subquery equals the expression.
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
}

/// First rows of groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TopN {
    /// The rows.
    pub(crate) input: Relation,
    /// Key columns.
    pub(crate) partition: Vec<usize>,
    /// Their order.
    pub(crate) order: Vec<Order>,
    /// How they are counted.
    pub(crate) function: RankFunction,
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

/// How ordered rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RankFunction {
    /// `ROW_NUMBER`.
    RowNumber,
    /// `RANK`.
    Rank,
    /// `DENSE_RANK`.
    DenseRank,
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

/// Rows with aggregates over rows before them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Over {
    /// The rows.
    pub(crate) input: Relation,
    /// Key columns.
    pub(crate) partition: Vec<usize>,
    /// The time column.
    pub(crate) time: usize,
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
    /// All of times before, and those of the same time.
    AllRange,
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
                [left.columns(), right.columns()].concat()
            }
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
            Self::Window(window) => {
                let (keys, aggregates) = window.groups.columns(&window.input.columns());
                let mut ends = vec![Column::plain(Type::Time); 2];
                ends.extend(window.has_time.then_some(Column {
                    ty: Type::Time,
                    is_event_time: true,
                }));
                [keys, ends, aggregates].concat()
            }
            Self::Over(over) => {
                let columns = over.input.columns();
                let aggregates = over.aggregates.iter();
                let aggregates: Vec<Column> = aggregates
                    .map(|aggregate| aggregate.column(&columns))
                    .collect();
                [columns, aggregates].concat()
            }
        }
    }

    /// The inputs, subqueries included.
    pub(crate) fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Scan(_) => Vec::new(),
            Self::Filter(input, _) | Self::Distinct(input) | Self::Project(input, _) => vec![input],
            Self::Join(join) => join.inputs.iter().collect(),
            Self::Semi(semi) => vec![&semi.input, &semi.subquery],
            Self::SetOperation(_, inputs) => inputs.iter().collect(),
            Self::Aggregate(aggregation) => vec![&aggregation.input],
            Self::TopN(top) => vec![&top.input],
            Self::Deduplicate(deduplication) => vec![&deduplication.input],
            Self::Window(window) => vec![&window.input],
            Self::Over(over) => vec![&over.input],
        }
    }

    /// The inputs, to be changed.
    pub(crate) fn inputs_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Scan(_) => Vec::new(),
            Self::Filter(input, _) | Self::Distinct(input) | Self::Project(input, _) => vec![input],
            Self::Join(join) => join.inputs.iter_mut().collect(),
            Self::Semi(semi) => vec![&mut semi.input, &mut semi.subquery],
            Self::SetOperation(_, inputs) => inputs.iter_mut().collect(),
            Self::Aggregate(aggregation) => vec![&mut aggregation.input],
            Self::TopN(top) => vec![&mut top.input],
            Self::Deduplicate(deduplication) => vec![&mut deduplication.input],
            Self::Window(window) => vec![&mut window.input],
            Self::Over(over) => vec![&mut over.input],
        }
    }

    /// The tables that are read.
    pub(crate) fn tables(&self) -> BTreeSet<usize> {
        match self {
            Self::Scan(table) => BTreeSet::from([*table]),
            _ => self.inputs().into_iter().flat_map(Self::tables).collect(),
        }
    }

    /// Whether no two rows have the same event time.
    pub(crate) fn has_unique_times(&self) -> bool {
        match self {
            Self::Scan(_) => true,
            Self::Filter(input, _) | Self::Project(input, _) => input.has_unique_times(),
            Self::Over(over) => over.input.has_unique_times(),
            Self::SetOperation(operation, inputs) => {
                let [left, right] = &**inputs;
                operation.operator == SetOperator::Union
                    && operation.is_all
                    && left.has_unique_times()
                    && right.has_unique_times()
                    && left.tables().is_disjoint(&right.tables())
            }
            _ => false,
        }
    }

    /// The only column in event time, if there is exactly one.
    pub(crate) fn event_time(&self) -> Option<usize> {
        let columns = self.columns();
        let mut times = (0..columns.len()).filter(|index| columns[*index].is_event_time);
        times.next().filter(|_| times.next().is_none())
    }

    /// What it is called in the summary.
    pub(crate) fn shape(&self) -> &'static str {
        match self {
            Self::Scan(_) => "scan",
            Self::Filter(..) => "filter",
            Self::Project(..) => "projection",
            Self::Join(join) => match (join.kind, join.interval) {
                (JoinKind::Inner, None) => "inner join",
                (JoinKind::Left, None) => "left join",
                (JoinKind::Right, None) => "right join",
                (JoinKind::Full, None) => "full join",
                (JoinKind::Inner, Some(_)) => "inner interval join",
                (_, Some(_)) => "outer interval join",
            },
            Self::Semi(semi) => match (&semi.form, semi.is_negated) {
                (SemiForm::In(_), false) => "IN subquery",
                (SemiForm::In(_), true) => "NOT IN subquery",
                (SemiForm::Exists(_), false) => "EXISTS",
                (SemiForm::Exists(_), true) => "NOT EXISTS",
            },
            Self::SetOperation(operation, _) => match (operation.operator, operation.is_all) {
                (SetOperator::Union, false) => "UNION",
                (SetOperator::Union, true) => "UNION ALL",
                (SetOperator::Intersect, false) => "INTERSECT",
                (SetOperator::Intersect, true) => "INTERSECT ALL",
                (SetOperator::Except, false) => "EXCEPT",
                (SetOperator::Except, true) => "EXCEPT ALL",
            },
            Self::Distinct(_) => "DISTINCT",
            Self::Aggregate(aggregation) => aggregation.groups.shape(),
            Self::TopN(top) => match top.function {
                RankFunction::RowNumber => "Top-N by ROW_NUMBER",
                RankFunction::Rank => "Top-N by RANK",
                RankFunction::DenseRank => "Top-N by DENSE_RANK",
            },
            Self::Deduplicate(deduplication) if deduplication.keeps_last => "keep last",
            Self::Deduplicate(_) => "keep first",
            Self::Window(window) => match window.windows {
                Windows::Tumble(_) => "TUMBLE",
                Windows::Hop(..) => "HOP",
                Windows::Cumulate(..) => "CUMULATE",
                Windows::Session(_) => "SESSION",
            },
            Self::Over(over) => match over.frame {
                Frame::Rows(_) => "OVER bounded rows",
                Frame::AllRows => "OVER all rows",
                Frame::Range(_) => "OVER bounded range",
                Frame::AllRange => "OVER all range",
            },
        }
    }

    /// The shapes of all parts.
    pub(crate) fn shapes(&self) -> BTreeSet<&'static str> {
        let inputs = self.inputs().into_iter();
        let mut shapes: BTreeSet<&'static str> = inputs.flat_map(Self::shapes).collect();
        shapes.insert(self.shape());
        shapes
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

    /// What it is called in the summary.
    fn shape(&self) -> &'static str {
        let has_distinct = self.aggregates.iter().any(|call| call.is_distinct);
        if !self.sets.is_empty() {
            "GROUPING SETS"
        } else if has_distinct {
            "GROUP BY with DISTINCT"
        } else if self.keys.is_empty() {
            "aggregate of all rows"
        } else {
            "GROUP BY"
        }
    }
}

impl Aggregate {
    /// The column that it makes.
    fn column(&self, input: &[Column]) -> Column {
        Column::plain(match self.function {
            Function::Min | Function::Max => input[self.argument].ty,
            Function::CountRows
            | Function::Count
            | Function::Sum
            | Function::Average
            | Function::Grouping => Type::Int,
        })
    }
}
