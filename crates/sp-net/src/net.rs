//! The network seam: connect and listen. Real over tokio's TCP; a simulation brings its own.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use sp_env::{BoxFuture, Clock, Entropy, Tasks};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream of either kind.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// An open connection.
pub type BoxIo = Box<dyn Io>;

/// Opens and accepts connections.
pub trait Net: Send + Sync + 'static {
    /// Connects to `host:port`.
    fn connect(&self, authority: String) -> BoxFuture<io::Result<BoxIo>>;
    /// Listens; port 0 takes a free one.
    fn listen(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Listener>>>;
    /// True for a network that nobody else is on (a simulation): there, services may listen on any address.
    fn is_private(&self) -> bool {
        false
    }
}

/// A connection that is about to come, and from where.
pub type Accepting<'a> = Pin<Box<dyn Future<Output = io::Result<(BoxIo, SocketAddr)>> + Send + 'a>>;

/// A listening socket.
pub trait Listener: Send + 'static {
    /// The address, with the port that was taken.
    fn local_addr(&self) -> io::Result<SocketAddr>;
    /// The next connection.
    fn accept(&mut self) -> Accepting<'_>;
}

/// Everything a service takes from the machine, cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Concurrency.
    pub tasks: Arc<dyn Tasks>,
    /// Network.
    pub net: Arc<dyn Net>,
}
