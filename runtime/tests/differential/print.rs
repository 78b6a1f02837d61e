//! A query as Flink SQL.
//!
//! Place in the flow: what the runtime is given. Invariant: the columns of every subquery are called `c0`, `c1`, and so on, so that names
//! are never ambiguous; every input is a subquery of its own, so that precedence never matters.

use crate::expression::Expression;
use crate::relation::{
    Aggregate, Aggregation, Deduplication, Frame, Function, Groups, Join, JoinKind, Order, Over,
    RankFunction, Relation, Semi, SemiForm, SetOperation, SetOperator, TopN, WindowAggregation,
    Windows,
};
use crate::tables::TABLES;

/// Writes queries.
#[derive(Debug, Default)]
struct Printer {
    /// Subqueries that have a name.
    named: usize,
}

/// The SQL of a query.
pub(crate) fn sql(relation: &Relation) -> String {
    Printer::default().query(relation)
}

/// The name of a column.
fn name(index: usize) -> String {
    format!("c{index}")
}

/// Names with a subquery's name in front.
fn of(table: &str) -> impl Fn(usize) -> String {
    move |index| format!("{table}.c{index}")
}

/// Names over the columns of two subqueries, of which the first has so many.
fn of_both<'a>(left: &'a str, right: &'a str, count: usize) -> impl Fn(usize) -> String + 'a {
    move |index| match index.checked_sub(count) {
        None => format!("{left}.c{index}"),
        Some(index) => format!("{right}.c{index}"),
    }
}

/// A list of columns.
fn names(columns: &[usize]) -> String {
    let names: Vec<String> = columns.iter().map(|column| name(*column)).collect();
    names.join(", ")
}

/// A list of results under their names.
fn select(items: Vec<String>) -> String {
    let items = items.into_iter().enumerate();
    let items: Vec<String> = items
        .map(|(index, item)| format!("{item} AS c{index}"))
        .collect();
    items.join(", ")
}

/// So many seconds.
fn seconds(count: i64) -> String {
    // Two digits unless more are declared.
    let digits = if count > 99 { "(3)" } else { "" };
    format!("INTERVAL '{count}' SECOND{digits}")
}

/// A point in time moved by seconds.
fn moved(time: &str, by_s: i64) -> String {
    if by_s < 0 {
        format!("{time} - {}", seconds(-by_s))
    } else {
        format!("{time} + {}", seconds(by_s))
    }
}

impl Printer {
    /// Another name of a subquery.
    fn next_name(&mut self) -> String {
        self.named += 1;
        format!("t{}", self.named)
    }

    /// A subquery and its name.
    fn input(&mut self, relation: &Relation) -> (String, String) {
        let query = self.query(relation);
        let name = self.next_name();
        (format!("({query}) AS {name}"), name)
    }

    /// A query.
    fn query(&mut self, relation: &Relation) -> String {
        match relation {
            Relation::Scan(table) => {
                let table = &TABLES[*table];
                let columns = table.columns.iter().map(|(name, ..)| format!("`{name}`"));
                format!("SELECT {} FROM `{}`", select(columns.collect()), table.name)
            }
            Relation::Filter(input, condition) => {
                let (input, _) = self.input(input);
                format!("SELECT * FROM {input} WHERE {}", condition.sql(&name))
            }
            Relation::Project(input, expressions) => {
                let (input, _) = self.input(input);
                let items = expressions.iter().map(|item| item.sql(&name));
                format!("SELECT {} FROM {input}", select(items.collect()))
            }
            Relation::Join(join) => self.join(join),
            Relation::Semi(semi) => self.semi(semi),
            Relation::SetOperation(operation, inputs) => {
                let [(left, _), (right, _)] = [self.input(&inputs[0]), self.input(&inputs[1])];
                let words = operation.words();
                format!("SELECT * FROM {left} {words} SELECT * FROM {right}")
            }
            Relation::Distinct(input) => {
                let (input, _) = self.input(input);
                format!("SELECT DISTINCT * FROM {input}")
            }
            Relation::Aggregate(aggregation) => self.aggregate(aggregation),
            Relation::TopN(top) => self.top(top),
            Relation::Deduplicate(deduplication) => self.deduplicate(deduplication),
            Relation::Window(window) => self.window(window),
            Relation::Over(over) => self.over(over),
        }
    }

