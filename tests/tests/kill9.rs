//! kill -9 of any process at any time: no acknowledged sector is lost, a finished phase is not run again, no half-written
//! file is visible, and an audit after each kill finds nothing wrong.
//!
//! Sectors go from their first byte to their home, on a path of another worker. Half of the kills are at named crash points,
//! half at random times while a process of a given kind has a job of a given phase in hand. Every kill is noted as the pairs
//! of process and phase that it met.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sp_env::CrashPoint;
use sp_tests::executions::{self, Executions};
use sp_tests::jobs::{self, Attempts, Job, Kind, Pair, Victim};
use sp_tests::random::Random;
use sp_tests::{Cluster, Setup, audit, process, stores, wait};
use sp_types::FileKind;

/// Phases whose executor starts are counted.
const COMPUTED: [&str; 6] = ["AP", "PC1", "PC2", "C1", "C2", "FIN"];

/// States of a sector that has its C1 behind it.
const AFTER_C1: [&str; 3] = ["Committing2", "FinalizeSector", "Proving"];

/// States in which a sector waits for nothing but a proof, or for nothing at all.
const AT_REST: [&str; 2] = ["Committing2", "Proving"];

/// The workers: one for AP and PC1, and for what is finished; one for the rest.
const WORKERS: [&str; 2] = ["seal-a", "seal-b"];

/// Paths: name, worker, what for. None stores where FIN is done, so that every finished sector has to move.
const PATHS: [(&str, &str, &str); 3] =
    [("bench-a", WORKERS[0], "--seal"), ("bench-b", WORKERS[1], "--seal"), ("shelf", WORKERS[0], "--store")];

/// A point is come by within this, or what was asked for is asked for again, so many times: a race may be lost.
const COMES_BY: Duration = Duration::from_secs(30);
const TRIES: usize = 6;

/// Longest way of all sectors from whatever a kill has left to rest.
const REST_WITHIN: Duration = Duration::from_secs(180);

struct Plan {
    /// Kills at named points.
    named: usize,
    /// Kills at random times while no proof is computed, at most; each is aimed at a pair that was not met yet.
    aimed: usize,
    /// Kills while a proof is computed.
    during_c2: &'static [Kind],
    /// Different (process, phase) pairs that must be met.
    pairs_min: usize,
    /// How many sectors are seen to Proving; all get as far as C2. Each takes all cores for most of a minute.
    proven: usize,
}

#[test]
fn a_handful_of_kills_loses_nothing() {
    run(&Plan { named: 3, aimed: 3, during_c2: &[Kind::Worker], pairs_min: 3, proven: 1 });
}

#[test]
#[ignore = "make test-long runs it"]
fn many_kills_lose_nothing() {
    let all = points().len();
    assert!(all >= 40, "{all} named points");
    // All of the four may meet the same proof: it goes on without the services, and begins anew without the others.
    let during_c2 = &[Kind::Scheduler, Kind::Index, Kind::Executor, Kind::Worker];
    run(&Plan { named: all, aimed: 90, during_c2, pairs_min: jobs::pairs().len() - 2, proven: 3 });
}

/// Those that a sector comes by on its way; `storage_kills.rs` and `day.rs` have the others.
fn points() -> Vec<CrashPoint> {
    let others = [CrashPoint::STORAGE, CrashPoint::PROVING].concat();
    CrashPoint::ALL.iter().copied().filter(|point| !others.contains(point)).collect()
}

/// Those that only a proof comes by.
const OF_PROOFS: [CrashPoint; 2] = [CrashPoint::SchedulerBeforeVerify, CrashPoint::SchedulerVerified];

