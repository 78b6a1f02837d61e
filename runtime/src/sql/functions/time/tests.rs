//! Time functions and literals, from SQL text.

use super::super::testing::evaluate_in;
use crate::error::Kind;

/// The text of an expression in UTC.
fn text(expression: &str) -> String {
    evaluate_in(expression, "UTC").unwrap().0
}

/// The type of an expression.
fn ty(expression: &str) -> String {
    evaluate_in(expression, "UTC").unwrap().1
}

#[test]
fn nanoseconds_are_kept_in_every_year() {
    let literal = "TIMESTAMP '0001-02-03 04:05:06.123456789'";
    assert_eq!(text(literal), "0001-02-03 04:05:06.123456789");
    assert_eq!(ty(literal), "TIMESTAMP(9) NOT NULL");
    assert_eq!(
        text(&format!("{literal} + INTERVAL '1' MONTH")),
        "0001-03-03 04:05:06.123456789"
    );
    assert_eq!(
        text(&format!("{literal} - INTERVAL '7' SECOND")),
        "0001-02-03 04:04:59.123456789"
    );
    assert_eq!(
        text(&format!("EXTRACT(NANOSECOND FROM {literal})")),
        "123456789"
    );
    assert_eq!(
        text(&format!("DATE_FORMAT({literal}, 'ss.SSSSSSSS')")),
        "06.12345678"
    );
    assert_eq!(
        text("TIMESTAMP '2020-01-01 00:00:00.0000001' > TIMESTAMP '2020-01-01 00:00:00'"),
        "TRUE"
    );
    assert_eq!(
        text("CEIL(TIMESTAMP '2020-01-01 00:00:00.0000001' TO SECOND)"),
        "2020-01-01 00:00:01.0000000"
    );
}

#[test]
fn precisions_are_cut_and_widened_by_casts() {
    let cast = |from: &str, to: &str| text(&format!("CAST({from} AS {to})"));
    let fine = "TIMESTAMP '2020-02-29 23:59:59.987654321'";
    for (to, cut) in [
        ("TIMESTAMP(9)", "2020-02-29 23:59:59.987654321"),
        ("TIMESTAMP(8)", "2020-02-29 23:59:59.98765432"),
        ("TIMESTAMP(6)", "2020-02-29 23:59:59.987654"),
        ("TIMESTAMP(0)", "2020-02-29 23:59:59"),
        ("DATE", "2020-02-29"),
        ("TIME(3)", "23:59:59.987"),
    ] {
        assert_eq!(cast(fine, to), cut);
    }
    assert_eq!(
        cast("DATE '2020-02-29'", "TIMESTAMP(7)"),
        "2020-02-29 00:00:00.0000000"
    );
    assert_eq!(
        cast("'1969-12-31 23:59:59.999999999'", "TIMESTAMP(9)"),
        "1969-12-31 23:59:59.999999999"
    );
    let instant = "CAST(CAST('2020-07-01 12:00:00.123456789' AS TIMESTAMP(9)) AS TIMESTAMP_LTZ(9))";
    let there = evaluate_in(&format!("CAST({instant} AS STRING)"), "Europe/Berlin").unwrap();
    assert_eq!(there.0, "2020-07-01 12:00:00.123456789");
    assert_eq!(
        evaluate_in("CAST('Flink' AS TIMESTAMP(9))", "UTC")
            .unwrap_err()
            .kind,
        Kind::Data
    );
    assert_eq!(text("TRY_CAST('Flink' AS TIMESTAMP(9))"), "NULL");
}

#[test]
fn periods_overlap_in_any_order_and_by_length() {
    for (test, outcome) in [
        (
            "(DATE '2020-01-01', DATE '2020-01-10') OVERLAPS (DATE '2020-01-10', DATE '2020-01-20')",
            "TRUE",
        ),
        (
            "(DATE '2020-01-01', DATE '2020-01-09') OVERLAPS (DATE '2020-01-10', DATE '2020-01-20')",
            "FALSE",
        ),
        (
            "(DATE '2020-01-10', DATE '2020-01-01') OVERLAPS (DATE '2020-01-20', INTERVAL '-15' DAY)",
            "TRUE",
        ),
        (
            "TRUE AND (TIME '10:00:00', INTERVAL '1' HOUR) OVERLAPS (TIME '11:30:00', TIME '12:00:00')",
            "FALSE",
        ),
        (
            "(DATE '2020-01-15', CAST(NULL AS DATE)) OVERLAPS (DATE '2020-01-10', DATE '2020-01-20')",
            "NULL",
        ),
    ] {
        assert_eq!(text(test), outcome, "{test}");
    }
    assert!(evaluate_in("(1, 2, 3) OVERLAPS (1, 2)", "UTC").is_err());
}

