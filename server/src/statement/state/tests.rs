//! Every transition, and that no set of facts makes a statement go round in circles.

use super::*;

/// A background statement that is wanted, with room and nothing else known.
fn facts() -> Facts {
    Facts {
        kind: Kind::Background,
        wanted: Wanted::Run,
        job: JobFact::None,
        has_room: true,
        failures: 0,
        failures_recent: 0,
        may_retry: true,
        backoff: Duration::from_secs(1),
        uncommitted_for: Duration::ZERO,
        limit: LimitAction::None,
        carry_over: CarryOverFact::Ready,
        is_rescaling: false,
        resume: false,
        has_detail: false,
        active_for: Duration::ZERO,
        unconsumed_for: Duration::ZERO,
        in_phase_for: Duration::ZERO,
        stop_asked: false,
    }
}

/// A failure.
fn failed(is_recoverable: bool) -> JobFact {
    JobFact::Ended(End::Failed {
        is_recoverable,
        message: "broker a:1 does not answer".to_owned(),
    })
}

/// The phase a decision moves to.
fn target(decision: &Decision) -> Option<Phase> {
    if let Decision::Move { phase, .. } = decision {
        return Some(*phase);
    }
    None
}

#[test]
fn a_statement_starts_when_there_is_room() {
    assert_eq!(decide(Phase::Pending, &facts()), Decision::Start);
    let exhausted = Facts {
        has_room: false,
        ..facts()
    };
    assert!(matches!(
        decide(Phase::Pending, &exhausted),
        Decision::Explain { scaling: Scaling::PoolExhausted, detail } if detail.contains("no CFU")
    ));
    let ddl = Facts {
        kind: Kind::Immediate,
        has_room: false,
        ..facts()
    };
    assert_eq!(decide(Phase::Pending, &ddl), Decision::Start);
}

#[test]
fn a_job_that_is_over_at_once_was_running_first() {
    let done = Facts {
        job: JobFact::Ended(End::Finished),
        ..facts()
    };
    assert_eq!(target(&decide(Phase::Pending, &done)), Some(Phase::Running));
    assert_eq!(
        target(&decide(Phase::Running, &done)),
        Some(Phase::Completed)
    );
    let ddl = Facts {
        kind: Kind::Immediate,
        ..done
    };
    assert_eq!(
        target(&decide(Phase::Pending, &ddl)),
        Some(Phase::Completed)
    );
}

#[test]
fn what_may_pass_is_retried_with_back_off_and_then_degraded() {
    let waiting = Facts {
        job: failed(true),
        failures: 1,
        may_retry: false,
        ..facts()
    };
    for phase in [Phase::Pending, Phase::Running] {
        let Decision::Explain { detail, .. } = decide(phase, &waiting) else {
            panic!("{phase} does not wait");
        };
        assert!(detail.contains("broker a:1"), "{detail}");
    }
    let due = Facts {
        may_retry: true,
        ..waiting.clone()
    };
    assert_eq!(decide(Phase::Running, &due), Decision::Start);
    let often = Facts {
        failures: 3,
        failures_recent: 3,
        ..due.clone()
    };
    assert_eq!(
        target(&decide(Phase::Running, &often)),
        Some(Phase::Degraded)
    );
    assert_eq!(decide(Phase::Degraded, &often), Decision::Start);
    let recovered = Facts {
        job: JobFact::Active,
        active_for: HEALTHY_AFTER,
        ..often
    };
    assert_eq!(
        target(&decide(Phase::Degraded, &recovered)),
        Some(Phase::Running)
    );
}

#[test]
fn earlier_failures_do_not_degrade() {
    let long_ago = Facts {
        job: failed(true),
        failures: 9,
        failures_recent: 1,
        ..facts()
    };
    assert_eq!(decide(Phase::Running, &long_ago), Decision::Start);
}

