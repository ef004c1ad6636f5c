//! The data plane as it is served: what is large goes past tonic's buffers, the rest through the generated server.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use sp_net::{bulk, sized};
use sp_proto::v1::data_plane_server::{DataPlane, DataPlaneServer};
use sp_proto::v1::{FileChunk, ReadFileRequest};
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::server::NamedService;
use tonic::{Request, Status};

use super::Service;
use crate::node::Node;

/// Where files are read.
const READ_FILE: &str = "/sp.v1.DataPlane/ReadFile";

/// Number of the field `data` of a chunk.
const DATA: u32 = 2;

/// Key of the field `offset`: number 1, a varint.
const OFFSET_KEY: u8 = 1 << 3;

/// What a whole chunk takes on the wire, before HTTP/2 frames it.
pub(crate) const CHUNK_WIRE_BYTES: u32 = (1 << 20) + 20;

/// The data plane.
#[derive(Clone)]
pub(crate) struct Served {
    service: Arc<Service>,
    rest: DataPlaneServer<Service>,
}

impl Served {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let service = Arc::new(Service::new(node));
        Self { rest: sized!(DataPlaneServer::from_arc(service.clone())), service }
    }
}

impl NamedService for Served {
    const NAME: &'static str = <DataPlaneServer<Service> as NamedService>::NAME;
}

impl tonic::codegen::Service<http::Request<Body>> for Served {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        tonic::codegen::Service::<http::Request<Body>>::poll_ready(&mut self.rest, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != READ_FILE {
            return self.rest.call(request);
        }
        let service = self.service.clone();
        Box::pin(async move { Ok(read_file(&service, request).await.unwrap_or_else(|status| status.into_http())) })
    }
}

async fn read_file(service: &Service, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
    let request: ReadFileRequest = bulk::request(request).await?;
    let chunks = service.read_file(Request::new(request)).await?.into_inner();
    Ok(bulk::respond(chunks.map(|chunk| chunk.map(large))))
}

/// A chunk as it goes out. Its offset is written at the full length of a number, so that all whole chunks are equally
/// long on the wire: a window of so many of them never ends inside of one, which would cost its reader a copy.
fn large(FileChunk { offset, data }: FileChunk) -> bulk::Large {
    let mut rest = [0x80; 11];
    rest[0] = OFFSET_KEY;
    for (at, byte) in rest[1..10].iter_mut().enumerate() {
        *byte |= (offset >> (7 * at)) as u8;
    }
    rest[10] = (offset >> 63) as u8;
    bulk::Large::new(&rest, DATA, data)
}

#[cfg(test)]
mod tests {
    use sp_proto::v1::FileChunk;
    use sp_sectors::CHUNK_BYTES;

    use super::*;

    #[test]
    fn whole_chunks_are_equally_long_and_plain_protobuf() {
        for offset in [0, 1, 127, 128, 1 << 20, u64::MAX >> 1, u64::MAX] {
            let chunk = FileChunk { offset, data: vec![7; CHUNK_BYTES as usize].into() };
            assert_eq!(large(chunk.clone()).wire_bytes(), CHUNK_WIRE_BYTES as usize);
            let small = FileChunk { offset, data: vec![7; 5].into() };
            let decoded = large(small.clone()).message();
            assert_eq!(<FileChunk as prost::Message>::decode(decoded).unwrap(), small);
        }
    }
}
