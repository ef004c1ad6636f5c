//! Many seeds: spread over the cores, counted, and reported so that any of them can be repeated.
//!
//! Every seed has a process of its own. tokio numbers its tasks over the whole process and drops them by that number when
//! a host crashes, so what ran before would change what a seed does; and a seed that aborts or never ends takes no other
//! along.
// Threads, clocks, processes and the standard output are the real ones here: this is outside of every simulation.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::io::Read;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::child::{self, Told};

/// A seed that takes longer than this turns in circles: no simulated time passes any more.
const STUCK: Duration = Duration::from_secs(180);
/// How often a long run says how far it is.
const NEWS_EVERY: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which seeds to run, and how.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// They are proving days.
    pub is_day: bool,
    /// The seeds.
    pub seeds: Range<u64>,
    /// No seed is begun after this long, once there were enough.
    pub within: Option<Duration>,
    /// Threads; each runs one seed at a time.
    pub threads: usize,
    /// Show what every seed did.
    pub trace: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// What was asked for.
    pub order: Order,
    /// Seeds run, all of them in one piece from the first.
    pub seeds: u64,
    /// Seeds asked for.
    pub wanted: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// What became of sectors, or of proofs, of seeds that came right.
    pub sectors: BTreeMap<String, u64>,
    /// Seeds in which something was wrong, with what was.
    pub failed: BTreeMap<u64, String>,
    /// Times that more ran on a machine than fits, attempts that had ended among it.
    pub crowded: u64,
    /// Simulated time.
    pub simulated_ms: u64,
    /// Real time.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
}

/// A limit of time cuts no run short of so many seeds: fewer say nothing ...
const SEEDS_MIN: u64 = 100;
/// ... or of so many days, each of which has many deadlines.
const DAYS_MIN: u64 = 5;

/// What the threads of a run share.
struct Shared<'a> {
    order: &'a Order,
    begun: Instant,
    next: AtomicU64,
    over: AtomicBool,
    totals: Mutex<Totals>,
    /// Of each thread: its seed.
    current: Vec<Mutex<Option<Current>>>,
}

/// A seed that runs.
struct Current {
    seed: u64,
    since: Instant,
    process: Child,
}

/// Runs the seeds. Failures are printed as they come.
pub fn run(order: &Order) -> Totals {
    let wanted = order.seeds.end.saturating_sub(order.seeds.start);
    let shared = Shared {
        order,
        begun: Instant::now(),
        next: AtomicU64::new(order.seeds.start),
        over: AtomicBool::new(false),
        totals: Mutex::new(Totals { order: order.clone(), wanted, ..Totals::default() }),
        current: (0..order.threads).map(|_| Mutex::default()).collect(),
    };
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
    totals
}

impl Order {
    /// How to run these again.
    fn again(&self, first: u64, seeds: u64) -> String {
        format!("make {} FIRST={first} SEEDS={seeds}", if self.is_day { "sim-day" } else { "sim" })
    }

    /// How to run one seed again and see everything.
    fn repeat(&self, seed: u64) -> String {
        self.again(seed, 1) + " TRACE=1 LOG=info"
    }

    fn least(&self) -> u64 {
        if self.is_day { DAYS_MIN } else { SEEDS_MIN }
    }
}

