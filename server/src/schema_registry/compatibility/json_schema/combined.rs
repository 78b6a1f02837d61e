//! `allOf`, `anyOf` and `oneOf`.
//!
//! Place in the flow: called for every pair of schemas. Invariant: each branch of the writer is matched with a branch of the reader of its
//! own; without branches on one side, the schema as a whole is compared with the other's.

use serde_json::Value;

use super::{Checker, Found, Pair, Part, TooComplex, tell};
use crate::schema_registry::language::json::Node;

/// How branches count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Criterion {
    /// Every branch.
    All,
    /// Any branch.
    Any,
    /// Exactly one.
    One,
}

impl Criterion {
    /// Every one.
    const ALL: [Self; 3] = [Self::All, Self::Any, Self::One];

    /// The keyword.
    fn keyword(self) -> &'static str {
        match self {
            Self::All => "allOf",
            Self::Any => "anyOf",
            Self::One => "oneOf",
        }
    }

    /// The branches of a schema, if it has such.
    fn branches(self, node: Node<'_>) -> Option<Vec<Node<'_>>> {
        match node.get(self.keyword()) {
            Some(Value::Array(branches)) => {
                Some(branches.iter().map(|value| node.inner(value)).collect())
            }
            _ => None,
        }
    }
}

/// Compares branches.
pub(super) fn check<'a>(
    checker: &mut Checker<'a>,
    pair: Pair<'a>,
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    for criterion in Criterion::ALL {
        let Some(update) = criterion.branches(pair.update.node) else {
            continue;
        };
        let path = format!("{path}/{}", criterion.keyword());
        match counterpart(criterion, pair.original.node, &update) {
            Some(original) => {
                check_branches(checker, criterion, (&original, &update), &path, found)?;
            }
            None => check_whole(checker, criterion, (pair.original, &update), &path, found)?,
        }
    }
    Ok(())
}

/// The writer's branches that a reader's are compared with.
fn counterpart<'a>(
    criterion: Criterion,
    original: Node<'a>,
    update: &[Node<'_>],
) -> Option<Vec<Node<'a>>> {
    let others = Criterion::ALL.into_iter().filter(|one| *one != criterion);
    criterion.branches(original).or_else(|| {
        others
            .filter_map(|other| other.branches(original))
            .find(|branches| match criterion {
                // What exactly one branch or all of them take, any of them takes.
                Criterion::Any => true,
                Criterion::One => branches.len() == 1,
                Criterion::All => branches.len() == 1 && update.len() == 1,
            })
    })
}

/// Matches the branches of both sides.
fn check_branches<'a>(
    checker: &mut Checker<'a>,
    criterion: Criterion,
    (original, update): (&[Node<'a>], &[Node<'a>]),
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    let (before, after) = (original.len(), update.len());
    let narrowed = match criterion {
        Criterion::All => (before < after).then_some("PRODUCT_TYPE_EXTENDED"),
        Criterion::Any | Criterion::One => (before > after).then_some("SUM_TYPE_NARROWED"),
    };
    if let Some(kind) = narrowed {
        let what = format!("the writer has {before} branches, the reader {after}");
        tell(found, kind, path, what);
        return Ok(());
    }
    let mut fitting = Vec::with_capacity(before);
    for branch in original {
        let mut fits = Vec::new();
        for (index, other) in update.iter().enumerate() {
            if checker.fits(Pair::inner(*branch, *other))? {
                fits.push(index);
            }
        }
        fitting.push(fits);
    }
    if matched(&fitting, after) < before.min(after) {
        let what = "some branches of the writer have no counterpart in the reader".to_owned();
        tell(found, "COMBINED_TYPE_SUBSCHEMAS_CHANGED", path, what);
    }
    Ok(())
}

/// Compares a writer without branches with the reader's.
fn check_whole<'a>(
    checker: &mut Checker<'a>,
    criterion: Criterion,
    (original, update): (Part<'a>, &[Node<'a>]),
    path: &str,
    found: &mut Found,
) -> Result<(), TooComplex> {
    let pair = |node: &Node<'a>| Pair {
        original,
        update: Part::of(*node),
    };
    if criterion == Criterion::All {
        for (index, node) in update.iter().enumerate() {
            checker.compare(pair(node), &format!("{path}/{index}"), found)?;
        }
        return Ok(());
    }
    for node in update {
        if checker.fits(pair(node))? {
            return Ok(());
        }
    }
    let what = "no branch of the reader takes what the writer lets through".to_owned();
    tell(found, "TYPE_CHANGED", path, what);
    Ok(())
}

/// Whether a writer's branches show that a reader without such takes all: every branch of a choice, or one that always holds.
pub(super) fn fits_by_branches<'a>(
    checker: &mut Checker<'a>,
    pair: Pair<'a>,
) -> Result<bool, TooComplex> {
    for criterion in Criterion::ALL {
        let Some(branches) = criterion.branches(pair.original.node) else {
            continue;
        };
        if criterion.branches(pair.update.node).is_some() {
            continue;
        }
        let mut fits = 0;
        for node in &branches {
            let original = Part::of(*node);
            fits += usize::from(checker.fits(Pair { original, ..pair })?);
        }
        let is_enough = match criterion {
            Criterion::All => fits > 0,
            Criterion::Any | Criterion::One => fits == branches.len(),
        };
        if is_enough {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many of the left can be matched with one of the right each; augmenting paths, one at a time.
fn matched(fitting: &[Vec<usize>], right: usize) -> usize {
    let mut owners: Vec<Option<usize>> = vec![None; right];
    let mut count = 0;
    for left in 0..fitting.len() {
        // For each right that was reached, the left that reached it.
        let mut reached: Vec<Option<usize>> = vec![None; right];
        let mut open = vec![left];
        let mut end = None;
        'search: while let Some(one) = open.pop() {
            for other in &fitting[one] {
                if reached[*other].is_some() {
                    continue;
                }
                reached[*other] = Some(one);
                match owners[*other] {
                    None => {
                        end = Some(*other);
                        break 'search;
                    }
                    Some(owner) => open.push(owner),
                }
            }
        }
        count += usize::from(end.is_some());
        while let Some(other) = end {
            let Some(one) = reached[other] else { break };
            // What the left had before goes to the one before on the path.
            end = owners.iter().position(|owner| *owner == Some(one));
            owners[other] = Some(one);
            if one == left {
                break;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::matched;

    #[test]
    fn a_matching_is_as_large_as_can_be() {
        assert_eq!(matched(&[vec![0], vec![0, 1]], 2), 2);
        assert_eq!(matched(&[vec![0, 1], vec![0]], 2), 2);
        assert_eq!(matched(&[vec![0, 1], vec![0, 2], vec![0], vec![0]], 3), 3);
        assert_eq!(matched(&[vec![], vec![0]], 1), 1);
        assert_eq!(matched(&[vec![1], vec![1], vec![1]], 4), 1);
    }

    proptest::proptest! {
        #[test]
        fn the_matching_is_that_of_trying_all(edges in proptest::collection::vec(proptest::collection::vec(0usize..4, 0..4), 0..5)) {
            fn best(fitting: &[Vec<usize>], taken: u8) -> usize {
                let Some((first, rest)) = fitting.split_first() else { return 0 };
                let with = first.iter().filter(|other| taken & (1 << **other) == 0)
                    .map(|other| 1 + best(rest, taken | (1 << *other)));
                with.max().unwrap_or(0).max(best(rest, taken))
            }
            proptest::prop_assert_eq!(matched(&edges, 4), best(&edges, 0));
        }
    }
}
