//! Snaps: RU to FRU, GSK, UNS of an update, and challenges of a sector whose two replicas are both here.

use sp_proto::v1;
use sp_proto::v1::assign::Params;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::task_done::Output;
use sp_sectors::read_all;
use sp_types::{FileKind, ReplicaInfo, TaskKind};

use super::support::{DATA_DIR, Fakes, Machine, SECTOR, TREE_D, assign, eventually, with_input, with_output};
use super::{clean, done, failed};

const SNAP: [TaskKind; 5] = [
    TaskKind::ReplicaUpdate,
    TaskKind::FinalizeReplicaUpdate,
    TaskKind::RegenSectorKey,
    TaskKind::Unseal,
    TaskKind::GenerateWindowPost,
];

/// Commitments of the replica before and after, and the replicas with them.
const OLD: [u8; 32] = [2; 32];
const NEW: [u8; 32] = [4; 32];

fn published(machine: &Machine, kind: FileKind, file: &str) -> Option<Vec<u8>> {
    let path = format!("{DATA_DIR}/storage/{kind}/{SECTOR}{file}");
    read_all(&machine.disk, path.as_ref(), 1 << 20).ok()
}

pub(crate) fn replica_of(result: &v1::TaskResult, kind: FileKind) -> ReplicaInfo {
    let made = done(result).replicas.iter().map(|wire| ReplicaInfo::try_from(wire.clone()).unwrap());
    made.into_iter().find(|replica| replica.id.kind == kind).unwrap()
}

fn replica_update(id: &str, machine: &Machine, store: &str) -> v1::Assign {
    let inputs = [(FileKind::Unsealed, &b"data"[..]), (FileKind::Sealed, b"old+"), (FileKind::Cache, b"aux")];
    let params = Params::ReplicaUpdate(v1::ReplicaUpdateParams { pieces: vec![] });
    let assign = inputs.iter().fold(assign(id, TaskKind::ReplicaUpdate, params), |assign, (kind, bytes)| {
        with_input(assign, &machine.publish(*kind, bytes), &[])
    });
    with_output(with_output(assign, FileKind::Update, store), FileKind::UpdateCache, store)
}

#[tokio::test]
async fn an_update_lies_beside_the_replica_and_its_cache_is_trimmed_in_place() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &SNAP);
    machine.store();
    machine.start();
    let store = fakes.store().await;
    fakes.assign(replica_update("1.1", &machine, &store)).await;
    let made = fakes.result("1.1").await;
    let Some(Output::ReplicaUpdate(output)) = &done(&made).output else { panic!("{made:?}") };
    assert_eq!((output.comm_r.as_slice(), output.comm_d.as_slice()), (&[4; 32][..], &[3; 32][..]));
    assert_eq!(published(&machine, FileKind::Update, "").unwrap(), b"old+data");
    assert_eq!(published(&machine, FileKind::Sealed, "").unwrap(), b"old+");

    machine.executor.hold();
    let params = Params::FinalizeReplicaUpdate(v1::FinalizeReplicaUpdateParams {});
    let fru = assign("2.1", TaskKind::FinalizeReplicaUpdate, params);
    let fru = with_input(fru, &replica_of(&made, FileKind::UpdateCache), &[]);
    fakes.assign(with_output(fru, FileKind::UpdateCache, &store)).await;
    eventually("the executor", || (machine.executor.starts("FRU") == 1).then_some(())).await;
    let tree_d = format!("/{TREE_D}");
    assert!(published(&machine, FileKind::UpdateCache, &tree_d).is_some(), "the published one is untouched");
    machine.executor.release();
    let trimmed = fakes.result("2.1").await;
    let before = replica_of(&made, FileKind::UpdateCache);
    assert_ne!(replica_of(&trimmed, FileKind::UpdateCache).id.root, before.id.root);
    assert!(published(&machine, FileKind::UpdateCache, &tree_d).is_none());
    assert!(published(&machine, FileKind::UpdateCache, "/p_aux").is_some());
    clean(&machine).await;
}

fn regen(id: &str, inputs: &[&ReplicaInfo], store: &str) -> v1::Assign {
    let params = Params::RegenSectorKey(v1::RegenSectorKeyParams { comm_d_new: vec![3; 32] });
    let assign = inputs.iter().fold(assign(id, TaskKind::RegenSectorKey, params), |a, input| with_input(a, input, &[]));
    with_output(with_output(assign, FileKind::Sealed, store), FileKind::Cache, store)
}

#[tokio::test]
async fn a_key_is_regenerated_by_the_cache_that_it_had() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &SNAP);
    let unsealed = machine.publish(FileKind::Unsealed, b"data");
    let update = machine.publish(FileKind::Update, b"old+data");
    let cache = machine.publish(FileKind::Cache, b"old p_aux");
    machine.start();
    let store = fakes.store().await;
    fakes.assign(regen("1.1", &[&unsealed, &update], &store)).await;
    let refused = fakes.result("1.1").await;
    assert!(failed(&refused).message.contains("no cache input"), "{refused:?}");
    fakes.assign(regen("2.1", &[&unsealed, &update, &cache], &store)).await;
    assert_eq!(done(&fakes.result("2.1").await).replicas.len(), 2);
    assert_eq!(published(&machine, FileKind::Sealed, "").unwrap(), b"old p_aux");
    clean(&machine).await;
}

