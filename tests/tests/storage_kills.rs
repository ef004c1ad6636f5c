//! kill -9 at named points and at random times of fetch, move, finalize, attach and scrub: whatever was under way comes to its
//! end once the process is there again, and an audit finds nothing wrong: nothing lost, left over, reserved or half-written.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use sp_env::CrashPoint;
use sp_tests::operation::{Kind, Operation};
use sp_tests::random::Random;
use sp_tests::{Cluster, Setup, audit, jobs, process, stores, wait};

const LIMIT: Duration = Duration::from_secs(120);

/// A kill at a named point comes within this after its operation was asked for, or what is asked for has been done
/// without coming by.
const COMES_BY: Duration = Duration::from_secs(20);

/// The worker that seals, with a path of its own that stores; and the one that only keeps, on two.
const MAKER: &str = "maker";
const KEEPER: &str = "keeper";
/// Paths: name, worker, what for.
const PATHS: [(&str, &str, &str); 4] = [
    ("bench", MAKER, "--seal"),
    ("shelf", MAKER, "--store"),
    ("attic", KEEPER, "--store"),
    ("cellar", KEEPER, "--store"),
];

#[test]
fn a_handful_of_kills_leaves_nothing_wrong() {
    run(20);
}

#[test]
#[ignore = "make test-long runs it"]
fn many_kills_leave_nothing_wrong() {
    let hit = run(300);
    let wanted = Kind::ALL.iter().flat_map(|kind| kind.points().iter().map(|point| (*kind, point.name())));
    let missed: Vec<_> = wanted.filter(|pair| !hit.contains_key(pair)).collect();
    assert!(missed.is_empty(), "never hit: {missed:?}");
}