#[test]
fn a_statement_that_does_not_commit_is_degraded_until_it_does() {
    let stuck = Facts {
        job: JobFact::Active,
        active_for: HEALTHY_AFTER,
        uncommitted_for: UNCOMMITTED_MAX,
        ..facts()
    };
    let Decision::Move { phase, detail } = decide(Phase::Running, &stuck) else {
        panic!("it stays RUNNING")
    };
    assert_eq!(phase, Phase::Degraded);
    assert!(detail.contains("10 minutes"), "{detail}");
    assert!(matches!(
        decide(Phase::Degraded, &stuck),
        Decision::Explain { .. }
    ));
    let commits = Facts {
        uncommitted_for: Duration::ZERO,
        ..stuck
    };
    assert_eq!(
        target(&decide(Phase::Degraded, &commits)),
        Some(Phase::Running)
    );
}

#[test]
fn the_soft_limit_stops_and_the_hard_limit_fails() {
    for phase in [Phase::Running, Phase::Degraded] {
        for (limit, to) in [
            (LimitAction::Stop("600 GB".to_owned()), Phase::Stopping),
            (LimitAction::Fail("1001 GB".to_owned()), Phase::Failing),
        ] {
            let over = Facts {
                job: JobFact::Active,
                limit,
                ..facts()
            };
            assert_eq!(target(&decide(phase, &over)), Some(to));
        }
    }
}

#[test]
fn a_statement_waits_for_the_one_it_goes_on_after() {
    let waiting = Facts {
        carry_over: CarryOverFact::Waiting("waits until \"old\"".to_owned()),
        ..facts()
    };
    assert!(matches!(
        decide(Phase::Pending, &waiting),
        Decision::Explain { detail, .. } if detail.contains("old")
    ));
    let stopped = Facts {
        wanted: Wanted::Stop,
        ..waiting
    };
    assert_eq!(
        target(&decide(Phase::Pending, &stopped)),
        Some(Phase::Stopped)
    );
    let lost = Facts {
        carry_over: CarryOverFact::Lost("it was deleted".to_owned()),
        ..facts()
    };
    assert_eq!(target(&decide(Phase::Pending, &lost)), Some(Phase::Failing));
}

#[test]
fn a_job_that_stopped_for_other_slots_is_started_again() {
    let stopped = Facts {
        job: JobFact::Ended(End::Stopped),
        is_rescaling: true,
        ..facts()
    };
    for phase in [Phase::Running, Phase::Degraded] {
        assert_eq!(decide(phase, &stopped), Decision::Start);
    }
    let unwanted = Facts {
        wanted: Wanted::Stop,
        ..stopped
    };
    assert_eq!(
        target(&decide(Phase::Running, &unwanted)),
        Some(Phase::Stopping)
    );
    assert_eq!(
        target(&decide(Phase::Stopping, &unwanted)),
        Some(Phase::Stopped)
    );
}

#[test]
fn what_cannot_pass_fails_with_its_reason() {
    let broken = Facts {
        job: failed(false),
        ..facts()
    };
    for phase in [
        Phase::Pending,
        Phase::Running,
        Phase::Degraded,
        Phase::Stopping,
    ] {
        assert_eq!(
            decide(phase, &broken),
            Decision::because(Phase::Failing, "broker a:1 does not answer"),
            "{phase}"
        );
    }
    assert_eq!(
        target(&decide(Phase::Failing, &broken)),
        Some(Phase::Failed)
    );
    assert_eq!(decide(Phase::Failed, &broken), Decision::Stay);
    let resumed = Facts {
        resume: true,
        ..broken
    };
    assert_eq!(
        target(&decide(Phase::Failed, &resumed)),
        Some(Phase::Pending)
    );
}

#[test]
fn a_query_is_never_run_twice() {
    let query = Facts {
        kind: Kind::Foreground,
        ..facts()
    };
    assert_eq!(
        target(&decide(Phase::Running, &query)),
        Some(Phase::Stopped),
        "after a restart of the server"
    );
    let lost = Facts {
        job: failed(true),
        ..query.clone()
    };
    assert_eq!(target(&decide(Phase::Running, &lost)), Some(Phase::Failing));
    let stopped = decide(Phase::Stopped, &query);
    assert_eq!(stopped, Decision::Stay);
}

#[test]
fn a_query_nobody_reads_is_stopped() {
    let idle = Facts {
        kind: Kind::Foreground,
        job: JobFact::Active,
        unconsumed_for: UNCONSUMED_MAX,
        ..facts()
    };
    assert_eq!(
        target(&decide(Phase::Running, &idle)),
        Some(Phase::Stopping)
    );
    let background = Facts {
        kind: Kind::Background,
        ..idle
    };
    assert_eq!(decide(Phase::Running, &background), Decision::Stay);
}

