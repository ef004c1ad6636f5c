//! Snaps by real processes: new data in a sealed sector is proven, judged and read back, and an update that is dropped
//! leaves nothing behind. Another cluster takes the updated sector over like one of Lotus, proves it and reads it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sp_tests::{Cluster, Role, Setup, jobs, judge, stores, wait};
use sp_types::FileKind;

/// The only sector.
const SECTOR: &str = "0";

/// Longest that a whole proof may take on a busy machine.
const PROOF_LIMIT: Duration = Duration::from_secs(600);

/// What of an updated sector is there when its unsealed copy is not.
const SNAPPED: [&str; 4] = ["Cache", "Sealed", "Update", "UpdateCache"];

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_sector_takes_new_data_and_an_update_that_is_dropped_leaves_nothing() {
    let scheduler = vec!["--make-cc-sectors-available".to_owned()];
    let setup = Setup { window: vec!["prover".into()], scheduler, ..Setup::two_sealing() };
    let mut cluster = Cluster::start(setup).unwrap();
    assert_eq!(cluster.pledge(1).unwrap(), [0]);
    cluster.wait_for_state(&[0], &["Available"], PROOF_LIMIT).unwrap();
    let before = replicas(&cluster);
    assert_eq!(kinds(&before), ["Cache", "Sealed"]);
    let old = status(&cluster)["comm_r"].clone();

    a_dropped_update_leaves_the_sector_as_it_was(&mut cluster, &before);
    assert_eq!(status(&cluster)["comm_r"], old);

    let [small, large] = ["small", "large"].map(|name| cluster.dir().join(name).display().to_string());
    let data = [write_bytes(small.as_ref(), 300, 7), write_bytes(large.as_ref(), 1000, 11)];
    let snapped = cluster.ctl_json(&["sectors", "snap", SECTOR, &small, &large, "--wait"]);
    let snapped = snapped.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    assert_eq!(snapped["state"], "Proving", "{snapped}");
    let proof = cluster.ctl_json(&["sectors", "proof", SECTOR, "--update"]).unwrap();
    assert_eq!((&proof["comm_r_old"], &proof["comm_r_new"]), (&old, &status(&cluster)["comm_r"]));
    anybody_can_check(&proof);
    assert!(replicas(&cluster).is_superset(&before), "the replica before the update stays");

    the_update_is_proven_at_its_deadline(&cluster, &proof["comm_r_new"]);
    the_data_comes_out_of_the_update(&cluster, &data);
    a_lost_sector_key_is_made_again(&mut cluster);
    let records = cluster.dir().join("records.json");
    std::fs::write(&records, cluster.ctl(&["sectors", "export", SECTOR]).unwrap().stdout).unwrap();
    assert_stores_are_whole(&mut cluster);
    another_cluster_takes_it_over(&cluster.data_dir("seal-b").join("storage"), &records, &proof, &data);
}

/// A path as Lotus leaves it, and no unsealed copy: the data comes out of the update, by what its record tells.
fn another_cluster_takes_it_over(storage: &Path, records: &Path, proof: &Value, data: &[Vec<u8>; 2]) {
    std::fs::remove_dir_all(storage.join(".sp")).unwrap();
    if storage.join("unsealed").exists() {
        std::fs::remove_dir_all(storage.join("unsealed")).unwrap();
    }
    let sealing = vec![("keeper".to_owned(), vec!["--no-local-storage".to_owned()])];
    let cluster = Cluster::start(Setup { sealing, window: vec!["prover".into()], ..Setup::default() }).unwrap();
    cluster.ctl_json(&["storage", "attach", "--worker", "keeper", &storage.display().to_string()]).unwrap();
    // The path is attached before what lies in it is declared; until then nobody has heard of the sector.
    eventually(&cluster, "all to be seen", |cluster| {
        let is_there = cluster.ctl_json(&["storage", "find", SECTOR]).is_ok();
        Ok(is_there && kinds(&replicas(cluster)) == SNAPPED)
    });
    let import = |flags: &[&str]| cluster.ctl_json(&[&["sectors", "import", SECTOR], flags].concat());
    let could = import(&["--dry-run"]).unwrap()[0].clone();
    assert_eq!((&could["updated"], &could["comm_r"]), (&true.into(), &proof["comm_r_new"]), "{could}");
    let mut stale: Value = serde_json::from_slice(&std::fs::read(records).unwrap()).unwrap();
    stale[0].as_object_mut().unwrap().remove("update").unwrap();
    let of_before = cluster.dir().join("stale.json");
    std::fs::write(&of_before, stale.to_string()).unwrap();
    let refused = import(&["--record", &of_before.display().to_string()]).unwrap_err();
    assert!(format!("{refused:#}").contains("its record is of before"), "{refused:#}");
    let imported = import(&["--record", &records.display().to_string()]).unwrap()[0].clone();
    assert_eq!((&imported["state"], &imported["updated"]), (&"Proving".into(), &true.into()), "{imported}");
    assert_eq!(cluster.ctl_json(&["sectors", "proof", SECTOR, "--update"]).unwrap(), *proof);
    let seal = cluster.ctl_json(&["sectors", "proof", SECTOR]).unwrap();
    assert_eq!(judge::verify("sp-verify", &seal).unwrap(), Some(0), "{seal}");
    let exported = cluster.ctl(&["sectors", "export", SECTOR]).unwrap().stdout;
    assert!(exported == std::fs::read(records).unwrap(), "another record came out than went in");
    the_update_is_proven_at_its_deadline(&cluster, &proof["comm_r_new"]);
    the_data_comes_out_of_the_update(&cluster, data);
}

