//! Peers that lie: requests that make no sense, and sources that send what nobody asked for. Refused, and nothing of it is
//! visible.

use std::pin::Pin;

use futures_util::StreamExt;
use sp_net::refusals::Refused;
use sp_net::sized;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::data_plane_server::{DataPlane, DataPlaneServer};
use sp_sectors::read_all;
use sp_types::ErrorCode;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::*;

type Answers<T> = Pin<Box<dyn futures_util::Stream<Item = Result<T, Status>> + Send>>;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_the_worker_lives_on() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let sealed = machine.publish(FileKind::Sealed, &[7; 3000]);
    machine.disk.create_new("/secret".as_ref()).unwrap().write_at(b"secret", 0).unwrap();
    machine.start();
    let url = fakes.registered(1).await.data_url;
    let mut client = DataPlaneClient::connect(url).await.unwrap();
    let replica = || v1::Replica::from(sealed.clone());
    let ask = |replica: v1::Replica, name: &str| v1::ReadFileRequest {
        replica: Some(replica),
        name: name.to_owned(),
        ..Default::default()
    };
    let long = "x".repeat(5_000);
    let hostile = [
        ("a path for a name", ask(replica(), "../../../../secret")),
        ("an absolute path for a name", ask(replica(), "/secret")),
        ("a name where the kind has none", ask(replica(), "p_aux")),
        ("an over-long name", ask(replica(), &long)),
        ("a path for a store", ask(v1::Replica { store: "../..".into(), ..replica() }, "")),
        ("an over-long store", ask(v1::Replica { store: long.clone(), ..replica() }, "")),
        ("a store of others", ask(v1::Replica { store: "elsewhere".into(), ..replica() }, "")),
        ("an unknown kind", ask(v1::Replica { kind: 99, ..replica() }, "")),
        ("no kind", ask(v1::Replica { kind: 0, ..replica() }, "")),
        ("another kind", ask(v1::Replica { kind: v1::FileKind::Cache as i32, ..replica() }, "p_aux")),
        ("another sector", ask(v1::Replica { sector: 4, ..replica() }, "")),
        ("another miner", ask(v1::Replica { miner: 4, ..replica() }, "")),
        ("another root", ask(v1::Replica { root: vec![1; 32], ..replica() }, "")),
        ("half a root", ask(v1::Replica { root: vec![1; 16], ..replica() }, "")),
        ("no replica", v1::ReadFileRequest::default()),
        ("a crooked offset", v1::ReadFileRequest { offset: 7, ..ask(replica(), "") }),
    ];
    for (what, request) in hostile {
        let refused = match client.read_file(request.clone()).await {
            Err(status) => Some(status),
            Ok(stream) => stream.into_inner().next().await.and_then(Result::err),
        };
        let status = refused.unwrap_or_else(|| panic!("{what} was answered"));
        let code = sp_net::status::code_of(&status).unwrap_or_else(|| panic!("{what}: {status:?}"));
        assert!(!matches!(code, ErrorCode::Internal), "{what}: {status:?}");
        let manifest = v1::ReadManifestRequest { replica: request.replica, attempt: None };
        if request.name.is_empty() && request.offset == 0 {
            assert!(client.read_manifest(manifest).await.is_err(), "{what}: its manifest was told");
        }
    }
    assert!(machine.refused(Refused::Call, ErrorCode::BadRequest) >= 8, "they are counted");
    let answered = client.read_file(ask(replica(), "")).await.unwrap().into_inner().next().await.unwrap().unwrap();
    assert_eq!(answered.data.to_vec(), [7; 3000]);
}

/// What a source does that nobody may believe.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    /// The manifest of another file, under the name of the one that is asked for.
    OtherManifest,
    /// A manifest that never ends.
    EndlessManifest,
    /// A file in it whose name leads out of the directory.
    NameThatLeadsOut,
    /// More bytes than were asked for.
    More,
    /// Bytes of another place.
    OtherRange,
    /// Other bytes.
    OtherBytes,
}

/// A data plane in front of an honest one.
struct Liar {
    honest: DataPlaneClient<Channel>,
    lie: Lie,
}

#[tonic::async_trait]
impl DataPlane for Liar {
    type ReadManifestStream = Answers<v1::ManifestPart>;
    type ReadFileStream = Answers<v1::FileChunk>;
    type ReadPieceStream = Answers<v1::FileChunk>;

