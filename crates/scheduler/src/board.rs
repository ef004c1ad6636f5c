//! What the driver publishes of the core from time to time: for status while the driver itself does not answer, and for
//! metrics. Nobody who looks at it waits for anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use sp_env::Monotonic;
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::{JobView, WaitView, WorkerView};
use sp_sched_core::{Core, ResourceTables};
use sp_types::SectorState;
use tokio::sync::watch;

/// No board is younger than this when the next one is made ...
const INTERVAL_MS: u64 = 1_000;
/// ... and making them takes no more than one part of so many of the driver's time.
const SHARE: u64 = 50;
/// With more tasks than this a board lists no jobs.
const JOBS_MOST: usize = 5_000;
/// Why a task is not on a worker is asked so many times for a board: that takes some 10 ms.
const REASONS_MOST: usize = 50_000;

/// The core at one moment, everything up to then durable.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// When, on the driver's clock; none before the first one.
    pub(crate) at: Option<Monotonic>,
    /// Sectors by state.
    pub(crate) sectors: BTreeMap<SectorState, u32>,
    /// Every worker.
    pub(crate) workers: Vec<WorkerView>,
    /// Everything that waits, runs or returns; none when there are too many. Only the oldest in the queue have reasons.
    pub(crate) jobs: Option<Vec<JobView>>,
    /// What waits, and for what.
    pub(crate) waits: Vec<WaitView>,
    /// What tasks are accounted with.
    pub(crate) tables: ResourceTables,
}

/// Where readers find the newest board.
pub(crate) type BoardReader = watch::Receiver<Arc<Board>>;

/// Publishes boards, neither too often nor for too long.
pub(crate) struct Publisher {
    boards: watch::Sender<Arc<Board>>,
    due: Monotonic,
    changed: bool,
}

/// Sectors by state.
pub(crate) fn sector_states(core: &Core) -> BTreeMap<SectorState, u32> {
    let mut states = BTreeMap::new();
    core.sectors().for_each(|sector| *states.entry(sector.state).or_default() += 1);
    states
}

impl Board {
    fn new(core: &Core, at: Monotonic, now: UnixMs) -> Self {
        let workers = core.workers(now);
        let with_reasons = REASONS_MOST / workers.len().max(1);
        Self {
            at: Some(at),
            sectors: sector_states(core),
            workers,
            jobs: (core.task_count() <= JOBS_MOST).then(|| core.jobs_with_reasons(now, with_reasons)),
            waits: core.waits(),
            tables: core.resource_tables(),
        }
    }
}

impl Publisher {
    /// Nothing is published yet.
    pub(crate) fn new() -> (Self, BoardReader) {
        let (boards, reader) = watch::channel(Arc::default());
        (Self { boards, due: Monotonic(0), changed: true }, reader)
    }

    /// The core has changed.
    pub(crate) fn note_change(&mut self) {
        self.changed = true;
    }

    /// When the next board has to be made; none while nothing changes.
    pub(crate) fn due(&self) -> Option<Monotonic> {
        self.changed.then_some(self.due)
    }

    /// Publishes if it is time; `clock` gives the time before and after.
    pub(crate) fn publish(&mut self, core: &Core, now: UnixMs, clock: impl Fn() -> Monotonic) {
        let at = clock();
        if !self.changed || at < self.due {
            return;
        }
        self.changed = false;
        self.boards.send_replace(Arc::new(Board::new(core, at, now)));
        let after = clock();
        self.due = Monotonic(after.0 + INTERVAL_MS.max(after.since_ms(at) * SHARE));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use sp_sched_core::Config;
    use sp_sched_core::event::{Event, Request, RequestId};
    use sp_sched_core::model::Rows;
    use sp_types::SectorSize;

    use super::*;

    #[test]
    fn boards_are_made_when_something_changed_and_take_a_small_share() {
        let config = Config::new(1000, SectorSize::KiB2, [7; 32]);
        let (core, _) = Core::restore(config, Rows::default(), UnixMs(1));
        let (mut publisher, reader) = Publisher::new();
        let (time, step) = (Cell::new(10), Cell::new(0));
        let clock = || Monotonic(time.replace(time.get() + step.get()));
        let mut at = |ms: u64, took: u64| {
            time.set(ms);
            step.set(took);
            publisher.publish(&core, UnixMs(1), clock);
            publisher.note_change();
            (reader.borrow().at.map(|at| at.0), publisher.due().map(|due| due.0))
        };
        assert_eq!(at(10, 0), (Some(10), Some(1_010)));
        assert_eq!(at(500, 0), (Some(10), Some(1_010)), "too early");
        assert_eq!(at(1_010, 100), (Some(1_010), Some(1_110 + 100 * SHARE)));
        assert_eq!(publisher.due(), Some(Monotonic(1_110 + 100 * SHARE)));
        let (mut idle, _reader) = Publisher::new();
        idle.publish(&core, UnixMs(1), || Monotonic(0));
        assert_eq!(idle.due(), None, "nothing has changed since");
    }

    #[test]
    fn only_the_oldest_tasks_in_the_queue_are_asked_for_reasons() {
        let config = Config::new(1000, SectorSize::KiB2, [7; 32]);
        let (mut core, _) = Core::restore(config, Rows::default(), UnixMs(1));
        core.step(UnixMs(1), Event::Request(RequestId(1), Request::Pledge { count: 3, priority: None }));
        let told =
            |most| core.jobs_with_reasons(UnixMs(2), most).iter().map(|job| job.reasons.len()).collect::<Vec<_>>();
        assert_eq!((told(0), told(2), told(9)), (vec![0, 0, 0], vec![1, 1, 0], vec![1, 1, 1]));
        assert_eq!(Board::new(&core, Monotonic(1), UnixMs(2)).jobs, Some(core.jobs(UnixMs(2))));
    }
}
