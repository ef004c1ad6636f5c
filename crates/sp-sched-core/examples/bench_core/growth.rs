//! How the cost of an event grows with the queue and with the workers: ten times as many of either may cost less than
//! twice as much.

use crate::clock::Cost;
use crate::events::{PROMISED, Steady, of_kind};
use crate::figures::{Line, Promise, Table, mean, percentile};
use crate::options::Options;
use crate::world::Kind;

/// The promise: the cost of an event at ten times the size, over that at the size.
const FACTOR: f64 = 2.0;

/// One point of the curve.
struct Point {
    name: String,
    /// Mean cost of each promised kind, microseconds, one value per run.
    means: Vec<(Kind, Vec<f64>)>,
    p99: Vec<(Kind, f64)>,
}

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) {
    // The middle of each curve lies where the other one has its own.
    let tenth = |n: usize| (n / 10).max(1);
    let (workers, queue) = (tenth(options.workers), tenth(options.queue));
    let queues = [tenth(queue), queue, options.queue];
    table.heading(&format!("growth with the queue, {workers} workers; time on the processor"));
    let sizes = queues.map(|tasks| (format!("{tasks} tasks"), Steady::new(workers, tasks)));
    show(table, "10 x queue", &points(options, sizes.into()));
    table.heading(&format!("growth with the workers, {queue} tasks wait; time on the processor"));
    let fleets = [tenth(workers), workers, options.workers];
    let sizes = fleets.map(|workers| (format!("{workers} workers"), Steady::new(workers, queue)));
    show(table, "10 x workers", &points(options, sizes.into()));
}

/// Runs of all sizes take turns, so that a slow minute of the machine is one of all of them.
fn points(options: &Options, mut sizes: Vec<(String, Steady)>) -> Vec<Point> {
    let mut logs: Vec<Vec<_>> = sizes.iter().map(|_| Vec::new()).collect();
    for run in 0..=options.runs {
        for ((_, steady), logs) in sizes.iter_mut().zip(&mut logs) {
            let log = steady.run(options.heartbeats);
            // The first run warms caches and is thrown away.
            if run > 0 {
                logs.push(log);
            }
        }
    }
    sizes.into_iter().zip(logs).map(|((name, _), logs)| point(name, logs)).collect()
}

fn point(name: String, runs: Vec<Vec<(Kind, Cost)>>) -> Point {
    let means =
        PROMISED.map(|(kind, _)| (kind, runs.iter().map(|log| mean(&of_kind(log, kind, Cost::cpu_us))).collect()));
    let all: Vec<_> = runs.into_iter().flatten().collect();
    let p99 = PROMISED.map(|(kind, _)| (kind, percentile(&mut of_kind(&all, kind, Cost::cpu_us), 0.99)));
    Point { name, means: means.into(), p99: p99.into() }
}

fn show(table: &mut Table, step: &str, points: &[Point]) {
    for (at, (_, name)) in PROMISED.iter().enumerate() {
        for point in points {
            let line = Line::new(format!("{name}, {}, mean", point.name), "us", point.means[at].1.clone());
            table.show(line.note(format!("(p99 {:.1})", point.p99[at].1)));
        }
        for pair in points.windows(2) {
            let what = format!("{name}, {step}: {} to {}", pair[0].name, pair[1].name);
            let (less, more) = (&pair[0].means[at].1, &pair[1].means[at].1);
            let ratios = less.iter().zip(more).map(|(less, more)| more / less).collect();
            table.show(Line::new(what, "x", ratios).promised(Promise::AtMost(FACTOR)));
        }
    }
}
