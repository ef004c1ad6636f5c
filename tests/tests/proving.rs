//! Wrong proofs never leave, corrupted files are skipped and named, and anyone can check what is printed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sp_tests::{Cluster, Role, Setup, process::bin_dir, wait};

const WRONG: (&str, &str) = ("SP_TEST_WRONG_PROOF", "1");

#[test]
fn wrong_proofs_never_leave_and_corrupted_sectors_are_skipped() {
    let mut cluster = Cluster::start(Setup { window: vec!["honest".into()], ..Setup::default() }).unwrap();
    let wrong = vec![(WRONG.0.to_owned(), WRONG.1.to_owned())];
    cluster.add("seal", Role::Sealing, vec![], wrong.clone()).unwrap();
    cluster.wait_for_workers(2).unwrap();
    cluster.ctl_json(&["sectors", "pledge", "--count", "2"]).unwrap();

    let refused = wait::until("a refused seal proof", Duration::from_secs(240), || {
        let sectors = cluster.ctl_json(&["sectors", "list"])?;
        let list = sectors.as_array().or_else(|| sectors["sectors"].as_array()).cloned().unwrap_or_default();
        let sector = list.into_iter().find(|s| s["failures"].as_u64() > Some(0));
        let jobs = cluster.ctl_json(&["sealing", "jobs"])?;
        let jobs = jobs.as_array().or_else(|| jobs["jobs"].as_array()).cloned().unwrap_or_default();
        Ok(sector.or_else(|| jobs.into_iter().find(|j| j["failures"].as_u64() > Some(0))))
    });
    let refused = refused.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    assert!(refused["last_error"].as_str().unwrap().contains("verif"), "{refused}");
    assert!(!cluster.states().unwrap().values().any(|s| s == "Proving"), "a wrong proof changed something");

    // The same worker, honest from now on.
    cluster.kill9("seal").unwrap();
    cluster.add("seal", Role::Sealing, vec![], vec![]).unwrap();
    cluster.wait_for_state(&[0, 1], &["Proving"], Duration::from_secs(400)).unwrap();

    let good = compute(&cluster);
    assert_eq!(verify(&good), Some(0), "sp-verify accepts what was printed");
    let mut mutated = good.clone();
    let proof = mutated["partitions"][0]["proof"].as_str().unwrap().to_owned();
    mutated["randomness"] = Value::from("11".repeat(32));
    assert_eq!(verify(&mutated), Some(1), "another randomness is invalid");
    assert_eq!(proof.len(), 384);

    // A lying prover beside the honest one: whatever it returns, the answer is right.
    cluster.add("liar", Role::Window, vec![], wrong).unwrap();
    cluster.wait_for_workers(3).unwrap();
    for _ in 0..3 {
        let post = compute(&cluster);
        assert_eq!(post["partitions"][0]["worker"], "honest", "{post}");
        assert_eq!(verify(&post), Some(0));
    }

    // Damage sector 1: proofs go on without it, and it is named.
    let sealed = cluster.data_dir("seal").join("storage/sealed/s-t01000-1");
    let mut bytes = std::fs::read(&sealed).unwrap();
    bytes.iter_mut().for_each(|b| *b ^= 0x01);
    std::fs::write(&sealed, bytes).unwrap();
    let post = compute(&cluster);
    let skipped = post["partitions"][0]["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1, "{post}");
    assert!(skipped[0].to_string().contains('1'), "{post}");
    assert_eq!(verify(&post), Some(0), "the proof over the rest holds");
    let check = cluster.ctl(&["proving", "check", "0"]).unwrap();
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(text.lines().any(|l| l.contains("bad")) && text.lines().any(|l| l.contains("good")), "{text}");
}

fn compute(cluster: &Cluster) -> Value {
    let post = cluster.ctl_json(&["proving", "compute", "window-post", "0"]);
    post.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()))
}

/// Exit code of `sp-verify verify -` on this JSON.
fn verify(post: &Value) -> Option<i32> {
    let mut child = Command::new(bin_dir().unwrap().join("sp-verify"))
        .args(["verify", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(post.to_string().as_bytes()).unwrap();
    child.wait().unwrap().code()
}
