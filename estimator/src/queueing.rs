//! Waiting times.
//!
//! Place in the flow: turns a latency target into a utilisation. Invariant: a queue that cannot keep up waits for ever
//! (`f64::INFINITY`), never a negative time.
//!
//! # Source
//! Erlang 1917 (M/M/c), Kingman 1961 (G/G/1), Allen and Cunneen 1978 and Sakasegawa 1977 (G/G/c).

/// A queue in front of equal servers.
///
/// # Units
/// Rates are per second, times are seconds; variabilities are squared coefficients of variation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queue {
    /// Servers.
    pub servers: u32,
    /// Utilisation of each, between 0 and 1.
    pub utilisation: f64,
    /// Time of one service.
    pub service_seconds: f64,
    /// Variability of the times between arrivals; 1 for independent arrivals, the batch size for batches.
    pub arrival_scv: f64,
    /// Variability of the service times.
    pub service_scv: f64,
}

impl Queue {
    /// Independent arrivals and exponential services.
    pub fn markov(servers: u32, utilisation: f64, service_seconds: f64) -> Self {
        Self {
            servers,
            utilisation,
            service_seconds,
            arrival_scv: 1.0,
            service_scv: 1.0,
        }
    }

    /// Mean wait with independent arrivals and exponential services, exact.
    pub fn wait_markov_seconds(&self) -> f64 {
        if self.utilisation >= 1.0 {
            return f64::INFINITY;
        }
        let idle_servers = f64::from(self.servers) * (1.0 - self.utilisation);
        erlang_c(self.servers, self.utilisation) * self.service_seconds / idle_servers
    }

    /// Mean wait for any variability, from that of the Markov queue.
    pub fn wait_allen_cunneen_seconds(&self) -> f64 {
        self.wait_markov_seconds() * self.variability()
    }

    /// Mean wait for any variability, without Erlang's formula.
    pub fn wait_sakasegawa_seconds(&self) -> f64 {
        if self.utilisation >= 1.0 {
            return f64::INFINITY;
        }
        let servers = f64::from(self.servers);
        let power = libm::sqrt(2.0 * (servers + 1.0)) - 1.0;
        let busy = libm::pow(self.utilisation, power);
        self.variability() * busy / (servers * (1.0 - self.utilisation)) * self.service_seconds
    }

    /// The wait that a share of the records stays below, from the mean wait and the chance to wait at all.
    ///
    /// Exact for independent arrivals and exponential services.
    pub fn wait_quantile_seconds(&self, quantile: f64) -> f64 {
        let mean = self.wait_allen_cunneen_seconds();
        let waits = erlang_c(self.servers, self.utilisation.min(1.0));
        if !mean.is_finite() {
            return f64::INFINITY;
        }
        if waits <= 1.0 - quantile {
            return 0.0;
        }
        mean / waits * libm::log(waits / (1.0 - quantile))
    }

    /// Half the sum of both variabilities.
    fn variability(&self) -> f64 {
        f64::midpoint(self.arrival_scv, self.service_scv)
    }
}

/// Mean wait of one server, for any variability.
pub fn wait_kingman_seconds(queue: &Queue) -> f64 {
    if queue.utilisation >= 1.0 {
        return f64::INFINITY;
    }
    let load = queue.utilisation / (1.0 - queue.utilisation);
    load * queue.variability() * queue.service_seconds
}

/// The time in the system that a share of the records stays below: one server, independent arrivals, exponential services.
pub fn sojourn_quantile_seconds(utilisation: f64, service_seconds: f64, quantile: f64) -> f64 {
    if utilisation >= 1.0 {
        return f64::INFINITY;
    }
    -libm::log(1.0 - quantile) * service_seconds / (1.0 - utilisation)
}

/// The chance that an arrival has to wait.
pub fn erlang_c(servers: u32, utilisation: f64) -> f64 {
    let offered = f64::from(servers) * utilisation;
    let mut blocked = 1.0;
    for server in 1..=servers {
        blocked = offered * blocked / (f64::from(server) + offered * blocked);
    }
    if blocked <= 0.0 {
        return 0.0;
    }
    blocked / (1.0 - utilisation * (1.0 - blocked))
}