#[test]
fn times_of_day_take_units_as_timestamps_do() {
    assert_eq!(text("TIMESTAMPADD(HOUR, 2, TIME '23:30:00')"), "01:30:00");
    assert_eq!(text("TIMESTAMPADD(YEAR, 2, TIME '23:30:00')"), "23:30:00");
    assert_eq!(
        text("TIMESTAMPDIFF(MINUTE, TIME '10:30:00', TIME '08:00:00')"),
        "-150"
    );
    assert_eq!(
        text(
            "TIMESTAMPDIFF(SECOND, TIMESTAMP '2020-01-01 00:00:00.0009', TIMESTAMP '2020-01-01 00:00:01')"
        ),
        "1"
    );
}

#[test]
fn parts_of_intervals_are_extracted() {
    let days = "INTERVAL '-19 12:10:11.123' DAY TO SECOND(3)";
    for (unit, part) in [
        ("DAY", "-19"),
        ("HOUR", "-12"),
        ("SECOND", "-11"),
        ("MILLISECOND", "-123"),
    ] {
        assert_eq!(text(&format!("EXTRACT({unit} FROM {days})")), part);
    }
    assert_eq!(
        text("EXTRACT(YEAR FROM INTERVAL '3-07' YEAR TO MONTH)"),
        "3"
    );
    assert_eq!(
        text("EXTRACT(MONTH FROM INTERVAL '3-07' YEAR TO MONTH)"),
        "7"
    );
    assert!(evaluate_in(&format!("EXTRACT(YEAR FROM {days})"), "UTC").is_err());
}

#[test]
fn longer_units_have_begun_with_their_first_day() {
    assert_eq!(
        text("CEIL(TIMESTAMP '2020-03-01 12:00:00' TO MONTH)"),
        "2020-03-01 00:00:00"
    );
    assert_eq!(
        text("CEIL(TIMESTAMP '2020-03-02 00:00:00' TO MONTH)"),
        "2020-04-01 00:00:00"
    );
    assert_eq!(
        text("CEIL(TIMESTAMP '2020-03-01 12:00:00' TO DAY)"),
        "2020-03-02 00:00:00"
    );
}

#[test]
fn instants_are_read_in_the_precision_asked_for() {
    let long = "TO_TIMESTAMP_LTZ('2023-01-01T00:00:00.1234567', 'yyyy-MM-dd''T''HH:mm:ss.SSSSSSS')";
    assert_eq!(ty(long), "TIMESTAMP_LTZ(7)");
    assert_eq!(text(long), "2023-01-01 00:00:00.1234567");
    assert_eq!(
        text("TO_TIMESTAMP_LTZ(1234567890123456789, 9)"),
        "2009-02-13 23:31:30.123456789"
    );
    assert_eq!(text("TO_TIMESTAMP_LTZ(253402300800, 0)"), "NULL");
    assert_eq!(text("TO_TIMESTAMP_LTZ(1, CAST(NULL AS INT))"), "NULL");
    let unknown = evaluate_in("TO_TIMESTAMP_LTZ('x', 'n r')", "UTC").unwrap_err();
    assert!(unknown.message.contains("unknown letter r"), "{unknown}");
    assert!(evaluate_in("TO_TIMESTAMP_LTZ(1, 10)", "UTC").is_err());
}

#[test]
fn texts_that_miss_their_pattern_are_read_without_it() {
    let fallback = "TO_TIMESTAMP('2020-1-2 03:04:05.6789', 'yyyy-MM-dd HH:mm:ss.SSS')";
    assert_eq!(text(fallback), "2020-01-02 03:04:05.678");
    assert_eq!(text("TO_TIMESTAMP('nothing', 'yyyy')"), "NULL");
}

#[test]
fn texts_change_their_zone() {
    let convert = "CONVERT_TZ('2021-07-01 00:00:00', 'UTC', 'America/Los_Angeles')";
    assert_eq!(text(convert), "2021-06-30 17:00:00");
    assert_eq!(
        text("CONVERT_TZ('x', 'UTC', 'America/Los_Angeles')"),
        "NULL"
    );
    assert!(evaluate_in("CONVERT_TZ('2021-07-01 00:00:00', 'UTC', 'Nowhere')", "UTC").is_err());
}

#[test]
fn tests_with_several_values_are_plain_tests() {
    assert_eq!(
        text("CASE 2 WHEN 1, 2 THEN 'low' WHEN 3 THEN 'high' END"),
        "low"
    );
    assert_eq!(text("5 BETWEEN SYMMETRIC 9 AND 1"), "TRUE");
    assert_eq!(text("5 BETWEEN ASYMMETRIC 9 AND 1"), "FALSE");
    assert_eq!(text("5 NOT BETWEEN SYMMETRIC 9 AND 1 OR TRUE"), "TRUE");
}

#[test]
fn nested_casts_fail_as_a_whole() {
    assert_eq!(text("TRY_CAST(ARRAY['1', 'x'] AS ARRAY<INT>)"), "NULL");
    assert_eq!(text("TRY_CAST(ARRAY['1', '2'] AS ARRAY<INT>)"), "[1, 2]");
    assert_eq!(text("TRY_CAST(MAP['x', '2'] AS MAP<INT, INT>)"), "NULL");
}
