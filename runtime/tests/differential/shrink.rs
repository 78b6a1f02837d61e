//! Smaller cases that are wrong too.
//!
//! Place in the flow: what a failure prints. Invariant: whatever is returned was checked and is wrong.

use crate::case::{Case, Outcome};
use crate::expression::Expression;
use crate::fault::Fault;
use crate::output::{Output, Target};
use crate::relation::{Aggregation, Groups, Join, JoinKind, Relation, Semi, SemiForm};
use crate::world::World;

/// Checks of smaller cases at most: some seconds.
const CHECKS_MAX: usize = 4_000;

/// Makes a case smaller.
#[derive(Debug)]
pub(crate) struct Shrinker<'a> {
    /// Where cases are run.
    pub(crate) world: &'a World,
    /// What is planted.
    pub(crate) fault: Option<Fault>,
}

impl Shrinker<'_> {
    /// The smallest case found that is wrong, however it is.
    pub(crate) fn smallest(&self, mut case: Case) -> Case {
        let mut checks = 0;
        'again: loop {
            for candidate in candidates(&case) {
                checks += 1;
                if checks > CHECKS_MAX {
                    return case;
                }
                let outcome = candidate.check(self.world, self.fault);
                if matches!(outcome, Outcome::Different(_)) {
                    case = candidate;
                    continue 'again;
                }
            }
            return case;
        }
    }
}

/// Cases that are smaller by one thing, those that lose most first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut candidates = Vec::new();
    for running in case.running.simpler() {
        candidates.push(Case {
            running,
            ..case.clone()
        });
    }
    for outputs in simpler_outputs(&case.outputs) {
        candidates.push(Case {
            outputs,
            ..case.clone()
        });
    }
    let read = case.tables();
    for table in 0..case.contents.len() {
        let changes = &case.contents[table].changes;
        let parts = if read.contains(&table) {
            parts(changes.len())
        } else if changes.is_empty() {
            Vec::new()
        } else {
            vec![(0, changes.len())]
        };
        for (start, end) in parts {
            let mut smaller = case.clone();
            smaller.contents[table].changes.drain(start..end);
            candidates.push(smaller);
        }
    }
    candidates
}

/// Fewer outputs, simpler targets and simpler queries.
fn simpler_outputs(outputs: &[Output]) -> Vec<Vec<Output>> {
    let mut candidates = Vec::new();
    for place in 0..outputs.len() {
        let mut fewer = outputs.to_vec();
        let output = fewer.remove(place);
        if !fewer.is_empty() {
            candidates.push(fewer);
        }
        let mut targets = Vec::new();
        if let Target::Table(key) = &output.target {
            if outputs.len() == 1 {
                targets.push(Target::Client);
            }
            if !key.is_empty() {
                targets.push(Target::Table(key[1..].to_vec()));
            }
        }
        let targets = targets.into_iter().map(|target| Output {
            target,
            ..output.clone()
        });
        let queries = simpler(&output.query).into_iter();
        let queries = queries.filter(|query| {
            let count = query.columns().len();
            output.key().iter().all(|column| *column < count)
        });
        let queries = queries.map(|query| Output {
            query,
            target: output.target.clone(),
        });
        for simpler in targets.chain(queries) {
            let mut changed = outputs.to_vec();
            changed[place] = simpler;
            candidates.push(changed);
        }
    }
    candidates
}

/// What may be left out of a list, from where to where: all, halves, and each alone.
fn parts(length: usize) -> Vec<(usize, usize)> {
    if length == 0 {
        return Vec::new();
    }
    let half = length / 2;
    let mut parts = vec![(0, length)];
    if length > 2 {
        parts.extend([(0, half), (half, length)]);
    }
    parts.extend((0..length).map(|index| (index, index + 1)));
    parts
}

/// Queries that are simpler by one thing; their columns may be others at the top only.
fn simpler(query: &Relation) -> Vec<Relation> {
    let mut simpler: Vec<Relation> = query.inputs().into_iter().cloned().collect();
    simpler.extend(alike(query));
    simpler
}

/// Queries of the same columns that are simpler by one thing.
fn alike(query: &Relation) -> Vec<Relation> {
    let mut alike = simpler_node(query);
    let columns = query.columns();
    for input in query.inputs() {
        if input.columns() == columns {
            alike.push(input.clone());
        }
    }
    for place in 0..query.inputs().len() {
        for input in self::alike(query.inputs()[place]) {
            let mut changed = query.clone();
            *changed.inputs_mut()[place] = input;
            alike.push(changed);
        }
    }
    alike
}