/// Halvings of the interval in which the utilisation is searched.
///
/// # Source
/// 2^-50 is below the precision that matters.
const BISECTIONS: u32 = 50;

/// The highest utilisation at which 99 % of the waits stay below a target.
pub fn utilisation_for_wait(queue: &Queue, seconds_max: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..BISECTIONS {
        let utilisation = f64::midpoint(low, high);
        let tried = Queue {
            utilisation,
            ..*queue
        };
        if tried.wait_quantile_seconds(0.99) <= seconds_max {
            low = utilisation;
        } else {
            high = utilisation;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers, utilisation, both variabilities; then M/M/c, Allen-Cunneen and Sakasegawa in milliseconds for 1 ms services.
    ///
    /// # Source
    /// Computed independently, printed to five decimals.
    const VECTORS: [(u32, [f64; 3], [f64; 3]); 9] = [
        (1, [0.5, 1.0, 1.0], [1.0, 1.0, 1.0]),
        (1, [0.7, 1.0, 1.0], [2.333_33, 2.333_33, 2.333_33]),
        (1, [0.9, 1.0, 1.0], [9.0, 9.0, 9.0]),
        (1, [0.7, 4.0, 1.0], [2.333_33, 5.833_33, 5.833_33]),
        (4, [0.7, 1.0, 1.0], [0.357_21, 0.357_21, 0.385_37]),
        (4, [0.9, 1.0, 1.0], [1.969_38, 1.969_38, 1.990_67]),
        (8, [0.7, 1.0, 1.0], [0.112_75, 0.112_75, 0.131_07]),
        (8, [0.9, 4.0, 2.0], [0.876_92, 2.630_75, 2.664_75]),
        (16, [0.8, 1.0, 1.0], [0.095_28, 0.095_28, 0.106_34]),
    ];

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 5.1e-6, "{found} {expected}");
    }

    #[test]
    fn waits_are_those_of_the_vectors() {
        for (servers, [utilisation, arrival_scv, service_scv], [markov, allen, sakasegawa]) in
            VECTORS
        {
            let queue = Queue {
                arrival_scv,
                service_scv,
                ..Queue::markov(servers, utilisation, 1e-3)
            };
            assert_near(queue.wait_markov_seconds() * 1e3, markov);
            assert_near(queue.wait_allen_cunneen_seconds() * 1e3, allen);
            assert_near(queue.wait_sakasegawa_seconds() * 1e3, sakasegawa);
            if servers == 1 {
                assert_near(wait_kingman_seconds(&queue) * 1e3, allen);
            }
        }
    }

    #[test]
    fn sojourns_of_one_server() {
        for (utilisation, expected) in [(0.5, 9.2103), (0.7, 15.3506), (0.9, 46.0517)] {
            let found = sojourn_quantile_seconds(utilisation, 1e-3, 0.99) * 1e3;
            assert!((found - expected).abs() < 5.1e-5, "{found}");
        }
    }

    #[test]
    fn the_utilisation_for_a_wait_meets_it() {
        let queue = Queue {
            arrival_scv: 50.0,
            ..Queue::markov(1, 0.0, 1e-3)
        };
        let utilisation = utilisation_for_wait(&queue, 0.5);
        let at = |utilisation| {
            Queue {
                utilisation,
                ..queue
            }
            .wait_quantile_seconds(0.99)
        };
        assert!(at(utilisation) <= 0.5 && at(utilisation + 1e-6) > 0.5);
    }

    #[test]
    fn an_overloaded_queue_waits_for_ever() {
        let queue = Queue::markov(2, 1.0, 1e-3);
        assert!(queue.wait_markov_seconds().is_infinite());
        assert!(queue.wait_sakasegawa_seconds().is_infinite());
        assert!(queue.wait_quantile_seconds(0.99).is_infinite());
        assert!(wait_kingman_seconds(&queue).is_infinite());
    }
}
