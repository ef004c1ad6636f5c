//! Dialing a service: a channel that connects when first used, through `Env`, with keepalive.

use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::Env;

/// Largest message that a client of ours accepts or sends, bytes; see [`sized!`](crate::sized).
pub const MESSAGE_BYTES_MAX: usize = sp_proto::MESSAGE_BYTES_MAX;

/// How long a connection may take to open.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A silent connection is pinged this often ...
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// ... and given up when a ping is not answered within this.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What can go wrong before a call is made or while a service listens.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Not an address.
    #[error("`{0}` is no address of a service; write host:port or http://host:port")]
    BadAddress(String),
    /// TLS is asked for, but there is none yet.
    #[error("`{0}` asks for TLS, which this build cannot do; in development mode use http:// on loopback")]
    NoTls(String),
    /// Development mode listens on loopback only.
    #[error(
        "refusing to listen on {0}: no listener without authentication, and machines cannot be enrolled yet; \
         use a loopback address such as 127.0.0.1:{port}", port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// The port is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another port, or port 0 for any free one")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address could not be told to the world.
    #[error("cannot announce the address of {service}: {source}")]
    Announce {
        /// Which service.
        service: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The transport failed.
    #[error("transport: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors of this build are damaged.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A channel to `url` (`host:port` or `http://host:port`). It connects at the first call and again after a loss;
/// calls while it cannot fail at once with `UNAVAILABLE`.
pub fn channel(env: &Env, url: &str) -> Result<Channel, NetError> {
    channel_with(env, url, |endpoint| endpoint)
}

/// The same, with more settings.
pub(crate) fn channel_with(env: &Env, url: &str, more: impl FnOnce(Endpoint) -> Endpoint) -> Result<Channel, NetError> {
    let authority = authority(url)?;
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|_| NetError::BadAddress(url.to_owned()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let endpoint = more(endpoint);
    let net = env.net.clone();
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let connecting = net.connect(authority.clone());
        async move { connecting.await.map(TokioIo::new) }
    })))
}

/// `host:port` of a service's address.
fn authority(url: &str) -> Result<String, NetError> {
    let bad = || NetError::BadAddress(url.to_owned());
    if url.starts_with("https://") {
        return Err(NetError::NoTls(url.to_owned()));
    }
    let bare = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let uri: Uri = format!("http://{bare}").parse().map_err(|_| bad())?;
    let authority = uri.authority().ok_or_else(bad)?;
    let plain = authority.port_u16().is_some() && !bare.contains('@') && uri.path() == "/";
    if plain { Ok(authority.to_string()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["127.0.0.1:1234", "http://127.0.0.1:1234", "http://127.0.0.1:1234/"] {
            assert_eq!(authority(good).expect(good), "127.0.0.1:1234");
        }
        assert_eq!(authority("[::1]:7").expect("v6"), "[::1]:7");
        for bad in ["", "host", "http://host", "host:port", "ftp://host:1", "a@b:1", "host:1/path"] {
            assert!(matches!(authority(bad), Err(NetError::BadAddress(_))), "{bad}");
        }
        assert!(matches!(authority("https://h:1"), Err(NetError::NoTls(_))));
    }
}
