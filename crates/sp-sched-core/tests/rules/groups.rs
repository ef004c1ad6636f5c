//! Groups: PC1 of several sectors of one proof type starts as one where a worker interleaves streams.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sp_sched_core::event::{Phase, Request};
use sp_sched_core::model::{Sector, UnixMs};
use sp_types::SectorState::PreCommit1;
use sp_types::{HostCapacity, RegisteredSealProof, ResourceTable, SealFeature, TaskKind};

use crate::desk::{Desk, GIB, SIZE, lotus_machine};

const PC1: TaskKind = TaskKind::PreCommit1;
const SECOND: u64 = 1_000;

fn large() -> HostCapacity {
    HostCapacity { memory_bytes: 4_096 * GIB, cpus: 64, ..HostCapacity::default() }
}

/// So many sectors wait for PC1 with worker `a`, which interleaves so many streams.
fn desk_with(sectors: usize, streams: u32, machine: HostCapacity, edit: impl FnMut(&mut Sector)) -> Desk {
    let mut desk = Desk::with(|c| c.pc2_backlog = 1_000, &vec![PreCommit1; sectors], edit);
    desk.join_with("a", &[PC1], machine, ResourceTable::default(), |r| r.pc1_streams = streams);
    let holders: Vec<(u64, &str)> = (0..sectors as u64).map(|n| (n, "a")).collect();
    desk.index(&["a"], &holders);
    desk
}

fn desk(sectors: usize, streams: u32) -> Desk {
    desk_with(sectors, streams, large(), |_| {})
}

/// Sectors that were started, by group.
fn groups(desk: &Desk) -> Vec<Vec<u64>> {
    let started = desk.given.values().filter(|(_, a)| !a.group.is_empty());
    let sector = |id: &sp_types::AttemptId| desk.given.get(id).map(|(_, a)| a.sector);
    let groups: BTreeSet<Vec<u64>> = started.map(|(_, a)| a.group.iter().filter_map(sector).collect()).collect();
    groups.into_iter().collect()
}

#[test]
fn a_worker_that_says_nothing_of_streams_starts_each_at_once() {
    for streams in [0, 1] {
        let mut desk = desk(2, streams);
        assert_eq!(desk.news(), ["PC1 0 on a", "PC1 1 on a"]);
        assert!(desk.given.values().all(|(_, a)| !a.hold && a.group.is_empty()));
    }
}

#[test]
fn a_group_starts_as_one_when_it_is_full() {
    let mut desk = desk(5, 2);
    assert!(desk.news().is_empty());
    assert!(desk.given.values().all(|(_, a)| a.hold));
    desk.report(PC1, 0, Phase::Preparing);
    desk.report(PC1, 3, Phase::Prepared);
    desk.now += 1;
    assert!(desk.news().is_empty());
    assert!(desk.why(3).contains("waits for its group: 1 of 2 are there, starts with what is there in 60 s"));
    desk.report(PC1, 0, Phase::Prepared);
    assert_eq!(desk.news(), ["PC1 3 on a", "PC1 0 on a"]);
    assert_eq!(groups(&desk), [[3, 0]]);
    for sector in [1, 2, 4] {
        desk.report(PC1, sector, Phase::Prepared);
    }
    assert_eq!(groups(&desk), [[1, 2], [3, 0]]);
    assert_eq!(desk.news().len(), 2, "the fifth waits for a sixth");
}

#[test]
fn what_is_there_starts_when_the_time_to_fill_is_over() {
    let mut desk = desk(1, 4);
    desk.pass(30 * SECOND, &["a"]);
    // It counts from the moment at which the first one could have started.
    desk.report(PC1, 0, Phase::Prepared);
    desk.wait(59 * SECOND);
    assert!(desk.news().is_empty());
    desk.wait(2 * SECOND);
    assert_eq!((desk.news(), groups(&desk)), (vec!["PC1 0 on a".to_owned()], vec![vec![0]]));
}

#[test]
fn one_that_still_fetches_holds_nobody_up() {
    let mut desk = desk(3, 3);
    desk.report(PC1, 0, Phase::Prepared);
    desk.report(PC1, 1, Phase::Prepared);
    desk.wait(61 * SECOND);
    assert_eq!(groups(&desk), [[0, 1]]);
    desk.report(PC1, 2, Phase::Prepared);
    desk.wait(61 * SECOND);
    assert_eq!(groups(&desk), [vec![0, 1], vec![2]]);
}

#[test]
fn sectors_of_different_proof_types_never_share_a_group() {
    let other = RegisteredSealProof { size: SIZE, feature: SealFeature::Synthetic };
    let mut desk = desk_with(4, 2, large(), |s| {
        if s.number % 2 == 1 {
            s.seal_proof = other;
        }
    });
    for sector in [0, 1] {
        desk.report(PC1, sector, Phase::Prepared);
    }
    assert!(groups(&desk).is_empty());
    for sector in [2, 3] {
        desk.report(PC1, sector, Phase::Prepared);
    }
    assert_eq!(groups(&desk), [[0, 2], [1, 3]]);
}

