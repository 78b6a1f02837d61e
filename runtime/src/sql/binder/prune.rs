//! Drops columns that nobody reads, and Calcs that change nothing.
//!
//! Place in the flow: the last step of binding. A scan shared by several queries ends up with the union of what they need,
//! so that records are decoded once. Invariant: the rows that reach the sinks do not change.

use std::collections::BTreeSet;

use super::relation::{forward, is_identity};
use crate::plan::{
    AggregateCall, Column, Exchange, Input, Node, NodeId, Operator, ReadColumn, Scan, WatermarkSpec,
};
use crate::sql::expr::Expr;

/// New positions of a node's old columns; absent for dropped ones.
type Positions = Vec<Option<usize>>;

/// Rewrites the nodes of a plan.
pub(super) fn prune(nodes: Vec<Node>) -> Vec<Node> {
    let needed = needed_columns(&nodes);
    let mut rewrite = Rewrite {
        positions: Vec::with_capacity(nodes.len()),
        ids: Vec::with_capacity(nodes.len()),
        nodes: Vec::with_capacity(nodes.len()),
    };
    for (node, needed) in nodes.into_iter().zip(&needed) {
        rewrite.node(node, needed);
    }
    rewrite.nodes
}

/// For each node, the output columns that its consumers read.
fn needed_columns(nodes: &[Node]) -> Vec<BTreeSet<usize>> {
    let mut needed = vec![BTreeSet::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        let width = |input: &Input| nodes[input.node.0 as usize - 1].schema.len();
        let widths: Vec<usize> = node.inputs.iter().map(width).collect();
        for (input_index, input) in node.inputs.iter().enumerate() {
            let from = input.node.0 as usize - 1;
            let mut columns = read_by(node, &needed[index], input_index, &widths);
            if let Exchange::Hash(keys) = &input.exchange {
                columns.extend(keys);
            }
            needed[from].extend(columns);
        }
        if let Operator::TableSourceScan(scan) = &node.operator
            && let Some(watermark) = &scan.watermark
        {
            needed[index].insert(watermark.rowtime);
            needed[index].extend(watermark.expression.iter().flat_map(Expr::columns));
        }
        // A batch keeps at least one column.
        if needed[index].is_empty() && !node.schema.is_empty() {
            needed[index].insert(cheapest(node));
        }
    }
    needed
}

/// The column that costs least to produce when only the number of rows matters.
fn cheapest(node: &Node) -> usize {
    let is_fixed = |kind: &crate::types::TypeKind| kind.is_numeric() || kind.is_time_attribute();
    node.schema
        .iter()
        .position(|column| is_fixed(&column.ty.kind))
        .unwrap_or(0)
}

/// Columns of an input that a node reads when `needed` of its own are read; `widths` are those of all its inputs.
fn read_by(
    node: &Node,
    needed: &BTreeSet<usize>,
    input: usize,
    widths: &[usize],
) -> BTreeSet<usize> {
    let width = widths[input];
    match &node.operator {
        Operator::TableSourceScan(_) | Operator::Values { .. } => BTreeSet::new(),
        Operator::Calc {
            condition,
            projections,
        } => {
            let kept = needed.iter().filter_map(|index| projections.get(*index));
            kept.chain(condition).flat_map(Expr::columns).collect()
        }
        Operator::WindowTableFunction(window) => {
            let passed = needed.iter().copied().filter(|index| *index < width);
            passed.chain([window.time]).collect()
        }
        Operator::WindowAggregate {
            window,
            keys,
            aggregates,
            ..
        } => aggregated(keys, aggregates).chain([window.time]).collect(),
        Operator::GroupAggregate { keys, aggregates } => aggregated(keys, aggregates).collect(),
        Operator::Join {
            left_keys,
            right_keys,
            residual,
            ..
        } => {
            let (first, keys) = if input == 0 {
                (0, left_keys)
            } else {
                (widths[0], right_keys)
            };
            let tested = residual.iter().flat_map(Expr::columns);
            let passed = tested.chain(needed.iter().copied());
            let own = passed.filter(|column| (first..first + width).contains(column));
            own.map(|column| column - first)
                .chain(keys.iter().copied())
                .collect()
        }
        Operator::Union | Operator::Sink(_) => (0..width).collect(),
    }
}

