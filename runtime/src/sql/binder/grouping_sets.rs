//! GROUPING SETS, CUBE and ROLLUP.
//!
//! Place in the flow: the elements of a GROUP BY become sets of keys. Invariant: several elements multiply, as SQL has it, and sets that
//! are there twice stay twice.

use sqlparser::ast::Expr as Ast;

use super::aggregate::Grouping;
use crate::error::{Error, Result};
use crate::sql::expr::Expr;

/// Most elements of CUBE: it has as many sets as they have subsets.
///
/// # Source
/// A guess, unmeasured: 256 sets.
const CUBE_MAX: usize = 8;

/// Binds the elements of a GROUP BY with grouping sets.
///
/// # Errors
/// What `bind` returns; `Invalid` for too many sets.
pub(super) fn grouping_sets(
    elements: &[&Ast],
    bind: &mut dyn FnMut(&Ast) -> Result<Expr>,
) -> Result<Grouping> {
    let mut grouping = Grouping::new(&[]);
    let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
    for element in elements {
        let of_element = element_sets(element, &mut grouping, bind)?;
        let mut product = Vec::with_capacity(sets.len() * of_element.len());
        for set in &sets {
            for other in &of_element {
                let mut both = set.clone();
                both.extend(other.iter().filter(|key| !set.contains(key)));
                product.push(both);
            }
        }
        sets = product;
    }
    grouping.with_sets(sets)
}

/// The sets of one element.
fn element_sets(
    element: &Ast,
    grouping: &mut Grouping,
    bind: &mut dyn FnMut(&Ast) -> Result<Expr>,
) -> Result<Vec<Vec<usize>>> {
    let mut keys = |asts: &[Ast]| -> Result<Vec<usize>> {
        let mut set = Vec::with_capacity(asts.len());
        for ast in asts {
            let items = match ast {
                Ast::Tuple(items) => items.as_slice(),
                ast => std::slice::from_ref(ast),
            };
            for item in items {
                let key = grouping.add_key(&bind(item)?);
                if !set.contains(&key) {
                    set.push(key);
                }
            }
        }
        Ok(set)
    };
    match element {
        Ast::GroupingSets(sets) => sets.iter().map(|set| keys(set)).collect(),
        Ast::Rollup(groups) => {
            let groups = groups.iter().map(|group| keys(group));
            let groups = groups.collect::<Result<Vec<_>>>()?;
            let prefixes = (0..=groups.len()).rev();
            Ok(prefixes.map(|length| groups[..length].concat()).collect())
        }
        Ast::Cube(groups) => {
            if groups.len() > CUBE_MAX {
                return Err(Error::validation(format!(
                    "CUBE of more than {CUBE_MAX} elements"
                )));
            }
            let groups = groups.iter().map(|group| keys(group));
            let groups = groups.collect::<Result<Vec<_>>>()?;
            let subset = |mask: usize| -> Vec<usize> {
                let is_in = |index: &usize| mask & (1 << (groups.len() - 1 - index)) != 0;
                let chosen = (0..groups.len()).filter(is_in);
                chosen.flat_map(|index| groups[index].clone()).collect()
            };
            Ok((0..1 << groups.len()).rev().map(subset).collect())
        }
        ast => Ok(vec![keys(std::slice::from_ref(ast))?]),
    }
}
