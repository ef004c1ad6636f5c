//! kill -9 of any process at any time: sectors still reach Proving, and a finished phase is not run again.
//!
//! Half of the kills are at named crash points, half at random times. Every kill is noted as the pair of the process
//! and the phases that were under way.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sp_env::CrashPoint;
use sp_tests::random::Random;
use sp_tests::{Cluster, Role, Setup, executions, process, wait};

/// Phases whose executor starts are counted.
const PHASES: [&str; 6] = ["AP", "PC1", "PC2", "C1", "C2", "FIN"];

struct Plan {
    /// Kills at named points, and as many at random times.
    named: usize,
    /// Different (process, phase) pairs that must be hit.
    pairs_min: usize,
    /// Also kill during C2 and see the sectors to Proving.
    sectors_to_proving: u32,
}

#[test]
fn a_handful_of_kills_loses_nothing() {
    run(&Plan { named: 3, pairs_min: 2, sectors_to_proving: 1 });
}

#[test]
#[ignore = "make test-long runs it"]
fn many_kills_lose_nothing() {
    run(&Plan { named: CrashPoint::ALL.len(), pairs_min: 12, sectors_to_proving: 3 });
}

fn run(plan: &Plan) {
    let mut random = Random::from_env();
    let with_c2 = Setup { crash_points: true, ..Setup::two_sealing() };
    let mut setup = with_c2.clone();
    // First AP to C1: a C2 takes all cores for most of a minute and would be all that a kill ever meets.
    setup.sealing.iter_mut().for_each(|(_, flags)| flags.push("--commit=false".into()));
    let mut cluster = Cluster::start(setup).unwrap();
    let mut hits = Hits::default();
    let mut points: Vec<CrashPoint> = CrashPoint::ALL.to_vec();
    points.retain(|p| *p != CrashPoint::SchedulerVerified);
    for _ in 0..plan.named.min(points.len()) {
        let at = random.below(points.len() as u64) as usize;
        named_kill(&mut cluster, points.swap_remove(at), &mut hits);
        random_kill(&mut cluster, &mut random, &mut hits);
    }
    for (name, flags) in with_c2.sealing {
        cluster.change_flags(&name, flags).unwrap();
    }
    kill_during_c2(&mut cluster, &mut hits);
    if points.is_empty() {
        named_kill(&mut cluster, CrashPoint::SchedulerVerified, &mut hits);
    }

    let sectors: Vec<u64> = cluster.states().unwrap().keys().copied().collect();
    let wanted = (plan.sectors_to_proving as usize).min(sectors.len());
    cluster.wait_for_state(&sectors[..wanted], &["Proving"], Duration::from_secs(600)).unwrap();
    for number in &sectors[..wanted] {
        let proof = cluster.ctl_json(&["sectors", "proof", &number.to_string()]).unwrap();
        assert_eq!(proof["proof"].as_str().unwrap().len(), 384, "192 bytes of proof in hex");
    }
    hits.report();
    assert_nothing_ran_again(&cluster);
    assert_no_litter(&cluster);
    assert!(hits.pairs.len() >= plan.pairs_min, "only {} (process, phase) pairs were hit", hits.pairs.len());
}

/// What was killed when.
#[derive(Default)]
struct Hits {
    pairs: BTreeSet<(String, String)>,
    named: usize,
    random: usize,
}

impl Hits {
    fn note(&mut self, process: &str, running: &[(u64, String)]) {
        for (_, phase) in running {
            self.pairs.insert((process.to_owned(), phase.clone()));
        }
    }

    fn report(&self) {
        println!("{} kills at named points, {} at random times", self.named, self.random);
        for (process, phase) in &self.pairs {
            println!("hit: {process} during {phase}");
        }
    }
}

/// Arms a point, makes work, waits for the crash, restarts.
fn named_kill(cluster: &mut Cluster, point: CrashPoint, hits: &mut Hits) {
    process::arm(&cluster.token(point)).unwrap();
    let token = cluster.token(point);
    let (mut running, mut pledged) = (vec![], false);
    let crashed = wait::until(&format!("a crash at {}", point.name()), Duration::from_secs(600), || {
        // The pledge itself may be what runs into the crash; then it was never acknowledged.
        pledged = pledged || (token.exists() && cluster.ctl_json(&["sectors", "pledge"]).is_ok());
        running = under_way(cluster).unwrap_or(running.clone());
        Ok((!token.exists()).then_some(()))
    });
    crashed.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    std::thread::sleep(Duration::from_millis(100));
    let dead = cluster.restart_dead().unwrap();
    let who = dead.first().cloned().unwrap_or_else(|| "executor".into());
    println!("{} died at {}", who, point.name());
    hits.note(&who, &running);
    hits.named += 1;
}

