//! Wrong proofs never leave, corrupted files are skipped and named, and anyone can check what is printed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::time::Duration;

use serde_json::Value;
use sp_tests::{Cluster, Role, Setup, judge, shelf, wait};

const WRONG: (&str, &str) = ("SP_TEST_WRONG_PROOF", "1");

#[test]
fn wrong_proofs_never_leave_and_corrupted_sectors_are_skipped() {
    let setup = Setup { sealing: vec![shelf::keeper()], window: vec!["honest".into()], ..Setup::default() };
    let mut cluster = Cluster::start(setup).unwrap();
    let wrong = vec![(WRONG.0.to_owned(), WRONG.1.to_owned())];
    cluster.add("seal", Role::Sealing, vec![], wrong.clone()).unwrap();
    cluster.wait_for_workers(3).unwrap();
    assert_eq!(cluster.pledge(1).unwrap(), [0]);
    a_wrong_seal_proof_changes_nothing(&cluster);
    cluster.kill9("seal").unwrap();
    let shelf = shelf::take_over(&cluster, 1..3).unwrap();

    let (good, _) = compute(&cluster, &["window-post", "0"]);
    assert_eq!(good["partitions"][0]["worker"], "honest", "{good}");
    assert_eq!(verify(&good), Some(0), "sp-verify accepts what was printed");
    assert_eq!(good["partitions"][0]["proof"].as_str().unwrap().len(), 384);
    let mut mutated = good;
    mutated["randomness"] = Value::from("11".repeat(32));
    assert_eq!(verify(&mutated), Some(1), "another randomness is invalid");

    // Nobody but a liar is left of those who are asked before the built-in workers.
    cluster.kill9("honest").unwrap();
    cluster.wait_for_connection("honest", false).unwrap();
    cluster.add("liar", Role::Window, vec![], wrong.clone()).unwrap();
    cluster.add("other-liar", Role::Winning, vec![], wrong).unwrap();
    for name in ["liar", "other-liar", "builtin-window", "builtin-winning"] {
        cluster.wait_for_connection(name, true).unwrap();
    }
    refuses(&cluster, &["window-post", "0"], "liar", "builtin-window");
    refuses(&cluster, &["winning-post"], "other-liar", "builtin-winning");
    cluster.kill9("liar").unwrap();
    cluster.restart("honest").unwrap();
    cluster.wait_for_connection("liar", false).unwrap();
    cluster.wait_for_connection("honest", true).unwrap();

    shelf::damage(&shelf, 2).unwrap();
    a_damaged_sector_is_skipped_and_named(&cluster);
}

fn a_wrong_seal_proof_changes_nothing(cluster: &Cluster) {
    let refused = wait::until("a refused seal proof", Duration::from_secs(600), || {
        let failed = |list: Value| {
            let list = list.as_array().cloned().unwrap_or_default();
            list.into_iter().find(|row| row["failures"].as_u64() > Some(0))
        };
        let sector = failed(cluster.ctl_json(&["sectors", "list"])?);
        Ok(sector.or(failed(cluster.ctl_json(&["sealing", "jobs"])?)))
    });
    let refused = refused.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    assert!(refused["last_error"].as_str().unwrap().contains("verif"), "{refused}");
    assert!(!cluster.states().unwrap().values().any(|s| s == "Proving"), "a wrong proof changed something");
}

/// The liar is asked, refused and named; somebody else proves.
fn refuses(cluster: &Cluster, what: &[&str], liar: &str, prover: &str) {
    let (post, notes) = compute(cluster, what);
    let refusal = format!("tried {liar}: proof refused by the verifier");
    assert!(notes.contains(&refusal), "{what:?}: `{refusal}` is missing in\n{notes}");
    assert_eq!(post["partitions"][0]["worker"], prover, "{post}");
    assert_eq!(verify(&post), Some(0), "{post}");
}

/// Sector 2 is damaged, sector 1 is not.
fn a_damaged_sector_is_skipped_and_named(cluster: &Cluster) {
    let (post, _) = compute(cluster, &["window-post", "0"]);
    let skipped = post["partitions"][0]["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1, "{post}");
    assert!(skipped[0]["number"] == 2 && skipped[0]["reason"].as_str().is_some_and(|r| !r.is_empty()), "{post}");
    let sectors = post["partitions"][0]["sectors"].as_array().unwrap();
    assert!(sectors.len() == 1 && sectors[0]["number"] == 1, "{post}");
    assert_eq!(verify(&post), Some(0), "the proof over the rest holds");

    let check = cluster.ctl_json(&["proving", "check", "0"]).unwrap();
    let row = |number: u64| check.as_array().unwrap().iter().find(|row| row["sector"] == number).unwrap().clone();
    assert!(row(1)["good"] == true && row(1)["problem"] == "", "{check}");
    assert!(row(2)["good"] == false && row(2)["problem"].as_str().is_some_and(|p| !p.is_empty()), "{check}");
}

/// `proving compute ...` as people see it: the proof, and the notes on standard error.
fn compute(cluster: &Cluster, what: &[&str]) -> (Value, String) {
    let output = cluster.ctl(&[&["proving", "compute"], what].concat()).unwrap();
    let (out, notes) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{what:?}: {notes}\n{}", cluster.tails());
    // `Took ...`, then the JSON.
    let (took, json) = out.split_once('\n').unwrap();
    assert!(took.starts_with("Took "), "{out}");
    (serde_json::from_str(json).unwrap(), notes)
}

/// Exit code of `sp-verify verify -` on this JSON.
fn verify(post: &Value) -> Option<i32> {
    judge::verify("sp-verify", post).unwrap()
}