/// Dropped while its proof is computed: all that it made is there by then.
fn a_dropped_update_leaves_the_sector_as_it_was(cluster: &mut Cluster, before: &BTreeSet<(String, String)>) {
    let file = cluster.dir().join("dropped");
    write_bytes(&file, 1500, 3);
    cluster.ctl_json(&["sectors", "snap", SECTOR, &file.display().to_string()]).unwrap();
    eventually(cluster, "PR2 to run", |cluster| {
        Ok(jobs::list(cluster)?.iter().any(|job| job.phase == "PR2" && job.state == "running"))
    });
    assert_eq!(kinds(&replicas(cluster)), ["Cache", "Sealed", "Unsealed", "Update", "UpdateCache", "Vanilla"]);
    cluster.ctl_json(&["sectors", "abort-upgrade", SECTOR]).unwrap();
    cluster.wait_for_state(&[0], &["Proving"], LIMIT).unwrap();
    eventually(cluster, "the update to be gone", |cluster| {
        Ok(jobs::list(cluster)?.is_empty() && replicas(cluster) == *before)
    });
    let marked = cluster.ctl_json(&["sectors", "mark-for-update", SECTOR]).unwrap();
    assert_eq!(marked["state"], "Available", "{marked}");
}

/// The document is valid for both programs, and what it says cannot be turned round.
fn anybody_can_check(proof: &Value) {
    for program in ["sp-verify", "sp-ctl"] {
        assert_eq!(judge::verify(program, proof).unwrap(), Some(0), "{program}: {proof}");
    }
    let mut turned = proof.clone();
    turned["comm_r_old"] = proof["comm_r_new"].clone();
    turned["comm_r_new"] = proof["comm_r_old"].clone();
    assert_eq!(judge::verify("sp-verify", &turned).unwrap(), Some(1), "{turned}");
}

fn the_update_is_proven_at_its_deadline(cluster: &Cluster, comm_r: &Value) {
    let output = cluster.ctl(&["proving", "compute", "window-post", "0"]).unwrap();
    assert!(output.status.success(), "{output:?}\n{}", cluster.tails());
    let text = String::from_utf8(output.stdout).unwrap();
    // `Took ...`, then the JSON.
    let post: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let partition = &post["partitions"][0];
    assert_eq!((&partition["worker"], &partition["skipped"]), (&"prover".into(), &Value::Array(vec![])), "{post}");
    assert_eq!(&partition["sectors"][0]["comm_r"], comm_r, "{post}");
    assert_eq!(judge::verify("sp-verify", &post).unwrap(), Some(0), "{post}");
}

