//! Two workers with one directory, as two hosts have it over NFS: one store, two ways to it. They are hosts to all others, by
//! their host ids and addresses. Each may die and start while the other works there; files move between them and out of what
//! they share and back, in both directions, while both compute, and none is lost.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sp_tests::{Cluster, Setup, jobs, stores, wait};

/// Longest that a whole proof may take on a busy machine.
const PROOF_LIMIT: Duration = Duration::from_secs(600);

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_directory_that_two_hosts_have_loses_nothing() {
    // AP and PC1 are done by one of them, everything else by the other: no sector is sealed without both.
    let left = host("left", "127.0.0.2:0", &["--addpiece=false", "--precommit1=false"]);
    let right = host("right", "127.0.0.3:0", &["--no-default", "--addpiece=true", "--precommit1=true"]);
    let sealing = vec![left, right];
    let mut cluster = Cluster::start(Setup { sealing, window: vec!["prover".into()], ..Setup::default() }).unwrap();
    let shared = cluster.dir().join("shared").display().to_string();
    let init = ["storage", "attach", "--worker", "left", "--init", "--seal", "--store", &shared];
    let store = cluster.ctl_json(&init).unwrap()["store"].as_str().unwrap().to_owned();
    let again = cluster.ctl_json(&["storage", "attach", "--worker", "right", &shared]).unwrap();
    assert_eq!(again["store"], *store, "the same store");
    let ways = wait::until("two ways to it", LIMIT, || {
        let list = cluster.ctl_json(&["storage", "list"])?;
        let here = list.as_array().and_then(|rows| rows.iter().find(|row| row["store"] == *store));
        let ways = here.and_then(|row| row["urls"].as_array()).map_or(0, Vec::len);
        Ok((ways == 2).then_some(()))
    });
    let list = || cluster.ctl_json(&["storage", "list"]);
    ways.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", list(), cluster.tails()));

    assert_eq!(cluster.pledge(1).unwrap(), [0]);
    // One host starts again and again while the other is at C2 there: it must not sweep what is not its own.
    let mut kills = 0;
    while kills < 3 && c2_runs(&cluster) {
        cluster.kill9("right").unwrap();
        cluster.restart("right").unwrap();
        cluster.wait_for_connection("right", true).unwrap();
        kills += 1;
    }
    assert!(kills > 0, "C2 was over before it was seen");
    cluster.wait_for_state(&[0], &["Proving"], PROOF_LIMIT).unwrap();
    let history = cluster.ctl_json(&["sealing", "history"]).unwrap();
    let lost = |row: &&Value| row["worker"] == "left" && row["result"] != "done";
    assert_eq!(history.as_array().unwrap().iter().find(lost), None, "what left did was disturbed");

    out_and_back(&mut cluster, &store, &shared);
    let check = cluster.ctl_json(&["proving", "check", "0"]).unwrap();
    assert!(check[0]["good"] == true && check[0]["sector"] == 0, "{check}\n{}", cluster.tails());
    left_clean(&mut cluster, &shared);
}

/// A sealing worker on what everybody else takes for a host of its own.
fn host(name: &str, listen: &str, flags: &[&str]) -> (String, Vec<String>) {
    let own = ["--no-local-storage", "--host-id", name, "--listen", listen];
    (name.to_owned(), own.iter().chain(flags).map(|flag| (*flag).to_owned()).collect())
}

/// Waits until C2 of sector 0 runs on the host that stays. False: it is over.
fn c2_runs(cluster: &Cluster) -> bool {
    let seen = wait::until("C2 to run", PROOF_LIMIT, || {
        let runs = locks(cluster)?.contains("C2 of 0 by left reads Vanilla");
        let is_over = cluster.states()?.get(&0).is_some_and(|state| state == "Proving" || state.starts_with("Final"));
        Ok((runs || is_over).then_some(runs))
    });
    seen.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", locks(cluster), cluster.tails()))
}

