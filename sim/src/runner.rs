//! Many seeds: spread over the cores, counted, and reported so that any of them can be repeated.
// Threads, clocks and the standard output are the real ones here: this is outside of every simulation.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::scenario::{self, Report};

/// A seed that takes longer than this turns in circles: no simulated time passes any more.
const STUCK: Duration = Duration::from_secs(180);
/// How often a long run says how far it is.
const NEWS_EVERY: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which seeds to run, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// The seeds.
    pub seeds: Range<u64>,
    /// No seed is begun after this long.
    pub within: Option<Duration>,
    /// Threads; each runs one seed at a time.
    pub threads: usize,
    /// Show what every seed did.
    pub trace: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// First seed that was run.
    pub first: u64,
    /// Seeds run, all of them in one piece from the first.
    pub seeds: u64,
    /// Seeds asked for.
    pub wanted: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Seeds in which something was wrong, with what was.
    pub failed: BTreeMap<u64, String>,
    /// Simulated time.
    pub simulated_ms: u64,
    /// Real time.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
}

/// What the threads of a run share.
struct Shared<'a> {
    order: &'a Order,
    begun: Instant,
    next: AtomicU64,
    over: AtomicBool,
    totals: Mutex<Totals>,
    /// Of each thread: its seed and when that began.
    current: Vec<Mutex<Option<(u64, Instant)>>>,
}

/// Runs the seeds. Failures are printed as they come; a seed that never ends ends the process.
pub fn run(order: &Order) -> Totals {
    let wanted = order.seeds.end.saturating_sub(order.seeds.start);
    let shared = Shared {
        order,
        begun: Instant::now(),
        next: AtomicU64::new(order.seeds.start),
        over: AtomicBool::new(false),
        totals: Mutex::new(Totals { first: order.seeds.start, wanted, ..Totals::default() }),
        current: (0..order.threads).map(|_| Mutex::default()).collect(),
    };
    let before = cpu_time();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..order.threads)
            .map(|number| {
                let shared = &shared;
                scope.spawn(move || shared.work(number))
            })
            .collect();
        let watching = scope.spawn(|| shared.watch());
        for worker in workers {
            // A panic of a seed is caught in it; there is no other.
            let _ = worker.join();
        }
        shared.over.store(true, Ordering::SeqCst);
        let _ = watching.join();
    });
    let mut totals = shared.totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.wall = shared.begun.elapsed();
    totals.cpu = cpu_time().saturating_sub(before);
    totals
}

/// How to run one seed again and see everything.
pub fn repeat(seed: u64) -> String {
    format!("make sim FIRST={seed} SEEDS=1 TRACE=1 LOG=info")
}

impl Shared<'_> {
    fn work(&self, number: usize) {
        while let Some(seed) = self.take() {
            *lock(&self.current[number]) = Some((seed, Instant::now()));
            let outcome = catch_unwind(AssertUnwindSafe(|| scenario::run(seed)));
            *lock(&self.current[number]) = None;
            self.note(seed, outcome.unwrap_or_else(|panic| Err(format!("a panic: {}", text_of(&*panic)))));
        }
    }

    fn take(&self) -> Option<u64> {
        if self.order.within.is_some_and(|limit| self.begun.elapsed() >= limit) {
            return None;
        }
        let seed = self.next.fetch_add(1, Ordering::SeqCst);
        (seed < self.order.seeds.end).then_some(seed)
    }

    fn note(&self, seed: u64, outcome: Result<Report, String>) {
        let mut totals = lock(&self.totals);
        totals.seeds += 1;
        match outcome {
            Ok(report) => {
                totals.simulated_ms += report.took_ms;
                for (kind, count) in &report.faults {
                    *totals.faults.entry(kind).or_default() += count;
                }
                if self.order.trace {
                    println!("seed {seed}: {} ms\n{}", report.took_ms, report.trace);
                }
            }
            Err(complaint) => {
                println!("seed {seed} FAILED; again: {}\n{complaint}\n", repeat(seed));
                let first = complaint.lines().next().unwrap_or_default().to_owned();
                totals.failed.insert(seed, first);
            }
        }
    }

    /// Says how far the run is, and ends it when a seed turns in circles.
    fn watch(&self) {
        let mut told = Instant::now();
        while !self.over.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK_EVERY);
            let current: Vec<_> = self.current.iter().filter_map(|seed| *lock(seed)).collect();
            if let Some((seed, _)) = current.iter().find(|(_, since)| since.elapsed() > STUCK) {
                println!("seed {seed} FAILED: it does not end; again: {}", repeat(*seed));
                std::process::exit(1);
            }
            if told.elapsed() >= NEWS_EVERY {
                told = Instant::now();
                let next = self.next.load(Ordering::SeqCst).min(self.order.seeds.end);
                let done = current.iter().map(|(seed, _)| *seed).min().unwrap_or(next);
                let failed = lock(&self.totals).failed.len();
                eprintln!("sim: every seed below {done} is done, {failed} failed");
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = self.first + self.seeds;
        writeln!(f, "seeds            {} ({} to {})", self.seeds, self.first, next.saturating_sub(1))?;
        let mut kinds = String::new();
        for (kind, count) in &self.faults {
            write!(kinds, "\n  {kind:<22} {count:>8}")?;
        }
        writeln!(f, "faults           {}{kinds}", self.faults.values().sum::<u64>())?;
        writeln!(f, "violations       {}", self.failed.len())?;
        for (seed, what) in &self.failed {
            writeln!(f, "  {what}\n    again: {}", repeat(*seed))?;
        }
        let (simulated, cpu) = (self.simulated_ms as f64 / 1000.0, self.cpu.as_secs_f64());
        writeln!(f, "simulated        {simulated:.0} s, {:.0} times the processor's time", simulated / cpu)?;
        let (wall, rate) = (self.wall.as_secs_f64(), self.seeds as f64 / cpu * 60.0);
        write!(f, "took             {wall:.1} s, {cpu:.1} s of processor: {rate:.0} seeds per CPU-minute")?;
        if self.seeds < self.wanted {
            write!(f, "\nout of time; the rest: make sim FIRST={next} SEEDS={}", self.wanted - self.seeds)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".into())
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
