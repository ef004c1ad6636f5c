//! `sectors add`, `sectors unseal` and `sealing data-cid` against a data port that breaks transfers and damages bytes.
// Tests run real processes on the real disk.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod cluster;

use cluster::Cluster;

const MIB: usize = 1 << 20;

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_it_broke() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("piece");
    let data = bytes(3 * MIB + 17);
    std::fs::write(&file, &data).unwrap();
    cluster.with(|state| state.break_after = Some(MIB));
    let ran = cluster.ctl(&["sectors", "add", file.to_str().unwrap(), "--json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let added: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((added["sector"].as_u64(), added["data_bytes"].as_u64()), (Some(3), Some(data.len() as u64)));
    assert_eq!(added["state"], "Proving", "what the scheduler says, not what sp-ctl thinks");
    cluster.with(|state| {
        assert!(state.received == data);
        assert_eq!(state.calls.iter().filter(|call| *call == "UploadPiece").count(), 2);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_is_asked_for_again_when_the_scheduler_has_forgotten_it() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("piece");
    let data = bytes(3 * MIB + 17);
    std::fs::write(&file, &data).unwrap();
    cluster.with(|state| (state.forgets, state.break_after) = (true, Some(MIB)));
    let ran = cluster.ctl(&["sealing", "data-cid", file.to_str().unwrap()]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out, "baga6ea4seaqaobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqoby   4194304\n");
    assert!(ran.err.contains("has forgotten the task"), "{}", ran.err);
    let count = |calls: &[String], verb: &str| calls.iter().filter(|call| *call == verb).count();
    cluster.with(|state| {
        assert!(state.received == data);
        assert_eq!((count(&state.calls, "DataCid"), count(&state.calls, "UploadPiece")), (2, 2));
        assert_eq!(state.aborted, ["9"], "nothing of the first one is left");
    });
    let refused = ("DataCid", (tonic::Code::InvalidArgument, "SP-BAD-REQUEST", "3000 bytes are no padded size"));
    cluster.with(|state| state.failures.extend([refused]));
    let ran = cluster.ctl(&["sealing", "data-cid", file.to_str().unwrap(), "3000"]).await;
    assert!(ran.code == 2 && ran.err.contains("no padded size"), "{}: {}", ran.code, ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snap_sends_its_data_as_add_does_and_waits_for_the_update() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("piece");
    let data = bytes(MIB / 2);
    std::fs::write(&file, &data).unwrap();
    let arguments = ["sectors", "snap", "1", file.to_str().unwrap(), "--wait", "--priority", "7", "--json"];
    let ran = cluster.ctl(&arguments).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let snapped: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((snapped["sector"].as_u64(), snapped["state"].as_str()), (Some(1), Some("Proving")));
    cluster.with(|state| assert!(state.received == data && state.priority == Some(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_piece_is_refused_before_anything_is_asked() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    let ran = cluster.ctl(&["sectors", "add", empty.to_str().unwrap()]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is empty"), "{}", ran.err);
    assert_eq!(cluster.ctl(&["sectors", "add", directory.path().to_str().unwrap()]).await.code, 1);
    assert_eq!(cluster.ctl(&["sectors", "add", "/nowhere/to/be/found"]).await.code, 3);
    cluster.with(|state| assert_eq!(state.calls, Vec::<String>::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn unsealed_data_appears_whole_and_checked() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("data");
    let data = bytes(2 * MIB + 5);
    cluster.with(|state| {
        state.piece = data.clone();
        state.break_after = Some(MIB + 3);
    });
    let ran = cluster.ctl(&["sectors", "unseal", "1", "--output", output.to_str().unwrap()]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(std::fs::read(&output).unwrap() == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_leaves_no_file() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("data");
    cluster.with(|state| {
        state.piece = bytes(1000);
        state.damaged = true;
    });
    let ran = cluster.ctl(&["sectors", "unseal", "1", "--output", output.to_str().unwrap()]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("digest"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_data_is_read_by_itself() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("part");
    let data = bytes(2 * MIB + 5);
    cluster.with(|state| {
        state.piece = data.clone();
        state.break_after = Some(MIB / 2);
    });
    let unseal = ["sectors", "unseal", "1", "--output", output.to_str().unwrap()];
    let part = ["--offset", "1000", "--size", "1048576"];
    let ran = cluster.ctl(&[&unseal[..], &part].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Wrote 1048576 bytes of sector 1, from byte 1000 on, to "), "{}", ran.out);
    assert!(std::fs::read(&output).unwrap() == data[1000..1000 + MIB]);

    let rest = cluster.ctl(&[&unseal[..], &["--offset", "2097150", "--json"]].concat()).await;
    let told: serde_json::Value = serde_json::from_str(&rest.out).unwrap();
    assert_eq!((told["written_bytes"].as_u64(), told["checked"].as_str()), (Some(7), Some("chunk_digests")), "{told}");
    assert!(std::fs::read(&output).unwrap() == data[2 * MIB - 2..]);

    std::fs::remove_file(&output).unwrap();
    for (bad, why) in [
        (&["--offset", "2097157"][..], "nothing is asked for from byte 2097157 on"),
        (&["--offset", "1", "--size", "2097152"], ""),
        (&["--size", "0"], "nothing is asked for from byte 0 on"),
        (&["--offset", "2097152", "--size", "6"], "ends at byte 2097158"),
    ] {
        let ran = cluster.ctl(&[&unseal[..], bad].concat()).await;
        let good = why.is_empty();
        assert_eq!(ran.code, if good { 0 } else { 2 }, "{bad:?}: {}", ran.err);
        assert!(ran.err.contains(why) && output.exists() == good, "{bad:?}: {}", ran.err);
        drop(std::fs::remove_file(&output));
    }
    assert_eq!(cluster.ctl(&["sectors", "unseal", "1", "--size", "5"]).await.code, 2, "to where?");
}
