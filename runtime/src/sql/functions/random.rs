//! `RAND`, `RAND_INTEGER` and `UUID`.
//!
//! Place in the flow: rows of the function table. Invariant: numbers of a seed are those of `java.util.Random`, so a query
//! with a seed gives what it gives in Flink. A constant seed starts one sequence for the whole operator, a seed from the row
//! one sequence per row.

use arrow::datatypes::{Float64Type, Int32Type};

use super::rules::count;
use super::{Function, Output, Param, Resolve, Volatility, call};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::expr::Expr;
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("UUID", Resolve::Custom(unique), |call| {
            call.texts(|_| Ok(Some(uuid::Uuid::new_v4().to_string())))
        })
        .volatile(Volatility::Row),
        Function::new(
            "RAND",
            Resolve::Signature(&[&[], &[Param::Int]], Output::Double),
            |call| {
                let seeded = !call.args.is_empty();
                let mut sequence = Sequence::new(call, seeded.then_some(0))?;
                call.primitives::<Float64Type>(|i| sequence.next(i, |random| Ok(random.double())))
            },
        )
        .volatile(Volatility::Row),
        Function::new(
            "RAND_INTEGER",
            Resolve::Signature(&[&[Param::Int], &[Param::Int, Param::Int]], Output::Int),
            |call| {
                let seeded = call.args.len() > 1;
                let bound = call.int(usize::from(seeded))?;
                let mut sequence = Sequence::new(call, seeded.then_some(0))?;
                call.primitives::<Int32Type>(|i| {
                    let Some(bound) = bound.get(i) else {
                        return Ok(None);
                    };
                    sequence.next(i, |random| random.below(bound))
                })
            },
        )
        .volatile(Volatility::Row)
        .failing(),
    ]
}

/// `UUID()`.
fn unique(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 0..=0)?;
    Ok(call(name, args, TypeKind::Char(36).not_null(), span))
}

/// `java.util.Random`: a linear congruential generator of 48 bits.
#[derive(Debug, Clone, Copy)]
struct JavaRandom(u64);

impl JavaRandom {
    /// The multiplier.
    ///
    /// # Source
    /// Documentation of `java.util.Random`.
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;

    /// Bits of the state.
    const MASK: u64 = (1 << 48) - 1;

    /// 2 to the power of -53, the distance between numbers.
    const UNIT: f64 = f64::EPSILON / 2.0;

    /// A generator with a seed.
    fn new(seed: i64) -> Self {
        Self((seed.cast_unsigned() ^ Self::MULTIPLIER) & Self::MASK)
    }

    /// The next 1 to 32 bits, as an INT.
    #[expect(clippy::cast_possible_truncation, reason = "at most 32 bits are left")]
    fn bits(&mut self, count: u32) -> i32 {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB) & Self::MASK;
        ((self.0 >> (48 - count)) as u32).cast_signed()
    }

    /// A number from 0 up to 1.
    fn double(&mut self) -> f64 {
        let (high, low) = (self.bits(26), self.bits(27));
        (f64::from(high) * f64::from(1 << 27) + f64::from(low)) * Self::UNIT
    }

    /// An integer from 0 up to a bound.
    fn below(&mut self, bound: i32) -> Result<i32> {
        if bound <= 0 {
            return Err(Error::arithmetic(format!(
                "the bound of RAND_INTEGER must be positive, not {bound}"
            )));
        }
        if bound & (bound - 1) == 0 {
            let product = i64::from(bound) * i64::from(self.bits(31));
            return Ok(i32::try_from(product >> 31).unwrap_or(0));
        }
        loop {
            let bits = self.bits(31);
            let value = bits % bound;
            // The last, incomplete range of values would make small numbers more likely.
            if bits
                .checked_sub(value)
                .and_then(|v| v.checked_add(bound - 1))
                .is_some()
            {
                return Ok(value);
            }
        }
    }
}

/// Random numbers of the rows of a call.
enum Sequence<'a, 'c> {
    /// One generator for all rows and batches; NULL when the seed is.
    Kept(&'c Call<'a>, Option<i64>),
    /// One generator per row.
    Rows(Vec<Option<i32>>),
}