/// Columns that an aggregation reads.
fn aggregated(keys: &[usize], aggregates: &[AggregateCall]) -> impl Iterator<Item = usize> {
    let arguments = aggregates
        .iter()
        .flat_map(|call| [call.argument, call.filter])
        .flatten();
    keys.iter().copied().chain(arguments)
}

/// The plan so far.
struct Rewrite {
    /// New positions of the columns of each old node.
    positions: Vec<Positions>,
    /// New identity of each old node.
    ids: Vec<NodeId>,
    /// New nodes.
    nodes: Vec<Node>,
}

impl Rewrite {
    /// Rewrites one node, after those it reads from.
    fn node(&mut self, mut node: Node, needed: &BTreeSet<usize>) {
        let width = node.schema.len();
        let (input, right) = (self.of_input(&node, 0), self.of_input(&node, 1));
        let positions = match &mut node.operator {
            Operator::TableSourceScan(scan) => prune_scan(scan, needed, width),
            Operator::Calc {
                condition,
                projections,
            } => {
                let positions = keep(needed, width);
                retain(projections, &positions);
                let move_columns =
                    |expr: &mut Expr| *expr = expr.map_columns(&|index| at(&input, index));
                projections
                    .iter_mut()
                    .chain(condition)
                    .for_each(move_columns);
                positions
            }
            Operator::WindowTableFunction(window) => {
                window.time = at(&input, window.time);
                let passed = input.iter().flatten().count();
                let appended = (0..width - input.len()).map(|index| Some(passed + index));
                input.iter().copied().chain(appended).collect()
            }
            Operator::WindowAggregate {
                window,
                keys,
                aggregates,
                ..
            } => {
                window.time = at(&input, window.time);
                move_aggregation(keys, aggregates, &input);
                (0..width).map(Some).collect()
            }
            Operator::GroupAggregate { keys, aggregates } => {
                move_aggregation(keys, aggregates, &input);
                (0..width).map(Some).collect()
            }
            Operator::Join {
                left_keys,
                right_keys,
                residual,
                ..
            } => move_join((left_keys, right_keys), residual, (&input, &right)),
            Operator::Values { .. } | Operator::Union | Operator::Sink(_) => {
                (0..width).map(Some).collect()
            }
        };
        for edge in &mut node.inputs {
            let from = edge.node.0 as usize - 1;
            if let Exchange::Hash(keys) = &mut edge.exchange {
                for key in keys {
                    *key = at(&self.positions[from], *key);
                }
            }
            edge.node = self.ids[from];
        }
        if node.operator == Operator::Union {
            self.separate(&mut node);
        }
        retain(&mut node.schema, &positions);
        node.rowtime = node.rowtime.and_then(|index| positions[index]);
        node.upsert_key = node
            .upsert_key
            .and_then(|key| key.iter().map(|index| positions[*index]).collect());
        self.push(node, positions);
    }

    /// New positions of the columns of a node's input; none when it has no such input.
    fn of_input(&self, node: &Node, index: usize) -> Positions {
        let from = node
            .inputs
            .get(index)
            .map(|input| input.node.0 as usize - 1);
        from.map_or_else(Vec::new, |from| self.positions[from].clone())
    }

    /// Gives every input of a UNION a node of its own, so that each is an edge of its own.
    fn separate(&mut self, union: &mut Node) {
        let mut seen = BTreeSet::new();
        for input in &mut union.inputs {
            if seen.insert(input.node) {
                continue;
            }
            let mut copy = self.nodes[input.node.0 as usize - 1].clone();
            let column = |(index, column): (usize, &Column)| Expr::column(index, column.ty.clone());
            copy.operator = Operator::Calc {
                condition: None,
                projections: copy.schema.iter().enumerate().map(column).collect(),
            };
            copy.inputs = vec![forward(input.node)];
            copy.id = self.next_id();
            input.node = copy.id;
            self.nodes.push(copy);
        }
    }

