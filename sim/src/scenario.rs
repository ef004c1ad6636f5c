//! One run: a cluster, its faults, and, once they are over, a limited time in which all must come right.

use std::collections::BTreeMap;
use std::fmt::Write;

use sp_proto::v1;

use crate::agenda::Agenda;
use crate::cast::Cast;
use crate::checks::{self, Disks};
use crate::faults::{Planned, STORM_MS, calm_ms, plan};
use crate::operator::View;
use crate::tally::outcomes;
use crate::world::World;

/// Once the faults are over, everything is done within this.
const SETTLE_MS: u64 = 600_000;

/// Operators have their whims for so long after the faults: some of them need a sector that is done.
const WHIMS_MS: u64 = 45_000;

/// The files are looked at this often.
const LOOK_EVERY_MS: u64 = 1_000;

/// Lines of the trace that a complaint shows.
const EXCERPT_LINES: usize = 120;

/// What is left of a run that came right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When all was done, ms since the beginning.
    pub took_ms: u64,
    /// How many faults there were, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Times that more ran on a machine than fits, attempts that had ended among it.
    pub crowded: u64,
    /// What became of sectors, or of proofs.
    pub sectors: BTreeMap<&'static str, u64>,
    /// Everything that was seen to happen, as text: equal for equal seeds.
    pub trace: String,
}

/// A run in progress.
struct Run {
    seed: u64,
    cast: Cast,
    plan: Vec<Planned>,
    world: World,
}

/// Runs one seed; the error says what is wrong, with everything needed to find out why.
pub fn run(seed: u64) -> Result<Report, String> {
    let cast = Cast::of(seed);
    let (plan, world) = (plan(seed, &cast), World::new(seed, &cast));
    Run { seed, cast, plan, world }.play()
}

impl Run {
    fn play(mut self) -> Result<Report, String> {
        self.set_moods(true);
        if self.cast.stormy {
            self.suffer_until(STORM_MS)?;
            return self.judge_storm();
        }
        let calm_ms = calm_ms(&self.cast);
        self.suffer_until(calm_ms)?;
        self.set_moods(false);
        if self.cast.weather.operators {
            // What fails meanwhile is what an operator tries again, or forces.
            self.world.stage.mood.set_executors(self.cast.weather.executors);
            self.world.stage.mood.set_operators(true);
            while self.world.now_ms < calm_ms + WHIMS_MS {
                self.step()?;
            }
            self.set_moods(false);
        }
        self.settle()
    }

    fn set_moods(&self, on: bool) {
        let (mood, weather) = (&self.world.stage.mood, self.cast.weather);
        mood.set_executors(on && weather.executors);
        mood.set_messages(on && weather.messages);
        mood.set_operators(on && weather.operators);
    }

    /// Faults come and go as planned.
    fn suffer_until(&mut self, end_ms: u64) -> Result<(), String> {
        let mut agenda = Agenda::new(&self.plan);
        while self.world.now_ms < end_ms {
            agenda.turn(&mut self.world);
            self.step()?;
            self.world.blow_fuses(agenda.under_way().iter());
        }
        agenda.end(&mut self.world);
        Ok(())
    }

    /// Nothing goes wrong any more: everything must finish (law L11).
    fn settle(&mut self) -> Result<Report, String> {
        let (mut seen, _) = self.world.window.look();
        let mut rested: Option<Vec<v1::Replica>> = None;
        while self.world.now_ms < calm_ms(&self.cast) + SETTLE_MS {
            self.step()?;
            let (number, view) = self.world.window.look();
            if number == seen {
                continue;
            }
            seen = number;
            // A view is pieced together while things go on: files may have moved between its first word and its last.
            let rests = self.unfinished(&view).is_empty();
            if rests && rested.as_ref() == Some(&view.replicas) {
                return self.judge(&view);
            }
            rested = rests.then_some(view.replicas);
        }
        let (_, view) = self.world.window.look();
        Err(self.complaint("law L11 (progress): not finished in time", &self.unfinished(&view)))
    }

    fn step(&mut self) -> Result<(), String> {
        if let Err(error) = self.world.step() {
            return Err(self.complaint(&error, &[]));
        }
        let watch = self.world.stage.watch.clone();
        if self.world.now_ms.is_multiple_of(LOOK_EVERY_MS) && self.world.all_run() {
            checks::look(&watch, &self.disks());
        }
        match watch.is_clean() {
            true => Ok(()),
            false => Err(self.complaint("a law is broken", &[])),
        }
    }

