//! The proving day on real processes: what is to be proven is proven and handed in by itself, whoever dies meanwhile.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::time::{Duration, Instant};

use serde_json::Value;
use sp_env::CrashPoint;
use sp_tests::mounts::{DeadMount, with_own_mounts};
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

/// Three partitions: of each something cannot be read, in another way.
#[test]
fn what_cannot_be_read_is_skipped_and_named_and_everything_else_is_proven() {
    with_own_mounts("what_cannot_be_read_is_skipped_and_named_and_everything_else_is_proven", unreadable_day);
}

fn unreadable_day() {
    let scheduler = ["--epoch", "1s", "--assignment", "network", "--single-check-timeout", "4s"];
    let cluster = Cluster::start(Setup {
        sealing: vec![shelf::keeper()],
        scheduler: scheduler.map(String::from).to_vec(),
        window: vec!["w1".into(), "w2".into()],
        ..Setup::default()
    })
    .unwrap();
    // Deadline by deadline two of them: 0 and 1, 2 and 3, 4 and 5.
    let (here, nas) = (cluster.dir().join("shelf"), cluster.dir().join("nas"));
    shelf::fill(&here, 0..3).unwrap();
    shelf::fill(&nas, 3..4).unwrap();
    shelf::fill(&here, 4..6).unwrap();
    for path in [&here, &nas] {
        let path = path.display().to_string();
        cluster.ctl_json(&["storage", "attach", "--worker", "keeper", "--init", "--store", &path]).unwrap();
    }
    shelf::import(&cluster, 0..6).unwrap();
    shelf::flip(&here.join("sealed/s-t01000-1")).unwrap();
    shelf::flip(&here.join("cache/s-t01000-5/sc-02-data-tree-r-last.dat")).unwrap();
    let _hangs = DeadMount::over(&nas);

    let page = wait::until("three deadlines to close", Duration::from_secs(400), || {
        Ok(history(&cluster).filter(|page| judged(page) >= 3))
    });
    let page = page.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    let total = &page["total"];
    assert_eq!((&total["missed"], &total["late"]), (&0.into(), &0.into()), "{page}");
    assert_eq!(total["proven"].as_u64(), Some(3), "each without the sector that cannot be read: {page}");
    let faults = cluster.ctl_json(&["proving", "faults"]).unwrap();
    let mut faulty: Vec<u64> = faults.as_array().unwrap().iter().filter_map(|row| row["sector"].as_u64()).collect();
    faulty.sort_unstable();
    assert_eq!(faulty, [1, 3, 5], "{faults}\n{page}");
}

/// Memory of each process once ten deadlines have passed, and after fifteen more.
#[test]
#[ignore = "make test-long runs it"]
fn a_day_takes_no_more_memory_after_its_tenth_deadline() {
    const DEADLINES: u64 = 25;
    let cluster = start();
    shelf::take_over(&cluster, 0..2 * DEADLINES).unwrap();
    let at = |deadline: u64| {
        let limit = EPOCH * 60 * u32::try_from(DEADLINES + 4).unwrap();
        wait::until("the deadline", limit, || Ok(history(&cluster).filter(|page| judged(page) >= deadline))).unwrap();
        ["w1", "w2", "scheduler", "index", "keeper"].map(|name| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid(name).unwrap())).unwrap();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        })
    };
    let (tenth, last) = (at(10), at(DEADLINES));
    println!("kB resident after 10 deadlines {tenth:?}, after {DEADLINES} {last:?}");
    // What grows with every deadline grows by more than this; an allocator's mood does not.
    assert!(
        tenth.iter().zip(&last).all(|(before, after)| *after <= before + before / 10 + 4_096),
        "{tenth:?} {last:?}"
    );
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