/// A node whose own parts are simpler.
fn simpler_node(query: &Relation) -> Vec<Relation> {
    match query {
        Relation::Filter(input, condition) => {
            let conditions = condition.simpler().into_iter();
            let conditions = conditions.map(|condition| Relation::Filter(input.clone(), condition));
            conditions.collect()
        }
        Relation::Project(input, expressions) => {
            let mut simpler = Vec::new();
            for (place, expression) in expressions.iter().enumerate() {
                for expression in expression.simpler() {
                    let mut expressions = expressions.clone();
                    expressions[place] = expression;
                    simpler.push(Relation::Project(input.clone(), expressions));
                }
            }
            simpler
        }
        Relation::Join(join) => simpler_join(join),
        Relation::Semi(semi) => simpler_semi(semi),
        Relation::Aggregate(aggregation) => simpler_aggregation(aggregation),
        Relation::Window(window) => {
            let groups = simpler_groups(&window.groups).into_iter();
            let windows = groups.map(|groups| {
                let mut window = window.clone();
                window.groups = groups;
                Relation::Window(window)
            });
            windows.collect()
        }
        Relation::TopN(top) if !top.partition.is_empty() => {
            let mut top = top.clone();
            top.partition.pop();
            vec![Relation::TopN(top)]
        }
        Relation::Scan(_)
        | Relation::SetOperation(..)
        | Relation::Distinct(_)
        | Relation::TopN(_)
        | Relation::Deduplicate(_)
        | Relation::Over(_)
        | Relation::Windowed(_)
        | Relation::Unnest(..) => Vec::new(),
        Relation::Temporal(join) => {
            let mut join = join.clone();
            let had_more = join.residual.take().is_some();
            had_more
                .then_some(Relation::Temporal(join))
                .into_iter()
                .collect()
        }
    }
}

/// Joins with a simpler condition, and simpler kinds of join.
fn simpler_join(join: &Join) -> Vec<Relation> {
    let mut simpler = Vec::new();
    for condition in simpler_condition(&join.condition) {
        simpler.push(Join {
            condition,
            ..join.clone()
        });
    }
    let kinds: &[JoinKind] = match join.kind {
        JoinKind::Inner => &[],
        JoinKind::Left | JoinKind::Right => &[JoinKind::Inner],
        JoinKind::Full => &[JoinKind::Left, JoinKind::Right],
    };
    simpler.extend(kinds.iter().map(|kind| Join {
        kind: *kind,
        ..join.clone()
    }));
    let joins = simpler.into_iter();
    joins.map(|join| Relation::Join(Box::new(join))).collect()
}

/// Semi-joins with a simpler condition.
fn simpler_semi(semi: &Semi) -> Vec<Relation> {
    let forms: Vec<SemiForm> = match &semi.form {
        SemiForm::In(operand) => operand.simpler().into_iter().map(SemiForm::In).collect(),
        SemiForm::Exists(condition) => {
            let conditions = simpler_condition(condition).into_iter();
            conditions.map(SemiForm::Exists).collect()
        }
    };
    let semis = forms.into_iter().map(|form| {
        let semi = Semi {
            form,
            ..semi.clone()
        };
        Relation::Semi(Box::new(semi))
    });
    semis.collect()
}

/// Aggregations without HAVING, and with simpler groups.
fn simpler_aggregation(aggregation: &Aggregation) -> Vec<Relation> {
    let mut simpler = Vec::new();
    if aggregation.having.is_some() {
        simpler.push(Aggregation {
            having: None,
            ..aggregation.clone()
        });
    }
    for groups in simpler_groups(&aggregation.groups) {
        simpler.push(Aggregation {
            groups,
            ..aggregation.clone()
        });
    }
    let aggregations = simpler.into_iter();
    aggregations
        .map(|aggregation| Relation::Aggregate(Box::new(aggregation)))
        .collect()
}

/// Simpler conditions of joins: the parts of a conjunction, which keep an equality where there is one.
fn simpler_condition(condition: &Expression) -> Vec<Expression> {
    match condition {
        Expression::Compare(..) | Expression::Same(..) => Vec::new(),
        other => other.simpler(),
    }
}

/// Groups whose columns are the same.
fn simpler_groups(groups: &Groups) -> Vec<Groups> {
    let mut simpler = Vec::new();
    for place in 0..groups.aggregates.len() {
        let aggregate = &groups.aggregates[place];
        let mut changed = groups.clone();
        if aggregate.filter.is_some() {
            changed.aggregates[place].filter = None;
        } else if aggregate.is_distinct {
            changed.aggregates[place].is_distinct = false;
        } else {
            continue;
        }
        simpler.push(changed);
    }
    if groups.sets.len() > 1 {
        for place in 0..groups.sets.len() {
            let mut changed = groups.clone();
            changed.sets.remove(place);
            simpler.push(changed);
        }
    }
    simpler
}
