//! What queries are called in the summary.
//!
//! Place in the flow: outcomes are counted by it. Invariant: a shape is what one operator does.

use std::collections::BTreeSet;

use crate::relation::{Frame, Groups, JoinKind, Meeting, Relation, SemiForm, SetOperator, Windows};

impl Relation {
    /// What it is called in the summary.
    pub(crate) fn shape(&self) -> &'static str {
        match self {
            Self::Scan(_) => "scan",
            Self::Filter(..) => "filter",
            Self::Project(..) => "projection",
            Self::Join(join) => match (join.kind, join.meeting) {
                (JoinKind::Inner, Meeting::Any) => "inner join",
                (JoinKind::Left, Meeting::Any) => "left join",
                (JoinKind::Right, Meeting::Any) => "right join",
                (JoinKind::Full, Meeting::Any) => "full join",
                (JoinKind::Inner, Meeting::Interval(_)) => "inner interval join",
                (_, Meeting::Interval(_)) => "outer interval join",
                (JoinKind::Inner, Meeting::Window(_)) => "inner window join",
                (_, Meeting::Window(_)) => "outer window join",
            },
            Self::Semi(semi) if semi.windows.is_some() && semi.is_negated => "window anti-join",
            Self::Semi(semi) if semi.windows.is_some() => "window semi-join",
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
            Self::Aggregate(_) if self.windows().is_some() => "GROUP BY window columns",
            Self::Aggregate(aggregation) => aggregation.groups.shape(),
            Self::TopN(_) if self.windows().is_some() => "window Top-N",
            Self::TopN(_) => "Top-N",
            Self::Deduplicate(_) if self.windows().is_some() => "window deduplication",
            Self::Deduplicate(deduplication) if deduplication.keeps_last => "keep last",
            Self::Deduplicate(_) => "keep first",
            Self::Window(window) => match window.windows {
                Windows::Tumble(_) => "TUMBLE",
                Windows::Hop(..) => "HOP",
                Windows::Cumulate(..) => "CUMULATE",
                Windows::Session(_) => "SESSION",
            },
            Self::Unnest(..) => "UNNEST",
            Self::Over(over) if !over.input.columns()[over.order.column].is_event_time => {
                "OVER by value"
            }
            Self::Over(over) => match over.frame {
                Frame::Past => "LAG",
                Frame::Rows(_) => "OVER bounded rows",
                Frame::AllRows => "OVER all rows",
                Frame::Range(_) => "OVER bounded range",
                Frame::AllRange => "OVER all range",
            },
            Self::Windowed(_) => "window function",
            Self::Temporal(join) if join.is_left => "left temporal join",
            Self::Temporal(_) => "inner temporal join",
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

impl Groups {
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
