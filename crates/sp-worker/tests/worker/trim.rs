//! FUS: of an unsealed copy some ranges are kept; they are read on, and the rest is refused.
#![allow(clippy::single_range_in_vec_init, reason = "one range is what is meant")]

use std::sync::atomic::Ordering;

use sp_proto::v1;
use sp_proto::v1::assign::Params;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_sectors::{Filled, read_all};
use sp_types::{FileKind, ReplicaInfo, TaskKind};

use super::support::{DATA_DIR, Fakes, Machine, SECTOR, assign, eventually, with_input, with_output};
use super::{clean, done, failed};

const TRIM: [TaskKind; 1] = [TaskKind::FinalizeUnsealed];

fn content() -> Vec<u8> {
    (0..2048).map(|at| (at % 251) as u8 + 1).collect()
}

fn trim(id: &str, whole: &ReplicaInfo, keep: &[(u64, u64)], store: &str) -> v1::Assign {
    let keep = keep.iter().map(|(start, end)| v1::ByteRange { start: *start, end: *end }).collect();
    let params = Params::FinalizeUnsealed(v1::FinalizeUnsealedParams { keep });
    let assign = with_input(assign(id, TaskKind::FinalizeUnsealed, params), whole, &[]);
    with_output(assign, FileKind::Unsealed, store)
}

fn published(machine: &Machine) -> Vec<u8> {
    read_all(&machine.disk, format!("{DATA_DIR}/storage/unsealed/{SECTOR}").as_ref(), 1 << 20).unwrap()
}

/// The second quarter, and holes around it.
fn second_quarter() -> Vec<u8> {
    let mut left = vec![0; 2048];
    left[512..1024].copy_from_slice(&content()[512..1024]);
    left.extend(Filled::of(2048, vec![512..1024]).unwrap().trailer());
    left
}

async fn read(url: &str, replica: &ReplicaInfo, offset: u64, size_bytes: u64) -> Result<Vec<u8>, tonic::Status> {
    let mut port = DataPlaneClient::connect(url.to_owned()).await.unwrap();
    let root = replica.id.root.to_vec();
    let ask = v1::ReadPieceRequest { miner: SECTOR.miner, sector: SECTOR.number, root, offset, size_bytes };
    let mut chunks = port.read_piece(ask).await?.into_inner();
    let mut data = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        data.extend_from_slice(&chunk.data);
    }
    Ok(data)
}

#[tokio::test]
async fn what_is_kept_is_read_on_and_the_rest_is_refused() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &TRIM);
    let whole = machine.publish(FileKind::Unsealed, &content());
    machine.start();
    let (store, url) = (fakes.store().await, fakes.registered(1).await.data_url);
    assert_eq!(read(&url, &whole, 0, 127).await.unwrap(), content()[..127]);
    fakes.assign(trim("1.1", &whole, &[(512, 1024)], &store)).await;
    let result = fakes.result("1.1").await;
    let made = ReplicaInfo::try_from(done(&result).replicas[0].clone()).unwrap();
    assert_eq!(published(&machine), second_quarter());
    assert_ne!(made.id.root, whole.id.root);
    clean(&machine).await;
    machine.store().verify(&made.id).unwrap();

    assert_eq!(read(&url, &made, 508, 127).await.unwrap(), content()[512..512 + 127]);
    for (offset, bytes, missing) in
        [(0, 127, "bytes 0 to 127"), (508, 509, "bytes 1016 to 1017"), (0, 2032, "bytes 0 to 508")]
    {
        let refused = read(&url, &made, offset, bytes).await.unwrap_err();
        let message = refused.message();
        assert!(message.contains(missing) && message.contains("`sp-ctl sectors unseal 3`"), "{message}");
    }
    assert!(read(&url, &made, 2032, 1).await.unwrap_err().message().contains("that holds 2032"));
    assert!(read(&url, &whole, 508, 127).await.unwrap_err().message().contains("no unsealed file"));

    // What is gone cannot be kept, and saying so changes nothing.
    fakes.assign(trim("2.1", &made, &[(0, 512)], &store)).await;
    let result = fakes.result("2.1").await;
    assert_eq!(failed(&result).code, "SP-FILE-MISSING");
    fakes.assign(trim("3.1", &whole, &[(0, 512)], &store)).await;
    let result = fakes.result("3.1").await;
    assert!(failed(&result).message.contains("does not lie here any more"), "{result:?}");
    assert_eq!(published(&machine), second_quarter());
    clean(&machine).await;
    assert_eq!(machine.executor.starts("other"), 0, "no executor has to do with it");
}

/// It was published, and the worker dies before the index has heard of it.
#[tokio::test]
async fn a_crash_leaves_a_copy_that_is_sound() {
    let fakes = Fakes::start().await;
    fakes.said.ack_declares.store(false, Ordering::SeqCst);
    let mut machine = Machine::new(&fakes, &TRIM);
    let whole = machine.publish(FileKind::Unsealed, &content());
    machine.start();
    let store = fakes.store().await;
    fakes.assign(trim("1.1", &whole, &[(512, 1024)], &store)).await;
    eventually("the publish", || (published(&machine) == second_quarter()).then_some(())).await;
    machine.kill();
    let left = published(&machine);
    assert!(left == content() || left == second_quarter());
    fakes.said.ack_declares.store(true, Ordering::SeqCst);
    machine.start();
    fakes.registered(2).await;
    let result = fakes.result("1.1").await;
    let made = ReplicaInfo::try_from(done(&result).replicas[0].clone()).unwrap();
    assert_eq!(published(&machine), second_quarter());
    clean(&machine).await;
    machine.store().verify(&made.id).unwrap();
}
