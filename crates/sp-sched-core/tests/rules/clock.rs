//! A clock that was set back before a restart: what waited for seconds does not wait for hours.

use sp_sched_core::event::Failure;
use sp_sched_core::model::UnixMs;
use sp_types::SectorState::{Committing1, PreCommit1};
use sp_types::{ErrorCode, SectorState, TaskKind};

use crate::desk::{Desk, lotus_machine};

const PC1: TaskKind = TaskKind::PreCommit1;

#[test]
fn a_clock_set_back_before_a_restart_makes_nothing_wait_for_hours() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1]);
    desk.pass(4 * 3_600_000, &[]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &[(0, "a")]);
    assert_eq!(desk.news(), ["PC1 0 on a"]);
    desk.fail(PC1, 0, Failure { code: ErrorCode::ExecutorFailed, message: "died".to_owned() });
    desk.now = 1_000;
    desk.restart();
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &[(0, "a")]);
    // The longest wait after a failure, and the minute in which others would go first.
    desk.pass(5 * 60_000 + 70_000, &["a"]);
    assert_eq!(desk.news(), ["PC1 0 on a"]);
}

#[test]
fn a_clock_set_back_before_a_restart_makes_no_sector_in_trouble_wait_for_hours() {
    let waits = [
        (SectorState::SealPreCommit1Failed, Some(PreCommit1), 5 * 60_000),
        (SectorState::ComputeProofFailed, Some(Committing1), 5 * 60_000),
        (SectorState::RemoveFailed, None, 30 * 60_000),
    ];
    for (state, resume, longest_ms) in waits {
        let mut desk = Desk::new(|_| {}, &[PreCommit1]);
        desk.pass(4 * 3_600_000, &[]);
        desk.now = 1_000;
        desk.change_sector(0, |sector| {
            sector.state = state;
            (sector.trouble.resume, sector.trouble.retry_at) = (resume, Some(UnixMs(4 * 3_600_000)));
        });
        desk.restart();
        desk.pass(longest_ms, &[]);
        assert_ne!(desk.core.sector(0).map(|sector| sector.state), Some(state), "{state}");
    }
}
