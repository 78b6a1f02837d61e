//! Random queries over windows of event time.
//!
//! Place in the flow: the generator's part for what is done per window. Invariant: every query of [`Generator::windowed`] only inserts and
//! has the columns of the windows asked for.

use super::expression::{Expressions, PLAIN};
use super::stream::SIZES_S;
use super::{COLUMNS_MAX, Generator, JOINS};
use crate::expression::Expression;
use crate::random::Random;
use crate::relation::{
    Aggregation, Deduplication, Function, Join, JoinKind, Meeting, Relation, Semi, SemiForm,
    WindowAggregation, WindowColumns, Windowed, Windows,
};

/// Windows that rows of different keys share.
fn shared_windows(random: &mut Random) -> Windows {
    let size = random.pick(&SIZES_S);
    let steps = random.between(1, 4);
    match random.below(4) {
        0 | 1 => Windows::Tumble(size),
        2 => Windows::Hop(size, steps),
        _ => Windows::Cumulate(size, steps),
    }
}

/// The columns of windows of a query that has some.
fn window_columns(relation: &Relation) -> WindowColumns {
    relation.windows().map_or((0, 0), |(columns, _)| columns)
}

impl Generator<'_> {
    /// Any windows.
    fn any_windows(&mut self) -> Windows {
        if self.random.once_in(5) {
            Windows::Session(self.random.pick(&SIZES_S).min(7))
        } else {
            shared_windows(self.random)
        }
    }

    /// Something done per window of rows that come with theirs.
    pub(super) fn window_end(&mut self, depth: usize) -> Relation {
        let windows = shared_windows(self.random);
        match self.random.below(8) {
            0..=2 => self.window_join(depth, windows, &JOINS),
            3 | 4 => self.window_semi(depth, windows),
            5 => self.window_top(depth, windows),
            6 => self.window_deduplication(depth, windows),
            _ => self.window_groups(depth, windows),
        }
    }

    /// Rows that come with these windows.
    fn windowed(&mut self, depth: usize, windows: Windows) -> Relation {
        if depth == 0 {
            return self.window_function_of(0, windows, false);
        }
        match self.random.below(12) {
            0 | 1 => {
                let aggregation = self.window_of(depth, windows, false);
                Relation::Window(Box::new(aggregation))
            }
            2 => {
                let input = self.windowed(depth - 1, windows);
                self.filtered(input)
            }
            3 => {
                let input = self.windowed(depth - 1, windows);
                self.window_projection(input)
            }
            4 => self.window_join(depth, windows, &[JoinKind::Inner, JoinKind::Left]),
            5 => self.window_semi(depth, windows),
            6 => self.window_top(depth, windows),
            7 => self.window_groups(depth, windows),
            8 => self.window_deduplication(depth, windows),
            _ => self.window_function_of(depth, windows, false),
        }
    }

    /// Rows with windows, of few columns.
    fn narrow_windowed(&mut self, depth: usize, windows: Windows) -> Relation {
        let input = self.windowed(depth, windows);
        let (start, end) = window_columns(&input);
        let count = input.columns().len();
        if count <= COLUMNS_MAX / 2 {
            return input;
        }
        let others = self.random.some_of(count, 1).into_iter();
        let others = others.filter(|column| *column != start && *column != end);
        let items = others.chain([start, end]).map(Expression::Column).collect();
        Relation::Project(Box::new(input), items)
    }

    /// Other columns, and those of the windows.
    fn window_projection(&mut self, input: Relation) -> Relation {
        let (start, end) = window_columns(&input);
        let columns = input.columns();
        let expressions = Expressions { columns: &columns };
        let count = 1 + self.random.below(3);
        let mut items: Vec<Expression> = (0..count)
            .map(|_| {
                let ty = self.random.pick(&PLAIN);
                expressions.any(self.random, ty)
            })
            .collect();
        for column in [end, start] {
            let place = self.random.below(items.len() + 1);
            items.insert(place, Expression::Column(column));
        }
        Relation::Project(Box::new(input), items)
    }

    /// Rows with their windows, and one event time.
    pub(super) fn window_function(&mut self, depth: usize) -> Relation {
        let windows = self.any_windows();
        let is_session = matches!(windows, Windows::Session(_));
        let has_time = is_session || self.random.once_in(2);
        let rows = self.window_function_of(depth, windows, has_time);
        self.with_one_time(rows)
    }

    /// Rows of a stream with these windows.
    fn window_function_of(&mut self, depth: usize, windows: Windows, has_time: bool) -> Relation {
        let mut input = self.stream(depth.saturating_sub(1));
        if input.columns().len() > COLUMNS_MAX {
            input = self.with_one_time(input);
        }
        let time = input.event_time().unwrap_or_default();
        let mut keys = Vec::new();
        if matches!(windows, Windows::Session(_)) {
            keys = self.random.some_of(input.columns().len(), 0);
            keys.retain(|key| *key != time);
            keys.truncate(2);
        }
        Relation::Windowed(Box::new(Windowed {
            input,
            time,
            windows,
            keys,
            has_time,
        }))
    }

    /// Groups of windows.
    pub(super) fn window(&mut self, depth: usize, has_time: bool) -> Relation {
        let windows = self.any_windows();
        let window = self.window_of(depth, windows, has_time);
        Relation::Window(Box::new(window))
    }

    /// Groups of these windows.
    fn window_of(&mut self, depth: usize, windows: Windows, has_time: bool) -> WindowAggregation {
        let input = self.stream(depth - 1);
        let time = input.event_time().unwrap_or_default();
        let columns = input.columns();
        let keys = self.random.some_of(columns.len(), 0);
        let keys = keys.into_iter().filter(|key| *key != time);
        let keys: Vec<usize> = keys.take(2).collect();
        let mut groups = self.groups(keys, &columns);
        if matches!(windows, Windows::Session(_)) {
            groups.sets.clear();
            groups
                .aggregates
                .retain(|call| call.function != Function::Grouping);
        }
        WindowAggregation {
            input,
            time,
            windows,
            groups,
            has_time,
        }
    }

    /// A join of rows of the same window.
    fn window_join(&mut self, depth: usize, windows: Windows, kinds: &[JoinKind]) -> Relation {
        let inputs = [(); 2].map(|()| self.narrow_windowed(depth - 1, windows));
        let both = [0, 1].map(|side| window_columns(&inputs[side]));
        let condition = self.window_matching(&inputs[0], &inputs[1]);
        Relation::Join(Box::new(Join {
            kind: self.random.pick(kinds),
            inputs,
            condition,
            meeting: Meeting::Window(both),
        }))
    }

    /// A condition over rows of the same window.
    fn window_matching(&mut self, left: &Relation, right: &Relation) -> Expression {
        let [left, right] = [left, right].map(|input| crate::relation::demoted(&input.columns()));
        if self.random.once_in(4) {
            self.matching(&left, &right)
        } else {
            self.key_matching(&left, &right, [usize::MAX; 2])
        }
    }

    /// Rows for which a subquery has rows of the same window, or none.
    fn window_semi(&mut self, depth: usize, windows: Windows) -> Relation {
        let [input, mut subquery] = [(); 2].map(|()| self.narrow_windowed(depth - 1, windows));
        let columns = input.columns();
        let others = subquery.columns();
        let shared = super::equal_types(&columns, &others);
        let form = match self.random.below(2) {
            0 if !shared.is_empty() => {
                let (one, other) = self.random.pick(&shared);
                let (start, end) = window_columns(&subquery);
                let items = [other, start, end].map(Expression::Column).to_vec();
                subquery = Relation::Project(Box::new(subquery), items);
                SemiForm::In(Expression::Column(one))
            }
            _ => SemiForm::Exists(self.window_matching(&input, &subquery)),
        };
        let windows = [window_columns(&input), window_columns(&subquery)];
        Relation::Semi(Box::new(Semi {
            input,
            subquery,
            form,
            is_negated: self.random.once_in(2),
            windows: Some(windows),
        }))
    }

    /// The first rows of each window, and of keys in it.
    fn window_top(&mut self, depth: usize, windows: Windows) -> Relation {
        let input = self.windowed(depth - 1, windows);
        let (start, end) = window_columns(&input);
        let mut top = self.top_of(input);
        top.partition
            .retain(|column| *column != start && *column != end);
        top.partition.extend([start, end]);
        Relation::TopN(Box::new(top))
    }

    /// The first or last row of keys in each window.
    fn window_deduplication(&mut self, depth: usize, windows: Windows) -> Relation {
        let mut stream = self.stream(depth - 1);
        if !stream.has_unique_times() {
            stream = self.stream_table();
        }
        let time = stream.event_time().unwrap_or_default();
        let count = stream.columns().len();
        let mut keys = self.random.some_of(count, 0);
        keys.retain(|column| *column != time);
        keys.extend([count, count + 1]);
        Relation::Deduplicate(Box::new(Deduplication {
            input: Relation::Windowed(Box::new(Windowed {
                input: stream,
                time,
                windows,
                keys: Vec::new(),
                has_time: false,
            })),
            keys,
            time,
            keeps_last: self.random.once_in(2),
        }))
    }

    /// Groups of rows that come with windows.
    fn window_groups(&mut self, depth: usize, windows: Windows) -> Relation {
        let input = self.windowed(depth - 1, windows);
        let (start, end) = window_columns(&input);
        let columns = input.columns();
        let mut keys = self.random.some_of(columns.len(), 0);
        keys.retain(|key| *key != start && *key != end && !columns[*key].is_event_time);
        keys.truncate(2);
        keys.extend([start, end]);
        let mut groups = self.groups(keys, &columns);
        groups.sets.clear();
        let aggregates = &mut groups.aggregates;
        aggregates.retain(|call| call.function != Function::Grouping);
        Relation::Aggregate(Box::new(Aggregation {
            input,
            groups,
            having: None,
        }))
    }
}