/// Sector 0 goes to a path of the one host's own, to one of the other's, back to what they share, and all that again in the
/// other direction, while they seal other sectors in the shared directory.
fn out_and_back(cluster: &mut Cluster, store: &str, shared: &str) {
    let own = |worker: &str| {
        let path = cluster.dir().join(format!("own-{worker}")).display().to_string();
        let attach = ["storage", "attach", "--worker", worker, "--init", "--store", "--weight", "1", &path];
        (cluster.ctl_json(&attach).unwrap()["store"].as_str().unwrap().to_owned(), path)
    };
    let (left, right, both) = (own("left"), own("right"), (store.to_owned(), shared.to_owned()));
    let before = jobs_done(cluster);
    assert_eq!(cluster.pledge(2).unwrap(), [1, 2]);
    for (round, (to, place)) in [&right, &left, &both, &left, &right, &both].into_iter().enumerate() {
        let moved = cluster.ctl_json(&["storage", "move", "0", "--to", to]).unwrap();
        assert_eq!(moved[0]["done"], true, "{moved}");
        let there = BTreeSet::from([("Cache".to_owned(), place.clone()), ("Sealed".to_owned(), place.clone())]);
        let gone = wait::until("the old copies to go", LIMIT, || Ok((places(cluster)? == there).then_some(())));
        gone.unwrap_or_else(|e| panic!("round {round}: {e:#}: {:?}\n{}", places(cluster), cluster.tails()));
        // A move that is no move: it is there already, whichever host is asked.
        let moved = cluster.ctl_json(&["storage", "move", "0", "--to", to]).unwrap();
        assert_eq!((&moved[0]["files"], &moved[0]["done"]), (&Value::from(0), &Value::from(true)), "{moved}");
        assert_eq!(places(cluster).unwrap(), there);
        if round == 2 {
            cluster.kill9("left").unwrap();
            cluster.restart("left").unwrap();
            cluster.wait_for_connection("left", true).unwrap();
        }
    }
    cluster.wait_for_state(&[1, 2], &["Committing2"], LIMIT).unwrap();
    let done = jobs_done(cluster);
    for (worker, task) in [("left", "GET"), ("right", "GET"), ("left", "PC2"), ("right", "PC1")] {
        let of = |done: &Vec<(String, String)>| {
            done.iter().filter(|(w, t)| (w.as_str(), t.as_str()) == (worker, task)).count()
        };
        assert!(of(&done) > of(&before), "{worker} has done no {task} meanwhile: {done:?}");
    }
    for sector in ["1", "2"] {
        cluster.ctl_json(&["sectors", "remove", sector, "--really-do-it"]).unwrap();
    }
    let gone = wait::until("the other sectors to be gone", LIMIT, || {
        let states = cluster.states()?;
        let are_gone = [1, 2].iter().all(|number| states.get(number).is_none_or(|state| state == "Removed"));
        Ok((are_gone && jobs::list(cluster)?.is_empty()).then_some(()))
    });
    gone.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", cluster.states(), cluster.tails()));
    assert_eq!(locks(cluster).unwrap(), "", "no lock outlives its attempt");
}

/// Worker and task of everything that has been done.
fn jobs_done(cluster: &Cluster) -> Vec<(String, String)> {
    let history = cluster.ctl_json(&["sealing", "history"]).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let done = history.as_array().unwrap().iter().filter(|row| row["result"] == "done");
    done.map(|row| (text(row, "worker"), text(row, "task"))).collect()
}

/// Nothing but the sector's files is in the directory, and they have the right digests.
fn left_clean(cluster: &mut Cluster, shared: &str) {
    for name in ["left", "right", "prover"] {
        cluster.kill9(name).unwrap();
    }
    for place in [".sp/work", ".sp/owners", ".sp/journal"] {
        let dir = Path::new(shared).join(place);
        let entries: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(entries.is_empty(), "{}: {entries:?}", dir.display());
    }
    let kept = stores::verified(shared.as_ref()).unwrap();
    let kept: BTreeSet<_> = kept.iter().map(|info| (info.id.sector.number, info.id.kind.name())).collect();
    assert_eq!(kept, BTreeSet::from([(0, "sealed"), (0, "cache")]));
}

/// Who has locked what, a line for each.
fn locks(cluster: &Cluster) -> anyhow::Result<String> {
    let rows = cluster.ctl_json(&["storage", "locks"])?;
    let words = |row: &Value, key: &str| {
        let kinds = row[key].as_array().cloned().unwrap_or_default();
        kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let line = |row: &Value| {
        let (task, worker) = (row["task"].as_str().unwrap_or_default(), row["worker"].as_str().unwrap_or_default());
        let (read, write) = (words(row, "read"), words(row, "write"));
        format!("{task} of {} by {worker} reads {read} writes {write}\n", row["sector"])
    };
    Ok(rows.as_array().map(|rows| rows.iter().map(line).collect()).unwrap_or_default())
}

/// Kind and path of every file of sector 0 that the index knows.
fn places(cluster: &Cluster) -> anyhow::Result<BTreeSet<(String, String)>> {
    let found = cluster.ctl_json(&["storage", "find", "0"])?;
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = found.as_array().cloned().unwrap_or_default();
    Ok(rows.iter().map(|row| (text(row, "kind"), text(row, "local_path"))).collect())
}