    /// The identity of the next node.
    fn next_id(&self) -> NodeId {
        NodeId(u32::try_from(self.nodes.len() + 1).unwrap_or(u32::MAX))
    }

    /// Adds a node, unless it is a Calc that changes nothing.
    fn push(&mut self, mut node: Node, positions: Positions) {
        self.positions.push(positions);
        if let (
            Operator::Calc {
                condition: None,
                projections,
            },
            [input],
        ) = (&node.operator, node.inputs.as_slice())
        {
            let below = &self.nodes[input.node.0 as usize - 1];
            if input.exchange == Exchange::Forward && is_identity(projections, below.schema.len()) {
                self.ids.push(input.node);
                return;
            }
        }
        node.id = self.next_id();
        self.ids.push(node.id);
        self.nodes.push(node);
    }
}

/// Moves the columns a join reads; the new positions of those it emits: all that are left of its inputs.
fn move_join(
    (left_keys, right_keys): (&mut [usize], &mut [usize]),
    residual: &mut Option<Expr>,
    (left, right): (&[Option<usize>], &[Option<usize>]),
) -> Positions {
    for key in left_keys {
        *key = at(left, *key);
    }
    for key in right_keys {
        *key = at(right, *key);
    }
    let first = left.iter().flatten().count();
    let moved = right
        .iter()
        .map(|position| position.map(|index| first + index));
    let positions: Positions = left.iter().copied().chain(moved).collect();
    if let Some(expr) = residual {
        *expr = expr.map_columns(&|index| at(&positions, index));
    }
    positions
}

/// The new position of a column that was kept.
fn at(positions: &[Option<usize>], index: usize) -> usize {
    positions.get(index).copied().flatten().unwrap_or(index)
}

/// Positions after keeping only `needed` of `width` columns.
fn keep(needed: &BTreeSet<usize>, width: usize) -> Positions {
    let mut next = 0;
    (0..width)
        .map(|index| {
            needed.contains(&index).then(|| {
                next += 1;
                next - 1
            })
        })
        .collect()
}

/// Drops the items whose column is dropped.
fn retain<T>(items: &mut Vec<T>, positions: &Positions) {
    let mut kept = positions.iter();
    items.retain(|_| kept.next().is_some_and(Option::is_some));
}

/// Moves the columns an aggregation reads.
fn move_aggregation(keys: &mut [usize], aggregates: &mut [AggregateCall], input: &Positions) {
    for key in keys {
        *key = at(input, *key);
    }
    for call in aggregates {
        call.argument = call.argument.map(|index| at(input, index));
        call.filter = call.filter.map(|index| at(input, index));
    }
}

/// Keeps only the needed columns of a scan, and reads only what they need.
fn prune_scan(scan: &mut Scan, needed: &BTreeSet<usize>, width: usize) -> Positions {
    let positions = keep(needed, width);
    if let Some(WatermarkSpec {
        rowtime,
        expression,
    }) = &mut scan.watermark
    {
        *rowtime = at(&positions, *rowtime);
        if let Some(expr) = expression {
            *expr = expr.map_columns(&|index| at(&positions, index));
        }
    }
    let Some(projections) = &mut scan.projections else {
        retain(&mut scan.read, &positions);
        return positions;
    };
    retain(projections, &positions);
    let mut read: BTreeSet<usize> = projections.iter().flat_map(Expr::columns).collect();
    if read.is_empty() && !scan.read.is_empty() {
        read.insert(0);
    }
    let read_positions = keep(&read, scan.read.len());
    retain::<ReadColumn>(&mut scan.read, &read_positions);
    for expr in projections.iter_mut() {
        *expr = expr.map_columns(&|index| at(&read_positions, index));
    }
    if is_identity(projections, scan.read.len()) {
        scan.projections = None;
    }
    positions
}
