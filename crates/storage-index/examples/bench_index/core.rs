//! The core alone: memory, and what questions cost.

use std::error::Error;

use storage_index::bench::Bare;

use crate::clock::{Cost, timed};
use crate::figures::{Line, Promise, Table, percentile};
use crate::heap;
use crate::options::Options;
use crate::plan::{DECLARED_AT_ONCE, Dice, Plan, SECTOR_SIZE, replicas_on, sector, store_id, worker_id};

/// The promises.
const BYTES_PER_SECTOR: f64 = 400.0;
const FIND_US: f64 = 1_000.0;
const ALLOC_US: f64 = 2_000.0;

/// A question and its answer's length.
type Ask = fn(&Bare, u64) -> usize;

/// Stores that a caller looks at: the first one that it can use is among them.
const LIMIT: usize = 16;

const QUESTIONS: [(&str, Ask, Option<f64>); 5] = [
    ("find", |bare, number| bare.find(sector(number)), Some(FIND_US)),
    ("find, 16 to fetch to", |bare, number| bare.find_to_fetch(sector(number), SECTOR_SIZE, LIMIT), Some(FIND_US)),
    ("find, all to fetch to", |bare, number| bare.find_to_fetch(sector(number), SECTOR_SIZE, usize::MAX), None),
    ("best allocation, the first 16", |bare, _| bare.best_alloc(SECTOR_SIZE, LIMIT), Some(ALLOC_US)),
    ("best allocation, all paths in order", |bare, _| bare.best_alloc(SECTOR_SIZE, usize::MAX), None),
];

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let Options { stores, sectors, .. } = *options;
    table.heading(&format!("the core alone, {stores} paths, {sectors} sectors with sealed and cache each"));
    let (heap, resident) = (heap::live(), heap::resident());
    let (bare, cost) = timed(|| filled(Plan { stores, sectors }));
    let each = |bytes: i64| vec![bytes as f64 / sectors as f64];
    let (heap, resident) = (each(heap::live() - heap), each(heap::resident() - resident));
    let empty = heap_of(Plan { stores, sectors: 0 }) as f64 / stores as f64;
    let own = Line::new("heap of a sector (two replicas), its part of the paths in", "bytes", heap);
    table.show(own.promised(Promise::AtMost(BYTES_PER_SECTOR)).note("(one run: the count is exact)"));
    let all = Line::new("resident memory of a sector", "bytes", resident);
    table.show(all.promised(Promise::AtMost(BYTES_PER_SECTOR)));
    table.show(Line::new("heap of a path with its worker, without sectors", "bytes", vec![empty]));
    table.show(Line::new("sectors taken in by the core alone", "1/s", vec![sectors as f64 / cost.wall.as_secs_f64()]));
    for (name, ask, promised) in QUESTIONS {
        show(options, table, name, ask, promised, &bare);
    }
    let mut bare = bare;
    let ticks = (0..options.questions).map(|_| timed(|| bare.tick(1)).1.cpu_us()).collect::<Vec<_>>();
    table.show(Line::new("a tick, p99", "us", vec![percentile(&mut ticks.clone(), 0.99)]));
    Ok(())
}

fn show(options: &Options, table: &mut Table, name: &str, ask: Ask, promised: Option<f64>, bare: &Bare) {
    let runs: Vec<Vec<Cost>> = (0..=options.runs).map(|run| asked(options, bare, ask, run as u64)).collect();
    let each = |part: f64, us: fn(Cost) -> f64| -> Vec<f64> {
        // The first run warms caches and is thrown away.
        let of_run = |run: &Vec<Cost>| percentile(&mut run.iter().map(|cost| us(*cost)).collect::<Vec<_>>(), part);
        runs[1..].iter().map(of_run).collect()
    };
    table.show(Line::new(format!("{name}, p50 on the processor"), "us", each(0.5, Cost::cpu_us)));
    let p99 = Line::new(format!("{name}, p99 on the processor"), "us", each(0.99, Cost::cpu_us));
    let wall = Line::new("", "", each(0.99, Cost::wall_us)).median();
    let p99 = p99.note(format!("(p99 on the wall {wall:.0})"));
    table.show(match promised {
        Some(most) => p99.promised(Promise::AtMost(most)),
        None => p99,
    });
}

fn asked(options: &Options, bare: &Bare, ask: Ask, run: u64) -> Vec<Cost> {
    let mut dice = Dice::new(run + 1);
    let one = |_| {
        let number = dice.below(options.sectors);
        let (found, cost) = timed(|| ask(bare, number));
        assert!(found > 0, "sector {number} is not found");
        cost
    };
    (0..options.questions).map(one).collect()
}

/// How finding grows with sectors, and with paths.
pub(crate) fn growth(options: &Options, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let Options { stores, sectors, .. } = *options;
    table.heading("growth of find in the core alone; time on the processor");
    let fewer = Plan { stores, sectors: (sectors / 10).max(1) };
    let narrow = Plan { stores: (stores / 10).max(1), sectors };
    let most = Plan { stores, sectors };
    let [few, slim, all] = [fewer, narrow, most].map(|plan| mean_find(options, plan));
    for (plan, means) in [(fewer, &few), (narrow, &slim), (most, &all)] {
        let what = format!("find, {} paths, {} sectors, mean", plan.stores, plan.sectors);
        table.show(Line::new(what, "us", means.clone()));
    }
    let ratio = |a: &[f64], b: &[f64]| Line::new("", "", a.to_vec()).median() / Line::new("", "", b.to_vec()).median();
    // No promise here: where it takes a microsecond, it is the size of the processor's caches that is measured.
    table.show(Line::new("find in the core, 10 x sectors", "x", vec![ratio(&all, &few)]));
    table.show(Line::new("find in the core, 10 x paths", "x", vec![ratio(&all, &slim)]));
    Ok(())
}

/// Means of many questions asked together: one alone is shorter than the clock's own cost.
fn mean_find(options: &Options, plan: Plan) -> Vec<f64> {
    let bare = filled(plan);
    let asked = options.questions * 10;
    let run = |run: usize| {
        let mut dice = Dice::new(run as u64 + 1);
        let numbers: Vec<u64> = (0..asked).map(|_| dice.below(plan.sectors)).collect();
        let (found, cost) = timed(|| numbers.iter().map(|number| bare.find(sector(*number))).sum::<usize>());
        assert_eq!(found, asked * 2, "every sector is found whole");
        cost.cpu_us() / asked as f64
    };
    (0..=options.runs).map(run).skip(1).collect()
}

fn heap_of(plan: Plan) -> i64 {
    let before = heap::live();
    let bare = filled(plan);
    let held = heap::live() - before;
    drop(bare);
    held
}

/// A core in which every worker has declared everything.
fn filled(plan: Plan) -> Bare {
    let mut bare = Bare::default();
    for worker in 0..plan.workers() {
        bare.connect(worker as u64, worker_id(worker));
        for store in plan.stores_of(worker) {
            bare.attach(worker as u64, store_id(store), 1 + store as u64 % 10, (64 + store as u64 % 50) << 40);
            let mut replicas = replicas_on(plan, store).peekable();
            while replicas.peek().is_some() {
                bare.declare(worker as u64, replicas.by_ref().take(DECLARED_AT_ONCE).collect());
            }
            bare.declare_end(worker as u64, store_id(store));
        }
    }
    assert_eq!(bare.replicas(), plan.sectors as u64 * 2, "everything is taken in");
    bare
}
