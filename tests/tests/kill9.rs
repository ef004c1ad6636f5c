//! kill -9 of any process at any time: no acknowledged sector is lost, a finished phase is not run again, and no
//! half-written file is visible.
//!
//! Half of the kills are at named crash points, half at random times. Every kill is noted as the pair of the process
//! and the phase of each job that it met.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sp_env::CrashPoint;
use sp_tests::executions::{self, Executions};
use sp_tests::jobs::{self, Job, Victim};
use sp_tests::random::Random;
use sp_tests::{Cluster, Role, Setup, audit, process, stores, wait};
use sp_types::FileKind;

/// Phases whose executor starts are counted.
const PHASES: [&str; 6] = ["AP", "PC1", "PC2", "C1", "C2", "FIN"];

/// States of a sector that has its C1 behind it.
const AFTER_C1: [&str; 3] = ["Committing2", "FinalizeSector", "Proving"];

struct Plan {
    /// Kills at named points, and as many at random times.
    named: usize,
    /// Different (process, phase) pairs that must be hit.
    pairs_min: usize,
    /// How many sectors are seen to Proving; all get as far as C2. Each takes all cores for most of a minute.
    sectors_to_proving: usize,
}

#[test]
fn a_handful_of_kills_loses_nothing() {
    run(&Plan { named: 3, pairs_min: 2, sectors_to_proving: 1 });
}

#[test]
#[ignore = "make test-long runs it"]
fn many_kills_lose_nothing() {
    run(&Plan { named: points().len(), pairs_min: 12, sectors_to_proving: 3 });
}

/// Those that sealing comes by; `storage_kills.rs` has the others.
fn points() -> Vec<CrashPoint> {
    CrashPoint::ALL.iter().copied().filter(|point| !CrashPoint::STORAGE.contains(point)).collect()
}

fn run(plan: &Plan) {
    let mut random = Random::from_env();
    // Frequent heartbeats, so that the listing of jobs says what workers are at now.
    let scheduler = ["--heartbeat", "50ms"].map(String::from).to_vec();
    let with_c2 = Setup { crash_points: true, scheduler, ..Setup::two_sealing() };
    let mut without_c2 = with_c2.clone();
    // First AP to C1: a C2 takes all cores for most of a minute and would be all that a kill ever meets.
    without_c2.sealing.iter_mut().for_each(|(_, flags)| flags.push("--commit=false".into()));
    let mut trial = Trial::new(Cluster::start(without_c2.clone()).unwrap());
    let mut points = points();
    points.retain(|p| *p != CrashPoint::SchedulerVerified);
    let mut aims = Aims::default();
    for _ in 0..plan.named.min(points.len()) {
        let at = random.below(points.len() as u64) as usize;
        trial.named_kill(points.swap_remove(at));
        trial.random_kill(&mut random, &mut aims);
    }
    trial.wait_for_c1();

    trial.change_flags(&with_c2);
    trial.kill_during_c2();
    if points.is_empty() {
        trial.named_kill(CrashPoint::SchedulerVerified);
    }
    let wanted: Vec<u64> = trial.acknowledged.iter().copied().take(plan.sectors_to_proving).collect();
    trial.cluster.wait_for_state(&wanted, &["Proving"], Duration::from_secs(1200)).unwrap();
    for number in wanted {
        let proof = trial.cluster.ctl_json(&["sectors", "proof", &number.to_string()]).unwrap();
        assert_eq!(proof["proof"].as_str().unwrap().len(), 384, "192 bytes of proof in hex");
    }
    trial.come_to_rest(&without_c2);
    trial.report();
    trial.assert_nothing_was_lost();
    trial.assert_nothing_ran_again();
    trial.assert_stores_are_whole();
    assert!(trial.pairs.len() >= plan.pairs_min, "only {} (process, phase) pairs were hit", trial.pairs.len());
}

