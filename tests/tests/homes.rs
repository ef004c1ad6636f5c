//! Paths that only seal and one that only stores, by real processes: a finished sector goes home by itself, leaves nothing
//! where it was made, and is proven from there. An operator moves it to another path, and it is proven from that. Another
//! cluster takes it over like one of Lotus, and proves it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sp_tests::{Cluster, Setup, jobs, judge, stores, wait};

/// Longest that a whole proof may take on a busy machine.
const PROOF_LIMIT: Duration = Duration::from_secs(600);

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_finished_sector_goes_to_the_path_that_stores_and_is_proven_there() {
    let mut cluster = apart();
    assert_eq!(cluster.pledge(1).unwrap(), [0]);
    cluster.wait_for_state(&[0], &["Proving"], PROOF_LIMIT).unwrap();
    let at_home =
        BTreeSet::from([("Cache".to_owned(), path(&cluster, "shelf")), ("Sealed".to_owned(), path(&cluster, "shelf"))]);
    let there = wait::until("the sector to be at home", LIMIT, || {
        Ok((jobs::list(&cluster)?.is_empty() && places(&cluster)? == at_home).then_some(()))
    });
    there.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", places(&cluster), cluster.tails()));
    let log = cluster.ctl_json(&["sectors", "status", "0", "--log"]).unwrap().to_string();
    assert!(log.contains("GET accepted"), "{log}");
    proven(&cluster);
    moved_to_the_attic(&cluster);
    let records = cluster.dir().join("records.json");
    std::fs::write(&records, cluster.ctl(&["sectors", "export", "0"]).unwrap().stdout).unwrap();
    scrubbed(&cluster);
    cluster.kill9_all().unwrap();
    let kept = |name: &str| {
        let found = stores::verified(path(&cluster, name).as_ref()).unwrap();
        found.iter().map(|info| info.id.kind.name()).collect::<Vec<_>>()
    };
    assert_eq!((kept("seal-a"), kept("seal-b")), (vec![], vec![]), "nothing is left where it was made");
    assert_eq!((kept("shelf"), kept("attic")), (vec![], vec!["sealed", "cache"]));
    taken_over_by_another_cluster(&path(&cluster, "attic"), &records.display().to_string());
}

/// A path as Lotus leaves it, with one finished sector: imported where it lies, proven, moved, and proven again.
fn taken_over_by_another_cluster(attic: &str, records: &str) {
    std::fs::remove_dir_all(Path::new(attic).join(".sp")).unwrap();
    let [known, nobodys] = [0, 7].map(|number| Path::new(attic).join(format!("sealed/s-t01000-{number}")));
    std::fs::copy(known, &nobodys).unwrap();
    let keeps = |name: &str| (name.to_owned(), vec!["--no-default".to_owned(), "--no-local-storage".to_owned()]);
    let sealing = vec![keeps("keeper"), keeps("cellar")];
    let mut cluster = Cluster::start(Setup { sealing, window: vec!["prover".into()], ..Setup::default() }).unwrap();
    cluster.ctl_json(&["storage", "attach", "--worker", "keeper", attic]).unwrap();
    let import = |flags: &[&str]| {
        let args = [&["sectors", "import", "--all"], flags].concat();
        // The path is attached before what lies in it is declared.
        let rows = wait::until("the sector to be seen", LIMIT, || {
            let rows = cluster.ctl_json(&args)?;
            Ok(rows.as_array().is_some_and(|rows| !rows.is_empty()).then_some(rows))
        });
        rows.unwrap()[0].clone()
    };
    let could = import(&["--dry-run"]);
    assert!(could["comm_r"].as_str().is_some_and(|comm_r| comm_r.len() == 64), "{could}");
    let imported = import(&["--record", records]);
    assert_eq!((&imported["state"], &imported["comm_r"]), (&Value::from("Proving"), &could["comm_r"]), "{imported}");
    proven(&cluster);
    let seal = cluster.ctl_json(&["sectors", "proof", "0"]).unwrap();
    assert_eq!(judge::verify("sp-verify", &seal).unwrap(), Some(0), "{seal}");
    cleaned_up(&cluster, &nobodys);

    let cellar = path(&cluster, "cellar");
    let attach = ["storage", "attach", "--worker", "cellar", "--init", "--store", &cellar];
    let attached = cluster.ctl_json(&attach).unwrap();
    cluster.ctl_json(&["storage", "move", "0", "--to", attached["store"].as_str().unwrap()]).unwrap();
    let there = BTreeSet::from([("Cache".to_owned(), cellar.clone()), ("Sealed".to_owned(), cellar.clone())]);
    let gone = wait::until("the old copies to go", LIMIT, || Ok((places(&cluster)? == there).then_some(())));
    gone.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", places(&cluster), cluster.tails()));
    proven(&cluster);
    cluster.kill9_all().unwrap();
    assert!(stores::verified(attic.as_ref()).unwrap().is_empty());
    assert_eq!(stores::verified(cellar.as_ref()).unwrap().len(), 2);
}

