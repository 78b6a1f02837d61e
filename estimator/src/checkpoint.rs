//! The best time between two checkpoints.
//!
//! Place in the flow: the estimate recommends an interval. Invariant: three formulas for the same question, each named after its
//! author; all take the cost of a checkpoint and the mean time between failures.
//!
//! # Units
//! Seconds.
//!
//! # Source
//! Young 1974; Daly 2006; the exact optimum for exponential failures by Lambert's W function as in Jayasekara et al.,
//! arXiv 1911.11915.

/// Young's first-order interval between the end of a checkpoint and the start of the next.
pub fn young_seconds(cost_seconds: f64, mtbf_seconds: f64) -> f64 {
    libm::sqrt(2.0 * cost_seconds * mtbf_seconds)
}

/// Daly's higher-order interval, for costs below twice the time between failures.
pub fn daly_seconds(cost_seconds: f64, mtbf_seconds: f64) -> f64 {
    if cost_seconds >= 2.0 * mtbf_seconds {
        return mtbf_seconds;
    }
    let ratio = cost_seconds / (2.0 * mtbf_seconds);
    young_seconds(cost_seconds, mtbf_seconds) * (1.0 + libm::sqrt(ratio) / 3.0 + ratio / 9.0)
        - cost_seconds
}

/// The period, cost included, that maximises the share of useful time.
pub fn optimal_period_seconds(cost_seconds: f64, mtbf_seconds: f64) -> f64 {
    let loss = cost_seconds / mtbf_seconds;
    (1.0 + loss + lambert_w0(-libm::exp(-1.0 - loss))) * mtbf_seconds
}

/// The share of useful time at a period, cost included, when failures are exponential and restart at the last checkpoint.
pub fn useful_share(period_seconds: f64, cost_seconds: f64, mtbf_seconds: f64) -> f64 {
    let rate = 1.0 / mtbf_seconds;
    rate * (period_seconds - cost_seconds) / libm::expm1(rate * period_seconds)
}

/// Steps of Halley's iteration; it triples the digits each time.
///
/// # Source
/// Bound: five suffice from the start values used here, also near the branch point.
const HALLEY_STEPS: u32 = 12;

/// The principal branch of Lambert's W: the solution `w >= -1` of `w * e^w = x`.
///
/// # Shape
/// NaN for `x` below -1/e.
///
/// # Source
/// Corless et al., "On the Lambert W function", 1996: series at the branch point, then Halley's iteration.
pub fn lambert_w0(x: f64) -> f64 {
    let distance = 2.0 * (std::f64::consts::E * x + 1.0);
    if distance.is_nan() || distance < 0.0 {
        return f64::NAN;
    }
    let mut w = if x < 0.3 {
        let p = libm::sqrt(distance);
        -1.0 + p * (1.0 - p * (1.0 / 3.0 - p * 11.0 / 72.0))
    } else {
        libm::log1p(x)
    };
    for _ in 0..HALLEY_STEPS {
        let e = libm::exp(w);
        let error = w * e - x;
        let slope = e * (w + 1.0);
        if error == 0.0 || slope == 0.0 {
            break;
        }
        let step = error / (slope - (w + 2.0) * error / (2.0 * (w + 1.0)));
        if !step.is_finite() {
            break;
        }
        w -= step;
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cost and time between failures; then Young, Daly, the exact period and its useful share.
    ///
    /// # Source
    /// Computed independently and checked there by a numeric search, printed to two and five decimals.
    const VECTORS: [(f64, f64, [f64; 4]); 7] = [
        (1.0, 86_400.0, [415.69, 415.03, 416.03, 0.9952]),
        (10.0, 86_400.0, [1314.53, 1307.88, 1317.88, 0.984_86]),
        (30.0, 86_400.0, [2276.84, 2256.88, 2286.88, 0.973_88]),
        (60.0, 86_400.0, [3219.94, 3180.06, 3240.06, 0.963_19]),
        (10.0, 3_600.0, [268.33, 261.70, 271.70, 0.9273]),
        (
            120.0,
            604_800.0,
            [12_047.90, 11_968.04, 12_088.04, 0.980_21],
        ),
        (5.0, 1_641_600.0, [4051.67, 4048.33, 4053.33, 0.997_53]),
    ];

    #[test]
    fn intervals_are_those_of_the_vectors() {
        for (cost, mtbf, [young, daly, period, share]) in VECTORS {
            let found = optimal_period_seconds(cost, mtbf);
            for (found, expected) in [
                (young_seconds(cost, mtbf), young),
                (daly_seconds(cost, mtbf), daly),
                (found, period),
            ] {
                assert!((found - expected).abs() <= 0.0051, "{found} {expected}");
            }
            let found = useful_share(found, cost, mtbf);
            assert!((found - share).abs() <= 5.1e-6, "{found} {share}");
        }
    }

    #[test]
    fn no_other_period_is_better() {
        for (cost, mtbf, _) in VECTORS {
            let best = optimal_period_seconds(cost, mtbf);
            let share = useful_share(best, cost, mtbf);
            for factor in [0.9, 0.99, 1.01, 1.1] {
                assert!(useful_share(best * factor, cost, mtbf) < share);
            }
        }
    }

    #[test]
    fn lambert_solves_its_equation() {
        for x in [-0.367_879, -0.3, -1e-9, 0.0, 0.2, 1.0, 10.0, 1e6] {
            let w = lambert_w0(x);
            assert!((w * w.exp() - x).abs() <= 1e-12 * x.abs().max(1.0), "{x}");
        }
        assert!((lambert_w0(1.0) - 0.567_143_290_409_783_8).abs() < 1e-15);
        assert!(lambert_w0(-0.5).is_nan());
    }
}
