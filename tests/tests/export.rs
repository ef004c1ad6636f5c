//! `sectors export --out` by real processes: a finished sector is written to a directory, which another cluster of the miner
//! attaches and takes it over from. What is damaged where it is read leaves nothing in the directory.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sp_tests::{Cluster, Setup, audit, judge, stores, wait};

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "s-t01000-0";

#[test]
fn a_sector_is_exported_and_another_cluster_takes_it_over() {
    let (cluster, data) = sealed();
    let storage = cluster.data_dir("seal").join("storage");
    let out = cluster.dir().join("out");
    let record = cluster.ctl_json(&["sectors", "export", "0"]).unwrap();

    let rows = exported(&cluster, &out, &["--unsealed"]);
    let kinds: Vec<_> = files(&rows).iter().map(|file| file["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["sealed", "cache", "unsealed"], "{rows}");
    let source = store_of(&cluster);
    assert!(files(&rows).iter().all(|file| file["from"] == Value::from(vec![source.clone()])), "{rows}");
    let written = out.join(format!("{NAME}.json"));
    assert_eq!(rows[0]["record"], written.to_str().unwrap(), "{rows}");
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&written).unwrap()).unwrap(), record);
    assert_eq!(files_of(&out), files_of(&storage));
    let infos = stores::verified(&out).unwrap();
    let hex = |root: [u8; 32]| root.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let roots: Vec<_> = infos.iter().map(|info| hex(info.id.root)).collect();
    assert!(files(&rows).iter().all(|file| roots.contains(&file["root"].as_str().unwrap().to_owned())), "{rows}");
    let meta: Value = serde_json::from_slice(&std::fs::read(out.join("sectorstore.json")).unwrap()).unwrap();
    assert_eq!((&meta["CanSeal"], &meta["CanStore"]), (&false.into(), &true.into()), "{meta}");

    let again = exported(&cluster, &out, &["--unsealed"]);
    assert_eq!(again[0]["already_there"], true, "{again}");
    // What is missing of it comes again, and nothing else.
    std::fs::remove_dir_all(out.join("cache").join(NAME)).unwrap();
    let rest = exported(&cluster, &out, &["--unsealed"]);
    let came: Vec<_> = files(&rest).iter().map(|file| file["already_there"] == false).collect();
    assert_eq!(came, [false, true, false], "{rest}");

    wrong_places_are_refused(&cluster, &storage);
    what_is_stopped_goes_on(&cluster);
    damage_leaves_nothing(&cluster, &storage, &source);
    taken_over(&out, &data, &record);
}

/// Its update goes along, with what was before it, and is what the other cluster proves.
#[test]
fn an_updated_sector_is_exported_with_its_update() {
    let mut cluster = finished(None);
    let file = cluster.dir().join("data");
    std::fs::write(&file, [7; 1900]).unwrap();
    let out = cluster.dir().join("out");
    exported(&cluster, &out, &[]);
    if cluster.states().unwrap()[&0] == "Proving" {
        cluster.ctl_json(&["sectors", "mark-for-update", "0"]).unwrap();
    }
    cluster.ctl_json(&["sectors", "snap", "0", file.to_str().unwrap()]).unwrap();
    cluster.wait_for_state(&[0], &["ProveReplicaUpdate"], LIMIT).unwrap();
    let refused = export(&cluster, &out, &[]);
    assert!(said(&refused).contains("being updated"), "{refused:?}");
    cluster.ctl_json(&["sectors", "update-state", "0", "FinalizeReplicaUpdate", "--really-do-it"]).unwrap();
    cluster.wait_for_state(&[0], &["Proving"], LIMIT).unwrap();

    // The replica of before is there already, and its record is replaced.
    let rows = exported(&cluster, &out, &[]);
    let came = files(&rows).iter().map(|file| (file["kind"].as_str().unwrap(), file["already_there"] == false));
    let expected = [("sealed", false), ("cache", false), ("update", true), ("update-cache", true)];
    assert_eq!(came.collect::<Vec<_>>(), expected, "{rows}");
    let mut made = files_of(&cluster.data_dir("seal").join("storage"));
    made.retain(|name, _| !name.starts_with("unsealed/"));
    assert_eq!(files_of(&out), made);
    assert_eq!(stores::verified(&out).unwrap().len(), 4);
    let told = cluster.ctl_json(&["sectors", "export", "0"]).unwrap();
    let (other, row) = imported(&out, 4, &told);
    assert_eq!(row["updated"], true, "{row}");
    proven(&other);
    assert_eq!(audit::clean(&other).unwrap(), 4);
}

