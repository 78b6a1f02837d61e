//! The universal scalability law.
//!
//! Place in the flow: fitted to throughputs measured at several parallelisms, it says where more slots stop helping. Invariant: both
//! coefficients are at least 0 and the throughput of one is above 0.
//!
//! # Source
//! Gunther, "Guerrilla Capacity Planning", 2007.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Throughput by parallelism: `gamma n / (1 + alpha (n - 1) + beta n (n - 1))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usl {
    /// Contention.
    pub alpha: f64,
    /// Coherency.
    pub beta: f64,
    /// Throughput of one.
    pub gamma: f64,
}

impl Usl {
    /// Throughput at a parallelism.
    pub fn throughput(&self, n: f64) -> f64 {
        self.gamma * n / (1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0))
    }

    /// The parallelism of the highest throughput; infinite without coherency cost.
    pub fn peak_parallelism(&self) -> f64 {
        libm::sqrt((1.0 - self.alpha).max(0.0) / self.beta)
    }

    /// The throughput that contention alone would allow; infinite without contention.
    pub fn limit(&self) -> f64 {
        self.gamma / self.alpha
    }

    /// Fits the law to points of parallelism and throughput by least squares.
    ///
    /// # Errors
    /// [`Error::Fit`] with fewer than four distinct parallelisms, for throughputs that are not above 0, or if no law fits.
    pub fn fit(points: &[(f64, f64)]) -> Result<Self, Error> {
        let is_valid =
            |(n, x): &(f64, f64)| n.is_finite() && x.is_finite() && *n >= 1.0 && *x > 0.0;
        if !points.iter().all(is_valid) {
            return Err(Error::Fit {
                reason: "parallelism must be at least 1 and throughput above 0",
            });
        }
        let mut distinct: Vec<f64> = points.iter().map(|(n, _)| *n).collect();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        if distinct.len() < DISTINCT_MIN {
            return Err(Error::Fit {
                reason: "three coefficients need at least four distinct parallelisms",
            });
        }
        let gamma = points.iter().map(|(n, x)| x / n).fold(0.0, f64::max);
        let start = Self {
            alpha: 0.01,
            beta: 1e-4,
            gamma,
        };
        let fitted = start.descend(points);
        if fitted.gamma > 0.0 && fitted.residual(points).is_finite() {
            Ok(fitted)
        } else {
            Err(Error::Fit {
                reason: "the points follow no scalability law",
            })
        }
    }

    /// Sum of squared errors.
    fn residual(&self, points: &[(f64, f64)]) -> f64 {
        points
            .iter()
            .map(|(n, x)| (x - self.throughput(*n)) * (x - self.throughput(*n)))
            .sum()
    }

    /// Levenberg and Marquardt's descent with both coefficients kept at or above 0.
    fn descend(self, points: &[(f64, f64)]) -> Self {
        let mut best = self;
        let mut error = best.residual(points);
        let mut damping = 1e-3;
        for _ in 0..STEPS_MAX {
            let (matrix, vector) = best.normal_equations(points);
            let Some(step) = solve(damped(matrix, damping), vector) else {
                break;
            };
            let tried = Self {
                alpha: (best.alpha + step[0]).max(0.0),
                beta: (best.beta + step[1]).max(0.0),
                gamma: best.gamma + step[2],
            };
            let tried_error = tried.residual(points);
            if tried_error < error {
                let gain = (error - tried_error) / error;
                (best, error) = (tried, tried_error);
                damping = (damping / 10.0_f64).max(1e-12);
                if gain < GAIN_MIN {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > DAMPING_MAX {
                    break;
                }
            }
        }
        best
    }

    /// The matrix and the vector of a Gauss-Newton step.
    fn normal_equations(&self, points: &[(f64, f64)]) -> ([[f64; 3]; 3], [f64; 3]) {
        let mut matrix = [[0.0; 3]; 3];
        let mut vector = [0.0; 3];
        for (n, x) in points {
            let denominator = 1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0);
            let found = self.throughput(*n);
            let slopes = [
                -found * (n - 1.0) / denominator,
                -found * n * (n - 1.0) / denominator,
                n / denominator,
            ];
            for row in 0..3 {
                for column in 0..3 {
                    matrix[row][column] += slopes[row] * slopes[column];
                }
                vector[row] += slopes[row] * (x - found);
            }
        }
        (matrix, vector)
    }
}

