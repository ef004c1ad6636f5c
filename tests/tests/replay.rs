//! A real scheduler records what it sees while it seals, is killed, and `sp-ctl sched replay` gives the same decisions.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "reads and damages files of the processes it starts"
)]

use std::time::Duration;

use serde_json::Value;
use sp_tests::{Cluster, Setup};

fn replay(cluster: &Cluster, file: &str) -> (Value, Option<i32>) {
    let output = cluster.ctl(&["sched", "replay", file, "--json"]).unwrap();
    let found = serde_json::from_slice(&output.stdout);
    (found.unwrap_or_else(|e| panic!("{e}: {output:?}")), output.status.code())
}

#[test]
fn a_scheduler_s_recording_gives_the_identical_decisions() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events").display().to_string();
    let scheduler = vec!["--record-events".to_owned(), file.clone()];
    let mut cluster = Cluster::start(Setup { scheduler, ..Setup::two_sealing() }).unwrap();
    let sectors = cluster.pledge(1).unwrap();
    // Everything up to the proof itself, which would take most of the time.
    cluster.wait_for_state(&sectors, &["Committing2", "FinalizeSector", "Proving"], Duration::from_secs(300)).unwrap();

    // As it is while the scheduler runs, after it was killed, and in the words for people.
    let (found, code) = replay(&cluster, &file);
    assert_eq!((&found["identical"], code), (&true.into(), Some(0)), "{found:#}");
    cluster.kill9("scheduler").unwrap();
    let (found, code) = replay(&cluster, &file);
    assert_eq!((&found["identical"], code), (&true.into(), Some(0)), "{found:#}");
    assert!(found["events"].as_u64() > Some(30) && found["effects"].as_u64() > Some(30), "{found:#}");
    assert!(["open", "torn"].contains(&found["ending"].as_str().unwrap()), "{found:#}");
    let output = cluster.ctl(&["sched", "replay", &file]).unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("decisions: identical\n"), "{output:?}");

    // The next run begins with a sector, in a file of its own.
    cluster.restart("scheduler").unwrap();
    cluster.wait_for_workers(2).unwrap();
    let old = format!("{file}.old");
    assert_eq!(replay(&cluster, &old).0["events"], found["events"]);
    let (next, _) = replay(&cluster, &file);
    assert_eq!((&next["sectors"], &next["identical"]), (&1.into(), &true.into()), "{next:#}");

    let mut bytes = std::fs::read(&old).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&old, bytes).unwrap();
    let (damaged, code) = replay(&cluster, &old);
    assert_eq!((&damaged["ending"], &damaged["identical"], code), (&"damaged".into(), &false.into(), Some(1)));
    let missing = cluster.ctl(&["sched", "replay", "/no/such/file"]).unwrap();
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
}
