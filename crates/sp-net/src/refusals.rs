//! What a service has refused: counted by code for its metrics, and logged where it speaks of a peer that is broken or lies.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sp_env::Monotonic;
use sp_types::ErrorCode;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tower::Layer;

use crate::Env;
use crate::status::nearest_code;

/// Of one code, and from one side, a line is logged at most this often: a peer that goes on does not fill the disk.
const LOG_EVERY_MS: u64 = 10_000;

/// Codes that tell of a peer that is broken, misled or hostile. The others belong to the day: busy, gone, not yet.
const TELLING: [ErrorCode; 7] = [
    ErrorCode::AttemptEnded,
    ErrorCode::BadRequest,
    ErrorCode::BadTicket,
    ErrorCode::WrongCluster,
    ErrorCode::WrongProtocol,
    ErrorCode::DigestMismatch,
    ErrorCode::InvalidProof,
];

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refused {
    /// A call, answered with an error.
    Call,
    /// A message within a session.
    Message,
    /// Bytes or a manifest that were fetched from another worker.
    Source,
    /// A file on a path.
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    what: &'static str,
    code: &'static str,
}

/// When a line of a kind was logged last, and how many came since.
#[derive(Debug, Default)]
struct Lines(BTreeMap<(Refused, &'static str), (Monotonic, u64)>);

/// The count of one service; every clone counts into the same.
#[derive(Clone)]
pub struct Refusals {
    env: Env,
    counts: Family<Labels, Counter>,
    lines: Arc<Mutex<Lines>>,
}

// === impl Refused ===

impl Refused {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Call, Self::Message, Self::Source, Self::File];

    /// Its label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Message => "message",
            Self::Source => "source",
            Self::File => "file",
        }
    }
}

// === impl Lines ===

impl Lines {
    /// Whether to log now; then also how many were not logged since the last time.
    fn turn(&mut self, what: Refused, code: &'static str, now: Monotonic) -> Option<u64> {
        match self.0.get_mut(&(what, code)) {
            Some((last, silent)) if now.since_ms(*last) < LOG_EVERY_MS => {
                *silent += 1;
                None
            }
            known => {
                let silent = known.map_or(0, |(_, silent)| *silent);
                self.0.insert((what, code), (now, 0));
                Some(silent)
            }
        }
    }
}

// === impl Refusals ===

impl Refusals {
    /// Nothing refused yet. The telling codes are there at zero, so that their first increase is seen.
    pub fn new(env: &Env) -> Self {
        let counts = Family::<Labels, Counter>::default();
        for (what, code) in Refused::ALL.into_iter().flat_map(|what| TELLING.map(|code| (what, code))) {
            drop(counts.get_or_create(&Labels { what: what.as_str(), code: code.as_str() }));
        }
        Self { env: env.clone(), counts, lines: Arc::default() }
    }

    /// Shows the count as `refused_total`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "What was refused: calls, messages of sessions, what other workers sent, files on paths; by code";
        registry.register("refused", help, self.counts.clone());
    }

    /// Counts a refusal. `about` and `why` are for the log.
    pub fn note(&self, what: Refused, code: ErrorCode, about: &str, why: &str) {
        let labels = Labels { what: what.as_str(), code: code.as_str() };
        self.counts.get_or_create(&labels).inc();
        if !TELLING.contains(&code) {
            return tracing::debug!(what = labels.what, %code, about, why, "refused");
        }
        let now = self.env.clock.monotonic();
        let turn = self.lines.lock().unwrap_or_else(PoisonError::into_inner).turn(what, labels.code, now);
        if let Some(unlogged) = turn {
            tracing::warn!(what = labels.what, %code, about, why, unlogged, "refused");
        }
    }

    /// How many there were.
    pub fn count(&self, what: Refused, code: ErrorCode) -> u64 {
        self.counts.get_or_create(&Labels { what: what.as_str(), code: code.as_str() }).get()
    }

    fn note_call(&self, method: &str, headers: &http::HeaderMap) {
        if let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != tonic::Code::Ok) {
            self.note(Refused::Call, nearest_code(&status), method, status.message());
        }
    }
}

// === every call of a server ===

/// Counts every call that a server answers with an error, at once or in the middle of its stream.
#[derive(Clone)]
pub(crate) struct CountCalls(pub(crate) Refusals);

#[derive(Clone)]
pub(crate) struct Counted<S> {
    service: S,
    refusals: Refusals,
}

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, service: S) -> Self::Service {
        Counted { service, refusals: self.0.clone() }
    }
}

impl<S> Service<http::Request<Body>> for Counted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (method, refusals) = (request.uri().path().to_owned(), self.refusals.clone());
        let answering = self.service.call(request);
        Box::pin(async move {
            let response = answering.await?;
            // An error without a body has its status here, one that comes later behind the body.
            refusals.note_call(&method, response.headers());
            Ok(response.map(|body| Body::new(Watched { body, method, refusals })))
        })
    }
}

/// A body whose trailers are looked at.
struct Watched {
    body: Body,
    method: String,
    refusals: Refusals,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.refusals.note_call(&self.method, trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_first_and_then_one_for_all_that_came_since() {
        let mut lines = Lines::default();
        let code = ErrorCode::BadTicket.as_str();
        assert_eq!(lines.turn(Refused::Call, code, Monotonic(5)), Some(0));
        for at in 6..10 {
            assert_eq!(lines.turn(Refused::Call, code, Monotonic(at)), None);
        }
        assert_eq!(lines.turn(Refused::Source, code, Monotonic(10)), Some(0), "another side has its own");
        assert_eq!(lines.turn(Refused::Call, code, Monotonic(5 + LOG_EVERY_MS)), Some(4));
        assert_eq!(lines.turn(Refused::Call, code, Monotonic(6 + LOG_EVERY_MS)), None);
    }

    #[test]
    fn what_is_refused_is_on_the_page() {
        let refusals = Refusals::new(&Env::real());
        refusals.note(Refused::Source, ErrorCode::DigestMismatch, "http://x", "wrong bytes");
        refusals.note(Refused::Call, ErrorCode::Unavailable, "/x", "busy");
        let mut registry = Registry::with_prefix("sp_test");
        refusals.register(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let has = |line: &str| assert!(page.contains(line), "{line}\n{page}");
        has("sp_test_refused_total{what=\"source\",code=\"SP-DIGEST-MISMATCH\"} 1");
        has("sp_test_refused_total{what=\"call\",code=\"SP-UNAVAILABLE\"} 1");
        has("sp_test_refused_total{what=\"call\",code=\"SP-BAD-TICKET\"} 0");
        assert_eq!(refusals.count(Refused::Source, ErrorCode::DigestMismatch), 1);
    }
}