/// Distinct parallelisms that a fit needs.
///
/// # Source
/// Three coefficients, and one point to see whether they fit.
const DISTINCT_MIN: usize = 4;

/// Steps of the descent.
///
/// # Source
/// Bound: published data sets take fewer than thirty.
const STEPS_MAX: u32 = 500;

/// Relative gain at which the descent has arrived.
///
/// # Source
/// Near the precision of a sum of squares.
const GAIN_MIN: f64 = 1e-15;

/// Damping at which no step helps any more.
///
/// # Source
/// Bound: steps are then below the precision of the numbers.
const DAMPING_MAX: f64 = 1e16;

/// A matrix with its diagonal raised by a share of itself.
fn damped(mut matrix: [[f64; 3]; 3], damping: f64) -> [[f64; 3]; 3] {
    for (index, row) in matrix.iter_mut().enumerate() {
        row[index] *= 1.0 + damping;
    }
    matrix
}

/// Solves three equations by Cramer's rule, or not if they depend on one another.
fn solve(matrix: [[f64; 3]; 3], vector: [f64; 3]) -> Option<[f64; 3]> {
    let whole = determinant(matrix);
    if whole == 0.0 || !whole.is_finite() {
        return None;
    }
    let mut solution = [0.0; 3];
    for (column, number) in solution.iter_mut().enumerate() {
        let mut replaced = matrix;
        for row in 0..3 {
            replaced[row][column] = vector[row];
        }
        *number = determinant(replaced) / whole;
    }
    Some(solution)
}

/// The determinant of three rows.
fn determinant(rows: [[f64; 3]; 3]) -> f64 {
    let minor =
        |left: usize, right: usize| rows[1][left] * rows[2][right] - rows[1][right] * rows[2][left];
    rows[0][0] * minor(1, 2) - rows[0][1] * minor(0, 2) + rows[0][2] * minor(0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parallelism and throughput of the data set `specsdm91` of the R package `usl`.
    const SPECSDM91: [(f64, f64); 7] = [
        (1.0, 64.9),
        (18.0, 995.9),
        (36.0, 1652.4),
        (72.0, 1853.2),
        (108.0, 1828.9),
        (144.0, 1775.0),
        (216.0, 1702.2),
    ];

    #[test]
    fn fits_the_published_data_set() {
        let usl = Usl::fit(&SPECSDM91).unwrap();
        assert!((usl.alpha - 0.027_728_5).abs() < 5.1e-8, "{usl:?}");
        // Printed to six digits after a descent that stopped a little earlier.
        assert!((usl.beta - 0.000_104_366).abs() < 1e-9, "{usl:?}");
        assert!((usl.gamma - 89.9952).abs() < 5.1e-5, "{usl:?}");
        let peak = usl.peak_parallelism();
        assert!((peak - 96.52).abs() < 0.0051, "{peak}");
        assert!((usl.throughput(peak) - 1883.9).abs() < 0.2);
        assert!((usl.limit() - 3245.6).abs() < 0.051);
        let spread = (usl.residual(&SPECSDM91) / 4.0).sqrt();
        assert!((spread - 82.85).abs() < 0.0051, "{spread}");
    }

    #[test]
    fn finds_a_law_back_from_its_own_points() {
        let law = Usl {
            alpha: 0.05,
            beta: 0.0,
            gamma: 1e6,
        };
        let points: Vec<_> = [1.0, 2.0, 4.0, 8.0, 16.0]
            .map(|n| (n, law.throughput(n)))
            .into();
        let found = Usl::fit(&points).unwrap();
        assert!((found.alpha - 0.05).abs() < 1e-6, "{found:?}");
        assert!(found.beta.abs() < 1e-8, "{found:?}");
        assert!((found.gamma / 1e6 - 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn too_few_points_are_refused() {
        assert!(Usl::fit(&SPECSDM91[..3]).is_err());
        assert!(Usl::fit(&[(1.0, 1.0); 9]).is_err());
        assert!(Usl::fit(&[(1.0, 1.0), (2.0, 0.0), (3.0, 1.0), (4.0, 1.0)]).is_err());
    }
}