fn run(plan: &Plan) {
    assert_eq!(jobs::pairs().len(), 27);
    let mut random = Random::from_env();
    let with_c2 = setup(true);
    // First AP to C1: a C2 takes all cores for most of a minute and would be all that a kill ever meets.
    let mut trial = Trial::start(setup(false), plan.proven);
    let mut points = points();
    points.retain(|point| !OF_PROOFS.contains(point));
    for _ in 0..plan.named.min(points.len()) {
        let at = random.below(points.len() as u64) as usize;
        trial.named_kill(points.swap_remove(at));
    }
    trial.aim(plan.aimed, &mut random);
    trial.pledge_up_to(plan.proven);

    trial.change_flags(&with_c2);
    plan.during_c2.iter().for_each(|kind| trial.kill_during_c2(*kind));
    if points.is_empty() {
        OF_PROOFS.into_iter().for_each(|point| trial.named_kill(point));
    }
    trial.see_proofs();
    trial.change_flags(&setup(false));
    trial.come_to_rest();
    trial.report();
    trial.assert_nothing_was_lost();
    trial.assert_nothing_ran_again();
    trial.assert_stores_are_whole();
    let missed: Vec<_> = jobs::pairs().difference(&trial.pairs).copied().collect();
    assert!(trial.pairs.len() >= plan.pairs_min, "only {} pairs were met, not {missed:?}", trial.pairs.len());
    assert!(trial.named >= plan.named, "only {} kills at named points", trial.named);
}

fn setup(with_c2: bool) -> Setup {
    // Frequent heartbeats, so that the listing of jobs says what workers are at now.
    let scheduler = ["--heartbeat", "50ms"].map(String::from).to_vec();
    let mut setup = Setup { crash_points: true, scheduler, ..Setup::two_sealing() };
    for (_, flags) in &mut setup.sealing {
        flags.push("--no-local-storage".into());
        flags.extend((!with_c2).then(|| "--commit=false".into()));
    }
    setup
}

/// What makes a process come by a point.
enum Way {
    /// A proof ends, as it does after a while.
    Proof,
    /// Sectors are sealed.
    Pledge(u32),
    /// A file becomes a sector.
    Upload,
    /// A sector is taken home.
    Home,
    /// The scheduler comes back while a sector is sealed.
    Return,
}

impl Way {
    fn to(point: CrashPoint) -> Self {
        use CrashPoint as P;
        match point {
            _ if OF_PROOFS.contains(&point) => Self::Proof,
            // Held are those for which there is no room yet.
            P::SchedulerBeforeStart | P::WorkerReleased => Self::Pledge(4),
            P::WorkerMidUpload | P::WorkerUploaded => Self::Upload,
            P::SchedulerBeforeRegistered | P::WorkerRegistered | P::IndexPresented => Self::Return,
            P::SchedulerBeforeDelete
            | P::IndexDeleteAsked
            | P::IndexBeforeDelete
            | P::IndexAfterDelete
            | P::WorkerBeforeDelete
            | P::WorkerDeleteAside
            | P::WorkerDeleteTrash
            | P::WorkerAfterDelete => Self::Home,
            _ => Self::Pledge(1),
        }
    }
}

/// A cluster under fire, and what was done to it.
struct Trial {
    cluster: Cluster,
    /// Sectors that somebody was told of.
    acknowledged: BTreeSet<u64>,
    /// Those of them that were put past the proof.
    forced: BTreeSet<u64>,
    /// So many, the first, are to be proven.
    proven: usize,
    /// Whoever has asked for sectors and has no answer yet.
    asking: Vec<Child>,
    pairs: BTreeSet<Pair>,
    named: usize,
    random: usize,
    /// Processes that were killed to give them other flags, or to have them come back.
    restarted: usize,
}

impl Trial {
    fn start(setup: Setup, proven: usize) -> Self {
        let cluster = Cluster::start(setup).unwrap();
        for (name, worker, purpose) in PATHS {
            let path = cluster.dir().join(name).display().to_string();
            cluster.ctl_json(&["storage", "attach", "--worker", worker, "--init", purpose, &path]).unwrap();
        }
        Self {
            cluster,
            acknowledged: BTreeSet::new(),
            forced: BTreeSet::new(),
            proven,
            asking: vec![],
            pairs: BTreeSet::new(),
            named: 0,
            random: 0,
            restarted: 0,
        }
    }