/// What random kills aim at, each once in a random order, then all over again.
#[derive(Default)]
struct Aims(Vec<(Victim, &'static str)>);

impl Aims {
    fn next(&mut self, random: &mut Random) -> (Victim, &'static str) {
        if self.0.is_empty() {
            let services = ["scheduler", "index"].map(|name| Victim::Service(name.to_owned()));
            let on = |name: &str| [Victim::Worker(name.to_owned()), Victim::Executors(name.to_owned())];
            for (phase, worker) in [("AP", "seal-a"), ("PC1", "seal-a"), ("PC2", "seal-b"), ("C1", "seal-b")] {
                let victims = services.clone().into_iter().chain(on(worker));
                self.0.extend(victims.map(|victim| (victim, phase)));
            }
        }
        let at = random.below(self.0.len() as u64) as usize;
        self.0.swap_remove(at)
    }
}

/// A cluster under fire, and what was done to it.
struct Trial {
    cluster: Cluster,
    /// Sectors that a pledge has acknowledged.
    acknowledged: BTreeSet<u64>,
    /// Process and phase of every job that a kill met.
    pairs: BTreeSet<(String, String)>,
    named: usize,
    random: usize,
    /// Workers that were killed to give them other flags.
    restarted: usize,
}

impl Trial {
    fn new(cluster: Cluster) -> Self {
        Self { cluster, acknowledged: BTreeSet::new(), pairs: BTreeSet::new(), named: 0, random: 0, restarted: 0 }
    }

    fn kills(&self) -> usize {
        self.named + self.random + self.restarted
    }

    /// Arms a point, makes work, waits for the crash, restarts.
    fn named_kill(&mut self, point: CrashPoint) {
        let token = self.cluster.token(point);
        process::arm(&token).unwrap();
        let (mut before, mut pledged) = (vec![], false);
        let crashed = wait::until(&format!("a crash at {}", point.name()), Duration::from_secs(600), || {
            // The pledge itself may be what runs into the crash; then it was never acknowledged.
            if !pledged && token.exists() {
                let numbers = self.cluster.pledge(1);
                pledged = numbers.is_ok();
                self.acknowledged.extend(numbers.unwrap_or_default());
            }
            let seen = Victim::Service("any".to_owned()).at_work(&self.cluster);
            if token.exists() {
                before = seen.unwrap_or_default();
            }
            Ok((!token.exists()).then_some(()))
        });
        crashed.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
        std::thread::sleep(Duration::from_millis(100));
        let (who, met) = self.met_at(point, &before);
        println!("{who} died at {} during {met:?}", point.name());
        self.note(&who, met);
        self.cluster.restart_dead().unwrap();
        self.named += 1;
    }

    /// Which process has just died at this point, and in which phases; `before` is what was last seen before.
    fn met_at(&mut self, point: CrashPoint, before: &[(String, String)]) -> (String, BTreeSet<String>) {
        if point.name().starts_with("executor-") {
            let phase = executions::phase_of_crash(&self.cluster.sealing_logs(), point.name()).unwrap();
            return ("executor".to_owned(), phase.into_iter().collect());
        }
        let dead = ["scheduler", "index", "seal-a", "seal-b"].into_iter().find(|name| !self.cluster.alive(name));
        let name = dead.unwrap_or_else(|| panic!("nobody died at {}", point.name())).to_owned();
        let victim = if name.starts_with("seal") { Victim::Worker(name) } else { Victim::Service(name) };
        (victim.label().to_owned(), victim.met(&self.cluster, before).unwrap())
    }

    fn note(&mut self, process: &str, phases: BTreeSet<String>) {
        self.pairs.extend(phases.into_iter().map(|phase| (process.to_owned(), phase)));
    }

    /// Kills one process while it has a job of one phase in hand, if it can be found at it.
    fn random_kill(&mut self, random: &mut Random, aims: &mut Aims) {
        let (victim, phase) = aims.next(random);
        // A phase lasts a fraction of a second: what comes by late is tried again.
        for _ in 0..3 {
            self.pledge();
            if self.comes_by(&victim, phase) {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(random.below(10)));
        let met = self.kill(&victim, Duration::from_millis(random.below(1500)));
        println!("{victim:?} killed at a random time, aimed at {phase}, during {met:?}");
        self.note(victim.label(), met);
        self.random += 1;
    }

    fn comes_by(&self, victim: &Victim, phase: &str) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(4) {
            let at_work = victim.at_work(&self.cluster).unwrap_or_default();
            if at_work.iter().any(|(_, at)| at == phase) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// Kills, and restarts after a while; gives the phases that were hit.
    fn kill(&mut self, victim: &Victim, down: Duration) -> BTreeSet<String> {
        let before = victim.at_work(&self.cluster).unwrap_or_default();
        let name = match victim {
            Victim::Executors(worker) => {
                let killed = self.cluster.kill9_executors(worker).unwrap();
                // So that the log has what they had ended before.
                std::thread::sleep(Duration::from_millis(50));
                let met = victim.met(&self.cluster, &before).unwrap();
                return if killed > 0 { met } else { BTreeSet::new() };
            }
            Victim::Service(name) | Victim::Worker(name) => name,
        };
        self.cluster.kill9(name).unwrap();
        let met = victim.met(&self.cluster, &before).unwrap();
        std::thread::sleep(down);
        self.cluster.restart_dead().unwrap();
        met
    }

    /// Kills the worker that computes C2.
    fn kill_during_c2(&mut self) {
        let victim = Victim::Worker("seal-b".to_owned());
        let running = wait::until("a C2 to run", Duration::from_secs(300), || {
            Ok(victim.at_work(&self.cluster)?.iter().any(|(_, phase)| phase == "C2").then_some(()))
        });
        running.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
        let met = self.kill(&victim, Duration::ZERO);
        println!("{victim:?} killed during {met:?}");
        assert!(met.contains("C2"), "the kill did not meet the C2 that was seen to run");
        self.note(victim.label(), met);
        self.random += 1;
    }

    fn pledge(&mut self) {
        let pledged = wait::until("a pledge", Duration::from_secs(30), || self.cluster.pledge(1).map(Some));
        self.acknowledged.extend(pledged.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails())));
    }

    fn change_flags(&mut self, setup: &Setup) {
        for (name, flags) in &setup.sealing {
            self.cluster.change_flags(name, flags.clone()).unwrap();
            self.restarted += 1;
        }
    }

    /// Every acknowledged sector gets at least as far as C2.
    fn wait_for_c1(&mut self) {
        let acknowledged: Vec<u64> = self.acknowledged.iter().copied().collect();
        self.cluster.wait_for_state(&acknowledged, &AFTER_C1, Duration::from_secs(300)).unwrap();
    }

    /// No more C2, the sectors that were pledged last caught up, and nobody at work.
    fn come_to_rest(&mut self, without_c2: &Setup) {
        self.change_flags(without_c2);
        self.wait_for_c1();
        let rest = wait::until("all work to end", Duration::from_secs(120), || {
            let at_work: Vec<Job> =
                jobs::list(&self.cluster)?.into_iter().filter(|job| job.state != "queued").collect();
            if at_work.is_empty() { Ok(Some(())) } else { Err(anyhow::anyhow!("{at_work:?}")) }
        });
        let rest = rest.and_then(|()| audit::clean(&self.cluster));
        let files = rest.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
        println!("an audit of {files} files finds nothing wrong");
    }

    fn report(&self) {
        println!("{} kills at named points, {} at random times", self.named, self.random);
        for (process, phase) in &self.pairs {
            println!("hit: {process} during {phase}");
        }
        println!("{} pairs, {} sectors", self.pairs.len(), self.acknowledged.len());
    }

    /// Every acknowledged sector is there and on its way, and none has failed.
    fn assert_nothing_was_lost(&self) {
        let states = self.cluster.states().unwrap();
        for number in &self.acknowledged {
            let state = states.get(number).map_or("lost", String::as_str);
            assert!(AFTER_C1.contains(&state), "sector {number} is {state}: {states:?}\n{}", self.cluster.tails());
        }
        assert!(!states.values().any(|state| state == "FailedUnrecoverable"), "{states:?}");
    }

    /// A phase whose answer was recorded is never started again, and every start without an answer is the doing of a
    /// kill.
    fn assert_nothing_ran_again(&self) {
        let executions = executions::read(&self.cluster.sealing_logs()).unwrap();
        assert!(executions.repeated.is_empty(), "ran again:\n{}", executions.repeated.join("\n"));
        for phase in PHASES {
            let starts = Executions::of_phase(&executions.starts, phase);
            let recorded = Executions::of_phase(&executions.recorded, phase);
            println!("{phase}: {starts} executor starts, {recorded} answers recorded");
            assert!(recorded > 0, "no answer of {phase} in the logs");
            assert!(starts as usize <= recorded as usize + self.kills(), "{phase} ran {starts} times");
        }
    }

    /// No half-written file is visible: every replica is what its manifest says, and nothing else is there.
    fn assert_stores_are_whole(&mut self) {
        self.cluster.kill9_all().unwrap();
        let mut found = BTreeSet::new();
        for name in self.cluster.names(Role::Sealing) {
            let replicas = stores::verified(&self.cluster.data_dir(&name).join("storage"));
            let replicas = replicas.unwrap_or_else(|e| panic!("{name}: {e:#}"));
            println!("{name}: {} replicas are whole", replicas.len());
            found.extend(replicas.into_iter().map(|info| (info.id.sector.number, info.id.kind)));
        }
        for number in &self.acknowledged {
            for kind in [FileKind::Sealed, FileKind::Cache] {
                assert!(found.contains(&(*number, kind)), "nobody has the {kind} of sector {number}");
            }
        }
    }
}
