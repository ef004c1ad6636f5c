//! Figures for Prometheus: `GET /metrics` over HTTP/1.1 on a port of its own, and nothing else there.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{BoxIo, Env, Listener, NetError};

/// Connections at once; more wait.
const CONNECTIONS: usize = 8;
/// From a connection to the end of its answer.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What OpenMetrics calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Makes the page anew for every request; must not wait for anything.
pub type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// The page of what is registered.
pub fn page_of(registry: Registry) -> Page {
    Arc::new(move || {
        let mut page = String::new();
        // Writing into a text cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut page, &registry);
        page
    })
}

/// A bound port that does not answer yet.
pub struct MetricsPort {
    env: Env,
    address: SocketAddr,
    listener: Box<dyn Listener>,
}

impl MetricsPort {
    /// Takes the port (0: any free one).
    pub async fn bind(env: &Env, address: SocketAddr) -> Result<Self, NetError> {
        if !env.net.is_private() && !address.ip().is_loopback() {
            return Err(NetError::NotLoopback(address));
        }
        let listen = |source| NetError::Listen { address, source };
        let listener = env.net.listen(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { env: env.clone(), address, listener })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is told to stop.
    pub async fn serve(self, page: Page, stopping: CancellationToken) {
        let Self { env, address, mut listener } = self;
        tracing::info!(%address, "metrics at /metrics");
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = free.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((io, _)) = accepted else {
                env.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (own, page) = (env.clone(), page.clone());
            let answer = async move {
                // A client that is slow or gone loses its answer; nobody else notices.
                let _ = own.timeout(LIMIT, connection(io, page)).await;
                drop(permit);
            };
            drop(env.tasks.spawn("metrics connection", Box::pin(answer)));
        }
    }
}

async fn connection(io: BoxIo, page: Page) {
    let service = service_fn(move |request| {
        let response = respond(&request, &page);
        async { Ok::<_, Infallible>(response) }
    });
    if let Err(error) = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(io), service).await {
        tracing::debug!(%error, "a request for metrics was no request");
    }
}

fn respond(request: &Request<Incoming>, page: &Page) -> Response<String> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, OPEN_METRICS, page()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("receive");
        answer
    }

    #[tokio::test]
    async fn the_page_is_made_for_every_request_and_nothing_else_is_there() {
        let env = Env::real();
        let port = MetricsPort::bind(&env, "127.0.0.1:0".parse().expect("address")).await.expect("bind");
        let (address, stopping) = (port.address(), CancellationToken::new());
        let count = std::sync::atomic::AtomicU32::new(0);
        let page = move || format!("asked {}\n", 1 + count.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        let serving = tokio::spawn(port.serve(Arc::new(page), stopping.clone()));
        for time in 1..=2 {
            let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(OPEN_METRICS), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\nasked {time}\n")), "{answer}");
        }
        let answer = ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        let answer = ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(ask(address, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
        stopping.cancel();
        serving.await.expect("it ends");
    }

    #[tokio::test]
    async fn without_tls_it_is_on_loopback_alone() {
        let refused = MetricsPort::bind(&Env::real(), "0.0.0.0:0".parse().expect("address")).await;
        assert!(matches!(refused.err(), Some(NetError::NotLoopback(_))));
    }
}