/// Kills one process at a random moment of one of a sector's first phases.
fn random_kill(cluster: &mut Cluster, random: &mut Random, hits: &mut Hits) {
    pledge(cluster);
    let workers = cluster.names(Role::Sealing);
    let mut names = [workers.clone(), vec!["scheduler".to_owned(), "index".to_owned()]].concat();
    names.extend(workers.iter().map(|w| format!("executor of {w}")));
    let name = random.pick(&names).clone();
    // A phase lasts a fraction of a second: aim at one, so that the kill meets it at some moment of its life.
    let phase = *random.pick(&["AP", "PC1", "PC2", "C1"]);
    let start = Instant::now();
    let mut running = vec![];
    while !running.iter().any(|(_, p)| p == phase) && start.elapsed() < Duration::from_secs(4) {
        running = under_way(cluster).unwrap_or_default();
    }
    std::thread::sleep(Duration::from_millis(random.below(40)));
    if let Some(worker) = name.strip_prefix("executor of ") {
        cluster.kill9_executors(worker).unwrap();
    } else {
        cluster.kill9(&name).unwrap();
        std::thread::sleep(Duration::from_millis(random.below(1500)));
        cluster.restart_dead().unwrap();
    }
    println!("{name} killed at a random time during {running:?}");
    hits.note(&name, &running);
    hits.random += 1;
}

/// Kills the worker that computes C2.
fn kill_during_c2(cluster: &mut Cluster, hits: &mut Hits) {
    let running = wait::until("a C2 to run", Duration::from_secs(300), || {
        let running: Vec<_> = under_way(cluster)?.into_iter().filter(|(_, phase)| phase == "C2").collect();
        Ok((!running.is_empty()).then_some(running))
    });
    let running = running.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    cluster.kill9("seal-b").unwrap();
    cluster.restart_dead().unwrap();
    println!("seal-b killed during {running:?}");
    hits.note("seal-b", &running);
    hits.random += 1;
}

fn pledge(cluster: &Cluster) {
    let pledged =
        wait::until("a pledge", Duration::from_secs(30), || cluster.ctl_json(&["sectors", "pledge"]).map(Some));
    pledged.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
}

/// Sector and phase of every attempt that exists now.
fn under_way(cluster: &Cluster) -> anyhow::Result<Vec<(u64, String)>> {
    let jobs = cluster.ctl_json(&["sealing", "jobs"])?;
    let list = jobs.as_array().or_else(|| jobs["jobs"].as_array()).cloned().unwrap_or_default();
    let attempts = list.iter().filter(|j| j["state"] != "queued");
    Ok(attempts.filter_map(|j| Some((j["sector"].as_u64()?, j["task"].as_str()?.to_owned()))).collect())
}

/// A phase whose answer was recorded is never started again; and it was recorded, so the check bites.
fn assert_nothing_ran_again(cluster: &Cluster) {
    let executions = executions::read(&cluster.sealing_logs()).unwrap();
    assert!(executions.repeated.is_empty(), "ran again:\n{}", executions.repeated.join("\n"));
    for phase in PHASES {
        let starts: u32 = executions.starts.iter().filter(|((_, p), _)| p == phase).map(|(_, n)| n).sum();
        let sectors = executions.starts.keys().filter(|(_, p)| p == phase).count();
        println!("{phase}: {starts} executor starts for {sectors} sectors");
        assert!(sectors > 0, "no start of {phase} in the logs");
    }
}

/// No half-written file is visible: Lotus's directories hold only whole sectors.
fn assert_no_litter(cluster: &Cluster) {
    for name in cluster.names(Role::Sealing) {
        for (kind, size) in [("unsealed", 2048u64), ("sealed", 2048)] {
            let dir = cluster.data_dir(&name).join("storage").join(kind);
            for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
                let file = entry.file_name().into_string().unwrap();
                assert!(file.starts_with("s-t01000-"), "{name}/{kind}/{file} is no sector");
                assert_eq!(entry.metadata().unwrap().len(), size, "{name}/{kind}/{file} is not whole");
            }
        }
    }
}
