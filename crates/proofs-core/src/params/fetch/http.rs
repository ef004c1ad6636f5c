//! Asking a web server for a file from some byte on.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use ureq::http::header::{CONTENT_RANGE, RANGE};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::error::{FetchError, Setback};
use super::options::FetchOptions;
use super::range::ContentRange;
use super::source::Source;

/// Bytes on their way.
pub(super) struct Opened {
    /// Which byte of the file comes first: the one that was asked for, or 0.
    pub(super) first: u64,
    /// Length of the whole file, where the source says so.
    pub(super) total: Option<u64>,
    pub(super) body: Box<dyn Read>,
}

/// A client; every request has a connection of its own, since each brings gigabytes and may follow a break.
pub(super) struct Http(Agent);

impl Http {
    pub(super) fn new(options: &FetchOptions) -> Result<Self, FetchError> {
        let patience = &options.patience;
        let config = Agent::config_builder()
            .tls_config(tls(&options.source)?)
            .proxy(if options.proxy_from_env { Proxy::try_from_env() } else { None })
            .user_agent(concat!("sp-cluster/", env!("CARGO_PKG_VERSION")))
            // Otherwise a server or a proxy might pack what is to be digested.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence));
        Ok(Self(config.build().new_agent()))
    }

    /// Asks for a file from byte `offset` on. A server that does not know ranges answers with the whole.
    pub(super) fn open(&self, url: &str, offset: u64) -> Result<Opened, Setback> {
        let request = self.0.get(url);
        let request = if offset == 0 { request } else { request.header(RANGE, format!("bytes={offset}-")) };
        let answer = request.call().map_err(setback)?;
        let range = answer.headers().get(CONTENT_RANGE).and_then(|value| ContentRange::parse(value.to_str().ok()?));
        let (first, total) = match (answer.status().as_u16(), range) {
            (200, _) => (0, answer.body().content_length()),
            (206, Some(range)) if offset > 0 && range.first == offset => (offset, range.total),
            (206, _) => return Err(Setback::Nonsense(format!("asked for the bytes from {offset} on it gives others"))),
            (status, _) => return Err(Setback::of_status(status)),
        };
        Ok(Opened { first, total, body: Box::new(answer.into_body().into_reader()) })
    }
}

/// What a failed request comes to. A certificate that is not trusted or a URL that leads nowhere will not be another one
/// in a minute.
fn setback(error: ureq::Error) -> Setback {
    let what = error.to_string();
    match error {
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Setback::Refused(what),
        ureq::Error::Rustls(_)
        | ureq::Error::Tls(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::TooManyRedirects
        | ureq::Error::RedirectFailed
        | ureq::Error::InvalidProxyUrl => Setback::Refused(what),
        _ => Setback::Broken(what),
    }
}

/// TLS with the one provider of this product, and the certificates that the machine trusts.
fn tls(source: &Source) -> Result<TlsConfig, FetchError> {
    let found = rustls_native_certs::load_native_certs();
    let https = |url: &str| url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    if let (true, Source::Gateway(url) | Source::Web(url)) = (found.certs.is_empty(), source)
        && https(url)
    {
        let why = found.errors.first().map_or_else(|| "none are installed".to_owned(), ToString::to_string);
        return Err(FetchError::NoTrust { why });
    }
    let roots = found.certs.iter().map(|cert| Certificate::from_der(cert).to_owned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(TlsConfig::builder().root_certs(RootCerts::from(roots)).unversioned_rustls_crypto_provider(provider).build())
}
