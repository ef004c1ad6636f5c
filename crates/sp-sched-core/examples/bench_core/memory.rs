//! Heap bytes of a queued task: the core with so many tasks waiting, less the core without them.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

use crate::dice::Dice;
use crate::figures::{Line, Promise, Table};
use crate::fleet::large_fleet;
use crate::options::Options;
use crate::plan::{Planned, filling, mixed};
use crate::world::World;

/// Counts what is asked of the heap.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The promise, bytes.
const PER_TASK: f64 = 1_024.0;

/// Workers of this measurement: their number does not matter to a queued task, and the core must fit three times.
const WORKERS_MAX: usize = 100;

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) {
    let workers = options.workers.min(WORKERS_MAX);
    let queue = options.queue;
    table.heading(&format!("heap of the core, {queue} queued tasks"));
    let full = filling(workers);
    let waiting = mixed(queue, workers, &mut Dice::new(7));
    let idle = waiting.iter().map(|planned| Planned { idle: true, ..*planned });
    let each = |bytes: i64| bytes as f64 / queue as f64;

    let without = heap_of(workers, full.clone());
    let sectors = heap_of(workers, full.iter().copied().chain(idle).collect());
    let tasks = heap_of(workers, full.iter().chain(&waiting).copied().collect());
    let own =
        Line::new("a task in the queue, beside the same sectors without one", "bytes", vec![each(tasks - sectors)]);
    table.show(own.promised(Promise::AtMost(PER_TASK)));
    let all =
        Line::new("its sector, the index's facts of its files, and the task", "bytes", vec![each(tasks - without)]);
    table.show(all.note("(one run: the count is exact)"));
}

/// What the core alone holds once everything has been tried and placed.
fn heap_of(workers: usize, plan: Vec<Planned>) -> i64 {
    let before = live();
    let core = World::full(large_fleet(workers), plan).into_core();
    let held = live() - before;
    drop(core);
    held
}

fn live() -> i64 {
    let stats = HEAP.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}
