//! Storage paths on real processes, as Lotus tests them: detached, attached elsewhere, read again, emptied, unmounted.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sp_tests::operation::Operation;
use sp_tests::{Cluster, Setup, audit, shelf, stores, wait};

/// Longest from AP to C1 on a busy machine.
const SEAL_LIMIT: Duration = Duration::from_secs(300);

/// Health is reported every 10 s.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn sectors_follow_their_path_wherever_it_is_attached() {
    let setup = Setup {
        sealing: vec![("sealer".into(), vec!["--no-local-storage".into()])],
        window: vec!["prover".into()],
        ..Setup::default()
    };
    let cluster = Cluster::start(setup).unwrap();
    let (first, second) = (cluster.dir().join("first"), cluster.dir().join("second"));
    shelf::fill(&first, 0..1).unwrap();
    let id = attach(&cluster, &first, &["--init", "--seal", "--store"]);
    shelf::import(&cluster, 0..1).unwrap();
    check(&cluster, true);

    // The only copies do not leave by mistake.
    let refused = cluster.ctl(&["storage", "detach", &id]).unwrap();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("on this path only (0)"), "{why}");
    let detached = cluster.ctl_json(&["storage", "detach", "--really-do-it", &id]).unwrap();
    assert_eq!((detached["store"].as_str(), detached["files"].as_u64()), (Some(id.as_str()), Some(2)), "{detached}");
    assert_eq!(row(&cluster, &id), None);
    check(&cluster, false);

    // The files in another directory: as it is, and it is the same store.
    stores::copy(&first, &second).unwrap();
    assert_eq!(attach(&cluster, &second, &[]), id);
    check(&cluster, true);

    // A disk that is unmounted loses nothing, and is there again when it is.
    let away = cluster.dir().join("away");
    fs::rename(&second, &away).unwrap();
    fs::create_dir(&second).unwrap();
    let reason = until(&cluster, &id, |row| row["healthy"] == false);
    assert!(reason["unhealthy_reason"].as_str().unwrap().contains("mount its disk"), "{reason}");
    assert_eq!(files(&cluster), ["Cache", "Sealed"], "the index goes on listing what it knew");
    fs::remove_dir(&second).unwrap();
    fs::rename(&away, &second).unwrap();
    until(&cluster, &id, |row| row["healthy"] == true);
    check(&cluster, true);

    // What is gone stays listed until the operator says that it is gone.
    fs::remove_file(second.join("sealed/s-t01000-0")).unwrap();
    let read = cluster.ctl_json(&["storage", "redeclare", "--id", &id]).unwrap();
    assert_eq!((read[0]["files"].as_u64(), read[0]["missing"].as_u64()), (Some(1), Some(1)), "{read}");
    assert_eq!(files(&cluster), ["Cache", "Sealed"]);
    let read = cluster.ctl_json(&["storage", "redeclare", "--all", "--drop-missing"]).unwrap();
    let mine = read.as_array().unwrap().iter().find(|row| row["store"] == id.as_str()).unwrap();
    assert_eq!(mine["missing"].as_u64(), Some(1), "{read}");
    wait::until("the index to have forgotten it", LIMIT, || Ok((files(&cluster) == ["Cache"]).then_some(()))).unwrap();
}

