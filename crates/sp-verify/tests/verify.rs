//! The binary against real proofs: a window PoSt of two sealed 2 KiB sectors, under parameters that it made itself.
// The whole file is a test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use proofs_core::stages::{self, PostSector, SectorContext};
use serde_json::{Value, json};
use sp_net::frame::blocking::{read, write};
use sp_proto::v1;
use sp_proto::v1::verify_request::What;
use sp_proto::v1::verify_response::Verdict;
use sp_types::{PostProof, PostType, ProverId, Randomness, RegisteredSealProof, SectorSize};
use tempfile::TempDir;

const PROVER: &str = env!("CARGO_BIN_EXE_sp-verify");
const MINER: u64 = 1000;
const OUT: &str = "SP_TEST_OUT";

fn run(args: &[&str]) -> Output {
    Command::new(PROVER).args(args).stdin(Stdio::null()).output().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Parameters for window PoSt, and a window PoSt document, in one directory.
fn fixture() -> (TempDir, Value) {
    let dir = TempDir::new().unwrap();
    let made = run(&["params", "generate", "--sector-size", "2KiB", "--kinds", "window", "--dir", path(dir.path())]);
    assert!(made.status.success(), "{made:?}");
    // Upstream reads its directories from the environment once: the prover is this test program again, in its own
    // process.
    let out = dir.path().join("proof.json");
    let proven = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "prove_window_post", "--ignored"])
        .env("FIL_PROOFS_PARAMETER_CACHE", dir.path())
        .env("FIL_PROOFS_PARENT_CACHE", dir.path())
        .env(OUT, &out)
        .output()
        .unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stdout));
    let document = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
    (dir, document)
}

#[test]
#[ignore = "started by the other tests as their prover process"]
fn prove_window_post() {
    let out = PathBuf::from(std::env::var_os(OUT).expect("started by a test"));
    let prover_id = ProverId::of_miner(MINER);
    let proof = PostProof { size: SectorSize::KiB2, post_type: PostType::Window };
    let randomness = Randomness::new([9; 32]);
    let (sectors, vanilla): (Vec<_>, Vec<_>) = [1, 2]
        .map(|number| {
            let (sector, dir) = seal(prover_id, number);
            let (sealed, cache) = (dir.path().join("sealed"), dir.path().join("cache"));
            let vanilla = stages::vanilla_proof(proof, prover_id, &randomness, &sector, &sealed, &cache).unwrap();
            (json!({"number": number, "comm_r": sector.comm_r.to_string()}), vanilla)
        })
        .into_iter()
        .unzip();
    let snark = stages::window_post_partition(proof, prover_id, &randomness, 0, &vanilla).unwrap();
    let document = json!({
        "deadline": 5, "proof_type": proof.to_string(), "prover_id": hex::encode(prover_id.0),
        "randomness": randomness.to_string(), "took_ms": 1,
        "partitions": [{"index": 0, "worker": "here", "sectors": sectors, "skipped": [], "proof": hex::encode(snark)}],
    });
    fs::write(out, document.to_string()).unwrap();
}

fn seal(prover_id: ProverId, number: u64) -> (PostSector, TempDir) {
    let proof = RegisteredSealProof::v1_1(SectorSize::KiB2);
    let (ctx, dir) = (SectorContext { proof, prover_id, number }, TempDir::new().unwrap());
    let [unsealed, sealed, cache] = ["unsealed", "sealed", "cache"].map(|name| dir.path().join(name));
    fs::create_dir(&cache).unwrap();
    let pieces = stages::fill_with_zeros(proof, &[], &unsealed).unwrap();
    let phase1 = stages::pc1(&ctx, [3; 32], &pieces, &unsealed, &sealed, &cache).unwrap().phase1;
    let commitments = stages::pc2(&ctx, &phase1, &cache, &sealed).unwrap();
    (PostSector { number, comm_r: commitments.comm_r }, dir)
}

