//! Whole weeks of proving and sealing, on the core alone: machines die and return, disks hang, provers lie, the scheduler
//! is killed, and no partition is missed that could have been proven.
// Helpers of tests may unwrap as tests do, and weeks are spread over threads.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::disallowed_methods)]

mod chain;
mod dice;
mod fleet;
mod judge;
mod plan;
mod shelf;
mod work;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use plan::{HOUR, Plan, SECOND};
use world::World;

/// What came of a week.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    partitions: u32,
    missed: u32,
    sealed: u32,
    worked_ms: u64,
    yields: u32,
    steps: u64,
}

impl World {
    fn score(&self) -> Score {
        Score {
            partitions: self.judge.partitions,
            missed: self.judge.missed,
            sealed: self.sealed,
            worked_ms: self.worked_ms,
            yields: self.yields,
            steps: self.steps,
        }
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs a week; of one that breaks L6, what happened around the first breach.
fn week(plan: Plan) -> Result<Score, String> {
    let world = World::new(plan.clone()).run();
    let Some(breach) = world.judge.breaches.first().copied() else { return Ok(world.score()) };
    let seed = plan.seed;
    let mut again = World::new(plan);
    let opening = breach.opening;
    again.judge.listens_to =
        Some(chain::time_of(opening.challenge) - 1_800 * SECOND..chain::time_of(opening.close) + 1);
    let log = again.run().judge.log.join("\n  ");
    Err(format!(
        "seed {seed}: partition {} of deadline {} (epochs {} to {}) was missed and could have been proven; \
         breaches in all: {}\n  {log}",
        breach.partition,
        opening.index,
        opening.open,
        opening.close,
        world.judge.breaches.len(),
    ))
}

/// Runs a week of each of so many seeds, on every core there is.
fn weeks<T: Send>(count: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let first = number("WEEKS_FIRST", 0);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < first + count);
        std::iter::from_fn(take).map(|seed| (seed, run(seed))).collect::<Vec<_>>()
    };
    let mut all: Vec<(u64, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_by_key(|(seed, _)| *seed);
    all.into_iter().map(|(_, what)| what).collect()
}

fn check(count: u64) {
    let results = weeks(count, |seed| week(Plan::new(seed)));
    let failures: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    let broken = failures.len();
    let shown: Vec<&str> = failures.into_iter().take(3).map(String::as_str).collect();
    assert!(broken == 0, "{broken} of {count} weeks; repeat with WEEKS_FIRST=SEED WEEKS=1\n{}", shown.join("\n"));
    let all: Vec<Score> = results.into_iter().flatten().collect();
    let sum = |of: fn(&Score) -> u64| all.iter().map(of).sum::<u64>();
    println!(
        "{} weeks: {} partitions, {} missed while nobody could prove them, {} sectors sealed, {} yields, {} steps",
        all.len(),
        sum(|s| s.partitions.into()),
        sum(|s| s.missed.into()),
        sum(|s| s.sealed.into()),
        sum(|s| s.yields.into()),
        sum(|s| s.steps),
    );
}

#[test]
fn a_quiet_week_misses_nothing_and_repeats_itself() {
    let run = || World::new(Plan::new(1).quiet()).run();
    let (one, two) = (run(), run());
    assert_eq!((one.judge.missed, one.judge.breaches.len()), (0, 0));
    assert!(one.judge.partitions > 300 && one.sealed > 10, "{:?}", one.score());
    assert_eq!(format!("{:?}", one.score()), format!("{:?}", two.score()), "L13");
}

/// Sealing on machines that prove besides, and the same with PoSt on machines of its own. What is compared is the time that
/// accepted tasks of sealing take, over all weeks together: it may be 5 % less.
fn compare(count: u64, kind: &str, plan: impl Fn(u64) -> Plan + Sync) -> f64 {
    let both = weeks(count, |seed| {
        let plan = plan(seed);
        (World::new(plan.clone()).run().score(), World::new(plan.apart()).run().score())
    });
    let sum = |of: fn(&(Score, Score)) -> u64| both.iter().map(of).sum::<u64>();
    let (shared, apart) = (sum(|(shared, _)| shared.worked_ms), sum(|(_, apart)| apart.worked_ms));
    let part = shared as f64 / apart as f64;
    println!(
        "{count} {kind} weeks: {:.1} % of the sealing that is done where nobody proves: {} of {} sectors, {} yields",
        part * 100.0,
        sum(|(shared, _)| shared.sealed.into()),
        sum(|(_, apart)| apart.sealed.into()),
        sum(|(shared, _)| shared.yields.into()),
    );
    part
}

#[test]
fn what_is_missed_while_everybody_is_there_is_found() {
    let mut world = World::new(Plan::new(1).quiet());
    world.chain.loses_proofs = true;
    let judge = world.run_for(6 * HOUR).judge;
    assert!(judge.partitions >= 11 && judge.missed == judge.partitions);
    // Where many had to be proven by few, the judge is not sure that there was room for all.
    assert!(!judge.breaches.is_empty());
}

#[test]
fn sealing_hardly_notices_that_its_machines_prove() {
    let part = compare(1, "quiet", |seed| Plan::new(seed).quiet());
    assert!(part >= 0.95, "{part}");
}

#[test]
#[ignore = "make test-long runs it"]
fn sealing_hardly_notices_that_its_machines_prove_in_many_weeks() {
    let part = compare(number("WEEKS", 100), "quiet", |seed| Plan::new(seed).quiet());
    assert!(part >= 0.95, "{part}");
    let part = compare(number("WEEKS", 100), "bad", Plan::new);
    assert!(part >= 0.85, "{part}");
}

#[test]
#[ignore = "make test-long runs it"]
fn nothing_is_missed_that_could_have_been_proven_in_many_weeks() {
    check(number("WEEKS", 1_000));
}

#[test]
fn nothing_is_missed_that_could_have_been_proven() {
    check(3);
}