#[tokio::test]
async fn an_updated_sector_is_unsealed_out_of_its_update() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &SNAP);
    let sealed = machine.publish(FileKind::Sealed, b"old");
    let cache = machine.publish(FileKind::Cache, b"aux");
    let update = machine.publish(FileKind::Update, b"new");
    machine.start();
    let store = fakes.store().await;
    for (id, updated, inputs, expected) in [
        ("1.1", true, vec![&sealed, &cache, &update], Some(b"new")),
        ("2.1", false, vec![&sealed, &cache], Some(b"old")),
        ("3.1", true, vec![&sealed, &cache], None),
    ] {
        let params = Params::Unseal(v1::UnsealParams { updated, comm_d: vec![3; 32], ticket: vec![1; 32] });
        let task = inputs.iter().fold(assign(id, TaskKind::Unseal, params), |a, input| with_input(a, input, &[]));
        fakes.assign(with_output(task, FileKind::Unsealed, &store)).await;
        let result = fakes.result(id).await;
        match expected {
            Some(bytes) => {
                assert_eq!(done(&result).replicas.len(), 1);
                assert_eq!(published(&machine, FileKind::Unsealed, "").unwrap(), bytes);
            }
            None => assert!(failed(&result).message.contains("no update input"), "{result:?}"),
        }
    }
}

/// A worker with both replicas of a snapped sector.
async fn holder() -> (Fakes, Machine, ReplicaInfo, String) {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &SNAP);
    for (kind, bytes) in [(FileKind::Sealed, &OLD), (FileKind::Cache, &OLD), (FileKind::UpdateCache, &NEW)] {
        machine.publish(kind, bytes);
    }
    let update = machine.publish(FileKind::Update, &NEW);
    machine.start();
    let data_url = fakes.registered(1).await.data_url;
    (fakes, machine, update, data_url)
}

async fn window_post(fakes: &Fakes, id: &str, comm_r: &[u8; 32], input: &ReplicaInfo, urls: &[&str]) -> v1::PostOutput {
    let sectors = vec![v1::PostSector { number: SECTOR.number, comm_r: comm_r.to_vec(), seal_proof: 5 }];
    let params = v1::WindowPostParams { randomness: vec![1; 32], sectors, read_timeout_ms: 5000, ..Default::default() };
    let post = assign(id, TaskKind::GenerateWindowPost, Params::WindowPost(params));
    fakes.assign(with_input(post, input, urls)).await;
    let result = fakes.result(id).await;
    let Some(Output::Post(post)) = &done(&result).output else { panic!("{result:?}") };
    post.clone()
}

#[tokio::test]
async fn a_challenge_is_answered_by_the_replica_that_it_is_for() {
    let (fakes, machine, update, _) = holder().await;
    assert_eq!(window_post(&fakes, "1.1", &NEW, &update, &[]).await.proof, NEW);
    assert_eq!(machine.executor.starts("vanilla"), 1, "the update is looked at first");
    assert_eq!(window_post(&fakes, "2.1", &OLD, &update, &[]).await.proof, OLD);
    let post = window_post(&fakes, "3.1", &[9; 32], &update, &[]).await;
    let reason = &post.skipped[0].reason;
    assert!(reason.contains("/update/s-t01000-3 is of") && reason.contains("/sealed/s-t01000-3 is of"), "{reason}");
}

#[tokio::test]
async fn another_worker_answers_for_the_update_that_it_holds() {
    let (_fakes, _holder, update, data_url) = holder().await;
    let fakes = Fakes::start().await;
    let mut prover = Machine::new(&fakes, &SNAP);
    prover.start();
    fakes.registered(1).await;
    for (id, comm_r) in [("1.1", &NEW), ("2.1", &OLD)] {
        assert_eq!(window_post(&fakes, id, comm_r, &update, &[&data_url]).await.proof, *comm_r);
    }
    assert_eq!(prover.executor.starts("check"), 2);
}

/// Files of a worker and their commitments.
type Held<'a> = &'a [(FileKind, &'a [u8; 32])];

/// What a worker says of the sector that it holds: the commitment and whether it is of an update, or why none.
async fn examined(data_url: &str) -> Result<(Vec<u8>, bool), String> {
    let mut client = DataPlaneClient::connect(data_url.to_owned()).await.unwrap();
    let post_proof = "StackedDrgWindow2KiBV1_2".to_owned();
    let ask = v1::ExamineSectorRequest { miner: SECTOR.miner, sector: SECTOR.number, post_proof };
    let reply = client.examine_sector(ask).await.map_err(|status| status.message().to_owned())?.into_inner();
    Ok((reply.comm_r, reply.updated))
}

#[tokio::test]
async fn an_updated_sector_is_known_by_its_update_alone() {
    let (_fakes, machine, _, data_url) = holder().await;
    assert_eq!(examined(&data_url).await, Ok((NEW.to_vec(), true)));
    assert_eq!(machine.executor.starts("vanilla"), 1, "the replica before it is not asked");

    let holds: [(Held<'_>, _); 4] = [
        (&[(FileKind::Sealed, &OLD), (FileKind::Cache, &OLD)], Ok((OLD.to_vec(), false))),
        (&[(FileKind::Update, &NEW), (FileKind::UpdateCache, &NEW)], Ok((NEW.to_vec(), true))),
        // What is left of the replica before the update is no word about the sector.
        (
            &[(FileKind::Sealed, &OLD), (FileKind::Cache, &OLD), (FileKind::UpdateCache, &NEW)],
            Err("was updated, and no update of it"),
        ),
        // A cache of another update.
        (&[(FileKind::Sealed, &OLD), (FileKind::Update, &NEW), (FileKind::UpdateCache, &OLD)], Err("another replica")),
    ];
    for (files, expected) in holds {
        let fakes = Fakes::start().await;
        let mut machine = Machine::new(&fakes, &SNAP);
        files.iter().for_each(|(kind, bytes)| drop(machine.publish(*kind, *bytes)));
        machine.start();
        match (examined(&fakes.registered(1).await.data_url).await, expected) {
            (Err(said), Err(part)) => assert!(said.contains(part), "{said}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
        }
    }
}
