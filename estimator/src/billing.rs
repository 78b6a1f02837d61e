//! From CFUs over time to an invoice.
//!
//! Place in the flow: estimates and reports. Invariant: the arithmetic is that of [`weir_model::cfu`]; nothing is rounded but the text.

use weir_model::cfu::{CfuMillis, CfuPrice, Dollars, MINUTE_MS};

/// What a statement is billed that holds so many CFUs for so many minutes, step after step.
///
/// # Units
/// CFUs and whole minutes.
pub fn billed(steps: &[(u32, u64)]) -> CfuMillis {
    let minutes = steps.iter().map(|(cfus, minutes)| {
        let minute = CfuMillis::billed_minute(u64::from(*cfus) * MINUTE_MS);
        CfuMillis(minute.0.saturating_mul(*minutes))
    });
    minutes.sum()
}

/// What CFU-minutes cost.
pub fn cost(cfu_minutes: u64, price: CfuPrice) -> Dollars {
    price.cost(CfuMillis::from_minutes(cfu_minutes))
}

/// The line of an invoice, such as `5.15 CFU-hours x $0.21/CFU-hour`.
///
/// # Source
/// Confluent's billing page: hours to three decimals at most.
pub fn invoice_line(amount: CfuMillis, price: CfuPrice) -> String {
    let hours = trimmed(&format!("{:.3}", amount.hours()));
    let dollars = Dollars {
        nano: price.micro_dollars_per_hour.saturating_mul(1000),
    };
    let rate = trimmed(&format!("{:.6}", dollars.as_f64()));
    format!("{hours} CFU-hours x ${rate}/CFU-hour")
}

/// A decimal number without trailing zeros.
fn trimmed(number: &str) -> String {
    number.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_scales_up_and_down() {
        let steps = [(1, 10), (3, 30), (2, 10), (1, 10)];
        assert_eq!(billed(&steps), CfuMillis::from_minutes(130));
    }

    #[test]
    fn official_examples() {
        let price = CfuPrice::default();
        let five = billed(&[(1, 5)]);
        assert_eq!(price.cost(five), Dollars { nano: 17_500_000 });
        assert_eq!(
            invoice_line(five, price),
            "0.083 CFU-hours x $0.21/CFU-hour"
        );
        let queries = [(1, 5), (1, 60), (1, 110), (1, 10), (1, 124)];
        assert_eq!(billed(&queries), CfuMillis::from_minutes(309));
        assert_eq!(cost(309, price).to_string(), "$1.0815");
        assert_eq!(
            invoice_line(billed(&queries), price),
            "5.15 CFU-hours x $0.21/CFU-hour"
        );
    }

    #[test]
    fn a_minute_costs_at_least_one_cfu_minute() {
        assert_eq!(billed(&[(0, 3)]), CfuMillis::from_minutes(3));
    }
}
