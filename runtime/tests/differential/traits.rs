//! What is known of the rows of queries beside their columns.
//!
//! Place in the flow: the generator asks it before it puts something on top. Invariant: what is said holds whatever is in the tables.

use crate::expression::Expression;
use crate::relation::{JoinKind, Meeting, Relation, SetOperator, WindowColumns, Windows};

impl Relation {
    /// Whether no two rows have the same event time.
    pub(crate) fn has_unique_times(&self) -> bool {
        match self {
            Self::Scan(_) => true,
            Self::Filter(input, _) | Self::Project(input, _) => input.has_unique_times(),
            Self::Over(over) => over.input.has_unique_times(),
            Self::Temporal(join) => join.inputs[0].has_unique_times(),
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

    /// Columns of the windows that rows come with, and the windows: of rows that only insert. Sessions are left out: to Flink those of
    /// different keys that end at the same time are one.
    pub(crate) fn windows(&self) -> Option<(WindowColumns, Windows)> {
        let (start, end, windows) = match self {
            Self::Windowed(windowed) => {
                let count = windowed.input.columns().len();
                (count, count + 1, windowed.windows)
            }
            Self::Window(window) => {
                let keys = window.groups.keys.len();
                (keys, keys + 1, window.windows)
            }
            Self::Filter(input, _) => return input.windows(),
            Self::Project(input, expressions) => {
                let ((start, end), windows) = input.windows()?;
                let place = |column| {
                    let mut expressions = expressions.iter();
                    expressions.position(|expression| *expression == Expression::Column(column))
                };
                (place(start)?, place(end)?, windows)
            }
            Self::Aggregate(aggregation) if aggregation.groups.sets.is_empty() => {
                let ((start, end), windows) = aggregation.input.windows()?;
                let place =
                    |column| (aggregation.groups.keys.iter()).position(|key| *key == column);
                (place(start)?, place(end)?, windows)
            }
            Self::TopN(top) => return top.input.windows_among(&top.partition),
            Self::Deduplicate(spec) => return spec.input.windows_among(&spec.keys),
            Self::Semi(semi) if semi.windows.is_some() => return semi.input.windows(),
            Self::Join(join) => {
                let Meeting::Window([left, right]) = join.meeting else {
                    return None;
                };
                let (_, windows) = join.inputs[0].windows()?;
                let count = join.inputs[0].columns().len();
                match join.kind {
                    JoinKind::Inner | JoinKind::Left => (left.0, left.1, windows),
                    JoinKind::Right => (count + right.0, count + right.1, windows),
                    JoinKind::Full => return None,
                }
            }
            Self::Scan(_)
            | Self::Aggregate(_)
            | Self::Semi(_)
            | Self::SetOperation(..)
            | Self::Distinct(_)
            | Self::Over(_)
            | Self::Temporal(_)
            | Self::Unnest(..) => return None,
        };
        let is_session = matches!(windows, Windows::Session(_));
        (!is_session).then_some(((start, end), windows))
    }

    /// The windows, if both of their columns are among these.
    pub(crate) fn windows_among(&self, columns: &[usize]) -> Option<(WindowColumns, Windows)> {
        let is_among = |(start, end)| columns.contains(&start) && columns.contains(&end);
        self.windows().filter(|(window, _)| is_among(*window))
    }
}