/// A file of a sector that nobody knows stays until an operator says otherwise, and as long as it is pinned.
fn cleaned_up(cluster: &Cluster, nobodys: &Path) {
    let unclaimed = || cluster.ctl_json(&["storage", "cleanup"]).unwrap();
    let found = unclaimed();
    assert_eq!((&found[0]["sector"], &found[0]["kinds"][0]), (&Value::from(7), &Value::from("Sealed")), "{found}");
    cluster.ctl_json(&["sectors", "pin", "7", "--reason", "evidence"]).unwrap();
    cluster.ctl_json(&["sectors", "pin", "0"]).unwrap();
    let shown = cluster.ctl(&["sectors", "status", "0"]).unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("\nPinned:\t\tyes"), "{shown:?}");
    cluster.ctl_json(&["sectors", "unpin", "0"]).unwrap();
    let approve = ["storage", "cleanup", "7", "--really-do-it"];
    let kept = cluster.ctl(&approve).unwrap();
    assert!(!kept.status.success() && String::from_utf8_lossy(&kept.stderr).contains("pinned (evidence)"), "{kept:?}");
    assert!(nobodys.exists());
    cluster.ctl_json(&["sectors", "unpin", "7"]).unwrap();
    let swept = cluster.ctl_json(&approve).unwrap();
    assert_eq!(swept[0]["state"], "Removed", "{swept}\n{}", cluster.tails());
    assert!(!nobodys.exists());
    assert_eq!(unclaimed(), Value::Array(vec![]));
}

/// An operator moves the sector to a path of another worker, and it stays there.
fn moved_to_the_attic(cluster: &Cluster) {
    let attic = path(cluster, "attic");
    let attach = ["storage", "attach", "--worker", "seal-a", "--init", "--store", "--weight", "1", &attic];
    let attached = cluster.ctl_json(&attach).unwrap();
    let moved = cluster.ctl_json(&["storage", "move", "0", "--to", attached["store"].as_str().unwrap()]).unwrap();
    assert_eq!((&moved[0]["files"], &moved[0]["done"]), (&Value::from(2), &Value::from(true)), "{moved}");
    let there = BTreeSet::from([("Cache".to_owned(), attic.clone()), ("Sealed".to_owned(), attic)]);
    let gone = wait::until("the old copies to go", LIMIT, || Ok((places(cluster)? == there).then_some(())));
    gone.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", places(cluster), cluster.tails()));
    proven(cluster);
    let wrong = cluster.ctl(&["storage", "move", "0", "--to", "nowhere"]).unwrap();
    assert_eq!(wrong.status.code(), Some(3), "{wrong:?}");
}

