//! DC by real processes: the commitment of a file is the one that it gets in a sector, and a client who ends leaves nothing.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sp_tests::{Cluster, Setup, wait};

const LIMIT: Duration = Duration::from_secs(60);

fn jobs(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    Ok(cluster.ctl_json(&["sealing", "jobs"])?.as_array().cloned().unwrap_or_default())
}

/// Directories of attempts below the path of the worker.
fn work(cluster: &Cluster) -> Vec<String> {
    let dir = cluster.data_dir("seal").join("storage/.sp/work");
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_has_the_commitment_that_it_gets_in_a_sector() {
    let flags = ["--no-default", "--addpiece"].map(String::from).to_vec();
    let cluster = Cluster::start(Setup { sealing: vec![("seal".into(), flags)], ..Setup::default() }).unwrap();
    let file = cluster.dir().join("piece").display().to_string();
    std::fs::write(&file, (0..1013u32).map(|at| (at * at % 251) as u8).collect::<Vec<_>>()).unwrap();

    let output = cluster.ctl(&["sealing", "data-cid", &file]).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), cluster.tails());
    cluster.ctl_json(&["sectors", "add", &file]).unwrap();
    let status = cluster.ctl_json(&["sectors", "status", "0"]).unwrap();
    let piece = &status["data_pieces"][0];
    let (cid, padded_bytes) = (piece["cid"].as_str().unwrap(), &piece["padded_bytes"]);
    assert!(cid.starts_with("baga6ea4seaq") && *padded_bytes == 1024, "{piece}");
    assert_eq!(said, format!("{cid}   1024\n"));

    let larger = cluster.ctl_json(&["sealing", "data-cid", &file, "1MiB"]).unwrap();
    assert_eq!(larger["padded_bytes"], 1 << 20, "{larger}");
    assert_ne!(larger["cid"], cid, "zeros count");
    let again = cluster.ctl_json(&["sealing", "data-cid", &file, "1024"]).unwrap();
    assert_eq!(again["cid"], cid, "{again}");

    for (size, code, words) in [("512", 1, "room for 508"), ("3000", 2, "a power of two"), ("much", 2, "not a size")] {
        let refused = cluster.ctl(&["sealing", "data-cid", &file, size]).unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{size}: {said}");
        assert!(said.contains(words), "{size}: {said}");
    }
    let history = cluster.ctl_json(&["sealing", "history", "--task", "DC"]).unwrap();
    let ended: Vec<_> = history.as_array().unwrap().iter().map(|row| (&row["result"], &row["sector"])).collect();
    assert_eq!(ended, [(&Value::from("done"), &Value::Null); 3], "{history}");
    a_client_who_ends_leaves_nothing(&cluster, file.as_ref());
}

fn a_client_who_ends_leaves_nothing(cluster: &Cluster, file: &Path) {
    let disabled = cluster.ctl(&["tasks", "disable", "--worker", "seal", "DC"]).unwrap();
    assert!(disabled.status.success(), "{disabled:?}");
    let mut command = cluster.ctl_command(&["sealing", "data-cid", file.to_str().unwrap()]).unwrap();
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let waits = wait::until("the task to wait", LIMIT, || {
        Ok(jobs(cluster)?.into_iter().find(|job| job["task"] == "DC" && job["state"] == "queued"))
    });
    let job = waits.unwrap_or_else(|e| panic!("{e:#}\n{}", cluster.tails()));
    assert_eq!((&job["sector"], &job["reasons"][0]), (&Value::Null, &"seal: DC is disabled there".into()), "{job}");
    kill_process(Pid::from_child(&client), Signal::INT).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(130));
    let left = jobs(cluster).unwrap().into_iter().find(|job| job["task"] == "DC");
    assert_eq!(left, None, "it is cancelled");
    let gone = wait::until("the work directories to be gone", LIMIT, || Ok(work(cluster).is_empty().then_some(())));
    gone.unwrap_or_else(|e| panic!("{e:#}: {:?}", work(cluster)));
}
