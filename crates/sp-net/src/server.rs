//! Being a service: one listener with limits, keepalive, health, reflection and a bounded drain.
//!
//! The limits of the transport are set here. The limits on messages belong to each generated server: wrap every one
//! in [`sized!`](crate::sized), or tonic's own default (4 MiB in, unlimited out) applies.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio_util::sync::CancellationToken;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::announce::Announcement;
use crate::client::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::refusals::{CountCalls, Refusals};
use crate::{Env, Listener, NetError};

mod incoming;

/// Sets our message limit on a generated server or client: `sized!(WorkerServer::new(x))`.
///
/// Whoever receives refuses, naming both sizes. A limit on sending would end the call in the middle of its body
/// instead, which the peer sees as a broken protocol.
#[macro_export]
macro_rules! sized {
    ($end:expr) => {
        $end.max_decoding_message_size($crate::client::MESSAGE_BYTES_MAX)
    };
}

/// How long open calls may go on after the shutdown signal, unless the builder says otherwise.
pub const DRAIN: Duration = Duration::from_secs(5);

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more are closed as soon as they open.
    pub connections: usize,
    /// Calls at once on one connection. A client that wants more waits: HTTP/2 tells it so.
    pub streams_per_connection: u32,
    /// Bytes of the headers of one call.
    pub header_bytes: u32,
    /// Calls that a peer may open and reset before the connection is closed on it.
    pub pending_resets: usize,
}

impl Limits {
    /// For services that direct: scheduler and index.
    pub const CONTROL: Self =
        Self { connections: 1024, streams_per_connection: 128, header_bytes: 16 << 10, pending_resets: 20 };

    /// For services that move data: each stream may hold some chunks in memory.
    pub const DATA: Self = Self { connections: 256, streams_per_connection: 64, ..Self::CONTROL };
}

/// What is decided before a service listens.
pub struct Builder {
    env: Env,
    service: &'static str,
    address: SocketAddr,
    limits: Limits,
    drain: Duration,
    announce: Option<Option<PathBuf>>,
    refusals: Refusals,
}

/// A bound listener that does not serve yet.
pub struct Server {
    env: Env,
    service: &'static str,
    address: SocketAddr,
    listener: Box<dyn Listener>,
    limits: Limits,
    drain: Duration,
    announce: Option<Option<PathBuf>>,
    refusals: Refusals,
}

/// The gRPC services of one listener, with their names, so that health and reflection show exactly these.
#[derive(Default)]
pub struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
}

impl Services {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated server; wrap it in [`sized!`](crate::sized).
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<tonic::body::Body>, Response = http::Response<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }
}

impl Builder {
    /// Other bounds than [`Limits::CONTROL`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another drain than [`DRAIN`].
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Where refused calls are counted; else they are only logged.
    #[must_use]
    pub fn refusals(mut self, refusals: &Refusals) -> Self {
        self.refusals = refusals.clone();
        self
    }

    /// Tells the world where this process listens: one JSON line on stdout, and `listen.json` in the data directory.
    #[must_use]
    pub fn announce(mut self, data_dir: Option<PathBuf>) -> Self {
        self.announce = Some(data_dir);
        self
    }

    /// Takes the port. Connections wait in the backlog until [`Server::serve`].
    pub async fn bind(self) -> Result<Server, NetError> {
        let Self { env, service, address, limits, drain, announce, refusals } = self;
        if !env.net.is_private() {
            if !address.ip().is_loopback() {
                return Err(NetError::NotLoopback(address));
            }
            tracing::warn!(service, %address, "INSECURE development mode: no TLS, loopback only");
        }
        let listen = |source| NetError::Listen { address, source };
        let listener = env.net.listen(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Server { env, service, address, listener, limits, drain, announce, refusals })
    }
}

impl Server {
    /// A service that will listen on `address` (port 0: any free one).
    pub fn builder(env: &Env, service: &'static str, address: SocketAddr) -> Builder {
        let refusals = Refusals::new(env);
        Builder { env: env.clone(), service, address, limits: Limits::CONTROL, drain: DRAIN, announce: None, refusals }
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes, then drains: no new calls, open ones may end, after the drain time the
    /// connections are cut. The service ends its own long streams when `shutdown` completes; nobody else can.
    pub async fn serve(self, services: Services, shutdown: impl Future<Output = ()> + Send) -> Result<(), NetError> {
        let Self { env, service, address, listener, limits, drain, announce, refusals } = self;
        let names = services.names.clone();
        let (health, routes) = complete(services).await?;
        let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
        let signal = async {
            shutdown.await;
            draining.cancel();
        };
        let incoming = incoming::connections(&env, listener, limits.connections, cut.clone());
        let serving = transport(limits).layer(CountCalls(refusals)).add_routes(routes);
        let serving = serving.serve_with_incoming_shutdown(incoming, signal);
        if let Some(data_dir) = announce {
            let announcement = Announcement::new(service, address);
            let told = announcement.publish(data_dir.as_deref());
            told.map_err(|source| NetError::Announce { service, source })?;
        }
        tracing::info!(service, %address, "listening");
        let overdue = async {
            draining.cancelled().await;
            for name in names.iter().copied().chain([""]) {
                health.set_service_status(name, ServingStatus::NotServing).await;
            }
            env.clock.sleep(drain).await;
        };
        match select(pin!(serving), pin!(overdue)).await {
            Either::Left((result, _)) => Ok(result?),
            Either::Right(((), serving)) => {
                tracing::warn!(service, drain_ms = drain.as_millis() as u64, "calls are still open; cutting them");
                cut.cancel();
                // hyper may hold on to a connection whose peer is gone; a second is enough for those that notice.
                let last = env.timeout(Duration::from_secs(1), serving).await;
                last.unwrap_or(Ok(())).map_err(NetError::from)
            }
        }
    }
}

/// Adds health and both versions of reflection, restricted to what is really served.
async fn complete(services: Services) -> Result<(HealthReporter, tonic::service::Routes), NetError> {
    let Services { mut routes, names } = services;
    let (health, health_server) = tonic_health::server::health_reporter();
    for name in &names {
        health.set_service_status(name, ServingStatus::Serving).await;
    }
    let reflection = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(sp_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        for name in names.iter().copied().chain(["grpc.health.v1.Health"]) {
            builder = builder.with_service_name(name);
        }
        builder
    };
    routes.add_service(sized!(health_server));
    routes.add_service(sized!(reflection().with_service_name("grpc.reflection.v1.ServerReflection").build_v1()?));
    // grpcio and older grpcurl speak only this one.
    let old = reflection().with_service_name("grpc.reflection.v1alpha.ServerReflection");
    routes.add_service(sized!(old.build_v1alpha()?));
    Ok((health, routes.routes()))
}

/// tonic's server with every bound set. No time limit per call here: it would cut streams and long unary calls
/// alike; each caller sends its deadline instead.
fn transport(limits: Limits) -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .max_concurrent_streams(limits.streams_per_connection)
        .concurrency_limit_per_connection(limits.streams_per_connection as usize)
        .http2_max_header_list_size(limits.header_bytes)
        .http2_max_pending_accept_reset_streams(Some(limits.pending_resets))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .load_shed(true)
}