/// Of a sector with two pieces one is kept: it is read on, the other one is refused, and comes back with all of it.
#[test]
fn an_unsealed_copy_gives_back_the_pieces_that_are_not_kept() {
    let flags = ["--commit=false"].map(String::from).to_vec();
    let setup = Setup { sealing: vec![("sealer".into(), flags)], ..Setup::default() };
    let mut cluster = Cluster::start(setup).unwrap();
    let data = [vec![1u8; 400], (0..900u32).map(|at| (at % 251) as u8).collect()];
    let names = ["one", "two"].map(|name| cluster.dir().join(name).display().to_string());
    names.iter().zip(&data).for_each(|(name, data)| fs::write(name, data).unwrap());
    cluster.ctl_json(&["sectors", "add", &names[0], &names[1]]).unwrap();
    cluster.wait_for_state(&[0], &["Committing2"], SEAL_LIMIT).unwrap();
    Operation::Finalize(0).see_to_its_end(&cluster).unwrap();

    let status = || cluster.ctl_json(&["sectors", "status", "0"]).unwrap();
    let cids: Vec<String> =
        status()["data_pieces"].as_array().unwrap().iter().map(|p| p["cid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(status()["unsealed"]["partial"], false, "{}", status());
    let release = |keep: &[&str]| {
        let keep: Vec<&str> = keep.iter().flat_map(|cid| ["--keep", cid]).collect();
        cluster.ctl_json(&[&["sectors", "release-unsealed", "0"][..], &keep].concat()).unwrap()
    };
    assert_eq!(release(&[&cids[0], &cids[1]])["under_way"], false);
    let released = release(&[&cids[1]]);
    assert_eq!((&released["kept"], &released["under_way"]), (&Value::from(1), &Value::from(true)), "{released}");
    let unsealed = wait::until("the rest to be gone", LIMIT, || {
        let unsealed = cluster.ctl_json(&["sectors", "status", "0"])?["unsealed"].clone();
        Ok((unsealed["partial"] == true).then_some(unsealed))
    });
    let unsealed = unsealed.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    assert_eq!(
        (&unsealed["held"][0]["start"], &unsealed["pieces"]),
        (&Value::from(1024), &Value::from(1)),
        "{unsealed}"
    );
    let page = cluster.ctl(&["sectors", "status", "0"]).unwrap();
    assert!(String::from_utf8_lossy(&page.stdout).contains("Unsealed:\tpartial, 1 of 2 pieces"));

    let out = cluster.dir().join("out");
    let unseal = |cid: &str| {
        let args = ["sectors", "unseal", "0", "--piece", cid, "--output", &out.display().to_string()];
        cluster.ctl_json(&args).unwrap();
        fs::read(&out).unwrap()
    };
    assert_eq!(unseal(&cids[1]), data[1]);
    let log = cluster.ctl_json(&["sectors", "status", "0", "--log"]).unwrap().to_string();
    assert!(!log.contains("UNS asked for"), "nothing is unsealed for what is there: {log}");
    scrubbed(&cluster);
    audit::clean(&cluster).unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));

    // Whoever wants the other piece gets all of it back.
    assert_eq!(unseal(&cids[0]), data[0]);
    assert_eq!(status()["unsealed"]["partial"], false, "{}", status());
    audit::clean(&cluster).unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
}

/// A scrub finds nothing wrong with what is left, and says what it could not compare.
fn scrubbed(cluster: &Cluster) {
    let report = cluster.ctl_json(&["storage", "scrub", "--worker", "sealer", "--deep", "--all"]).unwrap();
    let rows = report["results"].as_array().unwrap();
    let unsealed = rows.iter().filter(|row| row["kind"] == "Unsealed").map(|row| (&row["check"], &row["result"]));
    let found: BTreeSet<_> =
        unsealed.map(|(check, result)| (check.as_str().unwrap(), result.as_str().unwrap())).collect();
    assert_eq!(found, BTreeSet::from([("digests", "sound"), ("commitment", "skipped")]), "{report}");
    assert!(report.to_string().contains("partial: comm_d not checked"), "{report}");
}

fn attach(cluster: &Cluster, path: &Path, flags: &[&str]) -> String {
    let path = path.display().to_string();
    let args = [&["storage", "attach", "--worker", "sealer"], flags, &[&path]].concat();
    let attached = cluster.ctl_json(&args).unwrap();
    let id = attached["store"].as_str().unwrap().to_owned();
    wait::until("the path to be listed", LIMIT, || Ok(row(cluster, &id).filter(|row| row["healthy"] == true))).unwrap();
    id
}

/// The path as `storage list` has it.
fn row(cluster: &Cluster, id: &str) -> Option<Value> {
    let rows = cluster.ctl_json(&["storage", "list"]).unwrap();
    rows.as_array().unwrap().iter().find(|row| row["store"] == id).cloned()
}

fn until(cluster: &Cluster, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait::until("news of the path", LIMIT, || Ok(row(cluster, id).filter(|row| is(row)))).unwrap()
}

/// Can sector 0 be read for a proof? The prover learns where it is with the next facts.
fn check(cluster: &Cluster, good: bool) {
    let checked = wait::until(&format!("sector 0 to be provable: {good}"), LIMIT, || {
        let rows = cluster.ctl_json(&["proving", "check", "0"])?;
        Ok((rows[0]["good"] == good).then_some(()))
    });
    checked.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
}

/// Kinds of the files of sector 0 that the index knows.
fn files(cluster: &Cluster) -> Vec<String> {
    let found = cluster.ctl_json(&["storage", "find", "0"]).unwrap();
    let mut kinds: Vec<String> =
        found.as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}