    fn kills(&self) -> usize {
        self.named + self.random + self.restarted
    }

    // === asking for work ===

    /// Asks without waiting for the answer: whoever gives it may be about to die.
    fn ask(&mut self, args: &[&str]) {
        let mut command = self.cluster.ctl_command(&[args, &["--json"]].concat()).unwrap();
        self.asking.push(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    }

    fn pledge(&mut self, count: u32) {
        self.ask(&["sectors", "pledge", "--count", &count.to_string()]);
    }

    fn upload(&mut self) {
        let file = self.cluster.dir().join("piece");
        std::fs::write(&file, [7; 1500]).unwrap();
        self.ask(&["sectors", "add", &file.display().to_string(), "--timeout", "60s"]);
    }

    /// Takes home a sector that only waits for a proof, and that nobody is going to prove.
    fn take_home(&mut self) {
        let number = self.one_to_take_home();
        self.forced.insert(number);
        self.force(number);
    }

    /// A sector that can be taken home; sealed where there is none.
    fn one_to_take_home(&mut self) -> u64 {
        loop {
            self.hear(false);
            let states = self.cluster.states().unwrap();
            let waits = |number: &&u64| states.get(number).is_some_and(|state| state == "Committing2");
            let chosen = self.acknowledged.iter().skip(self.proven).filter(waits).find(|n| !self.forced.contains(n));
            if let Some(&number) = chosen {
                return number;
            }
            self.pledge(2);
            self.come_to_rest();
        }
    }

    fn force(&self, number: u64) {
        // Asked again until it is there.
        drop(self.cluster.ctl(&["sectors", "update-state", &number.to_string(), "FinalizeSector", "--really-do-it"]));
    }

    /// Takes in what those who asked were told. Nothing: whoever was to tell them died, and they do not count on it.
    fn hear(&mut self, all: bool) {
        let ended = wait::until("those who ask to be told", Duration::from_secs(120), || {
            let mut asking = std::mem::take(&mut self.asking);
            while let Some(mut child) = asking.pop() {
                match child.try_wait()? {
                    Some(_) => self.acknowledged.extend(told(child.wait_with_output()?.stdout)),
                    None => self.asking.push(child),
                }
            }
            Ok((!all || self.asking.is_empty()).then_some(()))
        });
        ended.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
    }

    fn pledge_up_to(&mut self, count: usize) {
        while self.acknowledged.len() < count {
            self.pledge(1);
            self.come_to_rest();
        }
    }

    // === kills ===

    /// Arms a point, makes work, waits for the crash, restarts.
    fn named_kill(&mut self, point: CrashPoint) {
        let began = Instant::now();
        let token = self.cluster.token(point);
        let crashed = (0..TRIES).any(|_| {
            if matches!(Way::to(point), Way::Home) {
                // Before it is armed: the way there may come by as well, and would never end.
                self.one_to_take_home();
            }
            process::arm(&token).unwrap();
            self.go(point);
            // One that can still be disarmed was not come by.
            wait::until("a crash", COMES_BY, || Ok((!token.exists()).then_some(()))).is_ok()
                || std::fs::remove_file(&token).is_err()
        });
        assert!(crashed, "nobody came by {}\n{}", point.name(), self.cluster.tails());
        std::thread::sleep(Duration::from_millis(100));
        let (kind, met) = self.met_at(point);
        self.named += 1;
        self.note(kind, met.clone());
        self.cluster.restart_dead().unwrap();
        self.come_to_rest();
        println!("{kind:?} died at {} during {met:?}; {} ms", point.name(), began.elapsed().as_millis());
    }

    /// Makes somebody come by the point.
    fn go(&mut self, point: CrashPoint) {
        match Way::to(point) {
            Way::Proof => {}
            Way::Pledge(count) => self.pledge(count),
            Way::Upload => self.upload(),
            Way::Home => self.take_home(),
            Way::Return => {
                self.pledge(1);
                let under_way = |trial: &Self| Ok(!Victim::Scheduler.in_hand(&trial.cluster)?.is_empty());
                self.wait_for("something to be under way", under_way);
                self.cluster.kill9("scheduler").unwrap();
                self.restarted += 1;
                // It may come by before it has announced itself.
                drop(self.cluster.restart("scheduler"));
            }
        }
    }

    /// Which process has just died at this point, and in which phases.
    fn met_at(&mut self, point: CrashPoint) -> (Kind, BTreeSet<&'static str>) {
        if point.name().starts_with("executor-") {
            let phase = executions::phase_of_crash(&self.cluster.sealing_logs(), point.name()).unwrap();
            let phase = jobs::PHASES.into_iter().find(|known| Some(*known) == phase.as_deref());
            return (Kind::Executor, phase.into_iter().collect());
        }
        let mut names = ["scheduler", "index"].into_iter().chain(WORKERS);
        let dead = names.find(|name| !self.cluster.alive(name));
        let victim = match dead.unwrap_or_else(|| panic!("nobody died at {}", point.name())) {
            "scheduler" => Victim::Scheduler,
            "index" => Victim::Index,
            worker => Victim::Worker(worker.to_owned()),
        };
        (victim.kind(), victim.met(&self.cluster, &Attempts::new()).unwrap())
    }

    fn note(&mut self, kind: Kind, phases: BTreeSet<&'static str>) {
        self.pairs.extend(phases.into_iter().map(|phase| (kind, phase)));
    }

    /// Kills somebody while he has a job of one phase in hand, each time another of the pairs that were not met yet.
    fn aim(&mut self, kills_max: usize, random: &mut Random) {
        for _ in 0..kills_max {
            let missing = jobs::pairs().into_iter().filter(|pair| pair.1 != "C2" && !self.pairs.contains(pair));
            let missing: Vec<Pair> = missing.collect();
            if missing.is_empty() {
                return;
            }
            let (kind, phase) = *random.pick(&missing);
            let began = Instant::now();
            match phase {
                "FIN" | "GET" => self.take_home(),
                _ => self.pledge(1),
            }
            let Some(victim) = self.comes_by(kind, phase) else {
                println!("no {kind:?} was seen at {phase}");
                self.come_to_rest();
                continue;
            };
            std::thread::sleep(Duration::from_millis(random.below(10)));
            let met = self.kill(&victim, Duration::from_millis(random.below(1500)));
            self.come_to_rest();
            let ms = began.elapsed().as_millis();
            println!("{victim:?} killed at a random time, aimed at {phase}, during {met:?}; {ms} ms");
        }
    }

    /// Who of this kind has a job of the phase in hand first.
    fn comes_by(&self, kind: Kind, phase: &str) -> Option<Victim> {
        let of = |make: fn(String) -> Victim| WORKERS.map(|name| make(name.to_owned())).to_vec();
        let victims = match kind {
            Kind::Scheduler => vec![Victim::Scheduler],
            Kind::Index => vec![Victim::Index],
            Kind::Worker => of(Victim::Worker),
            Kind::Executor => of(Victim::Executors),
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(15) {
            for victim in &victims {
                let in_hand = victim.in_hand(&self.cluster).unwrap_or_default();
                if in_hand.values().any(|at| *at == phase) {
                    return Some(victim.clone());
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// Kills, and restarts after a while; gives the phases that were met.
    fn kill(&mut self, victim: &Victim, down: Duration) -> BTreeSet<&'static str> {
        let before = victim.in_hand(&self.cluster).unwrap_or_default();
        let name = match victim {
            Victim::Scheduler => "scheduler",
            Victim::Index => "index",
            Victim::Worker(name) | Victim::Executors(name) => name,
        };
        if let Victim::Executors(_) = victim {
            self.cluster.kill9_executors(name).unwrap();
            // So that the log has what they had ended before.
            std::thread::sleep(Duration::from_millis(50));
        } else {
            self.cluster.kill9(name).unwrap();
        }
        let met = victim.met(&self.cluster, &before).unwrap();
        std::thread::sleep(down);
        self.cluster.restart_dead().unwrap();
        self.random += 1;
        self.note(victim.kind(), met.clone());
        met
    }

    fn kill_during_c2(&mut self, kind: Kind) {
        self.wait_for("a C2 to run", |trial| {
            let computing = Victim::Executors(WORKERS[1].to_owned()).in_hand(&trial.cluster)?;
            Ok(computing.values().any(|phase| *phase == "C2"))
        });
        let victim = self.comes_by(kind, "C2").unwrap();
        let met = self.kill(&victim, Duration::ZERO);
        println!("{victim:?} killed during {met:?}");
        assert!(met.contains("C2"), "the kill did not meet the C2 that was seen to run");
        self.come_to_rest();
    }

    fn change_flags(&mut self, setup: &Setup) {
        for (name, flags) in &setup.sealing {
            self.cluster.change_flags(name, flags.clone()).unwrap();
            self.restarted += 1;
        }
    }

    // === what must hold ===

    fn wait_for(&self, what: &str, there: impl Fn(&Self) -> anyhow::Result<bool>) {
        let waited = wait::until(what, REST_WITHIN, || Ok(there(self)?.then_some(())));
        waited.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
    }

    /// Every sector waits for a proof or has come home, nobody is at work but at proofs, and an audit finds nothing wrong.
    fn come_to_rest(&mut self) {
        self.hear(true);
        let rest = wait::until("all work to end", REST_WITHIN, || {
            let states = self.cluster.states()?;
            let stuck = self.forced.iter().filter(|n| states.get(n).is_some_and(|state| state == "Committing2"));
            stuck.for_each(|number| self.force(*number));
            let under_way = states.iter().find(|(_, state)| !AT_REST.contains(&state.as_str()));
            anyhow::ensure!(under_way.is_none(), "sector {under_way:?}");
            let at_work: Vec<Job> = jobs::list(&self.cluster)?.into_iter().filter(|job| job.phase != "C2").collect();
            anyhow::ensure!(at_work.is_empty(), "{at_work:?}");
            Ok(Some(()))
        });
        let clean = rest.and_then(|()| audit::clean(&self.cluster));
        clean.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
    }

    /// The first sectors get their proofs.
    fn see_proofs(&mut self) {
        let wanted: Vec<u64> = self.acknowledged.iter().copied().take(self.proven).collect();
        self.cluster.wait_for_state(&wanted, &["Proving"], Duration::from_secs(1200)).unwrap();
        for number in wanted {
            let proof = self.cluster.ctl_json(&["sectors", "proof", &number.to_string()]).unwrap();
            assert_eq!(proof["proof"].as_str().unwrap().len(), 384, "192 bytes of proof in hex");
        }
    }

    fn report(&self) {
        println!("{} kills at named points, {} at random times", self.named, self.random);
        for (process, phase) in &self.pairs {
            println!("met: {process:?} during {phase}");
        }
        println!("{} of {} pairs, {} sectors", self.pairs.len(), jobs::pairs().len(), self.acknowledged.len());
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
        for phase in COMPUTED {
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
        for (name, ..) in PATHS {
            let replicas = stores::verified(&self.cluster.dir().join(name));
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

/// Sectors that somebody was told of.
fn told(answer: Vec<u8>) -> BTreeSet<u64> {
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let pledged = answer["sectors"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    pledged.chain(answer["sector"].as_u64()).collect()
}