    /// A join.
    fn join(&mut self, join: &Join) -> String {
        let counts = [0, 1].map(|side| join.inputs[side].columns().len());
        let (left, left_name) = self.input(&join.inputs[0]);
        let (right, right_name) = self.input(&join.inputs[1]);
        let names = of_both(&left_name, &right_name, counts[0]);
        let mut condition = join.condition.sql(&names);
        if let Some(interval) = join.interval {
            let [left, right] = [
                names(interval.times[0]),
                names(counts[0] + interval.times[1]),
            ];
            let [low, high] = [interval.low_s, interval.high_s].map(|by_s| moved(&left, by_s));
            condition = format!("{condition} AND {right} BETWEEN {low} AND {high}");
        }
        let kind = match join.kind {
            JoinKind::Inner => "",
            JoinKind::Left => "LEFT ",
            JoinKind::Right => "RIGHT ",
            JoinKind::Full => "FULL ",
        };
        let items = select((0..counts[0] + counts[1]).map(names).collect());
        format!("SELECT {items} FROM {left} {kind}JOIN {right} ON {condition}")
    }

    /// A semi-join or an anti-join.
    fn semi(&mut self, semi: &Semi) -> String {
        let count = semi.input.columns().len();
        let (input, left) = self.input(&semi.input);
        let (subquery, right) = self.input(&semi.subquery);
        let not = if semi.is_negated { "NOT " } else { "" };
        match &semi.form {
            SemiForm::In(expression) => {
                let expression = expression.sql(&of(&left));
                format!(
                    "SELECT * FROM {input} WHERE {expression} {not}IN (SELECT {right}.c0 FROM {subquery})"
                )
            }
            SemiForm::Exists(condition) => {
                let condition = condition.sql(&of_both(&left, &right, count));
                format!(
                    "SELECT * FROM {input} WHERE {not}EXISTS (SELECT 1 FROM {subquery} WHERE {condition})"
                )
            }
        }
    }

    /// Groups.
    fn aggregate(&mut self, aggregation: &Aggregation) -> String {
        let (input, _) = self.input(&aggregation.input);
        let groups = &aggregation.groups;
        let items = [groups.keys(), groups.aggregates()].concat();
        let having = aggregation
            .having
            .as_ref()
            .map_or_else(String::new, |condition| {
                let condition = condition.sql(&|index| items[index].clone());
                format!(" HAVING {condition}")
            });
        let by = groups.by();
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {by}")
        };
        format!("SELECT {} FROM {input}{by}{having}", select(items))
    }

    /// First rows of groups.
    fn top(&mut self, top: &TopN) -> String {
        let count = top.input.columns().len();
        let (input, _) = self.input(&top.input);
        let function = match top.function {
            RankFunction::RowNumber => "ROW_NUMBER",
            RankFunction::Rank => "RANK",
            RankFunction::DenseRank => "DENSE_RANK",
        };
        let order: Vec<String> = top.order.iter().map(|order| order.sql()).collect();
        let over = format!("{}ORDER BY {}", partition(&top.partition), order.join(", "));
        let ranked = self.next_name();
        let numbered = format!("SELECT *, {function}() OVER ({over}) AS rn FROM {input}");
        let mut items: Vec<String> = (0..count).map(name).collect();
        items.extend(top.has_number.then(|| "rn".to_owned()));
        let range = match top.range {
            (1, last) => format!("rn <= {last}"),
            (first, last) => format!("rn >= {first} AND rn <= {last}"),
        };
        format!(
            "SELECT {} FROM ({numbered}) AS {ranked} WHERE {range}",
            select(items)
        )
    }

    /// The first or last row of groups.
    fn deduplicate(&mut self, deduplication: &Deduplication) -> String {
        let columns = deduplication.input.columns();
        let (input, _) = self.input(&deduplication.input);
        let direction = if deduplication.keeps_last {
            "DESC"
        } else {
            "ASC"
        };
        let over = format!(
            "{}ORDER BY {} {direction}",
            partition(&deduplication.keys),
            name(deduplication.time)
        );
        let ranked = self.next_name();
        // What is kept changes, so that its time is no event time any more.
        let items = columns.iter().enumerate().map(|(index, column)| {
            if column.is_event_time {
                Expression::Demoted(index).sql(&name)
            } else {
                name(index)
            }
        });
        let items = select(items.collect());
        format!(
            "SELECT {items} FROM (SELECT *, ROW_NUMBER() OVER ({over}) AS rn FROM {input}) AS {ranked} WHERE rn = 1"
        )
    }

    /// Groups of windows.
    fn window(&mut self, window: &WindowAggregation) -> String {
        let query = self.query(&window.input);
        let named = self.next_name();
        let groups = &window.groups;
        let time = format!("DESCRIPTOR({})", name(window.time));
        let by_keys = if groups.keys.is_empty() {
            String::new()
        } else {
            format!(" PARTITION BY ({})", names(&groups.keys))
        };
        let call = match window.windows {
            Windows::Tumble(size) => format!("TUMBLE(TABLE {named}, {time}, {})", seconds(size)),
            Windows::Hop(slide, times) => {
                let (slide, size) = (seconds(slide), seconds(slide * times));
                format!("HOP(TABLE {named}, {time}, {slide}, {size})")
            }
            Windows::Cumulate(step, times) => {
                let (step, size) = (seconds(step), seconds(step * times));
                format!("CUMULATE(TABLE {named}, {time}, {step}, {size})")
            }
            Windows::Session(gap) => {
                format!("SESSION(TABLE {named}{by_keys}, {time}, {})", seconds(gap))
            }
        };
        let mut ends = vec!["window_start", "window_end"];
        ends.extend(window.has_time.then_some("window_time"));
        let by = [ends.join(", "), groups.by()];
        let by: Vec<String> = by.into_iter().filter(|part| !part.is_empty()).collect();
        let ends = ends.into_iter().map(str::to_owned).collect();
        let items = select([groups.keys(), ends, groups.aggregates()].concat());
        let by = by.join(", ");
        format!("WITH {named} AS ({query}) SELECT {items} FROM TABLE({call}) GROUP BY {by}")
    }

    /// Aggregates over rows before each row.
    fn over(&mut self, over: &Over) -> String {
        let count = over.input.columns().len();
        let (input, _) = self.input(&over.input);
        let frame = match over.frame {
            Frame::Rows(count) => format!("ROWS BETWEEN {count} PRECEDING AND CURRENT ROW"),
            Frame::AllRows => "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
            Frame::Range(size) => {
                format!("RANGE BETWEEN {} PRECEDING AND CURRENT ROW", seconds(size))
            }
            Frame::AllRange => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
        };
        let by = partition(&over.partition);
        let window = format!("OVER ({by}ORDER BY {} {frame})", name(over.time));
        let aggregates = over.aggregates.iter();
        let aggregates = aggregates.map(|aggregate| format!("{} {window}", aggregate.sql(&[])));
        let items = (0..count).map(name).chain(aggregates).collect();
        format!("SELECT {} FROM {input}", select(items))
    }
}

