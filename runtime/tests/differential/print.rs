//! A query as Flink SQL.
//!
//! Place in the flow: what the runtime is given. Invariant: the columns of every subquery are called `c0`, `c1`, and so on, so that names
//! are never ambiguous; every input is a subquery of its own, so that precedence never matters.

use crate::expression::{Expression, Names};
use crate::relation::{
    Aggregate, Aggregation, Column, Deduplication, Frame, Function, Groups, Join, JoinKind,
    Meeting, Order, Over, Relation, Semi, SemiForm, SetOperation, SetOperator, TemporalJoin, TopN,
    WindowAggregation, WindowColumns, Windowed, Windows,
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
            Relation::Deduplicate(deduplication) => {
                // What is kept changes, so that its time is no event time any more.
                let columns = deduplication.input.columns();
                self.deduplicate(deduplication, without_event_time(&columns, &name))
            }
            Relation::Window(window) => self.window(window),
            Relation::Over(over) => self.over(over),
            Relation::Windowed(windowed) => self.windowed(windowed),
            Relation::Temporal(join) => self.temporal(join),
            Relation::Unnest(input, items) => self.unnest(input, items),
        }
    }

    /// A join.
    fn join(&mut self, join: &Join) -> String {
        let counts = [0, 1].map(|side| join.inputs[side].columns().len());
        let (left, left_name) = self.input(&join.inputs[0]);
        let (right, right_name) = self.input(&join.inputs[1]);
        let names = of_both(&left_name, &right_name, counts[0]);
        let mut condition = join.condition.sql(&names);
        match join.meeting {
            Meeting::Any => {}
            Meeting::Interval(interval) => {
                let [left, right] = [
                    names(interval.times[0]),
                    names(counts[0] + interval.times[1]),
                ];
                let [low, high] = [interval.low_s, interval.high_s].map(|by_s| moved(&left, by_s));
                condition = format!("{condition} AND {right} BETWEEN {low} AND {high}");
            }
            Meeting::Window(windows) => {
                condition = format!(
                    "{condition} AND {}",
                    same_window(windows, &names, counts[0])
                );
            }
        }
        let kind = match join.kind {
            JoinKind::Inner => "",
            JoinKind::Left => "LEFT ",
            JoinKind::Right => "RIGHT ",
            JoinKind::Full => "FULL ",
        };
        let columns = [join.inputs[0].columns(), join.inputs[1].columns()].concat();
        let items = match join.meeting {
            Meeting::Any | Meeting::Interval(_) => {
                select((0..counts[0] + counts[1]).map(names).collect())
            }
            Meeting::Window(_) => select(without_event_time(&columns, &names)),
        };
        format!("SELECT {items} FROM {left} {kind}JOIN {right} ON {condition}")
    }

    /// A semi-join or an anti-join.
    fn semi(&mut self, semi: &Semi) -> String {
        let count = semi.input.columns().len();
        let (input, left) = self.input(&semi.input);
        let (subquery, right) = self.input(&semi.subquery);
        let not = if semi.is_negated { "NOT " } else { "" };
        let (items, together) = match semi.windows {
            None => ("*".to_owned(), None),
            Some(windows) => (
                select(without_event_time(&semi.input.columns(), &of(&left))),
                Some(same_window(windows, &of_both(&left, &right, count), count)),
            ),
        };
        match &semi.form {
            SemiForm::In(expression) => {
                let expression = expression.sql(&of(&left));
                let rest = together.map_or_else(String::new, |same| format!(" WHERE {same}"));
                format!(
                    "SELECT {items} FROM {input} WHERE {expression} {not}IN (SELECT {right}.c0 FROM {subquery}{rest})"
                )
            }
            SemiForm::Exists(condition) => {
                let condition = condition.sql(&of_both(&left, &right, count));
                let rest = together.map_or_else(String::new, |same| format!(" AND {same}"));
                format!(
                    "SELECT {items} FROM {input} WHERE {not}EXISTS (SELECT 1 FROM {subquery} WHERE {condition}{rest})"
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
        let columns = top.input.columns();
        let (input, _) = self.input(&top.input);
        let order: Vec<String> = top.order.iter().map(|order| order.sql()).collect();
        let over = format!("{}ORDER BY {}", partition(&top.partition), order.join(", "));
        let ranked = self.next_name();
        let numbered = format!("SELECT *, ROW_NUMBER() OVER ({over}) AS rn FROM {input}");
        let mut items = without_event_time(&columns, &name);
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

    /// A join with the versions of a table.
    fn temporal(&mut self, join: &TemporalJoin) -> String {
        let [left_columns, right_columns] = [0, 1].map(|side| join.inputs[side].columns());
        let (left, left_name) = self.input(&join.inputs[0]);
        let versions = match &join.inputs[1] {
            Relation::Deduplicate(last) => {
                let items = (0..right_columns.len()).map(name).collect();
                self.deduplicate(last, items)
            }
            other => self.query(other),
        };
        let [named, right_name] = [(); 2].map(|()| self.next_name());
        let both = of_both(&left_name, &right_name, left_columns.len());
        let equal = |(one, other): &(usize, usize)| {
            format!("{} = {}", both(*one), both(left_columns.len() + other))
        };
        let mut conditions: Vec<String> = join.keys.iter().map(equal).collect();
        conditions.extend(join.residual.as_ref().map(|rest| rest.sql(&both)));
        let left_items = (0..left_columns.len()).map(&both);
        let right_items = without_event_time(&right_columns, &of(&right_name));
        let items = select(left_items.chain(right_items).collect());
        let kind = if join.is_left { "LEFT " } else { "" };
        let (time, on) = (both(join.times[0]), conditions.join(" AND "));
        format!(
            "WITH {named} AS ({versions}) SELECT {items} FROM {left} {kind}JOIN {named} FOR SYSTEM_TIME AS OF {time} AS {right_name} ON {on}"
        )
    }

    /// The first or last row of groups: these items of it.
    fn deduplicate(&mut self, deduplication: &Deduplication, items: Vec<String>) -> String {
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
        let items = select(items);
        format!(
            "SELECT {items} FROM (SELECT *, ROW_NUMBER() OVER ({over}) AS rn FROM {input}) AS {ranked} WHERE rn = 1"
        )
    }

    /// Groups of windows.
    fn window(&mut self, window: &WindowAggregation) -> String {
        let query = self.query(&window.input);
        let named = self.next_name();
        let groups = &window.groups;
        let call = window_call(&named, window.time, &groups.keys, window.windows);
        let mut ends = vec!["window_start", "window_end"];
        ends.extend(window.has_time.then_some("window_time"));
        let by = [ends.join(", "), groups.by()];
        let by: Vec<String> = by.into_iter().filter(|part| !part.is_empty()).collect();
        let ends = ends.into_iter().map(str::to_owned).collect();
        let items = select([groups.keys(), ends, groups.aggregates()].concat());
        let by = by.join(", ");
        format!("WITH {named} AS ({query}) SELECT {items} FROM TABLE({call}) GROUP BY {by}")
    }

    /// Rows with their windows.
    fn windowed(&mut self, windowed: &Windowed) -> String {
        let query = self.query(&windowed.input);
        let named = self.next_name();
        let columns = windowed.input.columns();
        let mut items = if windowed.keeps_time() {
            (0..columns.len()).map(name).collect()
        } else {
            without_event_time(&columns, &name)
        };
        items.extend(["window_start", "window_end"].map(str::to_owned));
        items.extend(windowed.has_time.then(|| "window_time".to_owned()));
        let call = window_call(&named, windowed.time, &windowed.keys, windowed.windows);
        let items = select(items);
        format!("WITH {named} AS ({query}) SELECT {items} FROM TABLE({call})")
    }

    /// Each row with each of some values.
    fn unnest(&mut self, input: &Relation, items: &[Expression]) -> String {
        let count = input.columns().len();
        let (input, left) = self.input(input);
        let right = self.next_name();
        let values: Vec<String> = items.iter().map(|item| item.sql(&of(&left))).collect();
        let columns = (0..count).map(of(&left)).chain([format!("{right}.x")]);
        format!(
            "SELECT {} FROM {input} CROSS JOIN UNNEST(ARRAY[{}]) AS {right} (x)",
            select(columns.collect()),
            values.join(", ")
        )
    }

    /// Aggregates over rows before each row.
    fn over(&mut self, over: &Over) -> String {
        let count = over.input.columns().len();
        let (input, _) = self.input(&over.input);
        let frame = match over.frame {
            Frame::Rows(count) => format!(" ROWS BETWEEN {count} PRECEDING AND CURRENT ROW"),
            Frame::AllRows => " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
            Frame::Range(size) => {
                format!(" RANGE BETWEEN {} PRECEDING AND CURRENT ROW", seconds(size))
            }
            Frame::AllRange => " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
            Frame::Past => String::new(),
        };
        let (by, order) = (partition(&over.partition), over.order.sql());
        let window = format!("OVER ({by}ORDER BY {order}{frame})");
        let aggregates = over.aggregates.iter();
        let aggregates = aggregates.map(|aggregate| format!("{} {window}", aggregate.sql(&[])));
        let items = (0..count).map(name).chain(aggregates).collect();
        format!("SELECT {} FROM {input}", select(items))
    }
}

/// The call of a window function over a subquery of a name.
fn window_call(named: &str, time: usize, keys: &[usize], windows: Windows) -> String {
    let time = format!("DESCRIPTOR({})", name(time));
    let by_keys = if keys.is_empty() {
        String::new()
    } else {
        format!(" PARTITION BY ({})", names(keys))
    };
    match windows {
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
    }
}

/// That the windows of two inputs are the same, of which the first has so many columns.
fn same_window(windows: [WindowColumns; 2], names: Names<'_>, count: usize) -> String {
    let [left, right] = windows;
    let equal = |one, other: usize| format!("{} = {}", names(one), names(count + other));
    format!("{} AND {}", equal(left.0, right.0), equal(left.1, right.1))
}

/// Columns, of which those in event time are cast.
fn without_event_time(columns: &[Column], names: Names<'_>) -> Vec<String> {
    let columns = columns.iter().enumerate().map(|(index, column)| {
        if column.is_event_time {
            Expression::Demoted(index).sql(names)
        } else {
            names(index)
        }
    });
    columns.collect()
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
            Function::Lag(rows) => format!("{}, {rows}", name(self.argument)),
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
            Function::First => "FIRST_VALUE",
            Function::Last => "LAST_VALUE",
            Function::List => "LISTAGG",
            Function::Lag(_) => "LAG",
        };
        let filter = self
            .filter
            .as_ref()
            .map(|condition: &Expression| format!(" FILTER (WHERE {})", condition.sql(&name)));
        format!("{function}({argument}){}", filter.unwrap_or_default())
    }
}
