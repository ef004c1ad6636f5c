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
    let large =
        |FileChunk { offset, data }| bulk::Large::new(&FileChunk { offset, data: Default::default() }, DATA, data);
    Ok(bulk::respond(chunks.map(move |chunk| chunk.map(large))))
}
