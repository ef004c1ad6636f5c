//! The proving day on real processes: what is to be proven is proven and handed in by itself, whoever dies meanwhile.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::time::{Duration, Instant};

use serde_json::Value;
use sp_env::CrashPoint;
use sp_tests::process::arm;
use sp_tests::random::Random;
use sp_tests::{Cluster, Role, Setup, shelf, wait};

/// How long an epoch lasts; a deadline has 60 of them.
const EPOCH: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn six_deadlines_and_five_kills_miss_nothing() {
    run(6, 3);
}

#[test]
#[ignore = "make test-long runs it"]
fn a_day_and_thirty_kills_miss_nothing() {
    run(40, 28);
}

#[test]
fn every_epoch_is_won_and_proven() {
    // A proof takes some seconds of both cores.
    let scheduler = ["--epoch", "15s", "--win-one-in", "1", "--disable-builtin-window-post"];
    let mut cluster = Cluster::start(Setup {
        sealing: vec![shelf::keeper()],
        scheduler: scheduler.map(String::from).to_vec(),
        winning: vec!["v".into()],
        ..Setup::default()
    })
    .unwrap();
    shelf::take_over(&cluster, 0..2).unwrap();
    let proven = |cluster: &Cluster, count: usize| {
        let wins = wait::until("proofs of epochs that were won", LIMIT, || {
            let page = cluster.ctl_json(&["proving", "history"])?;
            let wins = page["wins"].as_array().cloned().unwrap_or_default();
            let proven = wins.iter().filter(|win| win["proven_epoch"].is_i64()).count();
            Ok((proven >= count).then_some(wins))
        });
        wins.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()))
    };
    proven(&cluster, 1);
    cluster.kill9("scheduler").unwrap();
    cluster.restart("scheduler").unwrap();
    let wins = proven(&cluster, 2);
    let delay = |win: &Value| Some(win["proven_epoch"].as_i64()? - win["epoch"].as_i64()?);
    assert!(wins.iter().filter_map(delay).all(|epochs| epochs <= 1), "{wins:?}");
}

#[test]
fn a_sector_that_would_be_skipped_is_known_before_it_is_due() {
    // At least a minute is left when it is taken over: no deadline that is open or next gets it.
    let scheduler = ["--epoch", "1s", "--assignment", "network", "--rehearse", "100"];
    let setup = Setup {
        sealing: vec![shelf::keeper()],
        scheduler: scheduler.map(String::from).to_vec(),
        window: vec!["w".into()],
        ..Setup::default()
    };
    let cluster = Cluster::start(setup).unwrap();
    let shelf = shelf::take_over(&cluster, 0..2).unwrap();
    shelf::damage(&shelf, 1).unwrap();
    let info = wait::until("a rehearsal", LIMIT, || {
        let info = cluster.ctl_json(&["proving", "info"])?;
        let rehearsed = info["rehearsals"].as_array().is_some_and(|rows| !rows.is_empty());
        Ok(rehearsed.then_some(info))
    });
    let info = info.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    let rehearsal = &info["rehearsals"][0];
    let (skipped, worker) = (rehearsal["skipped"].as_array().unwrap(), &rehearsal["worker"]);
    assert!(skipped.len() == 1 && skipped[0]["sector"] == 1 && worker == "w", "{info}");
    assert!(rehearsal["open_epoch"].as_i64() > info["epoch"].as_i64(), "{info}");
    let next = &info["next_deadline"];
    assert_eq!((&next["index"], next["partitions"].as_u64()), (&rehearsal["deadline"], Some(1)), "{info}");
    assert!(next["samples"].as_u64() > Some(0), "the forecast goes by it: {info}");
}

/// So many deadlines with one partition each; a kill at each of the two crash points, and so many at random times.
fn run(deadlines: u64, kills: usize) {
    let mut random = Random::from_env();
    let mut cluster = start();
    let sectors = deadlines * 2;
    shelf::take_over(&cluster, 0..sectors).unwrap();
    let listed = cluster.ctl_json(&["proving", "deadlines"]).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len() as u64, deadlines, "a partition of two in each deadline: {listed:?}");
    assert!(listed.iter().all(|row| row["partitions"] == 1 && row["sectors"] == 2), "{listed:?}");

    let mut points = CrashPoint::PROVING.to_vec();
    let mut left = kills;
    let last = Instant::now() + EPOCH * 60 * (u32::try_from(deadlines).unwrap() + 4);
    while history(&cluster).is_none_or(|page| judged(&page) < deadlines) {
        assert!(Instant::now() < last, "{:?}\n{}", history(&cluster), cluster.tails());
        // Not twice within one deadline: nobody can prove who is always dead.
        let pause = 60 + random.below(30);
        if let Some(point) = points.pop() {
            arm(&cluster.token(point)).unwrap();
        } else if left > 0 {
            left -= 1;
            let victim = *random.pick(&["w1", "w2", "scheduler", "index", "keeper"]);
            println!("kill -9 {victim}");
            cluster.kill9(victim).unwrap();
        }
        let until = Instant::now() + EPOCH * u32::try_from(pause).unwrap();
        while Instant::now() < until {
            std::thread::sleep(EPOCH);
            cluster.restart_dead().unwrap();
        }
    }
    assert_eq!((left, points.len()), (0, 0), "every kill came to pass");
    let armed = CrashPoint::PROVING.iter().filter(|point| cluster.token(**point).exists());
    assert_eq!(armed.count(), 0, "both points were come by");
    let page = history(&cluster).unwrap();
    let total = &page["total"];
    assert_eq!((&total["missed"], &total["late"], &total["faulty"]), (&0.into(), &0.into(), &0.into()), "{page}");
    assert_eq!((total["proven"].as_u64(), total["refused"].as_u64()), (Some(deadlines), Some(0)), "{page}");
    assert_eq!(cluster.ctl_json(&["proving", "faults"]).unwrap(), Value::Array(vec![]), "{page}");
}

/// Two window workers, and one that has the sectors.
fn start() -> Cluster {
    let epoch = format!("{}ms", EPOCH.as_millis());
    let scheduler = ["--epoch", &epoch, "--assignment", "network", "--lease", "3s", "--heartbeat", "500ms"];
    let mut cluster = Cluster::start(Setup {
        sealing: vec![shelf::keeper()],
        scheduler: scheduler.map(String::from).to_vec(),
        crash_points: true,
        ..Setup::default()
    })
    .unwrap();
    for name in ["w1", "w2"] {
        cluster.add(name, Role::Window, vec![], vec![]).unwrap();
    }
    cluster.wait_for_workers(3).unwrap();
    cluster
}

/// What the chain has judged; none while the scheduler does not answer.
fn history(cluster: &Cluster) -> Option<Value> {
    cluster.ctl_json(&["proving", "history", "-n", "0"]).ok()
}

/// Openings that have closed.
fn judged(page: &Value) -> u64 {
    page["openings"].as_array().unwrap().iter().filter(|opening| opening["closed"] == true).count() as u64
}
