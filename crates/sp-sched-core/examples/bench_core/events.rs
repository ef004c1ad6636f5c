//! What handling one event costs in a cluster whose workers are full and whose queue is long.

use crate::clock::Cost;
use crate::dice::Dice;
use crate::figures::{Line, Promise, Table, percentile};
use crate::fleet::{TASKS, large_fleet};
use crate::options::Options;
use crate::plan::{filling, mixed};
use crate::world::{Kind, World};

/// Every worker renews this often.
const HEARTBEAT_MS: u64 = 2_000;

/// The promise on one event, microseconds.
const EVENT_US: f64 = 1_000.0;

/// Kinds that carry the promise, with their names in the tables.
pub(crate) const PROMISED: [(Kind, &str); 4] = [
    (Kind::NewTask, "new task"),
    (Kind::Heartbeat, "heartbeat"),
    (Kind::LiveFigures, "heartbeat with other figures"),
    (Kind::Result, "result"),
];

const OTHERS: [(Kind, &str); 5] = [
    (Kind::Granted, "reservation granted"),
    (Kind::Fact, "fact of the index"),
    (Kind::Verdict, "verdict on a proof"),
    (Kind::Chain, "answer of the chain"),
    (Kind::Wake, "wake-up"),
];

/// A cluster with every worker full, so many tasks waiting besides, and time going on.
pub(crate) struct Steady {
    world: World,
    workers: usize,
    turn: usize,
    /// What each worker last said of the memory that others use.
    used_bytes: Vec<u64>,
}

impl Steady {
    /// Builds it and has everything placed that can be.
    pub(crate) fn new(workers: usize, queue: usize) -> Self {
        let mut plan = filling(workers);
        plan.extend(mixed(queue, workers, &mut Dice::new(7)));
        Self { world: World::full(large_fleet(workers), plan), workers, turn: 0, used_bytes: vec![0; workers] }
    }

    /// Tasks that wait, of the plan.
    pub(crate) fn queued(&self) -> usize {
        self.world.queued()
    }

    /// So many heartbeats, with a result and a new task for every fourth; every step's cost.
    pub(crate) fn run(&mut self, heartbeats: usize) -> Vec<(Kind, Cost)> {
        for _ in 0..heartbeats {
            self.turn += 1;
            let worker = self.turn % self.workers;
            self.world.advance((HEARTBEAT_MS / self.workers as u64).max(1));
            self.heartbeat(worker);
            // As many new tasks as results: the queue keeps its length.
            if self.turn.is_multiple_of(4) {
                let result = self.turn / 4;
                self.world.finish((result * 7) % self.workers, TASKS[result % TASKS.len()]);
                self.world.ask_for_sector();
            }
            self.world.settle();
        }
        std::mem::take(&mut self.world.log)
    }

    /// Half of the heartbeats bring other figures than the last one: the memory that other programs use.
    fn heartbeat(&mut self, worker: usize) {
        let changed = (worker + self.turn / self.workers).is_multiple_of(2);
        if changed {
            self.used_bytes[worker] = (self.used_bytes[worker] + (1 << 30)) % (64 << 30);
        }
        let kind = if changed { Kind::LiveFigures } else { Kind::Heartbeat };
        let mut capacity = self.world.capacity(worker);
        capacity.memory_used_bytes = self.used_bytes[worker];
        self.world.renew(worker, kind, capacity);
    }
}

/// The costs of one kind, microseconds on the processor or on the wall.
pub(crate) fn of_kind(log: &[(Kind, Cost)], kind: Kind, us: impl Fn(Cost) -> f64) -> Vec<f64> {
    log.iter().filter(|(k, _)| *k == kind).map(|(_, cost)| us(*cost)).collect()
}

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) {
    let mut steady = Steady::new(options.workers, options.queue);
    table.heading(&format!(
        "one event; {} full workers of 128 cores and 8 GPUs, {} tasks wait; time on the processor",
        options.workers,
        steady.queued()
    ));
    // The first run warms caches and is thrown away.
    drop(steady.run(options.heartbeats));
    steady.world.results.clear();
    let runs: Vec<_> = (0..options.runs).map(|_| steady.run(options.heartbeats)).collect();
    for (kind, name) in PROMISED.into_iter().chain(OTHERS) {
        show(table, &runs, kind, name);
    }
    // Where the slow ones come from, if there are any.
    for task in TASKS {
        let of_task = |(kind, cost): &(_, Cost)| (*kind == task).then(|| cost.cpu_us());
        let mut costs: Vec<f64> = steady.world.results.iter().filter_map(of_task).collect();
        let (p50, worst) = (percentile(&mut costs, 0.5), percentile(&mut costs, 1.0));
        println!("    results of {task}: p50 {p50:.0} us, worst {worst:.0} us of {}", costs.len());
    }
}

fn show(table: &mut Table, runs: &[Vec<(Kind, Cost)>], kind: Kind, name: &str) {
    let counts: Vec<usize> = runs.iter().map(|log| of_kind(log, kind, Cost::cpu_us).len()).collect();
    if counts.contains(&0) {
        println!("{name}: too few events");
        return;
    }
    let each = |of: &dyn Fn(&mut Vec<f64>) -> f64, us: &dyn Fn(Cost) -> f64| -> Vec<f64> {
        runs.iter().map(|log| of(&mut of_kind(log, kind, us))).collect()
    };
    let (cpu, wall) = (|c: Cost| c.cpu_us(), |c: Cost| c.wall_us());
    let promised = PROMISED.iter().any(|(k, _)| *k == kind);
    let p99_wall = Line::new("", "", each(&|v| percentile(v, 0.99), &wall)).median();
    let note = format!("({} a run; p99 on the wall {p99_wall:.0})", counts[0]);
    let p99 = Line::new(format!("{name}, p99"), "us", each(&|v| percentile(v, 0.99), &cpu)).note(note);
    table.show(Line::new(format!("{name}, p50"), "us", each(&|v| percentile(v, 0.5), &cpu)));
    table.show(if promised { p99.promised(Promise::AtMost(EVENT_US)) } else { p99 });
    table.show(Line::new(format!("{name}, max"), "us", each(&|v| percentile(v, 1.0), &cpu)));
}