/// Two pieces with zeros between them, because the second starts at a multiple of its size.
fn the_data_comes_out_of_the_update(cluster: &Cluster, [small, large]: &[Vec<u8>; 2]) {
    let status = cluster.ctl_json(&["sectors", "status", SECTOR]).unwrap();
    let lies = |piece: &Value| ["padded_bytes", "offset"].map(|key| piece[key].as_u64().unwrap());
    let pieces = status["data_pieces"].as_array().unwrap();
    assert_eq!(pieces.iter().map(lies).collect::<Vec<_>>(), [[512, 0], [1024, 1016]], "{status}");
    let sizes: Vec<_> =
        status["update"]["pieces"].as_array().unwrap().iter().map(|p| p["padded_bytes"].as_u64()).collect();
    assert_eq!(sizes, [512, 512, 1024].map(Some), "{status}");
    cluster.ctl_json(&["sectors", "release-unsealed", SECTOR]).unwrap();
    eventually(cluster, "the unsealed copy to be gone", |cluster| {
        Ok(!kinds(&replicas(cluster)).contains(&"Unsealed".to_owned()))
    });
    let out = cluster.dir().join("out");
    let output = out.display().to_string();
    let unseal = ["sectors", "unseal", SECTOR, "--output", &output];
    let get = |flags: &[&str]| {
        let got = cluster.ctl_json(&[&unseal[..], flags].concat()).unwrap();
        (std::fs::read(&out).unwrap(), got["checked"].as_str().unwrap().to_owned())
    };
    let cid = pieces[1]["cid"].as_str().unwrap();
    assert!(cid.starts_with("baga6ea4seaq"), "{cid}");
    assert!(get(&["--piece", "small"]) == (small.clone(), "data_digest".to_owned()), "another piece came out");
    assert!(get(&["--piece", cid]) == (large.clone(), "data_digest".to_owned()), "another piece came out");
    let part = get(&["--piece", cid, "--offset", "700", "--size", "300"]);
    assert!(part == (large[700..].to_vec(), "chunk_digests".to_owned()), "a part of it is another");
    let refused = [&[][..], &["--piece", "medium"], &["--piece", cid, "--offset", "700", "--size", "301"]];
    for flags in refused {
        let refused = cluster.ctl(&[&unseal[..], flags].concat()).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{flags:?}: {refused:?}");
    }
}

/// The file is lost on the disk; it comes back byte for byte.
fn a_lost_sector_key_is_made_again(cluster: &mut Cluster) {
    let file = cluster.data_dir("seal-b").join("storage/sealed/s-t01000-0");
    let lost = std::fs::read(&file).unwrap();
    cluster.kill9("seal-b").unwrap();
    std::fs::remove_file(&file).unwrap();
    cluster.restart("seal-b").unwrap();
    eventually(
        cluster,
        "the loss to be known",
        |cluster| Ok(!kinds(&replicas(cluster)).contains(&"Sealed".to_owned())),
    );
    let asked = cluster.ctl_json(&["sectors", "regen-key", SECTOR]).unwrap();
    assert_eq!(asked["ready"], false, "{asked}");
    eventually(cluster, "the sealed file to be back", |cluster| {
        Ok(cluster.ctl_json(&["sectors", "regen-key", SECTOR])?["ready"] == true)
    });
    assert!(std::fs::read(&file).unwrap() == lost, "GSK made another file");
}

/// No half-written file is visible, and everything of before and after is there once.
fn assert_stores_are_whole(cluster: &mut Cluster) {
    eventually(cluster, "all work to end", |cluster| Ok(jobs::list(cluster)?.is_empty()));
    cluster.kill9_all().unwrap();
    let mut found: Vec<FileKind> = vec![];
    for name in cluster.names(Role::Sealing) {
        let replicas = stores::verified(&cluster.data_dir(&name).join("storage"));
        found.extend(replicas.unwrap_or_else(|e| panic!("{name}: {e:#}")).iter().map(|info| info.id.kind));
    }
    found.sort();
    use FileKind::*;
    assert_eq!(found, [Unsealed, Sealed, Cache, Update, UpdateCache]);
}

/// Kind and root of every replica of the sector, as `storage find` tells.
fn replicas(cluster: &Cluster) -> BTreeSet<(String, String)> {
    let found = cluster.ctl_json(&["storage", "find", SECTOR]).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    found.as_array().unwrap().iter().map(|row| (text(row, "kind"), text(row, "root"))).collect()
}

fn kinds(replicas: &BTreeSet<(String, String)>) -> Vec<String> {
    replicas.iter().map(|(kind, _)| kind.clone()).collect()
}

fn status(cluster: &Cluster) -> Value {
    cluster.ctl_json(&["sectors", "status", SECTOR]).unwrap()
}

/// Bytes that no other place has, in a file.
fn write_bytes(path: &Path, count: u32, factor: u32) -> Vec<u8> {
    let data: Vec<u8> = (0..count).map(|at| (at * factor % 251) as u8).collect();
    std::fs::write(path, &data).unwrap();
    data
}

fn eventually(cluster: &Cluster, what: &str, mut done: impl FnMut(&Cluster) -> anyhow::Result<bool>) {
    let waited = wait::until(what, LIMIT, || Ok(done(cluster)?.then_some(())));
    waited.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
}
