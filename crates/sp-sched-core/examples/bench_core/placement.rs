//! Placements per second when capacity appears: workers register, workers become free, the index comes back.

use crate::clock::Cost;
use crate::dice::Dice;
use crate::figures::{Line, Promise, Table};
use crate::fleet::{Site, large_fleet};
use crate::options::Options;
use crate::plan::{filling, mixed};
use crate::world::{Kind, World};

/// The promise, placements per second.
const PER_SECOND: f64 = 50_000.0;

/// One wave of placements: how many, what deciding took, what granting took besides.
struct Wave {
    placed: usize,
    deciding: Cost,
    granting: Cost,
    longest: f64,
}

impl Wave {
    /// Lets the core end, hands in what the index answers, and sums up.
    fn end(mut world: World, before: usize, deciding: Cost) -> Self {
        let deciding = [deciding, world.let_it_end()].into_iter().sum();
        let longest = world.log.iter().map(|(_, cost)| cost.cpu.as_secs_f64() * 1e3).fold(0.0, f64::max);
        let placed = world.placed - before;
        world.log.clear();
        world.settle();
        let granting = world.log.iter().filter(|(kind, _)| *kind == Kind::Granted).map(|(_, cost)| *cost).sum();
        Self { placed, deciding, granting, longest }
    }
}

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) {
    let workers = options.workers;
    let mut plan = filling(workers);
    plan.extend(mixed(options.queue, workers, &mut Dice::new(7)));
    let tasks = plan.len();
    table
        .heading(&format!("placements when capacity appears; {workers} workers, {tasks} tasks; time on the processor"));
    let away = World::new(large_fleet(workers), plan);
    let mut ready = away.clone();
    ready.connect_index();
    ready.log.clear();
    // Everybody is there, but with so little memory that nothing fits, not even when nothing else runs.
    let mut busy = ready.clone();
    busy.register_all(|site| sp_types::HostCapacity { memory_bytes: 1 << 10, ..site.capacity.clone() });
    busy.settle();
    let waves = |wave: &dyn Fn() -> Wave| -> Vec<Wave> { (0..options.runs).map(|_| wave()).collect() };
    let promised = Some(Promise::AtLeast(PER_SECOND));
    show(table, "workers register one by one", promised, waves(&|| register(ready.clone())));
    show(table, "heartbeats tell of more memory", promised, waves(&|| free(busy.clone(), workers)));
    // No capacity appears here: whatever is known of every file is new, so every task and sector is looked at.
    show(table, "the index is back, one event", None, waves(&|| index_back(away.clone())));
}

fn register(mut world: World) -> Wave {
    let before = world.placed;
    let deciding = world.register_all(|site: &Site| site.capacity.clone());
    Wave::end(world, before, deciding)
}

fn free(mut world: World, workers: usize) -> Wave {
    let before = world.placed;
    world.log.clear();
    let renew = |worker| {
        let capacity = world.capacity(worker);
        world.renew(worker, Kind::LiveFigures, capacity)
    };
    let deciding = (0..workers).map(renew).sum();
    Wave::end(world, before, deciding)
}

fn index_back(mut world: World) -> Wave {
    world.register_all(|site| site.capacity.clone());
    let before = world.placed;
    let deciding = world.connect_index();
    world.log.clear();
    world.log.push((Kind::Other, deciding));
    Wave::end(world, before, deciding)
}

fn show(table: &mut Table, name: &str, promised: Option<Promise>, waves: Vec<Wave>) {
    let per_second = |wave: &Wave, cost: Cost| wave.placed as f64 / cost.cpu.as_secs_f64();
    let decided = waves.iter().map(|w| per_second(w, w.deciding)).collect();
    let granted = waves.iter().map(|w| per_second(w, [w.deciding, w.granting].into_iter().sum())).collect();
    let placed = waves.iter().map(|w| w.placed).min().unwrap_or(0);
    let line = Line::new(format!("{name}: decided"), "/s", decided).note(format!("({placed} placed)"));
    table.show(match promised {
        Some(promise) => line.promised(promise),
        None => line,
    });
    table.show(Line::new(format!("{name}: decided, granted and assigned"), "/s", granted));
    table.show(Line::new(format!("{name}: longest event"), "ms", waves.iter().map(|w| w.longest).collect()));
}
