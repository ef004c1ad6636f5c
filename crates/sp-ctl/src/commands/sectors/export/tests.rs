//! Files are brought from data ports that break off, lie or are whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::stream::{Iter, iter};
use indicatif::ProgressBar;
use sp_proto::v1::data_plane_server::{DataPlane, DataPlaneServer};
use sp_proto::v1::scheduler_client::SchedulerClient;
use sp_proto::v1::*;
use sp_sectors::{CHUNK_BYTES, Manifest, ManifestFile as File, chunk_digest};
use sp_types::{FileKind as Kind, SectorId, StoreId};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::bring::{Bringing, Brought};
use super::place::{ATTEMPT, Place};
use super::plan::{Source, UNREAD, Wanted};
use crate::error::CommandError;

const SECTOR: SectorId = SectorId { miner: 1000, number: 7 };
const MIB: u64 = CHUNK_BYTES;

/// A worker that has the file.
#[derive(Clone, Default)]
struct Port {
    content: Arc<Vec<u8>>,
    /// This chunk is another one.
    wrong: Option<u64>,
    /// A transfer ends after so many chunks.
    ends_after: Option<usize>,
    /// Where each transfer began.
    asked: Arc<Mutex<Vec<u64>>>,
}

type Stream<T> = Iter<std::vec::IntoIter<Result<T, Status>>>;

fn nobody_asks<T>() -> Result<T, Status> {
    Err(Status::unimplemented("nobody asks for this"))
}

#[tonic::async_trait]
impl DataPlane for Port {
    type ReadManifestStream = Stream<ManifestPart>;
    type ReadFileStream = Stream<FileChunk>;
    type ReadPieceStream = Stream<FileChunk>;

    async fn read_manifest(&self, _: Request<ReadManifestRequest>) -> Result<Response<Stream<ManifestPart>>, Status> {
        let manifest = manifest(&self.content);
        let [File { name, size_bytes, chunks }] = manifest.files() else { return nobody_asks() };
        let file = ManifestFile { name: name.clone(), size_bytes: *size_bytes, chunk_digests: chunks.concat() };
        let head = ManifestHead { root: manifest.root().to_vec(), ..ManifestHead::default() };
        Ok(Response::new(iter(vec![Ok(ManifestPart { head: Some(head), files: vec![file] })])))
    }

    async fn read_file(&self, request: Request<ReadFileRequest>) -> Result<Response<Stream<FileChunk>>, Status> {
        let ReadFileRequest { offset, size_bytes, .. } = request.into_inner();
        self.asked.lock().unwrap().push(offset);
        let wanted = &self.content[offset as usize..(offset + size_bytes) as usize];
        let chunk = |(at, bytes): (usize, &[u8])| {
            let (offset, mut data) = (offset + at as u64 * MIB, bytes.to_vec());
            if self.wrong == Some(offset / MIB) {
                data[0] ^= 1;
            }
            Ok(FileChunk { offset, data: data.into() })
        };
        let chunks = wanted.chunks(MIB as usize).enumerate().map(chunk).take(self.ends_after.unwrap_or(usize::MAX));
        Ok(Response::new(iter(chunks.collect::<Vec<_>>())))
    }

    async fn read_piece(&self, _: Request<ReadPieceRequest>) -> Result<Response<Stream<FileChunk>>, Status> {
        nobody_asks()
    }

    async fn upload_status(&self, _: Request<UploadStatusRequest>) -> Result<Response<UploadStatusReply>, Status> {
        nobody_asks()
    }

    async fn upload_piece(&self, _: Request<Streaming<UploadPart>>) -> Result<Response<UploadStatusReply>, Status> {
        nobody_asks()
    }

    async fn read_challenge(&self, _: Request<ReadChallengeRequest>) -> Result<Response<ReadChallengeReply>, Status> {
        nobody_asks()
    }

    async fn examine_sector(&self, _: Request<ExamineSectorRequest>) -> Result<Response<ExamineSectorReply>, Status> {
        nobody_asks()
    }
}

fn manifest(content: &[u8]) -> Manifest {
    let chunks = content.chunks(MIB as usize).map(chunk_digest).collect();
    let file = File { name: String::new(), size_bytes: content.len() as u64, chunks };
    Manifest::new(Kind::Sealed, vec![file]).unwrap()
}