#[test]
fn stopping_asks_once_waits_and_then_cancels() {
    let stopping = Facts {
        wanted: Wanted::Stop,
        job: JobFact::Active,
        ..facts()
    };
    assert_eq!(
        target(&decide(Phase::Running, &stopping)),
        Some(Phase::Stopping)
    );
    assert_eq!(decide(Phase::Stopping, &stopping), Decision::Stop);
    let asked = Facts {
        stop_asked: true,
        ..stopping
    };
    assert_eq!(decide(Phase::Stopping, &asked), Decision::Stay);
    let late = Facts {
        in_phase_for: STOP_MAX,
        ..asked.clone()
    };
    assert_eq!(decide(Phase::Stopping, &late), Decision::Cancel);
    let over = Facts {
        job: JobFact::Ended(End::Stopped),
        ..asked
    };
    assert_eq!(
        target(&decide(Phase::Stopping, &over)),
        Some(Phase::Stopped)
    );
    let resumed = Facts {
        wanted: Wanted::Run,
        ..over
    };
    assert_eq!(
        target(&decide(Phase::Stopped, &resumed)),
        Some(Phase::Pending)
    );
}

#[test]
fn a_killed_server_continues_where_each_statement_was() {
    let none = facts();
    assert_eq!(decide(Phase::Pending, &none), Decision::Start);
    assert_eq!(decide(Phase::Running, &none), Decision::Start);
    assert_eq!(decide(Phase::Degraded, &none), Decision::Start);
    let stop = Facts {
        wanted: Wanted::Stop,
        ..facts()
    };
    assert_eq!(
        target(&decide(Phase::Stopping, &stop)),
        Some(Phase::Stopped)
    );
    assert_eq!(target(&decide(Phase::Failing, &none)), Some(Phase::Failed));
    let delete = Facts {
        wanted: Wanted::Delete,
        ..facts()
    };
    assert_eq!(decide(Phase::Deleting, &delete), Decision::Remove);
}

#[test]
fn deleting_wins_in_every_phase() {
    for job in [JobFact::None, JobFact::Active, JobFact::Starting] {
        let delete = Facts {
            wanted: Wanted::Delete,
            job,
            ..facts()
        };
        for phase in Phase::ALL {
            if phase != Phase::Deleting {
                assert_eq!(target(&decide(phase, &delete)), Some(Phase::Deleting));
            }
        }
    }
}

#[test]
fn what_has_ended_is_kept_for_thirty_days() {
    let old = Facts {
        wanted: Wanted::Stop,
        in_phase_for: RETENTION,
        ..facts()
    };
    for phase in [Phase::Completed, Phase::Stopped, Phase::Failed] {
        assert_eq!(
            target(&decide(phase, &old)),
            Some(Phase::Deleting),
            "{phase}"
        );
    }
}

#[test]
fn unchanged_facts_never_lead_round_in_a_circle() {
    let jobs = [
        JobFact::None,
        JobFact::Starting,
        JobFact::Active,
        JobFact::Ended(End::Finished),
        JobFact::Ended(End::Stopped),
        failed(true),
        failed(false),
    ];
    for kind in [Kind::Immediate, Kind::Foreground, Kind::Background] {
        for wanted in [Wanted::Run, Wanted::Stop, Wanted::Delete] {
            for job in &jobs {
                for limit in [
                    LimitAction::None,
                    LimitAction::Stop("soft".to_owned()),
                    LimitAction::Fail("hard".to_owned()),
                ] {
                    let known = Facts {
                        kind,
                        wanted,
                        job: job.clone(),
                        limit,
                        failures: 5,
                        failures_recent: 5,
                        may_retry: false,
                        is_rescaling: true,
                        uncommitted_for: UNCOMMITTED_MAX,
                        active_for: HEALTHY_AFTER,
                        ..facts()
                    };
                    for start in Phase::ALL {
                        let mut phase = start;
                        let mut moves = 0;
                        while let Some(next) = target(&decide(phase, &known)) {
                            phase = next;
                            moves += 1;
                            assert!(moves < 9, "{start} {known:?}");
                        }
                    }
                }
            }
        }
    }
}
