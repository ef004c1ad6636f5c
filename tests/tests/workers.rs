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