/// `PARTITION BY`, if there are columns.
fn partition(columns: &[usize]) -> String {
    if columns.is_empty() {
        String::new()
    } else {
        format!("PARTITION BY {} ", names(columns))
    }
}

impl Order {
    /// The SQL.
    fn sql(self) -> String {
        let direction = if self.is_descending { "DESC" } else { "ASC" };
        let nulls = match self.nulls_first {
            None => "",
            Some(true) => " NULLS FIRST",
            Some(false) => " NULLS LAST",
        };
        format!("{} {direction}{nulls}", name(self.column))
    }
}

impl SetOperation {
    /// The SQL.
    fn words(self) -> String {
        let operator = match self.operator {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except => "EXCEPT",
        };
        format!("{operator}{}", if self.is_all { " ALL" } else { "" })
    }
}

impl Groups {
    /// The SQL of the keys.
    fn keys(&self) -> Vec<String> {
        self.keys.iter().map(|key| name(*key)).collect()
    }

    /// The SQL of the aggregates.
    fn aggregates(&self) -> Vec<String> {
        let aggregates = self.aggregates.iter();
        aggregates
            .map(|aggregate| aggregate.sql(&self.keys))
            .collect()
    }

    /// What rows are grouped by.
    fn by(&self) -> String {
        if self.sets.is_empty() {
            return names(&self.keys);
        }
        let sets = self.sets.iter().map(|set| {
            let keys: Vec<usize> = set.iter().map(|place| self.keys[*place]).collect();
            format!("({})", names(&keys))
        });
        format!("GROUPING SETS ({})", sets.collect::<Vec<_>>().join(", "))
    }
}

impl Aggregate {
    /// The SQL, with the keys of its group.
    fn sql(&self, keys: &[usize]) -> String {
        let distinct = if self.is_distinct { "DISTINCT " } else { "" };
        let argument = match self.function {
            Function::CountRows => "*".to_owned(),
            Function::Grouping => name(keys[self.argument]),
            _ => format!("{distinct}{}", name(self.argument)),
        };
        let function = match self.function {
            Function::CountRows | Function::Count => "COUNT",
            Function::Sum => "SUM",
            Function::Min => "MIN",
            Function::Max => "MAX",
            Function::Average => "AVG",
            Function::Grouping => "GROUPING",
        };
        let filter = self
            .filter
            .as_ref()
            .map(|condition: &Expression| format!(" FILTER (WHERE {})", condition.sql(&name)));
        format!("{function}({argument}){}", filter.unwrap_or_default())
    }
}