impl<'a, 'c> Sequence<'a, 'c> {
    /// The numbers of a call whose seed is at a place among its arguments.
    fn new(call: &'c Call<'a>, seed: Option<usize>) -> Result<Self> {
        let Some(place) = seed else {
            let (_, random) = uuid::Uuid::new_v4().as_u64_pair();
            return Ok(Self::Kept(call, Some(random.cast_signed())));
        };
        let seeds = call.int(place)?;
        if call.value(place)?.is_scalar() {
            return Ok(Self::Kept(call, seeds.get(0).map(i64::from)));
        }
        Ok(Self::Rows((0..call.rows).map(|i| seeds.get(i)).collect()))
    }

    /// The number of a row; NULL for a NULL seed.
    fn next<T>(
        &mut self,
        row: usize,
        draw: impl FnOnce(&mut JavaRandom) -> Result<T>,
    ) -> Result<Option<T>> {
        match self {
            Self::Kept(call, seed) => {
                let Some(seed) = *seed else {
                    return Ok(None);
                };
                call.memory.with(|| JavaRandom::new(seed), draw).map(Some)
            }
            Self::Rows(seeds) => {
                let Some(seed) = seeds.get(row).copied().flatten() else {
                    return Ok(None);
                };
                draw(&mut JavaRandom::new(seed.into())).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray, Int32Array};
    use arrow::datatypes::{Float64Type, Int32Type};

    use super::super::resolve;
    use super::super::testing::{evaluate, fails};
    use super::JavaRandom;
    use crate::batch::Batch;
    use crate::error::Span;
    use crate::sql::eval::{EvalContext, Evaluator};
    use crate::sql::expr::{Expr, Literal};
    use crate::types::TypeKind;

    /// Evaluates a call over two batches of the given INT column with one evaluator.
    fn twice(name: &str, args: Vec<Expr>, column: &[Option<i32>]) -> Vec<arrow::array::ArrayRef> {
        let expr = resolve(name, args, Span::default()).unwrap();
        let evaluator = Evaluator::compile(&expr, "UTC").unwrap();
        let array = Arc::new(Int32Array::from(column.to_vec()));
        let batch = Batch::inserts(vec![array], column.len());
        let run = || evaluator.eval(&batch, &EvalContext::default()).unwrap();
        vec![run(), run()]
    }

    #[test]
    fn numbers_are_those_of_java() {
        // new java.util.Random(42): nextInt(10) gives 0, 3, 8; new Random(0).nextDouble() gives 0.730967787376657.
        let mut random = JavaRandom::new(42);
        let drawn: Vec<i32> = (0..3).map(|_| random.below(10).unwrap()).collect();
        assert_eq!(drawn, [0, 3, 8]);
        assert_eq!(JavaRandom::new(0).double().to_string(), "0.730967787376657");
        // A power of two takes the upper bits.
        assert_eq!(JavaRandom::new(0).below(16).unwrap(), 11);
        assert!(random.below(0).is_err());
    }

    #[test]
    fn a_constant_seed_starts_one_sequence_for_all_batches() {
        let seed = Expr::literal(Literal::Integer(42), TypeKind::Int.not_null());
        let bound = Expr::literal(Literal::Integer(10), TypeKind::Int.not_null());
        let runs = twice("RAND_INTEGER", vec![seed, bound], &[None, None]);
        let values = |i: usize| runs[i].as_primitive::<Int32Type>().values().to_vec();
        assert_eq!((values(0)[..].to_vec(), values(1)[0]), (vec![0, 3], 8));
    }

    #[test]
    fn a_seed_of_the_row_starts_a_sequence_per_row() {
        let seed = Expr::column(0, TypeKind::Int.nullable());
        let runs = twice("RAND", vec![seed], &[Some(0), None, Some(0)]);
        for run in &runs {
            let values = run.as_primitive::<Float64Type>();
            assert!(values.is_null(1));
            assert_eq!(values.value(0).to_string(), "0.730967787376657");
            assert_eq!(values.value(0).to_bits(), values.value(2).to_bits());
        }
    }

    #[test]
    fn results_are_null_when_an_argument_is() {
        assert_eq!(evaluate("RAND(1)").unwrap().1, "DOUBLE NOT NULL");
        assert_eq!(
            evaluate("RAND_INTEGER(CAST(NULL AS INT), 5)").unwrap(),
            ("NULL".to_owned(), "INT".to_owned())
        );
        assert!(fails("RAND_INTEGER(1, -1)").contains("positive"));
        assert!(fails("RAND('a')").contains("does not take"));
    }
}