#[test]
fn documents_are_judged() {
    let (dir, document) = fixture();
    let file = dir.path().join("claim.json");
    let judge = |document: &Value| {
        fs::write(&file, document.to_string()).unwrap();
        run(&["verify", path(&file), "--dir", path(dir.path())])
    };
    let valid = judge(&document);
    let text = String::from_utf8(valid.stdout.clone()).unwrap();
    assert_eq!(code(&valid), 0, "{valid:?}");
    assert!(text.contains("valid: partition 0 (StackedDrgWindow2KiBV1_2) of sectors 1, 2"), "{text}");
    assert!(text.ends_with("valid under INSECURE development parameters\n"), "{text}");

    let proof = document["partitions"][0]["proof"].as_str().unwrap();
    let other_proof = format!("{}{}", &proof[..2], proof[2..].replacen(['0', '1'], "2", 1));
    let zeros = "00".repeat(31) + "01";
    for (pointer, value) in [
        ("/partitions/0/proof", json!(other_proof)),
        ("/partitions/0/proof", json!(&proof[2..])),
        ("/partitions/0/sectors/0/comm_r", json!(zeros.chars().rev().collect::<String>())),
        ("/partitions/0/sectors/1/number", json!(3)),
        ("/randomness", json!("11".repeat(32))),
    ] {
        let mut changed = document.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let output = judge(&changed);
        assert_eq!(code(&output), 1, "{pointer}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("invalid: "), "{output:?}");
    }
    with_skipped_partitions(&document, &judge);
    assert_eq!(code(&judge(&json!({"sector": 1}))), 2);
    assert_eq!(code(&run(&["verify", "/nonexistent/file"])), 2);

    // Without parameters nothing is decided.
    let empty = TempDir::new().unwrap();
    fs::write(&file, document.to_string()).unwrap();
    let undecided = run(&["verify", path(&file), "--dir", path(empty.path())]);
    assert_eq!(code(&undecided), 2);
    assert!(String::from_utf8_lossy(&undecided.stderr).contains(".vk is missing"), "{undecided:?}");

    let mut piped = Command::new(PROVER)
        // Without a file it reads standard input.
        .args(["verify", "--json"])
        .env("FIL_PROOFS_PARAMETER_CACHE", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(document.to_string().as_bytes()).unwrap();
    let verdict: Value = serde_json::from_slice(&piped.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!((&verdict["valid"], &verdict["insecure_parameters"]), (&json!(true), &json!(true)));
    served(&dir, &document);
    refused_on_other_networks(&dir, &document);
}

/// A partition whose sectors were all skipped is no part of the verdict; where nothing else is, nothing is proven.
fn with_skipped_partitions(document: &Value, judge: &impl Fn(&Value) -> Output) {
    let skipped = json!({"index": 1, "worker": "", "sectors": [], "proof": "",
        "skipped": [{"number": 7, "reason": "sealed file is cut"}]});
    let mut mixed = document.clone();
    mixed["partitions"].as_array_mut().unwrap().push(skipped.clone());
    let output = judge(&mixed);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text.contains("no claim: partition 1 skipped all of its 1 sectors"), "{text}");
    let mut nothing = document.clone();
    nothing["partitions"] = json!([skipped]);
    let output = judge(&nothing);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("nothing is proven"), "{output:?}");
    // An empty proof alone is not a partition that was left out.
    mixed["partitions"][1]["skipped"] = json!([]);
    assert_eq!(code(&judge(&mixed)), 1);
}

/// Parameters that anybody can forge proofs for judge nothing on a real network, marked or not.
fn refused_on_other_networks(dir: &TempDir, document: &Value) {
    fs::remove_file(dir.path().join("INSECURE-DEVELOPMENT-PARAMETERS")).unwrap();
    let mut child = Command::new(PROVER)
        .args(["serve", "--parent", &std::process::id().to_string(), "--network", "mainnet"])
        .env("FIL_PROOFS_PARAMETER_CACHE", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut requests, mut answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let what = Some(What::Post(post_message(document)));
    write(&mut requests, &v1::VerifyRequest { request: 1, what }).unwrap();
    let answer: v1::VerifyResponse = read(&mut answers).unwrap().expect("an answer");
    drop(requests);
    assert!(child.wait().unwrap().success());
    let Some(Verdict::Failed(failure)) = answer.verdict else { panic!("decided: {:?}", answer.verdict) };
    assert_eq!(failure.code, "SP-BAD-PARAMETERS");
    assert!(failure.message.contains("INSECURE") && failure.message.contains("mainnet"), "{}", failure.message);
}

/// The same claims over the pipe.
fn served(dir: &TempDir, document: &Value) {
    let mut child = Command::new(PROVER)
        .args(["serve", "--parent", &std::process::id().to_string()])
        .env("FIL_PROOFS_PARAMETER_CACHE", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut requests, mut answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut number = 0;
    let mut ask = |what: Option<What>| {
        number += 1;
        write(&mut requests, &v1::VerifyRequest { request: number, what }).unwrap();
        let answer: v1::VerifyResponse = read(&mut answers).unwrap().expect("an answer");
        assert_eq!(answer.request, number);
        answer.verdict.unwrap()
    };
    let failed = |verdict: Verdict| match verdict {
        Verdict::Failed(failure) => failure.code,
        Verdict::Valid(valid) => panic!("decided: {valid}"),
    };
    let post = post_message(document);
    let window = post.post_proof.clone();
    assert_eq!(
        ask(Some(What::Warm(v1::VerifyWarm { seal_proof: 0, post_proofs: vec![window] }))),
        Verdict::Valid(true)
    );
    assert_eq!(ask(Some(What::Post(post.clone()))), Verdict::Valid(true));
    assert_eq!(
        ask(Some(What::Post(v1::VerifyPost { randomness: vec![1; 32], ..post.clone() }))),
        Verdict::Valid(false)
    );
    assert_eq!(ask(Some(What::Post(v1::VerifyPost { sectors: vec![], ..post.clone() }))), Verdict::Valid(false));
    assert_eq!(failed(ask(Some(What::Post(v1::VerifyPost { randomness: vec![1], ..post })))), "SP-BAD-REQUEST");
    assert_eq!(failed(ask(Some(What::Seal(seal_message())))), "SP-BAD-PARAMETERS");
    assert_eq!(
        failed(ask(Some(What::Warm(v1::VerifyWarm { seal_proof: 5, ..Default::default() })))),
        "SP-BAD-PARAMETERS"
    );
    assert_eq!(failed(ask(None)), "SP-BAD-REQUEST");

    drop(requests);
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it ends when its stdin does");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
}

fn post_message(document: &Value) -> v1::VerifyPost {
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let partition = &document["partitions"][0];
    let sectors = partition["sectors"].as_array().unwrap().iter().map(|sector| v1::PostSector {
        number: sector["number"].as_u64().unwrap(),
        comm_r: bytes(&sector["comm_r"]),
        seal_proof: 5,
    });
    v1::VerifyPost {
        post_proof: document["proof_type"].as_str().unwrap().to_owned(),
        miner: MINER,
        randomness: bytes(&document["randomness"]),
        partition: 0,
        sectors: sectors.collect(),
        proof: bytes(&partition["proof"]),
    }
}

fn seal_message() -> v1::VerifySeal {
    let [ticket, seed, comm_d, comm_r] = [1, 2, 3, 4].map(|byte| vec![byte; 32]);
    v1::VerifySeal { seal_proof: 5, miner: MINER, sector: 1, ticket, seed, comm_d, comm_r, proof: vec![0; 192] }
}

#[test]
fn parameter_tools_report_in_words_and_json() {
    let dir = TempDir::new().unwrap();
    let dir = path(dir.path());
    let window = ["--sector-size", "2KiB", "--kinds", "window", "--dir", dir];
    let missing = run(&[&["params", "check"], &window[..]].concat());
    assert_eq!(code(&missing), 1);
    assert!(String::from_utf8_lossy(&missing.stdout).contains("is missing"), "{missing:?}");
    assert!(run(&[&["params", "generate"], &window[..]].concat()).status.success());
    let checked = run(&[&["params", "check", "--json"], &window[..]].concat());
    let value: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&value["ok"], &value["insecure"]), (&json!(true), &json!(true)));
    assert_eq!(value["sets"][0]["digest"], "03c0b1d6c21997cc691eb8cd9e7fd38c");
    let listed = run(&["params", "list", "--dir", dir]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains("INSECURE development") && text.contains("window   2KiB"), "{text}");

    let refused = run(&["params", "generate", "--sector-size", "32GiB", "--dir", dir]);
    assert_eq!(code(&refused), 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be generated here"), "{refused:?}");
    assert_eq!(code(&run(&["params", "generate", "--sector-size", "3KiB"])), 2);
    assert_eq!(code(&run(&["params", "fetch", "--sector-size", "32GiB", "--dir", dir])), 1);
}

#[test]
fn a_killed_generation_leaves_nothing_visible_and_the_next_one_cleans_up() {
    let dir = TempDir::new().unwrap();
    let args = ["params", "generate", "--sector-size", "2KiB", "--kinds", "winning", "--dir", path(dir.path())];
    let mut child = Command::new(PROVER).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let names = || {
        let entries = fs::read_dir(dir.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let half = || names().into_iter().find(|name| name.ends_with(".params.partial"));
    let start = Instant::now();
    while half().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "it starts to write");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = half().expect("killed in the middle");
    assert!(left.starts_with('.'), "{left}");
    assert!(names().iter().all(|name| name.starts_with('.') || name.starts_with("INSECURE")), "{:?}", names());
    assert!(run(&args).status.success());
    assert_eq!(half(), None);
    let check = ["params", "check", "--sector-size", "2KiB", "--kinds", "winning", "--dir", path(dir.path())];
    assert!(run(&check).status.success());
}
