//! The halves of the list of workers: each worker in its own, and nobody in both or in none.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::time::Duration;

use sp_tests::{Cluster, Setup, wait};

/// Names in a listing, as JSON and as text.
fn names(cluster: &Cluster, args: &[&str]) -> [BTreeSet<String>; 2] {
    let json = cluster.ctl_json(args).unwrap();
    let in_json = json.as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap().to_owned());
    let output = cluster.ctl(args).unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // `Worker 3215dab2-..., host seal-a (built-in)`
    let host = |line: &str| Some(line.strip_prefix("Worker ")?.split_once(", host ")?.1.split(' ').next()?.to_owned());
    [in_json.collect(), text.lines().filter_map(host).collect()]
}

#[test]
fn sealing_and_proving_workers_are_listed_apart() {
    let window = vec!["post-w".to_owned()];
    let winning = vec!["post-n".to_owned()];
    let cluster = Cluster::start(Setup { window, winning, ..Setup::two_sealing() }).unwrap();
    let sealing = BTreeSet::from(["seal-a", "seal-b"].map(String::from));
    let proving = BTreeSet::from(["post-w", "post-n", "builtin-window", "builtin-winning"].map(String::from));
    let all: BTreeSet<String> = sealing.union(&proving).cloned().collect();
    // The built-in ones come up by themselves.
    let there = wait::until("the built-in workers", Duration::from_secs(120), || {
        let [listed, _] = names(&cluster, &["workers"]);
        Ok((listed == all).then_some(()))
    });
    there.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    assert_eq!(names(&cluster, &["workers"]), [all.clone(), all]);
    assert_eq!(names(&cluster, &["sealing", "workers"]), [sealing.clone(), sealing]);
    assert_eq!(names(&cluster, &["proving", "workers"]), [proving.clone(), proving]);
}

/// Names of the directories with a store in them that the index lists.
fn paths(cluster: &Cluster) -> BTreeSet<String> {
    let stores = cluster.ctl_json(&["storage", "list"]).unwrap();
    let path = |store: &serde_json::Value| store["local_path"].as_str().unwrap().to_owned();
    stores.as_array().unwrap().iter().map(path).collect()
}

fn succeeds(cluster: &Cluster, args: &[&str]) {
    let output = cluster.ctl(args).unwrap();
    assert!(output.status.success(), "{args:?}: {}\n{}", String::from_utf8_lossy(&output.stderr), cluster.tails());
}

#[test]
fn a_worker_that_is_disabled_empty_and_stopped_is_nowhere_any_more() {
    let mut cluster = Cluster::start(Setup::two_sealing()).unwrap();
    cluster.wait_for_workers(2).unwrap();
    let seal_b = cluster.data_dir("seal-b").display().to_string();
    let listed = |cluster: &Cluster| paths(cluster).iter().any(|path| path.starts_with(&seal_b));
    let in_time = Duration::from_secs(60);
    let there = wait::until("its path", in_time, || Ok(listed(&cluster).then_some(())));
    there.unwrap_or_else(|e| panic!("{e:#}: {:?}", paths(&cluster)));

    succeeds(&cluster, &["tasks", "disable", "--worker", "seal-b", "--all"]);
    succeeds(&cluster, &["workers", "wait", "seal-b"]);
    succeeds(&cluster, &["workers", "stop", "seal-b"]);
    wait::until("its process to end", in_time, || Ok((!cluster.alive("seal-b")).then_some(()))).unwrap();
    assert!(!listed(&cluster), "{:?}", paths(&cluster));
    let [connected, _] = names(&cluster, &["sealing", "workers"]);
    assert_eq!(connected, BTreeSet::from(["seal-a".to_owned()]));

    // Nothing was lost by it: started again it brings its path along.
    cluster.restart("seal-b").unwrap();
    wait::until("its path", in_time, || Ok(listed(&cluster).then_some(()))).unwrap();
}
