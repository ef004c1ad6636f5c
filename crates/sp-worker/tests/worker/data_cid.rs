//! DC: what is uploaded is read, nothing is published, and nothing of it stays.

use super::*;

const KINDS: [TaskKind; 2] = [TaskKind::DataCid, TaskKind::AddPiece];

fn data_cid(id: &str, store: &str, data: &[u8]) -> v1::Assign {
    let params = v1::DataCidParams {
        data_bytes: data.len() as u64,
        data_digest: blake2s_simd::blake2s(data).as_bytes().to_vec(),
        ticket: "secret".into(),
        padded_bytes: 4096,
    };
    with_output(assign(id, TaskKind::DataCid, Params::DataCid(params)), FileKind::Piece, store)
}

/// What lies in the work directories.
fn work(machine: &Machine) -> usize {
    machine.disk.list(format!("{DATA_DIR}/storage/.sp/work").as_ref()).map_or(0, |entries| entries.len())
}

async fn port(fakes: &Fakes, session: usize) -> DataPlaneClient<tonic::transport::Channel> {
    DataPlaneClient::connect(fakes.registered(session).await.data_url).await.unwrap()
}

#[tokio::test]
async fn what_is_uploaded_is_read_and_gone() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &KINDS);
    machine.start();
    let data: Vec<u8> = (0..1501u32).map(|i| (i % 256) as u8).collect();
    fakes.assign(data_cid("1.1", &fakes.store().await, &data)).await;
    let progress = || fakes.said.progress.lock().unwrap().iter().any(|p| p.detail.contains("upload")).then_some(());
    eventually("the attempt to wait", progress).await;
    let mut client = port(&fakes, 1).await;
    client.upload_piece(tokio_stream::iter(parts("secret", 0, &data[..600]))).await.unwrap();
    assert_eq!(work(&machine), 1);
    machine.kill();
    machine.start();
    let mut client = port(&fakes, 2).await;
    let ask = v1::UploadStatusRequest { ticket: "secret".into() };
    let at = client.upload_status(ask).await.unwrap().into_inner().received_bytes;
    let rest = parts("secret", at, &data[at as usize..]);
    assert!(client.upload_piece(tokio_stream::iter(rest)).await.unwrap().into_inner().complete);

    let result = fakes.result("1.1").await;
    let v1::TaskDone { replicas, output } = done(&result);
    let piece = v1::Piece { padded_bytes: 4096, commitment: data };
    assert_eq!((replicas.len(), output), (0, &Some(Output::DataCid(piece))));
    assert_eq!(machine.executor.starts("DC"), 1);
    clean(&machine).await;
    assert!(fakes.said.declared.lock().unwrap().is_empty(), "nothing is declared");
}

#[tokio::test]
async fn a_cancelled_one_leaves_nothing_of_what_has_come() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &KINDS);
    machine.start();
    fakes.assign(data_cid("1.1", &fakes.store().await, &[7; 1000])).await;
    let mut client = port(&fakes, 1).await;
    eventually("the attempt", || (!fakes.said.progress.lock().unwrap().is_empty()).then_some(())).await;
    client.upload_piece(tokio_stream::iter(parts("secret", 0, &[7; 600]))).await.unwrap();
    let attempt = Some(v1::AttemptId { task: 1, number: 1 });
    fakes.command(v1::worker_command::Body::Cancel(v1::Cancel { attempt, reason: "its client is gone".into() })).await;
    clean(&machine).await;
    let refused = client.upload_piece(tokio_stream::iter(parts("secret", 600, &[7; 400]))).await.unwrap_err();
    assert_eq!(sp_net::status::code_of(&refused), Some(sp_types::ErrorCode::BadTicket));
}
