//! The automaton against a naive enumeration of matches.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

/// A variable that takes between `min` and `max` rows.
fn variable(name: &str, min: u32, max: Option<u32>, greedy: bool) -> PatternVariable {
    PatternVariable {
        name: name.to_owned(),
        min,
        max,
        greedy,
    }
}

/// Which rows each variable can take: `holds[variable][row]`.
type Holds = Vec<Vec<bool>>;

/// A match as its first row and how many rows each variable has.
type Counts = (u64, Vec<u64>);

/// Gives rows one second apart to an automaton; the matches.
fn run(automaton: &Automaton, holds: &Holds, rows: usize) -> Result<Vec<Counts>> {
    let mut matching = automaton.matching();
    let mut found = Vec::new();
    let mut row = 0;
    while row < rows {
        let time_ms = i64::try_from(row).unwrap() * 1_000;
        automaton.advance(&mut matching, time_ms, &mut found)?;
        let mut answers = Vec::new();
        for run in matching.partial.iter() {
            let asks = automaton.asks(run).iter();
            answers.extend(asks.map(|variable| holds[usize::from(*variable)][row]));
        }
        let number = row as u64;
        automaton.step(&mut matching, Row { number, time_ms }, &answers, &mut found)?;
        row += 1;
    }
    let counts = |found: &Found| {
        let rows = (0..automaton.variables().len()).map(|variable| {
            let rows = found.run.rows_of(variable);
            rows.end - rows.start
        });
        (found.run.start, rows.collect())
    };
    Ok(found.iter().map(counts).collect())
}

/// The pattern of some variables.
fn automaton(pattern: &[PatternVariable], skip: &AfterMatch, window_ms: Option<i64>) -> Automaton {
    Automaton::new(pattern, |_| true, skip, window_ms).unwrap()
}

/// Which rows can be taken, by letters: a variable takes rows that have its letter.
fn letters(names: &str, rows: &[&str]) -> Holds {
    let of = |name: char| rows.iter().map(|row| row.contains(name)).collect();
    names.chars().map(of).collect()
}

#[test]
fn a_greedy_variable_takes_what_the_next_one_could() {
    let rows = ["A", "AB", "AB", "B"];
    let holds = letters("AB", &rows);
    let pattern = |greedy| {
        [
            variable("A", 1, None, greedy),
            variable("B", 1, Some(1), false),
        ]
    };
    let greedy = automaton(&pattern(true), &AfterMatch::PastLastRow, None);
    assert_eq!(run(&greedy, &holds, 4).unwrap(), [(0, vec![3, 1])]);
    let reluctant = automaton(&pattern(false), &AfterMatch::PastLastRow, None);
    assert_eq!(
        run(&reluctant, &holds, 4).unwrap(),
        [(0, vec![1, 1]), (2, vec![1, 1])]
    );
}

#[test]
fn matches_skip_as_they_are_told() {
    let holds = letters("AB", &["A", "A", "A", "B", "B"]);
    let pattern = [variable("A", 1, None, true), variable("B", 1, None, false)];
    let found = |skip| run(&automaton(&pattern, &skip, None), &holds, 5);
    assert_eq!(found(AfterMatch::PastLastRow).unwrap(), [(0, vec![3, 1])]);
    assert_eq!(
        found(AfterMatch::ToNextRow).unwrap(),
        [(0, vec![3, 1]), (1, vec![2, 1]), (2, vec![1, 1])]
    );
    assert_eq!(
        found(AfterMatch::ToLast("A".to_owned()))
            .unwrap_err()
            .to_string(),
        "AFTER MATCH SKIP TO A leads to the first row of the match, which would be found again for ever; skip to a variable behind the first, TO NEXT ROW or PAST LAST ROW"
    );
    assert_eq!(
        found(AfterMatch::ToLast("B".to_owned())).unwrap(),
        [(0, vec![3, 1])]
    );
}

#[test]
fn skipping_to_a_variable_without_rows_fails() {
    let holds = letters("ABC", &["A", "C"]);
    let pattern = [
        variable("A", 1, Some(1), false),
        variable("B", 0, Some(1), false),
        variable("C", 1, Some(1), false),
    ];
    let automaton = automaton(&pattern, &AfterMatch::ToFirst("B".to_owned()), None);
    let message = run(&automaton, &holds, 2).unwrap_err().to_string();
    assert!(message.contains("no row of B"), "{message}");
}

