//! The pieces of a run, and how the operator brings them to the worker that waits for them, through kills and partitions.

use std::time::Duration;

use futures_util::stream;
use sp_net::{Env, sized};
use sp_proto::v1;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use tonic::Status;
use tonic::transport::Channel;

use crate::operator::{answer, channel, scheduler};

/// The data: not much, but in several messages with time between them.
const DATA_BYTES: usize = 1500;
const UPDATE_BYTES: usize = 1100;
const PART_BYTES: usize = 400;
const PART_EVERY: Duration = Duration::from_millis(150);

/// One transfer takes at most this long.
const SEND_WITHIN: Duration = Duration::from_secs(8);

/// The data of a sector that is sealed with some.
pub fn data() -> Vec<u8> {
    (0..DATA_BYTES).map(|at| (at % 251) as u8).collect()
}

/// The data of every update.
pub fn update() -> Vec<u8> {
    (0..UPDATE_BYTES).map(|at| (at % 241) as u8 ^ 0xff).collect()
}

/// Makes a sector for it; gives its number.
pub(crate) async fn add(env: &Env) -> Result<u64, Status> {
    let data = data();
    let digest = |data: &[u8]| blake2s_simd::blake2s(data).as_bytes().to_vec();
    // Two pieces in one sector.
    let piece = |(data, name): (&[u8], &str)| v1::DataPiece {
        data_bytes: data.len() as u64,
        data_digest: digest(data),
        name: name.into(),
    };
    let (first, second) = data.split_at(DATA_BYTES / 2);
    let pieces = [(first, "first"), (second, "second")].map(piece).to_vec();
    let (data_bytes, data_digest) = (DATA_BYTES as u64, digest(&data));
    let request = v1::AddPieceRequest { data_bytes, data_digest, name: String::new(), priority: None, pieces };
    Ok(answer(env, scheduler(env)?.add_piece(request)).await?.sector)
}

/// Offers the other piece for a sector that has none.
pub(crate) async fn snap(env: &Env, number: u64) -> Result<(), Status> {
    let data = update();
    let (data_bytes, data_digest) = (data.len() as u64, blake2s_simd::blake2s(&data).as_bytes().to_vec());
    let name = "update".to_owned();
    let request = v1::SnapSectorRequest { number, data_bytes, data_digest, name, priority: None, pieces: vec![] };
    answer(env, scheduler(env)?.snap_sector(request)).await.map(drop)
}

/// Sends it if a worker waits for it now; goes on where an earlier try stopped.
pub(crate) async fn bring(env: &Env, sector: u64, data: &[u8]) -> Result<(), Status> {
    let upload = answer(env, scheduler(env)?.get_upload(v1::GetUploadRequest { sector })).await?;
    if upload.data_url.is_empty() {
        return Ok(());
    }
    let v1::GetUploadReply { data_url, ticket, .. } = upload;
    let mut worker: DataPlaneClient<Channel> = sized!(DataPlaneClient::new(channel(env, &data_url)?));
    let status = answer(env, worker.upload_status(v1::UploadStatusRequest { ticket: ticket.clone() })).await?;
    if status.complete {
        return Ok(());
    }
    let offset = status.received_bytes;
    let first = v1::UploadPart { ticket, offset, ..Default::default() };
    let rest = data.get(offset as usize..).unwrap_or_default();
    let parts = rest.chunks(PART_BYTES).map(|part| v1::UploadPart { data: part.to_vec().into(), ..Default::default() });
    let parts: Vec<_> = std::iter::once(first).chain(parts).collect();
    let clock = env.clock.clone();
    let sending = stream::unfold(parts.into_iter(), move |mut parts| {
        let pause = clock.sleep(PART_EVERY);
        async move {
            pause.await;
            parts.next().map(|part| (part, parts))
        }
    });
    match env.timeout(SEND_WITHIN, worker.upload_piece(sending)).await {
        Ok(sent) => sent.map(drop),
        Err(elapsed) => Err(Status::deadline_exceeded(elapsed.to_string())),
    }
}
