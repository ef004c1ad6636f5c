//! A relay between a process and a service that it dials. Every message passes through it, above gRPC: it says some
//! twice, some late, and some that were said long ago; what comes from the data plane of another worker it spoils.
//!
//! It lives in the process that dials, speaks gRPC with it over a pipe in memory, and dials the service itself, so that
//! the services stay as they are. What depends on the order of one stream by its protocol is passed on in order.

mod data;
mod habits;
mod index;
mod meddler;
mod streams;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream;
use sp_env::BoxFuture;
use sp_net::{BoxIo, Env, Listener, Net, client, sized};
use sp_proto::v1::data_plane_server::DataPlaneServer;
use sp_proto::v1::index_server::IndexServer;
use sp_proto::v1::worker_server::WorkerServer;
use tonic::Status;
use tonic::transport::{Channel, Server};

use crate::rng::Rng;
use crate::stage::Stage;
use data::DataRelay;
use index::IndexRelay;
use meddler::Meddler;
pub use meddler::Memory;
use worker::WorkerRelay;

/// Bytes in the pipe between a process and its relay.
const PIPE_BYTES: usize = 64 << 10;

/// The network of a process with a relay in front of the services.
struct RelayedNet {
    env: Env,
    meddler: Meddler,
}

/// The machine as a process sees it whose words pass through a relay.
pub fn relayed(env: Env, stage: Stage, rng: Rng) -> Env {
    let meddler = Meddler::new(env.clone(), stage, rng);
    Env { net: Arc::new(RelayedNet { env: env.clone(), meddler }), ..env }
}

impl RelayedNet {
    fn open(&self, authority: &str) -> io::Result<BoxIo> {
        let upstream = channel(&self.env, authority).map_err(io::Error::other)?;
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let worker = WorkerRelay { meddler: self.meddler.clone(), upstream: upstream.clone() };
        let index = IndexRelay { meddler: self.meddler.clone(), upstream: upstream.clone() };
        let data = DataRelay { meddler: self.meddler.clone(), upstream };
        let serving = Server::builder()
            .add_service(sized!(WorkerServer::new(worker)))
            .add_service(sized!(IndexServer::new(index)))
            .add_service(sized!(DataPlaneServer::new(data)))
            .serve_with_incoming(stream::iter([Ok::<_, io::Error>(far)]));
        let serving = async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a relay ends");
            }
        };
        drop(self.env.tasks.spawn("relay", Box::pin(serving)));
        Ok(Box::new(near))
    }
}

impl Net for RelayedNet {
    fn connect(&self, authority: String) -> BoxFuture<io::Result<BoxIo>> {
        let opened = self.open(&authority);
        Box::pin(async move { opened })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Listener>>> {
        self.env.net.listen(address)
    }

    fn is_private(&self) -> bool {
        self.env.net.is_private()
    }
}

fn channel(env: &Env, authority: &str) -> Result<Channel, Status> {
    client::channel(env, authority).map_err(|error| Status::internal(error.to_string()))
}