#[test]
fn a_match_takes_less_time_than_its_window() {
    let holds = letters("AB", &["A", "A", "A", "B"]);
    let pattern = [
        variable("A", 1, None, true),
        variable("B", 1, Some(1), false),
    ];
    let found = |window_ms| {
        let automaton = automaton(&pattern, &AfterMatch::PastLastRow, Some(window_ms));
        run(&automaton, &holds, 4).unwrap()
    };
    assert_eq!(found(3_001), [(0, vec![3, 1])]);
    assert_eq!(found(3_000), [(1, vec![2, 1])]);
    assert_eq!(found(1_000), []);
    // No window at all.
    assert_eq!(found(0), [(0, vec![3, 1])]);
}

#[test]
fn a_match_waits_for_earlier_ones_and_leaves_when_their_time_is_over() {
    // The first row begins a match that goes on while the second one's is complete.
    let holds = letters("AB", &["A", "A", "B"]);
    let pattern = [
        variable("A", 1, Some(1), false),
        variable("B", 1, Some(1), false),
        variable("C", 1, None, false),
    ];
    // A B C with a C that never comes: no condition of C holds.
    let mut holds = holds;
    holds.push(vec![false; 3]);
    let automaton = automaton(&pattern, &AfterMatch::PastLastRow, Some(5_000));
    assert_eq!(run(&automaton, &holds, 3).unwrap(), []);
    let mut matching = automaton.matching();
    let early = Run {
        state: 0,
        start: 1,
        start_ms: 1_000,
        rows: 1,
        bounds: vec![0],
    };
    matching.partial.push(early.clone());
    matching.complete.push(Run {
        start: 2,
        start_ms: 1_500,
        ..early
    });
    let mut found = Vec::new();
    automaton.advance(&mut matching, 5_999, &mut found).unwrap();
    assert_eq!(found, []);
    automaton
        .advance(&mut matching, 60_000, &mut found)
        .unwrap();
    assert_eq!(
        found[0].time_ms, 6_000,
        "when the earlier one's time is over"
    );
    assert!(matching.is_idle());
}

#[test]
fn too_many_partial_matches_are_refused() {
    let pattern = [
        variable("A", 1, None, false),
        variable("B", 1, Some(1), false),
    ];
    let automaton = automaton(&pattern, &AfterMatch::PastLastRow, None);
    let mut matching = automaton.matching();
    for start in 0..MATCHES_MAX as u64 {
        matching.partial.push(Run {
            start,
            rows: 1,
            bounds: vec![0],
            ..Run::default()
        });
    }
    let asks: usize = matching
        .partial
        .iter()
        .map(|run| automaton.asks(run).len())
        .sum();
    let row = Row {
        number: MATCHES_MAX as u64,
        time_ms: 0,
    };
    let answers = vec![true; asks];
    let message = automaton.step(&mut matching, row, &answers, &mut Vec::new());
    let message = message.unwrap_err().to_string();
    assert!(message.contains("bound them with WITHIN"), "{message}");
    let huge = [variable("A", 1, Some(1 << 20), false)];
    let refused = Automaton::new(&huge, |_| true, &AfterMatch::PastLastRow, None);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("more than 4096 states")
    );
}

/// What comes of matches that begin with one row: the number of rows of the first to end, and whether others could go on.
struct Explored {
    /// Rows of the first complete match.
    first: Option<u64>,
    /// Last row, exclusive, before which every other match has died; absent when one is alive.
    dead: Option<u64>,
}