impl Shared<'_> {
    fn work(&self, number: usize) {
        while let Some(seed) = self.take() {
            let told = self.run_one(number, seed).unwrap_or_else(|e| Told::failed(format!("cannot be run: {e}")));
            *lock(&self.current[number]) = None;
            self.note(seed, told);
        }
    }

    /// Runs a seed in a process and reads what that says; the watcher ends it if it takes too long.
    fn run_one(&self, number: usize, seed: u64) -> std::io::Result<Told> {
        let mut command = Command::new(std::env::current_exe()?);
        if self.order.is_day {
            command.env(child::DAY, "1");
        }
        let mut process = command.env(child::SEED, seed.to_string()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take();
        *lock(&self.current[number]) = Some(Current { seed, since: Instant::now(), process });
        let mut text = Vec::new();
        if let Some(mut output) = output {
            output.read_to_end(&mut text)?;
        }
        let ended = lock(&self.current[number]).take().map(|mut current| current.process.wait()).transpose()?;
        let ended = ended.map_or_else(|| "was lost".to_owned(), |status| status.to_string());
        Ok(child::read(&String::from_utf8_lossy(&text), &ended))
    }

    fn take(&self) -> Option<u64> {
        let taken = self.next.load(Ordering::SeqCst).saturating_sub(self.order.seeds.start);
        if taken >= self.order.least() && self.order.within.is_some_and(|limit| self.begun.elapsed() >= limit) {
            return None;
        }
        let seed = self.next.fetch_add(1, Ordering::SeqCst);
        (seed < self.order.seeds.end).then_some(seed)
    }

    fn note(&self, seed: u64, told: Told) {
        let mut totals = lock(&self.totals);
        totals.seeds += 1;
        totals.simulated_ms += told.took_ms;
        totals.cpu += Duration::from_millis(told.cpu_ms);
        totals.crowded += told.crowded;
        add(&mut totals.faults, &told.faults);
        add(&mut totals.sectors, &told.sectors);
        if told.ok {
            if self.order.trace {
                println!("seed {seed}: {} ms\n{}", told.took_ms, told.text);
            }
            return;
        }
        println!("seed {seed} FAILED; again: {}\n{}\n", self.order.repeat(seed), told.text);
        totals.failed.insert(seed, told.text.lines().next().unwrap_or_default().to_owned());
    }

    /// Says how far the run is, and ends seeds that turn in circles.
    fn watch(&self) {
        let mut told = Instant::now();
        while !self.over.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK_EVERY);
            let mut lowest = self.next.load(Ordering::SeqCst).min(self.order.seeds.end);
            for current in &self.current {
                let mut current = lock(current);
                let Some(Current { seed, since, process }) = &mut *current else { continue };
                lowest = lowest.min(*seed);
                if since.elapsed() > STUCK {
                    // Its reader then finds no result.
                    let _ = process.kill();
                }
            }
            if told.elapsed() >= NEWS_EVERY {
                told = Instant::now();
                let failed = lock(&self.totals).failed.len();
                eprintln!("sim: every seed below {lowest} is done, {failed} failed");
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.order.seeds.start;
        let next = first + self.seeds;
        writeln!(f, "seeds            {} ({first} to {})", self.seeds, next.saturating_sub(1))?;
        writeln!(f, "faults           {}{}", self.faults.values().sum::<u64>(), list(&self.faults))?;
        writeln!(f, "what came of it{}", list(&self.sectors))?;
        writeln!(f, "crowded machines {} (attempts that had ended still ran)", self.crowded)?;
        writeln!(f, "violations       {}", self.failed.len())?;
        for (seed, what) in &self.failed {
            writeln!(f, "  {what}\n    again: {}", self.order.repeat(*seed))?;
        }
        let (simulated, cpu) = (self.simulated_ms as f64 / 1000.0, self.cpu.as_secs_f64());
        writeln!(f, "simulated        {simulated:.0} s, {:.0} times the processor's time", simulated / cpu)?;
        let (wall, rate) = (self.wall.as_secs_f64(), self.seeds as f64 / cpu * 60.0);
        write!(f, "took             {wall:.1} s, {cpu:.1} s of processor: {rate:.0} seeds per CPU-minute")?;
        if self.seeds < self.wanted {
            write!(f, "\nout of time; the rest: {}", self.order.again(next, self.wanted - self.seeds))?;
        }
        Ok(())
    }
}

fn add(sum: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    more.iter().for_each(|(kind, count)| *sum.entry(kind.clone()).or_default() += count);
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let mut lines = String::new();
    for (kind, count) in counts {
        let _ = write!(lines, "\n  {kind:<30} {count:>8}");
    }
    lines
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