/// More than one group of chunks, and a short one at the end.
fn content() -> Arc<Vec<u8>> {
    Arc::new((0..10 * MIB + 77).map(|at| (at % 251 + at / MIB) as u8).collect())
}

async fn serve(port: &Port) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = DataPlaneServer::new(port.clone()).max_encoding_message_size(4 << 20);
    let serving = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    url
}

/// Brings the file from these ports, named a, b and so on; the scheduler is away.
async fn bring(place: &Place, ports: &[&Port], root: [u8; 32]) -> Result<Brought, CommandError> {
    let mut sources = Vec::new();
    for (name, port) in ["a", "b", "c"].iter().zip(ports) {
        sources.push(Source { store: StoreId::new(*name).unwrap(), data_url: serve(port).await, root });
    }
    let wanted = Wanted { kind: Kind::Sealed, root, size_bytes: 10 * MIB + 77, sources };
    let mut scheduler = SchedulerClient::new(Endpoint::from_static("http://127.0.0.1:9").connect_lazy());
    let (work, bar) = (place.store.work(ATTEMPT).unwrap(), ProgressBar::hidden());
    Bringing::new(&work, SECTOR, wanted, &bar).all(&mut scheduler).await
}

fn names(from: &BTreeSet<StoreId>) -> Vec<&str> {
    from.iter().map(StoreId::as_str).collect()
}

#[tokio::test]
async fn another_source_goes_on_where_the_first_broke_off() {
    let (dir, content) = (tempfile::tempdir().unwrap(), content());
    let place = Place::open(dir.path()).unwrap();
    let breaks = Port { content: content.clone(), ends_after: Some(5), ..Port::default() };
    let whole = Port { content: content.clone(), ..Port::default() };
    let root = manifest(&content).root();
    let brought = bring(&place, &[&breaks, &whole], root).await.unwrap();
    assert_eq!((names(&brought.from), &*whole.asked.lock().unwrap()), (vec!["a", "b"], &vec![5 * MIB]));
    place.store.publish_outputs(ATTEMPT, &[brought.output.unwrap()]).unwrap();
    assert!(std::fs::read(place.store.replica_path(SECTOR, Kind::Sealed)).unwrap() == *content);
    let info = place.store.find(SECTOR, Kind::Sealed).unwrap().unwrap();
    assert!(info.primary && info.origin.is_none() && info.id.root == root);

    // It is at its place; of a copy that nobody had read, that shows only now.
    place.clear().unwrap();
    let again = bring(&place, &[&whole], UNREAD).await.unwrap();
    assert!(again.output.is_none() && again.root == root && whole.asked.lock().unwrap().len() == 1);
}

#[tokio::test]
async fn what_one_source_has_wrong_comes_from_another() {
    let (dir, content) = (tempfile::tempdir().unwrap(), content());
    let place = Place::open(dir.path()).unwrap();
    let lies = Port { content: content.clone(), wrong: Some(3), ..Port::default() };
    let also_lies = Port { wrong: Some(9), asked: Arc::default(), ..lies.clone() };
    let root = manifest(&content).root();
    let brought = bring(&place, &[&lies, &also_lies], root).await.unwrap();
    assert_eq!(names(&brought.from), ["a", "b"]);
    assert!(std::fs::read(place.store.work(ATTEMPT).unwrap().path(SECTOR, Kind::Sealed)).unwrap() == *content);
    assert_eq!(also_lies.asked.lock().unwrap()[0], 3 * MIB, "only what is missing is asked for");
}

#[tokio::test]
async fn wrong_bytes_of_the_only_source_are_an_error_that_names_them() {
    let (dir, content) = (tempfile::tempdir().unwrap(), content());
    let place = Place::open(dir.path()).unwrap();
    let lies = Port { content: content.clone(), wrong: Some(3), ..Port::default() };
    let failure = bring(&place, &[&lies], manifest(&content).root()).await.err().unwrap().line();
    assert!(failure.contains("path a (http://127.0.0.1:") && failure.contains("chunk 3 (byte 3145728)"), "{failure}");
    let other = bring(&place, &[&lies], [9; 32]).await.err().unwrap().line();
    assert!(other.contains("path a") && other.contains("root"), "{other}");
}
