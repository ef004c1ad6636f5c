//! Accepted connections: counted, and cut from outside when a drain takes too long.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::{BoxIo, Env, Listener};

/// How long to wait after a failed accept: out of descriptors is the usual reason, and it passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One accepted connection.
pub(super) struct Connection {
    io: BoxIo,
    info: TcpConnectInfo,
    cut: CancellationToken,
    cut_here: Pin<Box<WaitForCancellationFutureOwned>>,
    _counted: OwnedSemaphorePermit,
}

struct Accepting {
    env: Env,
    listener: Box<dyn Listener>,
    local: Option<SocketAddr>,
    free: Arc<Semaphore>,
    cut: CancellationToken,
}

/// Connections for ever; more than `limit` at once are closed as they come.
pub(super) fn connections(
    env: &Env,
    listener: Box<dyn Listener>,
    limit: usize,
    cut: CancellationToken,
) -> impl Stream<Item = Result<Connection, Infallible>> + Send {
    let local = listener.local_addr().ok();
    let accepting = Accepting { env: env.clone(), listener, local, free: Arc::new(Semaphore::new(limit)), cut };
    futures_util::stream::unfold(accepting, |mut accepting| async {
        let connection = accepting.next().await;
        Some((Ok(connection), accepting))
    })
}

impl Accepting {
    async fn next(&mut self) -> Connection {
        loop {
            let (io, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.env.clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(counted) = self.free.clone().try_acquire_owned() else {
                tracing::warn!(%peer, "too many connections; closing the new one");
                continue;
            };
            return Connection {
                io,
                info: TcpConnectInfo { local_addr: self.local, remote_addr: Some(peer) },
                cut: self.cut.clone(),
                cut_here: Box::pin(self.cut.clone().cancelled_owned()),
                _counted: counted,
            };
        }
    }
}

impl Connection {
    fn refuse_if_cut(&self) -> io::Result<()> {
        if self.cut.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by shutdown"));
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Polled so that a reader that waits for a silent peer wakes when the cut comes.
        let _ = self.cut_here.as_mut().poll(cx);
        self.refuse_if_cut()?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
