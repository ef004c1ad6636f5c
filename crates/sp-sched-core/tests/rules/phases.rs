//! Memory that a task no longer needs is offered at once, and no task is ever charged with more than its row.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sp_sched_core::event::{Phase, Request};
use sp_sched_core::model::UnixMs;
use sp_types::SectorState::PreCommit1;
use sp_types::{HostCapacity, HostId, ResourceTable, SessionId, TaskKind};

use crate::desk::{Desk, GIB, SIZE, lotus_machine, worker};

const PC1: TaskKind = TaskKind::PreCommit1;
const MIB: u64 = 1 << 20;

fn desk(sectors: usize) -> Desk {
    let mut desk = Desk::new(|c| c.pc2_backlog = 1_000, &vec![PreCommit1; sectors]);
    desk.join("a", &[PC1], lotus_machine());
    let holders: Vec<(u64, &str)> = (0..sectors as u64).map(|n| (n, "a")).collect();
    desk.index(&["a"], &holders);
    desk
}

fn memory_used(desk: &Desk) -> u64 {
    desk.core.workers(UnixMs(desk.now))[0].memory_min_used_bytes
}

#[test]
fn what_publishes_makes_room_in_the_same_step() {
    let mut desk = desk(4);
    assert_eq!(desk.news(), ["PC1 0 on a", "PC1 1 on a"]);
    for phase in [Phase::Waiting, Phase::Preparing, Phase::Running] {
        desk.report(PC1, 0, phase);
        assert!(desk.news().is_empty(), "{phase:?} needs all of it");
    }
    assert_eq!(memory_used(&desk), 112 * GIB);
    desk.report(PC1, 0, Phase::Publishing);
    assert_eq!(desk.news(), ["PC1 2 on a"]);
    assert_eq!(memory_used(&desk), 112 * GIB + 128 * MIB);
    // Said again, and gone on: nothing is freed twice.
    desk.report(PC1, 0, Phase::Publishing);
    desk.report(PC1, 0, Phase::Returning);
    assert_eq!((desk.news().len(), memory_used(&desk)), (0, 112 * GIB));
    desk.finish(PC1, 0, 0, 1);
    assert_eq!((desk.news().len(), memory_used(&desk)), (0, 112 * GIB));
    desk.finish(PC1, 1, 0, 1);
    assert_eq!(desk.news(), ["PC1 3 on a"]);
}

#[test]
fn workers_of_one_host_gain_by_each_other() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 3]);
    for name in ["a", "b"] {
        let same = HostId::new("machine-boot").unwrap();
        desk.join_with(name, &[PC1], lotus_machine(), ResourceTable::default(), |r| r.host = same);
    }
    desk.index(&["a", "b"], &[(0, "a"), (1, "a"), (2, "b")]);
    assert_eq!(desk.news().len(), 2);
    let computing = desk.given.values().find(|(_, a)| !a.hold).unwrap().1.sector;
    desk.report(PC1, computing, Phase::Publishing);
    assert_eq!(desk.news().len(), 1);
}

#[test]
fn a_new_process_is_charged_in_full_until_it_says_how_far_it_is() {
    let mut desk = desk(2);
    desk.report(PC1, 0, Phase::Publishing);
    assert_eq!(memory_used(&desk), 56 * GIB + 128 * MIB);
    let held: Vec<_> = desk.given.keys().copied().collect();
    for (session, used) in [("one", 56 * GIB + 128 * MIB), ("two", 112 * GIB)] {
        let held = held.clone();
        desk.join_with("a", &[PC1], lotus_machine(), ResourceTable::default(), |r| {
            (r.session, r.held) = (SessionId::new(session).unwrap(), held);
        });
        assert_eq!(memory_used(&desk), used, "session {session}");
    }
}

#[test]
fn an_abort_while_it_publishes_frees_what_is_left() {
    let mut desk = desk(3);
    desk.report(PC1, 0, Phase::Publishing);
    assert_eq!(desk.given.len(), 3);
    let attempt = desk.attempt(PC1, 0);
    desk.ask(Request::Abort { id: attempt.to_string(), reason: String::new() });
    assert_eq!(memory_used(&desk), 112 * GIB);
}

#[derive(Debug, Clone)]
enum Happening {
    Report(usize, Phase),
    Finish(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let phases = vec![Phase::Preparing, Phase::Running, Phase::Publishing, Phase::Returning];
    prop_oneof![
        4 => (0usize..8, prop::sample::select(phases)).prop_map(|(at, phase)| Happening::Report(at, phase)),
        1 => (0usize..8).prop_map(Happening::Finish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Phases in any order, as a worker may report them that does a part of its work again.
    #[test]
    fn the_account_is_the_sum_of_what_the_phases_need(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut desk = desk(30);
        let row = ResourceTable::default().row(PC1, SIZE);
        let mut phases: BTreeMap<u64, Phase> = BTreeMap::new();
        for happening in happenings {
            let before = memory_used(&desk);
            let running: Vec<u64> = desk.given.values().map(|(_, a)| a.sector).collect();
            match happening {
                Happening::Report(at, phase) => {
                    if let Some(sector) = running.get(at) {
                        phases.insert(*sector, phase);
                        desk.report(PC1, *sector, phase);
                    }
                }
                Happening::Finish(at) => {
                    if let Some(sector) = running.get(at) {
                        phases.remove(sector);
                        desk.finish(PC1, *sector, 0, 1);
                    }
                }
            }
            let needs = |sector: u64| {
                let phase = phases.get(&sector).copied().unwrap_or(Phase::Running);
                row.in_phase(phase).min_memory_bytes
            };
            let sum: u64 = desk.given.values().map(|(_, a)| needs(a.sector)).sum();
            prop_assert_eq!(memory_used(&desk), sum);
            let HostCapacity { memory_bytes, .. } = lotus_machine();
            let started = desk.news().len();
            prop_assert!(started == 0 || sum <= memory_bytes, "{started} started, {sum} of {memory_bytes} used");
            let waits = desk.core.jobs(UnixMs(desk.now)).iter().any(|job| job.task == PC1 && job.attempt.is_none());
            let room = memory_bytes.saturating_sub(sum) >= row.min_memory_bytes + row.base_min_memory_bytes;
            prop_assert!(!waits || !room, "{before} then {sum} used, and a task waits");
            prop_assert!(desk.given.values().all(|(w, _)| *w == worker("a")));
        }
    }
}
