//! One day: its faults, and every verdict of the chain as it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::judge::Judge;
use super::plan::plan;
use super::{Day, WIN_MS, cast};
use crate::agenda::Agenda;
use crate::cast::Cast;
use crate::faults::Planned;
use crate::scenario::Report;
use crate::world::World;

/// Who is ready is looked at this often.
const LOOK_EVERY_MS: u64 = 100;
/// After the day, the last verdict comes within this: a scheduler that is away comes back first.
const VERDICT_MS: u64 = 60_000;
/// The proof of an epoch that was won has come within this, or will not.
const WIN_OVER_MS: u64 = WIN_MS + 5_000;
/// Lines of the trace that a complaint shows.
const EXCERPT_LINES: usize = 400;

struct Run {
    seed: u64,
    cast: Cast,
    day: Day,
    plan: Vec<Planned>,
    world: World,
    judge: Judge,
    /// Openings and epochs that have been judged.
    closed: BTreeSet<i64>,
    won: BTreeSet<i64>,
}

/// Runs one seed; the error says what is wrong, with everything needed to find out why.
pub fn run(seed: u64) -> Result<Report, String> {
    let cast = cast::of(seed);
    let day = cast.day.clone().ok_or("the cast of a day has none")?;
    let plan = plan(seed, &cast, &day);
    Run::new(seed, cast, day, plan).play()
}

/// The same where nothing happens but that no proof reaches the chain: whoever judges must notice.
pub fn run_losing_proofs(seed: u64) -> Result<Report, String> {
    let mut cast = cast::of(seed);
    let mut day = cast.day.take().ok_or("the cast of a day has none")?;
    // Two deadlines tell as much as ten.
    day.partitions.retain(|partition| partition.deadline <= 2);
    day.quiet = true;
    cast.day = Some(day.clone());
    let run = Run::new(seed, cast, day, vec![]);
    run.world.stage.mood.set_submissions_lost(true);
    run.play()
}

impl Run {
    fn new(seed: u64, cast: Cast, day: Day, plan: Vec<Planned>) -> Self {
        let (world, judge) = (World::new(seed, &cast), Judge::new(&day));
        let mood = &world.stage.mood;
        mood.set_executors(!day.quiet);
        mood.set_messages(cast.weather.messages);
        Self { seed, cast, day, plan, world, judge, closed: BTreeSet::new(), won: BTreeSet::new() }
    }

    fn play(mut self) -> Result<Report, String> {
        let over_ms = self.day.ms_of(self.day.last_close());
        let mut agenda = Agenda::new(&self.plan);
        while self.world.now_ms < over_ms {
            agenda.turn(&mut self.world);
            self.step(&agenda)?;
        }
        agenda.end(&mut self.world);
        let calm = Agenda::new(&[]);
        while !self.is_judged() {
            if self.world.now_ms > over_ms + VERDICT_MS {
                return Err(self.complaint("the chain has not judged every deadline"));
            }
            self.step(&calm)?;
        }
        Ok(self.report())
    }

    fn step(&mut self, agenda: &Agenda) -> Result<(), String> {
        if let Err(error) = self.world.step() {
            return Err(self.complaint(&error));
        }
        if self.world.now_ms.is_multiple_of(LOOK_EVERY_MS) {
            self.judge.look(&mut self.world, &self.cast, agenda.under_way());
            self.judge_what_is_over();
        }
        match self.world.stage.watch.is_clean() {
            true => Ok(()),
            false => Err(self.complaint("a law is broken")),
        }
    }

    fn judge_what_is_over(&mut self) {
        let (watch, now_ms) = (self.world.stage.watch.clone(), self.world.now_ms);
        let score = watch.score();
        for (open, closed) in score.closed {
            if self.closed.insert(open) {
                self.judge.closed(&closed, &watch, now_ms);
            }
        }
        for (epoch, (sector, proven)) in score.wins {
            if self.day.ms_of(epoch) + WIN_OVER_MS <= now_ms && self.won.insert(epoch) {
                self.judge.won(epoch, sector, proven, &watch, now_ms);
            }
        }
    }

    fn is_judged(&self) -> bool {
        let score = self.world.stage.watch.score();
        let judged = |deadline: u32, index: u32| {
            let mut closed = score.closed.values().filter(|closed| closed.deadline == deadline);
            closed.any(|closed| closed.partitions.iter().any(|partition| partition.index == index))
        };
        self.day.partitions.iter().all(|partition| judged(partition.deadline, partition.index))
    }

    fn report(self) -> Report {
        let watch = &self.world.stage.watch;
        let mut faults = watch.all_injected();
        self.plan.iter().for_each(|planned| *faults.entry(planned.fault.kind()).or_default() += 1);
        let (took_ms, crowded, trace) = (self.world.now_ms, watch.crowded(), self.trace());
        Report { took_ms, faults, crowded, sectors: self.judge.outcomes, trace }
    }

    fn trace(&self) -> String {
        let mut trace = format!("{:?}\n{}", self.cast, self.world.stage.watch.trace());
        for process in self.world.processes.values() {
            let _ = writeln!(trace, "{}: {} starts", process.name, process.starts());
        }
        let outcomes: BTreeMap<_, _> = self.judge.outcomes.clone();
        let _ = writeln!(trace, "{outcomes:?}");
        trace
    }

    fn complaint(&self, what: &str) -> String {
        let mut text = format!("seed {}: {what}", self.seed);
        let watch = &self.world.stage.watch;
        watch.breaches().first().iter().for_each(|breach| text += &format!("; at {breach}"));
        text += &format!("\n{:?}\n", self.cast);
        watch.breaches().iter().for_each(|breach| text += &format!("! {breach}\n"));
        self.plan.iter().for_each(|planned| text += &format!("fault {planned:?}\n"));
        let trace = self.trace();
        let lines: Vec<&str> = trace.lines().collect();
        let first = lines.len().saturating_sub(EXCERPT_LINES);
        text + "...\n" + &lines[first..].join("\n")
    }
}