#[test]
fn a_group_takes_no_more_room_than_there_is() {
    // Two of 56 GiB fit 128 GiB; the third is not even brought ahead: its file is here already.
    let mut desk = desk_with(4, 4, lotus_machine(), |_| {});
    assert_eq!(desk.given.len(), 2);
    assert!(desk.why(2).contains("needs 56.01 GiB of memory, 16 GiB of 128 GiB free"), "{}", desk.why(2));
    for sector in [0, 1] {
        desk.report(PC1, sector, Phase::Prepared);
    }
    desk.wait(61 * SECOND);
    assert_eq!(groups(&desk), [[0, 1]]);
    desk.finish(PC1, 0, 0, 1);
    desk.report(PC1, 2, Phase::Prepared);
    desk.wait(61 * SECOND);
    assert_eq!(groups(&desk).last().unwrap(), &[2]);
}

#[test]
fn a_group_survives_a_restart_of_the_scheduler() {
    let mut desk = desk(3, 2);
    desk.report(PC1, 0, Phase::Prepared);
    let held: Vec<_> = desk.given.keys().copied().collect();
    desk.restart();
    desk.join_with("a", &[PC1], large(), ResourceTable::default(), |r| (r.pc1_streams, r.held) = (2, held));
    desk.index(&["a"], &[(0, "a"), (1, "a"), (2, "a")]);
    desk.report(PC1, 0, Phase::Prepared);
    desk.report(PC1, 1, Phase::Prepared);
    assert_eq!(groups(&desk), [[0, 1]]);
    // The word is said again, group and all, if it was lost.
    let attempt = desk.attempt(PC1, 0);
    desk.given.get_mut(&attempt).unwrap().1.group.clear();
    desk.report(PC1, 0, Phase::Prepared);
    assert_eq!(desk.given[&attempt].1.group.len(), 2);
}

#[test]
fn a_member_that_ends_gives_its_room_back_and_the_others_go_on() {
    let mut desk = desk_with(3, 2, lotus_machine(), |_| {});
    desk.report(PC1, 0, Phase::Prepared);
    let attempt = desk.attempt(PC1, 0);
    desk.ask(Request::Abort { id: attempt.to_string(), reason: String::new() });
    for sector in [0, 1, 2] {
        if desk.given.values().any(|(_, a)| a.sector == sector) {
            desk.report(PC1, sector, Phase::Prepared);
        }
    }
    desk.wait(61 * SECOND);
    assert_eq!(groups(&desk).concat().len(), 2, "{:?}", groups(&desk));
}

#[derive(Debug, Clone)]
enum Happening {
    Ready(usize),
    Finish(usize),
    Wait(u64),
    Gone,
    Back,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        5 => (0usize..12).prop_map(Happening::Ready),
        2 => (0usize..12).prop_map(Happening::Finish),
        2 => (1u64..40).prop_map(|s| Happening::Wait(s * SECOND)),
        1 => Just(Happening::Gone),
        1 => Just(Happening::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_there_starts_in_time_and_no_group_is_too_large(
        streams in 2u32..5,
        happenings in prop::collection::vec(happening(), 1..50),
    ) {
        let mut desk = desk_with(12, streams, HostCapacity { memory_bytes: 360 * GIB, ..large() }, |_| {});
        let mut there = true;
        for happening in happenings {
            let waiting: Vec<u64> = desk.given.values().filter(|(_, a)| a.group.is_empty()).map(|(_, a)| a.sector).collect();
            let started: Vec<u64> = desk.given.values().filter(|(_, a)| !a.group.is_empty()).map(|(_, a)| a.sector).collect();
            match happening {
                Happening::Ready(at) if there && at < waiting.len() => desk.report(PC1, waiting[at], Phase::Prepared),
                Happening::Finish(at) if there && at < started.len() => desk.finish(PC1, started[at], 0, 1),
                Happening::Wait(ms) if there => desk.wait(ms),
                Happening::Gone if there => {
                    there = false;
                    desk.pass(20 * SECOND, &[]);
                }
                Happening::Back if !there => {
                    there = true;
                    desk.pass(SECOND, &["a"]);
                }
                _ => {}
            }
            let sizes = groups(&desk).iter().map(Vec::len).max().unwrap_or(0);
            prop_assert!(sizes <= streams as usize);
            prop_assert!(desk.given.len() <= 6, "six of 56 GiB fit 360 GiB");
        }
        // Everybody is there: after the time to fill nothing waits any more but for room.
        if !there {
            desk.pass(SECOND, &["a"]);
        }
        let waiting: Vec<u64> = desk.given.values().filter(|(_, a)| a.group.is_empty()).map(|(_, a)| a.sector).collect();
        for sector in waiting {
            if desk.given.values().any(|(_, a)| a.sector == sector && a.group.is_empty()) {
                desk.report(PC1, sector, Phase::Prepared);
            }
        }
        desk.wait(61 * SECOND);
        let jobs = desk.core.jobs(UnixMs(desk.now));
        let ready = desk.given.values().filter(|(_, a)| a.group.is_empty()).count();
        prop_assert_eq!(ready, 0, "{:?}", jobs);
    }
}
