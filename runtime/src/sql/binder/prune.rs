//! Drops columns that nobody reads, and Calcs that change nothing.
//!
//! Place in the flow: the last step of binding. A scan shared by several queries ends up with the union of what they need,
//! so that records are decoded once. Invariant: the rows that reach the sinks do not change.

use std::collections::BTreeSet;

use super::relation::{forward, is_identity};
use crate::plan::{
    Column, Exchange, Input, Node, NodeId, Operator, ReadColumn, Reads, Scan, Shape, WatermarkSpec,
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
        match needed {
            Some(needed) => rewrite.node(node, needed),
            None => rewrite.drop(&node),
        }
    }
    rewrite.nodes
}

/// For each node, the output columns that its consumers read; absent for nodes whose rows reach no sink.
fn needed_columns(nodes: &[Node]) -> Vec<Option<BTreeSet<usize>>> {
    let mut needed: Vec<Option<BTreeSet<usize>>> = nodes
        .iter()
        .map(|node| matches!(node.operator, Operator::Sink(_)).then(BTreeSet::new))
        .collect();
    for (index, node) in nodes.iter().enumerate().rev() {
        let Some(mut own) = needed[index].take() else {
            continue;
        };
        if let Operator::TableSourceScan(scan) = &node.operator
            && let Some(watermark) = &scan.watermark
        {
            own.insert(watermark.rowtime);
            own.extend(watermark.expression.iter().flat_map(Expr::columns));
        }
        // A batch keeps at least one column, for which the inputs need theirs.
        if own.is_empty() && !node.schema.is_empty() {
            own.insert(cheapest(node));
        }
        let width = |input: &Input| nodes[input.node.0 as usize - 1].schema.len();
        let widths: Vec<usize> = node.inputs.iter().map(width).collect();
        for (input_index, input) in node.inputs.iter().enumerate() {
            let from = input.node.0 as usize - 1;
            let mut columns = read_by(node, &own, input_index, &widths);
            if let Exchange::Hash(keys) = &input.exchange {
                columns.extend(keys);
            }
            needed[from].get_or_insert_default().extend(columns);
        }
        needed[index] = Some(own);
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
        Operator::Union
        | Operator::Sink(_)
        | Operator::ProcessTableFunction(_)
        | Operator::ConstraintEnforcer(_) => {
            return (0..width).collect();
        }
        Operator::Calc {
            condition,
            projections,
        } => {
            let kept = needed.iter().filter_map(|index| projections.get(*index));
            return kept.chain(condition).flat_map(Expr::columns).collect();
        }
        _ => {}
    }
    let first = if input == 0 { 0 } else { widths[0] };
    let of_input = |column: usize| column.checked_sub(first).filter(|column| *column < width);
    let own = node.operator.reads().into_iter();
    let mut read: BTreeSet<usize> = own
        .filter_map(|(reads, column)| match reads {
            Reads::Input(index) => (index == input).then_some(column),
            Reads::Joined => of_input(column),
        })
        .collect();
    let passes = match node.operator.shape() {
        Shape::Appends => input == 0,
        Shape::Joins => true,
        Shape::Projects | Shape::Makes => false,
    };
    if passes {
        read.extend(needed.iter().filter_map(|column| of_input(*column)));
    }
    read
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
    /// Drops a node whose rows reach no sink.
    fn drop(&mut self, node: &Node) {
        self.positions.push(vec![None; node.schema.len()]);
        self.ids.push(node.id);
    }

    /// Rewrites one node, after those it reads from.
    fn node(&mut self, mut node: Node, needed: &BTreeSet<usize>) {
        let width = node.schema.len();
        let (input, right) = (self.of_input(&node, 0), self.of_input(&node, 1));
        let is_join = node.inputs.len() == 2;
        let kept = input.iter().flatten().count();
        let right_width = if is_join {
            right.len()
        } else {
            width.saturating_sub(input.len())
        };
        let beside = (0..right_width).map(|index| {
            let position = if is_join { right[index] } else { Some(index) };
            position.map(|position| kept + position)
        });
        let joined: Positions = input.iter().copied().chain(beside).collect();
        let positions = match (&mut node.operator, node.inputs.len()) {
            (Operator::TableSourceScan(scan), _) => prune_scan(scan, needed, width),
            (Operator::Calc { projections, .. }, _) => {
                let positions = keep(needed, width);
                retain(projections, &positions);
                positions
            }
            (operator, _) => match operator.shape() {
                Shape::Makes | Shape::Projects => (0..width).map(Some).collect(),
                Shape::Joins => joined.clone(),
                Shape::Appends if is_join => input.clone(),
                Shape::Appends => prune_own(operator, &joined, (needed, input.len())),
            },
        };
        node.operator.map_reads(&|reads, column| match reads {
            Reads::Input(0) => at(&input, column),
            Reads::Input(_) => at(&right, column),
            Reads::Joined => at(&joined, column),
        });
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

/// Drops the columns that an operator adds to those of its input and nobody reads: ranks and aggregates over rows.
fn prune_own(
    operator: &mut Operator,
    joined: &Positions,
    (needed, first): (&BTreeSet<usize>, usize),
) -> Positions {
    let is_needed = |index: usize| needed.contains(&(first + index));
    match operator {
        Operator::Rank(rank) if !is_needed(0) => rank.has_number = false,
        Operator::WindowRank(rank) if !is_needed(0) => rank.has_number = false,
        Operator::OverAggregate(over) if (0..over.aggregates.len()).any(is_needed) => {
            let mut index = 0;
            over.aggregates.retain(|_| {
                index += 1;
                is_needed(index - 1)
            });
        }
        _ => return joined.clone(),
    }
    let mut next = joined[..first].iter().flatten().count();
    let own = (first..joined.len()).map(|index| {
        needed.contains(&index).then(|| {
            next += 1;
            next - 1
        })
    });
    joined[..first].iter().copied().chain(own).collect()
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