/// Every file under its name below the path, as it is.
fn files_of(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> =
        ["sealed", "unsealed", "cache", "update", "update-cache"].map(|dir| path.join(dir)).to_vec();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => open.push(entry),
                false => {
                    let name = entry.strip_prefix(path).unwrap().display().to_string();
                    found.insert(name, std::fs::read(&entry).unwrap());
                }
            }
        }
    }
    assert!(found.len() >= 4, "{:?}", found.keys());
    found
}

/// A running cluster with a sector that is sealed and finished, and its data.
fn sealed() -> (Cluster, Vec<u8>) {
    let data: Vec<u8> = (0..2000u32).map(|at| (at % 251) as u8).collect();
    (finished(Some(&data)), data)
}

/// With these data in it, if any. It is forced past its proof, which nobody here asks for. Before that, nobody may take it
/// elsewhere.
fn finished(data: Option<&[u8]>) -> Cluster {
    let flags = vec!["--commit=false".to_owned(), "--prove-replica-update2=false".to_owned()];
    let mut cluster = Cluster::start(Setup { sealing: vec![("seal".into(), flags)], ..Setup::default() }).unwrap();
    let file = cluster.dir().join("data");
    match data {
        Some(data) => {
            std::fs::write(&file, data).unwrap();
            cluster.ctl_json(&["sectors", "add", file.to_str().unwrap()]).unwrap();
        }
        None => assert_eq!(cluster.pledge(1).unwrap(), [0]),
    }
    cluster.wait_for_state(&[0], &["Committing2"], LIMIT).unwrap();
    let early = cluster.dir().join("early");
    let refused = export(&cluster, &early, &[]);
    assert!(said(&refused).contains("Committing2") && !early.exists(), "{refused:?}");
    cluster.ctl_json(&["sectors", "update-state", "0", "FinalizeSector", "--really-do-it"]).unwrap();
    cluster.wait_for_state(&[0], &["Proving", "Available"], LIMIT).unwrap();
    cluster
}

fn export(cluster: &Cluster, out: &Path, flags: &[&str]) -> Output {
    let args = ["sectors", "export", "0", "--json", "--out", out.to_str().unwrap()];
    cluster.ctl(&[&args, flags].concat()).unwrap()
}