    fn disks(&self) -> Disks<'_> {
        self.world.processes.values().filter(|p| p.is_worker()).map(|p| (p.name, p.files())).collect()
    }

    fn unfinished(&self, view: &View) -> Vec<String> {
        checks::unfinished(view, self.cast.sectors, &self.disks(), &self.world.stage.watch)
    }

    /// All is done. After a last power cut everywhere: what was acknowledged must be there (law L8).
    fn judge(&mut self, view: &View) -> Result<Report, String> {
        self.world.end_all();
        let faults = self.plan.len() as u64 + self.world.stage.watch.all_injected().values().sum::<u64>();
        let wrong = checks::wrong(view, &self.world.stage, &self.disks(), faults, self.cast.sealing);
        self.conclude(&wrong)
    }

    /// Nothing need be done. What was acknowledged must be there all the same.
    fn judge_storm(&mut self) -> Result<Report, String> {
        self.world.end_all();
        let wrong = checks::lost(&self.world.stage.watch, &self.disks());
        self.conclude(&wrong)
    }

    fn conclude(&mut self, wrong: &[String]) -> Result<Report, String> {
        let unreadable = self.world.processes.values().filter(|p| !p.is_worker() && p.starts() > 0);
        let unreadable: Vec<String> = unreadable.filter_map(|p| p.reopen().err()).collect();
        let wrong: Vec<String> = wrong.iter().cloned().chain(unreadable).collect();
        if !wrong.is_empty() || !self.world.stage.watch.is_clean() {
            return Err(self.complaint("something is wrong at the end", &wrong));
        }
        let watch = &self.world.stage.watch;
        let mut faults = watch.all_injected();
        self.plan.iter().for_each(|planned| *faults.entry(planned.fault.kind()).or_default() += 1);
        let crowded = watch.crowded();
        let sectors = outcomes(&self.world.window.look().1);
        Ok(Report { took_ms: self.world.now_ms, faults, crowded, sectors, trace: self.trace() })
    }

    fn trace(&self) -> String {
        let mut trace = format!("{:?}\n{}", self.cast, self.world.stage.watch.trace());
        for process in self.world.processes.values() {
            let calls = process.files().calls();
            let _ = writeln!(trace, "{}: {} starts, {calls} calls of its disk", process.name, process.starts());
        }
        let (_, view) = self.world.window.look();
        for sector in &view.sectors {
            let summary = sector.summary.clone().unwrap_or_default();
            let _ = writeln!(trace, "sector {}: {} {}", summary.number, summary.state, summary.waiting);
            for entry in &sector.log {
                let attempt = entry.attempt.map(|a| format!("{}.{}", a.task, a.number)).unwrap_or_default();
                let line = (entry.unix_ms, &entry.event, attempt, &entry.worker_name, entry.took_ms, &entry.message);
                let _ = writeln!(trace, "  {line:?}");
            }
        }
        trace
    }

    fn complaint(&self, what: &str, details: &[String]) -> String {
        let mut text = format!("seed {}: {what}", self.seed);
        if let Some(breach) = self.world.stage.watch.breaches().first() {
            let _ = write!(text, "; at {breach}");
        }
        text += &format!("\n{:?}\n", self.cast);
        details.iter().for_each(|detail| text += &format!("- {detail}\n"));
        self.world.stage.watch.breaches().iter().for_each(|breach| text += &format!("! {breach}\n"));
        self.plan.iter().for_each(|planned| text += &format!("fault {planned:?}\n"));
        let (_, view) = self.world.window.look();
        view.jobs.iter().for_each(|job| text += &format!("job {job:?}\n"));
        view.replicas.iter().for_each(|replica| {
            let root = replica.root.iter().take(4).map(|b| format!("{b:02x}")).collect::<String>();
            text += &format!("replica {}/{:?}/{}/{root}\n", replica.sector, replica.kind(), replica.store);
        });
        let trace = self.trace();
        let lines: Vec<&str> = trace.lines().collect();
        let first = lines.len().saturating_sub(EXCERPT_LINES);
        text + "...\n" + &lines[first..].join("\n")
    }
}
