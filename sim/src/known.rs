//! Defects of the production crates that the simulation has found and that are not mended yet, each with a seed that shows
//! it. They are counted or kept away, so that others are seen; with `make sim ALL=1` they fail like any other.
// Reads the environment of a developer's shell.
#![allow(clippy::disallowed_methods)]

use std::sync::OnceLock;

use sp_invariants::Law;

use crate::cast::SCHEDULER;

/// `sp-sched-core/src/account.rs`: after a restart what runs on a worker that has not registered yet is counted with
/// the threads of a machine without cores, so PC2 counts for none. Seed 3.
const UNREGISTERED: &str = "restart forgets the cores of absent workers";

/// `sp-worker/src/attempt/drive.rs`, `publish`, with `sp-sectors/src/store/publish.rs`: what PC2 or FIN publishes takes the
/// place of what it was made from before its result counts. When the attempt is ended in between (an abort, a verdict on its host), the
/// files that count are gone, and after 30 minutes of waiting for them the sector goes back to PC1. Seeds 12, 51 and 169.
pub const REPLACED: &str = "an ended attempt has replaced its input";

/// How long workers may need to come back after the scheduler has started.
const REGISTERED_WITHIN_MS: u64 = 40_000;

/// Is every defect to show?
fn all() -> bool {
    static ALL: OnceLock<bool> = OnceLock::new();
    *ALL.get_or_init(|| std::env::var_os("SIM_ALL").is_some_and(|text| !text.is_empty()))
}

/// The known defect behind a breach, so long after the scheduler's last start.
pub fn excuse(law: Option<Law>, since_start_ms: u64) -> Option<&'static str> {
    let unregistered = law == Some(Law::L4) && since_start_ms < REGISTERED_WITHIN_MS;
    (unregistered && !all()).then_some(UNREGISTERED)
}

/// May a file that counts be missing where an ended attempt has published another?
pub fn input_may_be_replaced() -> Option<&'static str> {
    (!all()).then_some(REPLACED)
}

/// `sp-sched-core`: times of tasks are wall-clock times (`not_before`, `created`), and a scheduler that starts after
/// its clock was set back by hours waits for hours before it gives a task away again. Seed 16.
pub fn clock_may_go_back(machine: &str) -> bool {
    machine != SCHEDULER || all()
}

/// `sp-worker/src/node.rs`, `forget`: when the disk refuses once, the work directory of an attempt that is over stays
/// until the worker starts again. Seed 77.
pub fn leftovers_may_stay(disk_has_refused: bool) -> bool {
    disk_has_refused && !all()
}