/// How often each point was hit in each kind of operation.
type Hits = BTreeMap<(Kind, &'static str), u32>;

fn run(kills: usize) -> Hits {
    let mut trial = Trial::start();
    for number in 0..kills {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        // As many at random as at named points, of every kind.
        let point = (number / Kind::ALL.len()).is_multiple_of(2).then(|| trial.next_point(kind));
        trial.kill_during(number, kind, point);
    }
    for ((kind, point), times) in &trial.hits {
        println!("hit: {kind:?} at {point}, {times} times");
    }
    assert_eq!(trial.hits.values().sum::<u32>() as usize, kills);
    trial.plant_faults();
    trial.end()
}

/// A cluster under fire.
struct Trial {
    cluster: Cluster,
    random: Random,
    /// ID of each path.
    ids: BTreeMap<&'static str, String>,
    /// Sectors that wait for a proof, which nobody computes here.
    sealed: Vec<u64>,
    /// Sectors that were put past it.
    finished: Vec<u64>,
    /// Points of each kind that are still to come.
    points: BTreeMap<Kind, Vec<CrashPoint>>,
    hits: Hits,
}

impl Trial {
    fn start() -> Self {
        let random = Random::from_env();
        let maker = (MAKER.to_owned(), ["--no-local-storage", "--commit=false"].map(String::from).to_vec());
        // Its file operations are done by children, those of the other by itself.
        let keeper = ["--no-local-storage", "--no-default", "--disk-children", "always"].map(String::from);
        let keeper = (KEEPER.to_owned(), keeper.to_vec());
        let scheduler = ["--heartbeat", "50ms"].map(String::from).to_vec();
        let setup = Setup { sealing: vec![maker, keeper], crash_points: true, scheduler, ..Setup::default() };
        let cluster = Cluster::start(setup).unwrap();
        let mut ids = BTreeMap::new();
        for (name, worker, purpose) in PATHS {
            let path = cluster.dir().join(name).display().to_string();
            let attached =
                cluster.ctl_json(&["storage", "attach", "--worker", worker, "--init", purpose, &path]).unwrap();
            ids.insert(name, attached["store"].as_str().unwrap().to_owned());
        }
        let (points, hits) = (BTreeMap::new(), Hits::new());
        let mut trial = Self { cluster, random, ids, sealed: vec![], finished: vec![], points, hits };
        trial.seal(2);
        for _ in 0..2 {
            let sector = trial.sealed.pop().unwrap();
            Operation::Finalize(sector).see_to_its_end(&trial.cluster).unwrap();
            trial.finished.push(sector);
        }
        trial.come_to_rest();
        trial
    }

    /// Makes sectors that want nothing but a proof.
    fn seal(&mut self, count: u32) {
        let numbers = self.cluster.pledge(count).unwrap();
        self.cluster.wait_for_state(&numbers, &["Committing2"], LIMIT).unwrap();
        self.sealed.extend(numbers);
    }

    /// Each once in a random order, then all over again.
    fn next_point(&mut self, kind: Kind) -> CrashPoint {
        let left = self.points.entry(kind).or_default();
        if left.is_empty() {
            left.extend(kind.points());
        }
        let at = self.random.below(left.len() as u64) as usize;
        left.swap_remove(at)
    }

    fn kill_during(&mut self, number: usize, kind: Kind, point: Option<CrashPoint>) {
        let began = Instant::now();
        let operation = self.choose(number, kind);
        let (who, hit) = match point {
            Some(point) => self.named_kill(&operation, point),
            None => self.random_kill(kind, &operation),
        };
        *self.hits.entry((kind, hit)).or_default() += 1;
        self.cluster.restart_dead().unwrap();
        let ended = operation.see_to_its_end(&self.cluster);
        ended.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
        if let Operation::Finalize(sector) = operation {
            self.finished.push(sector);
        }
        self.come_to_rest();
        println!("{number}: {operation:?}: {who} died at {hit}; {} ms", began.elapsed().as_millis());
        if let Operation::Attach(_, path) = operation {
            self.let_go(&path);
        }
    }

    /// What to do, and with what.
    fn choose(&mut self, number: usize, kind: Kind) -> Operation {
        match kind {
            Kind::Finalize => {
                if self.sealed.is_empty() {
                    self.seal(2);
                    self.come_to_rest();
                }
                Operation::Finalize(self.sealed.pop().unwrap())
            }
            Kind::Fetch | Kind::Move => {
                let sector = *self.random.pick(&self.finished);
                let here = self.place(sector);
                let on_keeper = PATHS.iter().any(|(name, worker, _)| *worker == KEEPER && self.ids[name] == here);
                let to = match (kind, on_keeper) {
                    (Kind::Fetch, true) => "shelf",
                    (_, true) if here == self.ids["attic"] => "cellar",
                    (Kind::Move, false) => {
                        // Only the keeper has two.
                        let home = Operation::Move(sector, self.ids["cellar"].clone());
                        home.see_to_its_end(&self.cluster).unwrap();
                        self.come_to_rest();
                        "attic"
                    }
                    _ => "attic",
                };
                Operation::Move(sector, self.ids[to].clone())
            }
            Kind::Attach => {
                let path = self.cluster.dir().join(format!("spare-{number}"));
                // As another system would have left it.
                fs::create_dir_all(path.join("sealed")).unwrap();
                fs::write(path.join("sealed").join(format!("s-t01000-{}", 9000 + number)), [7; 3000]).unwrap();
                Operation::Attach(KEEPER.to_owned(), path)
            }
            // Not the built-in workers: nobody here knows them.
            Kind::Scrub => Operation::Scrub((*self.random.pick(&[MAKER, KEEPER])).to_owned()),
        }
    }

    /// Store of the sector's sealed file.
    fn place(&self, sector: u64) -> String {
        let found = self.cluster.ctl_json(&["storage", "find", &sector.to_string()]).unwrap();
        let sealed = found.as_array().unwrap().iter().find(|row| row["kind"] == "Sealed").unwrap();
        sealed["store"].as_str().unwrap().to_owned()
    }

    /// Arms a point and begins.
    fn named_kill(&mut self, operation: &Operation, point: CrashPoint) -> (String, &'static str) {
        let token = self.cluster.token(point);
        process::arm(&token).unwrap();
        let mut asking = operation.begin(&self.cluster).unwrap();
        let crashed =
            wait::until(&format!("a crash at {}", point.name()), COMES_BY, || Ok((!token.exists()).then_some(())));
        drop(asking.kill().and_then(|()| asking.wait()));
        crashed.unwrap_or_else(|e| panic!("{operation:?}: {e:#}\n{}", self.cluster.tails()));
        if point.name().starts_with("executor") {
            return ("executor".to_owned(), point.name());
        }
        let names = ["scheduler", "index", MAKER, KEEPER];
        let dead =
            wait::until("somebody to be dead", LIMIT, || Ok(names.into_iter().find(|name| !self.cluster.alive(name))));
        (dead.unwrap().to_owned(), point.name())
    }

    /// Begins, and kills somebody who has to do with it after a moment.
    fn random_kill(&mut self, kind: Kind, operation: &Operation) -> (String, &'static str) {
        let victims: &[&str] = match kind {
            Kind::Finalize => &[MAKER, "executors", "scheduler", "index"],
            Kind::Fetch => &[MAKER, KEEPER, "scheduler", "index"],
            Kind::Move | Kind::Attach => &[KEEPER, KEEPER, "scheduler", "index"],
            Kind::Scrub => &[],
        };
        let victim = match operation {
            Operation::Scrub(worker) => worker.as_str(),
            _ => self.random.pick(victims),
        };
        let mut asking = operation.begin(&self.cluster).unwrap();
        std::thread::sleep(Duration::from_millis(self.random.below(250)));
        match victim {
            "executors" => drop(self.cluster.kill9_executors(MAKER).unwrap()),
            process => self.cluster.kill9(process).unwrap(),
        }
        drop(asking.kill().and_then(|()| asking.wait()));
        std::thread::sleep(Duration::from_millis(self.random.below(500)));
        (victim.to_owned(), "a random time")
    }

    /// Nobody at work, and nothing wrong.
    fn come_to_rest(&self) {
        let rest = wait::until("all work to end", LIMIT, || {
            let mut at_work = jobs::list(&self.cluster)?;
            // Proofs that nobody computes.
            at_work.retain(|job| job.phase != "C2");
            if at_work.is_empty() { Ok(Some(())) } else { Err(anyhow::anyhow!("{at_work:?}")) }
        });
        let clean = rest.and_then(|()| audit::clean(&self.cluster));
        clean.unwrap_or_else(|e| panic!("{e:#}\n{}", self.cluster.tails()));
    }

    fn let_go(&self, path: &Path) {
        let meta: Value = serde_json::from_slice(&fs::read(path.join("sectorstore.json")).unwrap()).unwrap();
        let id = meta["ID"].as_str().unwrap().to_owned();
        self.cluster.ctl_json(&["storage", "detach", &id]).unwrap();
        fs::remove_dir_all(path).unwrap();
    }

    /// An audit that never finds anything proves nothing: each of these is found, and is gone when it was put right.
    fn plant_faults(&self) {
        let sector = self.finished[0];
        let id = self.place(sector);
        let (name, _) = self.ids.iter().find(|(_, of)| **of == id).unwrap();
        let path = self.cluster.dir().join(name);
        let sealed = path.join(format!("sealed/s-t01000-{sector}"));
        let found = |flags: &[&str]| audit::faults(&self.cluster, flags).unwrap();

        let aside = path.join("aside");
        fs::rename(&sealed, &aside).unwrap();
        assert_eq!(found(&[]), [("missing".to_owned(), Some(sector))]);
        fs::rename(&aside, &sealed).unwrap();

        for (stray, fault) in [(".sp/work/999999.1/sealed", "leftover"), ("cache/s-t01000-8888", "unlisted")] {
            let stray = path.join(stray);
            fs::create_dir_all(&stray).unwrap();
            let faults: Vec<String> = found(&[]).into_iter().map(|(fault, _)| fault).collect();
            assert_eq!(faults, [fault], "{}", stray.display());
            fs::remove_dir_all(if fault == "leftover" { stray.parent().unwrap() } else { &stray }).unwrap();
        }

        let bytes = fs::read(&sealed).unwrap();
        let mut flipped = bytes.clone();
        flipped[700] ^= 4;
        fs::write(&sealed, flipped).unwrap();
        assert_eq!(found(&[]), [], "its length and its manifest are as they were");
        assert_eq!(found(&["--digests"]), [("damaged".to_owned(), Some(sector))]);
        fs::write(&sealed, bytes).unwrap();
        audit::clean(&self.cluster).unwrap();
    }

    /// Everything stopped: every finished sector is whole on one path that stores, and on no other.
    fn end(mut self) -> Hits {
        self.cluster.kill9_all().unwrap();
        let mut whole = Vec::new();
        for (name, _, purpose) in PATHS.iter().filter(|(_, _, purpose)| *purpose == "--store") {
            let replicas = stores::verified(&self.cluster.dir().join(name))
                .unwrap_or_else(|e| panic!("{name} ({purpose}): {e:#}"));
            whole.extend(replicas.into_iter().map(|info| (info.id.sector.number, info.id.kind.name())));
        }
        let times = whole.len();
        let whole: BTreeSet<_> = whole.into_iter().collect();
        let wanted: BTreeSet<_> =
            self.finished.iter().flat_map(|number| [(*number, "sealed"), (*number, "cache")]).collect();
        assert_eq!((&whole, times), (&wanted, wanted.len()));
        self.hits
    }
}