fn exported(cluster: &Cluster, out: &Path, flags: &[&str]) -> Value {
    let output = export(cluster, out, flags);
    assert!(output.status.success(), "{output:?}\n{}", cluster.tails());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files(rows: &Value) -> &Vec<Value> {
    rows[0]["files"].as_array().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The only path.
fn store_of(cluster: &Cluster) -> String {
    let found = cluster.ctl_json(&["storage", "find", "0"]).unwrap();
    found[0]["store"].as_str().unwrap().to_owned()
}

fn wrong_places_are_refused(cluster: &Cluster, storage: &Path) {
    let full = cluster.dir().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("letter.txt"), "dear").unwrap();
    for (place, words) in [(full.as_path(), "letter.txt"), (storage, "is a storage path")] {
        let refused = export(cluster, place, &[]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(said(&refused).contains(words), "{refused:?}");
    }
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1, "nothing is written there");
    let unknown = cluster.ctl(&["sectors", "export", "7", "--out", full.join("new").to_str().unwrap()]).unwrap();
    assert!(unknown.status.code() == Some(3) && !full.join("new").exists(), "{unknown:?}");
}

/// The only copy has a byte that flipped: the error names the path and the chunk, and nothing of the sector is seen.
fn damage_leaves_nothing(cluster: &Cluster, storage: &Path, source: &str) {
    let sealed = storage.join("sealed").join(NAME);
    let flip = || {
        let mut bytes = std::fs::read(&sealed).unwrap();
        bytes[700] ^= 4;
        std::fs::write(&sealed, bytes).unwrap();
    };
    flip();
    let out = cluster.dir().join("damaged");
    let failed = export(cluster, &out, &[]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let rows: Value = serde_json::from_slice(&failed.stdout).unwrap();
    let error = rows[0]["error"].as_str().unwrap();
    assert!(error.contains(&format!("path {source}")) && error.contains("chunk 0 (byte 0)"), "{error}");
    assert!(stores::verified(&out).unwrap().is_empty(), "something of it is there");
    assert!(!out.join(format!("{NAME}.json")).exists());
    flip();
    exported(cluster, &out, &[]);
    assert_eq!(stores::verified(&out).unwrap().len(), 2);
}

/// The only worker does not answer. An export that is told to stop (Ctrl-C) leaves nothing of its work; what one that was
/// killed has left goes with the next one.
fn what_is_stopped_goes_on(cluster: &Cluster) {
    let out = cluster.dir().join("stopped");
    let work = out.join(".sp/work/0.1");
    signal(cluster.pid("seal").unwrap(), Signal::STOP);
    let begin = || {
        let mut command = cluster.ctl_command(&["sectors", "export", "0", "--out", out.to_str().unwrap()]).unwrap();
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        wait::until("the export to begin", LIMIT, || Ok(work.exists().then_some(()))).unwrap();
        child
    };
    let mut killed = begin();
    let second = export(cluster, &out, &[]);
    assert!(second.status.code() == Some(4) && said(&second).contains("another export"), "{second:?}");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(work.exists());
    let marker = work.join("sealed/of-the-one-that-was-killed");
    std::fs::write(&marker, "").unwrap();
    let stopped = begin();
    wait::until("what was left to go", LIMIT, || Ok((!marker.exists()).then_some(()))).unwrap();
    // It waits for the worker by now, or will hear of it when it does.
    std::thread::sleep(Duration::from_millis(500));
    signal(stopped.id(), Signal::INT);
    let stopped = stopped.wait_with_output().unwrap();
    assert!(stopped.status.code() == Some(130) && said(&stopped).contains("goes on"), "{stopped:?}");
    assert!(!work.exists() && stores::verified(&out).unwrap().is_empty());
    signal(cluster.pid("seal").unwrap(), Signal::CONT);
    cluster.wait_for_connection("seal", true).unwrap();
    exported(cluster, &out, &[]);
    assert_eq!(stores::verified(&out).unwrap().len(), 2);
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// The directory is attached as it is, and what it holds is a sector like any other.
fn taken_over(out: &Path, data: &[u8], told: &Value) {
    let (cluster, _) = imported(out, 3, told);
    proven(&cluster);
    let (back, path) = (cluster.dir().join("back"), cluster.dir().join("back").display().to_string());
    cluster.ctl_json(&["sectors", "unseal", "0", "--out", &path]).unwrap();
    assert_eq!(std::fs::read(back).unwrap(), data);
    assert_eq!(audit::clean(&cluster).unwrap(), 3);
    let refused = export(&cluster, out, &[]);
    assert!(said(&refused).contains("of this cluster"), "{refused:?}");
}

/// A cluster that knew nothing, and has taken the sector over by so many files and its record.
fn imported(out: &Path, files: usize, told: &Value) -> (Cluster, Value) {
    let flags = ["--no-local-storage"].map(String::from).to_vec();
    let setup = Setup { sealing: vec![("keeper".into(), flags)], window: vec!["prover".into()], ..Setup::default() };
    let cluster = Cluster::start(setup).unwrap();
    cluster.ctl_json(&["storage", "attach", out.to_str().unwrap(), "--worker", "keeper"]).unwrap();
    // The path is attached before what lies in it is declared.
    let seen = wait::until("the files to be seen", LIMIT, || {
        let found = cluster.ctl_json(&["storage", "find", "0"])?;
        Ok(found.as_array().is_some_and(|rows| rows.len() == files).then_some(()))
    });
    seen.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    let record = out.join(format!("{NAME}.json"));
    let rows = cluster.ctl_json(&["sectors", "import", "0", "--record", record.to_str().unwrap()]).unwrap();
    assert_eq!((&rows[0]["state"], &rows[0]["with_record"]), (&"Proving".into(), &true.into()), "{rows}");
    assert_eq!(cluster.ctl_json(&["sectors", "export", "0"]).unwrap(), *told, "nothing of it is lost on the way");
    (cluster, rows[0].clone())
}

fn proven(cluster: &Cluster) {
    let output = cluster.ctl(&["proving", "compute", "window-post", "0"]).unwrap();
    assert!(output.status.success(), "{output:?}\n{}", cluster.tails());
    let text = String::from_utf8(output.stdout).unwrap();
    let post: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    assert_eq!(post["partitions"][0]["skipped"], Value::Array(vec![]), "{post}");
    assert_eq!(judge::verify("sp-verify", &post).unwrap(), Some(0), "{post}");
}
