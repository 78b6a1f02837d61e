//! Who gives way, by hand.

use super::*;

/// A holder of state.
fn state(state_bytes: usize, growth_bytes: usize) -> Held {
    Held {
        bytes: state_bytes,
        state_bytes,
        growth_bytes,
    }
}

#[test]
fn nobody_gives_way_below_the_cap() {
    assert_eq!(relief(&[], 100, 100), None);
    assert_eq!(relief(&[state(50, 50)], 0, 100), None);
    assert_eq!(relief(&[], 101, 100), None, "there is no state to move");
}

#[test]
fn a_full_table_makes_room_in_itself() {
    assert_eq!(
        relief(&[state(60, 60), state(10, 0)], 0, 100),
        Some((0, Relief::MakeRoom))
    );
}

#[test]
fn a_large_idle_holder_gives_way_to_a_small_one_that_grows() {
    assert_eq!(
        relief(&[state(700, 0), state(200, 200)], 0, 1000),
        Some((
            0,
            Relief::Shrink {
                limit_bytes: 700 - 100 - 62
            }
        ))
    );
}

#[test]
fn the_largest_holder_gives_way_to_queues() {
    assert_eq!(
        relief(&[state(500, 0), state(300, 0)], 400, 1000),
        Some((
            0,
            Relief::Shrink {
                limit_bytes: 500 - 200 - 62
            }
        ))
    );
    assert_eq!(
        relief(&[state(100, 0)], 5000, 1000),
        Some((0, Relief::Shrink { limit_bytes: 0 }))
    );
}

#[test]
fn slots_share_the_machine_and_get_it_back() {
    let accountant = MemoryAccountant::new(Some(1000));
    let wakers = [Waker::default(), Waker::default()];
    let first = accountant.register(600, &wakers[0]);
    assert_eq!(first.cap_bytes(), 600);
    wakers[0].park(Some(std::time::Duration::ZERO));
    let second = accountant.register(10, &wakers[1]);
    assert_eq!((first.cap_bytes(), second.cap_bytes()), (350, 10));
    // The first one was woken to give way: with a wake-up pending, parking returns at once however long it may wait.
    wakers[0].park(Some(std::time::Duration::from_hours(1)));
    drop(second);
    assert_eq!(first.cap_bytes(), 600);
    assert_eq!(
        MemoryAccountant::new(None)
            .register(7, &wakers[0])
            .cap_bytes(),
        7
    );
}