/// A bit that flips on the disk is found, with its path and its chunk. A path that comes with a good copy mends it: that copy
/// stays, though the other one is where the operator wants it, and takes its place. Then all is well, down to the commitments.
fn scrubbed(cluster: &Cluster) {
    let found = cluster.ctl_json(&["storage", "find", "0"]).unwrap();
    let store = found[0]["store"].as_str().unwrap();
    let scrub = ["storage", "scrub", "--store", store];
    let (attic, spare) = (path(cluster, "attic"), path(cluster, "spare"));
    let sealed = format!("{attic}/sealed/s-t01000-0");
    stores::copy(attic.as_ref(), spare.as_ref()).unwrap();
    let mut bytes = std::fs::read(&sealed).unwrap();
    bytes[700] ^= 4;
    std::fs::write(&sealed, bytes).unwrap();
    let output = cluster.ctl(&[&scrub[..], &["--json"]].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fault = &report["results"][0];
    let named = ["store", "kind", "result"].map(|key| fault[key].as_str().unwrap_or_default());
    assert_eq!(named, [store, "Sealed", "faulty"], "{report}");
    assert_eq!((fault["sector"].as_u64(), fault["chunk"].as_u64()), (Some(0), Some(0)), "{report}");
    assert_eq!(faulty(cluster).unwrap(), 1, "the index knows");

    // As a path of its own, with its own id.
    let meta = format!("{spare}/sectorstore.json");
    let mut of_spare: Value = serde_json::from_slice(&std::fs::read(&meta).unwrap()).unwrap();
    of_spare["ID"] = "spare".into();
    std::fs::write(&meta, of_spare.to_string()).unwrap();
    cluster.ctl_json(&["storage", "attach", "--worker", "shelf", &spare]).unwrap();
    let home = BTreeSet::from([("Cache".to_owned(), attic.clone()), ("Sealed".to_owned(), attic)]);
    let mended = wait::until("the good copy to take its place", LIMIT, || {
        let is_mended = faulty(cluster)? == 0 && places(cluster)? == home && jobs::list(cluster)?.is_empty();
        Ok(is_mended.then_some(()))
    });
    mended.unwrap_or_else(|e| panic!("{e:#}: {:?}\n{}", places(cluster), cluster.tails()));
    cluster.ctl_json(&["storage", "detach", "spare"]).unwrap();
    let report = cluster.ctl_json(&[&scrub[..], &["--deep"]].concat()).unwrap();
    let rows = report["results"].as_array().unwrap();
    let sound = rows.iter().filter(|row| row["result"] == "sound").map(|row| (&row["kind"], &row["check"]));
    let expected = [("Sealed", "digests"), ("Sealed", "commitment"), ("Cache", "digests")];
    let sound: BTreeSet<_> = sound.map(|(kind, check)| (kind.as_str().unwrap(), check.as_str().unwrap())).collect();
    assert_eq!(sound, BTreeSet::from(expected), "{report}\n{}", cluster.tails());
}

/// How many files of the sector have a fault, as far as is known.
fn faulty(cluster: &Cluster) -> anyhow::Result<usize> {
    let found = cluster.ctl_json(&["storage", "find", "0"])?;
    Ok(found.as_array().map_or(0, |rows| rows.iter().filter(|row| row["soundness"] == "faulty").count()))
}

/// Two workers that seal on paths for that alone, and one that keeps what they make.
fn apart() -> Cluster {
    let mut setup = Setup { window: vec!["prover".into()], ..Setup::two_sealing() };
    setup.sealing.push(("shelf".into(), vec!["--no-default".into()]));
    setup.sealing.iter_mut().for_each(|(_, flags)| flags.push("--no-local-storage".into()));
    let cluster = Cluster::start(setup).unwrap();
    for (name, purpose) in [("seal-a", "--seal"), ("seal-b", "--seal"), ("shelf", "--store")] {
        let path = path(&cluster, name);
        cluster.ctl_json(&["storage", "attach", "--worker", name, "--init", purpose, &path]).unwrap();
    }
    cluster
}

/// The path of this worker.
fn path(cluster: &Cluster, name: &str) -> String {
    cluster.dir().join(format!("path-{name}")).display().to_string()
}

/// Kind and path of every file of the sector that the index knows.
fn places(cluster: &Cluster) -> anyhow::Result<BTreeSet<(String, String)>> {
    let found = cluster.ctl_json(&["storage", "find", "0"])?;
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = found.as_array().cloned().unwrap_or_default();
    Ok(rows.iter().map(|row| (text(row, "kind"), text(row, "local_path"))).collect())
}

fn proven(cluster: &Cluster) {
    let output = cluster.ctl(&["proving", "compute", "window-post", "0"]).unwrap();
    assert!(output.status.success(), "{output:?}\n{}", cluster.tails());
    let text = String::from_utf8(output.stdout).unwrap();
    // `Took ...`, then the JSON.
    let post: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    assert_eq!(post["partitions"][0]["skipped"], Value::Array(vec![]), "{post}");
    assert_eq!(judge::verify("sp-verify", &post).unwrap(), Some(0), "{post}");
}
