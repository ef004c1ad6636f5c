//! One run: a cluster, its faults, and, once they are over, a limited time in which all must come right.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use sp_sectors::Loss;
use turmoil::Sim;

use crate::checks;
use crate::env::env;
use crate::fake::Start;
use crate::faults::{CALM_MS, Fault, Planned, plan};
use crate::operator::{self, View, Window};
use crate::process::{Process, Stage, cast};
use crate::rng::Rng;

/// Sectors of a run.
const SECTORS: usize = 3;

/// Once the faults are over, everything is done within this.
const SETTLE_MS: u64 = 600_000;

const TICK: Duration = Duration::from_millis(10);
const OPERATOR: &str = "operator";

/// What is left of a run that came right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When all was done, ms since the beginning.
    pub took_ms: u64,
    /// How many faults there were.
    pub faults: usize,
    /// Everything that was seen to happen, as text: equal for equal seeds.
    pub trace: String,
}

/// A run in progress.
struct Run {
    sim: Sim<'static>,
    processes: BTreeMap<&'static str, Arc<Process>>,
    stage: Stage,
    window: Window,
}

/// Runs one seed; the error says what is wrong, with everything needed to find out why.
pub fn run(seed: u64) -> Result<Report, String> {
    let plan = plan(seed);
    let mut run = Run::new(seed);
    let mut begins = plan.iter().peekable();
    let mut ends: Vec<&Planned> = Vec::new();
    run.stage.mishaps.store(true, Ordering::SeqCst);
    let (mut now, mut seen) = (0, 0);
    while now < CALM_MS + SETTLE_MS {
        while let Some(planned) = begins.next_if(|p| p.from_ms <= now) {
            run.begin(planned.fault);
            ends.push(planned);
        }
        let (over, still): (Vec<_>, _) = ends.into_iter().partition(|p| p.to_ms <= now);
        ends = still;
        over.into_iter().for_each(|planned| run.end(planned.fault));
        if now >= CALM_MS {
            run.stage.mishaps.store(false, Ordering::SeqCst);
        }
        run.sim.step().map_err(|error| format!("seed {seed}: a process failed: {error}\n{plan:#?}"))?;
        now += TICK.as_millis() as u64;
        let (number, view) = run.window.look();
        if number == seen || now < CALM_MS {
            continue;
        }
        seen = number;
        if run.unfinished(&view).is_empty() {
            let wrong = run.wrong(&view, plan.len());
            return match wrong.is_empty() {
                true => Ok(Report { took_ms: now, faults: plan.len(), trace: run.trace(&view) }),
                false => Err(run.complaint(seed, &plan, &view, "something is wrong", &wrong)),
            };
        }
    }
    let (_, view) = run.window.look();
    let unfinished = run.unfinished(&view);
    Err(run.complaint(seed, &plan, &view, "not finished in time", &unfinished))
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(seed)
            .epoch(UNIX_EPOCH)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(86_400))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(30))
            .tcp_capacity(4096)
            .enable_random_order();
        let mut sim = builder.build();
        let (stage, window) = (Stage::default(), Window::default());
        let processes = cast(seed, &stage);
        for (name, process) in &processes {
            let process = process.clone();
            sim.host(*name, move || process.clone().run());
        }
        let shown = window.clone();
        sim.client(OPERATOR, async move {
            operator::run(env(OPERATOR, Rng::new(seed, OPERATOR, 0), 0), SECTORS, shown).await;
            Ok(())
        });
        Self { sim, processes, stage, window }
    }

    fn others(&self, host: &str) -> Vec<&'static str> {
        self.processes.keys().copied().chain([OPERATOR]).filter(|name| *name != host).collect()
    }

    fn begin(&mut self, fault: Fault) {
        tracing::info!(?fault, at = ?self.sim.elapsed(), "begins");
        match fault {
            Fault::Kill(host) => self.kill(host, Loss::Nothing),
            Fault::PowerCut(host, loss) => {
                // First the silence: a machine without power closes no connection.
                self.others(host).into_iter().for_each(|other| self.sim.partition(host, other));
                self.kill(host, loss);
            }
            Fault::Stop(host) => self.processes[host].ask_to_stop(),
            Fault::Partition(a, b) => self.sim.partition(a, b),
            Fault::OneWay(a, b) => self.sim.partition_oneway(a, b),
            Fault::Slow(a, b, ms) => self.sim.set_link_latency(a, b, Duration::from_millis(ms)),
        }
    }

    fn kill(&mut self, host: &'static str, loss: Loss) {
        let process = &self.processes[host];
        process.die();
        self.sim.crash(host);
        process.lose(loss);
    }

    fn end(&mut self, fault: Fault) {
        tracing::info!(?fault, at = ?self.sim.elapsed(), "ends");
        match fault {
            Fault::Kill(host) | Fault::PowerCut(host, _) | Fault::Stop(host) => {
                self.others(host).into_iter().for_each(|other| self.sim.repair(host, other));
                if self.sim.is_host_running(host) {
                    // It takes too long to stop.
                    self.kill(host, Loss::Nothing);
                }
                self.sim.bounce(host);
            }
            Fault::Partition(a, b) | Fault::OneWay(a, b) => self.sim.repair(a, b),
            Fault::Slow(a, b, _) => self.sim.set_link_latency(a, b, Duration::from_millis(5)),
        }
    }

    fn unfinished(&self, view: &View) -> Vec<String> {
        let disks = self.processes.values().map(|p| (p.name, &p.disk)).collect();
        checks::unfinished(view, SECTORS, &disks)
    }

    /// After a last power cut everywhere: what was acknowledged must be there (law L8).
    fn wrong(&self, view: &View, faults: usize) -> Vec<String> {
        self.processes.values().for_each(|process| process.disk.crash(Loss::Unsynced));
        let disks = self.processes.values().map(|p| (p.name, &p.disk)).collect();
        let mut wrong = checks::wrong(view, &self.stage.made, &disks);
        wrong.extend(checks::ran_again(view, &self.stage.started.list(), faults));
        wrong
    }

    fn trace(&self, view: &View) -> String {
        let mut trace = String::new();
        for process in self.processes.values() {
            let calls = process.disk.calls();
            let _ = writeln!(trace, "{}: {} starts, {calls} calls of its disk", process.name, process.starts());
        }
        for Start { stage, sector, attempt, ended, .. } in self.stage.started.list() {
            let how = ended.map_or_else(|| "killed".to_owned(), |end| format!("{end:?}").to_lowercase());
            let _ = writeln!(trace, "executor: {stage} of {sector} ({attempt}): {how}");
        }
        for sector in &view.sectors {
            let summary = sector.summary.clone().unwrap_or_default();
            let _ = writeln!(trace, "sector {}: {} {}", summary.number, summary.state, summary.waiting);
            for entry in &sector.log {
                let attempt = entry.attempt.map(|a| format!("{}.{}", a.task, a.number)).unwrap_or_default();
                let v1_entry =
                    (entry.unix_ms, &entry.event, attempt, &entry.worker_name, entry.took_ms, &entry.message);
                let _ = writeln!(trace, "  {v1_entry:?}");
            }
        }
        trace
    }

    fn complaint(&self, seed: u64, plan: &[Planned], view: &View, what: &str, details: &[String]) -> String {
        let mut text = format!("seed {seed}: {what}\n");
        details.iter().for_each(|detail| text += &format!("- {detail}\n"));
        plan.iter().for_each(|planned| text += &format!("fault {planned:?}\n"));
        view.jobs.iter().for_each(|job| text += &format!("job {job:?}\n"));
        view.replicas.iter().for_each(|replica| {
            let root = replica.root.iter().take(4).map(|b| format!("{b:02x}")).collect::<String>();
            text += &format!("replica {}/{:?}/{}/{root}\n", replica.sector, replica.kind(), replica.store);
        });
        text + &self.trace(view)
    }
}
