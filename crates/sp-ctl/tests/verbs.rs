//! Every family of verbs against a scheduler that answers from fixed replies: output, JSON and exit codes.
// Tests run real processes on the real disk.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod cluster;

use std::sync::Arc;

use cluster::{Cluster, ctl_at};
use serde_json::Value;
use sp_sectors::{RealDisk, Store, StoreMeta};
use sp_types::{FileKind, SectorId, StoreId};
use tonic::Code;

async fn json(cluster: &Cluster, arguments: &[&str]) -> Value {
    let ran = cluster.ctl(&[arguments, &["--json"]].concat()).await;
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_their_halves() {
    let cluster = Cluster::start().await;
    let names = |value: Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(json(&cluster, &["workers"]).await), ["post-a", "seal-a", "win-a"]);
    assert_eq!(names(json(&cluster, &["sealing", "workers"]).await), ["seal-a"]);
    assert_eq!(names(json(&cluster, &["proving", "workers"]).await), ["post-a", "win-a"]);
    let ran = cluster.ctl(&["workers"]).await;
    assert!(ran.out.starts_with("Worker post-a-id, host post-a\n\tCPU:  ["), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn info_and_sealing() {
    let cluster = Cluster::start().await;
    let ran = cluster.ctl(&["info"]).await;
    assert!(ran.out.contains("\nWorkers: Seal(1) WdPoSt(0) WinPoSt(0)\n"), "{}", ran.out);
    let ran = cluster.ctl(&["sealing", "jobs", "--reasons"]).await;
    assert!(ran.out.contains("queued") && ran.out.contains("\n    seal-a: does not take C2\n"), "{}", ran.out);
    assert_eq!(json(&cluster, &["sealing", "jobs"]).await[0]["reasons"][0], "seal-a: does not take C2");
    let ran = cluster.ctl(&["sealing", "abort", "9.1", "--reason", "wrong file"]).await;
    assert_eq!(ran.out, "aborting job 9.1, task C2, sector 3, running on host seal-b\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn explaining_and_deciding() {
    let cluster = Cluster::start().await;
    let explained = json(&cluster, &["explain", "9.1"]).await;
    assert_eq!((&explained["task_id"], &explained["workers"][0]["needed"]), (&Value::from(9), &Value::from(29.0)));
    let ran = cluster.ctl(&["explain", "9"]).await;
    assert!(ran.out.contains("in the queue") && ran.out.contains("needs 29 cores, 28 of 32 free"), "{}", ran.out);
    assert_eq!(json(&cluster, &["sealing", "priority", "9", "-5"]).await["priority"], -5);
    for verb in [&["cordon"][..], &["uncordon"], &["drain", "--finish-pipelines"], &["stop"], &["forget"]] {
        let arguments = [&["workers"], verb, &["seal-a"]].concat();
        assert_eq!(json(&cluster, &arguments).await["worker_id"], "seal-a-id", "{arguments:?}");
    }
    let ran = cluster.ctl(&["tasks", "disable", "--worker", "seal-a", "PC1", "pru2"]).await;
    assert_eq!(ran.out, "seal-a-id: PC1 PR2 disabled\n");
    let ran = cluster.ctl(&["tasks", "disable", "--worker", "seal-a"]).await;
    assert_eq!(ran.code, 2, "{}", ran.err);
    let ran = cluster.ctl(&["workers", "show", "seal-a"]).await;
    assert!(ran.out.contains("\n\tTask types: PC1\n"), "{}", ran.out);
    assert_eq!(cluster.ctl(&["workers", "show", "nobody"]).await.code, 3);
    let diag = json(&cluster, &["sealing", "sched-diag"]).await;
    assert_eq!(diag["SchedInfo"]["Requests"][0]["TaskType"], "seal/v0/commit/2");
}

#[tokio::test(flavor = "multi_thread")]
async fn history() {
    let cluster = Cluster::start().await;
    let ask = ["sealing", "history", "--sector", "3", "--task", "pc1", "--worker", "seal-a", "--limit", "5"];
    let ran = cluster.ctl(&ask).await;
    assert!(ran.out.starts_with("ID   Sector  Task  Worker  Queued "), "{}", ran.out);
    let line = "9.2  3       PC1   seal-a  2023-11-14 22:13:20 +0000 UTC  2023-11-14 22:14:20 +0000 UTC  1m23.4s  failed  \
                SP-NO-SPACE: the disk is full\n";
    assert!(ran.out.ends_with(line), "{}", ran.out);
    let row = &json(&cluster, &ask).await[0];
    assert_eq!((&row["id"], &row["took_ms"], &row["result"]), (&"9.2".into(), &83_400.into(), &"failed".into()));
    assert_eq!(cluster.ctl(&["sealing", "history", "--task", "XYZ"]).await.code, 2);
    assert_eq!(cluster.ctl(&["sealing", "history", "--limit", "0"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn resources() {
    let cluster = Cluster::start().await;
    let ran = cluster.ctl(&["workers", "resources"]).await;
    assert_eq!(
        ran.out,
        "Task  Size  RAM     RAM+Swap  Base  GPU  Threads  Threads(GPU)  At once  From\n\
         PC1   32G   56 GiB  64 GiB    0 B   0.5  92%      -             4        cluster\n"
    );
    let all = json(&cluster, &["workers", "resources", "seal-a", "--all"]).await;
    assert_eq!((&all[0]["from"], &all[1]["from"]), (&Value::from("worker"), &Value::from("lotus")));
    let ran = cluster.ctl(&["workers", "resources", "seal-a", "--env"]).await;
    assert!(ran.out.contains("\nPC1_32G_MAX_CONCURRENT=4\n") && !ran.out.contains("PC1_2K"), "{}", ran.out);

    // Lotus's own table needs no scheduler.
    let ran = ctl_at("http://127.0.0.1:1", &["workers", "resources", "--default"]).await;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.is_sorted() && lines.len() == 18 * 5 * 7, "{} lines", lines.len());
    assert!(lines.contains(&"PC1_32G_MIN_MEMORY=60129542144") && lines.contains(&"C2_32G_GPU_UTILIZATION=1"));
    assert_eq!(cluster.ctl(&["workers", "resources", "seal-a", "--default"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sectors() {
    let cluster = Cluster::start().await;
    let ran = cluster.ctl(&["sectors", "pledge", "--count", "2"]).await;
    assert_eq!(ran.out, "Created CC sector:  0\nCreated CC sector:  1\n");
    let list = json(&cluster, &["sectors", "list", "--states", "proving"]).await;
    assert_eq!((list.as_array().unwrap().len(), &list[0]["number"]), (1, &Value::from(1)));
    for (flags, count) in [(&[][..], 2), (&["-r"][..], 3), (&["--states", "Removed"][..], 1)] {
        let list = json(&cluster, &[&["sectors", "list"][..], flags].concat()).await;
        assert_eq!(list.as_array().unwrap().len(), count, "{flags:?}");
    }
    let ran = cluster.ctl(&["sectors", "list"]).await;
    assert!(ran.code == 0 && ran.err.contains("does not answer; this is how it was 12.3s ago"), "{}", ran.err);
    let ran = cluster.ctl(&["sectors", "status", "1", "--log"]).await;
    assert!(ran.out.starts_with("SectorID:\t1\nStatus:\t\tProving\n"), "{}", ran.out);
    assert_eq!(json(&cluster, &["sectors", "proof", "1"]).await["proof_type"], "StackedDrg2KiBV1_1");
    assert_eq!(json(&cluster, &["sectors", "release-unsealed", "1"]).await["replicas"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn updating_repairing_and_removing_sectors() {
    let cluster = Cluster::start().await;
    assert_eq!(json(&cluster, &["sectors", "mark-for-update", "1"]).await["state"], "Available");
    assert_eq!(json(&cluster, &["sectors", "abort-upgrade", "1"]).await["state"], "Proving");
    let proof = json(&cluster, &["sectors", "proof", "1", "--update"]).await;
    let fields: Vec<&String> = proof.as_object().unwrap().keys().collect();
    let expected = ["comm_d_new", "comm_r_new", "comm_r_old", "miner", "proof", "sector", "update_proof_type"];
    let sorted: std::collections::BTreeSet<&str> = fields.into_iter().map(String::as_str).collect();
    assert_eq!(sorted.into_iter().collect::<Vec<_>>(), expected);
    let ran = cluster.ctl(&["sectors", "regen-key", "1"]).await;
    assert_eq!(ran.out, "Sector 1: GSK is queued, see `sp-ctl sealing jobs`\n");
    assert_eq!(cluster.ctl(&["sectors", "retry", "1"]).await.out, "Sector 1 is PreCommit1\n");
    for (verb, call, becomes) in [
        (&["sectors", "update-state", "1", "precommit1"][..], "UpdateSectorState", "PreCommit1"),
        (&["sectors", "remove", "1"][..], "RemoveSector", "Removing"),
    ] {
        let ran = cluster.ctl(verb).await;
        assert_eq!((ran.code, ran.err.contains("--really-do-it")), (2, true), "{}", ran.err);
        assert!(!cluster.with(|state| state.calls.contains(&call.to_owned())), "{call}");
        let ran = cluster.ctl(&[verb, &["--really-do-it"]].concat()).await;
        assert_eq!(ran.out, format!("Sector 1 is {becomes}\n"));
    }
    assert_eq!(cluster.ctl(&["sectors", "update-state", "1", "Sealed", "--really-do-it"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_go_with_the_request() {
    let cluster = Cluster::start().await;
    for (flags, expected) in [(&[][..], None), (&["--priority", "-5"][..], Some(-5))] {
        let ran = cluster.ctl(&[&["sectors", "pledge"][..], flags].concat()).await;
        assert_eq!((ran.code, cluster.with(|state| state.priority)), (0, expected), "{}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proving() {
    let cluster = Cluster::start().await;
    assert_eq!(json(&cluster, &["proving", "deadlines"]).await[0]["current"], true);
    assert_eq!(json(&cluster, &["proving", "deadline", "4"]).await["summary"]["index"], 4);
    assert_eq!(json(&cluster, &["proving", "faults"]).await[0]["sector"], 7);
    assert_eq!(json(&cluster, &["proving", "recover-faults", "7"]).await[0]["recovering"], true);
    assert_eq!(json(&cluster, &["proving", "history", "-n", "3"]).await["total"]["late"], 3);
    assert_eq!(json(&cluster, &["proving", "info"]).await["miner"], 1000);
    let proof = json(&cluster, &["proving", "compute", "window-post", "4"]).await;
    assert_eq!((&proof["deadline"], &proof["partitions"][0]["worker"]), (&Value::from(4), &Value::from("post-a")));
    assert_eq!(json(&cluster, &["proving", "compute", "winning-post"]).await["proof_type"], "StackedDrgWinning2KiBV1");
    let ran = cluster.ctl(&["proving", "compute", "windowed-post", "4"]).await;
    assert!(ran.out.starts_with("Took 1.5s\n{"), "{}", ran.out);
    assert!(ran.err.contains("partition 0: 1 sectors proven by post-a"), "{}", ran.err);
    let ran = cluster.ctl(&["proving", "check", "4", "--only-bad"]).await;
    assert!(ran.out.contains("bad (sealed file is cut)") && !ran.out.contains("good"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage() {
    let cluster = Cluster::start().await;
    let ran = cluster.ctl(&["storage", "list"]).await;
    assert!(ran.out.contains("Unsealed: 0; Sealed: 2; Caches: 0;"), "{}", ran.out);
    let ran = cluster.ctl(&["storage", "find", "1"]).await;
    assert!(ran.out.starts_with("In store-1 (Sealed)\n"), "{}", ran.out);
    let ran = cluster.ctl(&["storage", "find", "404"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{}", ran.err);
    let ran = cluster.ctl(&["storage", "find", "404", "--json"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (3, "[]\n"), "{}", ran.err);
    cluster.with(|state| assert!(!state.calls.iter().any(|call| call == "ListSectors"), "one call lists storage"));
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_takes_lists_and_refuses_what_only_a_new_path_can_have() {
    let cluster = Cluster::start().await;
    let attach = ["storage", "attach", "/data", "--worker", "seal-a", "--init", "--max-storage", "1TiB"];
    assert_eq!(cluster.ctl(&attach).await.code, 2);
    let groups = ["--seal", "--groups", "g1,g2", "--groups", "g3", "--allow-to", "g4,g5"];
    let ran = cluster.ctl(&[&attach[..], &groups].concat()).await;
    assert_eq!(ran.out, "Attached /data of worker seal-a as store-2\n", "{}", ran.err);
    cluster.with(|state| {
        let attached = &state.attached;
        assert_eq!((attached.weight, attached.max_storage_bytes), (10, 1 << 40));
        assert_eq!((attached.groups.join(" "), attached.allow_to.join(" ")), ("g1 g2 g3".into(), "g4 g5".into()));
    });
    let old = ["storage", "attach", "/data", "--worker", "seal-a"];
    assert_eq!(cluster.ctl(&old).await.code, 0);
    for only_new in [
        &["--seal"][..],
        &["--store"],
        &["--weight", "3"],
        &["--max-storage", "1TiB"],
        &["--groups", "g"],
        &["--allow-to", "g"],
    ] {
        let ran = cluster.ctl(&[&old[..], only_new].concat()).await;
        assert!(ran.code == 2 && ran.err.contains("--init"), "{only_new:?}: {}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_hints() {
    let cluster = Cluster::start().await;
    cluster.with(|state| {
        state
            .failures
            .insert("SectorStatus", (Code::FailedPrecondition, "SP-UNKNOWN-SECTOR", "sector 9 does not exist"));
        state.failures.insert("ComputeWindowPost", (Code::Unavailable, "SP-UNAVAILABLE", "no worker takes WDP"));
        state.failures.insert("ReleaseUnsealed", (Code::FailedPrecondition, "SP-WRONG-STATE", "sector 1 is in PC1"));
    });
    let ran = cluster.ctl(&["sectors", "status", "9"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.err.starts_with("error: sector 9 does not exist (SP-UNKNOWN-SECTOR)\nhint: "), "{}", ran.err);
    assert_eq!(cluster.ctl(&["proving", "compute", "window-post", "0"]).await.code, 4);
    assert_eq!(cluster.ctl(&["sectors", "release-unsealed", "1"]).await.code, 1);
    assert_eq!(cluster.ctl(&["sectors", "status", "one"]).await.code, 2);
    assert_eq!(ctl_at("http://127.0.0.1:1", &["info"]).await.code, 4);
    assert_eq!(ctl_at("127.0.0.1:1", &["info"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_success() {
    let cluster = Cluster::start().await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sp-ctl"));
    command.args(["workers"]).env("SP_CTL_SCHEDULER", format!("http://{}", cluster.address));
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_detached_and_read_again() {
    let cluster = Cluster::start().await;
    let refused = cluster.ctl(&["storage", "detach", "store-2"]).await;
    assert!(refused.code == 1 && refused.err.contains("on this path only"), "{refused:?}");
    let ran = cluster.ctl(&["storage", "detach", "--really-do-it", "store-2"]).await;
    assert_eq!(ran.out, "Detached store-2 (/data); the index forgot 3 files, all are still there\n", "{}", ran.err);
    assert_eq!(cluster.ctl(&["storage", "redeclare"]).await.code, 2, "which paths?");
    let ran = cluster.ctl(&["storage", "redeclare", "--id", "a", "--id", "b"]).await;
    assert!(ran.code == 0 && ran.out.starts_with("a+b (/data): 3 files, 1 missing (still listed"), "{ran:?}");
    let ran = cluster.ctl(&["storage", "redeclare", "--all", "--drop-missing", "--json"]).await;
    let rows: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((rows[0]["missing"].as_u64(), rows[0]["dropped"].as_bool()), (Some(1), Some(true)));
    let failed = cluster.ctl(&["storage", "redeclare", "--id", "hung"]).await;
    assert!(failed.code == 1 && failed.out.contains("it has not answered"), "{failed:?}");
}

#[tokio::test]
async fn sectors_are_moved_exported_and_imported() {
    let cluster = Cluster::start().await;
    let ran = cluster.ctl(&["storage", "move", "1", "2", "--to", "near"]).await;
    assert_eq!(ran.out, "Sector 1 is on path near already\nSector 2 is on path near already\n", "{}", ran.err);
    let ran = cluster.ctl(&["storage", "move", "1", "--to", "far", "--no-wait"]).await;
    assert_eq!(ran.out, "Moving 2 files of sector 1 to path far\n", "{}", ran.err);
    assert_eq!(cluster.ctl(&["storage", "move", "--to", "far"]).await.code, 2, "which sectors?");
    let stuck = cluster.ctl(&["storage", "move", "1", "--to", "far", "--timeout", "1s"]).await;
    assert!(stuck.code == 4 && stuck.err.contains("the move goes on without this command"), "{stuck:?}");

    let ran = cluster.ctl(&["sectors", "export", "3", "4"]).await;
    let records: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&records[1]["sector"], &records[1]["comm_r"]), (&Value::from(4), &Value::from("09".repeat(32))));
    let failed = cluster.ctl(&["sectors", "import", "--all"]).await;
    assert!(failed.code == 1 && failed.err.contains("no connected worker has files of sector 5"), "{failed:?}");
    assert_eq!(cluster.ctl(&["sectors", "import"]).await.code, 2, "which sectors?");
    let wrong = cluster.ctl(&["sectors", "import", "5", "--record", "Cargo.toml"]).await;
    assert!(wrong.code == 2 && wrong.err.contains("not a list of sector records"), "{wrong:?}");
}

#[tokio::test]
async fn what_nobody_claims_is_shown_kept_and_deleted() {
    let cluster = Cluster::start().await;
    let ran = cluster.ctl(&["storage", "cleanup"]).await;
    let expected = "Sector  Files         Size   Paths  Kept\n\
                    5       Sealed,Cache  4 KiB  near\n\
                    6       Sealed,Cache  4 KiB  near   pinned: evidence\n";
    assert_eq!(ran.out, expected, "{}", ran.err);
    let unsaid = cluster.ctl(&["storage", "cleanup", "--all"]).await;
    assert!(unsaid.code == 2 && unsaid.err.contains("--really-do-it"), "{unsaid:?}");
    let ran = cluster.ctl(&["storage", "cleanup", "--all", "--really-do-it"]).await;
    assert_eq!(ran.out, "Sector 5 is Removed\n", "what is pinned stays: {}", ran.err);
    let ran = cluster.ctl(&["storage", "cleanup", "5", "7", "--really-do-it", "--no-wait"]).await;
    assert_eq!(ran.out, "Sector 5 is Removed\nSector 7 is Removing\n", "{}", ran.err);
    assert_eq!(cluster.ctl(&["storage", "cleanup", "5", "--all"]).await.code, 2, "which sectors?");

    let ran = cluster.ctl(&["sectors", "pin", "5", "6", "--reason", "evidence"]).await;
    assert_eq!(ran.out, "Sector 5 is pinned\nSector 6 is pinned\n", "{}", ran.err);
    let ran = cluster.ctl(&["--json", "sectors", "pins"]).await;
    let pins: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&pins[0]["sector"], &pins[0]["reason"]), (&Value::from(6), &Value::from("evidence")));
    let ran = cluster.ctl(&["sectors", "unpin", "6"]).await;
    assert_eq!(ran.out, "Sector 6 is not pinned\n", "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_scrubbed() {
    let cluster = Cluster::start().await;
    let ran = cluster.ctl(&["storage", "scrub", "--store", "good"]).await;
    assert!(ran.code == 0 && ran.out.starts_with("good (): done, "), "{ran:?}");
    let begun = json(&cluster, &["storage", "scrub", "--no-wait", "--rate", "10MiB"]).await;
    assert_eq!(
        (&begun["stores"][0]["state"], &begun["stores"][0]["bytes_per_s"]),
        (&"running".into(), &10_485_760.into())
    );
    assert_eq!(json(&cluster, &["storage", "scrub", "--stop"]).await["stores"][0]["state"], "stopped");
    let bad = cluster.ctl(&["storage", "scrub", "--store", "bad"]).await;
    assert!(bad.code == 1 && bad.err.contains("1 files are not what they should be"), "{bad:?}");
    assert!(bad.out.contains("bad   3       Sealed  digests  faulty  5\n"), "{}", bad.out);
    assert_eq!(cluster.ctl(&["storage", "scrub", "--stop", "--deep"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_says_what_is_wrong() {
    let (cluster, dir) = (Cluster::start().await, tempfile::tempdir().unwrap());
    let meta = StoreMeta::new(&StoreId::new("store-1").unwrap(), true, false);
    let store = Store::init(Arc::new(RealDisk), dir.path(), &meta).unwrap();
    let attempt = "1.1".parse().unwrap();
    let work = store.work(attempt).unwrap();
    // Sector 1 is the one that is Proving.
    let sector = |number| SectorId { miner: 0, number };
    let mut outputs = vec![];
    for (number, kind) in [(1, FileKind::Sealed), (1, FileKind::Cache), (4, FileKind::Sealed)] {
        let place = work.path(sector(number), kind);
        let file = if kind == FileKind::Cache { place.join("p_aux") } else { place.clone() };
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "x").unwrap();
        outputs.push((sector(number), kind));
    }
    let infos = store.publish(attempt, &outputs).unwrap();
    store.discard(attempt).unwrap();
    cluster.with(|state| {
        state.path = dir.path().display().to_string();
        state.replicas = infos.into_iter().map(Into::into).collect();
    });
    let ran = cluster.ctl(&["audit", "--digests"]).await;
    assert_eq!(ran.out, "3 files on 1 paths, 1 finished sectors: nothing is wrong\n", "{}", ran.err);
    assert_eq!(json(&cluster, &["audit", "--wait", "5s"]).await["clean"], true);

    std::fs::remove_file(dir.path().join("sealed/s-t00-4")).unwrap();
    let bad = cluster.ctl(&["audit", "--json"]).await;
    let report: Value = serde_json::from_str(&bad.out).unwrap();
    let finding = &report["findings"][0];
    assert_eq!((&finding["fault"], &finding["sector"]), (&"missing".into(), &4.into()), "{report}");
    assert!(bad.code == 1 && bad.err.contains("1 things are wrong"), "{bad:?}");
    let waited = cluster.ctl(&["audit", "--wait", "1s"]).await;
    assert!(waited.code == 1 && waited.out.contains("sector 4, sealed: the index lists it, and it is not there"));
    assert_eq!(cluster.ctl(&["audit", "--path", "/nowhere"]).await.code, 2);
}