/// All ways to take rows from `start` on, without an automaton.
fn explore(pattern: &[PatternVariable], holds: &Holds, start: usize, rows: usize) -> Explored {
    // Ways are told by the last variable and how many rows it has.
    let mut ways: Vec<(usize, u32)> = Vec::new();
    let mut row = start;
    loop {
        if row == rows {
            return Explored {
                first: None,
                dead: None,
            };
        }
        let mut next = Vec::new();
        let begins = row == start;
        let from: Vec<Option<(usize, u32)>> = if begins {
            vec![None]
        } else {
            ways.iter().copied().map(Some).collect()
        };
        for way in from {
            for variable in 0..pattern.len() {
                if let Some(way) = takes(pattern, holds, way, (variable, row)) {
                    next.push(way);
                }
            }
        }
        row += 1;
        let is_end = |way: &(usize, u32)| {
            let behind = &pattern[way.0 + 1..];
            let is_enough = way.1 >= pattern[way.0].min;
            let may_end = behind.iter().all(|variable| variable.min == 0);
            // Greedy variables before what is left out must not take the row that was just taken.
            let greedy = (way.0..pattern.len() - 1)
                .any(|place| pattern[place].greedy && holds[place][row - 1]);
            is_enough && may_end && !greedy
        };
        if next.iter().any(is_end) {
            return Explored {
                first: Some((row - start) as u64),
                dead: None,
            };
        }
        if next.is_empty() {
            return Explored {
                first: None,
                dead: Some(row as u64),
            };
        }
        ways = next;
    }
}

/// The way on when a variable takes a row.
fn takes(
    pattern: &[PatternVariable],
    holds: &Holds,
    way: Option<(usize, u32)>,
    (variable, row): (usize, usize),
) -> Option<(usize, u32)> {
    if !holds[variable][row] {
        return None;
    }
    let (first, taken) = way.map_or((0, 0), |(last, taken)| (last, taken));
    if way.is_some() && first == variable {
        let is_full = pattern[variable].max.is_some_and(|max| taken >= max);
        return (!is_full).then_some((variable, taken + 1));
    }
    if variable < first {
        return None;
    }
    let is_left = way.is_none() || taken >= pattern[first].min;
    let skipped = first + usize::from(way.is_some())..variable;
    let may_skip = skipped.clone().all(|place| pattern[place].min == 0);
    let greedy = (first..variable).any(|place| pattern[place].greedy && holds[place][row]);
    (is_left && may_skip && !greedy).then_some((variable, 1))
}

#[test]
fn the_automaton_finds_what_an_enumeration_finds() {
    let mut random = SmallRng::seed_from_u64(20);
    let mut matches = 0;
    for round in 0..4_000 {
        let variables = random.random_range(1..=4);
        let mut pattern: Vec<PatternVariable> = (0..variables)
            .map(|place| {
                let shapes = [(1, Some(1)), (0, Some(1)), (1, None), (0, None), (2, None)];
                let more = [(2, Some(2)), (1, Some(3)), (0, Some(2)), (2, Some(3))];
                let all = [&shapes[..], &more[..]].concat();
                let (min, max) = all[random.random_range(0..all.len())];
                let may_be_greedy = place + 1 < variables && max != Some(min) && max != Some(1);
                let name = format!("V{place}");
                variable(&name, min, max, may_be_greedy && random.random())
            })
            .collect();
        if pattern.iter().all(|variable| variable.min == 0) {
            pattern[0] = variable("V0", 1, Some(1), false);
        }
        let rows = random.random_range(1..12);
        let holds: Holds = (0..variables)
            .map(|_| (0..rows).map(|_| random.random_bool(0.6)).collect())
            .collect();
        let (skip, to_next) = if random.random() {
            (AfterMatch::ToNextRow, true)
        } else {
            (AfterMatch::PastLastRow, false)
        };
        let found = run(&automaton(&pattern, &skip, None), &holds, rows).unwrap();
        let found: Vec<(u64, u64)> = found
            .iter()
            .map(|(start, counts)| (*start, counts.iter().sum()))
            .collect();
        // Matches leave by their first row; one that may go on holds all later ones back.
        let mut expected = Vec::new();
        let mut start = 0;
        while start < rows {
            let explored = explore(&pattern, &holds, start, rows);
            if let Some(length) = explored.first {
                expected.push((start as u64, length));
                start += if to_next {
                    1
                } else {
                    usize::try_from(length).unwrap()
                };
            } else if explored.dead.is_some() {
                start += 1;
            } else {
                break;
            }
        }
        matches += expected.len();
        assert_eq!(
            found, expected,
            "round {round}: {pattern:?} {holds:?} {skip:?}"
        );
    }
    assert!(matches > 4_000, "{matches} matches");
}