    async fn read_manifest(
        &self,
        request: Request<v1::ReadManifestRequest>,
    ) -> Result<Response<Self::ReadManifestStream>, Status> {
        let lie = self.lie;
        let parts = self.honest.clone().read_manifest(request.into_inner()).await?.into_inner();
        let parts = parts.map(move |part| {
            let mut part = part?;
            match lie {
                Lie::OtherManifest => part.files.iter_mut().for_each(|file| file.chunk_digests.fill(9)),
                Lie::NameThatLeadsOut => part.files.iter_mut().for_each(|file| file.name = "../../out".into()),
                _ => {}
            }
            Ok(part)
        });
        let more = v1::ManifestFile { name: "more".into(), size_bytes: 1 << 50, chunk_digests: vec![1; MIB] };
        let endless = v1::ManifestPart { head: None, files: vec![more] };
        let tail =
            futures_util::stream::repeat(endless).map(Ok).take(if lie == Lie::EndlessManifest { 500 } else { 0 });
        Ok(Response::new(Box::pin(parts.chain(tail))))
    }

    async fn read_file(&self, request: Request<v1::ReadFileRequest>) -> Result<Response<Self::ReadFileStream>, Status> {
        let lie = self.lie;
        let chunks = self.honest.clone().read_file(request.into_inner()).await?.into_inner();
        let chunks = chunks.map(move |chunk| {
            let mut chunk = chunk?;
            let mut data = chunk.data.to_vec();
            match lie {
                Lie::More => data.extend([1; 1000]),
                Lie::OtherRange => chunk.offset += MIB as u64,
                Lie::OtherBytes => data[17] ^= 1,
                _ => {}
            }
            chunk.data = data.into();
            Ok(chunk)
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn upload_status(
        &self,
        _: Request<v1::UploadStatusRequest>,
    ) -> Result<Response<v1::UploadStatusReply>, Status> {
        Err(Status::unimplemented("a liar"))
    }

    async fn upload_piece(
        &self,
        _: Request<Streaming<v1::UploadPart>>,
    ) -> Result<Response<v1::UploadStatusReply>, Status> {
        Err(Status::unimplemented("a liar"))
    }

    async fn read_piece(&self, _: Request<v1::ReadPieceRequest>) -> Result<Response<Self::ReadPieceStream>, Status> {
        Err(Status::unimplemented("a liar"))
    }

    async fn read_challenge(
        &self,
        _: Request<v1::ReadChallengeRequest>,
    ) -> Result<Response<v1::ReadChallengeReply>, Status> {
        Err(Status::unimplemented("a liar"))
    }

    async fn examine_sector(
        &self,
        _: Request<v1::ExamineSectorRequest>,
    ) -> Result<Response<v1::ExamineSectorReply>, Status> {
        Err(Status::unimplemented("a liar"))
    }
}

#[tokio::test]
async fn what_a_lying_source_sends_never_becomes_visible() {
    for lie in
        [Lie::OtherManifest, Lie::EndlessManifest, Lie::NameThatLeadsOut, Lie::More, Lie::OtherRange, Lie::OtherBytes]
    {
        let fakes = Fakes::start().await;
        let mut holder = Machine::new(&fakes, &ALL);
        let bytes: Vec<u8> = (0..MIB + 3000).map(|at| (at / 251) as u8).collect();
        let sealed = holder.publish(FileKind::Sealed, &bytes);
        holder.start();
        let honest_url = fakes.registered(1).await.data_url;
        let honest = sized!(DataPlaneClient::connect(honest_url.clone()).await.unwrap());
        let liar =
            support::serve(sp_net::server::Services::new().with(sized!(DataPlaneServer::new(Liar { honest, lie }))))
                .await;

        let others = Fakes::start().await;
        let mut fetcher = Machine::new(&others, &[TaskKind::Fetch]);
        fetcher.start();
        let store = others.store().await;
        let get = |id: &str, url: &str| {
            let get = assign(id, TaskKind::Fetch, Params::Fetch(v1::FetchParams {}));
            with_output(with_input(get, &sealed, &[url]), FileKind::Sealed, &store)
        };
        others.assign(get("1.1", &liar)).await;
        let failure = failed(&others.result("1.1").await).clone();
        assert_eq!(failure.code, "SP-DIGEST-MISMATCH", "{lie:?}: {failure:?}");
        assert!(fetcher.refused(Refused::Source, ErrorCode::DigestMismatch) >= 1, "{lie:?} is counted");
        let place = format!("{DATA_DIR}/storage/sealed/s-t01000-3");
        assert!(!exists(&fetcher.disk, place.as_ref()).unwrap(), "{lie:?}");
        assert!(!exists(&fetcher.disk, format!("{DATA_DIR}/out").as_ref()).unwrap(), "{lie:?}");
        // An honest one is believed as ever.
        others.assign(get("2.1", &honest_url)).await;
        done(&others.result("2.1").await);
        assert_eq!(read_all(&fetcher.disk, place.as_ref(), 2 * MIB as u64).unwrap(), bytes);
    }
}
