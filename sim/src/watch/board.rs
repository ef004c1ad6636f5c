//! Who computes where at this moment, added up by machine against what the machine has (law L4).

use std::collections::BTreeMap;

use sp_invariants::{HostUse, fits_host};
use sp_types::{AttemptId, HostCapacity, ResourceRow, TaskKind};

use super::Watch;

/// An executor at work.
#[derive(Debug, Clone)]
pub struct Running {
    /// Machine.
    pub machine: &'static str,
    /// What the machine has.
    pub capacity: HostCapacity,
    /// Worker.
    pub worker: &'static str,
    /// Attempt.
    pub attempt: AttemptId,
    /// Task.
    pub task: TaskKind,
    /// What it takes.
    pub row: ResourceRow,
}

/// A place at work; given back when it is dropped, as by a kill of the worker.
pub struct Seat {
    watch: Watch,
    number: u64,
}

#[derive(Default)]
pub(super) struct Board {
    running: BTreeMap<u64, Running>,
    last: u64,
    pub(super) crowded: u64,
}

impl Seat {
    pub(super) fn new(watch: Watch, number: u64) -> Self {
        Self { watch, number }
    }

    /// Its executor ends by itself. A kill drops the seats of a worker in any order, so it says nothing.
    pub fn leave(self) {
        let mut inner = self.watch.inner();
        if let Some(Running { worker, task, attempt, .. }) = inner.board.running.get(&self.number).cloned() {
            inner.note(&format!("{worker} ends {task} of {attempt}"));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.watch.inner().board.running.remove(&self.number);
    }
}

impl Board {
    /// Enters an executor. Only those whose attempts have not ended can be laid at the scheduler's door.
    pub(super) fn start(&mut self, new: Running, is_live: impl Fn(AttemptId) -> bool) -> (u64, Vec<String>) {
        self.last += 1;
        let (machine, capacity, row) = (new.machine, new.capacity.clone(), new.row);
        let (worker, task, live) = (new.worker, new.task, is_live(new.attempt));
        self.running.insert(self.last, new);
        let mut broken = Vec::new();
        let here = || self.running.values().filter(|r| r.machine == machine);
        let counted = || here().filter(|r| is_live(r.attempt));
        if live && !fits_host(sum(counted(), &capacity), &capacity) {
            broken.push(format!("{machine} with {capacity:?} runs {}", names(counted())));
        }
        let alike = counted().filter(|r| (r.worker, r.task) == (worker, task)).count();
        if live && row.max_concurrent > 0 && alike > row.max_concurrent as usize {
            broken.push(format!("{worker} runs {alike} {task}, its limit is {}", row.max_concurrent));
        }
        self.crowded += u64::from(!fits_host(sum(here(), &capacity), &capacity));
        (self.last, broken)
    }

    pub(super) fn is_used(&self, machine: &str) -> bool {
        self.running.values().any(|running| running.machine == machine)
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.running.values().map(|r| format!("{} of {} on {}", r.task, r.attempt, r.worker)).collect()
    }
}

fn names<'a>(running: impl Iterator<Item = &'a Running>) -> String {
    let names: Vec<String> = running.map(|r| format!("{} ({}, {})", r.task, r.attempt, r.worker)).collect();
    names.join(", ")
}

fn sum<'a>(running: impl Iterator<Item = &'a Running>, capacity: &HostCapacity) -> HostUse {
    running.fold(HostUse::default(), |used, one| HostUse {
        cpus: used.cpus + one.row.threads(capacity.cpus, capacity.usable_gpus().count()),
        memory_min_bytes: used.memory_min_bytes + one.row.min_memory_bytes,
        memory_max_bytes: used.memory_max_bytes + one.row.max_memory_bytes,
        gpus: used.gpus + one.row.gpu_utilization,
    })
}

#[cfg(test)]
mod tests {
    use sp_types::TaskId;

    use super::*;

    fn running(machine: &'static str, number: u32, cpus: i32) -> Running {
        let capacity = HostCapacity { cpus: 4, memory_bytes: 1 << 30, ..HostCapacity::default() };
        let row = ResourceRow { max_parallelism: cpus, ..ResourceRow::default() };
        let attempt = AttemptId { task: TaskId(1), number };
        Running { machine, capacity, worker: "worker", attempt, task: TaskKind::PreCommit1, row }
    }

    #[test]
    fn two_workers_of_one_machine_share_it_and_the_ended_do_not_count() {
        let mut board = Board::default();
        assert_eq!(board.start(running("one", 1, 3), |_| true).1, Vec::<String>::new());
        assert_eq!(board.start(running("two", 2, 3), |_| true).1, Vec::<String>::new());
        assert_eq!(board.start(running("one", 3, 2), |_| true).1.len(), 1);
        board.running.clear();
        board.start(running("one", 1, 3), |_| true);
        assert_eq!(board.start(running("one", 2, 2), |a| a.number != 1).1, Vec::<String>::new());
        assert_eq!(board.crowded, 2);
    }
}
